//! TLSA records: which certificate a host says in the DNS that it shows (RFC 6698, as
//! RFC 7671 and RFC 7672 have it for mail).
//!
//! Only DANE-TA(2) and DANE-EE(3) count; what is malformed or of another usage, selector or
//! matching type is no record that anything can be compared with, but a record all the same:
//! its owner wants TLS. One record that matches is enough, since the others may be those of a
//! key that was or will be.

use std::fmt;
use std::sync::Arc;

use ::aws_lc_rs::digest;
use puerto_mail::dns::Record;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};

use super::Certificate;
use super::fault::{of_ours, tls_failure};
use crate::cause::Cause;

/// Records of one host that are looked at.
const MOST: usize = 50;
/// Octets of one record's data: a whole certificate.
const LONGEST: usize = 4096;

/// To what a record binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Usage {
    /// An authority in the chain: DANE-TA(2).
    Authority,
    /// The host's own certificate: DANE-EE(3).
    Own,
}

/// A record that a certificate can be compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tlsa {
    usage: Usage,
    /// The key alone is meant, not the whole certificate.
    of_key: bool,
    matching: u8,
    data: Vec<u8>,
}

/// As people write its first three fields: `3 1 1`.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = match self.usage {
            Usage::Authority => 2,
            Usage::Own => 3,
        };
        write!(f, "{usage} {} {}", u8::from(self.of_key), self.matching)
    }
}

impl Tlsa {
    /// A record by its fields; `None` for one that nothing can be compared with.
    pub fn new(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Option<Self> {
        let usage = match usage {
            2 => Usage::Authority,
            3 => Usage::Own,
            _ => return None,
        };
        let of_key = match selector {
            0 => false,
            1 => true,
            _ => return None,
        };
        let has_right_length = match matching {
            0 => (1..=LONGEST).contains(&data.len()),
            1 => data.len() == 32,
            2 => data.len() == 64,
            _ => return None,
        };
        has_right_length.then(|| Self { usage, of_key, matching, data: data.to_vec() })
    }

    /// Whether a chain, the peer's own certificate first, holds what it is about. Of an
    /// authority it is not said that it vouches for the peer.
    pub fn is_met(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (self.usage, chain.split_first()) {
            (_, None) => false,
            (Usage::Own, Some((own, _))) => self.is_about(own),
            (Usage::Authority, Some((_, others))) => others.iter().any(|one| self.is_about(one)),
        }
    }

    // Whether it is about this certificate, whosever that is.
    fn is_about(&self, certificate: &[u8]) -> bool {
        let key;
        let part = if self.of_key {
            let der = CertificateDer::from(certificate);
            let Ok(parsed) = ParsedCertificate::try_from(&der) else {
                return self.is_about_odd(certificate);
            };
            key = parsed.subject_public_key_info();
            key.as_ref()
        } else {
            certificate
        };
        self.is_data(part)
    }

    // The library reads no certificates of version 1, whose key is one all the same.
    fn is_about_odd(&self, certificate: &[u8]) -> bool {
        let key = Certificate::parse(certificate).map(|certificate| certificate.public_key);
        key.is_some_and(|contents| self.is_data(&sequence(&contents)))
    }

    fn is_data(&self, part: &[u8]) -> bool {
        match self.matching {
            1 => digest::digest(&digest::SHA256, part).as_ref() == self.data,
            2 => digest::digest(&digest::SHA512, part).as_ref() == self.data,
            _ => part == self.data,
        }
    }
}

/// What the records of a host say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsaSet {
    // Sorted, so that the same records in another order are the same.
    usable: Vec<Tlsa>,
}

impl TlsaSet {
    /// The records of an answer.
    pub fn of(records: &[Record]) -> Self {
        let mut usable: Vec<Tlsa> = records
            .iter()
            .take(MOST)
            .filter_map(|record| match record {
                Record::Tlsa(usage, selector, matching, data) => {
                    Tlsa::new(*usage, *selector, *matching, data)
                }
                _ => None,
            })
            .collect();
        usable.sort_unstable();
        usable.dedup();
        // RFC 7671 §9: of several digests of the same, the strongest counts.
        let strongest = usable.clone();
        usable.retain(|record| {
            let is_same =
                |other: &Tlsa| (other.usage, other.of_key) == (record.usage, record.of_key);
            record.matching != 1 || !strongest.iter().any(|o| o.matching == 2 && is_same(o))
        });
        Self { usable }
    }

    /// Whether a certificate can be compared with any.
    pub fn is_usable(&self) -> bool {
        !self.usable.is_empty()
    }

