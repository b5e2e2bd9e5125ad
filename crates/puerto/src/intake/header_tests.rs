//! What programs really write into headers: each fault with its kind. Every message is
//! signed, and the signature has to hold.

mod forms;

use puerto_mail::dkim::{Algorithm, DkimResult};
use puerto_mail::header::{Header, parse_address_list};
use puerto_mail::message::scan;
use puerto_smtp::{Envelope, ReversePath};
use puerto_spool::Content;

use super::Source;
use super::tests::{Rig, client, envelope, local, read, value};

fn signing() -> Rig {
    Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)])
}

/// A program of this machine that speaks SMTP.
fn loopback() -> Source {
    match client(true) {
        Source::Smtp { client, helo, protocol, tls, trusted, account, .. } => {
            let peer = "127.0.0.1:4000".parse().unwrap();
            Source::Smtp { client, peer, helo, protocol, tls, trusted, account }
        }
        other => other,
    }
}

async fn stored_from(rig: &Rig, source: &Source, header: &[u8]) -> String {
    let content = Content::Memory([header, b"\r\nbody\r\n"].concat());
    let stored = rig.accept_content(source, envelope(), content).await.unwrap();
    let seen = Header::parse(stored.as_bytes()).unwrap();
    assert_eq!(seen.count("From"), 1, "{stored}");
    for once in ["To", "Cc", "Reply-To", "Sender", "Subject", "Date", "Message-ID", "References"] {
        assert!(seen.count(once) <= 1, "{once} {stored}");
    }
    assert!(scan(stored.as_bytes()).longest_line <= 998, "{stored}");
    let author = parse_address_list(seen.first("From").unwrap().value(), None).unwrap();
    assert_eq!(author.len(), 1, "{stored}");
    let is_ours = author[0].address.domain().to_string().ends_with("example.com");
    let results: Vec<_> = rig.dkim(&stored).into_iter().map(|(_, result)| result).collect();
    assert_eq!(results, vec![DkimResult::Pass; usize::from(is_ours)], "{stored}");
    stored
}

async fn check(table: &[(&str, &str, Option<&str>)]) {
    let rig = signing();
    for (header, name, expected) in table {
        for source in [local(), loopback()] {
            let stored = stored_from(&rig, &source, header.as_bytes()).await;
            assert_eq!(value(&stored, name).as_deref(), *expected, "{header:?} → {stored}");
        }
    }
}

#[tokio::test]
async fn fields_that_occur_twice_b1() {
    check(&[
        ("To:\r\nTo: a@x.example\r\n", "To", Some("a@x.example")),
        ("To: a@x.example\r\nTo:\r\n", "To", Some("a@x.example")),
        ("To: a@x.example\r\nTO : b@x.example\r\n", "To", Some("a@x.example, b@x.example")),
        ("To: a@x.example,\r\nTo: root\r\n", "To", Some("a@x.example, root@example.com")),
        ("Cc: a@x.example\r\nCc: b@x.example\r\n", "Cc", Some("a@x.example, b@x.example")),
        ("Cc:\r\nSubject: x\r\n", "Cc", None),
        ("Subject:\r\nSubject: x\r\n", "Subject", Some("x")),
        ("Subject: x\r\nsubject: y\r\n", "Subject", Some("x")),
        ("From:\r\n", "From", Some("me@example.com")),
        ("From:\r\nFrom: a@example.com\r\n", "From", Some("a@example.com")),
        ("From: a@example.com\r\nFrom: A@example.com\r\n", "From", Some("a@example.com")),
        ("From: a@example.com\r\nFrom: b@x.example\r\n", "From", Some("a@example.com")),
        (
            "From: a@example.com\r\nFrom: b@x.example\r\n",
            "Reply-To",
            Some("a@example.com, b@x.example"),
        ),
        (
            "Reply-To: a@x.example\r\nReply-To: b@x.example\r\n",
            "Reply-To",
            Some("a@x.example, b@x.example"),
        ),
        ("Sender: a@x.example\r\nSender: b@x.example\r\n", "Sender", Some("a@x.example")),
        ("References: <a@b>\r\nReferences: <c@d>\r\n", "References", Some("<a@b> <c@d>")),
        ("In-Reply-To: <a@b>\r\nIn-Reply-To: <c@d>\r\n", "In-Reply-To", Some("<a@b> <c@d>")),
        ("Message-ID: <a@b>\r\nMessage-Id: <c@d>\r\n", "Message-ID", Some("<a@b>")),
        (
            "Date: yesterday\r\nDate: Tue, 24 Nov 2026 07:00:00 +0000\r\n",
            "Date",
            Some("Tue, 24 Nov 2026 07:00:00 +0000"),
        ),
        ("MIME-Version: 1.0\r\nMime-Version: 1.0\r\n", "MIME-Version", Some("1.0")),
        (
            "Content-type: text/html\r\nContent-Type: text/plain\r\n",
            "Content-Type",
            Some("text/html"),
        ),
    ])
    .await;
    let rig = signing();
    stored_from(&rig, &local(), b"Subject: x\r\nSubject: y\r\nTo:\r\nTo: a@x.example\r\n").await;
    let events = rig.events.lock().unwrap();
    let notices: Vec<_> = events.iter().filter(|event| event.starts_with("Remark")).collect();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("kept one of 2 Subject fields"), "{notices:?}");
}

