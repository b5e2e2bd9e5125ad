//! Keeps others out of an mbox while it is written: the lock file that every mail
//! program knows, and the kernel's locks on the mailbox itself for where that file
//! cannot be made. Locks are tried and never waited for: whoever holds one keeps the own
//! mail waiting, and nobody's process.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use puerto_spool::Timestamp;
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use super::failure::Failure;
use crate::cause::Cause;

/// A lock file of this age was left behind: no program holds a mailbox so long.
const STALE: Duration = Duration::from_secs(300);

/// A lock file beside a mailbox, removed when dropped; or none, where the directory
/// does not let us make one.
#[derive(Debug)]
pub(super) struct DotLock<D: AsFd>(Option<(D, String)>);

impl<D: AsFd> DotLock<D> {
    /// Makes `MAILBOX.lock` in the directory.
    pub(super) fn acquire(directory: D, mailbox: &str, now: Timestamp) -> Result<Self, Failure> {
        let name = format!("{mailbox}.lock");
        let made = match make(&directory, &name) {
            Err(Errno::EXIST) if remove_if_stale(&directory, &name, now) => make(&directory, &name),
            made => made,
        };
        match made {
            Ok(()) => Ok(Self(Some((directory, name)))),
            Err(Errno::EXIST) => Err(locked()),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(Self(None)),
            Err(error) => Err(failed(error)),
        }
    }
}

impl<D: AsFd> Drop for DotLock<D> {
    fn drop(&mut self) {
        if let Some((directory, name)) = &self.0 {
            // If somebody took it for stale, it is gone already.
            let _ = unlinkat(directory, name.as_str(), AtFlags::empty());
        }
    }
}

fn make<D: AsFd>(directory: &D, name: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?);
    // The process, by which lockfile-remove(1) and others tell whether it still lives.
    let _ = writeln!(file, "{}", std::process::id());
    Ok(())
}

fn remove_if_stale<D: AsFd>(directory: &D, name: &str, now: Timestamp) -> bool {
    let Ok(found) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return false;
    };
    let made = Timestamp::from_millis(found.st_mtime.saturating_mul(1000));
    now.since(made) > STALE && unlinkat(directory, name, AtFlags::empty()).is_ok()
}

/// Locks an open mailbox with both of the kernel's locks: record locks, which most
/// mail programs use, and flock, for the others. They go when the file is closed.
pub(super) fn lock_file(file: &File) -> Result<(), Failure> {
    // A lock of the open file, not of the process: threads exclude each other, too.
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or(1),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or(0),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => {}
        Err(nix::Error::EAGAIN | nix::Error::EACCES | nix::Error::EINTR) => return Err(locked()),
        Err(error) => return Err(failed(error)),
    }
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => Err(locked()),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn failed(error: impl Into<io::Error>) -> Failure {
    Failure::system(error, |error| Cause::MailboxNotLocked { error })
}

fn locked() -> Failure {
    Failure::soon(2, 0, Cause::MailboxLocked {})
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_lock_file_that_was_left_behind_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let directory = File::open(dir.path()).unwrap();
        let stale = dir.path().join("ana.lock");
        let file = File::create(&stale).unwrap();
        let made = file.metadata().unwrap().mtime();
        let later = |seconds| Timestamp::from_millis(made * 1000).after(seconds);
        assert!(DotLock::acquire(&directory, "ana", later(STALE)).unwrap_err().soon);
        let stale_at = later(STALE + Duration::from_secs(1));
        let lock = DotLock::acquire(&directory, "ana", stale_at).unwrap();
        assert!(stale.exists());
        let failure = DotLock::acquire(&directory, "ana", later(STALE)).unwrap_err();
        assert!(failure.soon, "one that is held is not");
        drop(lock);
        assert!(!stale.exists());
    }

    #[test]
    fn a_lock_that_another_holds_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ana");
        let open = || File::options().create(true).append(true).open(&path).unwrap();
        let (first, second) = (open(), open());
        lock_file(&first).unwrap();
        let failure = lock_file(&second).unwrap_err();
        assert!(failure.soon && failure.status.class == 4);
        drop(first);
        lock_file(&second).unwrap();
        let flock = open();
        drop(second);
        flock.lock().unwrap();
        assert!(lock_file(&open()).unwrap_err().soon);
    }
}
