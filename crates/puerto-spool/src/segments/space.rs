//! How much room the disk has, asked of the system only as often as it matters.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::id::Timestamp;

/// Octets beyond the reserve that no program fills while an answer holds.
const AMPLE: u64 = 1 << 30;
/// Milliseconds for which an answer holds.
const HOLDS: i64 = 200;

/// When there was last ample room.
pub(crate) struct AmpleSpace(AtomicI64);

impl AmpleSpace {
    /// Nobody has asked yet.
    pub(crate) fn unknown() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// Whether the last answer holds and was that there is more than enough. A clock
    /// that has leapt makes it worth nothing.
    pub(crate) fn is_certain(&self, now: Timestamp) -> bool {
        let passed = now.as_millis().saturating_sub(self.0.load(Ordering::Relaxed));
        (0..HOLDS).contains(&passed)
    }

    /// Remembers an answer: how many octets are free beyond the reserve.
    pub(crate) fn note(&self, now: Timestamp, beyond_reserve: u64) {
        let when = if beyond_reserve >= AMPLE { now.as_millis() } else { i64::MIN };
        self.0.store(when, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ample_room_is_taken_for_granted_and_not_for_long() {
        let at = Timestamp::from_millis;
        let space = AmpleSpace::unknown();
        assert!(!space.is_certain(at(1000)));
        space.note(at(1000), AMPLE);
        assert!(space.is_certain(at(1000)) && space.is_certain(at(1199)));
        assert!(!space.is_certain(at(1200)) && !space.is_certain(at(999)));
        space.note(at(1000), AMPLE - 1);
        assert!(!space.is_certain(at(1000)));
    }
}
