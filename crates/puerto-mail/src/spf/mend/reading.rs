//! A text as the record that it was meant to be: the damage that DNS panels, text
//! programs and copying do, undone.

use super::term::{self, Kind, is_sound, meant};
use crate::as_typed;
use crate::spf::record::is_spf;

/// Beginnings that no term has inside of it.
const BEGINNINGS: [&str; 6] = ["include:", "ip4:", "ip6:", "exists:", "redirect=", "v=spf1"];
const ENDS: [&str; 4] = ["-all", "~all", "?all", "+all"];
/// What may follow a version that has lost its space.
const FIRST: [&str; 8] = ["a ", "a:", "mx", "ip", "include", "redirect", "exists", "-all"];

/// What makes a text a record in disguise, beside the letters `spf`.
const TERMS: [&str; 6] = ["ip4:", "ip6:", "include:", "-all", "~all", "?all"];

/// The terms of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Terms that receivers can read, as they were meant.
    pub(super) terms: Vec<String>,
    /// Words of which nobody can say what they meant.
    pub(super) unclear: Vec<String>,
}

/// The terms of a record that receivers read as it was meant; `None` for any other.
pub(super) fn sound(text: &str) -> Option<Reading> {
    let terms = || text.split(' ').skip(1).filter(|term| !term.is_empty());
    let is_sound = is_spf(text.as_bytes())
        && terms().all(is_sound)
        && crate::spf::check_syntax(text.as_bytes()).is_ok()
        && pulled_apart(text) == text
        && separated(text) == text
        && !text.contains(['"', '\'', '\\']);
    is_sound.then(|| Reading { terms: terms().map(str::to_owned).collect(), unclear: Vec::new() })
}

/// The records that a text was meant as: more than one where two grew together, none if
/// it was not meant as one.
pub(super) fn read(text: &str) -> Vec<Reading> {
    if let Some(reading) = sound(text) {
        return vec![reading];
    }
    let plain = plain(text);
    let Some(terms) = after_version(behind_name(plain.trim())) else {
        let lower = plain.to_ascii_lowercase();
        let is_disguised = lower.contains("spf")
            && !lower.contains("spf2.0/")
            && TERMS.iter().any(|term| lower.contains(term));
        let end = ENDS.into_iter().find(|end| lower.contains(end)).filter(|end| *end != "+all");
        let terms = vec![end.unwrap_or("~all").to_owned()];
        let reading = Reading { terms, unclear: vec![plain.trim().to_owned()] };
        return is_disguised.then_some(reading).into_iter().collect();
    };
    let mut records = vec![Vec::new()];
    for word in words(&pulled_apart(&separated(terms))) {
        match (word.to_ascii_lowercase().as_str(), records.last_mut()) {
            ("v=spf1" | "spf1", _) => records.push(Vec::new()),
            (_, Some(record)) => record.push(word),
            _ => {}
        }
    }
    records.into_iter().map(terms_of).collect()
}

/// The record with a space between terms that grew together where a DNS panel cut it
/// into strings.
pub(super) fn pulled_apart(record: &str) -> String {
    let mut out = String::with_capacity(record.len());
    for (number, word) in record.split(' ').enumerate() {
        if number > 0 {
            out.push(' ');
        }
        let lower = word.to_ascii_lowercase();
        for (at, character) in word.char_indices() {
            let rest = lower.get(at..).unwrap_or_default();
            let unqualified = rest.trim_start_matches(['+', '-', '~', '?']);
            let before = lower.as_bytes().get(..at).unwrap_or_default();
            let is_begun = before.iter().any(|octet| !b"+-~?".contains(octet));
            let is_inside = before.last().is_some_and(|octet| b"+-~?".contains(octet));
            let begins = BEGINNINGS.iter().any(|beginning| unqualified.starts_with(beginning));
            if is_begun && ((begins && !is_inside) || ENDS.contains(&rest) || goes_on(before, rest))
            {
                out.push(' ');
            }
            out.push(character);
        }
    }
    out
}

// `ip4:192.0.2.0/24a:mail.example.com`, `amx`
fn goes_on(before: &[u8], rest: &str) -> bool {
    let begins = rest.starts_with("a:") || ["a", "mx", "ptr"].contains(&rest);
    let is_address = before.starts_with(b"ip4:") || before.starts_with(b"+ip4:");
    (is_address && before.last().is_some_and(u8::is_ascii_digit) && begins)
        || (matches!(before, b"a" | b"+a") && rest.trim_start_matches('+') == "mx")
        || (matches!(before, b"mx" | b"+mx") && rest.trim_start_matches('+') == "a")
}

