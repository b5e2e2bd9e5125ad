//! What odd peers say on a fresh connection: whether it is a verdict on the message, and
//! who is asked next. The second host takes whatever it is given.

use super::*;

const E: &str = "C: MAIL\nC: RCPT\nC: DATA\n";

enum Ends {
    /// The first host has it.
    Here,
    /// The first gave no verdict, and the second was asked.
    There,
    /// It waits, and the second was not asked: the first may have it.
    Waits,
    /// It is returned with this status, and the second was not asked.
    Returned(&'static str),
}

// C2, C3, C7 and their neighbours.
fn cases() -> Vec<(&'static str, String, Ends)> {
    use Ends::{Here, Returned, There, Waits};
    let one_by_one =
        "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\ncontent\nS: 250 taken\n";
    let after = |replies: &str| format!("{HELLO}{E}{replies}");
    let dot = |replies: &str| format!("{HELLO}{ENVELOPE}content\n{replies}");
    vec![
        // The session, at each stage.
        ("closed at once", "drop\n".into(), There),
        ("421 at the greeting", "S: 421 4.3.2 busy\n".into(), There),
        ("554 at the greeting", "S: 554 5.7.1 no\n".into(), There),
        ("two greetings", "raw 220 a\\r\\n220 b\\r\\n\n".into(), There),
        ("421 at EHLO", "S: 220 mx\nC: EHLO\nS: 421 4.3.2 busy\n".into(), There),
        ("closed at EHLO", "S: 220 mx\nC: EHLO\ndrop\n".into(), There),
        (
            "EHLO and HELO refused",
            "S: 220 mx\nC: EHLO\nS: 550 no\nC: HELO\nS: 550 5.7.1 no\n".into(),
            There,
        ),
        (
            "EHLO refused and HELO taken",
            format!("S: 220 mx\nC: EHLO\nS: 550 5.5.1 what\nC: HELO\nS: 250 mx\n{one_by_one}"),
            Here,
        ),
        (
            "bare LF, NUL and no text",
            "raw 220\\n\nC: EHLO\nraw 250-m\\0x\\n250 \\n\nC: MAIL\nraw 250\\n\nC: RCPT\nraw 250 \\0\\n\nC: \
             DATA\nraw 354\\n\ncontent\nraw 250\\n\n"
                .into(),
            Here,
        ),
        (
            "replies in pieces",
            "raw 2\nraw 20 mx\\r\nraw \\n\nC: EHLO\nraw 250-mx\\r\\n2\nraw 50 PIPELINING\\r\\n\n"
                .to_owned()
                + ACCEPT,
            Here,
        ),
        // The envelope.
        ("421 at MAIL", after("S: 421 4.3.2 closing\ndrop\n"), There),
        ("451 at MAIL", after("S: 451 4.3.0 no\nS: 503 no\nS: 503 no\n"), There),
        ("452 at MAIL", after("S: 452 4.3.1 full\nS: 503 no\nS: 503 no\n"), There),
        ("552 at MAIL", after("S: 552 5.3.4 large\nS: 503 no\nS: 503 no\n"), Returned("5.3.4")),
        ("354 at MAIL", after("S: 354 go\n"), There),
        ("closed after MAIL in a group", after("S: 250 ok\ndrop\n"), There),
        ("421 at RCPT", after("S: 250 ok\nS: 421 4.3.2 closing\ndrop\n"), There),
        ("450 at RCPT", after("S: 250 ok\nS: 450 5.1.1 no\nS: 503 no\n"), There),
        ("550 at RCPT", after("S: 250 ok\nS: 550 4.1.1 no\nS: 503 no\n"), Returned("5.1.1")),
        ("251 at RCPT", after("S: 250 ok\nS: 251 ok\nS: 354 go\ncontent\nS: 250 ok\n"), Here),
        (
            "550- and then 450 at RCPT",
            after("S: 250 ok\nraw 550-5.1.1 no\\r\\n450 4.2.1 well\\r\\n\nS: 503 no\n"),
            There,
        ),
        (
            "250- and then 550 at RCPT",
            after("S: 250 ok\nraw 250-ok\\r\\n550 5.1.1 no\\r\\n\nS: 503 no\n"),
            Returned("5.1.1"),
        ),
        ("650 at RCPT", after("S: 250 ok\nS: 650 5.1.1 no\nS: 503 no\n"), There),
        ("noise for a reply", after("S: 250 ok\nS: Segmentation fault\ndrop\n"), There),
        // DATA and the content.
        ("421 at DATA", after("S: 250 ok\nS: 250 ok\nS: 421 4.3.2 closing\ndrop\n"), There),
        ("451 at DATA", after("S: 250 ok\nS: 250 ok\nS: 451 4.3.0 no\n"), There),
        ("554 at DATA", after("S: 250 ok\nS: 250 ok\nS: 554 5.7.1 no\nC: RSET\nS: 250 ok\n"), Returned("5.7.1")),
        ("250 to DATA", after("S: 250 ok\nS: 250 ok\nS: 250 ok\n"), There),
        ("354 and 250 glued", after("S: 250 ok\nS: 250 ok\nraw 354 go\\r\\n250 ok\\r\\n\n"), There),
        ("354 and 552 glued", after("S: 250 ok\nS: 250 ok\nraw 354 go\\r\\n552 5.3.4 no\\r\\n\n"), Returned("5.3.4")),
        ("closed behind 354", format!("{HELLO}{ENVELOPE}drop\n"), Waits),
        ("421 at the dot", dot("S: 421 4.3.2 closing\ndrop\n"), There),
        ("451 at the dot", dot("S: 451 4.3.0 later\n"), There),
        ("554 at the dot", dot("S: 554 5.6.0 no\n"), Returned("5.6.0")),
        ("650 at the dot", dot("S: 650 taken\n"), Waits),
        ("noise at the dot", dot("S: what\ndrop\n"), Waits),
        ("closed at the dot", dot("drop\n"), Waits),
        ("taken, and 421 glued", dot("raw 250 ok\\r\\n421 bye\\r\\n\ndrop\n"), Here),
        ("taken without text", dot("raw 250\\r\\n\n"), Here),
        // What is known before anything is said.
        (
            "a small SIZE",
            "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 SIZE 10\n".into(),
            Returned("5.3.4"),
        ),
        ("SIZE 0 is none", "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 SIZE 0\n".to_owned() + one_by_one, Here),
    ]
}

#[tokio::test]
async fn odd_peers_bounce_nobody_who_is_innocent_and_the_next_host_is_asked() {
    for (name, script, ends) in cases() {
        let first = Peer::start(&[&script]).await;
        let second = Peer::start(&[&format!("{HELLO}{ACCEPT}")]).await;
        let plan = plan(&[first.address, second.address]);
        let outcome = remote(patient()).deliver(&job(plan, 1)).await.outcomes.remove(0);
        let case = format!("{name}: {} {}", outcome.status_code, outcome.text());
        let (status, asked) = match ends {
            Ends::Here => (DeliveryStatus::Sent, 0),
            Ends::There => (DeliveryStatus::Sent, 1),
            Ends::Waits => (DeliveryStatus::Deferred, 0),
            Ends::Returned(code) => {
                assert_eq!(outcome.status_code.to_string(), code, "{case}");
                (DeliveryStatus::Bounced, 0)
            }
        };
        assert_eq!((outcome.status, second.connections()), (status, asked), "{case}");
        assert_eq!(first.connections(), 1, "{case}");
    }
}
