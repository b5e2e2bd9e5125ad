//! Appends a message to an mbox, `/var/mail/USER`: locked, whole or not at all, and
//! on the disk before success is said. Everything is reached from one descriptor of the
//! directory, so that a name means the same thing from the first step to the last.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::account::Account;
use super::failure::Failure;
use super::frame::Request;
use super::lock::{DotLock, lock_file};
use super::text;
use crate::cause::Cause;

/// A mailbox that is open and ours alone.
#[derive(Debug)]
pub(super) struct Open {
    /// For what is said of it.
    path: PathBuf,
    directory: File,
    file: File,
    created: bool,
    /// Where the message will begin.
    end: u64,
    _lock: DotLock<File>,
}

impl Open {
    /// Opens and locks the mailbox of a user below `spool`. The process must have the
    /// rights to do so.
    pub(super) fn new(spool: &Path, account: &Account, request: &Request) -> Result<Self, Failure> {
        Self::at(&spool.join(&account.name), account, request)
    }

    /// The same for any file, which has to be the user's own.
    pub(super) fn at(path: &Path, account: &Account, request: &Request) -> Result<Self, Failure> {
        let named = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
        let (spool, name) = named.ok_or_else(|| not_opened(path, Errno::ISDIR))?;
        let path = path.to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let directory = openat(CWD, spool, flags, Mode::empty()).map(File::from);
        let directory = directory.map_err(|error| not_opened(&path, error))?;
        let beside = directory.try_clone().map_err(|error| not_opened(&path, error))?;
        let lock = DotLock::acquire(beside, name, request.at)?;
        let (file, created) = open_locked(&directory, (&path, name), account)?;
        let end = file.metadata().map_err(unread)?.len();
        let full = request.limit > 0 && end.saturating_add(request.size) > request.limit;
        if full {
            return Err(Failure::full(request.limit));
        }
        Ok(Self { path, directory, file, created, end, _lock: lock })
    }

    /// Appends a message behind its `From ` line; what a failure left is cut off.
    pub(super) fn fill(&self, request: &Request, body: &mut dyn Read) -> Result<(), Failure> {
        let written = append(&self.file, self.end, request, body);
        if let Err(error) = written.and_then(|()| self.file.sync_all()) {
            undo(&self.file, self.end);
            let path = self.path.display().to_string();
            return Err(Failure::system(error, |error| Cause::MailboxNotWritten { path, error }));
        }
        if self.created {
            // A file system that cannot sync a directory commits the entry by itself.
            let _ = self.directory.sync_all();
        }
        Ok(())
    }
}

// Between opening and locking, another program may have put a new file in the
// mailbox's place: what was locked must still be what the name means.
fn open_locked(
    directory: &File,
    (path, name): (&Path, &str),
    account: &Account,
) -> Result<(File, bool), Failure> {
    for _ in 0..5 {
        let (file, created) = open(directory.as_fd(), name, path)?;
        check(&file, path, account)?;
        lock_file(&file)?;
        let ours = file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let named = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let named = named.map(|named| (named.st_dev, named.st_ino));
        if ours.ok().is_some_and(|ours| named.ok() == Some(ours)) {
            return Ok((file, created));
        }
    }
    Err(Failure::soon(2, 0, Cause::MailboxReplaced { path: path.display().to_string() }))
}

fn open(directory: BorrowedFd<'_>, name: &str, path: &Path) -> Result<(File, bool), Failure> {
    let failed = |error: Errno| match error {
        Errno::LOOP => {
            Failure::later(2, 1, Cause::MailboxIsLink { path: path.display().to_string() })
        }
        _ => not_opened(path, error),
    };
    // A FIFO or a terminal in the mailbox's place must not hold us.
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => return Ok((file.into(), false)),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(error)),
    }
    let create = flags | OFlags::CREATE | OFlags::EXCL;
    let file = openat(directory, name, create, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let file = File::from(file);
    share_with_group(&file, directory).map_err(|error| not_opened(path, error))?;
    Ok((file, true))
}

// Where the directory is the group's, so are the mailboxes: Debian's mail programs
// run with that group.
fn share_with_group(file: &File, directory: BorrowedFd<'_>) -> io::Result<()> {
    let directory = rustix::fs::fstat(directory)?;
    if directory.st_mode & 0o020 != 0 && directory.st_gid == file.metadata()?.gid() {
        file.set_permissions(std::fs::Permissions::from_mode(0o660))?;
    }
    Ok(())
}

