//! Runs the transcripts in `dialogs/`, each whole, octet by octet, and cut in two at
//! every place: a session must not depend on how its bytes arrive.
//!
//! A line of a transcript begins with what it is:
//!
//! ```text
//! C: what the client says, with a CRLF added      C> the same without a CRLF
//! E> what it says before the greeting
//! S: a line of the server, without its CRLF
//! M: sender recipient,… content: a message that was taken
//! D: why content was discarded                    R: stage and code of a refusal
//! T: the TLS handshake                            X: the connection is closed
//! # a remark
//! ```
//!
//! `\r`, `\n`, `\0`, `\\` and `\xNN` stand for octets, and `{N*text}` for N times a
//! text. The policy of these tests refuses the sender refused@, the recipients
//! unknown@ (550) and later@ (450), content from full@ (452), and finished messages
//! from failing@ (451); disk@ loses its content in the middle (452). Where the file's name
//! begins with `auth_`, clients can log in, all with the password `secret`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fmt::Write;
use std::path::Path;

use puerto_smtp::extension::Extensions;
use puerto_smtp::sasl::{Claim, Mechanism};
use puerto_smtp::server::{Action, Session, Settings};
use puerto_smtp::{Domain, Envelope, Reply, ReversePath};

#[derive(Debug, Default)]
struct Transcript {
    /// The client is one that the server trusts: the file's name says so.
    trusted: bool,
    early: Vec<u8>,
    /// What the client says, in parts with a handshake between two of them.
    client: Vec<Vec<u8>>,
    server: Vec<String>,
    events: Vec<String>,
}

#[test]
fn every_dialog_goes_as_written_at_every_cut() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut transcript = read(&std::fs::read_to_string(&path).unwrap());
        transcript.trusted = name.starts_with("trusted_");
        let whole = transcript.client.iter().map(Vec::len).max().unwrap_or(0);
        let cuts: Vec<usize> = if whole > 20_000 {
            vec![1, 1000, 2047, 2048, 2049, whole / 2]
        } else {
            (1..=whole).collect()
        };
        for cut in cuts {
            check(&name, &transcript, &|part| {
                let (head, tail) = part.split_at(cut.min(part.len()));
                vec![head.to_vec(), tail.to_vec()]
            });
        }
        check(&name, &transcript, &|part| vec![part.to_vec()]);
        check(&name, &transcript, &|part| part.chunks(1).map(<[u8]>::to_vec).collect());
        count += 1;
    }
    assert!(count >= 20, "only {count} transcripts were found");
}

fn check(name: &str, transcript: &Transcript, cut: &dyn Fn(&[u8]) -> Vec<Vec<u8>>) {
    let parts: Vec<Vec<Vec<u8>>> = transcript.client.iter().map(|part| cut(part)).collect();
    let mut settings = Settings { lenient: transcript.trusted, ..settings() };
    settings.extensions.origin = transcript.trusted;
    if name.starts_with("auth_") {
        settings.extensions.auth = ["SCRAM-SHA-256", "PLAIN", "LOGIN"].map(str::to_owned).into();
    }
    let (output, events) = run(settings, &transcript.early, &parts);
    let lines: Vec<&str> = output.split_terminator("\r\n").collect();
    assert_eq!(lines, transcript.server, "the server's lines in {name}, cut into {parts:?}");
    assert_eq!(events, transcript.events, "what happened in {name}, cut into {parts:?}");
}

fn run(settings: Settings, early: &[u8], parts: &[Vec<Vec<u8>>]) -> (String, Vec<String>) {
    let mut session = Session::new(settings);
    session.feed(early);
    let (mut output, mut events, mut content) = (Vec::new(), Vec::new(), Vec::new());
    let (mut said, mut asked) = (Vec::new(), None);
    let mut parts = parts.iter();
    let mut pieces = parts.next().into_iter().flatten();
    loop {
        match session.poll() {
            Action::Read => match pieces.find(|piece| !piece.is_empty()) {
                Some(piece) => session.feed(piece),
                None => break,
            },
            Action::Write(bytes) => output.extend_from_slice(bytes),
            Action::AskMail { envelope, .. } => {
                let verdict = sender_is(envelope, "refused").then(|| no(550, (5, 7, 1)));
                answer(&mut session, verdict);
            }
            Action::AskRecipient { recipient, .. } => {
                let verdict = match recipient.address.local_part().as_str() {
                    "unknown" => Some(no(550, (5, 1, 1))),
                    "later" => Some(no(450, (4, 2, 0))),
                    _ => None,
                };
                answer(&mut session, verdict);
            }
            Action::BeginContent(envelope) => {
                let verdict = sender_is(envelope, "full").then(|| no(452, (4, 3, 1)));
                content.clear();
                answer(&mut session, verdict);
            }
            Action::Content(octets) => {
                content.extend_from_slice(octets);
                if content.starts_with(b"From: disk") {
                    session.refuse_content(no(452, (4, 3, 1)));
                }
            }
            Action::EndContent(envelope) => {
                let verdict = sender_is(&envelope, "failing").then(|| no(451, (4, 3, 0)));
                if verdict.is_none() {
                    events.push(message(&envelope, &content));
                }
                answer(&mut session, verdict);
            }
            Action::DiscardContent(why) => events.push(format!("D: {why:?}")),
            Action::Refused(refusal) => {
                events.push(format!("R: {} {}", refusal.stage, refusal.reply.code()));
            }
            Action::BeginAuth { mechanism, initial } => {
                said = initial.map(<[u8]>::to_vec).into_iter().collect();
                asked = Some(mechanism);
                log_in(&mut session, mechanism, &said);
            }
            Action::ContinueAuth(response) => {
                said.push(response.to_vec());
                log_in(&mut session, asked.unwrap(), &said);
            }
            Action::StartTls => {
                events.push("T:".to_owned());
                session.tls_established();
                pieces = parts.next().into_iter().flatten();
            }
            Action::Close => {
                events.push("X:".to_owned());
                break;
            }
        }
    }
    (String::from_utf8(output).unwrap(), events)
}