#[tokio::test]
async fn names_that_nobody_quoted_b5() {
    check(&[
        (
            "From: Kock, Arne <arne@example.com>\r\n",
            "From",
            Some("\"Kock, Arne\" <arne@example.com>"),
        ),
        (
            "From: kock, arne <arne@example.com>\r\n",
            "From",
            Some("\"kock, arne\" <arne@example.com>"),
        ),
        (
            "From: [Shop] Orders <o@example.com>\r\n",
            "From",
            Some("\"[Shop] Orders\" <o@example.com>"),
        ),
        (
            "From: Shop: Orders <o@example.com>\r\n",
            "From",
            Some("\"Shop: Orders\" <o@example.com>"),
        ),
        ("From: sales@shop <o@example.com>\r\n", "From", Some("\"sales@shop\" <o@example.com>")),
        (
            "From: Support (Billing <o@example.com>\r\n",
            "From",
            Some("\"Support (Billing\" <o@example.com>"),
        ),
        (
            "From: Ann \"Bo\" Lee <o@example.com>\r\n",
            "From",
            Some("Ann \"Bo\" Lee <o@example.com>"),
        ),
        (
            "From: Ann \"Bo Lee <o@example.com>\r\n",
            "From",
            Some("\"Ann \\\"Bo Lee\" <o@example.com>"),
        ),
        (
            "From: M. O'Neil-Smith <o@example.com>\r\n",
            "From",
            Some("M. O'Neil-Smith <o@example.com>"),
        ),
        (
            "From: Müller, Jörg <o@example.com>\r\n",
            "From",
            Some("=?utf-8?Q?M=C3=BCller=2C_J=C3=B6rg?= <o@example.com>"),
        ),
        ("From: Ann <o@example.com> (Sales)\r\n", "From", Some("Ann <o@example.com> (Sales)")),
        ("To: Kock, Arne <arne@x.example>\r\n", "To", Some("\"Kock, Arne\" <arne@x.example>")),
        ("To: root, Ann <a@x.example>\r\n", "To", Some("root@example.com, Ann <a@x.example>")),
        ("Sender: [Shop] <a@x.example>\r\n", "Sender", Some("\"[Shop]\" <a@x.example>")),
    ])
    .await;
}

