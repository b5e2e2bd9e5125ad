//! Leases that wait for a route, by what is to be asked of the DNS. Pure but for the present
//! time.

use std::collections::HashMap;
use std::time::Duration;

use puerto_smtp::{Domain, ReversePath, TlsWish};
use puerto_spool::{Lease, MessageId, Origin};
use tokio::time::Instant;

use crate::route::Question;

/// A look-up that takes longer is slow.
pub(super) const PROMPT: Duration = Duration::from_secs(3);
/// Look-ups at the same time that are not slow yet, and in all, where the limit on open
/// files bears it: one may ask ten questions at once, each on a socket of its own.
const PROMPT_LOOK_UPS: usize = 1_000;
const LOOK_UPS: usize = 3_000;

/// Leases whose routes are being looked up.
pub(super) struct LookUps {
    waiting: HashMap<Question, Waiting>,
    /// What nobody asks yet, the newest last.
    to_ask: Vec<Question>,
    pub(super) prompt: usize,
    pub(super) running: usize,
    most_prompt: usize,
    most: usize,
}

struct Waiting {
    since: Instant,
    leases: Vec<Lease>,
}

/// What a route is looked up by.
pub(super) struct Way {
    pub(super) id: MessageId,
    pub(super) reverse_path: ReversePath,
    pub(super) domain: Domain,
    pub(super) tls: TlsWish,
    pub(super) origin: Origin,
}

impl Way {
    pub(super) fn of(lease: &Lease) -> Self {
        let (reverse_path, domain) = (lease.reverse_path.clone(), lease.domain.clone());
        let origin = lease.origin.clone();
        Self { id: lease.token.id, reverse_path, domain, tls: lease.tls, origin }
    }
}

impl LookUps {
    /// None, for a process that may have so many files open.
    pub(super) fn new(files: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            to_ask: Vec::new(),
            prompt: 0,
            running: 0,
            most_prompt: (files / 64).clamp(1, PROMPT_LOOK_UPS),
            most: (files / 32).clamp(2, LOOK_UPS),
        }
    }

    /// Takes all leases.
    pub(super) fn take_all(&mut self) -> Vec<Lease> {
        self.to_ask.clear();
        self.waiting.values_mut().flat_map(|waiting| std::mem::take(&mut waiting.leases)).collect()
    }

    pub(super) fn wait(&mut self, question: Question, lease: Lease) {
        if let Some(waiting) = self.waiting.get_mut(&question) {
            return waiting.leases.push(lease);
        }
        self.to_ask.push(question.clone());
        let waiting = Waiting { since: Instant::now(), leases: vec![lease] };
        self.waiting.insert(question, waiting);
    }

    pub(super) fn next(&mut self) -> Option<Question> {
        if self.prompt >= self.most_prompt || self.running >= self.most {
            return None;
        }
        let question = self.to_ask.pop()?;
        self.prompt += 1;
        self.running += 1;
        Some(question)
    }

    // What the first that waits for an answer asks; with none left, nobody waits any more.
    pub(super) fn first_waiting(&mut self, question: &Question) -> Option<Way> {
        let first = self.waiting.get(question).and_then(|waiting| waiting.leases.first());
        let first = first.map(Way::of);
        if first.is_none() {
            self.waiting.remove(question);
        }
        first
    }

    pub(super) fn take(&mut self, question: &Question) -> Vec<Lease> {
        self.waiting.get_mut(question).map(|w| std::mem::take(&mut w.leases)).unwrap_or_default()
    }

    // Takes what has waited for long, up to about so many recipients.
    pub(super) fn take_slow(&mut self, now: Instant, enough: usize) -> Vec<Lease> {
        let mut taken = Vec::new();
        let mut recipients = 0;
        for waiting in self.waiting.values_mut() {
            if recipients >= enough {
                break;
            }
            if now.duration_since(waiting.since) >= PROMPT {
                recipients += waiting.leases.iter().map(|l| l.recipients.len()).sum::<usize>();
                taken.append(&mut waiting.leases);
            }
        }
        taken
    }
}
