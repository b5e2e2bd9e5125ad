//! Whose turn it is. Pure: work and times come in, steps for workers go out.
//!
//! Each destination has its own queue and its own workers, so that none waits for
//! another: no number of workers is shared. What is scarce, connections, is the
//! carrier's to share out; a destination that it turned away sends back what waits
//! here, for a while. Within a destination, mail that was never tried and mail that was
//! take turns, and what goes to many waits for the others, but for one in so many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use puerto_smtp::Domain;
use tokio::time::Instant;

use super::pace::Turns;
use super::shape::{Ended, Permit, Shape};
use crate::deliver::Pressure;
use crate::route::DestinationKey;

/// Destinations that are remembered without having work.
const MAX_REMEMBERED: usize = 4096;
/// For how long a destination that had no place sends back what waits for it.
const TURNED_AWAY: Duration = Duration::from_secs(5);
/// What is left to a queue that stands, so that it goes on at once when it moves.
const KEPT: usize = 4;
/// After so many others, one that goes to many has its turn.
const BEFORE_BULK: usize = 7;
/// Domains of which it is remembered that a pause keeps them waiting.
const MOST_PARKED: usize = 1000;
/// How far back in a queue a companion is looked for.
const MERGE_WINDOW: usize = 16;

/// What the schedule must know of work.
pub(super) trait Schedulable: Sized {
    /// Whether it was never tried before.
    fn is_fresh(&self) -> bool;
    /// Whether others go before it.
    fn is_bulk(&self) -> bool {
        false
    }
    /// When it was claimed.
    fn claimed(&self) -> Instant;
    /// How many recipients it holds.
    fn recipients(&self) -> usize;
    /// Takes `other` in, if both can travel together; gives it back if not.
    fn absorb(&mut self, other: Self) -> Result<(), Self>;
}

/// Why a destination is suspended, for the mail that is deferred meanwhile.
pub(super) type Reason<R> = Option<Arc<R>>;

/// How a destination stands.
pub(super) struct Line<'a, R> {
    pub(super) key: DestinationKey,
    /// Recipients that wait for their turn.
    pub(super) waiting: usize,
    /// Jobs under way.
    pub(super) running: usize,
    /// How many may be, as things are.
    pub(super) allowed: usize,
    /// How many may be at best.
    pub(super) ceiling: usize,
    /// As [`Shape::outage`] says.
    pub(super) outage: Option<(u32, Option<Instant>)>,
    /// As [`Shape::park`] says.
    pub(super) park: Option<Option<Instant>>,
    /// Messages an hour at most, where that is bounded.
    pub(super) per_hour: Option<f64>,
    /// That is the rate of all that take turns, together.
    pub(super) in_all: bool,
    /// Others hold the places that it may have; it is asked for again then.
    pub(super) crowded_until: Option<Instant>,
    /// Why it is out of reach, parked or slowed, or has no place.
    pub(super) reason: Option<&'a R>,
}

/// Work that waits in line for a rate.
pub(super) struct Paced<'a, W> {
    pub(super) key: &'a DestinationKey,
    /// When the first of it goes.
    pub(super) next: Instant,
    /// Messages an hour at most.
    pub(super) per_hour: f64,
    /// That is the rate of all that take turns, together.
    pub(super) in_all: bool,
    pub(super) work: Vec<&'a W>,
}

/// A destination that asked for a pause.
pub(super) struct Parked<'a, R> {
    pub(super) key: &'a DestinationKey,
    /// As [`Shape::park`] says.
    pub(super) until: Option<Instant>,
    /// Pauses that it asked for, each before the one before was over.
    pub(super) in_a_row: u32,
    /// Whose mail waits for it.
    pub(super) domains: &'a HashSet<Domain>,
    pub(super) reason: Reason<R>,
}

/// How much a destination may have at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Jobs at the same time.
    pub(super) ceiling: usize,
    /// From one job to the next.
    pub(super) interval: Option<Duration>,
    /// It takes turns with the others that do, where there is a rate for all of them.
    pub(super) takes_turns: bool,
}