// Commas and semicolons between terms are spaces; those in a macro's braces are its
// delimiters (RFC 7208 §7.1).
fn separated(text: &str) -> String {
    let (mut in_macro, mut last) = (false, ' ');
    let separate = |character| {
        in_macro = match character {
            '{' => last == '%',
            '}' | ' ' => false,
            _ => in_macro,
        };
        last = character;
        if matches!(character, ',' | ';' | '|') && !in_macro { ' ' } else { character }
    };
    text.chars().map(separate).collect()
}

// Where an octet that is no text stands before `all`, it was a dash or a no-break space
// of another coding, of which the dash lets nobody pass. Two quotation marks stand where
// a zone file's string ends and the next one begins.
fn plain(text: &str) -> String {
    let text = text.replace("\u{fffd}all", " -all").replace("\u{fffd}ALL", " -ALL");
    let text = text.replace("%20", " ").replace("\"\"", " ");
    as_typed::without_brackets(&as_typed::plain(&text))
}

// A line of a zone file up to its type, copied along with the value.
fn behind_name(text: &str) -> &str {
    let is_type = |word: &str| ["TXT", "SPF"].iter().any(|kind| word.eq_ignore_ascii_case(kind));
    let typed = text.match_indices(' ').take(6).find(|(at, _)| {
        let before = text.get(..*at).unwrap_or_default();
        is_type(before.rsplit(' ').next().unwrap_or_default())
    });
    typed.and_then(|(at, _)| text.get(at..)).unwrap_or(text)
}

// What follows the version, however that is written; `None` if there is none.
fn after_version(text: &str) -> Option<&str> {
    let begin = text.trim_start_matches([' ', ',', ';', '=', ':']);
    let after = |text: &str, part: &str| -> Option<usize> {
        text.get(..part.len()).filter(|start| start.eq_ignore_ascii_case(part)).map(str::len)
    };
    let (named, rest) = match after(begin, "v") {
        Some(end) => {
            let rest = begin.get(end..)?.trim_start();
            (rest.starts_with('='), rest.trim_start_matches([' ', '=', ':', '-']))
        }
        None => (false, begin),
    };
    let rest = rest.get(after(rest, "spf").or_else(|| after(rest, "sfp"))?..)?;
    let bare = rest.trim_start_matches([' ', '-', '_', '=', ':', '0', 'v', 'V']);
    let (is_one, rest) = match bare.strip_prefix('1') {
        Some(rest) => (true, rest),
        None => {
            let letter = rest.strip_prefix(['l', 'I']).filter(|rest| rest.starts_with([' ', ';']));
            (false, letter.or_else(|| bare.strip_prefix('2')).unwrap_or(rest))
        }
    };
    let begins = |first: &&str| after(rest, first).is_some();
    let ended = rest.is_empty()
        || rest.starts_with([' ', ',', ';', ':', '.', '|'])
        || ["- ", "/ "].iter().any(|end| rest.starts_with(end));
    let terms = rest.strip_prefix(['-', '/']).filter(|rest| rest.starts_with(' ')).unwrap_or(rest);
    let terms = terms.trim_start_matches([' ', ',', ';', ':', '|']);
    // `spf2.0/mfrom` is Sender ID, and `v=spf1.1` something that nobody defined.
    let is_other =
        rest.strip_prefix('.').is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '));
    let is_version = !is_other && (ended || FIRST.iter().any(begins));
    let is_clear = named && is_one;
    let has_term = || words(&separated(terms)).iter().any(|word| stands_alone(word));
    (is_version && (is_clear || has_term())).then(|| terms.trim_start_matches('.'))
}

