//! Causes are values: no place finds a meaning in a sentence, ours or a library's, by
//! looking for words in it. `explain` alone reads what others wrote.

use std::collections::BTreeSet;

use super::source::{program, project, sources};

/// What looks for something in a text, or compares with one.
const SEARCHES: [&str; 14] = [
    ".contains(",
    ".starts_with(",
    ".ends_with(",
    ".find(",
    ".rfind(",
    ".split(",
    ".split_once(",
    ".rsplit_once(",
    ".strip_prefix(",
    ".strip_suffix(",
    ".trim_start_matches(",
    ".trim_end_matches(",
    "== ",
    "!= ",
];
/// What makes the text of an error, a cause or a sentence that we say.
const SAYINGS: [&str; 4] = [".to_string()", ".said()", ".of(language)", ".of(Language::English)"];

/// Words that are looked for all the same, by file, with the reason.
const ALLOWED: [(&str, &str, &str); 8] = [
    ("cli/lab/submit.rs", "queued as ", "a client of the daemon: the reply's words are a promise"),
    ("config/syntax.rs", "expected ", "the parser of TOML has a text alone; nothing is decided"),
    ("config/syntax.rs", ": ", "the same"),
    ("config/syntax.rs", ", ", "the same"),
    ("lang/layout.rs", ". IN ", "a line of a zone file"),
    ("lang/layout.rs", ". IN MX ", "a line of a zone file"),
    ("setup/takeover/postfix/parameters.rs", " #", "how a comment begins in main.cf"),
    ("tls/server.rs", "PRIVATE KEY", "the label of a PEM block"),
];

/// The words that a text's searches are for, as far as they could stand in a sentence: what
/// has a blank between or beside its letters or signs. A `match` is a search too.
fn words(program: &str) -> BTreeSet<&str> {
    let searched = SEARCHES.iter().flat_map(|search| {
        program.match_indices(search).map(move |(at, _)| &program[at + search.len()..])
    });
    let literal = |rest: &'_ str| -> Option<(usize, usize)> {
        let inner = rest.trim_start().strip_prefix('"')?;
        let start = rest.len() - inner.len();
        Some((start, start + inner.find('"')?))
    };
    let literals = searched.filter_map(|rest| literal(rest).map(|(from, to)| &rest[from..to]));
    let arms = program.lines().filter_map(|line| {
        let line = line.trim_start_matches([' ', '|', '(']).strip_prefix('"')?;
        let (arm, rest) = line.split_once('"')?;
        let is_arm = ["=>", "|", "=="].iter().any(|sign| rest.trim_start().starts_with(sign));
        // A request of roff has capitals alone.
        (is_arm && arm.contains(char::is_lowercase)).then_some(arm)
    });
    literals.chain(arms).filter(|text| text.contains(' ')).collect()
}

/// Searches in what was just put into words.
fn searches_in_sayings(program: &str) -> usize {
    let calls = SEARCHES.iter().filter(|search| search.starts_with('.'));
    let found = SAYINGS.iter().flat_map(|saying| program.split(saying).skip(1)).filter(|rest| {
        let rest = rest.trim_start();
        let comes = |text: &str| calls.clone().any(|call| text.starts_with(call));
        comes(rest) || rest.starts_with("== ") || rest.starts_with("!= ")
    });
    found.count()
}

#[test]
fn nobody_looks_for_a_meaning_in_a_sentence() {
    let source = project().join("crates/puerto/src");
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for file in sources(&source) {
        let name = file.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        if name.starts_with("explain") {
            continue;
        }
        let program = program(&std::fs::read_to_string(&file).unwrap());
        for word in words(&program) {
            let allowed = ALLOWED.iter().position(|(at, known, _)| *at == name && *known == word);
            match allowed {
                Some(at) => _ = used.insert(at),
                None => wrong.push(format!("{name} looks for \"{word}\"")),
            }
        }
        if searches_in_sayings(&program) > 0 {
            wrong.push(format!("{name} looks into what it has put into words"));
        }
    }
    assert!(wrong.is_empty(), "make the meaning a value:\n{}", wrong.join("\n"));
    let idle: Vec<_> = (0..ALLOWED.len()).filter(|at| !used.contains(at)).collect();
    assert!(idle.is_empty(), "exceptions that nothing needs: {idle:?}");
}

#[test]
fn a_search_for_a_meaning_is_found() {
    for text in [
        "if said.contains(\"no such\") {}",
        "error.to_string()\n            .starts_with(name)",
        "let (a, _) = text.split_once(\": \")?;",
        "if message == \"not found here\" {}",
        "match text {\n    \"not found here\" | \"no\" => {}",
        "cause.said().of(language).contains(name)",
    ] {
        assert!(!words(text).is_empty() || searches_in_sayings(text) > 0, "{text}");
    }
    for text in ["name.contains(\"xn--\")", "address.to_string()", "// a.contains(\"b c\")"] {
        let program = program(text);
        assert!(words(&program).is_empty() && searches_in_sayings(&program) == 0, "{text}");
    }
}
