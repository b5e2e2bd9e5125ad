//! Which addresses mail leaves from: found out, not assumed.
//!
//! A UDP socket that is connected sends nothing, but the kernel chooses the source
//! address for it as it will for mail. What it chooses may be private: then somebody
//! on the way translates it, and only the administrator can say into what.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::Config;
use crate::survey::address::is_public;

/// Addresses of the Internet, one in each family; nothing is sent there.
const FAR_AWAY: [&str; 2] = ["198.41.0.4:53", "[2001:503:ba3e::2:30]:53"];

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Addresses that others see.
    pub public: Vec<IpAddr>,
    /// Addresses that are translated on the way.
    pub private: Vec<IpAddr>,
}

/// Finds the source addresses of both families, those configured first.
pub fn find(config: &Config) -> Found {
    let configured =
        [config.delivery.bind_ipv4.map(IpAddr::V4), config.delivery.bind_ipv6.map(IpAddr::V6)];
    let mut found = Found::default();
    for (bound, far) in configured.into_iter().zip(FAR_AWAY) {
        let Some(address) = bound.or_else(|| source_towards(far)) else { continue };
        if is_public(address) {
            found.public.push(address);
        } else {
            found.private.push(address);
        }
    }
    found
}

fn source_towards(far: &str) -> Option<IpAddr> {
    let far: SocketAddr = far.parse().ok()?;
    let any: SocketAddr = match far {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_addresses_are_those_that_mail_leaves_from() {
        let mut config = Config::for_tests(std::path::Path::new("/nonexistent"));
        config.delivery.bind_ipv4 = Some("192.0.2.9".parse().unwrap());
        config.delivery.bind_ipv6 = Some("fd00::9".parse().unwrap());
        let found = find(&config);
        assert_eq!(found.public, ["192.0.2.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(found.private, ["fd00::9".parse::<IpAddr>().unwrap()]);
    }
}
