//! Finds the reply in what people paste: the reply itself, a log line of Postfix,
//! Exim, Sendmail, qmail or this server, several of them, or a notification (RFC 3464).

use std::borrow::Cow;

use puerto_smtp::EnhancedCode;

use super::Kind;

mod header;
mod log;
pub(super) mod notice;
mod wording;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The reply, or the reason where there was none, still as it was written.
    pub(super) reply: String,
    /// The host that answered.
    pub(super) host: Option<String>,
    /// The status that stands beside the reply.
    pub(super) status: Option<EnhancedCode>,
    /// Whether its form says that something was refused. Anything else may be prose.
    pub(super) sure: bool,
    /// Whether the message is tried again or was given up, where the form says so: that
    /// counts more than the reply's first digit.
    pub(super) waits: Option<Kind>,
}

/// A text with ends of line that are LF, whatever they were.
pub(super) fn in_lines(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches(['\u{feff}', '\r', '\n']);
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

/// Looks for it. What is in no known form is taken for the reply itself.
pub(super) fn find(text: &str) -> Found {
    let text = text.trim();
    if let Some(found) = notification(text) {
        return found;
    }
    if let Some((_, entry)) = log::refusals(text).into_iter().next() {
        return in_entry(&entry);
    }
    let body = header::split(text).map_or(text, |(_, body)| body);
    json(text).unwrap_or_else(|| entry_of(body))
}

/// Whether the text says that mail was taken.
pub(super) fn is_success(text: &str) -> bool {
    log::is_success(text.trim())
}

/// The recipients of a notification or of several log lines that were refused or have to
/// wait, each with what was found about it. Empty if the text is neither.
pub(super) fn recipients(text: &str) -> Vec<(String, Found)> {
    let of_one =
        |fields: Fields| Some((typed(&fields, "final-recipient")?.to_owned(), found_in(&fields)?));
    let named: Vec<_> = groups(text).into_iter().filter_map(of_one).collect();
    if !named.is_empty() {
        return named;
    }
    let of_entry =
        |(recipient, entry): (Option<String>, String)| Some((recipient?, in_entry(&entry)));
    log::refusals(text).into_iter().filter_map(of_entry).collect()
}

fn in_entry(entry: &str) -> Found {
    json(entry).unwrap_or_else(|| entry_of(entry))
}

// One entry of a log, or a bare reply.
fn entry_of(text: &str) -> Found {
    // Exim and qmail write a reply's ends of line so.
    let of_qmail = text.contains("_said:_") || text.contains("._(#");
    if text.contains("\\n") || of_qmail {
        let text = text.replace("\\n", "\n");
        return line(&if of_qmail { text.replace('_', " ") } else { text });
    }
    line(text)
}

/// The fields of one group of a notification, in lower case.
type Fields = Vec<(String, String)>;

// The first recipient that says why.
fn notification(text: &str) -> Option<Found> {
    let mut groups = groups(text);
    let first = |name| groups.iter().position(|fields| field(fields, name).is_some());
    let which = first("diagnostic-code").or_else(|| first("status"))?;
    found_in(&groups.swap_remove(which))
}

// Groups of fields stand between empty lines; lines that begin with white space
// continue a field.
fn groups(text: &str) -> Vec<Fields> {
    let mut groups = Vec::new();
    let mut group: Fields = Vec::new();
    for line in text.lines().chain([""]) {
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix([' ', '\t'])
            && let Some((_, value)) = group.last_mut()
        {
            value.push('\n');
            value.push_str(rest.trim_start());
        } else if line.is_empty() {
            groups.push(std::mem::take(&mut group));
        } else if let Some((name, value)) = line.split_once(':') {
            group.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    groups
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

// A value without the type in front of it (RFC 3464 §2.3).
fn typed<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let value = field(fields, name)?;
    Some(after(value, ";").unwrap_or(value).trim())
}

fn found_in(fields: &Fields) -> Option<Found> {
    let field = |name| field(fields, name);
    let status = field("status").and_then(|value| value.split_whitespace().next()?.parse().ok());
    let reply = typed(fields, "diagnostic-code");
    if reply.is_none() && (status.is_none() || field("final-recipient").is_none()) {
        return None;
    }
    let inner = reply.map(line).unwrap_or_default();
    let host = typed(fields, "remote-mta").map(host_of).or(inner.host);
    let waits = match field("action").map(str::to_ascii_lowercase).as_deref() {
        Some("delayed") => Some(Kind::Temporary),
        Some("failed") => Some(Kind::Permanent),
        _ => inner.waits,
    };
    let status = status.or(inner.status);
    Some(Found { reply: inner.reply, host, status, sure: true, waits })
}

// One event of this server's log.
fn json(text: &str) -> Option<Found> {
    if !text.starts_with('{') {
        return None;
    }
    let event: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
    let value = |name: &str| event.get(name).and_then(serde_json::Value::as_str);
    if value("event") == Some("expired") {
        return Some(Found { reply: log::EXPIRED.to_owned(), sure: true, ..Found::default() });
    }
    let mut found = line(value("text")?);
    let host = found.host.or_else(|| value("relay").map(host_of));
    let status = found.status.or_else(|| value("dsn")?.parse().ok());
    if let Some(code) = event.get("code").and_then(serde_json::Value::as_u64) {
        found.reply = format!("{code} {}", found.reply);
    }
    // What it has to say besides, such as warnings, is no refusal.
    let sure = matches!(value("event"), Some("delivery" | "reject"));
    let waits = match value("status") {
        Some("deferred") => Some(Kind::Temporary),
        Some("bounced") => Some(Kind::Permanent),
        _ => None,
    };
    Some(Found { reply: found.reply, host, status, sure, waits })
}

fn line(text: &str) -> Found {
    if starts_reply(text) {
        return Found { reply: text.to_owned(), sure: true, ..Found::default() };
    }
    if log::is_about_a_client(text) {
        return Found::default();
    }
    let host = after(text, "relay=").or_else(|| after(text, " H=")).or_else(|| log::via(text));
    let host = host.map(word).map(host_of).filter(|host| host != "none" && !host.is_empty());
    let status = after(text, "dsn=").and_then(|rest| word(rest).parse().ok());
    let log::Reason { text: reason, refused } = log::reason(text);
    let waits = refused.flatten();
    let status = status.or_else(|| waits.map(undefined));
    if starts_reply(reason) {
        return Found { reply: reason.to_owned(), host, status, sure: true, waits };
    }
    let named = after(reason, "host ").map(word).map(host_of);
    let host = named.filter(|name| name.contains('.')).or(host);
    let (reply, is_reply) = said(reason);
    let sure = refused.is_some() || is_reply;
    Found { reply: reply.to_owned(), host, status, sure, waits }
}

// The status that says no more than the kind (RFC 3463 §3.1).
fn undefined(kind: Kind) -> EnhancedCode {
    let class = if kind == Kind::Temporary { 4 } else { 5 };
    EnhancedCode { class, subject: 0, detail: 0 }
}

// What the peer said, if it did, and whether it is beyond doubt; else the reason is all
// there is.
fn said(reason: &str) -> (&str, bool) {
    for mark in [" said: ", "refused to talk to me: ", "smtp;", "returned '"] {
        if let Some(rest) = after(reason, mark).filter(|rest| starts_reply(rest.trim_start())) {
            let rest = before(rest.trim_start(), " (in reply to ");
            return (rest.trim_end_matches(['\'', '>']), true);
        }
    }
    let mut previous = "";
    for (at, word) in words(reason) {
        let rest = reason.get(at..).unwrap_or_default();
        let introduced = previous.ends_with([':', ';', '"', '=']);
        if starts_reply(rest) && (introduced || is_numbered(word, rest)) {
            return (before(rest, " (in reply to "), introduced);
        }
        previous = word;
    }
    (reason, false)
}

// `550 5.1.1 …` or `550-no …`, as only a reply has it. `555-1234` is somebody's telephone.
fn is_numbered(word: &str, rest: &str) -> bool {
    let next = rest.split_whitespace().nth(1).unwrap_or_default();
    let hyphened = word.get(4..).unwrap_or_default();
    next.parse::<EnhancedCode>().is_ok()
        || !hyphened.trim_end_matches(['.', ',', ')']).bytes().all(|octet| octet.is_ascii_digit())
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

// `550 …`, `550-…` or the code alone.
fn starts_reply(text: &str) -> bool {
    let octets = text.as_bytes();
    matches!(octets, [b'2'..=b'5', a, b, rest @ ..]
        if a.is_ascii_digit() && b.is_ascii_digit()
            && matches!(rest.first(), None | Some(b' ' | b'-' | b'\n' | b'\r')))
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

fn before<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or(text, |(before, _)| before)
}

fn word(text: &str) -> &str {
    text.split([' ', ',']).next().unwrap_or_default()
}

// `mx.example.net[192.0.2.1]:25`, or with a comment of a notification.
fn host_of(text: &str) -> String {
    let name = text.split(['[', ':', ' ', '(', '\n']).next().unwrap_or_default();
    name.trim_end_matches('.').to_ascii_lowercase()
}
