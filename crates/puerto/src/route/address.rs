//! Which addresses mail may go to, and in which order they are tried.

use std::net::{IpAddr, SocketAddr};

use super::machine::interface_addresses;
use super::{Hop, Machine};
use crate::cause::Cause;
use crate::config::{Config, NextHop, NextHopHost};
use crate::survey::address::{Special, special};

/// The IPv4 address behind an IPv4-mapped one; every other address as it is.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Why mail is not brought to an address that an MX host has or a recipient is: it would
/// reach this machine, its own network or nobody.
pub(super) fn refusal(address: IpAddr, allow_private: bool) -> Option<Special> {
    special(address).filter(|kind| kind.is_no_destination() || !allow_private)
}

/// What is to be said of such an address.
pub(super) fn where_no_mail_goes(kind: Special) -> Box<Cause> {
    let never = kind.is_no_destination();
    Box::new(if never { Cause::NeverDelivered {} } else { Cause::UnlessAllowed {} })
}

/// Why mail is not brought to an address literal: as an address that an MX host has is
/// judged, and never back to this machine, whose addresses the interfaces have.
pub(super) fn literal_fault(
    address: IpAddr,
    config: &Config,
    interfaces: &[IpAddr],
) -> Option<LiteralFault> {
    let delivery = &config.delivery;
    if let Some(kind) = refusal(address, delivery.allow_private) {
        return Some(LiteralFault::Special(kind));
    }
    // Where private addresses may be delivered to, other servers may be on this machine.
    let is_here = !delivery.allow_private && interfaces.contains(&address);
    let there = SocketAddr::new(address, delivery.port);
    let ours = is_here || is_ourselves(there, config, interfaces);
    ours.then_some(LiteralFault::Ourselves)
}

/// Why mail is not brought to an address literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralFault {
    /// It is not an address for the whole Internet.
    Special(Special),
    /// It is this machine's.
    Ourselves,
}

/// Whether connecting there would reach one of our own listeners.
pub(super) fn is_ourselves(address: SocketAddr, config: &Config, interfaces: &[IpAddr]) -> bool {
    let ip = canonical(address.ip());
    config.listen.all().any(|listener| {
        // All of 127.0.0.0/8 is this machine, though an interface has one of them.
        let is_of_machine = ip.is_loopback() || interfaces.contains(&ip);
        let at_every_address = listener.ip().is_unspecified() && is_of_machine;
        listener.port() == address.port() && (canonical(listener.ip()) == ip || at_every_address)
    })
}

/// Whether a next hop is this server, as far as that can be told without the DNS.
pub fn leads_here(config: &Config, next_hop: &NextHop) -> bool {
    let port = next_hop.port_or(25);
    match &next_hop.host {
        NextHopHost::Address(ip) => {
            is_ourselves(SocketAddr::new(*ip, port), config, &interface_addresses())
        }
        NextHopHost::Name(name) | NextHopHost::Mx(name) => {
            let is_own =
                ["localhost", &config.hostname].iter().any(|own| name.eq_ignore_ascii_case(own));
            is_own && config.listen.all().any(|listener| listener.port() == port)
        }
    }
}

/// Orders one host's addresses: families in turn, IPv4 first, since an IPv6 address
/// without a PTR record is refused for good by the large providers.
pub(super) fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut v4 = addresses.iter().filter(|address| address.is_ipv4());
    let mut v6 = addresses.iter().filter(|address| address.is_ipv6());
    let mut ordered = Vec::with_capacity(addresses.len());
    loop {
        let pair = (v4.next(), v6.next());
        if pair == (None, None) {
            return ordered;
        }
        ordered.extend(pair.0.into_iter().chain(pair.1));
    }
}

/// Leaves out the addresses that this machine has no way to, such as IPv6 where
/// there is none; if that would leave nothing, all stay and the attempt tells why.
pub(super) fn drop_unreachable(hops: Vec<Hop>, machine: &Machine) -> Vec<Hop> {
    let reachable: Vec<Hop> =
        hops.iter().filter(|hop| (machine.has_way_to)(hop.address)).cloned().collect();
    if reachable.is_empty() { hops } else { reachable }
}
