//! Message ids and times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and a while; it stops at the end of time instead of wrapping.
    pub fn after(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; nothing if it lies ahead.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(
            u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0),
        )
    }
}

/// The name of a queued message: twelve hexadecimal digits that grow with time,
/// short enough to be read over a phone and understood by Postfix's log readers.
///
/// It is a 41-bit count of milliseconds since 2026-01-01 UTC (69 years) followed
/// by seven bits that count within one; a busier millisecond borrows from the next.
/// An id is no capability: knowing one opens nothing.
///
/// Where several nodes share a queue, their number follows in eight bits more, and the id
/// has fourteen digits. Both kinds can be in one store, which copies from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MessageId(u64);

const EPOCH_2026_MILLIS: i64 = 1_767_225_600_000;
/// Bits that count within a millisecond.
pub(crate) const COUNTER_BITS: u32 = 7;
/// Bits of an id that no node's number follows.
const BITS: u32 = 48;

impl MessageId {
    /// The smallest id of a moment.
    pub fn at(time: Timestamp) -> Self {
        let millis = time.as_millis().saturating_sub(EPOCH_2026_MILLIS);
        Self(u64::try_from(millis).unwrap_or(0) << COUNTER_BITS)
    }

    /// When it was given, unless the clock was wrong.
    pub const fn given_at(self) -> Timestamp {
        let number = if self.has_node() { self.0 >> 8 } else { self.0 };
        Timestamp((number >> COUNTER_BITS).cast_signed() + EPOCH_2026_MILLIS)
    }

    /// The id to give out at `now` when `last` was the last one given: never one
    /// that was given before, even if the clock went back.
    pub fn next(last: Option<Self>, now: Timestamp) -> Self {
        let fresh = Self::at(now);
        last.map_or(fresh, |last| fresh.max(Self(last.0 + 1)))
    }

    /// Whether a node's number follows in it: new ids do not go on from such a one.
    pub const fn has_node(self) -> bool {
        self.0 >> BITS != 0
    }

    /// The greater of this id, the last that was given here, and another that was met,
    /// unless that one was given elsewhere.
    pub(crate) fn or_later(self, met: Self) -> Self {
        if met.has_node() { self } else { self.max(met) }
    }

    /// The number behind the name, for storage.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// From the number behind the name.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A dozen times for each message: what formats any number takes five times as long.
        let length = if self.has_node() { 14 } else { 12 };
        let (mut text, mut rest) = ([b'0'; 14], self.0);
        let digits = text.get_mut(..length).unwrap_or_default();
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789ABCDEF"
                .get(usize::try_from(rest % 16).unwrap_or_default())
                .copied()
                .unwrap_or_default();
            rest /= 16;
        }
        match std::str::from_utf8(digits) {
            Ok(text) if rest == 0 => f.write_str(text),
            _ => write!(f, "{:X}", self.0),
        }
    }
}

/// The text is not a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a queue id: expected 12 or 14 hexadecimal digits, as `puerto queue list` shows them")]
pub struct NotAMessageId;

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for MessageId {
    type Error = NotAMessageId;

    fn try_from(text: String) -> Result<Self, NotAMessageId> {
        text.parse()
    }
}

impl FromStr for MessageId {
    type Err = NotAMessageId;

    fn from_str(text: &str) -> Result<Self, NotAMessageId> {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits || !(12..=16).contains(&text.len()) {
            return Err(NotAMessageId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAMessageId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_goes_back() {
        let now = Timestamp::from_millis(1_795_500_000_000);
        let first = MessageId::next(None, now);
        let second = MessageId::next(Some(first), Timestamp::from_millis(0));
        assert!(second > first);
        assert_eq!(second.to_string().len(), 12);
        assert_eq!(second.to_string().to_lowercase().parse(), Ok(second));
        assert_eq!("xyz".parse::<MessageId>(), Err(NotAMessageId));
        let of_a_node = MessageId::from_u64(second.as_u64() << 8 | 3);
        assert!(of_a_node.has_node() && !second.has_node());
        assert_eq!(of_a_node.to_string().len(), 14);
        assert_eq!(of_a_node.to_string().parse(), Ok(of_a_node));
        assert_eq!((first.given_at(), of_a_node.given_at()), (now, now));
        assert_eq!((first.or_later(of_a_node), first.or_later(second)), (first, second));
    }
}
