//! Reads the records of a segment, whatever has become of it.
//!
//! A record whose payload is damaged is stepped over, since its header is believed.
//! Where no header can be read, the reader looks on for the next mark whose checksum
//! fits. Every message that is lost by this is reported by its id if header or trailer
//! still tell it, else by its place.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::record::{FIRST_RECORD, HEADER, Kind, MARK, RecordHeader, TRAILER, read_trailer};
use crate::disk::File;
use crate::id::MessageId;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    pub(crate) offset: u64,
    pub(crate) octets: u64,
}

/// A part of a segment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) id: Option<MessageId>,
    pub(crate) offset: u64,
    pub(crate) what: String,
}

/// Which records to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) salt: u64,
    pub(crate) generation: u64,
    /// Where to begin.
    pub(crate) from: u64,
    /// Records behind this do not count.
    pub(crate) to: u64,
}

/// Calls `take` with each intact record in order. `take` says what is wrong with a
/// payload that it cannot use. Returns where the last intact record ends. An error says that a
/// part could not be read, so that nothing is known of it.
pub(crate) fn scan(
    file: &Arc<dyn File>,
    range: Range,
    mut take: impl FnMut(Found, &[u8]) -> Result<(), String>,
    damage: &mut Vec<Damage>,
) -> io::Result<u64> {
    let mut offset = range.from.max(FIRST_RECORD);
    let mut window = Window::new(Arc::clone(file), range.to)?;
    let mut end = offset;
    let mut named = 0;
    while offset < window.end {
        if let Some(header) = window.header(offset, range)? {
            if offset > end && named == 0 {
                let what = format!("{} octets hold no record", offset - end);
                damage.push(Damage { id: None, offset: end, what });
            }
            let found = Found { kind: header.kind, id: header.id, offset, octets: header.framed() };
            let payload = window.record(&header, offset)?;
            let payload = payload.ok_or_else(|| "its checksum does not fit".to_owned());
            let taken = payload.and_then(|payload| take(found, payload));
            offset += header.framed();
            match taken {
                Ok(()) => (end, named) = (offset, 0),
                Err(what) => {
                    named += 1;
                    damage.push(Damage { id: Some(found.id), offset: found.offset, what });
                }
            }
            continue;
        }
        if let Some(id) = window.trailer(offset, range)? {
            named += 1;
            let what = "the header of its record is damaged".to_owned();
            damage.push(Damage { id: Some(id), offset: end, what });
        }
        offset = window.next_mark(offset + 8)?;
    }
    Ok(end)
}

const WINDOW: usize = 256 * 1024;

/// A piece of the file in memory that moves along.
struct Window {
    file: Arc<dyn File>,
    start: u64,
    octets: Vec<u8>,
    end: u64,
}

impl Window {
    fn new(file: Arc<dyn File>, to: u64) -> io::Result<Self> {
        let end = file.len()?.min(to);
        Ok(Self { file, start: 0, octets: Vec::new(), end })
    }

    /// Up to `length` octets at `offset`.
    fn at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let inside = |window: &Self| {
            let from = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            let to = from.checked_add(length)?;
            (to <= window.octets.len()).then_some((from, to))
        };
        if inside(self).is_none() {
            let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
            self.octets.resize(length.max(WINDOW).min(left), 0);
            self.start = offset;
            if let Err(error) = read_whole(&*self.file, &mut self.octets, offset) {
                self.octets.clear();
                return Err(error);
            }
        }
        let (from, to) = inside(self).unwrap_or((0, self.octets.len()));
        Ok(self.octets.get(from..to).unwrap_or_default())
    }

    fn header(&mut self, offset: u64, range: Range) -> io::Result<Option<RecordHeader>> {
        let end = self.end;
        let header = RecordHeader::read(self.at(offset, HEADER)?, range.salt, offset);
        Ok(header.filter(|header| {
            header.generation == range.generation && offset + header.framed() <= end
        }))
    }

    fn record(&mut self, header: &RecordHeader, offset: u64) -> io::Result<Option<&[u8]>> {
        let length = usize::try_from(header.framed()).unwrap_or(usize::MAX);
        Ok(header.payload(self.at(offset, length)?))
    }

    fn trailer(&mut self, offset: u64, range: Range) -> io::Result<Option<MessageId>> {
        let octets = self.at(offset, TRAILER)?;
        Ok(read_trailer(octets, range.salt, range.generation, offset))
    }

    /// The next multiple of eight at or behind `offset` where a mark stands.
    fn next_mark(&mut self, mut offset: u64) -> io::Result<u64> {
        while offset < self.end {
            if self.at(offset, 8)?.len() < MARK.len() {
                break;
            }
            let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
            let rest = self.octets.get(from..).unwrap_or_default();
            match memmem::find(rest, MARK) {
                Some(at) if at % 8 == 0 => return Ok(offset + at as u64),
                Some(at) => offset += at.next_multiple_of(8) as u64,
                None => offset += (rest.len() / 8 * 8).max(8) as u64,
            }
        }
        Ok(self.end)
    }
}

/// The generation of the first intact record of a file, whose header does not tell it.
pub(crate) fn generation(file: &Arc<dyn File>, salt: u64) -> io::Result<Option<u64>> {
    let mut window = Window::new(Arc::clone(file), u64::MAX)?;
    let mut offset = FIRST_RECORD;
    while offset < window.end {
        if let Some(header) = RecordHeader::read(window.at(offset, HEADER)?, salt, offset) {
            return Ok(Some(header.generation));
        }
        offset = window.next_mark(offset + 8)?;
    }
    Ok(None)
}

/// Whether a file holds nothing but zeros.
pub(crate) fn is_blank(file: &Arc<dyn File>) -> io::Result<bool> {
    let mut window = Window::new(Arc::clone(file), u64::MAX)?;
    let mut offset = 0;
    while offset < window.end {
        let left = usize::try_from(window.end - offset).unwrap_or(usize::MAX);
        let octets = window.at(offset, WINDOW.min(left))?;
        if octets.iter().any(|octet| *octet != 0) {
            return Ok(false);
        }
        offset += WINDOW as u64;
    }
    Ok(true)
}

/// Fills the buffer from a place at which the file is said to have that much.
pub(crate) fn read_whole(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    match file.read_at(buffer, offset)? {
        count if count == buffer.len() => Ok(()),
        count => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{count} of {} octets came", buffer.len()),
        )),
    }
}
