//! In Spanish, nothing is left in English: every command's help, mistakes on the
//! command line, each kind of fault of a configuration, and what commands say when
//! the server is not there. Records, replies and names are data; they stand in quotes.

mod output;
mod source;

use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;

/// Words that betray an English sentence and are no Spanish ones.
const ENGLISH: &[&str] = &[
    "the",
    "The",
    "of",
    "is",
    "are",
    "not",
    "and",
    "with",
    "without",
    "cannot",
    "must",
    "found",
    "expected",
    "should",
    "was",
    "that",
    "this",
    "This",
    "which",
    "for",
    "your",
    "has",
    "have",
    "its",
    "there",
    "Usage",
    "Options",
    "Arguments",
    "Commands",
    "Print",
    "possible",
    "default",
    "tip",
    "unexpected",
    "required",
    "provided",
    "such",
    "file",
    "address",
    "message",
    "again",
    "from",
    "it",
    "by",
    "on",
    "at",
    "be",
    "if",
    "when",
    "does",
    "nothing",
    "they",
    "their",
    "than",
    "then",
    "more",
    "other",
    "another",
    "before",
    "after",
    "while",
    "into",
    "too",
    "been",
    "any",
    "will",
    "would",
    "could",
    "what",
    "but",
    "answered",
    "failed",
    "refused",
    "expired",
    "took",
    "wants",
    "ended",
    "yet",
    "aligned",
];

