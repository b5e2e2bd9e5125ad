//! Reads content: with dots after DATA, as it is after BDAT.

use std::fmt;

use super::lenient::Leniency;

/// What makes content unfit to be passed on: another server might take it for the
/// end of a line or of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR without an LF after it (RFC 5321 §2.3.8).
    BareCr,
    /// An LF without a CR before it (RFC 5321 §2.3.8).
    BareLf,
    /// A NUL (RFC 5321 §4.5.2 allows to refuse it, RFC 5322 §4 never to make it).
    Nul,
}

impl fmt::Display for ContentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareCr => "bare <CR> received: lines must end with <CR><LF>",
            Self::BareLf => "bare <LF> received: lines must end with <CR><LF>",
            Self::Nul => "NUL received: encode binary content",
        })
    }
}

/// What was seen of some content while it passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContentTraits {
    /// Octets, stuffed dots not counted.
    pub octets: u64,
    /// Octets of the longest line without its CRLF.
    pub longest_line: usize,
    /// An octet above 127 was seen.
    pub eight_bit: bool,
    /// The first fault.
    pub fault: Option<ContentFault>,
}

impl ContentTraits {
    fn add(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        self.eight_bit = self.eight_bit || !octets.is_ascii();
    }

    fn fail(&mut self, fault: ContentFault) {
        self.fault = self.fault.or(Some(fault));
    }
}

/// One step through content after DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// How many octets of the input were used.
    pub consumed: usize,
    /// Content; empty once it has a fault.
    pub content: &'a [u8],
    /// Content that is not in this piece of the input: a dot or a CR that was held
    /// back until what follows it showed that it ends nothing. `content` is empty then.
    pub restored: &'static [u8],
    /// The end was found; the octets that follow are commands.
    pub ended: bool,
}

impl Decoded<'_> {
    pub(super) fn nothing(consumed: usize) -> Self {
        Self { consumed, content: &[], restored: &[], ended: false }
    }
}

/// Where the decoder stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    LineStart,
    /// After a dot at the beginning of a line.
    Dot,
    /// After a dot and a CR at the beginning of a line.
    DotCr,
    /// After a dot and several CRs at the beginning of a line.
    DotCrs,
    Middle,
    Cr,
    /// After several CRs.
    Crs,
}

/// Finds the end of content after DATA, CRLF.CRLF and nothing else, and removes the
/// dots that were added (RFC 5321 §4.5.2).
///
/// A fault does not stop it: the content is read to its true end, so that nothing
/// in it can be taken for a command, and is then to be refused.
#[derive(Debug)]
pub struct DataDecoder {
    pub(super) place: Place,
    line: usize,
    traits: ContentTraits,
    /// How much a trusted client is forgiven.
    pub(super) leniency: Option<Leniency>,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// A decoder at the beginning of some content.
    pub fn new() -> Self {
        let traits = ContentTraits::default();
        Self { place: Place::LineStart, line: 0, traits, leniency: None }
    }

    /// The same for a client that is trusted: nothing is a fault, and all octets but
    /// the dots are handed out for somebody else to mend. Where `any_line_end` holds,
    /// as for a client whose very command DATA did not end in CRLF, a lone dot ends
    /// the content whatever its line and the one before it end in.
    pub fn lenient(any_line_end: bool) -> Self {
        let leniency = Leniency { any_line_end, after_odd_end: false };
        Self { leniency: Some(leniency), ..Self::new() }
    }

    /// What was seen so far.
    pub fn traits(&self) -> &ContentTraits {
        &self.traits
    }

