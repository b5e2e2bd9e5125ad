//! A DMARC record as its owner meant it: the damage that DNS panels, text programs and
//! copying do, found and undone, with the policy and the addresses for reports kept.
//!
//! Receivers do nothing of the kind: RFC 9989 §4.7 knows spaces and tabs and no other
//! white space, and a record that does not begin with `v=DMARC1` is none. `puerto check`,
//! `puerto dns` and `puerto verify` say here what is wrong with one.

use super::record::{Policy, is_dmarc};
use crate::as_typed::{distance, plain, without_brackets};

/// Tags that are defined, those of RFC 7489 among them.
const NAMES: [&str; 14] =
    ["v", "p", "sp", "np", "rua", "ruf", "adkim", "aspf", "fo", "psd", "t", "pct", "ri", "rf"];
/// Ends of values behind which a tag may begin without anything between.
const ENDS: [&str; 4] = ["dmarc1", "none", "quarantine", "reject"];

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin with `v=DMARC1`, in capitals.
    Version,
    /// A character that only looks like a space, or a control character.
    Space,
    /// Quotation marks, angle brackets, or marks that nobody sees.
    Marks,
    /// Tags that are not set apart by one semicolon.
    Separator,
    /// The tag `p`, which says what is asked for, is missing.
    NoPolicy,
    /// A tag that stands there twice.
    Twice(String),
    /// A tag whose value is not defined, as it is written.
    Value(String),
    /// An address for reports that is not written as `mailto:` and the address.
    Address(String),
}

/// A record as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    written: String,
    tags: Vec<(String, String)>,
    /// What is wrong with it as it is written, the worst first.
    pub faults: Vec<Fault>,
}

/// How often what was mended is read again.
const MENDINGS: usize = 4;

/// Whether a text at `_dmarc` is a DMARC record or was meant as one.
pub fn is_meant(text: &str) -> bool {
    let mut letters = unmarked(text).0.to_ascii_lowercase();
    letters.retain(|character| !character.is_whitespace());
    let policy = || ["none", "quarantine", "reject"].map(|word| format!("p={word}"));
    ["v=dmarc", "v:dmarc", "dmarc1"].iter().any(|version| letters.contains(version))
        || policy().iter().any(|policy| letters.contains(policy))
}

/// Reads a text for which [`is_meant`] holds.
pub fn mend(text: &str) -> Mended {
    let mut mended = mend_once(text);
    // What was read out of damage may itself look damaged: it is read again until it does
    // not, at last without the tags that nobody defined.
    for round in 0..MENDINGS {
        if mended.faults.is_empty() {
            break;
        }
        let again = mend_once(&mended.text());
        if again.faults.is_empty() {
            break;
        }
        mended.tags = again.tags;
        if round + 2 >= MENDINGS {
            mended.tags.retain(|(name, _)| NAMES.contains(&name.as_str()));
        }
    }
    mended
}

fn mend_once(text: &str) -> Mended {
    let mut faults = Vec::new();
    if !is_dmarc(text) {
        faults.push(Fault::Version);
    }
    let is_space = |c: char| (c.is_whitespace() || c.is_control()) && c != ' ' && c != '\t';
    if text.contains(is_space) {
        faults.push(Fault::Space);
    }
    let (bare, had_marks) = unmarked(text);
    if had_marks {
        faults.push(Fault::Marks);
    }
    let pairs = pairs(&bare);
    if separators_are_wrong(text, &pairs) && !faults.iter().any(|f| matches!(f, Fault::Marks)) {
        faults.push(Fault::Separator);
    }
    let mut mended = Mended { written: text.to_owned(), tags: Vec::new(), faults };
    if pairs.iter().filter(|(name, _)| name == "v").count() > 1 {
        mended.faults.push(Fault::Twice("v".to_owned()));
    }
    for (name, value) in pairs {
        mended.take(name, &value);
    }
    if mended.get("p").is_none() {
        let wrong = |fault: &Fault| matches!(fault, Fault::Value(what) if what.starts_with("p="));
        if !mended.faults.iter().any(wrong) {
            mended.faults.push(Fault::NoPolicy);
        }
        mended.tags.insert(0, ("p".to_owned(), "none".to_owned()));
    }
    let policy = mended.tags.iter().position(|(name, _)| name == "p").unwrap_or(0);
    let policy = mended.tags.remove(policy);
    mended.tags.insert(0, policy);
    mended.tags.insert(0, ("v".to_owned(), "DMARC1".to_owned()));
    mended
}

