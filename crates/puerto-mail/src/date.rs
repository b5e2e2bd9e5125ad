//! Dates of header fields (RFC 5322 §3.3), from and to seconds since the epoch.
//! There is no clock here: whoever asks says what time it is.

use std::borrow::Cow;

/// A moment and the clock on the wall where it was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// Seconds since 1970-01-01 UTC.
    pub unix_seconds: i64,
    /// Minutes that the wall clock is ahead of UTC.
    pub offset_minutes: i32,
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes `Tue, 24 Nov 2026 07:00:00 +0100`. An offset of a day or more is taken
/// as none.
pub fn format(date: DateTime) -> String {
    let offset = if date.offset_minutes.abs() < 24 * 60 { date.offset_minutes } else { 0 };
    let local = date.unix_seconds.saturating_add(i64::from(offset) * 60);
    let days = local.div_euclid(86_400);
    let second_of_day = local.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let weekday = usize::try_from(days.rem_euclid(7)).unwrap_or_default();
    let month = usize::try_from(month - 1).unwrap_or_default();
    let mut out = String::with_capacity("Tue, 24 Nov 2026 07:00:00 +0100".len());
    out.push_str(DAYS.get(weekday).copied().unwrap_or_default());
    out.push_str(", ");
    push_number(&mut out, day, 1);
    out.push(' ');
    out.push_str(MONTHS.get(month).copied().unwrap_or_default());
    out.push(' ');
    push_number(&mut out, year, 4);
    for (mark, number) in
        [(' ', second_of_day / 3600), (':', second_of_day / 60 % 60), (':', second_of_day % 60)]
    {
        out.push(mark);
        push_number(&mut out, number, 2);
    }
    out.push_str(if offset < 0 { " -" } else { " +" });
    push_number(&mut out, i64::from(offset.abs() / 60 * 100 + offset.abs() % 60), 4);
    out
}

/// Appends a number with leading zeros where it has fewer digits than `width`. A date is
/// written several times for each message, and what formats anything takes ten times as long.
pub fn push_number(out: &mut String, number: i64, width: usize) {
    if let (2, 0..100) = (width, number) {
        let digit = |digit: i64| char::from(b'0' + u8::try_from(digit).unwrap_or_default());
        out.push(digit(number / 10));
        return out.push(digit(number % 10));
    }
    let mut digits = [b'0'; 20];
    let mut rest = number.unsigned_abs();
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        if rest == 0 && length >= width {
            break;
        }
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        length += 1;
    }
    if number < 0 {
        out.push('-');
    }
    let digits = digits.get(digits.len() - length..).unwrap_or_default();
    out.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

/// Reads a date-time, with the obsolete forms (RFC 5322 §4.3) and comments. `None`
/// if it is not one.
pub fn parse(value: &[u8]) -> Option<DateTime> {
    plain(value).or_else(|| any_form(value))
}

// The form in which nearly all are written, many with the zone's name in a comment, seen at a
// glance; all else is read with care.
fn plain(value: &[u8]) -> Option<DateTime> {
    let value = value.trim_ascii();
    let value = match value.strip_suffix(b")") {
        None => value,
        Some(rest) => {
            let (before, comment) = rest.split_at(memchr::memrchr(b'(', rest)?);
            let is_plain = comment.is_ascii() && memchr::memchr(b')', comment).is_none();
            Some(before.trim_ascii_end()).filter(|_| is_plain)?
        }
    };
    let (name, rest) = value.split_first_chunk::<3>()?;
    let place = |of: &[&str], name: &[u8]| of.iter().position(|known| known.as_bytes() == name);
    place(&DAYS, name)?;
    let (tens, ones, rest) = match rest {
        [b',', b' ', ones, b' ', rest @ ..] => (b'0', *ones, rest),
        [b',', b' ', tens, ones, b' ', rest @ ..] => (*tens, *ones, rest),
        _ => return None,
    };
    let (month, rest) = rest.split_first_chunk::<3>()?;
    let month = i64::try_from(place(&MONTHS, month)?).ok()? + 1;
    let [
        b' ',
        y1,
        y2,
        y3,
        y4,
        b' ',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
        b' ',
        sign,
        z1,
        z2,
        z3,
        z4,
    ] = rest
    else {
        return None;
    };
    let pair = |tens: u8, ones: u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let year = pair(*y1, *y2)? * 100 + pair(*y3, *y4)?;
    let seconds = second_of_day(pair(*h1, *h2)?, pair(*m1, *m2)?, pair(*s1, *s2)?)?;
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let offset_minutes = sign * offset(pair(*z1, *z2)?, pair(*z3, *z4)?)?;
    (year >= 1900).then(|| moment((year, month, pair(tens, ones)?), seconds, offset_minutes))?
}

