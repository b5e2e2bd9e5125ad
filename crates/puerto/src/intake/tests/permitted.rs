//! Who may send as whom, as messages show it.

use super::*;

fn rig(section: &str) -> Rig {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let mut config = (*rig.intake.context.config.get()).clone();
    let text = format!("hostname = \"mail.example.com\"\n[sender]\n{section}\n");
    config.sender = Config::parse(&text, "test").unwrap().sender;
    rig.intake.context.config.replace(config);
    rig
}

fn user(uid: u32, user: &str) -> Source {
    Source::Local { uid, user: user.to_owned(), origin: LocalOrigin::default() }
}

fn login(name: &str) -> Source {
    let Source::Smtp { client, peer, helo, tls, .. } = client(true) else { unreachable!() };
    let account = Some(Account { name: name.to_owned(), addresses: Vec::new() });
    Source::Smtp { client, peer, helo, protocol: "ESMTPSA", tls, trusted: true, account }
}

fn by_smtp(address: &str) -> Source {
    let Source::Smtp { client, helo, protocol, tls, .. } = client(true) else { unreachable!() };
    let peer = format!("{address}:4000").parse().unwrap();
    Source::Smtp { client, peer, helo, protocol, tls, trusted: true, account: None }
}

/// The reverse-path and the message as they were stored, or the refusal.
async fn sent(
    rig: &Rig,
    who: &Source,
    path: &str,
    header: &str,
) -> Result<(String, String), String> {
    let mut envelope = envelope();
    envelope.reverse_path = ReversePath::parse(&format!("<{path}>")).unwrap();
    let message = format!("{header}\r\nhi\r\n");
    let early = rig.intake.may_send(who, &envelope.reverse_path);
    let taken = rig.accept_content(who, envelope, Content::Memory(message.into())).await;
    if let Err(refusal) = early {
        assert_eq!(taken.as_ref().err(), Some(&refusal.reply.to_string()), "said early, and late");
    }
    let stored = taken?;
    let path = rig.spool.entries().pop().unwrap().reverse_path.to_string();
    Ok((path, stored))
}

async fn refused(rig: &Rig, who: &Source, path: &str, header: &str) -> String {
    let before = rig.spool.entries().len();
    let refusal = sent(rig, who, path, header).await.unwrap_err();
    assert_eq!(rig.spool.entries().len(), before);
    refusal
}

#[tokio::test]
async fn a_login_that_sends_as_another_is_refused_and_told_what_it_may_use() {
    let rig = rig("accounts = { ana = [\"sales@example.com\"] }");
    let ana = login("ana");
    let own = "From: Ana <ana@example.com>\r\n";
    assert!(sent(&rig, &ana, "ana@example.com", own).await.is_ok());
    assert!(sent(&rig, &ana, "", own).await.is_ok(), "the null reverse-path is everybody's");
    assert!(sent(&rig, &ana, "ana@example.com", "From: Sales@Example.com\r\n").await.is_ok());
    assert_eq!(
        refused(&rig, &ana, "bob@example.com", own).await,
        "553 5.7.1 <bob@example.com>: Sender address rejected: not owned by user ana; user ana may \
         use ana@example.com, sales@example.com; the administrator allows more by `puerto user addresses`",
    );
    for (header, says) in [
        ("From: Boss <boss@example.com>\r\n", "550 5.7.1 From address <boss@example.com>"),
        ("From: boss@example.com, ana@example.com\r\n", "boss@example.com"),
        ("From: x:boss@example.com;\r\n", "boss@example.com"),
        ("From: =?utf-8?q?ana=40example.com?= <boss@example.com>\r\n", "boss@example.com"),
        ("From: boss@example.com\r\nFrom: ana@example.com\r\n", "boss@example.com"),
        ("From: ana@example.com\r\nSender: boss@example.com\r\n", "Sender address"),
        ("From: ana@example.com\r\nResent-From: boss@example.com\r\n", "Resent-From address"),
        ("From: ceo@bank.example\r\n", "bank.example is none of our domains, so that DMARC"),
        // Nobody who logs in passes on what others wrote.
        ("Received: from a by b\r\nFrom: ceo@bank.example\r\n", "DMARC"),
        ("DKIM-Signature: v=1; h=from\r\nFrom: ceo@bank.example\r\n", "DMARC"),
        ("List-Id: <x>\r\nFrom: ceo@bank.example\r\n", "DMARC"),
    ] {
        let refusal = refused(&rig, &ana, "ana@example.com", header).await;
        assert!(refusal.contains(says), "{header}: {refusal}");
    }
}

