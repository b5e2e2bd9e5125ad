//! Notes in files: `state_dir/history/NNNNNNNN.history`, one after the other, each with an
//! index once it is full ([`volume`] says what they look like).
//!
//! Notes are only ever added to the last. What is too old goes with its file. A start reads
//! the heads of the indexes and the last file, of which a crash may have left the end torn;
//! what cannot be read is named in the log and passed over. Nothing else needs these files:
//! they may be removed while the server is stopped, and by `puerto history forget` in part.

mod volume;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use puerto_spool::{Answer, Archive, Hindrance, MessageId, Note, SpoolError, Timestamp};

use self::volume::{Open, Sealed, encode};
use crate::telemetry::{Event, MailLog};

/// Octets of a file at most, and at least.
const LARGEST: u64 = 16 << 20;
const SMALLEST: u64 = 64 << 10;
/// How many files there are about when the bound is reached.
const VOLUMES: u64 = 32;
/// How long notes go into one file at most.
const ONE_DAY: i64 = 86_400_000;
/// Octets that are left free on the disk, for mail, unless it is a small one.
const LEFT_FREE: u64 = 128 << 20;

/// Says how many octets are free where the files are, and how many there are in all.
type Space = Box<dyn Fn(&Path) -> io::Result<(u64, u64)> + Send + Sync>;

/// See the module.
pub struct Files {
    folder: PathBuf,
    log: MailLog,
    space: Space,
    shelf: Mutex<Option<Shelf>>,
}

/// The files, the oldest first.
struct Shelf {
    sealed: Vec<Sealed>,
    open: Option<Open>,
    next: u32,
    /// Octets of a file from which on another is begun.
    enough: u64,
}

impl Files {
    /// Files in a folder, which is made when something is kept. Nothing is read yet.
    pub fn new(folder: &Path, log: MailLog) -> Self {
        Self { folder: folder.to_owned(), log, space: Box::new(space), shelf: Mutex::new(None) }
    }

    /// The same on another disk.
    #[cfg(test)]
    pub(super) fn with_space(
        self,
        space: impl Fn(&Path) -> io::Result<(u64, u64)> + Send + Sync + 'static,
    ) -> Self {
        Self { space: Box::new(space), ..self }
    }

