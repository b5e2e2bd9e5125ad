//! What root has to do so that a user, and nobody else besides, may read a file.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, geteuid, getgrouplist};

use super::{Identity, act, open_to_read};
use crate::cause::Cause;
use crate::lang::shell_word;

/// What a file is to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Others may read it, too.
    Open,
    /// It is the reader's secret.
    Secret,
}

/// Whether the service's user may read a file; what keeps it from that is a
/// [`Cause::FileHidden`], with the commands that let it.
pub fn readable_by(path: &Path, service: Option<&Identity>) -> io::Result<()> {
    let read = act(service, || open_to_read(path, None).map(drop));
    read.map_err(|error| told(error, path, service, Kept::Open))
}

/// The same error, or that the service's user is not let in, where it is that.
pub(super) fn told(
    error: io::Error,
    path: &Path,
    service: Option<&Identity>,
    kept: Kept,
) -> io::Error {
    let is_plain = error.kind() == io::ErrorKind::PermissionDenied && error.get_ref().is_none();
    match service {
        Some(service) if is_plain && geteuid().is_root() => {
            let (user, file) = (service.name.clone(), path.display().to_string());
            let remedy = let_in(path, service, kept);
            io::Error::new(error.kind(), Cause::FileHidden { file, user, remedy })
        }
        _ => error,
    }
}

/// The commands by which root lets a user read a file: the folders on its way first, then the
/// file itself.
pub(super) fn let_in(path: &Path, reader: &Identity, kept: Kept) -> String {
    let group = Group::from_gid(reader.gid).ok().flatten();
    let group = group.map_or_else(|| reader.gid.to_string(), |group| group.name);
    let groups = groups_of(reader);
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut folders: Vec<&Path> = real.ancestors().skip(1).collect();
    folders.reverse();
    let mut commands: Vec<String> =
        folders.into_iter().filter_map(|folder| enter(folder, reader, &groups, &group)).collect();
    let file = shell_word(path);
    let mode = if kept == Kept::Secret { "0640" } else { "g+r" };
    commands.push(format!("chgrp {group} {file} && chmod {mode} {file}"));
    commands.join(" && ")
}

// What is root's alone is given to the group; what another group has stays that group's.
fn enter(folder: &Path, reader: &Identity, groups: &[Gid], group: &str) -> Option<String> {
    let metadata = folder.metadata().ok()?;
    let has = |bit: u32| metadata.mode() & bit != 0;
    let gid = Gid::from_raw(metadata.gid());
    let word = shell_word(folder);
    if metadata.uid() == reader.uid.as_raw() {
        (!has(0o100)).then(|| format!("chmod u+x {word}"))
    } else if groups.contains(&gid) {
        (!has(0o010)).then(|| format!("chmod g+x {word}"))
    } else if has(0o001) {
        None
    } else if gid.as_raw() == 0 {
        Some(format!("chgrp {group} {word} && chmod g+x {word}"))
    } else {
        Some(format!("chmod o+x {word}"))
    }
}

fn groups_of(reader: &Identity) -> Vec<Gid> {
    let name = CString::new(reader.name.as_str()).ok();
    let groups = name.and_then(|name| getgrouplist(&name, reader.gid).ok());
    groups.unwrap_or_else(|| vec![reader.gid])
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use nix::unistd::Uid;

    use super::*;

    /// Whether a user could read a file, by what the system says of it.
    fn may_read(path: &Path, reader: &Identity) -> bool {
        let groups = groups_of(reader);
        let way =
            path.ancestors().skip(1).all(|folder| enter(folder, reader, &groups, "").is_none());
        let metadata = path.metadata().unwrap();
        let bit = match (metadata.uid(), metadata.gid()) {
            (uid, _) if uid == reader.uid.as_raw() => 0o400,
            (_, gid) if groups.contains(&Gid::from_raw(gid)) => 0o040,
            _ => 0o004,
        };
        way && metadata.mode() & bit != 0
    }

    /// By hand a password file is root's and everybody may read it; to close it to others
    /// alone kept the server out.
    #[test]
    fn what_is_advised_lets_the_reader_in_and_nobody_else() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let inner = folder.path().join("its folder");
        let file = inner.join("it's a file");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(&file, "secret\n").unwrap();
        // A number that nobody has, so that no name is needed.
        let reader = Identity {
            name: "nobody-of-this-name".into(),
            uid: Uid::from_raw(4711),
            gid: Gid::from_raw(4711),
        };
        for (kept, mode, owner, (of_folder, its_owner, its_group)) in [
            (Kept::Secret, 0o644, 0, (0o755, 0, 0)),
            (Kept::Secret, 0o600, 0, (0o755, 0, 0)),
            (Kept::Secret, 0o600, 0, (0o700, 0, 0)),
            (Kept::Secret, 0o666, 1, (0o710, 0, 1)),
            (Kept::Secret, 0o000, 0, (0o700, 0, 4711)),
            (Kept::Open, 0o600, 0, (0o750, 0, 0)),
            (Kept::Open, 0o640, 0, (0o600, 4711, 0)),
        ] {
            for (path, mode, owner, group) in
                [(&inner, of_folder, its_owner, its_group), (&file, mode, owner, 0)]
            {
                chown(path, Some(owner), Some(group)).unwrap();
                std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            let command = let_in(&file, &reader, kept);
            let done =
                std::process::Command::new("/bin/sh").args(["-ec", &command]).output().unwrap();
            assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
            assert!(may_read(&file, &reader), "{command}");
            let others = file.metadata().unwrap().mode() & 0o007;
            assert!(kept == Kept::Open || others == 0, "{command}");
            assert_eq!(inner.metadata().unwrap().mode() & 0o002, 0, "{command}");
        }
    }
}
