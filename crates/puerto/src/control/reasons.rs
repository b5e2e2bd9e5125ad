//! To which class belongs why a recipient waits, as `puerto explain` names them.
//!
//! Millions are asked about one after the other, and nearly all have waited for one of a few
//! reasons: what was found is remembered, by the exact words, and by the words without what
//! differs from one message to the next (addresses, numbers, marks) and from one host of a
//! provider, or of nobody who is known, to the next.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use puerto_spool::{Classify, LastAttempt};

use crate::cause::Cause;
use crate::explain;

/// Nobody has tried it yet.
pub const NOT_TRIED: &str = "not-tried";
/// It was tried, and nothing is known of why it failed.
pub const OTHER: &str = "other";

/// Exact words, words of one kind, and hosts that are remembered.
const EXACT: usize = 1 << 17;
const KINDS: usize = 1 << 16;
const HOSTS: usize = 1 << 16;
/// Octets of a word that is worth a look, and the fewest that a mark has.
const MARK: usize = 8;

/// All classes that there may be.
pub fn all() -> impl Iterator<Item = &'static str> {
    [NOT_TRIED, OTHER].into_iter().chain(explain::classes())
}

/// What classifies. It is made once, so that all remember together.
pub(super) fn classify() -> Classify {
    let memory = Mutex::new(Memory::default());
    Arc::new(move |last| match last {
        None => NOT_TRIED,
        Some(last) => memory.lock().unwrap_or_else(PoisonError::into_inner).class(last),
    })
}

#[derive(Default)]
struct Memory {
    exact: HashMap<u64, &'static str>,
    kinds: HashMap<u64, &'static str>,
    /// Whose each host is; empty if that is not known.
    owners: HashMap<u64, &'static str>,
}

impl Memory {
    fn class(&mut self, last: LastAttempt<'_>) -> &'static str {
        // The text says no more than the cause where there is one.
        let words = if last.cause.is_empty() { last.text } else { last.cause };
        let exact = hash(hash(0, last.relay.as_bytes()), words.as_bytes());
        if let Some(known) = self.exact.get(&exact) {
            return known;
        }
        let host = host_of(last.relay);
        let kind = kind_of((host, self.owner(host)), words);
        let known = self.kinds.get(&kind).copied();
        let class = known.unwrap_or_else(|| look_up(last));
        remember(&mut self.kinds, KINDS, kind, class);
        remember(&mut self.exact, EXACT, exact, class);
        class
    }

    fn owner(&mut self, host: &str) -> &'static str {
        let key = hash(2, host.as_bytes());
        if let Some(known) = self.owners.get(&key) {
            return known;
        }
        let owner = explain::owner(host).unwrap_or_default();
        remember(&mut self.owners, HOSTS, key, owner);
        owner
    }
}

fn host_of(relay: &str) -> &str {
    relay.split(['[', ':']).next().unwrap_or_default()
}

fn remember(memory: &mut HashMap<u64, &'static str>, most: usize, key: u64, class: &'static str) {
    if memory.len() >= most {
        memory.clear();
    }
    memory.insert(key, class);
}

fn look_up(last: LastAttempt<'_>) -> &'static str {
    let cause = Cause::of_kept(last.cause, last.text);
    let host = Some(host_of(last.relay)).filter(|host| !host.is_empty());
    let found = explain::of_cause(&cause, host).or_else(|| {
        // What a bare code means is better than nothing.
        explain::explain_attempt(last.text, host)
    });
    found.map_or(OTHER, |found| found.class())
}

// The words without the host's name and those that have an address, or are long and have
// digits, unless they begin like a code. Rules ask of a host whose it is.
fn kind_of((host, owner): (&str, &str), words: &str) -> u64 {
    let is_host = |word: &&str| !host.is_empty() && word.starts_with(host);
    let is_mark = |word: &&str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let code =
            matches!(word.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b'-' | b' ', ..]);
        word.contains('@') || (word.len() >= MARK && digits > 1 && !code)
    };
    let telling = words.split([' ', ',', '"']).filter(|word| !is_host(word) && !is_mark(word));
    telling.fold(hash(1, owner.as_bytes()), |so_far, word| hash(so_far, word.as_bytes()))
}

// Fast, and not proof against whoever makes two texts alike: all that comes of it is that one
// of them is counted as the other.
fn hash(seed: u64, octets: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |so_far: u64, word: u64| {
        let mixed = (so_far.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
        mixed ^ (mixed >> 29)
    };
    let (words, rest) = octets.as_chunks::<8>();
    let so_far = words.iter().fold(seed, |so_far, word| mix(so_far, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(rest.len() as u64, |last, octet| last << 8 | u64::from(*octet));
    mix(so_far, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(classify: &Classify, relay: &str, text: &str) -> &'static str {
        classify(Some(LastAttempt { relay, text, cause: "" }))
    }

    #[test]
    fn reasons_have_the_classes_of_explain() {
        let classify = classify();
        let relay = "mx.example.net[192.0.2.1]:25";
        for (text, expected) in [
            (
                "host mx.example.net[192.0.2.1] said: 450 4.2.0 <a@b.example>: Greylisted",
                "greylisted",
            ),
            ("host mx.example.net[192.0.2.1] said: 452 4.2.2 Mailbox full", "mailbox-full"),
            ("nobody knows what this is", OTHER),
        ] {
            assert_eq!(class(&classify, relay, text), expected, "{text}");
            assert_eq!(class(&classify, relay, text), expected, "{text}, once more");
        }
        assert_eq!(classify(None), NOT_TRIED);
        let refused = Cause::NotConnected {
            peer: relay.to_owned(),
            error: (&std::io::Error::from_raw_os_error(111)).into(),
        };
        let (text, cause) = (refused.text().into_owned(), refused.kept());
        let last = LastAttempt { relay: "none", text: &text, cause: &cause };
        assert_eq!(classify(Some(last)), "connection-refused");
        assert!(all().any(|class| class == "connection-refused"));
    }

    #[test]
    fn what_differs_from_message_to_message_makes_no_new_kind() {
        let here = ("mx.example", "");
        let one = kind_of(here, "450 4.7.1 <ana@x.example> later, a1b2c3d4e5");
        let other = kind_of(here, "450 4.7.1 <bob@y.example> later, f6a7b8c9d0");
        assert_eq!(one, other);
        for text in
            ["450 4.7.1 <a@x.example> never, a1b2c3d4e5", "450 4.2.1 <a@x.example> later, a"]
        {
            assert_ne!(kind_of(here, text), one, "{text}");
        }
        assert_ne!(kind_of(("mx.example", "gmail"), "450 4.7.1 <a@x> later"), one);
    }

    #[test]
    fn thousands_of_hosts_that_are_nobodys_make_no_new_kind() {
        let mut memory = Memory::default();
        for n in 0..100 {
            let host = format!("{}.example", "x".repeat(n + 1));
            let relay = format!("{host}[192.0.2.{n}]:25");
            let text = format!("host {host}[192.0.2.{n}] said: 450 4.2.0 <a@{host}>: Greylisted");
            let last = LastAttempt { relay: &relay, text: &text, cause: "" };
            assert_eq!(memory.class(last), "greylisted");
            let peer = relay.clone();
            let error = (&std::io::Error::from_raw_os_error(111)).into();
            let refused = Cause::NotConnected { peer, error };
            let (text, cause) = (refused.text().into_owned(), refused.kept());
            let last = LastAttempt { relay: &relay, text: &text, cause: &cause };
            assert_eq!(memory.class(last), "connection-refused");
        }
        assert_eq!(memory.kinds.len(), 2);
    }
}
