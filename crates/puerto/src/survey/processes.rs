//! What runs on this machine and what listens, as `/proc` tells (proc(5)).

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// How the kernel marks the path of a program that is gone.
const GONE: &str = " (deleted)";

/// A process of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// The file that it was started from is not there any more, or another is in its place.
    pub is_replaced: bool,
}

/// The programs that run, each once; other users' only where we are root.
pub fn running() -> Vec<PathBuf> {
    programs(processes())
}

/// The programs that listen on a TCP port, at any address.
pub fn listening(port: u16) -> Vec<PathBuf> {
    let sockets = sockets(port);
    if sockets.is_empty() {
        return Vec::new();
    }
    let holds = |process: &PathBuf| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
    };
    programs(processes().filter(holds))
}

/// Whether anything listens on a TCP port, whoever it is.
pub fn is_listened_on(port: u16) -> bool {
    !sockets(port).is_empty()
}

/// The processes that were started under a name with this first argument.
pub fn called(name: &str, argument: &str) -> Vec<Process> {
    let found = processes().filter_map(|process| {
        let line = fs::read(process.join("cmdline")).ok()?;
        let mut words = line.split(|octet| *octet == 0).map(String::from_utf8_lossy);
        let program = words.next()?;
        let is_named = Path::new(&*program).file_name().is_some_and(|file| file == name);
        // `--config FILE` and `--lang LANGUAGE` may stand before it.
        let is_it = is_named && words.take(5).any(|word| word == argument);
        let target = fs::read_link(process.join("exe")).unwrap_or_default();
        let is_replaced = target.to_str().is_some_and(|target| target.ends_with(GONE));
        let id = process.file_name()?.to_str()?.parse().ok()?;
        is_it.then_some(Process { id, is_replaced })
    });
    found.collect()
}

fn sockets(port: u16) -> HashSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables.iter().flatten().flat_map(|table| inodes(table, port)).collect()
}

fn programs(processes: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let programs: BTreeSet<PathBuf> = processes.filter_map(|process| program(&process)).collect();
    programs.into_iter().collect()
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |name: &str| name.bytes().all(|octet| octet.is_ascii_digit());
    entries
        .filter(move |entry| entry.file_name().to_str().is_some_and(number))
        .map(|entry| entry.path())
}

// A program that was replaced while it runs is still the one of that name.
fn program(process: &Path) -> Option<PathBuf> {
    let path = fs::read_link(process.join("exe")).ok()?;
    let text = path.to_str()?;
    Some(text.strip_suffix(GONE).unwrap_or(text).into())
}

/// The names by which `/proc/PID/fd` calls the sockets of a table that listen on a port.
fn inodes(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&port) && *state == LISTEN).then(|| format!("socket:[{inode}]"))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_that_listen_on_a_port_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2171 1\n\
            1: 0100007F:0019 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2172 1\n\
            2: 0100007F:0119 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2173 1\n\
            3: short\n";
        assert_eq!(inodes(table, 25), ["socket:[2171]"]);
    }

    /// A process that is gone with the test, however that ends: whoever has its output waits
    /// for it.
    struct Ended(std::process::Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_known_by_its_name_and_first_argument_and_that_its_program_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("a-daemon-of-the-tests");
        fs::copy("/bin/sleep", &program).unwrap();
        // A copy that another test's process still has open for writing cannot be started yet.
        let start = || std::process::Command::new(&program).arg("600").spawn();
        let mut child = loop {
            match start() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                started => break Ended(started.unwrap()),
            }
        };
        let seen = |argument| called("a-daemon-of-the-tests", argument);
        let process = |is_replaced| vec![Process { id: child.0.id(), is_replaced }];
        // The system may take a moment to show with what arguments it was begun.
        for _ in 0..10_000 {
            if !seen("600").is_empty() {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(seen("600"), process(false));
        assert_eq!(seen("6"), vec![]);
        fs::remove_file(&program).unwrap();
        assert_eq!(seen("600"), process(true));
        child.0.kill().unwrap();
    }

    #[test]
    fn this_process_is_seen_with_what_it_listens_on() {
        let own = std::env::current_exe().unwrap();
        assert!(running().contains(&own));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening(port).contains(&own) && is_listened_on(port));
    }
}
