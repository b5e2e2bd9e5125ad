//! How the queue hears of work: from whoever commits a message, and from whoever makes
//! waiting mail due.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use puerto_smtp::Domain;
use puerto_spool::MessageId;

/// Tells the queue that there is new work. It is a hint: a lost one costs a second,
/// never a message.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rings: tokio::sync::Notify,
    retry: Mutex<Retry>,
    /// Messages whose coming the log does not tell yet.
    unannounced: Mutex<HashSet<MessageId>>,
    announced: tokio::sync::Notify,
}

/// What somebody has just made due because it can be delivered again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Nothing.
    #[default]
    Nothing,
    /// These messages, for those of their recipients.
    Of(HashMap<MessageId, Meant>),
    /// Whatever waits.
    Everything,
}

/// Those of a message's recipients that somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// All.
    All,
    /// Those in these domains.
    In(HashSet<Domain>),
}

impl Meant {
    /// Whether recipients in this domain are meant.
    pub fn means(&self, domain: &Domain) -> bool {
        match self {
            Self::All => true,
            Self::In(domains) => domains.contains(domain),
        }
    }

    /// Means these as well.
    pub fn add(&mut self, others: Self) {
        match (&mut *self, others) {
            (Self::In(domains), Self::In(others)) => domains.extend(others),
            (_, Self::All) => *self = Self::All,
            (Self::All, Self::In(_)) => {}
        }
    }
}

/// Messages that are noted by themselves, at most.
const MOST_RETRIED: usize = 100_000;

/// A message is being committed: the queue may find it before whoever commits it has
/// logged that it came, and tells of no attempt until this is dropped.
#[derive(Debug)]
pub struct Announcement {
    bell: Arc<Bell>,
    id: MessageId,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.bell.unannounced().remove(&self.id);
        self.bell.announced.notify_waiters();
    }
}

impl Bell {
    fn retry(&self) -> MutexGuard<'_, Retry> {
        self.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unannounced(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.unannounced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake {
    /// Says that there is new work.
    pub fn wake(&self) {
        self.0.rings.notify_one();
    }

    /// Says that somebody is about to make these messages due because they can be delivered
    /// again, to some of their recipients at least: where the destinations of those are
    /// suspended, these are to be tried, not the mail put off.
    pub fn expect_retry(&self, meant: Vec<(MessageId, Meant)>) {
        let mut retry = self.0.retry();
        if *retry == Retry::Nothing {
            *retry = Retry::Of(HashMap::new());
        }
        let Retry::Of(known) = &mut *retry else { return };
        if known.len() + meant.len() > MOST_RETRIED {
            *retry = Retry::Everything;
            return;
        }
        for (id, whose) in meant {
            match known.entry(id) {
                Entry::Occupied(mut known) => known.get_mut().add(whose),
                Entry::Vacant(new) => drop(new.insert(whose)),
            }
        }
    }

    /// The same of whatever waits.
    pub fn expect_retry_of_all(&self) {
        *self.0.retry() = Retry::Everything;
    }

    /// Says before a commit that the log will tell of the message behind it.
    #[must_use]
    pub fn announce(&self, id: MessageId) -> Announcement {
        self.0.unannounced().insert(id);
        Announcement { bell: Arc::clone(&self.0), id }
    }

    /// Waits until the log tells that a message came.
    pub(crate) async fn announced(&self, id: MessageId) {
        while self.0.unannounced().contains(&id) {
            let mut announced = std::pin::pin!(self.0.announced.notified());
            // Whoever announces it from here on is heard.
            announced.as_mut().enable();
            if self.0.unannounced().contains(&id) {
                announced.await;
            }
        }
    }

    /// What was said so of since it was last asked.
    pub(crate) fn take_retry(&self) -> Retry {
        std::mem::take(&mut self.0.retry())
    }

    /// Waits until somebody says so.
    pub async fn woken(&self) {
        self.0.rings.notified().await;
    }
}
