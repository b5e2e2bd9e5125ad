//! When a recipient is tried again, when its message is given up, and when the
//! sender is told of a delay. Pure: times and dice come in.

use std::time::Duration;

use puerto_spool::Timestamp;

use crate::config::QueueTimes;

/// A peer may ask for no more patience than this beyond our own schedule.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(4 * 3600);
/// Until the next look at mail past its end whose destination is suspended.
const PAST_END: Duration = Duration::from_secs(600);
/// How soon mail comes again for which there was no place.
const SHORTEST_CROWDED: Duration = Duration::from_secs(15);
const LONGEST_CROWDED: Duration = Duration::from_secs(600);
/// The shortest wait that a peer may ask for, and what is added for its clock.
const SHORTEST_ASKED: Duration = Duration::from_secs(60);
const MARGIN: Duration = Duration::from_secs(3);
/// How far a wait strays from the schedule, in parts of 1024 (10 %).
const JITTER: u64 = 102;

/// An attempt that failed for now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// The present time.
    pub(super) now: Timestamp,
    /// When the destination was really tried: earlier than now if it is suspended.
    pub(super) tried_at: Timestamp,
    /// When the message came.
    pub(super) received_at: Timestamp,
    /// How many attempts had failed before this one.
    pub(super) attempts_before: u32,
    /// How long the peer asked us to wait.
    pub(super) retry_after: Option<Duration>,
    /// It was a mailbox here that asked: it is no host, and its word holds as it is.
    pub(super) soon: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again at this time.
    At(Timestamp),
    /// The message is too old.
    GiveUp,
}

/// Decides after an attempt that failed for now. A message is given up only when its
/// destination was really tried after the end of its life, so that a clock that
/// leaps ahead never expires mail that was not tried since. The last attempt is
/// placed at that end.
pub(super) fn after(times: &QueueTimes, failed: Failed, dice: u64) -> Next {
    let end = failed.received_at.after(times.expire);
    if failed.tried_at >= end {
        return Next::GiveUp;
    }
    if failed.now >= end {
        return Next::At(failed.now.after(jittered(PAST_END, dice)));
    }
    let age = failed.now.since(failed.received_at);
    let scheduled = jittered(scheduled_wait(times, failed.attempts_before, age), dice);
    let asked = failed.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    let wait = match failed.retry_after {
        Some(soon) if failed.soon => scheduled.min(soon),
        // Greylisting says when it ends; whoever says so again and again is left to our own.
        Some(_) if failed.attempts_before == 0 => just_after(asked, scheduled, dice),
        Some(_) => scheduled.max(just_after(asked, scheduled, dice)),
        None => scheduled,
    };
    let due = failed.now.after(wait);
    Next::At(if due > end { end } else { due })
}

/// Decides where there was no place. Nothing was tried, so nothing is counted; the
/// message comes again soon while it is young. It is given up as [`after`] says.
pub(super) fn when_crowded(times: &QueueTimes, failed: Failed, dice: u64) -> Next {
    let end = failed.received_at.after(times.expire);
    if failed.tried_at >= end {
        return Next::GiveUp;
    }
    let age = failed.now.since(failed.received_at);
    Next::At(failed.now.after(wait_when_crowded(age, dice)))
}

/// Decides where the destination asked for a pause. Nothing was tried, so nothing is counted,
/// and its end is when the pause ends. It is given up as [`after`] says.
pub(super) fn when_parked(times: &QueueTimes, failed: Failed, until: Timestamp) -> Next {
    let end = failed.received_at.after(times.expire);
    if failed.tried_at >= end { Next::GiveUp } else { Next::At(until) }
}

/// How long mail of this age waits where there was no place.
pub(super) fn wait_when_crowded(age: Duration, dice: u64) -> Duration {
    jittered((age / 2).clamp(SHORTEST_CROWDED, LONGEST_CROWDED), dice)
}

