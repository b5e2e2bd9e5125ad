//! Connections that wait for another message.

use super::*;

#[tokio::test]
async fn one_connection_carries_several_messages() {
    let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}{ACCEPT}{ACCEPT}")]).await;
    let remote = remote(patient());
    for _ in 0..3 {
        let report = remote.deliver(&job(plan(&[peer.address]), 1)).await;
        assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent);
        assert_eq!(remote.idle_connections(), 1);
    }
    assert_eq!(peer.connections(), 1);
    peer.check();
}

#[tokio::test]
async fn what_differs_in_tls_or_login_shares_no_connection() {
    let script = format!("{HELLO}{ACCEPT}");
    let peer = Peer::start(&[&script, &script]).await;
    let remote = remote(patient());
    for tls in [TlsLevel::Opportunistic, TlsLevel::None] {
        remote.deliver(&job(Plan { tls, ..plan(&[peer.address]) }, 1)).await;
    }
    assert_eq!(peer.connections(), 2);
    assert_eq!(remote.idle_connections(), 2);
}

#[tokio::test]
async fn a_connection_that_died_idle_is_replaced_without_a_failure() {
    let script = format!("{HELLO}{ACCEPT}");
    for end in [
        "drop\n",
        "rst\n",
        "S: 421 4.4.2 idle\ndrop\n",
        "C: MAIL\ndrop\n",
        "C: MAIL\nS: 421 4.4.2 idle\ndrop\n",
    ] {
        let peer = Peer::start(&[&format!("{script}{end}"), &script]).await;
        let remote = remote(patient());
        for _ in 0..2 {
            let report = remote.deliver(&job(plan(&[peer.address]), 1)).await;
            assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent, "{end}");
        }
        assert_eq!(peer.connections(), 2, "{end}");
        peer.check();
    }
}

#[tokio::test]
async fn a_connection_without_an_answer_to_the_content_is_not_used_again() {
    let first = format!("{HELLO}{ENVELOPE}content\nhang\n");
    let peer = Peer::start(&[&first]).await;
    let timeouts = ClientTimeouts { final_dot: Duration::from_millis(50), ..patient() };
    let remote = remote(timeouts);
    remote.deliver(&job(plan(&[peer.address]), 1)).await;
    assert_eq!(remote.idle_connections(), 0);
}

#[tokio::test]
async fn closing_says_quit_and_keeps_nothing() {
    let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}C: QUIT\nS: 221 bye\n")]).await;
    let remote = remote(patient());
    remote.deliver(&job(plan(&[peer.address]), 1)).await;
    remote.close().await;
    assert_eq!(remote.idle_connections(), 0);
    assert_eq!(peer.commands().last().map(String::as_str), Some("QUIT"));
    peer.check();
}

#[tokio::test]
async fn a_connection_carries_a_hundred_messages_and_no_more() {
    let script = format!("{HELLO}{}C: QUIT\nS: 221 bye\n", ACCEPT.repeat(100));
    let peer = Peer::start(&[&script, HELLO]).await;
    let remote = remote(patient());
    for _ in 0..100 {
        remote.deliver(&job(plan(&[peer.address]), 1)).await;
    }
    assert_eq!(remote.idle_connections(), 0);
    assert_eq!(peer.connections(), 1);
    while peer.commands().last().is_none_or(|line| line != "QUIT") {
        tokio::task::yield_now().await;
    }
    peer.check();
}

#[tokio::test]
async fn an_idle_connection_is_ended_after_a_while() {
    let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}C: QUIT\nS: 221 bye\n")]).await;
    let remote = remote(patient());
    remote.deliver(&job(plan(&[peer.address]), 1)).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(4900)).await;
    assert_eq!(remote.idle_connections(), 1);
    tokio::time::advance(Duration::from_millis(200)).await;
    while peer.commands().last().is_none_or(|line| line != "QUIT") {
        tokio::task::yield_now().await;
    }
    assert_eq!(remote.idle_connections(), 0);
}

#[tokio::test]
async fn a_peer_that_knows_no_rset_gets_a_new_connection() {
    let refuse = "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 503 no\n";
    let reset = "C: RSET\nC: MAIL\nC: RCPT\nC: DATA\nS: 502 5.5.1 what\ndrop\n";
    let second = format!("{HELLO}{ACCEPT}");
    let peer = Peer::start(&[&format!("{HELLO}{refuse}{reset}"), &second]).await;
    let remote = remote(patient());
    let first = remote.deliver(&job(plan(&[peer.address]), 1)).await;
    assert_eq!(first.outcomes[0].status, DeliveryStatus::Bounced);
    let second = remote.deliver(&job(plan(&[peer.address]), 1)).await;
    assert_eq!(second.outcomes[0].status, DeliveryStatus::Sent);
    assert_eq!(peer.connections(), 2);
    peer.check();
}

