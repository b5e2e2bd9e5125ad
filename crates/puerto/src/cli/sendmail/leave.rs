//! Leaves a message in the user's drop folder, for a server that does not run.
//!
//! What is not yet whole has a name that nobody reads; a message has its own name once it
//! is on the disk, and `sendmail` ends with 0 once that name is, too.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use puerto_smtp::Recipient;
use puerto_smtp::client::{Transaction, commands};
use puerto_smtp::extension::Extensions;
use puerto_spool::clock::{Clock as _, SystemClock};

use super::caller;
use super::compose::Submission;
use super::session::claim_line;
use crate::drop::letter::{self, Head};
use crate::drop::{folder_of, open_folder};

/// Why a message cannot be left.
pub(super) enum NotLeft {
    /// There are no such folders.
    Nowhere,
    /// This user has none, or it is not theirs.
    NoFolder(PathBuf),
    /// The folder does not take it.
    Failed(PathBuf, io::Error),
}

/// Where messages are left, and how many recipients one may have.
pub(super) struct Place {
    pub(super) directory: Option<PathBuf>,
    pub(super) most_recipients: usize,
    pub(super) largest: u64,
}

impl Place {
    /// Leaves the message: all of it, or nothing.
    pub(super) fn leave(&self, submission: &mut Submission) -> Result<(), NotLeft> {
        let directory = self.directory.as_deref().ok_or(NotLeft::Nowhere)?;
        let path = folder_of(directory, geteuid());
        let Ok(folder) = open_folder(directory, geteuid()) else {
            return Err(NotLeft::NoFolder(path));
        };
        let mut left = Vec::new();
        let done = self.write_all(&folder, submission, &mut left);
        done.map_err(|error| {
            for name in &left {
                let _ = unlinkat(&folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
            }
            NotLeft::Failed(path, error)
        })
    }

    // Each file that was made is in `left`, by the name that it has.
    fn write_all(
        &self,
        folder: &OwnedFd,
        submission: &mut Submission,
        left: &mut Vec<CString>,
    ) -> io::Result<()> {
        let recipients = submission.envelope.recipients.clone();
        let now = SystemClock.now();
        let mut names = Vec::new();
        for (number, part) in recipients.chunks(self.most_recipients.max(1)).enumerate() {
            let name = letter::name(now, std::process::id(), number);
            let unfinished = CString::new(format!(".{name}"))?;
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let file = openat(folder, unfinished.as_c_str(), flags | OFlag::O_CLOEXEC, mode)?;
            left.push(unfinished);
            write(File::from(file), &head(submission, part, now), submission)?;
            names.push(CString::new(name)?);
        }
        for (slot, name) in left.iter_mut().zip(names) {
            renameat(folder, slot.as_c_str(), folder, name.as_c_str())?;
            *slot = name;
        }
        File::from(folder.try_clone()?).sync_all()
    }
}

fn head(submission: &Submission, part: &[Recipient], now: puerto_spool::Timestamp) -> Head {
    let envelope = &submission.envelope;
    let everybody: Vec<&Recipient> = part.iter().collect();
    let transaction = Transaction {
        reverse_path: &envelope.reverse_path,
        recipients: &everybody,
        envelope_id: envelope.envelope_id.as_deref(),
        ret: envelope.ret,
        verp: envelope.verp,
        size: submission.size(),
        eight_bit: envelope.eight_bit,
        utf8_header: envelope.smtputf8,
    };
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
    for (name, value) in caller::claims_for_later() {
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

fn write(file: File, head: &Head, submission: &mut Submission) -> io::Result<()> {
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
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
