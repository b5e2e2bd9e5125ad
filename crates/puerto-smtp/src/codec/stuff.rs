//! Writes content in the form that follows DATA (RFC 5321 §4.5.2).

use memchr::memmem;

/// How the content that was written so far ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// At the beginning of a line: nothing was written, or CRLF.
    LineStart,
    /// After an LF without a CR before it.
    BareLf,
    /// After a CR.
    Cr,
    /// After anything else.
    Middle,
}

/// Doubles the dots that begin a line, and ends the content with CRLF.CRLF. It
/// works on a stream: pieces may be cut anywhere.
///
/// Content that leaves this server has CRLF line ends only. A dot after a bare LF
/// is doubled all the same, as a second lock: a receiver that takes LF for a line
/// end must not find the end of the message where we did not write it.
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
    /// A stuffer at the beginning of some content.
    pub fn new() -> Self {
        Self { tail: Tail::LineStart }
    }

    /// Appends a piece of content to `out`.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let (Some(&first), Some(&last)) = (content.first(), content.last()) else {
            return;
        };
        out.reserve(content.len() + 8);
        if first == b'.' && matches!(self.tail, Tail::LineStart | Tail::BareLf) {
            out.push(b'.');
        }
        let mut written = 0;
        for index in memmem::find_iter(content, b"\n.") {
            out.extend_from_slice(content.get(written..=index).unwrap_or_default());
            out.push(b'.');
            written = index + 1;
        }
        out.extend_from_slice(content.get(written..).unwrap_or_default());
        let before_last = content.len().checked_sub(2).and_then(|i| content.get(i)).copied();
        let cr_before = before_last.map_or(self.tail == Tail::Cr, |byte| byte == b'\r');
        self.tail = match last {
            b'\n' if cr_before => Tail::LineStart,
            b'\n' => Tail::BareLf,
            b'\r' => Tail::Cr,
            _ => Tail::Middle,
        };
    }

    /// Appends the end of the content, after a final CRLF if there is none.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.tail {
            Tail::LineStart => b".\r\n",
            Tail::Cr => b"\n.\r\n",
            Tail::BareLf | Tail::Middle => b"\r\n.\r\n",
        });
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
        let cases: [(&[u8], &[u8]); 11] = [
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
            (b"a\n.\r\n", b"a\n..\r\n.\r\n"),
        ];
        for (content, wire) in cases {
            for cut in 0..=content.len() {
                let (head, tail) = content.split_at(cut);
                assert_eq!(stuff(&[head, b"", tail]), wire, "{content:?} cut at {cut}");
            }
        }
    }
}
