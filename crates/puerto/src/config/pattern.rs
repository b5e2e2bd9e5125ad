//! Addresses that somebody may send from, as the configuration and the accounts name them.

use std::borrow::Cow;
use std::fmt;

use puerto_mail::idn::name_in_ascii;
use puerto_smtp::{Address, Domain, LocalPart};

use super::sender;
use crate::lang::{Said, said};

/// Addresses: one, some, those of a domain, or all. Two are equal if they mean the same.
#[derive(Debug, Clone)]
pub struct AddressPattern {
    written: String,
    kind: Kind,
}

impl PartialEq for AddressPattern {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for AddressPattern {}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Any,
    Ours,
    /// The local part in small letters; `*` is any text.
    Of(String, DomainPattern),
}

/// Domains: one, those below one, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `*`.
    Any,
    /// `*.example.net`, in A-labels.
    Below(String),
    /// One, in A-labels.
    Is(String),
}

impl AddressPattern {
    /// Reads `ana@example.com`, `sales-*@example.com`, `@example.com` or `*@example.com`,
    /// `@*.example.com`, `ours`, or `*`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        let kind = match text {
            "*" => Kind::Any,
            "ours" => Kind::Ours,
            _ => {
                let not_one = || {
                    said!(
                        "`{text}` names no addresses: write `user@example.com`, `@example.com` \
                         for a whole domain, `ours` for all of our domains, or `*` for any",
                        "`{text}` no nombra direcciones: escriba `usuario@example.com`, \
                         `@example.com` para un dominio entero, `ours` para todos nuestros \
                         dominios o `*` para cualquiera";
                        text = text
                    )
                };
                let (local_part, domain) = text.rsplit_once('@').ok_or_else(not_one)?;
                let local_part = match local_part {
                    "" | "*" => "*".to_owned(),
                    other => folded(&LocalPart::parse(other).map_err(|_| not_one())?),
                };
                Kind::Of(local_part, DomainPattern::parse(domain)?)
            }
        };
        Ok(Self { written: text.to_owned(), kind })
    }

    /// Whether an address is meant. Case does not count in it, nor what stands behind a `+`.
    pub fn fits(&self, address: &Address, is_ours: impl Fn(&Domain) -> bool) -> bool {
        match &self.kind {
            Kind::Any => true,
            Kind::Ours => is_ours(address.domain()),
            Kind::Of(local_part, domain) => {
                domain.fits(address.domain()) && same_user(local_part, address.local_part())
            }
        }
    }

    /// The one address that it is, if it is one.
    pub fn only(&self) -> Option<Address> {
        match &self.kind {
            Kind::Of(local_part, DomainPattern::Is(domain)) if !local_part.contains('*') => {
                // As it is written, but in A-labels it can stand in any message.
                let written = Address::parse(&self.written).ok()?;
                Some(Address::new(written.local_part().clone(), Domain::parse(domain).ok()?))
            }
            _ => None,
        }
    }

    /// Who answers for a domain that is meant whole (RFC 5321 §4.5.1).
    pub fn postmaster(&self) -> Option<Address> {
        match &self.kind {
            Kind::Of(local_part, DomainPattern::Is(domain)) if local_part == "*" => {
                Address::parse(&format!("postmaster@{domain}")).ok()
            }
            _ => None,
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl DomainPattern {
    /// Reads `example.net`, `*.example.net` or `*`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let domain = Domain::parse(name).map_err(|_| sender::not_a_domain(text))?;
        let name = in_ascii(&domain).into_owned();
        Ok(if below { Self::Below(name) } else { Self::Is(name) })
    }

    /// Whether a domain is meant.
    pub fn fits(&self, domain: &Domain) -> bool {
        match self {
            Self::Any => true,
            Self::Is(name) => in_ascii(domain) == *name,
            Self::Below(name) => is_below(&in_ascii(domain), name),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Is(name) => f.write_str(name),
        }
    }
}

/// A domain's name in small A-labels, by which domains are compared.
pub fn in_ascii(domain: &Domain) -> Cow<'_, str> {
    match domain.name() {
        Some(name) => name_in_ascii(name),
        None => Cow::Owned(domain.to_string()),
    }
}

// Both in A-labels.
fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
}

/// A local part as it is compared with others: nobody has two users whose names differ in
/// case alone.
pub fn folded(local_part: &LocalPart) -> String {
    local_part.as_str().to_lowercase()
}

/// Whether a local part is this user's: with an extension behind a `+`, too.
pub fn same_user(user: &str, local_part: &LocalPart) -> bool {
    let name = folded(local_part);
    if user.contains('*') {
        return fits(user, &name);
    }
    name.strip_prefix(user).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

// `*` is any text. Whatever stands first must begin it, and last end it; between them the
// earliest place is as good as any.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_addresses_however_they_are_written() {
        for (pattern, address, expected) in [
            ("ana@example.com", "ana@example.com", true),
            ("ana@example.com", "ANA@Example.COM", true),
            ("ana@example.com", "ana+shop@example.com", true),
            ("ana@example.com", "\"ana\"@example.com", true),
            ("\"ana\"@example.com", "ana@example.com", true),
            ("\"a b\"@example.com", "\"a b\"@example.com", true),
            ("ana@example.com", "anabel@example.com", false),
            ("ana@example.com", "ana-x@example.com", false),
            ("ana@example.com", "ana@sub.example.com", false),
            ("ana+shop@example.com", "ana@example.com", false),
            ("@example.com", "anyone@example.com", true),
            ("*@example.com", "anyone@example.com", true),
            ("@example.com", "anyone@notexample.com", false),
            ("@*.example.com", "a@b.example.com", true),
            ("@*.example.com", "a@example.com", false),
            ("@*.example.com", "a@notexample.com", false),
            ("sales-*@example.com", "sales-es@example.com", true),
            ("sales-*@example.com", "sales@example.com", false),
            ("*-list@*", "x-list@anywhere.example", true),
            ("a*b*c@example.com", "aXbXbXc@example.com", true),
            ("a*b*c@example.com", "ac@example.com", false),
            ("@españa.example", "a@xn--espaa-rta.example", true),
            ("@xn--espaa-rta.example", "a@ESPAÑA.example", true),
            ("josé@example.com", "JOSÉ@example.com", true),
            ("@[192.0.2.1]", "a@[192.0.2.1]", true),
            ("*", "a@b.example", true),
            ("ours", "a@ours.example", true),
            ("ours", "a@b.example", false),
        ] {
            let is_ours = |domain: &Domain| domain.to_string() == "ours.example";
            let read = AddressPattern::parse(pattern).unwrap();
            let address = Address::parse(address).unwrap();
            assert_eq!(read.fits(&address, is_ours), expected, "{pattern} {address}");
            assert_eq!(read.to_string(), pattern);
        }
        for (pattern, only, postmaster) in [
            ("Ana@España.example", Some("Ana@xn--espaa-rta.example"), None),
            ("@España.example", None, Some("postmaster@xn--espaa-rta.example")),
            ("sales-*@example.com", None, None),
        ] {
            let read = AddressPattern::parse(pattern).unwrap();
            let text = |address: Option<Address>| address.map(|address| address.to_string());
            assert_eq!(text(read.only()).as_deref(), only, "{pattern}");
            assert_eq!(text(read.postmaster()).as_deref(), postmaster, "{pattern}");
        }
        for text in ["", "ana", "ana@", "a b@example.com", "@-x", "@example.com, b@example.com"] {
            assert!(AddressPattern::parse(text).is_err(), "{text}");
        }
    }
}
