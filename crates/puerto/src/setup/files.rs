//! Files to be there: compared with what is, and written only where nothing is.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::root::Root;

/// The group that may read secrets, where it exists already.
const GROUP: &str = "puerto";

/// A file or link to be there.
pub(super) struct Wanted {
    /// Its path on the machine.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) content: Content,
}

/// What a file is.
pub(super) enum Content {
    /// A text that everybody may read.
    Text(String),
    /// A text that only root and the daemon may read.
    Secret(String),
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
    pub(super) fn text(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), content: Content::Text(text) }
    }

    pub(super) fn secret(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), content: Content::Secret(text) }
    }

    pub(super) fn state(&self, root: &Root) -> io::Result<State> {
        if !root.has(&self.path) {
            return Ok(State::Missing);
        }
        let same = match &self.content {
            Content::Text(text) | Content::Secret(text) => {
                root.read(&self.path)?.is_some_and(|there| there == *text)
            }
            Content::Link(target) => destination(root, &self.path) == *target,
        };
        Ok(if same { State::Same } else { State::Different })
    }

    /// Writes it. What is there is never written over: this fails if something is.
    pub(super) fn write(&self, root: &Root) -> io::Result<()> {
        let path = root.at(&self.path);
        let Some(folder) = path.parent() else { return Ok(()) };
        match &self.content {
            Content::Text(text) => {
                make_folders(folder, 0o755)?;
                write_text(&path, folder, text, 0o644)
            }
            Content::Secret(text) => {
                // Beside the configuration, which all may read, stands the password.
                let keys = path.extension().is_some_and(|extension| extension == "pem");
                make_folders(folder, if keys { 0o750 } else { 0o755 })?;
                write_text(&path, folder, text, 0o640)
            }
            Content::Link(target) => {
                make_folders(folder, 0o755)?;
                symlink(target, &path)?;
                File::open(folder)?.sync_all()
            }
        }
    }

    /// Moves what is there aside, to a name that is free.
    pub(super) fn move_aside(&self, root: &Root) -> io::Result<()> {
        let path = root.at(&self.path);
        let free = (0_u32..).find_map(|number| {
            let mut name = path.clone().into_os_string();
            name.push(if number == 0 { ".old".to_owned() } else { format!(".old{number}") });
            let name = PathBuf::from(name);
            name.symlink_metadata().is_err().then_some(name)
        });
        free.map_or(Ok(()), |free| std::fs::rename(&path, free))
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

// Folders above the last are for everybody, since other programs' files are there too.
fn make_folders(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        // Both the folder of keys and the one of a domain in it are ours alone.
        let inner = parent.file_name().is_some_and(|name| name == "dkim");
        make_folders(parent, if mode != 0o755 && inner { mode } else { 0o755 })?;
    }
    DirBuilder::new().mode(mode).create(folder)?;
    let handle = File::open(folder)?;
    if mode != 0o755 {
        give_to_group(&handle)?;
    }
    handle.set_permissions(Permissions::from_mode(mode))
}

fn write_text(path: &Path, folder: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if mode == 0o640 {
        give_to_group(file.as_file())?;
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

// Where the group does not exist yet, tmpfiles.d sets it as soon as it does.
fn give_to_group(file: &File) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    match nix::unistd::Group::from_name(GROUP) {
        Ok(Some(group)) => Ok(nix::unistd::fchown(file, None, Some(group.gid))?),
        _ => Ok(()),
    }
}