// `None` if there is no such day.
fn moment(
    (year, month, day): (i64, i64, i64),
    seconds: i64,
    offset_minutes: i32,
) -> Option<DateTime> {
    let local = days_from_civil(year, month, day) * 86_400 + seconds;
    let is_day = (1..=days_in_month(year, month)).contains(&day);
    let unix_seconds = local - i64::from(offset_minutes) * 60;
    is_day.then_some(DateTime { unix_seconds, offset_minutes })
}

fn any_form(value: &[u8]) -> Option<DateTime> {
    let text = without_comments(std::str::from_utf8(value).ok()?)?;
    let text = match text.split_once(',') {
        Some((day_name, rest)) if is_day_name(day_name.trim()) => rest,
        Some(_) => return None,
        None => text.as_ref(),
    };
    let mut words = text.split_ascii_whitespace();
    let day: i64 = number(words.next()?, 2)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let month = i64::try_from(month).ok()? + 1;
    let year = full_year(words.next()?)?;
    let seconds = time_of_day(words.next()?)?;
    let offset_minutes = zone(words.next()?)?;
    let is_end = words.next().is_none();
    moment((year, month, day), seconds, offset_minutes).filter(|_| is_end)
}

/// Reads a date in a form that RFC 5322 does not know and programs write: that of `ctime`,
/// of ISO 8601, with names in full or marks between the words. One that does not say its
/// zone is in UTC; one that can be read in two ways is not read.
pub fn read(value: &[u8]) -> Option<DateTime> {
    let text = without_comments(std::str::from_utf8(value).ok()?)?;
    let mut found = Found::default();
    for (index, word) in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).enumerate() {
        found.add(word, index == 0)?;
    }
    let (year, month, day) = (found.year?, found.month?, found.day?);
    let hour_shift = if found.is_afternoon { 12 * 3600 } else { 0 };
    let seconds = found.seconds? + hour_shift;
    if seconds > 86_400 {
        return None;
    }
    moment((year, month, day), seconds, found.offset_minutes.unwrap_or(0))
}

#[derive(Default)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    seconds: Option<i64>,
    offset_minutes: Option<i32>,
    is_afternoon: bool,
}

impl Found {
    // `None` if a word makes no sense where it stands.
    fn add(&mut self, word: &str, is_first: bool) -> Option<()> {
        let parts: Vec<&str> = word.split('-').collect();
        match parts.as_slice() {
            [year, month, rest] if year.len() == 4 => {
                let (day, time) = rest.split_once(['T', 't']).unwrap_or((rest, ""));
                (self.year, self.month) = (full_year(year), number(month, 2));
                self.month = self.month.filter(|month| (1..=12).contains(month));
                self.day = number(day, 2);
                return if time.is_empty() { Some(()) } else { self.time(time) };
            }
            [date, zone] if date.contains(':') => {
                self.time(date)?;
                return self.zone(&format!("-{zone}"));
            }
            [year, month, rest, zone] if year.len() == 4 => {
                self.add(&[*year, *month, *rest].join("-"), false)?;
                return self.zone(&format!("-{zone}"));
            }
            [day, month, year] if number(day, 2).is_some() => {
                (self.day, self.month, self.year) =
                    (number(day, 2), month_named(month), full_year(year));
                return Some(());
            }
            _ => {}
        }
        match word.bytes().next()? {
            b'+' | b'-' => self.zone(word),
            b'0'..=b'9' if word.contains(':') => self.time(word),
            b'0'..=b'9' if word.len() <= 2 && self.day.is_none() => {
                self.day = Some(number(word, 2)?);
                Some(())
            }
            b'0'..=b'9' if self.year.is_none() => {
                self.year = Some(full_year(word)?);
                Some(())
            }
            _ if self.month.is_none() && month_named(word).is_some() => {
                self.month = month_named(word);
                Some(())
            }
            _ if word.eq_ignore_ascii_case("PM") => {
                self.is_afternoon = self.seconds? < 12 * 3600;
                Some(())
            }
            _ if word.eq_ignore_ascii_case("AM") => Some(()),
            // The name of the day, in whatever language.
            _ if is_first => Some(()),
            _ if self.seconds.is_some() && word.bytes().all(|b| b.is_ascii_uppercase()) => {
                self.offset_minutes = self.offset_minutes.or(Some(named_zone(word)));
                Some(())
            }
            _ => None,
        }
    }

