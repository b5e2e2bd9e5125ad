//! The DNS as it will be once the plan is published.

use std::collections::HashMap;

use puerto_mail::dns::{Answer, Dns, DnsError, Record, RecordType};

use super::TTL;

/// Answers from the plan where it has something to say, otherwise from the DNS.
pub(super) struct Overlay<'a, D> {
    dns: &'a D,
    planned: HashMap<(String, RecordType), Vec<Record>>,
}

impl<'a, D: Dns> Overlay<'a, D> {
    /// The DNS as it is.
    pub(super) fn new(dns: &'a D) -> Self {
        Self { dns, planned: HashMap::new() }
    }

    /// The DNS beneath.
    pub(super) fn present(&self) -> &'a D {
        self.dns
    }

    /// These are all the records of a type that a name will have.
    pub(super) fn set(&mut self, name: &str, kind: RecordType, records: Vec<Record>) {
        self.planned.insert((name.to_ascii_lowercase(), kind), records);
    }

    /// The name will have this one text.
    pub(super) fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, RecordType::Txt, vec![Record::Txt(text.as_bytes().to_vec())]);
    }
}

impl<D: Dns> Dns for Overlay<'_, D> {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        let key = (name.trim_end_matches('.').to_ascii_lowercase(), kind);
        match self.planned.get(&key) {
            Some(records) if records.is_empty() => Err(DnsError::NoRecords),
            Some(records) => {
                Ok(Answer { records: records.clone(), ttl: TTL, validated: false, alias_of: None })
            }
            None => self.dns.lookup(name, kind).await,
        }
    }
}