#[tokio::test]
async fn ids_and_dates_that_are_none_b6() {
    let rig = signing();
    for header in [
        "Message-ID: 94f4\r\n",
        "Message-ID: 94f4e3edc9e34a098190862079df6959\r\n",
        "Message-ID: <94f4>\r\n",
        "Message-ID: <a b@c>\r\n",
        "Message-ID: <@c>\r\n",
        "Message-ID: <a@>\r\n",
        "Message-ID:\r\n",
        "Message-ID: <ñ@x>\r\n",
    ] {
        let stored = stored_from(&rig, &local(), header.as_bytes()).await;
        assert!(value(&stored, "Message-ID").unwrap().ends_with("@mail.example.com>"), "{stored}");
    }
    for header in [
        "Date: 2026-11-28 10:00\r\n",
        "Date: sáb, 28 nov 2026 10:00:00 +0100\r\n",
        "Date: Sam, 28 Nov 2026 10:00:00 +0100\r\n",
        "Date: Sat, 28 Nov 2026 10:00:00\r\n",
        "Date: Sat Nov 28 10:00:00 2026\r\n",
        "Date: 1795860000\r\n",
        "Date: Sat, 32 Nov 2026 10:00:00 +0100\r\n",
    ] {
        let stored = stored_from(&rig, &local(), header.as_bytes()).await;
        let date = value(&stored, "Date").unwrap();
        assert!(puerto_mail::date::parse(date.as_bytes()).is_some(), "{stored}");
    }
    check(&[
        ("Message-ID: abc@host\r\n", "Message-ID", Some("<abc@host>")),
        ("Message-ID: <abc@host> (x)\r\n", "Message-ID", Some("<abc@host>")),
        ("Message-ID: <a@b@c>\r\n", "Message-ID", Some("<a@b@c>")),
        ("Message-ID: <a@[192.0.2.1]>\r\n", "Message-ID", Some("<a@[192.0.2.1]>")),
        ("Date: 28 Nov 26 10:00 EST\r\n", "Date", Some("28 Nov 26 10:00 EST")),
    ])
    .await;
}

#[tokio::test]
async fn header_lines_without_a_blank_b7() {
    let rig = signing();
    let ids: String = (0..60).map(|n| format!("<{n}.{}@example.net>", "x".repeat(30))).collect();
    let url = format!("<https://x.example/?{}>,<mailto:u@x.example>", "a=b&".repeat(300));
    let word = format!("=?utf-8?Q?{}?=", "=C3=B1".repeat(190));
    let name = format!("{} <a@x.example>", "n".repeat(1200));
    let list: Vec<String> = (0..90).map(|n| format!("user{n}@example.net")).collect();
    for (name, value) in [
        ("Subject", word.as_str()),
        ("Subject", &"x".repeat(2000)),
        ("Subject", &"ñ".repeat(2000)),
        ("References", &ids),
        ("List-Unsubscribe", &url),
        ("X-Report", &"y".repeat(5000)),
        ("X-Report", &format!("{} z", "y".repeat(1000))),
        ("To", &list.join(",")),
        ("To", &list.join(";")),
        ("From", &name),
        ("From", &"z".repeat(1500)),
        ("Cc", &"z".repeat(1500)),
        ("Message-ID", &format!("<{}@x>", "z".repeat(1500))),
        ("In-Reply-To", &format!("<{}@x>", "z".repeat(1500))),
        ("Content-Type", &format!("text/plain;name={}", "z".repeat(1500))),
        ("Date", &"z".repeat(1500)),
        ("DKIM-Signatur", &"z".repeat(1500)),
    ] {
        for source in [local(), loopback()] {
            stored_from(&rig, &source, format!("{name}: {value}\r\n").as_bytes()).await;
        }
        let content = Content::Memory(format!("{name}: {value}\r\n\r\nx\r\n").into_bytes());
        rig.accept_content(&client(true), envelope(), content).await.unwrap();
    }
    let stored = stored_from(&rig, &local(), format!("Subject: {word}\r\n").as_bytes()).await;
    let subject = value(&stored, "Subject").unwrap();
    assert_eq!(puerto_mail::header::encoded_word::decode(&subject), "ñ".repeat(190));
    let stored = stored_from(&rig, &local(), format!("References: {ids}\r\n").as_bytes()).await;
    assert_eq!(value(&stored, "References").unwrap().replace(' ', ""), ids);
}

