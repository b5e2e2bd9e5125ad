//! Carries out a [`Plan`](super::structure::Plan) on a body that comes in pieces:
//! quoted-printable and base64 (RFC 2045 §6), and lines that are folded where nothing
//! can be encoded.

use std::fmt::Write as _;

use puerto_mail::header::{Field, Header, write_structured};
use puerto_smtp::base64;
use puerto_smtp::limits::MAX_TEXT_LINE;

use super::structure::{Step, Treatment};

/// Octets of an encoded line (RFC 2045 §6.7 rule 5, §6.8).
const ENCODED_LINE: usize = 76;
/// Octets that become one line of base64.
const BASE64_INPUT: usize = ENCODED_LINE / 4 * 3;
/// Octets that must be seen to know what the first of them is in quoted-printable: an
/// escape, white space and a line end.
const LOOK_AHEAD: usize = 8;

/// A body on its way through a plan.
pub(super) struct Rewriting<'p> {
    steps: &'p [Step],
    left: u64,
    writer: Writer,
    out: Vec<u8>,
}

impl<'p> Rewriting<'p> {
    /// At the beginning of the body for which the steps were made.
    pub(super) fn new(steps: &'p [Step]) -> Self {
        let mut rewriting = Self { steps, left: 0, writer: Writer::Copy, out: Vec::new() };
        rewriting.next_step();
        rewriting
    }

    /// Takes the next octets of the body; returns what they become.
    pub(super) fn push(&mut self, mut octets: &[u8]) -> &[u8] {
        self.out.clear();
        while !octets.is_empty() {
            if self.left == 0 && !self.next_step() {
                break;
            }
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(octets.len());
            let (now, later) = octets.split_at_checked(count).unwrap_or((octets, &[]));
            self.writer.push(now, &mut self.out);
            self.left -= now.len() as u64;
            octets = later;
        }
        &self.out
    }

    /// Ends the body; returns what was held back.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.clear();
        self.writer.finish(&mut self.out);
        self.out
    }

    fn next_step(&mut self) -> bool {
        let Some((step, rest)) = self.steps.split_first() else { return false };
        self.steps = rest;
        self.left = step.octets;
        let before = std::mem::replace(&mut self.writer, Writer::new(step.treatment));
        before.finish(&mut self.out);
        true
    }
}

enum Writer {
    Copy,
    Header(Vec<u8>, Option<&'static str>),
    Text(QuotedPrintable),
    Binary(Base64Lines),
    // The column.
    Rewrap(usize),
    Fold(usize),
}

impl Writer {
    fn new(treatment: Treatment) -> Self {
        match treatment {
            Treatment::Copy => Self::Copy,
            Treatment::Header(encoding) => Self::Header(Vec::new(), encoding),
            Treatment::Text => Self::Text(QuotedPrintable::new(false)),
            Treatment::Binary => Self::Binary(Base64Lines::default()),
            Treatment::Rewrap => Self::Rewrap(0),
            Treatment::Break => Self::Text(QuotedPrintable::new(true)),
            Treatment::Fold => Self::Fold(0),
        }
    }

    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Copy => out.extend_from_slice(octets),
            Self::Header(held, _) => held.extend_from_slice(octets),
            Self::Text(writer) => writer.push(octets, out),
            Self::Binary(lines) => lines.push(octets, out),
            Self::Rewrap(column) => rewrap(octets, column, out),
            Self::Fold(column) => fold(octets, column, out),
        }
    }

    fn finish(self, out: &mut Vec<u8>) {
        match self {
            Self::Copy | Self::Fold(_) | Self::Rewrap(0) => {}
            Self::Rewrap(_) => out.extend_from_slice(b"\r\n"),
            Self::Header(octets, encoding) => write_header(&octets, encoding, out),
            Self::Text(writer) => writer.finish(out),
            Self::Binary(lines) => lines.finish(out),
        }
    }
}

/// Writes octets that come in pieces as lines of base64.
#[derive(Debug, Default)]
pub(crate) struct Base64Lines {
    held: Vec<u8>,
}