    /// Decodes the beginning of `input`, at least one octet of it if there is any.
    /// Returns the longest run of content that is in one piece.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Decoded<'a> {
        if let Some(leniency) = self.leniency {
            return self.decode_leniently(input, leniency);
        }
        let (mut start, mut at) = (0, 0);
        while let Some(&octet) = input.get(at) {
            match (self.place, octet) {
                (Place::LineStart, b'.') if at > start => return self.run(input, start, at),
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    (start, at) = (at + 1, at + 1);
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    (start, at) = (at + 1, at + 1);
                }
                (Place::DotCr, b'\n') => {
                    self.place = Place::LineStart;
                    return Decoded { ended: true, ..Decoded::nothing(at + 1) };
                }
                (Place::Cr, b'\n') => {
                    self.end_line();
                    at += 1;
                }
                (Place::DotCr | Place::DotCrs | Place::Cr | Place::Crs, _) => {
                    self.traits.fail(ContentFault::BareCr);
                    self.place = Place::Middle;
                }
                (Place::LineStart | Place::Dot, _) => self.place = Place::Middle,
                (Place::Middle, _) => at += self.scan(input.get(at..).unwrap_or_default()),
            }
        }
        self.run(input, start, at)
    }

    /// Goes on to the next octet that matters; returns how many octets that took.
    fn scan(&mut self, rest: &[u8]) -> usize {
        let Some(index) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
            self.line = self.line.saturating_add(rest.len());
            return rest.len();
        };
        self.line = self.line.saturating_add(index);
        match rest.get(index) {
            Some(b'\r') => self.place = Place::Cr,
            Some(b'\n') => self.traits.fail(ContentFault::BareLf),
            _ => self.traits.fail(ContentFault::Nul),
        }
        index + 1
    }

    pub(super) fn end_line(&mut self) {
        self.traits.longest_line = self.traits.longest_line.max(self.line);
        self.line = 0;
        self.place = Place::LineStart;
    }

    /// Content that was held back.
    pub(super) fn restore<'a>(&mut self, consumed: usize, octets: &'static [u8]) -> Decoded<'a> {
        self.traits.add(octets);
        Decoded { restored: octets, ..Decoded::nothing(consumed) }
    }

    pub(super) fn run<'a>(&mut self, input: &'a [u8], start: usize, end: usize) -> Decoded<'a> {
        let content = match self.traits.fault {
            None => input.get(start..end).unwrap_or_default(),
            Some(_) => &[],
        };
        self.traits.add(content);
        Decoded { content, ..Decoded::nothing(end) }
    }
}

/// Watches content that comes by BDAT. Where it ends is said by the commands, so
/// nothing is removed from it; but it will leave by DATA, so the same faults count.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    after_cr: bool,
    line: usize,
    traits: ContentTraits,
    lenient: bool,
}

impl ChunkDecoder {
    /// A decoder at the beginning of some content, which may come in many chunks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a client that is trusted: nothing is a fault, as with
    /// [`DataDecoder::lenient`].
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// What was seen so far.
    pub fn traits(&self) -> &ContentTraits {
        &self.traits
    }

