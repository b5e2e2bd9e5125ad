//! From root to the service's own user: folders that it owns, then the change that
//! cannot be undone.
//!
//! Ports, certificates and keys are opened before; threads are started after, so
//! that no thread ever runs with more rights than the rest.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Uid, geteuid, initgroups, setgid, setuid};

use super::StartError;
use crate::lang::{Said, Text, said, said_of, system};
use crate::rights::{Identity, Place, is_privileged};

/// Whom to become: nobody else when not started as root or when `user` is empty.
pub fn target(user: &str) -> Result<Option<Identity>, StartError> {
    match Identity::of_service(user) {
        Ok(None) if geteuid().is_root() && !user.is_empty() => {
            Err(StartError::NoSuchUser(user.to_owned()))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(StartError::Privileges(said_of!(
            "cannot look up user {user}: {error}", "no se puede buscar al usuario {user}: {error}";
            user = Said::words(user), error = system(&error)
        ))),
    }
}

/// Makes a folder if it is missing, and hands it to the user that will need it. Where the
/// folder above is not root's alone, root changes nothing there: the user makes the folder,
/// or owns it already.
pub fn prepare_folder(path: &Path, mode: u32, owner: Option<&Identity>) -> Result<(), StartError> {
    let failed = |error: std::io::Error| StartError::Folder { path: path.to_owned(), error };
    let Some(owner) = owner else { return make_folder(path, mode).map_err(failed) };
    let place = match Place::making_way(path, 0o755) {
        Ok(place) if place.is_safe().is_ok() => {
            return place.folder_of(mode, owner).map_err(failed);
        }
        place => place.map_err(failed)?,
    };
    let made = owner.act(|| {
        make_folder(path, mode)?;
        std::fs::metadata(path)
    });
    let is_theirs = |found: &std::fs::Metadata| found.uid() == owner.uid.as_raw();
    match (made.map_err(failed)?, place.is_safe()) {
        (Ok(found), _) if is_theirs(&found) => Ok(()),
        (_, Err(distrust)) => Err(StartError::Privileges(distrust.said())),
        (Ok(_), Ok(())) => Ok(()),
        (Err(error), Ok(())) => Err(failed(error)),
    }
}

fn make_folder(path: &Path, mode: u32) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Gives to the service's user what a run as root has left in the spool, if that is where
/// the path says: nobody but root can put another folder in the place of the one above.
pub fn hand_over_spool(path: &Path, owner: Option<&Identity>) -> Result<(), StartError> {
    let Some(owner) = owner else { return stay_inside(path) };
    if !Place::of(path).is_ok_and(|place| place.way_is_safe().is_ok()) {
        return Ok(());
    }
    puerto_spool::disk::hand_over(path, owner.uid.as_raw(), owner.gid.as_raw())
        .map_err(|error| StartError::Folder { path: path.to_owned(), error })
}

// Root that stays root keeps a queue where it is, and not where links of others lead.
fn stay_inside(spool: &Path) -> Result<(), StartError> {
    for folder in ["segments", "content"] {
        match Place::of(&spool.join(folder).join("name")) {
            Ok(place) if is_privileged() => {
                place.is_unled().map_err(|distrust| StartError::Privileges(distrust.said()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

const SET_GROUPS: Text = Text::new(
    "cannot set groups as {name}: {error}",
    "no se pueden fijar los grupos de {name}: {error}",
);
const SET_GROUP: Text = Text::new(
    "cannot set the group as {name}: {error}",
    "no se puede fijar el grupo de {name}: {error}",
);
const SET_USER: Text =
    Text::new("cannot set the user as {name}: {error}", "no se puede pasar a ser {name}: {error}");

/// Becomes that user for good, in every thread.
pub fn become_user(identity: &Identity) -> Result<(), StartError> {
    let failed = |what: Text, error: nix::errno::Errno| {
        let name = Said::words(identity.name.clone());
        let parts = [("name", &name), ("error", &system(&error.into()))];
        StartError::Privileges(Said::of_parts(what, &parts))
    };
    let name = std::ffi::CString::new(identity.name.as_str())
        .map_err(|_| StartError::NoSuchUser(identity.name.clone()))?;
    initgroups(&name, identity.gid).map_err(|e| failed(SET_GROUPS, e))?;
    setgid(identity.gid).map_err(|e| failed(SET_GROUP, e))?;
    setuid(identity.uid).map_err(|e| failed(SET_USER, e))?;
    if !identity.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(StartError::Privileges(said!(
            "root's rights could be taken back",
            "se podrían recuperar los privilegios de root"
        )));
    }
    Ok(())
}

/// Raises the limit on open files to what the system allows: each session and each
/// delivery needs one. What cannot be raised stays as it is.
pub fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
