//! Content on its way out of the database: whole, or chunk by chunk.

use std::io::{self, Read};
use std::sync::Arc;

use tokio_postgres::Error;

use super::accept::signed;
use super::core::Core;
use super::lock;
use crate::faces::Answer;
use crate::id::MessageId;
use crate::ticket::Ticket;
use crate::{SpoolError, StoredContent};

const WHOLE: &str = "SELECT size, content FROM message WHERE id = $1";
const CHUNK: &str = "SELECT data FROM chunk WHERE id = $1 AND n = $2";

/// Content in memory.
struct Whole {
    octets: Arc<Vec<u8>>,
    read: usize,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.octets.get(self.read..).unwrap_or_default().read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl StoredContent for Whole {
    fn len(&self) -> u64 {
        self.octets.len() as u64
    }

    fn in_memory(&self) -> Option<&[u8]> {
        Some(&self.octets)
    }
}

/// Content that is read from the database as it is wanted.
struct Chunked {
    core: Arc<Core>,
    id: MessageId,
    size: u64,
    next: i32,
    chunk: Vec<u8>,
    read: usize,
    /// Octets that chunks have had so far.
    seen: u64,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() && self.seen < self.size {
            let (core, id, n) = (Arc::clone(&self.core), self.id, self.next);
            let chunk = self.core.ask(async move { core.chunk(id, n).await }).wait();
            self.chunk = chunk.map_err(io::Error::other)?;
            self.seen += self.chunk.len() as u64;
            self.next += 1;
            self.read = 0;
        }
        let count = self.chunk.get(self.read..).unwrap_or_default().read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl StoredContent for Chunked {
    fn len(&self) -> u64 {
        self.size
    }

    fn in_memory(&self) -> Option<&[u8]> {
        None
    }
}

impl Core {
    /// The content of a message in hand.
    pub(super) fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>> {
        let octets = lock(&self.hand).body(id)?;
        Some(Box::new(Whole { octets, read: 0 }))
    }

    /// The content of a message.
    pub(super) fn content(self: &Arc<Self>, id: MessageId) -> Answer<Box<dyn StoredContent>> {
        if let Some(content) = self.content_at_once(id) {
            return Ticket::ready(Ok(content));
        }
        let core = Arc::clone(self);
        self.ask(async move { core.read(id).await })
    }

    async fn read(self: &Arc<Self>, id: MessageId) -> Result<Box<dyn StoredContent>, SpoolError> {
        let rows = self.ask_by(&self.contents, WHOLE, &[&signed(id)]).await?;
        let row = rows.first().ok_or(SpoolError::NotFound(id))?;
        let failed = |error: Error| self.reach.failure(&error);
        let size = row.try_get::<_, i64>(0).map_err(failed)?.unsigned_abs();
        let octets: Option<Vec<u8>> = row.try_get(1).map_err(failed)?;
        if octets.as_ref().is_some_and(|octets| octets.len() as u64 != size) {
            return Err(self.note_damage(id, "its content has not the length that it had").await);
        }
        Ok(match octets {
            Some(octets) => Box::new(Whole { octets: Arc::new(octets), read: 0 }),
            None => {
                let (core, chunk) = (Arc::clone(self), Vec::new());
                Box::new(Chunked { core, id, size, next: 0, chunk, read: 0, seen: 0 })
            }
        })
    }

    async fn chunk(&self, id: MessageId, n: i32) -> Result<Vec<u8>, SpoolError> {
        let rows = self.ask_by(&self.contents, CHUNK, &[&signed(id), &n]).await?;
        match rows.first() {
            Some(row) => row.try_get(0).map_err(|error| self.reach.failure(&error)),
            None => Err(self.note_damage(id, "a chunk of its content is missing").await),
        }
    }
}
