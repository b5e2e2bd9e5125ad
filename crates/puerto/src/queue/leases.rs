//! The leases that are ours: messages nobody else may deliver meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use puerto_spool::{Lease, LeaseToken};

/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(600);

/// All of them, with the number of recipients that each covers.
pub(super) struct Leases {
    work: Arc<dyn puerto_spool::Work>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    recipients_of: HashMap<LeaseToken, usize>,
    recipients: usize,
}

impl Leases {
    /// None yet.
    pub(super) fn new(work: Arc<dyn puerto_spool::Work>) -> Self {
        Self { work, held: Mutex::default() }
    }

    /// How many recipients are leased.
    pub(super) fn recipients(&self) -> usize {
        self.held().recipients
    }

    /// Takes what was claimed.
    pub(super) fn add(&self, leases: &[Lease]) {
        let mut held = self.held();
        for lease in leases {
            held.recipients_of.insert(lease.token, lease.recipients.len());
            held.recipients += lease.recipients.len();
        }
    }

    /// One is no longer ours.
    pub(super) fn release(&self, token: &LeaseToken) {
        let mut held = self.held();
        if let Some(recipients) = held.recipients_of.remove(token) {
            held.recipients -= recipients;
        }
    }

    /// Keeps all of them.
    pub(super) async fn renew_all(&self) {
        let tokens: Vec<LeaseToken> = self.held().recipients_of.keys().copied().collect();
        if !tokens.is_empty() {
            self.renew(&tokens).await;
        }
    }

    /// Keeps some; returns those that were lost: an administrator may have removed the
    /// message, or another node may have it.
    pub(super) async fn renew(&self, tokens: &[LeaseToken]) -> Vec<LeaseToken> {
        // A store that gives no answer says nothing of them; the settlement will tell.
        let lost = self.work.renew(tokens, LEASE).await.unwrap_or_default();
        lost.iter().for_each(|token| self.release(token));
        lost
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