impl Mended {
    /// The record: to the letter, if nothing is wrong with it.
    pub fn text(&self) -> String {
        if self.faults.is_empty() {
            return self.written.clone();
        }
        self.tags
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// The record with a tag set, all else as it was meant.
    pub fn with(&self, name: &str, value: &str) -> String {
        let mut tags = self.tags.clone();
        match tags.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => tags.push((name.to_owned(), value.to_owned())),
        }
        tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// The value of a tag, as it was meant.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// What its `p` asks for; [`Policy::None`] if it has none that is defined.
    pub fn policy(&self) -> Policy {
        self.get("p").and_then(Policy::parse).unwrap_or(Policy::None)
    }

    fn take(&mut self, name: String, value: &str) {
        let written = format!("{name}={value}");
        if name == "v" {
            return;
        }
        let name = if name == "policy" {
            self.faults.push(Fault::Value(written.clone()));
            "p".to_owned()
        } else {
            name
        };
        if self.get(&name).is_some() {
            self.faults.push(Fault::Twice(name.clone()));
            let kept = self.tags.iter_mut().find(|(other, _)| *other == name);
            if let (Some((_, list)), "rua" | "ruf") = (kept, name.as_str()) {
                let more = addresses(&format!("{list};{value}")).0;
                *list = more;
            }
            return;
        }
        let right = match name.as_str() {
            "p" | "sp" | "np" => policy(value),
            "adkim" | "aspf" => one_of(value, &[("r", "relaxed"), ("s", "strict")]),
            "psd" => one_of(value, &[("y", "yes"), ("n", "no"), ("u", "unknown")]),
            "t" => one_of(value, &[("y", "yes"), ("n", "no")]),
            "pct" => Some(value.trim_end_matches(['%', ' ']))
                .filter(|digits| digits.parse::<u8>().is_ok_and(|percent| percent <= 100))
                .map(str::to_owned),
            "fo" => options(value),
            "rua" | "ruf" => {
                let (list, wrong) = addresses(value);
                self.faults.extend(wrong.into_iter().map(Fault::Address));
                if !list.is_empty() {
                    self.tags.push((name, list));
                }
                return;
            }
            _ => (!value.is_empty()).then(|| value.to_owned()),
        };
        match right {
            Some(right) => {
                if !right.eq_ignore_ascii_case(value) {
                    self.faults.push(Fault::Value(written));
                }
                // As it is written, where that is right.
                let kept = if right.eq_ignore_ascii_case(value) { value.to_owned() } else { right };
                self.tags.push((name, kept));
            }
            None => self.faults.push(Fault::Value(written)),
        }
    }
}

// The plain text, and whether marks had to be taken away for that.
fn unmarked(text: &str) -> (String, bool) {
    let blanks = text.replace(";%20", "; ").replace("(at)", "@").replace("[at]", "@");
    let bare = without_brackets(&plain(blanks.trim_end_matches("%20")));
    let spaces = |c: char| if c.is_whitespace() || c.is_control() { ' ' } else { c };
    let had_marks = text.chars().map(spaces).collect::<String>() != bare;
    (bare, had_marks)
}

/// Names and values, wherever a tag that is defined begins, or one behind a semicolon.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut starts: Vec<(usize, usize, String)> = Vec::new();
    for (at, _) in text.char_indices() {
        let before = text.get(..at).unwrap_or_default();
        let rest = text.get(at..).unwrap_or_default();
        if let Some((name, length)) = tag_at(before, rest) {
            starts.push((at, at + length, name));
        }
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(at, ..)| *at).chain([text.len()]).collect();
    let mut found = Vec::new();
    for ((_, from, name), to) in starts.into_iter().zip(ends) {
        let mut value = text.get(from..to).unwrap_or_default().trim_end();
        if !value.ends_with(';') {
            value = value.trim_end_matches([',', '|', ':', ' ']);
        }
        let is_list = matches!(name.as_str(), "rua" | "ruf" | "fo");
        let value = match value.split_once(';') {
            Some((before, _)) if !is_list => before,
            _ => value.trim_end_matches([';', ' ']),
        };
        found.push((name, value.trim_start_matches('=').trim().to_owned()));
    }
    found
}

