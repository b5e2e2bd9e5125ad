//! Which names a certificate can be asked for: an authority that looks at a host has to find it,
//! and one name that it does not find fails the whole order.

use std::net::IpAddr;

use puerto_mail::dns::Dns;
use puerto_mail::together::together;

use crate::survey::records::{Unanswered, addresses};

/// Those of the names that have no address in the DNS. Of one that the DNS does not answer for,
/// what was found `before` holds on.
pub(super) async fn unresolved<D: Dns>(
    dns: &D,
    names: &[String],
    before: &[String],
) -> Vec<String> {
    let found = together(names.iter().map(|name| addresses(dns, name))).await;
    let is_missing = |(name, found): &(&String, Result<Vec<IpAddr>, Unanswered>)| match found {
        Ok(found) => found.is_empty(),
        Err(_) => before.contains(name),
    };
    let missing = names.iter().zip(found).filter(is_missing);
    missing.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{DnsError, RecordType, Table, block_on};

    use super::*;

    #[test]
    fn a_name_without_a_record_is_left_out_until_it_has_one() {
        let names = ["mail.example.com", "mta-sts.example.com"].map(str::to_owned);
        let [_, policy] = &names;
        let mut table = Table::new();
        table.address("mail.example.com", "2001:db8::1".parse().unwrap());
        let missing =
            |table: &Table, before: &[String]| block_on(unresolved(table, &names, before)).unwrap();
        assert_eq!(missing(&table, &[]), std::slice::from_ref(policy));
        table.address(policy, "192.0.2.1".parse().unwrap());
        assert_eq!(missing(&table, std::slice::from_ref(policy)), [""; 0]);
        // No answer tells nothing new.
        for kind in [RecordType::A, RecordType::Aaaa] {
            table.fail(policy, kind, DnsError::Timeout);
        }
        assert_eq!(missing(&table, &[]), [""; 0]);
        assert_eq!(missing(&table, std::slice::from_ref(policy)), std::slice::from_ref(policy));
    }
}
