//! One file of notes, and its index.
//!
//! The file begins with eight octets that say what it is. A note is its length and its
//! checksum (CRC-32), in four octets each, and then the message's id, the time, how many
//! keys there are, the keys, and what was noted. Numbers are little-endian.
//!
//! The index of a file that is full is a head, the ids with where their notes are, in order,
//! and the keys with their ids, in order: a look-up is a search in each of the two, of a few
//! octets at a time. An index that is missing is made again from the file.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use puerto_spool::{MessageId, Note, Timestamp};

const MAGIC: &[u8; 8] = b"PUERTOH1";
const INDEX_MAGIC: &[u8; 8] = b"PUERTOI1";
/// Octets before the first note, and before a note's own.
const START: u64 = 8;
const HEAD: usize = 8;
/// Octets of a note before its keys.
const FIXED: usize = 20;
/// Octets of a note at most: one with a hundred thousand recipients has fewer.
const LARGEST_NOTE: usize = 64 << 20;
/// Octets of an index's head, and of what it has of a note and of a key.
const INDEX_HEAD: u64 = 40;
const ID_ENTRY: u64 = 12;
const KEY_ENTRY: u64 = 16;

/// The file of a number.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.history"))
}

fn index_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.index"))
}

/// The number of a file of notes.
pub(super) fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.strip_suffix(".history")?.parse().ok()
}

/// Appends a note.
pub(super) fn encode(out: &mut Vec<u8>, note: &Note) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.extend_from_slice(&note.id.as_u64().to_le_bytes());
    out.extend_from_slice(&note.at.as_millis().to_le_bytes());
    out.extend_from_slice(&u32::try_from(note.keys.len()).unwrap_or(0).to_le_bytes());
    note.keys.iter().for_each(|key| out.extend_from_slice(&key.to_le_bytes()));
    out.extend_from_slice(&note.octets);
    let Some((head, rest)) = out.get_mut(start..).and_then(|all| all.split_at_mut_checked(HEAD))
    else {
        return;
    };
    let (length, checksum) = head.split_at_mut(4);
    length.copy_from_slice(&u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes());
    checksum.copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
}

fn decode(octets: &[u8]) -> Option<Note> {
    let (id, rest) = octets.split_first_chunk::<8>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?;
    let (keys, octets) = rest.split_at_checked(count)?;
    let keys = keys.chunks_exact(8).filter_map(|key| key.first_chunk::<8>());
    Some(Note {
        id: MessageId::from_u64(u64::from_le_bytes(*id)),
        at: Timestamp::from_millis(i64::from_le_bytes(*at)),
        keys: keys.map(|key| u64::from_le_bytes(*key)).collect(),
        octets: octets.to_vec(),
    })
}

/// Reads the next note; `None` at the end, and where no whole note follows.
fn next(from: &mut impl Read) -> Option<(Note, u64)> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).ok()?;
    let (length, checksum) = sizes(head)?;
    let mut octets = Vec::new();
    from.take(length as u64).read_to_end(&mut octets).ok()?;
    if octets.len() != length || crc32fast::hash(&octets) != checksum {
        return None;
    }
    Some((decode(&octets)?, (HEAD + length) as u64))
}

/// The notes of a file from a place in it on. What is no note is passed over, up to the next
/// that is one.
struct Notes<'a> {
    file: &'a File,
    reader: BufReader<&'a File>,
    /// Behind the last note that was read.
    place: u64,
    /// Octets before it that were passed over.
    damaged: u64,
}

impl<'a> Notes<'a> {
    fn from(file: &'a File, place: u64) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(256 << 10, file);
        reader.seek(SeekFrom::Start(place))?;
        Ok(Self { file, reader, place, damaged: 0 })
    }
}

impl Iterator for Notes<'_> {
    type Item = (Note, u64);

    // With each, where it begins.
    fn next(&mut self) -> Option<Self::Item> {
        let (note, octets) = match next(&mut self.reader) {
            Some(read) => read,
            None => {
                let behind = behind_damage(self.file, self.place)?;
                self.reader.seek(SeekFrom::Start(behind)).ok()?;
                self.damaged += behind - self.place;
                self.place = behind;
                next(&mut self.reader)?
            }
        };
        let place = self.place;
        self.place += octets;
        Some((note, place))
    }
}