    fn time(&mut self, text: &str) -> Option<()> {
        let text = text.trim_end_matches(['Z', 'z']);
        let (text, zone) = match text.find('+') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let text = text.split('.').next()?;
        self.seconds = Some(time_of_day(text)?);
        if zone.is_empty() { Some(()) } else { self.zone(zone) }
    }

    fn zone(&mut self, text: &str) -> Option<()> {
        self.offset_minutes = Some(zone(&text.replace(':', ""))?);
        Some(())
    }
}

fn month_named(text: &str) -> Option<i64> {
    const FULL: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let at = FULL.iter().position(|name| text.len() >= 3 && name.starts_with(&text))?;
    i64::try_from(at + 1).ok()
}

fn is_day_name(text: &str) -> bool {
    DAYS.iter().any(|name| name.eq_ignore_ascii_case(text))
}

fn without_comments(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'(', b')', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut depth = 0usize;
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            // A comment may be all that stands between two words.
            other => out.push(if depth > 0 { ' ' } else { other }),
        }
    }
    (depth == 0).then_some(Cow::Owned(out))
}

fn number(text: &str, most_digits: usize) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits && text.len() <= most_digits { text.parse().ok() } else { None }
}

// Two digits mean 2000 to 2049 or 1950 to 1999, three mean 1900 onward (RFC 5322 §4.3).
fn full_year(text: &str) -> Option<i64> {
    let year = number(text, 4)?;
    match text.len() {
        2 if year < 50 => Some(year + 2000),
        2 | 3 => Some(year + 1900),
        4 if year >= 1900 => Some(year),
        _ => None,
    }
}

fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |part| number(part, 2))?;
    let is_end = parts.next().is_none();
    second_of_day(hour, minute, second).filter(|_| is_end)
}

fn second_of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    // A leap second is 60 (RFC 5322 §3.3).
    let in_range = hour < 24 && minute < 60 && second <= 60;
    in_range.then_some(hour * 3600 + minute * 60 + second)
}

fn zone(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(named_zone(text)),
    };
    let digits = number(text.get(1..)?, 4)?;
    let minutes = offset(digits / 100, digits % 100).filter(|_| text.len() == 5)?;
    Some(sign * minutes)
}

fn offset(hours: i64, minutes: i64) -> Option<i32> {
    let is_valid = minutes < 60 && hours < 24;
    is_valid.then(|| i32::try_from(hours * 60 + minutes).ok())?
}