    /// The first three fields of each, for people: `3 1 1, 2 1 1`.
    pub fn shown(&self) -> String {
        let mut shown: Vec<String> = self.usable.iter().map(ToString::to_string).collect();
        shown.dedup();
        shown.join(", ")
    }

    /// Each record as zone files write it.
    pub fn written(&self) -> Vec<String> {
        let hex = |data: &[u8]| data.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        self.usable.iter().map(|record| format!("{record} {}", hex(&record.data))).collect()
    }

    /// Whether names count: some of them bind to an authority that others' certificates
    /// are of as well (RFC 7672 §3.1.2).
    pub fn needs_names(&self) -> bool {
        self.usable.iter().any(|record| record.usage == Usage::Authority)
    }
}

/// What DANE demands of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dane {
    /// The TLSA base domain, for which the records are and which SNI names.
    pub base: Arc<str>,
    /// The names of which one has to be in a certificate that an authority vouches for: the
    /// base domain first.
    pub names: Vec<Arc<str>>,
    /// The records.
    pub records: Arc<TlsaSet>,
}

impl Dane {
    /// The record that a chain meets, the peer's own certificate first.
    pub fn matched(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<&Tlsa, Error> {
        let (own, others) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        // RFC 7671 §5.1: neither names nor dates nor the chain matter to it.
        let is_own = |record: &&Tlsa| record.usage == Usage::Own && record.is_about(own);
        if let Some(record) = self.records.usable.iter().find(is_own) {
            return Ok(record);
        }
        let unmatched = Cause::TlsaUnmatched { host: self.base.to_string() };
        let mut fault = Error::Other(of_ours(unmatched));
        for record in self.records.usable.iter().filter(|r| r.usage == Usage::Authority) {
            let anchors = anchors(record, chain);
            if anchors.roots.is_empty() {
                continue;
            }
            match self.is_signed((own, others), &anchors, now, algorithms) {
                Ok(()) => return Ok(record),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// The first three fields of the record that a peer's certificates meet, or why they meet
    /// none, to be told.
    pub fn record_met(&self, chain: &[CertificateDer<'_>]) -> Result<String, Cause> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let met = self.matched(chain, UnixTime::now(), &algorithms);
        met.map(ToString::to_string).map_err(|error| tls_failure(&error))
    }

    fn is_signed(
        &self,
        (own, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        anchors: &RootCertStore,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(own)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, anchors, others, now, algorithms.all)?;
        let mut fault = None;
        for name in &self.names {
            let Ok(name) = ServerName::try_from(&**name) else { continue };
            match verify_server_name(&parsed, &name) {
                Ok(()) => return Ok(()),
                // The first name is the one that it should have been.
                Err(error) => drop(fault.get_or_insert(error)),
            }
        }
        Err(fault.unwrap_or_else(|| Error::Other(of_ours(Cause::UnverifiableName {}))))
    }
}

// The authorities that a record means. A digest can only mean one that the peer sent; a whole
// certificate, and a whole key under whatever name issued what the peer sent, may be left out
// of the chain (RFC 7672 §3.1.2).
fn anchors(record: &Tlsa, chain: &[CertificateDer<'_>]) -> RootCertStore {
    let mut anchors = RootCertStore::empty();
    for certificate in chain.iter().skip(1).filter(|one| record.is_about(one)) {
        // One that cannot be read vouches for nobody.
        let _ = anchors.add(certificate.clone().into_owned());
    }
    match (record.matching, record.of_key) {
        (0, false) => {
            let _ = anchors.add(CertificateDer::from(record.data.clone()));
        }
        (0, true) => anchors.roots.extend(chain.iter().filter_map(|certificate| {
            let subject = Certificate::parse(certificate)?.issuer_der;
            let key = super::certificate::contents(&record.data)?;
            Some(TrustAnchor {
                subject: Der::from(subject),
                subject_public_key_info: Der::from(key.to_vec()),
                name_constraints: None,
            })
        })),
        _ => {}
    }
    anchors
}

// A DER SEQUENCE of these contents.
fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let length = length.iter().copied().skip_while(|octet| *octet == 0).collect::<Vec<_>>();
    let mut der = vec![0x30];
    match (contents.len(), u8::try_from(length.len())) {
        (..0x80, _) => der.push(length.first().copied().unwrap_or_default()),
        (_, octets) => {
            der.push(0x80 | octets.unwrap_or_default());
            der.extend(length);
        }
    }
    der.extend(contents);
    der
}

#[cfg(test)]
mod tests;
