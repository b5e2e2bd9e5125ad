//! Puts a message into a Maildir: written whole under `tmp`, synced, and only then
//! moved to `new`, where readers look. No locks are needed.
//!
//! Everything below a home directory is in its owner's hands, also while this runs. Each
//! directory is opened once, as a directory and nothing else, and reached from there; the
//! process is the user, so `~/Maildir` may lead to another place of the user's own.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use puerto_spool::Timestamp;
use rustix::fs::{
    AtFlags, CWD, Dir, Mode, OFlags, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::account::Account;
use super::failure::Failure;
use super::frame::Request;
use super::text;
use crate::cause::Cause;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A Maildir whose directories are open.
#[derive(Debug)]
pub(super) struct Open {
    /// For what is said of it.
    path: PathBuf,
    tmp: File,
    new: File,
}

impl Open {
    /// Opens `~/Maildir/`, which is made if it is missing. The process must be the user.
    pub(super) fn new(account: &Account, request: &Request) -> Result<Self, Failure> {
        Self::at(&account.home.join("Maildir"), account, request)
    }

    /// The same for any Maildir, which has to be the user's own.
    pub(super) fn at(path: &Path, account: &Account, request: &Request) -> Result<Self, Failure> {
        let named = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
        let (above, name) = named.ok_or_else(|| not_written(path, Errno::ISDIR))?;
        let path = path.to_owned();
        let failed = |error: Errno| not_written(&path, error);
        let home = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let home = openat(CWD, above, home, Mode::empty());
        let home = home.ok().filter(|_| above.is_absolute()).ok_or_else(|| {
            let home = above.display().to_string();
            Failure::later(2, 1, Cause::HomeMissing { home })
        })?;
        let mut made = make(&home, name).map_err(failed)?;
        let maildir = openat(&home, name, DIRECTORY, Mode::empty()).map_err(failed)?;
        if fstat(&maildir).map_err(failed)?.st_uid != account.uid.as_raw() {
            let (path, user) = (path.display().to_string(), account.name.clone());
            return Err(Failure::later(2, 1, Cause::MailboxOfOther { path, user }));
        }
        for name in ["tmp", "new", "cur"] {
            made |= make(&maildir, name).map_err(failed)?;
        }
        let [tmp, new, cur] = ["tmp", "new", "cur"].map(|name| below(&maildir, name));
        let (tmp, new, cur) = (tmp.map_err(failed)?, new.map_err(failed)?, cur.map_err(failed)?);
        if made {
            // A file system that cannot sync a directory commits the entry by itself.
            let _ = File::from(maildir).sync_all();
            let _ = openat(&home, ".", DIRECTORY, Mode::empty())
                .map(|home| File::from(home).sync_all());
        }
        let held = |directory| size_of(directory, request.limit);
        if request.limit > 0
            && held(&new).map_err(failed)? + held(&cur).map_err(failed)? + request.size
                > request.limit
        {
            return Err(Failure::full(request.limit));
        }
        Ok(Self { path, tmp, new })
    }

    /// Puts a message in.
    pub(super) fn fill(&self, request: &Request, body: &mut dyn Read) -> Result<(), Failure> {
        let name = unique_name(request.at);
        self.write(&name, request, body).map_err(|error| {
            let _ = unlinkat(&self.tmp, name.as_str(), AtFlags::empty());
            not_written(&self.path, error)
        })
    }

    fn write(&self, name: &str, request: &Request, body: &mut dyn Read) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.tmp, name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut out = BufWriter::with_capacity(64 * 1024, &file);
        out.write_all(request.header.as_bytes())?;
        text::copy(body, &mut out, false)?;
        out.flush()?;
        drop(out);
        file.sync_all()?;
        // Readers, and we, learn the size without a look at the file.
        let sized = format!("{name},S={}", file.metadata()?.len());
        renameat(&self.tmp, name, &self.new, sized.as_str())?;
        // Until then, a crash could make the message vanish that we are about to call
        // delivered.
        self.new.sync_all()
    }
}

fn not_written(path: &Path, error: impl Into<io::Error>) -> Failure {
    let path = path.display().to_string();
    Failure::system(error, |error| Cause::MaildirNotWritten { path, error })
}

fn make<D: AsFd>(directory: D, name: &str) -> Result<bool, Errno> {
    match mkdirat(directory, name, Mode::RWXU) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

fn below<D: AsFd>(maildir: &D, name: &str) -> Result<File, Errno> {
    openat(maildir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map(File::from)
}

// Octets of the messages in a directory, no further than it matters.
fn size_of(directory: &File, limit: u64) -> Result<u64, Errno> {
    let mut octets = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") || octets > limit {
            continue;
        }
        let stated = name.to_str().ok().and_then(|name| name.split_once(",S="));
        let stated = stated.and_then(|(_, rest)| rest.split([',', ':']).next()?.parse().ok());
        octets += stated.unwrap_or_else(|| {
            let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            found.map_or(0, |found| u64::try_from(found.st_size).unwrap_or(0))
        });
    }
    Ok(octets)
}

