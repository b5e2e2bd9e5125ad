//! What the DNS says today: the one place that asks it for records to be merged.

use std::collections::HashMap;
use std::net::IpAddr;

use puerto_mail::dmarc;
use puerto_mail::dns::{Dns, DnsError, Record, RecordType, reverse_name};
use puerto_mail::spf::mend;
use puerto_mail::together::together;

use super::subject::is_full_name;
use super::{Apex, Key, Subject, Unread};
use crate::survey::records::{Unanswered, addresses, records};
use puerto_mail::dns::is_at_or_below;

/// What stands in the DNS.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing {
    /// A and AAAA of each name in EHLO, and its texts that are, or were meant as, SPF records,
    /// in the order of the names.
    pub(super) hosts: Vec<(Vec<IpAddr>, Vec<String>)>,
    /// MX of the domain.
    pub(super) exchangers: Vec<(u16, String)>,
    /// Those of them of which the DNS says that they have no address.
    pub(super) nowhere: Vec<String>,
    /// The domain has an address of its own, which mail without an MX goes to.
    pub(super) has_address: bool,
    /// Texts of the domain that are, or were meant as, SPF records.
    pub(super) spf: Vec<String>,
    /// Texts at `_dmarc` of the domain that are, or were meant as, DMARC records.
    pub(super) dmarc: Vec<String>,
    /// The closest domain above that has a DMARC record.
    pub(super) dmarc_above: Option<String>,
    /// Texts at each key's name, in the order of the keys.
    pub(super) keys: Vec<Vec<String>>,
    /// There is a record for reports about TLS.
    pub(super) has_tls_reports: bool,
    /// Texts at `_mta-sts` of the domain.
    pub(super) mta_sts: Vec<String>,
    /// The addresses of the host that the policy is served at.
    pub(super) policy_host: Vec<IpAddr>,
    /// TLSA records of the exchanger, as a zone file writes them.
    pub(super) tlsa: Vec<String>,
    /// The names of each address, in the order of the addresses.
    pub(super) names: Vec<Result<Vec<String>, DnsError>>,
    /// Names that are aliases, of those that must not be, and what of.
    pub(super) aliases: HashMap<String, String>,
    /// Where zones begin.
    pub(super) zones: Zones,
    /// The head of the domain's zone.
    pub(super) apex: Apex,
}

/// Names at which zones begin, of those that the plan's names may stand in.
#[derive(Debug, Clone, Default)]
pub(super) struct Zones(Vec<String>);

impl Zones {
    /// The zone of a name; where the DNS did not say, the domain itself, or what
    /// stands behind the first dot.
    pub(super) fn of(&self, name: &str, domain: &str) -> String {
        let around = self.0.iter().filter(|zone| is_at_or_below(name, zone));
        if let Some(zone) = around.max_by_key(|zone| zone.len()) {
            return zone.clone();
        }
        if is_at_or_below(name, domain) {
            return domain.to_owned();
        }
        match name.split_once('.') {
            Some((_, parent)) if parent.contains('.') => parent.to_owned(),
            _ => name.to_owned(),
        }
    }

    // A zone begins where name servers stand. This serves only to shorten names for
    // panels, so that no answer is no reason to stop.
    async fn find<D: Dns>(dns: &D, subject: &Subject) -> Self {
        let keys = subject.keys.iter().map(|key| key.domain.as_str());
        let hosts = subject.hosts();
        let hosts = hosts.iter().map(|host| host.name.as_str());
        let names = std::iter::once(subject.domain.as_str()).chain(hosts).chain(keys);
        let mut candidates: Vec<&str> = names.flat_map(within_two_labels).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let begins = together(candidates.into_iter().map(async |name| {
            let servers = dns.records(name, RecordType::Ns).await.unwrap_or_default();
            (!servers.is_empty()).then(|| name.to_owned())
        }));
        Self(begins.await.into_iter().flatten().collect())
    }
}

/// Questions that mattered and had no answer.
#[derive(Default)]
struct Unanswereds(Vec<Unanswered>);

impl Unanswereds {
    /// What was found; nothing, and the question noted, where there was no answer.
    fn known<T: Default>(&mut self, answer: Result<T, Unanswered>) -> T {
        answer.unwrap_or_else(|question| {
            if !self.0.contains(&question) {
                self.0.push(question);
            }
            T::default()
        })
    }
}

