//! Counts connections, so that no client can take them all.
//!
//! Strangers share four fifths of the places, strangers and trusted networks nine tenths:
//! what is left is for this machine's users, whose `sendmail` gets in however many others
//! hang about. Whoever has one IPv6 address has a /64 of them, and often a /56 or a /48 for
//! the asking, so all three are counted. When strangers have no place left, the one who has
//! got nothing done for longest makes room, first of those who have the most.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Limits;

/// How long a stranger may get nothing done before it has to make room for another.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Anybody on the network.
    Stranger(IpAddr),
    /// A client in a trusted network.
    Trusted(IpAddr),
    /// A user of this machine.
    User(u32),
}

/// Connections that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    Network(IpAddr, u8),
    User(u32),
}

impl Counted {
    // The groups that it counts in, and how many times what one client may have each may
    // have; the widest comes last. Hosts of a trusted network are not one client.
    fn groups(self) -> impl DoubleEndedIterator<Item = (Group, usize)> {
        let network = |v6: Ipv6Addr, prefix: u8| {
            let mask = u128::MAX << (128 - u32::from(prefix));
            Group::Network(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), prefix)
        };
        let of = |address: IpAddr, is_trusted| match (address.to_canonical(), is_trusted) {
            (IpAddr::V4(v4), _) => [Some((Group::Network(IpAddr::V4(v4), 32), 1)), None, None],
            (IpAddr::V6(v6), true) => [Some((network(v6, 64), 1)), None, None],
            (IpAddr::V6(v6), false) => [(64, 1), (56, 2), (48, 4)]
                .map(|(prefix, times)| Some((network(v6, prefix), times))),
        };
        let groups = match self {
            Self::User(uid) => [Some((Group::User(uid), 1)), None, None],
            Self::Stranger(address) => of(address, false),
            Self::Trusted(address) => of(address, true),
        };
        groups.into_iter().flatten()
    }

    fn is_stranger(self) -> bool {
        matches!(self, Self::Stranger(_))
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
    users: usize,
    trusted: usize,
    strangers: usize,
    by_group: HashMap<Group, usize>,
    /// Everybody, by the number of the place.
    guests: HashMap<u64, Arc<Guest>>,
    next: u64,
}

impl Counts {
    fn of(&mut self, client: Counted) -> &mut usize {
        match client {
            Counted::User(_) => &mut self.users,
            Counted::Trusted(_) => &mut self.trusted,
            Counted::Stranger(_) => &mut self.strangers,
        }
    }

    fn of_widest(&self, client: Counted) -> usize {
        let widest = client.groups().next_back();
        widest.and_then(|(group, _)| self.by_group.get(&group).copied()).unwrap_or_default()
    }

    // Whether there is a place: each kind may also take what is kept for those before it.
    fn has_room(&self, client: Counted, most: usize) -> bool {
        let kept_for_users = (most / 10).max(1);
        let kept_for_both = (most / 5).max(1);
        let without = |kept: usize| most.saturating_sub(kept).max(1);
        let clients = self.trusted + self.strangers;
        clients + self.users < most
            && match client {
                Counted::User(_) => true,
                Counted::Trusted(_) => clients < without(kept_for_users),
                Counted::Stranger(_) => {
                    clients < without(kept_for_users) && self.strangers < without(kept_for_both)
                }
            }
    }

    fn remove(&mut self, client: Counted) {
        let kind = self.of(client);
        *kind = kind.saturating_sub(1);
        for (group, _) in client.groups() {
            if let Some(count) = self.by_group.get_mut(&group) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_group.remove(&group);
                }
            }
        }
    }

    // Asks one stranger to go, and counts it no longer. Whoever has many connections
    // cannot have those of clients with fewer closed.
    fn make_room(&mut self, newcomer: Counted, now: Instant) {
        let least = if newcomer.is_stranger() { self.of_widest(newcomer) } else { 0 };
        let strangers = self.guests.iter().filter(|(_, guest)| guest.client.is_stranger());
        let waiting = strangers.filter_map(|(number, guest)| {
            let idle = guest.idle(now).filter(|idle| *idle >= PATIENCE)?;
            let share = self.of_widest(guest.client);
            (share >= least).then_some((share, idle, *number))
        });
        let guest = waiting.max().and_then(|(_, _, number)| self.guests.remove(&number));
        if let Some(guest) = guest {
            self.remove(guest.client);
            guest.has_to_go.store(true, Ordering::Relaxed);
            guest.bell.notify_one();
        }
    }
}

