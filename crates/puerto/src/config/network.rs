//! Network ranges: who is trusted to relay.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::lang::{Said, said};

/// An address range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address that stands for itself.
    /// The error says what is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, Said> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let address: IpAddr = bare.parse().map_err(|_| {
            let bare = if bare.is_empty() { text } else { bare };
            said!(
                "`{bare}` is not an IPv4 or IPv6 address",
                "`{bare}` no es una dirección IPv4 ni IPv6"; bare = bare
            )
        })?;
        let widest = bits(address);
        let prefix = match prefix {
            None => widest,
            Some(digits) => {
                digits.parse::<u8>().ok().filter(|prefix| *prefix <= widest).ok_or_else(|| {
                    said!(
                        "the prefix length must lie between 1 and {widest}",
                        "la longitud del prefijo debe estar entre 1 y {widest}"; widest = widest
                    )
                })?
            }
        };
        Self { address, prefix }.checked()
    }

    fn checked(self) -> Result<Self, Said> {
        let first = Self { address: masked(self.address, self.prefix), ..self };
        if first != self {
            return Err(said!(
                "`{network}` has bits set beyond its prefix: write `{first}`",
                "`{network}` tiene bits activos más allá del prefijo: escriba `{first}`";
                network = self, first = first
            ));
        }
        let network = self.canonical();
        if network.prefix == 0 {
            return Err(said!(
                "`{network}` is the whole Internet: this server would relay for everybody and be \
                 blocklisted within hours. List your own networks; users elsewhere use AUTH",
                "`{network}` es Internet entero: este servidor reenviaría correo de cualquiera y en \
                 unas horas estaría en las listas de bloqueo. Indique sus propias redes; para los \
                 usuarios de fuera está AUTH";
                network = self
            ));
        }
        Ok(network)
    }

    // ::ffff:192.0.2.0/120 is 192.0.2.0/24: clients are compared in one form alone.
    fn canonical(self) -> Self {
        match (self.address.to_canonical(), self.prefix.checked_sub(96)) {
            (address @ IpAddr::V4(_), Some(prefix)) if self.address.is_ipv6() => {
                Self { address, prefix }
            }
            _ => self,
        }
    }

    // The first and the last address, as numbers.
    fn bounds(&self) -> (u128, u128) {
        let (first, widest) = match self.address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let rest = u128::MAX.checked_shr(128 - (widest - u32::from(self.prefix))).unwrap_or(0);
        (first, first | rest)
    }

    /// Whether all of another range lies in this one.
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether an address lies in the range. IPv4 addresses mapped into IPv6 are
    /// taken for what they are.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && masked(address, self.prefix) == masked(self.address, self.prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A list of ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

/// The IPv4 addresses that the Internet reaches, from and to: without those of private
/// networks, of loopback and of no single host.
const PUBLIC: [(Ipv4Addr, Ipv4Addr); 7] = [
    (Ipv4Addr::new(1, 0, 0, 0), Ipv4Addr::new(9, 255, 255, 255)),
    (Ipv4Addr::new(11, 0, 0, 0), Ipv4Addr::new(100, 63, 255, 255)),
    (Ipv4Addr::new(100, 128, 0, 0), Ipv4Addr::new(126, 255, 255, 255)),
    (Ipv4Addr::new(128, 0, 0, 0), Ipv4Addr::new(169, 253, 255, 255)),
    (Ipv4Addr::new(169, 255, 0, 0), Ipv4Addr::new(172, 15, 255, 255)),
    (Ipv4Addr::new(172, 32, 0, 0), Ipv4Addr::new(192, 167, 255, 255)),
    (Ipv4Addr::new(192, 169, 0, 0), Ipv4Addr::new(223, 255, 255, 255)),
];
/// Public IPv4 addresses that may be trusted at most: eight /8, which nobody has.
const MOST_IPV4: u128 = 1 << 27;
/// 2000::/3, of which the Internet's IPv6 addresses are.
const PUBLIC_IPV6: (u128, u128) = (0x2000 << 112, (0x4000 << 112) - 1);
/// A 65,536th of all IPv6 addresses; the 6to4 addresses of the whole Internet are as many.
const MOST_IPV6: u128 = (1 << 112) - 1;

/// 64:ff9b::/96, behind which a translator shows the IPv4 Internet (RFC 6052 §2.1).
const TRANSLATED: (u128, u128) = (0x64_ff9b << 96, (0x64_ff9b << 96) | 0xffff_ffff);