#[tokio::test]
async fn what_only_others_can_read_as_an_author_is_not_sent_by_a_login() {
    let rig = rig("");
    let ana = login("ana");
    for from in [
        "luis@@example.com",
        "luis@x@example.com",
        "lu\\is@example.com",
        "lu\"is\"@example.com",
        "luis\u{ff20}example.com",
        "=?utf-8?q?luis=40example.com?=",
        "Luis <luis>",
        "luis%gmail.com",
        "(luis@example.com)",
        "Jefe",
        "",
    ] {
        let header = format!("From: {from}\r\nSubject: x\r\n");
        let refusal = refused(&rig, &ana, "ana@example.com", &header).await;
        assert!(refusal.starts_with("550 5.7.1 From address <"), "{from}: {refusal}");
    }
    // What a name hides from us and shows to others is written so that all read the same.
    for (from, stored_as) in [
        ("luis@example.com <ana@example.com>", "From: \"luis@example.com\" <ana@example.com>\r\n"),
        // What cannot be read is taken out where an own address stands beside it.
        ("ana@example.com, Jefe <luis@@example.com>", "\r\nFrom: ana@example.com\r\n"),
        ("Ana <ana@example.com>", "From: Ana <ana@example.com>\r\n"),
    ] {
        let header = format!("From: {from}\r\nSubject: x\r\n");
        let (_, stored) = sent(&rig, &ana, "ana@example.com", &header).await.unwrap();
        assert!(stored.contains(stored_as), "{stored}");
    }
    let kept = self::rig("otherwise = \"rewrite\"");
    let header = "From: Jefe <luis@@example.com>\r\nSubject: x\r\n";
    let (_, stored) = sent(&kept, &ana, "ana@example.com", header).await.unwrap();
    assert!(stored.contains("\r\nFrom: ana@example.com\r\n"), "{stored}");
    assert!(stored.contains("X-Original-From: Jefe <luis@@example.com>\r\n"), "{stored}");
    assert!(stored.contains("DKIM-Signature: ") && stored.contains("d=example.com"), "{stored}");
    // One line that says it was written elsewhere does not let it through.
    let narrowed = self::rig("networks = { \"192.0.2.0/24\" = [\"@one.example.com\"] }");
    let host = by_smtp("192.0.2.7");
    for from in ["luis@@example.com", "luis\u{ff20}example.com", "luis%gmail.com", ""] {
        let header = format!("List-Id: <a.b>\r\nFrom: {from}\r\nSubject: x\r\n");
        let refusal = refused(&narrowed, &host, "x@one.example.com", &header).await;
        assert!(refusal.starts_with("550 5.7.1 From address <"), "{from}: {refusal}");
    }
    let hidden = "From: luis@example.com <p@one.example.com>\r\nSubject: x\r\n";
    let (_, stored) = sent(&narrowed, &host, "p@one.example.com", hidden).await.unwrap();
    assert!(stored.contains("From: \"luis@example.com\" <p@one.example.com>\r\n"), "{stored}");
    // Of two authors the first goes out alone, and is signed for.
    for pair in
        ["From: basura\r\nFrom: p@one.example.com\r\n", "From: p@one.example.com\r\nFrom: l@@x\r\n"]
    {
        let signed = format!("DKIM-Signature: v=1; d=x.example; h=from\r\n{pair}Subject: x\r\n");
        let (_, stored) = sent(&narrowed, &host, "", &signed).await.unwrap();
        assert_eq!(stored.matches("\r\nFrom: ").count(), 1, "{stored}");
        assert!(stored.contains("@one.example.com\r\n"), "{stored}");
    }
    let list = "List-Id: <a.b>\r\nFrom: Kock, Arne <a@x.example>\r\nSubject: x\r\n";
    assert!(sent(&narrowed, &host, "x@one.example.com", list).await.is_ok());
    // Another host passes on what was written elsewhere.
    let other = by_smtp("192.0.2.7");
    assert!(sent(&rig, &other, "x@bank.example", header).await.is_ok());
}

