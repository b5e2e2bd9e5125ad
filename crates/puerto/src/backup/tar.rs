//! The plainest tar archive (POSIX.1-1988, ustar): regular files alone, each behind a header
//! of one block. What else such archives can hold (links, devices, long names, sparse files)
//! is never written, and refused when it is read.

use std::io::{self, Read, Write};

use super::BackupError;
use crate::lang::{Said, said};

/// Octets of a block.
pub(super) const BLOCK: usize = 512;
const MAGIC: &[u8; 8] = b"ustar\x0000";
/// Where the fields of a header are: their first octet and how many they have.
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const MTIME: (usize, usize) = (136, 12);
const SUM: (usize, usize) = (148, 8);
const TYPE: usize = 156;
const SIGN: (usize, usize) = (257, 8);
const PREFIX: (usize, usize) = (345, 155);
const REGULAR: u8 = b'0';
/// What twelve octets of a header can say.
const MOST: u64 = 0o77_777_777_777;

/// A member: its name and how many octets follow its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) size: u64,
}

fn damaged(what: Said) -> BackupError {
    BackupError::Damaged(what)
}

/// Writes the header of a member. `at` is its time, in seconds since 1970.
pub(super) fn put_header(out: &mut impl Write, member: &Member, at: u64) -> io::Result<()> {
    let too_long = || io::Error::from(io::ErrorKind::InvalidFilename);
    let (prefix, name) = split(&member.name).ok_or_else(too_long)?;
    if member.size > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut block = [0; BLOCK];
    let mut put = |(start, length): (usize, usize), octets: &[u8]| {
        let field = block.get_mut(start..start + length.min(octets.len()));
        field.into_iter().for_each(|field| field.copy_from_slice(octets));
    };
    put(NAME, name.as_bytes());
    put(MODE, b"0000600\0");
    put(UID, b"0000000\0");
    put(GID, b"0000000\0");
    put(SIZE, format!("{:011o}\0", member.size).as_bytes());
    put(MTIME, format!("{:011o}\0", at.min(MOST)).as_bytes());
    put((TYPE, 1), &[REGULAR]);
    put(SIGN, MAGIC);
    put(PREFIX, prefix.as_bytes());
    let sum = sum(&block);
    let field = block.get_mut(SUM.0..SUM.0 + SUM.1);
    field.into_iter().for_each(|field| field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes()));
    out.write_all(&block)
}

/// Fills the last block of a member.
pub(super) fn put_padding(out: &mut impl Write, size: u64) -> io::Result<()> {
    out.write_all(&vec![0; padding(size)])
}

/// Ends the archive.
pub(super) fn put_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; BLOCK * 2])
}

/// The header of the next member; `None` at the archive's end.
pub(super) fn take_header(from: &mut impl Read) -> Result<Option<Member>, BackupError> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block)?;
    if block.iter().all(|octet| *octet == 0) {
        return Ok(None);
    }
    let field = |(start, length): (usize, usize)| block.get(start..start + length).unwrap_or(&[]);
    if number(field(SUM)) != Some(sum(&block)) || field(SIGN) != MAGIC {
        return Err(damaged(said!("it is no archive", "no es un archivo tar")));
    }
    let (name, prefix) = (text(field(NAME))?, text(field(PREFIX))?);
    let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    if block.get(TYPE) != Some(&REGULAR) {
        return Err(damaged(said!(
            "{name} is no regular file", "{name} no es un fichero normal"; name = name
        )));
    }
    let size = number(field(SIZE)).ok_or_else(|| {
        damaged(said!("{name} has no size", "{name} no tiene tamaño"; name = name))
    })?;
    Ok(Some(Member { name, size }))
}

/// Octets between a member's end and the next header.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    if over == 0 { 0 } else { BLOCK - over }
}

// A long name is parted at one of its slashes.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME.1 {
        return Some(("", name));
    }
    let at = name.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
    let fits = |at: &usize| *at <= PREFIX.1 && name.len() - at - 1 <= NAME.1;
    let at = at.into_iter().find(fits)?;
    Some((name.get(..at)?, name.get(at + 1..)?))
}

fn text(field: &[u8]) -> Result<String, BackupError> {
    let end = field.iter().position(|octet| *octet == 0).unwrap_or(field.len());
    let octets = field.get(..end).unwrap_or_default().to_vec();
    String::from_utf8(octets)
        .map_err(|_| damaged(said!("a name is not UTF-8", "un nombre no es UTF-8")))
}

fn number(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

// The field of the sum itself counts as blanks.
fn sum(block: &[u8; BLOCK]) -> u64 {
    let own = SUM.0..SUM.0 + SUM.1;
    let octets = block.iter().enumerate();
    octets.map(|(at, octet)| if own.contains(&at) { 32 } else { u64::from(*octet) }).sum()
}
