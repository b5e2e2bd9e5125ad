//! The promise, as a store: what [`Store::commit`] has acknowledged is never lost.
//!
//! The store keeps messages and, for each recipient, when it is due. It knows
//! nothing of routes or replies. Work is handed out as leases that expire, so a
//! crash redelivers; settlements say what became of each recipient. Nothing above
//! the three [`faces`] may assume that it is the only user of the store or that the
//! index is in its own memory: several nodes may share one queue.
//!
//! Three backends pass the same `contract` suite: `memory`, for tests and for the
//! simulated Internet, `segments`, the append-only log on disk, and `postgres`, one queue
//! for several nodes.

mod archive;
pub mod clock;
mod codec;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod disk;
mod entry;
mod error;
pub mod faces;
pub mod filter;
mod id;
mod index;
pub mod memory;
mod orders;
pub mod parcel;
pub mod postgres;
pub mod segments;
#[cfg(any(test, feature = "contract"))]
pub mod simulated;
mod tally;
mod ticket;
pub mod transfer;

use std::io::Read;

use puerto_smtp::Envelope;

pub use archive::{Archive, Note};
pub use entry::{
    Attempt, Disposition, Entry, Lease, LeaseToken, LeasedRecipient, MAX_CAUSE, Origin,
    RecipientState, RecipientStatus, Settled, Settlement,
};
pub use error::{Hindrance, SpoolError};
pub use faces::{
    Answer, Backend, ClaimRequest, Claimed, Count, Desk, Edit, Health, HeldBack, Holder, Node,
    Page, PageRequest, Renewed, Store, Work,
};
pub use filter::{Class, Classify, Filter, LastAttempt, Selector};
pub use id::{MessageId, NotAMessageId, Timestamp};
pub use tally::{AGES, COLUMNS, Group, Tally, TallyRequest};
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
    /// Its id, from [`Store::new_id`]: the trace header names it.
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
    /// Not to be handed out until it is released, and why: the store does not look into
    /// it, and every list carries it, so it is to be short.
    pub held_for: Option<String>,
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