#[tokio::test]
async fn a_notice_that_comes_by_a_login_is_brought_under_its_own_address() {
    let notice = "From: MAILER-DAEMON@mail.one.example.com\r\nSubject: Undelivered\r\n";
    let rig = rig("accounts = { ana = [\"@one.example.com\"] }");
    let (path, stored) = sent(&rig, &login("ana"), "", notice).await.unwrap();
    assert_eq!(path, "");
    assert!(stored.contains("From: ana@example.com\r\n"), "{stored}");
    assert!(stored.contains("X-Original-From: MAILER-DAEMON@mail.one.example.com\r\n"));
    // The same of a host of a trusted network that has addresses of its own.
    let networks = self::rig("networks = { \"192.0.2.0/24\" = [\"@one.example.com\"] }");
    let host = by_smtp("192.0.2.7");
    let (_, stored) = sent(&networks, &host, "", notice).await.unwrap();
    assert!(stored.contains("\r\nFrom: postmaster@one.example.com\r\n"), "{stored}");
    let refusal = refused(&networks, &host, "x@one.example.com", notice).await;
    assert!(refusal.contains("not owned by client [192.0.2.7]"), "{refusal}");
    let strict = self::rig("otherwise = \"reject\"");
    let refusal = refused(&strict, &login("ana"), "", notice).await;
    assert!(refusal.contains("not owned by user ana"), "{refusal}");
}

#[tokio::test]
async fn programs_of_this_machine_keep_their_mail_under_an_own_address() {
    let rig = rig("");
    let (www, ana) = (user(33, "www-data"), user(1000, "ana"));
    // A contact form: the visitor gets the answer, and receivers a domain that is ours.
    let form = "From: Visitor <visitor@mailbox.example>\r\nSubject: question\r\n";
    let (path, stored) = sent(&rig, &www, "www-data@example.com", form).await.unwrap();
    assert_eq!(path, "www-data@example.com");
    for field in [
        "From: Visitor <www-data@example.com>\r\n",
        "X-Original-From: Visitor <visitor@mailbox.example>\r\n",
        "Reply-To: Visitor <visitor@mailbox.example>\r\n",
    ] {
        assert!(stored.contains(field), "{field} in {stored}");
    }
    assert_eq!(rig.dkim(&stored), [("example.com".to_owned(), DkimResult::Pass)]);
    // A shop's own address stays, and so does whatever else is ours.
    let shop = "From: Shop <noreply@example.com>\r\n";
    let (_, stored) = sent(&rig, &www, "www-data@example.com", shop).await.unwrap();
    assert!(stored.contains(shop) && !stored.contains("X-Original"), "{stored}");
    // A person who writes as another.
    let forged =
        "From: Boss <boss@example.com>\r\nSender: boss@example.com\r\nReply-To: x@y.example\r\n";
    let (path, stored) = sent(&rig, &ana, "boss@example.com", forged).await.unwrap();
    assert_eq!(path, "ana@example.com");
    for field in [
        "From: Boss <ana@example.com>\r\n",
        "X-Original-From: Boss <boss@example.com>\r\n",
        "X-Original-Sender: boss@example.com\r\n",
        "Reply-To: x@y.example\r\n",
    ] {
        assert!(stored.contains(field), "{field} in {stored}");
    }
    assert_eq!(stored.matches("\r\nReply-To:").count(), 1, "{stored}");
    let noted = rig.events.lock().unwrap().iter().any(|event| {
        event.contains(
            "From <boss@example.com> rewritten to <ana@example.com>: not owned by user ana",
        )
    });
    assert!(noted, "{:?}", rig.events);
    // A signature that she made up herself keeps nothing.
    let signed = "DKIM-Signature: v=1; d=example.com; h=from\r\nFrom: boss@example.com\r\n";
    let (_, stored) = sent(&rig, &ana, "ana@example.com", signed).await.unwrap();
    assert!(stored.contains("\r\nFrom: ana@example.com\r\n"), "{stored}");
    // A program that speaks SMTP.
    let (path, stored) = sent(&rig, &by_smtp("127.0.0.1"), "x@bank.example", form).await.unwrap();
    assert_eq!(path, "x@bank.example", "its bounces may be wanted elsewhere");
    assert!(stored.contains("From: Visitor <root@example.com>\r\n"), "{stored}");
}

