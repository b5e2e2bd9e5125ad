//! Macro strings (RFC 7208 §7): read once with the record, so that a mistake in a
//! term that is never reached is found all the same, and written out for each
//! evaluation.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::TermError;

/// A domain name that DNS can be asked for has at most this many octets.
const MAX_NAME: usize = 253;

/// Where a macro string stands, which decides what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A domain-spec or the value of a modifier: `%{c}`, `%{r}` and `%{t}` are errors.
    Record,
    /// The text that `exp=` names.
    Explanation,
}

/// A macro string that was read and found correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MacroString {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    // %%, %_ and %-: these end a domain-spec as a macro does.
    Escape(&'static str),
    Expand(Expansion),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expansion {
    letter: char,
    url_escaped: bool,
    keep: Option<usize>,
    reverse: bool,
    delimiters: Vec<char>,
}

/// What the letters stand for in one evaluation.
#[derive(Debug, Clone)]
pub(super) struct Values<'a> {
    pub(super) local_part: &'a str,
    pub(super) sender_domain: &'a str,
    pub(super) domain: &'a str,
    pub(super) ip: IpAddr,
    pub(super) helo: &'a str,
    pub(super) receiver: &'a str,
    pub(super) timestamp: u64,
    /// The validated name of the client; "unknown" without one.
    pub(super) validated: &'a str,
}

impl MacroString {
    /// Reads the text, whose characters are all visible ones if it stands in a record.
    pub(super) fn parse(text: &str, place: Place) -> Result<Self, TermError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                literal.push(character);
                continue;
            }
            let part = match characters.next() {
                Some('%') => Part::Escape("%"),
                Some('_') => Part::Escape(" "),
                Some('-') => Part::Escape("%20"),
                Some('{') => Part::Expand(Expansion::parse(&mut characters, place)?),
                _ => return Err(TermError::BarePercent),
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// Reads a domain-spec: a macro string that ends in a macro or in a dot and a
    /// top label (RFC 7208 §7.1).
    pub(super) fn parse_domain(text: &str) -> Result<Self, TermError> {
        let parsed = Self::parse(text, Place::Record)?;
        match parsed.parts.last() {
            None => Err(TermError::NoDomain),
            Some(Part::Literal(end)) if !ends_in_top_label(end) => {
                Err(TermError::NoTopLevel(text.to_owned()))
            }
            Some(_) => Ok(parsed),
        }
    }

    /// Whether `%{p}` occurs, for which the client's name has to be looked up.
    pub(super) fn needs_validated_name(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Expand(e) if e.letter == 'p'))
    }

    /// Whether only the domains occur (`%{d}`, `%{o}`): what it comes to does not
    /// depend on the message's client or local part.
    pub(super) fn depends_on_domains_only(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Expand(expansion) => matches!(expansion.letter, 'd' | 'o'),
            Part::Literal(_) | Part::Escape(_) => true,
        })
    }

    /// The text with what its macros stand for in this evaluation.
    pub(super) fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Escape(text) => out.push_str(text),
                Part::Expand(expansion) => out.push_str(&expansion.expand(values)),
            }
        }
        out
    }

    /// Writes a domain name out: no trailing dot, and labels dropped on the left
    /// until it is short enough (RFC 7208 §7.3).
    pub(super) fn expand_domain(&self, values: &Values<'_>) -> String {
        let expanded = self.expand(values);
        let mut name = expanded.strip_suffix('.').unwrap_or(&expanded);
        while name.len() > MAX_NAME {
            match name.split_once('.') {
                Some((_, rest)) => name = rest,
                None => break,
            }
        }
        name.to_owned()
    }
}

impl Expansion {
    // The text after "%{", up to and with "}".
    fn parse(characters: &mut std::str::Chars<'_>, place: Place) -> Result<Self, TermError> {
        let rest = characters.as_str();
        let (inside, after) = rest.split_once('}').ok_or(TermError::MacroNotClosed)?;
        *characters = after.chars();
        let mut inside = inside.chars();
        let written = inside.next().ok_or(TermError::MacroEmpty)?;
        let letter = written.to_ascii_lowercase();
        match letter {
            's' | 'l' | 'o' | 'd' | 'i' | 'p' | 'v' | 'h' => {}
            'c' | 'r' | 't' if place == Place::Explanation => {}
            'c' | 'r' | 't' => return Err(TermError::ExplanationMacro(written)),
            _ => return Err(TermError::UnknownMacro(written)),
        }
        let (digits, mut rest) = split_digits(inside.as_str());
        let keep = match digits {
            "" => None,
            digits => match digits.parse::<usize>() {
                Ok(0) => return Err(TermError::ZeroParts),
                // More parts than fit a number is as good as all of them.
                other => Some(other.unwrap_or(usize::MAX)),
            },
        };
        let reverse = match rest.strip_prefix(['r', 'R']) {
            Some(after) => {
                rest = after;
                true
            }
            None => false,
        };
        if !rest.chars().all(|c| ".-+,/_=".contains(c)) {
            return Err(TermError::BadDelimiters(rest.to_owned()));
        }
        let delimiters = if rest.is_empty() { vec!['.'] } else { rest.chars().collect() };
        Ok(Self { letter, url_escaped: written.is_ascii_uppercase(), keep, reverse, delimiters })
    }

