//! What a provider's files say of its replies is done, and nobody else is asked the same.

use super::*;
use crate::deliver::Pressure;
use crate::providers::Profile;

const TAKES_ALL: &str = "S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\ncontent\nS: 250 taken\n";

fn known(name: &str) -> Arc<Profile> {
    let config = Config::for_tests(std::path::Path::new("/nowhere"));
    Arc::clone(config.profiles().named(name).unwrap())
}

fn to(provider: &str, addresses: &[SocketAddr], recipients: usize) -> Job {
    job(Plan { manners: known(provider), ..plan(addresses) }, recipients)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_reply_calls_for_what_the_providers_file_says() {
    use DeliveryStatus::{Bounced, Deferred};
    let park = |span| Pressure::Parked(seconds(span));
    let slow = |span| Pressure::Slowed(seconds(span), None);
    for (provider, reply, status, pressure, wait) in [
        ("google", "421 4.7.28 unusual rate of unsolicited mail", Deferred, park(600), Some(600)),
        ("google", "421 4.7.26 not authenticated", Deferred, Pressure::Fine, None),
        (
            "google",
            "450 4.2.1 The user you are trying to contact is receiving mail too quickly",
            Deferred,
            Pressure::Fine,
            Some(1800),
        ),
        ("yahoo", "421 4.7.0 [TSS04] temporarily deferred", Deferred, park(7200), Some(7200)),
        ("microsoft-consumer", "451 4.7.650 rate limited", Deferred, slow(1800), Some(1800)),
        ("microsoft-consumer", "550 5.7.1 on our block list (S3150).", Bounced, park(7200), None),
        ("qq", "550 Ip frequency limited [x]", Deferred, park(3600), Some(3600)),
        (
            "bluewin",
            "554 5.2.0 IP reputation ratelimit in effect",
            Deferred,
            park(3600),
            Some(3600),
        ),
        ("qq", "550 Mail content denied", Bounced, Pressure::Fine, None),
        (
            "default",
            "450 4.2.0 Greylisted, try again in 120 seconds",
            Deferred,
            Pressure::Fine,
            Some(120),
        ),
        (
            "default",
            "451 4.7.1 rate limit, try again in 5 minutes",
            Deferred,
            slow(1800),
            Some(300),
        ),
        ("default", "554 5.7.1 blocked using some list", Bounced, Pressure::Fine, None),
    ] {
        let first = format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: {reply}\nS: 503 no\nS: 503 no\n");
        let peer = Peer::start(&[&first]).await;
        let report = remote(patient()).deliver(&to(provider, &[peer.address], 1)).await;
        let outcome = &report.outcomes[0];
        let seen =
            (outcome.status, report.pressure, outcome.retry_after.map(|wait| wait.as_secs()));
        assert_eq!(seen, (status, pressure, wait), "{provider}: {reply}");
    }
}

#[tokio::test]
async fn no_other_host_is_asked_what_the_first_has_answered_for_all() {
    let refuses = format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\nS: 421 4.7.28 slow down\ndrop\n");
    for first in [refuses.as_str(), "S: 421 4.7.28 slow down\ndrop\n"] {
        let (peer, other) = (Peer::start(&[first]).await, Peer::start(&[TAKES_ALL]).await);
        let hosts = [peer.address, other.address];
        let report = remote(patient()).deliver(&to("google", &hosts, 1)).await;
        assert_eq!(report.pressure, Pressure::Parked(seconds(600)));
        assert!(report.outcomes.iter().all(|one| one.status == DeliveryStatus::Deferred));
        assert_eq!(other.connections(), 0);
    }
}

#[tokio::test]
async fn a_connection_carries_no_more_than_its_provider_likes() {
    let one = format!("{HELLO}{ACCEPT}");
    let peer = Peer::start(&[&one, &one, &one]).await;
    let remote = remote(patient());
    let manners = Arc::new(Profile { messages: Some(1), ..Profile::default() });
    for _ in 0..3 {
        let plan = Plan { manners: Arc::clone(&manners), ..plan(&[peer.address]) };
        let report = remote.deliver(&job(plan, 1)).await;
        assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent);
        assert_eq!(remote.idle_connections(), 0);
    }
    assert_eq!(peer.connections(), 3);
}

// Yahoo closes after its twentieth message without a word: no failure of the next, and no
// reason to open fewer connections.
#[tokio::test]
async fn a_connection_that_is_closed_without_a_word_is_no_complaint() {
    let script = format!("{HELLO}{ACCEPT}");
    let peer = Peer::start(&[&format!("{script}drop\n"), &script]).await;
    let remote = remote(patient());
    for _ in 0..2 {
        let report = remote.deliver(&to("yahoo", &[peer.address], 1)).await;
        assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent);
        assert_eq!(report.pressure, Pressure::Fine);
    }
}

#[tokio::test]
async fn a_used_up_connection_is_replaced_and_a_pause_is_not_asked_for_twice() {
    let script = format!("{HELLO}{ACCEPT}");
    let used_up = "C: MAIL\nC: RCPT\nC: DATA\nS: 421 Max message per connection reached\ndrop\n";
    let peer = Peer::start(&[&format!("{script}{used_up}"), &script]).await;
    let remote = remote(patient());
    for _ in 0..2 {
        let report = remote.deliver(&to("yahoo", &[peer.address], 1)).await;
        assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent);
        assert_eq!(report.pressure, Pressure::Fine);
    }
    let pause = "C: MAIL\nC: RCPT\nC: DATA\nS: 421 4.7.0 [TSS04] deferred\ndrop\n";
    let peer = Peer::start(&[&format!("{script}{pause}"), &script]).await;
    let remote = super::remote(patient());
    remote.deliver(&to("yahoo", &[peer.address], 1)).await;
    let report = remote.deliver(&to("yahoo", &[peer.address], 1)).await;
    assert_eq!(report.pressure, Pressure::Parked(seconds(7200)));
    assert_eq!(peer.connections(), 1);
}
