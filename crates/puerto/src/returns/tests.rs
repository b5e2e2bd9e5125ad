//! Reports that are believed, and those that are not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use super::*;

/// Messages that went out: Message-ID, sender, recipients.
struct Outbox(Vec<(&'static str, &'static str, Vec<&'static str>)>);

impl Known for Outbox {
    fn is_kept(&self) -> bool {
        true
    }

    fn with_message_id(&self, message_id: &str) -> Vec<MessageId> {
        let places = self.0.iter().enumerate().filter(|(_, (id, ..))| *id == message_id);
        places.map(|(place, _)| MessageId::from_u64(place as u64 + 1)).collect()
    }

    fn envelope(&self, id: MessageId) -> Option<Sent> {
        let place = (1_u64..).zip(&self.0).find(|(n, _)| MessageId::from_u64(*n) == id);
        let (_, (_, from, to)) = place?;
        Some(Sent { from: (*from).to_owned(), to: to.iter().map(|&to| to.to_owned()).collect() })
    }
}

fn events(outbox: &Outbox, came_to: &str, octets: &[u8]) -> Vec<String> {
    let config = Config::for_tests(Path::new("/nowhere"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let log = MailLog::new(move |event| {
        heard.lock().unwrap().push(match event {
            Event::Later(later) => format!(
                "{} {} {} {}",
                later.news,
                later.to.unwrap_or("?"),
                later.status_code.map(|code| code.to_string()).unwrap_or_default(),
                later.explanation.unwrap_or_default()
            ),
            Event::Notice { text, .. } => (*text).to_owned(),
            Event::Remark { cause, .. } => cause.to_string(),
            other => format!("{other:?}"),
        });
    });
    let came_to = vec![Address::parse(came_to).unwrap()];
    let candidate = Candidate { id: MessageId::from_u64(99), came_to, body: octets.to_vec() };
    look(&candidate, &config, outbox, &log);
    told.lock().unwrap().clone()
}

const NOTICE: &str = "From: MAILER-DAEMON@mx.b.example\r\nSubject: Undelivered\r\n\
    Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
    Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.b.example\r\n\r\n\
    Final-Recipient: rfc822; RCPT\r\nAction: ACTION\r\nStatus: 5.1.1\r\n\
    Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b\r\n\
    Content-Type: text/rfc822-headers\r\n\r\nRETURNED\r\n--b--\r\n";

const COMPLAINT: &str = "From: fbl@portal.example\r\nSubject: complaint\r\n\
    Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\
    Content-Type: message/feedback-report\r\n\r\nFeedback-Type: ACTION\r\nVersion: 1\r\n\
    Original-Mail-From: RCPT\r\n\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nRETURNED\r\nFrom: x@example.com\r\n\r\nhello\r\n--b--\r\n";

const TRACE: &str =
    "Received: from x by mail.example.com (Buen Puerto)\r\n with ESMTP id 000000000002; now";
const ONE: &str = "Message-ID: <one@example.com>";
const TWO: &str = "Message-ID: <two@example.com>";
const REFUSED: &str = "refused bo@b.example 5.1.1 ";

/// The form, where it comes to, whom it names, the action or the kind, what is returned of
/// the message, and a piece of what is told.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (NOTICE, "me@example.com", "bo@b.example", "failed", ONE, REFUSED),
    (
        NOTICE,
        "ME@Example.com",
        "BO@b.example",
        "Failed",
        "Message-Id:\r\n <one@example.com>",
        REFUSED,
    ),
    (NOTICE, "list@example.com", "bo@b.example", "failed", TRACE, REFUSED),
    (
        NOTICE,
        "list+cy=b.example@example.com",
        "list+cy=b.example@example.com",
        "failed",
        TRACE,
        "refused cy@b.example 5.1.1 ",
    ),
    (NOTICE, "me@example.com", "bo@b.example", "delayed", ONE, "late bo@b.example 5.1.1 "),
    (NOTICE, "me@example.com", "bo@b.example", "relayed", ONE, "delivered bo@b.example "),
    // Forwarded by the only recipient.
    (NOTICE, "me@example.com", "hidden@c.example", "failed", ONE, REFUSED),
    (COMPLAINT, "abuse@example.com", "me@example.com", "abuse", ONE, "complaint bo@b.example "),
    (
        COMPLAINT,
        "abuse@example.com",
        "<list+cy=b.example@example.com>",
        "abuse",
        TWO,
        "complaint cy@b.example ",
    ),
    (COMPLAINT, "abuse@example.com", "list@example.com", "abuse", TWO, "complaint ? "),
    // What is not believed, and why.
    (NOTICE, "me@example.com", "victim@c.example", "failed", "Subject: x", "it names no message"),
    (
        NOTICE,
        "me@example.com",
        "victim@c.example",
        "failed",
        "Message-ID: <not@ours>",
        "nothing is known of the message that it names, not@ours",
    ),
    // Another server had sent that copy, and we the one to bo.
    (
        NOTICE,
        "me@example.com",
        "nobody@b.example",
        "failed",
        "Message-ID: <one@example.com>\r\nTo: bo@b.example,\r\n No Body <Nobody@B.example>",
        "was not sent to nobody@b.example",
    ),
    (
        NOTICE,
        "me@example.com",
        "nobody@b.example",
        "failed",
        "Received: by one.example.com (Buen Puerto)\r\n id 00000000000A; now\r\n\
         Message-ID: <one@example.com>\r\nSubject: to whom it says nobody",
        "was not sent to nobody@b.example",
    ),
    (
        COMPLAINT,
        "abuse@example.com",
        "me@example.com",
        "abuse\r\nOriginal-Rcpt-To: <nobody@b.example>",
        "Message-ID: <one@example.com>\r\nTo: bo@b.example, nobody@b.example",
        "was not sent to nobody@b.example",
    ),
    (
        COMPLAINT,
        "abuse@example.com",
        "list@example.com",
        "abuse\r\nOriginal-Rcpt-To: <victim@c.example>",
        TWO,
        "was not sent to victim@c.example",
    ),
    (
        COMPLAINT,
        "abuse@example.com",
        "list@example.com",
        "abuse\r\nOriginal-Rcpt-To: <redacted@portal.example>",
        TRACE,
        "complaint ? ",
    ),
    (
        NOTICE,
        "other@example.com",
        "bo@b.example",
        "failed",
        ONE,
        "from another address than it came to",
    ),
    (
        NOTICE,
        "list@example.com",
        "victim@c.example",
        "failed",
        TWO,
        "was not sent to victim@c.example",
    ),
    (
        NOTICE,
        "list@example.com",
        "bo@b.example",
        "failed",
        "Received: from x by other.example id 000000000002; now",
        "it names no message",
    ),
    (
        COMPLAINT,
        "abuse@example.com",
        "me@example.com",
        "auth-failure",
        ONE,
        "auth-failure is no complaint",
    ),
    (COMPLAINT, "abuse@example.com", "me@example.com", "not-spam", ONE, "not-spam is no complaint"),
];

/// What is believed needs the message, the sender and the recipient to fit.
#[test]
fn reports_are_believed_where_message_sender_and_recipient_fit() {
    let outbox = Outbox(vec![
        ("one@example.com", "me@example.com", vec!["bo@b.example"]),
        ("two@example.com", "list@example.com", vec!["bo@b.example", "cy@b.example"]),
    ]);
    for (form, came_to, to, action, returned, expected) in CASES {
        let text = form.replace("RCPT", to).replace("ACTION", action).replace("RETURNED", returned);
        let told = events(&outbox, came_to, text.as_bytes());
        let fits = |one: &String| one.contains(expected);
        assert!(told.len() == 1 && told.iter().all(fits), "{came_to} {to} {returned}: {told:?}");
    }
}

/// Our own notices are no news, and letters are none.
#[test]
fn what_is_no_report_of_others_is_passed_over() {
    let outbox = Outbox(vec![("one@example.com", "me@example.com", vec!["bo@b.example"])]);
    let ours = NOTICE.replace("dns; mx.b.example", "dns; mail.example.com");
    for text in [
        ours.replace("RETURNED", "Message-ID: <one@example.com>").replace("RCPT", "bo@b.example"),
        "From: bo@b.example\r\nSubject: Re: hi\r\nIn-Reply-To: <one@example.com>\r\n\r\n550 no\r\n"
            .to_owned(),
        "From: bo@b.example\r\nAuto-Submitted: auto-replied\r\nSubject: away\r\nIn-Reply-To: \
         <one@example.com>\r\n\r\nI am away.\r\n"
            .to_owned(),
        String::new(),
        "\r\n\r\n".to_owned(),
    ] {
        assert_eq!(events(&outbox, "me@example.com", text.as_bytes()), [""; 0], "{text}");
    }
}

/// Nothing is read of what our own domains write to each other, nor where nothing is known.
#[test]
fn only_mail_from_elsewhere_or_without_a_sender_is_looked_at() {
    let mut config = Config::for_tests(Path::new("/nowhere"));
    config.domains = vec![puerto_smtp::Domain::parse("example.com").unwrap()];
    for (sender, fits) in [
        ("", true),
        ("feedback@arf.portal.example", true),
        ("me@sub.example.com", true),
        ("me@example.com", false),
        ("me@EXAMPLE.com", false),
    ] {
        assert_eq!(
            may_report(&ReversePath::parse(&format!("<{sender}>")).unwrap(), &config),
            fits,
            "{sender}"
        );
    }
    assert!(says_it_is_a_report(b"Subject: x\r\nContent-Type: Multipart/Report; a=b\r\n\r\n"));
    assert!(!says_it_is_a_report(b"Subject: x\r\n\r\nContent-Type: multipart/report\r\n"));
}

/// The samples beside the project, where the machine has them.
#[test]
fn samples_of_many_servers_belong_to_their_messages_and_the_forged_one_to_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
    let folder = root.join("shared/data/reports");
    if !folder.is_dir() {
        return;
    }
    let outbox = Outbox(vec![
        (
            "3kq7x2m9d4.1@example.com",
            "b.3kq7x2m9d4.1@bounce.example.com",
            vec!["nobody@dest.example"],
        ),
        (
            "3kq7x2m9d4.2@example.com",
            "b.3kq7x2m9d4.2@bounce.example.com",
            vec!["full@dest.example"],
        ),
        (
            "3kq7x2m9d4.4@example.com",
            "b.3kq7x2m9d4.4@bounce.example.com",
            vec!["nadie@dest.example", "otra@away.example"],
        ),
        (
            "3kq7x2m9d4.9@example.com",
            "b.3kq7x2m9d4.9@bounce.example.com",
            vec!["alias@forward.example", "ok@forward.example"],
        ),
        (
            "3kq7x2m9d4.10@example.com",
            "b.3kq7x2m9d4.10@bounce.example.com",
            vec!["user10@odd.example"],
        ),
        (
            "3kq7x2m9d4.3@example.com",
            "b.3kq7x2m9d4.3@bounce.example.com",
            vec!["gone@dest.example"],
        ),
        (
            "3kq7x2m9d4.6@example.com",
            "b.3kq7x2m9d4.6@bounce.example.com",
            vec!["nosuchuser@custom.example"],
        ),
    ]);
    let expected: HashMap<&str, &[&str]> = HashMap::from([
        ("dsn-01-postfix", &["refused nobody@dest.example 5.1.1"][..]),
        ("dsn-02-exim-report", &["refused full@dest.example 5.2.2"]),
        ("dsn-03-exim-plain-text", &["refused gone@dest.example"]),
        (
            "dsn-04-qmail-text",
            &["refused nadie@dest.example 5.1.1", "refused otra@away.example 4.2.2"],
        ),
        ("dsn-06-gmail-like", &["refused nosuchuser@custom.example 5.1.1"]),
        (
            "dsn-09-forwarded-two-recipients",
            &["delivered ok@forward.example", "refused alias@forward.example 5.7.1"],
        ),
        ("dsn-10-final-recipient-is-sender", &["refused user10@odd.example 5.2.1"]),
        ("dsn-12-forged", &["this report is noted with no message of ours: it names no message"]),
        ("arf-01-complete", &["complaint nobody@dest.example"]),
        ("arf-05-auth-failure", &["this report is noted with no message of ours: auth-failure"]),
        ("auto-01-vacation-rfc3834", &[]),
        ("auto-05-mdn", &[]),
    ]);
    for (file, expected) in expected {
        let octets = std::fs::read(folder.join(format!("{file}.eml"))).unwrap();
        let text = String::from_utf8_lossy(&octets);
        let to = text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap();
        let told = events(&outbox, to.trim().trim_matches(['<', '>']), &octets);
        assert_eq!(told.len(), expected.len(), "{file}: {told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{file}: {told}");
        }
    }
}