impl Existing {
    /// A and AAAA of the host's own name.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        self.hosts.first().map_or(&[], |(addresses, _)| addresses)
    }

    /// Asks for everything; an error names the questions that mattered and had no answer.
    ///
    /// All questions are asked at the same time, also those whose answers may turn out not
    /// to matter: waiting for one after the other would take longer than anybody waits.
    pub(super) async fn read<D: Dns>(dns: &D, subject: &Subject) -> Result<Self, Unread> {
        let domain = subject.domain.as_str();
        let hosts = subject.hosts();
        let of_hosts = together(hosts.iter().map(async |host| match is_full_name(&host.name) {
            true => tokio::join!(addresses(dns, &host.name), texts(dns, &host.name)),
            false => (Ok(Vec::new()), Ok(Vec::new())),
        }));
        let policy = format!("_dmarc.{domain}");
        let others = [format!("_smtp._tls.{domain}"), format!("_mta-sts.{domain}")];
        let to_us = encryption(dns, subject);
        let (
            to_us,
            of_hosts,
            exchangers,
            own,
            spf,
            dmarc,
            above,
            keys,
            others,
            aliases,
            names,
            zones,
        ) = tokio::join!(
            to_us,
            of_hosts,
            records(dns, domain, RecordType::Mx),
            addresses(dns, domain),
            texts(dns, domain),
            texts(dns, &policy),
            policy_above(dns, domain),
            together(subject.keys.iter().map(|key| texts_of_key(dns, key))),
            together(others.iter().map(|name| texts(dns, name))),
            together(alias_names(subject).into_iter().map(|name| alias(dns, name))),
            together(subject.egress.iter().map(|address| names(dns, *address))),
            Zones::find(dns, subject),
        );
        let mut unread = Unanswereds::default();
        let mut found = Self { names, zones, ..Self::default() };
        for (addresses, texts) in of_hosts {
            found.hosts.push((unread.known(addresses), spf_among(unread.known(texts))));
        }
        let exchangers = unread.known(exchangers).into_iter();
        found.exchangers = exchangers.filter_map(Record::into_exchanger).collect();
        found.exchangers.sort();
        if found.exchangers.is_empty() {
            found.has_address = !unread.known(own).is_empty();
        }
        found.spf = spf_among(unread.known(spf));
        found.dmarc = dmarc_among(unread.known(dmarc));
        if found.dmarc.is_empty() {
            found.dmarc_above = unread.known(above);
        }
        found.keys = keys.into_iter().map(|texts| unread.known(texts)).collect();
        let mut others = others.into_iter().map(|texts| unread.known(texts));
        found.has_tls_reports = others.next().is_some_and(|texts| !texts.is_empty());
        found.mta_sts = others.next().unwrap_or_default();
        drop(others);
        (found.policy_host, found.tlsa) = (unread.known(to_us.0), unread.known(to_us.1));
        found.aliases = aliases.into_iter().filter_map(|alias| unread.known(alias)).collect();
        if !unread.0.is_empty() {
            return Err(Unread { questions: unread.0 });
        }
        (found.apex, found.nowhere) = tokio::join!(found.apex(dns, subject), found.nowhere(dns));
        Ok(found)
    }

    // No answer is none against them.
    async fn nowhere<D: Dns>(&self, dns: &D) -> Vec<String> {
        let hosts = self.exchangers.iter().filter(|(_, host)| !host.is_empty());
        let asked = together(hosts.map(async |(_, host)| {
            let is_nowhere = addresses(dns, host).await.is_ok_and(|found| found.is_empty());
            is_nowhere.then(|| host.clone())
        }));
        asked.await.into_iter().flatten().collect()
    }

    // What a file of the domain's zone needs beside the records that are planned. No
    // answer is no reason to stop: nothing of it is changed.
    async fn apex<D: Dns>(&self, dns: &D, subject: &Subject) -> Apex {
        let zone = self.zones.of(&subject.domain, &subject.domain);
        let (soa, servers) =
            tokio::join!(dns.records(&zone, RecordType::Soa), dns.records(&zone, RecordType::Ns));
        let soa = soa.into_iter().flatten().find_map(|record| match record {
            Record::Soa(_, text) => Some(text),
            _ => None,
        });
        let servers = servers.into_iter().flatten().filter_map(Record::into_name);
        let servers: Vec<String> = servers.collect();
        let hosts = servers.iter().chain(self.exchangers.iter().map(|(_, host)| host));
        let ours = subject.hosts();
        let is_ours = |host: &str| ours.iter().any(|own| own.name == host);
        let inside = hosts.filter(|host| is_at_or_below(host, &zone) && !is_ours(host));
        let kinds = [RecordType::A, RecordType::Aaaa];
        let asked = inside.flat_map(|host| kinds.map(|kind| (host, kind)));
        let found = together(asked.map(async |(host, kind)| {
            let records = dns.records(host, kind).await.unwrap_or_default().into_iter();
            records
                .filter_map(Record::into_address)
                .map(|address| (host.clone(), address))
                .collect()
        }));
        let found: Vec<Vec<(String, IpAddr)>> = found.await;
        let mut addresses = found.concat();
        addresses.sort();
        addresses.dedup();
        Apex { zone, soa, servers, addresses }
    }
}