/// Octets that are looked at together for a note behind damage, and of which each note has at
/// least so many.
const WINDOW: usize = 4096;
const LEAST: usize = HEAD + FIXED;

/// Where the next note begins behind a place at which none can be read.
fn behind_damage(file: &File, place: u64) -> Option<u64> {
    let all = file.metadata().ok()?.len();
    let (mut window, mut from) = ([0; WINDOW], place + 1);
    while from < all {
        // What the disk does not give back is passed over, too.
        let read = file.read_at(&mut window, from).unwrap_or_default();
        let begins = |(nth, octets): (usize, &[u8])| {
            let at = from + nth as u64;
            let is_note = || matches!(note_at(file, at), Ok(Some(_)));
            (may_begin(octets, all - at) && is_note()).then_some(at)
        };
        let octets = window.get(..read).unwrap_or_default();
        if let Some(at) = octets.windows(LEAST).enumerate().find_map(begins) {
            return Some(at);
        }
        from += if read < LEAST { WINDOW } else { read - (LEAST - 1) } as u64;
    }
    None
}

// Spares the checksum of most octets: a note fits in, its keys in it, and it is not from beyond
// the year 2248.
fn may_begin(octets: &[u8], rest: u64) -> bool {
    let parts = octets.split_first_chunk::<HEAD>().and_then(|(head, fixed)| {
        let (_, fixed) = fixed.split_first_chunk::<8>()?;
        let (at, count) = fixed.split_first_chunk::<8>()?;
        Some((sizes(*head)?.0, i64::from_le_bytes(*at), u32::from_le_bytes(*count.first_chunk()?)))
    });
    parts.is_some_and(|(length, at, count)| {
        (HEAD + length) as u64 <= rest
            && (0..1 << 43).contains(&at)
            && FIXED as u64 + u64::from(count) * 8 <= length as u64
    })
}

/// Octets of notes that are read at once, about.
const PIECE: u64 = 1 << 20;

/// Some notes of a file from a place in it on, and the place behind them; none at its end, and
/// of a file that is none of a history.
pub(super) fn read_from(folder: &Path, number: u32, at: u64) -> io::Result<(Vec<Note>, u64)> {
    let mut file = File::open(path(folder, number))?;
    let mut magic = [0; START as usize];
    let is_one = file.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    let start = at.max(START);
    let mut reader = Notes::from(&file, start)?;
    let mut notes = Vec::new();
    while is_one && reader.place - start < PIECE {
        let Some((note, _)) = reader.next() else { break };
        notes.push(note);
    }
    Ok((notes, reader.place))
}

/// Whether a file is one of a history, and each of its octets of a note that can be read.
pub(super) fn is_whole(folder: &Path, number: u32) -> bool {
    let look = || {
        let file = File::open(path(folder, number))?;
        let mut magic = [0; START as usize];
        file.read_exact_at(&mut magic, 0)?;
        let mut notes = Notes::from(&file, START)?;
        notes.by_ref().for_each(drop);
        let is_all = notes.damaged == 0 && notes.place == file.metadata()?.len();
        Ok::<_, io::Error>(is_all && magic == *MAGIC)
    };
    look().unwrap_or(false)
}

fn sizes(head: [u8; HEAD]) -> Option<(usize, u32)> {
    let (length, checksum) = head.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let checksum = u32::from_le_bytes(*checksum.first_chunk::<4>()?);
    (FIXED..=LARGEST_NOTE).contains(&length).then_some((length, checksum))
}

/// The note at a place; `None` if what is there is none.
fn note_at(file: &File, place: u64) -> io::Result<Option<Note>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, place)?;
    let Some((length, checksum)) = sizes(head) else { return Ok(None) };
    let mut octets = vec![0; length];
    file.read_exact_at(&mut octets, place + HEAD as u64)?;
    Ok((crc32fast::hash(&octets) == checksum).then(|| decode(&octets)).flatten())
}

