//! The names of the simulated Internet: one table that the lab's DNS server answers
//! from and that its receivers evaluate SPF, DKIM and DMARC over.
//!
//! A [`Zone`] is a handle: clones share the table, and what one adds all others see
//! at once, so a test can publish a key or break a name in the middle of a run.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use puerto_mail::dns::{
    Answer, Dns, DnsError, DnsFault, Record, RecordType, canonical, reverse_name,
};

/// Seconds for which an answer holds. Short, since experiments change their minds.
pub const TTL: u32 = 5;
/// Aliases that are followed at most.
const MAX_ALIASES: usize = 8;

/// A shared table of records.
#[derive(Debug, Clone, Default)]
pub struct Zone(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    records: HashMap<(String, RecordType), Result<Vec<Record>, DnsError>>,
    // Every name that exists, those between a record and the root included.
    names: HashSet<String>,
    // The domains at and below which DNSSEC vouches for everything.
    signed: HashSet<String>,
}

/// What a question comes to, with the aliases on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Each alias and what it stands for.
    pub aliases: Vec<(String, String)>,
    /// The name at the end of them.
    pub name: String,
    /// Its records.
    pub result: Result<Vec<Record>, DnsError>,
    /// DNSSEC vouches for all of it.
    pub is_secure: bool,
}

impl Zone {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record beside those that the name has.
    pub fn add(&self, name: &str, record_type: RecordType, record: Record) {
        self.change(|inner| {
            let name = canonical(name);
            inner.learn_name(&name);
            match inner.records.entry((name, record_type)).or_insert_with(|| Ok(Vec::new())) {
                Ok(records) if records.contains(&record) => {}
                Ok(records) => records.push(record),
                failing @ Err(_) => *failing = Ok(vec![record]),
            }
        });
    }

    /// Adds a TXT record.
    pub fn add_txt(&self, name: &str, text: &str) {
        self.add(name, RecordType::Txt, Record::Txt(text.as_bytes().to_vec()));
    }

    /// Adds an A or AAAA record.
    pub fn add_address(&self, name: &str, address: IpAddr) {
        let record_type = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
        self.add(name, record_type, Record::Address(address));
    }

    /// Adds an MX record.
    pub fn add_mx(&self, name: &str, preference: u16, host: &str) {
        self.add(name, RecordType::Mx, Record::Mx(preference, canonical(host)));
    }

    /// Adds an alias.
    pub fn add_alias(&self, name: &str, target: &str) {
        self.add(name, RecordType::Cname, Record::Name(canonical(target)));
    }

    /// Adds the name of an address (PTR).
    pub fn add_pointer(&self, address: IpAddr, name: &str) {
        let record = Record::Name(canonical(name));
        self.add(&reverse_name(address), RecordType::Ptr, record);
    }

    /// Gives a host its address, and the address its name: what a well kept host has.
    pub fn add_host(&self, name: &str, address: IpAddr) {
        self.add_address(name, address);
        self.add_pointer(address, name);
    }

    /// Makes a blocklist answer a question about an address (RFC 5782 §2.1).
    pub fn add_listing(&self, list: &str, address: IpAddr, answer: Ipv4Addr) {
        self.add_address(&listing_name(list, address), IpAddr::V4(answer));
    }

    /// What a blocklist answers about an address.
    pub fn listings(&self, list: &str, address: IpAddr) -> Vec<IpAddr> {
        let found = self.resolve(&listing_name(list, address), RecordType::A).result;
        let addresses = found.unwrap_or_default().into_iter().filter_map(|record| match record {
            Record::Address(address) => Some(address),
            _ => None,
        });
        addresses.collect()
    }

