//! How fast one destination gets messages: what was ordered, and what it turned out to bear.
//!
//! A destination that says "too fast" is asked for less than it took lately, and then for
//! more, slowly where it last complained and faster beyond, as CUBIC does with a network
//! (RFC 9438 §4): most of the time goes by close to what it bears, and a complaint is
//! provoked about once in a span. What it bears is what it took since it last complained,
//! rests included as far as they are short.

use std::time::Duration;

use tokio::time::Instant;

use crate::providers::Rate;

/// How much of what it bore a destination gets after a complaint, in parts of one.
const LESS: f64 = 0.7;
/// Over how long what a destination took is averaged.
const MEMORY: Duration = Duration::from_secs(600);
/// What a destination surely bears that complains before it took anything: ten messages a
/// minute.
const UNKNOWN: f64 = 10.0 / 60.0;
/// The slowest: one message in so many seconds.
const SLOWEST: f64 = 1.0 / 600.0;
/// How many spans after a complaint it is forgotten.
const FORGOTTEN_AFTER: f64 = 3.0;
/// The first rest after a complaint, and the longest.
const FIRST_REST: Duration = Duration::from_secs(15);
const LONGEST_REST: Duration = Duration::from_secs(600);
/// How much of a rest counts as time in which little was borne: receivers that count by the
/// hour are understood sooner, and after a long pause it is not too little.
const COUNTED_REST: Duration = Duration::from_secs(600);
/// Of a span, the shortest and the longest that it takes to come back to what was borne; and
/// the same after a pause.
const SHORTEST_SPAN: Duration = Duration::from_secs(600);
const LONGEST_SPAN: Duration = Duration::from_secs(2 * 3600);
const SHORTEST_AFTER_PARK: Duration = Duration::from_secs(1800);
const LONGEST_AFTER_PARK: Duration = Duration::from_secs(3600);

/// When the next message may go.
#[derive(Debug)]
pub(super) struct Pace {
    /// From one message to the next, by what is ordered.
    ordered: Option<Duration>,
    found: Option<Found>,
    next: Option<Instant>,
    /// From when that is counted, where it is by the rate: when the last went.
    last: Option<Instant>,
    meter: Meter,
}

/// What a destination turned out to bear.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// When it complained, or later if it was left alone for long.
    began: Instant,
    /// When it began to get something again.
    since: Instant,
    /// What it bore, in messages a second.
    bore: f64,
    /// How long it takes to come back to that.
    span: Duration,
    /// What its reply allows meanwhile, in messages a second.
    at_most: Option<f64>,
    /// Complaints since it last took something.
    in_a_row: u32,
    /// What it took since it complained.
    taken: f64,
}

impl Found {
    // `None`: it is long ago.
    fn rate(&self, now: Instant) -> Option<f64> {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let spans = passed / self.span.as_secs_f64();
        if spans >= FORGOTTEN_AFTER {
            return None;
        }
        let growth = 1.0 + (1.0 - LESS) * (spans - 1.0).powi(3);
        let rate = (self.bore * growth).max(SLOWEST);
        Some(match self.at_most {
            Some(most) if spans < 1.0 => rate.min(most),
            _ => rate,
        })
    }
}

/// What was taken lately: a count that fades.
#[derive(Debug, Default)]
struct Meter {
    count: f64,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Meter {
    fn count(&mut self, now: Instant) {
        let memory = MEMORY.as_secs_f64();
        match self.last {
            Some(last) if now.saturating_duration_since(last) < MEMORY => {
                let passed = now.saturating_duration_since(last).as_secs_f64();
                self.count = self.count * (-passed / memory).exp() + 1.0;
            }
            _ => (self.count, self.since) = (1.0, Some(now)),
        }
        self.last = Some(now);
    }

    // In messages a second; `None`: nothing was taken for so long that nobody knows.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (since, last) = (self.since?, self.last?);
        let memory = MEMORY.as_secs_f64();
        let quiet = now.saturating_duration_since(last);
        if quiet >= MEMORY {
            return None;
        }
        let faded = quiet.as_secs_f64() / memory;
        let watched = now.saturating_duration_since(since).as_secs_f64().max(1.0);
        let room = memory * (1.0 - (-watched / memory).exp());
        Some(self.count * (-faded).exp() / room)
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { ordered: None, found: None, next: None, last: None, meter: Meter::default() }
    }

    /// At most so often, from now on. Whoever waits by another rate waits no longer, and no
    /// shorter, than by this one; a rest after a complaint stays.
    pub(super) fn order(&mut self, interval: Option<Duration>) {
        if std::mem::replace(&mut self.ordered, interval) == interval {
            return;
        }
        if let Some(last) = self.last {
            self.next = self.interval(last).map(|interval| last + interval);
        }
    }

    // From one message to the next, by what is ordered and what was found out.
    fn interval(&self, now: Instant) -> Option<Duration> {
        let found = self.found.and_then(|found| found.rate(now));
        let found = found.map(|rate| Duration::from_secs_f64(1.0 / rate));
        found.into_iter().chain(self.ordered).max()
    }

