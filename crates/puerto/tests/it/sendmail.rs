//! `sendmail` as the programs of a machine use it, against a stand-in for the server.

use std::process::Output;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::command::{code, home, puerto, run, stderr, stdout};
use crate::support::daemon::{self, Heard, Script};

struct Sent {
    output: Output,
    sessions: Receiver<Heard>,
    _home: TempDir,
}

impl Sent {
    fn heard(&self) -> Heard {
        self.sessions.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.heard().content).unwrap()
    }
}

fn send(script: Script, arguments: &[&str], input: &[u8]) -> Sent {
    let home = home();
    let sessions = daemon::start(home.path(), script);
    let arguments: Vec<&str> =
        std::iter::once("sendmail").chain(arguments.iter().copied()).collect();
    let output = run(puerto(home.path(), &arguments), input);
    Sent { output, sessions, _home: home }
}

fn sent(arguments: &[&str], input: &[u8]) -> Sent {
    let sent = send(Script::default(), arguments, input);
    assert_eq!(code(&sent.output), 0, "{}", stderr(&sent.output));
    assert!(sent.output.stdout.is_empty() && sent.output.stderr.is_empty());
    sent
}

#[test]
fn a_message_is_handed_over_with_its_envelope() {
    let arguments = ["-f", "me@example.net", "you@example.org", "root"];
    let heard = sent(&arguments, b"Subject: hi\nFrom: me@example.net\n\nhello\n").heard();
    assert_eq!(
        heard.commands,
        [
            "EHLO localhost",
            "MAIL FROM:<me@example.net> SIZE=44",
            "RCPT TO:<you@example.org>",
            "RCPT TO:<root@example.com>",
            "DATA",
            "QUIT",
        ]
    );
    let expected = "Subject: hi\r\nFrom: me@example.net\r\n\r\nhello\r\n";
    assert_eq!(String::from_utf8(heard.content).unwrap(), expected);
    assert_eq!(heard.octets, 44);
}

#[test]
fn wishes_are_passed_on() {
    let arguments =
        ["-N", "success,delay", "-R", "hdrs", "-V", "x+1", "-f", "<>", "josé@example.org"];
    let heard = sent(&arguments, "From: a@example.com\n\né\n".as_bytes()).heard();
    assert_eq!(
        heard.commands[1],
        "MAIL FROM:<> SIZE=27 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2B1"
    );
    assert_eq!(heard.commands[2], "RCPT TO:<josé@example.org> NOTIFY=SUCCESS,DELAY");
}

#[test]
fn lone_dots_end_the_message_or_are_kept() {
    let message = b"From: a@example.com\n\none\n..\n.two\n.\nthree\n";
    let header = "From: a@example.com\r\n\r\n";
    assert_eq!(sent(&["x@example.org"], message).text(), format!("{header}one\r\n..\r\n.two\r\n"));
    for option in ["-i", "-oi"] {
        let text = sent(&[option, "x@example.org"], message).text();
        assert_eq!(text, format!("{header}one\r\n..\r\n.two\r\n.\r\nthree\r\n"));
    }
}

#[test]
fn octets_that_are_no_text_are_handed_over() {
    let text = sent(&["x@example.org"], b"From: a@example.com\n\na\0b\n").text();
    assert_eq!(text, "From: a@example.com\r\n\r\na\0b\r\n");
    let wide: Vec<u8> = "\u{feff}hi\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let message = [b"From: a@example.com\n\n".as_slice(), &wide].concat();
    let expected = "From: a@example.com\r\nMIME-Version: 1.0\r\n\
                    Content-Type: text/plain; charset=utf-16\r\n\
                    Content-Transfer-Encoding: base64\r\n\r\n//5oAGkADQAKAA==\r\n";
    assert_eq!(sent(&["x@example.org"], &message).text(), expected);
}

#[test]
fn blind_recipients_get_it_and_are_not_named() {
    let message = b"From: a@example.com\nTo: b@example.org\nBcc: c@example.org\n\nhi\n";
    let heard = sent(&["-t", "-i"], message).heard();
    assert_eq!(heard.recipients, ["b@example.org", "c@example.org"]);
    assert!(!String::from_utf8(heard.content).unwrap().contains("c@example.org"));
}

#[test]
fn ten_thousand_recipients_are_offered_in_groups() {
    let list: Vec<String> = (0..10_000).map(|n| format!("user{n}@example.org")).collect();
    let message = format!("From: a@example.com\nBcc: {}\n\nhi\n", list.join(",\n "));
    let heard = sent(&["-t"], message.as_bytes()).heard();
    assert_eq!(heard.recipients, list);
    assert_eq!(heard.octets, 27);
}

