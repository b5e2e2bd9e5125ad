//! The writing side of the log: where the next record goes, and which files there are.
//!
//! One segment is *active*: records are gathered in a buffer and become durable with
//! [`Log::sync`]. Full ones are *sealed*, in the order of their generations. They are
//! freed from the oldest on only, so that a record which says that a message is gone
//! always outlives the record of the message. *Spare* files wait to be recycled. A
//! file of which a write or a sync has failed is never written again.
//!
//! Each new segment's header says up to where the one before it counts. What stood in
//! a batch whose sync failed is void by that, whether it reached the disk or not.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{FIRST_RECORD, Kind, RecordHeader, SegmentHeader, framed};
use crate::disk::{Disk, File};
use crate::id::MessageId;

/// A file that holds, held or will hold a segment.
#[derive(Clone)]
pub(crate) struct SegmentFile {
    pub(crate) file: Arc<dyn File>,
    /// Its name.
    pub(crate) number: u64,
    /// Its length.
    pub(crate) size: u64,
    /// What it holds or held; 0 if nothing yet.
    pub(crate) generation: u64,
    /// Behind so many octets there are zeros.
    pub(crate) used: u64,
}

impl SegmentFile {
    fn is_blank(&self) -> bool {
        self.used <= FIRST_RECORD
    }
}

/// A segment whose records count.
pub(crate) struct Segment {
    pub(crate) file: SegmentFile,
    /// Octets of records of messages that are queued and are here.
    pub(crate) alive: u64,
    /// A write or sync failed, or the file has an odd size: it is not recycled.
    pub(crate) spoiled: bool,
    /// Something in it is damaged: it is kept for people to look at.
    pub(crate) damaged: bool,
}

impl Segment {
    /// Its place in the order of the log.
    pub(crate) fn generation(&self) -> u64 {
        self.file.generation
    }
}

struct Active {
    segment: Segment,
    header: SegmentHeader,
    /// Where the next record goes.
    offset: u64,
    /// Up to where it has been written.
    written: u64,
    /// Up to where it is durable.
    synced: u64,
    failed: Option<io::Error>,
}

/// A record to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    pub(crate) payload: &'a [u8],
    /// The payload's CRC-32.
    pub(crate) checksum: u32,
}

/// Where a record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) generation: u64,
    pub(crate) offset: u32,
    pub(crate) octets: u32,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) generation: u64,
    pub(crate) offset: u64,
}

impl Position {
    /// What a header says of the segments before it when not all of them can be read:
    /// none was given up, and each counts as far as it goes.
    pub(crate) fn unknown_before(generation: u64) -> Self {
        Self { generation: generation.saturating_sub(1), offset: u64::MAX }
    }
}

/// See the module.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    /// Octets of an ordinary segment.
    pub(crate) segment_size: u64,
    pub(crate) salt: u64,
    pub(crate) sealed: VecDeque<Segment>,
    pub(crate) spare: Vec<SegmentFile>,
    /// Files that hold nothing and must not be written again.
    pub(crate) retired: Vec<SegmentFile>,
    /// Files that are damaged and hold nothing else that counts.
    pub(crate) damaged: Vec<SegmentFile>,
    /// Some files could not be read, so nothing is known of what they say of others: no
    /// segment is freed.
    pub(crate) frozen: bool,
    /// Such files may come right before the next segment: its header voids none.
    pub(crate) unlinked: bool,
    pub(crate) next_generation: u64,
    pub(crate) next_number: u64,
    /// The floor that is written in a durable header.
    pub(crate) durable_floor: u64,
    /// Up to where the log counts when the active segment is left aside.
    pub(crate) sealed_end: Position,
    /// Octets of all files, read elsewhere without waiting for a sync.
    pub(crate) octets: Arc<AtomicU64>,
    pub(crate) last_id: MessageId,
    active: Option<Active>,
    buffer: Vec<u8>,
    /// Octets of records written since the store was opened.
    pub(crate) grown: u64,
}

/// A buffer that has become this large is written before the batch is whole.
const WRITE_AT_ONCE: usize = 2 * 1024 * 1024;
/// A buffer keeps at most this capacity between batches.
const KEEP_BUFFER: usize = 1024 * 1024;

