//! How much went through this process since it began, counted by what the log tells.

use std::sync::atomic::{AtomicU64, Ordering};

use super::event::{Delivery, DeliveryStatus, Event};

/// Counts since the process began. They only grow, so that two looks make a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were taken.
    pub accepted: u64,
    /// Recipients that a next hop or a mailbox has taken.
    pub delivered: u64,
    /// Attempts, one for each recipient, after which it waits for the next.
    pub deferred: u64,
    /// Recipients that were given up.
    pub bounced: u64,
    /// Commands and messages that were refused.
    pub rejected: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    delivered: AtomicU64,
    deferred: AtomicU64,
    bounced: AtomicU64,
    rejected: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, event: &Event<'_>) {
        let counter = match event {
            Event::Queued { .. } => &self.accepted,
            Event::Reject(_) => &self.rejected,
            Event::Delivery(Delivery { status, .. }) => match status {
                DeliveryStatus::Sent => &self.delivered,
                DeliveryStatus::Deferred => &self.deferred,
                DeliveryStatus::Bounced => &self.bounced,
            },
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            accepted: read(&self.accepted),
            delivered: read(&self.delivered),
            deferred: read(&self.deferred),
            bounced: read(&self.bounced),
            rejected: read(&self.rejected),
        }
    }
}
