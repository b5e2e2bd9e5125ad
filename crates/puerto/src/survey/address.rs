//! Which addresses the whole Internet can reach, and what the others are for.
//!
//! The fact is the column "globally reachable" of the IANA's special-purpose address
//! registries (RFC 6890). Whatever names an address, an MX host, an address literal, a
//! record of ours or an interface, it is judged here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::cause::AddressKind as Special;

impl Special {
    /// Whether mail is never brought there, whatever the configuration allows.
    pub const fn is_no_destination(self) -> bool {
        matches!(self, Self::Unspecified | Self::Multicast)
    }
}

/// RFC 6598.
const OF_PROVIDERS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// Blocks by network and prefix length, the first that holds an address decides. The
/// networks of examples (192.0.2.0/24, 2001:db8::/32 and the like) are left out: nothing is reached there by
/// mistake, and in examples they stand for the whole Internet. Of 192.0.0.0/24 and
/// 2001::/23 some anycast addresses are reachable; no mail server is among them.
const V4: [(Ipv4Addr, u32, Special); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Special::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Special::Private),
    (OF_PROVIDERS, 10, Special::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Special::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Special::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Special::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Special::Translated),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Special::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Special::Benchmarking),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Special::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Special::Reserved),
];

const V6: [(Ipv6Addr, u32, Special); 11] = [
    (Ipv6Addr::UNSPECIFIED, 128, Special::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Special::Loopback),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Special::Translated),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, Special::Translated),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, Special::Benchmarking),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Special::Reserved),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Special::Translated),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Special::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Special::LinkLocal),
    // Site-local, which the IETF gave up and some networks did not.
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Special::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Special::Multicast),
];

/// Whether an address is for the whole Internet.
pub fn is_public(address: IpAddr) -> bool {
    special(address).is_none()
}

/// What an address is for, if it is not for the whole Internet.
pub fn special(address: IpAddr) -> Option<Special> {
    // ::ffff:192.0.2.1 is 192.0.2.1.
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Whether a whole network holds nobody but this machine and others of its owner. What a
/// provider has behind its translator holds strangers.
pub fn is_ones_own(network: IpAddr, prefix: u8) -> bool {
    let own = |length: u32, kind: Special| {
        matches!(kind, Special::Private | Special::Loopback) && length <= prefix.into()
    };
    match network.to_canonical() {
        IpAddr::V4(address) => block_v4(address)
            .is_some_and(|(first, length, kind)| *first != OF_PROVIDERS && own(*length, *kind)),
        IpAddr::V6(address) => {
            block_v6(address).is_some_and(|(_, length, kind)| own(*length, *kind))
        }
    }
}

fn block_v4(address: Ipv4Addr) -> Option<&'static (Ipv4Addr, u32, Special)> {
    V4.iter()
        .find(|(first, length, _)| (address.to_bits() ^ first.to_bits()).leading_zeros() >= *length)
}