impl Log {
    /// A log without an active segment.
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: PathBuf, segment_size: u64) -> Self {
        Self {
            disk,
            directory,
            segment_size,
            salt: 0,
            sealed: VecDeque::new(),
            spare: Vec::new(),
            retired: Vec::new(),
            damaged: Vec::new(),
            frozen: false,
            unlinked: false,
            next_generation: 1,
            next_number: 1,
            durable_floor: 0,
            sealed_end: Position::default(),
            octets: Arc::default(),
            last_id: MessageId::from_u64(0),
            active: None,
            buffer: Vec::new(),
            grown: 0,
        }
    }

    /// Whether there is a segment to write to.
    pub(crate) fn is_writable(&self) -> bool {
        self.active.is_some()
    }

    /// How many octets still fit into the active segment.
    pub(crate) fn room(&self) -> u64 {
        let fits = |active: &Active| active.segment.file.size.saturating_sub(active.offset);
        self.active.as_ref().map_or(0, fits)
    }

    /// Whether the next segment comes near.
    pub(crate) fn is_half_full(&self) -> bool {
        self.room() < self.segment_size / 2
    }

    /// Puts a record behind the last one. There must be room for it; a failure shows
    /// at the next [`Log::sync`].
    pub(crate) fn append(&mut self, record: NewRecord<'_>) -> Option<Placed> {
        let active = self.active.as_mut()?;
        let offset = active.offset;
        let header = RecordHeader {
            kind: record.kind,
            id: record.id,
            generation: active.segment.generation(),
            payload: u32::try_from(record.payload.len()).ok()?,
            checksum: record.checksum,
        };
        header.put(record.payload, self.salt, offset, &mut self.buffer);
        let octets = framed(record.payload.len());
        active.offset += octets;
        self.grown += octets;
        self.last_id = self.last_id.or_later(record.id);
        let placed = Placed {
            generation: header.generation,
            offset: u32::try_from(offset).ok()?,
            octets: u32::try_from(octets).ok()?,
        };
        if self.buffer.len() >= WRITE_AT_ONCE {
            self.write_buffer();
        }
        Some(placed)
    }

    /// Makes everything durable that was appended. After an error the active segment
    /// is sealed up to where it was durable before, and there is none.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.write_buffer();
        let Some(active) = self.active.as_mut() else {
            return Err(io::Error::other("no segment can be written"));
        };
        if active.offset == active.synced && active.failed.is_none() {
            return Ok(());
        }
        let result = match active.failed.take() {
            Some(error) => Err(error),
            None => active.segment.file.file.sync_data(),
        };
        match result {
            Ok(()) => {
                active.synced = active.offset;
                Ok(())
            }
            Err(error) => {
                active.segment.spoiled = true;
                self.seal();
                Err(error)
            }
        }
    }

    fn write_buffer(&mut self) {
        if let Some(active) = self.active.as_mut()
            && active.failed.is_none()
            && !self.buffer.is_empty()
        {
            match active.segment.file.file.write_at(&self.buffer, active.written) {
                Ok(()) => active.written = active.offset,
                Err(error) => active.failed = Some(error),
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEEP_BUFFER);
    }

    /// Ends the active segment where it is durable.
    pub(crate) fn seal(&mut self) {
        let Some(mut active) = self.active.take() else { return };
        self.buffer.clear();
        active.segment.file.used = active.segment.file.used.max(active.offset);
        self.sealed_end =
            Position { generation: active.segment.generation(), offset: active.synced };
        self.sealed.push_back(active.segment);
    }

    /// A spare or new file that has room for `octets` of records.
    pub(crate) fn take_file(&mut self, octets: u64) -> io::Result<SegmentFile> {
        let size = self.segment_size.max((octets + FIRST_RECORD).next_multiple_of(4096));
        match self.spare.iter().position(|file| file.size >= size) {
            Some(place) => Ok(self.spare.remove(place)),
            None => self.create(size),
        }
    }

    /// Begins a new segment in a file; the one before must be sealed.
    pub(crate) fn begin(&mut self, mut file: SegmentFile) -> io::Result<SegmentFile> {
        let generation = self.next_generation;
        self.next_generation += 1;
        file.generation = generation;
        let floor = self.sealed.front().map_or(generation, Segment::generation);
        let previous = match self.unlinked {
            true => Position::unknown_before(generation),
            false => self.sealed_end,
        };
        let header = SegmentHeader {
            generation,
            floor: if self.frozen { self.durable_floor } else { floor },
            previous: previous.generation,
            previous_end: previous.offset,
            salt: self.salt,
            last_id: self.last_id,
        };
        let written = file.file.write_at(&header.encode(), 0);
        if let Err(error) = written.and_then(|()| file.file.sync_data()) {
            self.discard(&file);
            return Err(error);
        }
        self.durable_floor = header.floor;
        self.unlinked = false;
        let spoiled = file.size != self.segment_size;
        self.active = Some(Active {
            segment: Segment { file: file.clone(), alive: 0, spoiled, damaged: false },
            header,
            offset: FIRST_RECORD,
            written: FIRST_RECORD,
            synced: FIRST_RECORD,
            failed: None,
        });
        Ok(file)
    }

    /// Makes a file full of zeros: overwriting blocks that exist is what makes a sync
    /// cheap, and what keeps room for records when the disk is full.
    pub(crate) fn create(&mut self, size: u64) -> io::Result<SegmentFile> {
        let number = self.next_number;
        self.next_number += 1;
        let file = create_file(&*self.disk, &self.directory, number, (size, self.salt))?;
        self.octets.fetch_add(size, Ordering::Relaxed);
        Ok(file)
    }

    /// Takes a file away that must not be used again. If that fails, it is met again
    /// at the next start, where its header says that it does not count.
    pub(crate) fn discard(&mut self, file: &SegmentFile) {
        if self.disk.remove(&segment_path(&self.directory, file.number)).is_ok() {
            self.octets.fetch_sub(file.size, Ordering::Relaxed);
        }
    }

    /// Frees the oldest segments in which nothing is alive; returns their generations.
    pub(crate) fn free_dead(&mut self) -> Vec<u64> {
        let mut freed = Vec::new();
        if self.frozen {
            return freed;
        }
        while let Some(segment) = self.sealed.pop_front_if(|segment| segment.alive == 0) {
            freed.push(segment.generation());
            if segment.damaged {
                self.damaged.push(segment.file);
            } else if segment.spoiled {
                self.retired.push(segment.file);
            } else {
                self.spare.push(segment.file);
            }
        }
        freed
    }

    /// Whether anything was written since the active segment was begun, or is sealed.
    pub(crate) fn has_a_past(&self) -> bool {
        let is_used = |active: &Active| active.offset > FIRST_RECORD;
        self.active.as_ref().is_none_or(is_used) || !self.sealed.is_empty()
    }

    /// A spare file without a trace of mail.
    pub(crate) fn take_blank(&mut self) -> Option<SegmentFile> {
        let place = self.spare.iter().position(SegmentFile::is_blank)?;
        Some(self.spare.swap_remove(place))
    }

    /// A spare file in which mail was, of which a durable header says that it does not
    /// count.
    pub(crate) fn take_used(&mut self) -> Option<SegmentFile> {
        let floor = self.durable_floor;
        let is_used = |file: &SegmentFile| !file.is_blank() && file.generation < floor;
        let place = self.spare.iter().position(is_used)?;
        Some(self.spare.swap_remove(place))
    }

    /// Takes files away that are not needed: spoiled ones, and spare ones but for
    /// `keep`. Only those go of which a durable header says that they do not count:
    /// else one whose removal the disk forgot could bring back what is gone.
    pub(crate) fn remove_surplus(&mut self, keep: usize) {
        let floor = self.durable_floor;
        for file in self.damaged.extract_if(.., |file| file.generation < floor) {
            let path = segment_path(&self.directory, file.number);
            if self.disk.rename(&path, &path.with_extension(DAMAGED)).is_ok() {
                self.octets.fetch_sub(file.size, Ordering::Relaxed);
            }
        }
        let mut surplus: Vec<SegmentFile> =
            self.retired.extract_if(.., |file| file.generation < floor).collect();
        while self.spare.len() > keep {
            let Some(place) = self.spare.iter().position(|file| file.generation < floor) else {
                break;
            };
            surplus.push(self.spare.swap_remove(place));
        }
        for file in &surplus {
            self.discard(file);
        }
    }

    /// Writes the active segment's header anew, if that lets surplus files go.
    pub(crate) fn raise_floor(&mut self, keep: usize) {
        let Some(active) = self.active.as_mut() else { return };
        let generation = active.segment.generation();
        let floor = self.sealed.front().map_or(generation, Segment::generation);
        let wanted = self.spare.len() > keep || !self.damaged.is_empty();
        if self.frozen || !wanted || floor <= self.durable_floor || active.failed.is_some() {
            return;
        }
        active.header.floor = floor;
        let file = &active.segment.file.file;
        match file.write_at(&active.header.encode(), 0).and_then(|()| file.sync_data()) {
            Ok(()) => self.durable_floor = floor,
            // What the next batch is told, so that the segment is left aside.
            Err(error) => active.failed = Some(error),
        }
    }

    /// More octets are alive in a segment.
    pub(crate) fn enliven(&mut self, placed: Placed) {
        if let Some(segment) = self.segment_mut(placed.generation) {
            segment.alive += u64::from(placed.octets);
        }
    }

    /// Fewer octets are alive in a segment.
    pub(crate) fn release(&mut self, placed: Placed) {
        if let Some(segment) = self.segment_mut(placed.generation) {
            segment.alive = segment.alive.saturating_sub(u64::from(placed.octets));
        }
    }

    /// Something in a segment is damaged.
    pub(crate) fn mark_damaged(&mut self, generation: u64) {
        if let Some(segment) = self.segment_mut(generation) {
            segment.damaged = true;
        }
    }

    /// Takes in segments that could not be read before.
    pub(crate) fn adopt(&mut self, segments: impl Iterator<Item = Segment>) {
        for segment in segments {
            let place =
                self.sealed.binary_search_by_key(&segment.generation(), Segment::generation);
            match place {
                Ok(known) => {
                    if let Some(known) = self.sealed.get_mut(known) {
                        known.damaged |= segment.damaged;
                    }
                }
                Err(place) => self.sealed.insert(place, segment),
            }
        }
        self.frozen = false;
    }

    fn segment_mut(&mut self, generation: u64) -> Option<&mut Segment> {
        if let Some(active) = &mut self.active
            && active.segment.generation() == generation
        {
            return Some(&mut active.segment);
        }
        let place = self.sealed.binary_search_by_key(&generation, Segment::generation).ok()?;
        self.sealed.get_mut(place)
    }

    /// Octets of segments whose records count, and those alive in them.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let segments = self.active.iter().map(|active| &active.segment).chain(&self.sealed);
        segments.fold((0, 0), |(size, alive), segment| {
            (size + segment.file.size, alive + segment.alive)
        })
    }

    /// Up to where everything is durable.
    pub(crate) fn durable_end(&self) -> Position {
        self.active.as_ref().map_or(self.sealed_end, |active| Position {
            generation: active.segment.generation(),
            offset: active.synced,
        })
    }
}

