//! Writes a message's content: from memory in one write, from a disk in pieces.

use std::io::{self, IoSlice, Read};
use std::sync::Arc;

use puerto_smtp::codec::DotStuffer;
use tokio::task::JoinHandle;

use super::session::Session;
use super::{Body, BodyReader};
use crate::cause::Cause;
use crate::cause::field::Words;

/// Octets that are read from a disk at once.
const PIECE: usize = 256 * 1024;

/// A body that is being opened while the envelope is on its way.
pub(super) enum Opening {
    /// It is open, or cannot be.
    Done(io::Result<Box<dyn BodyReader>>),
    /// A thread that may wait for a disk opens it.
    Underway(JoinHandle<io::Result<Box<dyn BodyReader>>>),
}

impl Opening {
    /// Begins to open a body.
    pub(super) fn begin(body: &Arc<dyn Body>) -> Self {
        if let Some(reader) = body.open_at_once() {
            return Self::Done(Ok(reader));
        }
        let body = Arc::clone(body);
        Self::Underway(tokio::task::spawn_blocking(move || body.open()))
    }

    async fn wait(self) -> io::Result<Box<dyn BodyReader>> {
        match self {
            Self::Done(result) => result,
            Self::Underway(task) => task.await.map_err(io::Error::other)?,
        }
    }
}

/// Writes the content, its end included. If it cannot be read, or is not as long
/// as it should be, the connection is abandoned: the end is never written then.
pub(super) async fn send(session: &mut Session, opening: Opening, size: u64) {
    let reader = match opening.wait().await {
        Ok(reader) => reader,
        Err(error) => return session.abandon(Cause::MessageUnread { error: error.into() }),
    };
    match reader.in_memory() {
        Some(content) if content.len() as u64 != size => {
            session.abandon(Cause::MessageDamaged { size })
        }
        Some(content) => send_from_memory(session, content).await,
        None => send_in_pieces(session, reader, size).await,
    }
}

async fn send_from_memory(session: &mut Session, content: &[u8]) {
    if DotStuffer::is_plain(content) {
        let parts = &mut [IoSlice::new(content), IoSlice::new(DotStuffer::END)];
        return session.write_content(parts, true).await;
    }
    let mut stuffed = Vec::new();
    let mut stuffer = DotStuffer::new();
    stuffer.push(content, &mut stuffed);
    stuffer.finish(&mut stuffed);
    session.write_content(&mut [IoSlice::new(&stuffed)], true).await;
}

async fn send_in_pieces(session: &mut Session, mut reader: Box<dyn BodyReader>, size: u64) {
    let mut stuffer = DotStuffer::new();
    let mut output = Vec::new();
    let mut left = size;
    let mut piece = Vec::new();
    while left > 0 {
        let wanted = left.min(PIECE as u64);
        // One octet more than there should be at the end shows that there are more.
        let limit = wanted + u64::from(wanted == left);
        let read = tokio::task::spawn_blocking(move || {
            piece.clear();
            let result = reader.by_ref().take(limit).read_to_end(&mut piece);
            (reader, piece, result)
        });
        let result;
        (reader, piece, result) = match read.await {
            Ok(read) => read,
            Err(error) => {
                let why = Words(error.to_string());
                return session.abandon(Cause::ReadingBrokenOff { why });
            }
        };
        match result {
            Ok(count) if count as u64 == wanted => left -= wanted,
            Ok(_) => return session.abandon(Cause::MessageDamaged { size }),
            Err(error) => {
                return session.abandon(Cause::MessageUnread { error: error.into() });
            }
        }
        stuffer.push(&piece, &mut output);
        if left > 0 {
            session.write_content(&mut [IoSlice::new(&output)], false).await;
            if session.is_broken() {
                return;
            }
            output.clear();
        }
    }
    stuffer.finish(&mut output);
    session.write_content(&mut [IoSlice::new(&output)], true).await;
}