    /// When the next message may go, if not now.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// One goes.
    pub(super) fn started(&mut self, now: Instant) {
        let interval = self.interval(now);
        let goes_on = |next: &Instant| interval.is_some_and(|interval| *next + interval > now);
        let from = self.next.filter(goes_on).unwrap_or(now);
        self.last = Some(from);
        self.next = interval.map(|interval| from + interval);
    }

    /// It was taken.
    pub(super) fn taken(&mut self, now: Instant) {
        self.meter.count(now);
        if let Some(found) = &mut self.found {
            found.in_a_row = 0;
            found.taken += 1.0;
            if found.rate(now).is_none() {
                self.found = None;
            }
        }
    }

    /// It was too fast: less for such a span, or at no more than a rate.
    pub(super) fn complained(&mut self, now: Instant, span: Duration, at_most: Option<Rate>) {
        let in_a_row = self.found.map_or(0, |found| found.in_a_row);
        let rest = FIRST_REST * 2_u32.pow(in_a_row.min(8));
        let span = span.clamp(SHORTEST_SPAN, LONGEST_SPAN);
        self.less(now, rest.min(LONGEST_REST), span, at_most);
    }

    /// Nothing is to go for a while, by a reply that calls for such a span; what goes then
    /// goes slowly.
    pub(super) fn parked(&mut self, now: Instant, rest: Duration, span: Duration) {
        self.less(now, rest, span.clamp(SHORTEST_AFTER_PARK, LONGEST_AFTER_PARK), None);
        self.next = None;
    }

    fn less(&mut self, now: Instant, rest: Duration, span: Duration, at_most: Option<Rate>) {
        let bore = match self.found {
            Some(found) if found.rate(now).is_some() => {
                let passed = now.saturating_duration_since(found.began);
                let passed = passed.as_secs_f64().max(1.0);
                let was = found.rate(now).unwrap_or(found.bore);
                (found.taken / passed).clamp(was / 4.0, was)
            }
            _ => self.meter.rate(now).unwrap_or(UNKNOWN),
        };
        self.found = Some(Found {
            began: now + rest.saturating_sub(COUNTED_REST),
            since: now + rest,
            bore: bore.max(SLOWEST),
            span,
            at_most: at_most.map(|rate| 1.0 / rate.interval().as_secs_f64().max(0.001)),
            in_a_row: self.found.map_or(0, |found| found.in_a_row) + 1,
            taken: 0.0,
        });
        self.next = Some(now + rest);
        self.last = None;
    }

    /// Messages an hour at most, where that is less than all.
    pub(super) fn per_hour(&self, now: Instant) -> Option<f64> {
        let found = self.found.and_then(|found| found.rate(now)).map(|rate| rate * 3600.0);
        let ordered = self.ordered.map(|interval| 3600.0 / interval.as_secs_f64().max(0.001));
        match (found, ordered) {
            (Some(found), Some(ordered)) => Some(found.min(ordered)),
            (found, ordered) => found.or(ordered),
        }
    }

    /// Whether it was found out that less is borne than could be sent.
    pub(super) fn is_slowed(&self, now: Instant) -> bool {
        self.found.is_some_and(|found| found.rate(now).is_some())
    }
}

/// One after the other for all destinations together.
#[derive(Debug, Default)]
pub(super) struct Turns {
    interval: Option<Duration>,
    next: Option<Instant>,
}