// The words, put together again where a blank stands inside of a term.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if belongs(last, word) => last.push_str(word),
            // `+` alone says what is so without it.
            _ if word.chars().all(|mark| "+.|=:/&*".contains(mark)) => {}
            Some(last) if is_bare_name(last) && !stands_alone(word) => {
                last.push(':');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

// `include: x`, `ip4 : x`, `- all`, `ip4:192.0.2.0 /24`.
fn belongs(last: &str, word: &str) -> bool {
    if ["-", "~", "?"].contains(&last) {
        return term::kind(word) == Some(Kind::All);
    }
    // `-a ll`
    let (qualifier, begun) = term::qualified(last);
    if !qualifier.is_empty() && format!("{begun}{word}").eq_ignore_ascii_case("all") {
        return true;
    }
    let goes_on = last.ends_with([':', '=', '/']) && !stands_alone(word);
    let begins = word.starts_with([':', '=']) && !last.contains([':', '=']);
    goes_on || begins || (word.starts_with('/') && !last.contains('/'))
}

// A name that is nothing without its value.
fn is_bare_name(word: &str) -> bool {
    let names = ["include", "exists", "redirect", "ip4", "ip6", "ipv4", "ipv6", "ip"];
    let (_, bare) = term::qualified(word);
    names.iter().any(|name| bare.eq_ignore_ascii_case(name))
}

// Whether a word is a term of its own, and not the value of the one before.
fn stands_alone(word: &str) -> bool {
    let (_, bare) = term::qualified(word);
    let name = bare.split([':', '=', '/']).next().unwrap_or_default();
    term::kind(name).is_some() && (bare.len() > name.len() || is_sound(bare))
}

// Each word as it was meant; two that are nothing alone may be one that was cut.
fn terms_of(words: Vec<String>) -> Reading {
    let mut reading = Reading::default();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        // `a mail.example.com`: the one or the other, or both.
        let is_bare = ["a", "mx"].iter().any(|name| term::qualified(&word).1 == *name);
        if let Some(name) = words.next_if(|next| is_bare && term::host(next).is_some()) {
            reading.unclear.push(format!("{word} {name}"));
            continue;
        }
        if let Some(term) = meant(&word) {
            reading.terms.push(term);
            continue;
        }
        let next = words.peek().cloned().unwrap_or_default();
        let joined = meant(&format!("{word}{next}")).filter(|_| meant(&next).is_none());
        let is_begun_twice = word.ends_with(':') && next.starts_with(&word);
        match joined {
            Some(term) => {
                words.next();
                reading.terms.push(term);
            }
            None if is_begun_twice => {}
            None => reading.unclear.push(word),
        }
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant_as(text: &str) -> Option<String> {
        let records = read(text);
        let shown = |reading: &Reading| {
            let words = reading.terms.iter().cloned();
            let unclear = reading.unclear.iter().map(|word| format!("<{word}>"));
            words.chain(unclear).collect::<Vec<_>>().join(" ")
        };
        let shown: Vec<String> = records.iter().map(shown).collect();
        (!shown.is_empty()).then(|| shown.join(" | "))
    }

    #[test]
    fn the_record_that_was_meant_is_found() {
        let whole = "ip4:192.0.2.1 include:x.example -all";
        for text in [
            "v=spf1 ip4:192.0.2.1 include:x.example -all",
            "\"v=spf1 ip4:192.0.2.1 include:x.example -all\"",
            "'v=spf1 ip4:192.0.2.1 include:x.example -all'",
            "“v=spf1 ip4:192.0.2.1 include:x.example -all”",
            "«v=spf1 ip4:192.0.2.1 include:x.example -all»",
            "v=spf1 ip4:192.0.2.1\" \"include:x.example -all",
            " v=spf1 ip4:192.0.2.1include:x.example-all ",
            "v=spf1ip4:192.0.2.1 include:x.example -all",
            "v=spf1 ip4:192.0.2.1, include: x.example; –all",
            "v=spf1 ip4:192.0.2.1,include:x.example,-all",
            "v=spf1; ip4:192.0.2.1; include:x.example; -all;",
            "v=spf1, ip4:192.0.2.1 include:x.example -all",
            "v=spf1: ip4:192.0.2.1 include:x.example -all",
            "v = spf1 ip4:192.0.2.1 include:x.example -all",
            "v= spf1 ip4:192.0.2.1 include:x.example -all",
            "v:spf1 ip4:192.0.2.1 include:x.example -all",
            "\u{feff}v=spf1 ip4:192.0.2.1 include:x.example -all",
            "v=spf1\u{a0}ip4:192.0.2.1\u{a0}include:x.example\u{a0}-all",
            "V=SPF1\tip4:192.0.2.1 include:x.example\u{a0}-all",
            "v=spf1 ip4:192.0.2.1 include:x.example \u{2014}all",
            "v=spf1 ip4:192.0.2.1 include:x.example \u{2212} all",
            "v=spf1 ip4:192.0.2.1 include:x.example -\u{a0}all",
            "v=spf1 ip4:192.0.2.1 include:x.example \u{fffd}all",
            "v=spf1 ip4:192.0.2.1 include:x.example - all",
            "v=spf1 ip4 : 192.0.2.1 include : x.example -all",
            "v=spf1 ip4 192.0.2.1 include x.example -all",
            "v=spf1 ip4=192.0.2.1 include=x.example -all",
            "v=spf1 ip4:ip4:192.0.2.1 include:include:x.example -all",
            "v=spf1 ip4:192.0. 2.1 inclu de:x.example -all",
            "v＝spf1 ip4：192.0.2.1 include:x.example －all",
            "v=spf1 ip4:192.0.2.1\\ include:x.example -all",
            "spf1 ip4:192.0.2.1 include:x.example -all",
            "spf=1 ip4:192.0.2.1 include:x.example -all",
            "=v=spf1 ip4:192.0.2.1 include:x.example -all",
            "v=spf-1 ip4:192.0.2.1 include:x.example -all",
            "v=spf2 ip4:192.0.2.1 include:x.example -all",
            "v=spf ip4:192.0.2.1 include:x.example -all",
            "v=spf1 v=spf1 ip4:192.0.2.1 include:x.example -all",
            "v=spfl ip4:192.0.2.1 include:x.example -all",
            "@ IN TXT v=spf1 ip4:192.0.2.1 include:x.example -all",
            "<p>v=spf1&nbsp;ip4:192.0.2.1&nbsp;include:x.example &ndash;all</p>",
            "v=spf1\\032ip4:192.0.2.1%20include:x.example \u{e2}\u{20ac}\u{201c}all",
            "(v=spf1 | ip4:<192.0.2.1> | include:[x.example] + -a ll)",
            "v=spf1 pi4:192.0.2.1:25 include:https://x.example/ -:all",
            "v=spf1 ip4.192.0.2.1. include:spf:x.example - all",
            "v=spf1 ip4:192.0.2.1\"\"include:@x.example -all",
        ] {
            let expected = if text.matches("v=spf1").count() > 1 {
                format!(" | {whole}")
            } else {
                whole.to_owned()
            };
            assert_eq!(meant_as(text).as_deref(), Some(expected.as_str()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_spf_records() {
        for other in [
            "",
            "v=spf10 a",
            "v=spf1.1 a",
            "v=spf2.0/mfrom a -all",
            "spf2.0/mfrom,pra a -all",
            "spf1",
            "spf is good",
            "my v=spf1 record",
            "é=spf1 a",
            "v=DMARC1; p=none",
            "v=DKIM1; p=",
            "v=verifydomain MS=1",
            "spf-verification=1",
            "spf1=done",
        ] {
            assert_eq!(meant_as(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_clear_is_named() {
        for (text, terms) in [
            ("v=spf1 nonsense a", "a <nonsense>"),
            (
                "v=spf1 include:x.example mail.example.com -all",
                "include:x.example -all <mail.example.com>",
            ),
            ("v=spf1 ip4: -all", "-all <ip4:>"),
            ("v=spf1 - ip4:192.0.2.1 -all", "ip4:192.0.2.1 -all <->"),
            ("v=spf1 mx: -all", "mx -all"),
            (
                "v=spf1 amx ip4:192.0.2.0/24a:x.example -all",
                "a mx ip4:192.0.2.0/24 a:x.example -all",
            ),
            ("v=spf1 a -all v=spf1 mx ~all", "a -all | mx ~all"),
            (
                "v=spf1 ip4:192.0.2.0 /24 a: mail.example.com -all",
                "ip4:192.0.2.0/24 a:mail.example.com -all",
            ),
        ] {
            assert_eq!(meant_as(text).as_deref(), Some(terms), "{text}");
        }
    }

    #[test]
    fn what_receivers_read_as_it_was_meant_stays() {
        for whole in [
            "v=spf1",
            "V=SPF1  A ~ALL",
            "v=spf1 exists:%{i}._spf-all.example",
            "v=spf1 exists:%{l,}._spf.example ra=postmaster -all",
            "v=spf1 ip4:192.0.2.1 ?include:x-all.example -ip6:2001:db8::1 -all",
            "v=spf1 exists:%{i}._spf.%{d} a:small.example redirect=_spf.example",
            "v=spf1 exp=why.example.com include:a.example -all",
        ] {
            assert!(sound(whole).is_some(), "{whole}");
        }
        for damaged in [
            "v=spf1 include:a.exampleinclude:b.example -all",
            "v=spf1 include:a.example,include:b.example -all",
            "v=spf1 include=a.example -all",
            "v=spf1 a v=spf1 mx -all",
            "v=spf1 a:x.example;mx:y.example -all",
            "v=spf1 include:https://x.example -all",
            "v=spf1 a:x..example -all",
        ] {
            assert!(crate::spf::check_syntax(damaged.as_bytes()).is_ok(), "{damaged}");
            assert_eq!(sound(damaged), None, "{damaged}");
        }
    }
}
