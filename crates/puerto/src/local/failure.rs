//! Why a message could not be put into a mailbox.

use std::io;

use puerto_smtp::EnhancedCode;
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, SystemError};

/// A failure, with its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// Class 4: later; class 5: never.
    #[serde(with = "status")]
    pub(super) status: EnhancedCode,
    /// What is wrong and, if somebody can mend it, how.
    pub(super) cause: Cause,
    /// It passes by itself, and soon: it is not worth the wait that a host's trouble is.
    pub(super) soon: bool,
}

impl Failure {
    /// As somebody else has judged it.
    pub(super) fn of_peer(status: EnhancedCode, cause: Cause) -> Self {
        Self { status, cause, soon: false }
    }

    /// Later, with the subject and detail of RFC 3463.
    pub(super) fn later(subject: u16, detail: u16, cause: Cause) -> Self {
        Self::of_peer(EnhancedCode::new(4, subject, detail), cause)
    }

    /// Later, but soon.
    pub(super) fn soon(subject: u16, detail: u16, cause: Cause) -> Self {
        Self { soon: true, ..Self::later(subject, detail, cause) }
    }

    /// Never, with the subject and detail of RFC 3463.
    pub(super) fn never(subject: u16, detail: u16, cause: Cause) -> Self {
        Self::of_peer(EnhancedCode::new(5, subject, detail), cause)
    }

    /// A mistake of our own.
    pub(super) fn internal() -> Self {
        Self::later(3, 0, Cause::InternalError {})
    }

    /// The mailbox may not become larger than this.
    pub(super) fn full(limit: u64) -> Self {
        Self::later(2, 2, Cause::MailboxFull { limit })
    }

    /// The users of this machine, or their aliases, cannot be looked up.
    pub(super) fn no_users(error: io::Error) -> Self {
        Self::later(3, 0, Cause::UsersUnknown { error: error.into() })
    }

    /// The queue's disk has failed.
    pub(super) fn of_message(error: io::Error) -> Self {
        Self::system(error, |error| Cause::MessageUnread { error })
    }

    /// What the system said while something was done. All of it may pass: a full
    /// disk, a quota, rights that an administrator will set right.
    pub(super) fn system(
        error: impl Into<io::Error>,
        cause: impl FnOnce(SystemError) -> Cause,
    ) -> Self {
        let error = error.into();
        let detail = match error.raw_os_error().map(nix::Error::from_raw) {
            // X.2.2, mailbox full; X.2.1, mailbox not accepting; else X.3.0.
            Some(nix::Error::ENOSPC | nix::Error::EDQUOT | nix::Error::EFBIG) => (2, 2),
            Some(nix::Error::EACCES | nix::Error::EPERM | nix::Error::EROFS) => (2, 1),
            _ => (3, 0),
        };
        Self::later(detail.0, detail.1, cause(error.into()))
    }
}

/// A status code as the three numbers that a frame carries.
mod status {
    use puerto_smtp::EnhancedCode;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(code: &EnhancedCode, to: S) -> Result<S::Ok, S::Error> {
        (code.class, code.subject, code.detail).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<EnhancedCode, D::Error> {
        let (class, subject, detail) = <(u8, u16, u16)>::deserialize(from)?;
        Ok(EnhancedCode::new(class, subject, detail))
    }
}