#[tokio::test]
async fn octets_that_are_not_ascii_b8_b16() {
    check(&[
        (
            "Subject: =?utf-8?B?w7E=?= año\r\n",
            "Subject",
            Some("=?utf-8?B?w7E=?= =?utf-8?Q?_a=C3=B1o?="),
        ),
        (
            "From: =?koi8-r?Q?=C1?= ñ <a@example.com>\r\n",
            "From",
            Some("=?koi8-r?Q?=C1?= =?utf-8?Q?_=C3=B1?= <a@example.com>"),
        ),
        (
            "To: =?koi8-r?Q?=C1?= <a@x.example>, root\r\n",
            "To",
            Some("=?koi8-r?Q?=C1?= <a@x.example>, root@example.com"),
        ),
        (
            "Disposition-Notification-To: José <j@x.example>\r\n",
            "Disposition-Notification-To",
            Some("=?utf-8?Q?Jos=C3=A9?= <j@x.example>"),
        ),
        (
            "Return-Receipt-To: José <j@x.example>\r\n",
            "Return-Receipt-To",
            Some("=?utf-8?Q?Jos=C3=A9?= <j@x.example>"),
        ),
        (
            "Errors-To: José <j@x.example>\r\n",
            "Errors-To",
            Some("=?utf-8?Q?Jos=C3=A9?= <j@x.example>"),
        ),
        (
            "X-Envelope-From: José <j@x.example>\r\n",
            "X-Envelope-From",
            Some("=?utf-8?Q?Jos=C3=A9?= <j@x.example>"),
        ),
        ("X-Envelope-To: <jösé@x.example>\r\n", "X-Envelope-To", Some("<jösé@x.example>")),
        ("List-Id: Día <l.x.example>\r\n", "List-Id", Some("=?utf-8?Q?D=C3=ADa?= <l.x.example>")),
        (
            "List-Unsubscribe: <https://x.example/ñ>\r\n",
            "List-Unsubscribe",
            Some("<https://x.example/%C3%B1>"),
        ),
        (
            "Reply-To: José <j@mañana.example>\r\n",
            "Reply-To",
            Some("=?utf-8?Q?Jos=C3=A9?= <j@xn--maana-pta.example>"),
        ),
    ])
    .await;
    let rig = signing();
    for (header, name, expected) in [
        (
            b"From: Jos\xe9 <shop@example.com>\r\n".as_slice(),
            "From",
            "=?windows-1252?Q?Jos=E9?= <shop@example.com>",
        ),
        (b"Subject: Jos\xe9\r\n", "Subject", "=?windows-1252?Q?Jos=E9?="),
        (b"Subject: =?iso-8859-1?Q?Jos\xe9?=\r\n", "Subject", "=?iso-8859-1?Q?Jos=E9?="),
        (
            b"To: \"Jos\xe9\" <a@x.example>, root\r\n",
            "To",
            "=?windows-1252?Q?Jos=E9?= <a@x.example>, root@example.com",
        ),
        (
            b"Content-Type: text/plain; charset=\"koi8-r\"\r\nSubject: \xc1\xc2\xd7\r\n",
            "Subject",
            "=?koi8-r?Q?=C1=C2=D7?=",
        ),
        (
            b"Content-Type: text/plain; charset=koi8-r\r\nFrom: \xc1\xc2\xd7 <a@example.com>\r\n",
            "From",
            "=?koi8-r?Q?=C1=C2=D7?= <a@example.com>",
        ),
        (
            b"From: a\xff@example.com\r\n",
            "From",
            "=?windows-1252?Q?a=FF=40example=2Ecom?= <me@example.com>",
        ),
    ] {
        let stored = stored_from(&rig, &local(), header).await;
        assert_eq!(value(&stored, name).as_deref(), Some(expected), "{stored}");
    }
}