// The name of the tag that begins here, and how long it is with its sign.
fn tag_at(before: &str, rest: &str) -> Option<(String, usize)> {
    let name: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
    let after = rest.get(name.len()..)?;
    let sign = after.trim_start();
    let lower = name.to_ascii_lowercase();
    let is_known = NAMES.contains(&lower.as_str());
    let behind = before.trim_end();
    let is_colon = is_known && (lower.len() < 3 || behind.ends_with(';')) && sign.starts_with(':');
    // `p reject`
    let word: String = sign.chars().take_while(char::is_ascii_alphabetic).collect();
    let is_policy = matches!(lower.as_str(), "p" | "sp" | "np")
        && sign.len() < after.len()
        && Policy::parse(&word).is_some();
    if is_policy && (behind.is_empty() || behind.ends_with(';')) {
        return Some((lower, rest.len() - sign.len()));
    }
    let is_sign = sign.starts_with('=') || is_colon;
    // A colon is within an address, or another's mark of the end.
    let by_colon = behind.ends_with(':') && !behind.to_ascii_lowercase().ends_with("mailto:");
    let apart = behind.is_empty()
        || behind.ends_with([';', ',', '|'])
        || before.ends_with(' ')
        || (by_colon && sign.starts_with('='));
    let grown = || {
        let before = before.to_ascii_lowercase();
        ENDS.iter().any(|end| before.ends_with(end))
    };
    let begins = match is_known {
        true => apart || grown(),
        // One that is not defined only where a tag must begin.
        false => behind.ends_with(';') && !name.is_empty(),
    };
    (begins && is_sign).then(|| (lower, rest.len() - sign.len() + 1))
}

// Whether receivers, who go by semicolons alone, see other tags.
fn separators_are_wrong(text: &str, pairs: &[(String, String)]) -> bool {
    let parts: Vec<&str> = text.split(';').map(|part| part.trim_matches([' ', '\t'])).collect();
    let is_last = |number: usize| number + 1 == parts.len();
    let mut strict = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        match part.split_once('=') {
            // `p==none`
            Some((_, value)) if value.trim_start().starts_with('=') => return true,
            Some((name, _)) => strict.push(name.trim_matches([' ', '\t']).to_ascii_lowercase()),
            None if part.is_empty() && is_last(number) && number > 0 => {}
            None => return true,
        }
    }
    strict.iter().ne(pairs.iter().map(|(name, _)| name))
}

fn policy(value: &str) -> Option<String> {
    let word: String =
        value.to_ascii_lowercase().chars().filter(char::is_ascii_alphabetic).collect();
    let known = [Policy::None, Policy::Quarantine, Policy::Reject].map(Policy::as_str);
    let close = |right: &&str| distance(&word, right) <= if right.len() > 5 { 2 } else { 1 };
    known
        .into_iter()
        .find(|right| *right == word)
        .or_else(|| known.into_iter().find(close))
        .map(str::to_owned)
}

fn one_of(value: &str, known: &[(&str, &str)]) -> Option<String> {
    let is = |word: &str| value.eq_ignore_ascii_case(word);
    known.iter().find(|(short, long)| is(short) || is(long)).map(|(short, _)| (*short).to_owned())
}

fn options(value: &str) -> Option<String> {
    let options = value.split([':', ',', ' ', ';']).map(str::trim).filter(|one| !one.is_empty());
    let options: Vec<&str> = options.collect();
    let known =
        |one: &&str| ["0", "1", "d", "s"].iter().any(|known| one.eq_ignore_ascii_case(known));
    let is_right = !options.is_empty() && options.iter().all(known);
    let as_written = value.split(':').map(str::trim).eq(options.iter().copied());
    is_right.then(|| if as_written { value.to_owned() } else { options.join(":") })
}

