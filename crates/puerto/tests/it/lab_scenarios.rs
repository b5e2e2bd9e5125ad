//! Every scenario of `puerto lab`: the checks find exactly what is wrong and nothing
//! else, the receivers answer as expected, and the refusal is explained. The table is
//! written here once more, so that the program does not judge itself.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// Name, findings, unknown checks, how the letters to the strict receiver and to the
/// one that takes everything end (with what the text holds), class of the explanation.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    (&'static str, &'static str),
    &'static str,
    Option<&'static str>,
);

const SCENARIOS: &[Row] = &[
    ("healthy", &[], &[], ("taken", "250"), "taken", None),
    ("no-ptr", &["ptr.exists"], &[], ("refused", "550 5.7.25"), "taken", Some("no-ptr")),
    ("generic-ptr", &["ptr.generic"], &[], ("refused", "DY-001"), "taken", Some("ip-dynamic")),
    ("spf-missing", &["spf.exists"], &[], ("refused", "5.7.23"), "taken", Some("spf-fail")),
    (
        "spf-too-many-lookups",
        &["spf.lookups"],
        &[],
        ("refused", "5.7.24"),
        "taken",
        Some("spf-fail"),
    ),
    ("two-spf-records", &["spf.single"], &[], ("refused", "5.7.24"), "taken", Some("spf-fail")),
    ("key-mismatch", &["dkim.key-match"], &[], ("refused", "5.7.20"), "taken", Some("dkim-fail")),
    ("dkim-truncated", &["dkim.syntax"], &[], ("refused", "5.7.20"), "taken", Some("dkim-fail")),
    (
        "dmarc-misaligned",
        &["dkim.alignment"],
        &[],
        ("refused", "DMARC policy"),
        "taken",
        Some("dmarc-fail"),
    ),
    ("listed-on-pbl", &["bl.spamhaus-zen"], &[], ("refused", "PBL"), "taken", Some("ip-dynamic")),
    (
        "blocklist-refuses-us",
        &[],
        &["bl.sanity", "bl.spamhaus-zen"],
        ("taken", "250"),
        "taken",
        None,
    ),
    ("servfail", &[], &["dns.ns-consistent"], ("taken", "250"), "taken", None),
    ("ipv6-without-ptr", &["ptr.v6"], &[], ("taken", "250"), "taken", None),
    ("ipv6-outside-spf", &["spf.covers-ip"], &[], ("taken", "250"), "taken", None),
    ("sources", &["ptr.exists"], &[], ("taken", "250"), "taken", None),
    (
        "port-25-closed",
        &["net.port25-out"],
        &[],
        ("waits", "refused"),
        "waits",
        Some("connection-refused"),
    ),
    ("relay-refuses-from", &[], &[], ("refused", "553"), "refused", Some("sender-rejected")),
    ("dane", &[], &[], ("taken", "250"), "waits", Some("tls-required")),
    ("mta-sts", &[], &[], ("taken", "250"), "waits", Some("tls-required")),
    ("downgrade", &[], &[], ("waits", "spoke TLS before"), "taken", Some("tls-required")),
];

/// As many scenarios are played at the same time.
const AT_ONCE: usize = 3;

