//! What happens beside the committer: room is made ahead of need, space comes back,
//! checkpoints are written, and a store that could not write tries again.
//!
//! Segments are freed from the oldest on. When what is stored takes more than twice
//! the octets that are alive and three segments besides, what is alive in the oldest
//! segment is copied to the end of the log. With the active segment, the spare ones
//! and one that is being copied, the log takes at most twice what is alive and
//! [`SEGMENTS_BESIDES`] segments; large content takes its own size on top.
//!
//! Where little is alive, the log is left behind from time to time: what is alive is
//! copied to a blank segment and all others are overwritten with zeros, so that what was
//! delivered does not stay as long as it takes to fill them. An empty store then has
//! [`SEGMENTS_AT_REST`] segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::checkpoint::{self, Heading};
use super::core::{Core, Location, Pending, Purpose, lock};
use super::log::{Placed, create_file, wipe};
use super::payload::Payload;
use super::record::{HEADER, Kind, RecordHeader};
use super::scan::read_whole;
use crate::SpoolError;
use crate::disk::File;
use crate::id::MessageId;
use crate::ticket::Ticket;

/// How many segments the log may take besides twice what is alive.
pub const SEGMENTS_BESIDES: u64 = 7;

/// Segments of a store that was left behind: the active one and the spare ones.
pub const SEGMENTS_AT_REST: u64 = 1 + KEEP_SPARE as u64;

/// How long nothing is written before the log is left behind.
pub const QUIET: Duration = Duration::from_secs(30);

/// How often the store looks after itself when nothing wakes it.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// Spare files that are kept.
const KEEP_SPARE: usize = 2;
/// Segments that may be dead before what is alive is moved.
const SLACK: u64 = 3;
/// Octets that are copied before they are waited for.
const COPY_AT_ONCE: usize = 1024 * 1024;
const PAGE: usize = 2048;

/// What upkeep remembers.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// How far the log had grown at the last checkpoint.
    checkpoint_at: u64,
    /// Octets of that checkpoint.
    checkpoint_size: u64,
    /// The checkpoint that is there could not be read, so it is not replaced.
    set_aside: bool,
    /// How far the log had grown when it was last looked at, and since when it has not.
    seen: (u64, Duration),
    /// The same for when it was last left behind.
    tidied: (Option<u64>, Duration),
}

impl Upkeep {
    /// Upkeep of a store whose checkpoint could not be read, or could.
    pub(crate) fn new(checkpoint_unread: bool) -> Self {
        Self { set_aside: checkpoint_unread, ..Self::default() }
    }

    // Whether it is time to leave the log behind.
    fn is_due(&mut self, grown: u64, now: Duration, tidy: Duration) -> bool {
        if self.seen.0 != grown {
            self.seen = (grown, now);
        }
        let is_quiet = now.saturating_sub(self.seen.1) >= QUIET;
        let is_long_ago = now.saturating_sub(self.tidied.1) >= tidy;
        self.tidied.0 != Some(grown) && (is_quiet || is_long_ago)
    }
}

impl Core {
    /// Does what is to be done now.
    pub(crate) fn maintain(&self) {
        // Without threads a step of the work below comes back here.
        let Ok(mut upkeep) = self.upkeep.try_lock() else { return };
        self.take_up();
        let garbage = std::mem::take(&mut *lock(&self.garbage));
        for at in garbage {
            self.content.remove(at);
        }
        self.recover();
        self.free_segments(KEEP_SPARE + 1);
        self.compact(false);
        self.prepare_spare();
        let grown = lock(&self.log).grown;
        if upkeep.is_due(grown, self.clock.elapsed(), self.options.tidy) {
            self.leave_behind(&mut upkeep);
        }
        let grown = lock(&self.log).grown - upkeep.checkpoint_at;
        let interval = self.options.segment_size.max(2 * upkeep.checkpoint_size);
        if grown >= interval {
            self.checkpoint(&mut upkeep);
        }
    }

    /// Writes a checkpoint. Nothing depends on it, so a failure is only noted. There is
    /// none while something waits of which the index knows nothing.
    pub(crate) fn checkpoint(&self, upkeep: &mut Upkeep) {
        if lock(&self.waiting).is_some() {
            return;
        }
        if upkeep.set_aside {
            if let Err(error) = checkpoint::set_aside(&*self.disk, &self.directory, "unread") {
                return self.note(format!("the checkpoint cannot be set aside: {error}"));
            }
            upkeep.set_aside = false;
        }
        let (position, grown, last_id) = {
            let log = lock(&self.log);
            (log.durable_end(), log.grown, log.last_id)
        };
        let heading = Heading { salt: self.salt, position, last_id };
        let now = self.clock.now();
        upkeep.checkpoint_at = grown;
        match checkpoint::write(&*self.disk, &self.directory, heading, &self.index, now) {
            Ok(size) => upkeep.checkpoint_size = size,
            Err(error) => self.note(format!("the checkpoint could not be written: {error}")),
        }
    }

