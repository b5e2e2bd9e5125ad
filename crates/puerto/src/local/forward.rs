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
use crate::lang::{Said, said};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unheeded {
    NoFile,
    Foreign,
    Open,
    Large,
}

impl Unheeded {
    pub(super) fn said(self) -> Said {
        match self {
            Self::NoFile => said!("it is not a regular file", "no es un fichero normal"),
            Self::Foreign => said!("it belongs to somebody else", "es de otra persona"),
            Self::Open => said!(
                "everybody may write it: `chmod o-w` it",
                "cualquiera puede escribir en él: hágale `chmod o-w`"
            ),
            Self::Large => said!("it is larger than 64 KiB", "pasa de 64 KiB"),
        }
    }
}

/// Reads the file. It is heeded if it is a plain file of the user's, or of root's, that
/// not everybody may write: as Postfix does it.
/// `extension` is what stands behind the file's name, and nothing in it is more than a
/// letter of that name.
pub(super) fn read(account: &Account, extension: &str) -> Result<Found, Failure> {
    let failed = |error: io::Error| Failure::system(error, |error| Cause::ForwardUnread { error });
    if extension.contains('/') {
        return Ok(Found::Nothing);
    }
    let name = format!(".forward{extension}");
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let home = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, &account.home, home, Mode::empty())
        .and_then(|home| openat(home, &*name, flags | OFlags::NOFOLLOW, Mode::empty()));
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::NAMETOOLONG) => {
            return Ok(Found::Nothing);
        }
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

/// The same text with the lists that it includes in their places, read with the rights that
/// the process has now: no one else may read what the user may.
pub(super) fn with_lists(account: &Account, text: &str) -> Result<String, Failure> {
    if !text.contains(INCLUDE) {
        return Ok(text.to_owned());
    }
    let (mut out, mut lists) = (String::new(), 0);
    let mut waiting: Vec<String> = lines_of(text);
    while let Some(line) = waiting.pop() {
        let bare = line.trim().trim_matches('"');
        let path = bare.strip_prefix(INCLUDE).map(str::trim).filter(|path| path.starts_with('/'));
        match path {
            Some(path) if lists < MOST_LISTS => {
                lists += 1;
                waiting.extend(lines_of(&read_list(account, path)?));
            }
            _ => {
                out.push_str(&line);
                out.push('\n');
            }
        }
        if out.len() as u64 > BOUND {
            return Err(Failure::later(3, 5, Cause::ForwardTooLong {}));
        }
    }
    Ok(out)
}

/// How a target that names a list begins.
const INCLUDE: &str = ":include:";
/// Lists that one file may include, those in them too.
const MOST_LISTS: usize = 20;

// The last first. A list stands on a line of its own, or between commas.
fn lines_of(text: &str) -> Vec<String> {
    let split = |line: &str| -> Vec<String> {
        match line.contains(INCLUDE) && !line.trim_start().starts_with('#') {
            true => line.split(',').map(str::to_owned).collect(),
            false => vec![line.to_owned()],
        }
    };
    text.lines().rev().flat_map(|line| split(line).into_iter().rev().collect::<Vec<_>>()).collect()
}

fn read_list(account: &Account, path: &str) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        let (list, error) = (path.to_owned(), error.into());
        Failure::later(3, 5, Cause::ListUnread { list, error })
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = openat(CWD, path, flags, Mode::empty()).map(File::from);
    let file = file.map_err(|error| failed(error.into()))?;
    let metadata = file.metadata().map_err(failed)?;
    let is_trusted = metadata.uid() == 0 || metadata.uid() == account.uid.as_raw();
    if !metadata.is_file() || !is_trusted || metadata.mode() & 0o002 != 0 {
        return Err(failed(io::ErrorKind::PermissionDenied.into()));
    }
    let mut text = Vec::new();
    file.take(BOUND).read_to_end(&mut text).map_err(failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn lists_are_put_in_their_places() {
        let home = tempfile::tempdir().unwrap();
        let account = Account::for_tests("ana", home.path());
        let path = |name: &str| home.path().join(name).display().to_string();
        std::fs::write(path("one"), format!("a@example.net\n:include:{}\n", path("two"))).unwrap();
        std::fs::write(path("two"), "b@example.net, c@example.net\n").unwrap();
        let text = format!("\\ana, :include:{}, d@example.net\n# :include:/x\n", path("one"));
        let whole = with_lists(&account, &text).unwrap();
        let words: Vec<&str> = whole.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "\\ana a@example.net b@example.net, c@example.net d@example.net # :include:/x"
        );
        let round = format!(":include:{}\n", path("three"));
        std::fs::write(path("three"), &round).unwrap();
        assert_eq!(with_lists(&account, &round).unwrap(), round, "it ends");
        assert!(with_lists(&account, ":include:/no/such/list").is_err());
        std::fs::set_permissions(path("two"), std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(with_lists(&account, &text).is_err(), "everybody may write it");
    }

    #[test]
    fn what_stands_behind_the_name_may_have_a_file_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let account = Account::for_tests("ana", home.path());
        std::fs::write(home.path().join(".forward+shop"), "a@example.net\n").unwrap();
        let read = |extension: &str| super::read(&account, extension).unwrap();
        assert_eq!(read("+shop"), Found::Text("a@example.net\n".into()));
        for other in ["", "+", "+other", "+shop/../x", "/../.forward+shop"] {
            assert_eq!(read(other), Found::Nothing, "{other}");
        }
        assert_eq!(read(&format!("+{}", "x".repeat(190))), Found::Nothing);
    }

    #[test]
    fn only_a_plain_file_of_the_user_is_heeded() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".forward");
        let account = Account::for_tests("ana", home.path());
        let read = || super::read(&account, "").unwrap();
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
        assert_eq!(super::read(&nowhere, "").unwrap(), Found::Nothing);
    }
}
