//! Writes content in the form that follows DATA (RFC 5321 §4.5.2).

use super::watch::has_crlf_only;

/// How the content that was written so far ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// At the beginning of a line: nothing was written, or CRLF.
    LineStart,
    /// After a CR, which is not written yet.
    Cr,
    /// After anything else.
    Middle,
}

/// Doubles the dots that begin a line, and ends the content with CRLF.CRLF. It
/// works on a stream: pieces may be cut anywhere.
///
/// Content that leaves this server has CRLF line ends only. This is the second lock:
/// an LF without a CR becomes a line end and a CR without an LF a space, so that no
/// receiver, whatever it takes for a line end, finds the end of the message where we
/// did not write it (RFC 5321 §2.3.8).
#[derive(Debug)]
pub struct DotStuffer {
    tail: Tail,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DotStuffer {
    /// What ends content, at the beginning of a line.
    pub const END: &[u8] = b".\r\n";

    /// A stuffer at the beginning of some content.
    pub fn new() -> Self {
        Self { tail: Tail::LineStart }
    }

    /// Whether whole content needs nothing but [`Self::END`] behind it: every line ends in
    /// CRLF and none begins with a dot.
    pub fn is_plain(content: &[u8]) -> bool {
        content.ends_with(b"\r\n")
            && !content.starts_with(b".")
            && memchr::memmem::find(content, b"\n.").is_none()
            && has_crlf_only(content, false)
    }

    /// Appends a piece of content to `out`.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        out.reserve(content.len() + 8);
        let mut rest = content;
        while let Some(&first) = rest.first() {
            if self.tail == Tail::Cr && first != b'\n' {
                out.push(b' ');
                self.tail = Tail::Middle;
            }
            if self.tail == Tail::LineStart && first == b'.' {
                out.push(b'.');
            }
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let (line, behind) =
                rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
            out.extend_from_slice(line);
            self.tail = match behind.first() {
                Some(b'\r') => Tail::Cr,
                Some(_) => {
                    out.extend_from_slice(b"\r\n");
                    Tail::LineStart
                }
                None => Tail::Middle,
            };
            rest = behind.get(1..).unwrap_or_default();
        }
    }

    /// Appends the end of the content, after a final CRLF if there is none.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.tail != Tail::LineStart {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(Self::END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuff(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stuffer = DotStuffer::new();
        for piece in pieces {
            stuffer.push(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_written() {
        let cases: [(&[u8], &[u8]); 17] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
            (b"a.b\r\n.c\r\n\r\n.d.", b"a.b\r\n..c\r\n\r\n..d.\r\n.\r\n"),
            (b"\r\n\r\n", b"\r\n\r\n.\r\n"),
            // No receiver may find an end here, whatever it takes for one.
            (b"a\n.\r\n", b"a\r\n..\r\n.\r\n"),
            (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb\r\n", b"a . b\r\n.\r\n"),
            (b"a\r\n.\r\r\nb", b"a\r\n.. \r\nb\r\n.\r\n"),
            (b"a\r\n.\rb\n\r\r", b"a\r\n.. b\r\n \r\n.\r\n"),
            (b"\n.\n", b"\r\n..\r\n.\r\n"),
            (b"\r\r\n", b" \r\n.\r\n"),
        ];
        for (content, wire) in cases {
            let plain = wire == [content, b".\r\n"].concat() && !content.is_empty();
            assert_eq!(DotStuffer::is_plain(content), plain, "{content:?}");
            for cut in 0..=content.len() {
                let (head, tail) = content.split_at(cut);
                assert_eq!(stuff(&[head, b"", tail]), wire, "{content:?} cut at {cut}");
            }
        }
    }
}
