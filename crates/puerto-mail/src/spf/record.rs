//! The syntax of a record (RFC 7208 §4.5, §4.6 and §12). The whole record is read
//! before any of it is evaluated: one mistake anywhere makes it a permanent error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use puerto_smtp::text::harmless;

use super::macros::{MacroString, Place};
use super::{Reason, SpfResult, SyntaxError, TermError};
use crate::dns::{self, Dns, RecordType};

/// A record that was read and found correct.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<Modifier>,
    pub(super) explanation: Option<Modifier>,
}

/// A mechanism with its qualifier, and the term as it is written.
#[derive(Debug, Clone)]
pub(super) struct Directive {
    pub(super) written: String,
    pub(super) qualifier: SpfResult,
    pub(super) mechanism: Mechanism,
}

#[derive(Debug, Clone)]
pub(super) enum Mechanism {
    All,
    Include(MacroString),
    A { domain: Option<MacroString>, prefixes: Prefixes },
    Mx { domain: Option<MacroString>, prefixes: Prefixes },
    Ptr(Option<MacroString>),
    Ip { network: IpAddr, prefix: u8 },
    Exists(MacroString),
}

/// `redirect=` or `exp=`, and the term as it is written.
#[derive(Debug, Clone)]
pub(super) struct Modifier {
    pub(super) written: String,
    pub(super) domain: MacroString,
}

/// How many leading bits of an address have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// The one SPF record of a domain (RFC 7208 §4.4, §4.5).
pub(super) async fn find<D: Dns>(dns: &D, domain: &str) -> Result<Vec<u8>, Reason> {
    if !is_name(domain) {
        return Err(Reason::NoSuchName);
    }
    let records = match dns.lookup(domain, RecordType::Txt).await {
        Ok(answer) => answer.records,
        Err(error) if error.is_absence() => return Err(Reason::NoTexts(error)),
        Err(error) => return Err(Reason::Dns(error)),
    };
    let mut found = records.into_iter().filter_map(|record| match record {
        dns::Record::Txt(text) if is_spf(&text) => Some(text),
        _ => None,
    });
    match (found.next(), found.next()) {
        (Some(text), None) => Ok(text),
        (None, _) => Err(Reason::NoRecord),
        (Some(_), Some(_)) => Err(Reason::SeveralRecords),
    }
}

/// Whether the DNS can be asked for it at all (RFC 1035 §2.3.4).
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

/// Whether a TXT record is an SPF record: `v=spf1`, then a space or the end
/// (RFC 7208 §4.5).
pub(super) fn is_spf(text: &[u8]) -> bool {
    let Some((version, rest)) = text.split_at_checked(6) else { return false };
    version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
}

impl Record {
    /// Reads a record for which [`is_spf`] holds.
    pub(super) fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or(SyntaxError::NotAscii)?;
        let mut record = Self { directives: Vec::new(), redirect: None, explanation: None };
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            record.take_term(term).map_err(|what| SyntaxError::Term(printable(term), what))?;
        }
        Ok(record)
    }

    fn take_term(&mut self, term: &str) -> Result<(), TermError> {
        if !term.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TermError::ControlCharacter);
        }
        if let Some((name, value)) = split_modifier(term) {
            return self.take_modifier(term, name, value);
        }
        let (qualifier, rest) = match term.split_at_checked(1) {
            Some(("+", rest)) => (SpfResult::Pass, rest),
            Some(("-", rest)) => (SpfResult::Fail, rest),
            Some(("~", rest)) => (SpfResult::SoftFail, rest),
            Some(("?", rest)) => (SpfResult::Neutral, rest),
            _ => (SpfResult::Pass, term),
        };
        let mechanism = Mechanism::parse(rest)?;
        self.directives.push(Directive { written: term.to_owned(), qualifier, mechanism });
        Ok(())
    }

    fn take_modifier(&mut self, term: &str, name: &str, value: &str) -> Result<(), TermError> {
        let slot = match name.to_ascii_lowercase().as_str() {
            "redirect" => &mut self.redirect,
            "exp" => &mut self.explanation,
            // An unknown modifier is ignored, but not its syntax (RFC 7208 §6).
            _ => return MacroString::parse(value, Place::Record).map(|_| ()),
        };
        if slot.is_some() {
            return Err(TermError::Twice(name.to_owned()));
        }
        let domain = MacroString::parse_domain(value)?;
        *slot = Some(Modifier { written: term.to_owned(), domain });
        Ok(())
    }
}