impl Networks {
    /// Whether the ranges together hold so much of the Internet that somebody must be
    /// trusted whom the administrator does not know.
    pub fn hold_the_internet(&self) -> bool {
        let of_family = |is_ipv4: bool| {
            let ours = self.0.iter().filter(move |network| network.address.is_ipv4() == is_ipv4);
            ours.map(|network| network.bounds()).collect()
        };
        let number = |address: Ipv4Addr| u128::from(address.to_bits());
        let public: Vec<_> = PUBLIC.map(|(first, last)| (number(first), number(last))).into();
        size_within(of_family(true), &public) > MOST_IPV4
            || size_within(of_family(false), &[TRANSLATED]) > MOST_IPV4
            || size_within(of_family(false), &[PUBLIC_IPV6]) > MOST_IPV6
    }

    /// Whether an address lies in any of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// How many numbers of some ranges, however they overlap, lie within others, which do not.
fn size_within(mut ranges: Vec<(u128, u128)>, within: &[(u128, u128)]) -> u128 {
    ranges.sort_unstable();
    let mut size: u128 = 0;
    let mut next = 0;
    for (first, last) in ranges {
        let first = first.max(next);
        if first > last {
            continue;
        }
        for (from, to) in within {
            let (low, high) = (first.max(*from), last.min(*to));
            size = size.saturating_add((high + 1).saturating_sub(low));
        }
        next = last.saturating_add(1);
    }
    size
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_they_should() {
        for (network, address, inside) in [
            ("127.0.0.0/8", "127.1.2.3", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("::1/128", "::1", true),
            ("::1", "::2", false),
            ("[2001:db8::]/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("8000::/1", "10.0.0.2", false),
        ] {
            let networks = Networks(vec![Network::parse(network).unwrap()]);
            assert_eq!(networks.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    /// A10: ranges that add up to the Internet.
    #[test]
    fn ranges_that_add_up_to_the_internet_are_seen() {
        let all_but_one: Vec<String> = (1..=255).map(|n| format!("{n}.0.0.0/8")).collect();
        let slices: Vec<String> =
            (0..2048).map(|n| format!("{}.{}.0.0/13", n / 8 % 224, n % 8 * 32)).collect();
        for (networks, holds) in [
            ("0.0.0.0/1 128.0.0.0/1", true),
            ("::/1 8000::/1", true),
            ("0.0.0.0/2 64.0.0.0/2 128.0.0.0/2 192.0.0.0/2", true),
            ("128.0.0.0/1", true),
            ("64.0.0.0/2", true),
            ("2000::/3", true),
            ("2002::/16", true),
            ("0.0.0.0/2 64.0.0.0/2 128.0.0.0/1", true),
            ("32.0.0.0/3 64.0.0.0/3 96.0.0.0/3 160.0.0.0/3", true),
            ("2000::/4 3000::/4", true),
            ("2a00::/12 2600::/12 2400::/12", true),
            ("64:ff9b::/96", true),
            ("::/1", true),
            ("64:ff9b::a00:0/104 ::ffff:10.0.0.0/104", false),
            ("::ffff:0.0.0.0/97 ::ffff:128.0.0.0/97", true),
            (&all_but_one.join(" "), true),
            (&slices.join(" "), true),
            ("127.0.0.0/8 ::1/128", false),
            ("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fe80::/10", false),
            ("17.0.0.0/8 17.0.0.0/9 17.128.0.0/9 17.0.0.0/8", false),
            ("198.51.100.0/24 2001:db8::/32 2a00::/19", false),
            ("0.0.0.0/8 224.0.0.0/3", false),
            ("", false),
        ] {
            let parsed = networks.split_whitespace().map(|text| Network::parse(text).unwrap());
            assert_eq!(Networks(parsed.collect()).hold_the_internet(), holds, "{networks:.80}");
        }
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, part) in [
            ("0.0.0.0/0", "the whole Internet"),
            ("::/0", "the whole Internet"),
            ("::ffff:0.0.0.0/96", "the whole Internet"),
            ("10.0.0.1/8", "write `10.0.0.0/8`"),
            ("2001:db8::1/32", "write `2001:db8::/32`"),
            ("10.0.0.0/33", "between 1 and 32"),
            ("10.0.0.0/", "between 1 and 32"),
            ("::ffff:0:0/96", "the whole Internet"),
            ("example.com", "not an IPv4 or IPv6 address"),
            ("all", "not an IPv4 or IPv6 address"),
            ("*", "not an IPv4 or IPv6 address"),
            ("10.0.0.0/255.0.0.0", "between 1 and 32"),
            ("10.0.0.0-10.0.0.9", "not an IPv4 or IPv6 address"),
            ("0x0a.0.0.1", "not an IPv4 or IPv6 address"),
            ("010.0.0.1", "not an IPv4 or IPv6 address"),
            ("fe80::1%eth0", "not an IPv4 or IPv6 address"),
            ("/etc/nets", "`/etc/nets` is not an IPv4 or IPv6 address"),
            ("", "not an IPv4 or IPv6 address"),
        ] {
            let error = Network::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
