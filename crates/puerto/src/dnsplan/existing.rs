//! What the DNS says today: the one place that asks it for records to be merged.

use std::collections::HashMap;
use std::net::IpAddr;

use puerto_mail::dmarc;
use puerto_mail::dns::{Dns, DnsError, Record, RecordType, reverse_name};
use puerto_mail::spf::mend;
use puerto_mail::together::together_within;

use super::{Apex, Subject, Unread};
use crate::survey::names::is_within;

/// Questions that are under way at the same time.
const AT_ONCE: usize = 64;

/// What stands in the DNS.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing {
    /// A and AAAA of the host name.
    pub(super) addresses: Vec<IpAddr>,
    /// MX of the domain.
    pub(super) exchangers: Vec<(u16, String)>,
    /// The domain has an address of its own, which mail without an MX goes to.
    pub(super) has_address: bool,
    /// Texts of the domain that are, or were meant as, SPF records.
    pub(super) spf: Vec<String>,
    /// The same of the host name.
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
    /// Names that are aliases, of those that must not be, and what of.
    pub(super) aliases: HashMap<String, String>,
    /// Where zones begin.
    pub(super) zones: Zones,
    /// The head of the domain's zone.
    pub(super) apex: Apex,
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

/// Asks for everything; an error names every question that mattered and had no answer.
///
/// All questions are asked at the same time, also those whose answers may turn out not
/// to matter: waiting for one after the other would take longer than anybody waits.
pub(super) async fn read<D: Dns>(dns: &D, subject: &Subject) -> Result<Existing, Unread> {
    let mut answers = Answers::ask(dns, questions(subject)).await;
    let (domain, host) = (subject.domain.as_str(), subject.hostname.as_str());
    let mut existing = Existing::default();
    if subject.has_full_name() {
        for kind in [RecordType::A, RecordType::Aaaa] {
            existing.addresses.extend(answers.of(host, kind).into_iter().filter_map(address));
        }
        existing.helo_spf = answers.spf(host);
    }
    existing.exchangers = answers.exchangers(domain);
    if existing.exchangers.is_empty() {
        let mut addresses = answers.of(domain, RecordType::A);
        addresses.extend(answers.of(domain, RecordType::Aaaa));
        existing.has_address = !addresses.is_empty();
    }
    existing.spf = answers.spf(domain);
    existing.dmarc = answers.dmarc(domain);
    if existing.dmarc.is_empty() {
        existing.dmarc_above = answers.dmarc_above(domain);
    }
    for key in &subject.keys {
        let name = format!("{}._domainkey.{}", key.selector, key.domain);
        existing.keys.push(answers.keys(&name, &key.domain));
    }
    existing.tls_reports = answers.texts(&format!("_smtp._tls.{domain}"));
    existing.mta_sts = answers.texts(&format!("_mta-sts.{domain}"));
    existing.aliases = answers.aliases(&alias_names(subject));
    if !answers.unread.is_empty() {
        return Err(Unread { questions: answers.unread });
    }
    existing.names = subject.egress.iter().map(|one| answers.names(*one)).collect();
    existing.zones = answers.zones(subject);
    existing.apex = apex(dns, &answers, &existing, subject).await;
    Ok(existing)
}

type Question = (String, RecordType);

fn questions(subject: &Subject) -> Vec<Question> {
    use RecordType::{A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Txt};
    let (domain, host) = (&subject.domain, &subject.hostname);
    let mut list: Vec<Question> = Vec::new();
    let mut add = |name: &str, kinds: &[RecordType]| {
        for kind in kinds {
            let question = (name.to_owned(), *kind);
            if !list.contains(&question) {
                list.push(question);
            }
        }
    };
    if subject.has_full_name() {
        add(host, &[A, Aaaa, Cname, Txt]);
    }
    add(domain, &[Mx, A, Aaaa, Txt]);
    add(&format!("_dmarc.{domain}"), &[Txt]);
    for above in above(domain) {
        add(&format!("_dmarc.{above}"), &[Txt]);
    }
    add(&format!("_smtp._tls.{domain}"), &[Txt]);
    add(&format!("_mta-sts.{domain}"), &[Txt]);
    for name in alias_names(subject) {
        add(&name, &[Txt, Cname]);
    }
    for key in &subject.keys {
        add(&format!("*._domainkey.{}", key.domain), &[Txt]);
    }
    for address in &subject.egress {
        add(&reverse_name(*address), &[Ptr]);
    }
    for name in zone_names(subject) {
        for candidate in within_two_labels(name) {
            add(candidate, &[Ns, Soa]);
        }
    }
    list
}

// Names at which a service may have had an alias put, which nothing can stand beside.
fn alias_names(subject: &Subject) -> Vec<String> {
    let keys = subject.keys.iter();
    let keys = keys.map(|key| format!("{}._domainkey.{}", key.selector, key.domain));
    let own = [subject.domain.clone(), format!("_dmarc.{}", subject.domain)];
    keys.chain(own).chain(subject.has_full_name().then(|| subject.hostname.clone())).collect()
}

// RFC 9989 §4.10: the walk up the tree takes eight questions at most.
fn above(domain: &str) -> impl Iterator<Item = &str> {
    within_two_labels(domain).skip(1).take(7)
}

// The name and those above it, as long as they have a dot.
fn within_two_labels(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
        .take_while(|name| name.contains('.'))
}

fn zone_names(subject: &Subject) -> impl Iterator<Item = &str> {
    let keys = subject.keys.iter().map(|key| key.domain.as_str());
    [subject.domain.as_str(), subject.hostname.as_str()].into_iter().chain(keys)
}