fn notes_of(file: &File, id: MessageId, places: &[u32]) -> io::Result<Vec<Note>> {
    let mut notes = Vec::with_capacity(places.len());
    for place in places {
        // One that is damaged is passed over.
        let note = note_at(file, u64::from(*place)).ok().flatten();
        notes.extend(note.filter(|note| note.id == id));
    }
    Ok(notes)
}

/// What is in a file, in the order of the notes.
#[derive(Default)]
struct Contents {
    ids: Vec<(u64, u32)>,
    keys: Vec<(u64, u64)>,
    first: Timestamp,
    last: Timestamp,
}

impl Contents {
    fn add(&mut self, note: &Note, place: u64) {
        if self.ids.is_empty() {
            self.first = note.at;
        }
        self.last = self.last.max(note.at);
        let id = note.id.as_u64();
        self.ids.push((id, u32::try_from(place).unwrap_or(u32::MAX)));
        self.keys.extend(note.keys.iter().map(|key| (*key, id)));
    }

    /// Writes the index of a file of so many octets.
    fn write_index(&self, folder: &Path, number: u32, length: u64) -> io::Result<Sealed> {
        let (mut ids, mut keys) = (self.ids.clone(), self.keys.clone());
        ids.sort_unstable();
        keys.sort_unstable();
        keys.dedup();
        let (id_count, key_count) = (count(ids.len())?, count(keys.len())?);
        let mut out = Vec::with_capacity(ids.len() * 12 + keys.len() * 16 + 64);
        out.extend_from_slice(INDEX_MAGIC);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.first.as_millis().to_le_bytes());
        out.extend_from_slice(&self.last.as_millis().to_le_bytes());
        out.extend_from_slice(&id_count.to_le_bytes());
        out.extend_from_slice(&key_count.to_le_bytes());
        for (id, place) in ids {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&place.to_le_bytes());
        }
        for (key, id) in keys {
            out.extend_from_slice(&key.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        replace(&index_path(folder, number), &out)?;
        Ok(Sealed {
            number,
            octets: length + out.len() as u64,
            first: self.first,
            last: self.last,
            ids: id_count,
            keys: key_count,
        })
    }
}

fn count(entries: usize) -> io::Result<u32> {
    u32::try_from(entries).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

// Whole or not at all.
fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = creating().create(true).truncate(true).open(&beside)?;
    file.write_all(octets)?;
    file.sync_data()?;
    fs::rename(&beside, path)
}

fn creating() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o640);
    options
}

/// The file that is written.
pub(super) struct Open {
    number: u32,
    file: File,
    /// Octets of it that are whole notes.
    pub(super) length: u64,
    /// When its first note is from, if there is one.
    pub(super) first: Timestamp,
    contents: Contents,
}

impl Open {
    /// A new one, for notes from a time on. One that is there is never touched.
    pub(super) fn make(folder: &Path, number: u32, first: Timestamp) -> io::Result<Self> {
        let mut file = creating().create_new(true).open(path(folder, number))?;
        file.write_all(MAGIC)?;
        Ok(Self { number, file, length: START, first, contents: Contents::default() })
    }

