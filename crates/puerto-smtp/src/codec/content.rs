//! Reads content: with dots after DATA, as it is after BDAT.
//!
//! Where content after DATA ends is the same question for everybody: CRLF.CRLF and
//! nothing else ends it. A stranger's content is watched besides, and refused where
//! another server might see an end in it. A trusted client's is not refused but mended,
//! and that is for others to do: programs of our own machines end their lines in LF, in
//! CR CR LF or in whatever they were given. One of them whose very command DATA did not
//! end in CRLF speaks of lines in another way, and ends its content that way too. One
//! whose command did may be passing on what a stranger wrote, with an LF.LF in it that
//! must not become the end (CVE-2023-51764); CR CR LF before that dot is no other
//! sequence, since it ends in CRLF.

use super::watch::{ContentFault, LineWatch};

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

impl<'a> Decoded<'a> {
    fn nothing(consumed: usize) -> Self {
        Self { consumed, content: &[], restored: &[], ended: false }
    }

    fn run(input: &'a [u8], start: usize, end: usize) -> Self {
        Self { content: input.get(start..end).unwrap_or_default(), ..Self::nothing(end) }
    }
}

/// Where the decoder stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    /// After a dot at the beginning of a line.
    Dot,
    /// After a dot and a CR at the beginning of a line.
    DotCr,
    /// After a dot and several CRs at the beginning of a line.
    DotCrs,
    Middle,
    Cr,
}

/// Finds the end of content after DATA, CRLF.CRLF and nothing else, and removes the
/// dots that were added (RFC 5321 §4.5.2).
///
/// A fault does not stop it: the content is read to its true end, so that nothing
/// in it can be taken for a command, and is then to be refused.
#[derive(Debug)]
pub struct DataDecoder {
    place: Place,
    octets: u64,
    /// Looks for faults, unless the client is trusted.
    watch: Option<LineWatch>,
    /// A lone dot ends the content whatever line ends stand around it.
    any_line_end: bool,
    /// The line before ended in LF alone.
    after_odd_end: bool,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// A decoder at the beginning of some content.
    pub fn new() -> Self {
        Self { watch: Some(LineWatch::default()), ..Self::lenient(false) }
    }

    /// The same for a client that is trusted: nothing is a fault, and all octets but
    /// the dots are handed out for somebody else to mend. Where `any_line_end` holds,
    /// as for a client whose very command DATA did not end in CRLF, a lone dot ends
    /// the content whatever its line and the one before it end in.
    pub fn lenient(any_line_end: bool) -> Self {
        let (place, octets) = (Place::LineStart, 0);
        Self { place, octets, watch: None, any_line_end, after_odd_end: false }
    }

    /// Octets that were handed out so far.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The first fault that was seen so far.
    pub fn fault(&self) -> Option<ContentFault> {
        self.watch.as_ref().and_then(LineWatch::fault)
    }

