//! DANE and MTA-STS on the wire: what is taken, what waits, and which connection carries what.

use aws_lc_rs::digest;
use puerto_mail::dns::Record;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::security::{BEHIND, BROKEN, OFFER, PLAIN};
use super::*;
use crate::cause::Cause;
use crate::tls::{Dane, TlsaSet};
use crate::transport::{Demand, Rule};

/// The records of `mx.example`, whose certificate has this digest or another.
fn dane(is_right: bool) -> Rule {
    let own = CertificateDer::from_pem_slice(include_bytes!("../../../tests/tls/mx.pem")).unwrap();
    let right = digest::digest(&digest::SHA256, &own).as_ref().to_vec();
    let data = if is_right { right } else { vec![7; 32] };
    let records = Arc::new(TlsaSet::of(&[Record::Tlsa(3, 0, 1, data)]));
    let base: Arc<str> = "mx.example".into();
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
