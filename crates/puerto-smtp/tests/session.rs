//! Properties of the server's session: it behaves like a model of a few lines, and
//! the same however its bytes arrive.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use puerto_smtp::extension::Extensions;
use puerto_smtp::limits::{MAX_COMMAND_LINE, MAX_DISCARDED_CONTENT};
use puerto_smtp::server::{Action, Session, Settings};
use puerto_smtp::{Domain, Reply};

fn session() -> Session {
    Session::new(Settings {
        hostname: "mail.example.com".to_owned(),
        extensions: Extensions {
            pipelining: true,
            size: Some(1 << 40),
            starttls: true,
            chunking: true,
            smtputf8: true,
            require_tls: true,
            ..Extensions::default()
        },
        domain: Domain::parse("example.com").unwrap(),
        sender_domain: Domain::parse("example.com").unwrap(),
        bare_names: false,
        lenient: false,
        max_recipients: 100,
    })
}

/// Feeds pieces and takes everything; returns the codes of the replies and a trace
/// of the messages.
fn run(session: &mut Session, pieces: &[&[u8]]) -> (Vec<u16>, Vec<String>) {
    let (mut output, mut trace, mut content) = (Vec::new(), Vec::new(), Vec::new());
    let mut pieces = pieces.iter();
    loop {
        match session.poll() {
            Action::Read => match pieces.next() {
                Some(piece) => session.feed(piece),
                None => break,
            },
            Action::Write(bytes) => output.extend_from_slice(bytes),
            Action::AskMail { .. } | Action::AskRecipient { .. } => session.accept(),
            Action::BeginContent(_) => {
                content.clear();
                session.accept();
            }
            Action::Content(octets) => content.extend_from_slice(octets),
            Action::EndContent(envelope) => {
                trace.push(format!("{:?} {:?}", envelope, content.escape_ascii().to_string()));
                session.accept();
            }
            Action::DiscardContent(why) => trace.push(format!("{why:?}")),
            Action::Refused(_) => {}
            Action::BeginAuth { .. } | Action::ContinueAuth(_) => session.challenge(b""),
            Action::StartTls => {
                trace.push("TLS".to_owned());
                session.tls_established();
            }
            Action::Close => {
                trace.push("closed".to_owned());
                break;
            }
        }
    }
    let text = String::from_utf8(output).unwrap();
    let last_lines = text.split_terminator("\r\n").filter(|line| line.as_bytes()[3] == b' ');
    (last_lines.map(|line| line[..3].parse().unwrap()).collect(), trace)
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Hello,
    Mail,
    Recipient,
    Data,
    FaultyData,
    Chunk,
    LastChunk,
    FaultyChunk,
    Reset,
    Noop,
}

impl Step {
    fn wire(self) -> &'static [u8] {
        match self {
            Self::Hello => b"EHLO client.example\r\n",
            Self::Mail => b"MAIL FROM:<a@b.example>\r\n",
            Self::Recipient => b"RCPT TO:<c@d.example>\r\n",
            Self::Data => b"DATA\r\n",
            Self::FaultyData => b"DATA\r\n",
            Self::Chunk => b"BDAT 6\r\nQUIT\r\n",
            Self::LastChunk => b"BDAT 6 LAST\r\nQUIT\r\n",
            Self::FaultyChunk => b"BDAT 6\r\nQUIT\n\n",
            Self::Reset => b"RSET\r\n",
            Self::Noop => b"NOOP\r\n",
        }
    }
}

/// What RFC 5321 §4.1.4 and RFC 3030 say, in a few lines.
#[derive(Debug, Default)]
struct Model {
    hello: bool,
    mail: bool,
    recipients: bool,
    chunks: bool,
}

impl Model {
    fn clear(&mut self, code: u16) -> u16 {
        *self = Self { hello: self.hello, ..Self::default() };
        code
    }

    /// The reply's code; for DATA, the first reply's.
    fn step(&mut self, step: Step) -> u16 {
        match step {
            Step::Noop => 250,
            Step::Reset => self.clear(250),
            Step::Hello => {
                self.hello = true;
                self.clear(250)
            }
            Step::Mail if !self.hello || self.mail => 503,
            Step::Mail => {
                self.mail = true;
                250
            }
            Step::Recipient if !self.mail || self.chunks => 503,
            Step::Recipient => {
                self.recipients = true;
                250
            }
            Step::Data | Step::FaultyData if self.chunks => 503,
            Step::Data | Step::FaultyData if self.recipients => 354,
            Step::Data | Step::FaultyData if self.mail => 554,
            Step::Data | Step::FaultyData => 503,
            Step::Chunk | Step::LastChunk | Step::FaultyChunk if !self.recipients => {
                let code = if self.mail { 554 } else { 503 };
                self.clear(code)
            }
            Step::Chunk => {
                self.chunks = true;
                250
            }
            Step::LastChunk => self.clear(250),
            Step::FaultyChunk => self.clear(550),
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Hello),
        5 => Just(Step::Mail),
        6 => Just(Step::Recipient),
        4 => Just(Step::Data),
        1 => Just(Step::FaultyData),
        3 => Just(Step::Chunk),
        3 => Just(Step::LastChunk),
        1 => Just(Step::FaultyChunk),
        2 => Just(Step::Reset),
        1 => Just(Step::Noop),
    ]
}

