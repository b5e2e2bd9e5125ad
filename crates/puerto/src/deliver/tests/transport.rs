//! DANE and MTA-STS on the wire: what is taken, what waits, and which connection carries what.

use aws_lc_rs::digest;
use puerto_mail::dns::Record;
use puerto_spool::clock::ManualClock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::security::{BEHIND, BROKEN, OFFER, PLAIN};
use super::*;
use crate::cause::Cause;
use crate::config::Downgrade;
use crate::tls::{Dane, TlsaSet};
use crate::transport::memory::Memory;
use crate::transport::results::Results;
use crate::transport::{Demand, Rule};

/// The records of `mx.example`, whose certificate has this digest or another.
fn dane(is_right: bool) -> Rule {
    dane_of("mx.example", is_right)
}

fn dane_of(base: &str, is_right: bool) -> Rule {
    let own = CertificateDer::from_pem_slice(include_bytes!("../../../tests/tls/mx.pem")).unwrap();
    let right = digest::digest(&digest::SHA256, &own).as_ref().to_vec();
    let data = if is_right { right } else { vec![7; 32] };
    let records = Arc::new(TlsaSet::of(&[Record::Tlsa(3, 0, 1, data)]));
    let base: Arc<str> = base.into();
    let demand = Demand::Dane(Arc::new(Dane { names: vec![base.clone()], base, records }));
    Rule { demand, reason: Cause::DanePublished { records: "3 0 1".to_owned() } }
}

fn encrypted() -> Rule {
    Rule { demand: Demand::Encrypted, reason: Cause::DaneUnusable {} }
}

fn enforced() -> Rule {
    let reason = Cause::StsEnforced { pattern: "*.example".to_owned() };
    Rule { demand: Demand::Verified, reason }
}

fn by(rule: Option<Rule>, peer: &Peer) -> Job {
    let rule = rule.map(Arc::new);
    let hop = Hop { rule, ..Hop::at("mx.example", peer.address) };
    job(Plan { hops: vec![hop], ..plan(&[peer.address]) }, 1)
}

