//! A user's `.forward`, read with that user's rights.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::failure::Failure;
use crate::cause::Cause;

/// Octets of the file at most.
const BOUND: u64 = 64 * 1024;

/// What stands in the place of a user's `.forward`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No such file, or nothing in it.
    Nothing,
    /// A file, and what it says.
    Text(String),
    /// A file that is not heeded, and why.
    Unusable(Unheeded),
}

/// Why a file is not heeded, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum Unheeded {
    #[error("it is not a regular file")]
    NoFile,
    #[error("it belongs to somebody else")]
    Foreign,
    #[error("everybody may write it: `chmod o-w` it")]
    Open,
    #[error("it is larger than 64 KiB")]
    Large,
}

/// Reads the file. It is heeded if it is a plain file of the user's, or of root's, that
/// not everybody may write: as Postfix does it.
pub(super) fn read(account: &Account) -> Result<Found, Failure> {
    let failed = |error: io::Error| Failure::system(error, |error| Cause::ForwardUnread { error });
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let home = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, &account.home, home, Mode::empty())
        .and_then(|home| openat(home, ".forward", flags | OFlags::NOFOLLOW, Mode::empty()));
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(Found::Nothing),
        Err(Errno::LOOP | Errno::NXIO) => return Ok(Found::Unusable(Unheeded::NoFile)),
        Err(error) => return Err(failed(error.into())),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Ok(Found::Unusable(Unheeded::NoFile));
    }
    if metadata.uid() != 0 && metadata.uid() != account.uid.as_raw() {
        return Ok(Found::Unusable(Unheeded::Foreign));
    }
    if metadata.mode() & 0o002 != 0 {
        return Ok(Found::Unusable(Unheeded::Open));
    }
    let mut octets = Vec::new();
    file.take(BOUND + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > BOUND {
        return Ok(Found::Unusable(Unheeded::Large));
    }
    let text = String::from_utf8_lossy(&octets);
    Ok(if text.trim().is_empty() { Found::Nothing } else { Found::Text(text.into_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_a_plain_file_of_the_user_is_heeded() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".forward");
        let account = Account::for_tests("ana", home.path());
        let read = || super::read(&account).unwrap();
        assert_eq!(read(), Found::Nothing);
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(read(), Found::Nothing);
        std::fs::write(&path, "a@example.net\n").unwrap();
        assert_eq!(read(), Found::Text("a@example.net\n".into()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(read(), Found::Unusable(Unheeded::Open)));
        std::fs::write(&path, "x".repeat(65 * 1024)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read(), Found::Unusable(Unheeded::Large)));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(matches!(read(), Found::Unusable(Unheeded::NoFile)));
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(matches!(read(), Found::Unusable(Unheeded::NoFile)));
        let nowhere = Account::for_tests("ana", &home.path().join("missing"));
        assert_eq!(super::read(&nowhere).unwrap(), Found::Nothing);
    }
}
