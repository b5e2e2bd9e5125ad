//! What names and addresses are to each other.

use std::net::IpAddr;

/// Whether the world cannot reach the address: it is private, of this machine, or of
/// one link only (RFC 1918, RFC 6598, RFC 4193).
pub fn not_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || a == 0
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

/// Whether `name` is `ancestor` or below it.
pub fn is_at_or_below(name: &str, ancestor: &str) -> bool {
    name.strip_suffix(ancestor).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether two names seem to belong to one owner: they share at least a registered
/// domain. Without a list of public suffixes this is a guess; it errs towards yes.
pub fn related(one: &str, other: &str) -> bool {
    registered(one) == registered(other)
}

/// The registered domain that a name seems to lie in: its last two labels, or three
/// where the last two look like a registry's (`co.uk`).
pub fn registered(name: &str) -> &str {
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let (last, second, third) = (dots.next(), dots.next(), dots.next());
    let (Some(last), Some(second)) = (last, second) else { return name };
    let top = name.len() - last - 1;
    let below_top = last - second - 1;
    let cut = if top == 2 && below_top <= 3 { third } else { Some(second) };
    cut.and_then(|at| name.get(at + 1..)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_guessed_from_names() {
        for (name, expected) in [
            ("mail.example.com", "example.com"),
            ("example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("mail.example.es", "example.es"),
            ("com", "com"),
        ] {
            assert_eq!(registered(name), expected);
        }
        assert!(related("mail.example.com", "shop.example.com"));
        assert!(!related("mail.example.com", "mail.example.net"));
    }
}
