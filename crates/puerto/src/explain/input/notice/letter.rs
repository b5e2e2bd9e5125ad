//! Whether a message is a notice, or a letter: one that somebody wrote, an answer of a
//! machine, a newsletter, a list's mail. Letters speak of parcels, quotas and refusals too.

use super::{Fields, field};
use crate::explain::Kind;

/// What servers call themselves when they write, in lower case.
pub(super) const SERVERS: [&str; 10] = [
    "mailer-daemon",
    "mailerdaemon",
    "postmaster",
    "mail delivery",
    "mail-daemon",
    "mail system",
    "microsoftexchange",
    "mdaemon",
    "mailadmin",
    "system administrator",
];
/// What their subjects say, in lower case.
const SUBJECTS: [&str; 27] = [
    "undeliver",
    "delivery status notification",
    "delivery notification",
    "delivery failure",
    "delivery fail",
    "delivery problem",
    "failure notice",
    "returned mail",
    "returned to sender",
    "returning message to sender",
    "mail failure",
    "mail system error",
    "mail delivery",
    "could not be delivered",
    "could not send message",
    "message status - undeliverable",
    "non-delivery",
    "non delivery",
    "not delivered",
    "unzustellbar",
    "nicht zugestellt",
    "nicht zustellbar",
    "no se puede entregar",
    "no entregado",
    "non remis",
    "mail error",
    "you sent blocked",
];

/// How the subjects of answers and of what is passed on begin, in lower case.
const PASSED_ON: [&str; 21] = [
    "re:",
    "re[",
    "aw:",
    "antw:",
    "sv:",
    "vs:",
    "odp:",
    "fwd:",
    "fw:",
    "rv:",
    "wg:",
    "tr:",
    "auto:",
    "auto reply",
    "autoreply",
    "automatic reply",
    "out of office",
    "respuesta automática",
    "réponse automatique",
    "abwesen",
    "automatische antwort",
];

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
            is_server: !is_other && SERVERS.iter().any(|name| from.contains(name)),
            says_so: !is_other && SUBJECTS.iter().any(|words| subject.contains(words)),
            passes_on: is_listed || PASSED_ON.iter().any(|begin| subject.starts_with(begin)),
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
    let delay = ["delayed", "warning:", "is late", "(delay)", "verzögert", "retraso", "will retry"];
    match delay.iter().any(|word| subject.contains(word)) {
        true => Kind::Temporary,
        false => Kind::Permanent,
    }
}

/// The same of its words alone, where they tell.
pub(super) fn waits_by_words(prose: &str) -> Option<Kind> {
    let words = prose.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let says = |told: &[&str]| told.iter().any(|told| words.contains(told));
    let delay =
        ["will be retried", "keep trying", "be tried again", "been delayed", "not yet been"];
    let end = ["not be delivered", "undeliver", "permanent", "given up", "nicht zugestellt"];
    let spanish = ["no se ha podido entregar", "no pudo entregar", "no se pudo entregar"];
    match says(&delay) {
        true => Some(Kind::Temporary),
        false => (says(&end) || says(&spanish)).then_some(Kind::Permanent),
    }
}

/// What somebody has passed on within a letter, a quotation's marks taken off: it begins
/// with a header of its own.
pub(super) fn passed_on(text: &str) -> Option<String> {
    let plain = unquoted(text);
    let begins = |line: &str| {
        let line = line.to_lowercase();
        ["from: ", "return-path: ", "de: ", "von: "].iter().any(|name| line.starts_with(name))
    };
    let lines: Vec<&str> = plain.lines().collect();
    let first = lines.iter().position(|line| begins(line))?;
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
