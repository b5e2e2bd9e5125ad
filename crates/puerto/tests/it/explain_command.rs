//! `puerto explain` on the command line.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn explain(arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_puerto"))
        .arg("explain")
        .args(arguments)
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .env("LANG", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that has its answer already does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const DYNAMIC: &str = "550 DY-001 Mail rejected by Windows Live Hotmail for policy reasons. We \
                       generally do not accept email from dynamic IP's";

#[test]
fn programs_get_one_document() {
    let output = explain(&["--json", DYNAMIC], "");
    assert_eq!(output.status.code(), Some(0));
    let answer: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    for (name, value) in [
        ("provider", "outlook"),
        ("class", "ip-dynamic"),
        ("kind", "permanent"),
        ("whose", "this server"),
        ("check", "ptr.generic"),
        ("matched", "outlook.dy-001"),
    ] {
        assert_eq!(answer[name], value);
    }
    assert!(answer["remedy"].as_str().unwrap().contains("relayhost"));
    assert!(answer["cause"].as_str().unwrap().contains("PBL"));
}

#[test]
fn words_may_come_apart_or_on_standard_input() {
    for output in [explain(&["550", "5.1.1", "no"], ""), explain(&[], "550 5.1.1 no\n")] {
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output).starts_with("mailbox-unknown  permanent"), "{}", text(&output));
        assert!(!text(&output).contains('\x1b'));
    }
}

