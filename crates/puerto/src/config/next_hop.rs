//! Next hops.

use std::net::IpAddr;

/// A next hop in Postfix's syntax: `mail.example.org`, `[mail.example.org]:587`,
/// `[192.0.2.1]`, `smtps://[mail.example.org]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Whom to ask.
    pub host: NextHopHost,
    /// The port, if one was written.
    pub port: Option<u16>,
    /// TLS from the first byte (port 465 unless one is written).
    pub implicit_tls: bool,
}

/// The host of a next hop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NextHopHost {
    /// A bare name: its MX records, or its addresses where it has none.
    Mx(String),
    /// A name in brackets: its addresses.
    Name(String),
    /// An address.
    Address(IpAddr),
}
