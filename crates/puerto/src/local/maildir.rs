//! Puts a message into a Maildir: written whole under `tmp`, synced, and only then
//! moved to `new`, where readers look. No locks are needed.

use std::fs::{DirBuilder, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::libc;

use super::account::Account;
use super::failure::Failure;
use super::mbox::{Preface, sync_directory};
use super::text;

/// Puts a message into `~/Maildir/`, which is made if it is missing. The process must
/// be the user: everything below a home directory is in its owner's hands.
pub(super) fn deliver(
    account: &Account,
    preface: &Preface,
    body: &mut dyn Read,
) -> Result<(), Failure> {
    if !account.home.is_absolute() || !account.home.is_dir() {
        let text = format!("the home directory {} is missing", account.home.display());
        return Err(Failure::later(2, 1, text));
    }
    let maildir = account.home.join("Maildir");
    let failed =
        |error: &io::Error| Failure::system(&format!("write to {}", maildir.display()), error);
    make_directories(&maildir).map_err(|error| failed(&error))?;
    let name = unique_name();
    let temporary = maildir.join("tmp").join(&name);
    let result = write(&temporary, preface, body).and_then(|()| publish(&maildir, &temporary));
    if let Err(error) = result {
        let _ = std::fs::remove_file(&temporary);
        return Err(failed(&error));
    }
    Ok(())
}

fn make_directories(maildir: &Path) -> io::Result<()> {
    let made = |path: &Path| match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => Ok(false),
        Ok(()) => Ok(true),
    };
    let mut new = made(maildir)?;
    for name in ["tmp", "new", "cur"] {
        new |= made(&maildir.join(name))?;
    }
    if new {
        sync_directory(maildir);
        if let Some(home) = maildir.parent() {
            sync_directory(home);
        }
    }
    Ok(())
}

fn write(path: &Path, preface: &Preface, body: &mut dyn Read) -> io::Result<()> {
    let mut create = File::options();
    create.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = create.open(path)?;
    let mut out = BufWriter::with_capacity(64 * 1024, &file);
    out.write_all(preface.header.as_bytes())?;
    text::copy(body, &mut out, false)?;
    out.flush()?;
    drop(out);
    file.sync_all()
}

fn publish(maildir: &Path, temporary: &Path) -> io::Result<()> {
    let new = maildir.join("new");
    let target: PathBuf = temporary.file_name().map(|name| new.join(name)).unwrap_or_default();
    std::fs::rename(temporary, target)?;
    // Until then, a crash could make the message vanish that we are about to call
    // delivered.
    File::open(&new)?.sync_all()
}

// Seconds, then what makes it unique: microseconds, process, a counter; then the host.
fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    format!(
        "{}.M{:06}P{}Q{}.{}",
        now.as_secs(),
        now.subsec_micros(),
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed),
        host.replace('/', "\\057").replace(':', "\\072")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(home: &Path) -> Account {
        Account {
            name: "ana".into(),
            uid: nix::unistd::geteuid(),
            gid: nix::unistd::getegid(),
            home: home.into(),
        }
    }

    fn names(path: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn messages_appear_whole_under_names_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let preface = Preface { sender: String::new(), header: "Return-Path: <>\n".into() };
        for _ in 0..3 {
            let body = b"Subject: x\r\n\r\nFrom here\r\n";
            deliver(&account(home.path()), &preface, &mut &body[..]).unwrap();
        }
        let new = names(&home.path().join("Maildir/new"));
        assert_eq!(new.len(), 3);
        for path in new {
            let text = std::fs::read_to_string(path).unwrap();
            assert_eq!(text, "Return-Path: <>\nSubject: x\n\nFrom here\n");
        }
        assert!(names(&home.path().join("Maildir/tmp")).is_empty());
        assert!(home.path().join("Maildir/cur").is_dir());
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
        }
        let home = tempfile::tempdir().unwrap();
        let preface = Preface { sender: String::new(), header: String::new() };
        let failure = deliver(&account(home.path()), &preface, &mut Failing).unwrap_err();
        assert_eq!(failure.status.class, 4);
        assert!(names(&home.path().join("Maildir/tmp")).is_empty());
        assert!(names(&home.path().join("Maildir/new")).is_empty());
        let missing = account(&home.path().join("missing"));
        let failure = deliver(&missing, &preface, &mut &b""[..]).unwrap_err();
        assert!(failure.text.contains("home directory"), "{}", failure.text);
    }
}
