//! Whose turn it is. Pure: work and times come in, steps for workers go out.
//!
//! Each destination has its own queue and its own workers, so that none waits for
//! another: no number of workers is shared. What is scarce, connections, is the
//! carrier's to share out; a destination that it turned away sends back what waits
//! here, for a while. Within a destination, mail that was never tried and mail that was
//! take turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use super::shape::{Ended, Permit, Shape};
use crate::deliver::Pressure;
use crate::route::DestinationKey;

/// Destinations that are remembered without having work.
const MAX_REMEMBERED: usize = 4096;
/// For how long a destination that had no place sends back what waits for it.
const TURNED_AWAY: Duration = Duration::from_secs(5);
/// What is left to a queue that stands, so that it goes on at once when it moves.
const KEPT: usize = 4;
/// How far back in a queue a companion is looked for.
const MERGE_WINDOW: usize = 16;

/// What the schedule must know of work.
pub(super) trait Schedulable: Sized {
    /// Whether it was never tried before.
    fn is_fresh(&self) -> bool;
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
    /// Others hold the places that it may have; it is asked for again then.
    pub(super) crowded_until: Option<Instant>,
    /// Why it is out of reach, or has no place.
    pub(super) reason: Option<&'a R>,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Step<W, R> {
    /// Deliver this and report the end.
    Deliver { work: W, probe: bool },
    /// Defer this without an attempt.
    Suspend { work: W, reason: Reason<R> },
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
    tried_next: bool,
    workers: usize,
    running: usize,
    has_waiter: bool,
    ceiling: usize,
    shape: Shape,
    reason: Reason<R>,
    crowded: Option<(Instant, Arc<R>)>,
}

impl<W, R> Destination<W, R> {
    fn new(ceiling: usize) -> Self {
        Self {
            fresh: VecDeque::new(),
            tried: VecDeque::new(),
            tried_next: false,
            workers: 0,
            running: 0,
            has_waiter: false,
            ceiling,
            shape: Shape::new(),
            reason: None,
            crowded: None,
        }
    }

    // Why there is no place, if there was none a moment ago.
    fn crowded(&self, now: Instant) -> Option<Arc<R>> {
        let (until, reason) = self.crowded.as_ref()?;
        (now < *until).then(|| Arc::clone(reason))
    }

    fn queued(&self) -> usize {
        self.fresh.len() + self.tried.len()
    }

    fn work(&self) -> impl Iterator<Item = &W> {
        self.fresh.iter().chain(&self.tried)
    }

    fn pop(&mut self) -> Option<W> {
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
}

impl<W: Schedulable, R> Schedule<W, R> {
    pub(super) fn new() -> Self {
        Self { destinations: HashMap::default() }
    }

    /// Queues work for a destination that may have `ceiling` workers at most. Says
    /// whether the caller is to start a worker for it.
    #[must_use]
    pub(super) fn push(&mut self, key: &DestinationKey, work: W, ceiling: usize) -> bool {
        if !self.destinations.contains_key(key) {
            self.forget_idle();
            self.destinations.insert(key.clone(), Destination::new(ceiling));
        }
        let Some(destination) = self.destinations.get_mut(key) else { return false };
        destination.ceiling = ceiling;
        let queue = if work.is_fresh() { &mut destination.fresh } else { &mut destination.tried };
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
        match permit {
            Permit::Full => return Step::Stop,
            Permit::Wait(_) if destination.has_waiter => return Step::Stop,
            Permit::Wait(until) => {
                destination.has_waiter = true;
                return Step::Wait(until);
            }
            Permit::Go | Permit::Probe | Permit::Suspended => {}
        }
        let Some(work) = destination.pop() else { return Step::Stop };
        if permit == Permit::Suspended {
            return Step::Suspend { work, reason: destination.reason.clone() };
        }
        if probe {
            destination.shape.probe_started();
        }
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
        match (ended.pressure, reason) {
            (Pressure::Crowded { .. }, reason) => {
                destination.crowded = reason.map(|reason| (ended.now + TURNED_AWAY, reason));
            }
            (_, None) => destination.crowded = None,
            (_, reason) => destination.reason = reason,
        }
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

    /// How much work waits for a destination.
    pub(super) fn queued(&self, key: &DestinationKey) -> usize {
        self.destinations.get(key).map_or(0, Destination::queued)
    }

    /// Takes all work that has not been started.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        self.destinations
            .values_mut()
            .flat_map(|destination| destination.fresh.drain(..).chain(destination.tried.drain(..)))
            .collect()
    }