    fn with<T>(&self, work: impl FnOnce(&Self, &mut Shelf) -> io::Result<T>) -> Answer<T> {
        let mut shelf = self.lock();
        let opened = match &mut *shelf {
            Some(shelf) => Ok(shelf),
            none => self.look().map(|found| none.insert(found)),
        };
        let done = opened.and_then(|shelf| work(self, shelf));
        Answer::ready(done.map_err(|error| SpoolError::from(&error)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shelf>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What is there.
    fn look(&self) -> io::Result<Shelf> {
        let mut shelf = Shelf { sealed: Vec::new(), open: None, next: 1, enough: LARGEST };
        let numbers: BTreeSet<u32> = match fs::read_dir(&self.folder) {
            Ok(entries) => {
                entries.filter_map(|entry| volume::number(&entry.ok()?.file_name())).collect()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(shelf),
            Err(error) => return Err(error),
        };
        shelf.next = numbers.last().map_or(1, |last| last.saturating_add(1));
        let last = numbers.last().copied();
        for number in numbers {
            if let Ok(sealed) = Sealed::read(&self.folder, number) {
                shelf.sealed.push(sealed);
                continue;
            }
            match Open::again(&self.folder, number) {
                Ok((open, damaged)) => {
                    if damaged > 0 {
                        self.say(
                            &volume::path(&self.folder, number),
                            &format!("{damaged} octets of it cannot be read and are passed over"),
                        );
                    }
                    match open {
                        open if Some(number) == last => shelf.open = Some(open),
                        open => shelf.sealed.push(open.seal(&self.folder)?),
                    }
                }
                Err(error) => {
                    self.say(&volume::path(&self.folder, number), &error.to_string());
                    shelf.sealed.push(Sealed::unreadable(&self.folder, number));
                }
            }
        }
        Ok(shelf)
    }

    fn say(&self, file: &Path, what: &str) {
        let text = format!("the history's file {}: {what}", file.display());
        let (component, id) = ("master", None);
        self.log.write(&Event::Notice { level: "warning", component, id, text: &text });
    }

    // Mail is refused when the disk is nearly full: the history ends long before.
    fn room(&self) -> Result<(), SpoolError> {
        let place = self.folder.parent().unwrap_or(&self.folder);
        let Ok((free, all)) = (self.space)(place) else { return Ok(()) };
        let reserve = LEFT_FREE.min(all / 8);
        if free >= reserve {
            return Ok(());
        }
        Err(SpoolError::Full(Hindrance::Reserve {
            free: free >> 20,
            directory: place.display().to_string(),
            reserve: reserve >> 20,
        }))
    }

    fn add(&self, shelf: &mut Shelf, notes: &[Note]) -> io::Result<()> {
        let Some(first) = notes.first() else { return Ok(()) };
        if shelf.open.as_ref().is_some_and(|open| {
            open.length >= shelf.enough
                || open.is_older(Timestamp::from_millis(first.at.as_millis() - ONE_DAY))
        }) {
            shelf.seal(&self.folder)?;
        }
        if shelf.open.is_none() {
            self.begin(shelf, first.at)?;
        }
        let Some(open) = &mut shelf.open else { return Ok(()) };
        let mut octets = Vec::new();
        let places: Vec<u64> = notes
            .iter()
            .map(|note| {
                let place = octets.len() as u64;
                encode(&mut octets, note);
                place
            })
            .collect();
        open.write(&octets)?;
        for (note, place) in notes.iter().zip(places) {
            open.note(note, place);
        }
        open.length += octets.len() as u64;
        Ok(())
    }
}

impl Files {
    // The folder may have come after the first look at it, as a disk that is mounted late does.
    fn begin(&self, shelf: &mut Shelf, at: Timestamp) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o750).create(&self.folder)?;
        let made = match Open::make(&self.folder, shelf.next, at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                *shelf = Shelf { enough: shelf.enough, ..self.look()? };
                if shelf.open.is_some() {
                    return Ok(());
                }
                Open::make(&self.folder, shelf.next, at)?
            }
            made => made?,
        };
        shelf.next = shelf.next.saturating_add(1);
        shelf.open = Some(made);
        Ok(())
    }
}

impl Shelf {
    fn seal(&mut self, folder: &Path) -> io::Result<()> {
        if let Some(open) = &self.open {
            self.sealed.push(open.seal(folder)?);
            self.open = None;
        }
        Ok(())
    }

    fn octets(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.length);
        self.sealed.iter().map(|sealed| sealed.octets).sum::<u64>() + open
    }
}

impl Archive for Files {
    fn keep(&self, notes: Vec<Note>) -> Answer<()> {
        if let Err(error) = self.room() {
            return Answer::ready(Err(error));
        }
        self.with(|files, shelf| files.add(shelf, &notes))
    }

    fn notes(&self, id: MessageId) -> Answer<Vec<Note>> {
        self.with(|files, shelf| {
            let mut notes = Vec::new();
            for sealed in &shelf.sealed {
                notes.extend(sealed.notes(&files.folder, id)?);
            }
            if let Some(open) = &shelf.open {
                notes.extend(open.notes(id)?);
            }
            Ok(notes)
        })
    }

    fn under(&self, key: u64, limit: usize) -> Answer<Vec<MessageId>> {
        self.with(|files, shelf| {
            let mut ids: BTreeSet<u64> = BTreeSet::new();
            if let Some(open) = &shelf.open {
                ids.extend(open.under(key));
            }
            for sealed in shelf.sealed.iter().rev() {
                if ids.len() >= limit {
                    break;
                }
                ids.extend(sealed.under(&files.folder, key, limit)?);
            }
            Ok(ids.into_iter().rev().take(limit).map(MessageId::from_u64).collect())
        })
    }

