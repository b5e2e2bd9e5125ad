//! What was noted about messages, kept apart from them and for longer: octets that the
//! store does not understand, found by message or by key. Mail never waits for it, and
//! nothing of it is promised.

use crate::faces::Answer;
use crate::id::{MessageId, Timestamp};

/// What was noted about one message at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The message.
    pub id: MessageId,
    /// When the first of it was noted.
    pub at: Timestamp,
    /// By what the message is to be found besides its id.
    pub keys: Vec<u64>,
    /// What was noted.
    pub octets: Vec<u8>,
}

/// Keeps notes. Those of one message may be many, and lie far apart.
pub trait Archive: Send + Sync {
    /// Keeps notes. A crash may lose those of the last moments. With
    /// [`SpoolError::ReadOnly`](crate::SpoolError::ReadOnly) it cannot now, and may be asked
    /// again for the same.
    fn keep(&self, notes: Vec<Note>) -> Answer<()>;
    /// All of a message, in the order in which they were kept.
    fn notes(&self, id: MessageId) -> Answer<Vec<Note>>;
    /// The messages that have a key, at most so many, the newest first.
    fn under(&self, key: u64, limit: usize) -> Answer<Vec<MessageId>>;
    /// Some notes behind a place, in the order in which they were kept, and the place behind
    /// them; `None`: there are no more. Place 0 is before all.
    fn behind(&self, place: u64) -> Answer<Option<(Vec<Note>, u64)>>;
    /// The newest notes, at most so many.
    fn newest(&self, limit: usize) -> Answer<Vec<Note>>;
    /// Forgets what is older than this, and the oldest while there is more than so many
    /// octets.
    fn purge(&self, before: Timestamp, octets: u64) -> Answer<()>;
    /// Forgets all that [`Archive::behind`] gives. What that passes over, since it cannot be
    /// read, stays where it is: answers with its names.
    fn clear(&self) -> Answer<Vec<String>>;
    /// Forgets all notes of these messages. Answers with how many it had any of.
    fn forget(&self, ids: &[MessageId]) -> Answer<u64>;
    /// When the oldest was noted; `None` if there are none.
    fn since(&self) -> Answer<Option<Timestamp>>;
}
