//! Counts connections, so that no client can take them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Limits;

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    /// An IPv4 address, or the /64 of an IPv6 address: whoever has one address of
    /// such a network has them all.
    Network(IpAddr),
    /// A user of this machine.
    User(u32),
}

impl Counted {
    /// The one that a client's address belongs to.
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are too many in all.
    Server,
    /// There are too many from this client.
    Client,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_client: HashMap<Counted, usize>,
}

/// The connections that there are.
#[derive(Debug, Clone)]
pub(super) struct Census {
    counts: Arc<Mutex<Counts>>,
    /// There is no room for more, whatever the configuration says.
    room: usize,
}

/// One connection; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    census: Census,
    client: Counted,
}

impl Census {
    /// Nobody is there yet, and there is room for so many.
    pub(super) fn new(room: usize) -> Self {
        Self { counts: Arc::default(), room }
    }

    /// Counts a connection, unless there are too many.
    pub(super) fn enter(&self, client: Counted, limits: &Limits) -> Result<Place, Full> {
        let mut counts = self.counts();
        if counts.all >= limits.connections.min(self.room) {
            return Err(Full::Server);
        }
        let of_client = counts.by_client.entry(client).or_default();
        if *of_client >= limits.connections_from_one_client {
            return Err(Full::Client);
        }
        *of_client += 1;
        counts.all += 1;
        Ok(Place { census: self.clone(), client })
    }

    /// Whether four of five places are taken: time to be less patient.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        let most = limits.connections.min(self.room);
        self.counts().all.saturating_mul(5) >= most.saturating_mul(4)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_client) = counts.by_client.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                counts.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let limits = Limits {
            message_size: 0,
            recipients: 0,
            connections: 3,
            connections_from_one_client: 2,
        };
        let census = Census::new(usize::MAX);
        let client = |text: &str| Counted::address(text.parse().unwrap());
        let first = census.enter(client("2001:db8::1"), &limits).unwrap();
        assert!(!census.is_crowded(&limits));
        let _second = census.enter(client("2001:db8::2"), &limits).unwrap();
        assert_eq!(census.enter(client("2001:db8::3"), &limits).unwrap_err(), Full::Client);
        let _third = census.enter(client("::ffff:192.0.2.1"), &limits).unwrap();
        assert!(census.is_crowded(&limits));
        assert_eq!(census.enter(Counted::User(0), &limits).unwrap_err(), Full::Server);
        drop(first);
        let _fourth = census.enter(client("2001:db8::3"), &limits).unwrap();
    }

    #[test]
    fn there_are_no_more_places_than_there_is_room() {
        let limits = Limits {
            message_size: 0,
            recipients: 0,
            connections: 100,
            connections_from_one_client: 100,
        };
        let census = Census::new(2);
        let _first = census.enter(Counted::User(1), &limits).unwrap();
        let _second = census.enter(Counted::User(2), &limits).unwrap();
        assert!(census.is_crowded(&limits));
        assert_eq!(census.enter(Counted::User(3), &limits).unwrap_err(), Full::Server);
    }
}
