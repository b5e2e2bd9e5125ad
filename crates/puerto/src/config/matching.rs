//! Domains and senders as routes and orders name them.

use puerto_smtp::{Domain, ReversePath};

/// Whether two names are one: U-labels and A-labels of one name are the same name
/// (RFC 5890 §2.3.2.4).
pub fn same_name(one: &str, other: &str) -> bool {
    // As a zone file has it.
    let [one, other] = [one, other].map(|name| name.strip_suffix('.').unwrap_or(name));
    one.eq_ignore_ascii_case(other)
        || (!one.is_ascii() || !other.is_ascii())
            && idna::domain_to_ascii(one)
                .is_ok_and(|one| idna::domain_to_ascii(other).is_ok_and(|other| one == other))
}

/// The ways to spell a domain, or an address or a pattern that ends in one: as it is written,
/// and as the same name in A-labels or in U-labels.
pub fn domain_spellings(written: &str) -> Vec<String> {
    let (before, name) = written.split_at(written.rfind('@').map_or(0, |at| at + 1));
    let other = match name.is_ascii() {
        true if name.to_ascii_lowercase().contains("xn--") => {
            let (name, wrong) = idna::domain_to_unicode(name);
            wrong.is_ok().then_some(name)
        }
        true => None,
        false => idna::domain_to_ascii(name).ok(),
    };
    let other = other.filter(|other| other != name).map(|other| format!("{before}{other}"));
    std::iter::once(written.to_owned()).chain(other).collect()
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

/// The domain of a pattern that means every address in it: `@example.com`, or `*@example.com`.
pub fn whole_domain(pattern: &str) -> Option<&str> {
    pattern.strip_prefix('*').unwrap_or(pattern).strip_prefix('@')
}

/// Whether a pattern means a sender: `@example.com` stands for every address of that domain,
/// `<>` for notifications. Local parts are compared as they are written, apart from their
/// case: nobody means two people by it here.
pub fn sender_matches(pattern: &str, reverse_path: &ReversePath) -> bool {
    let Some(address) = reverse_path.address() else { return pattern == "<>" };
    if let Some(domain) = whole_domain(pattern) {
        return domain_matches(domain, address.domain());
    }
    let written = address.to_string();
    match (written.rsplit_once('@'), pattern.rsplit_once('@')) {
        (Some((name, at)), Some((wanted, domain))) => {
            name.to_lowercase() == wanted.to_lowercase() && same_name(at, domain)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_one_address_or_all_of_a_domain() {
        let from = |text: &str| ReversePath::parse(text).unwrap();
        for (pattern, sender, expected) in [
            ("ana@example.com", "<ANA@Example.com>", true),
            ("josé@example.com", "<JOSÉ@example.com>", true),
            ("ana@ñandú.example", "<ana@xn--and-6ma2c.example>", true),
            ("ana@example.com", "<ana+x@example.com>", false),
            ("@example.com", "<ana@example.com>", true),
            ("*@example.com", "<ana@example.com>", true),
            ("@*.example.com", "<ana@a.example.com>", true),
            ("@example.com", "<ana@a.example.com>", false),
            ("<>", "<>", true),
            ("@example.com", "<>", false),
            ("ana", "<ana@example.com>", false),
        ] {
            assert_eq!(sender_matches(pattern, &from(sender)), expected, "{pattern} {sender}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_both_scripts_and_with_a_final_dot() {
        for (one, other) in [
            ("ñandú.example", "xn--and-6ma2c.example"),
            ("ÑANDÚ.example.", "xn--and-6ma2c.EXAMPLE"),
            ("example.net.", "Example.net"),
        ] {
            assert!(same_name(one, other) && same_name(other, one), "{one} {other}");
        }
        assert!(!same_name("ñandú.example", "nandu.example"));
        for (written, spellings) in [
            ("example.net", vec!["example.net"]),
            ("ñandú.example", vec!["ñandú.example", "xn--and-6ma2c.example"]),
            ("xn--and-6ma2c.example", vec!["xn--and-6ma2c.example", "ñandú.example"]),
            ("josé@ñandú.example", vec!["josé@ñandú.example", "josé@xn--and-6ma2c.example"]),
            ("*@*.ñandú.example", vec!["*@*.ñandú.example", "*@*.xn--and-6ma2c.example"]),
            ("josé@example.net", vec!["josé@example.net"]),
            ("xn--\u{fffd}", vec!["xn--\u{fffd}"]),
            ("ana@", vec!["ana@"]),
        ] {
            assert_eq!(domain_spellings(written), spellings, "{written}");
        }
    }
}
