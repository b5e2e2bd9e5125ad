//! A file that says who gets mail, read again when it changes.
//!
//! What was read before holds on when the file cannot be read any more, or is gone: it
//! may be just being written. Where there is nothing, mail waits.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::rights;

/// How often a file is looked at for changes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Octets of a file at most: more is a mistake, or somebody's attack on memory.
const BOUND: u64 = 16 << 20;

/// Whose a file is, for what is done on its word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The user whose file it is.
    pub uid: u32,
    /// Everybody may write it, so that it speaks for nobody.
    pub is_open: bool,
}

/// Reads a file of names, and whose it is. What is no plain file, such as a FIFO, is not
/// waited for.
pub(super) fn read(file: &Path) -> io::Result<(String, Owner)> {
    let file = rights::open_to_read(file, None)?;
    let metadata = file.metadata()?;
    let owner = Owner { uid: metadata.uid(), is_open: metadata.mode() & 0o002 != 0 };
    let mut octets = Vec::new();
    file.take(BOUND + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > BOUND {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok((String::from_utf8_lossy(&octets).into_owned(), owner))
}

/// What a file says.
pub trait Names: Default {
    /// Reads it. What cannot be understood is kept as warnings.
    fn parse(text: &str, owner: Owner) -> Self;
    /// Whether there are none: then a file that is gone is as good.
    fn is_empty(&self) -> bool;
    /// Whether it may be missing from the first.
    const MAY_BE_MISSING: bool;
}

/// One file, by the path that the configuration names now.
#[derive(Debug, Default)]
pub struct Watched<T>(Mutex<Option<Loaded<T>>>);

#[derive(Debug)]
struct Loaded<T> {
    path: PathBuf,
    stamp: Stamp,
    looked: Instant,
    /// What was read; `None` if nothing ever could be.
    names: Option<Arc<T>>,
    /// Why the file that is there now cannot be read.
    unread: Option<Cause>,
    /// What is wrong with it was not told yet.
    fresh: bool,
}

// A file that is still the same: device, inode, size, time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// What is to be told of a file that has changed.
pub(super) enum News<T> {
    /// It was read.
    Read(Arc<T>),
    /// It cannot be, and what was read of it before holds.
    Kept(Cause),
    /// It cannot be, and mail waits.
    Nothing(Cause),
}

impl<T: Names> Watched<T> {
    /// What the file says.
    pub fn get(&self, path: &Path) -> io::Result<Arc<T>> {
        let now = Instant::now();
        let mut slot = self.lock();
        let before = slot.take().filter(|loaded| loaded.path == path);
        let loaded = match before {
            Some(loaded) if now.duration_since(loaded.looked) < LOOK_AGAIN => loaded,
            before => look(path, before, now),
        };
        let names = loaded
            .names
            .clone()
            .ok_or_else(|| loaded.unread.clone().unwrap_or(Cause::InternalError {}).into());
        *slot = Some(loaded);
        names
    }

    /// Looks at the file and tells, once for each change, what became of it.
    pub(super) fn news(&self, path: &Path) -> Option<News<T>> {
        let names = self.get(path);
        let mut slot = self.lock();
        let loaded = slot.as_mut().filter(|loaded| loaded.fresh)?;
        loaded.fresh = false;
        Some(match (&loaded.unread, names) {
            (None, Ok(names)) => News::Read(names),
            (Some(why), Ok(_)) => News::Kept(why.clone()),
            (why, Err(_)) => News::Nothing(why.clone().unwrap_or(Cause::InternalError {})),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Loaded<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the file be looked at again at once.
    #[cfg(test)]
    pub(super) fn look_again(&self) {
        if let Some(loaded) = self.lock().as_mut() {
            loaded.looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn look<T: Names>(path: &Path, before: Option<Loaded<T>>, looked: Instant) -> Loaded<T> {
    // The stamp comes first: a change while reading is seen at the next look. It does not
    // show whether a file may be read by now.
    let stamp = stamp(path);
    let before = match before {
        Some(same) if same.stamp == stamp && same.unread.is_none() => {
            return Loaded { looked, ..same };
        }
        before => before,
    };
    let untold = before.as_ref().is_some_and(|loaded| loaded.fresh);
    let (last, told) = before.map_or((None, None), |loaded| (loaded.names, loaded.unread));
    let had_some = last.as_ref().is_some_and(|names| !names.is_empty());
    let (names, unread) = match read(path) {
        Ok((text, owner)) => (Some(Arc::new(T::parse(&text, owner))), None),
        Err(error) if error.kind() == io::ErrorKind::NotFound && T::MAY_BE_MISSING && !had_some => {
            (Some(Arc::default()), None)
        }
        Err(error) => {
            let (file, error) = (path.display().to_string(), error.into());
            (last, Some(Cause::FileUnread { file, error }))
        }
    };
    let fresh = untold || unread.is_none() || unread != told;
    Loaded { path: path.to_owned(), stamp, looked, names, unread, fresh }
}