    /// Begins a segment if there is none, and logs what could not be logged before.
    pub(crate) fn recover(&self) {
        let mut log = lock(&self.log);
        if !log.is_writable() {
            let Ok(file) = log.take_file(0) else { return };
            if self.begin(&mut log, file).is_err() {
                return;
            }
        }
        drop(log);
        let unlogged = std::mem::take(&mut lock(&self.trouble).unlogged);
        if unlogged.is_empty() {
            return;
        }
        for (id, gone) in unlogged {
            let index = lock(&self.index);
            let (kind, payload) = match index.snapshot(id, self.clock.now()) {
                Some(states) => (Kind::State, states),
                None => (Kind::Gone, Vec::new()),
            };
            self.push(record(id, kind, payload, Purpose::Change(gone)), false);
        }
        self.pump();
    }

    /// Copies what is alive, if that is little, and leaves no trace of anything else.
    fn leave_behind(&self, upkeep: &mut Upkeep) {
        upkeep.tidied = (Some(lock(&self.log).grown), self.clock.elapsed());
        if lock(&self.waiting).is_some() {
            return;
        }
        self.free_segments(0);
        self.wipe_spare();
        if !self.begin_blank() {
            return;
        }
        self.free_segments(0);
        self.compact(true);
        self.free_segments(0);
        self.wipe_spare();
        self.checkpoint(upkeep);
        upkeep.tidied = (Some(lock(&self.log).grown), self.clock.elapsed());
    }

    // Goes on in a segment in which no mail ever was, if what is alive is little. Says
    // whether there is nothing else to wait for.
    fn begin_blank(&self) -> bool {
        let mut log = lock(&self.log);
        let is_little = log.usage().1 <= log.segment_size / 8;
        if !log.is_writable() || log.frozen || !is_little {
            return false;
        }
        if !log.has_a_past() {
            return true;
        }
        let Some(next) = log.take_blank() else { return false };
        log.seal();
        self.begin(&mut log, next).is_ok()
    }

    // A file that cannot be wiped is not used again.
    fn wipe_spare(&self) {
        loop {
            let Some(used) = lock(&self.log).take_used() else { return };
            let wiped = wipe(&used, self.salt);
            let mut log = lock(&self.log);
            match wiped {
                Ok(blank) => log.spare.push(blank),
                Err(error) => {
                    log.retired.push(used);
                    drop(log);
                    return self.note(format!("a spare segment could not be wiped: {error}"));
                }
            }
        }
    }

    // Segments are freed when nothing is alive in them; the floor is raised for more spare
    // ones than `raise_above`.
    fn free_segments(&self, raise_above: usize) {
        let mut log = lock(&self.log);
        let freed = log.free_dead();
        log.raise_floor(raise_above);
        log.remove_surplus(KEEP_SPARE);
        drop(log);
        let mut readable = lock(&self.readable);
        for generation in freed {
            readable.remove(&generation);
        }
    }

    /// Makes spare files, so that the committer need not wait for them. New mail must
    /// leave one behind when it takes one ([`Core::make_room`]), so there are two by
    /// the time when the next segment comes near.
    fn prepare_spare(&self) {
        loop {
            let (number, size, directory) = {
                let mut log = lock(&self.log);
                if log.spare.len() > usize::from(log.is_half_full()) {
                    return;
                }
                log.next_number += 1;
                (log.next_number - 1, log.segment_size, log.directory.clone())
            };
            let free = self.disk.free_space(&self.directory).unwrap_or(0);
            if free < self.options.reserve.saturating_add(size) {
                return;
            }
            match create_file(&*self.disk, &directory, number, (size, self.salt)) {
                Ok(file) => {
                    self.segment_octets.fetch_add(size, Ordering::Relaxed);
                    lock(&self.log).spare.push(file);
                }
                Err(error) => {
                    self.note(format!("a spare segment could not be made: {error}"));
                    return;
                }
            }
        }
    }

    /// Copies what is alive in the oldest segments to the end of the log: in all of them,
    /// or as long as too much of the log is dead.
    fn compact(&self, all: bool) {
        let mut rounds = lock(&self.log).sealed.len();
        while rounds > 0 && !lock(&self.queue).closing && self.compact_oldest(all) {
            self.free_segments(KEEP_SPARE + 1);
            rounds -= 1;
        }
    }

