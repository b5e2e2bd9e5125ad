//! The backend on disk: an append-only log of segments, and the index in memory.
//!
//! - Records are written by one *committer*: it takes all that waits, writes it with
//!   one call, syncs once and wakes whoever waits. Settlements ride along.
//! - Segments have a fixed size, are full of zeros before they are used and are
//!   recycled, so that a sync has no metadata to write. [`record`] says what they look
//!   like, [`log`] which one is written, [`upkeep`] how space comes back.
//! - Content above a bound goes to a file of its own in `content/`, named by a number,
//!   which is durable before the record that names it is written.
//! - A start reads the checkpoint and what the log says since, and keeps every intact
//!   message whatever has happened to the rest ([`open`]). What the process before left in
//!   the system's memory counts only if the disk has it, too.
//!
//! When a sync fails, those who wait are told so, the file is never written again, and
//! a new segment begins whose header makes void whatever of that batch reached the
//! disk. One gap remains: if no other segment can be begun either and the process ends
//! before one can, a message that was refused may be there again at the next start. Its
//! client was told to try again, so its recipients may get it twice.

mod checkpoint;
mod content;
mod contents;
mod core;
mod faces;
mod identity;
mod log;
mod open;
mod payload;
mod reading;
mod record;
mod scan;
mod space;
mod survey;
mod upkeep;
mod waiting;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::content::SpilledFile;
pub(crate) use self::content::{ContentFiles, SegmentDraft};
use self::core::{Arrival, Core, Pending, Purpose, lock};
use self::payload::Payload;
use self::record::Kind;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::id::{MessageId, Timestamp};
use crate::index::{Changed, EncodedEnvelope};
use crate::ticket::Ticket;
use crate::{Answer, Content, Desk as _, Draft as _, Hindrance, NewMessage, SpoolError};

pub(crate) use self::record::VERSION as RECORD_VERSION;
pub use self::upkeep::{QUIET, SEGMENTS_AT_REST, SEGMENTS_BESIDES};

/// How the store uses its disk and its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Octets of a segment; a store may hold segments of several sizes. At most 4 GiB.
    pub segment_size: u64,
    /// Content with more octets goes to a file of its own.
    pub spill_above: usize,
    /// New mail is refused while fewer octets than this are free on the disk.
    pub reserve: u64,
    /// Octets of content that are kept in memory for the first delivery.
    pub cache: usize,
    /// How long settlements wait for company if no new mail carries them along.
    pub gather: Duration,
    /// How long delivered content stays at most where little is alive, and the log is
    /// written all the time; it goes after [`QUIET`] where it is not.
    pub tidy: Duration,
    /// Whether the store has threads of its own. Without, each call does all the work
    /// itself, in an order that depends on nothing else: tests replay it.
    pub threads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            spill_above: 1 << 20,
            reserve: 64 << 20,
            cache: 8 << 20,
            gather: Duration::from_millis(3),
            tidy: Duration::from_secs(3600),
            threads: true,
        }
    }
}

impl Options {
    /// For a disk of so many octets. On a small one the segments and the reserve are
    /// small too, so that most of it is left to mail.
    pub fn fitting(disk: u64) -> Self {
        let usual = Self::default();
        let mebibytes = (disk >> 26).clamp(1, usual.segment_size >> 20);
        let segment_size = mebibytes << 20;
        let quarter = usize::try_from(segment_size / 4).unwrap_or(usize::MAX);
        Self {
            segment_size,
            spill_above: usual.spill_above.min(quarter),
            reserve: usual.reserve.min(disk / 16),
            ..usual
        }
    }

    /// Small segments and no reserve, for tests.
    pub fn small() -> Self {
        Self { segment_size: 256 << 10, reserve: 0, cache: 64 << 10, ..Self::default() }
    }
}

/// A queue on disk. Dropping it closes it.
pub struct SegmentSpool {
    core: Arc<Core>,
    since: Timestamp,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Content to be made durable before its record is written.
    spilled: Mutex<Option<std::sync::mpsc::Sender<Pending>>>,
}

