//! No sentence in the source is without its Spanish: beside each English one stands the
//! Spanish one. What is left is for the log, the wire and files, and listed here.

use std::path::{Path, PathBuf};

use super::is_english;

/// Files whose sentences no person reads in a language of theirs, and why.
const NOT_SHOWN: &[&str] = &[
    // The log, and replies to SMTP clients, are English: programs read them.
    "puerto/src/telemetry/",
    "puerto/src/receive/",
    "puerto/src/intake/",
    "puerto/src/queue/dispatch.rs",
    "puerto/src/queue/driver.rs",
    "puerto/src/queue/record.rs",
    "puerto/src/queue/settle.rs",
    "puerto/src/serve/",
    "puerto/src/local/overseer.rs",
    // Said in the log alone.
    "puerto/src/acme/run.rs",
    "puerto/src/web/doors.rs",
    "puerto/src/accounts/mod.rs",
    "puerto/src/accounts/pace.rs",
    "puerto/src/drop/",
    "puerto/src/cli/sendmail/pickup.rs",
    "puerto/src/history/",
    "puerto/src/local/forward.rs",
    "puerto/src/returns/judge.rs",
    "puerto/src/cli/serve.rs",
    // The control socket; `cli::exit` says its refusals by their code.
    "puerto/src/control/",
    // Notifications go to anybody.
    "puerto/src/bounce/",
    "puerto-mail/src/received.rs",
    "puerto-mail/src/dsn.rs",
    // As Postfix has it.
    "puerto/src/cli/mailq.rs",
    // Mail, and files for programs.
    "puerto/src/relay/letter.rs",
    "puerto/src/cli/lab/story.rs",
    "puerto/src/cli/lab/scene.rs",
    "puerto/src/setup/service.rs",
    "puerto/src/setup/certificate.rs",
    "puerto/src/tls/known.rs",
    // How values are displayed, whose Spanish `lang::crates` has for each.
    "puerto-mail/src/dns.rs",
    // What is looked for in a log, and not said.
    "puerto/src/explain/input",
    // Faults of the program's own data, which its tests find.
    "puerto/src/explain/knowledge.rs",
    "puerto/src/explain/pattern.rs",
    "puerto/src/explain/vocabulary.rs",
    "puerto/src/check/blocklists/data.rs",
    // Titles of others' documents.
    "puerto/src/check/receivers.rs",
];

/// What remains, by how it begins.
const NO_SENTENCES: &[&str] = &[
    // Of values, which have their Spanish in `lang::evaluators`.
    "{}, and {more} more",
    // Of a trace that is shown by `Display`, which is for us.
    "does not match",
    // In the log alone.
    "{cause}; going on in plain text",
    "in the .forward of {user}",
    "the .forward of {user} is not heeded",
    "{why}: what was read of it before holds",
    "{why}: mail for this machine's users waits",
    // Names of settings.
    "host port user password",
    // Commands.
    "dpkg-divert ",
    "mv {path}",
    // In a list of words, whose Spanish is below it.
    "temporary: it is tried again",
    "permanent: it is not tried again",
    "Problem of",
    // Beside its Spanish, made elsewhere.
    "{program}'s {key} = {value} is not taken over: ",
    "the file is not valid TOML: ",
    // A message to sign, in a check.
    "From: Puerto <postmaster@",
    "Señal de prueba",
];

