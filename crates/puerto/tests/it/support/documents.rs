//! What the documents say, as far as it can be held against the program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_puerto");

/// The project's folder.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The Markdown files directly in a folder.
pub fn pages(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "md")).collect()
}

/// What is wrong with a command that stands in a document, such as `puerto queue list`.
pub fn complaint_of(command: &str) -> Option<String> {
    // Where a page says ID, an id stands.
    let written = command.strip_prefix("puerto ").unwrap().split(' ');
    let words = written.map(|word| if word == "ID" { "0A1B2C3D4E5F" } else { word });
    // The options are read before the help is asked for, and one that is unknown is told.
    let mut program = Command::new(PROGRAM);
    let output = program.args(words.chain(["--help"])).env("LANG", "C").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (!output.status.success() || !said.is_empty()).then(|| format!("{command}: {said}"))
}

/// Every key of the configuration with its section.
pub fn keys() -> BTreeSet<String> {
    let output = Command::new(PROGRAM).args(["config", "sample"]).output().unwrap();
    let sample = String::from_utf8(output.stdout).unwrap();
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in sample.lines() {
        let line = line.trim_start_matches('#');
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{}.", name.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{}{key}", if section == "." { "" } else { &section }));
        }
    }
    keys
}

/// What stands in backquotes, outside of blocks.
pub fn quoted(text: &str) -> Vec<&str> {
    let mut is_block = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        !is_block && !is_fence
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}
