//! What a notification says to people: what happened, to whom, why, and what they
//! can do about it.

use puerto_mail::date;
use puerto_mail::header::{Header, encoded_word};
use puerto_smtp::EnhancedCode;

use super::{Kind, Notice, Told};
use crate::explain::{self, Explanation, Whose};
use crate::intake::wall_clock;
use crate::lang::is_harmful;

/// Recipients that are told about in words; the part for programs lists them all.
const MAX_NAMED: usize = 100;

pub(super) fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "Your message could not be delivered",
        Kind::Delayed => "Your message is late, nothing to do yet",
        Kind::Delivered => "Your message has been delivered",
    }
}

/// Characters of a subject that are quoted.
const MAX_SUBJECT: usize = 120;

/// The subject of the message that is told about, as people read it.
pub(super) fn subject_of(octets: &[u8]) -> Option<String> {
    let header = Header::parse(octets).ok()?;
    let subject = encoded_word::decode(&header.first("Subject")?.text());
    let plain = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = plain.chars().filter(|c| !is_harmful(*c)).take(MAX_SUBJECT).collect();
    (!plain.is_empty()).then_some(plain)
}

pub(super) fn body(
    notice: &Notice<'_>,
    told: &[Told<'_>],
    hostname: &str,
    subject: Option<&str>,
) -> String {
    let arrival = date::format(wall_clock(notice.job.received_at));
    let mut text = format!("This is the mail server {hostname}.\n\n");
    text.push_str(&match notice.kind {
        Kind::Failed => format!(
            "Your message of {arrival} could not be delivered to the recipients below. It will not \
             be tried again.\n"
        ),
        Kind::Delayed => {
            let until = date::format(wall_clock(notice.expire_at));
            format!(
                "Your message of {arrival} has not yet reached the recipients below. You need not \
                 do anything and should not send it again: it will be tried until {until}. If that \
                 fails, you will be told.\n"
            )
        }
        Kind::Delivered => format!(
            "You asked to be told: your message of {arrival} has been taken by the mail servers of \
             the recipients below.\n"
        ),
    });
    if let Some(subject) = subject {
        text.push_str(&format!("Its subject: {subject}\n"));
    }
    for Told { recipient, outcome } in told.iter().take(MAX_NAMED) {
        text.push_str(&format!("\n  {}\n", recipient.recipient.address));
        if notice.kind != Kind::Delivered {
            text.push_str(&format!("    {}\n", outcome.text));
        }
        // What is given up is not tried again, whatever its last reply invited us to.
        let kind = match notice.kind {
            Kind::Failed => explain::Kind::Permanent,
            Kind::Delayed | Kind::Delivered => explain::Kind::Temporary,
        };
        let explained = explain::specific(&outcome.text, outcome.host.as_deref())
            .filter(|_| notice.kind != Kind::Delivered)
            .map(|found| found.of_kind(kind));
        if let Some(explanation) = explained {
            text.push_str(&format!("    In short: {}.\n", explanation.short()));
        }
        if notice.kind == Kind::Failed {
            // What only ever failed for the moment was given up by age.
            if outcome.status_code.class == 4 {
                text.push_str("    It was tried again and again, until it had waited too long.\n");
            }
            text.push_str(&format!("    {}\n", advice(explained, outcome.status_code)));
        }
    }
    if told.len() > MAX_NAMED {
        text.push_str(&format!("\n  and {} more\n", told.len() - MAX_NAMED));
    }
    text.push_str(&format!(
        "\nIf you ask your administrator about this, quote the queue id {}.\n",
        notice.job.id
    ));
    text
}

// The recipient's and the content's faults are for the sender to mend; all others need
// an administrator.
fn advice(explained: Option<Explanation>, status: EnhancedCode) -> &'static str {
    match explained.map(|explanation| explanation.whose()) {
        Some(Whose::Server | Whose::Dns | Whose::Provider) => {
            "Tell your administrator, who can do something about it."
        }
        _ => meaning(status),
    }
}

// By the subject and detail of the status (RFC 3463 §3).
fn meaning(status: EnhancedCode) -> &'static str {
    match (status.subject, status.detail) {
        (1, 10) => "That domain says that it takes no mail at all. Ask for another address.",
        (1, 7 | 8) => "Your own address was not accepted. Check the sender that your program sets.",
        (1, 2) => "There is no such domain. Check what stands after the @ for typing mistakes.",
        (1, _) => "There is no such address. Check it for typing mistakes.",
        (2, 2) => "The mailbox is full. Try again in some days, or reach the person otherwise.",
        (2, 3) | (3, 4) => "The message is too large. Send less, or a link to it.",
        (2, _) => "The mailbox takes no mail at present. Reach the person otherwise.",
        (4, 6) => "The message went round in circles. Your administrator can mend that.",
        (4, 4) => {
            "That domain names no server that takes its mail. Check what stands after the @ for \
                   typing mistakes, or reach the person otherwise."
        }
        (4, _) => {
            "The other server could not be reached. Reach the person otherwise, and tell your \
                   administrator."
        }
        (6, _) => "The other server cannot take a message of this form. Send it as plain text.",
        (7, _) => {
            "The other server refused it by its rules: often because it doubts the sender or \
                   takes the message for spam. Tell your administrator what it said."
        }
        _ => "Tell your administrator what the other server said.",
    }
}
