//! Empties the drop folder of the user whose process this is: what the agent starts.
//!
//! Each message is handed over at the local socket as `sendmail` would have done it, to all
//! of its recipients or to none, and its file is removed when the server has it. A file is
//! opened when it is known to be a regular one, and read if it is the user's and has one
//! name alone. What is no message is moved aside, so that the log names it once. Lines on
//! the standard output are for the log.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use puerto_smtp::Reply;
use puerto_smtp::reply::Severity;
use puerto_spool::Timestamp;
use puerto_spool::clock::{Clock as _, SystemClock};
use rustix::fs::Dir;

use super::session::{GROUP, Session};
use crate::cli::exit::Failure;
use crate::cli::output::say;
use crate::cli::spanish::Spanish as _;
use crate::drop::agent::{DONE, Errands, LATER, MORE};
use crate::drop::letter::{Head, Why, is_name};
use crate::drop::{self, REFUSED};
use crate::lang::{Language, harmless};
use crate::rights::{self, Capabilities};

/// Files that one process looks at, and how long it goes on to the next.
const FILES: usize = 1000;
const TURN: Duration = Duration::from_secs(60);
/// Files of which it says something.
const NAMED: usize = 20;
/// Characters of a line of the log.
const LINE: usize = 400;
/// How long a file that never became whole is kept: nobody was told that it would be sent.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// Octets of a returned message that its notice holds; of a larger one, only its beginning.
const RETURNED: u64 = 64 * 1024;

/// What the agent and its processes are told.
#[derive(Debug, Args)]
pub struct ErrandArgs {
    /// The folders
    #[arg(es = "Las carpetas")]
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where mail is handed over
    #[arg(es = "Dónde se entrega el correo")]
    socket: PathBuf,
    /// The language in which users are told what was refused
    #[arg(es = "El idioma en que se comunica a los usuarios lo rechazado")]
    language: String,
}

impl ErrandArgs {
    fn language(&self) -> Language {
        Language::parse(&self.language).unwrap_or_default()
    }

    /// The same, for the agent.
    pub fn errands(&self) -> Errands {
        Errands::new(&self.directory, &self.socket, self.language())
    }
}

/// The process's whole life.
pub fn run(arguments: &ErrandArgs) -> ExitCode {
    let _ = std::env::set_current_dir("/");
    nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    // Root's own mail needs none of root's rights.
    if geteuid().is_root() && rights::keep(Capabilities::empty()).is_err() {
        return ExitCode::from(LATER);
    }
    let Ok(folder) = drop::open_folder(&arguments.directory, geteuid()) else {
        let _ = say("it is no folder of this user's");
        return ExitCode::from(DONE);
    };
    let mut round = Round {
        folder,
        socket: &arguments.socket,
        language: arguments.language(),
        is_gone: false,
        told: 0,
        progress: false,
        later: false,
    };
    round.go();
    ExitCode::from(match (round.later, round.progress) {
        (false, _) => DONE,
        (true, true) => MORE,
        (true, false) => LATER,
    })
}

struct Round<'a> {
    folder: OwnedFd,
    socket: &'a Path,
    language: Language,
    /// The server takes no more sessions.
    is_gone: bool,
    /// How many lines the log has.
    told: usize,
    /// A file is gone.
    progress: bool,
    /// Some are to be looked at again.
    later: bool,
}

/// What the server made of a message.
enum Verdict {
    Taken,
    Refused(String),
    /// Not now.
    Later,
}

impl Verdict {
    fn of(reply: &Reply) -> Self {
        let status = reply.status();
        // A file has as many recipients as could be given to a message when it was written;
        // a server that takes fewer since will not take more later (RFC 5321 §4.5.3.1.10).
        let too_many = reply.code().get() == 452 && (status.subject, status.detail) == (5, 3);
        match reply.severity() {
            Severity::Positive | Severity::Intermediate => Self::Taken,
            Severity::Transient if !too_many => Self::Later,
            Severity::Permanent | Severity::Transient => Self::Refused(reply.to_string()),
        }
    }
}

