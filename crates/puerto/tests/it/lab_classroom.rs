//! `puerto lab` that stays, from several terminals: one runs the lab, the others ask it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

fn puerto(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_puerto"));
    command.args(arguments).env("HOME", home).env("NO_COLOR", "1").env_remove("PUERTO_CONFIG");
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    puerto(home, arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let complaint = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"))
}

/// The terminal in which a lab runs.
struct Terminal {
    child: Child,
    lines: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Terminal {
    fn open(home: &Path, arguments: &[&str]) -> Self {
        let mut child = puerto(home, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut terminal = Self { child, lines, folder: PathBuf::new() };
        let started = terminal.event("started");
        terminal.folder = PathBuf::from(started["folder"].as_str().unwrap());
        terminal
    }

    /// The next event of this kind.
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before {kind}");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind {
                return event;
            }
        }
    }

    fn signal(&mut self, signal: nix::sys::signal::Signal) -> Option<i32> {
        let process = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(process, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ignored = self.child.kill();
        let _ignored = self.child.wait();
    }
}

#[test]
fn an_exercise_is_done_from_another_terminal() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut lab = Terminal::open(home, &["--lang", "es", "lab", "exercise", "1", "--json"]);
    assert_eq!(lab.folder, home.join("puerto-lab/exercise-1"));

    let sent = run(home, &["lab", "send", "luis@plain.example", "--json"]);
    assert!(json(&sent)["id"].is_string());
    let grade = run(home, &["lab", "grade", "--json"]);
    assert_eq!(grade.status.code(), Some(1));
    let grade = json(&grade);
    assert_eq!((&grade["points"], &grade["solved"]), (&5.into(), &false.into()), "{grade}");
    assert_eq!(grade["checks"][1]["finding"], "letter.none");
    // The first hint is the cheaper one, and costs what it says.
    assert_eq!(json(&run(home, &["lab", "hint", "--json"]))["hints"][0]["cost"], 1);
    let by_smtp = run(home, &["lab", "send", "ana@strict.example", "--smtp", "--json"]);
    assert!(json(&by_smtp)["id"].is_string());
    let grade = run(home, &["lab", "grade", "--json"]);
    assert_eq!(grade.status.code(), Some(0));
    assert_eq!(json(&grade)["points"], 9);
    let inbox = json(&run(home, &["lab", "inbox", "ana@strict.example", "--full", "--json"]));
    assert_eq!(inbox["letters"].as_array().unwrap().len(), 1, "{inbox}");
    assert_eq!(inbox["letters"][0]["outcome"], "accepted");
    assert!(inbox["letters"][0]["message"].as_str().unwrap().contains("Received: from"));

    // The terminal is closed; what was done is there when it is gone on with.
    assert_eq!(lab.signal(nix::sys::signal::Signal::SIGHUP), Some(0));
    assert_eq!(run(home, &["lab", "grade"]).status.code(), Some(75));
    let _again = Terminal::open(home, &["lab", "exercise", "1", "--json"]);
    assert_eq!(json(&run(home, &["lab", "grade", "--json"]))["hints"], 1);
}

#[test]
fn what_is_saved_holds_and_what_is_wrong_is_named() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let place = home.join("mine");
    let folder = place.to_str().unwrap();
    let keep = ["--lang", "es", "lab", "--keep", "--folder", folder, "--json"];
    let mut lab = Terminal::open(home, &keep);
    let (zone, config) = (place.join("dns.zone"), place.join("puerto.toml"));
    let good = fs::read_to_string(&zone).unwrap();
    let line = good.lines().count() + 1;

    fs::write(&zone, format!("{good}www.lab.example A 127.0.0.9\n")).unwrap();
    let event = lab.event("file");
    assert_eq!(event["ok"], false);
    let text = event["text"].as_str().unwrap();
    assert!(text.contains(&format!("dns.zone:{line}: ")), "{text}");
    assert!(text.contains("escriba `www.lab.example.`"), "{text}");
    lab.event("file");
    // As editors save: beside it, and then in its place.
    let beside = place.join(".dns.zone.swp");
    fs::write(&beside, format!("{good}www.lab.example. A 127.0.0.9\n")).unwrap();
    fs::rename(&beside, &zone).unwrap();
    assert_eq!(lab.event("file")["ok"], true);

    // A server that would ask the real Internet is none of the lab's.
    let text = fs::read_to_string(&config).unwrap();
    let away = text.replace("[dns]\nservers", "[dns]\n#servers");
    assert_ne!(away, text);
    fs::write(&config, away).unwrap();
    assert_eq!(lab.event("file")["ok"], false);
    lab.event("file");
    let sent = run(home, &["lab", "send", "ana@strict.example", "--folder", folder]);
    assert_eq!(sent.status.code(), Some(0), "the server goes on as it was");
    fs::write(&config, text + "# mended\n").unwrap();
    assert_eq!(lab.event("file")["ok"], true);

    let other = |arguments: &[&str]| {
        let output = run(home, arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(other(&keep).0, Some(75));
    assert_eq!(other(&["lab", "send", "ana", "--folder", folder]).0, Some(2));
    assert_eq!(other(&["lab", "grade", "--folder", folder]).0, Some(69));
    let paste = ["--config", config.to_str().unwrap(), "check", "lab.example"];
    let checked = run(home, &[&paste[..], &["--egress", "127.0.0.10"]].concat());
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_eq!(lab.signal(nix::sys::signal::Signal::SIGINT), Some(0));
    let (code, text) = other(&["lab", "exercise", "3", "--folder", folder]);
    assert_eq!(code, Some(73), "{text}");
    assert!(text.contains("--reset"), "{text}");
}
