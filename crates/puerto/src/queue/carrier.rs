//! What the queue asks of the rooms that carry mail out and tell senders.

use std::future::Future;

use crate::bounce::Notice;
use crate::deliver::{Job, Report};
use crate::intake::Refusal;

/// Carries jobs out. The queue's tests script one.
pub trait Carrier: Send + Sync + 'static {
    /// Hands a message to another host.
    fn remote(&self, job: &Job) -> impl Future<Output = Report> + Send;

    /// Puts a message into mailboxes of this machine.
    fn local(&self, job: &Job) -> impl Future<Output = Report> + Send;

    /// Tells the sender. `Ok` means that what there is to tell is on stable storage.
    fn notify(&self, notice: &Notice<'_>) -> impl Future<Output = Result<(), Refusal>> + Send;
}
