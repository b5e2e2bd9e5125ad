//! Empties the drop folder of one user, as that user: what the agent's processes run.
//!
//! Each message is handed over at the local socket as `sendmail` would have done it, to all
//! of its recipients or to none, and its file is removed when the server has it. A file is
//! opened when it is known to be a regular one, and read if it is the user's and has one
//! name alone. What is no message is moved aside, so that the log names it once.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, geteuid, unlinkat};
use puerto_smtp::reply::Severity;
use puerto_smtp::{EnhancedCode, Reply};
use puerto_spool::Timestamp;
use puerto_spool::clock::{Clock as _, SystemClock};

use rustix::fs::Dir;

use super::session::{GROUP, Session, claim_line};
use crate::drop::letter::{Head, is_name, unreadable};
use crate::drop::{self, Report, Request, UNFINISHED, Why, agent};
use crate::lang::Language;

/// Files that one process looks at.
const FILES: usize = 1000;
/// How long a file that never became whole is kept: nobody was told that it would be sent.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// Octets of a returned message that its notice holds; of a larger one, only its beginning.
const RETURNED: usize = 64 * 1024;

/// The process's whole life. Its standard input is the socket to the daemon.
pub fn run(directory: &Path, socket: &Path, uid: u32) -> ExitCode {
    let life = u32::try_from(agent::LIFE.as_secs()).unwrap_or(120);
    let _ = nix::unistd::alarm::set(life);
    let _ = std::env::set_current_dir("/");
    nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    let stream = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let done = stream.and_then(|stream| {
        let folder = drop::ensure_folder(directory, Uid::from_raw(uid))?;
        agent::become_for_good(Uid::from_raw(uid))?;
        serve(stream, folder, socket)
    });
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(70) }
}

/// Empties a folder with the rights that the process has. Errors are of the socket to the
/// daemon.
pub fn serve(stream: UnixStream, folder: OwnedFd, socket: &Path) -> io::Result<()> {
    let mut line = Vec::new();
    BufReader::new(&stream).take(64 * 1024).read_until(b'\n', &mut line)?;
    let request: Request = serde_json::from_slice(&line)?;
    let mut out = &stream;
    let mut tell = |report: &Report| -> io::Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        out.write_all(&line)
    };
    // Another daemon with the same folders, or one's own user who wants no mail sent.
    let lock = Flock::lock(folder.try_clone()?, FlockArg::LockExclusiveNonblock);
    let Ok(_lock) = lock else {
        return tell(&Report::End { progress: 0, again: true, more: false });
    };
    let mut round = Round {
        folder,
        socket,
        language: request.language(),
        done: request.done.as_deref().and_then(split),
        session: None,
        progress: 0,
        again: false,
    };
    let (names, more) = round.names();
    for name in names {
        if let Some(report) = round.look_at(&name) {
            tell(&report)?;
        }
    }
    let Round { progress, again, session, .. } = round;
    if let Some(session) = session {
        session.quit();
    }
    tell(&Report::End { progress, again, more })
}

fn split(taken: &str) -> Option<(String, usize)> {
    let (name, count) = taken.split_once('.')?;
    Some((name.to_owned(), count.parse().ok()?))
}

struct Round<'a> {
    folder: OwnedFd,
    socket: &'a Path,
    language: Language,
    /// The file that was taken last, and how many of its recipients have it.
    done: Option<(String, usize)>,
    session: Option<Session>,
    progress: usize,
    again: bool,
}

/// What the server made of a message.
enum Verdict {
    Taken,
    Refused(String),
    /// Not now.
    Later,
}

