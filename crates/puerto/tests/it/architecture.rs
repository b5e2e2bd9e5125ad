//! The map tells the truth: no room imports what `ARCHITECTURE.md` does not list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Room → rooms that it may use; `None` for those that may use all.
fn map() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let text = std::fs::read_to_string(project().join("ARCHITECTURE.md")).unwrap();
    let table = text.split("## Rooms of the program").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let allowed = match cells[3] {
            "all" => None,
            list => Some(list.split_whitespace().map(|w| w.trim_matches('`').to_owned()).collect()),
        };
        (cells[1].trim_matches('`').to_owned(), allowed)
    })
    .collect()
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        found.push(path.to_owned());
    }
}

/// The rooms that a file names after `crate::`, its test modules left out.
fn imports(text: &str) -> BTreeSet<String> {
    let program = text.split("#[cfg(test)]\nmod ").next().unwrap();
    program
        .split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn every_room_imports_only_what_the_map_lists() {
    let map = map();
    let source = project().join("crates/puerto/src");
    let mut wrong = Vec::new();
    for (room, allowed) in &map {
        let Some(allowed) = allowed else { continue };
        let mut files = Vec::new();
        for path in [source.join(room), source.join(format!("{room}.rs"))] {
            if path.exists() {
                sources(&path, &mut files);
            }
        }
        assert!(!files.is_empty(), "the map has a room {room} that the program has not");
        for file in files {
            if file.strip_prefix(&source).unwrap().to_string_lossy().contains("test") {
                continue;
            }
            for import in imports(&std::fs::read_to_string(&file).unwrap()) {
                let free = ["lang", "rights", room].contains(&import.as_str());
                if map.contains_key(&import) && !free && !allowed.contains(&import) {
                    wrong.push(format!("{} imports {import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_program_is_on_the_map() {
    let map = map();
    let text = std::fs::read_to_string(project().join("crates/puerto/src/lib.rs")).unwrap();
    for line in text.lines() {
        if let Some(room) = line.strip_prefix("pub mod ") {
            assert!(map.contains_key(room.trim_end_matches(';')), "not on the map: {room}");
        }
    }
}

#[test]
fn the_pure_crates_name_no_socket_file_thread_or_clock() {
    let mut wrong = Vec::new();
    for crate_name in ["puerto-smtp", "puerto-mail"] {
        let mut files = Vec::new();
        sources(&project().join("crates").join(crate_name).join("src"), &mut files);
        for file in files {
            if file.to_string_lossy().contains("/tests") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let program = text.split("#[cfg(test)]\nmod ").next().unwrap();
            for impure in [
                "std::fs",
                "std::thread",
                "SystemTime",
                "Instant::now",
                "TcpStream",
                "UdpSocket",
                "tokio",
            ] {
                if program.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(impure))
                {
                    wrong.push(format!("{} names {impure}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_that_a_message_meets_are_handed_the_time_of_day() {
    let mut wrong = Vec::new();
    for room in ["intake", "queue", "route", "deliver", "bounce"] {
        let mut files = Vec::new();
        sources(&project().join("crates/puerto/src").join(room), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let program = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let clocks = ["SystemClock", "SystemTime::now", "Timestamp::now", "Zoned::now"];
            let asks = clocks.iter().any(|clock| program.contains(clock));
            if asks && !file.to_string_lossy().contains("test") {
                wrong.push(file.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "these ask a clock of their own: {}", wrong.join(", "));
}
