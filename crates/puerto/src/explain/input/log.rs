//! Log lines: which of them tell of a refusal, and what they give as the reason.

use super::{after, before, starts_reply, word};
use crate::explain::Kind;
use crate::explain::text::{self, Sentences};
use crate::lang::Language;

/// What a message that is given up has for a reason.
pub(super) const EXPIRED: &str = "status=expired, returned to sender";

/// The entries that tell of a refusal, each with its recipient. Empty unless the text
/// has several entries: one alone is found in other ways.
pub(super) fn refusals(text: &str) -> Vec<(Option<String>, String)> {
    if text.lines().filter(|line| begins_entry(line)).count() < 2 {
        return Vec::new();
    }
    let mut entries: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        match entries.last_mut() {
            // A terminal has broken a long line.
            Some(entry) if !begins_entry(line) => {
                entry.push(' ');
                entry.push_str(line);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    let refused = entries.into_iter().filter(|entry| is_refusal(entry));
    refused.map(|entry| (recipient(&entry), entry)).collect()
}

// Each server's lines begin with the time or name the program.
fn begins_entry(line: &str) -> bool {
    let year = |text: &str| text.len() > 4 && text.bytes().take(4).all(|o| o.is_ascii_digit());
    let dated = year(line) && line.get(4..5) == Some("-") && line.get(7..8) == Some("-");
    dated
        || has_syslog_time(line)
        || line.starts_with("{\"")
        || ["postfix/", "puerto/", "sm-mta[", "sendmail[", "status="]
            .iter()
            .any(|mark| line.contains(mark))
}

// `Nov 24 10:00:00 ` (RFC 3164 §4.1.2).
fn has_syslog_time(line: &str) -> bool {
    let at = |index: usize| line.as_bytes().get(index).copied();
    let begins = at(0).is_some_and(|octet| octet.is_ascii_uppercase());
    let marks = [(3, b' '), (6, b' '), (9, b':'), (12, b':'), (15, b' ')];
    begins && marks.iter().all(|(index, mark)| at(*index) == Some(*mark))
}

const MARKS: &[&str] = &[
    "status=bounced",
    "status=deferred",
    "status=expired",
    "status=undeliverable",
    "\"status\":\"bounced\"",
    "\"status\":\"deferred\"",
    "\"event\":\"expired\"",
    "\"event\":\"reject\"",
    ": reject: ",
    " ** ",
    " == ",
    "dsn=5.",
    "dsn=4.",
    FAILED,
    WAITS,
    GIVEN_UP,
];

// How this server puts it in the log for people.
const FAILED: &str = " failed for ";
const WAITS: &str = " must wait for ";
const GIVEN_UP: &str = " is given up and returned to ";

fn is_refusal(entry: &str) -> bool {
    MARKS.iter().any(|mark| entry.contains(mark))
}

fn recipient(entry: &str) -> Option<String> {
    let quoted = [("to=<", '>'), ("\"to\":\"", '"')];
    let bare = [" ** ", " == ", FAILED, WAITS, "from=<", "\"from\":\"", GIVEN_UP];
    let named = quoted.iter().find_map(|(mark, end)| {
        after(entry, mark).and_then(|rest| rest.split(*end).next()).map(str::to_owned)
    });
    named.or_else(|| {
        let rest = bare.iter().find_map(|mark| after(entry, mark))?;
        Some(rest.split([' ', '>', '"', ',']).next()?.to_owned())
    })
}

/// The host that this server's log for people names.
pub(super) fn via(text: &str) -> Option<&str> {
    [FAILED, WAITS].iter().find_map(|mark| after(after(text, mark)?, " via "))
}

/// What an entry gives as the reason.
pub(super) struct Reason<'a> {
    pub(super) text: &'a str,
    /// Whether it is an entry that tells of a refusal, and if it says so itself, of which
    /// kind.
    pub(super) refused: Option<Option<Kind>>,
}

/// Reads an entry; what is none is its own reason.
pub(super) fn reason(text: &str) -> Reason<'_> {
    of_postfix(text).or_else(|| of_ours(text)).unwrap_or_else(|| {
        let kinds = [
            (" ** ", Kind::Permanent),
            (" == ", Kind::Temporary),
            ("failure: ", Kind::Permanent),
            ("deferral: ", Kind::Temporary),
        ];
        let of_qmail = text.contains("delivery ");
        let said = |mark: &str| {
            let rest = after(text, mark);
            rest.is_some_and(|rest| if mark.starts_with(' ') { is_exim(rest) } else { of_qmail })
        };
        let kind = kinds.into_iter().find(|(mark, _)| said(mark)).map(|(_, kind)| Some(kind));
        Reason { text, refused: kind }
    })
}

// Sendmail's are like Postfix's.
fn of_postfix(text: &str) -> Option<Reason<'_>> {
    let refused = |text, kind| Some(Reason { text, refused: Some(kind) });
    if let Some(rest) = after(text, "status=") {
        let state = rest.split([' ', ',', '(']).next().unwrap_or_default();
        let kind = match state {
            "expired" => return refused(EXPIRED, None),
            "bounced" | "undeliverable" => Some(Some(Kind::Permanent)),
            "deferred" => Some(Some(Kind::Temporary)),
            _ => None,
        };
        if let Some(rest) = rest.strip_prefix(state).and_then(|rest| rest.strip_prefix(" (")) {
            let rest = before(before(before(rest, "); tls: "), "); tls reason: "), "); why: ");
            return Some(Reason { text: rest.strip_suffix(')').unwrap_or(rest), refused: kind });
        }
    }
    if let Some(rest) = after(text, "reject: ").filter(|_| text.contains(" from=<")) {
        return refused(before(rest, "; from=<"), None);
    }
    let text = after(text, " stat=")?;
    let kind = match word(text).trim_end_matches(':') {
        "Sent" => return Some(Reason { text, refused: None }),
        "Deferred" => Kind::Temporary,
        _ => Kind::Permanent,
    };
    refused(text, Some(kind))
}

// What this server writes for people.
fn of_ours(text: &str) -> Option<Reason<'_>> {
    if text.contains(GIVEN_UP) {
        return Some(Reason { text: EXPIRED, refused: Some(None) });
    }
    let marks = [(FAILED, Kind::Permanent), (WAITS, Kind::Temporary)];
    marks.into_iter().find_map(|(mark, kind)| {
        let (_, rest) = after(after(text, mark)?, ", after ")?.split_once(" s: ")?;
        Some(Reason { text: without_explanation(rest), refused: Some(Some(kind)) })
    })
}

fn is_exim(rest: &str) -> bool {
    word(rest).contains('@') || rest.contains(" R=") || rest.contains(" T=")
}

// The explanation follows the reason, and is one of ours.
fn without_explanation(text: &str) -> &str {
    let line = text.trim_end_matches("\u{1b}[0m");
    let clauses =
        |said: &'static Sentences| [Kind::Temporary, Kind::Permanent].map(|kind| said.clause(kind));
    let mut clauses = text::all(Language::English).values().flat_map(clauses);
    let cut = clauses.find_map(|clause| line.strip_suffix(clause)?.strip_suffix(". "));
    cut.unwrap_or(line)
}

/// Whether an entry tells of a client that came, and of nothing that was refused to it.
pub(super) fn is_about_a_client(text: &str) -> bool {
    text.contains("/smtpd[") && !text.contains("reject:")
}

/// Whether the text is about mail that was taken.
pub(super) fn is_success(text: &str) -> bool {
    let sent = text.contains("status=sent") || text.contains("\"status\":\"sent\"");
    sent || text.contains(" delivered to ") || starts_reply(text) && text.starts_with('2')
}