/// The connections that there are.
#[derive(Debug, Clone)]
pub(super) struct Census {
    counts: Arc<Mutex<Counts>>,
    /// There is no room for more, whatever the configuration says.
    room: usize,
    /// What times are counted from.
    begun: Instant,
}

/// One connection; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    census: Census,
    number: u64,
    guest: Arc<Guest>,
}

/// What can be told to a connection, and seen of it, from outside.
#[derive(Debug)]
struct Guest {
    client: Counted,
    /// Rings when it has to go, and when the server stops.
    bell: Notify,
    has_to_go: AtomicBool,
    begun: Instant,
    /// When it last got something done, in milliseconds.
    progress: AtomicU64,
    /// Its content is coming, or is being committed.
    busy: AtomicBool,
}

impl Guest {
    // For how long it has got nothing done; `None` while it does.
    fn idle(&self, now: Instant) -> Option<Duration> {
        let since = self.begun + Duration::from_millis(self.progress.load(Ordering::Relaxed));
        (!self.busy.load(Ordering::Relaxed)).then(|| now.saturating_duration_since(since))
    }
}

impl Place {
    /// Something was done that moves mail.
    pub(super) fn progress(&self) {
        let passed = self.guest.begun.elapsed().as_millis();
        self.guest.progress.store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Content is coming, which has bounds of its own, or not.
    pub(super) fn is_busy(&self, busy: bool) {
        self.guest.busy.store(busy, Ordering::Relaxed);
    }

    /// Whether this connection is to make room for another.
    pub(super) fn has_to_go(&self) -> bool {
        self.guest.has_to_go.load(Ordering::Relaxed)
    }

    /// Returns when it is.
    pub(super) async fn is_wanted(&self) {
        while !self.has_to_go() {
            self.rung().await;
        }
    }

    /// Returns when it may be, or when the server stops: one bell for both, since each step of
    /// a session listens.
    pub(super) async fn rung(&self) {
        self.guest.bell.notified().await;
    }

    /// Whether four of the five places that its kind shares are taken: time to be less
    /// patient. Never for whom places are kept.
    pub(super) fn is_crowded(&self, limits: &Limits) -> bool {
        self.guest.client.is_stranger() && {
            let most = limits.connections.min(self.census.room);
            let share = most.saturating_sub((most / 5).max(1)).max(1);
            self.census.counts().strangers.saturating_mul(5) >= share.saturating_mul(4)
        }
    }
}

impl Census {
    /// Nobody is there yet, and there is room for so many.
    pub(super) fn new(room: usize) -> Self {
        Self { counts: Arc::default(), room, begun: Instant::now() }
    }

    /// Counts a connection, unless there are too many; a stranger may be asked to go for it.
    pub(super) fn enter(&self, client: Counted, limits: &Limits) -> Result<Place, Full> {
        let most = limits.connections.min(self.room);
        let now = Instant::now();
        let mut counts = self.counts();
        let one = limits.connections_from_one_client;
        let is_full = |(group, times): &(Group, usize)| {
            counts.by_group.get(group).copied().unwrap_or_default() >= one.saturating_mul(*times)
        };
        if client.groups().any(|group| is_full(&group)) {
            return Err(Full::Client);
        }
        if !counts.has_room(client, most) {
            counts.make_room(client, now);
            if !counts.has_room(client, most) {
                return Err(Full::Server);
            }
        }
        *counts.of(client) += 1;
        for (group, _) in client.groups() {
            *counts.by_group.entry(group).or_default() += 1;
        }
        let number = counts.next;
        counts.next += 1;
        let guest = Arc::new(Guest {
            client,
            bell: Notify::new(),
            has_to_go: AtomicBool::new(false),
            begun: self.begun,
            progress: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        });
        counts.guests.insert(number, Arc::clone(&guest));
        drop(counts);
        let place = Place { census: self.clone(), number, guest };
        place.progress();
        Ok(place)
    }

