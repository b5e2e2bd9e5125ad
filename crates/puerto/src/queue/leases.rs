//! The leases that are ours: messages nobody else may deliver meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use puerto_spool::{Lease, LeaseToken, Renewed};
use tokio::sync::watch;

/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(600);

/// All of them, with the number of recipients that each covers.
pub(super) struct Leases {
    work: Arc<dyn puerto_spool::Work>,
    held: Mutex<Held>,
    /// Those that were held back or lost when it was last looked: of what is under way by
    /// them, as much as can be is broken off.
    pub(super) withdrawn: watch::Sender<HashSet<LeaseToken>>,
}

#[derive(Default)]
struct Held {
    recipients_of: HashMap<LeaseToken, usize>,
    recipients: usize,
}

impl Leases {
    /// None yet.
    pub(super) fn new(work: Arc<dyn puerto_spool::Work>) -> Self {
        Self { work, held: Mutex::default(), withdrawn: watch::Sender::default() }
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
    pub(super) async fn renew_all(&self) -> Renewed {
        let tokens: Vec<LeaseToken> = self.held().recipients_of.keys().copied().collect();
        self.renew(&tokens).await
    }

    /// Keeps some, and tells which are lost or of held messages: an administrator may have
    /// removed or held the message, or another node may have it.
    pub(super) async fn renew(&self, tokens: &[LeaseToken]) -> Renewed {
        if tokens.is_empty() {
            return Renewed::default();
        }
        // A store that gives no answer says nothing of them; the settlement will tell.
        let renewed = self.work.renew(tokens, LEASE).await.unwrap_or_default();
        renewed.lost.iter().for_each(|token| self.release(token));
        renewed
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