fn any_fragment() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b"EHLO x\r\n"[..],
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n",
        b"RCPT TO:<c@d.example> NOTIFY=NEVER\r\n",
        b"RCPT TO:<postmaster>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\n",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"hello\r\n",
        b".\r\n",
        b"..\r\n",
        b"\r\n.\r\n",
        b"\n",
        b"\r",
        b"\0",
        b".",
        b"STARTTLS now\r\n",
        b"\xff\xfe\r\n",
    ])
}

proptest! {
    #[test]
    fn any_sequence_of_commands_is_answered_as_the_model_says(
        steps in prop::collection::vec(any_step(), 1..18),
    ) {
        let (mut session, mut model) = (session(), Model::default());
        assert_eq!(run(&mut session, &[]).0, [220]);
        for step in steps {
            let expected = model.step(step);
            let (codes, _) = run(&mut session, &[step.wire()]);
            prop_assert_eq!(&codes, &[expected], "{:?} in {:?}", step, model);
            if expected != 354 {
                continue;
            }
            model.clear(0);
            if matches!(step, Step::FaultyData) {
                let (codes, trace) = run(&mut session, &[b"a\nb\r\n.\r\n"]);
                prop_assert_eq!(codes, [550]);
                prop_assert_eq!(trace.last().map(String::as_str), Some("closed"));
                break;
            }
            prop_assert_eq!(run(&mut session, &[b"QUIT\r\n.\r\n"]).0, [250]);
        }
    }

    #[test]
    fn the_same_bytes_do_the_same_however_they_are_cut(
        fragments in prop::collection::vec(any_fragment(), 1..20),
        cuts in prop::collection::vec(1usize..40, 0..10),
    ) {
        let wire = fragments.concat();
        let (mut pieces, mut rest) = (Vec::new(), &wire[..]);
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            pieces.push(head);
            rest = tail;
        }
        pieces.push(rest);
        let mut whole = session();
        let mut cut = session();
        run(&mut whole, &[]);
        run(&mut cut, &[]);
        prop_assert_eq!(run(&mut whole, &[&wire]), run(&mut cut, &pieces));
    }

    #[test]
    fn no_bytes_make_it_fail(wire in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut session = session();
        run(&mut session, &[]);
        run(&mut session, &[&wire]);
    }
}

/// In Postfix's words, which filters of logs look for.
#[test]
fn a_session_stands_after_what_its_client_has_last_said() {
    let send = "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
    for (said, after) in [
        ("", "CONNECT"),
        ("EHLO x\r\n", "EHLO"),
        ("HELO x\r\n", "HELO"),
        ("EHLO x\r\nAUTH PLAIN AGEAYg==\r\n", "AUTH"),
        ("EHLO x\r\nFROBNICATE\r\n", "UNKNOWN"),
        ("EHLO x\r\nMAIL FROM:<a@b.example>\r\n", "MAIL"),
        (send, "RCPT"),
        (&format!("{send}RSET\r\n"), "RSET"),
        (&format!("{send}DATA\r\n"), "DATA"),
        (&format!("{send}DATA\r\nSubject: x\r\n\r\n.\r\n"), "END-OF-MESSAGE"),
        (&format!("{send}BDAT 2 LAST\r\n\r\n"), "END-OF-MESSAGE"),
        (&format!("{send}BDAT 2\r\n\r\n"), "BDAT"),
        (&format!("{send}DATA\r\n.\r\nMAIL FROM:<a@b.example>\r\n"), "MAIL"),
        ("EHLO x\r\nQUIT\r\n", "QUIT"),
    ] {
        let mut session = session();
        run(&mut session, &[said.as_bytes()]);
        assert_eq!(session.stage(), after, "{said}");
    }
}

