//! Mail that programs leave while the daemon does not run.
//!
//! Each user has a folder of their own, 0700, below one that is root's: `DIRECTORY/UID`.
//! `sendmail` writes there, with the user's rights alone, and whoever is no such user
//! reaches nothing in it. When the daemon starts, the [`agent`] has a process for each folder
//! that is not empty hand its messages over at the local socket. That process is the user's
//! from its first instruction. So all that is decided about senders, sizes and recipients is
//! decided there as ever, and what a hostile name leads to is nothing that its owner could
//! not read and send without us.
//!
//! [`letter`] is what a file holds. A file is locked by the `sendmail` that has left it
//! until that has seen that no daemon has started meanwhile, and by the process that hands
//! it over until the daemon has it: nobody takes what another has in hand.

pub mod agent;
pub mod letter;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Uid, fchown, geteuid};
use rustix::fs::Dir;

/// The folder in a user's that keeps what could not be sent.
pub const REFUSED: &str = "refused";

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A user's folder.
pub fn folder_of(directory: &Path, uid: Uid) -> PathBuf {
    directory.join(uid.to_string())
}

/// Opens a user's folder. What stands there instead, or belongs to another, is an error.
pub fn open_folder(directory: &Path, uid: Uid) -> io::Result<OwnedFd> {
    let folder = open(&folder_of(directory, uid), FOLDER, Mode::empty())?;
    if fstat(&folder)?.st_uid != uid.as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(folder)
}

/// Makes the folder above all others, and one for each user of the system's file: with
/// root's rights. Without them, one for this process's user alone.
pub fn prepare(directory: &Path) -> io::Result<()> {
    let place = crate::rights::Place::making_way(directory, 0o755)?;
    place.may_be_changed()?;
    if let Some(made) = place.new_folder(0o755)? {
        fchmod(&made, Mode::from_bits_truncate(0o755))?;
    }
    let above = open(directory, FOLDER, Mode::empty())?;
    let seen = fstat(&above)?;
    if seen.st_uid != geteuid().as_raw() || seen.st_mode & 0o022 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let users = if geteuid().is_root() { users() } else { vec![geteuid()] };
    for uid in users {
        make(&above, uid)?;
    }
    Ok(())
}

/// Makes the folder of one user, if it is one who may have one and has none.
pub fn make_for(directory: &Path, uid: Uid) -> io::Result<()> {
    let above = open(directory, FOLDER, Mode::empty())?;
    if is_for(uid) { make(&above, uid) } else { Ok(()) }
}

// What is there already is not touched: its user may have mounted something on it.
fn make(above: &OwnedFd, uid: Uid) -> io::Result<()> {
    let name = uid.to_string();
    match mkdirat(above, name.as_str(), Mode::S_IRWXU) {
        Err(Errno::EEXIST) => return Ok(()),
        made => made?,
    }
    if uid != geteuid() {
        let folder = openat(above, name.as_str(), FOLDER, Mode::empty())?;
        fchown(&folder, Some(uid), None)?;
    }
    Ok(rustix::fs::fsync(above.as_fd())?)
}

fn users() -> Vec<Uid> {
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let numbers = file.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    let mut users: Vec<Uid> = numbers.map(Uid::from_raw).filter(|uid| is_for(*uid)).collect();
    users.sort_by_key(|uid| uid.as_raw());
    users.dedup();
    users
}

/// Whether a user is given a folder. `nobody` is whoever has no number here, and a user whom
/// systemd makes for as long as a service runs leaves the number to the next one.
pub fn is_for(uid: Uid) -> bool {
    !matches!(uid.as_raw(), 61_184..=65_519 | 65_534 | 65_535 | u32::MAX)
}

/// The users who have a folder that this process may look after: with root's rights all,
/// otherwise its own.
pub fn owners(directory: &Path) -> Vec<Uid> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut users: Vec<Uid> = numbers.map(Uid::from_raw).collect();
    users.retain(|uid| geteuid().is_root() || *uid == geteuid());
    users.sort_by_key(|uid| uid.as_raw());
    users
}