    fn expand(&self, values: &Values<'_>) -> String {
        let value = self.value(values);
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(&c)).collect();
        if self.reverse {
            parts.reverse();
        }
        let skip = self.keep.map_or(0, |keep| parts.len().saturating_sub(keep));
        let joined = parts.into_iter().skip(skip).collect::<Vec<_>>().join(".");
        if self.url_escaped { url_escape(&joined) } else { joined }
    }

    fn value(&self, values: &Values<'_>) -> String {
        match self.letter {
            's' => format!("{}@{}", values.local_part, values.sender_domain),
            'l' => values.local_part.to_owned(),
            'o' => values.sender_domain.to_owned(),
            'd' => values.domain.to_owned(),
            'i' => dotted(values.ip),
            'p' => values.validated.to_owned(),
            'v' => if values.ip.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            'h' => values.helo.to_owned(),
            'c' => values.ip.to_string(),
            'r' => values.receiver.to_owned(),
            _ => values.timestamp.to_string(),
        }
    }
}

/// The address as `%{i}` writes it: IPv4 as usual, IPv6 as dot-separated nibbles.
pub(super) fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let mut out = String::with_capacity(63);
            for octet in v6.octets() {
                if !out.is_empty() {
                    out.push('.');
                }
                // Writing to a String cannot fail.
                let _ = write!(out, "{:x}.{:x}", octet >> 4, octet & 15);
            }
            out
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(end).unwrap_or(("", text))
}

fn url_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

// domain-end = ( "." toplabel [ "." ] ) / macro-expand
fn ends_in_top_label(literal: &str) -> bool {
    let literal = literal.strip_suffix('.').unwrap_or(literal);
    let Some((_, label)) = literal.rsplit_once('.') else { return false };
    let letters_digits_hyphens = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let numeric = label.bytes().all(|b| b.is_ascii_digit());
    letters_digits_hyphens && !numeric && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::reverse_name;

    // The examples of RFC 7208 §7.4.
    fn values(ip: &str) -> Values<'static> {
        Values {
            local_part: "strong-bad",
            sender_domain: "email.example.com",
            domain: "email.example.com",
            ip: ip.parse().unwrap(),
            helo: "mail.example.com",
            receiver: "unknown",
            timestamp: 0,
            validated: "mx.example.org",
        }
    }

    #[test]
    fn macros_expand_as_in_the_rfc() {
        for (written, expanded) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d3}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ] {
            let parsed = MacroString::parse(written, Place::Record).unwrap();
            assert_eq!(parsed.expand(&values("192.0.2.3")), expanded, "{written}");
        }
        let parsed = MacroString::parse("%{ir}.%{v}._spf.%{d2}", Place::Record).unwrap();
        assert_eq!(
            parsed.expand(&values("2001:db8::cb01")),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (written, part_of_the_error) in [
            ("%", "must be followed"),
            ("%(ir)", "must be followed"),
            ("%{d", "closing }"),
            ("%{}", "empty"),
            ("%{x}", "not a macro"),
            ("%{c}", "explanation only"),
            ("%{d0}", "zero parts"),
            ("%{dr!}", "delimiters"),
        ] {
            let error = MacroString::parse(written, Place::Record).unwrap_err().to_string();
            assert!(error.contains(part_of_the_error), "{written}: {error}");
        }
    }

    #[test]
    fn reverse_names() {
        assert_eq!(reverse_name("192.0.2.3".parse().unwrap()), "3.2.0.192.in-addr.arpa");
        assert!(reverse_name("2001:db8::1".parse().unwrap()).ends_with("8.b.d.0.1.0.0.2.ip6.arpa"));
    }
}
