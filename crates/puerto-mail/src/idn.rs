//! Domains in other scripts, for those who know ASCII alone.

use std::borrow::Cow;

use puerto_smtp::{Address, Domain};

/// The address with its domain in A-labels, if that is all that it needs to be
/// ASCII (RFC 6531 §3.7.1); `None` if it stays as it is.
pub fn in_ascii(address: &Address) -> Option<Address> {
    let name = address.domain().name().filter(|name| !name.is_ascii())?;
    if !address.local_part().as_str().is_ascii() {
        return None;
    }
    let name = idna::domain_to_ascii(name).ok()?;
    Domain::parse(&name).ok().map(|domain| address.with_domain(domain))
}

/// A domain name as the DNS has it: in A-labels and lower case, without a final dot. What
/// has no such form stays, in lower case.
pub fn name_in_ascii(name: &str) -> Cow<'_, str> {
    let name = name.trim_end_matches('.');
    if name.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_lowercase()),
    })
}