// Other names, the military ones too, say nothing reliable (RFC 5322 §4.3).
fn named_zone(text: &str) -> i32 {
    match text.to_ascii_uppercase().as_str() {
        "EDT" => -4 * 60,
        "EST" | "CDT" => -5 * 60,
        "CST" | "MDT" => -6 * 60,
        "MST" | "PDT" => -7 * 60,
        "PST" => -8 * 60,
        _ => 0,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Days since the epoch of a date in the Gregorian calendar. Years are counted from
// March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let century = days.div_euclid(146_097);
    let day_of_cycle = days.rem_euclid(146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = century * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written() {
        for (unix_seconds, offset_minutes, text) in [
            (0, 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (1_057_982_437, -420, "Fri, 11 Jul 2003 21:00:37 -0700"),
            (951_782_399, 0, "Mon, 28 Feb 2000 23:59:59 +0000"),
            (951_825_600, 90, "Tue, 29 Feb 2000 13:30:00 +0130"),
            (-1, -90, "Wed, 31 Dec 1969 22:29:59 -0130"),
        ] {
            let date = DateTime { unix_seconds, offset_minutes };
            assert_eq!(format(date), text);
            assert_eq!(parse(text.as_bytes()), Some(date));
        }
    }

    #[test]
    fn old_forms_are_read() {
        for (text, unix_seconds) in [
            ("Fri, 11 Jul 2003 21:00:37 -0700 (PDT)", 1_057_982_437),
            ("11 jul 03 21:00:37 PDT", 1_057_982_437),
            (" 1 Jan 1970 00:00 UT", 0),
            ("1 (x(y)) Jan 70 00:00:00 Z", 0),
        ] {
            assert_eq!(
                parse(text.as_bytes()).map(|d| d.unix_seconds),
                Some(unix_seconds),
                "{text}"
            );
        }
        for text in [
            "",
            "today",
            "Foo, 1 Jan 1970 00:00:00 +0000",
            "32 Jan 1970 00:00:00 +0000",
            "29 Feb 2001 00:00:00 +0000",
            "1 Jan 1970 24:00:00 +0000",
            "1 Jan 1970 00:00:00",
            "1 Jan 1970 00:00:00 +00000",
            "1 Jan 1970 00:00:00 +0000 x",
            "1 Jan 1970 00:00:00 +0000 (",
            "-1 Jan 1970 00:00:00 +0000",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn forms_that_programs_write_are_read() {
        for (text, expected) in [
            ("Fri Nov 27 10:00:00 2026", "Fri, 27 Nov 2026 10:00:00 +0000"),
            ("Fri Nov 27 10:00:00 EST 2026", "Fri, 27 Nov 2026 10:00:00 -0500"),
            ("2026-11-27 10:00", "Fri, 27 Nov 2026 10:00:00 +0000"),
            ("2026-11-27T10:00:00Z", "Fri, 27 Nov 2026 10:00:00 +0000"),
            ("2026-11-27T10:00:00.5+01:00", "Fri, 27 Nov 2026 10:00:00 +0100"),
            ("2026-11-27T10:00:00-05:00", "Fri, 27 Nov 2026 10:00:00 -0500"),
            ("2026-11-27 10:00:00 -0500", "Fri, 27 Nov 2026 10:00:00 -0500"),
            ("Fri, 27 Nov 2026 10:00:00", "Fri, 27 Nov 2026 10:00:00 +0000"),
            ("Fri, 27 Nov 2026 10:00:00 +02:00", "Fri, 27 Nov 2026 10:00:00 +0200"),
            ("Vie, 27 Nov 2026 10:00:00 +0100", "Fri, 27 Nov 2026 10:00:00 +0100"),
            ("Fri, 27-Nov-26 10:00:00 GMT", "Fri, 27 Nov 2026 10:00:00 +0000"),
            ("Friday, 27 November 2026 10:00:00 +0000", "Fri, 27 Nov 2026 10:00:00 +0000"),
            ("Friday, November 27, 2026 1:05 PM", "Fri, 27 Nov 2026 13:05:00 +0000"),
        ] {
            assert_eq!(read(text.as_bytes()).map(format).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "now",
            "0",
            "27/11/2026 10:00",
            "Fri, 32 Nov 2026 10:00:00 +0000",
            "1795909622",
            "2026-13-01 10:00",
            "10:00",
            "2026-11-27",
            "Fri, 27 Nov 0026 10:00:00 +0000",
            "- -",
            "----",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_may_be_read(octets: Vec<u8>, text: String) {
            let _ = (read(&octets), read(text.as_bytes()));
        }

        #[test]
        fn what_is_written_is_read(
            unix_seconds in -2_000_000_000i64..200_000_000_000, offset_minutes in -1439i32..1440,
        ) {
            let date = DateTime { unix_seconds, offset_minutes };
            proptest::prop_assert_eq!(parse(format(date).as_bytes()), Some(date));
        }

        #[test]
        fn any_octets_are_read_or_refused(octets: Vec<u8>) {
            let _ = parse(&octets);
        }

        #[test]
        fn what_is_seen_at_a_glance_is_what_it_is(
            unix_seconds in -2_000_000_000i64..200_000_000_000, offset_minutes in -1439i32..1440,
            comment in "( ?[(](UTC|CE[()]?T|)[)])?", at in 0usize..40, octet in "[0-9 :+,Jan()-]",
        ) {
            let mut text = format(DateTime { unix_seconds, offset_minutes }) + &comment;
            if at < text.len() {
                text.replace_range(at..=at, &octet);
            }
            let seen = plain(text.as_bytes());
            proptest::prop_assert!(seen.is_none() || seen == any_form(text.as_bytes()), "{}", text);
        }
    }
}