#[test]
fn what_is_too_many_for_one_message_goes_with_more_of_them() {
    let script = Script { most_recipients: Some(100), ..Script::default() };
    let list: Vec<String> = (0..250).map(|n| format!("user{n}@example.org")).collect();
    let message = format!("From: a@example.com\nBcc: {}\n\nhi\n", list.join(", "));
    let sent = send(script, &["-t"], message.as_bytes());
    assert_eq!(code(&sent.output), 0, "{}", stderr(&sent.output));
    let sessions: Vec<Heard> = (0..6).map(|_| sent.heard()).collect();
    let (asked, delivered) = sessions.split_at(3);
    assert!(asked.iter().all(|session| !session.complete));
    assert!(delivered.iter().all(|session| session.complete));
    let got: Vec<String> = delivered.iter().flat_map(|s| s.recipients.clone()).collect();
    assert_eq!(got, list);
}

#[test]
fn no_part_is_sent_when_a_late_recipient_is_refused() {
    let script = Script {
        most_recipients: Some(100),
        recipient: Some(("user240@", "550 5.1.1 no such user")),
        ..Script::default()
    };
    let list: Vec<String> = (0..250).map(|n| format!("user{n}@example.org")).collect();
    let sent = send(script, &["-t"], format!("To: {}\n\nhi\n", list.join(", ")).as_bytes());
    assert_eq!(code(&sent.output), 67);
    assert!((0..3).all(|_| !sent.heard().complete));
}

#[test]
fn failures_have_the_exit_codes_that_callers_know() {
    let unknown = Some(("x@", "550 5.1.1 <x@example.org>: no such user"));
    for (script, expected, words) in [
        (Script { greeting: Some("554 no"), ..Script::default() }, 69, "554 no"),
        (Script { mail: Some("550 5.7.1 not you"), ..Script::default() }, 77, "sender"),
        (Script { mail: Some("452 4.3.1 disk full"), ..Script::default() }, 75, "disk full"),
        (Script { recipient: unknown, ..Script::default() }, 67, "x@example.org: 550 5.1.1"),
        (Script { recipient: Some(("x@", "550 5.7.1 no")), ..Script::default() }, 69, "5.7.1"),
        (Script { recipient: Some(("x@", "451 4.3.0 later")), ..Script::default() }, 75, "later"),
        (Script { recipient: Some(("x@", "421 4.3.0 bye")), ..Script::default() }, 75, "bye"),
        (Script { data: Some("554 5.5.1 no"), ..Script::default() }, 69, "554 5.5.1 no"),
        (Script { content: Some("554 5.6.0 no"), ..Script::default() }, 69, "554 5.6.0 no"),
        (Script { content: Some("451 4.3.0 disk"), ..Script::default() }, 75, "try again"),
        (Script { hang_up_after: Some(1), ..Script::default() }, 75, "hung up"),
        (Script { greeting: Some("hello"), ..Script::default() }, 76, "not an SMTP reply"),
        (Script { extensions: Some(&["SIZE 10"]), ..Script::default() }, 69, "at most 10"),
    ] {
        let sent = send(script, &["x@example.org", "y@example.org"], b"hi\n");
        let said = stderr(&sent.output);
        assert_eq!(code(&sent.output), expected, "{said}");
        assert!(said.starts_with("sendmail: ") && said.contains(words), "{said}");
        assert!(sent.output.stdout.is_empty());
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let sent = send(Script { busy: 3, ..Script::default() }, &["x@example.org"], b"hi\n");
    assert_eq!(code(&sent.output), 0, "{}", stderr(&sent.output));
    assert!(sent.heard().complete);
}

#[test]
fn a_refused_recipient_stops_the_whole() {
    let script =
        Script { recipient: Some(("bad@", "550 5.1.1 no such user")), ..Script::default() };
    let sent = send(script, &["good@example.org", "bad@example.org"], b"hi\n");
    assert_eq!(code(&sent.output), 67);
    let said = stderr(&sent.output);
    assert!(said.contains("nothing was sent") && said.contains("bad@example.org"), "{said}");
    assert!(!said.contains("good@example.org"));
    let heard = sent.heard();
    assert!(!heard.complete && !heard.commands.contains(&"DATA".to_owned()));
}

#[test]
fn without_a_server_nothing_is_sent_and_it_says_so() {
    let home = home();
    let output = run(puerto(home.path(), &["sendmail", "x@example.org"]), b"hi\n");
    assert_eq!(code(&output), 75);
    assert!(stderr(&output).contains("the mail server is not running"));
    assert!(stderr(&output).contains("nothing was sent"));
}

#[test]
fn a_bad_message_or_command_line_never_reaches_the_server() {
    let home = home();
    let sessions = daemon::start(home.path(), Script::default());
    for (arguments, input, expected, words) in [
        (&["-t"][..], &b"To: not an address\n\nhi\n"[..], 65, "commas"),
        (&["x@example.org, not an address"], b"hi\n", 65, "commas"),
        (&["-t"], b"To: a@x.example\nResent-From: b@x.example\n\n", 64, "Resent-To"),
        (&["-t"], b"Subject: none\n\nhi\n", 64, "no recipients"),
        (&[], b"hi\n", 64, "no recipients"),
        (&["-Z"], b"hi\n", 64, "-Z"),
        (&["x@example.org\nRCPT TO:<y@example.org>"], b"hi\n", 64, "control character"),
        (&["x@@example.org"], b"hi\n", 64, "x@@example.org"),
        (&["-f", "a@b@c", "x@example.org"], b"hi\n", 64, "-f a@b@c"),
        (&["-C", "/nonexistent/puerto.toml", "x@example.org"], b"hi\n", 78, "puerto.toml"),
    ] {
        let arguments: Vec<&str> =
            std::iter::once("sendmail").chain(arguments.iter().copied()).collect();
        let output = run(puerto(home.path(), &arguments), input);
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert!(sessions.try_recv().is_err());
}

#[test]
fn a_configuration_with_errors_is_78() {
    let home = home();
    let file = home.path().join("puerto.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{right}hostnam = 1\n")).unwrap();
    let output = run(puerto(home.path(), &["sendmail", "x@example.org"]), b"hi\n");
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("hostnam"));
}