#[test]
fn nothing_crosses_the_beginning_of_tls() {
    for behind in [&b"MAIL FROM:<a@b.example>\r\n"[..], b"E", b"\x16\x03\x01", b"\r\n"] {
        let mut session = session();
        run(&mut session, &[b"EHLO x\r\n"]);
        let (codes, trace) = run(&mut session, &[&[b"STARTTLS\r\n", behind].concat()]);
        assert_eq!((codes, trace), (vec![554], vec!["closed".to_owned()]), "{behind:?}");
    }
    let mut session = session();
    run(&mut session, &[b"EHLO before.example\r\n"]);
    assert_eq!(run(&mut session, &[b"STARTTLS\r\n"]), (vec![220], vec!["TLS".to_owned()]));
    assert_eq!((session.hello(), session.protocol(false)), (None, "SMTP"));
    assert_eq!(run(&mut session, &[b"MAIL FROM:<a@b.example>\r\n"]).0, [503]);
    run(&mut session, &[b"EHLO after.example\r\n"]);
    assert_eq!(session.hello(), Some("after.example"));
    assert_eq!(session.protocol(false), "ESMTPS");
    assert_eq!(session.protocol(true), "UTF8SMTPS");
    let mut unnamed = self::session();
    assert_eq!(run(&mut unnamed, &[b"STARTTLS\r\n"]), (vec![220, 220], vec!["TLS".to_owned()]));
    assert_eq!(run(&mut unnamed, &[b"MAIL FROM:<a@b.example>\r\n"]).0, [503]);
}

#[test]
fn replies_to_a_group_go_out_together() {
    let mut session = session();
    run(&mut session, &[]);
    session.feed(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
    let mut writes = Vec::new();
    loop {
        match session.poll() {
            Action::Write(bytes) => writes.push(String::from_utf8(bytes.to_vec()).unwrap()),
            Action::Read => break,
            _ => session.accept(),
        }
    }
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].contains("250 2.1.5 Ok\r\n354 "));
}

#[test]
fn a_name_is_fit_for_a_header_field() {
    for (name, kept) in [
        ("mail.example.com", "mail.example.com"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("a (b)\tc;d", "a??b??c?d"),
        ("ñ<x>", "??x?"),
    ] {
        let mut session = session();
        run(&mut session, &[format!("EHLO {name}\r\n").as_bytes()]);
        assert_eq!(session.hello(), Some(kept));
    }
    let mut session = session();
    run(&mut session, &[format!("EHLO {}\r\n", "x".repeat(MAX_COMMAND_LINE - 7)).as_bytes()]);
    assert_eq!(session.hello().map(str::len), Some(255));
}

#[test]
fn what_is_thrown_away_is_bounded() {
    let mut session = session();
    run(&mut session, &[b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"]);
    session.feed(b"x\r\n");
    assert!(matches!(session.poll(), Action::Content(_)));
    session.refuse_content(Reply::enhanced(452, (4, 3, 1), "full"));
    let block = b"0123456789abcde\r\n".repeat(1 << 16);
    let mut fed = 0;
    loop {
        match session.poll() {
            Action::Read => {
                assert!(fed <= MAX_DISCARDED_CONTENT + block.len() as u64, "it goes on for ever");
                session.feed(&block);
                fed += block.len() as u64;
            }
            Action::Close => break,
            Action::Write(bytes) => assert!(bytes.starts_with(b"452 "), "{bytes:?}"),
            _ => {}
        }
    }
}

#[test]
fn the_counts_are_those_of_the_session() {
    let mut session = session();
    run(&mut session, &[b"EHLO x\r\nRCPT TO:<a@b.example>\r\nNOOP\r\nNONSENSE\r\nQUIT\r\n"]);
    let counts = session.command_counts();
    let expected =
        [("ehlo", 1, 1), ("rcpt", 0, 1), ("noop", 1, 1), ("quit", 1, 1), ("unknown", 0, 1)];
    assert_eq!(counts, expected);
}

/// RFC 8689 §2: it is offered under TLS, and in plain text as unknown as any other parameter.
#[test]
fn requiretls_is_taken_under_tls_alone() {
    let message: &[&[u8]] = &[
        b"EHLO c.example\r\n",
        b"MAIL FROM:<a@b.example> REQUIRETLS\r\n",
        b"RCPT TO:<c@d.example>\r\n",
        b"DATA\r\n",
        b"x\r\n.\r\n",
    ];
    let mut plain = session();
    let (codes, trace) = run(&mut plain, message);
    assert_eq!(codes[..4], [220, 250, 555, 503], "{trace:?}");
    let mut protected = session();
    protected.tls_from_start();
    let (codes, trace) = run(&mut protected, message);
    assert_eq!(codes, [220, 250, 250, 250, 354, 250]);
    assert!(trace[0].contains("tls: Required"), "{trace:?}");
}
