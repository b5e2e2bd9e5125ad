//! What the threads of the store share, and the committer's work on one batch.
//!
//! A change is made in the index and put into the queue under the same lock, so that
//! the log says things in the order in which they happened. The index is never locked
//! while the disk works. Locks are taken in the order log, index, queue.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Options;
use super::content::{Cache, ContentFiles, SpilledFile};
use super::log::{Log, NewRecord, Placed, SegmentFile};
use super::payload::SpilledAt;
use super::record::{Kind, framed};
use super::space::AmpleSpace;
use super::upkeep::Upkeep;
use super::waiting::Waiting;
use crate::clock::Clock;
use crate::disk::{Disk, File, Lock};
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index};
use crate::orders::Orders;
use crate::ticket::Completer;
use crate::{Hindrance, SpoolError};

/// Whoever waits for something to be durable.
pub(crate) type Done = Completer<Result<(), SpoolError>>;

/// Where a message's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) placed: Placed,
    pub(crate) spilled: Option<Box<SpilledAt>>,
}

/// A record that waits to be written.
pub(crate) struct Pending {
    pub(crate) id: MessageId,
    pub(crate) kind: Kind,
    pub(crate) payload: Arc<Vec<u8>>,
    pub(crate) checksum: u32,
    pub(crate) purpose: Purpose,
    pub(crate) done: Option<Done>,
}

/// What is to happen when the record is durable.
pub(crate) enum Purpose {
    /// A new message appears.
    Commit(Box<Arrival>),
    /// What the index says already; if the message is gone by it, where it was.
    Change(Option<Location>),
    /// A message has been copied from here.
    Copy(Placed),
}

/// A new message.
pub(crate) struct Arrival {
    pub(crate) envelope: EncodedEnvelope,
    pub(crate) size: u64,
    pub(crate) due: Timestamp,
    /// How its recipients stand, if they are not all due then.
    pub(crate) states: Option<Vec<u8>>,
    /// Where the content begins in the payload.
    pub(crate) content_from: usize,
    pub(crate) spilled: Option<SpilledFile>,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) items: Vec<Pending>,
    /// Somebody waits for one of them.
    pub(crate) urgent: bool,
    /// New mail is refused; what is under way ends.
    pub(crate) closing: bool,
    /// Only the committer is left, and ends when the queue is empty.
    pub(crate) ending: bool,
    pub(crate) closed: bool,
    in_flight: foldhash::HashSet<MessageId>,
    committer: Committer,
}

/// What the committer waits for, so that it is woken for that and nothing else: each
/// wake-up is a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Committer {
    /// Nothing: it works, or has been woken.
    #[default]
    Busy,
    /// Something to write.
    Idle,
    /// Something urgent.
    Gathering,
}

/// What has gone wrong.
#[derive(Default)]
pub(crate) struct Trouble {
    /// Why nothing can be written.
    pub(crate) refusing: Option<SpoolError>,
    /// To be shown.
    pub(crate) notes: Vec<String>,
    /// Messages of which the log does not say how they stand, and where those were that
    /// are gone.
    pub(crate) unlogged: BTreeMap<MessageId, Option<Location>>,
}

/// See the module.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) index: Mutex<Index<Location>>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) woken: Condvar,
    /// Wakes upkeep before its time; goes with the queue's lock.
    pub(crate) upkeep_woken: Condvar,
    pub(crate) log: Mutex<Log>,
    pub(crate) salt: u64,
    /// Open files of the segments that count, by generation.
    pub(crate) readable: Mutex<HashMap<u64, Arc<dyn File>>>,
    pub(crate) content: Arc<ContentFiles>,
    pub(crate) cache: Mutex<Cache>,
    pub(crate) last_id: Mutex<MessageId>,
    pub(crate) trouble: Mutex<Trouble>,
    /// What an administrator has ordered.
    pub(crate) orders: Mutex<Orders>,
    /// What could not be read when the store was opened, until it is.
    pub(crate) waiting: Mutex<Option<Waiting>>,
    /// Large content that could not be read then; each delivery tries again.
    pub(crate) unread_contents: Mutex<Vec<(u64, String)>>,
    /// Content whose messages are gone.
    pub(crate) garbage: Mutex<Vec<SpilledAt>>,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) segment_octets: Arc<AtomicU64>,
    pub(crate) ample_space: AmpleSpace,
    /// Held as long as the store is open.
    pub(crate) _lock: Box<dyn Lock>,
}

