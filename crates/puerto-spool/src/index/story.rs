//! What a recipient's attempts came to: a bounded list, as octets.
//!
//! Kept are the first attempt, which says what it began with, and the last four, which
//! say how it stands now; a queue's life has dozens between that tell nothing new. One
//! that repeats a relay, a text or a cause points to it, so that a story takes hardly
//! more memory than one attempt. Records have the same octets.

use std::sync::Arc;

use puerto_smtp::EnhancedCode;

use crate::codec::{Malformed, Put, Take};
use crate::entry::{Attempt, MAX_CAUSE};
use crate::filter::LastAttempt;

/// The first attempt and the last four.
const MAX_ATTEMPTS: usize = 5;
/// Octets, so that no server can fill the memory with its replies. Beyond that only the
/// first and the last remain, then the last.
const MAX_OCTETS: usize = 4096;
/// A reply may have 64 KiB.
const MAX_TEXT: usize = 1024;
const MAX_RELAY: usize = 512;

/// At least one attempt, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story(Arc<Box<[u8]>>);

impl Story {
    /// The story as it goes on with one more attempt.
    pub(crate) fn with(before: Option<&Self>, attempt: Attempt) -> Self {
        let mut attempts = before.map(Self::attempts).unwrap_or_default();
        attempts.push(bounded(attempt));
        loop {
            let octets = encode(&attempts);
            let fits = attempts.len() <= MAX_ATTEMPTS && octets.len() <= MAX_OCTETS;
            if fits || attempts.len() < 2 {
                return Self(Arc::new(octets.into()));
            }
            // The oldest but the first goes.
            attempts.remove(usize::from(attempts.len() > 2));
        }
    }

    /// Reads a story to the end.
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        take(&mut Take(octets)).map(|_| Self(Arc::new(octets.into())))
    }

    /// Its encoded form.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are in the same memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The last attempt, without a copy of anything.
    pub(crate) fn last(&self) -> Option<LastAttempt<'_>> {
        Self::last_of(&self.0).ok()
    }

    /// The same of a story in its encoded form.
    pub(crate) fn last_of(octets: &[u8]) -> Result<LastAttempt<'_>, Malformed> {
        take_last(&mut Take(octets))
    }

    /// What it tells.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        // Whatever came to be a story has been read or written here.
        take(&mut Take(&self.0)).unwrap_or_default()
    }
}

/// How the story of the recipient before went on, to be shared with the next one that
/// met the same fate.
#[derive(Debug, Default)]
pub(crate) struct Shared(Option<(Option<Story>, Attempt, Story)>);

impl Shared {
    /// The story as it goes on with one more attempt.
    pub(crate) fn with(&mut self, before: Option<&Story>, attempt: &Attempt) -> Story {
        match &self.0 {
            Some((old, same, story)) if old.as_ref() == before && same == attempt => story.clone(),
            _ => {
                let story = Story::with(before, attempt.clone());
                self.0 = Some((before.cloned(), attempt.clone(), story.clone()));
                story
            }
        }
    }
}

fn bounded(mut attempt: Attempt) -> Attempt {
    attempt.text.truncate(attempt.text.floor_char_boundary(MAX_TEXT));
    attempt.relay.truncate(attempt.relay.floor_char_boundary(MAX_RELAY));
    // A part of it would say nothing.
    if attempt.cause.len() > MAX_CAUSE {
        attempt.cause.clear();
    }
    attempt
}

fn encode(attempts: &[Attempt]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut texts: Vec<&str> = Vec::new();
    for attempt in attempts {
        out.put_time(attempt.at);
        out.put_u16(attempt.code);
        out.put_u8(attempt.status.class);
        out.put_u16(attempt.status.subject);
        out.put_u16(attempt.status.detail);
        for text in [&attempt.relay, &attempt.text, &attempt.cause] {
            let place = texts.iter().position(|known| known == text);
            // There are three texts for each of a few attempts.
            out.put_u8(u8::try_from(place.unwrap_or(texts.len())).unwrap_or(u8::MAX));
            if place.is_none() {
                out.put_bytes(text.as_bytes());
                texts.push(text);
            }
        }
    }
    out
}

