//! The map tells the truth: no crate and no room uses what `ARCHITECTURE.md` does not list.

mod meanings;
mod source;

use std::collections::BTreeSet;

use source::{paths, program, project, sources};

/// Our crates, as sources name them.
const CRATES: [&str; 5] = ["puerto_smtp", "puerto_mail", "puerto_spool", "puerto_lab", "puerto"];
/// What the pure crates may take of `std`'s impure modules: values.
const VALUES: [&str; 7] = [
    "std::time::Duration",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
];
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::env",
    "std::thread",
    "std::time",
];

/// The cells of a table of the map: under this heading, the first of that many columns.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(project().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|'))
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The names that a cell has in backquotes.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What the map says of the program's rooms and of what they take of the crates.
struct Map {
    /// Each room and what it may use; `None`: all rooms.
    rooms: Vec<(String, Option<BTreeSet<String>>)>,
    /// A path into our crates, and the rooms that alone may name what is below it.
    kept: Vec<(String, BTreeSet<String>)>,
}

impl Map {
    fn read() -> Self {
        let set = |cell: &str| names(cell).into_iter().map(str::to_owned).collect();
        let rooms = table("## Rooms of the program").into_iter().map(|row| {
            let allowed = (row[2] != "all").then(|| set(&row[2]));
            (names(&row[0])[0].to_owned(), allowed)
        });
        let kept = table("### What they take of the crates").into_iter().flat_map(|row| {
            let rooms: BTreeSet<String> = set(&row[2]);
            names(&row[0]).iter().map(|p| ((*p).to_owned(), rooms.clone())).collect::<Vec<_>>()
        });
        Self { rooms: rooms.collect(), kept: kept.collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.rooms.iter().any(|(room, _)| room == name)
    }

    /// What this text of a room names that the map does not allow. `depth`: how many
    /// modules it lies below the program's root.
    fn against(&self, room: &str, depth: usize, text: &str) -> Vec<String> {
        let program = program(text);
        let (_, allowed) = self.rooms.iter().find(|(name, _)| name == room).unwrap();
        let up = vec!["super"; depth].join("::");
        let of_rooms = ["crate", &up].into_iter().flat_map(|root| {
            paths(&program, root).into_iter().map(move |path| {
                let inner = path[root.len()..].trim_start_matches("::");
                inner.split("::").next().unwrap_or_default().to_owned()
            })
        });
        let free = ["lang", "rights", "cause", room];
        let foreign = of_rooms.filter(|name| {
            let allowed = allowed.as_ref().is_none_or(|list| list.contains(name));
            name == "*" || (self.has(name) && !free.contains(&name.as_str()) && !allowed)
        });
        let of_crates = CRATES.iter().flat_map(|name| paths(&program, name));
        let unlisted = of_crates.filter(|path| !self.may_name(room, path));
        foreign.chain(unlisted).collect()
    }

    /// The longest row that a path lies below says who may name it.
    fn may_name(&self, room: &str, path: &str) -> bool {
        if let Some(whole) = path.strip_suffix("::*") {
            let inside = self.kept.iter().filter(|(kept, _)| is_below(kept, whole));
            return inside.into_iter().all(|(_, rooms)| rooms.contains(room))
                && self.may_name(room, whole);
        }
        let rows = self.kept.iter().filter(|(kept, _)| is_below(path, kept));
        rows.max_by_key(|(kept, _)| kept.len()).is_none_or(|(_, rooms)| rooms.contains(room))
    }
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn every_room_imports_only_what_the_map_lists() {
    let map = Map::read();
    let source = project().join("crates/puerto/src");
    let mut wrong = Vec::new();
    for (room, _) in &map.rooms {
        let paths = [source.join(room), source.join(format!("{room}.rs"))];
        let files: Vec<_> = paths.iter().filter(|p| p.exists()).flat_map(|p| sources(p)).collect();
        assert!(!files.is_empty(), "the map has a room {room} that the program has not");
        for file in files {
            let inner = file.strip_prefix(&source).unwrap().with_extension("");
            let depth = inner.iter().filter(|part| *part != "mod").count();
            let text = std::fs::read_to_string(&file).unwrap();
            for path in map.against(room, depth, &text) {
                wrong.push(format!("{}: {path}", inner.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn what_the_map_forbids_is_found() {
    let map = Map::read();
    for (room, text, expected) in [
        ("route", "use puerto_spool::{MessageId, Timestamp};", "puerto_spool::MessageId"),
        ("deliver", "use puerto_spool::{MessageId, Store};", "puerto_spool::Store"),
        ("intake", "fn f(s: &dyn puerto_spool::Work) {}", "puerto_spool::Work"),
        ("queue", "use puerto_spool::{Desk as _, Store};", "puerto_spool::Desk"),
        ("bounce", "use puerto_spool::NewMessage as Letter;", "puerto_spool::NewMessage"),
        ("queue", "use puerto_spool::*;", "puerto_spool::*"),
        ("local", "use puerto_spool::segments::{self};", "puerto_spool::segments"),
        ("receive", "use puerto_mail::header::Header;", "puerto_mail::header::Header"),
        ("check", "use puerto_lab::Lab;", "puerto_lab::Lab"),
        ("intake", "use crate::{config::Live, queue};", "queue"),
        ("explain", "use super::{deliver::Outcome};", "deliver"),
        ("verify", "use crate::*;", "*"),
    ] {
        let found = map.against(room, 1, text);
        assert!(found.iter().any(|path| path == expected), "{room}, {text}: {found:?}");
    }
    assert!(map.against("queue", 2, "use super::work::Work; use puerto_spool::Store;").is_empty());
}

#[test]
fn every_room_of_the_program_is_on_the_map() {
    let map = Map::read();
    let text = std::fs::read_to_string(project().join("crates/puerto/src/lib.rs")).unwrap();
    for line in text.lines() {
        if let Some(room) = line.strip_prefix("pub mod ") {
            assert!(map.has(room.trim_end_matches(';')), "not on the map: {room}");
        }
    }
    for (path, rooms) in &map.kept {
        for room in rooms {
            assert!(map.has(room), "{path} is for {room}, which the map has not");
        }
    }
}

#[test]
fn every_crate_uses_only_those_that_the_map_lists() {
    let rows = table("## Crates");
    assert_eq!(rows.len(), CRATES.len(), "a crate is not on the map");
    let mut wrong = BTreeSet::new();
    for row in rows {
        let name = names(&row[0])[0];
        let allowed: Vec<String> = names(&row[2]).iter().map(|n| n.replace('-', "_")).collect();
        let folder = project().join("crates").join(name);
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let depends = manifest["dependencies"].as_table().unwrap().keys();
        let depends = depends.map(|d| d.replace('-', "_")).filter(|d| CRATES.contains(&&**d));
        let named = sources(&folder.join("src")).into_iter().flat_map(|file| {
            let program = program(&std::fs::read_to_string(file).unwrap());
            CRATES.iter().flat_map(|c| paths(&program, c)).collect::<Vec<_>>()
        });
        // A name without a path is a word, as in a log's directive.
        let named = named.filter_map(|path| Some(path.split_once("::")?.0.to_owned()));
        let own = name.replace('-', "_");
        let foreign = depends.chain(named).filter(|c| *c != own && !allowed.contains(c));
        wrong.extend(foreign.map(|c| format!("{name} uses {c}")));
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md does not allow: {wrong:?}");
}

/// What a pure crate's text names of the world outside.
fn impure(text: &str) -> Vec<String> {
    let program = program(text);
    let of_std = paths(&program, "std").into_iter().filter(|path| {
        IMPURE.iter().any(|impure| is_below(path, impure))
            && !VALUES.iter().any(|value| is_below(path, value))
            || path == "std"
            || path == "std::*"
    });
    let others = ["tokio", "mio", "rustix", "libc", "jiff", "SystemTime", "Instant"];
    of_std.chain(others.iter().flat_map(|name| paths(&program, name))).collect()
}

#[test]
fn the_pure_crates_name_no_socket_file_thread_or_clock() {
    let mut wrong = Vec::new();
    for crate_name in ["puerto-smtp", "puerto-mail"] {
        for file in sources(&project().join("crates").join(crate_name).join("src")) {
            let found = impure(&std::fs::read_to_string(&file).unwrap());
            wrong.extend(found.iter().map(|path| format!("{} names {path}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for text in [
        "use std::{fmt, fs::File};",
        "let now = std::time::Instant::now();",
        "use std::net::{IpAddr, TcpStream};",
        "use std::time::{self, Duration};",
        "use std as s;",
        "#[cfg(test)]\nmod tests;\nuse std::thread;",
    ] {
        assert!(!impure(text).is_empty(), "{text}");
    }
    assert!(impure("use std::net::{IpAddr, Ipv4Addr};\nuse std::time::Duration;").is_empty());
}

#[test]
fn nobody_else_looks_for_the_end_of_a_message_or_a_header() {
    let mut wrong = Vec::new();
    for room in ["intake", "deliver", "receive", "queue", "bounce", "explain", "verify", "cli"] {
        for file in sources(&project().join("crates/puerto/src").join(room)) {
            let program = program(&std::fs::read_to_string(&file).unwrap());
            let ends = [r#"(b"\r\n\r\n""#, r#", b"\r\n\r\n""#, r#"("\n\n""#, r#"b".\r\n""#];
            if ends.iter().any(|end| program.contains(end)) {
                wrong.push(file.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "these look for an end of their own: {}", wrong.join(", "));
}