/// Where a segment's file is.
pub(crate) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08x}.segment"))
}

/// The number of a segment's file.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".segment")?, 16).ok()
}

/// What a file is called that was set aside for its damage.
pub(crate) const DAMAGED: &str = "damaged";

/// Makes a file full of zeros whose name and content are durable. Its header says that it
/// holds nothing: one without could be a segment that has lost its beginning.
pub(crate) fn create_file(
    disk: &dyn Disk,
    directory: &Path,
    number: u64,
    (size, salt): (u64, u64),
) -> io::Result<SegmentFile> {
    let path = segment_path(directory, number);
    let file = disk.create(&path)?;
    match blank(&*file, size, salt).and_then(|()| disk.sync_dir(directory)) {
        Ok(()) => Ok(SegmentFile { file, number, size, generation: 0, used: FIRST_RECORD }),
        Err(error) => {
            // A partial file would take the space that is missing.
            let _ = disk.remove(&path);
            Err(error)
        }
    }
}

/// Makes a file blank again, as one is made, and this durable. What stands in it must not
/// count any more.
pub(crate) fn wipe(file: &SegmentFile, salt: u64) -> io::Result<SegmentFile> {
    blank(&*file.file, file.used.min(file.size), salt)?;
    Ok(SegmentFile { generation: 0, used: FIRST_RECORD, ..file.clone() })
}

// A header that says that nothing is there, and zeros behind it.
fn blank(file: &dyn File, size: u64, salt: u64) -> io::Result<()> {
    const CHUNK: u64 = 1024 * 1024;
    // The log's own syncs, for which clients wait, are not to queue behind all of it.
    const SYNC_EVERY: u64 = 4 * CHUNK;
    let zeros = vec![0; usize::try_from(CHUNK.min(size)).unwrap_or_default()];
    file.write_at(&SegmentHeader::unused(salt).encode(), 0)?;
    for offset in (0..size).step_by(zeros.len().max(1)) {
        let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
        if offset > 0 && offset % SYNC_EVERY == 0 {
            file.sync_data()?;
        }
        let from = if offset == 0 { FIRST_RECORD } else { 0 };
        let zeros = zeros.get(..left).unwrap_or(&zeros);
        let rest = usize::try_from(from).ok().and_then(|from| zeros.get(from..));
        file.write_at(rest.unwrap_or_default(), offset + from)?;
    }
    file.sync_data()
}