    /// Has all look whether the server stops.
    pub(super) fn ring(&self) {
        self.counts().guests.values().for_each(|guest| guest.bell.notify_one());
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        // Whoever was asked to go is not counted any more.
        if counts.guests.remove(&self.number).is_some() {
            counts.remove(self.guest.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_from_one_client: usize) -> Limits {
        Limits {
            message_size: 0,
            recipients: 0,
            recipients_from_strangers: 0,
            connections,
            connections_from_one_client,
        }
    }

    fn stranger(text: &str) -> Counted {
        Counted::Stranger(text.parse().unwrap())
    }

    fn ipv4(number: u8) -> Counted {
        Counted::Stranger(IpAddr::from([192, 0, 2, number]))
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_back() {
        let limits = limits(5, 2);
        let census = Census::new(usize::MAX);
        let first = census.enter(ipv4(1), &limits).unwrap();
        let second = census.enter(stranger("::ffff:192.0.2.1"), &limits).unwrap();
        assert_eq!(census.enter(ipv4(1), &limits).unwrap_err(), Full::Client);
        assert!(!second.is_crowded(&limits));
        let _third = census.enter(ipv4(2), &limits).unwrap();
        let _fourth = census.enter(ipv4(2), &limits).unwrap();
        assert!(second.is_crowded(&limits));
        assert_eq!(census.enter(ipv4(3), &limits).unwrap_err(), Full::Server);
        drop(first);
        let _fifth = census.enter(ipv4(1), &limits).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_idle_connections_from_20_addresses_shut_nobody_out() {
        let limits = limits(1000, 50);
        let census = Census::new(usize::MAX);
        let flood = (0..1000).map(|n| census.enter(ipv4(u8::try_from(n % 20).unwrap()), &limits));
        let held: Vec<Place> = flood.filter_map(Result::ok).collect();
        assert_eq!(held.len(), 800);
        let trusted = Counted::Trusted("10.0.0.1".parse().unwrap());
        let _trusted: Vec<Place> =
            (0..50).map(|_| census.enter(trusted, &limits).unwrap()).collect();
        let _users: Vec<Place> =
            (0..50).map(|_| census.enter(Counted::User(0), &limits).unwrap()).collect();
        assert_eq!(census.enter(ipv4(99), &limits).unwrap_err(), Full::Server);
        // Strangers who come now are served at the cost of those who do nothing.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let newcomer = census.enter(ipv4(99), &limits).unwrap();
        let asked = held.iter().find(|place| {
            let wanted = std::pin::pin!(place.is_wanted());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            wanted.poll(&mut context).is_ready()
        });
        assert!(asked.is_some());
        drop(held);
        drop(newcomer);
        assert_eq!(census.counts().strangers, 0);
        assert_eq!(census.counts().by_group.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_have_many_go_first_and_those_who_work_stay() {
        let limits = limits(10, 7);
        let census = Census::new(usize::MAX);
        let single = census.enter(ipv4(1), &limits).unwrap();
        let many: Vec<Place> = (0..7).map(|_| census.enter(ipv4(2), &limits).unwrap()).collect();
        many.iter().take(6).for_each(|place| place.is_busy(true));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(census.enter(ipv4(3), &limits).unwrap_err(), Full::Server);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let third = census.enter(ipv4(3), &limits).unwrap();
        many.last().unwrap().is_wanted().await;
        // All others of the many are at work, and they cannot drive out one that has less.
        assert_eq!(census.enter(ipv4(2), &limits).unwrap_err(), Full::Server);
        third.is_busy(true);
        let _fourth = census.enter(ipv4(4), &limits).unwrap();
        single.is_wanted().await;
    }

    #[tokio::test(start_paused = true)]
    async fn ipv6_is_counted_by_its_64_its_56_and_its_48() {
        for (what, network, most) in [
            ("one /64", 0u128, 5),
            ("one /56", 1 << 64, 10),
            ("one /48", 1 << 72, 20),
            ("many /48", 1 << 80, 40),
        ] {
            let limits = limits(50, 5);
            let census = Census::new(usize::MAX);
            let base = u128::from("2001:db8::".parse::<Ipv6Addr>().unwrap());
            let address =
                |n: u128| IpAddr::V6(Ipv6Addr::from_bits(base + n + (n % 32) * network.max(1)));
            let entered = (0..60).map(|n| census.enter(Counted::Stranger(address(n)), &limits));
            assert_eq!(entered.filter_map(Result::ok).collect::<Vec<_>>().len(), most, "{what}");
            // A trusted network is not one client.
            let entered = (0..60).map(|n| census.enter(Counted::Trusted(address(n)), &limits));
            let count = entered.filter_map(Result::ok).collect::<Vec<_>>().len();
            assert_eq!(count, if network == 0 { 5 } else { 45 }, "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_no_more_places_than_there_is_room() {
        let limits = limits(100, 100);
        let census = Census::new(2);
        let _first = census.enter(Counted::User(1), &limits).unwrap();
        let _second = census.enter(Counted::User(2), &limits).unwrap();
        assert_eq!(census.enter(Counted::User(3), &limits).unwrap_err(), Full::Server);
        let one = self::limits(1, 1);
        assert!(Census::new(9).enter(ipv4(1), &one).is_ok());
    }
}