    // Says whether the segment is now free to go.
    fn compact_oldest(&self, all: bool) -> bool {
        let generation = {
            let log = lock(&self.log);
            let (octets, alive) = log.usage();
            let enough = all || octets > 2 * alive + SLACK * log.segment_size;
            if !enough || !log.is_writable() || log.frozen {
                return false;
            }
            let Some(oldest) = log.sealed.front() else { return false };
            if log.spare.is_empty() && oldest.alive > log.room() / 2 {
                return false;
            }
            oldest.generation()
        };
        let mut after = None;
        let mut tickets = Vec::new();
        let mut octets = 0;
        loop {
            let (page, last) = self.located_in(generation, after);
            for (id, location) in page {
                let Some((ticket, copied)) = self.copy(id, &location) else { continue };
                tickets.push(ticket);
                octets += copied;
                if octets >= COPY_AT_ONCE {
                    self.pump();
                    octets = 0;
                    if tickets.drain(..).any(|ticket| ticket.wait().is_err()) {
                        return false;
                    }
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        self.pump();
        let copied = tickets.into_iter().all(|ticket| ticket.wait().is_ok());
        copied && lock(&self.log).sealed.front().is_some_and(|oldest| oldest.alive == 0)
    }

    fn located_in(
        &self,
        generation: u64,
        after: Option<MessageId>,
    ) -> (Vec<(MessageId, Location)>, Option<MessageId>) {
        let index = lock(&self.index);
        let mut page = Vec::new();
        let mut last = None;
        for (id, location) in index.ids_after(after).take(PAGE) {
            last = Some(id);
            if location.placed.generation == generation {
                page.push((id, location.clone()));
            }
        }
        (page, last)
    }

    fn copy(
        &self,
        id: MessageId,
        location: &Location,
    ) -> Option<(Ticket<Result<(), crate::SpoolError>>, usize)> {
        let record = match self.read_record(id, location) {
            Ok(record) => record,
            Err(error) => {
                self.drop_damaged(id, location, &error);
                return None;
            }
        };
        let old = Payload::take(&record).ok()?;
        let index = lock(&self.index);
        let (envelope, _, here) = index.stored(id)?;
        if here != location {
            return None;
        }
        let states = index.snapshot(id, self.clock.now())?;
        let mut payload = Vec::with_capacity(record.len() + states.len());
        Payload::put_before_content(envelope, &states, old.spilled, &mut payload);
        payload.extend_from_slice(old.content);
        let octets = payload.len();
        let (done, ticket) = Ticket::new();
        let mut pending = self::record(id, Kind::Message, payload, Purpose::Copy(location.placed));
        pending.done = Some(done);
        self.push(pending, true);
        Some((ticket, octets))
    }

    /// A message that cannot be read any more would keep its segment for ever. It is
    /// reported and forgotten. An error of the disk may pass, so it only ends the
    /// attempt.
    fn drop_damaged(&self, id: MessageId, location: &Location, error: &crate::SpoolError) {
        if !matches!(error, crate::SpoolError::Damaged { .. }) {
            return;
        }
        lock(&self.log).mark_damaged(location.placed.generation);
        let mut index = lock(&self.index);
        if index.stored(id).is_none_or(|(_, _, here)| here != location) {
            return;
        }
        // Its content may still be of use to somebody.
        let gone = index.remove(id).map(|location| Location { spilled: None, ..location });
        self.push(record(id, Kind::Gone, Vec::new(), Purpose::Change(gone)), false);
        drop(index);
        self.note(format!("{error}; it was given up when its segment was reused"));
    }

    /// Reads a message's record from the disk; returns its payload.
    pub(crate) fn read_record(
        &self,
        id: MessageId,
        location: &Location,
    ) -> Result<Vec<u8>, crate::SpoolError> {
        let damaged = |what: &str| crate::SpoolError::Damaged { id, what: what.to_owned() };
        let placed = location.placed;
        let file = self.readable(placed).ok_or_else(|| damaged("its segment is not there"))?;
        let mut octets = vec![0; placed.octets as usize];
        let end = u64::from(placed.offset) + u64::from(placed.octets);
        if file.len().map_err(|error| SpoolError::from(&error))? < end {
            return Err(damaged("its record is cut off"));
        }
        read_whole(&*file, &mut octets, u64::from(placed.offset))
            .map_err(|error| SpoolError::from(&error))?;
        self.checked(id, placed, octets).map_err(damaged)
    }

    /// The same if it needs no waiting for the disk; `None` also if it is damaged.
    pub(crate) fn read_record_at_once(&self, id: MessageId, placed: Placed) -> Option<Vec<u8>> {
        let file = self.readable(placed)?;
        let mut octets = vec![0; placed.octets as usize];
        if !file.read_at_once(&mut octets, u64::from(placed.offset)) {
            return None;
        }
        self.checked(id, placed, octets).ok()
    }

    fn readable(&self, placed: Placed) -> Option<Arc<dyn File>> {
        lock(&self.readable).get(&placed.generation).map(Arc::clone)
    }

    /// The payload of a record as it was read.
    fn checked(
        &self,
        id: MessageId,
        placed: Placed,
        mut octets: Vec<u8>,
    ) -> Result<Vec<u8>, &'static str> {
        let header = RecordHeader::read(&octets, self.salt, u64::from(placed.offset))
            .filter(|header| header.id == id && header.generation == placed.generation)
            .ok_or("the header of its record is damaged")?;
        if header.payload(&octets).is_none() {
            return Err("the checksum of its record does not fit");
        }
        octets.truncate(HEADER + header.payload as usize);
        octets.drain(..HEADER);
        Ok(octets)
    }
}

/// A record for the queue that nobody waits for.
pub(crate) fn record(id: MessageId, kind: Kind, payload: Vec<u8>, purpose: Purpose) -> Pending {
    let checksum = crc32fast::hash(&payload);
    Pending { id, kind, payload: Arc::new(payload), checksum, purpose, done: None }
}