/// Locks; a thread that panicked while it held the lock left nothing half done that
/// would be worse than stopping all others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes are kept up to this many.
const MAX_NOTES: usize = 1000;

impl Core {
    /// Puts a record into the queue. It wakes the committer at once if somebody waits
    /// for it, which `urgent` says.
    pub(crate) fn push(&self, pending: Pending, urgent: bool) {
        let mut queue = lock(&self.queue);
        if queue.closed {
            drop(queue);
            refuse(pending, &SpoolError::ReadOnly(Hindrance::Closed));
            return;
        }
        queue.items.push(pending);
        queue.urgent |= urgent;
        let wake = match queue.committer {
            Committer::Busy => false,
            Committer::Idle => true,
            Committer::Gathering => urgent,
        };
        if wake {
            queue.committer = Committer::Busy;
        }
        drop(queue);
        if wake {
            self.woken.notify_one();
        }
    }

    /// Says that a message of this id is on its way; false if one is already.
    pub(crate) fn announce(&self, id: MessageId) -> bool {
        !lock(&self.index).contains(id) && lock(&self.queue).in_flight.insert(id)
    }

    /// Says that a message is no longer on its way.
    pub(crate) fn retract(&self, id: MessageId) {
        lock(&self.queue).in_flight.remove(&id);
    }

    /// Without threads: does now what the committer would do.
    pub(crate) fn pump(&self) {
        if !self.options.threads {
            self.drain();
        }
    }

    /// Writes whatever waits.
    pub(crate) fn drain(&self) {
        loop {
            let items = {
                let mut queue = lock(&self.queue);
                queue.urgent = false;
                std::mem::take(&mut queue.items)
            };
            if items.is_empty() {
                return;
            }
            self.run_batch(items);
        }
    }

