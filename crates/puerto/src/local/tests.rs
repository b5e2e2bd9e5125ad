//! Delivery to local recipients as a whole: aliases, copies elsewhere, loops.

mod golden;

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::{Address, EnhancedCode, Notify, Recipient, ReversePath};
use puerto_spool::clock::SystemClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{Entry, LeasedRecipient, MessageId, Store, Timestamp};

use super::Mailboxes;
use crate::config::{Config, Live, Mailbox, TlsLevel};
use crate::deliver::{Body, BodyReader, Ending, Job, Outcome, Report, Success};
use crate::intake::{self, Intake, KeyRing, Wake};
use crate::route::Plan;
use crate::telemetry::{DeliveryStatus, MailLog};

/// A message's content.
pub(super) struct Text(pub(super) &'static [u8]);

impl Body for Text {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> std::io::Result<Box<dyn BodyReader>> {
        Ok(Box::new(Open(Cursor::new(self.0))))
    }
}

struct Open(Cursor<&'static [u8]>);

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BodyReader for Open {
    fn in_memory(&self) -> Option<&[u8]> {
        Some(self.0.get_ref())
    }
}

const MESSAGE: &[u8] = b"From: me@example.org\r\nDate: Tue, 24 Nov 2026 07:00:00 +0000\r\n\
    Message-ID: <1@example.org>\r\nSubject: x\r\n\r\nhi\r\n";

fn job(to: &[&str], message: &'static [u8]) -> Job {
    let recipient = |(index, to): (usize, &&str)| LeasedRecipient {
        index: u32::try_from(index).unwrap(),
        recipient: Recipient::new(Address::parse(to).unwrap()),
        attempts: 0,
    };
    Job {
        id: MessageId::from_u64(1 << 40),
        plan: Arc::new(Plan::direct("local", Vec::new(), TlsLevel::None)),
        reverse_path: ReversePath::parse("<me@example.org>").unwrap(),
        recipients: to.iter().enumerate().map(recipient).collect(),
        envelope_id: None,
        ret: None,
        verp: None,
        eight_bit: false,
        smtputf8: false,
        tls: puerto_smtp::TlsWish::Usual,
        bulk: false,
        received_at: Timestamp::from_millis(0),
        in_queue: Duration::ZERO,
        ending: Ending::default(),
        body: Arc::new(Text(message)),
    }
}

struct House {
    dir: tempfile::TempDir,
    spool: Arc<MemorySpool>,
    mailboxes: Mailboxes,
}

impl House {
    fn new(aliases: &str) -> Self {
        Self::with_log(aliases, MailLog::nowhere())
    }

    fn with_log(aliases: &str, log: MailLog) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("aliases"), aliases).unwrap();
        let config = Live::new(Config::for_tests(dir.path()));
        let spool = Arc::new(MemorySpool::new(Arc::new(SystemClock)));
        let store: Arc<dyn Store> = Arc::clone(&spool) as Arc<dyn Store>;
        let keys = Arc::new(KeyRing::load(dir.path()));
        let intake = Arc::new(Intake::new(intake::Context {
            config: config.clone(),
            store,
            keys,
            log: log.clone(),
            wake: Wake::default(),
            clock: Arc::new(SystemClock),
        }));
        let mailboxes = Mailboxes::new(config, intake, log).in_directory(&dir.path().join("mail"));
        std::fs::create_dir(dir.path().join("mail")).unwrap();
        Self { dir, spool, mailboxes }
    }

    fn write_aliases(&self, aliases: &str) {
        std::fs::write(self.dir.path().join("aliases"), aliases).unwrap();
    }

    fn mailbox(&self, user: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("mail").join(user)).unwrap_or_default()
    }

    fn queued(&self) -> Vec<Entry> {
        self.spool.entries()
    }
}

fn told(report: &Report) -> Vec<(DeliveryStatus, EnhancedCode, &'static str)> {
    let told = |o: &Outcome| (o.status, o.status_code, &*o.text().into_owned().leak());
    report.outcomes.iter().map(told).collect()
}

