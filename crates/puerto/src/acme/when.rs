//! When a certificate is asked for: pure.

/// Seconds of a day.
const DAY: i64 = 86_400;
/// After the first failure; authorities allow five in an hour for one name.
const FIRST_WAIT: i64 = 15 * 60;
/// At most.
const LONGEST_WAIT: i64 = 12 * 3600;

/// When a certificate that holds from one moment to another is to be renewed: when two thirds
/// of its life are over, or in the window that its authority suggests (RFC 9773 §4.2). `chance`
/// from 0 to 1 spreads the renewals of many servers, and is always the same for one
/// certificate.
pub fn renewal((begins, ends): (i64, i64), window: Option<(i64, i64)>, chance: f64) -> i64 {
    let life = ends.saturating_sub(begins).max(0);
    let ordinary = ends.saturating_sub(life / 3);
    let ordinary = ordinary.saturating_sub(share((life / 30).min(2 * DAY), chance));
    // One that would leave no time for a second try is not followed.
    let latest = ends.saturating_sub(life / 10);
    match window {
        Some((start, end)) if start < end && start < latest => {
            start.saturating_add(share(end.saturating_sub(start), chance)).min(latest)
        }
        _ => ordinary,
    }
}

/// How many seconds are waited after so many failures in a row, at least as long as the
/// authority asks for.
pub fn wait(failures: u32, asked: Option<i64>, chance: f64) -> i64 {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let wait = doubled.min(LONGEST_WAIT);
    let wait = wait.saturating_add(share(wait / 4, chance));
    // No authority has reason to ask for more than a week.
    wait.max(asked.unwrap_or(0).min(7 * DAY))
}

/// Whether the end of a certificate is so near that its administrator must know.
pub fn is_late((begins, ends): (i64, i64), now: i64) -> bool {
    let life = ends.saturating_sub(begins).max(0);
    now >= ends.saturating_sub(life / 6)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a share of it")]
fn share(span: i64, chance: f64) -> i64 {
    (span as f64 * chance.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        for days in [90, 45, 6] {
            let life = days * DAY;
            let (first, last) = (renewal((0, life), None, 1.0), renewal((0, life), None, 0.0));
            assert_eq!(last, life * 2 / 3, "{days}");
            assert!(first < last && first >= life * 6 / 10, "{days}: {first}");
        }
    }

    #[test]
    fn the_authority_says_when_unless_that_is_too_late() {
        let life = (0, 90 * DAY);
        assert_eq!(renewal(life, Some((50 * DAY, 52 * DAY)), 0.5), 51 * DAY);
        // An incident: now, or already over.
        assert_eq!(renewal(life, Some((-5 * DAY, -3 * DAY)), 0.5), -4 * DAY);
        assert_eq!(renewal(life, Some((95 * DAY, 97 * DAY)), 0.0), 60 * DAY);
        assert_eq!(renewal(life, Some((80 * DAY, 99 * DAY)), 1.0), 81 * DAY);
        assert_eq!(renewal(life, Some((52 * DAY, 50 * DAY)), 0.0), 60 * DAY);
        let _ = renewal((i64::MIN, i64::MAX), Some((i64::MIN, i64::MAX)), 1.0);
    }

    #[test]
    fn failures_are_never_more_than_authorities_allow() {
        // Five for a name in an hour.
        let mut at = 0;
        let mut tries = vec![0];
        for failures in 1..20 {
            at += wait(failures, None, 0.0);
            tries.push(at);
        }
        for start in &tries {
            let within = tries.iter().filter(|at| (*start..start + 3600).contains(*at)).count();
            assert!(within <= 4, "{tries:?}");
        }
        assert_eq!(wait(19, None, 0.0), LONGEST_WAIT);
        assert_eq!(wait(u32::MAX, None, 0.0), LONGEST_WAIT);
        assert_eq!(wait(1, Some(2 * DAY), 0.0), 2 * DAY);
        assert_eq!(wait(1, Some(i64::MAX), 0.0), 7 * DAY);
        assert_eq!(wait(1, Some(-5), 0.0), FIRST_WAIT);
    }

    #[test]
    fn a_renewal_that_is_late_is_told_while_there_is_time() {
        let life = (0, 90 * DAY);
        assert!(!is_late(life, 70 * DAY));
        assert!(is_late(life, 76 * DAY));
    }
}
