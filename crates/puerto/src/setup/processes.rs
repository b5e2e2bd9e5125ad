//! What runs on this machine and what listens, as `/proc` tells (proc(5)).

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The programs that run, each once; other users' only where we are root.
pub(super) fn running() -> Vec<PathBuf> {
    programs(processes())
}

/// The programs that listen on a TCP port, at any address.
pub(super) fn listening(port: u16) -> Vec<PathBuf> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let sockets: HashSet<String> = tables.iter().flatten().flat_map(|t| inodes(t, port)).collect();
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
    Some(text.strip_suffix(" (deleted)").unwrap_or(text).into())
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

    #[test]
    fn this_process_is_seen_with_what_it_listens_on() {
        let own = std::env::current_exe().unwrap();
        assert!(running().contains(&own));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listening(listener.local_addr().unwrap().port()).contains(&own));
    }
}