// Seconds, then what makes it unique: microseconds, process, a counter; then the host.
fn unique_name(at: Timestamp) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    format!(
        "{}.M{:06}P{}Q{}.{}",
        at.as_secs(),
        at.as_millis().rem_euclid(1000) * 1000,
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed),
        host.replace('/', "\\057").replace(':', "\\072").replace(',', "\\054")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(home: &Path) -> Account {
        Account::for_tests("ana", home)
    }

    fn request() -> Request {
        let header = "Return-Path: <>\n".to_owned();
        Request { header, maildir: true, ..Request::for_tests("ana") }
    }

    fn deliver(home: &Path, request: &Request, body: &mut dyn Read) -> Result<(), Failure> {
        Open::new(&account(home), request)?.fill(request, body)
    }

    fn names(path: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn messages_appear_whole_under_names_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let body = b"Subject: x\r\n\r\nFrom here\r\n";
            deliver(home.path(), &request(), &mut &body[..]).unwrap();
        }
        let new = names(&home.path().join("Maildir/new"));
        assert_eq!(new.len(), 3);
        for path in new {
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, "Return-Path: <>\nSubject: x\n\nFrom here\n");
            assert!(path.to_string_lossy().ends_with(&format!(",S={}", text.len())));
        }
        assert!(names(&home.path().join("Maildir/tmp")).is_empty());
        assert!(home.path().join("Maildir/cur").is_dir());
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Errno::IO.into())
            }
        }
        let home = tempfile::tempdir().unwrap();
        let failure = deliver(home.path(), &request(), &mut Failing).unwrap_err();
        assert_eq!(failure.status.class, 4);
        assert!(names(&home.path().join("Maildir/tmp")).is_empty());
        assert!(names(&home.path().join("Maildir/new")).is_empty());
        let missing = home.path().join("missing");
        let failure = deliver(&missing, &request(), &mut &b""[..]).unwrap_err();
        assert!(failure.cause.text().contains("home directory"), "{}", failure.cause);
    }

    #[test]
    fn what_is_no_directory_fails_at_once() {
        type Prepare = dyn Fn(&Path);
        let fifo = |path: &Path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        };
        let link = |path: &Path| std::os::unix::fs::symlink("/tmp", path).unwrap();
        let dangling = |path: &Path| std::os::unix::fs::symlink("/nowhere", path).unwrap();
        let file = |path: &Path| std::fs::write(path, "").unwrap();
        let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        let all: [&Prepare; 5] = [&fifo, &link, &dangling, &file, &socket];
        for prepare in all {
            for name in ["Maildir/new", "Maildir/tmp", "Maildir/cur"] {
                let home = tempfile::tempdir().unwrap();
                deliver(home.path(), &request(), &mut &b"x\r\n"[..]).unwrap();
                let path = home.path().join(name);
                std::fs::remove_dir_all(&path).unwrap();
                prepare(&path);
                let failure = deliver(home.path(), &request(), &mut &b"x\r\n"[..]).unwrap_err();
                assert_eq!(failure.status.class, 4, "{name}");
                assert!(failure.cause.text().contains("cannot write to"), "{}", failure.cause);
            }
        }
    }

    #[test]
    fn the_folder_may_lead_to_another_place_of_its_users() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join("Maildir")).unwrap();
        deliver(home.path(), &request(), &mut &b"x\r\n"[..]).unwrap();
        assert_eq!(names(&elsewhere.path().join("new")).len(), 1);
        let mut somebody = account(home.path());
        somebody.uid = nix::unistd::Uid::from_raw(somebody.uid.as_raw() + 1);
        let failure = Open::new(&somebody, &request()).unwrap_err();
        assert!(failure.cause.text().contains("does not belong to ana"), "{}", failure.cause);
    }

    #[test]
    fn a_maildir_that_would_become_too_large_takes_no_more() {
        let home = tempfile::tempdir().unwrap();
        let request = Request { size: 300, limit: 1000, ..request() };
        let body = vec![b'x'; 300];
        deliver(home.path(), &request, &mut body.as_slice()).unwrap();
        // Read, and kept by a program that states no size.
        std::fs::write(home.path().join("Maildir/cur/1.x:2,S"), "x".repeat(300)).unwrap();
        deliver(home.path(), &request, &mut body.as_slice()).unwrap();
        let full = deliver(home.path(), &request, &mut body.as_slice()).unwrap_err();
        assert_eq!((full.status.class, full.status.subject, full.status.detail), (4, 2, 2));
    }
}
