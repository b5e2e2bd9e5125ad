//! Where a file lies, reached from folder to folder by descriptors, and who else could put
//! another in its place on the way.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, User, fchown, geteuid, unlinkat};

use super::{Identity, is_privileged};
use crate::cause::{Cause, SystemError};
use crate::lang::Said;

/// Links that are followed on one way.
const MAX_LINKS: usize = 40;
/// Octets of a file that are read at most.
const MAX_READ: u64 = 16 * 1024 * 1024;
const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A folder that somebody else could change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrust {
    /// The folder, or the link in it.
    pub path: PathBuf,
    /// Its owner; `None` if it is root's or ours and others may write in it.
    pub owner: Option<Uid>,
}

impl Distrust {
    /// Why root does not use a file that is reached this way.
    pub fn cause(&self) -> Cause {
        let path = self.path.display().to_string();
        let Some(uid) = self.owner else { return Cause::FolderOpen { path } };
        let user = User::from_uid(uid).ok().flatten();
        let owner = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
        Cause::FolderOfOther { path, owner }
    }

    /// The same in both languages.
    pub fn said(&self) -> Said {
        self.cause().said()
    }
}

impl From<Distrust> for io::Error {
    fn from(distrust: Distrust) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, distrust.cause())
    }
}

/// An error for people: the system's, or one of this room.
pub fn said(error: &io::Error) -> Said {
    SystemError::from(error).said()
}

/// A name in a folder that is held open, so that it stays the one that was looked at.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
    /// Those on the way whom not to trust, the folder itself apart.
    way: Vec<Distrust>,
    /// The folder itself.
    here: Option<Distrust>,
    /// Where somebody else's link has led elsewhere.
    led: Option<Distrust>,
}

/// Opens a file to be read. With root's rights: a file that lies where it is named, or that
/// others could at most have put there for another of theirs; one that only a link of
/// theirs leads to, as the service's user, who may have it or not.
pub fn open_to_read(path: &Path, service: Option<&Identity>) -> io::Result<File> {
    let ours = || -> io::Result<File> {
        let place = Place::of(path)?;
        let file = place.open()?;
        if is_privileged() {
            place.is_where_it_is_named(&file)?;
        }
        Ok(file)
    };
    match (ours(), service) {
        (Err(error), Some(service)) if error.kind() == io::ErrorKind::PermissionDenied => {
            service.act(|| Place::of(path)?.open())?.map_err(|_| error)
        }
        (opened, _) => opened,
    }
}

