//! Delivery status notifications (RFC 3464, RFC 6522): a report with a part for
//! people, one for programs, and what is returned of the message.
//!
//! Everything about the failure comes from the network, and is written so that it
//! stays within its field: control characters become `?`, long texts are folded.
//! Where an address holds UTF-8, the parts are those of RFC 6533.

use puerto_smtp::command::utf8_address_in_ascii;
use puerto_smtp::text::harmless;
use puerto_smtp::{Address, EnhancedCode};

use crate::date::{self, DateTime};
use crate::header::{Header, Mailbox, write_mailboxes, write_structured, write_unstructured};

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Given up: nothing will be tried again.
    Failed,
    /// Not delivered yet, and tried until [`RecipientReport::will_retry_until`].
    Delayed,
    /// In its mailbox, and in nobody else's hands.
    Delivered,
    /// Handed to a server that does not tell more.
    Relayed,
    /// Delivered to an address that stands for several, and sent on to them.
    Expanded,
}

impl Action {
    /// As the `Action` field writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// What is said about one recipient.
#[derive(Debug, Clone)]
pub struct RecipientReport {
    /// What the sender gave as ORCPT, its xtext decoded: `type;address` (RFC 3461 §4.2).
    pub original: Option<String>,
    /// The recipient as it was tried.
    pub address: Address,
    /// Whether it failed, is late, was delivered or passed on.
    pub action: Action,
    /// Why, as the code that `Status` holds (RFC 3463).
    pub status: EnhancedCode,
    /// The host that said so, if it was another than this one.
    pub remote_mta: Option<String>,
    /// Why, in words, if there are any.
    pub diagnostic: Option<Diagnostic>,
    /// The id that this server's log knows the attempt by, where no other host had a part
    /// in it (RFC 3464 §2.3.8).
    pub final_log_id: Option<String>,
    /// When it was last tried.
    pub last_attempt: DateTime,
    /// Until when it will be tried.
    pub will_retry_until: Option<DateTime>,
}

/// Why, in the words of whoever found it (RFC 3464 §2.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// `smtp` for the reply of a server, `x-buen-puerto` for what we say ourselves.
    pub kind: &'static str,
    /// A reply with its code, or a sentence; of any length, from the network.
    pub text: String,
}

/// What is returned of the message (RFC 6522 §3, RFC 3461 §4.3).
#[derive(Debug, Clone, Copy)]
pub enum Returned<'a> {
    /// Its header alone, without the empty line.
    Headers(&'a [u8]),
    /// The whole message, body and attachments.
    Full(&'a [u8]),
    /// Nothing, because it could not be read.
    Nothing,
}

/// All that one notification tells, to one sender about one message.
#[derive(Debug)]
pub struct Report<'a> {
    /// The host that writes it.
    pub hostname: &'a str,
    /// Whom it is for: the reverse-path of the message.
    pub to: &'a Address,
    /// The Subject of the notification, in any language.
    pub subject: &'a str,
    /// What its parts are called.
    pub labels: Labels,
    /// What it says to people; lines end in LF.
    pub text: &'a str,
    /// The value of Message-ID, brackets included; also what the parts are told
    /// apart by.
    pub message_id: &'a str,
    /// When the notification is written, for its Date field.
    pub date: DateTime,
    /// What the sender gave as ENVID, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<&'a str>,
    /// When the message came to this server (RFC 3464 §2.2.5).
    pub arrival: DateTime,
    /// The host that it came from, by name or as an address literal (RFC 3464 §2.2.4).
    pub received_from: Option<&'a str>,
    /// It was sent as an internationalized message, so that who sent it reads reports in
    /// UTF-8 (RFC 6533 §4).
    pub is_international: bool,
    /// The recipients that it is about.
    pub recipients: &'a [RecipientReport],
    /// What is returned of the message.
    pub returned: Returned<'a>,
}

/// What the parts of a notification are called, in the reader's language and in ASCII.
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    /// What programs show that do not know MIME.
    pub preamble: &'static str,
    /// The part for people.
    pub people: &'static str,
    /// The part for programs.
    pub programs: &'static str,
    /// The header that is returned.
    pub header: &'static str,
    /// The message that is returned.
    pub message: &'static str,
}

impl Labels {
    /// In English.
    pub const ENGLISH: Self = Self {
        preamble: "This is a report in MIME format.",
        people: "What happened, in words",
        programs: "What happened, for programs",
        header: "The header of your message",
        message: "Your message",
    };
}

