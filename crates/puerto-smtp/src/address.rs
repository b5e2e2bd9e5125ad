//! Mailbox addresses and paths (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! An [`Address`] exists only if it is valid, so nothing behind the parser has to
//! check one again. Domains are kept in lower case, local parts as they were
//! written: only the final host may interpret a local part (RFC 5321 §2.3.11),
//! so `user%other@here` and `other!user@here` are plain local parts here and are
//! never routed on.
//!
//! One liberty is taken, as by every large server: dots may stand where the grammar
//! wants them quoted (`x..y@`, `.x@`, `x.@`), since mailboxes of that form exist and
//! send mail. They are written with the quotes.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART, MAX_PATH};

/// Why a text is not an address. Its `Display` form is fit for a reply's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressError {
    /// Nothing stands where an address should.
    Empty,
    /// There is no `@` outside quotes.
    MissingDomain,
    /// The part before the `@` is empty or has a character that needs quoting.
    BadLocalPart,
    /// The part after the `@` is neither a host name nor an address literal.
    BadDomain,
    /// The text between `[` and `]` is not an IPv4 or IPv6 address.
    BadLiteral,
    /// A part or the whole is longer than [`MAX_PATH`] allows.
    TooLong,
    /// Angle brackets do not match.
    BadBrackets,
    /// A source route stands before the address and is malformed.
    BadRoute,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "address is empty",
            Self::MissingDomain => "address has no domain: write user@domain",
            Self::BadLocalPart => {
                "the part before @ is malformed: quote unusual characters, as in \"a b\"@domain"
            }
            Self::BadDomain => "the part after @ is not a domain name",
            Self::BadLiteral => {
                "address literal is malformed: write [192.0.2.1] or [IPv6:2001:db8::1]"
            }
            Self::TooLong => "address is too long: 900 octets before @, 255 after it",
            Self::BadBrackets => "angle brackets do not match: write <user@domain>",
            Self::BadRoute => "source route is malformed: leave it out",
        })
    }
}

impl std::error::Error for AddressError {}

/// The part of an address before the `@`, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Reads a local part as it is written: a dot-string, with dots anywhere, or a
    /// quoted string (RFC 5321 §4.1.2), with UTF-8 outside ASCII allowed (RFC 6531
    /// §3.3).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_LOCAL_PART {
            return Err(AddressError::TooLong);
        }
        match text.strip_prefix('"') {
            Some(rest) => Self::parse_quoted(rest),
            None if needs_no_quotes_but_for_dots(text) => Ok(Self(text.into())),
            None => Err(AddressError::BadLocalPart),
        }
    }

    fn parse_quoted(rest: &str) -> Result<Self, AddressError> {
        let inner = rest.strip_suffix('"').ok_or(AddressError::BadLocalPart)?;
        let mut value = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '\\' => characters.next().ok_or(AddressError::BadLocalPart)?,
                '"' => return Err(AddressError::BadLocalPart),
                other => other,
            };
            if literal.is_control() {
                return Err(AddressError::BadLocalPart);
            }
            value.push(literal);
        }
        Ok(Self(value.into()))
    }

    /// Makes a local part of any text without control characters, such as a
    /// system user's name; it is quoted when written if it must be.
    pub fn from_unquoted(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_LOCAL_PART {
            return Err(AddressError::TooLong);
        }
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(AddressError::BadLocalPart);
        }
        Ok(Self(text.into()))
    }

    /// Whether it is written with quotes: it is no dot-string (RFC 5321 §4.1.2).
    pub fn needs_quotes(&self) -> bool {
        !is_dot_string(&self.0)
    }

    /// The local part without quotes, as a mailbox is named.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.needs_quotes() {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

fn is_dot_string(text: &str) -> bool {
    let mut is_after_dot = true;
    text.chars().all(|character| {
        let is_dot = character == '.';
        let fits = if is_dot { !is_after_dot } else { is_atext(character) };
        is_after_dot = is_dot;
        fits
    }) && !is_after_dot
}

fn needs_no_quotes_but_for_dots(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character == '.' || is_atext(character))
}

fn is_atext(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        other if other.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(other),
        other => !other.is_control(),
    }
}

/// The part of an address after the `@`: a host name or an address literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// A domain name in lower case, without a trailing dot. It may hold U-labels.
    Name(Box<str>),
    /// An address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
    Literal(IpAddr),
}

impl Domain {
    /// Reads a domain name or a bracketed address literal. A single trailing dot,
    /// which DNS tools leave behind, is dropped.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(AddressError::BadLiteral)?;
            return parse_literal(inner).map(Self::Literal);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_DOMAIN {
            return Err(AddressError::TooLong);
        }
        let is_lower = is_name_in_lower_case(name).ok_or(AddressError::BadDomain)?;
        let name = if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_lowercase()) };
        Ok(Self::Name(name.into()))
    }

    /// The name, or `None` for an address literal.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Literal(_) => None,
        }
    }

    /// Whether every character is ASCII, so that no SMTPUTF8 is needed for it.
    pub fn is_ascii(&self) -> bool {
        self.name().is_none_or(str::is_ascii)
    }
}

