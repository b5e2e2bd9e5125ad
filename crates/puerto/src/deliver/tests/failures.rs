//! Every way in which a peer can fail, at every stage.

use super::*;
use crate::deliver::Pressure;

/// All of them are read: a socket that is closed with octets unread sends a reset,
/// which may overtake replies.
const COMMANDS: &str = "C: MAIL\nC: RCPT\nC: DATA\n";

/// The script up to each stage, the words for it, and whether a lost message may
/// have arrived.
fn stages() -> [(String, &'static str); 6] {
    [
        (String::new(), "receiving the initial server greeting"),
        ("S: 220 hi\nC: EHLO\n".into(), "performing the EHLO handshake"),
        (format!("{HELLO}{COMMANDS}"), "sending MAIL FROM"),
        (format!("{HELLO}{COMMANDS}S: 250 ok\n"), "sending RCPT TO"),
        (format!("{HELLO}{COMMANDS}S: 250 ok\nS: 250 ok\n"), "sending DATA command"),
        (
            format!("{HELLO}{ENVELOPE}content\n"),
            "sending end of data -- message may be sent more than once",
        ),
    ]
}

#[tokio::test]
async fn a_connection_that_is_dropped_defers_with_the_stage() {
    for end in ["drop\n", "rst\n"] {
        for (script, activity) in stages() {
            let peer = Peer::start(&[&format!("{script}{end}")]).await;
            let report = remote(patient()).deliver(&job(plan(&[peer.address]), 1)).await;
            assert_eq!(
                summary(&report.outcomes[0]),
                format!(
                    "deferred 4.4.2 mx.example[127.0.0.1 lost connection with \
                     mx.example[127.0.0.1] while {activity}"
                )
            );
            assert_eq!(report.outcomes[0].index, 10);
            peer.check();
        }
    }
}

#[tokio::test]
async fn a_peer_that_hangs_times_out_with_the_stage() {
    let short = Duration::from_millis(60);
    for (number, (script, activity)) in stages().into_iter().enumerate() {
        let mut timeouts = patient();
        match number {
            0 => timeouts.greeting = short,
            1 => timeouts.hello = short,
            2 => timeouts.mail = short,
            3 => timeouts.recipient = short,
            4 => timeouts.data = short,
            _ => timeouts.final_dot = short,
        }
        let peer = Peer::start(&[&format!("{script}hang\n")]).await;
        let report = remote(timeouts).deliver(&job(plan(&[peer.address]), 1)).await;
        assert_eq!(
            summary(&report.outcomes[0]),
            format!(
                "deferred 4.4.2 mx.example[127.0.0.1 conversation with mx.example[127.0.0.1] \
                 timed out while {activity}"
            )
        );
    }
}

#[tokio::test]
async fn an_octet_now_and_then_wins_no_more_time() {
    let drip: String = (0..200).map(|n| format!("S: 250-line {n}\n")).collect();
    let peer = Peer::start(&[&format!("S: 220 hi\nC: EHLO\n{drip}hang\n")]).await;
    let timeouts = ClientTimeouts { hello: Duration::from_millis(60), ..patient() };
    let report = remote(timeouts).deliver(&job(plan(&[peer.address]), 1)).await;
    assert!(report.outcomes[0].text().contains("timed out while performing the EHLO"));
}

#[tokio::test]
async fn a_peer_that_takes_no_content_times_out() {
    let peer = Peer::start(&[&format!("{HELLO}{ENVELOPE}hang\n")]).await;
    let timeouts = ClientTimeouts { data_block: Duration::from_millis(100), ..patient() };
    let mut job = job(plan(&[peer.address]), 1);
    job.body = body(&b"0123456789abcd\r\n".repeat(2 << 20), true);
    let outcome = remote(timeouts).deliver(&job).await.outcomes.remove(0);
    assert_eq!(
        outcome.text(),
        "conversation with mx.example[127.0.0.1] timed out while sending message body"
    );
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_content_is_heard() {
    let peer = Peer::start(&[&format!("{HELLO}{ENVELOPE}S: 552 5.3.4 too much\ndrop\n")]).await;
    for in_memory in [true, false] {
        let mut job = job(plan(&[peer.address]), 1);
        job.body = body(&b"0123456789abcd\r\n".repeat(2 << 20), in_memory);
        let outcome = remote(patient()).deliver(&job).await.outcomes.remove(0);
        // A reset may throw the peer's words away before we read them.
        let told = outcome.text()
            == "host mx.example[127.0.0.1] said: 552 5.3.4 too much (in reply to end of DATA \
                command)";
        assert!(told || outcome.text().starts_with("lost connection with"), "{}", outcome.text());
        assert_ne!(outcome.status, DeliveryStatus::Sent);
    }
}

#[tokio::test]
async fn what_is_no_smtp_defers() {
    for (script, text) in [
        (
            "S: HTTP/1.1 400 Bad Request\ndrop\n".to_owned(),
            "bad reply from mx.example[127.0.0.1] while receiving the initial server greeting: \
             the peer sent a line that is not an SMTP reply",
        ),
        (
            format!("{HELLO}C: MAIL\nS: 699 what\n"),
            "bad reply from mx.example[127.0.0.1] while sending MAIL FROM: the peer sent the \
             reply code 699, which SMTP does not know",
        ),
        (
            format!("S: 220 hi\nC: EHLO\n{}", "S: 250-more\n".repeat(200_000)),
            "bad reply from mx.example[127.0.0.1] while performing the EHLO handshake: the peer \
             sent a reply that is too long",
        ),
        (
            format!("{HELLO}{ENVELOPE}content\nS: 354 again\n"),
            "unexpected reply from mx.example[127.0.0.1] while sending end of data -- message \
             may be sent more than once",
        ),
    ] {
        let peer = Peer::start(&[&script]).await;
        let report = remote(patient()).deliver(&job(plan(&[peer.address]), 1)).await;
        assert_eq!(
            summary(&report.outcomes[0]),
            format!("deferred 4.5.0 mx.example[127.0.0.1 {text}")
        );
    }
}

#[tokio::test]
async fn a_wait_that_the_peer_asks_for_is_passed_on() {
    let peer = Peer::start(&[&format!(
        "{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 450 4.2.0 Greylisted, try again in 5 \
         minutes\nS: 503 no\n"
    )])
    .await;
    let report = remote(patient()).deliver(&job(plan(&[peer.address]), 1)).await;
    assert_eq!(report.outcomes[0].retry_after, Some(Duration::from_secs(300)));
    assert_eq!(report.pressure, Pressure::Fine);
}

#[tokio::test]
async fn nobody_listens() {
    let address = Peer::start(&[]).await.address;
    // The listener is gone with the peer; give its task a turn to notice.
    tokio::task::yield_now().await;
    let report = remote(patient()).deliver(&job(plan(&[address]), 1)).await;
    assert_eq!(
        summary(&report.outcomes[0]),
        format!(
            "deferred 4.4.1 none connect to mx.example[127.0.0.1]:{}: Connection refused",
            address.port()
        )
    );
    assert_eq!(report.pressure, Pressure::Unreachable);
}
