//! Durations, sizes and rates, as people write them.

use std::time::Duration;

use crate::lang::{Said, said};
use crate::providers::Rate;

/// Writes a duration so that it reads back: in its largest whole unit.
pub fn show_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, letter) in [(86_400_u64, 'd'), (3600, 'h'), (60, 'm')] {
        if seconds > 0 && seconds.is_multiple_of(unit) {
            return format!("{}{letter}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

/// Writes a size so that it reads back: in its largest whole unit.
pub(super) fn show_size(octets: u64) -> String {
    for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if octets > 0 && octets.is_multiple_of(unit) {
            return format!("{}{name}", octets / unit);
        }
    }
    octets.to_string()
}

/// Reads a duration: `30s`, `5m`, `4h`, `5d`, `2w`.
pub fn parse_duration(text: &str) -> Result<Duration, Said> {
    let none = || said!("`{text}` is not a duration", "`{text}` no es una duración"; text = text);
    let (number, unit) = split_unit(text);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        "" => {
            return Err(said!(
                "`{text}` has no unit: write `{text}s`, `m`, `h` or `d`",
                "a `{text}` le falta la unidad: escriba `{text}s`, `m`, `h` o `d`"; text = text
            ));
        }
        _ => return Err(none()),
    };
    let number: u64 = number.parse().map_err(|_| none())?;
    match number.checked_mul(seconds) {
        // A hundred years: so that sums of times never overflow.
        Some(total) if total <= 3_155_760_000 => Ok(Duration::from_secs(total)),
        _ => Err(said!(
            "`{text}` is longer than a hundred years", "`{text}` pasa de cien años"; text = text
        )),
    }
}

/// Reads a rate: `100/minute`, `4000/hour`, `1/90s`.
pub(super) fn parse_rate(text: &str) -> Result<Rate, Said> {
    let none = || said!("`{text}` is not a rate", "`{text}` no es un ritmo"; text = text);
    let (number, span) = text.split_once('/').ok_or_else(none)?;
    let messages = number.trim().parse().ok().filter(|number| *number > 0).ok_or_else(none)?;
    let per = match span.trim() {
        "second" => Duration::from_secs(1),
        "minute" => Duration::from_secs(60),
        "hour" => Duration::from_secs(3600),
        "day" => Duration::from_secs(86_400),
        span => parse_duration(span)?,
    };
    if per.is_zero() { Err(none()) } else { Ok(Rate { messages, per }) }
}

/// Writes a rate so that it reads back.
pub(super) fn show_rate(rate: Rate) -> String {
    let Rate { messages, per } = rate;
    match per.as_secs() {
        1 => format!("{messages}/second"),
        60 => format!("{messages}/minute"),
        3600 => format!("{messages}/hour"),
        86_400 => format!("{messages}/day"),
        _ => format!("{messages}/{}", show_duration(per)),
    }
}

/// Reads a size: `50MiB`, `1k`, or octets.
pub fn parse_size(text: &str) -> Result<u64, Said> {
    let none = || said!("`{text}` is not a size", "`{text}` no es un tamaño"; text = text);
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(none()),
    };
    let number: u64 = number.parse().map_err(|_| none())?;
    number
        .checked_mul(factor)
        .ok_or_else(|| said!("`{text}` is too large", "`{text}` es demasiado grande"; text = text))
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_and_write() {
        for (text, millis, shown) in [
            ("100/minute", 600, "100/minute"),
            ("4000/hour", 900, "4000/hour"),
            ("10 / second", 100, "10/second"),
            ("1/90s", 90_000, "1/90s"),
            ("60/60s", 1000, "60/minute"),
        ] {
            let rate = parse_rate(text).unwrap();
            let read = (rate.interval().as_millis(), show_rate(rate));
            assert_eq!(read, (millis, shown.to_owned()), "{text}");
        }
        for text in ["", "5", "/minute", "0/minute", "5/0s", "5/fortnight", "-1/hour", "1.5/hour"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_read_and_write() {
        for (text, seconds, shown) in [
            ("30s", 30, "30s"),
            ("90s", 90, "90s"),
            ("5m", 300, "5m"),
            ("24h", 86_400, "1d"),
            ("0s", 0, "0s"),
        ] {
            let span = parse_duration(text).unwrap();
            assert_eq!((span.as_secs(), show_duration(span).as_str()), (seconds, shown), "{text}");
        }
        for text in ["", "5", "m", "5x", "-5s", "5.5s", "99999999999999999999d", "9999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (text, octets, shown) in [
            ("50MiB", 52_428_800, "50MiB"),
            ("1 GiB", 1 << 30, "1GiB"),
            ("10KB", 10_000, "10000"),
            ("123", 123, "123"),
        ] {
            assert_eq!(parse_size(text).unwrap(), octets, "{text}");
            assert_eq!(show_size(octets), shown);
        }
        for text in ["MiB", "5 apples", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
