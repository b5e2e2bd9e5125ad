//! Peers that take the recipients of one domain alone in each transaction, as Google
//! does, and who say so only when they are given more.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use puerto_smtp::client::{Failure, Fate};

use super::Job;
use super::places::operator;

/// Operators that are remembered at most.
const MOST_REMEMBERED: usize = 1000;

/// Operators of exchangers that have said so.
#[derive(Default)]
pub(super) struct OneDomain(Mutex<HashSet<Box<str>>>);

impl OneDomain {
    /// Whether the operator of this host has said so.
    pub(super) fn knows(&self, host: &str) -> bool {
        let known = self.lock();
        !known.is_empty() && known.contains(operator(host))
    }

    /// Remembers that this host's operator has said so, until the process ends.
    pub(super) fn remember(&self, host: &str) {
        let mut known = self.lock();
        if known.len() < MOST_REMEMBERED {
            known.insert(operator(host).into());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts the recipients at these places of a job: those of the first one's domain, and
/// the others.
pub(super) fn part(job: &Job, places: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    let domain = |place: &usize| job.recipients.get(*place).map(|r| r.recipient.address.domain());
    let Some(first) = places.first().map(domain) else { return (places, Vec::new()) };
    places.into_iter().partition(|place| domain(place) == first)
}

/// Whether the recipients at these places have several domains.
pub(super) fn are_mixed(job: &Job, places: &[usize]) -> bool {
    !part(job, places.to_vec()).1.is_empty()
}

/// Whether a peer wants fewer domains and says nothing about the recipient: 451 4.3.0 or
/// 550 5.5.3 from Google.
pub(super) fn is_asked_for(fate: &Fate) -> bool {
    matches!(fate, Fate::Failed(failure) if asks(failure))
}

fn asks(failure: &Failure) -> bool {
    let Some(reply) = failure.reply() else { return false };
    let text = reply.text().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    // If it is about something else, each domain hears the same again.
    words.iter().enumerate().any(|(place, word)| {
        let counts = matches!(
            *word,
            "multiple" | "one" | "single" | "many" | "several" | "different" | "mixed"
        );
        counts && words.iter().skip(place + 1).take(2).any(|next| next.starts_with("domain"))
    })
}

#[cfg(test)]
mod tests {
    use puerto_smtp::Reply;
    use puerto_smtp::client::{Cause, Stage};

    use super::*;

    #[test]
    fn the_wish_is_known_by_its_words_whatever_the_code() {
        for (code, text, expected) in [
            (451, "Multiple destination domains per transaction is unsupported.  Please", true),
            (550, "multiple destination\tdomains per transaction is unsupported", true),
            (452, "Only one destination domain per transaction", true),
            (550, "Recipients in multiple domains are not allowed", true),
            (451, "mixed recipient domains", true),
            (452, "Too many different domains, one at a time", true),
            (554, "more than one domain in a transaction", true),
            (550, "The recipient's domain is unknown", false),
            (550, "Too many messages for your domain", false),
            (550, "only one message a minute from your domain", false),
            (550, "destination domain not found", false),
        ] {
            let reply = Reply::enhanced(code, (4, 3, 0), text);
            let failure = Failure { stage: Stage::Recipient, cause: Cause::Reply(reply) };
            assert_eq!(is_asked_for(&Fate::Failed(failure)), expected, "{text}");
        }
    }

    #[test]
    fn operators_are_remembered_by_their_registrable_name() {
        let known = OneDomain::default();
        known.remember("aspmx.l.google.com");
        assert!(known.knows("alt1.gmail-smtp-in.l.google.com"));
        assert!(!known.knows("google.com.example") && !known.knows("192.0.2.1"));
    }
}
