//! Which failures lead to another host, and which never do.

use super::*;
use crate::deliver::{Pressure, Success};

#[tokio::test]
async fn the_next_host_is_tried_unless_the_message_may_have_arrived() {
    let accept = format!("{HELLO}{ACCEPT}");
    for (first, elsewhere) in [
        ("S: 554 5.7.1 go away\n".to_owned(), true),
        ("S: 421 4.3.2 busy\n".to_owned(), true),
        ("S: 220 hi\nC: EHLO\nS: 550 no\nC: HELO\nS: 550 no\n".to_owned(), true),
        ("drop\n".to_owned(), true),
        (
            format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: 451 4.3.0 no\nS: 503 no\nS: 503 no\n"),
            true,
        ),
        (
            format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 450 4.2.1 no\nS: 503 no\n"),
            true,
        ),
        (format!("{HELLO}C: MAIL\nS: 250 ok\nS: 421 4.3.2 going down\ndrop\n"), true),
        (format!("{HELLO}{ENVELOPE}content\nS: 451 4.3.0 later\n"), true),
        (format!("{HELLO}{ENVELOPE}drop\n"), true),
        (format!("{HELLO}{ENVELOPE}content\ndrop\n"), false),
        (format!("{HELLO}{ENVELOPE}content\nS: what?\ndrop\n"), false),
        (
            format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 503 no\n"),
            false,
        ),
        (format!("{HELLO}{ENVELOPE}content\nS: 554 5.7.1 spam\n"), false),
    ] {
        let (one, two) = (Peer::start(&[&first]).await, Peer::start(&[&accept]).await);
        let mut job = job(plan(&[one.address, two.address]), 1);
        if first.contains("354 go\ndrop") {
            // Small content is out before the peer closes.
            job.body = body(&b"0123456789abcd\r\n".repeat(2 << 20), true);
        }
        let report = remote(patient()).deliver(&job).await;
        assert_eq!(one.connections(), 1, "{first}");
        assert_eq!(two.connections(), usize::from(elsewhere), "{first}");
        let sent = report.outcomes[0].status == DeliveryStatus::Sent;
        assert_eq!(sent, elsewhere, "{first}: {}", report.outcomes[0].text());
        two.check();
    }
}

#[tokio::test]
async fn a_refused_session_never_bounces() {
    let refuse = "S: 554 5.7.1 your address is listed\n";
    let (one, two) = (Peer::start(&[refuse]).await, Peer::start(&[refuse]).await);
    let report = remote(patient()).deliver(&job(plan(&[one.address, two.address]), 2)).await;
    for outcome in &report.outcomes {
        assert_eq!(
            summary(outcome),
            "deferred 4.7.1 mx.example[127.0.0.1 host mx.example[127.0.0.1] refused to talk to \
             me: 554 5.7.1 your address is listed"
        );
    }
    assert_eq!(report.pressure, Pressure::Unreachable);
}

#[tokio::test]
async fn who_refuses_us_is_told_that_we_go() {
    for script in [
        "S: 554 5.7.1 go away\n".to_owned(),
        "S: 220-mx\nS: 521 5.3.2 no mail here\n".to_owned(),
        "S: 220 mx\nC: EHLO\nS: 450 4.7.0 not now\n".to_owned(),
        "S: 220 mx\nC: EHLO\nS: 502 what\nC: HELO\nS: 550 no\n".to_owned(),
    ] {
        let peer = Peer::start(&[&format!("{script}C: QUIT\nS: 221 bye\n")]).await;
        let report = remote(patient()).deliver(&job(plan(&[peer.address]), 1)).await;
        assert_eq!(report.outcomes[0].status, DeliveryStatus::Deferred, "{script}");
        while peer.commands().last().is_none_or(|line| line != "QUIT") {
            tokio::task::yield_now().await;
        }
        peer.check();
    }
}

#[tokio::test]
async fn a_host_that_asks_for_less_is_told_apart_from_one_that_is_away() {
    for (script, pressure) in [
        ("S: 421 4.7.0 too many connections\n".to_owned(), Pressure::Strained),
        ("S: 554 no\n".to_owned(), Pressure::Unreachable),
        (format!("{HELLO}C: MAIL\nS: 421 4.7.0 slow down\n"), Pressure::Strained),
        (format!("{HELLO}C: MAIL\ndrop\n"), Pressure::Strained),
        (format!("{HELLO}{ACCEPT}"), Pressure::Fine),
    ] {
        let peer = Peer::start(&[&script]).await;
        let report = remote(patient()).deliver(&job(plan(&[peer.address]), 1)).await;
        assert_eq!(report.pressure, pressure, "{script}");
    }
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let script = format!(
        "{HELLO}C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 2.1.5 ok\nS: 450 \
         4.2.1 later\nS: 550 5.1.1 never\nS: 354 go\ncontent\nS: 250 2.0.0 Ok: queued as 7\n"
    );
    let peer = Peer::start(&[&script]).await;
    let report = remote(patient()).deliver(&job(plan(&[peer.address]), 3)).await;
    let summaries: Vec<String> = report.outcomes.iter().map(summary).collect();
    assert_eq!(
        summaries,
        [
            "sent 2.0.0 mx.example[127.0.0.1 250 2.0.0 Ok: queued as 7",
            "deferred 4.2.1 mx.example[127.0.0.1 host mx.example[127.0.0.1] said: 450 4.2.1 \
             later (in reply to RCPT TO command)",
            "bounced 5.1.1 mx.example[127.0.0.1 host mx.example[127.0.0.1] said: 550 5.1.1 never \
             (in reply to RCPT TO command)",
        ]
    );
    let indexes: Vec<u32> = report.outcomes.iter().map(|outcome| outcome.index).collect();
    assert_eq!(indexes, [10, 11, 12]);
    assert_eq!(report.outcomes[0].success, Success::ToldElsewhere);
    assert_eq!(report.outcomes[0].host.as_deref(), Some("mx.example"));
}

#[tokio::test]
async fn recipients_that_a_peer_has_no_room_for_follow_on_the_same_connection() {
    let second = ACCEPT.replace("r0", "r1");
    let script = format!(
        "{HELLO}C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 452 4.5.3 too \
         many\nS: 354 go\ncontent\nS: 250 first\n{second}"
    );
    let peer = Peer::start(&[&script]).await;
    let report = remote(patient()).deliver(&job(plan(&[peer.address]), 2)).await;
    let texts: Vec<_> = report.outcomes.iter().map(|outcome| outcome.text()).collect();
    assert_eq!(texts, ["250 first", "250 2.0.0 Ok: queued as 1"]);
    assert_eq!(peer.connections(), 1);
    peer.check();
}

#[tokio::test]
async fn no_more_than_five_connections_and_two_sessions_are_tried() {
    let mut peers = Vec::new();
    for _ in 0..6 {
        peers.push(Peer::start(&["S: 421 4.3.2 busy\n"]).await);
    }
    let addresses: Vec<SocketAddr> = peers.iter().map(|peer| peer.address).collect();
    remote(patient()).deliver(&job(plan(&addresses), 1)).await;
    assert_eq!(peers.iter().map(Peer::connections).sum::<usize>(), 5);

    let mut peers = Vec::new();
    for _ in 0..3 {
        let script = format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: 451 no\nS: 503 no\nS: 503 no\n");
        peers.push(Peer::start(&[&script]).await);
    }
    let addresses: Vec<SocketAddr> = peers.iter().map(|peer| peer.address).collect();
    remote(patient()).deliver(&job(plan(&addresses), 1)).await;
    assert_eq!(peers.iter().map(Peer::connections).sum::<usize>(), 2);
}
