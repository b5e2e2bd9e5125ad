//! What an administrator has had tried now, and which destinations had their chance for it.
//!
//! Whatever keeps a destination from being tried, such as a pause that it asked for, is passed
//! once by the first of such mail, and by no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_smtp::Domain;
use puerto_spool::MessageId;
use tokio::time::Instant;

use crate::intake::Meant;
use crate::route::DestinationKey;

/// For how long a message that was retried is awaited.
const AWAITED: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub(super) struct Retried {
    /// Anything is noted: hardly ever, while each message is asked for.
    any: AtomicBool,
    noted: Mutex<HashMap<MessageId, Noted>>,
}

struct Noted {
    whose: Meant,
    until: Instant,
    /// The destinations that had another chance for it.
    given: Vec<DestinationKey>,
}

impl Noted {
    fn is_for(&self, domain: &Domain, key: &DestinationKey) -> bool {
        self.until > Instant::now() && self.whose.means(domain) && !self.given.contains(key)
    }
}

impl Retried {
    /// These are awaited from now on.
    pub(super) fn note(&self, meant: HashMap<MessageId, Meant>) {
        let until = Instant::now() + AWAITED;
        let fresh = |whose| Noted { whose, until, given: Vec::new() };
        let mut noted = self.noted();
        noted.extend(meant.into_iter().map(|(id, whose)| (id, fresh(whose))));
        self.any.store(!noted.is_empty(), Ordering::Release);
    }

    /// What has not come in time is awaited no longer.
    pub(super) fn forget(&self) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        let mut noted = self.noted();
        noted.retain(|_, noted| noted.until > now);
        self.any.store(!noted.is_empty(), Ordering::Release);
    }

    /// Whether a destination is to have another chance for a message's recipients in a domain.
    pub(super) fn awaits(&self, id: MessageId, domain: &Domain, key: &DestinationKey) -> bool {
        self.any.load(Ordering::Acquire)
            && self.noted().get(&id).is_some_and(|noted| noted.is_for(domain, key))
    }

    /// The same, and then it has had it.
    pub(super) fn takes(&self, id: MessageId, domain: &Domain, key: &DestinationKey) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut noted = self.noted();
        let known = noted.get_mut(&id).filter(|noted| noted.is_for(domain, key));
        known.map(|known| known.given.push(key.clone())).is_some()
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<MessageId, Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