#[test]
fn the_dialogue_is_shown_when_asked_for() {
    let sent = send(Script::default(), &["-v", "x@example.org"], b"hi\n");
    assert_eq!(code(&sent.output), 0);
    let said = stderr(&sent.output);
    assert!(
        said.contains(">>> RCPT TO:<x@example.org>") && said.contains("queued as 0A1B2C3D4E5F")
    );
}

#[test]
fn the_name_that_it_is_called_by_decides() {
    let home = home();
    let sendmail = home.path().join("sendmail");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_puerto"), &sendmail).unwrap();
    let sessions = daemon::start(home.path(), Script::default());
    let mut command = std::process::Command::new(&sendmail);
    command.args(["-t", "--", "-x@example.org"]);
    command.env("PUERTO_CONFIG", home.path().join("puerto.toml"));
    let output = run(command, b"\nhi\n");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let heard = sessions.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(heard.recipients, ["-x@example.org"]);
}

#[test]
fn smtp_is_passed_through_to_the_server() {
    let dialogue = b"EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n\
                     Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n";
    let sent = send(Script::default(), &["-bs"], dialogue);
    assert_eq!(code(&sent.output), 0);
    let said = stdout(&sent.output);
    assert!(said.starts_with("220 ") && said.ends_with("221 2.0.0 Bye\r\n"), "{said}");
    assert_eq!(sent.text(), "Subject: x\r\n\r\n.\r\n");
}

#[test]
fn smtp_that_breaks_off_in_a_message_is_no_success() {
    let dialogue = b"EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n\
                     Subject: x\r\n\r\n";
    let sent = send(Script::default(), &["-bs"], dialogue);
    assert_eq!(code(&sent.output), 65);
    assert!(stderr(&sent.output).contains("line with a dot"), "{}", stderr(&sent.output));
}

#[test]
fn an_address_that_is_missing_is_told_and_the_others_get_the_message() {
    let sent = send(Script::default(), &["-t"], b"To: Ana <>, b@example.org\n\nhi\n");
    assert_eq!(code(&sent.output), 0);
    assert!(stderr(&sent.output).contains("Ana <>"), "{}", stderr(&sent.output));
    assert_eq!(sent.heard().recipients, ["b@example.org"]);
}

#[cfg(target_os = "linux")]
#[test]
fn fifty_mebibytes_pass_in_bounded_memory() {
    let line = b"0123456789012345678901234567890123456789012345678901234567890123456789\n";
    let script = Script { count_only: true, ..Script::default() };
    let home = home();
    let sessions = daemon::start(home.path(), script);
    let mut command = std::process::Command::new("sh");
    // The shell's limit on memory is what would fail the test: the program alone, as it is
    // built for tests, has 56 MB of it.
    let limited = "ulimit -v 85000; exec \"$0\" sendmail x@example.org";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_puerto")]);
    command.env("PUERTO_CONFIG", home.path().join("puerto.toml"));
    let input = [&b"From: a@example.com\n\n"[..], &line.repeat(740_000)].concat();
    let output = run(command, &input);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let heard = sessions.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(heard.octets, 23 + 740_000 * 72);
}
