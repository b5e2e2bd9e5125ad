//! A queued message's content as the deliverers open it.

use std::io::{self, Read};
use std::sync::Arc;

use puerto_spool::{MessageId, Store, StoredContent};

use crate::deliver::{Body, BodyReader};

/// The content of one message in the store, read when it is opened.
pub(super) struct SpoolBody {
    store: Arc<dyn Store>,
    id: MessageId,
    size: u64,
}

impl SpoolBody {
    pub(super) fn new(store: &Arc<dyn Store>, id: MessageId, size: u64) -> Self {
        Self { store: Arc::clone(store), id, size }
    }
}

impl Body for SpoolBody {
    fn len(&self) -> u64 {
        self.size
    }

    fn open_at_once(&self) -> Option<Box<dyn BodyReader>> {
        let content = self.store.content_at_once(self.id)?;
        Some(Box::new(Reader(content)))
    }

    fn open(&self) -> io::Result<Box<dyn BodyReader>> {
        let content = self.store.content(self.id).wait().map_err(io::Error::other)?;
        Ok(Box::new(Reader(content)))
    }
}

struct Reader(Box<dyn StoredContent>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BodyReader for Reader {
    fn in_memory(&self) -> Option<&[u8]> {
        self.0.in_memory()
    }
}