#[tokio::test]
async fn a_user_finds_the_message_in_the_mailbox() {
    let house = House::new("office: root\n");
    let to = ["root+tag@example.com", "office@example.com", "nobody-here@example.com"];
    let report = house.mailboxes.deliver(&job(&to, MESSAGE)).await;
    let code = EnhancedCode::new;
    assert_eq!(
        told(&report),
        [
            (DeliveryStatus::Sent, code(2, 0, 0), "delivered to mailbox"),
            (DeliveryStatus::Sent, code(2, 0, 0), "delivered to mailbox"),
            (DeliveryStatus::Bounced, code(5, 1, 1), "there is no user `nobody-here`"),
        ]
    );
    let indices: Vec<u32> = report.outcomes.iter().map(|outcome| outcome.index).collect();
    assert_eq!(indices, [0, 1, 2]);
    let text = house.mailbox("root");
    for part in [
        "From me@example.org ",
        "\nReturn-Path: <me@example.org>\nX-Original-To: root+tag@example.com\n\
         Delivered-To: root+tag@example.com\nX-Original-To: office@example.com\n\
         Delivered-To: office@example.com\nFrom: me@example.org\n",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[tokio::test]
async fn two_hundred_addresses_of_a_user_are_one_copy() {
    let house = House::new("team: root, a@example.net\n");
    let to: Vec<String> = (0..200).map(|n| format!("root+{n}@example.com")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let first = house.mailboxes.deliver(&job(&to[..150], MESSAGE)).await;
    assert!(told(&first).iter().all(|(status, ..)| *status == DeliveryStatus::Sent));
    // The rest of the recipients, in another job of the same message.
    let rest = house.mailboxes.deliver(&job(&to[150..], MESSAGE)).await;
    assert!(told(&rest).iter().all(|(status, ..)| *status == DeliveryStatus::Sent));
    let text = house.mailbox("root");
    assert_eq!(text.matches("Subject: x").count(), 1);
    assert_eq!(text.matches("Delivered-To: root+").count(), 150);
    let teams = ["team+1@example.com", "team+2@example.com", "root@example.com"];
    house.mailboxes.deliver(&job(&teams, MESSAGE)).await;
    assert_eq!(house.queued().len(), 1, "one copy to each address elsewhere");
}

#[tokio::test]
async fn addresses_elsewhere_get_a_copy_by_the_queue() {
    let house = House::new("team: root, a@example.net, b@example.net\n");
    let report = house.mailboxes.deliver(&job(&["team@example.com"], MESSAGE)).await;
    let (status, _, text) = told(&report)[0];
    assert_eq!(status, DeliveryStatus::Sent);
    assert!(text.contains("forwarded as ") && text.contains("delivered to mailbox"), "{text}");
    let queued = house.queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].reverse_path.to_string(), "me@example.org");
    let mut to: Vec<String> =
        queued[0].recipients.iter().map(|r| r.recipient.address.to_string()).collect();
    to.sort();
    assert_eq!(to, ["a@example.net", "b@example.net"]);
    let original = queued[0].recipients[0].recipient.original.as_deref();
    assert_eq!(original, Some("rfc822;team@example.com"));
    let mut content = String::new();
    house.spool.content(queued[0].id).wait().unwrap().read_to_string(&mut content).unwrap();
    assert!(content.contains("Delivered-To: team@example.com\r\n"), "{content}");
}

#[tokio::test]
async fn mail_that_comes_round_again_is_stopped() {
    let house = House::new("");
    let looping =
        b"Received: x\r\nDELIVERED-TO:  Root@Example.com \r\nSubject: x\r\n\r\nDelivered-To: y\r\n";
    let to = ["root@example.com", "root+y@example.com"];
    let report = house.mailboxes.deliver(&job(&to, looping)).await;
    let told = told(&report);
    assert_eq!((told[0].0, told[0].1), (DeliveryStatus::Bounced, EnhancedCode::new(5, 4, 6)));
    assert_eq!(told[1].0, DeliveryStatus::Sent, "another address of the same user is no loop");
}

#[tokio::test]
async fn a_retry_leaves_out_who_has_it_already() {
    let house = House::new("team: root, daemon\n");
    let mail = house.dir.path().join("mail");
    std::fs::create_dir(mail.join("daemon")).unwrap();
    let report = house.mailboxes.deliver(&job(&["team@example.com"], MESSAGE)).await;
    assert_eq!(told(&report)[0].0, DeliveryStatus::Deferred);
    std::fs::remove_dir(mail.join("daemon")).unwrap();
    let report = house.mailboxes.deliver(&job(&["team@example.com"], MESSAGE)).await;
    assert_eq!(told(&report)[0].0, DeliveryStatus::Sent);
    for user in ["root", "daemon"] {
        assert_eq!(house.mailbox(user).matches("Subject: x").count(), 1, "{user}");
    }
}

#[tokio::test]
async fn what_an_alias_cannot_have_is_told_to_the_sender() {
    let house = House::new("mixed: root, \"|/bin/false\"\ncircle: round\nround: circle\n");
    let to = ["mixed@example.com", "circle@example.com"];
    let report = house.mailboxes.deliver(&job(&to, MESSAGE)).await;
    let told = told(&report);
    assert_eq!((told[0].0, told[0].1), (DeliveryStatus::Bounced, EnhancedCode::new(5, 3, 5)));
    assert!(told[0].2.contains("`local.allow_commands` says so; its other targets have it"));
    assert!(house.mailbox("root").contains("Subject: x"));
    assert_eq!((told[1].0, told[1].1), (DeliveryStatus::Bounced, EnhancedCode::new(5, 4, 6)));
}

#[tokio::test]
async fn mail_waits_for_a_broken_target_and_whoever_has_it_gets_it_once() {
    let house = House::new("");
    let list = house.dir.path().join("list");
    let aliases = |broken: &str| {
        let included = list.display();
        house.write_aliases(&format!(
            "one: {broken}\nmixed: root, {broken}\nl: :include:{included}\n"
        ));
        std::fs::write(&list, format!("bin\n{broken}\n")).unwrap();
    };
    let deliver = async || {
        let to = ["one@example.com", "mixed@example.com", "l@example.com"];
        told(&house.mailboxes.deliver(&job(&to, MESSAGE)).await)
    };
    aliases("\"|echo");
    for (status, code, text) in deliver().await {
        assert_eq!((status, code), (DeliveryStatus::Deferred, EnhancedCode::new(4, 3, 5)));
        assert!(text.starts_with("in the aliases file: `\"|echo`: this is neither"), "{text}");
    }
    tokio::time::sleep(super::watched::LOOK_AGAIN).await;
    aliases("daemon");
    assert!(deliver().await.iter().all(|(status, ..)| *status == DeliveryStatus::Sent));
    for user in ["root", "bin", "daemon"] {
        assert_eq!(house.mailbox(user).matches("Subject: x").count(), 1, "{user}");
    }
}

#[tokio::test]
async fn what_is_thrown_away_is_told_and_nothing_else_is() {
    let house = House::new("null: /dev/null\nsome: root@EXAMPLE.com, /dev/null\n");
    let to = ["null@example.com", "some@example.com"];
    let report = house.mailboxes.deliver(&job(&to, MESSAGE)).await;
    let told = told(&report);
    assert_eq!(
        (told[0].0, told[0].2),
        (DeliveryStatus::Sent, "thrown away, as the alias `null` says")
    );
    assert_eq!(told[1].0, DeliveryStatus::Sent);
    assert!(told[1].2.contains("delivered to mailbox, thrown away"), "{}", told[1].2);
    assert_eq!(house.mailbox("root").matches("Subject: x").count(), 1);
}

#[tokio::test]
async fn an_alias_that_names_itself_by_address_is_a_copy_here_and_one_there() {
    for itself in ["root@example.com", "ROOT+x@Example.COM", "root@localhost", "\\root@example.com"]
    {
        let house = House::new(&format!("root: {itself}, admin@example.net\n"));
        let report = house.mailboxes.deliver(&job(&["root@example.com"], MESSAGE)).await;
        assert_eq!(told(&report)[0].0, DeliveryStatus::Sent, "{itself}");
        assert_eq!(house.mailbox("root").matches("Subject: x").count(), 1, "{itself}");
        let queued = house.queued();
        assert_eq!((queued.len(), queued[0].recipients.len()), (1, 1), "{itself}");
    }
}

#[tokio::test]
async fn a_forward_file_has_its_say_before_the_mailbox() {
    let house = House::new("team: root, daemon\n");
    let write = |user: &str, text: &str| {
        let home = house.dir.path().join("mail/home").join(user);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join(".forward"), text).unwrap();
    };
    write("root", "\\root, a@example.net, bin\n");
    write("bin", "root@example.com, \"|/usr/bin/vacation\"\n");
    write("daemon", "b@example.net\n");
    let to = ["root@example.com", "team+x@example.com"];
    let report = house.mailboxes.deliver(&job(&to, MESSAGE)).await;
    assert!(told(&report).iter().all(|(status, ..)| *status == DeliveryStatus::Sent));
    // Each once: round to root again is root's own mailbox; no program has bin's.
    for (user, copies) in [("root", 1), ("bin", 1), ("daemon", 0)] {
        assert_eq!(house.mailbox(user).matches("Subject: x").count(), copies, "{user}");
    }
    let queued = house.queued();
    let mut onward: Vec<String> = queued
        .iter()
        .flat_map(|e| &e.recipients)
        .map(|r| r.recipient.address.to_string())
        .collect();
    onward.sort();
    assert_eq!(onward, ["a@example.net", "b@example.net"]);
}

