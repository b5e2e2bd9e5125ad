//! What holds for many messages, and stands in the log once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use crate::cause::Cause;

/// For how long a remark is not repeated.
const AGAIN: Duration = Duration::from_secs(3600);
/// Remarks that are remembered; then all are made once more.
const MOST: usize = 1000;

/// The remarks that the log has.
#[derive(Default)]
pub(super) struct Seldom(Mutex<HashMap<String, Instant>>);

impl Seldom {
    /// The level of a remark about a message: a warning for the log, or nothing but a part of
    /// the message's story where the log has said the same not long ago.
    pub(super) fn level(&self, cause: &Cause, now: Instant) -> &'static str {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = cause.text();
        if made.get(&*text).is_some_and(|at| now.duration_since(*at) < AGAIN) {
            return "debug";
        }
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(text.into_owned(), now);
        "warning"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_stands_in_the_log_once_an_hour_for_each_address_and_receiver() {
        let of = |address: &str, receiver: &str| Cause::AddressAvoided {
            address: address.to_owned(),
            receiver: receiver.to_owned(),
        };
        let (seldom, now) = (Seldom::default(), Instant::now());
        let after = |minutes: u64| now + Duration::from_secs(60 * minutes);
        for (minutes, address, receiver, level) in [
            (0, "2001:db8::1", "google", "warning"),
            (1, "2001:db8::1", "google", "debug"),
            (2, "2001:db8::1", "yahoo", "warning"),
            (3, "2001:db8::2", "google", "warning"),
            (59, "2001:db8::1", "google", "debug"),
            (60, "2001:db8::1", "google", "warning"),
            (61, "2001:db8::1", "google", "debug"),
        ] {
            let cause = of(address, receiver);
            assert_eq!(seldom.level(&cause, after(minutes)), level, "{address} {minutes}");
        }
        // However many there are, so much is remembered and no more.
        for number in 0..=MOST {
            seldom.level(&of(&number.to_string(), "google"), now);
        }
        assert!(seldom.0.lock().unwrap().len() <= MOST);
    }
}