fn parse_literal(inner: &str) -> Result<IpAddr, AddressError> {
    let tag = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    match (tag, inner.get(5..)) {
        (Some(_), Some(v6)) => v6.parse::<Ipv6Addr>().map(IpAddr::V6),
        _ => inner.parse::<Ipv4Addr>().map(IpAddr::V4),
    }
    .map_err(|_| AddressError::BadLiteral)
}

// `None` if it is no name. Each message has its domains read some twenty times, so that an
// octet is looked at once.
fn is_name_in_lower_case(name: &str) -> Option<bool> {
    let (mut is_lower, mut is_ascii) = (true, true);
    let (mut length, mut is_number, mut last) = (0usize, true, b'.');
    for octet in name.bytes().chain([b'.']) {
        match octet {
            b'.' => {
                if !(1..=MAX_LABEL).contains(&length) || last == b'-' {
                    return None;
                }
            }
            b'-' if length == 0 => return None,
            b'a'..=b'z' | b'-' | b'_' => is_number = false,
            b'A'..=b'Z' => (is_number, is_lower) = (false, false),
            b'0'..=b'9' if length == 0 => is_number = true,
            b'0'..=b'9' => {}
            _ if octet.is_ascii() => return None,
            _ => (is_number, is_lower, is_ascii) = (false, false, false),
        }
        length = if octet == b'.' { 0 } else { length + 1 };
        last = octet;
    }
    let is_letter = |c: char| c.is_ascii() || c.is_alphanumeric() || is_joiner_or_mark(c);
    // A name that ends with a number would be taken for an address by every resolver.
    (!is_number && (is_ascii || name.chars().all(is_letter))).then_some(is_lower)
}

// Combining marks and joiners occur inside U-labels of several scripts (RFC 5892);
// whether a particular one is allowed is for the IDNA library to say at look-up.
fn is_joiner_or_mark(character: char) -> bool {
    !character.is_ascii()
        && !character.is_whitespace()
        && !character.is_control()
        && !matches!(character, '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{ff20}')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Literal(IpAddr::V4(v4)) => write!(f, "[{v4}]"),
            Self::Literal(IpAddr::V6(v6)) => write!(f, "[IPv6:{v6}]"),
        }
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// A mailbox: local part and domain. Two are equal when their local parts are
/// the same octets and their domains the same name without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local_part: LocalPart,
    domain: Domain,
}

impl Address {
    /// Joins two valid parts.
    pub fn new(local_part: LocalPart, domain: Domain) -> Self {
        Self { local_part, domain }
    }

    /// Reads `local@domain`, without angle brackets.
    ///
    /// The domain begins after the last `@` that stands outside quotes, so that a
    /// second one can never move the relay decision to another domain.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > MAX_PATH {
            return Err(AddressError::TooLong);
        }
        let (local, domain) = split_at_sign(text).ok_or(AddressError::MissingDomain)?;
        Ok(Self { local_part: LocalPart::parse(local)?, domain: Domain::parse(domain)? })
    }

    /// Reads a path in angle brackets, `<user@domain>`; the empty path is refused
    /// here (see [`ReversePath::parse`]). A source route is accepted and dropped
    /// (RFC 5321 §4.1.1.3 and appendix C).
    pub fn parse_path(text: &str) -> Result<Self, AddressError> {
        let inner = strip_brackets(text)?;
        Self::parse(strip_source_route(inner)?)
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &LocalPart {
        &self.local_part
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the address can be sent without SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.local_part.as_str().is_ascii() && self.domain.is_ascii()
    }

    /// The same mailbox at another spelling of its domain, such as its A-labels.
    pub fn with_domain(&self, domain: Domain) -> Self {
        Self { local_part: self.local_part.clone(), domain }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.local_part.fmt(f)?;
        f.write_str("@")?;
        self.domain.fmt(f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// The reverse-path of an envelope: where failures are reported (RFC 5321 §4.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReversePath {
    /// `<>`: nobody is told; what notifications themselves are sent with.
    Null,
    /// The mailbox that is told.
    Address(Address),
}

impl ReversePath {
    /// Reads `<>` or `<user@domain>`, with a source route dropped.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match strip_brackets(text)? {
            "" => Ok(Self::Null),
            inner => Address::parse(strip_source_route(inner)?).map(Self::Address),
        }
    }

    /// The mailbox, or `None` for the null reverse-path.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Whether this is `<>`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl From<Address> for ReversePath {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

/// Writes the path without angle brackets; the null reverse-path is empty.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().map_or(Ok(()), |address| address.fmt(f))
    }
}