fn puerto(arguments: &[&str]) -> (bool, Vec<Value>, String) {
    let program = env!("CARGO_BIN_EXE_puerto");
    let output = Command::new(program).arg("lab").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.success(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
}

// What is otherwise than the table says.
fn play(row: &Row) -> Vec<String> {
    let &(name, findings, unknown, (strict, text), plain, class) = row;
    let (succeeded, events, complaint) = puerto(&["--scenario", name, "--json"]);
    let Some(verdict) = events.last().filter(|event| event["event"] == "verdict") else {
        return vec![format!("{name}: no verdict: {complaint}")];
    };
    let mut faults = Vec::new();
    let mut compare = |what: &str, found: Value, expected: Value| {
        if found != expected {
            faults.push(format!("{name}: {what} {found}, expected {expected}: {verdict}"));
        }
    };
    compare("success", succeeded.into(), true.into());
    compare("findings", verdict["findings"].clone(), findings.into());
    compare("unknown", verdict["unknown"].clone(), unknown.into());
    compare("class", verdict["class"].clone(), class.into());
    let letter = |to: &str| {
        let letters = verdict["letters"].as_array().unwrap();
        letters.iter().find(|one| one["to"] == to).cloned().unwrap_or_default()
    };
    compare("strict", letter("ana@strict.example")["ended"].clone(), strict.into());
    compare("plain", letter("luis@plain.example")["ended"].clone(), plain.into());
    let answer = letter("ana@strict.example")["text"].to_string();
    compare("text", answer.contains(text).into(), true.into());
    if class.is_some() && !findings.is_empty() {
        let named = check_named_for(&answer);
        let finds = findings.iter().any(|found| group_of(found) == group_of(&named));
        compare("check named", (finds || named == "dmarc.alignment").into(), true.into());
        let explanation = events.iter().find(|event| event["event"] == "explanation").unwrap();
        let named = explanation["check"].as_str().unwrap_or_default();
        compare("check of the explanation", findings.contains(&named).into(), true.into());
    }
    // What is wrong is what is to be done first, and how is said.
    let report = events.iter().find(|event| event["event"] == "check").unwrap();
    let summary = report["report"]["summary"].as_str().unwrap();
    for id in findings {
        compare("first", summary.contains(id).into(), true.into());
    }
    faults
}

// A reply names the matter; `explain --live` asks the whole group of the check.
fn check_named_for(reply: &str) -> String {
    let program = env!("CARGO_BIN_EXE_puerto");
    let reply: String = serde_json::from_str(reply).unwrap();
    let output = Command::new(program).args(["explain", "--json", &reply]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["check"].as_str().unwrap_or_default().to_owned()
}

fn group_of(check: &str) -> &str {
    check.split('.').next().unwrap_or_default()
}

#[test]
fn every_scenario_brings_exactly_what_it_is_about() {
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = SCENARIOS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A machine without IPv6 cannot show what goes wrong over it.
                    if row.0.starts_with("ipv6-") && std::net::TcpListener::bind("[::1]:0").is_err()
                    {
                        continue;
                    }
                    faults.lock().unwrap().extend(play(row));
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_list_names_each_scenario_in_the_language_asked_for() {
    for language in ["en", "es"] {
        let (succeeded, lines, _) = puerto(&["--scenario", "list", "--json", "--lang", language]);
        let names: Vec<&str> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
        let expected: Vec<&str> = SCENARIOS.iter().map(|row| row.0).collect();
        assert!(succeeded);
        assert_eq!(names, expected);
        let healthy = lines[0]["text"].as_str().unwrap();
        assert_eq!(healthy.contains("arrive"), language == "en", "{healthy}");
    }
}

#[test]
fn the_document_says_of_each_scenario_what_it_shows() {
    let (_, lines, _) = puerto(&["--scenario", "list", "--json", "--lang", "en"]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scenarios.md");
    let document = std::fs::read_to_string(file).unwrap();
    for (row, line) in SCENARIOS.iter().zip(&lines) {
        let &(name, findings, unknown, (strict, _), _, class) = row;
        let text = line["text"].as_str().unwrap();
        let ids = |ids: &[&str], note: &str| -> Vec<String> {
            ids.iter().map(|id| format!("`{id}`{note}")).collect()
        };
        let found = [ids(findings, ""), ids(unknown, " unknown")].concat().join(", ");
        let found = if found.is_empty() { "nothing" } else { &found };
        let class = class.map_or("nothing".to_owned(), |class| format!("`{class}`"));
        let expected = format!("| `{name}` | {text} | {strict} | {found} | {class} |");
        assert!(document.lines().any(|line| line == expected), "docs/scenarios.md: {expected}");
    }
}

#[test]
fn a_name_that_no_scenario_has_is_wrong_usage() {
    let program = env!("CARGO_BIN_EXE_puerto");
    let output = Command::new(program).args(["lab", "--scenario", "wrong"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("--scenario list"), "{complaint}");
}
