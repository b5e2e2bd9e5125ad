//! What an SPF record must say so that mail through a relayhost passes.
//!
//! The addresses that a relay takes mail in at are often not those that it sends
//! from. The large services publish those that they send from in a record to be
//! included, by which they are covered.

use std::net::IpAddr;

use puerto_mail::dns::Dns;

use super::Unread;
use super::spf::literal;
use crate::config::{NextHop, NextHopHost};
use crate::survey::address::is_public;
use crate::survey::relayhost::{self, Way};

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

/// Finds out how the relay is to be covered.
pub(super) async fn find<D: Dns>(dns: &D, next_hop: &NextHop) -> Result<Coverage, Unread> {
    let relay = match &next_hop.host {
        NextHopHost::Address(address) => address.to_string(),
        NextHopHost::Mx(name) | NextHopHost::Name(name) => name.clone(),
    };
    if let Some(record) = relayhost::service(next_hop).and_then(|service| service.spf) {
        return Ok(Coverage::Include { term: format!("include:{record}"), provider: relay });
    }
    let way = relayhost::way(dns, next_hop).await;
    let Way { by_mx, addresses } = way.map_err(|question| Unread { questions: vec![question] })?;
    if addresses.is_empty() {
        return Ok(Coverage::Nowhere { relay });
    }
    if !addresses.iter().any(|address| is_public(*address)) {
        return Ok(Coverage::Private { relay });
    }
    let term = match &next_hop.host {
        NextHopHost::Address(address) => literal(*address),
        _ if by_mx => format!("mx:{}", relayhost::ascii(&relay)),
        _ => format!("a:{}", relayhost::ascii(&relay)),
    };
    Ok(Coverage::Addresses { term, relay, addresses })
}