// What a file of the domain's zone needs beside the records that are planned. No
// answer is no reason to stop: nothing of it is changed.
async fn apex<D: Dns>(dns: &D, answers: &Answers, existing: &Existing, subject: &Subject) -> Apex {
    let zone = existing.zones.of(&subject.domain, &subject.domain);
    let soa = answers.found(&zone, RecordType::Soa).iter().find_map(|record| match record {
        Record::Soa(_, text) => Some(text.clone()),
        _ => None,
    });
    let servers: Vec<String> =
        answers.found(&zone, RecordType::Ns).iter().cloned().filter_map(name).collect();
    let hosts = servers.iter().chain(existing.exchangers.iter().map(|(_, host)| host));
    let inside = hosts.filter(|host| is_within(host, &zone) && **host != subject.hostname);
    let kinds = [RecordType::A, RecordType::Aaaa];
    let questions = inside.flat_map(|host| kinds.map(|kind| (host.clone(), kind))).collect();
    let found = Answers::ask(dns, questions).await;
    let mut addresses = Vec::new();
    for ((host, _), answer) in &found.known {
        let records = answer.iter().flatten().cloned().filter_map(address);
        addresses.extend(records.map(|address| (host.clone(), address)));
    }
    addresses.sort();
    Apex { zone, soa, servers, addresses }
}

/// Answers to the questions that were asked, and those that were needed in vain.
struct Answers {
    known: HashMap<Question, Result<Vec<Record>, DnsError>>,
    unread: Vec<(String, DnsError)>,
}

impl Answers {
    async fn ask<D: Dns>(dns: &D, questions: Vec<Question>) -> Self {
        let ask = async |(name, kind): Question| {
            let answer = match dns.lookup(&name, kind).await {
                Ok(answer) => Ok(answer.records),
                Err(error) if error.is_absence() => Ok(Vec::new()),
                Err(error) => Err(error),
            };
            ((name, kind), answer)
        };
        let known = together_within(AT_ONCE, questions.into_iter().map(ask)).await;
        Self { known: known.into_iter().collect(), unread: Vec::new() }
    }

    // What is known of a name, where it does not matter if nothing is.
    fn found(&self, name: &str, kind: RecordType) -> &[Record] {
        let answer = self.known.get(&(name.to_owned(), kind));
        answer.and_then(|answer| answer.as_deref().ok()).unwrap_or_default()
    }

    fn of(&mut self, name: &str, kind: RecordType) -> Vec<Record> {
        match self.known.get(&(name.to_owned(), kind)) {
            Some(Ok(records)) => records.clone(),
            Some(Err(error)) => {
                let question = (format!("{kind} {name}"), error.clone());
                if !self.unread.contains(&question) {
                    self.unread.push(question);
                }
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn texts(&mut self, name: &str) -> Vec<String> {
        let records = self.of(name, RecordType::Txt);
        // Resolvers turn the records around; a plan must not depend on the day.
        let mut texts: Vec<String> = records.iter().filter_map(text).collect();
        texts.sort();
        texts
    }

    fn spf(&mut self, name: &str) -> Vec<String> {
        let mut texts = self.texts(name);
        // Also those that nobody can read: there are senders in them.
        texts.retain(|text| mend::is_meant(text));
        texts
    }

    // A wildcard's text appears at every name that does not exist, and so is not at this.
    fn keys(&mut self, name: &str, domain: &str) -> Vec<String> {
        let texts = self.texts(name);
        let of_wildcard = self.found(&format!("*._domainkey.{domain}"), RecordType::Txt);
        let mut wild: Vec<String> = of_wildcard.iter().filter_map(text).collect();
        wild.sort();
        if texts == wild { Vec::new() } else { texts }
    }

    fn dmarc(&mut self, domain: &str) -> Vec<String> {
        let mut texts = self.texts(&format!("_dmarc.{domain}"));
        texts.retain(|text| dmarc::mend::is_meant(text));
        texts
    }

    fn dmarc_above(&mut self, domain: &str) -> Option<(String, String)> {
        above(domain).find_map(|name| {
            let mut texts = self.dmarc(name);
            (texts.len() == 1).then_some(())?;
            texts.pop().map(|text| (name.to_owned(), text))
        })
    }

    fn exchangers(&mut self, domain: &str) -> Vec<(u16, String)> {
        let exchanger = Record::into_exchanger;
        let records = self.of(domain, RecordType::Mx);
        let mut list: Vec<_> = records.into_iter().filter_map(exchanger).collect();
        list.sort();
        list
    }

    fn aliases(&mut self, names: &[String]) -> HashMap<String, String> {
        let alias = |at: &String| {
            let target = self.of(at, RecordType::Cname).into_iter().find_map(name)?;
            Some((at.clone(), target))
        };
        names.iter().filter_map(alias).collect()
    }

    // Not ours to change, so that a failure here hinders nothing else.
    fn names(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        match self.known.get(&(reverse_name(address), RecordType::Ptr)) {
            Some(Ok(records)) => Ok(records.iter().cloned().filter_map(name).collect()),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(Vec::new()),
        }
    }

    // A zone begins where name servers stand. This serves only to shorten names for
    // panels, so that no answer is no reason to stop.
    fn zones(&self, subject: &Subject) -> Zones {
        let begins = |candidate: &&str| !self.found(candidate, RecordType::Ns).is_empty();
        let zone = |name: &str| {
            let zone = within_two_labels(name).find(begins)?;
            Some((name.to_owned(), zone.to_owned()))
        };
        Zones(zone_names(subject).filter_map(zone).collect())
    }
}

fn text(record: &Record) -> Option<String> {
    match record {
        Record::Txt(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
        _ => None,
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
