//! TLS levels, and passwords.

use super::*;
use crate::route::Exchangers;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

pub(super) const OFFER: &str =
    "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n";
pub(super) const BEHIND: &str = "C: EHLO\nS: 250-mx\nS: 250-AUTH PLAIN\nS: 250 PIPELINING\n";
/// A peer that speaks no TLS although it says so.
pub(super) const BROKEN: &str = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nchunk 5\nS: oh, sorry, no\ndrop\n";
pub(super) const PLAIN: &str =
    "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250-STARTTLS\nS: 250 PIPELINING\n";

fn with_tls(level: TlsLevel, peer: &Peer) -> Job {
    job(Plan { tls: level, ..plan(&[peer.address]) }, 1)
}

#[tokio::test]
async fn opportunistic_tls_takes_any_certificate() {
    let peer = Peer::start(&[&format!("{OFFER}tls\n{BEHIND}{ACCEPT}{ACCEPT}")]).await;
    let remote = remote_with(patient(), |_| {}, ClientTls::new());
    for _ in 0..2 {
        let outcome =
            remote.deliver(&with_tls(TlsLevel::Opportunistic, &peer)).await.outcomes.remove(0);
        assert_eq!(outcome.text(), "250 2.0.0 Ok: queued as 1");
        assert_eq!(
            outcome.tls.as_ref().map(ToString::to_string).as_deref(),
            Some("TLSv1.3 with cipher TLS_AES_256_GCM_SHA384")
        );
    }
    assert_eq!(peer.connections(), 1);
    peer.check();
}

#[tokio::test]
async fn opportunistic_tls_that_breaks_is_given_up_on_a_new_connection() {
    let peer = Peer::start(&[BROKEN, &format!("{PLAIN}{ACCEPT}")]).await;
    let report = remote(patient()).deliver(&with_tls(TlsLevel::Opportunistic, &peer)).await;
    assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent, "{}", report.outcomes[0].text());
    assert_eq!(report.outcomes[0].tls, None);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn opportunistic_tls_that_is_refused_goes_on_in_plain() {
    let refused = format!("{PLAIN}C: STARTTLS\nS: 454 4.7.0 not now\n{ACCEPT}");
    let peer = Peer::start(&[&refused]).await;
    let report = remote(patient()).deliver(&with_tls(TlsLevel::Opportunistic, &peer)).await;
    assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent, "{}", report.outcomes[0].text());
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn required_tls_delivers_to_a_verified_host_and_to_nobody_else() {
    let good = format!("{OFFER}tls\n{BEHIND}{ACCEPT}");
    for (scripts, trusted, status, words) in [
        (&[&*good][..], true, "2.0.0", "queued as 1"),
        (&[&*good], false, "4.7.5", "the certificate's issuer is not trusted"),
        (&[BROKEN], true, "4.7.5", "Cannot start TLS with mx.example[127.0.0.1]: "),
        (&[HELLO], true, "4.7.4", "TLS is required, but was not offered by host mx.example"),
        (
            &[&format!("{PLAIN}C: STARTTLS\nS: 454 not now\n")],
            true,
            "4.7.4",
            "said: 454 not now (in reply to STARTTLS command)",
        ),
    ] {
        let peer = Peer::start(scripts).await;
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let remote = remote_with(patient(), |_| {}, tls);
        let outcome = remote.deliver(&with_tls(TlsLevel::Required, &peer)).await.outcomes.remove(0);
        assert_eq!(outcome.status_code.to_string(), status, "{}", outcome.text());
        assert!(outcome.text().contains(words), "{}", outcome.text());
        assert_eq!(outcome.status == DeliveryStatus::Sent, status == "2.0.0");
        assert_eq!(peer.connections(), 1, "no second try in plain");
        let spoke_in_plain = peer.commands().iter().any(|line| line.starts_with("MAIL"));
        assert_eq!(spoke_in_plain, status == "2.0.0");
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_enough() {
    let peer = Peer::start(&[&format!("{OFFER}tls\n{BEHIND}{ACCEPT}")]).await;
    let mut job = with_tls(TlsLevel::Required, &peer);
    let hop = Hop::at("other.example", peer.address);
    job.plan = Arc::new(Plan { hops: vec![hop], ..Plan::clone(&job.plan) });
    let outcome = remote(patient()).deliver(&job).await.outcomes.remove(0);
    assert!(outcome.text().contains("the certificate is for mx.example"), "{}", outcome.text());
    assert_eq!(outcome.status, DeliveryStatus::Deferred);
}

#[tokio::test]
async fn text_behind_the_reply_to_starttls_ends_the_session() {
    let injected = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n";
    // One write, so that both lines arrive at once.
    let peer = Peer::start(&[&format!("{injected}S: 220 go\r\n250 injected\nhang\n")]).await;
    let outcome = remote(patient())
        .deliver(&with_tls(TlsLevel::Opportunistic, &peer))
        .await
        .outcomes
        .remove(0);
    assert_ne!(outcome.status, DeliveryStatus::Sent);
}

#[tokio::test]
async fn implicit_tls_comes_first() {
    let peer = Peer::start(&[&format!("tls\nS: 220 mx\n{BEHIND}{ACCEPT}")]).await;
    let tls = TlsLevel::Required;
    let job = job(Plan { tls, implicit_tls: true, ..plan(&[peer.address]) }, 1);
    let outcome = remote(patient()).deliver(&job).await.outcomes.remove(0);
    assert_eq!(outcome.status, DeliveryStatus::Sent, "{}", outcome.text());
    assert!(outcome.tls.is_some());
}

#[tokio::test]
async fn the_password_goes_out_behind_tls_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "pass\n").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let missing = directory.path().join("missing");
    let auth = "C: AUTH PLAIN AHVzZXIAcGFzcw==\n";
    for (script, file, words) in [
        (format!("{OFFER}tls\n{BEHIND}{auth}S: 235 2.7.0 ok\n{ACCEPT}"), &file, "queued as 1"),
        (
            format!("{OFFER}tls\n{BEHIND}{auth}S: 535 5.7.8 wrong\n"),
            &file,
            "SASL authentication failed; server mx.example[127.0.0.1] said: 535 5.7.8 wrong",
        ),
        (HELLO.replace("DSN", "AUTH PLAIN"), &file, "no password is sent over a connection"),
        (format!("{OFFER}tls\n{BEHIND}"), &missing, "cannot read the password file"),
    ] {
        let peer = Peer::start(&[&script]).await;
        let plan = Plan { login: Some(login(file)), is_relay: true, ..plan(&[peer.address]) };
        let outcome = remote(patient()).deliver(&job(plan, 1)).await.outcomes.remove(0);
        assert!(outcome.text().contains(words), "{}", outcome.text());
        assert!(!outcome.text().contains("AHVzZXI"));
        let sent = words == "queued as 1";
        let status = if sent { DeliveryStatus::Sent } else { DeliveryStatus::Deferred };
        assert_eq!(outcome.status, status);
        assert_eq!(outcome.status_code.class, if sent { 2 } else { 4 });
        peer.check();
    }
}