impl Bounds {
    /// So many jobs at the same time, as fast as they come.
    pub(super) fn of(ceiling: usize) -> Self {
        Self { ceiling, interval: None, takes_turns: false }
    }
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Step<W, R> {
    /// Deliver this and report the end.
    Deliver { work: W, probe: bool },
    /// Defer this without an attempt.
    Suspend { work: W, reason: Reason<R> },
    /// Give this back until then: its destination asked for a pause.
    Park { work: W, until: Instant, reason: Reason<R> },
    /// Give this back: others hold the places that its destination may have.
    TurnAway { work: W, reason: Arc<R> },
    /// Say at this time that it has come. The worker does not count meanwhile.
    Wait(Instant),
    /// The worker is not needed any more.
    Stop,
}

struct Destination<W, R> {
    fresh: VecDeque<W>,
    tried: VecDeque<W>,
    bulk: VecDeque<W>,
    tried_next: bool,
    /// Others in a row that went before what goes to many.
    before_bulk: usize,
    workers: usize,
    running: usize,
    has_waiter: bool,
    ceiling: usize,
    shape: Shape,
    reason: Reason<R>,
    crowded: Option<(Instant, Arc<R>)>,
    takes_turns: bool,
    /// Its turn among all, if it has one.
    turn: Option<Instant>,
    /// Whose mail a pause keeps waiting.
    parked: HashSet<Domain>,
}

impl<W, R> Destination<W, R> {
    fn new() -> Self {
        Self {
            fresh: VecDeque::new(),
            tried: VecDeque::new(),
            bulk: VecDeque::new(),
            tried_next: false,
            before_bulk: 0,
            workers: 0,
            running: 0,
            has_waiter: false,
            ceiling: 1,
            shape: Shape::new(),
            reason: None,
            crowded: None,
            takes_turns: false,
            turn: None,
            parked: HashSet::default(),
        }
    }

    // Until when it waits for its turn among all.
    fn wait_for_turn(&mut self, turns: &mut Turns, now: Instant) -> Option<Instant> {
        if !self.takes_turns {
            return None;
        }
        let turn = self.turn.or_else(|| turns.take(now))?;
        self.turn = (turn > now).then_some(turn);
        self.turn
    }

    // When the next goes, and how many an hour may, where it is a rate that it waits for, and
    // whether that is the rate of all.
    fn waits_for_rate(&self, turns: &Turns, now: Instant) -> Option<(Instant, f64, bool)> {
        let is_open = self.shape.outage().is_none() && self.shape.park().is_none();
        match self.shape.permit(now, self.running, self.ceiling) {
            Permit::Wait(next) if is_open => Some((next, self.shape.per_hour(now)?, false)),
            _ => Some((self.turn.filter(|turn| *turn > now)?, turns.per_hour()?, true)),
        }
    }

    // Why there is no place, if there was none a moment ago.
    fn crowded(&self, now: Instant) -> Option<Arc<R>> {
        let (until, reason) = self.crowded.as_ref()?;
        (now < *until).then(|| Arc::clone(reason))
    }

    fn queued(&self) -> usize {
        self.queues().iter().map(|queue| queue.len()).sum()
    }

    fn queues(&self) -> [&VecDeque<W>; 3] {
        [&self.fresh, &self.tried, &self.bulk]
    }

    fn queues_mut(&mut self) -> [&mut VecDeque<W>; 3] {
        [&mut self.fresh, &mut self.tried, &mut self.bulk]
    }

    fn work(&self) -> impl Iterator<Item = &W> {
        self.queues().into_iter().flatten()
    }

    fn pop(&mut self) -> Option<W> {
        let is_bulks_turn = self.before_bulk >= BEFORE_BULK;
        let has_others = !self.fresh.is_empty() || !self.tried.is_empty();
        if (is_bulks_turn || !has_others)
            && let Some(work) = self.bulk.pop_front()
        {
            self.before_bulk = 0;
            return Some(work);
        }
        self.before_bulk += 1;
        self.tried_next = !self.tried_next;
        if self.tried_next {
            self.fresh.pop_front().or_else(|| self.tried.pop_front())
        } else {
            self.tried.pop_front().or_else(|| self.fresh.pop_front())
        }
    }

    // Idle workers will take what is queued, so only the rest needs new ones.
    fn wants_worker(&self) -> bool {
        let idle = self.workers.saturating_sub(self.running);
        self.queued() > idle && self.workers < self.shape.concurrency(self.ceiling)
    }
}

/// All destinations with their work.
pub(super) struct Schedule<W, R> {
    destinations: HashMap<DestinationKey, Destination<W, R>>,
    turns: Turns,
}

impl<W: Schedulable, R> Schedule<W, R> {
    pub(super) fn new() -> Self {
        Self { destinations: HashMap::default(), turns: Turns::default() }
    }