impl Mechanism {
    fn parse(text: &str) -> Result<Self, TermError> {
        let end = text.find([':', '/']).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let value = rest.strip_prefix(':');
        match (name.to_ascii_lowercase().as_str(), value) {
            ("all", None) if rest.is_empty() => Ok(Self::All),
            ("all", _) => Err(TermError::AllWithValue),
            ("include", Some(value)) => Ok(Self::Include(MacroString::parse_domain(value)?)),
            ("exists", Some(value)) => Ok(Self::Exists(MacroString::parse_domain(value)?)),
            ("ptr", None) if rest.is_empty() => Ok(Self::Ptr(None)),
            ("ptr", Some(value)) => Ok(Self::Ptr(Some(MacroString::parse_domain(value)?))),
            ("a", _) => {
                let (domain, prefixes) = parse_host(rest)?;
                Ok(Self::A { domain, prefixes })
            }
            ("mx", _) => {
                let (domain, prefixes) = parse_host(rest)?;
                Ok(Self::Mx { domain, prefixes })
            }
            ("ip4", Some(value)) => parse_ip4(value),
            ("ip6", Some(value)) => parse_ip6(value),
            ("include" | "exists" | "ptr" | "ip4" | "ip6", _) => {
                Err(TermError::NoValue(name.to_owned()))
            }
            _ => Err(TermError::UnknownMechanism(name.to_owned())),
        }
    }
}

// name "=" value, where name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
fn split_modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut bytes = name.bytes();
    let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let rest_ok = bytes.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (first_ok && rest_ok).then_some((name, value))
}

// [ ":" domain-spec ] [ "/" ip4-cidr ] [ "//" ip6-cidr ]
fn parse_host(rest: &str) -> Result<(Option<MacroString>, Prefixes), TermError> {
    let mut prefixes = Prefixes { v4: 32, v6: 128 };
    let mut rest = rest;
    if let Some((before, digits)) = split_prefix(rest, "//") {
        prefixes.v6 = parse_prefix(digits, 128)?;
        rest = before;
    }
    if let Some((before, digits)) = split_prefix(rest, "/") {
        prefixes.v4 = parse_prefix(digits, 32)?;
        rest = before;
    }
    match rest.strip_prefix(':') {
        Some(domain) => Ok((Some(MacroString::parse_domain(domain)?), prefixes)),
        None if rest.is_empty() => Ok((None, prefixes)),
        None => Err(TermError::NotAPrefix(rest.to_owned())),
    }
}

// A domain-spec may itself hold slashes: a prefix length is digits up to the end.
fn split_prefix<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let (before, digits) = text.rsplit_once(separator)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some((before, digits))
}

fn parse_prefix(digits: &str, max: u8) -> Result<u8, TermError> {
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    digits
        .parse::<u8>()
        .ok()
        .filter(|&prefix| prefix <= max && !leading_zero)
        .ok_or_else(|| TermError::PrefixTooLong(digits.to_owned(), max))
}

fn parse_ip4(value: &str) -> Result<Mechanism, TermError> {
    let (address, prefix) = match value.split_once('/') {
        Some((address, digits)) => (address, parse_prefix(digits, 32)?),
        None => (value, 32),
    };
    let network: Ipv4Addr = address.parse().map_err(|_| TermError::NotIpv4(address.to_owned()))?;
    Ok(Mechanism::Ip { network: network.into(), prefix })
}

fn parse_ip6(value: &str) -> Result<Mechanism, TermError> {
    let (address, prefix) = match value.split_once('/') {
        Some((address, digits)) => (address, parse_prefix(digits, 128)?),
        None => (value, 128),
    };
    let network: Ipv6Addr = address.parse().map_err(|_| TermError::NotIpv6(address.to_owned()))?;
    Ok(Mechanism::Ip { network: network.into(), prefix })
}

fn printable(term: &str) -> String {
    harmless(&term.chars().take(100).collect::<String>())
}

/// Whether an address lies in a network; never across address families.
pub(super) fn contains(network: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    let agree = |difference: u128, width: u8| {
        prefix == 0 || difference.checked_shr(u32::from(width.saturating_sub(prefix))) == Some(0)
    };
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            agree(u128::from(u32::from(network) ^ u32::from(ip)), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => agree(u128::from(network) ^ u128::from(ip), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_by_prefix() {
        for (network, prefix, ip, expected) in [
            ("192.0.2.0", 24, "192.0.2.255", true),
            ("192.0.2.0", 24, "192.0.3.0", false),
            ("192.0.2.1", 32, "192.0.2.1", true),
            ("192.0.2.1", 0, "8.8.8.8", true),
            ("2001:db8::", 32, "2001:db8:ffff::1", true),
            ("2001:db8::", 128, "2001:db8::1", false),
            ("::", 0, "2001:db8::1", true),
            ("::", 0, "192.0.2.1", false),
        ] {
            let (network, ip) = (network.parse().unwrap(), ip.parse().unwrap());
            assert_eq!(contains(network, prefix, ip), expected, "{network}/{prefix} {ip}");
        }
    }

    #[test]
    fn a_mistake_names_the_term() {
        for (record, part_of_the_error) in [
            ("v=spf1 ip4:1.2.3 -all", "term `ip4:1.2.3`: `1.2.3` is not an IPv4 address"),
            ("v=spf1 a/33", "0 to 32"),
            ("v=spf1 mx//129", "0 to 128"),
            ("v=spf1 includes:example.com", "`includes` is not a mechanism"),
            ("v=spf1 redirect=a.example redirect=b.example", "once only"),
            ("v=spf1 include", "needs a colon"),
            ("v=spf1 a:example", "top-level domain"),
        ] {
            let error = Record::parse(record.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part_of_the_error), "{record}: {error}");
        }
    }
}