impl Round<'_> {
    // The first of them by name, and whether there are more.
    fn names(&self) -> (Vec<CString>, bool) {
        let folder = self.folder.try_clone().ok().and_then(|folder| Dir::new(folder).ok());
        let mut first = std::collections::BinaryHeap::new();
        let mut more = false;
        let Some(mut folder) = folder else { return (Vec::new(), false) };
        for entry in folder.by_ref().filter_map(Result::ok) {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..")
                || name.to_bytes() == drop::REFUSED.as_bytes()
            {
                continue;
            }
            first.push(name.to_owned());
            if first.len() > FILES {
                first.pop();
                more = true;
            }
        }
        (first.into_sorted_vec(), more)
    }

    fn look_at(&mut self, name: &CStr) -> Option<Report> {
        let Ok(seen) = drop::look(&self.folder, name) else { return None };
        if name.to_bytes().starts_with(b".") {
            self.clear_away(name, &seen);
            return None;
        }
        match self.take(name, &seen) {
            Ok(report) => report,
            Err(Why::Incomplete) if age(&seen) < UNFINISHED => {
                self.again = true;
                None
            }
            Err(why) => Some(self.keep(name, why)),
        }
    }

    fn take(&mut self, name: &CStr, seen: &FileStat) -> Result<Option<Report>, Why> {
        match drop::kind(seen) {
            SFlag::S_IFREG => {}
            SFlag::S_IFLNK => return Err(Why::Link),
            _ => return Err(Why::Special),
        }
        if !is_name(name.to_bytes()) {
            return Err(Why::Name);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.folder, name, flags | OFlag::O_CLOEXEC, Mode::empty());
        let file = File::from(file.map_err(|error| unreadable(&error.into()))?);
        let opened = fstat(&file).map_err(|error| unreadable(&error.into()))?;
        if opened.st_uid != geteuid().as_raw() {
            return Err(Why::Foreign);
        }
        if opened.st_nlink != 1 {
            return Err(Why::Linked);
        }
        let mut file = BufReader::new(file);
        let (head, octets) = Head::read(&mut file)?;
        if u64::try_from(opened.st_size).ok() != octets.checked_add(head.size) {
            return Err(Why::Incomplete);
        }
        let name = name.to_string_lossy().into_owned();
        match self.submit(&name, &head, octets, file.into_inner()) {
            Verdict::Taken => self.remove(&name),
            Verdict::Later => {
                self.again = true;
                Ok(None)
            }
            Verdict::Refused(reply) => self.give_back(&name, &head, octets, reply),
        }
    }

    fn remove(&mut self, name: &str) -> Result<Option<Report>, Why> {
        unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|error| unreadable(&error.into()))?;
        // The next is not taken before it is sure that this one is gone.
        let synced = self.folder.try_clone().and_then(|folder| File::from(folder).sync_all());
        synced.map_err(|error| unreadable(&error))?;
        self.progress += 1;
        Ok(None)
    }

    fn submit(&mut self, name: &str, head: &Head, octets: u64, mut file: File) -> Verdict {
        let all = head.recipients.len();
        let mut served = match &self.done {
            Some((done, count)) if done == name => *count,
            _ => 0,
        };
        while let Some(rest) = head.recipients.get(served..).filter(|rest| !rest.is_empty()) {
            let mut part = rest.len();
            let content = io::Seek::seek(&mut file, io::SeekFrom::Start(octets));
            if content.is_err() {
                return Verdict::Later;
            }
            // How many it takes with one message is known when it has been asked.
            let sent = loop {
                let taken = format!("{name}.{}", served + part);
                let offered = rest.get(..part).unwrap_or(rest);
                match self.offer(&taken, head, offered) {
                    Offered::All => break self.content(&mut file, head.size),
                    Offered::Some(count) if count > 0 && count < part => part = count,
                    Offered::Some(_) | Offered::Later => break Verdict::Later,
                    Offered::Refused(reply) => break Verdict::Refused(reply),
                }
            };
            match sent {
                Verdict::Taken => {
                    served += part;
                    if served < all {
                        self.session = None;
                    }
                }
                other => {
                    // Whatever the server was told is forgotten with the session.
                    self.session = None;
                    return other;
                }
            }
        }
        if served >= all { Verdict::Taken } else { Verdict::Later }
    }

    fn session(&mut self) -> Option<&mut Session> {
        if self.session.is_none() {
            self.session = Session::open(self.socket, &[], false).ok();
        }
        self.session.as_mut()
    }

    fn offer(&mut self, taken: &str, head: &Head, recipients: &[String]) -> Offered {
        let written = jiff::Timestamp::from_millisecond(head.written.as_millis());
        let written = written.unwrap_or_default().to_string();
        let mut lines = head.claims.clone();
        lines.extend(claim_line("dropped", &written));
        lines.extend(claim_line("drop", taken));
        lines.push(head.mail.clone());
        let Some(session) = self.session() else { return Offered::Later };
        let Ok(replies) = session.say(&lines) else { return Offered::Later };
        match replies.last() {
            Some(reply) if reply.is_positive() => {}
            Some(reply) => return Offered::of(reply),
            None => return Offered::Later,
        }
        let mut accepted = 0;
        for group in recipients.chunks(GROUP) {
            let Ok(replies) = session.say(group) else { return Offered::Later };
            for (line, reply) in group.iter().zip(&replies) {
                let EnhancedCode { subject, detail, .. } = reply.status();
                let is_full = reply.code().get() == 452 && (subject, detail) == (5, 3);
                if is_full && accepted > 0 {
                    // To be offered anew with as many as it takes.
                    self.session = None;
                    return Offered::Some(accepted);
                }
                if !reply.is_positive() {
                    return Offered::of_recipient(line, reply);
                }
                accepted += 1;
            }
        }
        Offered::All
    }

    fn content(&mut self, file: &mut File, size: u64) -> Verdict {
        let Some(session) = self.session.as_mut() else { return Verdict::Later };
        match session.content_of(&mut file.take(size), size) {
            Ok(reply) if reply.is_positive() => Verdict::Taken,
            Ok(reply) if reply.severity() == Severity::Permanent => {
                Verdict::Refused(reply.to_string())
            }
            Ok(_) | Err(_) => Verdict::Later,
        }
    }

    // The user is told, by a message that is handed over as any other; what cannot be told
    // is kept.
    fn give_back(
        &mut self,
        name: &str,
        head: &Head,
        octets: u64,
        reply: String,
    ) -> Result<Option<Report>, Why> {
        let told = !head.is_notice() && self.tell_user(name, head, octets, &reply);
        if !told {
            return Err(Why::Refused(reply));
        }
        self.remove(name)?;
        Ok(Some(Report::Returned { name: name.to_owned(), reply }))
    }

    fn tell_user(&mut self, name: &str, head: &Head, octets: u64, reply: &str) -> bool {
        let file = openat(&self.folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let Ok(file) = file.map(File::from) else { return false };
        let mut beginning = Vec::new();
        let mut file = file.take(octets + RETURNED as u64);
        if io::copy(&mut (&mut file).take(octets), &mut io::sink()).is_err()
            || file.read_to_end(&mut beginning).is_err()
        {
            return false;
        }
        let user = super::user().login;
        let text = super::notice::text(self.language, &user, head, reply, &beginning);
        let notice = Head {
            size: text.len() as u64,
            mail: "MAIL FROM:<>\r\n".into(),
            recipients: vec![format!("RCPT TO:<{user}>\r\n")],
            ..Head::default()
        };
        self.session = None;
        // Not by the ledger: told twice is better than not told.
        let Some(session) = self.session() else { return false };
        let lines = [notice.mail, notice.recipients.concat()];
        let Ok(replies) = session.say(&lines) else { return false };
        let sent = replies.iter().all(Reply::is_positive)
            && session.content_of(&mut text.as_slice(), notice.size).is_ok_and(|r| r.is_positive());
        self.session = None;
        sent
    }

    // Into the folder for what cannot be sent, under a name that nothing there has.
    fn keep(&mut self, name: &CStr, why: Why) -> Report {
        let moved = self.move_aside(name).is_ok();
        if moved {
            self.progress += 1;
        }
        Report::Kept { name: name.to_string_lossy().chars().take(200).collect(), why, moved }
    }

    fn move_aside(&self, name: &CStr) -> io::Result<()> {
        let aside = OsStr::new(drop::REFUSED);
        match mkdirat(&self.folder, aside, Mode::S_IRWXU) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = openat(&self.folder, aside, flags, Mode::empty())?;
        let now = SystemClock.now().as_millis();
        let room = 255 - 20;
        let mut new: Vec<u8> = name.to_bytes().iter().take(room).copied().collect();
        new.extend(format!(".{now}").as_bytes());
        let new: OsString = OsString::from_vec(new);
        renameat(&self.folder, OsStr::from_bytes(name.to_bytes()), &folder, new.as_os_str())?;
        File::from(folder).sync_all()
    }

    fn clear_away(&self, name: &CStr, seen: &FileStat) {
        if drop::kind(seen) == SFlag::S_IFREG && age(seen) > ABANDONED {
            let _ = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

// Since it was written to; nothing if the clock has gone back.
fn age(seen: &FileStat) -> Duration {
    let written = Timestamp::from_millis(seen.st_mtime.saturating_mul(1000));
    SystemClock.now().since(written)
}

enum Offered {
    All,
    Some(usize),
    Refused(String),
    Later,
}

impl Offered {
    fn of(reply: &Reply) -> Self {
        match reply.severity() {
            Severity::Permanent => Self::Refused(reply.to_string()),
            _ => Self::Later,
        }
    }

    fn of_recipient(line: &str, reply: &Reply) -> Self {
        match Self::of(reply) {
            Self::Refused(reply) => Self::Refused(format!("{}: {reply}", line.trim_end())),
            other => other,
        }
    }
}
