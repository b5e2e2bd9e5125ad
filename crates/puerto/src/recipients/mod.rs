//! Whether there is somebody behind an address that mail comes for, so that strangers' mail
//! for nobody is refused at the door and not returned to whomever they name.
//!
//! Users and aliases of this machine are `local`'s to know. Who has the mailbox elsewhere is
//! asked by RCPT: the LMTP server of this machine's mailboxes, and the next hop of a domain
//! that mail is relayed to. What they say is remembered, and holds while they cannot be
//! asked; where nothing is known, the client is to try again.

mod listed;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_smtp::{Address, Domain, ReversePath};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::cause::Cause;
use crate::config::{Config, Live, Mailbox};
use crate::deliver::{Judged, Remote};
use crate::local::{self, Directory, Standing};
use crate::route::{self, Router, Routing};
use listed::Listed;

pub use listed::broken_lines;

/// How long an answer is taken at its word.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
const UNKNOWN_FOR: Duration = Duration::from_secs(300);
/// How long whoever could not be asked is left alone.
const UNSAID_FOR: Duration = Duration::from_secs(30);
/// How long somebody who was known stays so while nobody can be asked.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Answers remembered at most, those about nobody apart from the others, so that a flood of
/// names makes no one forgotten who exists.
const ANSWERS: usize = 20_000;
/// Questions at the same time at most.
const AT_ONCE: usize = 50;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is known of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Mail for it is taken.
    Known,
    /// There is nobody.
    Unknown,
    /// Nobody could be asked, for this reason.
    Unsaid(Cause),
}

/// Who takes mail, here and behind us.
pub struct Recipients {
    config: Live,
    directory: Directory,
    hosts: Option<(Arc<Router>, Arc<Remote>)>,
    listed: Listed,
    memory: Mutex<Memory>,
    places: Semaphore,
}

#[derive(Default)]
struct Memory {
    /// Since when, and until when nobody is asked again.
    known: HashMap<String, (Instant, Instant)>,
    unknown: HashMap<String, Instant>,
    /// Whom nobody answers for, until when, and why: all of a domain, or this one.
    silent: HashMap<Domain, (Instant, Cause)>,
    put_off: HashMap<String, (Instant, Cause)>,
}

impl Recipients {
    /// Those of this machine.
    pub fn new(config: Live) -> Self {
        let directory = Directory::new(config.clone());
        let (listed, memory) = Default::default();
        Self { config, directory, hosts: None, listed, memory, places: Semaphore::new(AT_ONCE) }
    }

    /// Has others asked, where they have the mailboxes.
    #[must_use]
    pub fn asking(self, router: Arc<Router>, remote: Arc<Remote>) -> Self {
        Self { hosts: Some((router, remote)), ..self }
    }

    /// What is known without asking anybody; it may block on the system's user directory
    /// and on files.
    pub fn standing(&self, address: &Address) -> Standing {
        let config = self.config.get();
        if !route::is_relayed(&config, address.domain()) {
            return self.directory.standing(address);
        }
        match config.relay_recipients.as_slice() {
            [] => Standing::Asked(vec![address.clone()]),
            inhabitants => self.listed.standing(&config, inhabitants, address),
        }
    }

    /// Whether one of these addresses is somebody's, asked where its mailbox is.
    pub async fn ask(&self, addresses: &[Address]) -> Answer {
        let mut unsaid = None;
        for address in addresses {
            match self.ask_about(address).await {
                Answer::Known => return Answer::Known,
                Answer::Unknown => {}
                answer @ Answer::Unsaid(_) => unsaid = Some(answer),
            }
        }
        unsaid.unwrap_or(Answer::Unknown)
    }

    async fn ask_about(&self, address: &Address) -> Answer {
        let key = address.to_string().to_lowercase();
        if let Some(answer) = self.memory().recall(&key, address.domain(), Instant::now()) {
            return answer;
        }
        let judged = timeout(PATIENCE, async {
            // It is never closed.
            let _place = self.places.acquire().await;
            self.question(address).await
        });
        let judged = judged.await.unwrap_or(Judged::Unsaid(Cause::NoAnswer {}));
        self.memory().learn(&key, address.domain(), judged, Instant::now())
    }

