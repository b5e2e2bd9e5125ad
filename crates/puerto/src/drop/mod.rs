//! Mail that programs leave while the daemon does not run.
//!
//! Each user has a folder of their own, 0700, below one that is root's: `DIRECTORY/UID`.
//! `sendmail` writes there, with the user's rights alone, and whoever is no such user
//! reaches nothing in it. The daemon takes what it finds when it starts, and while it runs:
//! the [`agent`] starts a process for each folder that becomes its user for good before it
//! opens a name, and hands each message over at the local socket as that user would. So all
//! that is decided about senders, sizes and recipients is decided there as ever, and what a
//! hostile name leads to is nothing that its owner could not read and send without us.
//!
//! [`letter`] is what a file holds. The [`Ledger`] knows which file was taken last, so that
//! a daemon or a process that is killed between taking and removing sends nothing twice.

pub mod agent;
mod ledger;
pub mod letter;
mod report;
mod watch;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Uid, fchown, geteuid};

use rustix::fs::Dir;

pub use ledger::{Ledger, Register, Taken};
pub use report::{Report, Request, Why};
pub use watch::{Stamps, Watch, empty_folders};

/// The folder in a user's that keeps what could not be sent.
pub const REFUSED: &str = "refused";
/// How long a file may be incomplete before it is taken for broken.
pub const UNFINISHED: Duration = Duration::from_secs(60);

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A user's folder.
pub fn folder_of(directory: &Path, uid: Uid) -> PathBuf {
    directory.join(uid.to_string())
}

/// Whether a user has a folder: not `nobody`, who is whoever has no number here, nor those
/// whom systemd makes for as long as a service runs and whose number the next one gets.
pub fn is_for(uid: Uid) -> bool {
    !matches!(uid.as_raw(), 61_184..=65_519 | 65_534 | 65_535 | u32::MAX)
}

/// Opens a user's folder. What stands there instead, or belongs to another, is an error.
pub fn open_folder(directory: &Path, uid: Uid) -> io::Result<OwnedFd> {
    let folder = open(&folder_of(directory, uid), FOLDER, Mode::empty())?;
    let seen = fstat(&folder)?;
    if seen.st_uid != uid.as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(folder)
}

/// Makes a user's folder if there is none and this process may, and opens it.
pub fn ensure_folder(directory: &Path, uid: Uid) -> io::Result<OwnedFd> {
    match open_folder(directory, uid) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_for(uid) => {}
        opened => return opened,
    }
    let parent = open(directory, FOLDER, Mode::empty())?;
    if !is_ours(&fstat(&parent)?) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let name = uid.to_string();
    match mkdirat(&parent, name.as_str(), Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let made = openat(&parent, name.as_str(), FOLDER, Mode::empty())?;
    if fstat(&made)?.st_uid != uid.as_raw() {
        // Nobody but us can have made it: the folder above is ours alone.
        fchmod(&made, Mode::S_IRWXU)?;
        fchown(&made, Some(uid), None)?;
    }
    File::from(parent).sync_all()?;
    Ok(made)
}

/// Makes the folder above all others, and one for each user of the system's file: as root,
/// before its rights are given up. Errors of single users' folders are left to when they
/// are needed.
pub fn prepare(directory: &Path) -> io::Result<()> {
    let place = crate::rights::Place::making_way(directory, 0o755)?;
    place.may_be_changed()?;
    if let Some(made) = place.new_folder(0o755)? {
        fchmod(&made, Mode::from_bits_truncate(0o755))?;
    }
    let seen = std::fs::symlink_metadata(directory)?;
    if !seen.is_dir() || seen.uid() != geteuid().as_raw() || seen.mode() & 0o022 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let users = if geteuid().is_root() { users() } else { vec![geteuid()] };
    for uid in users {
        let _ = ensure_folder(directory, uid);
    }
    Ok(())
}

fn users() -> Vec<Uid> {
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let numbers = file.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    let mut users: Vec<Uid> = numbers.map(Uid::from_raw).filter(|uid| is_for(*uid)).collect();
    users.sort_by_key(|uid| uid.as_raw());
    users.dedup();
    users
}

fn is_ours(folder: &FileStat) -> bool {
    folder.st_uid == geteuid().as_raw() && folder.st_mode & 0o022 == 0
}

/// How many messages wait in a user's folder: for whoever may look into it.
pub fn waiting(directory: &Path, uid: Uid) -> usize {
    let Ok(folder) = open_folder(directory, uid) else { return 0 };
    let Ok(mut folder) = Dir::new(folder) else { return 0 };
    let names = folder.by_ref().filter_map(Result::ok);
    names.filter(|entry| letter::is_name(entry.file_name().to_bytes())).count()
}

/// How many wait in all folders that this process may look into.
pub fn waiting_in_all(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let users = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    users.map(|uid| waiting(directory, Uid::from_raw(uid))).sum()
}

/// What a name in a folder stands for, without following it.
pub fn look(folder: &OwnedFd, name: &std::ffi::CStr) -> Result<FileStat, Errno> {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// What kind of thing it is.
pub fn kind(seen: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(seen.st_mode) & SFlag::S_IFMT
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_is_its_users_alone_and_nothing_else_is_taken_for_one() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("drop");
        let own = geteuid();
        prepare(&directory).unwrap();
        prepare(&directory).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&directory), 0o755);
        assert_eq!(mode(&folder_of(&directory, own)), 0o700);
        assert!(!folder_of(&directory, Uid::from_raw(65_534)).exists());
        let name = format!("{:016x}0000000100000001", 5);
        std::fs::write(folder_of(&directory, own).join(&name), "x").unwrap();
        std::fs::write(folder_of(&directory, own).join(format!(".{name}")), "x").unwrap();
        assert_eq!((waiting(&directory, own), waiting_in_all(&directory)), (1, 1));
        // A link in the place of a folder, and a folder of somebody else's.
        let other = Uid::from_raw(own.as_raw() + 1);
        let place = folder_of(&directory, other);
        let _ = std::fs::remove_dir(&place);
        symlink(folder_of(&directory, own), &place).unwrap();
        assert!(ensure_folder(&directory, other).is_err());
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        assert!(open_folder(&directory, other).is_err());
        // A folder that others may write to makes nobody's.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&directory, open).unwrap();
        assert!(prepare(&directory).is_err());
        std::fs::remove_dir(&place).unwrap();
        assert!(ensure_folder(&directory, other).is_err() && !place.exists());
    }
}
