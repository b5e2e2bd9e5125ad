use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use puerto_mail::dkim::{self, Algorithm, DkimResult, PrivateKey};
use puerto_mail::dns::{Table, block_on};
use puerto_mail::header::{Header, parse_address_list};
use puerto_smtp::{Address, Recipient, ReversePath};
use puerto_spool::clock::SystemClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{Desk as _, Hindrance, SpilledContent};

use super::*;
use crate::config::Config;

mod bulk;
mod caps;
mod octets;
mod origin;
mod permitted;
mod senders;
mod tls;
mod told;

pub(super) struct Rig {
    pub(super) intake: Intake,
    pub(super) spool: Arc<MemorySpool>,
    dns: Table,
    pub(super) events: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with_keys(&[])
    }

    pub(super) fn with_keys(keys: &[(&str, Algorithm)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut dns = Table::new();
        for (domain, algorithm) in keys {
            let pem = PrivateKey::generate(*algorithm).unwrap();
            let folder = directory.path().join("dkim").join(domain);
            std::fs::create_dir_all(&folder).unwrap();
            let selector = algorithm.name().split('-').next().unwrap();
            let file = folder.join(format!("{selector}.pem"));
            std::fs::write(&file, &pem).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            let record = PrivateKey::from_pem(&pem).unwrap().record_text();
            dns.txt(&format!("{selector}._domainkey.{domain}"), &record);
        }
        let config = Config::for_tests(directory.path());
        let ring = Arc::new(KeyRing::load(&config.dkim_directory));
        assert_eq!(ring.problems(), []);
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let log = MailLog::new(move |event| {
            // A remark's words are what the log has of it.
            let words = match event {
                Event::Remark { cause, .. } => cause.to_string(),
                _ => String::new(),
            };
            seen.lock().unwrap().push(format!("{event:?} {words}"));
        });
        let spool = Arc::new(MemorySpool::new(Arc::new(SystemClock)));
        let store: Arc<dyn Store> = Arc::<MemorySpool>::clone(&spool);
        let intake = Intake::new(Context {
            config: Live::new(config),
            store,
            keys: ring,
            log,
            wake: Wake::default(),
            clock: Arc::new(SystemClock),
        });
        Self { intake, spool, dns, events, _directory: directory }
    }

    pub(super) async fn accept(&self, source: &Source, message: &str) -> Result<String, String> {
        self.accept_content(source, envelope(), Content::Memory(message.into())).await
    }

    pub(super) async fn accept_content(
        &self,
        source: &Source,
        envelope: Envelope,
        content: Content,
    ) -> Result<String, String> {
        let id = self.intake.new_id();
        let accepted = self.intake.accept(id, source, envelope, content).await;
        let accepted = accepted.map_err(|refusal| refusal.reply.to_string())?;
        let mut stored = String::new();
        self.spool.content(id).wait().unwrap().read_to_string(&mut stored).unwrap();
        assert_eq!(accepted.size, stored.len() as u64);
        Ok(stored)
    }

    pub(super) fn dkim(&self, stored: &str) -> Vec<(String, DkimResult)> {
        let now = SystemClock.now().as_secs();
        let results = block_on(dkim::verify(stored.as_bytes(), &self.dns, now)).unwrap();
        results.into_iter().map(|seen| (seen.domain, seen.result)).collect()
    }
}

pub(super) fn local() -> Source {
    Source::Local { uid: 1000, user: "ann".to_owned(), origin: LocalOrigin::default() }
}

pub(super) fn client(trusted: bool) -> Source {
    Source::Smtp {
        client: Client { name: None, address: Some("192.0.2.1".parse().unwrap()) },
        peer: "192.0.2.1:4000".parse().unwrap(),
        helo: "client.example".to_owned(),
        protocol: "ESMTP",
        tls: None,
        trusted,
        account: None,
    }
}

pub(super) fn envelope() -> Envelope {
    let address = |text| Address::parse(text).unwrap();
    Envelope::new(
        ReversePath::Address(address("me@example.com")),
        vec![Recipient::new(address("you@example.net"))],
    )
}

