//! The client, spoken to from transcripts and tables.
//!
//! A transcript in `client_dialogs/` is read line by line. `S:` is what the peer
//! sends, `C:` what the client must send in answer (all of it, and in one go);
//! `do` is what the driver does, `=` the step that must come next, `fate` what must
//! become of the next recipient. Each transcript is played once for every place at
//! which the peer's octets can be cut in two.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test may fail by panicking, and clippy sees its helpers as production code"
)]

use proptest::prelude::*;
use puerto_smtp::client::{
    Cause, Connection, Credentials, Failure, Fate, Loss, Protocol, Stage, Step, Transaction,
};
use puerto_smtp::limits::ClientTimeouts;
use puerto_smtp::{Address, Domain, Notify, Recipient, Return, ReversePath};

struct Player<'a> {
    connection: Connection,
    sent: String,
    step: Step,
    fates: std::vec::IntoIter<Fate>,
    octets_to_cut: usize,
    place: &'a str,
}

impl<'a> Player<'a> {
    fn new(protocol: Protocol, cut: usize, place: &'a str) -> Self {
        let name = Domain::parse("client.example").unwrap();
        let mut player = Self {
            connection: Connection::new(protocol, name, false),
            sent: String::new(),
            step: Step::Receive,
            fates: Vec::new().into_iter(),
            octets_to_cut: cut,
            place,
        };
        player.run();
        player
    }

    fn run(&mut self) {
        loop {
            self.step = self.connection.poll();
            match self.step {
                Step::Send => {
                    let output = self.connection.take_output();
                    self.sent.push_str(std::str::from_utf8(&output).unwrap());
                }
                Step::Finished => {
                    self.fates = self.connection.take_fates().into_iter();
                    return;
                }
                _ => return,
            }
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        let cut = self.octets_to_cut.min(octets.len());
        self.octets_to_cut -= cut;
        let (head, tail) = octets.split_at(cut);
        self.connection.feed(head);
        if !head.is_empty() && !tail.is_empty() && matches!(self.step, Step::Receive) {
            self.run();
        }
        self.connection.feed(tail);
        let settled = matches!(self.step, Step::Failed(_) | Step::Finished | Step::Closed);
        if !settled {
            self.run();
        }
    }

    fn act(&mut self, action: &str) {
        let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
        let login = Credentials { user: "user".into(), password: "pass".into() };
        match verb {
            "send" => self.send(rest),
            "content" => self.connection.content_ending(),
            "starttls" => self.connection.start_tls(),
            "tls" => self.connection.tls_established(),
            "auth" => self.connection.authenticate(&login).unwrap(),
            "auth-impossible" => {
                let error = self.connection.authenticate(&login).unwrap_err();
                assert_eq!(error.to_string(), rest, "{}", self.place);
            }
            "quit" => assert!(self.connection.quit()),
            "lose" => self.connection.lost(Loss::Closed),
            other => panic!("{}: unknown action {other}", self.place),
        }
        self.run();
    }

    fn send(&mut self, words: &str) {
        let flags = ["8bit", "utf8", "dsn"];
        let has = |flag: &str| words.split(' ').any(|word| word == flag);
        let addresses = words.split(' ').filter(|word| !flags.contains(word));
        let recipients: Vec<Recipient> = addresses.map(recipient).collect();
        let recipients: Vec<Recipient> = recipients
            .into_iter()
            .map(|recipient| match has("dsn") {
                true => Recipient {
                    notify: Some(Notify { success: true, failure: false, delay: true }),
                    original: Some("rfc822;o+1@x.example".into()),
                    ..recipient
                },
                false => recipient,
            })
            .collect();
        self.connection.begin(&Transaction {
            reverse_path: &ReversePath::parse("<from@client.example>").unwrap(),
            recipients: &recipients.iter().collect::<Vec<_>>(),
            envelope_id: has("dsn").then_some("a+b c"),
            ret: has("dsn").then_some(Return::Headers),
            verp: None,
            size: 100,
            eight_bit: has("8bit"),
            utf8_header: has("utf8"),
            require_tls: false,
        });
    }

    fn expect_step(&mut self, expected: &str) {
        if matches!(self.step, Step::Failed(_) | Step::Refused(_) | Step::Finished)
            && matches!(expected, "ready" | "closed")
        {
            self.run();
        }
        let step = match &self.step {
            Step::Refused(failure) => format!("refused {failure}"),
            Step::Failed(failure) => format!("failed {failure}"),
            other => format!("{other:?}").to_lowercase(),
        };
        assert_eq!(step, expected, "{}", self.place);
    }

    fn expect_fate(&mut self, expected: &str) {
        let fate = match self.fates.next() {
            Some(Fate::Accepted(reply)) => format!("accepted {reply}"),
            Some(Fate::Failed(failure)) => format!("failed {failure}"),
            Some(Fate::Remaining) => "remaining".to_owned(),
            None => "none".to_owned(),
        };
        assert_eq!(fate, expected, "{}", self.place);
    }
}

fn recipient(address: &str) -> Recipient {
    Recipient::new(Address::parse(address).unwrap())
}

fn play(transcript: &str, name: &str, cut: usize) {
    let protocol =
        if transcript.lines().any(|l| l == "lmtp") { Protocol::Lmtp } else { Protocol::Smtp };
    let place = format!("{name}, cut at {cut}");
    let mut player = Player::new(protocol, cut, &place);
    let mut lines = transcript.lines().peekable();
    while let Some(line) = lines.next() {
        let mut group = |prefix: &str, first: &str| {
            let mut text = format!("{first}\r\n");
            while let Some(more) = lines.next_if(|next| next.starts_with(prefix)) {
                text.push_str(&more[prefix.len()..]);
                text.push_str("\r\n");
            }
            text
        };
        match line.split_at(line.find([' ', '\t']).map_or(line.len(), |at| at + 1)) {
            ("S: ", text) => {
                let text = group("S: ", text);
                assert_eq!(player.sent, "", "{place}, before {text:?}");
                player.hear(text.as_bytes());
            }
            ("C: ", text) => {
                let text = group("C: ", text);
                assert_eq!(std::mem::take(&mut player.sent), text, "{place}");
            }
            ("do ", action) => player.act(action),
            ("= ", step) => player.expect_step(step),
            ("fate ", fate) => player.expect_fate(fate),
            ("# ", _) | ("lmtp" | "whole", "") => {}
            other => panic!("{name}: unknown line {other:?}"),
        }
    }
    assert_eq!(player.sent, "", "{place}, at the end");
    assert_eq!(player.fates.next(), None, "{place}: a fate that nobody looked at");
}

#[test]
fn every_transcript_at_every_cut() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client_dialogs");
    let mut played = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let transcript = std::fs::read_to_string(&path).unwrap();
        let whole = transcript.lines().any(|line| line == "whole");
        let heard = transcript.lines().filter_map(|line| line.strip_prefix("S: "));
        let octets: usize = heard.map(|line| line.len() + 2).sum();
        for cut in 0..if whole { 1 } else { octets } {
            play(&transcript, &name, cut);
        }
        played += 1;
    }
    assert!(played >= 30, "the transcripts are not there: {played}");
}

