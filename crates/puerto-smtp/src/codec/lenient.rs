//! Reads content after DATA from clients that are trusted: programs of our own
//! machines, which end their lines in LF, in CR CR LF or in whatever they were given.
//!
//! Such content is not refused but mended, and that is for others to do: here only its
//! end is found. What ends it is what ends the client's own lines. One whose command
//! DATA ended in CRLF ends the content with CRLF.CRLF and nothing else, since it may be
//! passing on what a stranger wrote, with an LF.LF in it that must not become the end
//! (CVE-2023-51764). CR CR LF before that dot is no other sequence: it ends in CRLF. One
//! whose command did not speaks of lines in another way, and ends the content that way too.

use super::content::{DataDecoder, Decoded, Place};

/// How much a client is forgiven, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leniency {
    /// A lone dot ends the content whatever line ends stand around it.
    pub(super) any_line_end: bool,
    /// The line before ended in LF alone.
    pub(super) after_odd_end: bool,
}

impl DataDecoder {
    pub(super) fn decode_leniently<'a>(
        &mut self,
        input: &'a [u8],
        leniency: Leniency,
    ) -> Decoded<'a> {
        let (mut start, mut at) = (0, 0);
        let mut ends = leniency.any_line_end || !leniency.after_odd_end;
        while let Some(&octet) = input.get(at) {
            match (self.place, octet) {
                (Place::LineStart, b'.') if at > start => return self.run(input, start, at),
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    (start, at) = (at + 1, at + 1);
                }
                (Place::Dot | Place::DotCr | Place::DotCrs, b'\r') => {
                    let is_first = self.place == Place::Dot;
                    self.place = if is_first { Place::DotCr } else { Place::DotCrs };
                    (start, at) = (at + 1, at + 1);
                }
                (Place::Dot | Place::DotCr | Place::DotCrs, b'\n') => {
                    let is_end = ends && (leniency.any_line_end || self.place == Place::DotCr);
                    self.ended_line(self.place == Place::Dot);
                    if is_end {
                        return Decoded { ended: true, ..Decoded::nothing(at + 1) };
                    }
                    return self.restore(at + 1, b".\r\n");
                }
                (Place::DotCr | Place::DotCrs, _) => {
                    self.place = Place::Middle;
                    return self.restore(at, b"\r");
                }
                (Place::Cr | Place::Crs, b'\n') => {
                    self.ended_line(false);
                    ends = true;
                    at += 1;
                }
                (Place::Cr | Place::Crs, b'\r') => {
                    self.place = Place::Crs;
                    at += 1;
                }
                (Place::LineStart | Place::Dot | Place::Cr | Place::Crs, _) => {
                    self.place = Place::Middle;
                }
                (Place::Middle, _) => {
                    let rest = input.get(at..).unwrap_or_default();
                    let found = memchr::memchr2(b'\r', b'\n', rest);
                    at += found.map_or(rest.len(), |index| index + 1);
                    match found.and_then(|index| rest.get(index)) {
                        Some(b'\r') => self.place = Place::Cr,
                        Some(_) => {
                            self.ended_line(true);
                            ends = leniency.any_line_end;
                        }
                        None => {}
                    }
                }
            }
        }
        self.run(input, start, at)
    }

    fn ended_line(&mut self, oddly: bool) {
        self.end_line();
        if let Some(leniency) = &mut self.leniency {
            leniency.after_odd_end = oddly;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `wire` cut into pieces; the content and what follows it, if it ended.
    fn decode(any_line_end: bool, pieces: &[&[u8]]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut decoder = DataDecoder::lenient(any_line_end);
        let (mut content, mut rest, mut ended) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut piece = *piece;
            while !ended && !piece.is_empty() {
                let step = decoder.decode(piece);
                assert!(step.consumed > 0 || !step.restored.is_empty());
                content.extend_from_slice(step.content);
                content.extend_from_slice(step.restored);
                ended = step.ended;
                piece = &piece[step.consumed..];
            }
            rest.extend_from_slice(piece);
        }
        assert_eq!(decoder.traits().fault, None);
        assert_eq!(decoder.traits().octets, content.len() as u64);
        ended.then_some((content, rest))
    }

    fn decode_at_every_cut(any_line_end: bool, wire: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let whole = decode(any_line_end, &[wire]);
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            assert_eq!(decode(any_line_end, &[head, tail]), whole, "{wire:?} at {cut}");
        }
        whole
    }

    #[test]
    fn a_client_that_speaks_crlf_ends_its_content_with_it_alone() {
        for (wire, content) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.a\r\n.\r\n", b".\r\na\r\n"),
            (b"a\nb\r\r\nc\rd\0\r\n.\r\n", b"a\nb\r\r\nc\rd\0\r\n"),
            (b"a\n..b\n\r\n.\r\n", b"a\n.b\n\r\n"),
            (b"a\n.\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\r\r\n..\r\nb\r\r\n.\r\n", b"a\r\r\n.\r\nb\r\r\n"),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n.\r\n"),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n"),
            (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n"),
        ] {
            let whole = [wire, b"QUIT\r\n"].concat();
            let seen = decode_at_every_cut(false, &whole);
            assert_eq!(seen, Some((content.to_vec(), b"QUIT\r\n".to_vec())), "{wire:?}");
        }
        assert_eq!(decode_at_every_cut(false, b"a\n.\nQUIT\n"), None);
    }

    #[test]
    fn a_client_with_other_line_ends_ends_its_content_with_those() {
        for (wire, content) in [
            (&b".\n"[..], &b""[..]),
            (b"a\n.\n", b"a\n"),
            (b"a\n..b\n.\r\n", b"a\n.b\n"),
            (b"a\r\r\n.\r\r\n", b"a\r\r\n"),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"a\n\n.\n", b"a\n\n"),
        ] {
            let whole = [wire, b"QUIT\n"].concat();
            let seen = decode_at_every_cut(true, &whole);
            assert_eq!(seen, Some((content.to_vec(), b"QUIT\n".to_vec())), "{wire:?}");
        }
        for no_end in [&b"a\r.\r\n"[..], b"a.\n", b"a\n. \n", b"a\n.\rb\n"] {
            assert_eq!(decode_at_every_cut(true, no_end), None, "{no_end:?}");
        }
    }
}