    /// Whether a destination's queue stands: as many wait in it as need be to go on when
    /// it moves, and the first has waited for this long.
    pub(super) fn stands(&self, key: &DestinationKey, now: Instant, stood: Duration) -> bool {
        self.destinations.get(key).is_some_and(|destination| {
            let queues = [&destination.fresh, &destination.tried];
            destination.queued() >= KEPT && queues.into_iter().any(|q| stands(q, now, stood))
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
        let queues = meant.flat_map(|(_, d)| [&mut d.fresh, &mut d.tried]);
        let standing = queues.filter(|queue| queue.len() > KEPT && stands(queue, now, stood));
        standing.flat_map(|queue| queue.split_off(KEPT)).collect()
    }

    /// Takes the newer half of the longest queues that have stood for this long, until
    /// they come to so many recipients.
    pub(super) fn take_standing(&mut self, now: Instant, stood: Duration, enough: usize) -> Vec<W> {
        let queues = self.destinations.values_mut().flat_map(|d| [&mut d.fresh, &mut d.tried]);
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
            let outage = destination.shape.outage();
            Line {
                key: key.clone(),
                waiting: destination.work().map(W::recipients).sum(),
                running: destination.running,
                allowed: destination.shape.concurrency(destination.ceiling),
                ceiling: destination.ceiling,
                outage,
                crowded_until: crowded.map(|(until, _)| *until),
                reason: match outage {
                    Some(_) => destination.reason.as_deref(),
                    None => crowded.map(|(_, reason)| &**reason),
                },
            }
        });
        lines.filter(|line| line.waiting + line.running > 0 || line.outage.is_some()).collect()
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
mod tests {
    use super::*;
    use crate::deliver::Pressure;

    #[derive(Debug, PartialEq)]
    struct Item {
        name: &'static str,
        number: u32,
        fresh: bool,
        claimed: Instant,
    }

    impl Schedulable for Item {
        fn is_fresh(&self) -> bool {
            self.fresh
        }
        fn claimed(&self) -> Instant {
            self.claimed
        }
        fn recipients(&self) -> usize {
            1
        }
        fn absorb(&mut self, other: Self) -> Result<(), Self> {
            if self.name == "pair" && other.name == "pair" {
                self.number += other.number;
                return Ok(());
            }
            Err(other)
        }
    }

    fn item(number: u32, fresh: bool) -> Item {
        Item { name: "item", number, fresh, claimed: Instant::now() }
    }

    fn key(name: &str) -> DestinationKey {
        DestinationKey(name.into())
    }

    fn deliver(schedule: &mut Schedule<Item, ()>, destination: &str) -> Option<u32> {
        match schedule.next(&key(destination), Instant::now()) {
            Step::Deliver { work, .. } => Some(work.number),
            _ => None,
        }
    }

    fn end(schedule: &mut Schedule<Item, ()>, destination: &str, pressure: Pressure) {
        let now = Instant::now();
        let ended = Ended { started: now, now, was_probe: false, pressure };
        schedule.ended(&key(destination), ended, None);
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_mail_and_old_take_turns() {
        let mut schedule = Schedule::<Item, ()>::new();
        for number in 0..3 {
            let _ = schedule.push(&key("a"), item(number, true), 20);
            let _ = schedule.push(&key("a"), item(100 + number, false), 20);
        }
        let order: Vec<_> = (0..6)
            .map(|_| {
                let number = deliver(&mut schedule, "a").unwrap();
                end(&mut schedule, "a", Pressure::Fine);
                number
            })
            .collect();
        assert_eq!(order, [0, 100, 1, 101, 2, 102]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_destination_has_workers_of_its_own_up_to_its_concurrency() {
        let mut schedule = Schedule::<Item, ()>::new();
        let mut push = |to: &str| schedule.push(&key(to), item(1, true), 20);
        let started = (0..1000).filter(|_| push("big")).count();
        assert_eq!(started, 5);
        assert!(push("small"), "a long queue elsewhere must not matter");
    }

    #[tokio::test(start_paused = true)]
    async fn every_destination_has_a_worker_however_many_there_are() {
        let mut schedule = Schedule::<Item, ()>::new();
        for number in 0..10_000 {
            assert!(schedule.push(&key(&number.to_string()), item(1, true), 20), "{number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_without_a_place_sends_back_what_waits_until_it_has_one() {
        let mut schedule = Schedule::<Item, ()>::new();
        for number in 0..3 {
            let _ = schedule.push(&key("a"), item(number, true), 1);
        }
        assert!(deliver(&mut schedule, "a").is_some());
        let now = Instant::now();
        let pressure = Pressure::Crowded { failed_at: None };
        let ended = Ended { started: now, now, was_probe: false, pressure };
        schedule.ended(&key("a"), ended, Some(Arc::new(())));
        assert!(matches!(schedule.next(&key("a"), now), Step::TurnAway { .. }));
        let later = now + TURNED_AWAY;
        assert!(matches!(schedule.next(&key("a"), later), Step::Deliver { probe: false, .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_newer_half_of_what_stands_makes_room() {
        let mut schedule = Schedule::<Item, ()>::new();
        let stood = Duration::from_secs(2);
        for number in 0..10 {
            let _ = schedule.push(&key("long"), item(number, true), 1);
        }
        let _ = schedule.push(&key("short"), item(10, true), 1);
        assert!(schedule.take_standing(Instant::now(), stood, 3).is_empty(), "all just came");
        let now = Instant::now() + stood;
        let taken: Vec<u32> =
            schedule.take_standing(now, stood, 3).iter().map(|item| item.number).collect();
        assert_eq!(taken, [5, 6, 7, 8, 9]);
        assert_eq!(schedule.take_standing(now, stood, 100).len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn companions_travel_together() {
        let mut schedule = Schedule::<Item, ()>::new();
        for number in [1, 2] {
            let pair = Item { name: "pair", ..item(number, true) };
            let _ = schedule.push(&key("a"), pair, 20);
            let _ = schedule.push(&key("a"), item(10, true), 20);
        }
        assert_eq!(schedule.queued(&key("a")), 3);
        assert_eq!(deliver(&mut schedule, "a"), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_has_one_waiter_and_later_one_probe() {
        let mut schedule = Schedule::<Item, ()>::new();
        for number in 0..5 {
            let _ = schedule.push(&key("a"), item(number, true), 20);
        }
        assert!(deliver(&mut schedule, "a").is_some());
        end(&mut schedule, "a", Pressure::Unreachable);
        let Step::Wait(until) = schedule.next(&key("a"), Instant::now()) else { panic!() };
        assert!(matches!(schedule.next(&key("a"), Instant::now()), Step::Stop));
        tokio::time::advance(until - Instant::now() + Duration::from_millis(1)).await;
        assert!(schedule.waited(&key("a")));
        let step = schedule.next(&key("a"), Instant::now());
        assert!(matches!(step, Step::Deliver { probe: true, .. }));
        assert!(matches!(schedule.next(&key("a"), Instant::now()), Step::Stop));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_destinations_are_forgotten() {
        let mut schedule = Schedule::<Item, ()>::new();
        for number in 0..(2 * MAX_REMEMBERED) {
            let name = key(&number.to_string());
            assert!(schedule.push(&name, item(1, true), 20));
            while let Step::Deliver { .. } = schedule.next(&name, Instant::now()) {
                end(&mut schedule, &name.0, Pressure::Fine);
            }
        }
        assert!(schedule.destinations.len() <= MAX_REMEMBERED);
        assert!(schedule.destinations.values().all(|destination| destination.workers == 0));
    }
}