fn strip_brackets(text: &str) -> Result<&str, AddressError> {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).ok_or(AddressError::BadBrackets)
}

// A-d-l = "@" Domain *( "," "@" Domain ) ":" (RFC 5321 §4.1.2)
fn strip_source_route(path: &str) -> Result<&str, AddressError> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = split_route(path).ok_or(AddressError::BadRoute)?;
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(AddressError::BadRoute)?;
        Domain::parse(domain).map_err(|_| AddressError::BadRoute)?;
    }
    Ok(mailbox)
}

// The colon that ends the route is the first outside brackets: [IPv6:…] holds others.
fn split_route(path: &str) -> Option<(&str, &str)> {
    let mut in_literal = false;
    for (index, byte) in path.bytes().enumerate() {
        match byte {
            b'[' => in_literal = true,
            b']' => in_literal = false,
            b':' if !in_literal => return Some((path.get(..index)?, path.get(index + 1..)?)),
            _ => {}
        }
    }
    None
}

fn split_at_sign(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    let mut at_sign = None;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'@' if !quoted => at_sign = Some(index),
            _ => {}
        }
    }
    let index = at_sign?;
    Some((text.get(..index)?, text.get(index + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for (written, canonical) in [
            ("user@example.com", "user@example.com"),
            ("User@EXAMPLE.com.", "User@example.com"),
            ("\"a b\"@example.com", "\"a b\"@example.com"),
            ("\"plain\"@example.com", "plain@example.com"),
            ("\"a@b\"@example.com", "\"a@b\"@example.com"),
            ("\"a\\\"b\"@example.com", "\"a\\\"b\"@example.com"),
            ("\"\"@example.com", "\"\"@example.com"),
            ("user%other@example.com", "user%other@example.com"),
            ("user@[192.0.2.1]", "user@[192.0.2.1]"),
            ("user@[ipv6:2001:DB8::1]", "user@[IPv6:2001:db8::1]"),
            ("josé@correo.españa.example", "josé@correo.españa.example"),
            ("a+tag=x@a_b.example", "a+tag=x@a_b.example"),
            ("x..y@example.com", "\"x..y\"@example.com"),
            (".x@example.com", "\".x\"@example.com"),
            ("x.@example.com", "\"x.\"@example.com"),
            ("\"x..y\"@example.com", "\"x..y\"@example.com"),
        ] {
            assert_eq!(Address::parse(written).unwrap().to_string(), canonical, "{written}");
        }
    }

    #[test]
    fn local_parts_of_large_senders_are_taken() {
        let verp = format!("bounces+{}=example.net", "x".repeat(200));
        let address = Address::parse(&format!("{verp}@mail.example")).unwrap();
        assert_eq!(address.local_part().as_str(), verp);
        assert_eq!(Address::parse(&address.to_string()), Ok(address));
        for length in [64, 65, MAX_LOCAL_PART] {
            assert!(Address::parse(&format!("{}@example.com", "x".repeat(length))).is_ok());
        }
        let endless = format!("{}@example.com", "x".repeat(MAX_LOCAL_PART + 1));
        assert_eq!(Address::parse(&endless), Err(AddressError::TooLong));
    }

    #[test]
    fn what_is_not_an_address_says_why() {
        use AddressError::*;
        for (written, why) in [
            ("", Empty),
            ("user", MissingDomain),
            ("user@", BadDomain),
            ("@example.com", BadLocalPart),
            ("a b@example.com", BadLocalPart),
            ("user@a@example.com", BadLocalPart),
            ("user@exa mple.com", BadDomain),
            ("user@example.com:25", BadDomain),
            ("user@-a.example", BadDomain),
            ("user@192.0.2.1", BadDomain),
            ("user@[192.0.2.999]", BadLiteral),
            ("user@[x:1]", BadLiteral),
            ("user@example.com(comment)", BadDomain),
            ("\"a\0b\"@example.com", BadLocalPart),
        ] {
            assert_eq!(Address::parse(written), Err(why), "{written}");
        }
    }

    #[test]
    fn a_source_route_is_dropped_and_never_followed() {
        let path = Address::parse_path("<@a.example,@[IPv6:::1]:user@example.com>").unwrap();
        assert_eq!(path.to_string(), "user@example.com");
        assert_eq!(Address::parse_path("<@a.example>"), Err(AddressError::BadRoute));
        assert_eq!(Address::parse_path("<@:user@example.com>"), Err(AddressError::BadRoute));
    }

    #[test]
    fn the_null_reverse_path_is_a_value_of_its_own() {
        assert_eq!(ReversePath::parse("<>").unwrap(), ReversePath::Null);
        assert_eq!(ReversePath::parse("<a@b.example>").unwrap().to_string(), "a@b.example");
        assert_eq!(ReversePath::parse("a@b.example"), Err(AddressError::BadBrackets));
    }
}
