//! `puerto verify` and `puerto relay test` against the simulated Internet, by their
//! exit codes and their JSON.

use std::process::Output;

use puerto_lab::world::{SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST};
use puerto_lab::{Lab, Options};
use puerto_mail::dns::{DnsError, RecordType};
use puerto_spool::clock::{Clock as _, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::{code, home, puerto, run, stderr, stdout};

struct World {
    lab: Lab,
    home: TempDir,
    _runtime: tokio::runtime::Runtime,
}

fn world() -> World {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let lab = runtime.block_on(Lab::start(Options::default())).unwrap();
    let home = home();
    let file = home.path().join("puerto.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = format!(
        "{text}[dns]\nservers = [\"{}\"]\n[delivery]\nallow_private = true\nbind_ipv4 = \
         \"{SENDER_ADDRESS}\"\n",
        lab.dns_addr()
    );
    std::fs::write(file, text).unwrap();
    World { lab, home, _runtime: runtime }
}

impl World {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = puerto(self.home.path(), arguments);
        command.env("LC_ALL", "C");
        run(command, input)
    }

    fn verify(&self, ip: &str, more: &[&str], input: &[u8]) -> Output {
        let from = format!("ana@{SENDER_DOMAIN}");
        let helo = ["verify", "-", "--ip", ip, "--helo", SENDER_HOST, "--from", &from];
        self.run(&[&helo[..], more].concat(), input)
    }
}

fn message() -> String {
    let date = puerto_mail::date::format(puerto_mail::date::DateTime {
        unix_seconds: SystemClock.now().as_secs(),
        offset_minutes: 0,
    });
    format!(
        "Date: {date}\nFrom: ana@{SENDER_DOMAIN}\nTo: bo@strict.example\nSubject: hi\n\
         Message-ID: <1@{SENDER_DOMAIN}>\n\nhi\n"
    )
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

#[test]
fn verify_answers_by_its_exit_code_and_its_json() {
    let world = world();
    let message = message();
    let own = SENDER_ADDRESS.to_string();
    let good = world.verify(&own, &["--json"], message.as_bytes());
    assert_eq!(code(&good), 0, "{}", stdout(&good));
    let document = json(&good);
    assert_eq!(document["spf"]["result"], "pass");
    assert_eq!(document["spf"]["domain"], SENDER_DOMAIN);
    assert!(document["spf"]["steps"].is_array());
    assert_eq!(document["dkim"], Value::Array(Vec::new()));
    assert_eq!(document["dmarc"]["result"], "pass");
    assert_eq!(document["dmarc"]["alignment"]["spf"], true);
    assert_eq!(document["dmarc"]["org_domain"], SENDER_DOMAIN);
    assert!(document["authentication_results"].as_str().unwrap().contains("spf=pass"));
    let foreign = world.verify("127.0.0.99", &["--json"], message.as_bytes());
    assert_eq!((code(&foreign), &json(&foreign)["dmarc"]["result"]), (1, &"fail".into()));
    world.lab.zone().fail(SENDER_DOMAIN, RecordType::Txt, DnsError::Failure("SERVFAIL".into()));
    let unknown = world.verify(&own, &["--json"], message.as_bytes());
    assert_eq!((code(&unknown), &json(&unknown)["spf"]["result"]), (2, &"temperror".into()));
}

#[test]
fn verify_takes_a_file_and_the_null_reverse_path_and_speaks_two_languages() {
    let world = world();
    let file = world.home.path().join("message.eml");
    std::fs::write(&file, message()).unwrap();
    let own = SENDER_ADDRESS.to_string();
    let file = file.to_str().unwrap();
    let null = ["verify", file, "--ip", &own, "--helo", SENDER_HOST, "--from", ""];
    let output = world.run(&[&null[..], &["--json"]].concat(), b"");
    assert_eq!(json(&output)["spf"]["domain"], SENDER_HOST);
    for (language, words) in [("en", "  expected "), ("es", "  esperado ")] {
        let output = world.run(&[&null[..], &["--lang", language]].concat(), b"");
        assert!(stdout(&output).contains(words), "{}", stdout(&output));
    }
    for wrong in [
        &["verify", "/no/such/file"][..],
        &["verify", file, "--ip", "mars"],
        &["verify", file, "--lang", "xx"],
    ] {
        let output = world.run(wrong, b"");
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn relay_test_says_what_a_relay_is_and_leaves_nothing_there() {
    let world = world();
    let output = world.run(&["relay", "test", &world.lab.relayhost(), "--json"], b"");
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let document = json(&output);
    assert_eq!((&document["ok"], &document["kind"]), (&true.into(), &"host".into()));
    let host = &document["hosts"][0];
    assert_eq!(host["certificate"]["valid"], false);
    assert!(host["probes"].as_array().unwrap().iter().all(|probe| probe["accepted"] == true));
    assert!(world.lab.transactions().is_empty(), "{:?}", world.lab.transactions());
    for (arguments, expected) in [
        (&["relay", "test"][..], 2),
        (&["relay", "test", "192.0.2.1"], 2),
        (&["relay", "test", "[no.such.host.example]"], 1),
        (&["relay", "test", "[127.0.0.200]:9"], 1),
    ] {
        let output = world.run(arguments, b"");
        assert_eq!(code(&output), expected, "{arguments:?} {}", stdout(&output));
    }
    let spanish = world.run(&["relay", "test", &world.lab.relayhost(), "--lang", "es"], b"");
    assert!(stdout(&spanish).contains("entre corchetes"), "{}", stdout(&spanish));
}

#[test]
fn the_language_is_asked_for_before_or_behind_a_command() {
    let home = home();
    for arguments in [
        &["explain", "--lang", "es", "550 5.1.1 User unknown"][..],
        &["--lang", "es", "explain", "550 5.1.1 User unknown"],
    ] {
        let output = run(puerto(home.path(), arguments), b"");
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains("destinatario"), "{}", stdout(&output));
    }
}
