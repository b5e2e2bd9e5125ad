//! One term as it was meant: the names and values that people write in the place of
//! those that RFC 7208 §5 defines.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use crate::as_typed::distance;

/// What a name stands for, rightly written or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ip4` and `ip6`: the address says which.
    Address,
    All,
    Ptr,
    /// Names that take a domain, as they are to be written, with what follows the name.
    Domain(&'static str),
}

/// Whether a term can be read as it stands.
pub(super) fn is_valid(term: &str) -> bool {
    crate::spf::check_syntax(format!("v=spf1 {term}").as_bytes()).is_ok()
}

/// Whether a term is right and means what its name says: `include=` and `ip4=` can be
/// read, as modifiers that nobody knows, and let nobody pass.
pub(super) fn is_sound(term: &str) -> bool {
    let mistaken = |name: &str| {
        name.eq_ignore_ascii_case("v")
            || !matches!(kind(name), None | Some(Kind::Domain("redirect=" | "exp=")))
    };
    let (_, bare) = qualified(term);
    let name = bare.split_once('=').map(|(name, _)| name).filter(|name| !name.contains([':', '/']));
    let value = bare.find([':', '=']).and_then(|end| bare.get(end + 1..)).unwrap_or_default();
    let is_doubled = value.starts_with([':', '=']) && !value.starts_with("::");
    // RFC 7208 §7.1 lets anything stand in a name; in the DNS there is nothing like it.
    let is_no_name = value.contains("..") || without_prefix(value) != value;
    is_valid(term) && !name.is_some_and(mistaken) && !is_doubled && !is_no_name
}

// `https://name`, `@name`, `spf:name`, `include:name`
fn without_prefix(value: &str) -> &str {
    let known = ["http://", "https://", "@", "spf:", "txt:", "dns:", "include:", "a:", "mx:"];
    let prefix = |value: &str| {
        known.iter().find_map(|known| {
            let start = value.get(..known.len())?;
            let is_address = value.parse::<IpAddr>().is_ok();
            (start.eq_ignore_ascii_case(known) && !is_address).then_some(known.len())
        })
    };
    let mut value = value;
    while let Some(rest) = prefix(value).and_then(|length| value.get(length..)) {
        value = rest;
    }
    value
}

/// The term that was meant; `None` if it is not clear.
pub(super) fn meant(word: &str) -> Option<String> {
    if is_sound(word) {
        return Some(word.to_owned());
    }
    let (qualifier, bare) = qualified(word);
    let term = by_name(bare, !qualifier.is_empty()).or_else(|| address(bare))?;
    let mut term = format!("{qualifier}{term}");
    if qualifier.is_empty() && ["all-", "all~"].iter().any(|end| bare.eq_ignore_ascii_case(end)) {
        term = format!("{}all", bare.get(3..)?);
    }
    is_sound(&term).then_some(term)
}

/// The qualifier and the rest; one that stands there twice counts once.
pub(super) fn qualified(word: &str) -> (&str, &str) {
    let Some(first) = word.chars().next().filter(|first| "+-~?".contains(*first)) else {
        return ("", word);
    };
    let rest = word.trim_start_matches(first).trim_start_matches([':', '=']);
    (word.get(..1).unwrap_or_default(), rest)
}

/// What a name stands for, also a misspelt one.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        "ip" | "ipaddress" | "address" => Kind::Address,
        _ if name.len() > 2 && ["ip4", "ip6"].iter().any(|right| distance(&name, right) < 2) => {
            Kind::Address
        }
        "all" | "al" | "alll" => Kind::All,
        "ptr" => Kind::Ptr,
        "a" | "aaaa" | "host" => Kind::Domain("a:"),
        "mx" => Kind::Domain("mx:"),
        "exp" => Kind::Domain("exp="),
        _ => {
            let known = [("include", "include:"), ("exists", "exists:"), ("redirect", "redirect=")];
            let close = known.into_iter().find(|(right, _)| {
                let within = if right.len() > 6 { 2 } else { 1 };
                name.len() > 3 && distance(&name, right) <= within
            });
            Kind::Domain(close?.1)
        }
    })
}

fn by_name(bare: &str, is_qualified: bool) -> Option<String> {
    // `ip4.192.0.2.1`, `ip4/192.0.2.1`
    if let Some(at) = bare.find(['.', '/']).filter(|at| *at > 2)
        && kind(bare.get(..at)?) == Some(Kind::Address)
    {
        return address(bare.get(at + 1..)?);
    }
    let end = bare.find([':', '=']);
    let (name, value) = match end {
        Some(end) => (bare.get(..end)?, bare.get(end + 1..)?),
        None => (bare.trim_end_matches(['.', '-', '~', '/']), ""),
    };
    let value = value.strip_prefix([':', '=']).unwrap_or(value);
    match kind(name)? {
        // Without its qualifier `al` may be anything.
        Kind::All if value.is_empty() && (is_qualified || name.len() == 3) => {
            Some("all".to_owned())
        }
        Kind::Ptr if value.is_empty() => Some("ptr".to_owned()),
        Kind::Address => address(value).or_else(|| Some(format!("a:{}", host(value)?))),
        Kind::Domain(right @ ("a:" | "mx:")) if value.is_empty() => {
            let is_clear =
                end.is_some() || ["a", "mx"].iter().any(|a| name.eq_ignore_ascii_case(a));
            is_clear.then(|| right.trim_end_matches(':').to_owned())
        }
        Kind::Domain(right) => match address(value) {
            Some(term) if matches!(right, "a:" | "mx:" | "include:") => Some(term),
            _ => Some(format!("{right}{}", domain(value)?)),
        },
        Kind::All | Kind::Ptr => None,
    }
}

