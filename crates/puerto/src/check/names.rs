//! What names are to each other.

/// Whether two names belong to one owner: they share a registered domain.
pub fn related(one: &str, other: &str) -> bool {
    registered(one) == registered(other)
}

/// The registered domain that a name lies in, by the list of public suffixes.
pub fn registered(name: &str) -> &str {
    puerto_mail::dmarc::organizational_domain_by_list(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_known_by_the_list_of_public_suffixes() {
        for (name, expected) in [
            ("mail.example.com", "example.com"),
            ("example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("mail.example.es", "example.es"),
            ("com", "com"),
            ("mail.bbc.com", "bbc.com"),
            ("shop.ana.github.io", "ana.github.io"),
        ] {
            assert_eq!(registered(name), expected);
        }
        assert!(related("mail.example.com", "shop.example.com"));
        assert!(!related("mail.example.com", "mail.example.net"));
    }
}
