//! How many connections there may be, and to whom.
//!
//! A connection that waits for its peer costs a socket and a few kilobytes, so there is
//! no number of them that all destinations share as long as sockets last. What is
//! bounded is what one peer may hold: connections to one address, to one network (/24,
//! /64) and to one operator of mail exchangers (the registrable name of the host), and
//! among these, more narrowly, those to addresses of which nobody knows that they do
//! anything but wait. An address is *proven* by a conversation that came to its end.
//!
//! Where there is no place, a message stands in line for one: for long where places keep
//! being left, hardly where nobody moves. Then it is turned away, with the reason, and
//! the queue brings it again. While anybody was turned away, or sockets grow scarce, a
//! peer that has taken nothing yet is given half a minute for each reply instead of the
//! five that RFC 5321 §4.5.3.2 has for quiet times.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use puerto_spool::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::cause::Cause;

/// Connections at the same time to an address that is not proven; and to all such
/// addresses of one network or operator.
const UNPROVEN_AT_ADDRESS: usize = 5;
const UNPROVEN_TOGETHER: usize = 20;
/// How many times one address's connections a network or an operator may have.
const ADDRESSES_TOGETHER: usize = 3;
/// Below that of the configuration, an address may have so many all the same: several
/// destinations may live there.
const LEAST_AT_ADDRESS: usize = 20;
/// How long an address stays proven.
const PROVEN_FOR: Duration = Duration::from_secs(3600);
/// Who has moved since so long moves.
const MOVING: Duration = Duration::from_secs(30);
/// For how long a place is waited for, and in what a line, where somebody moves.
const PATIENCE: Duration = Duration::from_secs(30);
const LONGEST_LINE: usize = 200;
/// The same where nobody does.
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);
const SHORT_LINE: usize = 10;
/// What a peer has for a reply while others wait for its place.
pub(crate) const HURRIED: Duration = Duration::from_secs(30);
/// How long after somebody was turned away others still count as waiting.
const CROWDED_FOR: Duration = Duration::from_secs(120);
/// Peers that are remembered without a connection to them.
const MOST_REMEMBERED: usize = 20_000;

/// Sockets at most, whatever the limit on open files.
const MOST_SOCKETS: usize = 50_000;

/// How many files and sockets this process may have open.
pub fn open_files() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// What a number of connections is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bound {
    All,
    Address(IpAddr),
    Network(IpAddr),
    Operator(Arc<str>),
}

impl Bound {
    fn crowded(&self) -> Cause {
        match self {
            Self::All => Cause::CrowdedSockets {},
            Self::Operator(name) => Cause::CrowdedOperator { name: name.to_string() },
            Self::Address(address) => Cause::CrowdedAddress { address: address.to_string() },
            Self::Network(network) => {
                let length = if network.is_ipv4() { 24 } else { 64 };
                Cause::CrowdedAddress { address: format!("{network}/{length}") }
            }
        }
    }
}

/// A peer by all that it is counted for, the address first.
#[derive(Debug)]
pub(crate) struct Whom(Vec<Bound>);

impl Whom {
    /// An address of an exchanger.
    pub(crate) fn exchanger(host: &str, address: IpAddr) -> Arc<Self> {
        let address = address.to_canonical();
        let mut bounds = vec![Bound::Address(address), Bound::All];
        // Loopback is nobody's network: each of its addresses is a host of its own.
        if !address.is_loopback() {
            bounds.push(Bound::Network(network(address)));
        }
        if host.parse::<IpAddr>().is_err() {
            bounds.push(Bound::Operator(operator(host).into()));
        }
        Arc::new(Self(bounds))
    }

    /// An address of a relay, which the administrator has chosen.
    pub(super) fn relay(address: IpAddr) -> Arc<Self> {
        Arc::new(Self(vec![Bound::Address(address.to_canonical()), Bound::All]))
    }
}

