//! Files that hold a secret.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{getegid, geteuid};

use super::reader::{Kept, let_in, told};
use super::{Identity, act, open_to_read};
use crate::cause::Cause;
use crate::lang::shell_word;

/// Octets of a secret at most.
pub const MAX_SECRET: u64 = 64 * 1024;
/// What neither the group (writing) nor others (anything) may do.
const EXPOSING: u32 = 0o027;

/// The text of a password file, which nobody but its owner and the group that it was given
/// to may read, and nobody but its owner change: as it is with a private key.
pub fn read_secret(path: &Path) -> io::Result<String> {
    read_secrets(path, MAX_SECRET)
}

/// The same of one that the service's user is to read, whoever asks, up to a number of octets;
/// `reader` is that user, also where nobody can become it.
pub fn read_secrets_for(
    path: &Path,
    most: u64,
    service: Option<&Identity>,
    reader: Option<&Identity>,
) -> io::Result<String> {
    let read = || read(path, most, reader);
    // First as root, who trusts no names in others' folders.
    read()
        .and_then(|_| act(service, read))
        .map_err(|error| told(error, path, service, Kept::Secret))
}

/// The same of a file that holds many, up to a number of octets; an error if there is more.
pub fn read_secrets(path: &Path, most: u64) -> io::Result<String> {
    read(path, most, None)
}

fn read(path: &Path, most: u64, reader: Option<&Identity>) -> io::Result<String> {
    let file = open_to_read(path, None)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o7777;
    if mode & EXPOSING != 0 {
        let remedy = closing(path, metadata.uid(), reader);
        let (file, mode) = (path.display().to_string(), format!("{mode:04o}"));
        let exposed = Cause::SecretExposed { file, mode, remedy };
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, exposed));
    }
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// The command by which root closes a secret that others can read or change. A reader whom it
/// does not belong to needs its group, too, once others may not read it; without one it is whom
/// this process is.
pub fn closing(path: &Path, owner: u32, reader: Option<&Identity>) -> String {
    let ours = || Identity { name: String::new(), uid: geteuid(), gid: getegid() };
    let reader = reader.cloned().unwrap_or_else(ours);
    if reader.uid.is_root() || reader.uid.as_raw() == owner {
        return format!("chmod o-rwx,g-w {}", shell_word(path));
    }
    let_in(path, &reader, Kept::Secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A7: a password that others can read or change is none.
    #[test]
    fn whom_a_password_file_is_not_its_own_is_given_its_group_with_the_mode() {
        use std::os::unix::fs::chown;
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (uid, gid) = (4711.into(), 4711.into());
        let reader = Identity { name: "nobody-of-this-name".into(), uid, gid };
        let said = |reader: Option<&Identity>| {
            let error = read_secrets_for(&path, MAX_SECRET, None, reader).unwrap_err();
            crate::rights::said(&error).to_string()
        };
        let shown = path.display();
        let (both, alone) = (
            format!("chgrp 4711 {shown} && chmod 0640 {shown}"),
            format!("chmod o-rwx,g-w {shown}"),
        );
        assert!(said(Some(&reader)).ends_with(&both), "{}", said(Some(&reader)));
        assert!(said(None).ends_with(&alone), "root reads it whoever has it");
        chown(&path, Some(4711), None).unwrap();
        assert!(said(Some(&reader)).ends_with(&alone), "it is the reader's own");
    }

    #[test]
    fn a_password_file_is_refused_like_a_private_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        for (mode, is_taken) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o644, false),
            (0o604, false),
            (0o602, false),
            (0o660, false),
            (0o666, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read_secret(&path);
            assert_eq!(read.is_ok(), is_taken, "{mode:o}");
            if let Err(error) = read {
                let text = crate::rights::said(&error).to_string();
                assert!(text.contains("chmod o-rwx,g-w"), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
        }
    }
}
