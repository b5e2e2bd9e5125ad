use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::Duration;

use puerto_mail::dkim::{Algorithm, PrivateKey};
use puerto_mail::message::scan;
use puerto_smtp::{EnhancedCode, Reply};
use puerto_spool::clock::SystemClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{Hindrance, SpoolError, Store};

use super::*;
use crate::cause::Cause;
use crate::config::{Config, TlsLevel};
use crate::deliver::{BodyReader, Ending};
use crate::explain;
use crate::intake::{self, KeyRing, Wake};
use crate::route::Plan;
use crate::telemetry::{Delays, DeliveryStatus};

struct Octets(Vec<u8>);

impl Body for Octets {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> std::io::Result<Box<dyn BodyReader>> {
        Ok(Box::new(Reader(std::io::Cursor::new(self.0.clone()))))
    }
}

struct Reader(std::io::Cursor<Vec<u8>>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BodyReader for Reader {
    fn in_memory(&self) -> Option<&[u8]> {
        None
    }
}

const MESSAGE: &str = "From: me@example.com\r\nSubject: hi\r\n\r\nthe body\r\n";

fn job(reverse_path: &str, message: &str) -> Job {
    let recipient = |index, address, notify| LeasedRecipient {
        index,
        recipient: Recipient {
            notify,
            original: Some("rfc822;written@example.net".to_owned()),
            ..Recipient::new(Address::parse(address).unwrap())
        },
        attempts: 0,
    };
    let all = Notify { success: true, failure: true, delay: true };
    Job {
        id: "0123456789AB".parse().unwrap(),
        plan: Arc::new(Plan::direct("example.net", Vec::new(), TlsLevel::None)),
        reverse_path: ReversePath::parse(&format!("<{reverse_path}>")).unwrap(),
        recipients: vec![
            recipient(0, "plain@example.net", None),
            recipient(1, "never@example.net", Some(Notify::NEVER)),
            recipient(2, "all@example.net", Some(all)),
        ],
        envelope_id: Some("ENV1".to_owned()),
        ret: None,
        verp: None,
        eight_bit: false,
        smtputf8: false,
        tls: puerto_smtp::TlsWish::Usual,
        bulk: false,
        received_at: Timestamp::from_millis(1_795_500_000_000),
        in_queue: Duration::ZERO,
        ending: Ending::default(),
        body: Arc::new(Octets(message.as_bytes().to_vec())),
    }
}

fn outcomes(component: &'static str) -> Vec<Outcome> {
    let reply = Reply::enhanced(550, (5, 1, 1), "no such user");
    let outcome = |index| Outcome {
        index,
        status: DeliveryStatus::Bounced,
        component,
        relay: "mx.example.net[192.0.2.1]:25".to_owned(),
        host: Some("mx.example.net".to_owned()),
        status_code: EnhancedCode::new(5, 1, 1),
        reply: Some(reply.clone()),
        cause: Cause::words("host mx.example.net[192.0.2.1] said: 550 5.1.1 no such user"),
        tls: None,
        tls_reason: None,
        at: Timestamp::from_millis(1_795_500_001_000),
        delays: Delays::default(),
        retry_after: None,
        success: match component {
            "local" => Success::Delivered,
            _ => Success::Relayed,
        },
        against: None,
    };
    (0..3).map(outcome).collect()
}

struct Rig {
    bouncer: Bouncer,
    spool: Arc<MemorySpool>,
    events: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

fn rig() -> Rig {
    rig_with(|_| {})
}

fn rig_with(keys: impl FnOnce(&std::path::Path)) -> Rig {
    rig_in(Language::English, keys)
}

fn rig_in(language: Language, keys: impl FnOnce(&std::path::Path)) -> Rig {
    rig_for(|config| config.language = language, keys)
}

fn rig_for(change: impl FnOnce(&mut Config), keys: impl FnOnce(&std::path::Path)) -> Rig {
    let directory = tempfile::tempdir().unwrap();
    keys(directory.path());
    let mut config = Config::for_tests(directory.path());
    change(&mut config);
    let config = Live::new(config);
    let spool = Arc::new(MemorySpool::new(Arc::new(SystemClock)));
    let store: Arc<dyn Store> = Arc::<MemorySpool>::clone(&spool);
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
    let keys = Arc::new(KeyRing::load(directory.path()));
    let intake = Intake::new(intake::Context {
        config: config.clone(),
        store,
        keys,
        log: log.clone(),
        wake: Wake::default(),
        clock: Arc::new(SystemClock),
    });
    let bouncer = Bouncer::new(config, Arc::new(intake), log);
    Rig { bouncer, spool, events, _directory: directory }
}

impl Rig {
    async fn notify(
        &self,
        kind: Kind,
        job: &Job,
        outcomes: &[Outcome],
    ) -> Result<Option<MessageId>, Refusal> {
        let expire_at = Timestamp::from_millis(1_795_900_000_000);
        let origin = Some(Origin::LocalUser(1000));
        let next_attempt = Some(Timestamp::from_millis(1_795_600_000_000));
        let notice = Notice { kind, job, others: &[], outcomes, expire_at, next_attempt, origin };
        self.bouncer.notify(&notice).await
    }

    async fn notify_a_stranger(&self, job: &Job) {
        let (outcomes, kind) = (outcomes("local"), Kind::Failed);
        let expire_at = Timestamp::from_millis(1_795_900_000_000);
        let origin = Some(Origin::Client("unknown[198.51.100.7]".to_owned()));
        let next_attempt = None;
        let notice =
            Notice { kind, job, others: &[], outcomes: &outcomes, expire_at, next_attempt, origin };
        self.bouncer.notify(&notice).await.unwrap();
    }

    // The notifications that are queued.
    fn queued(&self) -> Vec<String> {
        let entries = self.spool.entries();
        let read = |id| {
            let mut text = String::new();
            self.spool.content(id).wait().unwrap().read_to_string(&mut text).unwrap();
            text
        };
        for entry in &entries {
            assert!(entry.reverse_path.is_null());
            assert_eq!(entry.recipients[0].recipient.address.to_string(), "me@example.com");
        }
        entries.iter().map(|entry| read(entry.id)).collect()
    }
}

#[tokio::test]
async fn the_sender_is_told_what_was_asked_for() {
    for (kind, component, names, action) in [
        (Kind::Failed, "smtp", vec!["plain", "all"], "Action: failed\r\nStatus: 5.1.1"),
        (Kind::Delayed, "smtp", vec!["plain", "all"], "Action: delayed\r\nStatus: 4.1.1"),
        (Kind::Delivered, "smtp", vec!["all"], "Action: relayed\r\nStatus: 2.1.1"),
        (Kind::Delivered, "local", vec!["all"], "Action: delivered\r\nStatus: 2.1.1"),
    ] {
        let rig = rig();
        let job = job("me@example.com", MESSAGE);
        let told = rig.notify(kind, &job, &outcomes(component)).await.unwrap();
        assert!(told.is_some());
        let queued = rig.queued();
        assert_eq!(queued.len(), 1);
        let text = &queued[0];
        for name in ["plain", "never", "all"] {
            let is_told = text.contains(&format!("Final-Recipient: rfc822; {name}@example.net"));
            assert_eq!(is_told, names.contains(&name), "{kind:?} {name}");
            assert_eq!(text.contains(&format!("\n  {name}@example.net")), is_told);
        }
        assert!(text.contains(action), "{text}");
        assert!(text.contains("Subject: hi\r\n") && !text.contains("the body"));
        assert!(text.contains("Original-Recipient: rfc822; written@example.net\r\n"));
        assert!(text.contains("Original-Envelope-Id: ENV1\r\n"));
        assert_eq!(text.contains("Will-Retry-Until: "), kind == Kind::Delayed);
    }
}

/// C6: what is given up is not tried again, whatever a peer invited us to.
#[tokio::test]
async fn a_final_notice_invites_nobody_to_try_again_later() {
    for (status, text) in [
        ((5, 4, 4), "the MX record names the address 192.0.2.52, where a host's name belongs"),
        ((5, 4, 4), "the MX host mx.example.net has no address"),
        ((5, 4, 4), "no mail exchanger is left to try"),
        (
            (5, 4, 4),
            "mx.example.net has the unspecified address 0.0.0.0, where no mail is delivered",
        ),
        (
            (5, 4, 4),
            "the address literal [0.0.0.0] is an unspecified address, where no mail is delivered",
        ),
        ((5, 1, 10), "example.net takes no mail: it publishes a null MX (RFC 7505)"),
        ((5, 1, 10), "example.net takes no mail: its MX is localhost"),
        ((5, 1, 2), "the domain example.net does not exist; is it spelled correctly?"),
        (
            (5, 4, 6),
            "mail for [192.0.2.1] loops back to this server, which has no mailboxes at that address",
        ),
        // Given up by age.
        ((4, 4, 3), "MX of example.net: the DNS did not answer in time"),
        ((4, 4, 1), "connect to mx.example.net[192.0.2.1]:25: Connection refused"),
        ((4, 7, 5), "Cannot start TLS with mx.example.net[192.0.2.1]: the certificate has expired"),
        (
            (4, 7, 1),
            "host mx.example.net[192.0.2.1] said: 451 4.7.1 Greylisted, please try again later (in reply to RCPT TO command)",
        ),
        (
            (4, 2, 2),
            "host mx.example.net[192.0.2.1] said: 452 4.2.2 over quota, try again later (in reply to RCPT TO command)",
        ),
        (
            (4, 3, 2),
            "host mx.example.net[192.0.2.1] said: 421 4.3.2 Service not available, try again later (in reply to end of DATA command)",
        ),
        ((4, 3, 2), "too many connections wait for 192.0.2.1"),
    ] {
        let rig = rig();
        let outcome = Outcome {
            cause: Cause::words(text),
            status_code: EnhancedCode::new(status.0, status.1, status.2),
            ..outcomes("error").remove(0)
        };
        rig.notify(Kind::Failed, &job("me@example.com", MESSAGE), &[outcome]).await.unwrap();
        let notice = rig.queued().remove(0).replace("\r\n", "\n");
        let people = notice.split("message/delivery-status").next().unwrap();
        let line = people.split_whitespace().collect::<Vec<_>>().join(" ");
        let ours = line.replace("It will not be tried again.", "");
        let ours = ours.replace("It was tried again and again, until", "");
        let says = ours.replace(text, "").to_lowercase();
        for invitation in ["again later", "try again", "tried again", "is retried", "will be tried"]
        {
            assert!(!says.contains(invitation), "{text}: {people}");
        }
    }
}

#[tokio::test]
async fn nobody_is_told_about_a_notification_or_against_their_wish() {
    let rig = rig();
    let null = job("", MESSAGE);
    rig.notify(Kind::Failed, &null, &outcomes("smtp")).await.unwrap();
    assert!(rig.events.lock().unwrap().iter().any(|event| event.contains("dropped")));
    let wished = job("me@example.com", MESSAGE);
    rig.notify(Kind::Failed, &wished, &outcomes("smtp")[1..2]).await.unwrap();
    rig.notify(Kind::Delivered, &wished, &outcomes("smtp")[..2]).await.unwrap();
    let mut reported = outcomes("smtp");
    reported.iter_mut().for_each(|outcome| outcome.success = Success::ToldElsewhere);
    rig.notify(Kind::Delivered, &wished, &reported).await.unwrap();
    assert!(rig.queued().is_empty());
}

#[tokio::test]
async fn the_whole_message_is_returned_where_it_is_wanted_and_small() {
    let large = format!("{MESSAGE}{}", "more\r\n".repeat(10_000));
    for (kind, message, is_full) in [
        (Kind::Failed, MESSAGE, true),
        (Kind::Failed, large.as_str(), false),
        (Kind::Delayed, MESSAGE, false),
    ] {
        let rig = rig();
        let job = Job { ret: Some(Return::Full), ..job("me@example.com", message) };
        rig.notify(kind, &job, &outcomes("smtp")).await.unwrap();
        assert_eq!(rig.queued()[0].contains("the body"), is_full);
        assert!(rig.queued()[0].contains("Subject: hi"));
    }
}

/// RFC 8689 §5: as if RET=HDRS had been said, and no less protected than the message was.
#[tokio::test]
async fn a_notice_of_mail_that_requires_tls_requires_it_and_has_the_header_alone() {
    use puerto_smtp::TlsWish::{Optional, Required, Usual};
    for (tls, kind, notice, is_full) in [
        (Required, Kind::Failed, Required, false),
        (Required, Kind::Delayed, Required, false),
        (Usual, Kind::Failed, Usual, true),
        (Optional, Kind::Failed, Usual, true),
    ] {
        let rig = rig();
        let job = Job { tls, ret: Some(Return::Full), ..job("me@example.com", MESSAGE) };
        rig.notify(kind, &job, &outcomes("smtp")).await.unwrap();
        assert_eq!(rig.spool.entries()[0].tls, notice, "{tls:?} {kind:?}");
        assert_eq!(rig.queued()[0].contains("the body"), is_full, "{tls:?} {kind:?}");
    }
}

#[tokio::test]
async fn success_is_told_in_the_words_of_what_it_means() {
    for (success, action, words) in [
        (Success::Delivered, "delivered", "It is in the mailbox."),
        (Success::Expanded, "expanded", "stands for several people"),
        (Success::Relayed, "relayed", "handed to mx.example.net, which does not tell"),
    ] {
        let rig = rig();
        let outcomes: Vec<Outcome> =
            outcomes("smtp").into_iter().map(|o| Outcome { success, ..o }).collect();
        rig.notify(Kind::Delivered, &job("me@example.com", MESSAGE), &outcomes).await.unwrap();
        let text = rig.queued().remove(0);
        assert!(text.contains(&format!("Action: {action}\r\nStatus: 2.1.1\r\n")), "{text}");
        assert!(text.replace("\r\n    ", " ").contains(words), "{text}");
        assert_eq!(text.matches("Action: ").count(), 1, "for whom it was asked");
    }
}

#[tokio::test]
async fn a_delay_is_told_with_its_reason_and_the_next_attempt() {
    let rig = rig();
    let mut outcomes = outcomes("smtp");
    outcomes.iter_mut().for_each(|o| o.status_code = o.status_code.with_class(4));
    rig.notify(Kind::Delayed, &job("me@example.com", MESSAGE), &outcomes).await.unwrap();
    let text = rig.queued().remove(0);
    let line = |name: &str| {
        let found = text.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    };
    assert!(line("The next attempt is made on").contains(" Nov 2026 "), "{text}");
    assert!(line("Will-Retry-Until: ").contains(" Nov 2026 "));
    assert!(text.contains("550 5.1.1 no such user") && text.contains("In short: "));
}

#[tokio::test]
async fn a_notice_says_which_log_and_which_host_know_more() {
    for (component, origin, received, logged) in [
        (
            "local",
            Origin::Client("shop.example.com[127.0.0.1]".to_owned()),
            "dns; shop.example.com",
            true,
        ),
        ("smtp", Origin::Client("unknown[::1]".to_owned()), "dns; [IPv6:::1]", false),
        ("smtp", Origin::LocalUser(7), "", false),
    ] {
        let rig = rig();
        let host = (component == "smtp").then(|| "mx.example.net".to_owned());
        let outcome = Outcome { host, ..outcomes(component).remove(0) };
        let (job, outcomes) = (job("me@example.com", MESSAGE), [outcome]);
        let expire_at = Timestamp::from_millis(1_795_900_000_000);
        let (kind, origin) = (Kind::Failed, Some(origin));
        let notice = Notice {
            kind,
            job: &job,
            others: &[],
            outcomes: &outcomes,
            expire_at,
            next_attempt: None,
            origin,
        };
        rig.bouncer.notify(&notice).await.unwrap();
        let text = rig.queued().remove(0);
        let field = format!("Received-From-MTA: {received}\r\n");
        assert_eq!(text.contains(&field), !received.is_empty(), "{text}");
        assert_eq!(text.contains("Final-Log-ID: 0123456789AB\r\n"), logged, "{text}");
    }
}

/// A notice about mail whose reverse-path names each recipient goes to that address.
#[tokio::test]
async fn each_verp_address_is_told_of_its_own_recipient() {
    let rig = rig();
    let job = Job { verp: Some(puerto_smtp::Verp::default()), ..job("me@example.com", MESSAGE) };
    rig.notify(Kind::Failed, &job, &outcomes("smtp")).await.unwrap();
    let entries = rig.spool.entries();
    let told: Vec<_> =
        entries.iter().map(|e| e.recipients[0].recipient.address.to_string()).collect();
    assert_eq!(told, ["me+plain=example.net@example.com", "me+all=example.net@example.com"]);
    let logged = |event: &&String| event.starts_with("Notification");
    assert_eq!(rig.events.lock().unwrap().iter().filter(logged).count(), 1, "the caller logs one");
}

#[tokio::test]
async fn a_postmaster_who_wants_to_hears_of_notices_that_failed_but_not_of_his_own() {
    let postmaster = || Address::parse("postmaster@example.com").unwrap();
    let stranger = Origin::Client("unknown[198.51.100.7]".to_owned());
    let (internal, trusted) = (Origin::Internal, Origin::Client("a[127.0.0.1]".to_owned()));
    for (origin, to, original, is_told) in [
        (internal.clone(), "gone@example.net", "rfc822;gone@example.net", true),
        (trusted, "gone@example.net", "rfc822;gone@example.net", true),
        (stranger, "gone@example.net", "rfc822;gone@example.net", false),
        (internal.clone(), "Postmaster@example.com", "rfc822;x@example.net", false),
        (internal, "admin@example.org", "rfc822;postmaster@EXAMPLE.com", false),
    ] {
        let rig = rig_for(|config| config.postmaster = Some(postmaster()), |_| {});
        let mut job = job("", MESSAGE);
        job.recipients[0].recipient.address = Address::parse(to).unwrap();
        job.recipients[0].recipient.original = Some(original.to_owned());
        let (kind, outcomes) = (Kind::Failed, &outcomes("smtp")[..1]);
        let expire_at = Timestamp::from_millis(1_795_900_000_000);
        let origin = Some(origin);
        let notice = Notice {
            kind,
            job: &job,
            others: &[],
            outcomes,
            expire_at,
            next_attempt: None,
            origin,
        };
        let told = rig.bouncer.notify(&notice).await.unwrap();
        assert_eq!(told.is_some(), is_told, "{to} {original}");
        let entries = rig.spool.entries();
        assert!(entries.iter().all(|e| e.recipients[0].recipient.address == postmaster()));
        assert!(entries.iter().all(|e| e.reverse_path.is_null()));
    }
}

/// A3: nobody has this server send a stranger's words to a victim under our name.
#[tokio::test]
async fn the_signed_reflector_returns_headers_alone_unsigned_and_not_without_end() {
    let pem = PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap();
    let rig = rig_with(|directory| {
        let folder = directory.join("example.com");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("one.pem");
        std::fs::write(&file, &pem).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    });
    let job = Job { ret: Some(Return::Full), ..job("me@example.com", MESSAGE) };
    rig.notify(Kind::Failed, &job, &outcomes("local")).await.unwrap();
    let ours = rig.queued().remove(0);
    assert!(ours.starts_with("DKIM-Signature:") && ours.contains("the body"), "{ours}");
    for _ in 0..50 {
        rig.notify_a_stranger(&job).await;
    }
    let queued = rig.queued();
    assert_eq!(queued.len(), 1 + 10);
    for outward in queued.iter().skip(1) {
        assert!(outward.contains("Subject: hi") && !outward.contains("the body"), "{outward}");
        assert!(!outward.contains("DKIM-Signature"), "{outward}");
    }
    let dropped = |event: &&String| event.contains("too many notifications to outsiders");
    assert_eq!(rig.events.lock().unwrap().iter().filter(dropped).count(), 40);
}

#[tokio::test]
async fn a_failing_store_keeps_the_cause_unsettled() {
    let rig = rig();
    rig.spool.refuse_with(Some(SpoolError::Full(Hindrance::NoRoom)));
    let job = job("me@example.com", MESSAGE);
    assert!(rig.notify(Kind::Failed, &job, &outcomes("smtp")).await.is_err());
    rig.spool.refuse_with(None);
    rig.notify(Kind::Failed, &job, &outcomes("smtp")).await.unwrap();
    assert_eq!(rig.queued().len(), 1);
}

#[tokio::test]
async fn a_message_that_cannot_be_returned_is_left_out() {
    let rig = rig();
    let broken = format!("Subject: hi\r\nX: {}\r\n\r\n", "x".repeat(2000));
    rig.notify(Kind::Failed, &job("me@example.com", &broken), &outcomes("smtp")).await.unwrap();
    let queued = rig.queued();
    assert_eq!(queued.len(), 1);
    assert!(scan(queued[0].as_bytes()).longest_line <= 998);
    assert!(queued[0].contains("Action: failed"));
}

#[tokio::test]
async fn the_text_says_what_to_do_only_when_there_is_something_to_do() {
    for (kind, class, says, silent) in [
        (Kind::Failed, 5, "Check it for typing mistakes", "again and again"),
        (Kind::Failed, 4, "again and again", "need not do anything"),
        (Kind::Delayed, 4, "need not do anything", "Check it for typing mistakes"),
    ] {
        let rig = rig();
        let mut outcomes = outcomes("smtp");
        outcomes.iter_mut().for_each(|o| o.status_code = o.status_code.with_class(class));
        rig.notify(kind, &job("me@example.com", MESSAGE), &outcomes).await.unwrap();
        let text = rig.queued()[0].replace("\r\n    ", " ").replace("\r\n", " ");
        assert!(text.contains(says) && !text.contains(silent), "{text}");
    }
}

#[tokio::test]
async fn the_text_says_in_short_what_the_reply_means() {
    let said = |reply: &str| format!("host mx.example.net[192.0.2.1] said: {reply}");
    for (kind, reply, says, silent) in [
        (
            Kind::Failed,
            "550 5.1.1 no such user",
            "In short: no such recipient",
            "administrator, who",
        ),
        (Kind::Failed, "550 5.7.1 no PTR record", "administrator, who can do", "doubts the sender"),
        (Kind::Failed, "450 4.2.0 greylisted", "In short: greylisting", "tried again by itself"),
        (Kind::Delayed, "450 4.2.0 greylisted", "tried again by itself", "administrator, who"),
        (Kind::Failed, "550 zzz", "zzz", "In short"),
    ] {
        let rig = rig();
        let mut outcomes = outcomes("smtp");
        outcomes.iter_mut().for_each(|o| o.cause = Cause::words(said(reply)));
        rig.notify(kind, &job("me@example.com", MESSAGE), &outcomes).await.unwrap();
        let text = rig.queued()[0].replace("\r\n    ", " ").replace("\r\n", " ");
        assert!(text.contains(says) && !text.contains(silent), "{reply}: {text}");
    }
}

#[tokio::test]
async fn the_part_for_people_names_the_subject_of_the_message() {
    let message = "From: me@example.com\r\nSubject: =?utf-8?Q?Caf=C3=A9_a_las_5?=\r\n\r\nhi\r\n";
    let rig = rig();
    rig.notify(Kind::Failed, &job("me@example.com", message), &outcomes("smtp")).await.unwrap();
    let text = &rig.queued()[0];
    let people = text.split("message/delivery-status").next().unwrap();
    assert!(people.contains("Its subject: Caf"), "{text}");
}

/// G5: and what is for programs stays English.
#[tokio::test]
async fn the_part_for_people_is_in_the_language_of_the_configuration() {
    for (kind, subject, says) in [
        (
            Kind::Failed,
            "No se ha podido entregar su mensaje",
            "En resumen: esa dirección no existe",
        ),
        (Kind::Delayed, "Su mensaje se retrasa", "se seguirá intentando hasta el 28/11/2026"),
        (Kind::Delivered, "Su mensaje se ha entregado", "Pidió que se le avisara"),
    ] {
        let rig = rig_in(Language::Spanish, |_| {});
        let mut outcomes = outcomes("smtp");
        outcomes.iter_mut().for_each(|o| {
            o.cause = Cause::Refused {
                host: "mx.example.net[192.0.2.1]".to_owned(),
                reply: "550 5.1.1 no such user".to_owned(),
                command: crate::cause::field::Command(puerto_smtp::client::Stage::Recipient),
            };
        });
        rig.notify(kind, &job("me@example.com", MESSAGE), &outcomes).await.unwrap();
        let text = rig.queued().remove(0);
        let (people, programs) = text.split_once("message/delivery-status").unwrap();
        let people = people.replace("\r\n    ", " ").replace("\r\n", " ");
        for said in [subject, says, "Su asunto: hi", "identificador de cola 0123456789AB"] {
            assert!(people.contains(said), "{said}: {people}");
        }
        for label in ["Este es un informe en formato MIME.", "Content-Description: Lo ocurrido"] {
            assert!(people.contains(label), "{label}: {people}");
        }
        for english in ["Your ", "could not", "said:", "This is ", "What happened"] {
            assert!(!people.contains(english), "{english}: {people}");
        }
        assert!(programs.contains("Diagnostic-Code: smtp; 550 5.1.1 no such user"), "{programs}");
        assert!(programs.contains("Action: "), "{programs}");
        // What we write ourselves is read back whole (F5).
        let read = explain::explain_each(&text, None);
        let names: Vec<_> = read.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
        let told = ["plain@example.net", "all@example.net"];
        let expected = if kind == Kind::Delivered { &told[..0] } else { &told[..] };
        assert_eq!(names, expected, "{kind:?}");
    }
}

/// One notice tells of those whom other jobs have, too, each with its own last reply.
#[tokio::test]
async fn recipients_of_other_jobs_are_told_of_with_what_is_kept_of_them() {
    let rig = rig();
    let job = job("me@example.com", MESSAGE);
    let address = Address::parse("full@example.org").unwrap();
    let recipient = Recipient::new(address);
    let others = [LeasedRecipient { index: 7, recipient, attempts: 3 }];
    let mut outcomes = outcomes("smtp");
    outcomes.truncate(1);
    let cause = Cause::Refused {
        host: "mx.example.org[192.0.2.2]".to_owned(),
        reply: "452 4.2.2 mailbox full".to_owned(),
        command: crate::cause::field::Command(puerto_smtp::client::Stage::Recipient),
    };
    let host = Some("mx.example.org".to_owned());
    let status_code = EnhancedCode::new(4, 2, 2);
    let other = Outcome { index: 7, reply: None, cause, host, status_code, ..outcomes[0].clone() };
    outcomes.push(other);
    let notice = Notice {
        kind: Kind::Delayed,
        job: &job,
        others: &others,
        outcomes: &outcomes,
        expire_at: Timestamp::from_millis(1_795_900_000_000),
        next_attempt: None,
        origin: Some(Origin::LocalUser(1000)),
    };
    rig.bouncer.notify(&notice).await.unwrap();
    let text = rig.queued().remove(0);
    let (people, programs) = text.split_once("message/delivery-status").unwrap();
    assert!(
        people.contains("plain@example.net") && people.contains("full@example.org"),
        "{people}"
    );
    assert_eq!(programs.matches("Action: delayed").count(), 2, "{programs}");
    assert!(programs.contains("Diagnostic-Code: smtp; 452 4.2.2 mailbox full"), "{programs}");
}

#[tokio::test]
async fn nothing_is_said_twice_to_people() {
    let rig = rig();
    rig.notify(Kind::Failed, &job("me@example.com", MESSAGE), &outcomes("smtp")).await.unwrap();
    let text = rig.queued().remove(0);
    let people = text.split("message/delivery-status").next().unwrap();
    assert!(people.contains("In short: no such recipient.\r\n"), "{people}");
    let advice = "Check it for typing mistakes";
    assert_eq!(people.matches(advice).count(), 2, "once for each recipient: {people}");
    assert!(!people.contains("take it off your lists") && !people.contains("no such address"));
}

/// Everything that people are told of a refusal, in both languages: golden files.
#[tokio::test]
async fn what_people_are_told_is_as_it_was() {
    let replies = [
        "550 5.1.1 no such user",
        "550 5.1.1 zzz",
        "550 5.1.10 zzz",
        "550 5.1.2 zzz",
        "553 5.1.8 zzz",
        "450 4.2.0 greylisted",
        "452 4.2.2 mailbox full",
        "550 5.2.1 zzz",
        "552 5.3.4 message too large",
        "550 5.3.0 zzz",
        "450 4.4.1 zzz",
        "550 5.4.4 zzz",
        "554 5.4.6 zzz",
        "550 5.6.0 zzz",
        "550 5.7.1 no PTR record",
        "550 5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy.",
        "451 4.7.0 too many recipients, one domain only per session",
        "421 4.7.0 too many connections from your IP",
        "550 5.7.1 zzz",
        "550 5.7.1 blocked using zen.spamhaus.org",
        "554 5.7.1 virus found",
    ];
    for language in [Language::English, Language::Spanish] {
        let mut all = String::new();
        for (kind, reply) in
            [Kind::Failed, Kind::Delayed].iter().flat_map(|kind| replies.map(|r| (*kind, r)))
        {
            let rig = rig_in(language, |_| {});
            let mut outcome = outcomes("smtp").remove(0);
            outcome.status_code = reply.split(' ').nth(1).unwrap().parse().unwrap();
            outcome.cause = Cause::Refused {
                host: "mx.example.net[192.0.2.1]".to_owned(),
                reply: reply.to_owned(),
                command: crate::cause::field::Command(puerto_smtp::client::Stage::Recipient),
            };
            rig.notify(kind, &job("me@example.com", MESSAGE), &[outcome]).await.unwrap();
            let text = rig.queued().remove(0).replace("\r\n", "\n");
            let (_, told) = text.split_once("  plain@example.net\n").unwrap();
            let (told, _) = told.split_once("\n\n").unwrap();
            all.push_str(&format!("== {kind:?} {reply}\n{told}\n"));
        }
        let code = if language == Language::English { "en" } else { "es" };
        crate::golden::same(&format!("bounce/told.{code}.txt"), &all);
    }
}
