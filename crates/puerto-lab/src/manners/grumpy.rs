//! The slow and grumpy receiver. Everything that it does is done by real ones, only
//! faster here: greylisting, 421 at a bad moment, a connection that dies between
//! the final dot and the answer.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_smtp::{Address, Reply, ReversePath};

use super::Answer;

/// How long each answer takes.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
/// Seconds after which greylisted clients are told to come again.
const COME_AGAIN: u32 = 1;
/// Of so many MAIL commands one is answered by 421.
const BUSY_EVERY: u32 = 5;
/// Greylisted triples that are remembered; then all are forgotten.
const MAX_TRIPLES: usize = 10_000;

/// Its memory.
#[derive(Debug, Default)]
pub(crate) struct Grudge(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    seen: HashSet<(IpAddr, String, String)>,
    hung_up: bool,
    mails_since: u32,
}

impl Grudge {
    // After it has hung up on somebody, the next MAIL is answered by 421, and then
    // every fifth.
    pub(super) fn mail(&self) -> Answer {
        let mut memory = self.memory();
        if !memory.hung_up {
            return Answer::Accept;
        }
        memory.mails_since = memory.mails_since.wrapping_add(1);
        if memory.mails_since % BUSY_EVERY == 1 {
            let text = "too busy right now, closing the connection";
            return Answer::Say(Reply::enhanced(421, (4, 3, 2), text));
        }
        Answer::Accept
    }

    pub(super) fn recipient(&self, peer: IpAddr, from: &ReversePath, to: &Address) -> Answer {
        let mut memory = self.memory();
        if memory.seen.len() >= MAX_TRIPLES {
            memory.seen.clear();
        }
        if memory.seen.insert((peer, from.to_string(), to.to_string())) {
            let text = format!("greylisted: try again in {COME_AGAIN} seconds");
            return Answer::Say(Reply::enhanced(451, (4, 7, 1), text));
        }
        Answer::Accept
    }

    pub(super) fn message(&self) -> Answer {
        let mut memory = self.memory();
        if std::mem::replace(&mut memory.hung_up, true) { Answer::Accept } else { Answer::HangUp }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_gets_through_at_the_fourth_attempt() {
        let grudge = Grudge::default();
        let peer = "127.0.0.10".parse().unwrap();
        let to = "ana@grumpy.example".parse().unwrap();
        let recipient = || grudge.recipient(peer, &ReversePath::Null, &to);
        assert_eq!(grudge.mail(), Answer::Accept);
        assert!(matches!(recipient(), Answer::Say(reply) if reply.code().get() == 451));
        assert_eq!((grudge.mail(), recipient()), (Answer::Accept, Answer::Accept));
        assert_eq!(grudge.message(), Answer::HangUp);
        assert!(matches!(grudge.mail(), Answer::Say(reply) if reply.closes()));
        assert_eq!((grudge.mail(), recipient()), (Answer::Accept, Answer::Accept));
        assert_eq!(grudge.message(), Answer::Accept);
    }
}
