//! Why a message could not be put into a mailbox.

use std::io;

use puerto_smtp::EnhancedCode;

/// A failure, with its status and a text for the log and the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Class 4: later; class 5: never.
    pub(super) status: EnhancedCode,
    /// What is wrong and, if somebody can mend it, how.
    pub(super) text: String,
    /// It passes by itself, and soon: it is not worth the wait that a host's trouble is.
    pub(super) soon: bool,
}

impl Failure {
    /// Later, with the subject and detail of RFC 3463.
    pub(super) fn later(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self { status: EnhancedCode::new(4, subject, detail), text: text.into(), soon: false }
    }

    /// Later, but soon.
    pub(super) fn soon(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self { soon: true, ..Self::later(subject, detail, text) }
    }

    /// Never, with the subject and detail of RFC 3463.
    pub(super) fn never(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self { status: EnhancedCode::new(5, subject, detail), text: text.into(), soon: false }
    }

    /// As somebody else has judged it.
    pub(super) fn of_peer(status: EnhancedCode, text: String) -> Self {
        Self { status, text, soon: false }
    }

    /// As another process has told it.
    pub(super) fn told((class, subject, detail): (u8, u16, u16), soon: bool, text: String) -> Self {
        Self { status: EnhancedCode::new(class, subject, detail), text, soon }
    }

    /// The mailbox may not become larger than this.
    pub(super) fn full(limit: u64) -> Self {
        Self::later(2, 2, format!("the mailbox is full: mailbox_size is {limit} octets"))
    }

    /// What the system said while something was done. All of it may pass: a full
    /// disk, a quota, rights that an administrator will set right.
    pub(super) fn system(doing: &str, error: &io::Error) -> Self {
        let detail = match error.raw_os_error().map(nix::Error::from_raw) {
            // X.2.2, mailbox full; X.2.1, mailbox not accepting; else X.3.0.
            Some(nix::Error::ENOSPC | nix::Error::EDQUOT | nix::Error::EFBIG) => (2, 2),
            Some(nix::Error::EACCES | nix::Error::EPERM | nix::Error::EROFS) => (2, 1),
            _ => (3, 0),
        };
        Self::later(detail.0, detail.1, format!("cannot {doing}: {error}"))
    }
}