    async fn question(&self, address: &Address) -> Judged {
        let Some((router, remote)) = &self.hosts else {
            return Judged::Unsaid(Cause::NobodyToAsk {});
        };
        let config = self.config.get();
        if !route::is_relayed(&config, address.domain()) {
            return match config.local.mailbox {
                Mailbox::Lmtp(_) => ask_lmtp(config, remote, address).await,
                _ => Judged::Taken,
            };
        }
        match router.route(&ReversePath::Null, address.domain()).await {
            Ok(Routing::Remote(plan)) => remote.ask_next_hop(&plan, address).await,
            Ok(Routing::Local) => Judged::Taken,
            Err(failure) => Judged::Unsaid(failure.cause),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the LMTP server that has this machine's mailboxes.
pub async fn ask_lmtp(config: Arc<Config>, remote: &Remote, address: &Address) -> Judged {
    let target = tokio::task::spawn_blocking(move || local::lmtp_server(&config)).await;
    match target {
        Ok(Ok(target)) => remote.ask_lmtp(&target, address).await,
        Ok(Err(cause)) => Judged::Unsaid(cause),
        Err(_) => Judged::Unsaid(Cause::InternalError {}),
    }
}

impl Memory {
    fn recall(&mut self, key: &str, domain: &Domain, now: Instant) -> Option<Answer> {
        if self.known.get(key).is_some_and(|(_, until)| *until > now) {
            return Some(Answer::Known);
        }
        if self.unknown.get(key).is_some_and(|until| *until > now) {
            return Some(Answer::Unknown);
        }
        let both = [self.put_off.get(key), self.silent.get(domain)];
        let (_, why) = both.into_iter().flatten().find(|(until, _)| *until > now)?;
        let why = why.clone();
        Some(if self.is_kept(key, now) { Answer::Known } else { Answer::Unsaid(why) })
    }

    fn is_kept(&self, key: &str, now: Instant) -> bool {
        self.known.get(key).is_some_and(|(since, _)| now.duration_since(*since) < KEPT_FOR)
    }

    fn learn(&mut self, key: &str, domain: &Domain, judged: Judged, now: Instant) -> Answer {
        match judged {
            Judged::Taken => {
                bound(&mut self.known);
                self.unknown.remove(key);
                self.silent.remove(domain);
                self.known.insert(key.to_owned(), (now, now + KNOWN_FOR));
                Answer::Known
            }
            Judged::Unknown(_) => {
                bound(&mut self.unknown);
                self.known.remove(key);
                self.silent.remove(domain);
                self.unknown.insert(key.to_owned(), now + UNKNOWN_FOR);
                Answer::Unknown
            }
            Judged::PutOff(why) => {
                bound(&mut self.put_off);
                self.silent.remove(domain);
                self.put_off.insert(key.to_owned(), (now + UNSAID_FOR, why.clone()));
                if self.is_kept(key, now) { Answer::Known } else { Answer::Unsaid(why) }
            }
            Judged::Unsaid(why) => {
                bound(&mut self.silent);
                self.silent.insert(domain.clone(), (now + UNSAID_FOR, why.clone()));
                if self.is_kept(key, now) { Answer::Known } else { Answer::Unsaid(why) }
            }
        }
    }
}

fn bound<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= ANSWERS {
        map.clear();
    }
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recipients")
    }
}

#[cfg(test)]
mod tests {
    use puerto_smtp::Reply;

    use super::*;

    #[test]
    fn what_was_said_holds_for_a_while_and_longer_where_nobody_can_be_asked() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let domain = Domain::parse("example.net").unwrap();
        let other = Domain::parse("example.org").unwrap();
        let unknown = || Judged::Unknown(Reply::enhanced(550, (5, 1, 1), "no"));
        let unsaid = || Judged::Unsaid(Cause::NoAnswer {});
        assert_eq!(memory.recall("ana", &domain, at(0)), None);
        memory.learn("ana", &domain, Judged::Taken, at(0));
        memory.learn("bob", &domain, unknown(), at(0));
        assert_eq!(memory.recall("ana", &domain, at(3599)), Some(Answer::Known));
        assert_eq!(memory.recall("bob", &domain, at(299)), Some(Answer::Unknown));
        assert_eq!(memory.recall("bob", &domain, at(301)), None);
        assert_eq!(memory.recall("ana", &domain, at(3601)), None);
        // Who was known stays so; of others nothing is said, and nobody asks again at once.
        assert_eq!(memory.learn("ana", &domain, unsaid(), at(3601)), Answer::Known);
        assert_eq!(memory.recall("ana", &domain, at(3602)), Some(Answer::Known));
        let down = Some(Answer::Unsaid(Cause::NoAnswer {}));
        assert_eq!(memory.recall("bob", &domain, at(3602)), down);
        assert_eq!(memory.recall("carl", &domain, at(3602)), down);
        assert_eq!(memory.recall("carl", &other, at(3602)), None);
        assert_eq!(memory.recall("carl", &domain, at(3632)), None);
        let late = at(8 * 86_400);
        assert_ne!(memory.learn("ana", &domain, unsaid(), late), Answer::Known);
        // A full mailbox is nobody else's.
        let put_off = Judged::PutOff(Cause::words("452 full"));
        let full = Answer::Unsaid(Cause::words("452 full"));
        assert_eq!(memory.learn("dora", &other, put_off, at(0)), full);
        assert_eq!(memory.recall("dora", &other, at(29)), Some(full));
        assert_eq!(memory.recall("eva", &other, at(29)), None);
        assert_eq!(memory.recall("dora", &other, at(31)), None);
        // Who has gone is gone.
        memory.learn("ana", &domain, Judged::Taken, late);
        memory.learn("ana", &domain, unknown(), late);
        assert_eq!(memory.recall("ana", &domain, late), Some(Answer::Unknown));
    }
}
