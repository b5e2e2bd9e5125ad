//! Finds the reply in what people paste: the reply itself, a log line of Postfix,
//! Exim, Sendmail, qmail or this server, or a notification (RFC 3464).

use std::borrow::Cow;

use puerto_smtp::EnhancedCode;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The reply, or the reason where there was none, still as it was written.
    pub(super) reply: Cow<'a, str>,
    /// The host that answered.
    pub(super) host: Option<String>,
    /// The status that stands beside the reply.
    pub(super) status: Option<EnhancedCode>,
}

/// Looks for it. What is in no known form is taken for the reply itself.
pub(super) fn find(text: &str) -> Found<'_> {
    let text = text.trim();
    if let Some(found) = notification(text).or_else(|| json(text)) {
        return found;
    }
    // Exim and qmail write a reply's ends of line so.
    let of_qmail = text.contains("_said:_") || text.contains("._(#");
    if text.contains("\\n") || of_qmail {
        let text = text.replace("\\n", "\n");
        let text = if of_qmail { text.replace('_', " ") } else { text };
        return owned(line(&text));
    }
    line(text)
}

fn owned(found: Found<'_>) -> Found<'static> {
    Found { reply: Cow::Owned(found.reply.into_owned()), host: found.host, status: found.status }
}

/// The fields of one group of a notification, in lower case.
type Fields = Vec<(String, String)>;

/// The recipients of a notification that were refused or have to wait, each with what
/// was found about it. Empty if the text is none.
pub(super) fn recipients(text: &str) -> Vec<(String, Found<'static>)> {
    let of_one = |fields: Fields| {
        let (_, recipient) = fields.iter().find(|(name, _)| name == "final-recipient")?;
        let recipient = recipient.split_once(';').map_or(recipient.as_str(), |(_, rest)| rest);
        Some((recipient.trim().to_owned(), found_in(&fields)?))
    };
    groups(text).into_iter().filter_map(of_one).collect()
}

// The first recipient that says why.
fn notification(text: &str) -> Option<Found<'static>> {
    let mut groups = groups(text);
    let said = |fields: &Fields| fields.iter().any(|(name, _)| name == "diagnostic-code");
    let failed = |fields: &Fields| fields.iter().any(|(name, _)| name == "status");
    let which = groups.iter().position(said).or_else(|| groups.iter().position(failed))?;
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

fn found_in(fields: &[(String, String)]) -> Option<Found<'static>> {
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let typed = |name| field(name).map(|v| v.split_once(';').map_or(v, |(_, rest)| rest.trim()));
    let status = field("status").and_then(|value| value.split_whitespace().next()?.parse().ok());
    let reply = typed("diagnostic-code");
    if reply.is_none() && (status.is_none() || field("final-recipient").is_none()) {
        return None;
    }
    let inner = reply.map(|reply| owned(line(reply))).unwrap_or_default();
    let host = typed("remote-mta").map(host_of).or(inner.host);
    Some(Found { reply: inner.reply, host, status: status.or(inner.status) })
}

fn json(text: &str) -> Option<Found<'static>> {
    if !text.starts_with('{') {
        return None;
    }
    let event: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
    let value = |name: &str| event.get(name).and_then(serde_json::Value::as_str);
    let found = owned(line(value("text")?));
    let host = found.host.or_else(|| value("relay").map(host_of));
    let status = found.status.or_else(|| value("dsn")?.parse().ok());
    Some(Found { reply: found.reply, host, status })
}

fn line(text: &str) -> Found<'_> {
    if starts_reply(text) {
        return Found { reply: Cow::Borrowed(text), ..Found::default() };
    }
    let host = after(text, "relay=").or_else(|| after(text, " H=")).map(word).map(host_of);
    let host = host.filter(|host| host != "none" && !host.is_empty());
    let status = after(text, "dsn=").and_then(|rest| word(rest).parse().ok());
    let reason = reason(text);
    if starts_reply(reason) {
        return Found { reply: Cow::Borrowed(reason), host, status };
    }
    let named = after(reason, "host ").map(word).map(host_of);
    let host = named.filter(|name| name.contains('.')).or(host);
    Found { reply: Cow::Borrowed(said(reason)), host, status }
}

// What a log line gives as the reason.
fn reason(text: &str) -> &str {
    if let Some(rest) = after(text, "status=").and_then(|rest| after(rest, " (")) {
        let rest = before(before(rest, "); tls: "), "); why: ");
        return rest.strip_suffix(')').unwrap_or(rest);
    }
    if let Some(rest) = after(text, "reject: ").filter(|_| text.contains(" from=<")) {
        return before(rest, "; from=<");
    }
    if let Some(rest) = after(text, " stat=") {
        return rest;
    }
    text
}

// What the peer said, if it did; else the reason is all there is.
fn said(reason: &str) -> &str {
    for mark in [" said: ", "refused to talk to me: ", "smtp;", "returned '"] {
        if let Some(rest) = after(reason, mark).filter(|rest| starts_reply(rest.trim_start())) {
            return before(rest.trim_start(), " (in reply to ").trim_end_matches(['\'', '>']);
        }
    }
    let mut previous = "";
    for (at, word) in words(reason) {
        let rest = reason.get(at..).unwrap_or_default();
        let introduced = previous.ends_with([':', ';', '"', '=']);
        let next = rest.split_whitespace().nth(1).unwrap_or_default();
        let numbered = next.parse::<EnhancedCode>().is_ok() || word.len() > 3;
        if starts_reply(rest) && (introduced || numbered) {
            return before(rest, " (in reply to ");
        }
        previous = word;
    }
    reason
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
