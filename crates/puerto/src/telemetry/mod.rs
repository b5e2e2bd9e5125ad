//! The mail log: one enum of events, written in the form that is configured.

pub mod event;

use std::sync::Arc;

pub use event::{Client, Delays, DeliveryStatus, Event};

/// The mail log. Writing never blocks on a slow reader for longer than the
/// system's buffer, and never fails a message.
#[derive(Clone)]
pub struct MailLog(Arc<dyn Fn(&Event<'_>) + Send + Sync>);

impl MailLog {
    /// A log that hands each event to a function.
    pub fn new(write: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// A log that forgets everything.
    pub fn nowhere() -> Self {
        Self::new(|_| {})
    }

    /// Writes an event.
    pub fn write(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for MailLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailLog")
    }
}