// At least two words, one of which betrays it. Names of keys and options are none.
fn is_english(text: &str) -> bool {
    let outside = outside_quotes(&text.replace('\'', "\u{2019}"));
    let words: Vec<&str> = words(&outside).collect();
    words.len() > 1 && words.iter().any(|word| ENGLISH.contains(word))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .filter(|word| !word.starts_with(['-', '\\', '#', '/', '[']))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

fn run(arguments: &[&str], folder: &std::path::Path) -> Output {
    spoken(arguments, folder, &[("LANG", "es_ES.UTF-8")])
}

fn spoken(arguments: &[&str], folder: &std::path::Path, environment: &[(&str, &str)]) -> Output {
    // A server that this machine may have is not spoken to.
    let usual = folder.join("usual.toml");
    std::fs::write(&usual, elsewhere(folder)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_puerto"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.env("TMPDIR", folder).env("PUERTO_CONFIG", usual);
    command.stdin(Stdio::null()).output().expect("puerto runs")
}

fn elsewhere(folder: &std::path::Path) -> String {
    format!("run_dir = {:?}\n", folder.join("run"))
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

// What stands in quotes, options and names of files are data.
fn outside_quotes(line: &str) -> String {
    let mut out = String::new();
    let mut end = None;
    for c in line.chars() {
        match (end, c) {
            (Some(quote), c) if c == quote => end = None,
            (Some(_), _) => {}
            (None, '`' | '"' | '\'') => end = Some(c),
            (None, '«') => end = Some('»'),
            (None, c) => out.push(c),
        }
    }
    out
}

fn assert_spanish(text: &str, about: &str) {
    for line in text.lines() {
        let line = outside_quotes(line);
        for word in words(&line) {
            assert!(!ENGLISH.contains(&word), "{about}: {word:?} in {line:?} of\n{text}");
        }
    }
}

fn commands(command: &clap::Command, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    found.push(path.clone());
    for command in command.get_subcommands() {
        path.push(command.get_name().to_owned());
        commands(command, path, found);
        path.pop();
    }
}

#[test]
fn the_help_of_every_command_is_spanish() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    commands(&puerto::cli::Arguments::command(), &mut Vec::new(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for path in found
        .iter()
        .filter(|path| !["mailq", "newaliases"].contains(&path.last().map_or("", |name| name)))
    {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = run(&arguments, folder.path());
        assert!(output.status.success(), "{path:?}");
        assert_spanish(&said(&output), &format!("{path:?}"));
    }
}

#[test]
fn mistakes_on_the_command_line_are_told_in_spanish() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "nonsense",
        "check --nonsense",
        "check --only",
        "check --only nonsense",
        "check --egress nowhere",
        "check a..b",
        "config",
        "config chekc",
        "dkim new --bits 7",
        "dkim new --type nonsense",
        "dkim new a..b",
        "dns --format nonsense",
        "dns --update x",
        "setup",
        "setup a..b",
        "setup example.com --relayhost 192.0.2.1",
        "relay test",
        "relay test 192.0.2.1",
        "relay test [a.example --from b",
        "lab --scenario nonsense",
        "explain",
        "explain hola",
        "queue retry",
        "queue retry A --to b@c.example",
        "queue retry A --all",
        "verify /nonexistent",
        "completions nonsense",
        "sendmail -Z",
        "sendmail -f",
        "sendmail -N x y",
        "sendmail -bd",
        "sendmail -bv x",
        "sendmail -bp x",
        "sendmail a -f b",
        "sendmail -qX",
        "sendmail -f <a x@y.example",
        "sendmail a@-b-.example",
        "sendmail",
        "sendmail -t",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = run(&arguments, folder.path());
        assert!(!output.status.success(), "{line}");
        assert!(!said(&output).is_empty(), "{line}");
        assert_spanish(&said(&output), line);
    }
}

#[test]
fn each_fault_of_a_configuration_is_told_in_spanish() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puerto.toml");
    let name = file.display().to_string();
    for fault in [
        "hostname = 5",
        "hostname = \"a b\"",
        "hostname = \"a.example",
        "domains = []",
        "relayhost = \"192.0.2.1\"",
        "relayhost = \"http://a\"",
        "relayhost_password_file = \"/p\"",
        "trusted_networks = [\"0.0.0.0/0\"]",
        "trusted_networks = [\"10.0.0.1/8\", \"x\"]",
        "relayhots = \"\"",
        "state_dir = \"spool\"",
        "log = \"xml\"",
        "log_to = \"x\"",
        "listen = 5",
        "nonsense = 1",
        "[lisen]\nsmtp = []",
        "[listen]\nsmtp = [\"0.0.0.0\"]",
        "[listen]\nsubmissions = [\"[::]:465\"]",
        "[dns]\nservers = [\"dns.example\"]",
        "[delivery]\nport = 0",
        "[delivery]\nconnect_timeout = \"30\"",
        "[delivery]\nbind_ipv4 = \"::1\"",
        "[queue]\nretry = []\nexpire = \"0s\"",
        "[local]\nmailbox = \"x\"",
        "[local]\nmailbox = \"lmtp:\"",
        "[limits]\nmessage_size = -1",
        "[[route]]\nvia = \"a.example\"",
        "[[route]]\nto = \"a.example\"\nuser = \"u\"",
        "[[route]]\nto = \"u@a.example\"",
    ] {
        std::fs::write(&file, elsewhere(folder.path()) + fault).unwrap();
        for arguments in [
            vec!["--config", &name, "config", "check"],
            vec!["--config", &name, "serve"],
            vec!["--config", &name, "queue", "list"],
        ] {
            let output = run(&arguments, folder.path());
            assert_eq!(output.status.code(), Some(78), "{fault}");
            let said = said(&output);
            // The excerpt of the file is not ours.
            let ours: Vec<&str> = said
                .lines()
                .filter(|line| {
                    line.split_once('|').is_none_or(|(n, _)| n.trim().parse::<u32>().is_err())
                })
                .collect();
            assert_spanish(&ours.join("\n"), fault);
        }
    }
    for arguments in [vec!["config", "sample"], vec!["--config", "/nonexistent", "config", "check"]]
    {
        let text = said(&run(&arguments, folder.path()));
        assert!(text.len() > 50, "{text}");
        assert_spanish(&text, "config");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_of_in_spanish() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puerto.toml");
    let base = folder.path().display();
    let text = format!(
        "run_dir = \"{base}/run\"\nstate_dir = \"{base}/state\"\n[dkim]\ndirectory = \"{base}/dkim\"\n[local]\naliases = \"{base}/aliases\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let name = file.display().to_string();
    for (line, succeeds) in [
        ("queue list", false),
        ("queue show A", false),
        ("queue retry --all", false),
        ("dkim list", true),
        ("dkim new example.com --type both --selector s", true),
        ("dkim new example.com --type both --selector s", false),
        ("dkim list", true),
        ("sendmail you@example.net", false),
        ("mailq", false),
        ("newaliases", true),
        ("config check", true),
    ] {
        let arguments: Vec<&str> = ["--config", &name].into_iter().chain(line.split(' ')).collect();
        let output = run(&arguments, folder.path());
        assert_eq!(output.status.success(), succeeds, "{line}: {}", said(&output));
        assert!(!said(&output).is_empty(), "{line}");
        assert_spanish(&said(&output), line);
    }
}

#[test]
fn manual_pages_and_completions_are_spanish() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let output = run(&["man", pages.to_str().unwrap()], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let page = std::fs::read_to_string(pages.join("puerto-queue-list.1")).unwrap();
    assert!(page.contains(".SH NOMBRE\n") && page.contains(".SH OPCIONES\n"), "{page}");
    assert_spanish(&page.replace("\\fR", " ").replace("\\fB", " ").replace("\\fI", " "), "page");
    let script = said(&run(&["completions", "fish"], folder.path()));
    assert!(script.contains("Comprueba en vivo"), "{script}");
}