#[tokio::test]
async fn authors_without_an_address_b14_b19() {
    let daemon = Some("MAILER-DAEMON <MAILER-DAEMON@mail.example.com>");
    check(&[
        ("From: MAILER-DAEMON <>\r\n", "From", daemon),
        (
            "From: Mailer-Daemon <>\r\n",
            "From",
            Some("Mailer-Daemon <MAILER-DAEMON@mail.example.com>"),
        ),
        (
            "From: Mail Delivery System <>\r\n",
            "From",
            Some("Mail Delivery System <MAILER-DAEMON@mail.example.com>"),
        ),
        ("From: <>\r\n", "From", Some("MAILER-DAEMON@mail.example.com")),
        ("From: My Shop <>\r\n", "From", Some("My Shop <me@example.com>")),
        ("From: WordPress\r\n", "From", Some("WordPress@example.com")),
        ("From: My Shop\r\n", "From", Some("My Shop <me@example.com>")),
        ("From: a@b@x.example\r\n", "From", Some("\"a@b@x.example\" <me@example.com>")),
        ("From: a@example.com:25\r\n", "From", Some("a@example.com")),
        ("From: root@10.0.0.5\r\n", "From", Some("root@[10.0.0.5]")),
        ("From: <a@example.com> via shop\r\n", "From", Some("via shop <a@example.com>")),
        ("From: <<a@example.com>>\r\n", "From", Some("a@example.com")),
        ("From: <mailto:a@example.com>\r\n", "From", Some("a@example.com")),
        ("From: \"Ann <a@example.com>\r\n", "From", Some("Ann <a@example.com>")),
        ("From: \"a@example.com\"\r\n", "From", Some("a@example.com")),
        ("From: Ann Lee a@example.com\r\n", "From", Some("Ann Lee <a@example.com>")),
        ("From: a@example.com, b@x.example\r\n", "From", Some("a@example.com")),
        ("From: a@example.com, b@x.example\r\n", "Reply-To", Some("a@example.com, b@x.example")),
        (
            "From: a@example.com, b@x.example\r\nReply-To: c@x.example\r\n",
            "Reply-To",
            Some("c@x.example"),
        ),
        (
            "From: a@example.com, b@x.example\r\n",
            "X-Original-From",
            Some("a@example.com, b@x.example"),
        ),
        ("From: Team: a@example.com;\r\n", "From", Some("a@example.com")),
        ("From: ,\r\n", "From", Some("me@example.com")),
    ])
    .await;
    let rig = signing();
    let bounce = Envelope { reverse_path: ReversePath::Null, ..envelope() };
    for (source, header, from) in [
        (loopback(), "", Some("MAILER-DAEMON@mail.example.com")),
        (loopback(), "From: Ann <>\r\n", Some("Ann <MAILER-DAEMON@mail.example.com>")),
        (client(true), "", None),
        (client(true), "From: MAILER-DAEMON <>\r\n", Some("MAILER-DAEMON <>")),
        (client(true), "From: <>\r\n", Some("<>")),
        (client(true), "From: a b c\r\n", Some("a b c")),
        (client(true), "From:\r\n", Some("")),
    ] {
        let content = Content::Memory(format!("{header}\r\nx\r\n").into_bytes());
        let stored = rig.accept_content(&source, bounce.clone(), content).await.unwrap();
        assert_eq!(value(&stored, "From").as_deref(), from, "{stored}");
    }
}

#[tokio::test]
async fn addresses_that_the_grammar_wants_otherwise_b15() {
    let long = format!("bounces+{}=x.example@example.com", "y".repeat(80));
    let from = format!("From: {long}\r\n");
    let to = format!("To: {long}, root\r\n");
    let expected = format!("{long}, root@example.com");
    let rig = signing();
    for source in [local(), client(true)] {
        let content = Content::Memory(format!("{from}\r\nx\r\n").into_bytes());
        let stored = rig.accept_content(&source, envelope(), content).await.unwrap();
        assert!(value(&stored, "From").unwrap().contains(&long), "{stored}");
    }
    let content = Content::Memory(format!("{to}\r\nx\r\n").into_bytes());
    let stored = rig.accept_content(&local(), envelope(), content).await.unwrap();
    assert_eq!(value(&stored, "To").unwrap(), expected, "{stored}");
    check(&[
        ("To: .x@x.example, root\r\n", "To", Some("\".x\"@x.example, root@example.com")),
        ("To: x.@x.example, root\r\n", "To", Some("\"x.\"@x.example, root@example.com")),
        ("To: not an address, root\r\n", "To", Some("not an address, root@example.com")),
        ("To: Ana <>, root\r\n", "To", Some("Ana:;, root@example.com")),
        ("To: <>\r\n", "To", None),
        ("Cc: <>, root\r\n", "Cc", Some("root@example.com")),
        (
            "To: friends: root, a@x.example;\r\n",
            "To",
            Some("friends: root@example.com, a@x.example;"),
        ),
        ("To: a@x.example; b@x.example\r\n", "To", Some("a@x.example, b@x.example")),
        ("To: undisclosed-recipients\r\n", "To", Some("undisclosed-recipients:;")),
    ])
    .await;
}

