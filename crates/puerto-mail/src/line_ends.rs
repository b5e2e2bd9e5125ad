//! Line ends made right, on a stream that may be cut anywhere.

/// Where a stream of lines stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing of the line was seen.
    Start,
    /// The line began with a dot, which is held back: it may end the message.
    Dot,
    /// Something of the line was passed on, so that a dot is no longer its first.
    Inside,
}

/// Turns whatever line ends come into CRLF (RFC 5321 §2.3.8).
///
/// LF, CRLF and any number of CRs before an LF are one line end. CRs anywhere else
/// become a single space, as with Postfix: taken for a line end, they would let the
/// value of one header field become another field.
#[derive(Debug)]
pub struct LineEnds {
    dot_ends: bool,
    place: Place,
    held_cr: bool,
    ended: bool,
}

impl LineEnds {
    /// At the beginning of a text. With `dot_ends`, a line that is a lone dot ends it.
    pub fn new(dot_ends: bool) -> Self {
        Self { dot_ends, place: Place::Start, held_cr: false, ended: false }
    }

    /// Whether a lone dot has ended the text.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes the next octets and appends them to `out`; what follows a lone dot is
    /// dropped.
    pub fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while let Some(&next) = octets.first() {
            match next {
                b'\n' => {
                    if self.place == Place::Dot {
                        self.ended = true;
                        return;
                    }
                    out.extend_from_slice(b"\r\n");
                    self.place = Place::Start;
                    self.held_cr = false;
                }
                b'\r' => self.held_cr = true,
                b'.' if self.dot_ends && self.place == Place::Start && !self.held_cr => {
                    self.place = Place::Dot;
                }
                _ => {
                    let end = memchr::memchr2(b'\n', b'\r', octets).unwrap_or(octets.len());
                    self.text(octets.get(..end).unwrap_or_default(), out);
                    octets = octets.get(end..).unwrap_or_default();
                    continue;
                }
            }
            octets = octets.get(1..).unwrap_or_default();
        }
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.place == Place::Dot {
            out.push(b'.');
        }
        if std::mem::take(&mut self.held_cr) {
            out.push(b' ');
        }
        out.extend_from_slice(text);
        self.place = Place::Inside;
    }

    /// Ends the text; a last line without an end gets one.
    pub fn finish(self, out: &mut Vec<u8>) {
        let unfinished = self.place == Place::Inside || self.held_cr;
        if unfinished && self.place != Place::Dot && !self.ended {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_made_right_at_any_cut() {
        for (given, dot_ends, expected) in [
            ("a\nb\n", true, "a\r\nb\r\n"),
            ("a\r\nb\r\n", true, "a\r\nb\r\n"),
            ("a\r\r\nb\n", true, "a\r\nb\r\n"),
            ("a\rb\n", true, "a b\r\n"),
            ("a\r\r\rb\n", true, "a b\r\n"),
            ("no end", true, "no end\r\n"),
            ("no end\r", true, "no end\r\n"),
            ("\n\n", true, "\r\n\r\n"),
            ("\r\n\r\n", true, "\r\n\r\n"),
            ("", true, ""),
            ("a\n.\nb\n", true, "a\r\n"),
            ("a\r\n.\r\nb\r\n", true, "a\r\n"),
            ("a\n.", true, "a\r\n"),
            ("a\n.\n", true, "a\r\n"),
            ("a\n.\r", true, "a\r\n"),
            (".\nb\n", true, ""),
            ("a\n.\nb\n", false, "a\r\n.\r\nb\r\n"),
            ("a\n.", false, "a\r\n.\r\n"),
            ("..\n.a\n. \n...\n", true, "..\r\n.a\r\n. \r\n...\r\n"),
            ("\r.\nb\n", true, " .\r\nb\r\n"),
            ("a\r.\rb\n", true, "a . b\r\n"),
            (".\rx\n", true, ". x\r\n"),
            ("é\0\n", true, "é\0\r\n"),
        ] {
            for cut in 0..=given.len() {
                let (head, tail) = given.as_bytes().split_at(cut);
                let (mut lines, mut out) = (LineEnds::new(dot_ends), Vec::new());
                lines.push(head, &mut out);
                if !lines.is_ended() {
                    lines.push(tail, &mut out);
                }
                lines.finish(&mut out);
                assert_eq!(out, expected.as_bytes(), "{given:?} dot_ends={dot_ends} at {cut}");
            }
        }
    }
}