struct Literal {
    text: String,
    line: usize,
    // What it stands in: `expect` and the like.
    within: Vec<String>,
    // The string that follows it, behind a comma.
    next: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Token {
    Text(String, usize),
    Word(String),
    Sign(char),
}

#[test]
fn every_sentence_of_the_source_has_its_spanish() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["puerto/src", "puerto-mail/src"] {
        sources(&crates.join(folder), &mut files);
    }
    let (mut wrong, mut sentences) = (Vec::new(), 0);
    for file in files {
        let name = file.strip_prefix(&crates).unwrap().to_string_lossy().into_owned();
        if NOT_SHOWN.iter().any(|known| name.starts_with(known)) || name.contains("/tests") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let program = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for literal in literals(program) {
            if !is_sentence(&literal) {
                continue;
            }
            sentences += 1;
            if !has_spanish(&literal) {
                wrong.push(format!("{name}:{}: {:?}", literal.line, literal.text));
            }
        }
    }
    assert!(sentences > 1000, "{sentences}");
    assert!(wrong.is_empty(), "without Spanish:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_the_source_finds_what_it_is_to_find() {
    let program = r##"
        /// "the doc is not read"
        #[error("this is not read")]
        fn f<'a>(c: char) { // "the comment is not read"
            let _ = ('"', 'a', r#"this "raw" one is"#, "this is \"it\" \
                and this");
            x.expect("that is for us");
            said!("the file is lost", "se ha perdido el fichero");
        }"##;
    let found: Vec<_> = literals(program).into_iter().filter(is_sentence).collect();
    let texts: Vec<_> = found.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(texts, ["this \"raw\" one is", "this is \"it\" and this", "the file is lost"]);
    let well: Vec<_> = found.iter().map(has_spanish).collect();
    assert_eq!(well, [false, false, true]);
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

fn is_sentence(literal: &Literal) -> bool {
    const FOR_US: &[&str] =
        &["expect", "assert!", "assert_eq!", "debug_assert!", "unreachable!", "panic!"];
    let text = without_holes(&literal.text, "");
    is_english(&text)
        && text.trim().contains(' ')
        && !literal.within.iter().any(|name| FOR_US.contains(&name.as_str()))
        && !NO_SENTENCES.iter().any(|known| literal.text.starts_with(known))
}

fn has_spanish(literal: &Literal) -> bool {
    literal.next.as_ref().is_some_and(|next| !is_english(&without_holes(next, "")))
}

// The text with each `{…}` replaced.
fn without_holes(text: &str, value: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let whole = |c: char| c.is_alphanumeric() || "_.:?<>".contains(c);
        rest = match after.split_once('}') {
            Some((name, tail)) if name.chars().all(whole) => {
                out.push_str(value);
                tail
            }
            // A brace that is written twice stands for one.
            _ => {
                out.push('{');
                after.strip_prefix('{').unwrap_or(after)
            }
        };
    }
    out + rest
}

fn literals(program: &str) -> Vec<Literal> {
    let tokens = without_attributes(tokens(program));
    let mut found = Vec::new();
    let mut within: Vec<String> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at));
        match token {
            Token::Sign('(' | '[' | '{') => within.push(match (before(1), before(2)) {
                (Some(Token::Sign('!')), Some(Token::Word(name))) => format!("{name}!"),
                (Some(Token::Word(name)), _) => name.clone(),
                _ => String::new(),
            }),
            Token::Sign(')' | ']' | '}') => drop(within.pop()),
            Token::Text(text, line) => found.push(Literal {
                text: text.clone(),
                line: *line,
                within: within.clone(),
                next: match (tokens.get(at + 1), tokens.get(at + 2)) {
                    (Some(Token::Sign(',')), Some(Token::Text(next, _))) => Some(next.clone()),
                    _ => None,
                },
            }),
            _ => {}
        }
    }
    found
}

fn without_attributes(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let (mut depth, mut attribute) = (0_usize, false);
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if !attribute && token == Token::Sign('#') {
            if tokens.peek() == Some(&Token::Sign('!')) {
                tokens.next();
            }
            attribute = tokens.peek() == Some(&Token::Sign('['));
            continue;
        }
        if !attribute {
            kept.push(token);
            continue;
        }
        match token {
            Token::Sign('[') => depth += 1,
            Token::Sign(']') => {
                depth -= 1;
                attribute = depth > 0;
            }
            _ => {}
        }
    }
    kept
}

// Strings, words and signs; comments, and characters in quotes, are left out.
fn tokens(program: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = program;
    while let Some(first) = rest.chars().next() {
        let line = || program[..program.len() - rest.len()].matches('\n').count() + 1;
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some((text, length)) = string(rest) {
            found.push(Token::Text(text, line()));
            length
        } else if first == '\'' {
            character(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            if !first.is_whitespace() {
                found.push(Token::Sign(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

// A string at the beginning, and how long it is written. A line that goes on is joined.
fn string(text: &str) -> Option<(String, usize)> {
    let begin = text.find('"').filter(|at| text[..*at].trim_matches(['b', 'r', '#']).is_empty())?;
    let body = &text[begin + 1..];
    if text[..begin].contains('r') {
        let end = format!("\"{}", "#".repeat(text[..begin].matches('#').count()));
        let length = body.find(&end)?;
        return Some((body[..length].to_owned(), begin + 1 + length + end.len()));
    }
    if text[..begin].contains('#') {
        return None;
    }
    let mut escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let mut parts = body[..end].split("\\\n");
    let joined = parts.next().unwrap_or_default().to_owned();
    let joined = parts.fold(joined, |joined, part| joined + part.trim_start());
    let unescaped = joined.replace("\\\"", "\"").replace("\\n", "\n");
    Some((unescaped, begin + 1 + end + 1))
}

// How long a character in quotes is written; a lifetime is one sign.
fn character(text: &str) -> usize {
    let mut after = text.chars().skip(1);
    match (after.next(), after.next()) {
        (Some('\\'), Some(escaped)) => {
            let begin = 2 + escaped.len_utf8();
            text[begin..].find('\'').map_or(1, |end| begin + end + 1)
        }
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}
