//! Spans of time and sizes in the few characters that a table has for them.

use std::time::Duration;

use jiff::Timestamp;

/// How long ago that was.
pub(crate) fn ago(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "?".to_owned() };
    age(time.as_millisecond(), now)
}

/// The same of milliseconds since 1970.
pub(super) fn age(millis: i64, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(millis.div_euclid(1000));
    span(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// How long it is until then; `None` if the time has come.
pub(crate) fn from_now(time: &str, now: Timestamp) -> Option<String> {
    ahead(time.parse::<Timestamp>().ok()?.as_second(), now)
}

/// The same of seconds since 1970.
pub(super) fn ahead(second: i64, now: Timestamp) -> Option<String> {
    let seconds = u64::try_from(second.saturating_sub(now.as_second())).ok()?;
    (seconds > 0).then(|| span(Duration::from_secs(seconds)))
}

// One unit says enough: nobody plans by the seconds of a day. It is the nearest, so that
// five days less a second are not four, and two hours less a second are not 120 minutes.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let nearest = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7170 => format!("{}m", nearest(60)),
        7170..171_000 => format!("{}h", nearest(3600)),
        _ => format!("{}d", nearest(86_400)),
    }
}

/// Octets, in the unit that shows two or three digits.
pub(crate) fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = octets;
    let mut remainder = 0;
    let mut unit = "B";
    for next in UNITS {
        unit = next;
        if value < 1024 || next == "GiB" {
            break;
        }
        remainder = value % 1024;
        value /= 1024;
    }
    if unit == "B" || value >= 10 {
        format!("{value} {unit}")
    } else {
        format!("{value}.{} {unit}", remainder * 10 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_short() {
        for (octets, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (52_428_800, "50 MiB"),
        ] {
            assert_eq!(size(octets), shown);
        }
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7169, "119m"),
            (7199, "2h"),
            (7200, "2h"),
            (431_999, "5d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), shown);
        }
    }
}
