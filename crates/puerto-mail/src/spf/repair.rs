//! What was meant by a record that nobody can read: the usual damage of DNS panels and
//! of copying, undone. Receivers do nothing of the kind; it is for whoever writes the
//! record anew and must not lose a sender in it.

use super::record::is_spf;

/// Beginnings that no term has inside of it.
const BEGINNINGS: [&str; 5] = ["include:", "ip4:", "ip6:", "exists:", "redirect="];
const ENDS: [&str; 4] = ["-all", "~all", "?all", "+all"];
/// What may follow a version that has lost its space.
const FIRST: [&str; 8] = ["a ", "a:", "mx", "ip4:", "ip6:", "include:", "redirect=", "exists:"];

/// The text as the SPF record that it was meant to be; one that can be read stays as it
/// is. `None` if it was not meant as one. The result may still hold wrong terms.
pub fn meant(text: &str) -> Option<String> {
    if is_spf(text.as_bytes()) && super::check_syntax(text.as_bytes()).is_ok() {
        return Some(text.to_owned());
    }
    let bare: String = text
        .chars()
        .filter(|character| !matches!(character, '"' | '\\'))
        .map(|character| match character {
            // Dashes that a text program made of a hyphen.
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            other if other.is_whitespace() || other.is_control() => ' ',
            other => other,
        })
        .collect();
    let bare = bare.trim();
    let (version, rest) = bare.split_at_checked("v=spf1".len())?;
    let begins = |first: &&str| {
        rest.get(..first.len()).is_some_and(|start| start.eq_ignore_ascii_case(first))
    };
    let is_version = version.eq_ignore_ascii_case("v=spf1");
    if !is_version || !(rest.is_empty() || rest.starts_with(' ') || FIRST.iter().any(begins)) {
        return None;
    }
    let mut terms: Vec<String> = Vec::new();
    for word in pulled_apart(rest).split_whitespace() {
        let word = word.trim_end_matches([',', ';']);
        match terms.last_mut() {
            // `include: example.com`
            Some(last) if last.ends_with([':', '=']) => last.push_str(word),
            _ if word.is_empty() => {}
            _ => terms.push(word.to_owned()),
        }
    }
    Some(std::iter::once("v=spf1".to_owned()).chain(terms).collect::<Vec<_>>().join(" "))
}

/// The record with a space between terms that grew together where a DNS panel cut it
/// into strings.
pub fn pulled_apart(record: &str) -> String {
    let mut out = String::with_capacity(record.len());
    for (number, word) in record.split(' ').enumerate() {
        if number > 0 {
            out.push(' ');
        }
        let lower = word.to_ascii_lowercase();
        for (at, character) in word.char_indices() {
            let rest = lower.get(at..).unwrap_or_default();
            let begins = BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning));
            let is_qualified =
                matches!(lower.as_bytes().get(..at), Some([b'+' | b'-' | b'~' | b'?']));
            if at > 0 && ((begins && !is_qualified) || ENDS.contains(&rest)) {
                out.push(' ');
            }
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_that_was_meant_is_found() {
        let whole = "v=spf1 ip4:192.0.2.1 include:x.example -all";
        for text in [
            whole,
            "\"v=spf1 ip4:192.0.2.1 include:x.example -all\"",
            "v=spf1 ip4:192.0.2.1\" \"include:x.example -all",
            " v=spf1 ip4:192.0.2.1include:x.example-all ",
            "v=spf1ip4:192.0.2.1 include:x.example -all",
            "v=spf1 ip4:192.0.2.1, include: x.example; –all",
            "V=SPF1\tip4:192.0.2.1 include:x.example\u{a0}-all",
            "v=spf1 ip4:192.0.2.1\\ include:x.example -all",
        ] {
            assert_eq!(meant(text).as_deref(), Some(whole), "{text}");
        }
        for other in ["", "v=spf10 a", "v=spf2.0/mfrom a", "spf1", "my v=spf1 record", "é=spf1 a"]
        {
            assert_eq!(meant(other), None, "{other}");
        }
        for kept in ["V=SPF1  A ~ALL", "v=spf1", "v=spf1 exists:%{i}._spf-all.example"] {
            assert_eq!(meant(kept).as_deref(), Some(kept));
        }
        assert_eq!(meant("v=spf1 nonsense a").as_deref(), Some("v=spf1 nonsense a"));
    }

    #[test]
    fn terms_that_grew_together_are_pulled_apart() {
        for (record, apart) in [
            (
                "v=spf1 ip4:192.0.2.1include:x.example -all",
                "v=spf1 ip4:192.0.2.1 include:x.example -all",
            ),
            ("v=spf1 include:x.example~all", "v=spf1 include:x.example ~all"),
            ("v=spf1 MX/24IP4:192.0.2.1-all", "v=spf1 MX/24 IP4:192.0.2.1 -all"),
        ] {
            assert_eq!(pulled_apart(record), apart);
        }
        for whole in [
            "v=spf1 ip4:192.0.2.1 ?include:x-all.example -ip6:2001:db8::1 -all",
            "v=spf1 exists:%{i}._spf.%{d} a:small.example redirect=_spf.example",
        ] {
            assert_eq!(pulled_apart(whole), whole);
        }
    }
}
