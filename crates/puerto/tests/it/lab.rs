//! `puerto lab`: the real daemon against the simulated Internet.

use std::process::Command;

fn lab() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_puerto"))
        .args(["lab", "--once", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{complaint}\n{text}", output.status);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_letter_ends_as_it_should() {
    let events = lab();
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["ok"]), (&"summary".into(), &true.into()));
    assert_eq!(summary["queue"], 0);
    let recipients = summary["recipients"].as_array().unwrap();
    assert_eq!(recipients.len(), 6);
    let row = |to: &str, way: &str| {
        recipients.iter().find(|row| row["to"] == to && row["way"] == way).unwrap()
    };
    for way in ["direct", "relay"] {
        for method in ["iprev", "spf", "dkim", "dmarc"] {
            let row = row("ana@strict.example", way);
            assert_eq!(row["authentication"][method], "pass", "{way} {method}");
        }
    }
    let attempts = row("rosa@grumpy.example", "direct")["attempts"].as_array().unwrap();
    let answers: Vec<_> = attempts.iter().map(|a| a["answer"].as_str().unwrap()).collect();
    assert_eq!(answers, ["451 4.7.1", "hung up", "421 4.3.2", "250 2.0.0"]);
    let returned = row("no-such-user@plain.example", "direct");
    assert_eq!(returned["detail"], "returned to the sender");
    // Each of the five messages was promised once, under an id of its own.
    let mut ids: Vec<_> = events
        .iter()
        .filter(|e| e["event"] == "queued")
        .map(|e| e["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}