// The stored header's fields as `Name: value`, and the body.
pub(super) fn read(stored: &str) -> (Vec<String>, String) {
    let header = Header::parse(stored.as_bytes()).unwrap();
    let field = |f: &puerto_mail::header::Field<'_>| {
        format!("{}: {}", String::from_utf8_lossy(f.name()), f.text())
    };
    let body = String::from_utf8(header.body().to_vec()).unwrap();
    (header.fields().iter().map(field).collect(), body)
}

pub(super) fn value(stored: &str, name: &str) -> Option<String> {
    let header = Header::parse(stored.as_bytes()).unwrap();
    header.first(name).map(|field| field.text())
}

const WHOLE: &str = "From: me@example.com\r\nTo: you@example.net\r\nSubject: s\r\n\
                     Date: Tue, 24 Nov 2026 07:00:00 +0000\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n";

#[tokio::test]
async fn a_text_without_a_header_becomes_a_message() {
    let rig = Rig::new();
    for (message, body) in [("hi\r\n", "hi\r\n"), ("\r\nhi\r\n", "hi\r\n"), ("", "")] {
        let stored = rig.accept(&local(), message).await.unwrap();
        let (fields, stored_body) = read(&stored);
        assert_eq!(stored_body, body, "{stored}");
        let names: Vec<_> = fields.iter().map(|f| f.split(':').next().unwrap()).collect();
        assert_eq!(names, ["Received", "From", "Date", "Message-ID"]);
        assert_eq!(fields[1], "From: me@example.com");
        assert!(fields[0].contains("by mail.example.com (Buen Puerto, from userid 1000) id"));
        assert!(fields[0].contains("for <you@example.net>;"));
    }
}

#[tokio::test]
async fn local_text_beyond_ascii_gets_the_mime_header_that_it_needs() {
    let rig = Rig::new();
    let utf8 = rig.accept(&local(), "Subject: x\r\n\r\nñandú\r\n").await.unwrap();
    for field in [
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ] {
        assert_eq!(read(&utf8).0.iter().filter(|f| *f == field).count(), 1, "{utf8}");
    }
    for untouched in ["Subject: x\r\n\r\nascii\r\n", "Content-Type: text/html\r\n\r\nñ\r\n"] {
        let stored = rig.accept(&local(), untouched).await.unwrap();
        assert!(!stored.contains("charset"), "{stored}");
    }
    let long = format!("Subject: x\r\n\r\nñ{}\r\n", "x".repeat(1200));
    let stored = rig.accept(&local(), &long).await.unwrap();
    assert!(stored.contains("charset=utf-8"), "{stored}");
    assert_eq!(stored.matches("Content-Transfer-Encoding").count(), 1, "{stored}");
    assert_eq!(stored.matches("MIME-Version").count(), 1, "{stored}");
}

#[tokio::test]
async fn a_whole_message_gets_a_trace_field_and_nothing_else() {
    let rig = Rig::new();
    for source in [local(), client(true), client(false), Source::Internal] {
        let stored = rig.accept(&source, WHOLE).await.unwrap();
        let rest = stored.strip_suffix(WHOLE).unwrap();
        assert_eq!(Header::parse(rest.as_bytes()).unwrap().fields().len(), 1);
        assert!(rest.starts_with("Received: "));
    }
    let events = rig.events.lock().unwrap();
    let kinds: Vec<_> = events.iter().map(|e| e.split(' ').next().unwrap()).take(2).collect();
    assert_eq!(kinds, ["Prepared(Prepared", "Queued"]);
    assert!(events[0].contains("<a@b>"));
}

