//! What a server lives from, as one file, and back: the configuration and all that it names,
//! what the daemon remembers, and the mail that waits.
//!
//! The file is a tar archive in its plainest form, so that every tool shows what is in it:
//! `files/…` with the paths of the machine, `queue/ID.entry` and `queue/ID.eml` for each
//! message, and `manifest.json` as its last member, which says what all the others are.
//! Who reads one takes no word of it before all of it was compared with the manifest, and
//! writes only where the configuration that it holds says that such files are.

mod archive;
mod places;
mod tar;
#[cfg(test)]
mod tests;

use std::io;

use crate::lang::{Said, said, said_of, spool_error, system};

pub use archive::{Archive, FileEntry, Folder, Manifest, Writer};
pub use places::{Places, kept_by_others};

/// Why there is no backup, or none can be read.
#[derive(Debug)]
pub enum BackupError {
    /// The system says so.
    Io(io::Error),
    /// A file of the machine cannot be read.
    File(std::path::PathBuf, io::Error),
    /// The queue says so.
    Queue(puerto_spool::SpoolError),
    /// The archive ends before its manifest.
    Cut,
    /// It is not what `puerto backup` writes, or not any more.
    Damaged(Said),
    /// A later version has written it.
    Later,
}

impl BackupError {
    /// The error for people.
    pub fn said(&self) -> Said {
        match self {
            Self::Io(error) => system(error),
            Self::File(path, error) => said_of!(
                "{path}: {error}", "{path}: {error}";
                path = Said::words(path.display().to_string()), error = crate::rights::said(error)
            ),
            Self::Queue(error) => spool_error(error),
            Self::Cut => said!(
                "it ends too early: the backup was broken off, or the copy was",
                "termina antes de tiempo: se interrumpió la copia de seguridad o su traslado"
            ),
            Self::Damaged(what) => said_of!(
                "it is damaged, or not a backup of `puerto backup`: {what}",
                "está dañado, o no es una copia de `puerto backup`: {what}"; what = what
            ),
            Self::Later => said!(
                "a later version has written it: install that one",
                "lo escribió una versión posterior: instale esa"
            ),
        }
    }
}

impl From<puerto_spool::SpoolError> for BackupError {
    fn from(error: puerto_spool::SpoolError) -> Self {
        Self::Queue(error)
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::Io(error),
        }
    }
}
