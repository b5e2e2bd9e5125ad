//! What goes to many is known by its header, its envelope, its sender or its account.

use super::*;

#[tokio::test]
async fn what_goes_to_many_is_known_by_its_header_or_its_envelope() {
    for (header, recipients, expected) in [
        ("Subject: your password", 1, false),
        ("Subject: your password", 50, false),
        ("Subject: to all", 51, true),
        ("Precedence: Bulk", 1, true),
        ("Precedence: first-class", 1, false),
        ("List-Id: <news.example.com>", 1, true),
        ("List-Unsubscribe: <https://example.com/u>", 1, true),
    ] {
        let rig = Rig::new();
        let address = |n: usize| Address::parse(&format!("r{n}@example.net")).unwrap();
        let recipients = (0..recipients).map(|n| Recipient::new(address(n))).collect();
        let envelope = Envelope { recipients, ..envelope() };
        let message = format!("From: me@example.com\r\n{header}\r\n\r\nhi\r\n");
        let content = Content::Memory(message.into());
        rig.accept_content(&local(), envelope, content).await.unwrap();
        let entry = rig.spool.entries().pop().unwrap();
        assert_eq!(entry.bulk, expected, "{header}");
    }
}
