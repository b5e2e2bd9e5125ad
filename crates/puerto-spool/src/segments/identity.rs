//! Which store this is: the number that all its checksums cover, in a file of its own.
//!
//! A segment says it too. But one that came from another store says another one, and
//! of one that cannot be read nobody knows what it says.

use std::io;
use std::path::Path;

use super::checkpoint;
use super::record::SegmentHeader;
use crate::codec::{Put, Take};
use crate::disk::Disk;
use crate::{Hindrance, SpoolError};

const MAGIC: &[u8; 8] = b"PUERTOID";
const VERSION: u32 = 1;
const NAME: &str = "identity";
const NEW_NAME: &str = "identity.new";
const LENGTH: usize = 8 + 4 + 8 + 4;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The store's number.
    Known(u64),
    /// There is none: the store is new, or an older program made it.
    Absent,
    /// It is there and cannot be read.
    Unread,
    /// It holds something else.
    Damaged,
}

impl Identity {
    /// Reads it.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Self {
        let file = match disk.open(&directory.join(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Absent,
            Err(_) => return Self::Unread,
        };
        let mut octets = [0; LENGTH];
        let Ok(length) = file.len() else { return Self::Unread };
        match file.read_at(&mut octets, 0) {
            Ok(count) if count == LENGTH => Self::decode(&octets),
            Ok(count) if (count as u64) < length => Self::Unread,
            Ok(_) => Self::Damaged,
            Err(_) => Self::Unread,
        }
    }

    fn decode(octets: &[u8]) -> Self {
        let intact = octets
            .split_last_chunk::<4>()
            .filter(|(body, checksum)| crc32fast::hash(body).to_le_bytes() == **checksum);
        let Some((body, _)) = intact else { return Self::Damaged };
        let mut from = Take(body);
        match (from.raw(8), from.u32(), from.u64()) {
            (Ok(magic), Ok(VERSION), Ok(salt)) if magic == MAGIC => Self::Known(salt),
            _ => Self::Damaged,
        }
    }

    /// Writes it, unless it is there already or may be.
    pub(crate) fn keep(self, disk: &dyn Disk, directory: &Path, salt: u64) -> io::Result<()> {
        match self {
            Self::Unread => return Ok(()),
            Self::Known(known) if known == salt => return Ok(()),
            Self::Absent => {}
            Self::Known(_) | Self::Damaged => {
                let name = directory.join(NAME);
                disk.rename(&name, &name.with_extension("damaged"))?;
            }
        }
        let mut octets = Vec::with_capacity(LENGTH);
        octets.extend_from_slice(MAGIC);
        octets.put_u32(VERSION);
        octets.put_u64(salt);
        octets.put_u32(crc32fast::hash(&octets));
        let new = directory.join(NEW_NAME);
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&new)?;
        file.write_at(&octets, 0)?;
        file.sync_data()?;
        disk.rename(&new, &directory.join(NAME))?;
        disk.sync_dir(directory)
    }
}

/// The store's number, by whatever tells it. `unread` says that there are files which
/// may be of this store and cannot be read.
pub(crate) fn salt(
    disk: &dyn Disk,
    directory: &Path,
    identity: Identity,
    headers: &[SegmentHeader],
    unread: bool,
) -> Result<u64, SpoolError> {
    let used = || headers.iter().filter(|header| header.generation > 0);
    if let Identity::Known(salt) = identity {
        // Segments were put here from a copy of another store, all of them: they are
        // what this store holds from now on.
        let all_of = used().next().map_or(salt, |header| header.salt);
        let other = all_of != salt && !unread && used().all(|header| header.salt == all_of);
        return Ok(if other { all_of } else { salt });
    }
    let heading = checkpoint::heading(disk, directory);
    if let Ok(Some(heading)) = heading
        && (headers.is_empty() || headers.iter().any(|header| header.salt == heading.salt))
    {
        return Ok(heading.salt);
    }
    let votes = |salt: u64| used().filter(|header| header.salt == salt).count();
    let chosen = headers.iter().max_by_key(|header| (votes(header.salt), header.generation));
    match chosen {
        Some(header) => Ok(header.salt),
        None if unread || identity == Identity::Unread || heading.is_err() => {
            Err(SpoolError::Io(Hindrance::NoneReadable {
                directory: directory.display().to_string(),
            }))
        }
        None => Ok(draw()),
    }
}

/// A number that nobody can guess who puts records into a message's text.
fn draw() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("salt")
}