// At, code, status: of no interest here.
const BEFORE_TEXTS: usize = 8 + 2 + 5;

// A list of a million is counted by this.
fn take_last<'a>(from: &mut Take<'a>) -> Result<LastAttempt<'a>, Malformed> {
    let mut texts = [""; 3 * MAX_ATTEMPTS];
    let (mut known, mut last) = (0, [""; 3]);
    while !from.0.is_empty() {
        from.raw(BEFORE_TEXTS)?;
        for field in &mut last {
            let place = usize::from(from.u8()?);
            let text = texts.get_mut(place).ok_or(Malformed("a text is not there"))?;
            if place == known {
                *text = from.text()?;
                known += 1;
            }
            *field = text;
        }
    }
    let [relay, text, cause] = last;
    Ok(LastAttempt { relay, text, cause })
}

fn take(from: &mut Take<'_>) -> Result<Vec<Attempt>, Malformed> {
    let mut attempts = Vec::new();
    let mut texts: Vec<&str> = Vec::new();
    while !from.0.is_empty() || attempts.is_empty() {
        if attempts.len() == MAX_ATTEMPTS {
            return Err(Malformed("a story has too many attempts"));
        }
        let (at, code) = (from.time()?, from.u16()?);
        let status = EnhancedCode::new(from.u8()?, from.u16()?, from.u16()?);
        let mut text = || {
            let place = usize::from(from.u8()?);
            if place == texts.len() {
                texts.push(from.text()?);
            }
            let known = texts.get(place).ok_or(Malformed("a text is not there"))?;
            Ok((*known).to_owned())
        };
        let (relay, text, cause) = (text()?, text()?, text()?);
        attempts.push(Attempt { at, relay, code, status, text, cause });
    }
    Ok(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{START, attempt};

    fn grown(attempts: impl IntoIterator<Item = Attempt>) -> Story {
        let mut story = None;
        for attempt in attempts {
            story = Some(Story::with(story.as_ref(), attempt));
        }
        story.unwrap()
    }

    #[test]
    fn what_repeats_takes_hardly_any_memory() {
        let one = attempt(START);
        let other = Attempt { relay: "mx2.example.net[192.0.2.2]:25".into(), ..one.clone() };
        let once = grown([one.clone()]).as_bytes().len();
        let turns = [one.clone(), other.clone(), one.clone(), other.clone(), one.clone()];
        assert_eq!(grown(turns.clone()).last(), Some((&one).into()));
        assert_eq!(grown([one, other.clone()]).last(), Some((&other).into()));
        assert!(once < 90, "{once}");
        assert!(grown(turns).as_bytes().len() < once + other.relay.len() + 4 * 24);
    }

    #[test]
    fn replies_cannot_fill_the_memory() {
        let long = |n: u32| Attempt { text: n.to_string().repeat(2000), ..attempt(START) };
        let story = grown((1..=9).map(long));
        assert!(story.as_bytes().len() <= MAX_OCTETS, "{}", story.as_bytes().len());
        let kept: Vec<String> = story.attempts().into_iter().map(|a| a.text).collect();
        assert_eq!(kept, [1, 8, 9].map(|n: u32| n.to_string().repeat(1024)));
        let cause = format!("{{\"it\":\"{}\"}}", "x".repeat(MAX_CAUSE));
        assert_eq!(grown([Attempt { cause, ..long(1) }]).attempts()[0].cause, "");
    }

    #[test]
    fn any_octets_are_read_or_refused() {
        let whole = grown([attempt(START), Attempt { code: 0, ..attempt(START) }]);
        for end in 0..whole.as_bytes().len() {
            let read = Story::decode(&whole.as_bytes()[..end]);
            assert!(read.is_err() || read.unwrap().attempts().len() == 1, "cut at {end}");
        }
        assert_eq!(Story::decode(whole.as_bytes()), Ok(whole.clone()));
        let many = whole.as_bytes().repeat(3);
        assert!(Story::decode(&many).is_err());
    }
}