// A link or somebody else's file in the mailbox's place would let one user have mail
// written into another's file.
fn check(file: &File, path: &Path, account: &Account) -> Result<(), Failure> {
    let metadata = file.metadata().map_err(unread)?;
    let path = path.display().to_string();
    let cause = if !metadata.is_file() {
        Cause::MailboxIsNoFile { path }
    } else if metadata.nlink() != 1 {
        Cause::MailboxHasNames { path }
    } else if metadata.uid() != account.uid.as_raw() {
        Cause::MailboxOfOther { path, user: account.name.clone() }
    } else {
        return Ok(());
    };
    Err(Failure::later(2, 1, cause))
}

fn not_opened(path: &Path, error: impl Into<io::Error>) -> Failure {
    let path = path.display().to_string();
    Failure::system(error, |error| Cause::MailboxNotOpened { path, error })
}

fn unread(error: io::Error) -> Failure {
    Failure::system(error, |error| Cause::MailboxUnread { error })
}

fn append(file: &File, end: u64, request: &Request, body: &mut dyn Read) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    out.write_all(missing_line_ends(file, end)?)?;
    out.write_all(from_line(request).as_bytes())?;
    out.write_all(request.header.as_bytes())?;
    text::copy(body, &mut out, true)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The line that a message begins with in an mbox, and before a command.
pub(super) fn from_line(request: &Request) -> String {
    let sender = match request.sender.as_str() {
        "" => "MAILER-DAEMON".to_owned(),
        // The date begins after the second space.
        sender => sender.replace(char::is_whitespace, "_"),
    };
    let at = jiff::Timestamp::from_millisecond(request.at.as_millis()).unwrap_or_default();
    let at = at.to_zoned(TimeZone::system());
    format!("From {sender} {}\n", at.strftime("%a %b %e %H:%M:%S %Y"))
}

// What a crash left behind may end in the middle of a line: the next message begins
// after an empty line all the same.
fn missing_line_ends(file: &File, end: u64) -> io::Result<&'static [u8]> {
    let mut tail = [0_u8; 2];
    let have = usize::try_from(end.min(2)).unwrap_or(2);
    let Some(tail) = tail.get_mut(..have) else {
        return Ok(b"");
    };
    file.read_exact_at(tail, end.saturating_sub(have as u64))?;
    Ok(match tail {
        [] | [b'\n', b'\n'] => b"",
        [.., b'\n'] => b"\n",
        _ => b"\n\n",
    })
}

