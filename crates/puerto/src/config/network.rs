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

impl Networks {
    /// Whether an address lies in any of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
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
            ("example.com", "not an IPv4 or IPv6 address"),
            ("", "not an IPv4 or IPv6 address"),
        ] {
            let error = Network::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