// The list in its right form, and the parts that were not.
fn addresses(value: &str) -> (String, Vec<String>) {
    let as_written: Vec<&str> = value.split(',').map(str::trim).collect();
    if as_written.iter().all(|uri| is_address(uri)) {
        return (value.to_owned(), Vec::new());
    }
    // `mailto: a@x`, `mailto:a@xmailto:b@x`, `a@x;b@x`, `a@x b@x`, `mail to:a @ x`.
    let mut text = value.replace("mail to:", "mailto:").replace(" !", "!").replace(".!", "!");
    for blank in [" @", "@ "] {
        text = text.replace(blank, "@");
    }
    let lower = text.to_ascii_lowercase();
    let mut spread = String::new();
    for (at, character) in text.char_indices() {
        let rest = lower.get(at..).unwrap_or_default();
        if rest.starts_with("mailto") || rest.starts_with("https:") {
            spread.push(' ');
        }
        spread.push(character);
    }
    let mut list: Vec<String> = Vec::new();
    for word in spread.split([',', ';', ' ', '|']) {
        // What stands in front of a colon was to be `mailto`, whatever it is.
        let bare = word.rsplit([':', '=']).next().unwrap_or_default().trim_start_matches('/');
        let address = match word.contains('@') {
            true => format!("mailto:{}", bare.trim_matches('.')),
            false => word.to_owned(),
        };
        if is_address(&address) && !list.contains(&address) {
            list.push(address);
        }
    }
    let wrong = as_written.into_iter().filter(|uri| !uri.is_empty() && !is_address(uri));
    let mut wrong: Vec<String> = wrong.map(str::to_owned).collect();
    if wrong.is_empty() {
        wrong.push(value.to_owned());
    }
    (list.join(","), wrong)
}

