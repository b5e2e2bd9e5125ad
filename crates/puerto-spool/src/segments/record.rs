//! The form of a segment: two copies of its header, then records.
//!
//! A segment begins with two sectors of 512 octets that say the same, so that one
//! damaged octet, or a write torn between them, leaves one that can be read. A record
//! is a header, a payload, up to seven zeros, and a trailer; it begins at a multiple
//! of eight. The header names the payload's length and checksum and has a checksum of
//! its own, so that a reader knows what it may believe before it reads on. The trailer
//! repeats the id, so that a record whose header is damaged can still be named.
//!
//! All checksums are CRC-32 (IEEE 802.3). Those of headers and trailers also cover the
//! segment's generation, the record's place and a number that was drawn when the store
//! was made: neither an old record of a recycled segment nor one that somebody put
//! into a message's text can be taken for a record when a reader has lost its step.

use crate::codec::{Put, Take};
use crate::id::MessageId;

/// The version of all that this module writes. It reads all before it: in format 1 a
/// recipient had its last attempt alone; in format 2 nothing came held, nor by a login.
pub(crate) const VERSION: u32 = 3;
/// Where the first record begins.
pub(crate) const FIRST_RECORD: u64 = 2 * SECTOR as u64;
/// Octets of a record besides its payload, without the zeros.
pub(crate) const OVERHEAD: usize = HEADER + TRAILER;
/// What both kinds of marks begin with.
pub(crate) const MARK: &[u8] = b"PRS";

const SECTOR: usize = 512;
const MAGIC: &[u8; 8] = b"PUERTOSG";
const HEADER_MARK: &[u8; 4] = b"PRSh";
const TRAILER_MARK: &[u8; 4] = b"PRSt";
/// Octets of a record's header.
pub(crate) const HEADER: usize = 40;
/// Octets of a record's trailer.
pub(crate) const TRAILER: usize = 16;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Its place in the order of the log; never used twice.
    pub(crate) generation: u64,
    /// Segments of a lesser generation held nothing that counts when it was begun.
    pub(crate) floor: u64,
    /// The segment before it; those between the two were given up and do not count.
    pub(crate) previous: u64,
    /// Up to where the segment before it counts.
    pub(crate) previous_end: u64,
    /// The number that all checksums of the store cover.
    pub(crate) salt: u64,
    /// No id greater than this had been given out.
    pub(crate) last_id: MessageId,
}

/// What the first sectors of a file hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadHeader {
    /// A header of this version.
    Valid(SegmentHeader),
    /// A header of a version that this program does not know.
    Unknown(u32),
    /// Zeros: the file was made but never used.
    Blank,
    /// Anything else.
    Damaged,
}

impl SegmentHeader {
    /// The header of a file that waits to be used.
    pub(crate) fn unused(salt: u64) -> Self {
        let last_id = MessageId::from_u64(0);
        Self { generation: 0, floor: 0, previous: 0, previous_end: 0, salt, last_id }
    }

    /// Where the segment before it ends, if that was known when it was begun.
    pub(crate) fn previous(&self) -> Option<(u64, u64)> {
        let known = self.generation > 0 && self.previous_end != u64::MAX;
        known.then_some((self.previous, self.previous_end))
    }

    /// Both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut sector = Vec::with_capacity(2 * SECTOR);
        sector.extend_from_slice(MAGIC);
        sector.put_u32(VERSION);
        sector.put_u32(0);
        for value in [self.generation, self.floor, self.previous, self.previous_end, self.salt] {
            sector.put_u64(value);
        }
        sector.put_u64(self.last_id.as_u64());
        sector.resize(SECTOR - 4, 0);
        sector.put_u32(crc32fast::hash(&sector));
        sector.extend_from_within(..);
        sector
    }

    /// Reads whichever copy is intact, the newer one if they differ: a segment that is
    /// being recycled has an old and a new one for a moment.
    pub(crate) fn decode(sectors: &[u8]) -> ReadHeader {
        if sectors.iter().all(|octet| *octet == 0) {
            return ReadHeader::Blank;
        }
        let mut best = ReadHeader::Damaged;
        for sector in sectors.chunks_exact(SECTOR).take(2) {
            best = match (Self::decode_one(sector), best) {
                (ReadHeader::Valid(new), ReadHeader::Valid(old))
                    if old.generation > new.generation =>
                {
                    ReadHeader::Valid(old)
                }
                (ReadHeader::Damaged, best) => best,
                (found, _) => found,
            };
        }
        best
    }

    fn decode_one(sector: &[u8]) -> ReadHeader {
        let Some((body, checksum)) = sector.split_last_chunk::<4>() else {
            return ReadHeader::Damaged;
        };
        let mut from = Take(body);
        let intact =
            from.raw(8) == Ok(MAGIC) && crc32fast::hash(body) == u32::from_le_bytes(*checksum);
        match from.u32() {
            Ok(1..=VERSION) if intact => {}
            Ok(version) if intact => return ReadHeader::Unknown(version),
            _ => return ReadHeader::Damaged,
        }
        let _reserved = from.u32();
        let [generation, floor, previous, previous_end, salt, last_id] =
            [(); 6].map(|()| from.u64().unwrap_or_default());
        ReadHeader::Valid(Self {
            generation,
            floor,
            previous,
            previous_end,
            salt,
            last_id: MessageId::from_u64(last_id),
        })
    }
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole message with the states of its recipients. A later one replaces it.
    Message,
    /// The states of some recipients, and the message's flags.
    State,
    /// The message is gone, whatever its recipients' states.
    Gone,
}