    /// The committer: writes whatever waits, as long as the store is open.
    pub(crate) fn commit_until_closed(&self) {
        loop {
            let mut queue = lock(&self.queue);
            while queue.items.is_empty() && !queue.ending {
                queue.committer = Committer::Idle;
                queue = self.woken.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if !queue.urgent && !queue.closing {
                let calm = |queue: &mut Queue| !queue.urgent && !queue.closing;
                let gather = self.options.gather;
                queue.committer = Committer::Gathering;
                let waited = self.woken.wait_timeout_while(queue, gather, calm);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            queue.committer = Committer::Busy;
            let items = std::mem::take(&mut queue.items);
            queue.urgent = false;
            if items.is_empty() && queue.ending {
                return;
            }
            drop(queue);
            self.run_batch(items);
        }
    }

    /// Writes records, makes them durable together and lets the effects happen.
    pub(crate) fn run_batch(&self, items: Vec<Pending>) {
        let mut log = lock(&self.log);
        let space = self.check_space();
        let was_half_full = log.is_half_full();
        let mut written = Vec::with_capacity(items.len());
        for item in items {
            let admitted = match (&item.purpose, &space) {
                (Purpose::Commit(_), Err(full)) => Err(full.clone()),
                _ => self.make_room(&mut log, &item, &mut written),
            };
            let record = NewRecord {
                kind: item.kind,
                id: item.id,
                payload: &item.payload,
                checksum: item.checksum,
            };
            let placed = admitted
                .and_then(|()| log.append(record).ok_or(SpoolError::Io(Hindrance::RecordTooLarge)));
            match placed {
                Ok(placed) => written.push((item, placed)),
                Err(error) => self.give_up(item, &error),
            }
        }
        self.finish(&mut log, &mut written);
        if log.is_half_full() && !was_half_full {
            self.upkeep_woken.notify_one();
        }
    }

    /// Whether there is room for new mail.
    pub(crate) fn check_space(&self) -> Result<(), SpoolError> {
        let now = self.clock.now();
        if self.ample_space.is_certain(now) {
            return Ok(());
        }
        let free = match self.disk.free_space(&self.directory) {
            Ok(free) => free,
            Err(error) => return Err(SpoolError::from(&error)),
        };
        self.ample_space.note(now, free.saturating_sub(self.options.reserve));
        if free < self.options.reserve {
            return Err(SpoolError::Full(Hindrance::Reserve {
                free: free >> 20,
                directory: self.directory.display().to_string(),
                reserve: self.options.reserve >> 20,
            }));
        }
        Ok(())
    }

    /// Why no new mail is taken.
    pub(crate) fn refusing(&self) -> Option<SpoolError> {
        if lock(&self.queue).closing {
            return Some(SpoolError::ReadOnly(Hindrance::Closed));
        }
        lock(&self.trouble).refusing.clone().or_else(|| self.check_space().err())
    }

    /// Keeps something to be shown.
    pub(crate) fn note(&self, text: String) {
        let mut trouble = lock(&self.trouble);
        if trouble.notes.len() < MAX_NOTES && !trouble.notes.contains(&text) {
            trouble.notes.push(text);
        }
    }

    /// Makes sure that the active segment has room for a record.
    ///
    /// New mail leaves a part of the last segment to settlements, so that a full disk
    /// does not keep the queue from draining; copies leave half as much.
    pub(crate) fn make_room(
        &self,
        log: &mut Log,
        item: &Pending,
        written: &mut Vec<(Pending, Placed)>,
    ) -> Result<(), SpoolError> {
        let octets = framed(item.payload.len());
        let (kept, spare_after) = match item.purpose {
            Purpose::Commit(_) => (log.segment_size / 4, 1),
            Purpose::Copy(_) => (log.segment_size / 8, 0),
            Purpose::Change(_) => (0, 0),
        };
        if let Some(error) = self.broken(log) {
            return Err(error);
        }
        let kept = if log.spare.is_empty() { kept } else { 0 };
        if log.room() >= octets + kept {
            return Ok(());
        }
        let next = self.next_file(log, octets, spare_after)?;
        self.finish(log, written);
        // A failure just now has begun another segment, or has left none.
        if log.room() < octets {
            log.seal();
            self.begin(log, next)?;
        } else {
            log.spare.push(next);
        }
        Ok(())
    }

    fn broken(&self, log: &Log) -> Option<SpoolError> {
        if log.is_writable() {
            return None;
        }
        let refusing = lock(&self.trouble).refusing.clone();
        Some(refusing.unwrap_or(SpoolError::ReadOnly(Hindrance::NoSegment)))
    }

    /// A file for the next segment, such that `spare_after` spare ones are left.
    fn next_file(
        &self,
        log: &mut Log,
        octets: u64,
        spare_after: usize,
    ) -> Result<SegmentFile, SpoolError> {
        while log.spare.len() <= spare_after && spare_after > 0 {
            let needed = self.options.reserve.saturating_add(log.segment_size);
            let free = self.disk.free_space(&self.directory).unwrap_or(0);
            if free < needed {
                return Err(SpoolError::Full(Hindrance::NoRoom));
            }
            let file = log.create(log.segment_size).map_err(|error| SpoolError::from(&error))?;
            log.spare.push(file);
        }
        log.take_file(octets).map_err(|error| SpoolError::from(&error))
    }

    /// Begins a segment in a file; if that fails, nothing can be written for now.
    pub(crate) fn begin(&self, log: &mut Log, file: SegmentFile) -> Result<(), SpoolError> {
        match log.begin(file) {
            Ok(file) => {
                lock(&self.readable).insert(file.generation, file.file);
                lock(&self.trouble).refusing = None;
                self.upkeep_woken.notify_one();
                Ok(())
            }
            Err(error) => {
                let error = SpoolError::from(&error);
                self.note(format!("a new segment could not be begun: {error}"));
                lock(&self.trouble).refusing = Some(for_now(&error));
                Err(error)
            }
        }
    }

    /// Makes durable what was written and lets its effects happen.
    fn finish(&self, log: &mut Log, written: &mut Vec<(Pending, Placed)>) {
        let written = std::mem::take(written);
        if written.is_empty() {
            return;
        }
        match log.sync() {
            Ok(()) => self.take_effect(log, written),
            Err(error) => self.fail_over(log, written, &SpoolError::from(&error)),
        }
    }

    /// What was written may be on the disk or not. A new segment is begun, whose
    /// header says that it does not count; changes are written there again, since the
    /// index has them already, and new messages are refused.
    fn fail_over(&self, log: &mut Log, written: Vec<(Pending, Placed)>, error: &SpoolError) {
        self.note(format!("writing to the log failed, its segment is left aside: {error}"));
        lock(&self.trouble).refusing = Some(for_now(error));
        let (changes, others): (Vec<_>, Vec<_>) =
            written.into_iter().partition(|(item, _)| matches!(item.purpose, Purpose::Change(_)));
        let octets = changes.iter().map(|(item, _)| framed(item.payload.len())).sum();
        let begun = log
            .take_file(octets)
            .map_err(|error| SpoolError::from(&error))
            .and_then(|file| self.begin(log, file));
        if begun.is_ok() {
            self.write_again(log, changes);
        } else {
            for (item, _) in changes {
                self.give_up(item, error);
            }
        }
        for (item, _) in others {
            self.give_up(item, error);
        }
    }

    fn write_again(&self, log: &mut Log, changes: Vec<(Pending, Placed)>) {
        let mut written = Vec::with_capacity(changes.len());
        for (item, _) in changes {
            let record = NewRecord {
                kind: item.kind,
                id: item.id,
                payload: &item.payload,
                checksum: item.checksum,
            };
            match log.append(record) {
                Some(placed) => written.push((item, placed)),
                None => self.give_up(item, &SpoolError::Io(Hindrance::RecordTooLarge)),
            }
        }
        match log.sync() {
            Ok(()) => self.take_effect(log, written),
            Err(error) => {
                let error = SpoolError::from(&error);
                lock(&self.trouble).refusing = Some(for_now(&error));
                for (item, _) in written {
                    self.give_up(item, &error);
                }
            }
        }
    }

    /// The record is not in the log. What the index says already is to be logged when
    /// that is possible again.
    pub(crate) fn give_up(&self, item: Pending, error: &SpoolError) {
        match &item.purpose {
            Purpose::Change(gone) => {
                let mut trouble = lock(&self.trouble);
                let known = trouble.unlogged.entry(item.id).or_default();
                if gone.is_some() {
                    known.clone_from(gone);
                }
            }
            Purpose::Commit(_) => self.retract(item.id),
            Purpose::Copy(_) => {}
        }
        refuse(item, error);
    }

    fn take_effect(&self, log: &mut Log, written: Vec<(Pending, Placed)>) {
        let mut done = Vec::with_capacity(written.len());
        let mut arrived = Vec::new();
        let mut index = lock(&self.index);
        for (item, placed) in written {
            done.extend(item.done);
            match item.purpose {
                Purpose::Commit(arrival) => {
                    let spilled = arrival.spilled.map(|file| {
                        let at = file.at();
                        file.keep();
                        Box::new(at)
                    });
                    log.enliven(placed);
                    let location = Location { placed, spilled };
                    let content = (arrival.size, location);
                    index.insert(item.id, arrival.envelope, content, arrival.due);
                    if let Some(states) = arrival.states {
                        // They are of this envelope.
                        let _ = index.apply(item.id, &states);
                    }
                    arrived.push(item.id);
                    lock(&self.cache).insert(item.id, item.payload, arrival.content_from);
                }
                Purpose::Copy(from) => {
                    if let Some(location) = index.location_mut(item.id)
                        && location.placed == from
                    {
                        location.placed = placed;
                        log.release(from);
                        log.enliven(placed);
                    }
                }
                Purpose::Change(Some(gone)) => {
                    log.release(gone.placed);
                    lock(&self.cache).remove(item.id);
                    lock(&self.garbage).extend(gone.spilled.map(|at| *at));
                }
                Purpose::Change(None) => {}
            }
        }
        drop(index);
        if !arrived.is_empty() {
            let mut queue = lock(&self.queue);
            for id in arrived {
                queue.in_flight.remove(&id);
            }
        }
        for completer in done {
            completer.complete(Ok(()));
        }
    }

    /// Octets of all files.
    pub(crate) fn disk_octets(&self) -> u64 {
        self.segment_octets.load(Ordering::Relaxed) + self.content.octets.load(Ordering::Relaxed)
    }
}

/// What new mail is told until the store can write again.
fn for_now(error: &SpoolError) -> SpoolError {
    match error {
        SpoolError::Full(_) | SpoolError::ReadOnly(_) => error.clone(),
        other => SpoolError::ReadOnly(Hindrance::Still(Box::new(other.clone()))),
    }
}

fn refuse(item: Pending, error: &SpoolError) {
    // What was spilled for a message that is refused goes before anybody hears of it.
    drop(item.purpose);
    if let Some(done) = item.done {
        done.complete(Err(error.clone()));
    }
}
