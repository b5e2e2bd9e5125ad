//! How much one destination gets. Pure: reports and times come in, permits go out.
//!
//! The number of connections starts small, grows by one with each success until the
//! destination first complains, and by one for each full round of successes after
//! that; a complaint halves it. A destination that cannot be reached at all opens
//! the breaker: after a while one message tries it, and only when that one gets
//! through do the others follow. At the first such failure the rest waits for the
//! probe's result, since most outages are restarts; when the probe has failed too,
//! the rest is suspended: deferred without a connection, each by its own schedule.
//!
//! A destination that asks for less is sent to at a pace, see `pace`. One that asks for a
//! pause is parked: nothing is tried, and no attempt is spent, until its end. Then one
//! message looks, the canary, and the others follow one connection at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use crate::deliver::Pressure;

const INITIAL_CONCURRENCY: f64 = 5.0;
/// What a destination gets that has just come back.
const CONCURRENCY_AFTER_OUTAGE: f64 = 2.0;
/// Complaints in a row, one connection at a time, that count as an outage.
const MAX_COMPLAINTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const SECOND_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The longest that a destination is parked for asking for a pause again and again, unless
/// it asks for a longer one.
const LONGEST_PARK: Duration = Duration::from_secs(3600);
/// Messages that are taken after a pause for it to be over.
const RECOVERED: u32 = 20;

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
    /// Everything that waits comes again at this time, and no attempt is spent.
    Parked(Instant),
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
    Open {
        until: Instant,
        failures: u32,
    },
    Probing {
        failures: u32,
    },
    Parked {
        until: Instant,
    },
    /// The canary is out.
    Canary,
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
    pace: Pace,
    /// Pauses that were asked for, each before the one before was over.
    parks: u32,
    /// What was taken since the last.
    taken: u32,
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
            pace: Pace::new(),
            parks: 0,
            taken: 0,
        }
    }

    /// What is known of a destination that asked for a pause some time ago, the last of so many
    /// in a row.
    pub(super) fn parked(now: Instant, until: Instant, in_a_row: u32) -> Self {
        let mut shape = Self::new();
        let left = until.saturating_duration_since(now);
        shape.parks = in_a_row.saturating_sub(1);
        shape.park_for((now, left), left);
        shape
    }

    /// At most one message in such a time, from now on.
    pub(super) fn order(&mut self, interval: Option<Duration>) {
        self.pace.order(interval);
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
            Breaker::Closed if running < self.concurrency(ceiling) => {
                self.pace.wait(now).map_or(Permit::Go, Permit::Wait)
            }
            Breaker::Closed => Permit::Full,
            Breaker::Open { until, .. } | Breaker::Parked { until } if now >= until => {
                Permit::Probe
            }
            Breaker::Parked { until } => Permit::Parked(until),
            Breaker::Canary => Permit::Full,
            Breaker::Open { until, failures: 0..=1 } => Permit::Wait(until),
            Breaker::Probing { failures: 0..=1 } => Permit::Full,
            Breaker::Open { .. } | Breaker::Probing { .. } => Permit::Suspended,
        }
    }

    /// Notes that a job which was permitted has started.
    pub(super) fn started(&mut self, now: Instant) {
        match self.breaker {
            Breaker::Open { failures, .. } => self.breaker = Breaker::Probing { failures },
            Breaker::Parked { .. } => self.breaker = Breaker::Canary,
            _ => self.pace.started(now),
        }
    }

    /// Learns from a job.
    pub(super) fn ended(&mut self, ended: Ended, ceiling: usize) {
        match ended.pressure {
            Pressure::Fine => self.succeeded(ended.now, ceiling),
            Pressure::Strained => self.strained(ended),
            Pressure::Unreachable => self.unreachable(ended),
            Pressure::Slowed(span, rate) => {
                if self.shrink(&ended) {
                    self.pace.complained(ended.now, span, rate);
                }
            }
            Pressure::Parked(span) => self.asked_for_a_pause(&ended, span),
            Pressure::Crowded { .. } => self.not_tried(ended),
        }
    }

    // Those that were under way together are told together, of one and the same.
    fn asked_for_a_pause(&mut self, ended: &Ended, span: Duration) {
        if self.breaker != Breaker::Closed && !ended.was_probe {
            return;
        }
        if self.taken >= RECOVERED {
            self.parks = 0;
        }
        let longer = (span * 2_u32.pow(self.parks.min(10))).min(LONGEST_PARK.max(span));
        self.park_for((ended.now, longer), span);
    }

    fn park_for(&mut self, (now, longer): (Instant, Duration), span: Duration) {
        self.parks += 1;
        self.taken = 0;
        self.complained = true;
        self.complaints = 0;
        self.last_shrink = Some(now);
        self.concurrency = 1.0;
        self.pace.parked(now, longer, span);
        self.breaker = Breaker::Parked { until: now + longer };
    }

    // Nothing was learnt; a probe that had no place is made up for.
    fn not_tried(&mut self, ended: Ended) {
        if !ended.was_probe {
            return;
        }
        let until = ended.now + FIRST_PAUSE;
        match self.breaker {
            Breaker::Probing { failures } => self.breaker = Breaker::Open { until, failures },
            Breaker::Canary => self.breaker = Breaker::Parked { until },
            _ => {}
        }
    }

    fn succeeded(&mut self, now: Instant, ceiling: usize) {
        match self.breaker {
            // What was under way when the pause was asked for does not end it.
            Breaker::Parked { .. } => return,
            Breaker::Closed => {}
            Breaker::Canary => self.breaker = Breaker::Closed,
            Breaker::Open { .. } | Breaker::Probing { .. } => {
                self.breaker = Breaker::Closed;
                self.concurrency = CONCURRENCY_AFTER_OUTAGE;
            }
        }
        self.pace.taken(now);
        self.taken = self.taken.saturating_add(1);
        self.complaints = 0;
        self.last_success = Some(now);
        let step = if self.complained { 1.0 / self.concurrency.max(1.0) } else { 1.0 };
        let ceiling = u32::try_from(ceiling.max(1)).unwrap_or(u32::MAX);
        self.concurrency = (self.concurrency + step).min(f64::from(ceiling));
    }

    // Fewer connections, unless they have become fewer for this already.
    fn shrink(&mut self, ended: &Ended) -> bool {
        if ended.was_probe {
            self.breaker = Breaker::Closed;
            self.concurrency = 1.0;
        }
        // Jobs that were under way together complain together, of one and the same.
        if self.last_shrink.is_some_and(|shrunk| ended.started < shrunk) {
            return false;
        }
        self.complained = true;
        self.last_shrink = Some(ended.now);
        self.concurrency = (self.concurrency / 2.0).max(1.0);
        true
    }

    fn strained(&mut self, ended: Ended) {
        let was_one = self.concurrency < 2.0 || ended.was_probe;
        if !self.shrink(&ended) {
            return;
        }
        if was_one {
            self.complaints += 1;
        }
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
            Breaker::Canary if ended.was_probe => self.open(ended.now, 1),
            Breaker::Open { .. }
            | Breaker::Probing { .. }
            | Breaker::Parked { .. }
            | Breaker::Canary => {}
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
        match self.breaker {
            Breaker::Open { .. } => self.breaker = Breaker::Open { until: now, failures: 1 },
            Breaker::Parked { .. } => self.breaker = Breaker::Parked { until: now },
            _ => {}
        }
    }

    /// Whether it has asked for a pause: until when (`None`: the canary is out).
    pub(super) fn park(&self) -> Option<Option<Instant>> {
        match self.breaker {
            Breaker::Parked { until } => Some(Some(until)),
            Breaker::Canary => Some(None),
            _ => None,
        }
    }

    /// Pauses that it asked for in a row, each before the one before was over.
    pub(super) fn parks_in_a_row(&self) -> u32 {
        self.parks
    }

    /// Messages an hour that it may get at most, if there is a bound.
    pub(super) fn per_hour(&self, now: Instant) -> Option<f64> {
        self.pace.per_hour(now)
    }

    /// Whether it has asked for less, not long ago.
    pub(super) fn is_slowed(&self, now: Instant) -> bool {
        self.pace.is_slowed(now)
    }

    /// Whether it is out of reach: since how many failures, and until when nothing is tried
    /// (`None`: one is being tried).
    pub(super) fn outage(&self) -> Option<(u32, Option<Instant>)> {
        match self.breaker {
            Breaker::Closed | Breaker::Parked { .. } | Breaker::Canary => None,
            Breaker::Open { until, failures } => Some((failures, Some(until))),
            Breaker::Probing { failures } => Some((failures, None)),
        }
    }

    /// Whether nothing was learnt that is worth keeping.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        match self.breaker {
            Breaker::Closed => !self.pace.is_slowed(now),
            Breaker::Open { until, .. } => now >= until + LONGEST_PAUSE,
            Breaker::Parked { until } => now >= until + LONGEST_PARK,
            Breaker::Probing { .. } | Breaker::Canary => false,
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
            shape.started(now);
            assert!(matches!(shape.permit(now, 1, CEILING), Permit::Full | Permit::Suspended));
            let probe = Ended { was_probe: true, ..ended(Pressure::Unreachable, now, now) };
            shape.ended(probe, CEILING);
            assert_eq!(shape.permit(now, 0, CEILING), Permit::Suspended);
        }
        assert_eq!(pauses, [5, 30, 60, 120, 240, 480, 600, 600]);
        now += LONGEST_PAUSE;
        shape.started(now);
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
        shape.started(now);
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

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_one_canary_and_then_one_connection_more_at_a_time() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut shape = Shape::new();
        let start = Instant::now();
        for _ in 0..40 {
            shape.ended(ended(Pressure::Fine, start, start), CEILING);
        }
        // Twenty are under way and are told the same.
        for _ in 0..20 {
            shape.ended(ended(Pressure::Parked(minutes(10)), start, start), CEILING);
        }
        let until = start + minutes(10);
        assert_eq!(shape.permit(start, 0, CEILING), Permit::Parked(until));
        shape.ended(ended(Pressure::Fine, start, start), CEILING);
        assert_eq!(shape.permit(start, 0, CEILING), Permit::Parked(until), "a late success");
        assert_eq!(shape.permit(until, 0, CEILING), Permit::Probe);
        shape.started(until);
        assert_eq!(shape.permit(until, 1, CEILING), Permit::Full, "one canary alone");
        let canary = |pressure, now| Ended { was_probe: true, ..ended(pressure, now, now) };
        shape.ended(canary(Pressure::Parked(minutes(10)), until), CEILING);
        let second = until + minutes(20);
        assert_eq!(shape.permit(until, 0, CEILING), Permit::Parked(second), "longer each time");
        shape.started(second);
        shape.ended(canary(Pressure::Fine, second), CEILING);
        assert_eq!(shape.concurrency(CEILING), 2);
        shape.ended(ended(Pressure::Fine, second, second), CEILING);
        assert_eq!(shape.concurrency(CEILING), 2, "a whole round for one more");
        shape.ended(ended(Pressure::Fine, second, second), CEILING);
        shape.ended(ended(Pressure::Fine, second, second), CEILING);
        assert_eq!(shape.concurrency(CEILING), 3);
        assert!(shape.is_slowed(second));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_mended_it_may_have_the_canary_now() {
        let mut shape = Shape::new();
        let now = Instant::now();
        shape.ended(ended(Pressure::Parked(Duration::from_secs(7200)), now, now), CEILING);
        shape.give_another_chance(now);
        assert_eq!(shape.permit(now, 0, CEILING), Permit::Probe);
        shape.started(now);
        let pressure = Pressure::Crowded { failed_at: None };
        shape.ended(Ended { was_probe: true, ..ended(pressure, now, now) }, CEILING);
        assert_eq!(shape.permit(now, 0, CEILING), Permit::Parked(now + FIRST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_less_is_given_less_and_is_not_out_of_reach() {
        let mut shape = Shape::new();
        let mut now = Instant::now();
        for _ in 0..20 {
            let slowed = Pressure::Slowed(Duration::from_secs(1800), None);
            shape.ended(ended(slowed, now, now), CEILING);
            assert_eq!(shape.outage(), None);
            let Permit::Wait(until) = shape.permit(now, 0, CEILING) else { panic!() };
            now = until;
            shape.started(now);
        }
        assert_eq!(shape.concurrency(CEILING), 1);
    }
}
