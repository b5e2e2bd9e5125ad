//! The disk, as something that is handed in, so that tests can make it fail, forget
//! and tear. The segment log touches files in no other way.
//!
//! What is written is durable only after [`File::sync_data`], and a file's name only
//! after [`Disk::sync_dir`] on its directory. A failed `sync_data` must never be
//! tried again on the same file: the kernel may have dropped what it could not write
//! and would then report success. Nor is a process told of what failed before its time:
//! what it builds on it reads after [`File::forget`].

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{OFlag, PosixFadviseAdvice, openat, posix_fadvise};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

/// An open file, read and written at places.
pub trait File: Send + Sync {
    /// Octets in it.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at a place; fewer octets than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Fills the buffer from a place if that needs no waiting for the disk; says
    /// whether it did.
    fn read_at_once(&self, _buffer: &mut [u8], _offset: u64) -> bool {
        false
    }
    /// Writes all octets at a place.
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written, and the length, durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Lets the next read come from the disk itself. What a sync could not write stays in
    /// the system's memory as if it had been, until the power goes.
    fn forget(&self);
}

/// A lock that ends when it is dropped.
pub trait Lock: Send + Sync {}

/// Files in directories.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and those above it, for its owner only, if it is not there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a new empty file, for its owner only, to be read and written.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file to be read and, if the disk allows it, written.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name; one that has it already is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file's name away; it stays readable where it is open.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory's names durable.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;
    /// Octets that are free for us where this directory is.
    fn free_space(&self, directory: &Path) -> io::Result<u64>;
    /// Octets of the whole file system that this directory is on.
    fn total_space(&self, directory: &Path) -> io::Result<u64>;
    /// Takes the lock of this name; `WouldBlock` if another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// The machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    // The system says at once what it has in its own memory; a file system that
    // cannot tell refuses.
    #[cfg(target_os = "linux")]
    fn read_at_once(&self, buffer: &mut [u8], offset: u64) -> bool {
        let length = buffer.len();
        let into = &mut [io::IoSliceMut::new(buffer)];
        rustix::io::preadv2(self, into, offset, rustix::io::ReadWriteFlags::NOWAIT) == Ok(length)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(octets, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }

    fn forget(&self) {
        // A system that cannot leaves us where we were.
        let _ = posix_fadvise(self, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

impl Lock for fs::File {}

/// Gives what root has just made to whoever owns the folder that it is in: the service
/// must be able to read what a run of root's has left.
fn give_to_owner_of_folder(path: &Path, made: &fs::File) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|_| geteuid().is_root()) else { return Ok(()) };
    let folder = fs::metadata(folder)?;
    let own = made.metadata()?;
    match (own.uid(), own.gid()) == (folder.uid(), folder.gid()) {
        true => Ok(()),
        false => fchown(made, Some(folder.uid()), Some(folder.gid())),
    }
}

/// Gives to the service's user what a run of root's has left in a store, so that the
/// service can read it. To be called with root's rights. The folder above belongs to that
/// user, who may have put anything there: no link is followed, and what has another name
/// elsewhere stays whose it is.
pub fn hand_over(store: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let inside = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(store) = nix::fcntl::open(store, inside, Mode::empty()) else { return Ok(()) };
    give(&store, uid, gid)?;
    for name in ["segments", "content"] {
        if let Ok(folder) = openat(&store, name, inside, Mode::empty()) {
            give(&folder, uid, gid)?;
            give_files(&folder, uid, gid)?;
        }
    }
    give_files(&store, uid, gid)
}

fn give_files(folder: &OwnedFd, uid: u32, gid: u32) -> io::Result<()> {
    // The folder that is open, whatever its name stands for by now.
    for entry in fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))? {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        if let Ok(file) = openat(folder, entry?.file_name().as_os_str(), flags, Mode::empty()) {
            let file = fs::File::from(file);
            let metadata = file.metadata()?;
            if metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == 0 {
                fchown(&file, Some(uid), Some(gid))?;
            }
        }
    }
    Ok(())
}

fn give(folder: &OwnedFd, uid: u32, gid: u32) -> io::Result<()> {
    let folder = fs::File::from(folder.try_clone()?);
    match folder.metadata()?.uid() {
        0 => fchown(&folder, Some(uid), Some(gid)),
        _ => Ok(()),
    }
}

fn for_its_owner() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

impl Disk for SystemDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.create_dir(parent)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        give_to_owner_of_folder(path, &options.read(true).custom_flags(flags.bits()).open(path)?)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = for_its_owner().create_new(true).open(path)?;
        give_to_owner_of_folder(path, &file)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = match for_its_owner().open(path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                fs::File::open(path)?
            }
            file => file?,
        };
        // A pipe would be taken for a file in which nothing is.
        match file.metadata()?.is_file() {
            true => Ok(Arc::new(file)),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }

    fn free_space(&self, directory: &Path) -> io::Result<u64> {
        let space = nix::sys::statvfs::statvfs(directory)?;
        // The types of these fields differ between platforms.
        #[allow(clippy::useless_conversion)]
        let free = u64::from(space.blocks_available()) * u64::from(space.fragment_size());
        Ok(free)
    }

    fn total_space(&self, directory: &Path) -> io::Result<u64> {
        let space = nix::sys::statvfs::statvfs(directory)?;
        // The types of these fields differ between platforms.
        #[allow(clippy::useless_conversion)]
        let total = u64::from(space.blocks()) * u64::from(space.fragment_size());
        Ok(total)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = match for_its_owner().create_new(true).open(path) {
            Ok(made) => {
                give_to_owner_of_folder(path, &made)?;
                made
            }
            Err(_) => match for_its_owner().open(path) {
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    fs::File::open(path)?
                }
                file => file?,
            },
        };
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}
