//! What the DNS says today: the one place that asks it for records to be merged.

use std::collections::HashMap;
use std::net::IpAddr;

use puerto_mail::dns::{Dns, DnsError, Record, RecordType};

use super::{Subject, Unread};

/// What stands in the DNS.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing {
    /// A and AAAA of the host name.
    pub(super) addresses: Vec<IpAddr>,
    /// What the host name is an alias of.
    pub(super) alias: Option<String>,
    /// MX of the domain.
    pub(super) exchangers: Vec<(u16, String)>,
    /// The domain has an address of its own, which mail without an MX goes to.
    pub(super) has_address: bool,
    /// SPF records of the domain.
    pub(super) spf: Vec<String>,
    /// SPF records of the host name.
    pub(super) helo_spf: Vec<String>,
    /// Texts at `_dmarc` of the domain that are, or were meant as, DMARC records.
    pub(super) dmarc: Vec<String>,
    /// The closest domain above that has a DMARC record, and the record.
    pub(super) dmarc_above: Option<(String, String)>,
    /// Texts at each key's name, in the order of the keys.
    pub(super) keys: Vec<Vec<String>>,
    /// Texts for reports about TLS.
    pub(super) tls_reports: Vec<String>,
    /// Texts of MTA-STS.
    pub(super) mta_sts: Vec<String>,
    /// The names of each address, in the order of the addresses.
    pub(super) names: Vec<Result<Vec<String>, DnsError>>,
    /// Where zones begin.
    pub(super) zones: Zones,
}

/// Which zone a name stands in.
#[derive(Debug, Clone, Default)]
pub(super) struct Zones(HashMap<String, String>);

impl Zones {
    /// The zone of a name; where the DNS did not say, the domain itself, or what
    /// stands behind the first dot.
    pub(super) fn of(&self, name: &str, domain: &str) -> String {
        let closest = self.0.iter().filter(|(known, _)| is_within(name, known));
        if let Some((_, zone)) = closest.max_by_key(|(known, _)| known.len()) {
            return zone.clone();
        }
        if is_within(name, domain) {
            return domain.to_owned();
        }
        match name.split_once('.') {
            Some((_, parent)) if parent.contains('.') => parent.to_owned(),
            _ => name.to_owned(),
        }
    }
}

/// Whether a name is another or stands below it.
pub(super) fn is_within(name: &str, other: &str) -> bool {
    name == other || name.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'))
}

/// Asks for everything; an error names every question that had no answer.
pub(super) async fn read<D: Dns>(dns: &D, subject: &Subject) -> Result<Existing, Unread> {
    let mut reader = Reader { dns, unread: Vec::new() };
    let (domain, host) = (subject.domain.as_str(), subject.hostname.as_str());
    let mut existing = Existing::default();
    if subject.has_full_name() {
        for kind in [RecordType::A, RecordType::Aaaa] {
            existing.addresses.extend(reader.ask(host, kind).await.into_iter().filter_map(address));
        }
        existing.alias = reader.ask(host, RecordType::Cname).await.into_iter().find_map(name);
        existing.helo_spf = reader.spf(host).await;
    }
    existing.exchangers = reader.exchangers(domain).await;
    if existing.exchangers.is_empty() {
        let mut addresses = reader.ask(domain, RecordType::A).await;
        addresses.extend(reader.ask(domain, RecordType::Aaaa).await);
        existing.has_address = !addresses.is_empty();
    }
    existing.spf = reader.spf(domain).await;
    existing.dmarc = reader.dmarc(domain).await;
    if existing.dmarc.is_empty() {
        existing.dmarc_above = reader.dmarc_above(domain).await;
    }
    for key in &subject.keys {
        let name = format!("{}._domainkey.{}", key.selector, key.domain);
        existing.keys.push(reader.texts(&name).await);
    }
    existing.tls_reports = reader.texts(&format!("_smtp._tls.{domain}")).await;
    existing.mta_sts = reader.texts(&format!("_mta-sts.{domain}")).await;
    if !reader.unread.is_empty() {
        return Err(Unread { questions: reader.unread });
    }
    for address in &subject.egress {
        // Not ours to change, so that a failure here hinders nothing else.
        let answer = dns.lookup(&super::host::reverse_name(*address), RecordType::Ptr).await;
        existing.names.push(match answer {
            Ok(answer) => Ok(answer.records.into_iter().filter_map(name).collect()),
            Err(error) if error.is_absence() => Ok(Vec::new()),
            Err(error) => Err(error),
        });
    }
    existing.zones = reader.zones(subject).await;
    Ok(existing)
}

