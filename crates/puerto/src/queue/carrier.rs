//! What the queue asks of the rooms that carry mail out and tell senders.

use std::future::Future;

use puerto_spool::Timestamp;

use crate::deliver::{Job, Outcome, Report};
use crate::intake::Refusal;

/// What a sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Recipients have failed for good.
    Failed,
    /// The message is late.
    Delayed,
    /// Recipients have it, and the sender asked to know.
    Delivered,
}

/// Carries jobs out. The queue's tests script one.
pub trait Carrier: Send + Sync + 'static {
    /// Hands a message to another host.
    fn remote(&self, job: &Job) -> impl Future<Output = Report> + Send;

    /// Puts a message into mailboxes of this machine.
    fn local(&self, job: &Job) -> impl Future<Output = Report> + Send;

    /// Tells the sender. `Ok` means that what there is to tell is on stable storage.
    fn notify(
        &self,
        news: News,
        job: &Job,
        outcomes: &[Outcome],
        expire_at: Timestamp,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}
