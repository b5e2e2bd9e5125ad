//! The promise, as a store: what [`Spool::commit`] has acknowledged is never lost.
//!
//! The store keeps messages and, for each recipient, when it is due. It knows
//! nothing of routes or replies. Work is handed out as leases that expire, so a
//! crash redelivers; settlements say what became of each recipient. Nothing above
//! the trait may assume that it is the only user of the store or that the index is
//! in its own memory: several nodes are to share one queue one day.
//!
//! Two backends pass the same `contract` suite: `memory`, for tests and for the
//! simulated Internet, and `segments`, the append-only log on disk.

pub mod clock;
mod codec;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod disk;
mod entry;
mod error;
mod id;
mod index;
pub mod memory;
pub mod segments;
#[cfg(any(test, feature = "contract"))]
pub mod simulated;
mod ticket;

use std::io::Read;
use std::time::Duration;

use puerto_smtp::Envelope;

pub use entry::{
    Attempt, Disposition, Entry, Lease, LeaseToken, LeasedRecipient, MAX_CAUSE, Origin,
    RecipientState, RecipientStatus, Settled, Settlement,
};
pub use error::{Hindrance, SpoolError};
pub use id::{MessageId, NotAMessageId, Timestamp};
pub use ticket::{Completer, Ticket};

/// Content that is still arriving. It is held in memory up to a bound and then
/// written to a file of its own. Dropping it leaves nothing behind.
///
/// Whoever must not wait for a disk adds octets with [`Draft::hold`], and has
/// [`Draft::spill`], [`Draft::finish`] and the drop of what [`Draft::is_on_disk`] done by
/// a thread that may.
pub trait Draft: Send {
    /// Adds octets in the wire's form without dot-stuffing, in memory and at once. Says
    /// whether memory now holds so many that [`Draft::spill`] is due before more come.
    fn hold(&mut self, octets: &[u8]) -> bool;
    /// Moves to the disk what memory holds, and waits for it.
    fn spill(&mut self) -> Result<(), SpoolError>;
    /// Whether some of it is in a file.
    fn is_on_disk(&self) -> bool;
    /// Adds octets, and waits for the disk where that is due.
    fn write(&mut self, octets: &[u8]) -> Result<(), SpoolError> {
        if self.hold(octets) { self.spill() } else { Ok(()) }
    }
    /// How many octets it holds.
    fn len(&self) -> u64;
    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Ends it. Nothing is durable yet.
    fn finish(self: Box<Self>) -> Result<Content, SpoolError>;
}

/// Whole content that is not yet part of a committed message.
pub enum Content {
    /// Small content, in memory.
    Memory(Vec<u8>),
    /// Large content, in a file that the backend owns; removed when dropped
    /// without having been committed.
    Spilled(Box<dyn SpilledContent>),
}

impl Content {
    /// How many octets it has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.len() as u64,
            Self::Spilled(spilled) => spilled.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads it from the beginning. The reads may block on a disk.
    pub fn reader(&self) -> Result<Box<dyn Read + Send + '_>, SpoolError> {
        match self {
            Self::Memory(octets) => Ok(Box::new(octets.as_slice())),
            Self::Spilled(spilled) => spilled.reader(),
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} octets)", self.len())
    }
}

/// Content in a file of the backend.
pub trait SpilledContent: Send + Sync {
    /// How many octets it has.
    fn len(&self) -> u64;
    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads it from the beginning.
    fn reader(&self) -> Result<Box<dyn Read + Send + '_>, SpoolError>;
    /// Lets the backend recognize its own kind at commit.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}

/// A message to be committed. What is stored and delivered is `prefix` followed
/// by `content`.
#[derive(Debug)]
pub struct NewMessage {
    /// Its id, from [`Spool::new_id`]: the trace header names it.
    pub id: MessageId,
    /// Who it is from and to. Every recipient is due at once.
    pub envelope: Envelope,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it came from, as the log and `puerto why` say it.
    pub origin: Origin,
    /// Header fields of ours that stand before the content: signatures and trace.
    pub prefix: Vec<u8>,
    /// The content.
    pub content: Content,
}

/// The stored octets of a message, prefix included.
pub trait StoredContent: Read + Send {
    /// How many octets there are in all.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All of them, if they are in memory, so that reading cannot block.
    fn in_memory(&self) -> Option<&[u8]>;
}

/// What work to hand out.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The present time; recipients due at or before it are handed out.
    pub now: Timestamp,
    /// How long the leases hold by the store's own clock, unless renewed. The time of
    /// day, which may leap, has no part in it.
    pub hold: Duration,
    /// How many recipients at most.
    pub limit: usize,
    /// How many recipients of one domain may be leased at the same time, those
    /// already leased included: this is what keeps one domain's backlog from
    /// filling the active queue. Domains are served in turn.
    pub per_domain: usize,
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Only messages with a greater id: the last one of the page before.
    pub after: Option<MessageId>,
    /// How many at most.
    pub limit: usize,
}

