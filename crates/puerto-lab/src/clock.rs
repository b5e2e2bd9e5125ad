//! The time of day in the simulated Internet: this machine's, since real programs sign
//! what its receivers verify.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01 UTC.
#[expect(clippy::disallowed_methods, reason = "here the clock enters the lab")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