impl Round<'_> {
    fn go(&mut self) {
        let started = SystemClock.elapsed();
        for name in self.names() {
            if SystemClock.elapsed() - started > TURN {
                self.later = true;
                break;
            }
            let Ok(seen) = drop::look(&self.folder, &name) else { continue };
            if name.to_bytes().starts_with(b".") {
                self.clear_away(&name, &seen);
                continue;
            }
            match self.take(&name, &seen) {
                Ok(()) if self.is_gone => break,
                Ok(()) => {}
                Err(why) => self.keep(&name, &why),
            }
        }
    }

    // The first of them by name.
    fn names(&mut self) -> Vec<CString> {
        let folder = self.folder.try_clone().ok().and_then(|folder| Dir::new(folder).ok());
        let Some(mut folder) = folder else { return Vec::new() };
        let mut first = std::collections::BinaryHeap::new();
        for entry in folder.by_ref().filter_map(Result::ok) {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || name.to_bytes() == REFUSED.as_bytes() {
                continue;
            }
            first.push(name.to_owned());
            if first.len() > FILES {
                first.pop();
                self.later = true;
            }
        }
        first.into_sorted_vec()
    }

    fn take(&mut self, name: &CStr, seen: &FileStat) -> Result<(), Why> {
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
        let file = File::from(file.map_err(io::Error::from)?);
        // The `sendmail` that has left it still has it in hand, or another process of ours.
        let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            self.later = true;
            return Ok(());
        };
        let opened = fstat(&*file).map_err(io::Error::from)?;
        match opened.st_nlink {
            0 => return Ok(()),
            1 => {}
            _ => return Err(Why::Linked),
        }
        if drop::kind(&opened) != SFlag::S_IFREG || opened.st_uid != geteuid().as_raw() {
            return Err(Why::Foreign);
        }
        let mut content = BufReader::new(&*file);
        let (head, octets) = Head::read(&mut content)?;
        if u64::try_from(opened.st_size).ok() != octets.checked_add(head.size) {
            return Err(Why::Incomplete);
        }
        match self.hand_over(&head, &mut content.take(head.size)) {
            Verdict::Taken => self.remove(name)?,
            Verdict::Later => self.later = true,
            Verdict::Refused(reply) => {
                let beginning = beginning(&file, octets)?;
                self.give_back(name, &head, &beginning, reply)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &CStr) -> Result<(), Why> {
        let removed = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
        removed.map_err(io::Error::from)?;
        self.progress = true;
        // The next is not taken before it is sure that this one is gone.
        Ok(File::from(self.folder.try_clone()?).sync_all()?)
    }

    fn hand_over(&mut self, head: &Head, content: &mut dyn Read) -> Verdict {
        let Ok(mut session) = Session::open(self.socket, &[], false) else {
            self.is_gone = true;
            return Verdict::Later;
        };
        let verdict = transact(&mut session, head, content).unwrap_or(Verdict::Later);
        session.quit();
        verdict
    }

    // The user is told, by a message that is handed over as any other; what cannot be told
    // is kept.
    fn give_back(
        &mut self,
        name: &CStr,
        head: &Head,
        beginning: &[u8],
        reply: String,
    ) -> Result<(), Why> {
        if head.is_notice() {
            return Err(Why::Refused(reply));
        }
        let user = super::user().login;
        let text = super::notice::text(self.language, &user, head, &reply, beginning);
        let notice = Head {
            size: text.len() as u64,
            mail: "MAIL FROM:<>\r\n".into(),
            recipients: vec![format!("RCPT TO:<{user}>\r\n")],
            ..Head::default()
        };
        match self.hand_over(&notice, &mut text.as_slice()) {
            Verdict::Taken => {
                self.tell(&format!("{name:?} was refused and returned to its user: {reply}"));
                self.remove(name)
            }
            Verdict::Later => {
                self.later = true;
                Ok(())
            }
            Verdict::Refused(_) => Err(Why::Refused(reply)),
        }
    }

    // Into the folder for what cannot be sent, under a name that nothing there has.
    fn keep(&mut self, name: &CStr, why: &Why) {
        let moved = self.move_aside(name);
        self.progress |= moved.is_ok();
        let place = match moved {
            Ok(()) => format!("it is in its folder {REFUSED:?} now"),
            Err(error) => format!("it stays, since it cannot be moved to {REFUSED:?}: {error}"),
        };
        self.tell(&format!("{name:?} is not sent: {why}; {place}"));
    }

    fn move_aside(&self, name: &CStr) -> io::Result<()> {
        let aside = OsStr::new(REFUSED);
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
        let written = Timestamp::from_millis(seen.st_mtime.saturating_mul(1000));
        let is_old = SystemClock.now().since(written) > ABANDONED;
        if drop::kind(seen) == SFlag::S_IFREG && is_old {
            let _ = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
        }
    }

    fn tell(&mut self, text: &str) {
        self.told += 1;
        if self.told <= NAMED {
            let line: String = harmless(text).chars().take(LINE).collect();
            let _ = say(&line);
        }
    }
}

fn transact(
    session: &mut Session,
    head: &Head,
    content: &mut dyn Read,
) -> Result<Verdict, Failure> {
    let claims = head.claims.iter().filter(|_| session.hears_claims());
    let mut lines: Vec<String> = claims.cloned().collect();
    lines.push(head.mail.clone());
    // A claim that is not taken is nothing that a message should wait for.
    let replies = session.say(&lines)?;
    match replies.last().map(Verdict::of) {
        Some(Verdict::Taken) => {}
        Some(other) => return Ok(other),
        None => return Ok(Verdict::Later),
    }
    for group in head.recipients.chunks(GROUP) {
        for (line, reply) in group.iter().zip(session.say(group)?) {
            match Verdict::of(&reply) {
                Verdict::Taken => {}
                Verdict::Later => return Ok(Verdict::Later),
                Verdict::Refused(reply) => {
                    return Ok(Verdict::Refused(format!("{}: {reply}", line.trim_end())));
                }
            }
        }
    }
    Ok(Verdict::of(&session.content_of(content, head.size)?))
}

// The beginning of the content, which begins there.
fn beginning(mut file: &File, octets: u64) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(octets))?;
    file.take(RETURNED).read_to_end(&mut beginning)?;
    Ok(beginning)
}