/// A connection that is ready, with a peer that offers these keywords.
fn ready(keywords: &[&str]) -> Connection {
    let name = Domain::parse("client.example").unwrap();
    let mut connection = Connection::new(Protocol::Smtp, name, false);
    let mut reply = "250-mx.example\r\n".to_owned();
    for keyword in keywords {
        reply.push_str(&format!("250-{keyword}\r\n"));
    }
    reply.push_str("250 HELP\r\n");
    for octets in ["220 mx.example\r\n", &reply] {
        connection.feed(octets.as_bytes());
        while connection.poll() == Step::Send {
            connection.take_output();
        }
    }
    assert!(connection.is_ready());
    connection
}

fn begin(connection: &mut Connection, recipients: usize) {
    let recipients: Vec<Recipient> =
        (0..recipients).map(|n| recipient(&format!("r{n}@x.example"))).collect();
    connection.begin(&Transaction {
        reverse_path: &ReversePath::Null,
        recipients: &recipients.iter().collect::<Vec<_>>(),
        envelope_id: None,
        ret: None,
        verp: None,
        size: 10,
        eight_bit: false,
        utf8_header: false,
        require_tls: false,
    });
}

/// Plays a peer that answers commands as they come, and returns what it was sent.
fn converse(connection: &mut Connection, answer: impl Fn(&str) -> String) -> String {
    let mut sent = String::new();
    loop {
        match connection.poll() {
            Step::Send => {
                let output = String::from_utf8(connection.take_output()).unwrap();
                for line in output.lines() {
                    connection.feed(format!("{}\r\n", answer(line)).as_bytes());
                }
                sent.push_str(&output);
            }
            Step::Content => {
                connection.content_ending();
                connection.feed(format!("{}\r\n", answer("content")).as_bytes());
            }
            Step::Finished => return sent,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn three_recipients_with_every_mixture_of_replies() {
    let replies = ["250 2.1.5 ok", "450 4.2.1 later", "550 5.1.1 never"];
    for keywords in [&[][..], &["PIPELINING"], &["PIPELINING", "CHUNKING"], &["CHUNKING"]] {
        for mixture in 0..27_usize {
            let digits = [mixture % 3, mixture / 3 % 3, mixture / 9];
            let nobody = !digits.contains(&0);
            let mut connection = ready(keywords);
            begin(&mut connection, 3);
            let sent = converse(&mut connection, |line| {
                match line.split_once("RCPT TO:<r").and_then(|(_, rest)| rest.chars().next()) {
                    Some(digit) => replies[digits[digit.to_digit(10).unwrap() as usize]].into(),
                    None if line == "DATA" && nobody => "554 5.5.1 nobody".into(),
                    None if line == "DATA" => "354 go".into(),
                    None => format!("250 2.0.0 {line}"),
                }
            });
            let fates = connection.take_fates();
            for (fate, digit) in fates.iter().zip(digits) {
                match (fate, digit) {
                    (Fate::Accepted(reply), 0) => assert_eq!(reply.text(), "content"),
                    (Fate::Failed(Failure { stage: Stage::Recipient, cause }), 1 | 2) => {
                        let Cause::Reply(reply) = cause else { panic!("{cause:?}") };
                        assert_eq!(reply.to_string(), replies[digit]);
                    }
                    other => panic!("{keywords:?} {digits:?}: {other:?}"),
                }
            }
            assert_eq!(fates.len(), 3);
            assert!(!sent.contains("BDAT"));
            assert_eq!(sent.contains("DATA\r\n"), !nobody || keywords.contains(&"PIPELINING"));
            assert!(connection.is_ready());
            begin(&mut connection, 1);
            let next = String::from_utf8(connection.take_output()).unwrap();
            assert_eq!(next.starts_with("RSET\r\n"), nobody, "{keywords:?} {digits:?}");
        }
    }
}

#[test]
fn a_lost_connection_is_reported_with_its_stage() {
    let replies = ["250 mail", "250 first", "550 second", "354 go"];
    for keywords in [&["PIPELINING"][..], &[]] {
        for loss in [Loss::Closed, Loss::TimedOut] {
            for answered in 0..=replies.len() + 1 {
                let mut connection = ready(keywords);
                begin(&mut connection, 2);
                for reply in replies.iter().take(answered) {
                    while connection.poll() == Step::Send {
                        connection.take_output();
                    }
                    connection.feed(format!("{reply}\r\n").as_bytes());
                }
                while connection.poll() == Step::Send {
                    connection.take_output();
                }
                if answered > replies.len() {
                    connection.content_ending();
                }
                connection.lost(loss);
                assert_eq!(connection.poll(), Step::Finished);
                assert_eq!(connection.poll(), Step::Closed);
                let stages = [
                    Stage::Mail,
                    Stage::Recipient,
                    Stage::Recipient,
                    Stage::Data,
                    Stage::Content,
                    Stage::FinalDot,
                ];
                let lost = Failure { stage: stages[answered], cause: Cause::Lost(loss) };
                assert_eq!(lost.may_have_delivered(), answered > replies.len());
                assert!(!lost.is_permanent());
                let fates = connection.take_fates();
                assert_eq!(fates[0], Fate::Failed(lost.clone()));
                if answered < 3 {
                    assert_eq!(fates[1], Fate::Failed(lost));
                } else {
                    assert!(matches!(&fates[1], Fate::Failed(failure) if failure.is_permanent()));
                }
            }
        }
    }
}

#[test]
fn a_connection_lost_before_a_message_fails_as_a_whole() {
    let name = Domain::parse("client.example").unwrap();
    let mut connection = Connection::new(Protocol::Smtp, name, false);
    assert_eq!(connection.poll(), Step::Receive);
    connection.lost(Loss::TimedOut);
    let failure = Failure { stage: Stage::Greeting, cause: Cause::Lost(Loss::TimedOut) };
    assert!(failure.stage.is_before_mail());
    assert_eq!(connection.poll(), Step::Failed(failure));
    assert_eq!(connection.poll(), Step::Closed);
}

#[test]
fn a_refusal_before_mail_is_never_for_good() {
    let mut connection = ready(&["PIPELINING"]);
    begin(&mut connection, 1);
    converse(&mut connection, |line| match line.split(' ').next() {
        Some("RCPT") => "550 5.1.1 no".into(),
        Some("DATA") => "503 5.5.1 no".into(),
        _ => "250 ok".into(),
    });
    assert!(matches!(&connection.take_fates()[..], [Fate::Failed(f)] if f.is_permanent()));
    begin(&mut connection, 1);
    converse(&mut connection, |_| "502 5.5.1 I know no RSET".into());
    let Fate::Failed(failure) = connection.take_fates().remove(0) else { panic!("accepted") };
    assert_eq!(failure.stage, Stage::Reset);
    assert!(!failure.is_permanent());
    assert_eq!(failure.status().to_string(), "4.5.1");
    assert_eq!(connection.poll(), Step::Closed);
}

#[test]
fn what_comes_while_idle_is_never_taken_for_an_answer() {
    for idle in ["250 ok\r\n", "421 4.4.2 idle too long\r\n", "2"] {
        let mut connection = ready(&["PIPELINING"]);
        connection.feed(idle.as_bytes());
        assert!(!connection.is_ready());
        begin(&mut connection, 1);
        assert_eq!(connection.poll(), Step::Finished);
        let fates = connection.take_fates();
        assert!(matches!(&fates[..], [Fate::Failed(failure)] if failure.stage == Stage::Idle));
        assert_eq!(connection.poll(), Step::Closed);
        assert!(connection.take_output().is_empty());
    }
}

#[test]
fn no_transaction_has_more_than_a_hundred_recipients() {
    let mut connection = ready(&["PIPELINING"]);
    begin(&mut connection, 130);
    let sent = converse(&mut connection, |line| match line {
        "DATA" => "354 go".into(),
        _ => "250 ok".into(),
    });
    assert_eq!(sent.matches("RCPT TO").count(), 100);
    let fates = connection.take_fates();
    assert_eq!(fates.iter().filter(|fate| matches!(fate, Fate::Accepted(_))).count(), 100);
    assert_eq!(fates.iter().filter(|fate| matches!(fate, Fate::Remaining)).count(), 30);
}

#[test]
fn the_time_outs_are_those_of_rfc_5321() {
    let timeouts = ClientTimeouts::default();
    for (stage, minutes) in [
        (Stage::Greeting, 5),
        (Stage::Mail, 5),
        (Stage::Recipient, 5),
        (Stage::Data, 2),
        (Stage::Content, 3),
        (Stage::FinalDot, 10),
    ] {
        assert_eq!(stage.timeout(&timeouts).as_secs(), minutes * 60);
    }
}

#[test]
fn a_password_is_not_shown() {
    let credentials = Credentials { user: "me".into(), password: "hunter2".into() };
    assert!(!format!("{credentials:?}").contains("hunter2"));
}

/// What a client must never do, whatever its peer says and however it is cut.
fn survive(keywords: &[&str], octets: &[u8], pieces: usize, protocol: Protocol) {
    let name = Domain::parse("client.example").unwrap();
    let mut connection = match protocol {
        Protocol::Smtp => ready(keywords),
        Protocol::Lmtp => Connection::new(protocol, name, false),
    };
    let mut pieces = octets.chunks(pieces.max(1));
    let (mut begun, mut ended, mut steps) = (false, false, 0);
    loop {
        steps += 1;
        assert!(steps < 10_000, "it goes on for ever");
        match connection.poll() {
            Step::Send => drop(connection.take_output()),
            Step::Ready if begun => return,
            Step::Ready => {
                begin(&mut connection, 3);
                begun = true;
            }
            Step::Content => {
                assert!(connection.take_output().is_empty());
                connection.content_ending();
                ended = true;
            }
            Step::Receive => match pieces.next() {
                Some(piece) => connection.feed(piece),
                None => connection.lost(Loss::Closed),
            },
            Step::Finished => {
                let fates = connection.take_fates();
                assert_eq!(fates.len(), 3);
                let accepted = fates.iter().any(|fate| matches!(fate, Fate::Accepted(_)));
                assert!(!accepted || ended, "accepted before its end was sent");
            }
            Step::Handshake | Step::Refused(_) => panic!("nobody asked for it"),
            Step::Failed(_) => {}
            Step::Closed => return,
        }
    }
}

proptest! {
    #[test]
    fn no_replies_make_the_client_fail_or_believe_too_much(
        replies in prop::collection::vec(
            prop::sample::select(vec![
                "250 ok", "250-more", "354 go", "450 no", "452 4.5.3 many", "550 no", "421 bye",
                "220 hi", "334 eA==", "999 what", "", "2", "noise", "550-no", "221 bye",
            ]),
            0..12,
        ),
        pieces in 1..40_usize,
        offers in 0..4_usize,
        lmtp in any::<bool>(),
    ) {
        let octets = replies.join("\r\n") + "\r\n";
        let keywords: [&[&str]; 4] =
            [&[], &["PIPELINING"], &["CHUNKING"], &["PIPELINING", "CHUNKING"]];
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        survive(keywords[offers], octets.as_bytes(), pieces, protocol);
    }

    #[test]
    fn no_octets_make_the_client_fail(
        octets in prop::collection::vec(any::<u8>(), 0..300),
        pieces in 1..50_usize,
    ) {
        survive(&["PIPELINING"], &octets, pieces, Protocol::Smtp);
        survive(&[], &octets, pieces, Protocol::Lmtp);
    }
}