const RESENT: &str = "Resent-From: a@example.com\r\nResent-To: b@x.example\r\n";

#[tokio::test]
async fn resent_fields_are_completed_b19() {
    let rig = signing();
    let stored =
        stored_from(&rig, &local(), format!("{RESENT}From: c@x.example\r\n").as_bytes()).await;
    let names: Vec<String> =
        read(&stored).0.iter().map(|field| field.split(':').next().unwrap().to_owned()).collect();
    let resent = ["Resent-Date", "Resent-Message-ID", "Resent-From", "Resent-To"];
    assert!(names.windows(4).any(|window| window == resent), "{stored}");
    let stored = rig.accept(&client(true), &format!("{RESENT}From: c@x.example\r\n\r\n")).await;
    assert!(!stored.unwrap().contains("Resent-Date"));
    // Who resends a message leaves its signature whole.
    let signed =
        format!("{RESENT}DKIM-Signature: v=1; h=From:Date; b=x\r\nFrom: c@x.example\r\n\r\n");
    let stored = rig.accept(&local(), &signed).await.unwrap();
    assert!(stored.ends_with(&signed) && value(&stored, "Resent-Message-ID").is_some());
    assert!(value(&stored, "Date").is_none() && value(&stored, "Message-ID").is_some());
}

#[tokio::test]
async fn what_another_host_sends_is_not_ours_to_mend_b17() {
    let rig = signing();
    let raw = "From: Kock, Jörg <j@x.example>\r\nSender: root\r\nTo: root, \"José\" <j@x.example>\r\nCc:\r\n\
               Subject : año =?koi8-r?Q?=C1?=\r\nDate: now\r\nMessage-ID: 94f4\r\nX: ñ\r\n";
    let body = "\r\nbody \r\n";
    let sound = raw.replace("Kock, Jörg", "Jörg");
    let signature = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=x.example; s=a;\r\n\
                     \th=From:To:Bcc; bh=aaaa; b=bbbb\r\n";
    for source in [client(true), loopback(), local()] {
        for message in [
            format!("{signature}{raw}{body}"),
            format!("ARC-Seal: i=1; a=rsa-sha256; b=x\r\n{raw}{body}"),
            format!("{signature}{raw}From: second@x.example\r\nbcc: z@x.example\r\n{body}"),
            format!("{signature}Subject: x\r\n{body}"),
        ] {
            let stored = rig.accept(&source, &message).await.unwrap();
            assert!(stored.ends_with(&message), "{stored}");
            assert_eq!(Header::parse(stored.as_bytes()).unwrap().count("Received"), 1);
        }
    }
    for message in [format!("{sound}{body}")] {
        let stored = rig.accept(&client(true), &message).await.unwrap();
        assert!(stored.ends_with(&message), "{stored}");
    }
    // Without a signature, what no receiver takes is made right.
    for (header, name, expected) in [
        ("From: Kock, Arne <a@x.example>\r\n", "From", Some("\"Kock, Arne\" <a@x.example>")),
        ("To: a@x.example\r\nTo: root\r\n", "To", Some("a@x.example, root")),
        ("Subject: x\r\nSubject: y\r\n", "Subject", Some("x")),
        ("From: root\r\n", "From", Some("root")),
        ("From: a@x.example <a@x.example>\r\n", "From", Some("a@x.example <a@x.example>")),
        ("Subject: x\r\n", "From", Some("me@example.com")),
        ("Bcc: x\r\n", "Bcc", None),
    ] {
        let stored = rig.accept(&client(true), &format!("{header}\r\nx\r\n")).await.unwrap();
        assert_eq!(value(&stored, name).as_deref(), expected, "{stored}");
        assert!(value(&stored, "Date").is_some() && value(&stored, "Message-ID").is_some());
    }
}