#[tokio::test]
async fn a_relay_that_wants_authentication_makes_mail_wait() {
    let script = format!("{HELLO}C: MAIL\nS: 530 5.7.0 Authentication required\nC: QUIT\n");
    for (is_relay, status) in [(true, DeliveryStatus::Deferred), (false, DeliveryStatus::Bounced)] {
        let peer = Peer::start(&[&script]).await;
        let plan = Plan { is_relay, ..plan(&[peer.address]) };
        let outcome = remote(patient()).deliver(&job(plan, 1)).await.outcomes.remove(0);
        assert_eq!(outcome.status, status, "{}", outcome.text());
        assert_eq!(outcome.status_code.class, if is_relay { 4 } else { 5 });
    }
}

#[tokio::test]
async fn a_password_goes_to_a_certificate_that_verifies_or_to_the_key_that_was_seen_first() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "pass\n").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let another = ca().remove(0);
    let script = format!("{OFFER}tls\n{BEHIND}C: AUTH\nS: 235 2.7.0 ok\n{ACCEPT}");
    for (trusted, known, sent) in [
        (false, None, true),
        (false, Some(&another), false),
        // A certificate that verifies may change as it likes.
        (true, Some(&another), true),
    ] {
        let peer = Peer::start(&[&script, &script]).await;
        let keys = KnownKeys::default();
        if let Some(key) = known {
            keys.remember("mx.example", key);
        }
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let remote = remote_with(patient(), |_| {}, tls.knowing(keys.clone()));
        let plan = Plan { login: Some(login(&file)), is_relay: true, ..plan(&[peer.address]) };
        let outcome = remote.deliver(&job(plan, 1)).await.outcomes.remove(0);
        assert_eq!(outcome.status == DeliveryStatus::Sent, sent, "{}", outcome.text());
        // Nor is it tried without TLS.
        assert_eq!(peer.connections(), 1);
        let said = peer.commands().iter().any(|line| line.starts_with("AUTH"));
        assert_eq!(said, sent);
        let kept = keys.compare("mx.example", &another) == Acquaintance::Same;
        assert_eq!(kept, !sent, "the key that it had is kept, or the new one in its place");
        if !sent {
            assert_eq!(outcome.status_code.to_string(), "4.7.5");
            assert!(outcome.text().contains("no password is sent"), "{}", outcome.text());
        }
    }
}

