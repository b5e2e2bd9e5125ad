//! docs/from-postfix.md says what to type instead: it can be typed.

use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_puerto");

fn document() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/from-postfix.md");
    std::fs::read_to_string(file).unwrap()
}

/// What stands in backquotes on the right side of the tables.
fn on_the_right(document: &str) -> Vec<&str> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    rows.flat_map(|(_, right)| right.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn each_command_of_ours_is_one() {
    let document = document();
    let commands = on_the_right(&document).into_iter().filter_map(|t| t.strip_prefix("puerto "));
    let commands: Vec<&str> = commands.collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        // The options are read before the help is asked for, and one that is unknown is told.
        let words = command.split(' ').chain(["--help"]);
        let output = Command::new(PROGRAM).args(words).env("LANG", "C").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "puerto {command}: {said}");
    }
}

#[test]
fn each_key_of_ours_is_one() {
    let output = Command::new(PROGRAM).args(["config", "sample"]).output().unwrap();
    let sample = String::from_utf8(output.stdout).unwrap();
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in sample.lines() {
        let line = line.trim_start_matches('#');
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{}.", name.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.push(format!("{}{key}", if section == "." { "" } else { &section }));
        }
    }
    let document = document();
    let named = on_the_right(&document);
    let is_key = |text: &&&str| {
        text.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c))
            && text.contains(['.', '_'])
    };
    let named: Vec<&&str> = named.iter().filter(is_key).collect();
    assert!(named.len() > 30, "{named:?}");
    for key in named {
        let of_route = format!("route.{key}");
        assert!(keys.iter().any(|known| known == *key || *known == of_route), "{key}: {keys:?}");
    }
}
