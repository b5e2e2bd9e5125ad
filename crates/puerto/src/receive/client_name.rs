//! The host name of a client: what the DNS says of its address, if the name says
//! the same of itself.

use std::net::IpAddr;
use std::time::Duration;

use puerto_mail::dns::{Dns, Record, RecordType, reverse_name};
use tokio::time::timeout;

/// How long the greeting waits for it.
const PATIENCE: Duration = Duration::from_millis(500);
/// Names of one address that are tried.
const MAX_NAMES: usize = 3;

/// The verified name of an address. It is only for the log and for trace fields, so
/// a name that takes long is no name.
pub(super) async fn look_up<D: Dns>(dns: &D, address: IpAddr) -> Option<String> {
    let address = address.to_canonical();
    let fallback = address.is_loopback().then(|| "localhost".to_owned());
    // Every connection of the machine to itself would ask for these two.
    if address == IpAddr::from([127, 0, 0, 1]) || address == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
    {
        return fallback;
    }
    timeout(PATIENCE, Box::pin(verified(dns, address))).await.ok().flatten().or(fallback)
}

async fn verified<D: Dns>(dns: &D, address: IpAddr) -> Option<String> {
    let answer = dns.lookup(&reverse_name(address), RecordType::Ptr).await.ok()?;
    let record_type = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
    for record in answer.records.iter().take(MAX_NAMES) {
        let Record::Name(name) = record else { continue };
        if !is_host_name(name) {
            continue;
        }
        let Ok(forward) = dns.lookup(name, record_type).await else { continue };
        if forward.records.contains(&Record::Address(address)) {
            return Some(name.clone());
        }
    }
    None
}

// What is written into logs and header fields is what a host name may hold.
fn is_host_name(name: &str) -> bool {
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(ok)
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{Table, block_on};

    use super::*;

    #[test]
    fn only_a_name_that_says_the_same_counts() {
        let mut dns = Table::new();
        let ptr = |dns: &mut Table, address: &str, name: &str| {
            let name = Record::Name(name.to_owned());
            dns.add(&reverse_name(address.parse().unwrap()), RecordType::Ptr, name);
        };
        ptr(&mut dns, "192.0.2.1", "mx.example.com");
        dns.address("mx.example.com", "192.0.2.1".parse().unwrap());
        ptr(&mut dns, "192.0.2.2", "mx.example.com");
        ptr(&mut dns, "192.0.2.3", "bad\r\nname.example");
        ptr(&mut dns, "2001:db8::1", "six.example.com");
        dns.address("six.example.com", "2001:db8::1".parse().unwrap());
        for (address, name) in [
            ("192.0.2.1", Some("mx.example.com")),
            ("::ffff:192.0.2.1", Some("mx.example.com")),
            ("192.0.2.2", None),
            ("192.0.2.3", None),
            ("192.0.2.4", None),
            ("2001:db8::1", Some("six.example.com")),
            ("127.0.0.9", Some("localhost")),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(block_on(verified_or_local(&dns, address)).unwrap().as_deref(), name);
        }
    }

    // The same without the timer, which needs a runtime.
    async fn verified_or_local(dns: &Table, address: IpAddr) -> Option<String> {
        let address = address.to_canonical();
        let fallback = address.is_loopback().then(|| "localhost".to_owned());
        verified(dns, address).await.or(fallback)
    }
}
