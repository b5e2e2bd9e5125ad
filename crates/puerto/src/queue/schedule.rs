//! Whose turn it is. Pure: work and times come in, steps for workers go out.
//!
//! Each destination has its own queue and its own workers, so that none waits for
//! another. When there are more destinations than workers, a worker that has done
//! one job hands its place to the destination that has waited longest. Within a
//! destination, mail that was never tried and mail that was take turns.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shape::{Ended, Permit, Shape};
use crate::route::DestinationKey;

/// Workers of all destinations together.
const MAX_WORKERS: usize = 500;
/// Destinations that are remembered without having work.
const MAX_REMEMBERED: usize = 4096;
/// How far back in a queue a companion is looked for.
const MERGE_WINDOW: usize = 16;

/// What the schedule must know of work.
pub(super) trait Schedulable: Sized {
    /// Whether it was never tried before.
    fn is_fresh(&self) -> bool;
    /// Takes `other` in, if both can travel together; gives it back if not.
    fn absorb(&mut self, other: Self) -> Result<(), Self>;
}

/// Why a destination is suspended, for the mail that is deferred meanwhile.
pub(super) type Reason<R> = Option<Arc<R>>;

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Step<W, R> {
    /// Deliver this and report the end.
    Deliver { work: W, probe: bool },
    /// Defer this without an attempt.
    Suspend { work: W, reason: Reason<R> },
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
            shape: Shape::new(Instant::now()),
            reason: None,
        }
    }

    fn queued(&self) -> usize {
        self.fresh.len() + self.tried.len()
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
    /// Destinations that want a worker when there is one to spare.
    starved: VecDeque<DestinationKey>,
    is_starved: HashSet<DestinationKey>,
    workers: usize,
    max_workers: usize,
}

impl<W: Schedulable, R> Schedule<W, R> {
    pub(super) fn new() -> Self {
        Self::with_workers(MAX_WORKERS)
    }

    fn with_workers(max_workers: usize) -> Self {
        Self {
            destinations: HashMap::new(),
            starved: VecDeque::new(),
            is_starved: HashSet::new(),
            workers: 0,
            max_workers,
        }
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
        if self.workers >= self.max_workers {
            if self.is_starved.insert(key.clone()) {
                self.starved.push_back(key.clone());
            }
            return false;
        }
        destination.workers += 1;
        self.workers += 1;
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
        if reason.is_some() {
            destination.reason = reason;
        }
    }

    /// Whether a worker that has done a job is to leave its place to another
    /// destination; it does not count any more then, and the caller starts a worker
    /// for the destination that is returned, which already counts.
    pub(super) fn hand_over(&mut self, key: &DestinationKey) -> Option<DestinationKey> {
        let successor = self.next_starved()?;
        self.worker_left(key);
        // What is left here stands in line again.
        let wants = self.destinations.get(key).is_some_and(Destination::wants_worker);
        if wants && self.is_starved.insert(key.clone()) {
            self.starved.push_back(key.clone());
        }
        self.count_worker(&successor);
        Some(successor)
    }

    /// A destination that waits for a worker and gets the one that has just left.
    pub(super) fn successor(&mut self) -> Option<DestinationKey> {
        if self.workers >= self.max_workers {
            return None;
        }
        let successor = self.next_starved()?;
        self.count_worker(&successor);
        Some(successor)
    }

    fn next_starved(&mut self) -> Option<DestinationKey> {
        while let Some(key) = self.starved.pop_front() {
            self.is_starved.remove(&key);
            if self.destinations.get(&key).is_some_and(Destination::wants_worker) {
                return Some(key);
            }
        }
        None
    }

    fn count_worker(&mut self, key: &DestinationKey) {
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.workers += 1;
            self.workers += 1;
        }
    }

    /// A worker is gone, for whatever reason.
    pub(super) fn worker_left(&mut self, key: &DestinationKey) {
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.workers = destination.workers.saturating_sub(1);
            self.workers = self.workers.saturating_sub(1);
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

    /// Takes the work that waits for the destination with the longest queue of those
    /// that nothing has reached for a while.
    pub(super) fn take_stuck(&mut self, now: Instant, after: Duration) -> Vec<W> {
        let stuck = self.destinations.values_mut().filter(|d| d.shape.is_stuck(now, after));
        let longest = stuck.max_by_key(|destination| destination.queued());
        longest.map_or(Vec::new(), |destination| {
            destination.fresh.drain(..).chain(destination.tried.drain(..)).collect()
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::Pressure;

    #[derive(Debug, PartialEq)]
    struct Item {
        name: &'static str,
        number: u32,
        fresh: bool,
    }

    impl Schedulable for Item {
        fn is_fresh(&self) -> bool {
            self.fresh
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
        Item { name: "item", number, fresh }
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
        let mut schedule = Schedule::<Item, ()>::with_workers(10);
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
        let mut schedule = Schedule::<Item, ()>::with_workers(100);
        let mut push = |to: &str| schedule.push(&key(to), item(1, true), 20);
        let started = (0..1000).filter(|_| push("big")).count();
        assert_eq!(started, 5);
        assert!(push("small"), "a long queue elsewhere must not matter");
    }

    #[tokio::test(start_paused = true)]
    async fn workers_are_handed_over_in_turn_when_they_are_few() {
        let mut schedule = Schedule::<Item, ()>::with_workers(1);
        assert!(schedule.push(&key("a"), item(1, true), 20));
        for name in ["a", "b", "c"] {
            assert!(!schedule.push(&key(name), item(2, true), 20));
        }
        let mut turns = vec![key("a")];
        while let Some(current) = turns.last().cloned() {
            let Step::Deliver { .. } = schedule.next(&current, Instant::now()) else { break };
            end(&mut schedule, &current.0, Pressure::Fine);
            turns.extend(schedule.hand_over(&current));
        }
        let names: Vec<_> = turns.iter().map(|key| &*key.0).collect();
        assert_eq!(names, ["a", "b", "c", "a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn companions_travel_together() {
        let mut schedule = Schedule::<Item, ()>::with_workers(1);
        for number in [1, 2] {
            let _ = schedule.push(&key("a"), Item { name: "pair", number, fresh: true }, 20);
            let _ = schedule.push(&key("a"), item(10, true), 20);
        }
        assert_eq!(schedule.queued(&key("a")), 3);
        assert_eq!(deliver(&mut schedule, "a"), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_has_one_waiter_and_later_one_probe() {
        let mut schedule = Schedule::<Item, ()>::with_workers(10);
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
        let mut schedule = Schedule::<Item, ()>::with_workers(10);
        for number in 0..(2 * MAX_REMEMBERED) {
            let name = key(&number.to_string());
            assert!(schedule.push(&name, item(1, true), 20));
            while let Step::Deliver { .. } = schedule.next(&name, Instant::now()) {
                end(&mut schedule, &name.0, Pressure::Fine);
            }
        }
        assert!(schedule.destinations.len() <= MAX_REMEMBERED);
        assert_eq!(schedule.workers, 0);
    }
}
