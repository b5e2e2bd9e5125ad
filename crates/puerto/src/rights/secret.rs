//! Files that hold a secret.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::open_to_read;
use crate::cause::Cause;

/// Octets of a secret at most.
const MAX_SECRET: u64 = 64 * 1024;
/// What neither the group (writing) nor others (anything) may do.
const EXPOSING: u32 = 0o027;

/// The text of a password file, which nobody but its owner and the group that it was given
/// to may read, and nobody but its owner change: as it is with a private key.
pub fn read_secret(path: &Path) -> io::Result<String> {
    read_secrets(path, MAX_SECRET)
}

/// The same of a file that holds many, up to a number of octets; an error if there is more.
pub fn read_secrets(path: &Path, most: u64) -> io::Result<String> {
    let file = open_to_read(path, None)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & EXPOSING != 0 {
        let (path, mode) = (path.display().to_string(), format!("{mode:04o}"));
        let exposed = Cause::SecretExposed { path, mode };
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, exposed));
    }
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A7: a password that others can read or change is none.
    #[test]
    fn a_password_file_is_refused_like_a_private_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
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
                assert!(!text.contains("secret"), "{text}");
            }
        }
    }
}
