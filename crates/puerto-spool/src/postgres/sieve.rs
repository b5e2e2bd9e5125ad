//! A filter as the database can apply it: roughly, so that it never keeps out what is meant.
//! What it lets through, the filter's own selector looks at.
//!
//! Addresses and replies are in encoded lists, where every letter of ASCII stands as it is.
//! They are looked at as PostgreSQL's `escape` form has them, in lower case.

use puerto_smtp::Domain;

use super::accept::signed;
use crate::filter::Filter;
use crate::id::Timestamp;

/// The conditions as patterns of LIKE.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sieve {
    pub(super) from: Option<String>,
    pub(super) is_null: bool,
    pub(super) to: Option<String>,
    pub(super) reason: Option<String>,
    /// The whole domain of a recipient, or some host that answered.
    pub(super) domain: Option<String>,
    pub(super) host: Option<String>,
    pub(super) account: Option<String>,
    pub(super) before: Option<i64>,
    pub(super) larger: Option<i64>,
    pub(super) ids: Option<Vec<i64>>,
    /// There is a condition that only the program can look at.
    pub(super) is_more: bool,
}

impl Sieve {
    /// The conditions of a filter, apart from whether a message is held.
    pub(super) fn of(filter: &Filter) -> Self {
        let found = |spellings: &[String]| in_all(spellings).map(somewhere);
        let is_null = filter.is_of_the_null_path();
        let destination = in_all(&filter.destination);
        let domain = destination.map(|name| match Domain::parse(name) {
            Ok(domain) => pattern(&domain.to_string()),
            Err(_) => pattern(name),
        });
        let several = [&filter.from, &filter.to, &filter.destination, &filter.account];
        Self {
            from: found(&filter.from).filter(|_| !is_null),
            is_null,
            to: found(&filter.to),
            reason: filter.reason.as_deref().map(somewhere),
            // The shorter is part of the longer, and another whole domain.
            domain: domain.filter(|_| filter.destination.len() == 1),
            host: destination.filter(|_| filter.destination.len() == 1).map(somewhere),
            account: found(&filter.account),
            before: filter.before.map(Timestamp::as_millis),
            larger: filter.larger.map(|octets| i64::try_from(octets).unwrap_or(i64::MAX)),
            ids: filter.ids.as_ref().map(|ids| ids.iter().map(|id| signed(*id)).collect()),
            is_more: filter.class.is_some()
                || filter.origin.is_some()
                || several.iter().any(|spellings| spellings.len() > 1),
        }
    }

    /// Whether it lets everything through.
    pub(super) fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

// The one of several spellings that is part of all others, if one is: LIKE looks for one.
fn in_all(spellings: &[String]) -> Option<&str> {
    let shortest = spellings.iter().min_by_key(|text| text.len())?.as_str();
    spellings.iter().all(|text| text.contains(shortest)).then_some(shortest)
}

fn somewhere(condition: &str) -> String {
    format!("%{}%", pattern(condition))
}

// Between a local part and its domain there is no `@` in the lists, and quotes are only in
// what is shown; letters beyond ASCII have another form, and maybe other small ones.
fn pattern(condition: &str) -> String {
    let mut pattern = String::with_capacity(condition.len() + 8);
    for character in condition.chars() {
        match character {
            'a'..='z' | '0'..='9' => pattern.push(character),
            'A'..='Z' => pattern.push(character.to_ascii_lowercase()),
            '*' | '?' | '@' | '"' | '\\' => pattern.push('%'),
            '%' | '_' => pattern.extend(['\\', character]),
            ' '..='~' => pattern.push(character),
            _ => pattern.push('%'),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_never_narrower_than_its_condition() {
        for (condition, expected) in [
            ("User@Example.net", "user%example.net"),
            ("a_b%c", "a\\_b\\%c"),
            ("*@*.net", "%%%.net"),
            ("\"a b\"@x", "%a b%%x"),
            ("jos\u{e9}@x", "jos%%x"),
            ("50\\%", "50%\\%"),
        ] {
            assert_eq!(pattern(condition), expected, "{condition}");
        }
        let filter = |destination: &str| {
            let destination = vec![destination.to_owned()];
            Sieve::of(&Filter { destination, ..Filter::default() })
        };
        assert_eq!(filter("MX.example.").domain.as_deref(), Some("mx.example"));
        assert_eq!(filter("mx*").host.as_deref(), Some("%mx%%"));
        let bounces = Sieve::of(&Filter { from: vec!["<>".to_owned()], ..Filter::default() });
        assert!(bounces.is_null && bounces.from.is_none() && !bounces.is_open());
        let spelt = |account: &[&str], destination: &[&str]| {
            let of = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let (account, destination) = (of(account), of(destination));
            Sieve::of(&Filter { account, destination, ..Filter::default() })
        };
        let sieve = spelt(&["ana@example.com", "ana"], &[]);
        assert_eq!((sieve.account.as_deref(), sieve.is_more), (Some("%ana%"), true));
        let sieve = spelt(&[], &["\u{f1}.example", "xn--ida.example"]);
        assert_eq!((sieve.domain, sieve.host, sieve.is_more), (None, None, true));
    }
}
