//! What the kernel knows of the process at the other end of the local socket.
//!
//! Only what every user may read, and what the kernel answers without waiting for that
//! process: `stat`, `status` and `cgroup` of `/proc/PID`. The program and its folder are
//! another user's to show, and `sendmail` says them itself.
//!
//! A pid is a name that the next process may have. The descriptor of the peer's process
//! (`SO_PEERPIDFD`, Linux 6.5) tells whether it has lived through our reading; before that
//! kernel, a process that is another user's, or has begun after the client was let in, is
//! not the one. A parent cannot be younger than its child.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::telemetry::{Ancestor, Process, bounded};

const PROC: &str = "/proc";
/// Parents that are named at most: a shell, the program, what runs it, and one more.
const PARENTS: usize = 4;
/// Octets of one of these files that are read: the beginning of each says it all.
const FILE: u64 = 8 * 1024;

/// Looks at a process by its number, which must be that of one that stays: one's own.
pub fn of(pid: u32) -> Option<Process> {
    look(Path::new(PROC), pid)
}

/// Looks at the peer of a socket. To be called as soon as it was let in.
pub(super) fn at_the_other_end(socket: &impl AsFd, uid: u32) -> Process {
    let Some(pid) = getsockopt(socket, sockopt::PeerCredentials).ok().and_then(|peer| {
        // One of a container that hides its numbers from us has none.
        u32::try_from(peer.pid()).ok().filter(|pid| *pid > 0)
    }) else {
        return Process::default();
    };
    let folder = Path::new(PROC);
    let found = look(folder, pid);
    let is_it = match getsockopt(socket, sockopt::PeerPidfd) {
        Ok(process) => is_alive(&process),
        Err(_) => is_plausible(folder, pid, uid, ticks_since_boot()),
    };
    let known = found.filter(|_| is_it);
    // The number itself is the kernel's word, whatever has become of the process.
    known.unwrap_or(Process { pid: Some(pid), ..Process::default() })
}

// Its descriptor can be read from when it has ended.
fn is_alive(process: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ended| ended == 0)
}

fn ticks_since_boot() -> Option<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let (seconds, nanos) = (u64::try_from(now.tv_sec()).ok()?, u64::try_from(now.tv_nsec()).ok()?);
    Some(seconds * ticks + nanos * ticks / 1_000_000_000)
}

fn is_plausible(folder: &Path, pid: u32, uid: u32, now: Option<u64>) -> bool {
    let (Some(stat), Some(now)) = (Stat::of(folder, pid), now) else { return false };
    let status = read(folder, pid, "status").unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let mut users = users.unwrap_or_default().split_ascii_whitespace();
    stat.begun < now && users.any(|user| user.parse() == Ok(uid))
}

fn look(folder: &Path, pid: u32) -> Option<Process> {
    let first = Stat::of(folder, pid)?;
    let unit = read(folder, pid, "cgroup").and_then(|text| unit(&text));
    let (mut parents, mut child) = (Vec::new(), first);
    // The first process of all has started everything.
    while child.parent > 1 && parents.len() < PARENTS {
        let pid = child.parent;
        match Stat::of(folder, pid).filter(|parent| parent.begun <= child.begun) {
            Some(parent) => {
                parents.push(Ancestor { name: bounded(&parent.name), pid });
                child = parent;
            }
            None => break,
        }
    }
    Some(Process { pid: Some(pid), unit, parents })
}

fn read(folder: &Path, pid: u32, name: &str) -> Option<String> {
    let file = std::fs::File::open(folder.join(pid.to_string()).join(name)).ok()?;
    let mut octets = Vec::new();
    file.take(FILE).read_to_end(&mut octets).ok()?;
    Some(String::from_utf8_lossy(&octets).into_owned())
}

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
struct Stat {
    name: String,
    parent: u32,
    /// In ticks since the machine was started.
    begun: u64,
}

impl Stat {
    fn of(folder: &Path, pid: u32) -> Option<Self> {
        Self::parse(&read(folder, pid, "stat")?)
    }

    // The name is the process's choice and may hold anything, parentheses too.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = after.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let begun = fields.nth(17)?.parse().ok()?;
        Some(Self { name: name.to_owned(), parent, begun })
    }
}

