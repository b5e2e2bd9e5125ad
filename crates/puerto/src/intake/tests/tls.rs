//! What a message wants of TLS (RFC 8689).

use puerto_smtp::TlsWish;

use super::*;

#[tokio::test]
async fn the_field_is_obeyed_once_and_requiretls_comes_before_it() {
    for (asked, fields, wish) in [
        (TlsWish::Usual, "", TlsWish::Usual),
        (TlsWish::Usual, "TLS-Required: No\r\n", TlsWish::Optional),
        (TlsWish::Usual, "tls-required:  no \r\n", TlsWish::Optional),
        (TlsWish::Usual, "TLS-Required: Yes\r\n", TlsWish::Usual),
        (TlsWish::Usual, "TLS-Required: No\r\nTLS-Required: No\r\n", TlsWish::Usual),
        (TlsWish::Required, "TLS-Required: No\r\n", TlsWish::Required),
    ] {
        let rig = Rig::new();
        let text = format!("From: me@example.com\r\n{fields}Subject: x\r\n\r\nhi\r\n");
        let content = Content::Memory(text.into_bytes());
        let envelope = Envelope { tls: asked, ..envelope() };
        let id = rig.intake.new_id();
        rig.intake.accept(id, &Source::Internal, envelope, content).await.unwrap();
        let entry = rig.spool.get(id).await.unwrap();
        assert_eq!(entry.tls, wish, "{fields:?}");
    }
}
