//! Under which addresses the senders of this machine leave it.

use super::*;

fn rig(section: &str) -> Rig {
    let rig = Rig::with_keys(&[("example.com", Algorithm::Ed25519Sha256)]);
    let text = format!(
        "hostname = \"web.example.com\"\ndomains = [\"web.example.com\"]\n\
         origin = \"example.com\"\n[sender]\nusers = {{ ann = \"*\" }}\n{section}\n"
    );
    rig.intake.context.config.replace(Config::parse(&text, "test").unwrap());
    rig
}

async fn sent(rig: &Rig, source: &Source, from: &str, message: &str) -> (String, String) {
    let id = rig.intake.new_id();
    let reverse_path = ReversePath::Address(Address::parse(from).unwrap());
    let envelope = Envelope { reverse_path, ..envelope() };
    rig.intake.accept(id, source, envelope, Content::Memory(message.into())).await.unwrap();
    let mut stored = String::new();
    rig.spool.content(id).wait().unwrap().read_to_string(&mut stored).unwrap();
    (rig.spool.get(id).wait().unwrap().reverse_path.to_string(), stored)
}

#[tokio::test]
async fn bare_senders_get_the_origin_and_bare_recipients_this_machine() {
    let rig = rig("");
    let message = "From: root\r\nReply-To: ana\r\nTo: root\r\n\r\nx\r\n";
    let (_, stored) = sent(&rig, &local(), "root@example.com", message).await;
    for (name, expected) in [
        ("From", "root@example.com"),
        ("Reply-To", "ana@example.com"),
        ("To", "root@web.example.com"),
    ] {
        assert_eq!(value(&stored, name).as_deref(), Some(expected));
    }
    assert_eq!(rig.dkim(&stored)[0].1, DkimResult::Pass);
}

#[tokio::test]
async fn local_senders_are_known_elsewhere_by_other_addresses() {
    let rig = rig("map = { root = \"admin@example.com\" }\nmasquerade = [\"example.com\"]");
    for (from, header, expected) in [
        ("root@web.example.com", "Cron <root@web.example.com>", "Cron <admin@example.com>"),
        ("ana@web.example.com", "Ana <ana@web.example.com>", "Ana <ana@example.com>"),
        ("me@example.net", "me@example.net", "me@example.net"),
    ] {
        let message = format!(
            "From: {header}\r\nSender: {header}\r\nReply-To: {header}\r\nTo: root@web.example.com\r\n\r\nx\r\n"
        );
        let (reverse_path, stored) = sent(&rig, &local(), from, &message).await;
        for name in ["From", "Sender", "Reply-To"] {
            assert_eq!(value(&stored, name).as_deref(), Some(expected), "{name}");
        }
        assert!(expected.contains(&reverse_path), "{reverse_path}");
        assert_eq!(value(&stored, "To").as_deref(), Some("root@web.example.com"));
        let signed = expected.ends_with("example.com>");
        assert_eq!(rig.dkim(&stored).len(), usize::from(signed), "{stored}");
    }
    // A missing From is made of the sender as it is known.
    let (_, stored) = sent(&rig, &local(), "root@web.example.com", "hi\r\n").await;
    assert_eq!(value(&stored, "From").as_deref(), Some("admin@example.com"));
}

#[tokio::test]
async fn all_mail_leaves_from_one_address_where_a_relay_insists() {
    let rig = rig("always = \"noreply@example.com\"\nmasquerade = [\"example.com\"]");
    let message = "From: Ana <ana@web.example.com>\r\nSender: x@y.example\r\n\r\nx\r\n";
    let (reverse_path, stored) = sent(&rig, &local(), "ana@web.example.com", message).await;
    assert_eq!(reverse_path, "noreply@example.com");
    assert_eq!(value(&stored, "From").as_deref(), Some("Ana <noreply@example.com>"));
    assert_eq!(value(&stored, "Sender").as_deref(), Some("noreply@example.com"));
    assert_eq!(value(&stored, "Reply-To").as_deref(), Some("Ana <ana@example.com>"));
    let answered = "From: ana@web.example.com\r\nReply-To: b@c.example\r\n\r\nx\r\n";
    let (_, stored) = sent(&rig, &local(), "ana@web.example.com", answered).await;
    assert_eq!(value(&stored, "Reply-To").as_deref(), Some("b@c.example"));
    let null = Envelope { reverse_path: ReversePath::Null, ..envelope() };
    let id = rig.intake.new_id();
    rig.intake.accept(id, &local(), null, Content::Memory(answered.into())).await.unwrap();
    assert!(rig.spool.get(id).wait().unwrap().reverse_path.is_null());
}

#[tokio::test]
async fn what_is_not_ours_keeps_its_sender() {
    let rig = rig("always = \"noreply@example.com\"");
    let signed = "From: a@b.example\r\nDKIM-Signature: v=1; h=from; d=b.example\r\n\r\nx\r\n";
    let plain = "From: a@b.example\r\n\r\nx\r\n";
    for (source, message) in [(client(true), signed), (client(false), plain)] {
        let (reverse_path, stored) = sent(&rig, &source, "a@b.example", message).await;
        assert_eq!(reverse_path, "a@b.example");
        assert!(stored.ends_with(message));
    }
}