/// Lets in who says that the password is `secret`; a SCRAM client is asked without end.
fn log_in(session: &mut Session, mechanism: Mechanism, said: &[Vec<u8>]) {
    let password = match (mechanism, said) {
        (Mechanism::Plain, []) => return session.challenge(b""),
        (Mechanism::Plain, [message, ..]) => Claim::of_plain(message, str::eq_ignore_ascii_case)
            .map(|claim| claim.password)
            .unwrap_or_default(),
        (Mechanism::Login, []) => return session.challenge(b"Username:"),
        (Mechanism::Login, [_]) => return session.challenge(b"Password:"),
        (Mechanism::Login, [_, password, ..]) => password.clone(),
        _ => return session.challenge(b"r="),
    };
    answer(session, (password != b"secret").then(|| no(535, (5, 7, 8))));
}

fn answer(session: &mut Session, verdict: Option<Reply>) {
    match verdict {
        Some(reply) => session.answer(&reply),
        None => session.accept(),
    }
}

fn no(code: u16, status: (u8, u16, u16)) -> Reply {
    Reply::enhanced(code, status, "no")
}

fn sender_is(envelope: &Envelope, local_part: &str) -> bool {
    envelope.reverse_path.address().is_some_and(|a| a.local_part().as_str() == local_part)
}

fn message(envelope: &Envelope, content: &[u8]) -> String {
    let from = match &envelope.reverse_path {
        ReversePath::Null => "<>".to_owned(),
        ReversePath::Address(address) => address.to_string(),
    };
    let to: Vec<String> = envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    let text = if content.len() > 100 {
        format!("{} octets", content.len())
    } else {
        content.escape_ascii().to_string()
    };
    format!("M: {from} {} {text}", to.join(",")).trim_end().to_owned()
}

fn settings() -> Settings {
    Settings {
        hostname: "mail.example.com".to_owned(),
        extensions: Extensions {
            pipelining: true,
            size: Some(2000),
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status_codes: true,
            starttls: true,
            chunking: true,
            dsn: true,
            require_tls: false,
            xverp: false,
            auth: Vec::new(),
            help: true,
            origin: false,
        },
        domain: Domain::parse("example.com").unwrap(),
        sender_domain: Domain::parse("example.com").unwrap(),
        bare_names: false,
        lenient: false,
        max_recipients: 3,
    }
}

fn read(text: &str) -> Transcript {
    let mut transcript = Transcript { client: vec![Vec::new()], ..Transcript::default() };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (kind, rest) = line.split_at(2);
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let said = transcript.client.last_mut().unwrap();
        match kind {
            "C:" => said.extend([octets(rest), b"\r\n".to_vec()].concat()),
            "C>" => said.extend(octets(rest)),
            "E>" => transcript.early.extend(octets(rest)),
            "S:" => transcript.server.push(rest.to_owned()),
            "M:" | "D:" | "R:" | "X:" => transcript.events.push(line.to_owned()),
            "T:" => {
                transcript.events.push(line.to_owned());
                transcript.client.push(Vec::new());
            }
            _ => panic!("not a line of a transcript: {line}"),
        }
    }
    transcript
}

fn octets(text: &str) -> Vec<u8> {
    let mut expanded = text.to_owned();
    while let Some((before, rest)) = expanded.clone().split_once('{') {
        let (inside, after) = rest.split_once('}').expect("a repetition ends");
        let (times, what) = inside.split_once('*').expect("a repetition has a count");
        expanded = before.to_owned();
        for _ in 0..times.parse::<usize>().unwrap() {
            write!(expanded, "{what}").unwrap();
        }
        expanded.push_str(after);
    }
    let mut out = Vec::new();
    let mut bytes = expanded.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next() } else { None };
        out.push(match escaped {
            None => byte,
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(other) => other,
        });
    }
    out
}
