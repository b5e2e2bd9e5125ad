//! F1: a reply in every form in which people find it: what became of the message decides
//! whether it is tried again, and what the reply says is the same everywhere.

use puerto_smtp::EnhancedCode;

use super::super::*;

/// A reply with another first digit in its codes.
fn with_digit(reply: &str, digit: char) -> String {
    let line = |line: &str| {
        let mut words = line.splitn(2, [' ', '-']);
        let (code, rest) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if code.len() != 3 || code.parse::<u16>().is_err() {
            return line.to_owned();
        }
        let mark = line.chars().nth(3).unwrap_or(' ');
        let status = rest.split(' ').next().unwrap_or("");
        let rest = match status.parse::<EnhancedCode>() {
            Ok(_) => format!("{digit}{}", rest.get(1..).unwrap_or("")),
            Err(_) => rest.to_owned(),
        };
        format!("{digit}{}{mark}{rest}", code.get(1..).unwrap_or(""))
    };
    reply.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The forms, each with whether it is tried again.
fn forms(reply: &str, digit: char) -> Vec<(&'static str, String, Kind)> {
    let by_digit = if digit == '4' { Kind::Temporary } else { Kind::Permanent };
    let one_line = reply.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    let said =
        format!("host mx.example.net[192.0.2.4] said: {one_line} (in reply to RCPT TO command)");
    let line = |status: &str| {
        format!(
            "Oct  1 07:02:00 mail postfix/smtp[77]: 0A1B2C3D4E5F: to=<ann@example.net>, \
             relay=mx.example.net[192.0.2.4]:25, delay=1.2, delays=0.1/0/0.6/0.5, \
             dsn={digit}.0.0, status={status} ({said})"
        )
    };
    let notice = |action: &str| {
        let folded = reply.split('\n').collect::<Vec<_>>().join("\n    ");
        format!(
            "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nSubject: Mail\nContent-Type: \
             multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: \
             text/plain\n\nSomething became of your message.\n\n--b\nContent-Type: \
             message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\nFinal-Recipient: \
             rfc822; ann@example.net\nAction: {action}\nStatus: {digit}.0.0\nRemote-MTA: dns; \
             mx.example.net\nDiagnostic-Code: smtp; {folded}\n\n--b\nContent-Type: \
             message/rfc822\n\nDKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; b=A\nSubject: \
             virus, spam and quota\n\nMy mailbox is full.\n--b--\n"
        )
    };
    vec![
        ("bare", reply.to_owned(), by_digit),
        ("one line", one_line.clone(), by_digit),
        ("deferred", line("deferred"), Kind::Temporary),
        ("bounced", line("bounced"), Kind::Permanent),
        ("said", said.clone(), by_digit),
        ("failed", notice("failed"), Kind::Permanent),
        ("delayed", notice("delayed"), Kind::Temporary),
    ]
}

#[test]
fn in_every_form_what_became_of_the_message_decides() {
    let collected = include_str!("../collected.tsv").lines().filter(|line| !line.starts_with('#'));
    let replies = collected.filter_map(|line| line.split('\t').nth(3));
    let replies = replies.filter(|reply| reply.starts_with(['4', '5']));
    let mut wrong = Vec::new();
    for reply in replies.map(|reply| reply.replace("\\n", "\n")) {
        for digit in ['4', '5'] {
            let reply = with_digit(&reply, digit);
            let mut classes = Vec::new();
            for (form, text, kind) in forms(&reply, digit) {
                let Some(found) = explain(&text, None) else {
                    wrong.push(format!("{form}: nothing for {reply}"));
                    continue;
                };
                if found.kind() != kind {
                    wrong.push(format!("{form}: {:?} for {reply}", found.kind()));
                }
                classes.push((form, found.matched()));
            }
            let first = classes.first().map(|(_, class)| *class);
            for (form, class) in classes {
                if Some(class) != first {
                    wrong.push(format!("{form}: {class} and not {first:?} for {reply}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