struct Reader<'a, D> {
    dns: &'a D,
    unread: Vec<(String, DnsError)>,
}

impl<D: Dns> Reader<'_, D> {
    // Whoever waited in vain twice need not wait for every other question too.
    fn is_dead(&self) -> bool {
        self.unread.iter().filter(|(_, error)| *error == DnsError::Timeout).count() >= 2
    }

    async fn ask(&mut self, name: &str, kind: RecordType) -> Vec<Record> {
        if self.is_dead() {
            return Vec::new();
        }
        match self.dns.lookup(name, kind).await {
            Ok(answer) => answer.records,
            Err(error) if error.is_absence() => Vec::new(),
            Err(error) => {
                self.unread.push((format!("{} {name}", kind), error));
                Vec::new()
            }
        }
    }

    async fn texts(&mut self, name: &str) -> Vec<String> {
        let records = self.ask(name, RecordType::Txt).await;
        let text = |record| match record {
            Record::Txt(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
            _ => None,
        };
        // Resolvers turn the records around; a plan must not depend on the day.
        let mut texts: Vec<String> = records.into_iter().filter_map(text).collect();
        texts.sort();
        texts
    }

    async fn spf(&mut self, name: &str) -> Vec<String> {
        let mut texts = self.texts(name).await;
        texts.retain(|text| puerto_mail::spf::is_record(text.as_bytes()));
        texts
    }

    async fn dmarc(&mut self, domain: &str) -> Vec<String> {
        let mut texts = self.texts(&format!("_dmarc.{domain}")).await;
        texts.retain(|text| super::dmarc::is_meant(text));
        texts
    }

    // RFC 9989 §4.10: the walk up the tree takes eight questions at most.
    async fn dmarc_above(&mut self, domain: &str) -> Option<(String, String)> {
        let mut name = domain;
        for _ in 0..7 {
            name = name.split_once('.')?.1;
            if !name.contains('.') {
                return None;
            }
            let mut texts = self.dmarc(name).await;
            if texts.len() == 1 {
                return texts.pop().map(|text| (name.to_owned(), text));
            }
        }
        None
    }

    async fn exchangers(&mut self, domain: &str) -> Vec<(u16, String)> {
        let records = self.ask(domain, RecordType::Mx).await;
        let exchanger = |record| match record {
            Record::Mx(preference, host) => Some((preference, host)),
            _ => None,
        };
        let mut list: Vec<_> = records.into_iter().filter_map(exchanger).collect();
        list.sort();
        list
    }

    // A zone begins where name servers stand. This serves only to shorten names for
    // panels, so that no answer is no reason to stop.
    async fn zones(&self, subject: &Subject) -> Zones {
        let mut zones = HashMap::new();
        let keys = subject.keys.iter().map(|key| key.domain.as_str());
        for name in [subject.domain.as_str(), subject.hostname.as_str()].into_iter().chain(keys) {
            let mut candidate = name;
            while candidate.contains('.') {
                if self.dns.lookup(candidate, RecordType::Ns).await.is_ok() {
                    zones.insert(name.to_owned(), candidate.to_owned());
                    break;
                }
                candidate = candidate.split_once('.').map_or("", |(_, parent)| parent);
            }
        }
        Zones(zones)
    }
}

fn address(record: Record) -> Option<IpAddr> {
    match record {
        Record::Address(address) => Some(address),
        _ => None,
    }
}

fn name(record: Record) -> Option<String> {
    match record {
        Record::Name(name) => Some(name),
        _ => None,
    }
}
