//! Whether a domain exists at all: one that nobody registered, or that no registry
//! delegates, needs that first, and all else said of it would lead astray.

use puerto_mail::dmarc::organizational_domain_by_list;
use puerto_mail::dns::{Dns, DnsError, RecordType};
use puerto_mail::together::together;

/// Types of which a domain that exists has at least one.
const KINDS: [RecordType; 6] = [
    RecordType::Soa,
    RecordType::Ns,
    RecordType::Mx,
    RecordType::Txt,
    RecordType::A,
    RecordType::Aaaa,
];

/// The registered domain that would have to exist for `domain` to exist, if the DNS says
/// for certain that it does not: the registry's servers know no such name.
pub async fn unregistered<D: Dns>(dns: &D, domain: &str) -> Option<String> {
    let registered = organizational_domain_by_list(domain);
    if !is_absent(dns, domain).await {
        return None;
    }
    let is_missing = registered == domain || is_absent(dns, registered).await;
    is_missing.then(|| registered.to_owned())
}

// Some servers answer NXDOMAIN to a type that a name does not have: all must agree.
async fn is_absent<D: Dns>(dns: &D, name: &str) -> bool {
    let answers = together(KINDS.map(|kind| dns.lookup(name, kind))).await;
    answers.iter().all(|answer| matches!(answer, Err(DnsError::NoSuchDomain)))
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{Table, block_on};

    use super::*;

    #[test]
    fn a_domain_is_missing_only_if_the_dns_says_so_of_every_type() {
        let mut table = Table::new();
        table.txt("example.net", "v=spf1 -all");
        table.fail("silent.example", RecordType::Soa, DnsError::Timeout);
        table.fail("odd.example", RecordType::Soa, DnsError::NoSuchDomain);
        table.mx("odd.example", 10, "mx.example.net");
        for (domain, expected) in [
            ("example.com", Some("example.com")),
            ("shop.example.com", Some("example.com")),
            ("shop.example.net", None),
            ("example.net", None),
            ("silent.example", None),
            ("odd.example", None),
        ] {
            let found = block_on(unregistered(&table, domain)).unwrap();
            assert_eq!(found.as_deref(), expected, "{domain}");
        }
    }
}
