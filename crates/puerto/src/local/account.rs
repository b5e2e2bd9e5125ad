//! A system user as far as mail is concerned.

use std::path::PathBuf;

use nix::unistd::{Gid, Uid, User};

/// Whose mailbox is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// The name, as the system writes it.
    pub(super) name: String,
    /// The user whose mailbox is written, and as whom.
    pub(super) uid: Uid,
    /// The user's own group; no other is kept.
    pub(super) gid: Gid,
    /// The home directory, which the user may have made anything of.
    pub(super) home: PathBuf,
    /// The login shell, for commands to know.
    pub(super) shell: PathBuf,
}

impl Account {
    /// Looks a user up; `None` if there is none of this name. The error is the
    /// system's: the user directory could not be asked.
    pub(super) fn find(name: &str) -> std::io::Result<Option<Self>> {
        // Such a name could not be a file's under the mail directory.
        let impossible = |name: &str| name.contains(['/', '\0']) || name.starts_with('.');
        if name.is_empty() || impossible(name) {
            return Ok(None);
        }
        let user = match User::from_name(name) {
            Ok(user) => user,
            // getpwnam(3) lists these as ways to say that there is no such user.
            Err(nix::Error::ENOENT | nix::Error::ESRCH | nix::Error::EBADF | nix::Error::EPERM) => {
                None
            }
            Err(error) => return Err(error.into()),
        };
        let account = user.map(|user| Self {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
            home: user.dir,
            shell: user.shell,
        });
        Ok(account.filter(|account| !impossible(&account.name)))
    }
}

#[cfg(test)]
impl Account {
    /// An account of whoever runs the test.
    pub(super) fn for_tests(name: &str, home: &std::path::Path) -> Self {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        Self { name: name.into(), uid, gid, home: home.into(), shell: "/bin/sh".into() }
    }
}
