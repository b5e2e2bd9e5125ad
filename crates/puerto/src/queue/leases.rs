//! The leases that are ours: messages nobody else may deliver meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use puerto_spool::{Lease, LeaseToken, Renewed};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(600);
/// For how long after its claim one needs no look at the store, which may be in another process.
const FRESH: Duration = Duration::from_secs(1);

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
    taken: HashMap<LeaseToken, Taken>,
    recipients: usize,
}

struct Taken {
    recipients: usize,
    at: Instant,
    /// How often an administrator had changed the queue before the claim.
    edits: u64,
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

    /// Takes what was claimed, after so many changes by administrators.
    pub(super) fn add(&self, leases: &[Lease], edits: u64) {
        let (mut held, at) = (self.held(), Instant::now());
        for lease in leases {
            let recipients = lease.recipients.len();
            held.taken.insert(lease.token, Taken { recipients, at, edits });
            held.recipients += recipients;
        }
    }

    /// Whether all of these are as they were claimed without the store being asked: the claim
    /// is young, and no administrator has changed anything since.
    pub(super) fn are_fresh(&self, tokens: &[LeaseToken]) -> bool {
        let (held, edits) = (self.held(), self.work.edits());
        let is_fresh = |taken: &Taken| taken.edits == edits && taken.at.elapsed() < FRESH;
        tokens.iter().all(|token| held.taken.get(token).is_some_and(is_fresh))
    }

    /// One is no longer ours.
    pub(super) fn release(&self, token: &LeaseToken) {
        let mut held = self.held();
        if let Some(taken) = held.taken.remove(token) {
            held.recipients -= taken.recipients;
        }
    }

    /// Keeps all of them.
    pub(super) async fn renew_all(&self) -> Renewed {
        let tokens: Vec<LeaseToken> = self.held().taken.keys().copied().collect();
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