fn block_v6(address: Ipv6Addr) -> Option<&'static (Ipv6Addr, u32, Special)> {
    V6.iter()
        .find(|(first, length, _)| (address.to_bits() ^ first.to_bits()).leading_zeros() >= *length)
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    block_v4(address).map(|(.., kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    // RFC 6052 §2.1: the translator's prefix that all share, and the address behind it.
    if let [0x64, 0xff9b, 0, 0, 0, 0, ..] = address.segments() {
        let [.., a, b, c, d] = address.octets();
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Nothing outside 2000::/3 was ever given out to be reached.
    let given_out = address.segments()[0] >> 13 == 1;
    let known = block_v6(address).map(|(.., kind)| *kind);
    known.or_else(|| (!given_out).then_some(Special::Reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged_by_the_registries_of_the_iana() {
        for (address, kind) in [
            ("0.0.0.0", Some(Special::Unspecified)),
            ("0.1.2.3", Some(Special::Unspecified)),
            ("9.255.255.255", None),
            ("10.0.0.99", Some(Special::Private)),
            ("100.63.255.255", None),
            ("100.64.0.0", Some(Special::Private)),
            ("100.127.255.255", Some(Special::Private)),
            ("100.128.0.0", None),
            ("127.255.255.254", Some(Special::Loopback)),
            ("169.254.169.254", Some(Special::LinkLocal)),
            ("172.15.255.255", None),
            ("172.31.255.255", Some(Special::Private)),
            ("172.32.0.0", None),
            ("192.0.0.8", Some(Special::Reserved)),
            ("192.0.1.1", None),
            ("192.0.2.1", None),
            ("192.88.99.1", Some(Special::Translated)),
            ("192.168.0.1", Some(Special::Private)),
            ("198.17.255.255", None),
            ("198.18.0.1", Some(Special::Benchmarking)),
            ("198.19.255.255", Some(Special::Benchmarking)),
            ("198.20.0.0", None),
            ("223.255.255.255", None),
            ("224.0.0.1", Some(Special::Multicast)),
            ("240.0.0.1", Some(Special::Reserved)),
            ("255.255.255.255", Some(Special::Reserved)),
            ("::", Some(Special::Unspecified)),
            ("::1", Some(Special::Loopback)),
            ("::2", Some(Special::Reserved)),
            ("::127.0.0.1", Some(Special::Reserved)),
            ("::ffff:127.0.0.1", Some(Special::Loopback)),
            ("::ffff:0.0.0.0", Some(Special::Unspecified)),
            ("::ffff:198.51.100.1", None),
            ("::ffff:0:10.0.0.1", Some(Special::Reserved)),
            ("64:ff9b::10.0.0.1", Some(Special::Private)),
            ("64:ff9b::127.0.0.1", Some(Special::Loopback)),
            ("64:ff9b::0.0.0.0", Some(Special::Unspecified)),
            ("64:ff9b::198.51.100.1", None),
            ("64:ff9b:1::198.51.100.1", Some(Special::Translated)),
            ("64:ff9b:2::1", Some(Special::Reserved)),
            ("100::1", Some(Special::Reserved)),
            ("1fff::1", Some(Special::Reserved)),
            ("2001::1", Some(Special::Translated)),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some(Special::Translated)),
            ("2001:2::1", Some(Special::Benchmarking)),
            ("2001:10::1", Some(Special::Reserved)),
            ("2001:1ff:ffff::1", Some(Special::Reserved)),
            ("2001:200::1", None),
            ("2001:db8::1", None),
            ("2002:7f00:1::1", Some(Special::Translated)),
            ("2002:c633:6401::1", Some(Special::Translated)),
            ("2606:4700::1111", None),
            ("3fff:ffff::1", None),
            ("4000::1", Some(Special::Reserved)),
            ("5f00::1", Some(Special::Reserved)),
            ("fc00::1", Some(Special::Private)),
            ("fdff::1", Some(Special::Private)),
            ("fe80::1", Some(Special::LinkLocal)),
            ("febf::1", Some(Special::LinkLocal)),
            ("fec0::1", Some(Special::Private)),
            ("ff02::1", Some(Special::Multicast)),
        ] {
            assert_eq!(special(address.parse().unwrap()), kind, "{address}");
            assert_eq!(is_public(address.parse().unwrap()), kind.is_none());
        }
    }

    #[test]
    fn a_network_is_ones_own_if_all_of_it_is() {
        for (network, prefix, own) in [
            ("10.0.0.0", 8, true),
            ("10.1.0.0", 16, true),
            ("127.0.0.0", 8, true),
            ("172.16.0.0", 12, true),
            ("fc00::", 7, true),
            ("8.0.0.0", 5, false),
            ("100.64.0.0", 10, false),
            ("172.0.0.0", 8, false),
            ("198.51.100.0", 24, false),
            ("2000::", 3, false),
        ] {
            assert_eq!(is_ones_own(network.parse().unwrap(), prefix), own, "{network}/{prefix}");
        }
    }
}
