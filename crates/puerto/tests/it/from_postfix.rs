//! docs/from-postfix.md says what to type instead: it can be typed.

use crate::support::documents::{complaint_of, keys, project};

fn document() -> String {
    std::fs::read_to_string(project().join("docs/from-postfix.md")).unwrap()
}

/// What stands in backquotes on the right side of the tables.
fn on_the_right(document: &str) -> Vec<&str> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    rows.flat_map(|(_, right)| right.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn each_command_of_ours_is_one() {
    let document = document();
    let commands = on_the_right(&document).into_iter().filter(|t| t.starts_with("puerto "));
    let commands: Vec<&str> = commands.collect();
    assert!(commands.len() > 15, "{commands:?}");
    let wrong: Vec<String> = commands.into_iter().filter_map(complaint_of).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_key_of_ours_is_one() {
    let keys = keys();
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