impl Kind {
    fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Message),
            2 => Some(Self::State),
            3 => Some(Self::Gone),
            _ => None,
        }
    }

    fn as_u8(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::State => 2,
            Self::Gone => 3,
        }
    }
}

/// What a record's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    pub(crate) generation: u64,
    pub(crate) payload: u32,
    pub(crate) checksum: u32,
}

/// How many octets a record with such a payload takes.
pub(crate) fn framed(payload: usize) -> u64 {
    (OVERHEAD + payload.next_multiple_of(8)) as u64
}

impl RecordHeader {
    /// Appends the record to `out`, to be written at `offset` of the segment.
    pub(crate) fn put(&self, payload: &[u8], salt: u64, offset: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(HEADER_MARK);
        out.put_u32(0);
        out.put_u32(self.payload);
        out.put_u32(u32::from(self.kind.as_u8()));
        out.put_u64(self.generation);
        out.put_u64(self.id.as_u64());
        out.put_u32(self.checksum);
        out.put_u32(0);
        if let Some((place, rest)) =
            out.get_mut(start + 4..).and_then(|header| header.split_first_chunk_mut::<4>())
        {
            *place = checksum(salt, self.generation, offset, rest).to_le_bytes();
        }
        out.extend_from_slice(payload);
        out.resize(start + HEADER + payload.len().next_multiple_of(8), 0);
        let place = offset + (out.len() - start) as u64;
        let id = self.id.as_u64().to_le_bytes();
        out.extend_from_slice(TRAILER_MARK);
        out.put_u32(checksum(salt, self.generation, place, &id));
        out.extend_from_slice(&id);
    }

    /// Reads a header that stands at `offset` of a segment; `None` if it is not one.
    pub(crate) fn read(octets: &[u8], salt: u64, offset: u64) -> Option<Self> {
        let mut from = Take(octets.get(..HEADER)?);
        if from.raw(4) != Ok(HEADER_MARK) {
            return None;
        }
        let expected = from.u32().ok()?;
        let rest = from.0;
        let payload = from.u32().ok()?;
        let kind = from.u32().ok()?;
        let generation = from.u64().ok()?;
        let id = MessageId::from_u64(from.u64().ok()?);
        let payload_checksum = from.u32().ok()?;
        if checksum(salt, generation, offset, rest) != expected {
            return None;
        }
        let kind = Kind::from_u8(u8::try_from(kind).ok()?)?;
        Some(Self { kind, id, generation, payload, checksum: payload_checksum })
    }

    /// How many octets the record takes.
    pub(crate) fn framed(&self) -> u64 {
        framed(self.payload as usize)
    }

    /// The payload in the octets of a whole record, if it is intact.
    pub(crate) fn payload<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let payload = record.get(HEADER..)?.get(..self.payload as usize)?;
        (crc32fast::hash(payload) == self.checksum).then_some(payload)
    }
}

/// Reads a trailer that stands at `offset` of a segment: the id it names.
pub(crate) fn read_trailer(
    octets: &[u8],
    salt: u64,
    generation: u64,
    offset: u64,
) -> Option<MessageId> {
    let mut from = Take(octets.get(..TRAILER)?);
    if from.raw(4) != Ok(TRAILER_MARK) {
        return None;
    }
    let expected = from.u32().ok()?;
    let id = from.0;
    (checksum(salt, generation, offset, id) == expected)
        .then(|| from.u64().map(MessageId::from_u64).ok())
        .flatten()
}

fn checksum(salt: u64, generation: u64, offset: u64, octets: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [salt, generation, offset] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(octets);
    hasher.finalize()
}
