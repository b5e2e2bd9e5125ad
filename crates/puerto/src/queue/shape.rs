//! How much one destination gets. Pure: reports and times come in, permits go out.
//!
//! The number of connections starts small, grows by one with each success until the
//! destination first complains, and by one for each full round of successes after
//! that; a complaint halves it. A destination that cannot be reached at all opens
//! the breaker: after a while one message tries it, and only when that one gets
//! through do the others follow. At the first such failure the rest waits for the
//! probe's result, since most outages are restarts; when the probe has failed too,
//! the rest is suspended: deferred without a connection, each by its own schedule.

use std::time::Duration;

use tokio::time::Instant;

use crate::deliver::Pressure;

const INITIAL_CONCURRENCY: f64 = 5.0;
/// What a destination gets that has just come back.
const CONCURRENCY_AFTER_OUTAGE: f64 = 2.0;
/// Complaints in a row, one connection at a time, that count as an outage.
const MAX_COMPLAINTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const SECOND_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What a destination may get now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// A job may start.
    Go,
    /// A single job may start and will decide about the others.
    Probe,
    /// As many jobs run as may.
    Full,
    /// Nothing until this time.
    Wait(Instant),
    /// Everything that waits is to be deferred without an attempt.
    Suspended,
}

/// How a job ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) started: Instant,
    pub(super) now: Instant,
    pub(super) was_probe: bool,
    pub(super) pressure: Pressure,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Breaker {
    Closed,
    Open { until: Instant, failures: u32 },
    Probing { failures: u32 },
}

/// What was learnt about a destination.
#[derive(Debug)]
pub(super) struct Shape {
    concurrency: f64,
    complained: bool,
    complaints: u32,
    last_success: Option<Instant>,
    last_shrink: Option<Instant>,
    breaker: Breaker,
}

impl Shape {
    pub(super) fn new() -> Self {
        Self {
            concurrency: INITIAL_CONCURRENCY,
            complained: false,
            complaints: 0,
            last_success: None,
            last_shrink: None,
            breaker: Breaker::Closed,
        }
    }

    /// How many jobs may run at the same time, below a ceiling.
    pub(super) fn concurrency(&self, ceiling: usize) -> usize {
        let ceiling = ceiling.max(1);
        // Between 1 and a ceiling that fits: the conversion cannot go wrong.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let allowed = self.concurrency.clamp(1.0, 100_000.0) as usize;
        allowed.min(ceiling)
    }

    /// What may happen now, while `running` jobs run.
    pub(super) fn permit(&self, now: Instant, running: usize, ceiling: usize) -> Permit {
        match self.breaker {
            Breaker::Closed if running < self.concurrency(ceiling) => Permit::Go,
            Breaker::Closed => Permit::Full,
            Breaker::Open { until, .. } if now >= until => Permit::Probe,
            Breaker::Open { until, failures: 0..=1 } => Permit::Wait(until),
            Breaker::Probing { failures: 0..=1 } => Permit::Full,
            Breaker::Open { .. } | Breaker::Probing { .. } => Permit::Suspended,
        }
    }

    /// Notes that the probe which was permitted has started.
    pub(super) fn probe_started(&mut self) {
        if let Breaker::Open { failures, .. } = self.breaker {
            self.breaker = Breaker::Probing { failures };
        }
    }

    /// Learns from a job.
    pub(super) fn ended(&mut self, ended: Ended, ceiling: usize) {
        match ended.pressure {
            Pressure::Fine => self.succeeded(ended.now, ceiling),
            Pressure::Strained => self.strained(ended),
            Pressure::Unreachable => self.unreachable(ended),
            Pressure::Crowded { .. } => self.not_tried(ended),
        }
    }

    // Nothing was learnt; a probe that had no place is made up for.
    fn not_tried(&mut self, ended: Ended) {
        if let Breaker::Probing { failures } = self.breaker
            && ended.was_probe
        {
            self.breaker = Breaker::Open { until: ended.now + FIRST_PAUSE, failures };
        }
    }

    fn succeeded(&mut self, now: Instant, ceiling: usize) {
        if self.breaker != Breaker::Closed {
            self.breaker = Breaker::Closed;
            self.concurrency = CONCURRENCY_AFTER_OUTAGE;
        }
        self.complaints = 0;
        self.last_success = Some(now);
        let step = if self.complained { 1.0 / self.concurrency.max(1.0) } else { 1.0 };
        let ceiling = u32::try_from(ceiling.max(1)).unwrap_or(u32::MAX);
        self.concurrency = (self.concurrency + step).min(f64::from(ceiling));
    }

    fn strained(&mut self, ended: Ended) {
        if ended.was_probe {
            self.breaker = Breaker::Closed;
            self.concurrency = 1.0;
        }
        // Jobs that were under way together complain together, of one and the same.
        if self.last_shrink.is_some_and(|shrunk| ended.started < shrunk) {
            return;
        }
        self.complained = true;
        self.last_shrink = Some(ended.now);
        if self.concurrency < 2.0 {
            self.complaints += 1;
        }
        self.concurrency = (self.concurrency / 2.0).max(1.0);
        if self.complaints >= MAX_COMPLAINTS && self.breaker == Breaker::Closed {
            self.complaints = 0;
            self.open(ended.now, 1);
        }
    }

    fn unreachable(&mut self, ended: Ended) {
        match self.breaker {
            Breaker::Probing { failures } if ended.was_probe => {
                self.open(ended.now, failures.saturating_add(1));
            }
            // Another job got through in the meantime: this is no outage.
            Breaker::Closed if self.last_success.is_some_and(|last| last > ended.started) => {
                self.strained(ended);
            }
            Breaker::Closed => self.open(ended.now, 1),
            Breaker::Open { .. } | Breaker::Probing { .. } => {}
        }
    }

