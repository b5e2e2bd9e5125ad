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
