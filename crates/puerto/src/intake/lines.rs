//! Lines that are too long to be sent (RFC 5322 §2.1.1) are encoded away: text as
//! quoted-printable, anything else as base64 (RFC 2045 §6). In a multipart message
//! only the parts that need it change. What cannot be changed without changing what
//! it says, such as a signed part, is refused instead.

use std::fmt::Write as _;

use puerto_mail::header::{End, Field, Header, write_structured};
use puerto_mail::message::scan;
use puerto_smtp::base64;
use puerto_smtp::limits::MAX_TEXT_LINE;

/// Parts inside parts that are looked into.
const MAX_DEPTH: usize = 32;
/// Parts of one message that are looked into.
const MAX_PARTS: usize = 1000;
/// Octets of an encoded line (RFC 2045 §6.7 rule 5, §6.8).
const ENCODED_LINE: usize = 76;

/// A body whose lines can be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    /// The body.
    pub(super) body: Vec<u8>,
    /// The Content-Transfer-Encoding that the message has now, if it is another.
    pub(super) transfer_encoding: Option<&'static str>,
}

/// Encodes a body that has a line longer than 998 octets. The error says why that
/// is not possible.
pub(super) fn encode(fields: &[Field<'_>], body: &[u8]) -> Result<Encoded, &'static str> {
    Encoder { parts: 0 }.entity(fields, body, 0)
}

struct Encoder {
    parts: usize,
}

impl Encoder {
    fn entity(
        &mut self,
        fields: &[Field<'_>],
        body: &[u8],
        depth: usize,
    ) -> Result<Encoded, &'static str> {
        let value = |name: &str| {
            fields.iter().find(|field| field.is(name)).map(Field::text).unwrap_or_default()
        };
        let content_type = value("Content-Type");
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let encoding = value("Content-Transfer-Encoding").trim().to_ascii_lowercase();
        if media_type == "multipart/signed" || media_type == "multipart/encrypted" {
            return Err("it is in a signed or encrypted part");
        }
        if media_type.starts_with("message/") {
            return Err("it is in an attached message");
        }
        if media_type.starts_with("multipart/") {
            let boundary = boundary(&content_type).ok_or("a multipart has no boundary")?;
            let body = self.multipart(body, boundary.as_bytes(), depth)?;
            return Ok(Encoded { body, transfer_encoding: None });
        }
        let is_text = media_type.is_empty() || media_type.starts_with("text/");
        match encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" if is_text => Ok(Encoded {
                body: quoted_printable(body),
                transfer_encoding: Some("quoted-printable"),
            }),
            "" | "7bit" | "8bit" | "binary" => Ok(Encoded {
                body: wrap(base64::encode(body).bytes()),
                transfer_encoding: Some("base64"),
            }),
            "base64" => {
                let sextets = body.iter().copied().filter(|b| !b.is_ascii_whitespace());
                Ok(Encoded { body: wrap(sextets), transfer_encoding: None })
            }
            "quoted-printable" => {
                Ok(Encoded { body: break_quoted_printable(body), transfer_encoding: None })
            }
            _ => Err("its Content-Transfer-Encoding is unknown"),
        }
    }

    fn multipart(
        &mut self,
        body: &[u8],
        boundary: &[u8],
        depth: usize,
    ) -> Result<Vec<u8>, &'static str> {
        if depth >= MAX_DEPTH {
            return Err("parts are nested too deeply");
        }
        let mut out = Vec::with_capacity(body.len() + body.len() / 8);
        let mut start = 0;
        let mut inside = false;
        for delimiter in delimiters(body, boundary) {
            let part = body.get(start..delimiter.start).unwrap_or_default();
            if inside {
                self.part(part, depth, &mut out)?;
            } else {
                copy_outside(part, &mut out)?;
            }
            out.extend_from_slice(body.get(delimiter.start..delimiter.end).unwrap_or_default());
            start = delimiter.end;
            inside = !delimiter.is_last;
        }
        let rest = body.get(start..).unwrap_or_default();
        if inside {
            self.part(rest, depth, &mut out)?
        } else {
            copy_outside(rest, &mut out)?
        }
        Ok(out)
    }

    fn part(&mut self, part: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err("it has too many parts");
        }
        if scan(part).longest_line <= MAX_TEXT_LINE {
            out.extend_from_slice(part);
            return Ok(());
        }
        let header = Header::parse(part).map_err(|_| "a part's header is too long")?;
        if header.end() != End::Blank || scan(header.octets()).longest_line > MAX_TEXT_LINE {
            return Err("a part's header is malformed");
        }
        let encoded = self.entity(header.fields(), header.body(), depth + 1)?;
        for field in header.fields() {
            let is_replaced =
                encoded.transfer_encoding.is_some() && field.is("Content-Transfer-Encoding");
            if !is_replaced {
                out.extend_from_slice(field.raw());
            }
        }
        if let Some(encoding) = encoded.transfer_encoding {
            write_structured(out, "Content-Transfer-Encoding", [encoding]);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&encoded.body);
        Ok(())
    }
}

