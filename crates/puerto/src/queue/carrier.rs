//! The rooms that carry mail out and tell senders.

use std::future::Future;
use std::sync::Arc;

use puerto_spool::MessageId;

use crate::bounce::{Bouncer, Notice};
use crate::deliver::{Job, Remote, Report};
use crate::intake::Refusal;
use crate::local::Mailboxes;
use crate::returns::Returns;

/// Carries jobs out. The queue's tests script one.
pub trait Carrier: Send + Sync + 'static {
    /// Hands a message to another host.
    fn remote(&self, job: &Job) -> impl Future<Output = Report> + Send;

    /// Puts a message into mailboxes of this machine.
    fn local(&self, job: &Job) -> impl Future<Output = Report> + Send;

    /// Tells the sender. `Ok` means that what there is to tell is on stable storage: in
    /// this message, if there was anybody to tell.
    fn notify(
        &self,
        notice: &Notice<'_>,
    ) -> impl Future<Output = Result<Option<MessageId>, Refusal>> + Send;
}

/// The program's own rooms.
pub struct Crew {
    /// Delivery to other hosts.
    pub remote: Arc<Remote>,
    /// Delivery to this machine's users.
    pub mailboxes: Arc<Mailboxes>,
    /// Notifications.
    pub bouncer: Arc<Bouncer>,
    /// Reports that come back.
    pub returns: Returns,
}

impl Carrier for Crew {
    async fn remote(&self, job: &Job) -> Report {
        self.remote.deliver(job).await
    }

    async fn local(&self, job: &Job) -> Report {
        let report = self.mailboxes.deliver(job).await;
        self.returns.consider(job, &report).await;
        report
    }

    async fn notify(&self, notice: &Notice<'_>) -> Result<Option<MessageId>, Refusal> {
        self.bouncer.notify(notice).await
    }
}
