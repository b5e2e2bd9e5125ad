//! Every RFC that the sources cite is listed in `rfc/index.toml`, and its sections are
//! written in one form, so that a reader can look for them.

use std::path::{Path, PathBuf};

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The RFC's number and what follows it on the line.
fn citations(line: &str) -> impl Iterator<Item = (u32, &str)> {
    line.split("RFC ").skip(1).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some((rest[..digits].parse().ok()?, &rest[digits..]))
    })
}

#[test]
fn every_cited_rfc_is_in_the_index() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let index = std::fs::read_to_string(project.join("rfc/index.toml")).unwrap();
    let index: toml::Table = index.parse().unwrap();
    let mut files = Vec::new();
    sources(&project.join("crates"), &mut files);
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            for (rfc, rest) in citations(line) {
                seen += 1;
                let place = format!("{}:{}", file.display(), number + 1);
                if !index.contains_key(&format!("rfc{rfc}")) {
                    wrong.push(format!("{place}: RFC {rfc} is not in rfc/index.toml"));
                }
                // What goes over the wire is ASCII and has to spell it out.
                let comment = line.trim_start().starts_with("//");
                if comment
                    && rest.trim_start_matches([' ', ',']).to_lowercase().starts_with("section")
                {
                    wrong.push(format!("{place}: write RFC {rfc} §…, not “section”"));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} citations were found: is this the project's folder?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
