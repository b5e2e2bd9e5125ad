//! Writes files all together or not at all.
//!
//! Each is first written whole under a name that nobody looks for, beside its place, and
//! put there when all of them could be written: a disk that fills up is noticed before
//! anything has changed. If something fails after all, what was put in place is taken
//! away again. What is there is never written over.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::files::{Content, SECRET, Wanted};
use super::root::Root;
use crate::rights::{self, Place};

/// A file that cannot be written, and why.
#[derive(Debug)]
pub struct Unwritten {
    pub path: PathBuf,
    pub error: io::Error,
}

/// Files that are put in their places together.
pub(super) struct Batch<'a> {
    root: &'a Root,
    /// The group that may read secrets, where it exists already.
    group: &'a str,
    staged: Vec<Staged>,
    /// What is taken back unless all goes well, in the order in which it was done.
    done: Vec<Done>,
}

struct Staged {
    path: PathBuf,
    content: Ready,
    /// Whether something is there, which is to be moved aside.
    occupied: bool,
}

enum Ready {
    File(NamedTempFile),
    Link(PathBuf),
}

enum Done {
    MadeFolder(PathBuf),
    MovedAside { from: PathBuf, to: PathBuf },
    Put(PathBuf),
}

impl<'a> Batch<'a> {
    pub(super) fn new(root: &'a Root, group: &'a str) -> Self {
        Self { root, group, staged: Vec::new(), done: Vec::new() }
    }

    /// Writes a file beside its place; `occupied`: what is there is to be moved aside.
    pub(super) fn stage(&mut self, wanted: &Wanted, occupied: bool) -> Result<(), Unwritten> {
        let path = self.root.at(&wanted.path);
        let Some(folder) = path.parent().map(Path::to_owned) else { return Ok(()) };
        is_unled(&path).map_err(|error| Unwritten { path: path.clone(), error })?;
        self.make_folders(&folder, wanted.folder_mode())?;
        let content = match &wanted.content {
            Content::Text(text, mode) => {
                let written = write_beside(&folder, text, (*mode, self.group));
                Ready::File(written.map_err(|error| Unwritten { path: path.clone(), error })?)
            }
            Content::Link(target) => Ready::Link(target.clone()),
        };
        self.staged.push(Staged { path, content, occupied });
        Ok(())
    }

    /// Puts everything in its place.
    pub(super) fn commit(mut self) -> Result<(), Unwritten> {
        for Staged { path, content, occupied } in std::mem::take(&mut self.staged) {
            let put = self.put(&path, content, occupied);
            put.map_err(|error| Unwritten { path, error })?;
        }
        self.done.clear();
        Ok(())
    }

