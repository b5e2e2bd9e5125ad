//! The service's user, and taking single steps as that user.

use std::io;

use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgroups, initgroups, setegid, seteuid, setgroups,
};

/// Who the daemon becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub name: String,
    /// The user.
    pub uid: Uid,
    /// The user's primary group.
    pub gid: Gid,
}

impl Identity {
    /// The user of that name; `None` if there is none.
    pub fn named(user: &str) -> io::Result<Option<Self>> {
        let found = User::from_name(user)?;
        Ok(found.map(|found| Self { name: found.name, uid: found.uid, gid: found.gid }))
    }

    /// Whom root becomes for the service: nobody else when the process is not root's or
    /// when `user`, the configuration's key, is empty.
    pub fn of_service(user: &str) -> io::Result<Option<Self>> {
        if !geteuid().is_root() || user.is_empty() { Ok(None) } else { Self::named(user) }
    }

    /// Does something with this user's rights and then takes root's back; as we are, where
    /// root's have been given up and nobody else can be become. All threads of the process
    /// change with it: for the start of the daemon and for commands.
    pub fn act<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        if !geteuid().is_root() {
            return Ok(work());
        }
        let taken = Taken { groups: getgroups()?, gid: getegid() };
        let name = std::ffi::CString::new(self.name.as_str())?;
        initgroups(&name, self.gid)?;
        setegid(self.gid)?;
        seteuid(self.uid)?;
        let done = work();
        drop(taken);
        Ok(done)
    }
}

/// Does something as the service's user if there is one to become, else as we are.
pub fn act<T>(identity: Option<&Identity>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match identity {
        Some(identity) => identity.act(work)?,
        None => work(),
    }
}

/// What is to be taken back.
struct Taken {
    groups: Vec<Gid>,
    gid: Gid,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let back = seteuid(Uid::from_raw(0))
            .and_then(|()| setegid(self.gid))
            .and_then(|()| setgroups(&self.groups));
        if back.is_err() {
            // Whatever came next would be done with the wrong rights.
            std::process::exit(71);
        }
    }
}
