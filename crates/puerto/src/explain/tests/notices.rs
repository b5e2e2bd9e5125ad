//! Notices in the forms of the servers that write them: to each recipient its own reply,
//! and never a word of the message that is returned.

use puerto_spool::clock::{Clock as _, SystemClock};

use super::super::*;

/// What every notice here returns: words that would be taken for reasons.
const RETURNED: &str = "Return-Path: <shop@example.com>\nReceived: from mail.example.com by \
    mx.example.net; Thu, 1 Oct 2026 07:00:00 +0000\nDKIM-Signature: v=1; a=rsa-sha256; \
    d=example.com; s=x; b=AAAA\nFrom: Shop <shop@example.com>\nTo: ann@example.net\nSubject: 550 \
    virus spam quota exceeded\n\nIs your mailbox full of spam, malware and viruses?\n";

fn header(subject: &str, more: &str) -> String {
    format!(
        "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example.net>\nTo: \
         shop@example.com\nSubject: {subject}\nDate: Thu, 1 Oct 2026 07:02:00 +0000\n{more}\n"
    )
}

/// Form, notice up to what it returns, and what each recipient was refused with.
type Case = (&'static str, String, Vec<(&'static str, &'static str)>);

const ANN: (&str, &str) = ("ann@example.net", "mailbox-unknown");
const BOB: (&str, &str) = ("bob@example.net", "mailbox-full");

fn of_servers() -> Vec<Case> {
    let both = vec![ANN, BOB];
    vec![
        (
            "qmail",
            header("failure notice", "")
                + "Hi. This is the qmail-send program at mx.example.net.\nI'm afraid I wasn't able \
                   to deliver your message to the following addresses.\nThis is a permanent error; \
                   I've given up. Sorry it didn't work out.\n\n<ann@example.net>:\nSorry, no \
                   mailbox here by that name. (#5.1.1)\n\n<bob@example.net>:\n192.0.2.4 does not \
                   like recipient.\nRemote host said: 452 4.2.2 Mailbox full\nGiving up on \
                   192.0.2.4.\n\n--- Below this line is a copy of the message.\n\n",
            both.clone(),
        ),
        (
            "Exim",
            header(
                "Mail delivery failed: returning message to sender",
                "X-Failed-Recipients: ann@example.net, bob@example.net\n",
            ) + "This message was created automatically by mail delivery software.\n\nA message \
                   that you sent could not be delivered to one or more of its\nrecipients. This is \
                   a permanent error. The following address(es) failed:\n\n  ann@example.net\n    \
                   host mx.example.net [192.0.2.4]\n    SMTP error from remote mail server after \
                   RCPT TO:<ann@example.net>:\n    550 5.1.1 <ann@example.net>: User unknown\n  \
                   bob@example.net\n    SMTP error from remote mail server after end of data: host \
                   mx.example.net [192.0.2.4]: 552 5.2.2 Mailbox full\n\n------ This is a copy of \
                   the message, including all the headers. ------\n\n",
            both.clone(),
        ),
        (
            "Sendmail",
            header("Returned mail: see transcript for details", "")
                + "The original message was received at Thu, 1 Oct 2026 07:00:00 GMT\nfrom \
                   mail.example.com [192.0.2.25]\n\n   ----- The following addresses had permanent \
                   fatal errors -----\n<ann@example.net>\n    (reason: 550 5.1.1 <ann@example.net>: \
                   User unknown)\n<bob@example.net>\n    (reason: 552 5.2.2 Mailbox full)\n\n   \
                   ----- Transcript of session follows -----\n... while talking to \
                   mx.example.net.:\n>>> DATA\n<<< 550 5.1.1 <ann@example.net>: User unknown\n\n   \
                   ----- Original message follows -----\n\n",
            both.clone(),
        ),
        (
            "Postfix, text alone",
            header("Undelivered Mail Returned to Sender", "")
                + "This is the mail system at host mx.example.net.\n\nI'm sorry to have to inform \
                   you that your message could not\nbe delivered to one or more recipients. It's \
                   attached below.\n\n<ann@example.net>: host mx.example.net[192.0.2.4] said: 550 \
                   5.1.1\n    <ann@example.net>: Recipient address rejected: User unknown in \
                   relay\n    recipient table (in reply to RCPT TO command)\n\n<bob@example.net>: \
                   host mx.example.net[192.0.2.4] said: 552 5.2.2 Mailbox\n    full (in reply to \
                   RCPT TO command)\n\n",
            both.clone(),
        ),
        (
            "OpenSMTPD",
            header("Delivery status notification: error", "")
                + "    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this \
                   email.\n\n    An error has occurred while attempting to deliver a message for\n    \
                   the following list of recipients:\n\nann@example.net: 550 5.1.1 User \
                   unknown\nbob@example.net: 552 5.2.2 Mailbox full\n\n    Below is a copy of the \
                   original message:\n\n",
            both.clone(),
        ),
    ]
}

fn of_providers() -> Vec<Case> {
    let one = vec![ANN];
    vec![
        (
            "Gmail, of old",
            header(
                "Delivery Status Notification (Failure)",
                "X-Failed-Recipients: ann@example.net\n",
            ) + "Delivery to the following recipient failed permanently:\n\n     \
                   ann@example.net\n\nTechnical details of permanent failure: \nGoogle tried to \
                   deliver your message, but it was rejected by the server for the recipient domain \
                   example.net by mx.example.net. [192.0.2.4].\n\nThe error that the other server \
                   returned was:\n550 5.1.1 <ann@example.net>... User Unknown\n\n\n----- Original \
                   message -----\n\n",
            one.clone(),
        ),
        (
            "GMX",
            header("Mail delivery failed: returning message to sender", "")
                + "This message was created automatically by mail delivery software.\n\nA message \
                   that you sent could not be delivered to one or more of\nits recipients. This is a \
                   permanent error. The following address\nfailed:\n\n<ann@example.net>:\nSMTP \
                   error from remote server for RCPT TO command, host: mx.example.net (192.0.2.4) \
                   reason: 550 5.1.1 User unknown\n\n--- The header of the original message is \
                   following. ---\n\n",
            one.clone(),
        ),
        (
            "mail.ru",
            header("Mail failure.", "Auto-Submitted: auto-replied\n")
                + "К сожалению, Ваше письмо не может быть доставлено:\n\n  ann@example.net\n    SMTP \
                   error from remote mail server after RCPT TO:<ann@example.net>:\n    host \
                   mx.example.net [192.0.2.4]: 550 5.1.1 <ann@example.net>... User \
                   Unknown\n\n**********************\n\nThe following address(es) failed:\n\n  \
                   ann@example.net\n    SMTP error from remote mail server after RCPT \
                   TO:<ann@example.net>:\n    host mx.example.net [192.0.2.4]: 550 5.1.1 User \
                   Unknown\n\n------ This is a copy of the message, including all the headers. \
                   ------\n\n",
            one.clone(),
        ),
        (
            "Notes",
            header("Undeliverable message", "")
                + "------- Failure Reasons  --------\n\nUser not listed in public Name & Address \
                   Book\nann@example.net\n\n------- Returned Message --------\n",
            one.clone(),
        ),
        (
            "Exchange, of old",
            header(
                "Undeliverable: your order",
                "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"n\"\n",
            ) + "--n\nContent-Type: text/plain;\n charset=\"iso-8859-1\"\n\nYour message\n\n  To:  \
                   ann@example.net\n  Subject: spam\n\ndid not reach the following \
                   recipient(s):\n\nann@example.net on Thu, 1 Oct 2026 07:00:51 +0000\n    The \
                   recipient name is not recognized\n\n--n\nContent-Type: message/rfc822\n\n",
            one.clone(),
        ),
        (
            "KDDI",
            header("Mail System Error - Returned Mail", "")
                + "The user(s) account is temporarily over quota.\n\n<ann@example.net>\n\n",
            vec![("ann@example.net", "mailbox-full")],
        ),
        (
            "Google Groups",
            header(
                "Delivery Status Notification (Failure)",
                "X-Failed-Recipients: ann@example.net\n",
            ) + "Hello shop@example.com,\n\nWe're writing to let you know that the group you tried \
                   to contact (ann) may not exist, or you may not have permission to post messages \
                   to the group.\n\n----- Original message -----\n\n",
            one.clone(),
        ),
    ]
}

fn of_the_standard() -> Vec<Case> {
    vec![
        (
            "RFC 3464 with two recipients, a signature and a word in the returned message",
            header(
                "Undelivered Mail Returned to Sender",
                "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"b\"\n",
            ) + "--b\nContent-Type: text/plain\n\nIt failed.\n\n--b\nContent-Type: \
                   message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\nFinal-Recipient: \
                   rfc822; ann@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 \
                   5.1.1 User unknown\n\nFinal-Recipient: rfc822; bob@example.net\nAction: \
                   failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 5.2.2 Mailbox \
                   full\n\nFinal-Recipient: rfc822; eve@example.net\nAction: delivered\nStatus: \
                   2.0.0\n\n--b\nContent-Type: message/rfc822\n\n",
            vec![ANN, BOB],
        ),
        (
            "a status that says nothing, with prose that does",
            header(
                "Undeliverable",
                "MIME-Version: 1.0\nContent-Type: multipart/report; boundary=\"b\"\n",
            ) + "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \
                   quoted-printable\n\n<ann@example.net>:\n550 5.1.1 The user ann@example.net does \
                   not=\n exist=2E\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: \
                   dns; x\n\nFinal-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: \
                   5.0.0\n\n--b\nContent-Type: text/rfc822-headers\n\n",
            vec![ANN],
        ),
    ]
}

#[test]
fn each_recipient_has_its_own_reply_in_every_form() {
    let mut wrong = Vec::new();
    let all = [of_servers(), of_providers(), of_the_standard()].concat();
    for (form, notice, expected) in all {
        let whole = format!("{notice}{RETURNED}");
        for text in [whole.clone(), whole.replace('\n', "\r\n"), whole.replace('\n', "\r")] {
            let found = explain_each(&text, None);
            let said: Vec<_> = found
                .iter()
                .map(|(to, what)| (to.as_deref().unwrap_or(""), what.class()))
                .collect();
            if said != expected {
                wrong.push(format!("{form}: {said:?}, {found:?}"));
                break;
            }
            assert!(found.iter().all(|(_, what)| what.kind() == Kind::Permanent), "{form}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_notice_of_delay_is_tried_again() {
    let notice = header("Warning: could not send message for past 4 hours", "")
        + "<ann@example.net>: connect to mx.example.net[192.0.2.4]:25: Connection timed out\n";
    let found = explain_each(&notice, None);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].1.class(), found[0].1.kind()), ("connection-refused", Kind::Temporary));
}

#[test]
fn answers_of_machines_that_are_no_notices_are_letters() {
    for (from, subject, kind) in [
        ("Ana <ana@example.net>", "Out of office", "text/plain"),
        (
            "Ana <ana@example.net>",
            "Read: your order",
            "multipart/report; report-type=disposition-notification; boundary=x",
        ),
        (
            "complaints@example.net",
            "complaint",
            "multipart/report; report-type=feedback-report; boundary=x",
        ),
    ] {
        let text = format!(
            "Return-Path: <>\nFrom: {from}\nSubject: {subject}\nContent-Type: {kind}\n\n550 user unknown, mailbox full\n"
        );
        assert!(explain_each(&text, None).is_empty(), "{subject}");
    }
}

#[test]
fn a_notice_made_to_be_slow_is_read_in_little_time() {
    for body in
        ["<a@b.c>\n".repeat(8000), "--b\n\n".repeat(12_000), "=".repeat(60_000), "<".repeat(60_000)]
    {
        let text = header("failure notice", "Content-Type: multipart/mixed; boundary=b\n") + &body;
        let began = SystemClock.elapsed();
        let _ = explain_each(&text, None);
        let took = SystemClock.elapsed() - began;
        assert!(took.as_secs() < 5, "{took:?}");
    }
}
