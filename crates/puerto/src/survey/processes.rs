//! What runs on this machine and what listens, as `/proc` tells (proc(5)).

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
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

/// The programs that listen where nobody else can then listen at this TCP address.
pub fn listening(address: SocketAddr) -> Vec<PathBuf> {
    let sockets = sockets(address);
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

/// Whether a program keeps addresses for services until they start (systemd.socket(5)).
pub fn is_manager(program: &Path) -> bool {
    let name = program.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| matches!(name, "systemd" | "init"))
}

/// Whether anything listens there, whoever it is.
pub fn is_listened_on(address: SocketAddr) -> bool {
    !sockets(address).is_empty()
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

fn sockets(address: SocketAddr) -> HashSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables.iter().flatten().flat_map(|table| inodes(table, address)).collect()
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

/// The names by which `/proc/PID/fd` calls the sockets of a table that listen at an address,
/// or at one that stands for it.
fn inodes(table: &str, wanted: SocketAddr) -> Vec<String> {
    let meets = |local: SocketAddr| {
        let (one, other) = (local.ip().to_canonical(), wanted.ip().to_canonical());
        local.port() == wanted.port()
            && (one == other || one.is_unspecified() || other.is_unspecified())
    };
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (*state == LISTEN && meets(local_address(local)?)).then(|| format!("socket:[{inode}]"))
    };
    table.lines().filter_map(line).collect()
}

// Each 32 bits of it are a number of this machine's, in hexadecimal.
fn local_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = Vec::with_capacity(16);
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(four) => four.into(),
        Err(_) => <[u8; 16]>::try_from(octets).ok()?.into(),
    };
    Some(SocketAddr::new(ip, port))
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
        let found = |address: &str| inodes(table, address.parse().unwrap());
        assert_eq!(found("0.0.0.0:25"), ["socket:[2171]"]);
        assert_eq!(found("203.0.113.30:25"), ["socket:[2171]"], "it stands for all");
        assert_eq!(found("127.0.0.1:281"), ["socket:[2173]"]);
        let one = "  sl  local_address rem_address   st\n\
            0: 2200007F:09DD 00000000:0000 0A 0:0 00:0 0     0        0 2174 1\n\
            1: B80D01200000000000000000210000FF:0019 0:0 0A 0:0 00:0 0     0        0 2175 1\n";
        let found = |address: &str| inodes(one, address.parse().unwrap());
        assert_eq!(found("127.0.0.34:2525"), ["socket:[2174]"]);
        assert_eq!(found("127.0.0.60:2525"), [""; 0]);
        assert_eq!(found("0.0.0.0:2525"), ["socket:[2174]"]);
        assert_eq!(found("[2001:db8::ff00:21]:25"), ["socket:[2175]"]);
        assert_eq!(found("[2001:db8::1]:25"), [""; 0]);
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
        let address = listener.local_addr().unwrap();
        assert!(listening(address).contains(&own) && is_listened_on(address));
    }
}
