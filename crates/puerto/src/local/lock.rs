//! Keeps others out of an mbox while it is written: the lock file that every mail
//! program knows, and the kernel's locks on the mailbox itself for where that file
//! cannot be made.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::failure::Failure;

/// How long another program may keep a mailbox before the message waits instead: not
/// long, since the mail of others waits behind it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait between looks.
const PAUSE: Duration = Duration::from_millis(20);
/// A lock file of this age was left behind: no program holds a mailbox so long.
const STALE: Duration = Duration::from_secs(300);

/// A lock file beside a mailbox, removed when dropped; or none, where the directory
/// does not let us make one.
#[derive(Debug)]
pub(super) struct DotLock(Option<PathBuf>);

impl DotLock {
    /// Makes `MAILBOX.lock`, waiting for another's to go.
    pub(super) fn acquire(mailbox: &Path) -> Result<Self, Failure> {
        let mut name = mailbox.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match make(&path) {
                Ok(()) => return Ok(Self(Some(path))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    remove_if_stale(&path);
                    wait_until(deadline, &path)?;
                }
                Err(error) if cannot_be_made(&error) => return Ok(Self(None)),
                Err(error) => return Err(Failure::system("lock the mailbox", &error)),
            }
        }
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // If somebody took it for stale, it is gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    // The process, by which lockfile-remove(1) and others tell whether it still lives.
    writeln!(file, "{}", std::process::id())
}

fn cannot_be_made(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn remove_if_stale(path: &Path) {
    let age = std::fs::symlink_metadata(path)
        .and_then(|metadata| metadata.modified())
        .map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
    if age.is_ok_and(|age| age > STALE) {
        let _ = std::fs::remove_file(path);
    }
}

/// Locks an open mailbox with both of the kernel's locks: record locks, which most
/// mail programs use, and flock, for the others. They go when the file is closed.
pub(super) fn lock_file(file: &File, path: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    // A lock of the open file, not of the process: threads exclude each other, too.
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or(1),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or(0),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
            Ok(_) => break,
            Err(nix::Error::EAGAIN | nix::Error::EACCES | nix::Error::EINTR) => {
                wait_until(deadline, path)?;
            }
            Err(error) => return Err(Failure::system("lock the mailbox", &error.into())),
        }
    }
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) => wait_until(deadline, path)?,
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(Failure::system("lock the mailbox", &error));
            }
        }
    }
}

fn wait_until(deadline: Instant, path: &Path) -> Result<(), Failure> {
    if Instant::now() >= deadline {
        let text = format!("another program keeps {} locked", path.display());
        return Err(Failure::later(2, 0, text));
    }
    std::thread::sleep(PAUSE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_was_left_behind_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = dir.path().join("ana");
        let stale = dir.path().join("ana.lock");
        let file = File::create(&stale).unwrap();
        file.set_modified(SystemTime::now() - STALE - Duration::from_secs(1)).unwrap();
        let lock = DotLock::acquire(&mailbox).unwrap();
        assert!(stale.exists());
        drop(lock);
        assert!(!stale.exists());
    }

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ana");
        let first = File::create(&path).unwrap();
        lock_file(&first, &path).unwrap();
        let begun = Instant::now();
        let released = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            drop(first);
        });
        let second = File::options().append(true).open(&path).unwrap();
        lock_file(&second, &path).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(60));
        released.join().unwrap();
    }
}
