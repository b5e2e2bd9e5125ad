//! Exit codes as in sysexits, which mail programs have agreed on since sendmail.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::control::ClientError;
use crate::control::protocol::ErrorCode;

/// What a command's end means to whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Sysexit {
    /// Done.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// The input is wrong.
    DataError = 65,
    /// The input cannot be read.
    NoInput = 66,
    /// A recipient does not exist.
    NoUser = 67,
    /// The server refuses, or does not answer where it should be asked.
    Unavailable = 69,
    /// The system lets us down: no memory, no file descriptors.
    OsError = 71,
    /// A file cannot be made.
    CantCreate = 73,
    /// Reading or writing failed half-way.
    IoError = 74,
    /// Not now; the same may succeed later.
    TryAgain = 75,
    /// The server does not speak the protocol.
    Protocol = 76,
    /// This user may not.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Sysexit> for ExitCode {
    fn from(code: Sysexit) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command ends without having done what it was asked: what its user reads,
/// and what its caller can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the caller.
    pub code: Sysexit,
    /// For the user: what, where, and how to mend it. It may have several lines.
    pub message: String,
}

impl Failure {
    /// Joins the two.
    pub fn new(code: Sysexit, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotRunning { .. } | ClientError::Lost(_) => Sysexit::TryAgain,
            ClientError::Unreachable { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Sysexit::NoPermission,
                _ => Sysexit::TryAgain,
            },
            ClientError::Protocol(_) => Sysexit::Protocol,
            ClientError::Refused { code, .. } => match code {
                ErrorCode::Malformed => Sysexit::Usage,
                ErrorCode::Version => Sysexit::Protocol,
                ErrorCode::Denied => Sysexit::NoPermission,
                ErrorCode::NotFound => Sysexit::NoInput,
                ErrorCode::Busy => Sysexit::TryAgain,
                ErrorCode::Failed => Sysexit::Unavailable,
            },
        };
        let advice = if code == Sysexit::TryAgain { "; try again" } else { "" };
        Self::new(code, format!("{error}{advice}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Sysexit::IoError, error.to_string())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(Sysexit::Config, errors.render(false))
    }
}
