//! Decides when a message is tried and how much goes to one destination.
//!
//! `retry`, `pace`, `shape` and `schedule` decide and are pure; `dispatch` claims, routes and brings
//! work into the `lines`, by the `share` that each may have, while what is `resting` is left alone;
//! `driver`'s workers take it from there; `sources` says from which address it
//! leaves, `rescue` which of it goes another way, `retried` what an administrator wants tried now,
//! and `parks` what outlives a restart of the pauses that were asked for;
//! `settle` draws the consequences of an attempt, which `record` has recorded, and all
//! know the `leases` that are ours. The queue alone asks the store for work and tells it
//! what became of it; where mail goes is the router's to say, and how it gets there the
//! carrier's.

mod body;
mod carrier;
mod dispatch;
mod driver;
mod lanes;
mod leases;
mod lines;
mod look_ups;
mod outcome;
mod pace;
mod parks;
mod record;
mod rescue;
mod resting;
mod retried;
mod retry;
mod schedule;
mod settle;
mod shape;
mod share;
mod sources;
mod work;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use puerto_mail::dns::Dns;
use puerto_spool::clock::Clock;
use puerto_spool::{MessageId, Store, Timestamp};
use tokio::sync::watch;

use crate::config::Live;
use crate::intake::Wake;
use crate::orders::Orders;
use crate::route::Router;
use crate::telemetry::{Event, MailLog};

pub use carrier::{Carrier, Crew};
pub use lanes::{Lane, LaneState, Lanes, Park, Turn};
pub use rescue::Standing;
pub use sources::WarmUp;

/// What a queue is wired to.
pub struct Wiring<D = crate::dns::Resolver, C = Crew> {
    /// The configuration in force.
    pub config: Live,
    /// The store of messages.
    pub store: Arc<dyn Store>,
    /// What hands out work and takes what became of it.
    pub work: Arc<dyn puerto_spool::Work>,
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
    /// Files that the process may have open: a look-up opens some.
    pub files: usize,
    /// What is paused.
    pub orders: Orders,
    /// Where the lanes are looked at.
    pub lanes: Lanes,
}

impl<D, C> Wiring<D, C> {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn warn(&self, id: Option<MessageId>, text: &str) {
        self.log.write(&Event::Notice { level: "warning", component: "qmgr", id, text });
    }
}

/// Works until `shutdown` says `true`; then claims nothing more, lets what is under way
/// end for up to 30 seconds, records it and gives the rest back.
pub async fn run<D: Dns + 'static, C: Carrier>(
    wiring: Wiring<D, C>,
    shutdown: watch::Receiver<bool>,
) {
    driver::Driver::new(wiring).run(shutdown).await;
}

/// Runs a future and turns a panic into an error, so that one message's trouble
/// stays its own. It comes boxed: thousands of tasks wait, and each is as large as the
/// largest of what it may ever do, which whoever makes it has made in its place at once.
fn catch<T>(mut future: Pin<Box<impl Future<Output = T>>>) -> impl Future<Output = Result<T, ()>> {
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(_) => Poll::Ready(Err(())),
        }
    })
}

#[cfg(test)]
mod tests;
