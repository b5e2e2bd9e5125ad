//! What the daemon and a mailbox process say to each other: one socket for one delivery.
//!
//! The daemon sends a [`Request`]. The process answers [`Answer::Ready`] once the mailbox
//! is open and locked, and only then the content follows, in chunks, each with its length:
//! none ends it, and `u32::MAX` says that it cannot be read to its end. The last answer
//! says what became of it. Requests and answers are a length and a JSON object.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use puerto_spool::Timestamp;
use puerto_spool::clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::forward::Unheeded;
use crate::cause::Cause;

/// Octets of a request's or an answer's object at most.
pub(super) const FRAME_BOUND: u32 = 1024 * 1024;
/// Octets of one chunk of content at most.
pub(super) const CHUNK: usize = 64 * 1024;
/// The length that says that the content cannot be read to its end.
pub(super) const BROKEN: u32 = u32::MAX;

/// What to write, and for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    /// The user, by name.
    pub(super) user: String,
    /// Into `~/Maildir/` instead of `/var/mail/USER`.
    pub(super) maildir: bool,
    /// The user's `.forward` has a say first.
    pub(super) forward: bool,
    /// What stood behind the user's name, each with its delimiter: each may have a `.forward`
    /// of its own.
    pub(super) extensions: Vec<String>,
    /// Nothing but that is asked for: another server has the mailbox.
    pub(super) look: bool,
    /// The envelope's sender; empty for the null reverse-path.
    pub(super) sender: String,
    /// Header lines of ours, each with its line end: Return-Path, Delivered-To.
    pub(super) header: String,
    /// Octets of the content.
    pub(super) size: u64,
    /// Octets that the mailbox may come to; 0: any number.
    pub(super) limit: u64,
    /// The time of day at which the delivery began.
    pub(super) at: Timestamp,
    /// What is done instead, if it is for no mailbox.
    pub(super) deed: Option<DeedRequest>,
}

/// A command that gets the message, or a file, and what a command is told of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct DeedRequest {
    pub(super) command: Option<String>,
    pub(super) file: Option<PathBuf>,
    /// How long the command may take.
    pub(super) seconds: u64,
    /// The address that the message came for, as this server knows it and as it was first.
    pub(super) recipient: String,
    pub(super) original: String,
    /// Its parts.
    pub(super) local: String,
    pub(super) domain: String,
    pub(super) extension: String,
}

/// What a mailbox process says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The content may come. With it, why a `.forward` is not heeded.
    Ready { remark: Option<Unheeded> },
    /// The texts of the user's `.forward` files, each with what stands behind the name: they
    /// are the daemon's to follow.
    Forward(Vec<(String, String)>),
    /// It is in the mailbox, on the disk.
    Stored,
    /// It is not in the mailbox, for this reason.
    Failed(Failure),
}

/// A request or an answer as it is sent.
pub(super) fn framed(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let object = serde_json::to_vec(value)?;
    let length = u32::try_from(object.len()).ok().filter(|length| *length <= FRAME_BOUND);
    let mut frame = length.ok_or(io::ErrorKind::InvalidInput)?.to_be_bytes().to_vec();
    frame.extend_from_slice(&object);
    Ok(frame)
}

/// Sends a value as one frame.
pub(super) fn write(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    stream.write_all(&framed(value)?)
}

/// Reads one frame; an error if it is too long or no such value.
pub(super) fn read<T: for<'de> Deserialize<'de>>(stream: &mut UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > FRAME_BOUND {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut object = vec![0; length as usize];
    stream.read_exact(&mut object)?;
    Ok(serde_json::from_slice(&object)?)
}

/// The content as it comes.
pub(super) struct Chunks<'a> {
    stream: &'a mut UnixStream,
    /// When it must have come.
    /// By the process's clock.
    deadline: Duration,
    /// Octets of the current chunk that are still to come.
    left: usize,
    /// How it ended: whole, or broken off.
    end: Option<bool>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(stream: &'a mut UnixStream, deadline: Duration) -> Self {
        Self { stream, deadline, left: 0, end: None }
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A mailbox that is slow is left as it was, before the process is killed.
        let patience = self.deadline.saturating_sub(SystemClock.elapsed());
        if patience.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(patience))?;
        if self.left == 0 && self.end.is_none() {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            match u32::from_be_bytes(length) {
                0 => self.end = Some(true),
                BROKEN => self.end = Some(false),
                length if length as usize > CHUNK => return Err(io::ErrorKind::InvalidData.into()),
                length => self.left = length as usize,
            }
        }
        match self.end {
            Some(true) => return Ok(0),
            Some(false) => return Err(Cause::MessageBrokenOff {}.into()),
            None => {}
        }
        let wanted = buffer.len().min(self.left);
        let read = self.stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
impl Request {
    /// For an mbox of any size.
    pub(super) fn for_tests(user: &str) -> Self {
        Self {
            user: user.into(),
            maildir: false,
            forward: false,
            look: false,
            sender: "me@example.com".into(),
            header: "Delivered-To: x@example.com\n".into(),
            size: 0,
            limit: 0,
            at: Timestamp::from_millis(1_795_504_620_000),
            extensions: Vec::new(),
            deed: None,
        }
    }
}
