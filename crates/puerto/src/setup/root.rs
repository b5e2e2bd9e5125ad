//! The file tree that is set up: this machine's, or a folder that stands for one.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::batch::Unwritten;
use crate::rights;

/// Octets of a file that are read at most; no configuration comes near.
const BOUND: u64 = 1024 * 1024;

/// The folder under which everything is read and written; `/` for this machine.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// A folder that stands for a machine.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Whether it is the running machine itself.
    pub fn is_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where the tree begins on this machine.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where a path of the machine lies in this tree.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
    }

    /// Whether something is there, even a link that leads nowhere.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// The names of what is in a folder of the machine, in their order.
    pub(super) fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Fails if no file can be made where this path of the machine lies, with the folder
    /// that is in the way.
    pub(super) fn writable(&self, path: impl AsRef<Path>) -> Result<(), Unwritten> {
        let place = self.at(path);
        let there = place.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok());
        let Some(folder) = there else { return Ok(()) };
        let checked = match folder.metadata() {
            Ok(metadata) if !metadata.is_dir() => Err(Errno::ENOTDIR),
            _ => access(folder, AccessFlags::W_OK | AccessFlags::X_OK),
        };
        checked.map_err(|error| Unwritten { path: folder.to_owned(), error: error.into() })
    }

    /// The text of a file of the machine; `None` if there is none.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Option<String>> {
        let file = match rights::open_to_read(&self.at(path), None) {
            Ok(file) => file,
            Err(error) => match error.kind() {
                // Nothing, or no regular file.
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => return Ok(None),
                _ => return Err(error),
            },
        };
        let mut octets = Vec::new();
        file.take(BOUND).read_to_end(&mut octets)?;
        Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
    }
}