#[tokio::test]
async fn the_header_of_ours_is_completed_and_made_right() {
    let rig = Rig::new();
    for (message, name, expected) in [
        ("Subject: x\r\n\r\n", "From", Some("me@example.com")),
        ("From: root (Cron Daemon)\r\n\r\n", "From", Some("Cron Daemon <root@example.com>")),
        ("From: \"(Cron)\" <root>\r\n\r\n", "From", Some("\"(Cron)\" <root@example.com>")),
        ("To: root, you@example.net\r\n\r\n", "To", Some("root@example.com, you@example.net")),
        ("To: undisclosed-recipients:;\r\n\r\n", "To", Some("undisclosed-recipients:;")),
        ("To: not an address\r\n\r\n", "To", Some("not an address")),
        ("Bcc: spy@example.org\r\n\r\n", "Bcc", None),
        ("Return-Path: <x@y.example>\r\n\r\n", "Return-Path", None),
        ("Subject: año\r\n\r\n", "Subject", Some("=?utf-8?Q?a=C3=B1o?=")),
        ("X-Thing: año\r\n\r\n", "X-Thing", Some("=?utf-8?Q?a=C3=B1o?=")),
        ("From: José <a@b.example>\r\n\r\n", "From", Some("=?utf-8?Q?Jos=C3=A9?= <a@b.example>")),
        ("From ann Tue Nov 24\r\nSubject: x\r\n\r\n", "Subject", Some("x")),
        ("Subject: x\r\nno field\r\n", "Subject", Some("x")),
        ("Message-Id: <x@y>\r\n\r\n", "Message-ID", Some("<x@y>")),
        ("To: \r\nSubject \t: x\r\n y\r\n\r\n", "To", None),
        ("Subject \t: x\r\n y\r\n\r\n", "Subject", Some("x y")),
        ("Subject: \r\n\r\n", "Subject", None),
    ] {
        let stored = rig.accept(&local(), message).await.unwrap();
        assert_eq!(value(&stored, name).as_deref(), expected, "{message:?} → {stored}");
    }
    let stored = rig.accept(&local(), "Subject: x\r\nno field\r\nBcc: y\r\n").await.unwrap();
    assert!(stored.ends_with("Subject: x\r\n\r\nno field\r\nBcc: y\r\n"), "{stored}");
    let stored = rig.accept(&local(), "Subject: x").await.unwrap();
    assert!(stored.ends_with("Subject: x\r\n\r\n"), "{stored}");
}

#[tokio::test]
async fn mail_that_a_recipient_of_ours_has_had_is_refused_before_it_is_taken() {
    for (source, to, had, refused) in [
        (client(false), "root+1@example.com", "ROOT+1@Example.com", true),
        (client(true), "root+1@example.com", " root+1@example.com\r\n ", true),
        (local(), "root@localhost", "root@localhost", true),
        (local(), "root@mail.example.com", "root@mail.example.com", true),
        (client(false), "root@example.com", "root+1@example.com", false),
        (client(true), "you@example.net", "you@example.net", false),
        (Source::Internal, "root@example.com", "root@example.com", false),
    ] {
        let rig = Rig::new();
        let mut envelope = envelope();
        envelope.recipients.push(Recipient::new(Address::parse(to).unwrap()));
        let message = format!("Received: x\r\nDELIVERED-TO: {had}\r\n{WHOLE}");
        let content = Content::Memory(message.into());
        let result = rig.accept_content(&source, envelope, content).await;
        assert_eq!(result.is_err_and(|text| text.starts_with("554 5.4.6 mail")), refused, "{had}");
    }
}

#[tokio::test]
async fn what_receivers_refuse_is_refused_here() {
    let rig = Rig::new();
    let hops = "Received: x\r\n".repeat(51) + WHOLE;
    let big = format!("X: {}\r\n\r\n", "x ".repeat(1_100_000));
    let any = "From: a@b.example\r\n";
    for (source, message, says) in [
        (client(false), "Subject: x\r\n\r\n", "550 5.6.0 the message has 0 From"),
        (client(false), &format!("{any}{any}\r\n"), "550 5.6.0 the message has 2 From"),
        (client(false), &big, "552 5.3.4"),
        (client(false), "a\nb\r\n", "550 5.6.0 a CR or LF"),
        (client(false), "Subject: a\rb\r\n\r\n", "550 5.6.0 a CR or LF"),
        (client(false), "a\0b\r\n", "550 5.6.0 the message holds a NUL"),
        (client(false), &hops, "554 5.4.6"),
        (Source::Internal, &hops, "554 5.4.6"),
    ] {
        let refusal = rig.accept(&source, message).await.unwrap_err();
        assert!(refusal.starts_with(says), "{refusal}");
    }
    let mut nobody = envelope();
    nobody.reverse_path = ReversePath::Null;
    let content = || Content::Memory(b"hi\r\n".to_vec());
    let stored = rig.accept_content(&client(true), nobody.clone(), content()).await.unwrap();
    assert_eq!(value(&stored, "From"), None);
    let stored = rig.accept_content(&local(), nobody, content()).await.unwrap();
    assert_eq!(value(&stored, "From").as_deref(), Some("ann@example.com"));
    assert_eq!(rig.spool.health().wait().unwrap().messages, 2);
}

