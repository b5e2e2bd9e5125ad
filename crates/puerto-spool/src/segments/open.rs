//! Finds out what a store holds, whatever state its files are in.
//!
//! Nothing that is damaged keeps the store from opening. What is lost by damage is
//! reported, by id where that can still be told. Only two things are errors: another
//! process has the store open, or a newer program wrote it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};

use super::Options;
use super::checkpoint::{self, Heading, Missing};
use super::content::{Cache, ContentFiles, content_number, content_path, spool_error};
use super::core::{Core, Location, Queue, Trouble};
use super::log::{Log, Placed, Position, Segment, SegmentFile, segment_number, segment_path};
use super::payload::{Payload, SpilledAt};
use super::record::{FIRST_RECORD, Kind, ReadHeader, SegmentHeader};
use super::scan::{self, Damage, Found};
use super::space::AmpleSpace;
use super::upkeep::Upkeep;
use crate::SpoolError;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index};

/// Opens the store in a directory, or makes an empty one.
pub(crate) fn open(
    directory: &Path,
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<Core, SpoolError> {
    let segments = directory.join("segments");
    let contents = directory.join("content");
    for path in [directory, &segments, &contents] {
        // A disk that cannot be written may still be read.
        if disk.create_dir(path).is_ok()
            && let Some(parent) = path.parent()
        {
            let _ = disk.sync_dir(parent);
        }
    }
    let held = disk.lock(&directory.join("lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => SpoolError::Io(format!(
            "{} is in use by another process: stop that one first",
            directory.display()
        )),
        _ => spool_error(&error),
    })?;
    let mut notes = Vec::new();
    let survey = Survey::take(&*disk, &segments, &mut notes)?;
    let replayed = survey.replay(&*disk, directory, &mut notes);
    let mut index = replayed.index;
    let content = Arc::new(check_contents(Arc::clone(&disk), contents, &mut index, &mut notes)?);
    survey.drop_lost(&mut index, &mut notes);
    let mut log = Log::new(Arc::clone(&disk), segments, options.segment_size);
    survey.hand_over(&mut log, replayed.end, replayed.last_id);
    let readable: HashMap<_, _> = log
        .sealed
        .iter()
        .map(|segment| (segment.generation(), Arc::clone(&segment.file.file)))
        .collect();
    let mut after = None;
    while let Some((id, location)) = index.ids_after(after).next() {
        log.enliven(location.placed);
        after = Some(id);
    }
    let last_id = beyond(replayed.last_id, clock.now());
    let core = Core {
        cache: Mutex::new(Cache::new(options.cache)),
        clock,
        disk,
        directory: directory.to_owned(),
        index: Mutex::new(index),
        queue: Mutex::new(Queue::default()),
        woken: Condvar::new(),
        upkeep_woken: Condvar::new(),
        salt: log.salt,
        readable: Mutex::new(readable),
        content,
        last_id: Mutex::new(last_id),
        trouble: Mutex::new(Trouble { notes, ..Trouble::default() }),
        garbage: Mutex::default(),
        upkeep: Mutex::new(Upkeep::default()),
        segment_octets: Arc::clone(&log.octets),
        ample_space: AmpleSpace::unknown(),
        log: Mutex::new(log),
        options,
        _lock: held,
    };
    // With threads the rest of upkeep is done by them, so that nobody waits for it.
    if core.options.threads {
        core.recover()
    } else {
        core.maintain()
    }
    Ok(core)
}

/// The id after which new ones begin. If the clock has gone back, those that were
/// given out shortly before the end but never came into the log are stepped over.
fn beyond(last: MessageId, now: Timestamp) -> MessageId {
    if MessageId::at(now) > last {
        return last;
    }
    let a_minute = MessageId::at(Timestamp::from_millis(1_767_225_660_000)).as_u64();
    MessageId::from_u64(last.as_u64().saturating_add(a_minute))
}

struct Examined {
    file: SegmentFile,
    header: Option<SegmentHeader>,
}

/// The files of segments that are there.
struct Survey {
    salt: u64,
    floor: u64,
    /// Those that count, by generation.
    live: BTreeMap<u64, SegmentFile>,
    /// Up to where a segment counts, if the one after it says so.
    ends: HashMap<u64, u64>,
    /// Between two segments that follow each other there is none that counts.
    skipped: Vec<(u64, u64)>,
    spare: Vec<SegmentFile>,
    greatest_generation: u64,
    greatest_number: u64,
    octets: u64,
    last_id: MessageId,
}

struct Replayed {
    index: Index<Location>,
    last_id: MessageId,
    end: Position,
}