#[test]
fn a_notification_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bounce.eml");
    std::fs::write(&file, format!("Diagnostic-Code: smtp; {DYNAMIC}\n")).unwrap();
    for output in [
        explain(&[file.to_str().unwrap()], ""),
        explain(&["-"], format!("Diagnostic-Code: smtp; {DYNAMIC}\n")),
    ] {
        assert!(text(&output).starts_with("ip-dynamic"), "{output:?}");
    }
    let missing = folder.path().join("missing.eml");
    let output = explain(&[missing.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no file of that name"));
}

#[test]
fn the_language_is_that_which_was_asked_for() {
    let output = explain(&[DYNAMIC, "--lang", "es"], "");
    for part in ["Solución", "relayhost", "estática", "este servidor"] {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
}

#[test]
fn the_host_helps_where_the_words_do_not() {
    let reply = ["--json", "--host", "mx01.mail.icloud.com", "550 5.1.1 zzz"];
    let answer: serde_json::Value = serde_json::from_str(&text(&explain(&reply, ""))).unwrap();
    assert_eq!(answer["provider"], "icloud");
}

#[test]
fn exit_codes_tell_what_was_given() {
    for (input, code) in [("", 2), (" \n\t\n", 2), ("250 2.0.0 Ok", 1), ("451 zzz", 0)] {
        assert_eq!(explain(&[], input).status.code(), Some(code), "{input}");
    }
}

#[test]
fn what_is_no_refusal_is_called_so() {
    let sent = "postfix/smtp[1]: 4C1: to=<a@b.example>, dsn=2.0.0, status=sent (250 2.0.0 Ok)";
    for (input, said) in [
        ("Our blocklist page explains the codes 550 and 554.", "no refusal found here"),
        ("Received-SPF: fail (mx.example: 192.0.2.1 is not permitted)", "no refusal found here"),
        ("250 2.0.0 Ok: queued as 4C1", "the message was accepted"),
        (sent, "the message was accepted"),
    ] {
        for arguments in [&[][..], &["--json"]] {
            let output = explain(arguments, input);
            assert_eq!(output.status.code(), Some(1), "{input}");
            match arguments {
                [] => assert_eq!(text(&output), ""),
                // Programs get a document all the same.
                _ => {
                    let answer: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
                    assert!(answer["class"].is_null() && answer["reason"].is_string(), "{answer}");
                }
            }
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(said) && error.lines().count() == 1, "{input}: {error}");
        }
    }
}

#[test]
fn anything_may_be_given() {
    let mut binary: Vec<u8> = (0..=255).collect();
    binary.extend_from_slice(&[0xff, 0xfe, 0, b'5', b'5', b'0', b' ', 0xc3, 0x28]);
    assert_eq!(explain(&[], &binary).status.code(), Some(1));
    let nothing = "lorem ipsum ".repeat(900_000);
    assert_eq!(explain(&[], nothing.as_str()).status.code(), Some(1));
    let long = format!("550 5.1.1 User unknown {}", "x ".repeat(5_000_000));
    let output = explain(&["--json"], long.as_str());
    let answer: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(answer["class"], "mailbox-unknown");
}

#[test]
fn a_log_of_several_lines_is_explained_line_by_line() {
    let line = |to: &str, rest: &str| {
        format!("Nov 24 10:00:00 mx postfix/smtp[1]: 4C1: to=<{to}>, relay=none, {rest}\n")
    };
    let log = line("a@b.example", "dsn=2.0.0, status=sent (250 2.0.0 Ok)")
        + &line("c@b.example", "dsn=5.1.1, status=bounced (host m.example said: 550 no such user)")
        + &line(
            "d@b.example",
            "dsn=4.2.2, status=deferred (host m.example said: 452 mailbox full)",
        );
    let for_people = "Nov 24 10:00:00 4C1 delivered to a@b.example via none, after 1 s: 250 Ok\n\
                      Nov 24 10:00:00 4C1 failed for c@b.example via none, after 1 s: host \
                      m.example said: 550 no such user\n\
                      Nov 24 10:00:01 4C1 must wait for d@b.example via none, after 1 s: host \
                      m.example said: 452 mailbox full\n";
    for log in [log.as_str(), for_people] {
        let answers: serde_json::Value =
            serde_json::from_str(&text(&explain(&["--json"], log))).unwrap();
        let told: Vec<_> = answers.as_array().unwrap().iter().collect();
        assert_eq!(told.len(), 2, "{answers}");
        for (answer, to, class) in
            [(told[0], "c@b.example", "mailbox-unknown"), (told[1], "d@b.example", "mailbox-full")]
        {
            assert_eq!((&answer["recipient"], &answer["class"]), (&to.into(), &class.into()));
        }
    }
}

#[test]
fn each_recipient_of_a_notification_has_its_answer() {
    let one = |to: &str, reply: &str| {
        format!("\nFinal-Recipient: rfc822; {to}\nAction: failed\nDiagnostic-Code: smtp; {reply}\n")
    };
    let text_of = |recipients: &[(&str, &str)]| {
        let groups: String = recipients.iter().map(|(to, reply)| one(to, reply)).collect();
        format!("Reporting-MTA: dns; mx.example\n{groups}")
    };
    let gone = "550 5.1.1 User unknown";
    let three = text_of(&[
        ("a@b.example", gone),
        ("c@b.example", "552 5.2.2 Mailbox full"),
        ("d@b.example", gone),
    ]);
    let answers: serde_json::Value =
        serde_json::from_str(&text(&explain(&["--json"], three.as_str()))).unwrap();
    let classes: Vec<_> =
        answers.as_array().unwrap().iter().map(|one| (&one["recipient"], &one["class"])).collect();
    assert_eq!(classes.len(), 3, "{answers}");
    assert_eq!(classes[1], (&"c@b.example".into(), &"mailbox-full".into()));
    let said = text(&explain(&[], three.as_str()));
    assert!(said.starts_with("a@b.example, d@b.example\nmailbox-unknown"), "{said}");
    assert_eq!(said.matches("mailbox-unknown  permanent").count(), 1, "{said}");
    let single = text(&explain(&["--json"], text_of(&[("a@b.example", gone)])));
    let answer: serde_json::Value = serde_json::from_str(&single).unwrap();
    assert_eq!(answer["class"], "mailbox-unknown");
}
