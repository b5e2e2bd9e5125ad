//! Reports that come in about messages that went out earlier.

use puerto_smtp::EnhancedCode;

use super::input::notice::report::{self, One};
use super::reply::Reply;
use super::{Explanation, clip, input, likeliest};

/// What a notice or a complaint says about a message that somebody sent. Nothing of it is
/// proven: it is a stranger's word.
#[derive(Debug, Default)]
pub struct Returned {
    /// What kind of complaint it is (RFC 5965 §3.1), such as `abuse`; `None`: it is a notice.
    pub complaint: Option<String>,
    /// The host that says it wrote a notice.
    pub reporter: Option<String>,
    /// Message-IDs that it names, without brackets.
    pub message_ids: Vec<String>,
    /// Trace fields of the message that it returns: by which host, under which id.
    pub traces: Vec<(String, String)>,
    /// Envelope senders that it names.
    pub senders: Vec<String>,
    /// Whom the message that it returns is addressed to, by its header.
    pub addressed: Vec<String>,
    /// What it says about each recipient.
    pub about: Vec<Fate>,
}

/// What became of one recipient, as a report says.
#[derive(Debug, Default)]
pub struct Fate {
    /// Its addresses, as it was written to first.
    pub recipients: Vec<String>,
    /// What became of it.
    pub news: News,
    /// The status that the reply has, else the one that the report gives.
    pub status: Option<EnhancedCode>,
    /// The reply or the reason, as it was written.
    pub text: String,
    /// What that means.
    pub explanation: Option<Explanation>,
}

/// What became of a message later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum News {
    /// It was refused for good, or given up.
    #[default]
    Refused,
    /// It is late, and tried on.
    Late,
    /// It was delivered, or handed on.
    Delivered,
    /// Its recipient complains of it.
    Complaint,
}

impl News {
    /// The word that programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Late => "late",
            Self::Delivered => "delivered",
            Self::Complaint => "complaint",
        }
    }
}

/// Reads a message that came in; `None` if it is neither a notice nor a complaint: answers
/// of machines and read receipts are none.
pub fn returned(text: &str) -> Option<Returned> {
    let text = input::in_lines(clip(text));
    let report = report::read(&text)?;
    let is_complaint = report.feedback.is_some();
    Some(Returned {
        about: report.about.into_iter().map(|one| fate(one, is_complaint)).collect(),
        complaint: report.feedback,
        reporter: report.reporter,
        message_ids: report.message_ids,
        traces: report.traces,
        senders: report.senders,
        addressed: report.addressed,
    })
}

fn fate(one: One, is_complaint: bool) -> Fate {
    let explanation = likeliest(&one.reasons, None);
    let first = one.reasons.into_iter().next();
    let waits = first.as_ref().and_then(|found| found.waits);
    let news = match one.is_success {
        _ if is_complaint => News::Complaint,
        true => News::Delivered,
        false if waits == Some(super::Kind::Temporary) => News::Late,
        false => News::Refused,
    };
    let status = first.as_ref().and_then(|found| Reply::parse(found).status);
    let text = first.map(|found| found.reply).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Fate { recipients: one.recipients, news, status, text, explanation }
}
