//! The suite that openspf.org published, and the explanations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_yaml_ng::Value;

use super::*;
use crate::dns::{DnsError, Record, RecordType, Table, block_on};

#[derive(Deserialize)]
struct Scenario {
    description: String,
    tests: BTreeMap<String, Case>,
    zonedata: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
struct Case {
    helo: String,
    host: String,
    mailfrom: String,
    result: OneOrMany,
    explanation: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn holds(&self, result: &str) -> bool {
        match self {
            Self::One(one) => one == result,
            Self::Many(many) => many.iter().any(|one| one == result),
        }
    }
}

fn suite() -> Option<String> {
    let shared = std::env::var_os("PUERTO_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = shared.join("data/vectors/rfc7208-tests.yml");
    std::fs::read_to_string(&path)
        .inspect_err(|error| eprintln!("SKIPPED: no suite at {}: {error}", path.display()))
        .ok()
}

// The suite's escapes such as "\x96" stand for octets, which YAML reads as the
// characters of that number.
fn octets(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => {
            text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
        }
        Value::Sequence(parts) => parts.iter().flat_map(octets).collect(),
        other => panic!("not a text: {other:?}"),
    }
}

fn zone(data: &BTreeMap<String, Vec<Value>>) -> Table {
    let mut table = Table::new();
    for (name, entries) in data {
        let of_type = |wanted: &'static str| {
            entries.iter().filter_map(move |entry| entry.as_mapping()?.get(wanted)).cloned()
        };
        if entries.iter().any(|entry| entry.as_str() == Some("TIMEOUT")) {
            for record_type in [RecordType::A, RecordType::Aaaa, RecordType::Mx, RecordType::Txt] {
                table.fail(name, record_type, DnsError::Timeout);
            }
        }
        let text = |value: &Value| value.as_str().unwrap().to_ascii_lowercase();
        for value in of_type("A").chain(of_type("AAAA")) {
            table.address(name, text(&value).parse().unwrap());
        }
        for value in of_type("MX") {
            let preference = value[0].as_u64().unwrap().try_into().unwrap();
            table.mx(name, preference, &text(&value[1]));
        }
        for value in of_type("PTR") {
            let target = text(&value).trim_end_matches('.').to_owned();
            table.add(name, RecordType::Ptr, Record::Name(target));
        }
        for value in of_type("CNAME") {
            let target = text(&value).trim_end_matches('.').to_owned();
            table.add(name, RecordType::Cname, Record::Name(target));
        }
        // Records of type SPF stand for TXT where the name has no TXT of its own.
        let texts: Vec<Value> = of_type("TXT").collect();
        let texts = if texts.is_empty() { of_type("SPF").collect() } else { texts };
        for value in texts.iter().filter(|value| value.as_str() != Some("NONE")) {
            table.add(name, RecordType::Txt, Record::Txt(octets(value)));
        }
    }
    table
}

#[test]
fn the_openspf_suite_passes_whole() {
    let Some(suite) = suite() else { return };
    let mut cases = 0;
    let mut failures = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&suite) {
        let scenario = Scenario::deserialize(document).unwrap();
        let table = zone(&scenario.zonedata);
        for (name, case) in &scenario.tests {
            cases += 1;
            let host = case.host.parse().unwrap();
            let query = Query::mail_from_text(host, &case.helo, &case.mailfrom);
            let evaluation = block_on(check(&table, &query)).expect("a table never waits");
            let result = evaluation.result.as_str();
            let explanation = evaluation.explanation.as_deref().unwrap_or("DEFAULT");
            // RFC 7208 §7.4 writes the nibbles of %{i} in lower case, the suite in upper.
            let explained = case
                .explanation
                .as_deref()
                .is_none_or(|text| text.eq_ignore_ascii_case(explanation));
            if !case.result.holds(result) || !explained {
                let trace = &evaluation.trace;
                let title = &scenario.description;
                failures.push(format!("{title}: {name}: {result}, {explanation:?}\n{trace}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(cases, 203);
}

fn example() -> Table {
    let mut table = Table::new();
    table
        .txt("example.com", "v=spf1 mx include:_spf.example.net -all")
        .mx("example.com", 10, "mail.example.com")
        .address("mail.example.com", "192.0.2.1".parse().unwrap())
        .txt("_spf.example.net", "v=spf1 ip4:198.51.100.0/24 ?all");
    table
}

fn ask(table: &Table, ip: &str) -> Evaluation {
    let query = Query::mail_from_text(ip.parse().unwrap(), "mail.example.com", "ana@example.com");
    block_on(check(table, &query)).unwrap()
}

#[test]
fn the_trace_shows_the_term_that_decided() {
    let evaluation = ask(&example(), "198.51.100.7");
    assert_eq!(evaluation.result, SpfResult::Pass);
    assert_eq!(evaluation.lookups, 2);
    assert_eq!(
        evaluation.trace.to_string(),
        "example.com: v=spf1 mx include:_spf.example.net -all\n\
        \x20 mx does not match\n\
        \x20   MX example.com → 10 mail.example.com\n\
        \x20   A mail.example.com → 192.0.2.1\n\
        \x20 include:_spf.example.net matches: pass\n\
        \x20   _spf.example.net: v=spf1 ip4:198.51.100.0/24 ?all\n\
        \x20     ip4:198.51.100.0/24 matches: pass\n\
        \x20     → pass\n\
        \x20 → pass\n"
    );
}

#[test]
fn a_failing_dns_is_not_a_failing_sender() {
    let mut table = example();
    table.fail("mail.example.com", RecordType::A, DnsError::Timeout);
    let evaluation = ask(&table, "203.0.113.9");
    assert_eq!(evaluation.result, SpfResult::TempError);
    let step = evaluation.trace.steps.last().unwrap();
    assert_eq!(step.term, "mx");
    let reason = Reason::Asked("mail.example.com".to_owned(), DnsError::Timeout);
    assert_eq!(step.reason, Some(reason));
}

#[test]
fn the_null_reverse_path_is_checked_as_the_helo_name() {
    let query = Query::mail_from("192.0.2.1".parse().unwrap(), "example.com", &ReversePath::Null);
    let evaluation = block_on(check(&example(), &query)).unwrap();
    assert_eq!((evaluation.result, evaluation.identity), (SpfResult::Pass, Identity::Helo));
}

#[test]
fn an_evaluation_may_move_between_threads() {
    fn assert_send<T: Send>(_: T) {}
    let table = Table::new();
    let query = Query::helo("192.0.2.1".parse().unwrap(), "mail.example.com");
    assert_send(check(&table, &query));
}