    /// Decodes the beginning of `input`: the longest run of content that is in one
    /// piece. A step may use none of it where what was held back was no end.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Decoded<'a> {
        let mut step = self.advance(input);
        if let Some(watch) = &mut self.watch {
            watch.push(input.get(..step.consumed).unwrap_or_default());
            if watch.fault().is_some() {
                step = Decoded { ended: step.ended, ..Decoded::nothing(step.consumed) };
            }
        }
        let octets = step.content.len() + step.restored.len();
        self.octets = self.octets.saturating_add(octets as u64);
        step
    }

    fn advance<'a>(&mut self, input: &'a [u8]) -> Decoded<'a> {
        let (mut start, mut at) = (0, 0);
        while let Some(&octet) = input.get(at) {
            match (self.place, octet) {
                (Place::LineStart, b'.') if at > start => return Decoded::run(input, start, at),
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    (start, at) = (at + 1, at + 1);
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    (start, at) = (at + 1, at + 1);
                }
                (Place::DotCr | Place::DotCrs, b'\r') => {
                    self.place = Place::DotCrs;
                    (start, at) = (at + 1, at + 1);
                }
                (Place::Dot | Place::DotCr | Place::DotCrs, b'\n') => {
                    let is_end =
                        self.any_line_end || (self.place == Place::DotCr && !self.after_odd_end);
                    self.end_line(self.place == Place::Dot);
                    if is_end {
                        return Decoded { ended: true, ..Decoded::nothing(at + 1) };
                    }
                    return Decoded { restored: b".\r\n", ..Decoded::nothing(at + 1) };
                }
                (Place::DotCr | Place::DotCrs, _) => {
                    self.place = Place::Middle;
                    return Decoded { restored: b"\r", ..Decoded::nothing(at) };
                }
                (Place::Cr | Place::LineStart | Place::Middle, b'\n') => {
                    self.end_line(self.place != Place::Cr);
                    at += 1;
                }
                (Place::LineStart | Place::Dot | Place::Cr | Place::Middle, _) => {
                    at += self.skip(input.get(at..).unwrap_or_default());
                }
            }
        }
        Decoded::run(input, start, at)
    }

    /// Goes on to the next line end behind which a dot stands, or else to the last of
    /// all; returns how many octets that took, at least one.
    fn skip(&mut self, rest: &[u8]) -> usize {
        let text = rest.get(1..).unwrap_or_default();
        let end = memchr::memmem::find(text, b"\n.").or_else(|| memchr::memrchr(b'\n', text));
        let skipped = end.map_or(rest.len(), |end| end + 1);
        let is_cr = rest.get(skipped - 1) == Some(&b'\r');
        self.place = if is_cr { Place::Cr } else { Place::Middle };
        skipped
    }

    fn end_line(&mut self, oddly: bool) {
        self.place = Place::LineStart;
        self.after_odd_end = oddly;
    }
}

