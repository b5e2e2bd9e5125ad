//! Where mail for a domain goes: relayhost, routes, MX, addresses, each with its
//! reason.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Login, TlsLevel};

/// What messages share when they go to the same place. With a relayhost, the
/// relayhost; otherwise the set of MX hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationKey(pub Arc<str>);

/// One address of one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The host's name, or its address as text: for the log and the certificate.
    pub host: Arc<str>,
    /// Where to connect.
    pub address: SocketAddr,
}

/// How to reach a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it shares with others.
    pub key: DestinationKey,
    /// Where to connect, in this order; at most 20, never empty.
    pub hops: Vec<Hop>,
    /// TLS.
    pub tls: TlsLevel,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// AUTH, if the next hop wants it.
    pub login: Option<Login>,
    /// Whether the next hop is a relay of ours: its refusal of the whole session is
    /// then a mistake to be mended, never a reason to bounce.
    pub is_relay: bool,
    /// Why mail goes there, for people: `MX of example.com`.
    pub reason: Arc<str>,
}
