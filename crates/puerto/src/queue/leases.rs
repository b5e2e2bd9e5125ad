//! The leases that are ours: messages nobody else may deliver meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_spool::{Lease, LeaseToken, Spool, SpoolError};

/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(600);

/// All of them, with the number of recipients that each covers.
pub(super) struct Leases {
    spool: Arc<dyn Spool>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    recipients_of: HashMap<LeaseToken, usize>,
    recipients: usize,
}

impl Leases {
    /// None yet.
    pub(super) fn new(spool: Arc<dyn Spool>) -> Self {
        Self { spool, held: Mutex::default() }
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

    /// Keeps all of them. One that is lost is noticed when its work begins or is settled.
    pub(super) fn renew_all(&self) {
        let tokens: Vec<LeaseToken> = self.held().recipients_of.keys().copied().collect();
        for token in tokens {
            let _ = self.spool.renew(&token, LEASE);
        }
    }

    /// Keeps one, unless it was lost: an administrator may have removed the message.
    pub(super) fn renew(&self, token: &LeaseToken) -> bool {
        let renewed = self.spool.renew(token, LEASE);
        let lost = matches!(renewed, Err(SpoolError::LeaseLost(_) | SpoolError::NotFound(_)));
        if lost {
            self.release(token);
        }
        !lost
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
