//! Whether a message is a notice, or a letter: one that somebody wrote, an answer of a
//! machine, a newsletter, a list's mail. Letters speak of parcels, quotas and refusals too.

use super::super::wording::{begins, holds, wording};
use super::super::{Fields, field};
use crate::explain::Kind;

/// What a message's header says of who wrote it.
pub(super) struct Author {
    /// It is a report on a delivery, or names the recipients that failed.
    pub(super) reports: bool,
    /// It calls itself a mail server.
    is_server: bool,
    /// The subject is that of a notice.
    says_so: bool,
    /// It is an answer, forwarded, or a list's.
    pub(super) passes_on: bool,
}

impl Author {
    pub(super) fn of(header: &Fields) -> Self {
        let lower = |name| field(header, name).unwrap_or_default().to_lowercase();
        let (from, subject, kind) = (lower("from"), lower("subject"), lower("content-type"));
        // Read receipts, complaints and reports on policies have types of their own.
        let is_other = kind.contains("multipart/report") && kind.contains("report-type=");
        let reports = kind.contains("report-type=\"delivery-status\"")
            || kind.contains("report-type=delivery-status");
        let is_other = is_other && !reports;
        let is_listed = field(header, "list-id").is_some() || lower("precedence") == "list";
        Self {
            reports: reports || field(header, "x-failed-recipients").is_some(),
            is_server: !is_other && holds(&from, &wording().servers),
            says_so: !is_other && holds(&subject, &wording().subjects),
            passes_on: is_listed || begins(&subject, &wording().passed_on),
        }
    }

    /// Whether it is a notice, of whose prose it is known whether a reply stands in it, and
    /// whether one does under an address. Whoever only has the subject of one must give the
    /// address and the reply as a server does.
    pub(super) fn gives_notice(&self, has_reply: bool, has_reply_to_address: bool) -> bool {
        let is_notice = match (self.is_server, self.says_so) {
            (true, true) => true,
            (true, false) => has_reply,
            (false, says_so) => says_so && has_reply_to_address,
        };
        self.reports || is_notice && !self.passes_on
    }
}

// A notice of delay says so in its subject; every other is the end.
pub(super) fn waits(fields: &Fields) -> Kind {
    let subject = field(fields, "subject").unwrap_or_default().to_lowercase();
    match holds(&subject, &wording().delays) {
        true => Kind::Temporary,
        false => Kind::Permanent,
    }
}

/// The same of its words alone, where they tell.
pub(super) fn waits_by_words(prose: &str) -> Option<Kind> {
    let words = prose.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    match holds(&words, &wording().waits) {
        true => Some(Kind::Temporary),
        false => holds(&words, &wording().fails).then_some(Kind::Permanent),
    }
}

/// What somebody has passed on within a letter, a quotation's marks taken off: it begins
/// with a header of its own.
pub(super) fn passed_on(text: &str) -> Option<String> {
    let plain = unquoted(text);
    let lines: Vec<&str> = plain.lines().collect();
    let is_first = |line: &&str| begins(&line.to_lowercase(), &wording().letter_begins);
    let first = lines.iter().position(is_first)?;
    let mut rest = lines.get(first..).unwrap_or_default().join("\n");
    // What the languages of mail programs call the field that tells who wrote it.
    for name in ["De: ", "Von: "] {
        if let Some(after) = rest.strip_prefix(name) {
            rest = format!("From: {after}");
        }
    }
    Some(rest)
}

/// The text without the marks of a quotation.
pub(super) fn unquoted(text: &str) -> String {
    let plain = text.lines().map(|line| {
        let rest = line.trim_start().trim_start_matches('>');
        if rest.len() == line.trim_start().len() {
            line
        } else {
            rest.strip_prefix(' ').unwrap_or(rest)
        }
    });
    plain.collect::<Vec<_>>().join("\n")
}

/// Whether every line is quoted.
pub(super) fn is_quotation(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| line.trim_start().starts_with('>'))
}