// Clocks differ, and nobody is to be a second early; but not much later either. Who asks for less
// than a minute gets that, or what our own schedule would do.
fn just_after(asked: Duration, scheduled: Duration, dice: u64) -> Duration {
    let asked = asked.max(SHORTEST_ASKED.min(scheduled));
    let parts = u32::try_from(dice % (JITTER + 1)).unwrap_or_default();
    asked + MARGIN.min(asked) + asked * parts / 1024
}

// By the number of attempts, but never further than the message is old enough for: attempts
// that somebody asked for in between, whoever may, do not put off those that come by themselves.
fn scheduled_wait(times: &QueueTimes, attempts_before: u32, age: Duration) -> Duration {
    let mut reached = Duration::ZERO;
    let by_age = times.retry.iter().take_while(|wait| {
        reached += **wait;
        // What came a little early by the dice is not behind.
        age >= reached * 7 / 8
    });
    let index = by_age.count().min(usize::try_from(attempts_before).unwrap_or(usize::MAX));
    let wait = times.retry.get(index).or(times.retry.last()).copied();
    wait.unwrap_or(Duration::from_secs(300))
}

fn jittered(wait: Duration, dice: u64) -> Duration {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let unit = (millis / 1024).max(u64::from(millis > 0));
    let stray = dice % (2 * JITTER + 1);
    Duration::from_millis((millis + unit * stray).saturating_sub(unit * JITTER))
}