impl Survey {
    fn take(
        disk: &dyn Disk,
        directory: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Self, SpoolError> {
        let mut greatest_number = 0;
        let mut files = Vec::new();
        for name in disk.list(directory).map_err(|error| spool_error(&error))? {
            let Some(number) = segment_number(&name) else { continue };
            greatest_number = greatest_number.max(number);
            match examine(disk, directory, number) {
                Ok(Some(found)) => files.push(found),
                Ok(None) => {}
                Err(SpoolError::Damaged { what, .. }) => notes.push(what),
                Err(error) => return Err(error),
            }
        }
        let headers: Vec<SegmentHeader> = files.iter().filter_map(|f| f.header).collect();
        let salt = headers.first().map_or_else(draw_salt, |header| header.salt);
        let mut survey = Self {
            salt,
            floor: headers.iter().map(|header| header.floor).max().unwrap_or(0),
            live: BTreeMap::new(),
            ends: HashMap::new(),
            skipped: Vec::new(),
            spare: Vec::new(),
            greatest_generation: 0,
            greatest_number,
            octets: files.iter().map(|found| found.file.size).sum(),
            last_id: MessageId::from_u64(0),
        };
        for header in &headers {
            survey.last_id = survey.last_id.max(header.last_id);
            if header.generation >= survey.floor {
                survey.ends.insert(header.previous, header.previous_end);
                survey.skipped.push((header.previous, header.generation));
            }
        }
        for found in files {
            survey.classify(disk, directory, found, notes);
        }
        Ok(survey)
    }

    /// Says what is to become of a file.
    fn classify(
        &mut self,
        disk: &dyn Disk,
        directory: &Path,
        found: Examined,
        notes: &mut Vec<String>,
    ) {
        let mut file = found.file;
        if found.header.is_none() && file.generation != 0 {
            let name = segment_path(directory, file.number);
            let Some(generation) = scan::generation(&file.file, self.salt) else {
                let aside = name.with_extension("damaged");
                notes.push(format!(
                    "the segment {} has a damaged header and no intact record: it is kept as {}",
                    name.display(),
                    aside.display()
                ));
                let _ = disk.rename(&name, &aside);
                self.octets -= file.size;
                return;
            };
            notes.push(format!("the segment {} has a damaged header", name.display()));
            file.generation = generation;
        }
        let generation = file.generation;
        self.greatest_generation = self.greatest_generation.max(generation);
        let given_up = self.skipped.iter().any(|(from, to)| *from < generation && generation < *to);
        if given_up {
            if disk.remove(&segment_path(directory, file.number)).is_ok() {
                self.octets -= file.size;
            }
        } else if generation == 0 || generation < self.floor {
            self.spare.push(file);
        } else {
            self.live.insert(generation, file);
        }
    }

    /// Reads the checkpoint and what came after, or everything.
    fn replay(&self, disk: &dyn Disk, directory: &Path, notes: &mut Vec<String>) -> Replayed {
        // What the process before left in the kernel's memory is made durable before
        // anything is built on it.
        if let Some((generation, file)) = self.live.last_key_value()
            && let Err(error) = file.file.sync_data()
        {
            notes.push(format!("the segment of generation {generation} does not sync: {error}"));
        }
        let usable = |heading: &Heading| {
            let Position { generation, offset } = heading.position;
            let end = self.ends.get(&generation).copied().unwrap_or(u64::MAX);
            heading.salt == self.salt && self.live.contains_key(&generation) && offset <= end
        };
        let (heading, index) = match checkpoint::read(disk, directory, usable) {
            Ok((heading, index)) => (Some(heading), index),
            Err(missing) => {
                if let Missing::Damaged(what) = missing {
                    notes.push(format!("the checkpoint is damaged and was left aside: {what}"));
                }
                (None, Index::default())
            }
        };
        let from = heading.map_or(Position::default(), |heading| heading.position);
        let heading_id = heading.map_or(self.last_id, |heading| heading.last_id);
        let mut replayed = Replayed { index, last_id: self.last_id.max(heading_id), end: from };
        for (generation, file) in self.live.range(from.generation..) {
            let start = if *generation == from.generation { from.offset } else { 0 };
            self.replay_segment(file, start, &mut replayed, notes);
        }
        replayed
    }

    fn replay_segment(
        &self,
        file: &SegmentFile,
        from: u64,
        replayed: &mut Replayed,
        notes: &mut Vec<String>,
    ) {
        let generation = file.generation;
        let to = self.ends.get(&generation).copied().unwrap_or(u64::MAX);
        let range = scan::Range { salt: self.salt, generation, from, to };
        let mut damage: Vec<Damage> = Vec::new();
        let end = scan::scan(
            &file.file,
            range,
            |found, payload| {
                replayed.last_id = replayed.last_id.max(found.id);
                apply(&mut replayed.index, generation, found, payload)
            },
            &mut damage,
        );
        replayed.end = Position { generation, offset: end };
        for Damage { id, offset, what } in damage {
            let of =
                id.map_or_else(|| "an unknown message".to_owned(), |id| format!("message {id}"));
            let tail = if offset >= end && self.live.keys().next_back() == Some(&generation) {
                "; it is the last in the log, so if the machine lost power it may never have been \
                 acknowledged"
            } else {
                ""
            };
            notes.push(format!(
                "a record of {of} in segment file {:08x} at {offset} is damaged: {what}{tail}",
                file.number
            ));
        }
    }

    /// Forgets messages whose segment is not there: a checkpoint named them, but what
    /// came after it is lost.
    fn drop_lost(&self, index: &mut Index<Location>, notes: &mut Vec<String>) {
        let lost: Vec<MessageId> = index
            .ids_after(None)
            .filter(|(_, location)| !self.live.contains_key(&location.placed.generation))
            .map(|(id, _)| id)
            .collect();
        for id in lost {
            index.remove(id);
            notes.push(format!("message {id} is lost: its segment is not there"));
        }
    }

    fn hand_over(self, log: &mut Log, end: Position, last_id: MessageId) {
        log.salt = self.salt;
        log.next_generation = self.greatest_generation + 1;
        log.next_number = self.greatest_number + 1;
        log.durable_floor = self.floor;
        log.sealed_end = end;
        log.last_id = last_id;
        log.octets.store(self.octets, Ordering::Relaxed);
        for file in self.live.into_values() {
            let spoiled = file.size != log.segment_size;
            log.sealed.push_back(Segment { file, alive: 0, spoiled });
        }
        for file in self.spare {
            if file.size == log.segment_size {
                log.spare.push(file);
            } else {
                log.retired.push(file);
            }
        }
    }
}

/// Reads a file's header; `None` if the file was never finished and has been removed.
fn examine(disk: &dyn Disk, directory: &Path, number: u64) -> Result<Option<Examined>, SpoolError> {
    let path = segment_path(directory, number);
    let unreadable = |error: std::io::Error| SpoolError::Damaged {
        id: MessageId::from_u64(0),
        what: format!("the segment {} cannot be read: {error}", path.display()),
    };
    let file = disk.open(&path).map_err(unreadable)?;
    let size = file.len().map_err(unreadable)?;
    let mut sectors = vec![0; usize::try_from(FIRST_RECORD).unwrap_or_default()];
    let count = file.read_at(&mut sectors, 0).map_err(unreadable)?;
    sectors.truncate(count);
    let mut file = SegmentFile { file, number, size, generation: 0 };
    let header = match SegmentHeader::decode(&sectors) {
        ReadHeader::Valid(header) => {
            file.generation = header.generation;
            Some(header)
        }
        ReadHeader::Unknown(version) => {
            return Err(SpoolError::Io(format!(
                "{} has format {version}, and this program reads format {}: \
                 use the program that wrote it, or a newer one",
                path.display(),
                super::record::VERSION
            )));
        }
        ReadHeader::Blank if size < FIRST_RECORD => {
            let _ = disk.remove(&path);
            return Ok(None);
        }
        ReadHeader::Blank => None,
        ReadHeader::Damaged => {
            // Any number but zero: it is found out from the records.
            file.generation = u64::MAX;
            None
        }
    };
    Ok(Some(Examined { file, header }))
}

fn apply(
    index: &mut Index<Location>,
    generation: u64,
    found: Found,
    payload: &[u8],
) -> Result<(), String> {
    let Found { id, offset, octets, .. } = found;
    let said = match found.kind {
        Kind::Message => Payload::take(payload).and_then(|payload| {
            let envelope = EncodedEnvelope::decode(payload.envelope)?;
            let placed = Placed {
                generation,
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                octets: u32::try_from(octets).unwrap_or(u32::MAX),
            };
            let location = Location { placed, spilled: payload.spilled.map(Box::new) };
            index.insert(id, envelope, (payload.size(), location), Timestamp::default());
            index.apply(id, payload.states).map(drop)
        }),
        Kind::State => index.apply(id, payload).map(drop),
        Kind::Gone => {
            index.remove(id);
            Ok(())
        }
    };
    said.map_err(|malformed| malformed.to_string())
}

/// Sees to it that every file of content belongs to a message and every message has
/// its file.
fn check_contents(
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    index: &mut Index<Location>,
    notes: &mut Vec<String>,
) -> Result<ContentFiles, SpoolError> {
    let wanted: HashMap<u64, (MessageId, SpilledAt)> = index
        .ids_after(None)
        .filter_map(|(id, location)| {
            let at = **location.spilled.as_ref()?;
            Some((at.number, (id, at)))
        })
        .collect();
    let mut whole = HashSet::new();
    let (mut greatest, mut octets) = (0, 0);
    for name in disk.list(&directory).map_err(|error| spool_error(&error))? {
        let Some(number) = content_number(&name) else { continue };
        greatest = greatest.max(number);
        let path = content_path(&directory, number);
        let Some((_, at)) = wanted.get(&number) else {
            let _ = disk.remove(&path);
            continue;
        };
        octets += at.octets;
        if disk.open(&path).and_then(|file| file.len()).is_ok_and(|len| len >= at.octets) {
            whole.insert(number);
        }
    }
    for (number, (id, _)) in wanted.iter().filter(|(number, _)| !whole.contains(number)) {
        index.remove(*id);
        notes.push(format!("message {id} is lost: its content, {number:08x}.content, is cut"));
    }
    let greatest = wanted.keys().copied().fold(greatest, u64::max);
    Ok(ContentFiles::new(disk, directory, greatest + 1, octets))
}

/// A number that nobody can guess who puts records into a message's text.
fn draw_salt() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("salt")
}