#[tokio::test]
async fn a_signed_message_is_folded_only_where_the_signature_forgives_it() {
    let rig = signing();
    let long = "word ".repeat(300);
    let message = |form| {
        format!(
            "DKIM-Signature: v=1; c={form}; d=x.example; h=From; b=x\r\nFrom: a@x.example\r\n\
             Subject: {long}\r\nX-Y: {}\r\n\r\nx\r\n",
            "z".repeat(1200)
        )
    };
    let stored = rig.accept(&client(true), &message("relaxed/simple")).await.unwrap();
    assert!(!stored.contains(&long) && stored.contains(&"z".repeat(1200)));
    assert_eq!(value(&stored, "Subject").unwrap(), long.trim());
    let stored = rig.accept(&client(true), &message("simple")).await.unwrap();
    assert!(stored.ends_with(&message("simple")));
}

#[tokio::test]
async fn what_an_alias_sends_on_is_never_refused() {
    let rig = signing();
    for message in ["Subject: x\r\n\r\n", "From: a@b.example\r\nFrom: c@d.example\r\n\r\n"] {
        let stored = rig.accept(&Source::Forwarded, message).await.unwrap();
        assert!(stored.ends_with(message));
    }
}

// As programs were seen to write them, in public reports about each.
#[tokio::test]
async fn headers_of_real_programs() {
    check(&[
        // PHP mail() with a To among the additional headers.
        (
            "To: Jacob <me@x.example>,\r\nSubject: Hi\r\nTo: Jacob <me@x.example>, \r\nFrom: Example <noreply@example.com>\r\n",
            "To",
            Some("Jacob <me@x.example>, Jacob <me@x.example>"),
        ),
        // Roundcube with mail(): the name from the address book is not quoted.
        ("Cc: John, L, Doe <j@x.example>\r\n", "Cc", Some("\"John, L, Doe\" <j@x.example>")),
        // A competition's name as the display name.
        ("From: Brew Cup, 2025 Server <cup@example.com>\r\n", "From", Some("\"Brew Cup, 2025 Server\" <cup@example.com>")),
        // PHPMailer with a MessageID of the program's own.
        ("Message-ID: <local.94f4@shop.example>\r\n", "Message-ID", Some("<local.94f4@shop.example>")),
        // Fat-Free's SMTP class.
        ("From: Phillip Smith - Example<f@example.com>\r\n", "From", Some("Phillip Smith - Example<f@example.com>")),
        // Vixie cron; cronie.
        ("From: root (Cron Daemon)\r\n", "From", Some("Cron Daemon <root@example.com>")),
        ("From: \"(Cron Daemon)\" <root>\r\n", "From", Some("\"(Cron Daemon)\" <root@example.com>")),
        // WordPress with a blog name in brackets.
        ("From: [My Blog] WordPress <wordpress@example.com>\r\n", "From", Some("\"[My Blog] WordPress\" <wordpress@example.com>")),
        // Lotus Notes.
        ("From: Ann Lee/Sales/Acme <ann@example.com>\r\n", "From", Some("Ann Lee/Sales/Acme <ann@example.com>")),
        ("To: Ann Lee/Sales/Acme@ACME\r\n", "To", Some("Ann Lee/Sales/Acme@ACME")),
        // Outlook's recipients: apostrophes and semicolons.
        ("To: 'ann@x.example'; 'bo@x.example'\r\n", "To", Some("ann@x.example, bo@x.example")),
        // Exchange's addresses in contacts.
        ("To: Ann <SMTP:ann@x.example>\r\n", "To", Some("Ann <ann@x.example>")),
        // Scanners and power supplies that take a device's name for From.
        ("From: HP LaserJet MFP\r\n", "From", Some("HP LaserJet MFP <me@example.com>")),
        ("From: UPS (Serial: 5A12) <ups@example.com>\r\n", "From", Some("UPS (Serial: 5A12) <ups@example.com>")),
        // A NAS that writes its own host into the address.
        ("From: NAS <admin@192.168.1.20>\r\n", "From", Some("NAS <admin@[192.168.1.20]>")),
        // Python's smtplib with a list put into the field as it is.
        ("To: ['ann@x.example', 'bo@x.example']\r\n", "To", Some("ann@x.example, bo@x.example")),
        // A template that left its quotes open, and one that quoted the whole.
        ("From: \"Acme Inc. <info@example.com>\r\n", "From", Some("\"Acme Inc.\" <info@example.com>")),
        ("From: \"Acme <info@example.com>\"\r\n", "From", Some("Acme <info@example.com>")),
    ])
    .await;
}
