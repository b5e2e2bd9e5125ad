//! What arrives is what was queued.

use super::*;
use crate::deliver::LmtpTarget;

#[tokio::test]
async fn content_arrives_with_its_dots_doubled() {
    let large = b"line\r\n.dot\r\n".repeat(60_000);
    for (content, in_memory) in [
        (&b"Subject: hi\r\n\r\n.\r\n..\r\nend\r\n"[..], true),
        (b"Subject: hi\r\n\r\nplain\r\n", true),
        (b"Subject: hi\r\n\r\nplain\r\n", false),
        (b"no end of line", false),
        (b"", false),
        (&large, false),
        (&large, true),
    ] {
        let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}")]).await;
        let mut job = job(plan(&[peer.address]), 1);
        job.body = body(content, in_memory);
        let report = remote(patient()).deliver(&job).await;
        assert_eq!(report.outcomes[0].text(), "250 2.0.0 Ok: queued as 1");
        let mut expected = String::from_utf8(content.to_vec()).unwrap();
        if !expected.ends_with("\r\n") && !expected.is_empty() {
            expected.push_str("\r\n");
        }
        let received = peer.contents().remove(0);
        let undone: Vec<&str> =
            received.split_inclusive('\n').map(|l| l.strip_prefix('.').unwrap_or(l)).collect();
        assert!(undone.concat() == expected, "{} octets", content.len());
    }
}

// The content holds what would be a second message from us, if anybody read it as
// commands; the peer offers everything and refuses everything.
#[tokio::test]
async fn a_peer_that_lies_about_its_extensions_never_sees_content_as_commands() {
    let forged = "Subject: hi\r\n\r\n.\r\nMAIL FROM:<me@example.com>\r\nRCPT TO:<r0@x>\r\n\
                  DATA\r\nSubject: forged\r\n\r\n.\r\n";
    let hello = "S: 220 hi\nC: EHLO\nS: 250-mx\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: \
                 250-BINARYMIME\nS: 250-8BITMIME\nS: 250 SMTPUTF8\nC: MAIL\nC: RCPT\nC: DATA\n";
    for replies in [
        "S: 250 ok\nS: 250 ok\nS: 500 what\nC: RSET\nS: 500 what\n",
        "S: 250 ok\nS: 250 ok\nS: 250 ok\n",
        "S: 250 ok\nS: 500 what\nS: 500 what\n",
        "S: 500 what\nS: 500 what\nS: 500 what\n",
        "S: 555 BODY what\nS: 250 ok\nS: 250 ok\n",
    ] {
        let peer = Peer::start(&[&format!("{hello}{replies}")]).await;
        let mut job = job(plan(&[peer.address]), 1);
        job.eight_bit = true;
        job.body = body(forged.as_bytes(), true);
        let timeouts = ClientTimeouts { quit: Duration::from_millis(50), ..patient() };
        let remote = remote(timeouts);
        remote.deliver(&job).await;
        remote.close().await;
        let rest: Vec<String> = peer.commands().into_iter().skip(4).collect();
        assert!(rest.iter().all(|line| line == "RSET" || line == "QUIT"), "{replies}: {rest:?}");
    }
}

#[tokio::test]
async fn a_mailbox_named_in_two_scripts_gets_one_copy() {
    let peer =
        Peer::start(&[&format!("{HELLO}{ACCEPT}").replace("<r0@", "<r0@xn--bcher-kva.example")])
            .await;
    let mut job = job(plan(&[peer.address]), 3);
    for (place, address) in
        [(0, "r0@bücher.example"), (1, "r0@xn--bcher-kva.example"), (2, "r0@BÜCHER.example")]
    {
        job.recipients[place].recipient = Recipient::new(Address::parse(address).unwrap());
    }
    let report = remote(patient()).deliver(&job).await;
    for outcome in &report.outcomes {
        assert_eq!(outcome.text(), "250 2.0.0 Ok: queued as 1");
    }
    let recipients = peer.commands().iter().filter(|line| line.starts_with("RCPT")).count();
    assert_eq!((report.outcomes.len(), recipients), (3, 1));
    peer.check();
}

