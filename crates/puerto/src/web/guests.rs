//! Who is here, so that nobody takes all the places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at the same time, and of these from one network.
const PLACES: usize = 256;
const FOR_ONE: usize = 8;

/// Those who are here, by their networks. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place that is taken until this is dropped.
pub(super) struct Guest {
    of: Guests,
    network: IpAddr,
}

impl Guests {
    /// A place for a client, if there is one.
    pub(super) fn admit(&self, client: IpAddr) -> Option<Guest> {
        let network = network(client);
        let mut here = self.here();
        if here.values().sum::<usize>() >= PLACES {
            return None;
        }
        let count = here.entry(network).or_default();
        if *count >= FOR_ONE {
            return None;
        }
        *count += 1;
        Some(Guest { of: self.clone(), network })
    }

    fn here(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut here = self.of.here();
        let left = here.get_mut(&self.network).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            here.remove(&self.network);
        }
    }
}

// A client chooses freely among the addresses of its own /64.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            IpAddr::V6(prefix.into())
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_does_not_take_all_the_places() {
        let guests = Guests::default();
        let six = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
        let here: Vec<_> = (0..20).filter_map(|host| guests.admit(six(host))).collect();
        assert_eq!(here.len(), FOR_ONE);
        assert!(guests.admit([192, 0, 2, 1].into()).is_some());
        drop(here);
        assert!(guests.here().is_empty());
        let all: Vec<_> = (0..255u8)
            .flat_map(|one| (0..FOR_ONE).map(move |_| IpAddr::from([192, 0, 2, one])))
            .filter_map(|address| guests.admit(address))
            .collect();
        assert_eq!(all.len(), PLACES);
    }
}