fn is_address(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_whole = match scheme.eq_ignore_ascii_case("mailto") {
        true => rest.split_once('@').is_some_and(|(local, domain)| {
            let is_local = !local.is_empty() && !local.contains(':') && !local.starts_with("//");
            let is_domain = !domain.is_empty() && !domain.contains(['@', ':', ';']);
            is_local && is_domain && !domain.ends_with('.') && !domain.contains(".!")
        }),
        false => rest.starts_with("//"),
    };
    is_whole && !uri.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dmarc::record::Record;

    const WHOLE: &str =
        "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s";

    #[test]
    fn a_damaged_record_keeps_what_its_owner_asked_for() {
        for text in [
            "\"v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s\"",
            "\u{feff}v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            " v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "<p>v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s</p>",
            "v=DMARC1;&nbsp;p=reject; sp=quarantine; rua=<mailto:a@b.example>,<mailto:c@b.example>; adkim=s",
            "v=DMARC1;\u{a0}p=reject;\u{a0}sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1;\u{3000}p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1;\u{b}p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example;mailto:c@b.example; adkim=s",
            "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example mailto:c@b.example; adkim=s",
            "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.examplemailto:c@b.example; adkim=s",
            "v=DMARC1; p=reject; sp=quarantine; rua=mailto: a@b.example, c@b.example; adkim=s",
            "v=DMARC1; p=reject; sp=quarantine; rua=a@b.example;c@b.example; adkim=strict",
            "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,,mailto:c@b.example; adkim=s",
            "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example,; adkim=s",
            "v=DMARC1;; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1, p=reject, sp=quarantine, rua=mailto:a@b.example,mailto:c@b.example, adkim=s",
            "v=DMARC1,p=reject,sp=quarantine,rua=mailto:a@b.example,mailto:c@b.example,adkim=s",
            "v=DMARC1 p=reject sp=quarantine rua=mailto:a@b.example,mailto:c@b.example adkim=s",
            "v=DMARC1p=rejectsp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=dmarc1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v:DMARC1; p:reject; sp:quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1; p=reject; p=none; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1; p=rejected; sp=quarentine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "p=reject; v=DMARC1; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1; v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example,mailto:c@b.example; adkim=s",
            "v=DMARC1\\; p=reject\\; sp=quarantine\\; rua=mailto:a@b.example,mailto:c@b.example\\; adkim=s",
            "(v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b.example; rua=mailto:c@b.example; adkim=s)",
            "v==DMARC1; p==reject; sp=quarantine; rua=email:a@b.example.,mail to:c @ b.example; adkim=s",
            "v=DMARC1:p=reject:sp=quarantine:rua=mailto:a@b.example,mailto:c@b.example:adkim=s",
            "v=DMARC1; p reject; sp:quarantine; rua:mailto:mailto:a@b.example,c(at)b.example; adkim:s",
            "v=DKIM1;%20policy=reject;%20sp=quarantine;%20rua=mailto://a@b.example,mailto:c@b.example;%20adkim=s|",
            "v=DMARC1； p=reject； sp=quarantine； rua=mailto:a@b.example,mailto:c@b.example； adkim=s",
        ] {
            assert!(is_meant(text), "{text}");
            let mended = mend(text);
            assert!(!mended.faults.is_empty(), "{text}");
            assert_eq!(mended.text(), WHOLE, "{text}");
        }
    }

    #[test]
    fn a_record_that_is_right_stays_and_says_nothing() {
        for text in [
            WHOLE,
            "v=DMARC1;p=none",
            "v=DMARC1; p=none;",
            "V = DMARC1 ; p = Reject ; rua = mailto:a@b.example , mailto:c@b.example ; fo=1:d",
            "v=DMARC1; p=quarantine; pct=50; ri=3600; rf=afrf; rua=mailto:a@b.example!10m",
            "v=DMARC1; p=none; x-new=something; rua=mailto:a@b.example",
            "v=DMARC1;\tp=none",
        ] {
            let mended = mend(text);
            assert_eq!(mended.faults, [], "{text}");
            assert_eq!(mended.text(), text);
            assert!(is_dmarc(text) && Record::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_true_of_its_record() {
        for (text, faults, whole) in [
            ("v=DMARC1", vec![Fault::NoPolicy], "v=DMARC1; p=none"),
            ("v=DMARC1; p=nothing", vec![Fault::Value("p=nothing".to_owned())], "v=DMARC1; p=none"),
            ("v=DMARC1; p=none; p=none", vec![Fault::Twice("p".to_owned())], "v=DMARC1; p=none"),
            (
                "v=DMARC1; p=none; adkim=x",
                vec![Fault::Value("adkim=x".to_owned())],
                "v=DMARC1; p=none",
            ),
            ("v=DMARC1;\u{a0}p=none", vec![Fault::Space, Fault::Separator], "v=DMARC1; p=none"),
            ("v=DMARC1; p=none;; t=y", vec![Fault::Separator], "v=DMARC1; p=none; t=y"),
            ("v=dmarc1; p=none", vec![Fault::Version], "v=DMARC1; p=none"),
            (
                "v=DMARC1; p=none; rua=a@b.example",
                vec![Fault::Address("a@b.example".to_owned())],
                "v=DMARC1; p=none; rua=mailto:a@b.example",
            ),
            ("\"v=DMARC1; p=none\"", vec![Fault::Version, Fault::Marks], "v=DMARC1; p=none"),
        ] {
            let mended = mend(text);
            assert_eq!(mended.faults, faults, "{text}");
            assert_eq!(mended.text(), whole, "{text}");
            assert_eq!(
                mend(whole).faults,
                if whole == "v=DMARC1; p=none" { vec![] } else { mend(whole).faults }
            );
        }
        // A sign within a value is part of it.
        let within = "v=DMARC1; p=none; x=,x==";
        assert_eq!(
            (mend(within).faults, mend("v=DMARC1p:;x=,x==;").text()),
            (vec![], within.to_owned())
        );
        for other in ["", "v=spf1 -all", "dmarc is good", "google-site-verification=x"] {
            assert!(!is_meant(other), "{other}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::default() })]

        #[test]
        fn whatever_is_meant_becomes_one_record(text in "v ?= ?DMARC1[;, ]{0,2}((p|sp|rua|ruf|adkim|pct|t|x)[=: ]{1,2}[a-zA-Z0-9:@.,;<>\"\u{a0} ]{0,16}[;, ]){0,5}") {
            let mended = mend(&text);
            let out = mended.text();
            proptest::prop_assert!(is_dmarc(&out), "{} > {}", text, out);
            proptest::prop_assert!(Record::parse(&out).is_some(), "{} > {}", text, out);
            proptest::prop_assert_eq!(out.matches("v=DMARC1").count() <= 1 || mended.faults.is_empty(), true);
            let again = mend(&out);
            proptest::prop_assert_eq!(&again.faults, &Vec::<Fault>::new(), "{} > {}", text, out);
        }
    }
}