fn copy_outside(text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    if scan(text).longest_line > MAX_TEXT_LINE {
        return Err("it stands outside the parts");
    }
    out.extend_from_slice(text);
    Ok(())
}

// A line that separates parts, with the line ends before and after it.
struct Delimiter {
    start: usize,
    end: usize,
    is_last: bool,
}

fn delimiters(body: &[u8], boundary: &[u8]) -> Vec<Delimiter> {
    let marker = [b"--", boundary].concat();
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(body, &marker) {
        let before = body.get(..at).unwrap_or_default();
        if at > 0 && !before.ends_with(b"\r\n") {
            continue;
        }
        let rest = body.get(at + marker.len()..).unwrap_or_default();
        let line_end = memchr::memmem::find(rest, b"\r\n");
        let line = rest.get(..line_end.unwrap_or(rest.len())).unwrap_or_default();
        let (is_last, padding) = match line.strip_prefix(b"--") {
            Some(padding) => (true, padding),
            None => (false, line),
        };
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            continue;
        }
        let end = at + marker.len() + line_end.map_or(rest.len(), |end| end + 2);
        found.push(Delimiter { start: at.saturating_sub(2), end, is_last });
        if is_last {
            break;
        }
    }
    found
}

fn boundary(content_type: &str) -> Option<String> {
    // ASCII lower case leaves every position where it was.
    let lower = content_type.to_ascii_lowercase();
    let at = lower.match_indices("boundary").find_map(|(at, word)| {
        let rest = lower.get(at + word.len()..)?.trim_start();
        let before = lower.get(..at)?.trim_end();
        (rest.starts_with('=') && before.ends_with(';')).then_some(at + word.len())
    })?;
    let value = content_type.get(at..)?.trim_start().strip_prefix('=')?.trim_start();
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?.replace('\\', ""),
        None => value.split([';', ' ', '\t']).next()?.to_owned(),
    };
    let valid = !value.is_empty() && value.len() <= 70;
    valid.then_some(value)
}

fn wrap(characters: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut column = 0;
    for character in characters {
        if column == ENCODED_LINE {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(character);
        column += 1;
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut writer = QuotedPrintable { out: Vec::with_capacity(body.len() * 9 / 8), column: 0 };
    let mut escape = String::with_capacity(3);
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            writer.end_line();
            rest = after;
            continue;
        }
        let ends_line = after.is_empty() || after.starts_with(b"\r\n");
        let is_plain = match byte {
            b' ' | b'\t' => !ends_line,
            b'=' => false,
            other => (33..=126).contains(&other),
        };
        if is_plain {
            writer.unit(&[byte], ends_line);
        } else {
            escape.clear();
            let _ = write!(escape, "={byte:02X}");
            writer.unit(escape.as_bytes(), ends_line);
        }
        rest = after;
    }
    writer.out
}

// Breaks lines that are quoted-printable but too long, never inside an escape.
fn break_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut writer = QuotedPrintable { out: Vec::with_capacity(body.len() * 9 / 8), column: 0 };
    let mut rest = body;
    while let Some(&byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            writer.end_line();
            rest = after;
            continue;
        }
        let is_escape = byte == b'='
            && rest.get(1..3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let (unit, after) = rest.split_at(if is_escape { 3 } else { 1 });
        writer.unit(unit, after.is_empty() || after.starts_with(b"\r\n"));
        rest = after;
    }
    writer.out
}

struct QuotedPrintable {
    out: Vec<u8>,
    column: usize,
}