/// A notification as octets, and what it needs to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Notification {
    /// The notification as a message, header and body, with CRLF line ends.
    pub octets: Vec<u8>,
    /// Its header holds UTF-8 (RFC 6531).
    pub smtputf8: bool,
}

/// Writes a notification; its parts are told apart by a boundary that stands in none.
pub fn build(report: &Report<'_>) -> Notification {
    let is_international = report.is_international && report.recipients.iter().any(has_utf8);
    let text = people_part(report.text, report.labels);
    let status = status_part(report, is_international);
    let returned = returned_part(report.returned, report.labels);
    let parts = [text.as_slice(), &status, &returned];
    let boundary = boundary(report.message_id, &parts);
    let is_ascii = parts.iter().all(|part| part.is_ascii());
    let mut out =
        Vec::with_capacity(1024 + parts.iter().map(|part| part.len() + 80).sum::<usize>());
    write_header(report, &boundary, is_ascii, &mut out);
    out.extend_from_slice(report.labels.preamble.as_bytes());
    out.extend_from_slice(b"\r\n");
    for part in parts.iter().filter(|part| !part.is_empty()) {
        out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Notification { octets: out, smtputf8: !report.to.is_ascii() }
}

fn has_utf8(recipient: &RecipientReport) -> bool {
    let original = recipient.original.as_deref().and_then(|original| original.split_once(';'));
    let is_utf8 =
        |(kind, address): (&str, &str)| kind.eq_ignore_ascii_case("utf-8") && !address.is_ascii();
    !recipient.address.is_ascii() || original.is_some_and(is_utf8)
}

fn write_header(report: &Report<'_>, boundary: &str, is_ascii: bool, out: &mut Vec<u8>) {
    let author = format!("MAILER-DAEMON@{}", report.hostname);
    // From is written as text where the host's name is not one that mail can be sent
    // to: a notification must not fail for that.
    match Address::parse(&author) {
        Ok(address) => {
            let name = Some("Mail Delivery System".to_owned());
            write_mailboxes(out, "From", &[Mailbox { name, address }]);
        }
        Err(_) => write_structured(out, "From", [author.as_str()]),
    }
    write_mailboxes(out, "To", &[Mailbox { name: None, address: report.to.clone() }]);
    write_unstructured(out, "Subject", report.subject);
    write_structured(out, "Date", [date::format(report.date).as_str()]);
    write_structured(out, "Message-ID", [report.message_id]);
    write_structured(out, "Auto-Submitted", ["auto-replied"]);
    write_structured(out, "MIME-Version", ["1.0"]);
    let boundary = format!("boundary=\"{boundary}\"");
    let tokens = ["multipart/report;", "report-type=delivery-status;", &boundary];
    write_structured(out, "Content-Type", tokens);
    let encoding = if is_ascii { "7bit" } else { "8bit" };
    write_structured(out, "Content-Transfer-Encoding", [encoding]);
    out.extend_from_slice(b"\r\n");
}

fn part_header(content_type: &[&str], description: &str, is_ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_structured(&mut out, "Content-Type", content_type.iter().copied());
    write_structured(&mut out, "Content-Description", [description]);
    if !is_ascii {
        write_structured(&mut out, "Content-Transfer-Encoding", ["8bit"]);
    }
    out.extend_from_slice(b"\r\n");
    out
}

const TEXT_WIDTH: usize = 76;

fn people_part(text: &str, labels: Labels) -> Vec<u8> {
    let mut out = part_header(&["text/plain;", "charset=utf-8"], labels.people, text.is_ascii());
    for line in text.lines() {
        let indent: String = line.chars().take_while(|c| *c == ' ').take(16).collect();
        let mut column = 0;
        for word in line.split(' ').filter(|word| !word.is_empty()) {
            let word = harmless(word);
            if column > 0 && column + 1 + word.len() > TEXT_WIDTH {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            if column == 0 {
                out.extend_from_slice(indent.as_bytes());
                column = indent.len();
            } else {
                out.push(b' ');
                column += 1;
            }
            column += push_word(&word, &mut out);
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

// A word without end must not become a line without end.
fn push_word(word: &str, out: &mut Vec<u8>) -> usize {
    let mut column = 0;
    for character in word.chars() {
        if column > 900 {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        let mut buffer = [0; 4];
        let octets = character.encode_utf8(&mut buffer).as_bytes();
        out.extend_from_slice(octets);
        column += octets.len();
    }
    column
}

fn status_part(report: &Report<'_>, is_international: bool) -> Vec<u8> {
    let content_type =
        if is_international { "message/global-delivery-status" } else { "message/delivery-status" };
    let mut out = part_header(&[content_type], report.labels.programs, !is_international);
    let mut fields = Fields { out: &mut out, keeps_utf8: is_international };
    fields.write("Reporting-MTA", &format!("dns; {}", report.hostname));
    if let Some(envelope_id) = report.envelope_id {
        fields.write("Original-Envelope-Id", envelope_id);
    }
    if let Some(host) = report.received_from {
        fields.write("Received-From-MTA", &format!("dns; {host}"));
    }
    fields.write("Arrival-Date", &date::format(report.arrival));
    for recipient in report.recipients {
        fields.out.extend_from_slice(b"\r\n");
        recipient_fields(recipient, &mut fields);
    }
    out
}

fn recipient_fields(recipient: &RecipientReport, fields: &mut Fields<'_>) {
    let original = recipient.original.as_deref().and_then(|original| original.split_once(';'));
    if let Some((kind, address)) = original {
        fields.write_address("Original-Recipient", kind, address);
    }
    let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
    fields.write_address("Final-Recipient", kind, &recipient.address.to_string());
    fields.write("Action", recipient.action.name());
    fields.write("Status", &recipient.status.to_string());
    if let Some(host) = &recipient.remote_mta {
        fields.write("Remote-MTA", &format!("dns; {host}"));
    }
    if let Some(diagnostic) = &recipient.diagnostic {
        let Diagnostic { kind, text } = diagnostic;
        fields.write("Diagnostic-Code", &format!("{kind}; {text}"));
    }
    fields.write("Last-Attempt-Date", &date::format(recipient.last_attempt));
    if let Some(id) = &recipient.final_log_id {
        fields.write("Final-Log-ID", id);
    }
    if let Some(until) = recipient.will_retry_until {
        fields.write("Will-Retry-Until", &date::format(until));
    }
}

struct Fields<'a> {
    out: &'a mut Vec<u8>,
    keeps_utf8: bool,
}

impl Fields<'_> {
    // In ASCII, an address of type utf-8 is written by its code points (RFC 6533 §3).
    fn write_address(&mut self, name: &str, kind: &str, address: &str) {
        let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
        let address = match is_utf8 && !self.keeps_utf8 {
            true => utf8_address_in_ascii(address),
            false => address.to_owned(),
        };
        self.write(name, &format!("{kind}; {address}"));
    }

    // A status part of RFC 3464 is ASCII alone.
    fn write(&mut self, name: &str, text: &str) {
        let text: String = if self.keeps_utf8 {
            text.to_owned()
        } else {
            text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
        };
        write_structured(self.out, name, text.split(' ').filter(|word| !word.is_empty()));
    }
}

fn returned_part(returned: Returned<'_>, labels: Labels) -> Vec<u8> {
    let (octets, mut out) = match returned {
        Returned::Nothing => return Vec::new(),
        Returned::Headers(octets) => {
            let is_ascii = octets.is_ascii();
            let is_global = !is_ascii && std::str::from_utf8(octets).is_ok();
            let content_type =
                if is_global { "message/global-headers" } else { "text/rfc822-headers" };
            (octets, part_header(&[content_type], labels.header, is_ascii))
        }
        Returned::Full(octets) => {
            // RFC 6533 §5: a header in UTF-8 makes it another type.
            let has_utf8_header = Header::parse(octets)
                .is_ok_and(|h| !h.octets().is_ascii() && std::str::from_utf8(h.octets()).is_ok());
            let content_type = if has_utf8_header { "message/global" } else { "message/rfc822" };
            (octets, part_header(&[content_type], labels.message, octets.is_ascii()))
        }
    };
    out.extend_from_slice(octets);
    if !octets.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

// A line between the parts that stands in none of them.
fn boundary(message_id: &str, parts: &[&[u8]]) -> String {
    let seed: String = message_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let mut number = 0u32;
    loop {
        let boundary = format!("=_{seed}_{number}");
        let is_taken =
            parts.iter().any(|part| memchr::memmem::find(part, boundary.as_bytes()).is_some());
        if !is_taken {
            return boundary;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const DATE: DateTime = DateTime { unix_seconds: 0, offset_minutes: 0 };

    fn smtp(text: String) -> Option<Diagnostic> {
        Some(Diagnostic { kind: "smtp", text })
    }

    fn recipient(address: &str) -> RecipientReport {
        RecipientReport {
            original: Some("rfc822;bo+x@example.net".to_owned()),
            address: Address::parse(address).unwrap(),
            action: Action::Failed,
            status: EnhancedCode::new(5, 1, 1),
            remote_mta: Some("mx.example.net".to_owned()),
            diagnostic: smtp("550 5.1.1 no such user".to_owned()),
            final_log_id: None,
            last_attempt: DATE,
            will_retry_until: None,
        }
    }

    fn report<'a>(
        to: &'a Address,
        recipients: &'a [RecipientReport],
        returned: Returned<'a>,
    ) -> Report<'a> {
        Report {
            labels: Labels::ENGLISH,
            hostname: "mail.example.com",
            to,
            subject: "Your message could not be delivered",
            text: "Hello.\n\n    550 no\n",
            message_id: "<0123456789AB@mail.example.com>",
            date: DATE,
            envelope_id: Some("QQ314159"),
            arrival: DATE,
            received_from: None,
            is_international: true,
            recipients,
            returned,
        }
    }

    fn parts(octets: &[u8]) -> (String, Vec<String>) {
        let text = String::from_utf8_lossy(octets).into_owned();
        let header = Header::parse(octets).unwrap();
        let content_type = header.first("Content-Type").unwrap().text();
        let boundary = content_type.split('"').nth(1).unwrap().to_owned();
        let line = format!("\r\n--{boundary}");
        let mut parts = text.split(&line).map(str::to_owned);
        let head = parts.next().unwrap();
        (head, parts.map(|part| part.trim_start_matches("\r\n").to_owned()).collect())
    }

    #[test]
    fn the_report_has_three_parts() {
        let to = Address::parse("ann@example.com").unwrap();
        let recipients = [
            recipient("bo@example.net"),
            RecipientReport {
                action: Action::Delayed,
                original: None,
                will_retry_until: Some(DATE),
                ..recipient("cy@example.net")
            },
        ];
        let returned = Returned::Headers(b"From: ann@example.com\r\nSubject: hi\r\n");
        let notification = build(&report(&to, &recipients, returned));
        assert!(!notification.smtputf8);
        let (head, parts) = parts(&notification.octets);
        for line in [
            "From: Mail Delivery System <MAILER-DAEMON@mail.example.com>\r\n",
            "To: ann@example.com\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "Content-Type: multipart/report; report-type=delivery-status;\r\n",
            "Content-Transfer-Encoding: 7bit\r\n",
        ] {
            assert!(head.contains(line), "{head}");
        }
        assert_eq!(parts.len(), 4);
        assert!(parts[0].ends_with("\r\n\r\nHello.\r\n\r\n    550 no\r\n"), "{}", parts[0]);
        let (_, status) = parts[1].split_once("\r\n\r\n").unwrap();
        assert_eq!(
            status,
            "Reporting-MTA: dns; mail.example.com\r\nOriginal-Envelope-Id: QQ314159\r\n\
             Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n\
             Original-Recipient: rfc822; bo+x@example.net\r\n\
             Final-Recipient: rfc822; bo@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
             Last-Attempt-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n\
             Final-Recipient: rfc822; cy@example.net\r\nAction: delayed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
             Last-Attempt-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
             Will-Retry-Until: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        assert!(parts[2].starts_with("Content-Type: text/rfc822-headers\r\n"));
        assert!(parts[2].ends_with("\r\n\r\nFrom: ann@example.com\r\nSubject: hi\r\n"));
    }

    #[test]
    fn hostile_replies_stay_in_their_field() {
        let to = Address::parse("ann@example.com").unwrap();
        let hostile = "550 x\r\n\r\nStatus: 2.0.0\r\n--=_boundary ñ\0 ".repeat(40);
        let recipients = [RecipientReport {
            diagnostic: smtp(hostile.clone() + &"y".repeat(5000)),
            remote_mta: Some(hostile.clone()),
            original: Some(hostile.clone()),
            ..recipient("bo@example.net")
        }];
        let text = hostile.clone() + &"z".repeat(5000);
        let mut report = report(&to, &recipients, Returned::Nothing);
        report.text = &text;
        report.subject = &hostile;
        report.envelope_id = Some(&hostile);
        let octets = build(&report).octets;
        let (_, parts) = parts(&octets);
        assert_eq!(parts.len(), 3);
        let (_, status) = parts[1].split_once("\r\n\r\n").unwrap();
        assert!(status.is_ascii());
        let groups: Vec<_> = status.split("\r\n\r\n").collect();
        assert_eq!(groups.len(), 2, "{status}");
        for group in groups {
            assert_eq!(Header::parse(group.as_bytes()).unwrap().body(), b"", "{group}");
        }
        assert!(octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        assert!(!crate::message::scan(&octets).bare_line_end);
    }

    #[test]
    fn addresses_in_utf_8_change_the_parts() {
        let to = Address::parse("añ@example.com").unwrap();
        let recipients = [recipient("bó@example.net")];
        let message = "Subject: ñ\r\n\r\nbody ñ";
        let notification = build(&report(&to, &recipients, Returned::Full(message.as_bytes())));
        assert!(notification.smtputf8);
        let (head, parts) = parts(&notification.octets);
        assert!(head.contains("Content-Transfer-Encoding: 8bit"));
        assert!(parts[1].starts_with("Content-Type: message/global-delivery-status\r\n"));
        assert!(parts[1].contains("Final-Recipient: utf-8; bó@example.net\r\n"));
        assert!(parts[2].starts_with("Content-Type: message/global\r\n"));
        assert!(parts[2].contains("Content-Transfer-Encoding: 8bit\r\n"));
        assert!(parts[2].ends_with("body ñ\r\n"));
    }

    #[test]
    fn who_does_not_read_utf_8_gets_its_addresses_in_ascii() {
        let to = Address::parse("ann@example.com").unwrap();
        let recipients = [RecipientReport {
            original: Some("utf-8;bó+x@example.net".to_owned()),
            ..recipient("bó@example.net")
        }];
        let mut report = report(&to, &recipients, Returned::Headers(b"Subject: x\r\n"));
        report.is_international = false;
        let (_, parts) = parts(&build(&report).octets);
        assert!(parts[1].starts_with("Content-Type: message/delivery-status\r\n"));
        assert!(
            parts[1].contains("Final-Recipient: utf-8; b\\x{F3}@example.net\r\n"),
            "{}",
            parts[1]
        );
        assert!(
            parts[1].contains("Original-Recipient: utf-8; b\\x{F3}\\x{2B}x@example.net\r\n"),
            "{}",
            parts[1]
        );
    }

    #[test]
    fn where_the_message_came_from_and_what_the_log_calls_it_is_said() {
        let to = Address::parse("ann@example.com").unwrap();
        let id = Some("0123456789AB".to_owned());
        let recipients = [RecipientReport {
            final_log_id: id,
            action: Action::Expanded,
            remote_mta: None,
            diagnostic: None,
            ..recipient("team@example.com")
        }];
        let mut report = report(&to, &recipients, Returned::Nothing);
        report.received_from = Some("shop.example.com");
        let (_, parts) = parts(&build(&report).octets);
        let (_, status) = parts[1].split_once("\r\n\r\n").unwrap();
        assert_eq!(
            status,
            "Reporting-MTA: dns; mail.example.com\r\nOriginal-Envelope-Id: QQ314159\r\n\
             Received-From-MTA: dns; shop.example.com\r\n\
             Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n\
             Original-Recipient: rfc822; bo+x@example.net\r\n\
             Final-Recipient: rfc822; team@example.com\r\nAction: expanded\r\n\
             Status: 5.1.1\r\nLast-Attempt-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
             Final-Log-ID: 0123456789AB\r\n"
        );
    }

    #[test]
    fn the_boundary_stands_in_no_part() {
        let to = Address::parse("ann@example.com").unwrap();
        let message = b"\r\n--=_0123456789ABmailexamplecom_0\r\n--=_0123456789ABmailexamplecom_1";
        let recipients = [recipient("bo@example.net")];
        let octets = build(&report(&to, &recipients, Returned::Full(message))).octets;
        assert!(
            String::from_utf8(octets)
                .unwrap()
                .contains("boundary=\"=_0123456789ABmailexamplecom_2\"")
        );
    }
}