/// What a connection that carried a message says to the next one, all of it being about
/// that connection.
const USED_UP: [&str; 14] = [
    // The peer keeps its transaction although the content was refused, or accepted.
    "C: MAIL\nC: RCPT\nC: DATA\nS: 503 5.5.1 nested MAIL command\nS: 250 ok\nS: 354 go\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 503 5.5.1 sender already given\nS: 503 no\nS: 503 no\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 550 too many messages in this session\nS: 503 no\nS: 503 no\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 550 5.7.1 too many messages\nS: 503 no\nS: 503 no\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 452 4.5.3 too many messages\nS: 503 no\nS: 503 no\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 too many messages in this session\nS: 503 no\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 too many messages\nC: RSET\nS: 250 ok\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 421 4.7.0 [TSS04] deferred\ndrop\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 421 4.4.2 timeout\ndrop\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\ndrop\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 650 what\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\nS: 421 4.7.0 too many\ndrop\n",
    "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\nS: 550 too many messages\n",
];

#[tokio::test]
async fn what_a_used_connection_refuses_is_asked_again_on_a_new_one() {
    let refused = format!("{HELLO}{ENVELOPE}content\nS: 550 5.7.1 spam\n");
    let accepted = format!("{HELLO}{ACCEPT}");
    for used_up in USED_UP {
        for (first, reset) in [(&accepted, ""), (&refused, "C: RSET\n")] {
            let said = if reset.is_empty() { "" } else { "S: 250 ok\n" };
            let answer = used_up.replacen("C: DATA\n", &format!("C: DATA\n{said}"), 1);
            let peer = Peer::start(&[&format!("{first}{reset}{answer}"), &accepted]).await;
            let remote = remote(patient());
            remote.deliver(&job(plan(&[peer.address]), 1)).await;
            let outcome = remote.deliver(&job(plan(&[peer.address]), 1)).await.outcomes.remove(0);
            assert_eq!(outcome.status, DeliveryStatus::Sent, "{used_up}: {}", outcome.text());
            assert_eq!(peer.connections(), 2, "{used_up}");
            peer.check();
        }
    }
}

#[tokio::test]
async fn what_a_new_connection_refuses_too_is_a_verdict() {
    let no =
        "C: MAIL\nC: RCPT\nC: DATA\nS: 550 5.7.1 we want none of yours\nS: 503 no\nS: 503 no\n";
    let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}{no}"), &format!("{HELLO}{no}")]).await;
    let remote = remote(patient());
    remote.deliver(&job(plan(&[peer.address]), 1)).await;
    let outcome = remote.deliver(&job(plan(&[peer.address]), 1)).await.outcomes.remove(0);
    assert_eq!(outcome.status, DeliveryStatus::Bounced, "{}", outcome.text());
    assert_eq!(peer.connections(), 2);
    peer.check();
}

#[tokio::test]
async fn what_is_about_the_recipient_needs_no_new_connection() {
    for refusal in ["550 5.1.1 no such user", "552 5.2.2 mailbox full"] {
        let no = format!("C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: {refusal}\nS: 503 no\n");
        let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}{no}")]).await;
        let remote = remote(patient());
        remote.deliver(&job(plan(&[peer.address]), 1)).await;
        let outcome = remote.deliver(&job(plan(&[peer.address]), 1)).await.outcomes.remove(0);
        assert_eq!(outcome.status, DeliveryStatus::Bounced, "{}", outcome.text());
        assert_eq!(peer.connections(), 1);
        peer.check();
    }
}

#[tokio::test]
async fn a_peer_that_takes_one_transaction_for_each_connection_gets_as_many_connections() {
    let first = "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 452 4.5.3 one\nS: \
                 354 go\ncontent\nS: 250 first\n";
    let second = format!("{HELLO}{}", ACCEPT.replace("r0", "r1"));
    for end in [
        "C: MAIL\nC: RCPT\nC: DATA\nS: 550 too many messages in this session\nS: 503 no\nS: 503 no\n",
        "drop\n",
        "S: 421 4.7.0 one message only\ndrop\n",
    ] {
        let peer = Peer::start(&[&format!("{HELLO}{first}{end}"), &second]).await;
        let report = remote(patient()).deliver(&job(plan(&[peer.address]), 2)).await;
        let texts: Vec<_> = report.outcomes.iter().map(|outcome| outcome.text()).collect();
        assert_eq!(texts, ["250 first", "250 2.0.0 Ok: queued as 1"], "{end}");
        assert_eq!(peer.connections(), 2, "{end}");
    }
}
