//! What a source file names of other modules: the program's own lines, read as rustfmt
//! leaves them, with `use` trees written out.

use std::path::{Path, PathBuf};

pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files below a folder, or the one file, that are not tests.
pub fn sources(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    if name.contains("test") {
        return Vec::new();
    }
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap();
        return entries.flat_map(|entry| sources(&entry.unwrap().path())).collect();
    }
    if path.extension().is_some_and(|e| e == "rs") { vec![path.to_owned()] } else { Vec::new() }
}

/// A file's lines without comments and without the items that only tests see.
pub fn program(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut out = String::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let ends = |l: &str| indent(l) == indent(line) && l.ends_with(['}', ';', ',']);
        let _ = lines.by_ref().find(|l| ends(l));
    }
    out
}

/// The whole paths that begin with this name, as `use` and expressions have them:
/// `a::{b, c::d}` is `a::b` and `a::c::d`.
pub fn paths(program: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in program.match_indices(root) {
        let before = program[..at].chars().next_back().unwrap_or(' ');
        let after = &program[at + root.len()..];
        if is_word(before) || before == ':' || after.starts_with(is_word) {
            continue;
        }
        written_out(root, after, &mut found);
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads what follows a path's beginning, and returns what comes behind all of it.
fn written_out<'a>(path: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let Some(text) = text.strip_prefix("::") else {
        found.push(path.to_owned());
        return text;
    };
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(behind) = rest.strip_prefix('}') {
                return behind;
            }
            let end = rest.find(|c| !is_word(c) && c != '*').unwrap_or(rest.len());
            assert!(end > 0, "not a `use` tree: {path}::{{… {}", &rest[..rest.len().min(40)]);
            let name = &rest[..end];
            let whole = if name == "self" { path.to_owned() } else { format!("{path}::{name}") };
            rest = written_out(&whole, &rest[end..], found);
            if let Some(renamed) = rest.strip_prefix(" as ") {
                rest = renamed.trim_start_matches(is_word);
            }
        }
    }
    let end = text.find(|c| !is_word(c) && c != '*').unwrap_or(text.len());
    // What stands behind `::` may also be the `<` of a type: no path goes on there.
    if end == 0 {
        found.push(path.to_owned());
        return text;
    }
    written_out(&format!("{path}::{}", &text[..end]), &text[end..], found)
}

#[test]
fn use_trees_are_written_out_and_tests_left_out() {
    let text = "use a::b::{self, c, d::{e as f,\n g::*}};\n// a::no\n#[cfg(test)]\nmod tests {\n    \
                fn x() {\n        a::no();\n    }\n}\nfn x() {\n    a::h::<u8>();\n    ba::no();\n    \
                #[cfg(test)]\n    a::no();\n    b::a::no();\n    a::i\n}\n#[cfg(test)]\nuse a::no;\n";
    let expected =
        ["a::b", "a::b::c", "a::b::d::e", "a::b::d::g::*", "a::h", "a::i"].map(str::to_owned);
    assert_eq!(paths(&program(text), "a"), expected);
}