/// Whether the sender is to be told now that the message is late. Once is enough.
pub(super) fn delay_notice_due(
    times: &QueueTimes,
    now: Timestamp,
    received_at: Timestamp,
    already_told: bool,
) -> bool {
    !already_told && !times.warn_after.is_zero() && now.since(received_at) >= times.warn_after
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const MIDDLE: u64 = JITTER;

    fn times() -> QueueTimes {
        let retry = [5, 10, 20, 40, 60, 120, 180, 240].map(|minutes| minutes * MINUTE).to_vec();
        QueueTimes { retry, expire: 120 * HOUR, warn_after: 4 * HOUR, ..QueueTimes::default() }
    }

    fn failed(age: Duration, attempts_before: u32) -> Failed {
        let received_at = Timestamp::from_millis(1_800_000_000_000);
        let now = received_at.after(age);
        Failed { now, tried_at: now, received_at, attempts_before, retry_after: None, soon: false }
    }

    fn wait(failed: Failed, dice: u64) -> Duration {
        match after(&times(), failed, dice) {
            Next::At(due) => due.since(failed.now),
            Next::GiveUp => panic!("given up"),
        }
    }

    #[test]
    fn waits_follow_the_schedule_and_its_last_one_repeats() {
        for dice in [0, MIDDLE, 2 * JITTER] {
            let (mut age, mut waits) = (Duration::ZERO, Vec::new());
            for attempts in 0..10 {
                age += wait(failed(age, attempts), dice);
                waits.push(wait(failed(age - age / 100, attempts), MIDDLE).as_secs() / 60);
            }
            assert_eq!(waits, [5, 10, 20, 40, 60, 120, 180, 240, 240, 240], "{dice}");
        }
    }

    /// Whoever may ask for attempts, as any user with `sendmail -q`, put off all mail.
    #[test]
    fn attempts_that_were_asked_for_do_not_put_off_the_next_by_itself() {
        for attempts in 0..50 {
            assert_eq!(wait(failed(MINUTE, attempts), MIDDLE), 5 * MINUTE, "{attempts}");
            assert!(wait(failed(16 * MINUTE, attempts), MIDDLE) <= 20 * MINUTE, "{attempts}");
        }
        assert_eq!(wait(failed(100 * HOUR, 0), MIDDLE), 5 * MINUTE, "as after a hold");
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let mut seen = std::collections::BTreeSet::new();
        for dice in 0..5000 {
            let wait = wait(failed(MINUTE, 0), dice);
            assert!(wait >= MINUTE * 9 / 2 && wait <= MINUTE * 11 / 2, "{wait:?}");
            seen.insert(wait);
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn a_peers_wish_is_honoured_within_bounds() {
        let asked = |seconds, dice| {
            let wish = Some(Duration::from_secs(seconds));
            wait(Failed { retry_after: wish, ..failed(MINUTE, 0) }, dice)
        };
        assert_eq!(asked(900, 0), Duration::from_secs(903));
        assert_eq!(asked(120, 0), Duration::from_secs(123), "sooner than by our own schedule");
        assert!(asked(120, MIDDLE) < Duration::from_secs(136));
        assert_eq!(asked(1, 0), Duration::from_secs(63), "never at once");
        assert_eq!(asked(1_000_000, 0), 4 * HOUR + MARGIN);
        let again = Failed { retry_after: Some(MINUTE), ..failed(10 * MINUTE, 1) };
        assert_eq!(wait(again, MIDDLE), 10 * MINUTE, "the second time, our own schedule");
    }

    #[test]
    fn a_pause_counts_as_nothing_and_gives_up_only_where_somebody_was_tried() {
        let young = failed(HOUR, 3);
        let until = young.now.after(2 * HOUR);
        assert_eq!(when_parked(&times(), young, until), Next::At(until));
        let old = failed(121 * HOUR, 3);
        let before = Failed { tried_at: old.received_at.after(HOUR), ..old };
        assert_eq!(when_parked(&times(), before, until), Next::At(until));
        assert_eq!(when_parked(&times(), old, until), Next::GiveUp);
    }

    #[test]
    fn the_last_attempt_is_at_the_end_and_only_a_failure_after_it_gives_up() {
        let late = failed(119 * HOUR, 9);
        assert_eq!(wait(late, MIDDLE), HOUR);
        assert_eq!(after(&times(), failed(120 * HOUR, 9), 0), Next::GiveUp);
        assert_ne!(after(&times(), failed(120 * HOUR - MINUTE, 9), 0), Next::GiveUp);
    }

    #[test]
    fn mail_past_its_end_waits_until_its_destination_was_tried() {
        let late = failed(200 * HOUR, 9);
        let suspended = Failed { tried_at: late.received_at.after(HOUR), ..late };
        assert_eq!(wait(suspended, MIDDLE), PAST_END);
        assert_eq!(after(&times(), late, MIDDLE), Next::GiveUp);
    }

    #[test]
    fn mail_without_a_place_comes_soon_and_is_given_up_only_where_somebody_was_tried() {
        let never = Timestamp::default();
        let crowded = |age, tried_at| match when_crowded(
            &times(),
            Failed { tried_at, ..failed(age, 9) },
            MIDDLE,
        ) {
            Next::At(due) => due.since(failed(age, 9).now).as_secs(),
            Next::GiveUp => 0,
        };
        assert_eq!(crowded(Duration::ZERO, never), 15);
        assert_eq!(crowded(2 * MINUTE, never), 60);
        assert_eq!(crowded(4 * HOUR, never), 600);
        assert_eq!(crowded(200 * HOUR, never), 600, "nobody knows whether it would be taken");
        assert_eq!(crowded(200 * HOUR, failed(121 * HOUR, 0).now), 0);
    }

    #[test]
    fn a_clock_that_went_back_does_not_give_up() {
        let mut failed = failed(HOUR, 0);
        failed.now = Timestamp::from_millis(0);
        failed.tried_at = failed.now;
        assert!(matches!(after(&times(), failed, MIDDLE), Next::At(due) if due.as_secs() == 300));
    }

    #[test]
    fn a_delay_is_told_once_and_never_if_switched_off() {
        let start = Timestamp::from_millis(0);
        let at = |age| start.after(age);
        assert!(!delay_notice_due(&times(), at(4 * HOUR - MINUTE), start, false));
        assert!(delay_notice_due(&times(), at(4 * HOUR), start, false));
        assert!(!delay_notice_due(&times(), at(5 * HOUR), start, true));
        let silent = QueueTimes { warn_after: Duration::ZERO, ..times() };
        assert!(!delay_notice_due(&silent, at(5 * HOUR), start, false));
    }
}
