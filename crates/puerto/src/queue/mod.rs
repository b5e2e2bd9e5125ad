//! Decides when a message is tried and how much goes to one destination.
//!
//! `retry`, `shape` and `schedule` decide and are pure; `driver` owns the
//! tasks and `settle` draws the consequences of an attempt. The queue alone asks
//! the spool for work and tells it what became of it; where mail goes is the
//! router's to say, and how it gets there the carrier's.

mod body;
mod carrier;
mod dispatch;
mod driver;
mod outcome;
mod parts;
mod retry;
mod schedule;
mod settle;
mod shape;
mod work;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use puerto_mail::dns::Dns;
use puerto_spool::clock::Clock;
use puerto_spool::{Edit, ListRequest, MessageId, RecipientState, Spool};
use tokio::sync::watch;

use crate::config::Live;
use crate::route::Router;
use crate::telemetry::MailLog;

pub use carrier::Carrier;
pub use parts::{Crew, Parts};

/// Tells the queue that there is new work. It is a hint: a lost one costs a second,
/// never a message.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rings: tokio::sync::Notify,
    retry: AtomicBool,
    /// Messages whose coming the log does not tell yet.
    unannounced: Mutex<HashSet<MessageId>>,
    announced: tokio::sync::Notify,
}

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
    fn unannounced(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.unannounced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake {
    /// Says that there is new work.
    pub fn wake(&self) {
        self.0.rings.notify_one();
    }

    /// Says that somebody is about to make mail due because it can be delivered again:
    /// destinations that are suspended are to be tried, not their mail put off.
    pub fn expect_retry(&self) {
        self.0.retry.store(true, Ordering::SeqCst);
    }

    /// Says before a commit that the log will tell of the message behind it.
    #[must_use]
    pub fn announce(&self, id: MessageId) -> Announcement {
        self.0.unannounced().insert(id);
        Announcement { bell: Arc::clone(&self.0), id }
    }

    /// Waits until the log tells that a message came.
    async fn announced(&self, id: MessageId) {
        while self.0.unannounced().contains(&id) {
            let mut announced = std::pin::pin!(self.0.announced.notified());
            // Whoever announces it from here on is heard.
            announced.as_mut().enable();
            if self.0.unannounced().contains(&id) {
                announced.await;
            }
        }
    }

    fn take_retry(&self) -> bool {
        self.0.retry.swap(false, Ordering::SeqCst)
    }

    /// Waits until somebody says so.
    pub async fn woken(&self) {
        self.0.rings.notified().await;
    }
}

/// What a queue is wired to.
pub struct Wiring<D, C> {
    /// The configuration in force.
    pub config: Live,
    /// The store of messages.
    pub spool: Arc<dyn Spool>,
    /// Where mail goes.
    pub router: Arc<Router<D>>,
    /// Who carries it.
    pub carrier: C,
    /// The mail log.
    pub log: MailLog,
    /// How others say that there is work.
    pub wake: Wake,
    /// The time of day; it may leap.
    pub clock: Arc<dyn Clock>,
}

/// The queue.
pub struct Queue<D = crate::dns::Resolver, C = Crew>(Wiring<D, C>);

impl<D: Dns + 'static, C: Carrier> Queue<D, C> {
    /// A queue that does nothing until it runs.
    pub fn wired(wiring: Wiring<D, C>) -> Self {
        Self(wiring)
    }

    /// Works until `shutdown` says `true`; then claims nothing more, lets what is
    /// under way end for up to 30 seconds, records it and gives the rest back.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let Wiring { config, spool, router, carrier, log, wake, clock } = self.0;
        let (signals, written) = driver::Signals::new();
        let state = Mutex::new(driver::State::new());
        let driver =
            driver::Driver { config, spool, router, carrier, log, clock, wake, signals, state };
        Arc::new(driver).run(shutdown, written).await;
    }
}

/// Makes every waiting recipient due now.
async fn retry_all(spool: &Arc<dyn Spool>) {
    let mut request = ListRequest { after: None, limit: 200 };
    loop {
        let Ok(entries) = spool.list(&request) else { return };
        let Some(last) = entries.last() else { return };
        request.after = Some(last.id);
        for entry in &entries {
            let waits = entry.recipients.iter().any(|r| matches!(r.state, RecipientState::Due(_)));
            if waits && !entry.held {
                // One that has gone meanwhile needs no retry.
                let _ = spool.edit(entry.id, Edit::Retry);
            }
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests;
