//! Reads "try again in five minutes" out of a reply.
//!
//! Greylisting and rate limits often say when to come back, in many words. What
//! counts is a number with a unit of time, or a time in the form `0:05:00`, in a
//! text that speaks of trying again; anything else is left to the usual schedule.

use std::time::Duration;

/// The longest wait that is believed. A peer that asks for more is tried by the
/// usual schedule, so that no reply can park mail until it expires.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Words that show that a time is about coming back.
const CUES: &[&str] =
    &["try", "retry", "again", "retries", "back", "wait", "greylist", "graylist", "defer", "later"];

/// The wait that a text asks for.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    if !CUES.iter().any(|cue| text.contains(cue)) {
        return None;
    }
    let is_break = |c: char| !c.is_ascii_alphanumeric() && c != ':';
    let words: Vec<&str> = text.split(is_break).filter(|word| !word.is_empty()).collect();
    let waits = words.iter().enumerate().filter_map(|(index, word)| {
        let next = words.get(index + 1).copied().unwrap_or_default();
        clock_time(word).or_else(|| number_with_unit(word, next))
    });
    // "Wait 5 minutes; giving up after 4 days": the shorter is the one that is meant.
    waits.filter(|wait| !wait.is_zero()).min().filter(|wait| *wait <= LONGEST)
}

fn number_with_unit(word: &str, next: &str) -> Option<Duration> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = word.split_at_checked(digits)?;
    let number = if digits == 0 { in_words(word)? } else { number.parse().ok()? };
    let unit = if digits == 0 || suffix.is_empty() { next } else { suffix };
    let seconds: u64 = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(seconds.checked_mul(number)?))
}

fn in_words(word: &str) -> Option<u64> {
    let numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let place = numbers.iter().position(|number| *number == word)?;
    u64::try_from(place + 1).ok()
}

// h:mm:ss or mm:ss.
fn clock_time(word: &str) -> Option<Duration> {
    let parts: Vec<u64> =
        word.split(':').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        [minutes, seconds] => (0, minutes, seconds),
        _ => return None,
    };
    let in_range = hours <= 24 && minutes < 60 && seconds < 60;
    in_range.then(|| Duration::from_secs(hours * 3600 + minutes * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_in_the_words_that_servers_use() {
        for (text, seconds) in [
            ("Greylisted, please try again in 300 seconds", Some(300)),
            ("Greylisting in action, please come back in 00:05:00", Some(300)),
            ("greylisted for 5 minutes", Some(300)),
            ("Try again after 1 hour.", Some(3600)),
            ("Please retry in 90s", Some(90)),
            ("temporarily deferred, retry in 15min", Some(900)),
            ("Too many messages; wait 10 minutes, we give up after 12 hours", Some(600)),
            ("Please try again in five minutes", Some(300)),
            ("come back in 04:30 minutes", Some(270)),
            ("try again later", None),
            ("try again in 0 seconds", None),
            ("try again in 3 days", None),
            ("try again in 99 hours", None),
            ("try again in 99999999999999999999 hours", None),
            ("try again in 18446744073709551615 hours", None),
            ("mailbox over its 20 minute quota", None),
            ("Deferred: see http://example.com/faq/4", None),
            ("retry 4.7.1 2 much", None),
            ("try again [2001:db8:1]", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|wait| wait.as_secs()), seconds, "{text}");
        }
    }
}
