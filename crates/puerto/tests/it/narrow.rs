//! G3: what people read fits a terminal of 40 columns, words whole. Only what is to be
//! copied in one piece, and words that are longer than the terminal, may stand out.

use std::process::{Command, Stdio};

const COLUMNS: usize = 40;

/// The lines that stand out and need not.
fn too_wide(arguments: &[&str], input: &str) -> Vec<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_puerto"))
        .args(arguments)
        .env("COLUMNS", COLUMNS.to_string())
        .env_remove("PUERTO_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ignored = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.trim().is_empty(), "{arguments:?} says nothing");
    let is_one_piece = |line: &str| {
        let piece = line.trim();
        !piece.contains(' ') || piece.contains(" IN TXT ") || piece.starts_with("v=")
    };
    let lines = text.lines().filter(|line| line.chars().count() > COLUMNS && !is_one_piece(line));
    lines.map(|line| format!("{arguments:?}: {line}")).collect()
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("puerto.toml");
    std::fs::write(&file, "[listen]\nhostname = \"mail.example.com\"\nrelayhots = \"\"\n").unwrap();
    let wrong = file.to_str().unwrap();
    let right = folder.path().join("right.toml");
    let text = "[dns]\nservers = [\"127.0.0.1:9\"]\n";
    std::fs::write(&right, format!("run_dir = \"{}\"\n{text}", folder.path().display())).unwrap();
    let right = right.to_str().unwrap();
    let letter = "From: a@example.com\nTo: b@example.net\nSubject: x\n\nhi\n";
    let mut wide = Vec::new();
    for language in ["en", "es"] {
        for (arguments, input) in [
            (&["--config", wrong, "config", "check"][..], ""),
            (&["--config", right, "queue", "retry", "--all"], ""),
            (&["--config", right, "queue", "retry"], ""),
            (&["--config", right, "relay", "test"], ""),
            (&["explain"], "550 5.7.26 This mail is unauthenticated"),
            (&["explain", "nothing of the kind is said in this sentence"], ""),
            (&["--config", right, "verify"], letter),
            (&["lab", "--scenario", "spf-missing"], ""),
            (&["lab", "--scenario", "key-mismatch"], ""),
            (&["lab", "--scenario", "nonsense"], ""),
        ] {
            wide.extend(too_wide(&[arguments, &["--lang", language]].concat(), input));
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}
