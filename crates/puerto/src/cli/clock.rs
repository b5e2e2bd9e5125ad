//! The time of day: a command reads it here, where it begins, and hands it on.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The present time.
#[expect(clippy::disallowed_methods, reason = "here the clock enters a command")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The day in UTC, as the plans of new addresses count it.
pub(super) fn today_in_utc() -> Date {
    now().to_zoned(TimeZone::UTC).date()
}

/// The day where this machine is.
pub(super) fn today() -> Date {
    now().to_zoned(TimeZone::system()).date()
}
