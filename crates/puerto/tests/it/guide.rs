//! The guide: the same in both languages, every link leads somewhere, and what it names
//! exists. What its commands print is held against the program by `test_guide` of the
//! interoperability tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::documents::{complaint_of, keys, pages, project, quoted};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let all: BTreeSet<String> = pages(folder).into_iter().map(name).collect();
    all.into_iter().filter(|name| name != "SUMMARY.md").collect()
}

/// What a reader types or writes into a file, and what is done meanwhile elsewhere; without
/// what is shown, which is in the page's language.
fn deeds(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut kind = None;
    for line in text.lines() {
        match (kind, line) {
            (None, line) if line.trim_start().starts_with("```") => {
                kind = Some(line.trim_start().trim_start_matches('`'));
                assert!(
                    kind != Some("console") || line.starts_with('`'),
                    "its block is never typed"
                );
            }
            (Some(_), line) if line.trim_start() == "```" => kind = None,
            (Some("console"), line) if line.starts_with("# ") || line.starts_with("$ ") => {
                found.push(line.to_owned());
            }
            (Some("toml" | "sh" | "conf"), line) => {
                let code = line.split(" # ").next().unwrap();
                found.push(code.trim_end().to_owned());
            }
            (None, line) if line.starts_with("<!-- ") => found.push(line.to_owned()),
            _ => {}
        }
    }
    assert!(kind.is_none(), "a block has no end");
    found
}

#[test]
fn each_page_is_there_in_both_languages_with_the_same_commands() {
    let docs = project().join("docs");
    let (english, spanish) = (names(&docs.join("en")), names(&docs.join("es")));
    assert_eq!(english, spanish);
    assert!(english.len() > 2, "{english:?}");
    for name in english {
        let [one, other] =
            ["en", "es"].map(|language| deeds(&read(&docs.join(language).join(&name))));
        assert_eq!(one, other, "docs/en/{name} and docs/es/{name}");
    }
}

/// What a book's SUMMARY.md lists.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let summary = read(&folder.join("SUMMARY.md"));
    links(&summary).into_iter().map(|link| folder.join(link)).collect()
}

#[test]
fn each_page_stands_in_its_book() {
    let docs = project().join("docs");
    let (english, spanish) = (listed(&docs), listed(&docs.join("es")));
    let [reference, en, es] = [docs.clone(), docs.join("en"), docs.join("es")]
        .map(|folder| pages(&folder).into_iter().filter(|path| !path.ends_with("SUMMARY.md")));
    let there: BTreeSet<PathBuf> = reference.chain(en).collect();
    assert_eq!(english.iter().cloned().collect::<BTreeSet<_>>(), there);
    assert_eq!(spanish.iter().cloned().collect::<BTreeSet<_>>(), es.collect());
    // In the same order.
    let name = |path: &PathBuf| path.file_name().map(ToOwned::to_owned);
    let guide = english.iter().filter(|path| path.starts_with(docs.join("en")));
    assert!(guide.map(name).eq(spanish.iter().map(name)));
}

/// Where the links of a text lead, those outside of blocks and backquotes.
fn links(text: &str) -> Vec<&str> {
    let mut is_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_block ^= line.trim_start().starts_with("```");
        if !is_block {
            let outside = line.split('`').step_by(2);
            found.extend(outside.flat_map(|part| {
                part.split("](").skip(1).filter_map(|rest| rest.split(')').next())
            }));
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_block = false;
    let headings = text.lines().filter(|line| {
        is_block ^= line.trim_start().starts_with("```");
        !is_block && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn each_link_leads_somewhere() {
    let project = project();
    let folders =
        [project.clone(), project.join("docs"), project.join("docs/en"), project.join("docs/es")];
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in folders.iter().flat_map(|folder| pages(folder)) {
        let text = read(&page);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            seen += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let holds =
                there.is_file() && (anchor.is_empty() || anchors(&read(&there)).contains(anchor));
            if !holds {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_command_and_key_that_the_guide_names_is_one() {
    let docs = project().join("docs");
    let keys = keys();
    let (mut commands, mut wrong) = (BTreeSet::new(), Vec::new());
    for page in ["en", "es"].iter().flat_map(|language| pages(&docs.join(language))) {
        let text = read(&page);
        for quoted in quoted(&text) {
            if quoted.starts_with("puerto ") && !quoted.contains(['<', '…', '\'', '|']) {
                commands.insert(quoted.to_owned());
            }
            let section = quoted.split('.').next().unwrap();
            let is_key = quoted.contains('.')
                && quoted.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c))
                && keys.iter().any(|key| key.split_once('.').is_some_and(|(of, _)| of == section));
            if is_key && !keys.contains(quoted) {
                wrong.push(format!("{}: {quoted} is no key", page.display()));
            }
        }
    }
    wrong.extend(commands.iter().filter_map(|command| complaint_of(command)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_refusal_of_the_guide_is_of_its_class() {
    let mut seen = 0;
    for language in ["en", "es"] {
        let page = read(&project().join("docs").join(language).join("refused.md"));
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let [reply, class] = [1, 3].map(|n| row.split('`').nth(n).unwrap());
            let output = crate::support::command::run(
                crate::support::command::puerto(
                    Path::new("/nowhere"),
                    &["explain", reply, "--json"],
                ),
                b"",
            );
            let said = crate::support::command::stdout(&output);
            assert!(said.contains(&format!("\"{class}\"")), "{reply}: {class}: {said}");
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} were found");
}
