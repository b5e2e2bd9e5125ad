//! Appends a message to an mbox, `/var/mail/USER`: locked, whole or not at all, and
//! on the disk before success is said.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use jiff::tz::TimeZone;
use nix::libc;

use super::account::Account;
use super::failure::Failure;
use super::lock::{DotLock, lock_file};
use super::text;

/// What stands before a message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preface {
    /// The envelope's sender for the `From ` line; empty for the null reverse-path.
    pub(super) sender: String,
    /// Header lines of ours, each with its line end: Return-Path, Delivered-To.
    pub(super) header: String,
}

/// Appends a message to the mailbox of a user below `spool`. The process must have
/// the rights to do so.
pub(super) fn deliver(
    spool: &Path,
    account: &Account,
    preface: &Preface,
    body: &mut dyn Read,
) -> Result<(), Failure> {
    let path = spool.join(&account.name);
    let _lock = DotLock::acquire(&path)?;
    let (file, created) = open_locked(&path, account)?;
    let end = file.metadata().map_err(|error| Failure::system("read the mailbox", &error))?.len();
    let written = append(&file, end, preface, body).and_then(|()| file.sync_all());
    if let Err(error) = written {
        undo(&file, end);
        return Err(Failure::system(&format!("write {}", path.display()), &error));
    }
    if created {
        sync_directory(spool);
    }
    Ok(())
}

// Between opening and locking, another program may have put a new file in the
// mailbox's place: what was locked must still be what the name means.
fn open_locked(path: &Path, account: &Account) -> Result<(File, bool), Failure> {
    for _ in 0..5 {
        let (file, created) = open(path)?;
        check(&file, path, account)?;
        lock_file(&file, path)?;
        let ours = file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let named = std::fs::symlink_metadata(path).map(|named| (named.dev(), named.ino()));
        if ours.ok().is_some_and(|ours| named.ok() == Some(ours)) {
            return Ok((file, created));
        }
    }
    Err(Failure::later(2, 0, format!("{} is replaced again and again", path.display())))
}

fn open(path: &Path) -> Result<(File, bool), Failure> {
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::ELOOP) => Failure::later(2, 1, format!("{} is a symbolic link", path.display())),
        _ => Failure::system(&format!("open {}", path.display()), &error),
    };
    // O_NONBLOCK: a FIFO in the mailbox's place must not hold us.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let existing = File::options().read(true).append(true).custom_flags(flags).open(path);
    match existing {
        Ok(file) => return Ok((file, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut create = File::options();
    create.read(true).append(true).create_new(true).mode(0o600).custom_flags(flags);
    let file = create.open(path).map_err(failed)?;
    share_with_group(&file, path).map_err(failed)?;
    Ok((file, true))
}

// Where the directory is the group's, so are the mailboxes: Debian's mail programs
// run with that group.
fn share_with_group(file: &File, path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let directory = std::fs::metadata(directory)?;
    if directory.mode() & 0o020 != 0 && directory.gid() == file.metadata()?.gid() {
        file.set_permissions(std::fs::Permissions::from_mode(0o660))?;
    }
    Ok(())
}

// A link or somebody else's file in the mailbox's place would let one user have mail
// written into another's file.
fn check(file: &File, path: &Path, account: &Account) -> Result<(), Failure> {
    let metadata = file.metadata().map_err(|error| Failure::system("read the mailbox", &error))?;
    let refuse = |what: String| Err(Failure::later(2, 1, format!("{} {what}", path.display())));
    if !metadata.is_file() {
        return refuse("is not a regular file".to_owned());
    }
    if metadata.nlink() != 1 {
        return refuse("has several names: remove the other links".to_owned());
    }
    if metadata.uid() != account.uid.as_raw() {
        let name = &account.name;
        return refuse(format!("does not belong to {name}: `chown {name}` it"));
    }
    Ok(())
}

fn append(file: &File, end: u64, preface: &Preface, body: &mut dyn Read) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    out.write_all(missing_line_ends(file, end)?)?;
    let sender = match preface.sender.as_str() {
        "" => "MAILER-DAEMON".to_owned(),
        // The date begins after the second space.
        sender => sender.replace(char::is_whitespace, "_"),
    };
    let now = jiff::Timestamp::now().to_zoned(TimeZone::system());
    writeln!(out, "From {sender} {}", now.strftime("%a %b %e %H:%M:%S %Y"))?;
    out.write_all(preface.header.as_bytes())?;
    text::copy(body, &mut out, true)?;
    out.write_all(b"\n")?;
    out.flush()
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

/// Makes a new directory entry durable. A directory that cannot be read cannot be
/// synced either; the entry then follows with the file system's own commits.
pub(super) fn sync_directory(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            name: "ana".into(),
            uid: nix::unistd::geteuid(),
            gid: nix::unistd::getegid(),
            home: "/nonexistent".into(),
        }
    }

    fn preface() -> Preface {
        Preface {
            sender: "me@example.com".into(),
            header: "Return-Path: <me@example.com>\nDelivered-To: ana@example.net\n".into(),
        }
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
        let null = Preface { sender: String::new(), header: String::new() };
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
                return Err(io::Error::from_raw_os_error(libc::EIO));
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
            result.unwrap_err().text
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
        assert!(foreign.text.contains("does not belong to ana"), "{}", foreign.text);
    }

    #[test]
    fn two_writers_never_mix_their_messages() {
        let dir = tempfile::tempdir().unwrap();
        let write = |letter: u8| {
            let mut body = vec![letter; 70_000];
            body.extend_from_slice(b"\r\n");
            for _ in 0..10 {
                deliver(dir.path(), &account(), &preface(), &mut body.as_slice()).unwrap();
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
