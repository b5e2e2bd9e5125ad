//! For whom the plan is made.

use std::net::IpAddr;

use puerto_mail::dkim::{Algorithm, SigningKey};
use puerto_smtp::{Domain, LocalPart};

use super::{Said, words};
use crate::config::{Config, Live, NextHop};
use crate::intake::KeyRing;
use crate::local::Directory;
use crate::survey::egress::{self, Host};
use crate::survey::names::{ascii, is_private};

/// What this server is and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The domain that mail is sent from, in A-labels.
    pub domain: String,
    /// The name in HELO, which the addresses that no source has a name for, and their reverse
    /// records, carry.
    pub hostname: String,
    /// The host that an MX record would name.
    pub exchanger: String,
    /// The names in EHLO of `[[source]]`, with their addresses.
    pub sources: Vec<Host>,
    /// The addresses that mail leaves from.
    pub egress: Vec<IpAddr>,
    /// Who takes all our mail instead.
    pub relay: Option<NextHop>,
    /// Who takes what is refused for our addresses, where mail goes directly.
    pub rescue: Option<NextHop>,
    /// The keys that mail from the domain is signed with.
    pub keys: Vec<Key>,
    /// Whether this server takes mail for the domain.
    pub receives: bool,
    /// The MTA-STS policy that this server serves, as its page has it.
    pub policy: Option<String>,
    /// Whether senders find that policy at its host, so that it may be announced.
    pub is_policy_there: bool,
    /// The keys that the exchanger's TLSA records are to name: SHA-256 of the one in force,
    /// and of the next, in hexadecimal digits. None where DNSSEC does not vouch for its name.
    pub tlsa: Vec<String>,
    /// Whether mail for these names reaches somebody here; `None` if the system could
    /// not say.
    pub reached: Vec<(&'static str, Option<bool>)>,
}

/// A key and the record of its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `d=` of its signatures.
    pub domain: String,
    /// `s=` of its signatures.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub kind: &'static str,
    /// The text of the record.
    pub record: String,
}

impl Key {
    /// Of a key that mail is signed with.
    pub fn of(key: &SigningKey) -> Self {
        let kind = match key.key.algorithm() {
            Algorithm::Ed25519Sha256 => "ed25519",
            _ => "rsa",
        };
        let (domain, selector) = (key.domain.clone(), key.selector.clone());
        Self { domain, selector, kind, record: key.key.record_text() }
    }

    /// The name that the record stands at.
    pub fn name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }
}

impl Subject {
    /// From the configuration and its keys; without a `domain` it is the one that mail is
    /// from. The error says why there can be no plan.
    pub fn new(
        config: &Config,
        ring: &KeyRing,
        domain: Option<&str>,
        egress: Vec<IpAddr>,
    ) -> Result<Self, Said> {
        let not_a_domain = |text: &str| Said::plain(words::NOT_A_DOMAIN).put("text", text);
        let wanted = match domain {
            Some(text) => {
                Domain::parse(text.trim_end_matches('.')).map_err(|_| not_a_domain(text))?
            }
            None => config.sender_domain().cloned().ok_or(Said::plain(words::NO_DOMAIN))?,
        };
        let name = a_labels(&wanted).filter(|name| name.contains('.'));
        let domain = name.ok_or_else(|| not_a_domain(&wanted.to_string()))?;
        Ok(Self {
            reached: reached(config),
            policy: config.mta_sts.text(),
            is_policy_there: false,
            tlsa: Vec::new(),
            receives: config.domains.iter().filter_map(a_labels).any(|name| name == domain),
            hostname: ascii(&config.delivery.helo),
            exchanger: ascii(&config.hostname),
            sources: egress::sources(config),
            relay: config.relayhost.clone(),
            rescue: config.rescuer().cloned(),
            keys: ring.keys_for(&wanted).iter().map(|key| Key::of(key)).collect(),
            egress,
            domain,
        })
    }

    /// The names in EHLO, that of the host first, each with its addresses.
    pub(super) fn hosts(&self) -> Vec<Host> {
        egress::hosts(&self.hostname, &self.sources, &self.egress)
    }
}

/// Whether a name is one that the DNS can have.
pub(super) fn is_full_name(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or_default();
    let letters = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
    !is_private(name)
        && name.bytes().all(letters)
        && !top.bytes().all(|octet| octet.is_ascii_digit())
}

// Aliases and the system's users decide, as when mail comes.
fn reached(config: &Config) -> Vec<(&'static str, Option<bool>)> {
    let directory = Directory::new(Live::new(config.clone()));
    let reaches = |name: &'static str| {
        let part = LocalPart::from_unquoted(name).ok()?;
        directory.reaches_somebody(&part).ok()
    };
    ["postmaster", "abuse"].map(|name| (name, reaches(name))).to_vec()
}

fn a_labels(domain: &Domain) -> Option<String> {
    idna::domain_to_ascii(domain.name()?).ok()
}