    fn behind(&self, place: u64) -> Answer<Option<(Vec<Note>, u64)>> {
        self.with(|files, shelf| {
            // What is open has a number, too, and is read like the others.
            let open = shelf.open.as_ref().map(Open::number);
            for number in shelf.sealed.iter().map(Sealed::number).chain(open) {
                let (of, at) = ((place >> 32) as u32, place & u64::from(u32::MAX));
                let at = match number.cmp(&of) {
                    Ordering::Less => continue,
                    Ordering::Equal => at,
                    Ordering::Greater => 0,
                };
                let (notes, behind) = volume::read_from(&files.folder, number, at)?;
                if !notes.is_empty() {
                    return Ok(Some((notes, u64::from(number) << 32 | behind)));
                }
            }
            Ok(None)
        })
    }

    fn newest(&self, limit: usize) -> Answer<Vec<Note>> {
        self.with(|files, shelf| {
            let mut notes = match &shelf.open {
                Some(open) => open.newest(limit)?,
                None => Vec::new(),
            };
            for sealed in shelf.sealed.iter().rev() {
                if notes.len() >= limit {
                    break;
                }
                notes.extend(sealed.newest(&files.folder, limit - notes.len())?);
            }
            Ok(notes)
        })
    }

    fn purge(&self, before: Timestamp, octets: u64) -> Answer<()> {
        self.with(|files, shelf| {
            shelf.enough = (octets / VOLUMES).clamp(SMALLEST, LARGEST);
            if shelf.open.as_ref().is_some_and(|open| open.is_older(before)) {
                shelf.seal(&files.folder)?;
            }
            while let Some(oldest) = shelf.sealed.first()
                && (oldest.last < before || shelf.octets() > octets)
            {
                oldest.remove(&files.folder)?;
                shelf.sealed.remove(0);
            }
            Ok(())
        })
    }

    fn clear(&self) -> Answer<Vec<String>> {
        self.with(|files, shelf| {
            shelf.seal(&files.folder)?;
            let mut stay = Vec::new();
            for sealed in std::mem::take(&mut shelf.sealed) {
                if volume::is_whole(&files.folder, sealed.number()) {
                    sealed.remove(&files.folder)?;
                } else {
                    let file = volume::path(&files.folder, sealed.number());
                    stay.push(file.display().to_string());
                    shelf.sealed.push(sealed);
                }
            }
            Ok(stay)
        })
    }

    fn forget(&self, ids: &[MessageId]) -> Answer<u64> {
        let wanted: BTreeSet<u64> = ids.iter().map(|id| id.as_u64()).collect();
        self.with(|files, shelf| {
            shelf.seal(&files.folder)?;
            let mut found = BTreeSet::new();
            for sealed in &mut shelf.sealed {
                let mut here = BTreeSet::new();
                for id in &wanted {
                    if sealed.has(&files.folder, MessageId::from_u64(*id))? {
                        here.insert(*id);
                    }
                }
                if !here.is_empty() {
                    *sealed = sealed.without(&files.folder, &here)?;
                    found.extend(here);
                }
            }
            Ok(found.len() as u64)
        })
    }

    fn since(&self) -> Answer<Option<Timestamp>> {
        self.with(|_, shelf| {
            let sealed = shelf.sealed.iter().find(|sealed| sealed.ids > 0);
            let open = shelf.open.as_ref().filter(|open| !open.is_empty());
            let open = open.map(|open| open.first);
            Ok(sealed.map(|sealed| sealed.first).or(open))
        })
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn space(folder: &Path) -> io::Result<(u64, u64)> {
    let space = nix::sys::statvfs::statvfs(folder)?;
    // The types of these fields differ between platforms.
    #[allow(clippy::useless_conversion)]
    let of = |blocks| u64::from(blocks) * u64::from(space.fragment_size());
    Ok((of(space.blocks_available()), of(space.blocks())))
}