    /// Watches a piece of content.
    pub fn push(&mut self, octets: &[u8]) {
        self.traits.add(octets);
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) {
                if first == b'\n' {
                    self.end_line();
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                self.fail(ContentFault::BareCr);
            }
            let Some(index) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.line = self.line.saturating_add(rest.len());
                return;
            };
            self.line = self.line.saturating_add(index);
            match rest.get(index) {
                Some(b'\r') => self.after_cr = true,
                Some(b'\n') => self.fail(ContentFault::BareLf),
                _ => self.fail(ContentFault::Nul),
            }
            rest = rest.get(index + 1..).unwrap_or_default();
        }
    }

    fn end_line(&mut self) {
        self.traits.longest_line = self.traits.longest_line.max(self.line);
        self.line = 0;
    }

    /// Ends the content; its last line need not have a CRLF.
    pub fn finish(mut self) -> ContentTraits {
        if self.after_cr {
            self.fail(ContentFault::BareCr);
        }
        self.end_line();
        self.traits
    }

    fn fail(&mut self, fault: ContentFault) {
        if !self.lenient {
            self.traits.fail(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::DotStuffer;

    /// Decodes `wire` cut into pieces; the content, the traits and what follows it.
    fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, ContentTraits, Vec<u8>)> {
        let mut decoder = DataDecoder::new();
        let (mut content, mut ended, mut rest) = (Vec::new(), false, Vec::new());
        for piece in pieces {
            let mut piece = *piece;
            while !ended && !piece.is_empty() {
                let step = decoder.decode(piece);
                assert!(step.consumed > 0);
                content.extend_from_slice(step.content);
                assert_eq!(step.restored, b"");
                ended = step.ended;
                piece = &piece[step.consumed..];
            }
            rest.extend_from_slice(piece);
        }
        ended.then(|| (content, *decoder.traits(), rest))
    }

    fn decode_at_every_cut(wire: &[u8]) -> Option<(Vec<u8>, ContentTraits, Vec<u8>)> {
        let whole = decode(&[wire]);
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            assert_eq!(
                decode(&[head, tail]).map(without_content),
                whole.clone().map(without_content)
            );
        }
        whole
    }

    // How much of a faulty message is handed out before its fault is seen depends
    // on the cut; nobody keeps it.
    fn without_content(
        (content, traits, rest): (Vec<u8>, ContentTraits, Vec<u8>),
    ) -> (Option<Vec<u8>>, usize, Option<ContentFault>, Vec<u8>) {
        (traits.fault.is_none().then_some(content), traits.longest_line, traits.fault, rest)
    }

    #[test]
    fn dots_are_removed_and_the_end_is_found() {
        for (wire, content) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b".a\r\n...\r\n.\r\n", b"a\r\n..\r\n"),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n"),
            (b"a.\r\n.\r\n", b"a.\r\n"),
        ] {
            let (got, traits, rest) = decode_at_every_cut(&[wire, b"QUIT\r\n"].concat()).unwrap();
            assert_eq!((&got[..], traits.fault, &rest[..]), (content, None, &b"QUIT\r\n"[..]));
            assert_eq!(traits.octets, content.len() as u64);
        }
    }

    #[test]
    fn nothing_else_ends_a_message_and_the_fault_is_named() {
        use ContentFault::{BareCr, BareLf, Nul};
        for (end, fault) in [
            (&b"\n.\n"[..], BareLf),
            (b"\n.\r\n", BareLf),
            (b"\r\n.\n", BareLf),
            (b"\r.\r", BareCr),
            (b"\r.\r\n", BareCr),
            (b"\r\n.\r", BareCr),
            (b"\r\n.\r\r\n", BareCr),
            (b"\r\r\n.\n", BareCr),
            (b"\r\n.\0\r\n", Nul),
            (b"\0\r\n\0.\r\n", Nul),
            (b"\r\n\0.\r\n", Nul),
        ] {
            let smuggled = [b"a", end, b"MAIL FROM:<evil@example.com>\r\n"].concat();
            assert_eq!(decode_at_every_cut(&smuggled), None, "{end:?} ends nothing");
            let wire = [&smuggled[..], b".\r\nRSET\r\n"].concat();
            let (_, traits, rest) = decode_at_every_cut(&wire).unwrap();
            assert_eq!((traits.fault, &rest[..]), (Some(fault), &b"RSET\r\n"[..]), "{end:?}");
        }
    }

    #[test]
    fn lines_and_high_octets_are_noticed() {
        let (_, traits, _) = decode(&[b"abc\r\n.12345\r\n\xc3\xa9\r\n.\r\n"]).unwrap();
        assert_eq!((traits.longest_line, traits.eight_bit), (5, true));
        assert!(!decode(&[b"abc\r\n.\r\n"]).unwrap().1.eight_bit);
    }

    #[test]
    fn chunks_are_watched_across_their_ends() {
        for (content, longest_line, fault) in [
            (&b"ab\r\nabcd"[..], 4, None),
            (b"\r\n.\r\n\r\n", 1, None),
            (b"a\r", 1, Some(ContentFault::BareCr)),
            (b"a\rb\r\n", 2, Some(ContentFault::BareCr)),
            (b"a\nb\r\n", 2, Some(ContentFault::BareLf)),
            (b"a\0", 1, Some(ContentFault::Nul)),
        ] {
            for cut in 0..=content.len() {
                let mut decoder = ChunkDecoder::new();
                let (head, tail) = content.split_at(cut);
                decoder.push(head);
                decoder.push(tail);
                let traits = decoder.finish();
                assert_eq!((traits.longest_line, traits.fault), (longest_line, fault));
                assert_eq!(traits.octets, content.len() as u64);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_stuffed_is_decoded_again(
            lines in proptest::collection::vec("[.a\\t]{0,4}", 0..12),
            cuts in proptest::collection::vec(0usize..80, 0..4),
        ) {
            let content: String = lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
            let (mut wire, mut stuffer) = (Vec::new(), DotStuffer::new());
            stuffer.push(content.as_bytes(), &mut wire);
            stuffer.finish(&mut wire);
            let mut pieces = Vec::new();
            let mut rest = &wire[..];
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            pieces.push(rest);
            let (got, traits, after) = decode(&pieces).unwrap();
            prop_assert_eq!(got, content.as_bytes());
            prop_assert_eq!(traits.fault, None);
            prop_assert!(after.is_empty());
        }
    }
}