#[tokio::test]
async fn what_is_passed_on_stays_as_its_author_made_it() {
    let rig = rig("otherwise = \"reject\"");
    let ana = user(1000, "ana");
    let foreign = "From: friend@mailbox.example\r\n";
    for mark in [
        "Received: from a.example by mail.example.com; Sun, 29 Nov 2026 10:00:00 +0000\r\n",
        "DKIM-Signature: v=1; d=mailbox.example; h=from\r\n",
        "List-Id: <people.example.com>\r\n",
    ] {
        // procmail and a list manager, with the path they got and with their own.
        for who in [&ana, &user(38, "list"), &by_smtp("127.0.0.1")] {
            for path in ["friend@mailbox.example", ""] {
                let header = format!("{mark}{foreign}");
                let (kept, stored) = sent(&rig, who, path, &header).await.unwrap();
                assert_eq!(kept, path);
                assert!(stored.contains(foreign), "{stored}");
            }
        }
        let forged = format!("{mark}From: boss@example.com\r\n");
        let refusal = refused(&rig, &ana, "ana@example.com", &forged).await;
        assert!(refusal.contains("not owned by user ana"), "{refusal}");
    }
    // Without such a mark she is its author.
    let refusal = refused(&rig, &ana, "ana@example.com", foreign).await;
    assert!(
        refusal.starts_with("550 5.7.1 From address <friend@mailbox.example> rejected: "),
        "{refusal}"
    );
    assert!(refusal.ends_with("allows more by [sender], or to all by sender.foreign"), "{refusal}");
    // Another server that is trusted, and strangers, are no affair of this.
    for who in [by_smtp("192.0.2.1"), client(false), Source::Forwarded, Source::Internal] {
        let (_, stored) = sent(&rig, &who, "a@bank.example", foreign).await.unwrap();
        assert!(stored.contains(foreign), "{stored}");
    }
}

#[tokio::test]
async fn what_others_see_is_judged_not_what_was_written() {
    let rig = rig(
        "map = { ana = \"ana.garcia@example.net\", \"boss@example.com\" = \"ana@example.com\" }\n\
         otherwise = \"reject\"",
    );
    let ana = user(1000, "ana");
    let (path, stored) =
        sent(&rig, &ana, "ana@example.com", "From: ana@example.com\r\n").await.unwrap();
    assert_eq!(path, "ana.garcia@example.net");
    assert!(stored.contains("From: ana.garcia@example.net\r\n"), "{stored}");
    // The map makes it hers.
    assert!(sent(&rig, &ana, "boss@example.com", "From: boss@example.com\r\n").await.is_ok());
    let refusal = refused(&rig, &ana, "ana@example.com", "From: bob@example.com\r\n").await;
    assert!(refusal.contains("user ana may use ana.garcia@example.net"), "{refusal}");
}
