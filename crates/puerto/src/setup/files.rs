//! Files to be there, compared with what is.

use std::io;
use std::path::{Path, PathBuf};

use super::root::Root;

/// The permission bits of what only root and the daemon may read.
pub(super) const SECRET: u32 = 0o640;

/// A file or link to be there.
pub(super) struct Wanted {
    /// Its path on the machine.
    pub(super) path: PathBuf,
    pub(super) content: Content,
}

/// What a file is.
#[derive(Clone)]
pub(super) enum Content {
    /// A text with its permission bits.
    Text(String, u32),
    /// A link to another path of the machine.
    Link(PathBuf),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was not there and is now.
    Written,
    /// It was there as it should be.
    Unchanged,
    /// Something else is there and was left alone.
    Kept,
    /// Something else was there; it has been moved aside.
    Replaced,
}

impl Done {
    pub(super) fn is_new(self) -> bool {
        matches!(self, Self::Written | Self::Replaced)
    }

    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Replaced => "replaced",
        }
    }
}

/// How a wanted file compares with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    Same,
    Different,
}

impl Wanted {
    /// A text that everybody may read.
    pub(super) fn text(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), content: Content::Text(text, 0o644) }
    }

    /// A text that only root and the daemon may read.
    pub(super) fn secret(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), content: Content::Text(text, SECRET) }
    }

    pub(super) fn state(&self, root: &Root) -> io::Result<State> {
        if !root.has(&self.path) {
            return Ok(State::Missing);
        }
        let same = match &self.content {
            Content::Text(text, _) => root.read(&self.path)?.is_some_and(|there| there == *text),
            Content::Link(target) => destination(root, &self.path) == *target,
        };
        Ok(if same { State::Same } else { State::Different })
    }

    /// The mode of the folder that is made for it. Beside the configuration, which all
    /// may read, stands the password; a folder of keys is ours alone.
    pub(super) fn folder_mode(&self) -> u32 {
        let key = self.path.extension().is_some_and(|extension| extension == "pem");
        if key && matches!(self.content, Content::Text(_, SECRET)) { 0o750 } else { 0o755 }
    }
}

/// Where a chain of links ends, as a path of the machine.
pub(super) fn destination(root: &Root, path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..8 {
        match link_of(root, &path) {
            Some(target) => path = target,
            None => break,
        }
    }
    path
}

/// What a link says, as a path of the machine.
pub(super) fn link_of(root: &Root, path: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(root.at(path)).ok()?;
    if target.is_absolute() {
        return Some(target);
    }
    let mut out = path.parent()?.to_owned();
    for part in target.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    Some(out)
}