    /// All records, by name and type. What fails is not among them.
    pub fn records(&self) -> Vec<(String, RecordType, Record)> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = inner
            .records
            .iter()
            .flat_map(|((name, record_type), found)| {
                let found = found.as_deref().unwrap_or_default();
                found.iter().map(|record| (name.clone(), *record_type, record.clone()))
            })
            .collect();
        all.sort();
        all
    }

    /// Puts these records in the place of all that there are, at once.
    pub fn replace(&self, records: impl IntoIterator<Item = (String, RecordType, Record)>) {
        let new = Self::new();
        for (name, record_type, record) in records {
            new.add(&name, record_type, record);
        }
        let new = std::mem::take(&mut *new.0.write().unwrap_or_else(PoisonError::into_inner));
        self.change(|inner| *inner = new);
    }

    /// Signs a domain, and all that is below it. The lab's name server is the resolver of whoever
    /// asks it, on the same machine, and knows what it has itself: its word that an answer is
    /// secure is as good as that of one that has checked signatures.
    pub fn sign(&self, domain: &str) {
        self.change(|inner| {
            inner.signed.insert(canonical(domain));
        });
    }

    /// Adds a TLSA record for a host's port.
    pub fn add_tlsa(&self, host: &str, port: u16, fields: (u8, u8, u8), data: &[u8]) {
        let record = Record::Tlsa(fields.0, fields.1, fields.2, data.to_vec());
        self.add(&format!("_{port}._tcp.{host}"), RecordType::Tlsa, record);
    }

    /// Takes all records of a type away. The name goes on existing.
    pub fn remove(&self, name: &str, record_type: RecordType) {
        self.change(|inner| {
            inner.records.remove(&(canonical(name), record_type));
        });
    }

    /// Takes the name of an address away.
    pub fn remove_pointer(&self, address: IpAddr) {
        self.remove(&reverse_name(address), RecordType::Ptr);
    }

    /// Replaces the TXT records of a name by one.
    pub fn set_txt(&self, name: &str, text: &str) {
        self.remove(name, RecordType::Txt);
        self.add_txt(name, text);
    }

    /// Makes a question fail: [`DnsError::Failure`] is answered by SERVFAIL,
    /// [`DnsError::Timeout`] not at all.
    pub fn fail(&self, name: &str, record_type: RecordType, error: DnsError) {
        self.change(|inner| {
            let name = canonical(name);
            inner.learn_name(&name);
            inner.records.insert((name, record_type), Err(error));
        });
    }

    /// Answers a question.
    pub fn resolve(&self, name: &str, record_type: RecordType) -> Resolution {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut name = canonical(name);
        let mut aliases = Vec::new();
        loop {
            let result = match inner.records.get(&(name.clone(), record_type)) {
                Some(known) => known.clone(),
                None => match inner.alias_of(&name) {
                    Some(target) if aliases.len() < MAX_ALIASES => {
                        aliases.push((name, target.clone()));
                        name = target;
                        continue;
                    }
                    Some(_) => Err(DnsError::Failure(DnsFault::Aliases)),
                    None if inner.names.contains(&name) => Err(DnsError::NoRecords),
                    None => Err(DnsError::NoSuchDomain),
                },
            };
            let is_secure =
                aliases.iter().all(|(alias, _)| inner.is_signed(alias)) && inner.is_signed(&name);
            return Resolution { aliases, name, result, is_secure };
        }
    }

    /// The names that lead from an address and back to it; what receivers mean by a
    /// good reverse DNS.
    pub fn confirmed_names(&self, address: IpAddr) -> Vec<String> {
        let record_type = if address.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
        let pointers = self.resolve(&reverse_name(address), RecordType::Ptr).result;
        pointers
            .unwrap_or_default()
            .into_iter()
            .filter_map(|record| match record {
                Record::Name(name) => Some(name),
                _ => None,
            })
            .filter(|name| {
                self.resolve(name, record_type)
                    .result
                    .is_ok_and(|found| found.contains(&Record::Address(address)))
            })
            .collect()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    fn learn_name(&mut self, name: &str) {
        let mut rest = Some(name);
        while let Some(name) = rest {
            if !self.names.insert(name.to_owned()) {
                break;
            }
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
    }

    fn is_signed(&self, name: &str) -> bool {
        let mut rest = Some(name);
        while let Some(name) = rest {
            if self.signed.contains(name) {
                return true;
            }
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
        false
    }

    fn alias_of(&self, name: &str) -> Option<String> {
        match self.records.get(&(name.to_owned(), RecordType::Cname)) {
            Some(Ok(records)) => records.iter().find_map(|record| match record {
                Record::Name(target) => Some(target.clone()),
                _ => None,
            }),
            _ => None,
        }
    }
}

impl Dns for Zone {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        self.resolve(name, record_type).result.and_then(|records| {
            if records.is_empty() {
                return Err(DnsError::NoRecords);
            }
            Ok(Answer { records, ttl: TTL, validated: false, alias_of: None })
        })
    }
}

// The address turned round, as for reverse names, in the list's zone.
fn listing_name(list: &str, address: IpAddr) -> String {
    let name = reverse_name(address);
    let suffix = if address.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    format!("{}{list}", name.strip_suffix(suffix).unwrap_or(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_exist_or_not() {
        let zone = Zone::new();
        zone.add_host("mx.strict.example", "127.0.0.11".parse().unwrap());
        zone.add_alias("www.strict.example", "mx.strict.example.");
        let ask = |name, record_type| zone.resolve(name, record_type).result;
        let address = Record::Address("127.0.0.11".parse().unwrap());
        assert_eq!(ask("MX.strict.example.", RecordType::A), Ok(vec![address.clone()]));
        assert_eq!(ask("www.strict.example", RecordType::A), Ok(vec![address]));
        assert_eq!(ask("mx.strict.example", RecordType::Mx), Err(DnsError::NoRecords));
        assert_eq!(ask("strict.example", RecordType::A), Err(DnsError::NoRecords));
        assert_eq!(ask("other.example", RecordType::A), Err(DnsError::NoSuchDomain));
        let name = Record::Name("mx.strict.example".to_owned());
        assert_eq!(ask("11.0.0.127.in-addr.arpa", RecordType::Ptr), Ok(vec![name]));
    }

    #[test]
    fn a_domain_that_is_signed_vouches_for_what_is_below_it_and_for_absences() {
        let zone = Zone::new();
        zone.add_host("mx.strict.example", "127.0.0.11".parse().unwrap());
        zone.add_alias("www.strict.example", "mx.strict.example");
        zone.add_alias("out.strict.example", "mx.plain.example");
        zone.sign("strict.example");
        for (name, is_secure) in [
            ("mx.strict.example", true),
            ("www.strict.example", true),
            ("no.strict.example", true),
            ("out.strict.example", false),
            ("plain.example", false),
            ("notstrict.example", false),
        ] {
            assert_eq!(zone.resolve(name, RecordType::A).is_secure, is_secure, "{name}");
        }
    }

    #[test]
    fn an_alias_of_itself_is_an_error() {
        let zone = Zone::new();
        zone.add_alias("a.example", "b.example");
        zone.add_alias("b.example", "a.example");
        let result = zone.resolve("a.example", RecordType::A).result;
        assert!(matches!(result, Err(DnsError::Failure(_))));
    }

    #[test]
    fn only_names_that_lead_back_are_confirmed() {
        let zone = Zone::new();
        let address = "127.0.0.10".parse().unwrap();
        zone.add_pointer(address, "liar.example");
        assert!(zone.confirmed_names(address).is_empty());
        zone.add_host("mail.lab.example", address);
        assert_eq!(zone.confirmed_names(address), ["mail.lab.example"]);
        zone.remove_pointer(address);
        assert!(zone.confirmed_names(address).is_empty());
    }
}