fn undo(mut file: &File, end: u64) {
    // If even this fails, the mailbox has half a message at its end, and the log has
    // the reason for the failure: nothing more can be done.
    let _ = file.set_len(end);
    let _ = file.seek(SeekFrom::End(0));
    let _ = file.sync_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account::for_tests("ana", Path::new("/nonexistent"))
    }

    fn preface() -> Request {
        Request {
            header: "Return-Path: <me@example.com>\nDelivered-To: ana@example.net\n".into(),
            ..Request::for_tests("ana")
        }
    }

    fn deliver(
        spool: &Path,
        account: &Account,
        request: &Request,
        body: &mut dyn Read,
    ) -> Result<(), Failure> {
        Open::new(spool, account, request)?.fill(request, body)
    }

    fn read(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("ana")).unwrap()
    }

    #[test]
    fn a_message_is_appended_in_the_form_of_an_mbox() {
        let dir = tempfile::tempdir().unwrap();
        let body = b"Subject: x\r\n\r\nhi\r\nFrom here\r\n";
        deliver(dir.path(), &account(), &preface(), &mut &body[..]).unwrap();
        let text = read(dir.path());
        let (from, rest) = text.split_once('\n').unwrap();
        let date = from.strip_prefix("From me@example.com ").unwrap();
        assert_eq!(date.len(), "Tue Nov 24 07:17:00 2026".len(), "{date}");
        assert_eq!(
            rest,
            "Return-Path: <me@example.com>\nDelivered-To: ana@example.net\n\
             Subject: x\n\nhi\n>From here\n\n"
        );
        let (sender, header) = Default::default();
        let null = Request { sender, header, ..preface() };
        deliver(dir.path(), &account(), &null, &mut &b"\r\nbounce\r\n"[..]).unwrap();
        assert!(read(dir.path()).starts_with(&text));
        assert!(read(dir.path()).contains("\n\nFrom MAILER-DAEMON "));
        assert!(!dir.path().join("ana.lock").exists());
        let mode = std::fs::metadata(dir.path().join("ana")).unwrap().mode();
        assert_eq!(mode & 0o007, 0, "nobody else reads it");
    }

    #[test]
    fn what_a_crash_left_behind_is_ended_first() {
        for (left, expected) in [("", ""), ("a\n\n", "a\n\n"), ("a\n", "a\n\n"), ("a", "a\n\n")] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("ana"), left).unwrap();
            deliver(dir.path(), &account(), &preface(), &mut &b"x\r\n"[..]).unwrap();
            assert!(read(dir.path()).starts_with(&format!("{expected}From me@")), "{left:?}");
        }
    }

    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let part = self.0.min(buffer.len());
            if part == 0 {
                return Err(Errno::IO.into());
            }
            buffer[..part].fill(b'x');
            self.0 -= part;
            Ok(part)
        }
    }

    #[test]
    fn a_failure_in_the_middle_leaves_the_mailbox_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        deliver(dir.path(), &account(), &preface(), &mut &b"one\r\n"[..]).unwrap();
        let before = read(dir.path());
        for octets in [0, 10, 300_000] {
            let failure =
                deliver(dir.path(), &account(), &preface(), &mut Failing(octets)).unwrap_err();
            assert_eq!(failure.status.class, 4);
            assert_eq!(read(dir.path()), before);
            assert!(!dir.path().join("ana.lock").exists());
        }
    }

    #[test]
    fn only_a_users_own_plain_file_is_written() {
        let refused = |prepare: &dyn Fn(&Path)| {
            let dir = tempfile::tempdir().unwrap();
            prepare(dir.path());
            let result = deliver(dir.path(), &account(), &preface(), &mut &b"x\r\n"[..]);
            result.unwrap_err().cause.to_string()
        };
        let link = refused(&|dir| {
            std::fs::write(dir.join("victim"), "").unwrap();
            std::os::unix::fs::symlink(dir.join("victim"), dir.join("ana")).unwrap();
        });
        assert!(link.contains("symbolic link"), "{link}");
        let hard = refused(&|dir| {
            std::fs::write(dir.join("victim"), "").unwrap();
            std::fs::hard_link(dir.join("victim"), dir.join("ana")).unwrap();
        });
        assert!(hard.contains("several names"), "{hard}");
        let directory = refused(&|dir| std::fs::create_dir(dir.join("ana")).unwrap());
        assert!(directory.contains("cannot open"), "{directory}");
        let fifo = refused(&|dir| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(&dir.join("ana"), mode).unwrap();
        });
        assert!(fifo.contains("not a regular file"), "{fifo}");
        let mut other = account();
        other.uid = nix::unistd::Uid::from_raw(other.uid.as_raw() + 1);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ana"), "").unwrap();
        let foreign = deliver(dir.path(), &other, &preface(), &mut &b"x\r\n"[..]).unwrap_err();
        assert!(foreign.cause.text().contains("does not belong to ana"), "{foreign:?}");
    }

    #[test]
    fn a_mailbox_that_would_become_too_large_takes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let request = Request { size: 300, limit: 1000, ..preface() };
        let body = vec![b'x'; 300];
        let send = || deliver(dir.path(), &account(), &request, &mut body.as_slice());
        send().unwrap();
        send().unwrap();
        let full = send().unwrap_err();
        assert_eq!((full.status.class, full.status.subject, full.status.detail), (4, 2, 2));
        assert_eq!(read(dir.path()).matches("\nDelivered-To").count(), 2);
    }

    #[test]
    fn two_writers_never_mix_their_messages() {
        let dir = tempfile::tempdir().unwrap();
        let write = |letter: u8| {
            let mut body = vec![letter; 70_000];
            body.extend_from_slice(b"\r\n");
            for _ in 0..10 {
                // A lock is not waited for.
                while deliver(dir.path(), &account(), &preface(), &mut body.as_slice()).is_err() {
                    std::thread::yield_now();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write(b'a'));
            scope.spawn(|| write(b'b'));
        });
        let text = read(dir.path());
        assert_eq!(text.matches("\nDelivered-To: ").count(), 20);
        let whole = |line: &&str| line.len() == 70_000;
        let lines: Vec<&str> = text.lines().filter(whole).collect();
        assert_eq!(lines.len(), 20);
        assert!(lines.iter().all(|line| line.bytes().all(|byte| byte == line.as_bytes()[0])));
    }
}