/// Who operates a host: the registrable part of its name, else its name.
pub(super) fn operator(host: &str) -> &str {
    let registrable = psl::domain_str(host).filter(|_| host.parse::<IpAddr>().is_err());
    registrable.unwrap_or(host)
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Why there is no place.
#[derive(Debug, Clone)]
pub(crate) struct Crowded {
    /// Whose places are all taken.
    pub(crate) cause: Cause,
    /// When one of those who hold the places last failed.
    pub(crate) failed_at: Option<Timestamp>,
}

/// All connections that are counted.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    sockets: usize,
    doors: Mutex<HashMap<Bound, Door>>,
}

#[derive(Default)]
struct Door {
    open: usize,
    unproven: usize,
    line: VecDeque<oneshot::Sender<()>>,
    /// When somebody was last turned away.
    crowded: Option<Instant>,
    /// When a conversation last came to its end.
    moved: Option<Instant>,
    /// When one last failed, and by the time of day.
    failed: Option<(Instant, Timestamp)>,
}

impl Door {
    fn is_proven(&self, now: Instant) -> bool {
        self.moved.is_some_and(|moved| {
            now.duration_since(moved) < PROVEN_FOR
                && self.failed.is_none_or(|(failed, _)| failed <= moved)
        })
    }

    fn moves(&self, now: Instant) -> bool {
        self.moved.is_some_and(|moved| now.duration_since(moved) < MOVING)
    }

    fn is_crowded(&self, now: Instant) -> bool {
        self.crowded.is_some_and(|at| now.duration_since(at) < CROWDED_FOR) || !self.line.is_empty()
    }

    fn is_forgettable(&self, now: Instant) -> bool {
        let is_over = |at: Instant| now.duration_since(at) >= PROVEN_FOR;
        self.open == 0
            && self.line.is_empty()
            && self.moved.is_none_or(is_over)
            && self.failed.is_none_or(|(at, _)| is_over(at))
    }
}

/// How many connections to one address the configuration allows, and so to the others.
#[derive(Debug, Clone, Copy)]
struct Limits {
    at_address: usize,
    sockets: usize,
}

impl Limits {
    fn open(self, bound: &Bound) -> usize {
        match bound {
            Bound::All => self.sockets,
            Bound::Address(_) => self.at_address,
            Bound::Network(_) | Bound::Operator(_) => self.at_address * ADDRESSES_TOGETHER,
        }
    }

    // A quarter of the sockets is kept for those who are known to use them well. Where
    // neighbours wait, each address has one connection, so that more of them are asked.
    fn unproven(self, bound: &Bound, has_neighbours: bool) -> usize {
        match bound {
            Bound::All => self.sockets - self.sockets / 4,
            Bound::Address(_) if has_neighbours => 1,
            Bound::Address(_) => UNPROVEN_AT_ADDRESS,
            Bound::Network(_) | Bound::Operator(_) => UNPROVEN_TOGETHER,
        }
    }
}

enum Refused {
    Full(Bound, oneshot::Receiver<()>, Instant),
    Crowded(Crowded),
}

impl Places {
    /// As many as the limit on open files bears: a third of it, since clients have
    /// another, and files and the DNS the last.
    pub(super) fn of_process() -> Self {
        Self::with_sockets((open_files() / 3).min(MOST_SOCKETS))
    }

    pub(crate) fn with_sockets(sockets: usize) -> Self {
        Self(Arc::new(Inner { sockets: sockets.max(8), doors: Mutex::default() }))
    }

    /// Takes a place, or waits for one a while. `concurrency` is the configuration's.
    pub(crate) async fn enter(
        &self,
        whom: &Arc<Whom>,
        concurrency: usize,
    ) -> Result<Arc<Place>, Crowded> {
        let limits =
            Limits { at_address: concurrency.max(LEAST_AT_ADDRESS), sockets: self.0.sockets };
        let mut deadline = None;
        loop {
            let (bound, turn, patience) = match self.try_enter(whom, limits, deadline) {
                Ok(place) => return Ok(place),
                Err(Refused::Full(bound, turn, patience)) => (bound, turn, patience),
                Err(Refused::Crowded(crowded)) => return Err(crowded),
            };
            let until = *deadline.get_or_insert(patience);
            if timeout_at(until, turn).await.is_err() {
                return self.try_enter(whom, limits, deadline).map_err(|_| self.turn_away(&bound));
            }
        }
    }

