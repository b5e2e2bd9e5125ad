//! The queue as the program wires it: with the rooms that really carry mail.

use std::sync::Arc;

use puerto_spool::Spool;
use puerto_spool::clock::SystemClock;

use super::{Carrier, Queue, Wake, Wiring};
use crate::bounce::{Bouncer, Notice};
use crate::config::Live;
use crate::deliver::{Job, Remote, Report};
use crate::dns::Resolver;
use crate::intake::Refusal;
use crate::local::Mailboxes;
use crate::route::Router;
use crate::telemetry::MailLog;

/// What the program's queue is made of.
pub struct Parts {
    /// The configuration in force.
    pub config: Live,
    /// The store of messages.
    pub spool: Arc<dyn Spool>,
    /// Where mail goes.
    pub router: Arc<Router>,
    /// Delivery to other hosts.
    pub remote: Arc<Remote>,
    /// Delivery to this machine's users.
    pub mailboxes: Arc<Mailboxes>,
    /// Notifications.
    pub bouncer: Arc<Bouncer>,
    /// The mail log.
    pub log: MailLog,
    /// How others say that there is work.
    pub wake: Wake,
}

/// The rooms that carry mail.
pub struct Crew {
    remote: Arc<Remote>,
    mailboxes: Arc<Mailboxes>,
    bouncer: Arc<Bouncer>,
}

impl Carrier for Crew {
    async fn remote(&self, job: &Job) -> Report {
        self.remote.deliver(job).await
    }

    async fn local(&self, job: &Job) -> Report {
        self.mailboxes.deliver(job).await
    }

    async fn notify(&self, notice: &Notice<'_>) -> Result<(), Refusal> {
        self.bouncer.notify(notice).await
    }
}

impl Queue<Resolver, Crew> {
    /// The program's queue. It does nothing until it runs.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, spool, router, remote, mailboxes, bouncer, log, wake } = parts;
        let carrier = Crew { remote, mailboxes, bouncer };
        let clock = Arc::new(SystemClock);
        Self::wired(Wiring { config, spool, router, carrier, log, wake, clock })
    }
}