/// Watches content that comes by BDAT. Where it ends is said by the commands, so
/// nothing is removed from it; but it will leave by DATA, so the same faults count.
#[derive(Debug)]
pub struct ChunkDecoder {
    octets: u64,
    /// Looks for faults, unless the client is trusted.
    watch: Option<LineWatch>,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkDecoder {
    /// A decoder at the beginning of some content, which may come in many chunks.
    pub fn new() -> Self {
        Self { octets: 0, watch: Some(LineWatch::default()) }
    }

    /// The same for a client that is trusted: nothing is a fault, as with
    /// [`DataDecoder::lenient`].
    pub fn lenient() -> Self {
        Self { octets: 0, watch: None }
    }

    /// Octets that have come so far.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The first fault that was seen so far.
    pub fn fault(&self) -> Option<ContentFault> {
        self.watch.as_ref().and_then(LineWatch::fault)
    }

    /// Watches a piece of content.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        if let Some(watch) = &mut self.watch {
            watch.push(octets);
        }
    }

    /// Ends the content; its last line need not have a CRLF. Returns the first fault.
    pub fn finish(&self) -> Option<ContentFault> {
        self.watch.as_ref().and_then(LineWatch::finish)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::DotStuffer;

    /// What a decoder makes of `wire` cut into pieces: the content, its fault, and what
    /// follows it.
    fn decode_with(
        mut decoder: DataDecoder,
        pieces: &[&[u8]],
    ) -> Option<(Vec<u8>, Option<ContentFault>, Vec<u8>)> {
        let (mut content, mut ended, mut rest) = (Vec::new(), false, Vec::new());
        for piece in pieces {
            let mut piece = *piece;
            while !ended && !piece.is_empty() {
                let step = decoder.decode(piece);
                let goes_on = step.consumed > 0 || !step.restored.is_empty();
                assert!(goes_on || decoder.fault().is_some());
                content.extend_from_slice(step.content);
                content.extend_from_slice(step.restored);
                ended = step.ended;
                piece = &piece[step.consumed..];
            }
            rest.extend_from_slice(piece);
        }
        assert_eq!(decoder.octets(), content.len() as u64);
        let fault = decoder.fault();
        // How much of a faulty message is handed out before its fault is seen depends
        // on the cut; nobody keeps it.
        ended.then(|| (fault.map_or(content, |_| Vec::new()), fault, rest))
    }

    fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, Option<ContentFault>, Vec<u8>)> {
        decode_with(DataDecoder::new(), pieces)
    }

    fn decode_at_every_cut(wire: &[u8]) -> Option<(Vec<u8>, Option<ContentFault>, Vec<u8>)> {
        let whole = decode(&[wire]);
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            assert_eq!(decode(&[head, tail]), whole, "{wire:?} at {cut}");
        }
        whole
    }

    fn decode_leniently(any_line_end: bool, wire: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let run = |pieces: &[&[u8]]| decode_with(DataDecoder::lenient(any_line_end), pieces);
        let whole = run(&[wire]);
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            assert_eq!(run(&[head, tail]), whole, "{wire:?} at {cut}");
        }
        whole.map(|(content, fault, rest)| {
            assert_eq!(fault, None);
            (content, rest)
        })
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
            let (got, fault, rest) = decode_at_every_cut(&[wire, b"QUIT\r\n"].concat()).unwrap();
            assert_eq!((&got[..], fault, &rest[..]), (content, None, &b"QUIT\r\n"[..]));
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
            let (_, seen, rest) = decode_at_every_cut(&wire).unwrap();
            assert_eq!((seen, &rest[..]), (Some(fault), &b"RSET\r\n"[..]), "{end:?}");
        }
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
            let seen = decode_leniently(false, &whole);
            assert_eq!(seen, Some((content.to_vec(), b"QUIT\r\n".to_vec())), "{wire:?}");
        }
        assert_eq!(decode_leniently(false, b"a\n.\nQUIT\n"), None);
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
            let seen = decode_leniently(true, &whole);
            assert_eq!(seen, Some((content.to_vec(), b"QUIT\n".to_vec())), "{wire:?}");
        }
        for no_end in [&b"a\r.\r\n"[..], b"a.\n", b"a\n. \n", b"a\n.\rb\n"] {
            assert_eq!(decode_leniently(true, no_end), None, "{no_end:?}");
        }
    }

    #[test]
    fn chunks_are_watched_across_their_ends() {
        for (content, fault) in [
            (&b"ab\r\nabcd"[..], None),
            (b"\r\n.\r\n\r\n", None),
            (b"a\r", Some(ContentFault::BareCr)),
            (b"a\rb\r\n", Some(ContentFault::BareCr)),
            (b"a\r\r\n", Some(ContentFault::BareCr)),
            (b"a\nb\r\n", Some(ContentFault::BareLf)),
            (b"a\0", Some(ContentFault::Nul)),
            (b"a\0b\n", Some(ContentFault::Nul)),
        ] {
            for cut in 0..=content.len() {
                let mut decoder = ChunkDecoder::new();
                let (head, tail) = content.split_at(cut);
                decoder.push(head);
                decoder.push(tail);
                assert_eq!(decoder.octets(), content.len() as u64);
                assert_eq!(decoder.finish(), fault, "{content:?} at {cut}");
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
            let (got, fault, after) = decode(&pieces).unwrap();
            prop_assert_eq!(got, content.as_bytes());
            prop_assert_eq!(fault, None);
            prop_assert!(after.is_empty());
        }

        #[test]
        fn what_a_stranger_and_a_friend_send_ends_in_one_place(wire in "[.a\r\n\r\n]{0,24}") {
            let wire = [wire.as_bytes(), b"\r\n.\r\nQUIT\r\n"].concat();
            let friend = decode_with(DataDecoder::lenient(false), &[&wire]).unwrap();
            let stranger = decode_at_every_cut(&wire).unwrap();
            prop_assert_eq!(&friend.2, &stranger.2);
            if stranger.1.is_none() {
                prop_assert_eq!(friend.0, stranger.0);
            }
        }
    }
}
