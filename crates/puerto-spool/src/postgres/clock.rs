//! The database's clock, as this node knows it.

use std::sync::Mutex;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::lock;
use crate::clock::Clock;
use crate::id::Timestamp;
use std::sync::Arc;

/// The database's time of day, carried on from when it was last heard of by a clock that
/// does not leap.
pub(super) struct StoreClock {
    steady: Arc<dyn Clock>,
    heard: Mutex<(Timestamp, Duration)>,
}

impl StoreClock {
    /// A clock that goes on by `steady`, which has its own time until another is heard of.
    pub(super) fn new(steady: Arc<dyn Clock>) -> Self {
        let heard = Mutex::new((steady.now(), steady.elapsed()));
        Self { steady, heard }
    }

    /// It was this time in the database at some moment between `asked` and now.
    pub(super) fn hear(&self, time: i64, asked: Duration) {
        let now = self.steady.elapsed();
        let then = asked + now.saturating_sub(asked) / 2;
        *lock(&self.heard) = (Timestamp::from_millis(time), then);
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let (time, at) = *lock(&self.heard);
        time.after(self.steady.elapsed().saturating_sub(at))
    }

    fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }
}

/// Time that passes in this machine's life, that which it slept through included: leases
/// end meanwhile.
pub(super) fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or(0))
    })
}