    /// All destinations that take turns together get one job in such a time at most.
    pub(super) fn order(&mut self, interval: Option<Duration>, now: Instant) {
        if self.turns.order(interval, now) {
            self.destinations.values_mut().for_each(|destination| destination.turn = None);
        }
    }

    /// Queues work for a destination within bounds. Says whether the caller is to start a
    /// worker for it.
    #[must_use]
    pub(super) fn push(&mut self, key: &DestinationKey, work: W, bounds: Bounds) -> bool {
        if !self.destinations.contains_key(key) {
            self.forget_idle();
            self.destinations.insert(key.clone(), Destination::new());
        }
        let Some(destination) = self.destinations.get_mut(key) else { return false };
        destination.ceiling = bounds.ceiling;
        destination.takes_turns = bounds.takes_turns;
        destination.shape.order(bounds.interval);
        let queue = match (work.is_bulk(), work.is_fresh()) {
            (true, _) => &mut destination.bulk,
            (false, true) => &mut destination.fresh,
            (false, false) => &mut destination.tried,
        };
        let mut left = Some(work);
        for companion in queue.iter_mut().rev().take(MERGE_WINDOW) {
            let Some(work) = left.take() else { break };
            left = companion.absorb(work).err();
        }
        queue.extend(left);
        self.take_worker(key)
    }

    /// Says whether the caller is to start one more worker for a destination.
    #[must_use]
    pub(super) fn take_worker(&mut self, key: &DestinationKey) -> bool {
        let Some(destination) = self.destinations.get_mut(key) else { return false };
        if !destination.wants_worker() {
            return false;
        }
        destination.workers += 1;
        true
    }

    /// Says whether the caller is to start one more worker, which waits for the time of the
    /// next job: so it is where a destination gets one after the other at a pace.
    #[must_use]
    pub(super) fn take_successor(&mut self, key: &DestinationKey, now: Instant) -> bool {
        let known = self.destinations.get(key);
        let is_paced =
            known.is_some_and(|known| !known.has_waiter && known.shape.per_hour(now).is_some());
        is_paced && self.take_worker(key)
    }

    /// The next step of a worker of this destination. After `Stop` and `Wait` the
    /// worker does not count any more.
    pub(super) fn next(&mut self, key: &DestinationKey, now: Instant) -> Step<W, R> {
        let step = self.step(key, now);
        if matches!(step, Step::Stop | Step::Wait(_)) {
            self.worker_left(key);
        }
        step
    }

    fn step(&mut self, key: &DestinationKey, now: Instant) -> Step<W, R> {
        let Some(destination) = self.destinations.get_mut(key) else { return Step::Stop };
        if destination.queued() == 0 {
            return Step::Stop;
        }
        if let Some(reason) = destination.crowded(now) {
            let work = destination.pop();
            return work.map_or(Step::Stop, |work| Step::TurnAway { work, reason });
        }
        let permit = destination.shape.permit(now, destination.running, destination.ceiling);
        let probe = permit == Permit::Probe;
        let wait = match permit {
            Permit::Full => return Step::Stop,
            Permit::Wait(until) => Some(until),
            Permit::Go | Permit::Probe => destination.wait_for_turn(&mut self.turns, now),
            Permit::Suspended | Permit::Parked(_) => None,
        };
        if let Some(until) = wait {
            if std::mem::replace(&mut destination.has_waiter, true) {
                return Step::Stop;
            }
            return Step::Wait(until);
        }
        let Some(work) = destination.pop() else { return Step::Stop };
        let reason = || destination.reason.clone();
        match permit {
            Permit::Suspended => return Step::Suspend { work, reason: reason() },
            Permit::Parked(until) => return Step::Park { work, until, reason: reason() },
            _ => {}
        }
        destination.shape.started(now);
        destination.running += 1;
        Step::Deliver { work, probe }
    }

    /// The time that a worker was told to wait for has come. Says whether it counts
    /// again and goes on.
    #[must_use]
    pub(super) fn waited(&mut self, key: &DestinationKey) -> bool {
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.has_waiter = false;
        }
        self.take_worker(key)
    }

