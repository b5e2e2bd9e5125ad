//! The parts of a message as plain text: what MIME wraps a notice in is taken off.

use puerto_mail::header::{Field, Header};
use puerto_mail::mime::{self, Limits, Value};

use super::super::Fields;

/// How far parts are looked into.
const LIMITS: Limits = Limits { depth: 8, parts: 64 };

/// A part of a message that is no multipart itself.
pub(super) struct Part {
    media_type: String,
    pub(super) text: String,
}

impl Part {
    pub(super) fn is(&self, media_type: &str) -> bool {
        self.media_type == media_type
    }
}

// The header may be anything that was pasted: only what its parts hang on is read.
pub(super) fn parts(header: &Fields, body: &str) -> Vec<Part> {
    let of_parts = header.iter().filter(|(name, _)| name.starts_with("content-"));
    let header: String = of_parts.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let message = format!("{header}\r\n{}", body.replace('\n', "\r\n"));
    let header = Header::parse(message.as_bytes());
    let found = header.map(|header| mime::read(&header, LIMITS)).unwrap_or_default();
    found.parts.iter().map(part).collect()
}

fn part(header: &Header<'_>) -> Part {
    let value = |name| header.first(name).map(Field::text);
    let kind = value("Content-Type").unwrap_or_else(|| "text/plain".to_owned());
    let encoding = value("Content-Transfer-Encoding").unwrap_or_default();
    let text = String::from_utf8_lossy(header.body()).replace("\r\n", "\n");
    let text = decoded(text, &Value::of(&encoding).word());
    Part { media_type: Value::of(&kind).word(), text }
}

fn decoded(text: String, encoding: &str) -> String {
    match encoding {
        "base64" => {
            let octets = puerto_smtp::base64::decode(text.as_bytes()).unwrap_or_default();
            String::from_utf8_lossy(&octets).replace("\r\n", "\n")
        }
        "quoted-printable" => quoted_printable(&text),
        _ => text,
    }
}

// RFC 2045 §6.7.
fn quoted_printable(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).map(|line| match line.strip_suffix('=') {
        Some(line) => line.to_owned(),
        None => format!("{line}\n"),
    });
    let text: String = lines.collect();
    let mut parts = text.split('=');
    let mut octets = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let encoded = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octets.push(encoded.unwrap_or(b'='));
        octets.extend(part.bytes().skip(if encoded.is_some() { 2 } else { 0 }));
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// The words of a page, each paragraph and cell on a line of its own.
pub(super) fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = after.split_once('>').unwrap_or((after, ""));
        let breaks = ["br", "p", "/p", "div", "/div", "tr", "/tr", "li", "h1", "h2", "/td"];
        let name = tag.split([' ', '/']).next().unwrap_or_default().to_ascii_lowercase();
        let name = if tag.starts_with('/') { tag.to_ascii_lowercase() } else { name };
        text.push(if breaks.contains(&name.as_str()) { '\n' } else { ' ' });
        rest = after;
    }
    text.push_str(rest);
    let named = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
    named.iter().fold(text, |text, (name, letter)| text.replace(name, letter))
}
