//! F5 and F6: notices as people have them before them, forwarded, quoted, without a header,
//! in other languages; and letters that are no refusal, however much they sound like one.

use super::super::*;

const POSTFIX: &str = "This is the mail system at host mx.example.org.\n\nI'm sorry to have to \
    inform you that your message could not\nbe delivered to one or more \
    recipients.\n\n<ann@example.net>: host mx.example.net[192.0.2.4] said: 550 5.1.1\n    \
    <ann@example.net>: User unknown (in reply to RCPT TO command)\n\n<bob@example.net>: host \
    mx.example.net[192.0.2.4] said: 452 4.2.2 Over quota\n    (in reply to RCPT TO command)\n";

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}\n")).collect()
}

#[test]
fn a_notice_that_was_passed_on_is_read_like_one_that_came() {
    let whole = format!(
        "From: MAILER-DAEMON@mx.example.org (Mail Delivery System)\nTo: shop@example.com\n\
         Subject: Undelivered Mail Returned to Sender\n\n{POSTFIX}"
    );
    let letter =
        "From: Boss <boss@example.com>\nTo: admin@example.com\nSubject: Fwd: what is it?\n";
    for text in [
        whole.clone(),
        POSTFIX.to_owned(),
        format!("\u{feff}\n\n{whole}"),
        format!("From MAILER-DAEMON Thu Oct  1 07:02:00 2026\n{whole}"),
        quoted(POSTFIX),
        format!("{letter}\nWhat does this mean?\n\n{}", quoted(&whole)),
        format!("{letter}\nHelp?\n\n---------- Forwarded message ---------\n{whole}"),
        format!(
            "{letter}\n-----Mensaje original-----\nDe: Mail Delivery System \
             <MAILER-DAEMON@mx.example.org>\nEnviado: jueves\nAsunto: Undelivered Mail\n\n{POSTFIX}"
        ),
        format!(
            "{letter}Content-Type: multipart/mixed; boundary=z\n\n--z\nContent-Type: \
             text/plain\n\nSee below.\n\n{}\n--z--\n",
            quoted(&whole)
        ),
    ] {
        for text in [text.replace('\n', "\r\n"), text] {
            let found = explain_each(&text, None);
            let said: Vec<_> = found
                .iter()
                .map(|(to, what)| (to.as_deref().unwrap_or(""), what.class(), what.kind()))
                .collect();
            let expected = [
                ("ann@example.net", "mailbox-unknown", Kind::Permanent),
                ("bob@example.net", "mailbox-full", Kind::Permanent),
            ];
            assert_eq!(said, expected, "{text}");
        }
    }
}

#[test]
fn transcripts_and_other_languages_are_read_and_the_subject_is_not() {
    let header = |subject: &str, more: &str| {
        format!("From: postmaster@example.org\nTo: shop@example.com\nSubject: {subject}\n{more}\n")
    };
    for (text, class) in [
        (
            header("Permanent Delivery Failure", "")
                + "Session Transcript:\n*  From: shop@example.com\n*  To: ann@example.net\n*  \
                   Subject: 550 virus spam quota exceeded\n--> RCPT To:<ann@example.net>\n<-- 550 \
                   5.1.1 User unknown\n--> QUIT\n",
            "mailbox-unknown",
        ),
        (
            header("系统退信", "")
                + "收件人邮箱地址：ann@example.net\n退信代码: 552 5.2.2 Mailbox full\n",
            "mailbox-full",
        ),
        (
            header(
                "Delivery Status Notification (Failure)",
                "X-Failed-Recipients: ann@example.net\n",
            ) + "Tu mensaje no se ha entregado a ann@example.net porque no se ha encontrado la \
                   dirección.\n",
            "mailbox-unknown",
        ),
        (
            header("Non remis : bonjour", "")
                + "ann@example.net\nL'adresse est introuvable.\n\nann@example.net\nRemote Server \
                   returned '550 5.1.1 RESOLVER.ADR.RecipNotFound; not found'\n",
            "mailbox-unknown",
        ),
    ] {
        let found = explain_each(&text, None);
        let said: Vec<_> =
            found.iter().map(|(to, what)| (to.as_deref().unwrap_or(""), what.class())).collect();
        assert_eq!(said, [("ann@example.net", class)], "{text}");
    }
}

#[test]
fn letters_about_parcels_quotas_and_bounces_are_no_refusals() {
    let parcel = "The recipient was unknown at this address; the box is full, your quota of 5 \
                  parcels exceeded. Code 550. We will try again.";
    let talk = "host mx.example.org said: 550 5.1.1 User unknown. Any idea?\n\neva@example.org\n\nis \
                no longer valid, the mailbox is disabled.";
    let shop = "Shop <news@shop.example>";
    let ana = "Ana <ana@example.net>";
    let letters = [
        (shop, "The delivery of your parcel failed", "", parcel),
        (shop, "Your package could not be delivered", "", parcel),
        (shop, "Zustellung fehlgeschlagen: nicht zugestellt", "", parcel),
        (shop, "Mail delivery times over Christmas", "", parcel),
        (shop, "Returned mail: a history of the post office", "", parcel),
        (shop, "Warning: undeliverable promises", "Return-Path: <>\n", parcel),
        (ana, "Re: Undelivered Mail Returned to Sender", "", talk),
        (ana, "AW: Returned mail: see transcript for details", "", talk),
        (ana, "[mailop] Returned mail: see transcript", "List-Id: <mailop.example.org>\n", talk),
        (ana, "Auto: Undeliverable: hi", "Return-Path: <>\nAuto-Submitted: auto-replied\n", talk),
        (ana, "Out of Office: Returned mail", "Auto-Submitted: auto-replied\n", talk),
        (ana, "Declined: Mail delivery", "Content-Type: text/calendar\n", "user unknown"),
        (
            "postmaster@example.net",
            "Your question",
            "",
            "You asked why the mailbox is full: the user sent 550 mails.",
        ),
        (
            "Mail System <mailadmin@example.net>",
            "Mailbox almost full",
            "",
            "Your quota is exceeded.",
        ),
        ("postmaster@example.net", "Spam report", "", "Virus found in 2 messages, 12 rejected."),
        (
            "noreply-dmarc@example.net",
            "Report domain: example.com",
            "",
            "SPF fail, DKIM fail: reject",
        ),
        ("postmaster@example.net", "Report Domain: example.com", "", "12 failed DMARC, rejected"),
        ("Mail Delivery <x@evil.example>", "Your mailbox is full", "", "Error 550: click here"),
        ("x@evil.example", "8 messages could not be delivered", "", "quota 99% full: 550"),
        (ana, "Fwd: lol", "", "From: Bob <bob@example.org>\nSubject: mailbox full\n\nof love. 550"),
        (
            "tls@example.net",
            "Report Domain: example.com",
            "Content-Type: multipart/report; report-type=tlsrpt; boundary=x\n",
            "--x\n\ncertificate expired\n--x--",
        ),
        (
            "postmaster@example.net",
            "Not read: order",
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=x\n",
            "--x\n\nfailed\n--x\nContent-Type: message/disposition-notification\n\nFinal-Recipient: \
             rfc822; ana@example.net\nDisposition: automatic-action; failed\n--x--",
        ),
    ];
    for (from, subject, more, body) in letters {
        let text =
            format!("From: {from}\nTo: luis@example.com\nSubject: {subject}\n{more}\n{body}\n");
        for text in [text.replace('\n', "\r\n"), text] {
            let found = explain_each(&text, None);
            assert!(found.is_empty(), "{subject}: {found:?}");
            assert!(explain(&text, None).is_none(), "{subject}");
        }
    }
}