/// What is in such a file, up to a number of octets; an error if there is more.
pub fn read_bounded(path: &Path, service: Option<&Identity>, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    open_to_read(path, service)?.take(most + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(octets)
}

impl Place {
    /// Goes there. The last part of the path may be missing.
    pub fn of(path: &Path) -> io::Result<Self> {
        Walk::new(path, None)?.go()
    }

    /// Goes there, making folders that are missing.
    pub fn making_way(path: &Path, mode: u32) -> io::Result<Self> {
        Walk::new(path, Some(Mode::from_bits_truncate(mode)))?.go()
    }

    /// Whether nobody but root and we can change how it is reached; a new file can be made
    /// here even where others may do so too.
    pub fn way_is_safe(&self) -> Result<(), Distrust> {
        self.way.first().map_or(Ok(()), |first| Err(first.clone()))
    }

    /// The same, and nobody else can put another file under this name.
    pub fn is_safe(&self) -> Result<(), Distrust> {
        self.way_is_safe()?;
        self.here.clone().map_or(Ok(()), Err)
    }

    /// The folders' owners whom not to trust may still own the file itself: they gain
    /// nothing by putting another of theirs in its place.
    pub fn is_safe_for(&self, file: &File) -> Result<(), Distrust> {
        use std::os::unix::fs::MetadataExt as _;
        let owner = file.metadata().ok().map(|metadata| Uid::from_raw(metadata.uid()));
        let foreign = self.way.iter().chain(&self.here);
        let foreign = foreign.filter(|one| one.owner.is_none() || one.owner != owner);
        foreign.take(1).next().map_or(Ok(()), |first| Err(first.clone()))
    }

    /// Whether no link of others' has led here. What lies in a folder of theirs without one
    /// was theirs to move there.
    pub fn is_unled(&self) -> Result<(), Distrust> {
        self.led.clone().map_or(Ok(()), Err)
    }

    fn is_where_it_is_named(&self, file: &File) -> Result<(), Distrust> {
        use std::os::unix::fs::MetadataExt as _;
        let has_one_name = file.metadata().is_ok_and(|metadata| metadata.nlink() == 1);
        match self.is_unled() {
            Ok(()) if has_one_name => Ok(()),
            _ => self.is_safe_for(file),
        }
    }

    /// Fails where root would change something in a folder that is not root's alone.
    pub fn may_be_changed(&self) -> Result<(), Distrust> {
        if is_privileged() { self.is_safe() } else { Ok(()) }
    }

    /// Opens the file that is there: a regular one and no link.
    pub fn open(&self) -> io::Result<File> {
        self.open_as(OFlag::O_RDONLY)
    }

    /// Opens it to write at its end.
    pub fn append(&self) -> io::Result<File> {
        self.open_as(OFlag::O_WRONLY | OFlag::O_APPEND)
    }

    fn open_as(&self, how: OFlag) -> io::Result<File> {
        // A pipe that nobody writes to must not hold us up.
        let flags = how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.folder, self.name.as_os_str(), flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, Cause::NoRegularFile {}))
        }
    }

    /// Makes the file; an error if anything is there, even a link that leads nowhere.
    pub fn create(&self, how: OFlag, mode: u32) -> io::Result<File> {
        let flags = how | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        Ok(File::from(openat(&self.folder, self.name.as_os_str(), flags, mode)?))
    }

    /// What is in the file.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        self.open()?.take(MAX_READ).read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Puts a file of these octets there, whole or not at all. What root puts into another's
    /// folder is that user's: the service, run by root once by hand, reads it the next time.
    pub fn replace(&self, octets: &[u8], mode: u32) -> io::Result<()> {
        self.replace_once(octets, mode, |file| {
            if !geteuid().is_root() {
                return Ok(());
            }
            let folder = fstat(&self.folder)?;
            let (uid, gid) = (folder.st_uid.into(), folder.st_gid.into());
            Ok(fchown(file, Some(uid), Some(gid))?)
        })
    }

    /// The same; `prepare` does to the file what has to be done before others see it.
    pub fn replace_once(
        &self,
        octets: &[u8],
        mode: u32,
        prepare: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(format!(".{}", std::process::id()));
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = || openat(&self.folder, name.as_os_str(), flags, Mode::from_bits_truncate(mode));
        let file = match made() {
            // A run with our number was cut off here.
            Err(Errno::EEXIST) => {
                unlinkat(&self.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
                made()?
            }
            file => file?,
        };
        let mut file = File::from(file);
        let written = file.write_all(octets).and_then(|()| prepare(&file)).and_then(|()| {
            let (from, to) = (name.as_os_str(), self.name.as_os_str());
            Ok(renameat(&self.folder, from, &self.folder, to)?)
        });
        if written.is_err() {
            let _ = unlinkat(&self.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        written
    }

    /// Makes a folder here if there is none, and gives it to a user by its descriptor.
    pub fn folder_of(&self, mode: u32, owner: &Identity) -> io::Result<()> {
        let folder = match self.new_folder(mode)? {
            Some(made) => {
                fchmod(&made, Mode::from_bits_truncate(mode))?;
                OwnedFd::from(made)
            }
            None => openat(&self.folder, self.name.as_os_str(), FOLDER, Mode::empty())?,
        };
        Ok(fchown(&folder, Some(owner.uid), Some(owner.gid))?)
    }

    /// Makes a folder here and opens it; `None` if there is one.
    pub fn new_folder(&self, mode: u32) -> io::Result<Option<File>> {
        match mkdirat(&self.folder, self.name.as_os_str(), Mode::from_bits_truncate(mode)) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let folder = openat(&self.folder, self.name.as_os_str(), FOLDER, Mode::empty())?;
        Ok(Some(File::from(folder)))
    }

    /// Makes the names in the folder durable.
    pub fn sync_folder(&self) -> io::Result<()> {
        File::from(openat(&self.folder, ".", FOLDER, Mode::empty())?).sync_all()
    }

    /// The path, with every link on the way resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

struct Walk {
    folder: OwnedFd,
    path: PathBuf,
    /// Parts still to go, the next one last.
    todo: Vec<OsString>,
    way: Vec<Distrust>,
    here: Option<Distrust>,
    led: Option<Distrust>,
    links: usize,
    make: Option<Mode>,
}

impl Walk {
    fn new(path: &Path, make: Option<Mode>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let (folder, here) = root()?;
        let (todo, way, led, links) = (Vec::new(), Vec::new(), None, 0);
        let mut walk = Self { folder, path: "/".into(), todo, way, here, led, links, make };
        walk.push(&path);
        Ok(walk)
    }

    fn push(&mut self, path: &Path) {
        let parts = path.components().rev().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        });
        self.todo.extend(parts);
    }

    fn go(mut self) -> io::Result<Place> {
        loop {
            let name = self.todo.pop().ok_or(io::ErrorKind::InvalidInput)?;
            if name == ".." {
                self.path.pop();
                self.enter(OsStr::new(".."))?;
                continue;
            }
            let seen = match fstatat(&self.folder, &*name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(seen) => Some(seen),
                Err(Errno::ENOENT) => None,
                Err(error) => return Err(error.into()),
            };
            let is_link = seen.as_ref().is_some_and(|seen| kind(seen) == SFlag::S_IFLNK);
            if is_link {
                self.follow(&name, seen.as_ref())?;
                continue;
            }
            // Names in a folder like /tmp are safe with their owners.
            if let Some(seen) = &seen {
                self.note_owner(&name, seen);
            }
            let path = self.path.join(&name);
            if self.todo.is_empty() {
                let Self { folder, way, here, led, .. } = self;
                return Ok(Place { folder, name, path, way, here, led });
            }
            if let (None, Some(mode)) = (&seen, self.make) {
                // What is missing in somebody else's folder is not ours to make.
                if let Some(distrust) = self.way.first().or(self.here.as_ref()) {
                    return Err(distrust.clone().into());
                }
                mkdirat(&self.folder, &*name, mode)?;
            }
            self.enter(&name)?;
            self.path = path;
        }
    }

    fn follow(&mut self, name: &OsStr, link: Option<&FileStat>) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::ELOOP.into());
        }
        if let Some(link) = link {
            self.note_owner(name, link);
        }
        let others = self.way.first().or(self.here.as_ref());
        self.led = self.led.take().or_else(|| others.cloned());
        let target = PathBuf::from(readlinkat(&self.folder, name)?);
        if target.is_absolute() {
            // Whoever can change this link decides where the way goes on.
            self.way.extend(self.here.take());
            (self.folder, self.here) = root()?;
            self.path = "/".into();
        }
        self.push(&target);
        Ok(())
    }

    fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = openat(&self.folder, name, flags, Mode::empty())?;
        self.way.extend(self.here.take());
        self.here = judge(&fstat(&folder)?, &self.path.join(name));
        self.folder = folder;
        Ok(())
    }

    // In a folder whose names only their owners may change, an owner whom not to trust
    // counts for as much as the folder's would.
    fn note_owner(&mut self, name: &OsStr, seen: &FileStat) {
        let owner = Uid::from_raw(seen.st_uid);
        let folder = fstat(&self.folder).ok();
        let is_shared = folder.is_some_and(|folder| is_sticky(&folder) && is_open(&folder));
        if is_shared && !is_trusted(owner) {
            self.here = Some(Distrust { path: self.path.join(name), owner: Some(owner) });
        }
    }
}