    /// Takes a place for a connection that rested, whether there is one or not.
    pub(super) fn resume(&self, whom: Arc<Whom>) -> Arc<Place> {
        let mut doors = self.lock();
        for bound in &whom.0 {
            doors.entry(bound.clone()).or_default().open += 1;
        }
        drop(doors);
        self.place(whom, false)
    }

    fn place(&self, whom: Arc<Whom>, unproven: bool) -> Arc<Place> {
        Arc::new(Place { places: self.clone(), whom, unproven: AtomicBool::new(unproven) })
    }

    fn try_enter(
        &self,
        whom: &Arc<Whom>,
        limits: Limits,
        deadline: Option<Instant>,
    ) -> Result<Arc<Place>, Refused> {
        let now = Instant::now();
        let mut doors = self.lock();
        let proven = whom.0.first().and_then(|b| doors.get(b)).is_some_and(|d| d.is_proven(now));
        let has_neighbours = whom.0.iter().any(|bound| {
            matches!(bound, Bound::Network(_) | Bound::Operator(_))
                && doors.get(bound).is_some_and(|door| door.unproven >= UNPROVEN_TOGETHER / 2)
        });
        let full = whom.0.iter().find(|bound| {
            doors.get(*bound).is_some_and(|door| {
                door.open >= limits.open(bound)
                    || !proven && door.unproven >= limits.unproven(bound, has_neighbours)
            })
        });
        if let Some(bound) = full {
            return Err(stand_in_line(&mut doors, bound, now, deadline));
        }
        if doors.len() >= MOST_REMEMBERED {
            doors.retain(|_, door| !door.is_forgettable(now));
        }
        for bound in &whom.0 {
            let door = doors.entry(bound.clone()).or_default();
            door.open += 1;
            door.unproven += usize::from(!proven);
        }
        drop(doors);
        Ok(self.place(Arc::clone(whom), !proven))
    }