/// Whether there may be something to take in a user's folder.
pub fn has_any(directory: &Path, uid: Uid) -> bool {
    let folder = folder_of(directory, uid);
    let is_theirs = std::fs::symlink_metadata(&folder)
        .is_ok_and(|seen| seen.is_dir() && seen.uid() == uid.as_raw());
    let mut names = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    is_theirs && names.any(|entry| entry.file_name() != REFUSED)
}

/// Whether a user's folder, or something in it, is a file system that is a program of
/// somebody's: whoever looks into one waits for as long as that program likes, and cannot
/// even be killed. That is asked of the kernel's list and not of the folder.
pub fn is_program(directory: &Path, uid: Uid) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_program_in(&mounts, &folder_of(directory, uid))
}

// Fields 5 and, behind the dash, 9 of proc_pid_mountinfo(5).
fn is_program_in(mounts: &str, folder: &Path) -> bool {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let place = fields.nth(4)?;
        Some((place, fields.skip_while(|field| *field != "-").nth(1)?))
    });
    let programs = mounts.filter(|(_, kind)| *kind == "fuse" || kind.starts_with("fuse."));
    let folder = folder.to_string_lossy().replace(' ', "\\040");
    programs.into_iter().any(|(place, _)| Path::new(place).starts_with(&folder))
}

/// How many messages wait in a user's folder: for whoever may look into it.
pub fn waiting(directory: &Path, uid: Uid) -> usize {
    if uid != geteuid() && is_program(directory, uid) {
        return 0;
    }
    let Ok(folder) = open_folder(directory, uid) else { return 0 };
    let Ok(mut folder) = Dir::new(folder) else { return 0 };
    let names = folder.by_ref().filter_map(Result::ok);
    names.filter(|entry| letter::is_name(entry.file_name().to_bytes())).count()
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
    fn a_folder_that_is_a_program_is_known_by_the_kernels_list() {
        let mounts = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
            60 22 0:50 / /var/lib/puerto-drop/1000 rw,nosuid - fuse.sshfs ana@host: rw\n\
            61 22 0:51 / /var/lib/puerto-drop/1001/refused rw shared:7 - fuse fs rw\n\
            62 22 0:52 / /var/lib/puerto-drop/1002 rw - ext4 /dev/sdb rw\n\
            63 22 0:53 / /srv/a\\040b/1000 rw - fuse x rw\n";
        for (directory, uid, is_program) in [
            ("/var/lib/puerto-drop", 1000, true),
            ("/var/lib/puerto-drop", 1001, true),
            ("/var/lib/puerto-drop", 1002, false),
            ("/var/lib/puerto-drop", 100, false),
            ("/srv/a b", 1000, true),
        ] {
            let folder = folder_of(Path::new(directory), Uid::from_raw(uid));
            assert_eq!(is_program_in(mounts, &folder), is_program, "{directory} {uid}");
        }
    }

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
        assert!(owners(&directory).contains(&own) && !has_any(&directory, own));
        std::fs::create_dir(folder_of(&directory, own).join(REFUSED)).unwrap();
        assert!(!has_any(&directory, own));
        let name = letter::name(puerto_spool::Timestamp::from_millis(5), 1);
        std::fs::write(folder_of(&directory, own).join(&name), "x").unwrap();
        std::fs::write(folder_of(&directory, own).join(format!(".{name}")), "x").unwrap();
        assert_eq!((waiting(&directory, own), has_any(&directory, own)), (1, true));
        // A link in the place of a folder, and a folder of somebody else's.
        let other = Uid::from_raw(own.as_raw() + 1);
        let place = folder_of(&directory, other);
        let _ = std::fs::remove_dir(&place);
        symlink(folder_of(&directory, own), &place).unwrap();
        prepare(&directory).unwrap();
        assert!(open_folder(&directory, other).is_err() && !has_any(&directory, other));
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        assert!(open_folder(&directory, other).is_err());
        // A folder that others may write to makes nobody's.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&directory, open).unwrap();
        std::fs::remove_dir(&place).unwrap();
        assert!(prepare(&directory).is_err() && !place.exists());
    }
}