#[tokio::test]
async fn mail_from_others_passes_unchanged() {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let message =
        "From: =?x?= root\r\nTo: root\r\nBcc: y\r\nSubject: año\r\nSubject: b\r\n\r\nñ\r\n";
    let stored = rig.accept(&client(false), message).await.unwrap();
    assert!(stored.ends_with(message));
    assert!(stored.starts_with("Received: from client.example (unknown [192.0.2.1])"));
    let stored = rig.accept(&client(false), WHOLE).await.unwrap();
    assert_eq!(rig.dkim(&stored), []);
}

#[tokio::test]
async fn mail_of_ours_is_signed_as_it_is_stored() {
    let rig = Rig::with_keys(&[
        ("example.com", Algorithm::RsaSha256),
        ("example.com", Algorithm::Ed25519Sha256),
        ("other.example", Algorithm::Ed25519Sha256),
    ]);
    let long = format!("Subject: año\r\nBcc: x@y.example\r\n\r\n{}\r\n\r\n\r\n", "é ".repeat(700));
    let hard = "\r\n a  b \t\r\n.\r\n\r\n\r\n";
    for source in [local(), client(true), Source::Internal] {
        for message in [WHOLE, "hi\r\n", &long, hard, "Subject: x", "X: y\r\nwhat\r\n"] {
            if matches!(source, Source::Internal) && message != WHOLE {
                continue;
            }
            let stored = rig.accept(&source, message).await.unwrap();
            let pass = ("example.com".to_owned(), DkimResult::Pass);
            assert_eq!(rig.dkim(&stored), [pass.clone(), pass], "{stored}");
        }
    }
    let sub = WHOLE.replace("me@example.com", "me@shop.example.com");
    assert_eq!(rig.dkim(&rig.accept(&local(), &sub).await.unwrap()).len(), 2);
    let foreign = WHOLE.replace("me@example.com", "me@foreign.example");
    assert_eq!(rig.dkim(&rig.accept(&local(), &foreign).await.unwrap()), []);
}

#[tokio::test]
async fn long_lines_of_ours_are_encoded_before_signing() {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let message =
        format!("Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}\r\n", "é".repeat(900));
    for source in [local(), client(true)] {
        let stored = rig.accept(&source, &message).await.unwrap();
        assert_eq!(
            value(&stored, "Content-Transfer-Encoding").as_deref(),
            Some("quoted-printable")
        );
        assert_eq!(value(&stored, "MIME-Version").as_deref(), Some("1.0"));
        assert!(puerto_mail::message::scan(stored.as_bytes()).longest_line <= 998);
        assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
    }
    let many: Vec<String> = (0..200).map(|n| format!("user{n}@example.net")).collect();
    let message =
        format!("To: {}\r\nReferences: {}\r\n\r\nx", many.join(","), "<a@b> ".repeat(300));
    let stored = rig.accept(&local(), &message).await.unwrap();
    assert!(puerto_mail::message::scan(stored.as_bytes()).longest_line <= 998);
    assert_eq!(value(&stored, "To").unwrap(), many.join(", "));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_accepted_is_whole_and_verifies(
        lines in proptest::collection::vec(
            proptest::prop_oneof![
                "(From|To|Subject|Date|Bcc|Reply-To|Message-ID|X) ?: [a@b.é,;:<>\"()\\[\\]\\\\ =?]{0,16}",
                "[ \t]?[a: é=]{0,6}",
                "(--b|--b--|Content-Type: multipart/mixed; boundary=b|From x)",
                proptest::strategy::Just(" x".repeat(600)),
                proptest::strategy::Just(String::new()),
            ],
            0..12,
        ),
        ends: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
        let message = lines.join("\r\n") + if ends { "\r\n" } else { "" };
        let stored = runtime.block_on(rig.accept(&local(), &message)).unwrap();
        let header = Header::parse(stored.as_bytes()).unwrap();
        proptest::prop_assert_eq!(header.end(), puerto_mail::header::End::Blank);
        for name in ["From", "Date", "Message-ID"] {
            proptest::prop_assert_eq!(header.count(name), 1);
        }
        for name in ["To", "Cc", "Reply-To", "Sender", "Subject", "References"] {
            proptest::prop_assert!(header.count(name) <= 1);
        }
        proptest::prop_assert_eq!(header.count("Bcc"), 0);
        let facts = puerto_mail::message::scan(stored.as_bytes());
        proptest::prop_assert!(facts.longest_line <= 998 && !facts.bare_line_end);
        let author = parse_address_list(header.first("From").unwrap().value(), None).unwrap();
        proptest::prop_assert_eq!(author.len(), 1);
        let is_signed = author[0].address.domain().to_string() == "example.com";
        for (_, result) in rig.dkim(&stored) {
            proptest::prop_assert_eq!(result, DkimResult::Pass);
        }
        proptest::prop_assert!(!is_signed || rig.dkim(&stored).len() == 1);
    }
}

