//! How each destination's lane stands, for whoever administers the queue.

use std::sync::{Arc, OnceLock};

use foldhash::HashMap;
use puerto_smtp::Domain;
use puerto_spool::clock::Clock;
use puerto_spool::{MessageId, Timestamp, Work};
use tokio::time::Instant;

use super::lines::Lines;
use super::rescue::{Moment, Rescue, Standing};
use super::sources::{Sources, WarmUp};
use crate::cause::Cause;
use crate::config::Live;

/// What a destination's lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// It takes what comes.
    Open,
    /// It could not be reached; nothing is tried before this time, then one message is.
    OutOfReach(Timestamp),
    /// It could not be reached; one message tries it now.
    Probing,
    /// Others hold the connections that it may have; it is asked for again then.
    NoPlace(Timestamp),
    /// It asked for a pause: until then nothing is tried and no attempt is spent, then one
    /// message looks.
    Parked(Timestamp),
    /// It asked for a pause, which is over: one message looks.
    Canary,
}

/// How one destination's lane stands.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The destination: its MX hosts, or the relay.
    pub name: String,
    /// Recipients that wait in memory for their turn.
    pub waiting: usize,
    /// Connections in use.
    pub open: usize,
    /// Connections that it may have, as it behaved lately.
    pub allowed: usize,
    /// Connections that it may have at best.
    pub ceiling: usize,
    /// What it is doing.
    pub state: LaneState,
    /// Attempts in a row that did not reach it.
    pub failures: u32,
    /// Messages an hour at most, where that is bounded: as ordered, or as it asked for less.
    pub per_hour: Option<u64>,
    /// That is the rate of all destinations together (`delivery.rate_in_all`).
    pub in_all: bool,
    /// Why it is out of reach, parked or slowed, or has no place.
    pub reason: Option<Cause>,
}

/// A rate for which mail waits in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The destination.
    pub name: String,
    /// Messages an hour at most.
    pub per_hour: u64,
    /// That is the rate of all destinations together (`delivery.rate_in_all`).
    pub in_all: bool,
    /// When the first in its line goes.
    pub next: Timestamp,
}

/// A pause that a destination asked for.
#[derive(Debug, Clone)]
pub struct Park {
    /// The destination.
    pub name: String,
    /// When it ends.
    pub until: Timestamp,
    /// Why.
    pub reason: Option<Cause>,
}

/// A view into the queue's lanes; empty until the queue runs.
#[derive(Clone, Default)]
pub struct Lanes(Arc<OnceLock<Running>>);

/// A queue that runs.
struct Running {
    lines: Arc<Lines>,
    clock: Arc<dyn Clock>,
    sources: Arc<Sources>,
    rescue: Arc<Rescue>,
    config: Live,
    work: Arc<dyn Work>,
}

impl Lanes {
    /// Those of this queue, from now on.
    pub(super) fn are(
        &self,
        lines: &Arc<Lines>,
        clock: &Arc<dyn Clock>,
        (sources, rescue): (&Arc<Sources>, &Arc<Rescue>),
        (config, work): (&Live, &Arc<dyn Work>),
    ) {
        let (lines, clock) = (Arc::clone(lines), Arc::clone(clock));
        let (sources, rescue) = (Arc::clone(sources), Arc::clone(rescue));
        let (config, work) = (config.clone(), Arc::clone(work));
        // A queue is wired once.
        let _ = self.0.set(Running { lines, clock, sources, rescue, config, work });
    }

    /// How the addresses stand that are being warmed up, on this node.
    pub fn warm_ups(&self) -> Vec<WarmUp> {
        let Some(Running { clock, sources, config, work, .. }) = self.0.get() else {
            return Vec::new();
        };
        sources.warm_ups((&config.get(), work.living()), clock.now())
    }

    /// What goes by the rescue route, on this node.
    pub fn rescued(&self) -> Vec<Standing> {
        let Some(Running { clock, rescue, config, .. }) = self.0.get() else { return Vec::new() };
        if config.get().rescue.via.is_none() {
            return Vec::new();
        }
        rescue.standing(Moment { instant: Instant::now(), time: clock.now() })
    }

    /// The pause that mail for a domain waits for, if it does.
    pub fn park_of(&self, domain: &Domain) -> Option<Park> {
        let Running { lines, clock, .. } = self.0.get()?;
        let (now, time) = (Instant::now(), clock.now());
        let standing = lines.lock();
        let (key, until, reason) = standing.schedule.parked(domain)?;
        let until = time.after(until.saturating_duration_since(now));
        let reason = reason.map(|ground| ground.cause.clone());
        Some(Park { name: key.to_string(), until, reason })
    }

    /// The domains of which mail waits for the end of a pause, with that.
    pub fn parks(&self) -> HashMap<Domain, Timestamp> {
        let Some(Running { lines, clock, .. }) = self.0.get() else { return HashMap::default() };
        let (now, time) = (Instant::now(), clock.now());
        let standing = lines.lock();
        let parks = standing.schedule.parks();
        parks.map(|(d, until)| (d.clone(), time.after(until.duration_since(now)))).collect()
    }

    /// The rates for which mail waits in line, by message and the recipient's place in its
    /// envelope.
    pub fn turns(&self) -> HashMap<(MessageId, u32), Arc<Turn>> {
        let Some(Running { lines, clock, .. }) = self.0.get() else { return HashMap::default() };
        let (now, time) = (Instant::now(), clock.now());
        let standing = lines.lock();
        let mut turns = HashMap::default();
        for paced in standing.schedule.paced(now) {
            let turn = Arc::new(Turn {
                name: paced.key.to_string(),
                per_hour: whole(paced.per_hour),
                in_all: paced.in_all,
                next: time.after(paced.next.duration_since(now)),
            });
            for work in paced.work {
                let recipients = work.job.recipients.iter();
                turns.extend(recipients.map(|r| ((work.job.id, r.index), Arc::clone(&turn))));
            }
        }
        turns
    }

    /// Those about which there is something to say, the busiest first.
    pub fn look(&self) -> Vec<Lane> {
        let Some(Running { lines, clock, .. }) = self.0.get() else { return Vec::new() };
        let (now, time) = (Instant::now(), clock.now());
        let at = |instant: Instant| time.after(instant.saturating_duration_since(now));
        let standing = lines.lock();
        let lanes = standing.schedule.lines(now).into_iter().map(|line| Lane {
            name: line.key.to_string(),
            waiting: line.waiting,
            open: line.running,
            allowed: line.allowed,
            ceiling: line.ceiling,
            state: match (line.park, line.outage, line.crowded_until) {
                (Some(Some(until)), ..) => LaneState::Parked(at(until)),
                (Some(None), ..) => LaneState::Canary,
                (None, Some((_, Some(until))), _) => LaneState::OutOfReach(at(until)),
                (None, Some((_, None)), _) => LaneState::Probing,
                (None, None, Some(until)) => LaneState::NoPlace(at(until)),
                (None, None, None) => LaneState::Open,
            },
            failures: line.outage.map_or(0, |(failures, _)| failures),
            per_hour: line.per_hour.map(whole),
            in_all: line.in_all,
            reason: line.reason.map(|ground| ground.cause.clone()),
        });
        let mut lanes: Vec<Lane> = lanes.collect();
        drop(standing);
        lanes.sort_by_key(|lane| std::cmp::Reverse((lane.open, lane.waiting)));
        lanes
    }
}

// Between none and a count of messages: the conversion cannot go wrong.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(rate: f64) -> u64 {
    rate.clamp(0.0, 1e12).round() as u64
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lanes")
    }
}