    /// One that was written before, and how many octets of it are no whole notes. Those at its
    /// end, behind which there is nothing, are cut off.
    pub(super) fn again(folder: &Path, number: u32) -> io::Result<(Self, u64)> {
        let file = File::options().read(true).write(true).open(path(folder, number))?;
        let all = file.metadata()?.len();
        let mut magic = [0; START as usize];
        // One that a crash has left nearly empty is as good as new.
        if all >= START && (file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC) {
            let text = "it is no file of a history, and is left alone";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut contents = Contents::default();
        let mut notes = Notes::from(&file, START)?;
        notes.by_ref().for_each(|(note, place)| contents.add(&note, place));
        let (length, damaged) = (notes.place, notes.damaged);
        if all < START {
            file.write_all_at(MAGIC, 0)?;
        }
        file.set_len(length)?;
        let first = contents.first;
        let damaged = damaged + all.saturating_sub(length);
        Ok((Self { number, file, length, first, contents }, damaged))
    }

    /// Writes octets at its end; where that fails, it is as before.
    pub(super) fn write(&self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all_at(octets, self.length).inspect_err(|_| {
            // What is there too much is written over, or cut off by the next start.
            let _ = self.file.set_len(self.length);
        })
    }

    /// Notes where a note is: so many octets behind the end.
    pub(super) fn note(&mut self, note: &Note, behind: u64) {
        if self.is_empty() {
            self.first = note.at;
        }
        self.contents.add(note, self.length + behind);
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether there are no notes in it.
    pub(super) fn is_empty(&self) -> bool {
        self.contents.ids.is_empty()
    }

    /// Whether its first note is from before a time.
    pub(super) fn is_older(&self, before: Timestamp) -> bool {
        !self.is_empty() && self.first < before
    }

    /// Makes its index: from then on nothing is added to it.
    pub(super) fn seal(&self, folder: &Path) -> io::Result<Sealed> {
        self.file.sync_data()?;
        self.contents.write_index(folder, self.number, self.length)
    }

    pub(super) fn notes(&self, id: MessageId) -> io::Result<Vec<Note>> {
        let of = self.contents.ids.iter().filter(|(other, _)| *other == id.as_u64());
        let places: Vec<u32> = of.map(|(_, place)| *place).collect();
        notes_of(&self.file, id, &places)
    }

    pub(super) fn under(&self, key: u64) -> impl Iterator<Item = u64> {
        let keys = self.contents.keys.iter();
        keys.filter(move |(other, _)| *other == key).map(|(_, id)| *id)
    }

    pub(super) fn newest(&self, limit: usize) -> io::Result<Vec<Note>> {
        let places = self.contents.ids.iter().rev().take(limit);
        let notes = places.map(|(_, place)| note_at(&self.file, u64::from(*place)));
        Ok(notes.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// A file that has its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    number: u32,
    /// Octets of both.
    pub(super) octets: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) ids: u32,
    keys: u32,
}

impl Sealed {
    /// What the head of its index says.
    pub(super) fn read(folder: &Path, number: u32) -> io::Result<Self> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let index = File::open(index_path(folder, number))?;
        let mut head = [0; INDEX_HEAD as usize];
        index.read_exact_at(&mut head, 0)?;
        let rest = head.strip_prefix(INDEX_MAGIC).ok_or_else(wrong)?;
        let (numbers, counts) = rest.split_at_checked(24).ok_or_else(wrong)?;
        let mut numbers = numbers.chunks_exact(8).filter_map(|number| number.first_chunk::<8>());
        let mut number64 = || numbers.next().map(|number| i64::from_le_bytes(*number));
        let (length, first, last) = (number64(), number64(), number64());
        let mut counts = counts.chunks_exact(4).filter_map(|number| number.first_chunk::<4>());
        let mut number32 = || counts.next().map(|number| u32::from_le_bytes(*number));
        let (ids, keys) = (number32().unwrap_or(0), number32().unwrap_or(0));
        let tables = u64::from(ids) * ID_ENTRY + u64::from(keys) * KEY_ENTRY;
        let data = fs::metadata(path(folder, number))?.len();
        let is_whole = index.metadata()?.len() == INDEX_HEAD + tables
            && length.and_then(|length| u64::try_from(length).ok()) == Some(data);
        if !is_whole {
            return Err(wrong());
        }
        let at = |millis: Option<i64>| Timestamp::from_millis(millis.unwrap_or_default());
        let octets = data + INDEX_HEAD + tables;
        Ok(Self { number, octets, first: at(first), last: at(last), ids, keys })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// A file that nobody can read: it is there until it is too old.
    pub(super) fn unreadable(folder: &Path, number: u32) -> Self {
        let found = fs::metadata(path(folder, number)).ok();
        let written = found.as_ref().and_then(|found| found.modified().ok());
        let written = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let millis = written.and_then(|at| i64::try_from(at.as_millis()).ok());
        let at = Timestamp::from_millis(millis.unwrap_or_default());
        let octets = found.map_or(0, |found| found.len());
        Self { number, octets, first: at, last: at, ids: 0, keys: 0 }
    }

    fn places(&self, folder: &Path, id: MessageId) -> io::Result<Vec<u32>> {
        if self.ids == 0 {
            return Ok(Vec::new());
        }
        let index = File::open(index_path(folder, self.number))?;
        let table = Table { file: &index, start: INDEX_HEAD, entry: ID_ENTRY, count: self.ids };
        let from = table.first_not_below(id.as_u64())?;
        let mut places = Vec::new();
        for nth in from..self.ids {
            let entry = table.entry::<{ ID_ENTRY as usize }>(nth)?;
            match (entry.first_chunk::<8>(), entry.last_chunk::<4>()) {
                (Some(found), Some(place)) if u64::from_le_bytes(*found) == id.as_u64() => {
                    places.push(u32::from_le_bytes(*place));
                }
                _ => break,
            }
        }
        Ok(places)
    }

    pub(super) fn has(&self, folder: &Path, id: MessageId) -> io::Result<bool> {
        Ok(!self.places(folder, id)?.is_empty())
    }

    pub(super) fn notes(&self, folder: &Path, id: MessageId) -> io::Result<Vec<Note>> {
        match self.places(folder, id)?.as_slice() {
            [] => Ok(Vec::new()),
            places => notes_of(&File::open(path(folder, self.number))?, id, places),
        }
    }

    /// The greatest ids of a key, at most so many.
    pub(super) fn under(&self, folder: &Path, key: u64, limit: usize) -> io::Result<Vec<u64>> {
        if self.keys == 0 {
            return Ok(Vec::new());
        }
        let index = File::open(index_path(folder, self.number))?;
        let start = INDEX_HEAD + u64::from(self.ids) * ID_ENTRY;
        let table = Table { file: &index, start, entry: KEY_ENTRY, count: self.keys };
        let from = table.first_not_below(key)?;
        let until = key.checked_add(1).map_or(Ok(self.keys), |next| table.first_not_below(next))?;
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut ids = Vec::new();
        for nth in from.max(until.saturating_sub(most))..until {
            let entry = table.entry::<{ KEY_ENTRY as usize }>(nth)?;
            ids.extend(entry.last_chunk::<8>().map(|id| u64::from_le_bytes(*id)));
        }
        Ok(ids)
    }

    pub(super) fn newest(&self, folder: &Path, limit: usize) -> io::Result<Vec<Note>> {
        if self.ids == 0 {
            return Ok(Vec::new());
        }
        let (index, data) =
            (File::open(index_path(folder, self.number))?, File::open(path(folder, self.number))?);
        let table = Table { file: &index, start: INDEX_HEAD, entry: ID_ENTRY, count: self.ids };
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut notes = Vec::new();
        for nth in (self.ids.saturating_sub(most)..self.ids).rev() {
            let entry = table.entry::<{ ID_ENTRY as usize }>(nth)?;
            let Some(place) = entry.last_chunk::<4>() else { continue };
            notes.extend(note_at(&data, u64::from(u32::from_le_bytes(*place)))?);
        }
        Ok(notes)
    }

    /// The same without the notes of some messages, and without what is no note: nobody can say
    /// of whom that is.
    pub(super) fn without(&self, folder: &Path, ids: &BTreeSet<u64>) -> io::Result<Self> {
        let file = File::open(path(folder, self.number))?;
        let (mut out, mut contents) = (MAGIC.to_vec(), Contents::default());
        for (note, _) in Notes::from(&file, START)? {
            if !ids.contains(&note.id.as_u64()) {
                contents.add(&note, out.len() as u64);
                encode(&mut out, &note);
            }
        }
        // Without its index, the file is read anew by a start.
        fs::remove_file(index_path(folder, self.number))?;
        replace(&path(folder, self.number), &out)?;
        contents.write_index(folder, self.number, out.len() as u64)
    }

    /// Removes both files.
    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        for file in [path(folder, self.number), index_path(folder, self.number)] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A table of an index: entries of the same length that begin with a number, in order.
struct Table<'a> {
    file: &'a File,
    start: u64,
    entry: u64,
    count: u32,
}

impl Table<'_> {
    fn entry<const N: usize>(&self, nth: u32) -> io::Result<[u8; N]> {
        let mut octets = [0; N];
        self.file.read_exact_at(&mut octets, self.start + u64::from(nth) * self.entry)?;
        Ok(octets)
    }

    /// The first entry whose number is not below this one.
    fn first_not_below(&self, number: u64) -> io::Result<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if u64::from_le_bytes(self.entry::<8>(middle)?) < number {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
