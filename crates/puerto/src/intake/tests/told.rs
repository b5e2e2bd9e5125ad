//! What the log and the story of a message are told of what intake has done.

use super::*;
use crate::telemetry::{Change, Signature, Signing};

/// The changes and the signatures of the last message.
async fn told(rig: &Rig, source: &Source, message: &str) -> String {
    rig.accept(source, message).await.unwrap();
    let events = rig.events.lock().unwrap();
    events.iter().rfind(|event| event.starts_with("Prepared")).unwrap().clone()
}

fn has(told: &str, value: &impl std::fmt::Debug) -> bool {
    told.contains(&format!("{value:?}"))
}

#[tokio::test]
async fn what_was_missing_wrong_or_too_much_is_told_by_name() {
    let rig = Rig::new();
    let message = "From: me\r\nBcc: x@example.net\r\nTo: you@example.net\r\n\r\nhi\n";
    let told = told(&rig, &local(), message).await;
    let name = |name: &str| name.to_owned();
    let changes = [
        Change::LineEnds,
        Change::Added(name("Date")),
        Change::Added(name("Message-ID")),
        Change::Rewritten(name("From")),
        Change::Dropped(name("Bcc")),
    ];
    assert!(has(&told, &changes), "{told}");
    assert!(has(&told, &Signing::NoKey(name("example.com"))), "{told}");
}

#[tokio::test]
async fn a_whole_message_is_told_as_unchanged_and_with_its_signatures() {
    let keys = [("example.com", Algorithm::RsaSha256), ("example.com", Algorithm::Ed25519Sha256)];
    let rig = Rig::with_keys(&keys);
    let told = told(&rig, &client(true), WHOLE).await;
    assert!(has(&told, &Vec::<Change>::new()), "{told}");
    for algorithm in ["rsa-sha256", "ed25519-sha256"] {
        let selector = algorithm.split('-').next().unwrap().to_owned();
        let signature = Signature { domain: "example.com".to_owned(), selector, algorithm };
        assert!(has(&told, &signature), "{told}");
    }
    assert!(told.contains("message_id: \"<a@b>\""), "{told}");
}

#[tokio::test]
async fn mail_of_strangers_is_told_as_not_ours_to_sign() {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let told = told(&rig, &client(false), WHOLE).await;
    assert!(has(&told, &Signing::NotOurs), "{told}");
}
