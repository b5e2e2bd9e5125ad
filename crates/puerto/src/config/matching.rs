//! Domains and senders as routes and orders name them.

use puerto_smtp::{Domain, ReversePath};

/// Whether two names are one: U-labels and A-labels of one name are the same name
/// (RFC 5890 §2.3.2.4).
pub fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || (!one.is_ascii() || !other.is_ascii())
            && idna::domain_to_ascii(one)
                .is_ok_and(|one| idna::domain_to_ascii(other).is_ok_and(|other| one == other))
}

/// Whether a pattern means a domain: `*.example.net` stands for example.net and everything
/// below it, `*` for all.
pub fn domain_matches(pattern: &str, domain: &Domain) -> bool {
    // As a zone file has it.
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    let Domain::Name(name) = domain else {
        return pattern == "*" || domain.to_string().eq_ignore_ascii_case(pattern);
    };
    let Some(parent) = pattern.strip_prefix("*.") else {
        return pattern == "*" || same_name(name, pattern);
    };
    let mut rest = Some(&**name);
    while let Some(candidate) = rest {
        if same_name(candidate, parent) {
            return true;
        }
        rest = candidate.split_once('.').map(|(_, above)| above);
    }
    false
}

/// Whether a pattern means a sender: `@example.com` stands for every address of that domain,
/// `<>` for notifications. Local parts are compared as they are written, apart from their
/// case: nobody means two people by it here.
pub fn sender_matches(pattern: &str, reverse_path: &ReversePath) -> bool {
    let Some(address) = reverse_path.address() else { return pattern == "<>" };
    match pattern.strip_prefix('@') {
        Some(domain) => domain_matches(domain, address.domain()),
        None => address.to_string().eq_ignore_ascii_case(pattern),
    }
}