#[tokio::test]
async fn failures_of_a_list_go_to_its_owner() {
    let house = House::new("list: a@example.net, gone-away, root\nowner-list: root\n");
    let report = house.mailboxes.deliver(&job(&["list@example.com"], MESSAGE)).await;
    assert_eq!(told(&report)[0].0, DeliveryStatus::Sent);
    let queued = house.queued();
    assert_eq!(queued[0].reverse_path.to_string(), "owner-list@example.com");
    let to: Vec<_> = queued[0].recipients.iter().map(|r| r.recipient.clone()).collect();
    let wanted = ["a@example.net", "gone-away@example.com"];
    assert_eq!(to, wanted.map(|a| Recipient::new(Address::parse(a).unwrap())));
    // Nobody hears of the failure of a notification.
    let mut notification = job(&["list@example.com"], MESSAGE);
    notification.reverse_path = ReversePath::Null;
    notification.id = MessageId::from_u64(2 << 40);
    house.mailboxes.deliver(&notification).await;
    assert!(house.queued().iter().any(|entry| entry.reverse_path.is_null()));
}

#[tokio::test]
async fn success_of_an_alias_is_told_once() {
    for (aliases, success, elsewhere) in [
        ("team: root, a@example.net\n", Success::Expanded, false),
        ("team: a@example.net, b@example.net\n", Success::Expanded, false),
        ("team: root, daemon\n", Success::Expanded, false),
        ("team: root\n", Success::Delivered, false),
        ("team: root, /dev/null\n", Success::Delivered, false),
        ("team: a@example.net\n", Success::ToldElsewhere, true),
        ("team: a@example.net\nowner-team: root\n", Success::Delivered, false),
        ("team: a@example.net, b@example.net\nowner-team: root\n", Success::Delivered, false),
    ] {
        let house = House::new(aliases);
        let mut job = job(&["team@example.com"], MESSAGE);
        let notify = Notify { success: true, failure: true, delay: false };
        job.recipients[0].recipient.notify = Some(notify);
        let report = house.mailboxes.deliver(&job).await;
        assert_eq!(report.outcomes[0].success, success, "{aliases}");
        for queued in house.queued().iter().flat_map(|entry| &entry.recipients) {
            let success = queued.recipient.notify.is_some_and(|notify| notify.success);
            assert_eq!(success, elsewhere, "{aliases}");
        }
    }
}