/// MX records, which anybody on the way may have forged, name `mx.example` for the relay
/// that the administrator wrote.
#[tokio::test]
async fn a_forged_mx_record_wins_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "pass\n").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let script = format!("{OFFER}tls\n{BEHIND}C: AUTH\nS: 235 2.7.0 ok\n{ACCEPT}");
    let own = {
        use rustls::pki_types::pem::PemObject;
        let pem = include_bytes!("../../../tests/tls/mx.pem");
        rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap()
    };
    for (written, level, trusted, known, sent) in [
        // DNSSEC vouches for the MX records: the host's own name and key count.
        (Some("+relay.test"), TlsLevel::Opportunistic, false, None, true),
        (Some("+relay.test"), TlsLevel::Required, true, None, true),
        (Some("+relay.test"), TlsLevel::Opportunistic, false, Some("relay.test"), true),
        // A host that the name does not cover: neither a new key nor a certificate of its
        // own counts, but the relay's key does.
        (Some("relay.test"), TlsLevel::Opportunistic, false, None, false),
        (Some("relay.test"), TlsLevel::Opportunistic, true, None, false),
        (Some("relay.test"), TlsLevel::Required, true, None, false),
        (Some("relay.test"), TlsLevel::Opportunistic, false, Some("mx.example"), false),
        (Some("relay.test"), TlsLevel::Opportunistic, false, Some("relay.test"), true),
        (Some("x.example"), TlsLevel::Opportunistic, true, None, false),
        (Some("ample"), TlsLevel::Opportunistic, true, None, false),
        // A host at the name or below it.
        (Some("example"), TlsLevel::Opportunistic, false, None, true),
        (Some("EXAMPLE"), TlsLevel::Required, true, None, true),
        (Some("mx.example"), TlsLevel::Opportunistic, false, None, true),
        (None, TlsLevel::Opportunistic, false, None, true),
    ] {
        let peer = Peer::start(&[&script]).await;
        let keys = KnownKeys::default();
        if let Some(name) = known {
            keys.remember(name, &own);
        }
        let tls = if trusted { ClientTls::trusting(ca()) } else { ClientTls::new() };
        let remote = remote_with(patient(), |_| {}, tls.knowing(keys.clone()));
        let plan = Plan {
            login: Some(login(&file)),
            is_relay: true,
            tls: level,
            exchangers_of: written.map(|name| {
                let of = name.trim_start_matches('+').into();
                Exchangers { of, validated: name.starts_with('+') }
            }),
            ..plan(&[peer.address])
        };
        let outcome = remote.deliver(&job(plan, 1)).await.outcomes.remove(0);
        let case = format!("{written:?} {level:?} {trusted} {known:?}: {}", outcome.text());
        assert_eq!(outcome.status == DeliveryStatus::Sent, sent, "{case}");
        assert_eq!(peer.commands().iter().any(|line| line.starts_with("AUTH")), sent, "{case}");
        assert_eq!(peer.connections(), 1, "{case}");
        if sent {
            let name = written.unwrap_or("mx.example").trim_start_matches('+');
            assert_eq!(keys.compare(name, &own), Acquaintance::Same, "{case}");
        } else {
            assert!(outcome.text().ends_with("configured in brackets: [mx.example]"), "{case}");
        }
    }
}

#[tokio::test]
async fn mail_that_goes_in_plain_text_although_tls_was_offered_is_logged_with_the_cause() {
    let broken = format!("{PLAIN}{ACCEPT}");
    let refused = format!("{PLAIN}C: STARTTLS\nS: 454 4.7.0 not now\n{ACCEPT}");
    for (scripts, cause) in [
        (&[BROKEN, &broken][..], "Cannot start TLS with mx.example[127.0.0.1]: "),
        (
            &[&*refused],
            "host mx.example[127.0.0.1] said: 454 4.7.0 not now (in reply to STARTTLS command); \
             going on in plain text",
        ),
    ] {
        let peer = Peer::start(scripts).await;
        let logged = Arc::new(std::sync::Mutex::new(Vec::new()));
        let lines = Arc::clone(&logged);
        let log = crate::telemetry::MailLog::new(move |event| {
            let words = match event {
                crate::telemetry::Event::Remark { cause, .. } => cause.to_string(),
                _ => String::new(),
            };
            lines.lock().unwrap().push(format!("{event:?} {words}"));
        });
        let remote = remote(patient()).with_log(log);
        let report = remote.deliver(&with_tls(TlsLevel::Opportunistic, &peer)).await;
        assert_eq!(report.outcomes[0].status, DeliveryStatus::Sent);
        let logged = logged.lock().unwrap();
        assert!(matches!(&logged[..], [line] if line.contains(cause)), "{logged:?}");
    }
}