impl Base64Lines {
    /// Takes the next octets and appends the lines that they fill.
    pub(crate) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(octets);
        let whole = self.held.len() - self.held.len() % BASE64_INPUT;
        Self::write(self.held.get(..whole).unwrap_or_default(), out);
        self.held.drain(..whole);
    }

    /// Appends the last line.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        Self::write(&self.held, out);
    }

    fn write(octets: &[u8], out: &mut Vec<u8>) {
        for line in octets.chunks(BASE64_INPUT) {
            out.extend_from_slice(base64::encode(line).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn write_header(octets: &[u8], encoding: Option<&str>, out: &mut Vec<u8>) {
    let mut column = 0;
    match Header::parse(octets) {
        Ok(header) => {
            let is_kept = |f: &&Field<'_>| encoding.is_none() || !f.is("Content-Transfer-Encoding");
            for field in header.fields().iter().filter(is_kept) {
                fold(field.raw(), &mut column, out);
            }
        }
        Err(_) => fold(octets, &mut column, out),
    }
    if let Some(encoding) = encoding {
        write_structured(out, "Content-Transfer-Encoding", [encoding]);
    }
}

fn rewrap(octets: &[u8], column: &mut usize, out: &mut Vec<u8>) {
    let characters = octets.iter().filter(|octet| **octet != 0 && !octet.is_ascii_whitespace());
    for character in characters {
        if *column == ENCODED_LINE {
            out.extend_from_slice(b"\r\n");
            *column = 0;
        }
        out.push(*character);
        *column += 1;
    }
}

// A line that is too long goes on after a line end and a space, which in a header is
// folding and elsewhere what other servers do; never inside a character.
fn fold(octets: &[u8], column: &mut usize, out: &mut Vec<u8>) {
    for octet in octets {
        let is_inside = matches!(octet, 0x80..=0xbf) && *column < MAX_TEXT_LINE;
        match octet {
            b'\r' | b'\n' => *column = 0,
            _ if *column >= MAX_TEXT_LINE - 4 && !is_inside => {
                out.extend_from_slice(b"\r\n ");
                *column = 2;
            }
            _ => *column += 1,
        }
        out.push(if *octet == 0 { b'?' } else { *octet });
    }
}

struct QuotedPrintable {
    // It is quoted-printable already, and its lines are to become shorter.
    is_encoded: bool,
    held: Vec<u8>,
    column: usize,
}

impl QuotedPrintable {
    fn new(is_encoded: bool) -> Self {
        Self { is_encoded, held: Vec::new(), column: 0 }
    }

    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(octets);
        let mut rest = held.as_slice();
        while rest.len() > LOOK_AHEAD {
            rest = self.next(rest, out);
        }
        self.held = rest.to_vec();
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            rest = self.next(rest, out);
        }
    }

    // Writes what stands first and returns the rest.
    fn next<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            self.column = 0;
            return after;
        }
        if self.is_encoded
            && let Some(after) = rest.strip_prefix(b"=\r\n")
        {
            // There is always room for the mark of a soft break.
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
            return after;
        }
        let is_escape = self.is_encoded
            && rest.first() == Some(&b'=')
            && rest.get(1..3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let (unit, after) = rest.split_at(if is_escape { 3 } else { 1 });
        let ends_line = after.is_empty() || after.starts_with(b"\r\n");
        let is_plain = match unit {
            [b' ' | b'\t'] => self.is_encoded || !ends_line,
            [b'='] => self.is_encoded,
            [octet] => (33..=126).contains(octet) || self.is_encoded && *octet != 0,
            _ => true,
        };
        if is_plain {
            self.unit(unit, ends_line, out);
        } else {
            let mut escape = String::with_capacity(3);
            let _ = write!(escape, "={:02X}", unit.first().copied().unwrap_or_default());
            self.unit(escape.as_bytes(), ends_line, out);
        }
        after
    }

    fn unit(&mut self, unit: &[u8], ends_line: bool, out: &mut Vec<u8>) {
        // The last place of a line is kept for the mark of a soft break.
        let room = if ends_line { ENCODED_LINE } else { ENCODED_LINE - 1 };
        if self.column + unit.len() > room {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        out.extend_from_slice(unit);
        self.column += unit.len();
    }
}

#[cfg(test)]
mod tests {
    use puerto_mail::message::scan;

    use super::*;
    use crate::intake::structure::Walker;

    /// The body that a message gets and the encoding that it has then, in pieces of
    /// every size.
    fn rewritten(message: &[u8]) -> (Vec<u8>, Option<&'static str>) {
        let header = Header::parse(message).unwrap();
        let mut seen: Vec<(Vec<u8>, Option<&'static str>)> = Vec::new();
        for size in [1, 2, 3, 7, 1000, usize::MAX] {
            let pieces = || header.body().chunks(size.min(header.body().len().max(1)));
            let mut walker = Walker::new(header.fields());
            pieces().for_each(|piece| walker.update(piece));
            let plan = walker.finish();
            let octets: u64 = plan.steps.iter().map(|step| step.octets).sum();
            assert_eq!(octets, header.body().len() as u64, "{plan:?}");
            let mut rewriting = Rewriting::new(&plan.steps);
            let mut body = Vec::new();
            pieces().for_each(|piece| body.extend_from_slice(rewriting.push(piece)));
            body.extend_from_slice(&rewriting.finish());
            seen.push((body, plan.transfer_encoding));
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "a cut makes a difference");
        seen.swap_remove(0)
    }

    fn decode(body: &[u8]) -> Vec<u8> {
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
        octets
    }

    #[test]
    fn long_text_becomes_quoted_printable() {
        let body = format!("short = 1 \r\n{}é\t\r\n.\r\n\r\nend", "é x".repeat(500));
        for header in [
            "",
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
            "Content-Transfer-Encoding: 8-bit\r\n",
            "Content-Transfer-Encoding: utf-8\r\n",
            "Content-Transfer-Encoding: \"7bit\";\r\n",
        ] {
            let (seen, encoding) = rewritten(format!("{header}\r\n{body}").as_bytes());
            assert_eq!(encoding, Some("quoted-printable"), "{header}");
            assert!(scan(&seen).longest_line <= ENCODED_LINE && seen.is_ascii());
            assert_eq!(decode(&seen), body.as_bytes());
            for line in seen.split(|b| *b == b'\n') {
                assert!(!line.ends_with(b" \r") && !line.ends_with(b"\t\r"));
            }
        }
    }

    #[test]
    fn a_nul_in_text_is_carried_and_utf16_as_base64() {
        let (seen, encoding) = rewritten(b"\r\na\0b \r\nc\r\n");
        assert_eq!(
            (seen.as_slice(), encoding),
            (&b"a=00b=20\r\nc\r\n"[..], Some("quoted-printable"))
        );
        let wide: Vec<u8> = "hola\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (seen, encoding) = rewritten(&[b"\r\n".as_slice(), &wide].concat());
        assert_eq!(encoding, Some("base64"));
        assert_eq!(base64::decode(&seen).unwrap(), wide);
    }

    #[test]
    fn other_encodings_keep_what_they_say() {
        let long = "A".repeat(4000);
        let (seen, encoding) =
            rewritten(format!("Content-Transfer-Encoding: BASE64\r\n\r\n{long}\0\r\n").as_bytes());
        assert_eq!(encoding, None);
        assert_eq!(base64::decode(&seen), base64::decode(long.as_bytes()));
        assert!(scan(&seen).longest_line <= ENCODED_LINE && !scan(&seen).nul);
        let (seen, encoding) =
            rewritten(format!("Content-Type: application/json\r\n\r\n{long}\r\n").as_bytes());
        assert_eq!(encoding, Some("base64"));
        assert_eq!(base64::decode(&seen).unwrap(), format!("{long}\r\n").as_bytes());
    }

    #[test]
    fn the_mark_of_a_soft_break_stays_one() {
        let soft = format!("{}=\r\n{}=\r\nend \r\n", "a".repeat(75), "b".repeat(74));
        let text = format!("=C3=A9 a=\r\n{soft}{}\0=G\r\n", "=C3=A9x ".repeat(400));
        let message = format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{text}");
        let (seen, encoding) = rewritten(message.as_bytes());
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(encoding, None);
        assert!(seen.contains(&soft), "{seen}");
        assert!(scan(seen.as_bytes()).longest_line <= ENCODED_LINE);
        assert!(!seen.contains("=\r\n=\r\n"));
        let unbroken = |text: &str| text.replace("=\r\n", "").replace('\0', "=00");
        assert_eq!(unbroken(&seen), unbroken(&text));
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
        let (seen, encoding) = rewritten(message.as_bytes());
        assert_eq!(encoding, None);
        let text = String::from_utf8(seen).unwrap();
        assert!(text.starts_with("preamble\r\n--a b\r\n\r\nshort\r\n--a b x\r\n--a b\r\n"));
        assert!(text.ends_with("\r\n--in--\r\n--a b--\r\nepilogue\r\n"));
        let (header, body) = text.split_once("X: y\r\n").unwrap();
        assert!(!header.contains("8bit"));
        let body =
            body.strip_prefix("Content-Transfer-Encoding: quoted-printable\r\n\r\n").unwrap();
        let body = body.split("\r\n--in--").next().unwrap();
        assert_eq!(decode(body.as_bytes()), long.as_bytes());
    }

    /// Where nothing can be encoded: `L` stands for a line that is too long.
    #[test]
    fn long_lines_in_odd_places_are_folded_or_stay() {
        let long = "x".repeat(2000);
        let multipart = "Content-Type: multipart/mixed; boundary=a\r\n\r\n";
        for (message, stays) in [
            ("Content-Type: multipart/mixed\r\n\r\nL\r\n".to_owned(), false),
            (format!("{multipart}L\r\n--a\r\n\r\nx\r\n--a--\r\nL\r\n"), false),
            (format!("{multipart}--a\r\nX: L\r\n\r\nx\r\n--a--\r\n"), false),
            (format!("{multipart}--a\r\nL\r\n\r\nx\r\n--a--\r\n"), false),
            (format!("{multipart}--a\r\nL\r\n--a--\r\n"), false),
            (format!("{multipart}--a\r\nX: y\r\nL"), false),
            ("Content-Type: message/delivery-status\r\n\r\nX: L\r\n".to_owned(), false),
            ("Content-Transfer-Encoding: x-uuencode\r\n\r\nL\r\n".to_owned(), false),
            (
                "Content-Type: multipart/signed; boundary=a\r\n\r\n--a\r\n\r\nL\r\n--a--\r\n"
                    .to_owned(),
                true,
            ),
            (
                format!(
                    "{multipart}--a\r\nContent-Type: message/rfc822\r\n\r\nDKIM-Signature: x\r\nX: L\r\n\r\nL\r\n--a--\r\n"
                ),
                true,
            ),
        ] {
            let message = message.replace('L', &long);
            let body = Header::parse(message.as_bytes()).unwrap().body().to_vec();
            let (seen, encoding) = rewritten(message.as_bytes());
            assert_eq!(encoding, None, "{message}");
            if stays {
                assert!(seen == body, "{message}");
                continue;
            }
            assert!(scan(&seen).longest_line <= MAX_TEXT_LINE, "{message}");
            assert_eq!(String::from_utf8(seen).unwrap().replace("\r\n ", "").as_bytes(), body);
        }
    }

    #[test]
    fn an_attached_message_is_looked_into() {
        let long = "é".repeat(800);
        let message = format!(
            "Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n\
             Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{long}\r\n--b--\r\n\r\n--a--\r\n"
        );
        let (seen, _) = rewritten(message.as_bytes());
        let text = String::from_utf8(seen).unwrap();
        let (before, after) =
            text.split_once("Content-Transfer-Encoding: quoted-printable\r\n\r\n").unwrap();
        assert!(before.ends_with("--b\r\n"), "{text}");
        let (body, end) = after.split_once("\r\n--b--").unwrap();
        assert_eq!(
            (decode(body.as_bytes()).as_slice(), end),
            (long.as_bytes(), "\r\n\r\n--a--\r\n")
        );
    }

    #[test]
    fn parts_without_end_are_bounded() {
        let nest = |n| format!("Content-Type: multipart/mixed; boundary=b{n}x\r\n\r\n--b{n}x\r\n");
        let nested = (0..50).map(nest).collect::<String>() + &"y".repeat(3000);
        assert!(scan(&rewritten(nested.as_bytes()).0).longest_line <= MAX_TEXT_LINE);
    }

    proptest::proptest! {
        #[test]
        fn quoted_printable_is_read_back(text in "[a= \t\u{e9}.\0]{0,200}(\r\n)?[a= ]{0,9}") {
            let mut writer = Writer::new(Treatment::Text);
            let mut out = Vec::new();
            text.as_bytes().chunks(3).for_each(|piece| writer.push(piece, &mut out));
            writer.finish(&mut out);
            proptest::prop_assert!(scan(&out).longest_line <= ENCODED_LINE);
            proptest::prop_assert_eq!(decode(&out), text.as_bytes());
        }

        #[test]
        fn whatever_is_walked_through_can_be_sent(
            lines in proptest::collection::vec(
                proptest::prop_oneof![
                    "(--a|--b|--a--|--b--|--a  |)",
                    "Content-Type: (multipart/(mixed|digest); boundary=[ab]|message/rfc822|text/x|a/b)",
                    "Content-Transfer-Encoding: (8bit|base64|quoted-printable|x)",
                    "[a=\0é ]{0,5}",
                    proptest::strategy::Just("é=".repeat(600)),
                ],
                0..20,
            ),
        ) {
            let message =
                format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{}", lines.join("\r\n"));
            let (seen, _) = rewritten(message.as_bytes());
            let facts = scan(&seen);
            proptest::prop_assert!(facts.longest_line <= MAX_TEXT_LINE);
            proptest::prop_assert!(!facts.nul && !facts.bare_line_end);
        }
    }
}