    fn put(&mut self, path: &Path, content: Ready, occupied: bool) -> io::Result<()> {
        if occupied && let Some(free) = free_name(path) {
            std::fs::rename(path, &free)?;
            self.done.push(Done::MovedAside { from: path.to_owned(), to: free });
        }
        match content {
            Ready::File(file) => {
                file.persist_noclobber(path).map_err(|error| error.error)?;
            }
            Ready::Link(target) => symlink(target, path)?,
        }
        self.done.push(Done::Put(path.to_owned()));
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    // Folders above the last are for everybody, since other programs' files are there too.
    fn make_folders(&mut self, folder: &Path, mode: u32) -> Result<(), Unwritten> {
        let failed = |error| Unwritten { path: folder.to_owned(), error };
        match folder.metadata() {
            Ok(there) if there.is_dir() => return Ok(()),
            Ok(_) => return Err(failed(io::Error::from(nix::errno::Errno::ENOTDIR))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        if let Some(parent) = folder.parent() {
            // Both the folder of keys and the one of a domain in it are ours alone.
            let inner = parent.file_name() == Some(OsStr::new("dkim"));
            self.make_folders(parent, if inner { mode } else { 0o755 })?;
        }
        DirBuilder::new().mode(mode).create(folder).map_err(failed)?;
        self.done.push(Done::MadeFolder(folder.to_owned()));
        let finish = || {
            let handle = File::open(folder)?;
            if mode != 0o755 {
                give_to_group(&handle, self.group)?;
            }
            handle.set_permissions(Permissions::from_mode(mode))
        };
        finish().map_err(failed)
    }
}

impl Drop for Batch<'_> {
    // What cannot be taken back stays; the error that led here is told.
    fn drop(&mut self) {
        self.staged.clear();
        for done in self.done.drain(..).rev() {
            let _ = match done {
                Done::Put(path) => std::fs::remove_file(path),
                Done::MovedAside { from, to } => std::fs::rename(to, from),
                Done::MadeFolder(path) => std::fs::remove_dir(path),
            };
        }
    }
}

// Root writes nothing where only a link of somebody else's leads.
fn is_unled(path: &Path) -> io::Result<()> {
    let there = path.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok());
    match there.filter(|folder| folder.is_dir() && rights::is_privileged()) {
        Some(folder) => Ok(Place::of(&folder.join("name"))?.is_unled()?),
        None => Ok(()),
    }
}

fn write_beside(
    folder: &Path,
    text: &str,
    (mode, group): (u32, &str),
) -> io::Result<NamedTempFile> {
    // Through the file itself, whose errors do not name the file of no consequence.
    let file = NamedTempFile::new_in(folder).map_err(|error| io::Error::from(error.kind()))?;
    file.as_file().write_all(text.as_bytes())?;
    if mode == SECRET {
        give_to_group(file.as_file(), group)?;
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A name beside a path that nothing has.
fn free_name(path: &Path) -> Option<PathBuf> {
    (0_u32..).find_map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { ".old".to_owned() } else { format!(".old{number}") });
        let name = PathBuf::from(name);
        name.symlink_metadata().is_err().then_some(name)
    })
}

// Where the group does not exist yet, tmpfiles.d sets it as soon as it does.
fn give_to_group(file: &File, group: &str) -> io::Result<()> {
    if group.is_empty() || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    match nix::unistd::Group::from_name(group) {
        Ok(Some(group)) => Ok(nix::unistd::fchown(file, None, Some(group.gid))?),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        (folder, root)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names.extend(self::names(&path));
            }
            names.push(path.display().to_string());
        }
        names.sort();
        names
    }

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing_behind() {
        let (folder, root) = tree();
        std::fs::write(folder.path().join("file"), "in the way").unwrap();
        let before = names(folder.path());
        let mut batch = Batch::new(&root, "puerto");
        batch.stage(&Wanted::text("/etc/a/b.conf", "b".into()), false).unwrap();
        let error = batch.stage(&Wanted::text("/file/c", "c".into()), false).unwrap_err();
        assert_eq!(error.path, folder.path().join("file"));
        assert_eq!(error.error.kind(), io::ErrorKind::NotADirectory);
        drop(batch);
        assert_eq!(names(folder.path()), before);
    }

    #[test]
    fn what_appears_in_between_is_not_written_over_and_all_else_is_taken_back() {
        let (folder, root) = tree();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/old"), "old").unwrap();
        let mut batch = Batch::new(&root, "puerto");
        batch.stage(&Wanted::text("/etc/old", "new".into()), true).unwrap();
        batch.stage(&Wanted::secret("/etc/dkim/x/late.pem", "ours".into()), false).unwrap();
        std::fs::write(folder.path().join("etc/dkim/x/late.pem"), "theirs").unwrap();
        let error = batch.commit().unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AlreadyExists);
        let text = |path| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!((text("etc/old"), text("etc/dkim/x/late.pem")), ("old".into(), "theirs".into()));
        assert!(!folder.path().join("etc/old.old").exists());
    }

    #[test]
    fn what_was_moved_aside_goes_to_a_name_that_is_free() {
        let (folder, root) = tree();
        for name in ["a", "a.old", "a.old1"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let mut batch = Batch::new(&root, "puerto");
        batch.stage(&Wanted::text("/a", "new".into()), true).unwrap();
        batch.commit().unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a.old2")).unwrap(), "a");
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "new");
    }
}