/// A change that an administrator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Not to be handed out until released.
    Hold,
    /// The opposite of `Hold`.
    Release,
    /// Every waiting recipient is due now.
    Retry,
    /// Forgotten without notice to anybody; the log names who asked.
    Remove,
    /// A delay notice has been queued, so that there will be only one.
    DelayNotified,
}

/// How the store fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Messages held.
    pub messages: u64,
    /// Recipients waiting or leased.
    pub recipients: u64,
    /// Octets of content held.
    pub octets: u64,
    /// Octets used on disk.
    pub disk_octets: u64,
    /// Why no new mail is taken, if so.
    pub refusing: Option<String>,
    /// What was found damaged when the store was opened, by message where it is
    /// known: to be logged and shown, never silently dropped.
    pub damaged: Vec<String>,
    /// What could not be read when the store was opened, and the messages that wait for
    /// it. Nothing of it is lost; it is taken up when it can be read.
    pub unreadable: Vec<String>,
}

/// A durable queue of messages. Calls that return a [`Ticket`] are done when the
/// ticket says so; all others are done when they return, and none of these waits
/// for the disk except where it says so.
pub trait Spool: Send + Sync + 'static {
    /// A new id: greater than all before it, also after a restart.
    fn new_id(&self) -> MessageId;
    /// Begins to take content. Fails early when the disk is full.
    fn draft(&self) -> Result<Box<dyn Draft>, SpoolError>;
    /// Makes a message durable. When the ticket completes with `Ok`, the message is
    /// on stable storage; with `Err`, it is absent, now and after any restart.
    fn commit(&self, message: NewMessage) -> Ticket<Result<(), SpoolError>>;
    /// Hands out due work as leases, at most one for each message and domain.
    fn claim(&self, request: &ClaimRequest) -> Result<Vec<Lease>, SpoolError>;
    /// Lets a lease hold for this long from now on.
    fn renew(&self, token: &LeaseToken, hold: Duration) -> Result<(), SpoolError>;
    /// Records what became of leased recipients and ends the lease. The index
    /// changes at once; the ticket completes when the record is durable.
    fn settle(
        &self,
        settlement: Settlement,
    ) -> Result<(Settled, Ticket<Result<(), SpoolError>>), SpoolError>;
    /// The stored octets of a message. May read from the disk.
    fn content(&self, id: MessageId) -> Result<Box<dyn StoredContent>, SpoolError>;
    /// The stored octets of a message in memory, if they can be brought there without
    /// waiting for the disk. `None` says nothing about the message.
    fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>>;
    /// One message as it stands.
    fn get(&self, id: MessageId) -> Result<Entry, SpoolError>;
    /// Messages in the order of their ids, a page at a time.
    fn list(&self, request: &ListRequest) -> Result<Vec<Entry>, SpoolError>;
    /// Changes a message. A leased recipient is not touched until it is settled,
    /// except by `Remove`, after which its settlement is reported as lost.
    fn edit(&self, id: MessageId, edit: Edit)
    -> Result<Ticket<Result<(), SpoolError>>, SpoolError>;
    /// When the next recipient of any unheld message becomes due; may lie in the past.
    fn next_due(&self) -> Option<Timestamp>;
    /// How the store fares.
    fn health(&self) -> Health;
    /// Makes everything durable and stops the store's threads. Later commits fail.
    fn close(&self);
}