    fn open(&mut self, now: Instant, failures: u32) {
        let doublings = failures.saturating_sub(2).min(16);
        let pause = match failures {
            0..=1 => FIRST_PAUSE,
            _ => (SECOND_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE),
        };
        self.breaker = Breaker::Open { until: now + pause, failures };
    }

    /// Somebody says that it can be reached again: the next job is a probe, for whose
    /// result the others wait as after a first failure.
    pub(super) fn give_another_chance(&mut self, now: Instant) {
        if let Breaker::Open { .. } = self.breaker {
            self.breaker = Breaker::Open { until: now, failures: 1 };
        }
    }

    /// Whether it is out of reach: since how many failures, and until when nothing is tried
    /// (`None`: one is being tried).
    pub(super) fn outage(&self) -> Option<(u32, Option<Instant>)> {
        match self.breaker {
            Breaker::Closed => None,
            Breaker::Open { until, failures } => Some((failures, Some(until))),
            Breaker::Probing { failures } => Some((failures, None)),
        }
    }

    /// Whether nothing was learnt that is worth keeping.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        match self.breaker {
            Breaker::Closed => true,
            Breaker::Open { until, .. } => now >= until + LONGEST_PAUSE,
            Breaker::Probing { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: usize = 20;

    fn ended(pressure: Pressure, started: Instant, now: Instant) -> Ended {
        Ended { started, now, was_probe: false, pressure }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_grows_on_success_up_to_the_ceiling() {
        let mut shape = Shape::new();
        let now = Instant::now();
        assert_eq!(shape.concurrency(CEILING), 5);
        assert_eq!(shape.concurrency(3), 3);
        for _ in 0..100 {
            shape.ended(ended(Pressure::Fine, now, now), CEILING);
        }
        assert_eq!(shape.concurrency(CEILING), CEILING);
        assert_eq!(shape.permit(now, CEILING - 1, CEILING), Permit::Go);
        assert_eq!(shape.permit(now, CEILING, CEILING), Permit::Full);
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_of_one_round_halve_it_once_and_growth_is_slower_after() {
        let mut shape = Shape::new();
        let start = Instant::now();
        for _ in 0..20 {
            shape.ended(ended(Pressure::Fine, start, start), CEILING);
        }
        let later = start + Duration::from_secs(1);
        for _ in 0..20 {
            shape.ended(ended(Pressure::Strained, start, later), CEILING);
        }
        assert_eq!(shape.concurrency(CEILING), 10);
        for _ in 0..10 {
            shape.ended(ended(Pressure::Fine, later, later), CEILING);
        }
        assert_eq!(shape.concurrency(CEILING), 10, "a round of ten has not quite passed");
        shape.ended(ended(Pressure::Fine, later, later), CEILING);
        assert_eq!(shape.concurrency(CEILING), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_probed_by_one_and_the_pauses_grow() {
        let mut shape = Shape::new();
        let mut now = Instant::now();
        shape.ended(ended(Pressure::Unreachable, now, now), CEILING);
        assert_eq!(shape.permit(now, 0, CEILING), Permit::Wait(now + FIRST_PAUSE));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let before = now;
            while shape.permit(now, 0, CEILING) != Permit::Probe {
                now += Duration::from_secs(1);
            }
            pauses.push((now - before).as_secs());
            shape.probe_started();
            assert!(matches!(shape.permit(now, 1, CEILING), Permit::Full | Permit::Suspended));
            let probe = Ended { was_probe: true, ..ended(Pressure::Unreachable, now, now) };
            shape.ended(probe, CEILING);
            assert_eq!(shape.permit(now, 0, CEILING), Permit::Suspended);
        }
        assert_eq!(pauses, [5, 30, 60, 120, 240, 480, 600, 600]);
        now += LONGEST_PAUSE;
        shape.probe_started();
        shape.ended(Ended { was_probe: true, ..ended(Pressure::Fine, now, now) }, CEILING);
        assert_eq!(shape.permit(now, 0, CEILING), Permit::Go);
        assert_eq!(shape.concurrency(CEILING), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_unreachable_job_among_successes_is_no_outage() {
        let mut shape = Shape::new();
        let start = Instant::now();
        let later = start + Duration::from_secs(30);
        shape.ended(ended(Pressure::Fine, later, later), CEILING);
        shape.ended(ended(Pressure::Unreachable, start, later), CEILING);
        assert_eq!(shape.permit(later, 0, CEILING), Permit::Go);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_without_a_place_is_made_up_for() {
        let mut shape = Shape::new();
        let mut now = Instant::now();
        shape.ended(ended(Pressure::Unreachable, now, now), CEILING);
        now += FIRST_PAUSE;
        shape.probe_started();
        let pressure = Pressure::Crowded { failed_at: None };
        shape.ended(Ended { was_probe: true, ..ended(pressure, now, now) }, CEILING);
        assert_eq!(shape.permit(now, 0, CEILING), Permit::Wait(now + FIRST_PAUSE));
        assert_eq!(shape.permit(now + FIRST_PAUSE, 0, CEILING), Permit::Probe);
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_that_do_not_end_are_an_outage() {
        let mut shape = Shape::new();
        let mut now = Instant::now();
        for _ in 0..7 {
            now += Duration::from_secs(1);
            shape.ended(ended(Pressure::Strained, now, now), CEILING);
        }
        assert!(matches!(shape.permit(now, 0, CEILING), Permit::Wait(_)));
    }
}
