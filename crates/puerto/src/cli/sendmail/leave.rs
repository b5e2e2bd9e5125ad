//! Leaves a message in the user's drop folder, for a server that does not run.
//!
//! What is not yet whole has a name that nobody reads; a message has its own name once it
//! is on the disk, and `sendmail` ends with 0 once that name is, too. Until `sendmail` has
//! seen that no server has started meanwhile, nobody else takes it: it can take it back.
//!
//! What a program that has gone wild may leave is bounded, since the folder is mostly on the
//! disk that the queue is on, too. That holds for `sendmail` alone: a user who means harm
//! writes without it, there as in any other place, and only a quota stops that.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use puerto_mail::date;
use puerto_mail::header::Header;
use puerto_smtp::Recipient;
use puerto_smtp::client::commands;
use puerto_smtp::extension::Extensions;
use puerto_spool::Timestamp;
use puerto_spool::clock::{Clock as _, SystemClock};

use super::caller;
use super::compose::Submission;
use super::session::{claim_line, transaction};
use crate::drop::letter::{self, Head};
use crate::drop::{folder_of, open_folder, waiting};
use crate::intake::wall_clock;

/// Why a message cannot be left.
pub(super) enum NotLeft {
    /// There are no such folders.
    Nowhere,
    /// This user has none, or it is not theirs.
    NoFolder(PathBuf),
    /// This user has left so many already.
    TooMany(PathBuf),
    /// The disk would have less than this many octets left.
    NoRoom(PathBuf, u64),
    /// The folder does not take it.
    Failed(PathBuf, io::Error),
}

/// Messages that one user's folder may hold.
pub(super) const MOST: usize = 1000;
/// Octets that stay free on the folder's file system: four times what the queue keeps, so
/// that it can take new mail long after nothing more is left; of a small one, an eighth.
const FREE: u64 = 256 << 20;

/// Where messages are left, and how many recipients and octets one may have.
pub(super) struct Place {
    pub(super) directory: Option<PathBuf>,
    pub(super) most_recipients: usize,
    pub(super) largest: u64,
}

/// A message that was left: a file for so many recipients as one may have. While this lives,
/// the files are locked and nobody takes them.
pub(super) struct Left {
    folder: OwnedFd,
    files: Vec<(CString, Flock<File>)>,
}

impl Left {
    /// Removes what was left.
    pub(super) fn take_back(self) {
        for (name, _) in &self.files {
            let _ = unlinkat(&self.folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl Place {
    /// Leaves the message: all of it, or nothing.
    pub(super) fn leave(&self, submission: &mut Submission) -> Result<Left, NotLeft> {
        let directory = self.directory.as_deref().ok_or(NotLeft::Nowhere)?;
        let path = folder_of(directory, geteuid());
        let Ok(folder) = open_folder(directory, geteuid()) else {
            return Err(NotLeft::NoFolder(path));
        };
        let copies = submission.envelope.recipients.len().div_ceil(self.most_recipients.max(1));
        if waiting(directory, geteuid()).saturating_add(copies) > MOST {
            return Err(NotLeft::TooMany(path));
        }
        let needed = submission.size().saturating_mul(copies as u64);
        if let Some(free) = too_little(&folder, needed) {
            return Err(NotLeft::NoRoom(path, free));
        }
        let now = SystemClock.now();
        add_date(submission, now);
        let mut left = Left { folder, files: Vec::new() };
        match self.write_all(&mut left, submission, now) {
            Ok(()) => Ok(left),
            Err(error) => {
                left.take_back();
                Err(NotLeft::Failed(path, error))
            }
        }
    }

    // Each file that was made is in `left`, by the name that it has.
    fn write_all(
        &self,
        left: &mut Left,
        submission: &mut Submission,
        now: Timestamp,
    ) -> io::Result<()> {
        let Left { folder, files } = left;
        let recipients = submission.envelope.recipients.clone();
        for (number, part) in recipients.chunks(self.most_recipients.max(1)).enumerate() {
            let unfinished = format!(".{:x}.{}.{number}", now.as_millis(), std::process::id());
            let unfinished = CString::new(unfinished)?;
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let file = openat(&*folder, unfinished.as_c_str(), flags | OFlag::O_CLOEXEC, mode)?;
            let file = Flock::lock(File::from(file), FlockArg::LockExclusiveNonblock);
            let file = file.map_err(|(_, error)| error)?;
            let head = head(submission, part, now);
            let written = write(&file, &head, submission);
            files.push((unfinished, file));
            written?;
        }
        for (name, file) in files {
            let final_name = CString::new(letter::name(now, fstat(&**file)?.st_ino))?;
            renameat(&*folder, name.as_c_str(), &*folder, final_name.as_c_str())?;
            *name = final_name;
        }
        File::from(folder.try_clone()?).sync_all()
    }
}

// How much is to stay free, if that would not. A file system that does not say how much it
// has is left to its own judgement.
fn too_little(folder: &OwnedFd, needed: u64) -> Option<u64> {
    let space = nix::sys::statvfs::fstatvfs(folder).ok()?;
    let of_blocks = |blocks: u64| blocks.saturating_mul(space.fragment_size());
    let keep = FREE.min(of_blocks(space.blocks()) / 8);
    (of_blocks(space.blocks_available()) < keep.saturating_add(needed)).then_some(keep)
}

// The server would write when it takes the message, not when it was sent.
fn add_date(submission: &mut Submission, now: Timestamp) {
    let has_date = Header::parse(&submission.header)
        .is_ok_and(|header| header.fields().iter().any(|field| field.is("Date")));
    if !has_date {
        let date = format!("Date: {}\r\n", date::format(wall_clock(now)));
        submission.header.splice(0..0, date.into_bytes());
    }
}

fn head(submission: &Submission, part: &[Recipient], now: Timestamp) -> Head {
    let envelope = &submission.envelope;
    let everybody: Vec<&Recipient> = part.iter().collect();
    let transaction = transaction(envelope, &everybody, submission.size());
    // What our server offers on its local socket.
    let offers = Extensions {
        size: Some(0),
        eight_bit_mime: true,
        smtputf8: true,
        dsn: true,
        xverp: true,
        ..Extensions::default()
    };
    let mut head = Head { size: submission.size(), written: now, ..Head::default() };
    let written = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    let when = ("dropped", written.to_string());
    for (name, value) in caller::claims_for_later().into_iter().chain([when]) {
        head.claims.extend(claim_line(name, &value));
    }
    commands::mail(&transaction, &offers, &mut head.mail);
    for recipient in part {
        let mut line = String::new();
        commands::recipient(&transaction, recipient, &offers, &mut line);
        head.recipients.push(line);
    }
    head
}

fn write(file: &File, head: &Head, submission: &mut Submission) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    out.write_all(head.to_text().as_bytes())?;
    out.write_all(&submission.header)?;
    out.write_all(submission.input.beginning.get(submission.body_at..).unwrap_or_default())?;
    if let Some(rest) = &mut submission.input.rest {
        let octets = rest.len();
        let copied = io::copy(&mut rest.reader()?.take(octets), &mut out)?;
        if copied != octets {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    out.flush()?;
    file.sync_all()
}