impl Turns {
    /// At most so often, from now on. Says whether that is another rate than before: turns
    /// that nobody has had yet are to be taken anew then.
    pub(super) fn order(&mut self, interval: Option<Duration>, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.interval, interval);
        if before == interval {
            return false;
        }
        // The last that was had.
        let mut last = self.next;
        while let (Some(turn), Some(before)) = (last, before.filter(|before| !before.is_zero())) {
            last = turn.checked_sub(before);
            if turn <= now + before {
                break;
            }
        }
        self.next = last.zip(interval).map(|(last, interval)| last + interval);
        true
    }

    /// Messages an hour at most, where that is ordered.
    pub(super) fn per_hour(&self) -> Option<f64> {
        self.interval.map(|interval| 3600.0 / interval.as_secs_f64().max(0.001))
    }

    /// Whose turn comes next, and when: they have it whether they take it or not.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        let turn = self.next.filter(|next| *next > now).unwrap_or(now);
        self.next = Some(turn + interval);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    // Sends as fast as it may for so long, to a receiver that takes by a bucket; tells what
    // was taken and what was refused.
    fn against_a_bucket(per_hour: f64, burst: f64, hours: u64) -> (u32, u32) {
        let (mut pace, start) = (Pace::new(), Instant::now());
        let (mut tokens, mut filled) = (burst, start);
        let (mut taken, mut refused) = (0, 0);
        let mut now = start;
        while now < start + Duration::from_secs(3600 * hours) {
            if let Some(next) = pace.wait(now) {
                now = next;
            }
            pace.started(now);
            let passed = now.duration_since(filled).as_secs_f64();
            (tokens, filled) = ((tokens + passed * per_hour / 3600.0).min(burst), now);
            if tokens >= 1.0 {
                tokens -= 1.0;
                taken += 1;
                pace.taken(now);
            } else {
                refused += 1;
                pace.complained(now, Duration::from_secs(1800), None);
            }
            now += Duration::from_millis(100);
        }
        (taken, refused)
    }

    #[test]
    fn what_a_receiver_bears_is_found_and_nearly_used_up() {
        for (per_hour, burst) in
            [(1000.0, 1000.0), (1000.0, 20.0), (100.0, 100.0), (20_000.0, 50.0)]
        {
            let (taken, refused) = against_a_bucket(per_hour, burst, 24);
            let could = per_hour * 24.0;
            assert!(f64::from(taken) > could * 0.8, "{per_hour} {burst}: {taken} of {could}");
            assert!(refused < 100, "{per_hour} {burst}: {refused} refusals in a day");
        }
    }

    #[test]
    fn an_ordered_rate_is_spread_evenly_and_never_exceeded() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        pace.order(Some(SECOND * 6));
        let (mut now, mut sent) = (start, 0);
        while now < start + SECOND * 600 {
            if pace.wait(now).is_none() {
                pace.started(now);
                sent += 1;
            }
            now += Duration::from_millis(500);
        }
        assert_eq!(sent, 100);
        // What was not sent in a quiet hour is not made up for.
        now += SECOND * 3600;
        let later = (0..10).filter(|_| {
            let goes = pace.wait(now).is_none();
            if goes {
                pace.started(now);
            }
            goes
        });
        assert_eq!(later.count(), 1);
    }

    #[test]
    fn complaints_in_a_row_are_answered_with_longer_rests() {
        let (mut pace, mut now) = (Pace::new(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..8 {
            pace.complained(now, SECOND * 60, None);
            let next = pace.wait(now).unwrap();
            rests.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(rests, [15, 30, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn a_rate_that_the_reply_names_holds_for_its_span() {
        let (mut pace, mut now) = (Pace::new(), Instant::now());
        for _ in 0..1000 {
            now += Duration::from_millis(100);
            pace.taken(now);
        }
        let rate = Rate { messages: 1, per: SECOND * 60 };
        pace.complained(now, SECOND * 1800, Some(rate));
        let per_hour = pace.per_hour(now + SECOND * 60).unwrap();
        assert!((per_hour - 60.0).abs() < 0.1, "{per_hour}");
        assert!(pace.per_hour(now + SECOND * 2000).unwrap() > 1000.0);
        assert!(pace.per_hour(now + SECOND * 10_000).is_none(), "in the end it is forgotten");
    }

    // Found by hand: the first letter ever to a provider was put off, and the next eighteen
    // would have taken three hours.
    #[test]
    fn who_complains_before_anything_was_taken_still_gets_some() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        pace.parked(now, SECOND * 600, SECOND * 600);
        let per_hour = pace.per_hour(now + SECOND * 600).unwrap();
        assert!(per_hour > 400.0, "{per_hour}");
    }

    #[test]
    fn turns_are_had_one_after_the_other() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert_eq!(turns.take(now), None);
        assert!(turns.order(Some(SECOND), now));
        let had: Vec<_> = (0..3).filter_map(|_| turns.take(now)).collect();
        assert_eq!(had, [now, now + SECOND, now + SECOND * 2]);
        let later = now + SECOND * 60;
        assert_eq!(turns.take(later), Some(later));
    }

    #[test]
    fn another_rate_moves_what_waits_and_not_what_has_gone() {
        let now = Instant::now();
        for (other, due) in [(None, None), (Some(60), Some(60)), (Some(1200), Some(1200))] {
            let mut pace = Pace::new();
            pace.order(Some(SECOND * 600));
            pace.started(now);
            pace.order(other.map(|seconds| SECOND * seconds));
            assert_eq!(pace.wait(now), due.map(|seconds| now + SECOND * seconds));
            // Three turns were taken; the first alone was had.
            let mut turns = Turns::default();
            turns.order(Some(SECOND * 600), now);
            let _: Vec<_> = (0..3).map(|_| turns.take(now)).collect();
            let later = now + SECOND;
            assert!(turns.order(other.map(|seconds| SECOND * seconds), later));
            assert!(!turns.order(other.map(|seconds| SECOND * seconds), later));
            assert_eq!(turns.take(later), due.map(|seconds| now + SECOND * seconds));
        }
        let mut pace = Pace::new();
        pace.complained(now, SECOND * 60, None);
        pace.order(Some(SECOND));
        assert_eq!(pace.wait(now), Some(now + SECOND * 15), "a rest is not by the rate");
    }
}