fn reason(outcome: &Outcome) -> String {
    outcome.tls_reason.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn mail_goes_where_the_rule_is_met_and_waits_elsewhere() {
    let good = format!("{OFFER}tls\n{BEHIND}{ACCEPT}");
    let refused = format!("{PLAIN}C: STARTTLS\nS: 454 not now\n");
    let unmatched = "no TLSA record of mx.example matches the certificate";
    let (matched, published) = ("DANE: 3 0 1 matched", "DANE: 3 0 1 published");
    let (sts, unusable) = ("MTA-STS enforce: mx pattern *.example", "DANE: no usable TLSA record");
    for (rule, script, trusted, code, words, told) in [
        (dane(true), &*good, false, "2.0.0", "queued as 1", matched),
        (dane(false), &*good, true, "4.7.5", unmatched, published),
        (dane(true), BROKEN, true, "4.7.5", "Cannot start TLS", published),
        (dane(true), HELLO, true, "4.7.4", "TLS is required", published),
        (dane(true), &*refused, true, "4.7.4", "454 not now", published),
        (encrypted(), &*good, false, "2.0.0", "queued as 1", unusable),
        (encrypted(), BROKEN, false, "4.7.5", "Cannot start TLS", unusable),
        (encrypted(), HELLO, false, "4.7.4", "TLS is required", unusable),
        (enforced(), &*good, true, "2.0.0", "queued as 1", sts),
        (enforced(), &*good, false, "4.7.5", "issuer is not trusted", sts),
        (enforced(), HELLO, true, "4.7.4", "TLS is required", sts),
    ] {
        let peer = peer::Peer::start(&[script]).await;
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let remote = remote_with(patient(), |_| {}, tls);
        let outcome = remote.deliver(&by(Some(rule), &peer)).await.outcomes.remove(0);
        let case = format!("{told}: {}", outcome.text());
        assert_eq!(outcome.status_code.to_string(), code, "{case}");
        assert!(outcome.text().contains(words), "{case}");
        assert!(reason(&outcome).starts_with(told), "{case}: {}", reason(&outcome));
        assert_eq!(peer.connections(), 1, "{case}: no second try in plain");
        let spoke = peer.commands().iter().any(|line| line.starts_with("MAIL"));
        assert_eq!(spoke, code == "2.0.0", "{case}");
    }
}

/// Postfix took any name that the policy's pattern matches, until 3.10.5: that of another host of
/// the receiver, or of whoever else has one there.
#[tokio::test]
async fn under_a_policy_a_certificate_is_of_the_host_itself() {
    let peer = peer::Peer::start(&[&format!("{OFFER}tls\n{BEHIND}{ACCEPT}")]).await;
    let hop = Hop { rule: Some(Arc::new(enforced())), ..Hop::at("other.example", peer.address) };
    let job = job(Plan { hops: vec![hop], ..plan(&[peer.address]) }, 1);
    let remote = remote_with(patient(), |_| {}, ClientTls::trusting(ca()));
    let outcome = remote.deliver(&job).await.outcomes.remove(0);
    assert_eq!(outcome.status_code.to_string(), "4.7.5", "{}", outcome.text());
    assert!(outcome.text().contains("the certificate is for mx.example"), "{}", outcome.text());
}

/// A policy that is tried out: the certificate is judged in the very handshake, and the mail goes
/// whatever comes of it.
#[tokio::test]
async fn what_a_policy_that_is_tried_out_would_come_to_is_told() {
    let good = format!("{OFFER}tls\n{BEHIND}{ACCEPT}");
    let plain = format!("{PLAIN}{ACCEPT}");
    let none = format!("{HELLO}{ACCEPT}");
    let failed = "MTA-STS testing: under enforce it would have waited:";
    for (scripts, host, trusted, words) in [
        (&[&*good][..], "mx.example", true, String::new()),
        (&[&*good], "mx.example", false, format!("{failed} the certificate's issuer is not")),
        (&[&*good], "mx.example.net", true, format!("{failed} the certificate is for mx.example")),
        (&[&*none], "mx.example", true, format!("{failed} plain, because TLS is not offered")),
        (&[BROKEN, &*plain], "mx.example", true, format!("{failed} plain, because TLS failed")),
    ] {
        let peer = peer::Peer::start(scripts).await;
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let rule = Rule { demand: Demand::Watched, reason: Cause::StsTesting {} };
        let hop = Hop { rule: Some(Arc::new(rule)), ..Hop::at(host, peer.address) };
        let job = job(Plan { hops: vec![hop], ..plan(&[peer.address]) }, 1);
        let remote = remote_with(patient(), |_| {}, tls);
        let outcome = remote.deliver(&job).await.outcomes.remove(0);
        assert_eq!(outcome.status, DeliveryStatus::Sent, "{}", outcome.text());
        let told = reason(&outcome);
        match words.is_empty() {
            true => assert_eq!(outcome.tls_reason, Some(Cause::StsTestPassed {})),
            false => assert!(told.starts_with(&words), "{told}"),
        }
    }
}

#[tokio::test]
async fn why_mail_goes_in_plain_text_is_told() {
    let plain = format!("{PLAIN}{ACCEPT}");
    let refused = format!("{PLAIN}C: STARTTLS\nS: 454 not now\n{ACCEPT}");
    let none = format!("{HELLO}{ACCEPT}");
    for (scripts, told) in [
        (&[&*none][..], "plain, because TLS is not offered"),
        (&[&*refused], "plain, because TLS failed: host mx.example[127.0.0.1] said: 454 not now"),
        (&[BROKEN, &*plain], "plain, because TLS failed: Cannot start TLS with mx.example"),
    ] {
        let peer = peer::Peer::start(scripts).await;
        let outcome = remote(patient()).deliver(&by(None, &peer)).await.outcomes.remove(0);
        assert_eq!(outcome.status, DeliveryStatus::Sent, "{}", outcome.text());
        assert!(reason(&outcome).starts_with(told), "{}", reason(&outcome));
    }
}

/// Postfix had to mend this: what was made with less carries nothing that needs more.
#[tokio::test]
async fn a_connection_is_used_again_by_the_same_rule_alone() {
    let script = format!("{OFFER}tls\n{BEHIND}{ACCEPT}{ACCEPT}");
    let peer = peer::Peer::start(&[&script, &script, &script]).await;
    let remote = remote_with(patient(), |_| {}, ClientTls::trusting(ca()));
    for (rule, connections) in
        [(None, 1), (Some(dane(true)), 2), (Some(dane(true)), 2), (Some(enforced()), 3), (None, 3)]
    {
        let outcome = remote.deliver(&by(rule, &peer)).await.outcomes.remove(0);
        assert_eq!(outcome.status, DeliveryStatus::Sent, "{}", outcome.text());
        assert_eq!(peer.connections(), connections);
    }
}

fn memory() -> Memory {
    let now = Timestamp::from_millis(1_795_000_000_000);
    Memory::new(Arc::new(ManualClock::new(now)))
}

/// A host that did TLS before and offers none now: it is said, or the mail waits.
#[tokio::test]
async fn a_downgrade_is_noticed() {
    let good = format!("{OFFER}tls\n{BEHIND}{ACCEPT}");
    let none = format!("{HELLO}{ACCEPT}");
    let plain = format!("{PLAIN}{ACCEPT}");
    for (scripts, downgrade, code, words, told) in [
        (
            &[&*none][..],
            Downgrade::Tell,
            "2.0.0",
            "queued as 1",
            "plain, although this host spoke TLS before: plain, because TLS is not offered",
        ),
        (
            &[BROKEN, &*plain],
            Downgrade::Tell,
            "2.0.0",
            "queued as 1",
            "plain, although this host spoke TLS before: plain, because TLS failed",
        ),
        (&[&*none], Downgrade::Refuse, "4.7.4", "spoke TLS before and does not now", ""),
        (&[BROKEN, &*plain], Downgrade::Refuse, "4.7.4", "spoke TLS before and does not now", ""),
    ] {
        let scripts: Vec<&str> = std::iter::once(&*good).chain(scripts.iter().copied()).collect();
        let peer = peer::Peer::start(&scripts).await;
        let memory = memory();
        let change = |config: &mut Config| config.delivery.downgrade = downgrade;
        for is_first in [true, false] {
            // Another process: no connection is left.
            let remote =
                remote_with(patient(), change, ClientTls::new()).remembering(memory.clone());
            let outcome = remote.deliver(&by(None, &peer)).await.outcomes.remove(0);
            if is_first {
                assert_eq!(outcome.status_code.to_string(), "2.0.0");
                continue;
            }
            assert_eq!(outcome.status_code.to_string(), code, "{}", outcome.text());
            assert!(outcome.text().contains(words), "{}", outcome.text());
            assert!(reason(&outcome).starts_with(told), "{}", reason(&outcome));
        }
        assert!(memory.does_tls("mx.example") && !memory.is_broken("mx.example"));
    }
}

#[tokio::test]
async fn a_host_with_which_tls_breaks_is_not_asked_for_it_again_unless_it_is_demanded() {
    let plain = format!("{PLAIN}{ACCEPT}");
    let peer = peer::Peer::start(&[BROKEN, &plain, &plain, BROKEN]).await;
    let memory = memory();
    for (rule, connections, told) in [
        (None, 2, "plain, because TLS failed"),
        (None, 3, "plain, because TLS broke with this host within the last days"),
        (Some(enforced()), 4, "MTA-STS enforce"),
    ] {
        let remote = remote_with(patient(), |_| {}, ClientTls::new()).remembering(memory.clone());
        let outcome = remote.deliver(&by(rule, &peer)).await.outcomes.remove(0);
        assert!(reason(&outcome).starts_with(told), "{}", reason(&outcome));
        assert_eq!(peer.connections(), connections, "{told}");
    }
}

/// RFC 8460: connections are counted, not messages, and not those of mail that does not mind.
#[tokio::test]
async fn connections_are_counted_for_reports() {
    let good = format!("{OFFER}tls\n{BEHIND}{ACCEPT}{ACCEPT}");
    let none = format!("{HELLO}{ACCEPT}");
    let now = Timestamp::from_millis(1_795_000_000_000);
    let results = Results::new(Arc::new(ManualClock::new(now)), None);
    let count = |domain: &str| {
        let tallies = results.of(results.today(), domain);
        tallies.first().map_or((0, 0), |one| (one.good, one.bad))
    };
    let peer = peer::Peer::start(&[&good]).await;
    let tls = || ClientTls::trusting(ca());
    let change = |config: &mut Config| config.delivery.tls_reports = true;
    let remote = remote_with(patient(), change, tls()).counting(results.clone());
    for _message in 0..2 {
        remote.deliver(&by(None, &peer)).await;
    }
    assert_eq!(count("example.net"), (1, 0));
    let peer = peer::Peer::start(&[&none, &good, &none]).await;
    remote.deliver(&by(None, &peer)).await;
    assert_eq!(count("example.net"), (1, 1));
    remote.deliver(&by(Some(dane(false)), &peer)).await;
    assert_eq!((count("example.net"), count("mx.example")), ((1, 1), (0, 1)));
    let optional = Rule { demand: Demand::Opportunistic, reason: Cause::TlsOptional {} };
    remote.deliver(&by(Some(optional), &peer)).await;
    assert_eq!(count("example.net"), (1, 1));
}

/// On dane-users: for days nobody saw that a primary's records were stale, since a secondary took
/// the mail.
#[tokio::test]
async fn a_secondary_that_takes_the_mail_does_not_hide_that_the_primary_failed() {
    let now = Timestamp::from_millis(1_795_000_000_000);
    let results = Results::new(Arc::new(ManualClock::new(now)), None);
    let primary = peer::Peer::start(&[&format!("{OFFER}tls\n{BEHIND}")]).await;
    let secondary = peer::Peer::start(&[&format!("{OFFER}tls\n{BEHIND}{ACCEPT}")]).await;
    let hop = |host: &str, peer: &peer::Peer, is_right| {
        let rule = Some(Arc::new(dane_of(host, is_right)));
        Hop { rule, ..Hop::at(host, peer.address) }
    };
    let hops =
        vec![hop("primary.example", &primary, false), hop("secondary.example", &secondary, true)];
    let job = job(Plan { hops, ..plan(&[primary.address]) }, 1);
    let change = |config: &mut Config| config.delivery.tls_reports = true;
    let remote = remote_with(patient(), change, ClientTls::new()).counting(results.clone());
    let outcome = remote.deliver(&job).await.outcomes.remove(0);
    assert_eq!(outcome.status, DeliveryStatus::Sent, "{}", outcome.text());
    assert_eq!(outcome.host.as_deref(), Some("secondary.example"));
    assert!(reason(&outcome).starts_with("DANE: 3 0 1 matched"), "{}", reason(&outcome));
    assert!(!primary.commands().iter().any(|line| line.starts_with("MAIL")), "nothing is said");
    let count = |domain: &str| {
        let tally = results.of(results.today(), domain).remove(0);
        (tally.good, tally.bad, tally.faults.len())
    };
    assert_eq!(count("primary.example"), (0, 1, 1), "its owner is told by the report");
    assert_eq!(count("secondary.example"), (1, 0, 0));
}

/// RFC 8689: such mail goes to whom somebody vouches for and who hands it on likewise, or back.
#[tokio::test]
async fn a_message_that_requires_tls_goes_nowhere_else() {
    use DeliveryStatus::{Bounced, Deferred, Sent};
    let offered = BEHIND.replace("S: 250 ", "S: 250-REQUIRETLS\nS: 250 ");
    let taken = format!("{OFFER}tls\n{offered}{ACCEPT}");
    let lacks = format!("{OFFER}tls\n{BEHIND}{ACCEPT}");
    let unproven = "neither DNSSEC nor an enforced MTA-STS policy vouches";
    let none = Rule::of_level(TlsLevel::None);
    // The rule, whether the host's name is beyond doubt, and whether its issuer is trusted.
    for (rule, vouched, trusted, script, connections, (status, code, words)) in [
        (Some(dane(true)), false, false, &*taken, 1, (Sent, "2.0.0", "queued as 1")),
        (Some(enforced()), false, true, &taken, 1, (Sent, "2.0.0", "queued as 1")),
        (Some(dane(true)), false, true, &lacks, 1, (Bounced, "5.7.30", "does not offer")),
        (Some(dane(false)), true, true, &taken, 1, (Deferred, "4.7.5", "no TLSA record")),
        (Some(encrypted()), false, true, &taken, 0, (Bounced, "5.7.30", unproven)),
        (None, false, true, &taken, 0, (Bounced, "5.7.30", unproven)),
        // Its own certificate proves a host whose name nobody can have forged.
        (None, true, true, &taken, 1, (Sent, "2.0.0", "queued as 1")),
        (Some(encrypted()), true, true, &taken, 1, (Sent, "2.0.0", "queued as 1")),
        (None, true, true, &lacks, 1, (Bounced, "5.7.30", "does not offer")),
        (None, true, false, &taken, 1, (Bounced, "5.7.10", "issuer is not trusted")),
        (None, true, true, HELLO, 1, (Bounced, "5.7.10", "was not offered")),
        (None, true, true, BROKEN, 1, (Deferred, "4.7.5", "Cannot start TLS")),
        (Some(enforced()), true, false, &taken, 1, (Deferred, "4.7.5", "issuer is not trusted")),
        (Some(none), true, true, &taken, 0, (Bounced, "5.7.30", unproven)),
    ] {
        let peer = peer::Peer::start(&[script]).await;
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let remote = remote_with(patient(), |_| {}, tls);
        let mut job = Job { tls: puerto_smtp::TlsWish::Required, ..by(rule, &peer) };
        job.plan = Arc::new(Plan { is_vouched: vouched, ..Plan::clone(&job.plan) });
        let outcome = remote.deliver(&job).await.outcomes.remove(0);
        let case = outcome.text().into_owned();
        assert_eq!(
            (outcome.status, outcome.status_code.to_string()),
            (status, code.to_owned()),
            "{case}"
        );
        assert!(case.contains(words), "{case}");
        assert_eq!(peer.connections(), connections, "{case}");
        let mail = peer.commands().into_iter().find(|line| line.starts_with("MAIL"));
        let says = mail.is_some_and(|line| line.contains(" REQUIRETLS"));
        assert_eq!(says, status == Sent, "{case}");
    }
}

/// RFC 8689 §5: a notice asks for as much as the message did, and is not lost where that is not
/// to be had; REQUIRETLS is said to those alone who have proved who they are.
#[tokio::test]
async fn a_notice_of_such_a_message_goes_also_where_requiretls_does_not() {
    let accept = ACCEPT.replace("<me@example.com>", "<>");
    let offered = BEHIND.replace("S: 250 ", "S: 250-REQUIRETLS\nS: 250 ");
    let taken = format!("{OFFER}tls\n{offered}{accept}");
    let lacks = format!("{OFFER}tls\n{BEHIND}{accept}");
    let plain = format!("{HELLO}{accept}");
    for (rule, vouched, trusted, scripts, sent, says) in [
        (Some(dane(true)), false, false, &[&*taken][..], true, true),
        (Some(enforced()), false, true, &[&*taken], true, true),
        (None, true, true, &[&*taken], true, true),
        (None, true, true, &[&*lacks], true, false),
        // Nobody vouches for it, or its certificate does not prove it.
        (None, false, true, &[&*taken], true, false),
        (None, true, false, &[&*taken, &*taken], true, false),
        (None, true, true, &[&*plain, &*plain], true, false),
        // What the receiver itself demands holds for it as for all mail.
        (Some(dane(false)), true, true, &[&*taken], false, false),
        (Some(enforced()), true, false, &[&*taken], false, false),
    ] {
        let peer = peer::Peer::start(scripts).await;
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let remote = remote_with(patient(), |_| {}, tls);
        let job = by(rule, &peer);
        let (tls, reverse_path) = (puerto_smtp::TlsWish::Required, puerto_smtp::ReversePath::Null);
        let plan = Arc::new(Plan { is_vouched: vouched, ..Plan::clone(&job.plan) });
        let outcome = remote.deliver(&Job { tls, reverse_path, plan, ..job }).await;
        let outcome = &outcome.outcomes[0];
        let expected = if sent { DeliveryStatus::Sent } else { DeliveryStatus::Deferred };
        assert_eq!(outcome.status, expected, "{}", outcome.text());
        assert_eq!(peer.connections(), scripts.len(), "{}", outcome.text());
        let mail = peer.commands().into_iter().find(|line| line.starts_with("MAIL"));
        assert_eq!(mail.is_some(), sent);
        assert_eq!(mail.is_some_and(|line| line.contains(" REQUIRETLS")), says);
    }
}

/// An attempt makes five connections at most, and to these none is made.
#[tokio::test]
async fn hosts_that_cannot_be_relied_on_use_up_no_attempt() {
    let offered = BEHIND.replace("S: 250 ", "S: 250-REQUIRETLS\nS: 250 ");
    let peer = peer::Peer::start(&[&format!("{OFFER}tls\n{offered}{ACCEPT}")]).await;
    let unproven = (1..=6).map(|port| Hop::at("other.example", ([127, 0, 0, 1], port).into()));
    let last = Hop { rule: Some(Arc::new(dane(true))), ..Hop::at("mx.example", peer.address) };
    let hops = unproven.chain([last]).collect();
    let job = job(Plan { hops, ..plan(&[peer.address]) }, 1);
    let job = Job { tls: puerto_smtp::TlsWish::Required, ..job };
    let remote = remote_with(patient(), |_| {}, ClientTls::new());
    let outcome = remote.deliver(&job).await.outcomes.remove(0);
    assert_eq!(outcome.status, DeliveryStatus::Sent, "{}", outcome.text());
}

/// RFC 8460 §4.4: the address that we came from, unless nobody else would know it.
#[tokio::test]
async fn a_failure_is_counted_with_the_address_that_the_kernel_chose() {
    for (allow_private, from) in [(true, Some([127, 0, 0, 1].into())), (false, None)] {
        let peer = peer::Peer::start(&[BROKEN]).await;
        let clock = Arc::new(ManualClock::new(puerto_spool::Timestamp::from_millis(1)));
        let results = Results::new(clock, None);
        let change = |config: &mut Config| {
            config.delivery.tls_reports = true;
            config.delivery.allow_private = allow_private;
        };
        let remote = remote_with(patient(), change, ClientTls::new()).counting(results.clone());
        remote.deliver(&by(Some(dane(true)), &peer)).await;
        let tallies = results.of(results.today(), "mx.example");
        assert_eq!(tallies[0].faults[0].from, from, "{allow_private}");
    }
}

// Which name the handshake with a host called mx.example asks for.
async fn name_asked_for(rule: Option<Rule>) -> Option<String> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut stream = BufStream::new(listener.accept().await.unwrap().0);
        for reply in ["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"] {
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            if !reply.starts_with("220 go") {
                stream.read_line(&mut String::new()).await.unwrap();
            }
        }
        let acceptor = rustls::server::Acceptor::default();
        let hello = tokio_rustls::LazyConfigAcceptor::new(acceptor, stream.into_inner());
        hello.await.unwrap().client_hello().server_name().map(str::to_owned)
    });
    let hop = Hop { rule: rule.map(Arc::new), ..Hop::at("mx.example", address) };
    let job = job(Plan { hops: vec![hop], ..plan(&[address]) }, 1);
    let remote = remote_with(patient(), |_| {}, ClientTls::trusting(ca()));
    remote.deliver(&job).await;
    heard.await.unwrap()
}

/// RFC 7672 §8.1: the base domain of the records, so that a host of many names shows the
/// certificate that they are of; with a policy the host's own (RFC 8461 §4.2).
#[tokio::test]
async fn the_handshake_asks_for_the_name_that_is_to_be_proved() {
    let base: Arc<str> = "end.example".into();
    let of_alias = match dane(true).demand {
        Demand::Dane(dane) => {
            let names = vec![base.clone(), "mx.example".into()];
            Rule {
                demand: Demand::Dane(Arc::new(Dane { base, names, records: dane.records.clone() })),
                reason: Cause::DanePublished { records: "3 0 1".to_owned() },
            }
        }
        other => panic!("{other:?}"),
    };
    for (rule, name) in [
        (Some(dane(true)), "mx.example"),
        (Some(of_alias), "end.example"),
        (Some(enforced()), "mx.example"),
        (Some(encrypted()), "mx.example"),
        (None, "mx.example"),
    ] {
        assert_eq!(name_asked_for(rule).await.as_deref(), Some(name));
    }
}
