//! The parts that root's rights are made of (capabilities(7)), and giving them up.
//!
//! User 0 without any of them still owns the system's files. A process that only reads
//! becomes nobody ([`become_nobody`]); one that changes users has to stay root and keeps
//! what that takes ([`keep`]).

use std::io;

use nix::unistd::{Gid, Uid, User, setgid, setgroups, setuid};
use rustix::thread::{
    CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

/// Some of root's rights: `Capabilities::SETUID | Capabilities::SETGID`.
pub use rustix::thread::CapabilitySet as Capabilities;

/// What user `nobody` is where there is none of that name.
const NOBODY: u32 = 65_534;

/// Keeps these rights and gives up all others for good: also what a program that is
/// started from here could win by being root's or set-user-ID. Rights that the process
/// has not are not won by it. For a process of one thread, and without fail: whoever gets
/// an error must end.
pub fn keep(only: Capabilities) -> io::Result<()> {
    bound(only)?;
    reduce(only)
}

/// Becomes the user `nobody`, keeping these rights alone, under the terms of [`keep`].
pub fn become_nobody(only: Capabilities) -> io::Result<()> {
    let nobody = User::from_name("nobody").ok().flatten();
    let ids = nobody.map(|user| (user.uid, user.gid));
    let (uid, gid) = ids.unwrap_or((Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)));
    bound(only)?;
    set_keep_capabilities(true)?;
    setgroups(&[])?;
    setgid(gid)?;
    setuid(uid)?;
    reduce(only)
}

/// Whether the process has all of these rights now.
pub fn have(all: Capabilities) -> io::Result<bool> {
    Ok(capabilities(None)?.effective.contains(all))
}

/// Whether the process can do what its user alone could not: whoever trusts what it says
/// of a file must be told who could have put the file there.
pub fn is_privileged() -> bool {
    let any = Capabilities::DAC_OVERRIDE | Capabilities::DAC_READ_SEARCH;
    nix::unistd::geteuid().is_root()
        || capabilities(None).is_ok_and(|sets| sets.effective.intersects(any))
}

/// Takes out of the set that bounds every program to come all but these. Where the right
/// to do so is missing, whoever started us has bounded it already.
fn bound(only: Capabilities) -> io::Result<()> {
    if !capabilities(None)?.effective.contains(Capabilities::SETPCAP) {
        return Ok(());
    }
    for number in 0..u64::BITS {
        let one = Capabilities::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            Ok(true) if !only.contains(one) => remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
            // The kernel knows no more of them.
            Err(_) => break,
        }
    }
    Ok(())
}

fn reduce(only: Capabilities) -> io::Result<()> {
    let kept = capabilities(None)?.permitted & only;
    let inheritable = Capabilities::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    // Kernels before 4.3 have no such set.
    let _ = clear_ambient_capability_set();
    Ok(set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const VARIABLE: &str = "PUERTO_TEST_RIGHTS";

    /// Not a test of its own: the process that the next one starts.
    #[test]
    fn rights_process() {
        let Some(how) = std::env::var_os(VARIABLE) else { return };
        let only = Capabilities::DAC_READ_SEARCH;
        match how.to_str() {
            Some("keep") => keep(only).unwrap(),
            _ => become_nobody(only).unwrap(),
        }
        let sets = capabilities(None).unwrap();
        assert_eq!((sets.effective, sets.permitted), (only, only));
        assert!(sets.inheritable.is_empty());
        assert!(!capability_is_in_bounding_set(Capabilities::SETUID).unwrap());
        // Both may read what root alone may; nobody changes nothing.
        std::fs::read("/etc/shadow").unwrap();
        let opened = std::fs::File::options().append(true).open("/etc/shadow");
        assert_eq!(opened.is_ok(), how == "keep");
    }

    #[test]
    fn what_was_given_up_is_gone_for_good() {
        if !nix::unistd::geteuid().is_root() || !std::path::Path::new("/etc/shadow").exists() {
            return;
        }
        for how in ["keep", "nobody"] {
            let mut process = Command::new(std::env::current_exe().unwrap());
            process.args(["--exact", "rights::capabilities::tests::rights_process"]);
            let output = process.arg("--test-threads=1").env(VARIABLE, how).output().unwrap();
            assert!(output.status.success(), "{how}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
