//! What an SPF record must say so that mail through a relayhost passes.
//!
//! The addresses that a relay takes mail in at are often not those that it sends
//! from. The large services publish those that they send from in a record to be
//! included, which is known here by the name of their relays.

use std::net::IpAddr;

use puerto_mail::dns::{Dns, DnsError, Record, RecordType};

use super::Unread;
use crate::config::{NextHop, NextHopHost};
use crate::survey::address::is_public;

/// How a relay is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coverage {
    /// The service publishes a record of its own.
    Include {
        /// `include:…`
        term: String,
        /// The relay.
        provider: String,
    },
    /// Through the addresses that it is reached at.
    Addresses {
        /// `a:…`, `mx:…`, `ip4:…` or `ip6:…`.
        term: String,
        /// The relay.
        relay: String,
        /// These.
        addresses: Vec<IpAddr>,
    },
    /// Its address is private: the one that others see is not known here.
    Private {
        /// The relay.
        relay: String,
    },
    /// Its name has no address.
    Nowhere {
        /// The relay.
        relay: String,
    },
}

/// Relays by the end of their names, and the record that their service publishes, each
/// as its operator or those who list such records tell it (read in November 2026).
/// Left out are services that put a reverse-path of their own into every message, as
/// Postmark says of itself (postmarkapp.com/blog/why-we-no-longer-ask-for-spf-records)
/// and SparkPost does, and Brevo, on whose record the sources do not agree.
const SERVICES: &[(&str, &str)] = &[
    // support.google.com/a/answer/10684623
    ("gmail.com", "_spf.google.com"),
    ("google.com", "_spf.google.com"),
    // Published so; useboring-spfcreator-app.pages.dev/guides/spf-records-by-email-provider
    ("office365.com", "spf.protection.outlook.com"),
    ("outlook.com", "spf.protection.outlook.com"),
    // docs.aws.amazon.com/ses/latest/dg/send-email-authentication-spf.html
    ("amazonaws.com", "amazonses.com"),
    // dmarcianbeacon.helpscoutdocs.com/article/126-spf-cleanup-techniques
    ("sendgrid.net", "sendgrid.net"),
    // Published so; dailytool.net/tools/seo/spf-checker/blog/spf-record-multiple-email-providers
    ("mailgun.org", "mailgun.org"),
    ("mailjet.com", "spf.mailjet.com"),
    // sendmarc.com/spf/spf-mandrill
    ("mandrillapp.com", "spf.mandrillapp.com"),
    // docs.mailchannels.com/email-api/spf-dkim-dmarc
    ("mailchannels.net", "relay.mailchannels.net"),
    // docs.ovh.com/it/domains/hosting_condiviso_il_record_spf
    ("ovh.net", "mx.ovh.com"),
    // helpdesk.gandi.net/hc/en-us/articles/14001808469404-What-is-an-SPF-record
    ("gandi.net", "_mailcust.gandi.net"),
];

/// Finds out how the relay is to be covered.
pub(super) async fn find<D: Dns>(dns: &D, next_hop: &NextHop) -> Result<Coverage, Unread> {
    let (host, by_mx) = match &next_hop.host {
        NextHopHost::Address(address) => {
            let term = match address {
                IpAddr::V4(_) => format!("ip4:{address}"),
                IpAddr::V6(_) => format!("ip6:{address}"),
            };
            return Ok(reachable(term, address.to_string(), vec![*address]));
        }
        NextHopHost::Name(name) => (name, false),
        NextHopHost::Mx(name) => (name, true),
    };
    if let Some((_, record)) =
        SERVICES.iter().find(|(end, _)| super::existing::is_within(host, end))
    {
        return Ok(Coverage::Include { term: format!("include:{record}"), provider: host.clone() });
    }
    let mut hosts = Vec::new();
    if by_mx {
        hosts = ask(dns, host, RecordType::Mx).await?;
    }
    let by_mx = !hosts.is_empty();
    let mut names: Vec<String> = hosts
        .into_iter()
        .filter_map(|record| match record {
            Record::Mx(_, name) => Some(name),
            _ => None,
        })
        .collect();
    if !by_mx {
        names.push(host.clone());
    }
    let mut addresses = Vec::new();
    for name in &names {
        for kind in [RecordType::A, RecordType::Aaaa] {
            for record in ask(dns, name, kind).await? {
                if let Record::Address(address) = record {
                    addresses.push(address);
                }
            }
        }
    }
    let term = if by_mx { format!("mx:{host}") } else { format!("a:{host}") };
    Ok(reachable(term, host.clone(), addresses))
}

fn reachable(term: String, relay: String, addresses: Vec<IpAddr>) -> Coverage {
    if addresses.is_empty() {
        Coverage::Nowhere { relay }
    } else if !addresses.iter().any(|address| is_public(*address)) {
        Coverage::Private { relay }
    } else {
        Coverage::Addresses { term, relay, addresses }
    }
}

async fn ask<D: Dns>(dns: &D, name: &str, kind: RecordType) -> Result<Vec<Record>, Unread> {
    match dns.lookup(name, kind).await {
        Ok(answer) => Ok(answer.records),
        Err(error) if error.is_absence() => Ok(Vec::new()),
        Err(error @ (DnsError::Timeout | DnsError::Failure(_))) => {
            Err(Unread { questions: vec![(format!("{} {name}", kind), error)] })
        }
        Err(_) => Ok(Vec::new()),
    }
}
