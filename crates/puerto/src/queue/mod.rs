//! Decides when a message is tried and how much goes to one destination.

use std::sync::Arc;

/// Tells the queue that there is new work. It is a hint: a lost one costs a second,
/// never a message.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<tokio::sync::Notify>);

impl Wake {
    /// Says that there is new work.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody says so.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