impl QuotedPrintable {
    fn unit(&mut self, unit: &[u8], ends_line: bool) {
        // The last place of a line is kept for the mark of a soft break.
        let room = if ends_line { ENCODED_LINE } else { ENCODED_LINE - 1 };
        if self.column + unit.len() > room {
            self.out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        self.out.extend_from_slice(unit);
        self.column += unit.len();
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(message: &str) -> Result<Encoded, &'static str> {
        let header = Header::parse(message.as_bytes()).unwrap();
        encode(header.fields(), header.body())
    }

    fn decode_quoted_printable(body: &[u8]) -> String {
        let text = String::from_utf8(body.to_vec()).unwrap().replace("=\r\n", "");
        let mut octets = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let escape = (byte == b'=').then(|| {
                u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap()
            });
            octets.push(escape.unwrap_or(byte));
            rest = if escape.is_some() { &after[2..] } else { after };
        }
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn long_text_becomes_quoted_printable() {
        let body = format!("short = 1 \r\n{}é\t\r\n.\r\n\r\nend", "é x".repeat(500));
        for header in
            ["", "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"]
        {
            let encoded = encoded(&format!("{header}\r\n{body}")).unwrap();
            assert_eq!(encoded.transfer_encoding, Some("quoted-printable"));
            assert!(scan(&encoded.body).longest_line <= ENCODED_LINE);
            assert!(encoded.body.is_ascii());
            assert_eq!(decode_quoted_printable(&encoded.body), body);
            for line in encoded.body.split(|b| *b == b'\n') {
                assert!(!line.ends_with(b" \r") && !line.ends_with(b"\t\r"));
            }
        }
    }

    #[test]
    fn other_encodings_keep_what_they_say() {
        let long = "A".repeat(4000);
        let seen =
            encoded(&format!("Content-Transfer-Encoding: BASE64\r\n\r\n{long}\r\n")).unwrap();
        assert_eq!(seen.transfer_encoding, None);
        assert_eq!(base64::decode(&seen.body), base64::decode(long.as_bytes()));
        assert!(scan(&seen.body).longest_line <= ENCODED_LINE);
        let text = "=C3=A9 a=\r\n".to_owned() + &"=C3=A9x ".repeat(400) + "\r\n";
        let seen =
            encoded(&format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{text}")).unwrap();
        assert_eq!(decode_quoted_printable(&seen.body), decode_quoted_printable(text.as_bytes()));
        assert!(scan(&seen.body).longest_line <= ENCODED_LINE);
        let seen = encoded(&format!("Content-Type: application/json\r\n\r\n{long}\r\n")).unwrap();
        assert_eq!(seen.transfer_encoding, Some("base64"));
        assert_eq!(base64::decode(&seen.body).unwrap(), format!("{long}\r\n").as_bytes());
    }

    #[test]
    fn only_the_parts_that_need_it_change() {
        let long = "é".repeat(800);
        let message = format!(
            "Content-Type: multipart/mixed; Boundary=\"a b\"\r\n\r\npreamble\r\n--a b\r\n\r\nshort\r\n\
             --a b x\r\n--a b\r\nContent-Type: multipart/alternative;\r\n boundary=in\r\n\r\n--in\r\n\
             Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n{long}\r\n\
             --in--\r\n--a b--\r\nepilogue\r\n"
        );
        let seen = encoded(&message).unwrap();
        assert_eq!(seen.transfer_encoding, None);
        let text = String::from_utf8(seen.body).unwrap();
        assert!(text.starts_with("preamble\r\n--a b\r\n\r\nshort\r\n--a b x\r\n--a b\r\n"));
        assert!(text.ends_with("\r\n--in--\r\n--a b--\r\nepilogue\r\n"));
        let (header, body) = text.split_once("X: y\r\n").unwrap();
        assert!(!header.contains("8bit"));
        let body =
            body.strip_prefix("Content-Transfer-Encoding: quoted-printable\r\n\r\n").unwrap();
        let body = body.split("\r\n--in--").next().unwrap();
        assert_eq!(decode_quoted_printable(body.as_bytes()), long);
    }

    #[test]
    fn what_cannot_be_encoded_is_refused() {
        let long = "x".repeat(1000);
        for (message, why) in [
            ("Content-Type: multipart/signed; boundary=a\r\n\r\nL", "signed"),
            ("Content-Type: message/rfc822\r\n\r\nL", "attached message"),
            ("Content-Type: multipart/mixed\r\n\r\nL", "no boundary"),
            ("Content-Type: multipart/mixed; boundary=a\r\n\r\nL", "outside"),
            ("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nL\r\n\r\n", "malformed"),
            ("Content-Transfer-Encoding: x-uuencode\r\n\r\nL", "unknown"),
        ] {
            let error = encoded(&message.replace('L', &long)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let nest = |n| format!("Content-Type: multipart/mixed; boundary=b{n}x\r\n\r\n--b{n}x\r\n");
        let nested = (0..50).map(nest).collect::<String>() + &long;
        assert!(encoded(&nested).unwrap_err().contains("deeply"));
    }

    proptest::proptest! {
        #[test]
        fn quoted_printable_is_read_back(text in "[a= \t\u{e9}.]{0,200}(\r\n)?[a= ]{0,9}") {
            let encoded = quoted_printable(text.as_bytes());
            proptest::prop_assert!(scan(&encoded).longest_line <= ENCODED_LINE);
            proptest::prop_assert_eq!(decode_quoted_printable(&encoded), text);
        }
    }
}