#[tokio::test]
async fn a_forward_file_has_its_say_before_an_lmtp_server() {
    let house = House::new("team: root, daemon\n");
    let home = house.dir.path().join("mail/home/root");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join(".forward"), "a@example.net\n").unwrap();
    let mut config = Config::for_tests(house.dir.path());
    config.local.mailbox = Mailbox::Lmtp("127.0.0.1:24".into());
    house.mailboxes.config_for_tests().replace(config);
    let to = ["root+x@example.com", "daemon@example.com", "virtual@example.com"];
    let report = house.mailboxes.deliver(&job(&to, MESSAGE)).await;
    let mut outcomes = report.outcomes;
    outcomes.sort_by_key(|outcome| outcome.index);
    let [root, daemon, other] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(root.text().starts_with("forwarded as "), "{}", root.text());
    for waits in [daemon, other] {
        assert_eq!(waits.status, DeliveryStatus::Deferred);
        assert!(waits.text().contains("LMTP client"), "{}", waits.text());
    }
    assert_eq!(house.queued().len(), 1);
    // By an alias it is the same, and nobody is sent it twice.
    let report = house.mailboxes.deliver(&job(&["team@example.com"], MESSAGE)).await;
    assert_eq!(told(&report)[0].0, DeliveryStatus::Deferred);
    assert_eq!(house.queued().len(), 1);
}

#[tokio::test]
async fn lmtp_without_a_client_makes_mail_wait() {
    let house = House::new("");
    let mut config = Config::for_tests(house.dir.path());
    config.local.mailbox = Mailbox::Lmtp("127.0.0.1:24".into());
    house.mailboxes.config_for_tests().replace(config);
    let report = house.mailboxes.deliver(&job(&["root@example.com"], MESSAGE)).await;
    assert_eq!(told(&report)[0].0, DeliveryStatus::Deferred);
}
