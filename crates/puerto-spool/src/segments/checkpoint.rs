//! The index as it stood at some place of the log, so that a start reads only what
//! came after.
//!
//! It is written a page at a time while the index goes on changing, so it may be
//! ahead of its place in the log; that does no harm, since records say how things
//! are. It is only a shortcut: one that is damaged, or that names a place which is no
//! longer there, is left aside and all segments are read.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::core::{Location, lock};
use super::log::{Placed, Position};
use super::payload::SpilledAt;
use super::scan::read_whole;
use crate::codec::{Malformed, Put, Take};
use crate::disk::{Disk, File};
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index};

/// What stands at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) salt: u64,
    /// Everything before this place of the log is in the checkpoint.
    pub(crate) position: Position,
    pub(crate) last_id: MessageId,
}

const MAGIC: &[u8; 8] = b"PUERTOCP";
/// The formats differ as those of segments do.
const VERSION: u32 = 3;
const NAME: &str = "checkpoint";
const NEW_NAME: &str = "checkpoint.new";
const HEADING: usize = 8 + 4 + 4 * 8;
const PAGE: usize = 256;
const PIECE: usize = 256 * 1024;

/// Writes a checkpoint in place of the one before; returns its length.
pub(crate) fn write(
    disk: &dyn Disk,
    directory: &Path,
    heading: Heading,
    index: &Mutex<Index<Location>>,
    now: Timestamp,
) -> io::Result<u64> {
    let new = directory.join(NEW_NAME);
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = Writer {
        file: disk.create(&new)?,
        written: 0,
        buffer: Vec::new(),
        hasher: crc32fast::Hasher::new(),
    };
    out.buffer.extend_from_slice(MAGIC);
    out.buffer.put_u32(VERSION);
    let Position { generation, offset } = heading.position;
    for number in [heading.salt, generation, offset, heading.last_id.as_u64()] {
        out.buffer.put_u64(number);
    }
    let mut after = None;
    loop {
        let last = put_page(&lock(index), after, now, &mut out.buffer);
        out.flush(PIECE)?;
        match last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let length = out.finish()?;
    disk.rename(&new, &directory.join(NAME))?;
    disk.sync_dir(directory)?;
    Ok(length)
}

fn put_page(
    index: &Index<Location>,
    after: Option<MessageId>,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Option<MessageId> {
    let mut last = None;
    for (id, location) in index.ids_after(after).take(PAGE) {
        last = Some(id);
        let (Some((envelope, size, _)), Some(states)) = (index.stored(id), index.snapshot(id, now))
        else {
            continue;
        };
        let mut entry = Vec::with_capacity(64 + envelope.len() + states.len());
        entry.put_u64(id.as_u64());
        entry.put_u64(location.placed.generation);
        entry.put_u32(location.placed.offset);
        entry.put_u32(location.placed.octets);
        entry.put_u64(size);
        match &location.spilled {
            None => entry.put_u8(0),
            Some(at) => {
                entry.put_u8(1);
                entry.put_u64(at.number);
                entry.put_u64(at.octets);
                entry.put_u32(at.checksum);
            }
        }
        entry.put_bytes(envelope);
        entry.put_bytes(&states);
        out.put_bytes(&entry);
    }
    last
}

struct Writer {
    file: Arc<dyn File>,
    written: u64,
    buffer: Vec<u8>,
    hasher: crc32fast::Hasher,
}

impl Writer {
    fn flush(&mut self, at_least: usize) -> io::Result<()> {
        if self.buffer.len() >= at_least {
            self.hasher.update(&self.buffer);
            self.file.write_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush(1)?;
        let checksum = self.hasher.finalize().to_le_bytes();
        self.file.write_at(&checksum, self.written)?;
        self.file.sync_data()?;
        Ok(self.written + 4)
    }
}

/// Why there is no checkpoint to begin with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is none, or one of another store or version.
    Absent,
    /// It was read, and is not what was written.
    Damaged(String),
    /// It could not be read.
    Unread(String),
}

/// What the checkpoint says at its beginning; `None` if there is none that this program
/// knows. An error says that it could not be read.
pub(crate) fn heading(disk: &dyn Disk, directory: &Path) -> io::Result<Option<Heading>> {
    let file = match disk.open(&directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if file.len()? < HEADING as u64 {
        return Ok(None);
    }
    let mut octets = [0; HEADING];
    read_whole(&*file, &mut octets, 0)?;
    Ok(take_heading(&octets).ok().flatten())
}

/// Moves a checkpoint away that is not ours or cannot be read, so that the next one does
/// not replace it.
pub(crate) fn set_aside(disk: &dyn Disk, directory: &Path, as_what: &str) -> io::Result<()> {
    let name = directory.join(NAME);
    disk.rename(&name, &name.with_extension(as_what))
}

/// Reads a checkpoint whose heading `usable` accepts.
pub(crate) fn read(
    disk: &dyn Disk,
    directory: &Path,
    usable: impl Fn(&Heading) -> bool,
) -> Result<(Heading, Index<Location>), Missing> {
    let unread = |error: io::Error| Missing::Unread(error.to_string());
    let malformed = |what: Malformed| Missing::Damaged(what.to_string());
    let cut = || Missing::Damaged("it is cut".to_owned());
    let file = match disk.open(&directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Missing::Absent),
        file => file.map_err(unread)?,
    };
    let length = file.len().map_err(unread)?;
    let body = length.checked_sub(4).filter(|body| *body >= HEADING as u64).ok_or_else(cut)?;
    let hasher = crc32fast::Hasher::new();
    let source = FileReader { file: Arc::clone(&file), offset: 0, end: body, hasher };
    let mut source = io::BufReader::with_capacity(PIECE, source);
    let mut octets = [0; HEADING];
    source.read_exact(&mut octets).map_err(unread)?;
    let heading = take_heading(&octets).map_err(malformed)?;
    let Some(heading) = heading.filter(usable) else { return Err(Missing::Absent) };
    let mut index = Index::default();
    let mut left = body - HEADING as u64;
    let mut entry = Vec::new();
    while left > 0 {
        let mut prefix = [0; 4];
        left = left.checked_sub(4).ok_or_else(cut)?;
        source.read_exact(&mut prefix).map_err(unread)?;
        let size = u64::from(u32::from_le_bytes(prefix));
        left = left.checked_sub(size).ok_or_else(cut)?;
        entry.resize(usize::try_from(size).unwrap_or_default(), 0);
        source.read_exact(&mut entry).map_err(unread)?;
        take_entry(&entry, &mut index).map_err(malformed)?;
    }
    let mut checksum = [0; 4];
    read_whole(&*file, &mut checksum, body).map_err(unread)?;
    if u32::from_le_bytes(checksum) != source.into_inner().hasher.finalize() {
        return Err(Missing::Damaged("its checksum does not fit".to_owned()));
    }
    Ok((heading, index))
}

fn take_heading(octets: &[u8]) -> Result<Option<Heading>, Malformed> {
    let mut from = Take(octets);
    if from.raw(8)? != MAGIC {
        return Err(Malformed("it does not begin as a checkpoint does"));
    }
    if !(1..=VERSION).contains(&from.u32()?) {
        return Ok(None);
    }
    Ok(Some(Heading {
        salt: from.u64()?,
        position: Position { generation: from.u64()?, offset: from.u64()? },
        last_id: MessageId::from_u64(from.u64()?),
    }))
}

fn take_entry(octets: &[u8], index: &mut Index<Location>) -> Result<(), Malformed> {
    let mut from = Take(octets);
    let id = MessageId::from_u64(from.u64()?);
    let placed = Placed { generation: from.u64()?, offset: from.u32()?, octets: from.u32()? };
    let size = from.u64()?;
    let spilled = match from.u8()? {
        0 => None,
        _ => Some(Box::new(SpilledAt {
            number: from.u64()?,
            octets: from.u64()?,
            checksum: from.u32()?,
        })),
    };
    let envelope = EncodedEnvelope::decode(from.bytes()?)?;
    let states = from.bytes()?;
    from.end()?;
    index.insert(id, envelope, (size, Location { placed, spilled }), Timestamp::default());
    index.apply(id, states)?;
    Ok(())
}

struct FileReader {
    file: Arc<dyn File>,
    offset: u64,
    end: u64,
    hasher: crc32fast::Hasher,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let wanted = buffer.get_mut(..length).unwrap_or_default();
        let count = self.file.read_at(wanted, self.offset)?;
        self.hasher.update(wanted.get(..count).unwrap_or_default());
        self.offset += count as u64;
        Ok(count)
    }
}
