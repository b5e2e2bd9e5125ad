//! What the daemon and the process that empties a folder say to each other: lines of JSON.
//! The process is its user's by then, so the daemon believes nothing but what it says of
//! that user's own files.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lang::Language;

/// What the daemon says first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The file that was taken last, and maybe not removed.
    pub done: Option<String>,
    /// In which language users are told.
    pub spanish: bool,
}

impl Request {
    /// The language.
    pub fn language(&self) -> Language {
        if self.spanish { Language::Spanish } else { Language::English }
    }
}

/// What the process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// A file cannot be sent. It stays: in the folder for such files, if it could be moved.
    Kept {
        /// Its name.
        name: String,
        /// Why.
        why: Why,
        /// It is in that folder.
        moved: bool,
    },
    /// The server refused a message; its user was told, and the file is gone.
    Returned {
        /// The file's name.
        name: String,
        /// The server's words.
        reply: String,
    },
    /// It is through.
    End {
        /// How many files are gone.
        progress: usize,
        /// Some are to be tried again in a while.
        again: bool,
        /// There are more than were looked at.
        more: bool,
    },
}

/// Why a file is no message that could be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It is a symbolic link.
    Link,
    /// It is no regular file: a pipe, a folder, a device.
    Special,
    /// It belongs to somebody else.
    Foreign,
    /// It has more than one name.
    Linked,
    /// Its name is no such file's.
    Name,
    /// It is not whole.
    Incomplete,
    /// `sendmail` has not written it.
    NoLetter,
    /// The system does not let it be read.
    Unreadable(String),
    /// The server refused it, and its user could not be told.
    Refused(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("it is a symbolic link"),
            Self::Special => f.write_str("it is no regular file"),
            Self::Foreign => f.write_str("it belongs to another user"),
            Self::Linked => f.write_str("it has more than one name (hard links)"),
            Self::Name => f.write_str("sendmail gives no such names"),
            Self::Incomplete => f.write_str("it is not whole"),
            Self::NoLetter => f.write_str("it is no message that sendmail has left"),
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::Refused(reply) => write!(f, "it was refused: {reply}"),
        }
    }
}