#[tokio::test]
async fn the_envelope_tells_what_the_message_needs() {
    let rig = Rig::new();
    for (message, declared_smtputf8, eight_bit, smtputf8) in [
        (WHOLE.to_owned(), false, false, false),
        (WHOLE.replace("body", "ñ"), false, true, false),
        (WHOLE.replace("Subject: s", "Subject: ñ"), false, true, false),
        (WHOLE.replace("Subject: s", "Subject: ñ"), true, true, true),
        (WHOLE.replace("me@", "mé@"), false, true, true),
        (WHOLE.replace("To: you", "To: yoú"), false, true, true),
    ] {
        let id = rig.intake.new_id();
        let mut envelope = envelope();
        envelope.smtputf8 = declared_smtputf8;
        let content = Content::Memory(message.clone().into_bytes());
        rig.intake.accept(id, &local(), envelope, content).await.unwrap();
        let entry = rig.spool.get(id).wait().unwrap();
        assert_eq!((entry.eight_bit, entry.smtputf8), (eight_bit, smtputf8), "{message}");
    }
}

struct Spilled(Vec<u8>);

impl SpilledContent for Spilled {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn reader(&self) -> Result<Box<dyn Read + Send + '_>, SpoolError> {
        Ok(Box::new(self.0.as_slice()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

#[tokio::test]
async fn large_content_goes_the_same_way() {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let body = "line \r\n".repeat(300_000);
    for header in ["", "Subject: x\r\n\r\n", "Bcc: x@y.example\r\nSubject: x\r\n\r\n"] {
        let content = Content::Spilled(Box::new(Spilled(format!("{header}{body}").into_bytes())));
        let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
        assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
        assert!(stored.ends_with(&format!("\r\n\r\n{body}")));
        assert_eq!(value(&stored, "Bcc"), None);
    }
    let message = format!("{}\r\n{body}", "x".repeat(2000));
    let content = Content::Spilled(Box::new(Spilled(message.clone().into_bytes())));
    let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
    assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
    let content = Content::Spilled(Box::new(Spilled((message.clone() + &body.repeat(4)).into())));
    let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
    assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
}

#[tokio::test]
async fn a_failing_store_is_a_reason_to_try_again() {
    let rig = Rig::new();
    for (error, says) in [
        (SpoolError::Full(Hindrance::NoRoom), "452 4.3.1"),
        (SpoolError::Io(Hindrance::NoDraft), "451 4.3.0"),
        (SpoolError::ReadOnly(Hindrance::NoSegment), "451 4.3.0"),
    ] {
        rig.spool.refuse_with(Some(error));
        let refusal = rig.accept(&local(), WHOLE).await.unwrap_err();
        assert!(refusal.starts_with(says), "{refusal}");
        assert!(rig.intake.draft().is_err());
    }
    let events = rig.events.lock().unwrap();
    assert!(!events.iter().any(|event| event.starts_with("Queued")));
}