// What makes mail to us safer, where it is to be.
async fn encryption<D: Dns>(
    dns: &D,
    subject: &Subject,
) -> (Result<Vec<IpAddr>, Unanswered>, Result<Vec<String>, Unanswered>) {
    let host = async {
        match subject.policy {
            Some(_) => addresses(dns, &policy_host(&subject.domain)).await,
            None => Ok(Vec::new()),
        }
    };
    let tlsa = async {
        if subject.tlsa.is_empty() {
            return Ok(Vec::new());
        }
        let found = records(dns, &tlsa_name(&subject.exchanger), RecordType::Tlsa).await?;
        let mut found: Vec<String> = found.iter().filter_map(tlsa_text).collect();
        found.sort();
        Ok(found)
    };
    tokio::join!(host, tlsa)
}

/// Where senders look for the policy (RFC 8461 §3.3).
pub(super) fn policy_host(domain: &str) -> String {
    format!("mta-sts.{domain}")
}

/// Where senders look for a host's TLSA records (RFC 7672 §2.2).
pub(super) fn tlsa_name(host: &str) -> String {
    format!("_25._tcp.{host}")
}

fn tlsa_text(record: &Record) -> Option<String> {
    let Record::Tlsa(usage, selector, matching, data) = record else { return None };
    Some(format!("{usage} {selector} {matching} {}", hexadecimal(data)))
}

/// Octets as TLSA records are written.
pub(super) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

// Names at which a service may have had an alias put, which nothing can stand beside.
fn alias_names(subject: &Subject) -> Vec<String> {
    let own = [subject.domain.clone(), format!("_dmarc.{}", subject.domain)];
    let hosts = subject.hosts().into_iter().map(|host| host.name);
    let hosts = hosts.filter(|name| is_full_name(name));
    let host_of_policy = subject.policy.as_ref().map(|_| policy_host(&subject.domain));
    let tlsa = (!subject.tlsa.is_empty()).then(|| tlsa_name(&subject.exchanger));
    let names = subject.keys.iter().map(Key::name).chain(own).chain(hosts);
    names.chain(host_of_policy).chain(tlsa).collect()
}

// The name and those above it, as long as they have a dot.
fn within_two_labels(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
        .take_while(|name| name.contains('.'))
}

// Resolvers turn the records around; a plan must not depend on the day.
async fn texts<D: Dns>(dns: &D, name: &str) -> Result<Vec<String>, Unanswered> {
    let records = records(dns, name, RecordType::Txt).await?;
    let mut texts: Vec<String> = records.iter().filter_map(Record::text).collect();
    texts.sort();
    Ok(texts)
}

// Also those that nobody can read: there are senders in them.
fn spf_among(mut texts: Vec<String>) -> Vec<String> {
    texts.retain(|text| mend::is_meant(text));
    texts
}

fn dmarc_among(mut texts: Vec<String>) -> Vec<String> {
    texts.retain(|text| dmarc::mend::is_meant(text));
    texts
}

// RFC 9989 §4.10: the walk up the tree takes eight questions at most.
async fn policy_above<D: Dns>(dns: &D, domain: &str) -> Result<Option<String>, Unanswered> {
    let above: Vec<&str> = within_two_labels(domain).skip(1).take(7).collect();
    let asked = above.iter().map(async |name| texts(dns, &format!("_dmarc.{name}")).await);
    for (name, texts) in above.iter().zip(together(asked).await) {
        if dmarc_among(texts?).len() == 1 {
            return Ok(Some((*name).to_owned()));
        }
    }
    Ok(None)
}

// A wildcard's text appears at every name that does not exist, and so is not at this.
async fn texts_of_key<D: Dns>(dns: &D, key: &Key) -> Result<Vec<String>, Unanswered> {
    let (name, wildcard) = (key.name(), format!("*._domainkey.{}", key.domain));
    let (texts, wild) = tokio::join!(texts(dns, &name), texts(dns, &wildcard));
    let texts = texts?;
    Ok(if wild.is_ok_and(|wild| wild == texts) { Vec::new() } else { texts })
}

async fn alias<D: Dns>(dns: &D, name: String) -> Result<Option<(String, String)>, Unanswered> {
    let records = records(dns, &name, RecordType::Cname).await?;
    Ok(records.into_iter().find_map(Record::into_name).map(|target| (name, target)))
}

// Not ours to change, so that a failure here hinders nothing else.
async fn names<D: Dns>(dns: &D, address: IpAddr) -> Result<Vec<String>, DnsError> {
    let records = dns.records(&reverse_name(address), RecordType::Ptr).await?;
    Ok(records.into_iter().filter_map(Record::into_name).collect())
}
