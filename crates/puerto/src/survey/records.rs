//! Records asked for by whoever has to name a question that had no answer.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, DnsError, Record, RecordType};
use puerto_mail::together::together;

/// A question that the DNS did not answer, such as `MX example.org`, and why.
pub type Unanswered = (String, DnsError);

/// The records of a name, an absence being an answer.
pub async fn records<D: Dns>(
    dns: &D,
    name: &str,
    kind: RecordType,
) -> Result<Vec<Record>, Unanswered> {
    dns.records(name, kind).await.map_err(|error| (format!("{kind} {name}"), error))
}

/// The addresses of a name in both families, IPv4 first.
pub async fn addresses<D: Dns>(dns: &D, name: &str) -> Result<Vec<IpAddr>, Unanswered> {
    let kinds = [RecordType::A, RecordType::Aaaa];
    let mut found = Vec::new();
    for answer in together(kinds.map(|kind| records(dns, name, kind))).await {
        found.extend(answer?.into_iter().filter_map(Record::into_address));
    }
    Ok(found)
}