fn root() -> io::Result<(OwnedFd, Option<Distrust>)> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open("/", flags, Mode::empty())?;
    let here = judge(&fstat(&root)?, Path::new("/"));
    Ok((root, here))
}

fn judge(folder: &FileStat, path: &Path) -> Option<Distrust> {
    let owner = Uid::from_raw(folder.st_uid);
    let distrust = |owner| Some(Distrust { path: path.to_owned(), owner });
    if !is_trusted(owner) {
        return distrust(Some(owner));
    }
    if is_open(folder) && !is_sticky(folder) { distrust(None) } else { None }
}

// Who reads all files for others trusts root alone.
fn is_trusted(uid: Uid) -> bool {
    uid.is_root() || (uid == geteuid() && !is_privileged())
}

// Whether others than the owner and root's group may change names in it.
fn is_open(folder: &FileStat) -> bool {
    let of_group = folder.st_mode & 0o020 != 0 && folder.st_gid != 0;
    of_group || folder.st_mode & 0o002 != 0
}

fn is_sticky(folder: &FileStat) -> bool {
    folder.st_mode & 0o1000 != 0
}

fn kind(seen: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(seen.st_mode) & SFlag::S_IFMT
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const SOMEBODY: u32 = 54_321;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_read_and_replaced_by_descriptors_and_links_at_the_end_are_not_followed() {
        let (_folder, path) = tree();
        std::fs::write(path.join("secret"), "mine").unwrap();
        std::fs::create_dir(path.join("real")).unwrap();
        symlink("real", path.join("alias")).unwrap();
        let place = Place::of(&path.join("alias/../alias/file")).unwrap();
        assert_eq!(place.path(), path.join("real/file"));
        assert_eq!(place.is_safe(), Ok(()));
        place.replace(b"one", 0o600).unwrap();
        place.replace(b"two", 0o600).unwrap();
        assert_eq!(place.read().unwrap(), b"two");
        // A link that is put there after we looked is replaced, never written through.
        std::fs::remove_file(path.join("real/file")).unwrap();
        symlink("../secret", path.join("real/file")).unwrap();
        assert!(place.read().is_err() && place.append().is_err());
        assert!(place.create(OFlag::O_WRONLY, 0o600).is_err());
        place.replace(b"three", 0o600).unwrap();
        assert_eq!(std::fs::read(path.join("real/file")).unwrap(), b"three");
        assert_eq!(std::fs::read(path.join("secret")).unwrap(), b"mine");
        // Nor is a pipe waited for.
        nix::unistd::mkfifo(&path.join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(Place::of(&path.join("pipe")).unwrap().read().is_err());
        symlink("loop", path.join("loop")).unwrap();
        assert!(Place::of(&path.join("loop/x")).is_err());
    }

    #[test]
    fn folders_of_others_and_links_in_them_are_not_trusted() {
        if !geteuid().is_root() {
            return;
        }
        let (_folder, path) = tree();
        let theirs = path.join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        std::fs::create_dir(path.join("ours")).unwrap();
        std::fs::write(path.join("ours/key"), "k").unwrap();
        symlink(path.join("ours"), theirs.join("link")).unwrap();
        std::fs::write(theirs.join("file"), "f").unwrap();
        nix::unistd::chown(&theirs, Some(Uid::from_raw(SOMEBODY)), None).unwrap();
        let at = |part: &str| Place::of(&path.join(part)).unwrap();
        let distrust = Err(Distrust { path: theirs.clone(), owner: Some(Uid::from_raw(SOMEBODY)) });
        assert_eq!(at("theirs/file").is_safe(), distrust);
        assert_eq!(at("theirs/file").way_is_safe(), Ok(()));
        assert_eq!(at("theirs/link/key").way_is_safe(), distrust);
        assert_eq!(
            at("theirs/link/key").is_safe_for(&at("theirs/link/key").open().unwrap()),
            distrust
        );
        assert_eq!(at("ours/key").is_safe(), Ok(()));
        // What belongs to the folder's owner may be reached through the folder.
        let file = theirs.join("file");
        nix::unistd::chown(&file, Some(Uid::from_raw(SOMEBODY)), None).unwrap();
        let file = at("theirs/file").open().unwrap();
        assert_eq!(at("theirs/file").is_safe_for(&file), Ok(()));
        for (mode, safe) in [(0o777, false), (0o1777, true), (0o755, true), (0o775, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path.join("ours"), permissions).unwrap();
            assert_eq!(at("ours/key").is_safe().is_ok(), safe, "{mode:o}");
        }
        let said = at("theirs/file").is_safe().unwrap_err().said().to_string();
        assert!(said.contains("theirs belongs to uid 54321"), "{said}");
    }

    /// A6: what root reads where others have a say.
    #[test]
    fn root_reads_what_lies_in_others_folders_and_not_what_their_names_lead_to() {
        let nobody = Identity::named("nobody").unwrap();
        let (true, Some(nobody)) = (geteuid().is_root(), nobody) else { return };
        // In a process of its own: all threads change the user.
        if std::env::var_os("PUERTO_TEST_PLACE").is_none() {
            let mut process = std::process::Command::new(std::env::current_exe().unwrap());
            let name = "rights::place::tests::root_reads_what_lies_in_others_folders_and_not_what_\
                        their_names_lead_to";
            process.args(["--exact", name, "--test-threads=1"]).env("PUERTO_TEST_PLACE", "1");
            let output = process.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let (_folder, path) = tree();
        let open = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, open(0o711)).unwrap();
        let theirs = path.join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        for (name, mode) in [("secret", 0o600), ("public", 0o644)] {
            std::fs::write(path.join(name), name).unwrap();
            std::fs::set_permissions(path.join(name), open(mode)).unwrap();
            symlink(path.join(name), theirs.join(name)).unwrap();
        }
        std::fs::write(theirs.join("left by root"), "root's").unwrap();
        std::fs::set_permissions(theirs.join("left by root"), open(0o600)).unwrap();
        std::fs::hard_link(path.join("secret"), theirs.join("second name")).unwrap();
        nix::unistd::mkfifo(&theirs.join("pipe"), Mode::S_IRWXU).unwrap();
        nix::unistd::chown(&theirs, Some(nobody.uid), None).unwrap();
        let read = |name: &str, service| read_bounded(&theirs.join(name), service, 100);
        for service in [None, Some(&nobody)] {
            assert_eq!(read("left by root", service).unwrap(), b"root's");
            for name in ["secret", "second name"] {
                let refused = read(name, service).unwrap_err();
                let text = said(&refused).to_string();
                assert!(text.contains("belongs to nobody"), "{name}: {text}");
            }
            assert!(read("pipe", service).is_err());
            assert_eq!(read("none", service).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        // What the link's owner may read, too, is theirs to be shown.
        assert!(read("public", None).is_err());
        assert_eq!(read("public", Some(&nobody)).unwrap(), b"public");
        assert!(read_bounded(&path.join("public"), None, 3).is_err());
    }

    #[test]
    fn in_a_shared_folder_a_name_is_its_owners() {
        if !geteuid().is_root() {
            return;
        }
        let (_folder, path) = tree();
        let shared = path.join("tmp");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("/etc", shared.join("trap")).unwrap();
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &shared.join("trap"),
            Some(Uid::from_raw(SOMEBODY)),
            None,
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
        assert!(Place::of(&shared.join("trap/new")).unwrap().way_is_safe().is_err());
        assert!(Place::of(&shared.join("new")).unwrap().is_safe().is_ok());
    }
}