    fn turn_away(&self, bound: &Bound) -> Crowded {
        turn_away(&mut self.lock(), bound, Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bound, Door>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stand_in_line(
    doors: &mut HashMap<Bound, Door>,
    bound: &Bound,
    now: Instant,
    deadline: Option<Instant>,
) -> Refused {
    let door = doors.entry(bound.clone()).or_default();
    let (patience, longest) = match (door.moves(now), door.failed) {
        (true, _) => (PATIENCE, LONGEST_LINE),
        // Who comes first to a host that many share will move in a moment.
        (false, None) => (LITTLE_PATIENCE, LONGEST_LINE),
        (false, Some(_)) => (LITTLE_PATIENCE, SHORT_LINE),
    };
    door.line.retain(|turn| !turn.is_closed());
    if door.line.len() >= longest || deadline.is_some_and(|deadline| now >= deadline) {
        return Refused::Crowded(turn_away(doors, bound, now));
    }
    let (turn, called) = oneshot::channel();
    door.line.push_back(turn);
    Refused::Full(bound.clone(), called, now + patience)
}

fn turn_away(doors: &mut HashMap<Bound, Door>, bound: &Bound, now: Instant) -> Crowded {
    let door = doors.entry(bound.clone()).or_default();
    door.crowded = Some(now);
    let failed_at = match bound {
        Bound::All => None,
        _ => door.failed.map(|(_, at)| at),
    };
    Crowded { cause: bound.crowded(), failed_at }
}

/// The right to one connection. It ends when it is dropped.
pub(crate) struct Place {
    places: Places,
    whom: Arc<Whom>,
    unproven: AtomicBool,
}

impl Place {
    /// A conversation came to its end: whoever is there does more than wait.
    pub(crate) fn proved(&self) {
        let now = Instant::now();
        let unproven = usize::from(self.unproven.swap(false, Ordering::Relaxed));
        let mut doors = self.places.lock();
        for bound in &self.whom.0 {
            if let Some(door) = doors.get_mut(bound) {
                door.moved = Some(now);
                door.unproven = door.unproven.saturating_sub(unproven);
            }
        }
    }

    /// It failed at this time of day.
    pub(crate) fn failed(&self, at: Timestamp) {
        let now = Instant::now();
        let mut doors = self.places.lock();
        for bound in &self.whom.0 {
            if let Some(door) = doors.get_mut(bound) {
                door.failed = Some((now, at));
            }
        }
    }

    /// Whether others wait for this place, so that a peer that has taken nothing yet
    /// is not waited for any longer than [`HURRIED`].
    pub(crate) fn is_wanted(&self) -> bool {
        let now = Instant::now();
        let doors = self.places.lock();
        self.whom.0.iter().any(|bound| {
            let door = doors.get(bound);
            let scarce =
                |door: &Door| *bound == Bound::All && door.open > self.places.0.sockets / 2;
            door.is_some_and(|door| door.is_crowded(now) || scarce(door))
        })
    }

    /// Who it is, for a connection that rests and holds no place meanwhile.
    pub(super) fn whom(&self) -> Arc<Whom> {
        Arc::clone(&self.whom)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.whom).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let unproven = usize::from(self.unproven.load(Ordering::Relaxed));
        let now = Instant::now();
        let mut doors = self.places.lock();
        for bound in &self.whom.0 {
            let Some(door) = doors.get_mut(bound) else { continue };
            door.open = door.open.saturating_sub(1);
            door.unproven = door.unproven.saturating_sub(unproven);
            // Those who have gone away are stepped over.
            while door.line.pop_front().is_some_and(|turn| turn.send(()).is_err()) {}
            if door.is_forgettable(now) {
                doors.remove(bound);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchanger(number: u32) -> Arc<Whom> {
        let address = Ipv4Addr::from_bits(0x0b00_0000 + number);
        Whom::exchanger(&format!("mx.d{number}.test"), address.into())
    }

    async fn enter(places: &Places, whom: &Arc<Whom>) -> Result<Arc<Place>, String> {
        places.enter(whom, 20).await.map_err(|crowded| crowded.cause.to_string())
    }

    async fn held(places: &Places, whoms: impl Iterator<Item = Arc<Whom>>) -> Vec<Arc<Place>> {
        let mut held = Vec::new();
        for whom in whoms {
            held.extend(enter(places, &whom).await.ok());
        }
        held
    }

    #[tokio::test(start_paused = true)]
    async fn each_peer_has_bounds_whatever_it_is_called() {
        let places = Places::with_sockets(10_000);
        let address = "192.0.2.1".parse().unwrap();
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        let mut names = (0..700).map(|n| format!("mx.silent{n}.example"));
        let silent = names.by_ref().take(30).map(|name| Whom::exchanger(&name, address));
        let mut all = held(&places, silent).await;
        assert_eq!(all.len(), UNPROVEN_AT_ADDRESS);
        let refused = enter(&places, &Whom::exchanger("x.test", mapped)).await.unwrap_err();
        assert_eq!(refused, "too many connections wait for 192.0.2.1");
        let neighbours =
            (2..60).map(|n| Whom::exchanger("y.test", Ipv4Addr::new(192, 0, 2, n).into()));
        all.extend(held(&places, neighbours.take(1)).await);
        let network = (2..60)
            .map(|n| Whom::exchanger(&format!("mx.n{n}.test"), Ipv4Addr::new(192, 0, 2, n).into()));
        all.extend(held(&places, network).await);
        assert_eq!(all.len(), UNPROVEN_TOGETHER);
        let next = Whom::exchanger("z.test", Ipv4Addr::new(192, 0, 2, 99).into());
        let refused = enter(&places, &next).await.unwrap_err();
        assert_eq!(refused, "too many connections wait for 192.0.2.0/24");
        let operator = (0..60).map(|n| {
            let host = format!("mx{n}.customers.operator.co.uk");
            Whom::exchanger(&host, Ipv4Addr::new(10, n, 1, 1).into())
        });
        let operators = held(&places, operator).await;
        assert_eq!(operators.len(), UNPROVEN_TOGETHER);
        let other = Whom::exchanger("a.operator.co.uk", "10.200.0.1".parse().unwrap());
        let refused = enter(&places, &other).await.unwrap_err();
        assert_eq!(refused, "too many connections wait for hosts of operator.co.uk");
        assert!(enter(&places, &exchanger(1)).await.is_ok(), "nobody else minds");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_operator_leave_each_other_room() {
        let places = Places::with_sockets(10_000);
        let host = |n: u8| Whom::exchanger("mx.operator.test", Ipv4Addr::new(10, n, 1, 1).into());
        let all = held(&places, (0..8).flat_map(|n| vec![host(n); 10])).await;
        assert_eq!(all.len(), 5 + 5 + 6);
        assert!(enter(&places, &host(8)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_64_of_ipv6_is_one_network() {
        let places = Places::with_sockets(10_000);
        let inside = (0..60_u16).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, n, n, n, n).into());
        let inside = inside.map(|ip: IpAddr| Whom::exchanger(&format!("mx.{ip}"), ip));
        assert_eq!(held(&places, inside).await.len(), UNPROVEN_TOGETHER);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_proven_gets_what_the_configuration_says_until_it_fails() {
        let places = Places::with_sockets(10_000);
        let whom = exchanger(1);
        let first = enter(&places, &whom).await.unwrap();
        first.proved();
        drop(first);
        let mut all = held(&places, (0..30).map(|_| Arc::clone(&whom))).await;
        assert_eq!(all.len(), 20);
        all[0].failed(Timestamp::default());
        all.truncate(1);
        all.extend(held(&places, (0..30).map(|_| Arc::clone(&whom))).await);
        assert_eq!(all.len(), 1 + UNPROVEN_AT_ADDRESS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_left_is_the_next_ones_in_line() {
        let places = Places::with_sockets(10_000);
        let whom = exchanger(1);
        let mut all = held(&places, (0..5).map(|_| Arc::clone(&whom))).await;
        let waiting = {
            let (places, whom) = (places.clone(), Arc::clone(&whom));
            tokio::spawn(async move { enter(&places, &whom).await })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(all[0].is_wanted());
        all.pop();
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_hears_when_somebody_last_failed_there() {
        let places = Places::with_sockets(10_000);
        let whom = exchanger(1);
        let all = held(&places, (0..5).map(|_| Arc::clone(&whom))).await;
        let at = Timestamp::from_millis(7);
        all[0].failed(at);
        let started = Instant::now();
        let crowded = places.enter(&whom, 20).await.unwrap_err();
        assert_eq!(crowded.failed_at, Some(at));
        assert_eq!(started.elapsed(), LITTLE_PATIENCE);
        assert!(all[1].is_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quarter_of_the_sockets_is_kept_for_the_proven() {
        let places = Places::with_sockets(100);
        let whom = exchanger(0);
        enter(&places, &whom).await.unwrap().proved();
        let silent = held(&places, (1..200).map(|n| exchanger(n * 256))).await;
        assert_eq!(silent.len(), 75);
        assert!(silent[0].is_wanted(), "sockets are scarce");
        assert!(enter(&places, &whom).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn peers_without_connections_are_forgotten() {
        let places = Places::with_sockets(10_000);
        for number in 0..50_000 {
            let place = enter(&places, &exchanger(number)).await.unwrap();
            place.failed(Timestamp::default());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(places.lock().len() <= MOST_REMEMBERED + 4);
    }
}