/// The unit that a control group belongs to. What stands below a unit is its own affair:
/// a user's groups may have any name.
fn unit(text: &str) -> Option<String> {
    let of = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let v1 = || text.lines().find_map(|line| Some(line.split_once(":name=systemd:")?.1));
    let path = of("0::").filter(|path| *path != "/").or_else(v1)?;
    let mut parts = path.split('/').filter(|part| !part.is_empty() && !is_kind(part, &["slice"]));
    let first = parts.next()?;
    if !is_kind(first, &["service", "scope", "socket", "mount", "swap"]) {
        return Some(bounded(path));
    }
    let own = parts
        .next()
        .filter(|part| first.starts_with("user@") && is_kind(part, &["service", "scope"]));
    Some(bounded(&own.map_or_else(|| first.to_owned(), |own| format!("{first}/{own}"))))
}

fn is_kind(name: &str, kinds: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, kind)| kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn machine(processes: &[(u32, &str, u32, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (pid, name, parent, begun) in processes {
            let own = folder.path().join(pid.to_string());
            std::fs::create_dir(&own).unwrap();
            let zeros = "0 ".repeat(17);
            let stat = format!("{pid} ({name}) S {parent} {zeros}{begun} 0 0\n");
            std::fs::write(own.join("stat"), stat).unwrap();
            std::fs::write(own.join("status"), "Name:\tx\nUid:\t33\t33\t33\t33\n").unwrap();
            std::fs::write(own.join("cgroup"), "0::/system.slice/php8.2-fpm.service\n").unwrap();
        }
        folder
    }

    #[test]
    fn parents_are_followed_up_and_none_is_younger_than_its_child() {
        let folder = machine(&[
            (4711, "sendmail", 4710, 900),
            (4710, "sh) R 1 (", 812, 899),
            (812, "php-fpm8.2", 700, 500),
            (700, "recycled", 1, 501),
        ]);
        let found = look(folder.path(), 4711).unwrap();
        assert_eq!(found.unit.as_deref(), Some("php8.2-fpm.service"));
        let parents: Vec<String> = found.parents.iter().map(Ancestor::to_string).collect();
        assert_eq!(parents, ["sh) R 1 ([4710]", "php-fpm8.2[812]"]);
        assert_eq!(look(folder.path(), 5000), None);
        let circle = machine(&[(10, "a", 11, 5), (11, "b", 10, 5)]);
        assert_eq!(look(circle.path(), 10).unwrap().parents.len(), PARENTS);
    }

    #[test]
    fn without_a_descriptor_a_process_that_cannot_be_the_peer_is_not() {
        let folder = machine(&[(4711, "sendmail", 1, 900)]);
        let is_it = |uid, now| is_plausible(folder.path(), 4711, uid, now);
        assert!(is_it(33, Some(901)));
        assert!(!is_it(34, Some(901)), "it is another user's");
        assert!(!is_it(33, Some(899)), "it has begun after the client came");
        assert!(!is_it(33, None));
        assert!(!is_plausible(folder.path(), 4712, 33, Some(901)));
    }

    #[test]
    fn a_unit_is_the_systems_and_not_what_a_user_calls_a_group() {
        for (text, expected) in [
            ("0::/system.slice/cron.service\n", Some("cron.service")),
            ("0::/system.slice/system-php.slice/php@8.service/pool\n", Some("php@8.service")),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", Some("session-3.scope")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
                Some("user@1000.service/x.service"),
            ),
            ("0::/system.slice/a.service/cron.service\n", Some("a.service")),
            ("0::/docker/0123abcd\n", Some("/docker/0123abcd")),
            ("12:cpu:/x\n1:name=systemd:/system.slice/cron.service\n0::/\n", Some("cron.service")),
            ("0::/a\u{1b}[2J.service\n", Some("a?[2J.service")),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_peer_of_a_socket_is_found() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = at_the_other_end(&ours, nix::unistd::getuid().as_raw());
        assert_eq!(found.pid, Some(std::process::id()));
        assert!(ticks_since_boot().is_some());
    }
}
