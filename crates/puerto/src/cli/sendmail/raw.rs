//! Recognizes a body that is no text: UTF-16, as programs from Windows print it, or a
//! file that somebody piped in. Its octets must not be taken for lines, so they are
//! encoded before anything else is done to them.

use puerto_mail::header::{Header, MAX_HEADER, first_empty_line};
use puerto_mail::line_ends::LineEnds;

/// Octets of the body that are looked at.
const SAMPLE: usize = 4096;
/// Octets at the beginning that tell whether there is a header at all.
const FIRST: usize = 16;

/// A body that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBody {
    /// Where it begins in the message as it was given.
    pub(super) offset: usize,
    /// Its Content-Type, unless the message says one itself.
    pub(super) content_type: Option<&'static str>,
}

impl RawBody {
    /// Looks for one in the beginning of a message. A message that says that it was
    /// encoded, or is made of parts, was made by a program that knows of such things.
    pub(super) fn find(start: &[u8]) -> Option<Self> {
        let has_no_header = wide_text(start.get(..FIRST).unwrap_or(start)).is_some();
        let offset = if has_no_header { 0 } else { after_header(start)? };
        let (header, body) = start.split_at_checked(offset)?;
        let sample = body.get(..SAMPLE).unwrap_or(body);
        let kind = wide_text(sample).or_else(|| is_binary(sample).then_some(BINARY))?;
        let (mut lines, mut octets) = (LineEnds::new(false), Vec::new());
        lines.push(header, &mut octets);
        let header = Header::parse_leading(&octets, MAX_HEADER);
        let value = |name| header.first(name).map(|field| field.text().to_ascii_lowercase());
        let content_type = value("Content-Type");
        let is_single = content_type
            .as_ref()
            .is_none_or(|value| !value.starts_with("multipart/") && !value.starts_with("message/"));
        let encoding = value("Content-Transfer-Encoding").unwrap_or_default();
        let is_plain = matches!(encoding.as_str(), "" | "7bit" | "8bit" | "binary");
        let content_type = if content_type.is_none() { Some(kind) } else { None };
        (is_single && is_plain).then_some(Self { offset, content_type })
    }
}

const BINARY: &str = "application/octet-stream";

fn after_header(start: &[u8]) -> Option<usize> {
    let at = first_empty_line(start)?;
    (!start.get(..at)?.contains(&0)).then_some(at)
}

// Two octets for each character of the Latin scripts, one of them zero.
fn wide_text(sample: &[u8]) -> Option<&'static str> {
    if !sample.contains(&0) {
        return None;
    }
    if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") {
        return Some("text/plain; charset=utf-16");
    }
    let pairs = || sample.chunks_exact(2);
    let most = |count: usize| pairs().len() >= 3 && count * 10 >= pairs().len() * 8;
    if most(pairs().filter(|pair| matches!(pair, [1..=255, 0])).count()) {
        return Some("text/plain; charset=utf-16le");
    }
    let is_big = most(pairs().filter(|pair| matches!(pair, [0, 1..=255])).count());
    is_big.then_some("text/plain; charset=utf-16be")
}

// Text with a stray NUL remains text.
fn is_binary(sample: &[u8]) -> bool {
    let odd = sample.iter().filter(|octet| matches!(octet, 0..=6 | 14..=26 | 28..=31)).count();
    sample.contains(&0) && odd >= 4 && odd * 10 > sample.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_no_text_are_recognized() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let with = |header: &str, body: Vec<u8>| [header.as_bytes(), &body].concat();
        let header = "Subject: x\n\n";
        for (message, expected) in [
            (with(header, wide("\u{feff}hola\n")), Some("utf-16")),
            (with(header, big("\u{feff}hola\n")), Some("utf-16")),
            (with(header, wide("hola\r\n")), Some("utf-16le")),
            (with(header, big("hola\r\n")), Some("utf-16be")),
            (with("Subject: x\r\n\r\n", wide("hola\r\n")), Some("utf-16le")),
            (wide("\u{feff}hola\n"), Some("utf-16")),
            (wide("hola\n\nadiós\n"), Some("utf-16le")),
            (with(header, b"\x1f\x8b\x08\0\0\0\0\0\x02\x03".to_vec()), Some("octet-stream")),
            (with(header, b"a\0b\n".to_vec()), None),
            (with(header, b"one line\nand a\0NUL\n".to_vec()), None),
            (with(header, "hola\n".into()), None),
            (with("Content-Transfer-Encoding: base64\n\n", wide("hola\n")), None),
            (with("Content-Type: multipart/mixed; boundary=a\n\n", wide("hola\n")), None),
            (Vec::new(), None),
        ] {
            let found = RawBody::find(&message).map(|raw| raw.content_type.unwrap());
            match expected {
                Some(end) => assert!(found.is_some_and(|seen| seen.ends_with(end)), "{message:?}"),
                None => assert_eq!(found, None, "{message:?}"),
            }
        }
        let named = with("Content-Type: text/plain; charset=utf-16\n\n", wide("hola\n"));
        assert_eq!(RawBody::find(&named).unwrap().content_type, None);
    }
}
