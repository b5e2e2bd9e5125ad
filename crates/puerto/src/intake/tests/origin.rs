//! The field that names the program of a local message.

use super::*;
use crate::config::OriginHeader;
use crate::telemetry::{Claims, Process};

fn shop() -> Source {
    let process =
        Process { pid: Some(4711), unit: Some("php8.2-fpm.service".into()), parents: vec![] };
    let claims = Claims::of([("script", "/srv/señor\"; uid=0/mail.php"), ("directory", "/srv")]);
    Source::Local { uid: 33, user: "www-data".into(), origin: LocalOrigin { process, claims } }
}

async fn field(rig: &Rig, source: &Source, to: &[&str], message: &str) -> Option<String> {
    let recipients = to.iter().map(|to| Recipient::new(Address::parse(to).unwrap())).collect();
    let envelope = Envelope { recipients, ..envelope() };
    let content = Content::Memory(message.into());
    value(&rig.accept_content(source, envelope, content).await.unwrap(), "X-Local-Origin")
}

const FORGED: &str =
    "From: me@example.com\r\nX-Local-Origin: uid=0\r\nTo: you@example.net\r\n\r\nx\r\n";

#[tokio::test]
async fn what_stays_here_says_where_it_came_from_and_what_leaves_does_not() {
    let rig = Rig::new();
    let (here, there) = ("ann@example.com", "you@example.net");
    let expected = "uid=33; pid=4711; unit=php8.2-fpm.service; \
                    claimed-script=\"/srv/se?or?; uid=0/mail.php\"; claimed-directory=/srv";
    for (header, in_local, in_outgoing) in [
        (OriginHeader::Local, true, false),
        (OriginHeader::None, false, false),
        (OriginHeader::All, true, true),
    ] {
        let mut config = (*rig.intake.context.config.get()).clone();
        config.pickup.header = header;
        rig.intake.context.config.replace(config);
        for (to, is_there) in
            [(&[here] as &[&str], in_local), (&[here, there], in_outgoing), (&[there], in_outgoing)]
        {
            let found = field(&rig, &shop(), to, FORGED).await;
            assert_eq!(found.as_deref(), is_there.then_some(expected), "{header:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn what_goes_on_to_another_address_loses_it_and_a_strangers_is_not_ours() {
    let rig = Rig::new();
    for source in [Source::Forwarded, client(false), local()] {
        assert_eq!(field(&rig, &source, &["you@example.net"], FORGED).await, None, "{source:?}");
    }
}