/// `ip4:` or `ip6:` for what is an address or a network; a netmask is counted.
fn address(value: &str) -> Option<String> {
    let (address, length) = match value.split_once('/') {
        Some((address, length)) => (address, Some(length.trim_end_matches('/'))),
        None => (value, None),
    };
    let address = address.trim_start_matches('[').trim_end_matches([']', '.']);
    // A port, which no mail comes from.
    let with_port = || address.parse::<SocketAddrV4>().ok().map(|address| (*address.ip()).into());
    let address: IpAddr = address.parse().ok().or_else(with_port)?;
    let length = match length.filter(|length| !length.is_empty()) {
        Some(mask) if mask.contains('.') => {
            let mask: u32 = mask.parse::<Ipv4Addr>().ok()?.into();
            (mask.leading_ones() + mask.trailing_zeros() == 32).then_some(())?;
            format!("/{}", mask.leading_ones())
        }
        Some(length) => format!("/{length}"),
        None => String::new(),
    };
    let name = if address.is_ipv4() { "ip4" } else { "ip6" };
    Some(format!("{name}:{address}{length}"))
}

// A name out of a link, or with letters that the DNS has in another form.
fn domain(value: &str) -> Option<String> {
    let value = without_prefix(value).trim_end_matches('/');
    if value.is_ascii() { Some(value.to_owned()) } else { idna::domain_to_ascii(value).ok() }
}

/// A host's name, and nothing that only looks like one: its top label has a letter.
pub(super) fn host(value: &str) -> Option<String> {
    let name = domain(value)?;
    let letters = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let top = name.trim_end_matches('.').rsplit_once('.')?.1;
    let is_host = name.bytes().all(letters) && top.bytes().any(|octet| octet.is_ascii_alphabetic());
    is_host.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_written_as_it_was_meant() {
        for (written, right) in [
            ("ipv4:192.0.2.1", "ip4:192.0.2.1"),
            ("IPv4:192.0.2.0/24", "ip4:192.0.2.0/24"),
            ("ip:192.0.2.1", "ip4:192.0.2.1"),
            ("ip:2001:db8::1", "ip6:2001:db8::1"),
            ("ipv6:2001:db8::/32", "ip6:2001:db8::/32"),
            ("ip4:2001:db8::1", "ip6:2001:db8::1"),
            ("ip6:192.0.2.1", "ip4:192.0.2.1"),
            ("ip6:[2001:db8::1]", "ip6:2001:db8::1"),
            ("192.0.2.1", "ip4:192.0.2.1"),
            ("+192.0.2.0/24", "+ip4:192.0.2.0/24"),
            ("2001:db8::1", "ip6:2001:db8::1"),
            ("ip4:192.0.2.0/255.255.255.0", "ip4:192.0.2.0/24"),
            ("ip4:192.0.2.1/", "ip4:192.0.2.1"),
            ("ip4=192.0.2.1", "ip4:192.0.2.1"),
            ("ip4:=192.0.2.1", "ip4:192.0.2.1"),
            ("ip4:mail.example.com", "a:mail.example.com"),
            ("ip:mail.example.com", "a:mail.example.com"),
            ("a:192.0.2.1", "ip4:192.0.2.1"),
            ("?a:192.0.2.1", "?ip4:192.0.2.1"),
            ("mx:192.0.2.1", "ip4:192.0.2.1"),
            ("include:192.0.2.1", "ip4:192.0.2.1"),
            ("include=_spf.example.net", "include:_spf.example.net"),
            ("includes:_spf.example.net", "include:_spf.example.net"),
            ("inlcude:_spf.example.net", "include:_spf.example.net"),
            ("incude:_spf.example.net", "include:_spf.example.net"),
            ("include::_spf.example.net", "include:_spf.example.net"),
            ("include:https://_spf.example.net/", "include:_spf.example.net"),
            ("include:_spf.españa.example", "include:_spf.xn--espaa-rta.example"),
            ("exist:%{i}.example.net", "exists:%{i}.example.net"),
            ("redirect:_spf.example.net", "redirect=_spf.example.net"),
            ("exp:why.example.net", "exp=why.example.net"),
            ("a=mail.example.com", "a:mail.example.com"),
            ("mx=example.com", "mx:example.com"),
            ("mx:", "mx"),
            ("a:", "a"),
            ("all=", "all"),
            ("-all.", "-all"),
            ("--all", "-all"),
            ("~~all", "~all"),
            ("-al", "-all"),
            ("all-", "-all"),
            // Right as they are, modifiers that nobody knows among them.
            ("ra=postmaster", "ra=postmaster"),
            ("op=spf", "op=spf"),
            ("x-made.up=1", "x-made.up=1"),
            ("INCLUDE:_spf.example.net", "INCLUDE:_spf.example.net"),
            ("a:foo:bar/baz.example.com", "a:foo:bar/baz.example.com"),
        ] {
            assert_eq!(meant(written).as_deref(), Some(right), "{written}");
        }
        for unclear in [
            "ip4:192.0.2",
            "ip4:192.0.2.1/33",
            "ip4:192.0.2.300",
            "nonsense",
            "mail.example.com",
            "include",
            "include:",
            "exists:",
            "ip4:",
            "al",
            "-",
            "ip4:192.0.2.0/255.0.255.0",
            "#comment",
            "include:example",
        ] {
            assert_eq!(meant(unclear), None, "{unclear}");
        }
    }
}
