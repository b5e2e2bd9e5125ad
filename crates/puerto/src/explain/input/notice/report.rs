//! A report that comes in about a message that went out: a notice, or a complaint (RFC 5965).
//! What it says is read; whether it is to be believed is for others to find out.

use super::super::{Fields, Found, field, groups, typed};
use super::parts::{Part, parts};
use super::{About, Pasted, address_in, fields, header, message};

/// Names that are looked at in one report, of each kind.
const MOST: usize = 20;

/// What a report says.
#[derive(Default)]
pub(in crate::explain) struct Report {
    /// The value of Feedback-Type, if it is a complaint.
    pub(in crate::explain) feedback: Option<String>,
    /// Who writes it, as its Reporting-MTA.
    pub(in crate::explain) reporter: Option<String>,
    /// Message-IDs that it names, without brackets.
    pub(in crate::explain) message_ids: Vec<String>,
    /// Trace fields of what is returned: by which host, under which id.
    pub(in crate::explain) traces: Vec<(String, String)>,
    /// Envelope senders that it names.
    pub(in crate::explain) senders: Vec<String>,
    /// Whom what is returned is addressed to, by its header.
    pub(in crate::explain) addressed: Vec<String>,
    /// What it says about each recipient.
    pub(in crate::explain) about: Vec<One>,
}

/// What is said about one recipient.
pub(in crate::explain) struct One {
    /// Its addresses, as it was written to first.
    pub(in crate::explain) recipients: Vec<String>,
    /// It has the message.
    pub(in crate::explain) is_success: bool,
    /// What may be the reason, the likeliest first.
    pub(in crate::explain) reasons: Vec<Found>,
}

/// Reads a message whose line ends are LF; `None` if it is no report.
pub(in crate::explain) fn read(text: &str) -> Option<Report> {
    let (head, body) = header::split(text)?;
    let fields = fields(head);
    let parts = parts(&fields, body);
    let complaint = parts.iter().find(|part| part.is("message/feedback-report"));
    let mut report = match complaint {
        Some(part) => complaint_in(part),
        None => notice_in(head, body, &parts)?,
    };
    for name in ["in-reply-to", "references"] {
        report.add_ids(field(&fields, name).unwrap_or_default());
    }
    report.look_through(body);
    for part in &parts {
        report.look_through(&part.text);
    }
    Some(report)
}

fn complaint_in(part: &Part) -> Report {
    let fields: Fields = groups(&part.text).into_iter().flatten().collect();
    let value = |name| field(&fields, name).unwrap_or_default();
    let named = fields.iter().filter(|(name, _)| name == "original-rcpt-to");
    let recipients: Vec<String> =
        named.filter_map(|(_, value)| address_in(value)).take(MOST).collect();
    let mut report = Report {
        feedback: Some(value("feedback-type").to_ascii_lowercase()),
        reporter: field(&fields, "reporting-mta").map(str::to_owned),
        ..Report::default()
    };
    report.senders.extend(address_in(value("original-mail-from")));
    report.about.push(One { recipients, is_success: false, reasons: Vec::new() });
    report
}

fn notice_in(head: &str, body: &str, parts: &[Part]) -> Option<Report> {
    let is_status = |part: &&Part| {
        part.is("message/delivery-status") || part.is("message/global-delivery-status")
    };
    let status: Vec<Fields> =
        parts.iter().filter(is_status).flat_map(|part| groups(&part.text)).collect();
    let mut report = Report {
        reporter: status.iter().find_map(|group| typed(group, "reporting-mta")).map(str::to_owned),
        ..Report::default()
    };
    report.about.extend(status.iter().filter_map(success));
    match message(head, body) {
        Pasted::Notice(about) => report.about.extend(about.into_iter().map(|one| of(one, &status))),
        _ if report.about.is_empty() => return None,
        _ => {}
    }
    report.about.truncate(MOST);
    Some(report)
}

// RFC 3464 §2.3.3.
fn success(group: &Fields) -> Option<One> {
    let action = field(group, "action")?.to_ascii_lowercase();
    let is_success =
        ["delivered", "relayed", "expanded"].iter().any(|word| action.starts_with(word));
    is_success.then(|| One { recipients: addresses(group), is_success, reasons: Vec::new() })
}

fn of(about: About, status: &[Fields]) -> One {
    let About { recipient, reasons } = about;
    let names = |group: &&Fields| {
        recipient.as_deref().is_some_and(|name| typed(group, "final-recipient") == Some(name))
    };
    let recipients = match status.iter().find(names) {
        Some(group) => addresses(group),
        None => recipient.into_iter().collect(),
    };
    One { recipients, is_success: false, reasons }
}

fn addresses(group: &Fields) -> Vec<String> {
    let named = ["original-recipient", "final-recipient"].into_iter();
    named.filter_map(|name| typed(group, name)).map(str::to_owned).collect()
}

impl Report {
    // Whatever wraps it, what is returned of a message names it in these fields.
    fn look_through(&mut self, text: &str) {
        let fields: Fields = groups(text).into_iter().flatten().collect();
        for (name, value) in &fields {
            match name.as_str() {
                "message-id" | "x-original-message-id" | "original-message-id" => {
                    self.add_ids(value);
                }
                "return-path" => self.senders.extend(address_in(value)),
                "to" | "cc" if self.addressed.len() < MOST => {
                    self.addressed.extend(value.split(',').filter_map(address_in).take(MOST));
                }
                "received" if self.traces.len() < MOST => self.traces.extend(trace(value)),
                _ => {}
            }
        }
        self.senders.truncate(MOST);
    }

    fn add_ids(&mut self, value: &str) {
        for id in value.split_whitespace() {
            let id = id.trim_matches(['<', '>', ',']);
            let is_new = !id.is_empty() && !self.message_ids.iter().any(|known| known == id);
            if is_new && self.message_ids.len() < MOST {
                self.message_ids.push(id.to_owned());
            }
        }
    }
}

// RFC 5321 §4.4: `from … by HOST … id ID`, with comments that nobody looks into.
fn trace(value: &str) -> Option<(String, String)> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let behind = |mark: &str| {
        let place = words.iter().position(|word| word.eq_ignore_ascii_case(mark))?;
        words.get(place + 1).map(|word| word.trim_matches([';', '<', '>']).to_owned())
    };
    Some((behind("by")?, behind("id")?))
}