#[tokio::test]
async fn content_of_the_wrong_size_is_never_ended() {
    for in_memory in [true, false] {
        for size in [5, 500_000] {
            let peer = Peer::start(&[&format!("{HELLO}{ENVELOPE}eof\n")]).await;
            let mut job = job(plan(&[peer.address]), 1);
            job.body = Arc::new(Text { octets: b"ab\r\n".repeat(20_000), size, in_memory });
            let remote = remote(patient());
            let report = remote.deliver(&job).await;
            assert_eq!(report.outcomes[0].status, DeliveryStatus::Deferred);
            assert_eq!(report.outcomes[0].status_code.to_string(), "4.3.0");
            assert!(report.outcomes[0].text().contains("the queued message is damaged"));
            while peer.contents().is_empty() {
                tokio::task::yield_now().await;
            }
            assert!(!peer.contents()[0].contains(".\r\n"));
            assert_eq!(remote.idle_connections(), 0);
        }
    }
}

#[tokio::test]
async fn a_domain_in_another_script_is_sent_in_a_labels() {
    let peer = Peer::start(&[
        &format!("{HELLO}{ACCEPT}").replace("me@example.com", "ich@xn--bcher-kva.example")
    ])
    .await;
    let mut job = job(plan(&[peer.address]), 1);
    job.reverse_path = ReversePath::parse("<ich@bücher.example>").unwrap();
    job.recipients[0].recipient = Recipient::new(Address::parse("r0@bücher.example").unwrap());
    let report = remote(patient()).deliver(&job).await;
    assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent, "{}", report.outcomes[0].text());
    let said = "RCPT TO:<r0@xn--bcher-kva.example> ORCPT=utf-8;r0@b\\x{FC}cher.example";
    assert!(peer.commands().contains(&said.to_owned()), "{:?}", peer.commands());
}

#[tokio::test]
async fn smtputf8_is_demanded_only_where_it_is_needed() {
    for (local, header, sent) in [
        ("r0", "Subject: hi\r\n\r\nñ\r\n", true),
        ("r0", "Subject: ñ\r\n\r\nhi\r\n", false),
        ("ñ", "Subject: hi\r\n\r\nhi\r\n", false),
    ] {
        let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}")]).await;
        let mut job = job(plan(&[peer.address]), 1);
        job.smtputf8 = true;
        job.recipients[0].recipient =
            Recipient::new(Address::parse(&format!("{local}@example.net")).unwrap());
        job.body = body(header.as_bytes(), true);
        let report = remote(patient()).deliver(&job).await;
        let expected = if sent {
            "sent 2.0.0 mx.example[127.0.0.1 250 2.0.0 Ok: queued as 1"
        } else {
            "bounced 5.6.7 mx.example[127.0.0.1 SMTPUTF8 is required, but was not offered by host \
             mx.example[127.0.0.1]"
        };
        assert_eq!(summary(&report.outcomes[0]), expected);
    }
}

#[tokio::test]
async fn lmtp_gives_each_recipient_its_own_reply() {
    let script = "S: 220 hi\nC: LHLO\nS: 250-x\nS: 250 PIPELINING\nC: MAIL\nC: RCPT\nC: RCPT\nC: \
                  DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\nS: 250 2.1.5 \
                  saved\nS: 552 5.2.2 full\nC: QUIT\nS: 221 bye\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp");
    let peers = [Peer::start(&[script]).await, Peer::start_at(&path, script)];
    let targets =
        [LmtpTarget::Host("mail.inside".into(), peers[0].address), LmtpTarget::Path(path)];
    for (peer, target) in peers.iter().zip(targets) {
        let is_host = matches!(target, LmtpTarget::Host(..));
        let report = remote(patient()).deliver_lmtp(&job(plan(&[]), 2), &target).await;
        assert_eq!(report.outcomes[0].text(), "250 2.1.5 saved");
        assert_eq!(report.outcomes[0].component, "lmtp");
        let by_name = report.outcomes[0].relay.starts_with("mail.inside[127.0.0.1]:");
        assert_eq!(by_name, is_host, "{}", report.outcomes[0].relay);
        assert_eq!(report.outcomes[1].status, DeliveryStatus::Bounced);
        peer.check();
    }
}

#[tokio::test]
async fn lmtp_without_a_server_waits() {
    let directory = tempfile::tempdir().unwrap();
    let target = LmtpTarget::Path(directory.path().join("lmtp"));
    let report = remote(patient()).deliver_lmtp(&job(plan(&[]), 1), &target).await;
    let text = report.outcomes[0].text();
    assert!(text.starts_with("connect to mail.example.com[/"), "{text}");
    assert!(text.ends_with("lmtp]: No such file or directory"), "{text}");
    assert_eq!(report.outcomes[0].status, DeliveryStatus::Deferred);
}
