//! Mail that passes a cap.

use super::*;

#[tokio::test]
async fn mail_beyond_a_cap_is_taken_and_held_and_postmaster_told_once() {
    let rig = Rig::new();
    let mut config = (*rig.intake.context.config.get()).clone();
    let text = "hostname = \"mail.example.com\"\nlanguage = \"es\"\n[caps]\nusers = { ann = [\"1 message/hour\"] }";
    let caps = Config::parse(text, "test").unwrap();
    (config.caps, config.language) = (caps.caps, caps.language);
    rig.intake.context.config.replace(config);
    let message = "From: me@example.com\r\n\r\nhi\r\n";
    for _ in 0..4 {
        rig.accept(&local(), message).await.unwrap();
    }
    let all = rig.spool.entries();
    let held: Vec<_> = all.iter().filter(|entry| entry.held).collect();
    assert_eq!(held.len(), 3);
    for entry in &held {
        assert_eq!(entry.held_for, "{\"caps.messages-hour\":{\"who\":\"ann\",\"most\":1}}");
    }
    let told: Vec<_> = all.iter().filter(|entry| entry.reverse_path.is_null()).collect();
    let [letter] = told[..] else { panic!("{told:?}") };
    assert!(!letter.held);
    assert_eq!(letter.recipients[0].recipient.address.to_string(), "postmaster@example.com");
    let mut text = String::new();
    rig.spool.content(letter.id).wait().unwrap().read_to_string(&mut text).unwrap();
    for part in [
        "ann ha enviado en una hora más mensajes de los permitidos (1).",
        "puerto queue release --held --origin 'user 1000'\r\n",
        &held[0].id.to_string(),
        "Auto-Submitted: auto-generated\r\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Local mail, notifications and strangers' mail never count.
    let mut home = envelope();
    home.recipients = vec![Recipient::new(Address::parse("root@example.com").unwrap())];
    rig.accept_content(&local(), home, Content::Memory(message.into())).await.unwrap();
    for source in [Source::Internal, Source::Forwarded, client(false), client(true)] {
        rig.accept(&source, message).await.unwrap();
    }
    assert_eq!(rig.spool.entries().iter().filter(|entry| entry.held).count(), 3);
}
