//! Which addresses mail may go to, and in which order they are tried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Hop, Machine};
use crate::config::Config;

/// The IPv4 address behind an IPv4-mapped one; every other address as it is.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Why the public DNS has no business naming this address, if so: mail sent there
/// would reach this machine or its own network.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    match canonical(address) {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => not_public_v6(v6),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, ..] = address.octets();
    if address.is_loopback() {
        Some("loopback")
    } else if a == 0 {
        Some("unspecified")
    } else if address.is_private() || (a == 100 && (64..128).contains(&b)) {
        Some("private")
    } else if address.is_link_local() {
        Some("link-local")
    } else if address.is_multicast() {
        Some("multicast")
    } else if a >= 240 {
        Some("reserved")
    } else {
        None
    }
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, .., high, low] = address.segments();
    // Translated addresses (RFC 6052, RFC 3056) carry an IPv4 address that counts.
    if first == 0x64 && second == 0xff9b {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return not_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    if address.is_loopback() {
        Some("loopback")
    } else if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_unique_local() || first & 0xffc0 == 0xfec0 {
        Some("private")
    } else if address.is_unicast_link_local() {
        Some("link-local")
    } else if address.is_multicast() {
        Some("multicast")
    } else if first == 0 {
        Some("reserved")
    } else {
        None
    }
}

/// Whether connecting there would reach one of our own listeners.
pub(super) fn is_ourselves(address: SocketAddr, config: &Config, interfaces: &[IpAddr]) -> bool {
    let ip = canonical(address.ip());
    let listen = &config.listen;
    let mut listeners = listen.smtp.iter().chain(&listen.submission).chain(&listen.submissions);
    listeners.any(|listener| {
        let at_every_address = listener.ip().is_unspecified() && interfaces.contains(&ip);
        listener.port() == address.port() && (canonical(listener.ip()) == ip || at_every_address)
    })
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