    /// A job has ended; `reason` says why the destination was out of reach, if so.
    pub(super) fn ended(&mut self, key: &DestinationKey, ended: Ended, reason: Reason<R>) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        destination.running = destination.running.saturating_sub(1);
        destination.shape.ended(ended, destination.ceiling);
        if destination.shape.park().is_none() {
            destination.parked.clear();
        }
        match (ended.pressure, reason) {
            (Pressure::Crowded { .. }, reason) => {
                destination.crowded = reason.map(|reason| (ended.now + TURNED_AWAY, reason));
            }
            (_, None) => destination.crowded = None,
            (_, reason) => destination.reason = reason,
        }
    }

    /// A pause keeps the mail for a domain waiting.
    pub(super) fn keeps_waiting(&mut self, key: &DestinationKey, domain: &Domain) {
        if let Some(destination) = self.destinations.get_mut(key)
            && destination.parked.len() < MOST_PARKED
            && !destination.parked.contains(domain)
        {
            destination.parked.insert(domain.clone());
        }
    }

    /// The destination whose pause keeps the mail for a domain waiting, its end, and why.
    pub(super) fn parked(&self, domain: &Domain) -> Option<(&DestinationKey, Instant, Reason<R>)> {
        self.destinations.iter().find_map(|(key, destination)| {
            let until = destination.shape.park()??;
            let is_meant = destination.parked.contains(domain);
            is_meant.then(|| (key, until, destination.reason.clone()))
        })
    }

    /// Those that asked for a pause which still counts.
    pub(super) fn parked_ones(&self, now: Instant) -> impl Iterator<Item = Parked<'_, R>> {
        self.destinations.iter().filter_map(move |(key, destination)| {
            let until = destination.shape.park()?;
            let counts = !destination.shape.is_forgettable(now);
            counts.then(|| Parked {
                key,
                until,
                in_a_row: destination.shape.parks_in_a_row(),
                domains: &destination.parked,
                reason: destination.reason.clone(),
            })
        })
    }

    /// A destination that nobody has heard of yet asked for a pause before: at a time, until
    /// another, and so often in a row.
    pub(super) fn park(
        &mut self,
        key: DestinationKey,
        (now, until, in_a_row): (Instant, Instant, u32),
        domains: HashSet<Domain>,
        reason: Reason<R>,
    ) {
        let mut destination = Destination::new();
        destination.shape = Shape::parked(now, until, in_a_row);
        (destination.parked, destination.reason) = (domains, reason);
        self.destinations.insert(key, destination);
    }

    /// The domains whose mail pauses keep waiting, and until when.
    pub(super) fn parks(&self) -> impl Iterator<Item = (&Domain, Instant)> {
        self.destinations.values().flat_map(|destination| {
            let until = destination.shape.park().flatten();
            until
                .into_iter()
                .flat_map(move |until| destination.parked.iter().map(move |d| (d, until)))
        })
    }

    /// What waits in line for a rate.
    pub(super) fn paced(&self, now: Instant) -> impl Iterator<Item = Paced<'_, W>> {
        self.destinations.iter().filter_map(move |(key, destination)| {
            let (next, per_hour, in_all) = destination.waits_for_rate(&self.turns, now)?;
            Some(Paced { key, next, per_hour, in_all, work: destination.work().collect() })
        })
    }

    /// A worker is gone, for whatever reason.
    pub(super) fn worker_left(&mut self, key: &DestinationKey) {
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.workers = destination.workers.saturating_sub(1);
        }
    }

    /// Destinations that are out of reach are probed by the next work for them.
    pub(super) fn give_another_chance(&mut self, now: Instant) {
        for destination in self.destinations.values_mut() {
            destination.shape.give_another_chance(now);
        }
    }

    /// The same of one.
    pub(super) fn give_another_chance_to(&mut self, key: &DestinationKey, now: Instant) {
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.shape.give_another_chance(now);
        }
    }

    /// How much work waits for a destination.
    pub(super) fn queued(&self, key: &DestinationKey) -> usize {
        self.destinations.get(key).map_or(0, Destination::queued)
    }

    /// Takes all work that has not been started.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        self.destinations
            .values_mut()
            .flat_map(|destination| destination.queues_mut().into_iter().flat_map(|q| q.drain(..)))
            .collect()
    }

    /// Keeps of all work that has not been started what this keeps.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&mut W) -> bool) {
        for destination in self.destinations.values_mut() {
            destination.queues_mut().into_iter().for_each(|queue| queue.retain_mut(&mut keeps));
        }
    }

    /// Whether a destination's queue stands: as many wait in it as need be to go on when
    /// it moves, and the first has waited for this long.
    pub(super) fn stands(&self, key: &DestinationKey, now: Instant, stood: Duration) -> bool {
        self.destinations.get(key).is_some_and(|destination| {
            destination.queued() >= KEPT
                && destination.queues().into_iter().any(|q| stands(q, now, stood))
        })
    }

    /// Takes from the queues of some destinations that stand all but what they need to
    /// go on.
    pub(super) fn take_behind(
        &mut self,
        is_meant: impl Fn(&DestinationKey) -> bool,
        now: Instant,
        stood: Duration,
    ) -> Vec<W> {
        let meant = self.destinations.iter_mut().filter(|(key, _)| is_meant(key));
        let queues = meant.flat_map(|(_, d)| d.queues_mut());
        let standing = queues.filter(|queue| queue.len() > KEPT && stands(queue, now, stood));
        standing.flat_map(|queue| queue.split_off(KEPT)).collect()
    }

    /// Takes the newer half of the longest queues that have stood for this long, until
    /// they come to so many recipients.
    pub(super) fn take_standing(&mut self, now: Instant, stood: Duration, enough: usize) -> Vec<W> {
        let queues = self.destinations.values_mut().flat_map(|d| d.queues_mut());
        let mut standing: Vec<_> = queues.filter(|queue| stands(queue, now, stood)).collect();
        standing.sort_by_key(|queue| std::cmp::Reverse(queue.len()));
        let (mut taken, mut recipients) = (Vec::new(), 0);
        for queue in standing {
            if recipients >= enough {
                break;
            }
            let half = queue.split_off(queue.len() / 2);
            recipients += half.iter().map(W::recipients).sum::<usize>();
            taken.extend(half);
        }
        taken
    }

    /// How each destination stands about which there is something to say.
    pub(super) fn lines(&self, now: Instant) -> Vec<Line<'_, R>> {
        let lines = self.destinations.iter().map(|(key, destination)| {
            let crowded = destination.crowded.as_ref().filter(|(until, _)| now < *until);
            let (outage, park) = (destination.shape.outage(), destination.shape.park());
            let is_slowed = destination.shape.is_slowed(now);
            let own = destination.shape.per_hour(now);
            let of_all = self.turns.per_hour().filter(|_| destination.takes_turns);
            let in_all = of_all.is_some_and(|all| own.is_none_or(|own| all < own));
            Line {
                key: key.clone(),
                waiting: destination.work().map(W::recipients).sum(),
                running: destination.running,
                allowed: destination.shape.concurrency(destination.ceiling),
                ceiling: destination.ceiling,
                outage,
                park,
                per_hour: if in_all { of_all } else { own },
                in_all,
                crowded_until: crowded.map(|(until, _)| *until),
                reason: match outage.is_some() || park.is_some() || is_slowed {
                    true => destination.reason.as_deref(),
                    false => crowded.map(|(_, reason)| &**reason),
                },
            }
        });
        let says = |line: &Line<'_, R>| {
            line.waiting + line.running > 0 || line.outage.is_some() || line.park.is_some()
        };
        lines.filter(says).collect()
    }

    /// Nothing will come for a destination any more: what was learnt of it is forgotten,
    /// unless something is under way.
    pub(super) fn forget(&mut self, key: &DestinationKey) {
        self.destinations.retain(|known, destination| {
            known != key || destination.workers > 0 || destination.queued() > 0
        });
    }

    fn forget_idle(&mut self) {
        if self.destinations.len() < MAX_REMEMBERED {
            return;
        }
        let now = Instant::now();
        self.destinations.retain(|_, destination| {
            destination.workers > 0
                || destination.queued() > 0
                || destination.has_waiter
                || !destination.shape.is_forgettable(now)
        });
    }
}

fn stands<W: Schedulable>(queue: &VecDeque<W>, now: Instant, stood: Duration) -> bool {
    queue.front().is_some_and(|first| now.duration_since(first.claimed()) >= stood)
}

#[cfg(test)]
mod tests;
