//! The rooms that carry mail out and tell senders, as the queue asks for them.

use std::sync::Arc;

use crate::bounce::{Bouncer, Notice};
use crate::deliver::{Job, Remote, Report};
use crate::intake::Refusal;
use crate::local::Mailboxes;
use crate::queue::Carrier;

/// The real carriers.
pub(super) struct Rooms {
    pub(super) remote: Arc<Remote>,
    pub(super) mailboxes: Mailboxes,
    pub(super) bouncer: Bouncer,
}

impl Carrier for Rooms {
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