impl SegmentSpool {
    /// Opens the store in a directory, or makes an empty one. Damage is reported in
    /// [`Health::damaged`]; errors are a directory that cannot be read, one that is in
    /// use, and one that a newer program wrote.
    pub fn open(
        directory: impl AsRef<Path>,
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SpoolError> {
        let core = Arc::new(open::open(directory.as_ref(), options, disk, clock)?);
        let since = core.clock.now();
        let spool = Self { core, since, threads: Mutex::default(), spilled: Mutex::default() };
        if options.threads {
            spool.start().map_err(|error| SpoolError::from(&error))?;
        }
        Ok(spool)
    }

    /// Writes a checkpoint now.
    pub fn checkpoint(&self) {
        self.core.checkpoint(&mut lock(&self.core.upkeep));
    }

    fn start(&self) -> std::io::Result<()> {
        let named = |name: &str| std::thread::Builder::new().name(format!("spool-{name}"));
        let (sender, receiver) = std::sync::mpsc::channel::<Pending>();
        let core = Arc::clone(&self.core);
        let committer = named("commit").spawn(move || core.commit_until_closed())?;
        let core = Arc::clone(&self.core);
        let upkeep = named("upkeep").spawn(move || core.maintain_until_closed())?;
        let core = Arc::clone(&self.core);
        let syncer = named("content").spawn(move || {
            for pending in receiver {
                core.sync_content(pending);
            }
        })?;
        *lock(&self.spilled) = Some(sender);
        // The committer is joined last, since the others feed it.
        lock(&self.threads).extend([syncer, upkeep, committer]);
        Ok(())
    }

    fn prepare(
        &self,
        message: NewMessage,
        adopted: Option<Vec<u8>>,
    ) -> Result<Pending, SpoolError> {
        if lock(&self.core.queue).closing {
            return Err(SpoolError::ReadOnly(Hindrance::Closed));
        }
        if let Some(refusing) = lock(&self.core.trouble).refusing.clone() {
            return Err(refusing);
        }
        let NewMessage { id, envelope, received_at, origin, prefix, content, held_for } = message;
        let due = received_at.min(self.core.clock.now());
        let envelope = EncodedEnvelope::new(envelope, received_at, origin, held_for)?;
        let size = prefix.len() as u64 + content.len();
        let (octets, spilled) = self.take_content(content)?;
        let mut payload = Vec::with_capacity(
            envelope.as_bytes().len()
                + 16 * envelope.recipients()
                + prefix.len()
                + octets.len()
                + 64,
        );
        let states = adopted.clone().unwrap_or_else(|| envelope.fresh_states(due));
        let at = spilled.as_ref().map(SpilledFile::at);
        Payload::put_before_content(envelope.as_bytes(), &states, at, &mut payload);
        let content_from = payload.len();
        payload.extend_from_slice(&prefix);
        payload.extend_from_slice(&octets);
        if !self.core.announce(id) {
            return Err(SpoolError::Io(Hindrance::QueuedAlready(id)));
        }
        let arrival = Arrival { envelope, size, due, states: adopted, content_from, spilled };
        Ok(upkeep::record(id, Kind::Message, payload, Purpose::Commit(Box::new(arrival))))
    }

    /// Content as this backend stores it; what another one made is copied.
    fn take_content(&self, content: Content) -> Result<(Vec<u8>, Option<SpilledFile>), SpoolError> {
        let spilled = match content {
            Content::Memory(octets) if octets.len() <= self.core.options.spill_above => {
                return Ok((octets, None));
            }
            Content::Memory(octets) => return self.copy_content(&mut octets.as_slice()),
            Content::Spilled(spilled) => spilled,
        };
        match spilled.into_any().downcast::<SpilledFile>() {
            Ok(file) if file.is_of(&self.core.content) => Ok((Vec::new(), Some(*file))),
            Ok(file) => self.copy_content(&mut *crate::SpilledContent::reader(&*file)?),
            Err(_) => Err(SpoolError::Io(Hindrance::ForeignContent)),
        }
    }

    fn copy_content(
        &self,
        from: &mut dyn std::io::Read,
    ) -> Result<(Vec<u8>, Option<SpilledFile>), SpoolError> {
        let mut draft =
            SegmentDraft::new(Arc::clone(&self.core.content), self.core.options.spill_above);
        let mut piece = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut piece).map_err(|error| SpoolError::from(&error))?;
            if count == 0 {
                break;
            }
            draft.write(piece.get(..count).unwrap_or_default())?;
        }
        self.take_own(Box::new(draft).finish()?)
    }

    fn take_own(&self, content: Content) -> Result<(Vec<u8>, Option<SpilledFile>), SpoolError> {
        match content {
            Content::Memory(octets) => Ok((octets, None)),
            Content::Spilled(spilled) => match spilled.into_any().downcast::<SpilledFile>() {
                Ok(file) => Ok((Vec::new(), Some(*file))),
                Err(_) => Err(SpoolError::Io(Hindrance::ForeignContent)),
            },
        }
    }

    fn submit(&self, pending: Pending) {
        let spilled = matches!(&pending.purpose, Purpose::Commit(a) if a.spilled.is_some());
        let sender = lock(&self.spilled).clone();
        match sender {
            Some(sender) if spilled => {
                if let Err(unsent) = sender.send(pending) {
                    self.core.sync_content(unsent.0);
                }
            }
            _ if spilled => self.core.sync_content(pending),
            _ => self.core.push(pending, true),
        }
        self.step();
    }

    /// Without threads: does what they would do.
    fn step(&self) {
        if !self.core.options.threads {
            self.core.pump();
            self.core.maintain();
            self.core.pump();
        }
    }
}

impl Core {
    /// Puts a change of the index into the queue; the index is still locked.
    fn log_change(&self, id: MessageId, changed: Changed<self::core::Location>) -> Answer<()> {
        let (done, ticket) = Ticket::new();
        let (kind, payload) = match changed.gone {
            Some(_) => (Kind::Gone, Vec::new()),
            None => (Kind::State, changed.record),
        };
        let mut pending = upkeep::record(id, kind, payload, Purpose::Change(changed.gone));
        pending.done = Some(done);
        self.push(pending, false);
        ticket
    }

    /// Makes content durable, then lets its record be written.
    fn sync_content(&self, pending: Pending) {
        let synced = match &pending.purpose {
            Purpose::Commit(arrival) => arrival.spilled.as_ref().map_or(Ok(()), SpilledFile::sync),
            Purpose::Change(_) | Purpose::Copy(_) => Ok(()),
        };
        match synced {
            Ok(()) => self.push(pending, true),
            Err(error) => self.give_up(pending, &error),
        }
    }

    fn maintain_until_closed(&self) {
        loop {
            self.maintain();
            let queue = lock(&self.queue);
            if queue.closing {
                return;
            }
            let waited = self.upkeep_woken.wait_timeout(queue, upkeep::INTERVAL);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for SegmentSpool {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
