//! What routing must know of the machine: its own addresses, which addresses it has
//! a way to, and dice. Tests give their own.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::random::Random;

/// The machine's part in routing.
pub struct Machine {
    pub(super) addresses: Box<dyn Fn() -> Vec<IpAddr> + Send + Sync>,
    pub(super) has_way_to: Box<dyn Fn(SocketAddr) -> bool + Send + Sync>,
    /// From which address of ours one elsewhere is reached, if that is known.
    pub(super) source: Box<dyn Fn(SocketAddr) -> Option<IpAddr> + Send + Sync>,
    pub(super) seed: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Machine {
    /// The machine that this program runs on.
    pub fn this() -> Self {
        Self {
            addresses: Box::new(interface_addresses),
            has_way_to: Box::new(|there| source(there).is_some()),
            source: Box::new(source),
            seed: Box::new(|| Random::unpredictable().next()),
        }
    }

    /// A machine with these interface addresses that has a way to every address
    /// that `has_way_to` accepts and whose dice always fall the same way.
    pub fn fixed(
        addresses: Vec<IpAddr>,
        has_way_to: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
        seed: u64,
    ) -> Self {
        Self {
            addresses: Box::new(move || addresses.clone()),
            has_way_to: Box::new(has_way_to),
            source: Box::new(|_| None),
            seed: Box::new(move || seed),
        }
    }

    /// The same, which reaches others from these addresses.
    #[cfg(test)]
    pub(crate) fn reaching_from(self, v4: &'static str, v6: &'static str) -> Self {
        let source = move |there: SocketAddr| (if there.is_ipv4() { v4 } else { v6 }).parse().ok();
        Self { source: Box::new(source), ..self }
    }
}

pub(super) fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}

// Connecting a UDP socket looks the route up and sends nothing.
pub(super) fn source(there: SocketAddr) -> Option<IpAddr> {
    let local = match there {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    };
    let socket = UdpSocket::bind(local).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
