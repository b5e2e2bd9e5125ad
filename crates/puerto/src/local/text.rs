//! Turns a message as it travels into one as it is kept: lines end in LF, and an
//! mbox quotes the lines that would begin another message.

use std::io::{self, BufRead, Read, Write};

/// Copies a message with its line ends made local. With `quote`, a line of the form
/// `>*From ` gets one more `>`, so that taking one away always gives the original.
/// The copy ends with a line end.
pub(super) fn copy(from: &mut dyn Read, to: &mut dyn Write, quote: bool) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(PIECE, from);
    let mut piece = Vec::with_capacity(PIECE);
    let mut at_line_start = true;
    let mut carriage_return = false;
    loop {
        piece.clear();
        let limit = u64::try_from(PIECE).unwrap_or(u64::MAX);
        if from.by_ref().take(limit).read_until(b'\n', &mut piece)? == 0 {
            break;
        }
        // A CR at a piece's end belongs to a line end only if LF comes next.
        if carriage_return && piece != b"\n" {
            to.write_all(b"\r")?;
        }
        carriage_return = piece.last() == Some(&b'\r');
        let (text, ended) = match piece.as_slice() {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => (text, true),
            [text @ .., b'\r'] => (text, false),
            text => (text, false),
        };
        if quote && at_line_start && needs_quoting(text) {
            to.write_all(b">")?;
        }
        to.write_all(text)?;
        if ended {
            to.write_all(b"\n")?;
        }
        at_line_start = ended;
    }
    if carriage_return {
        to.write_all(b"\r")?;
    }
    if !at_line_start {
        to.write_all(b"\n")?;
    }
    Ok(())
}

// Octets of a line that are held at once: lines may be as long as the message.
const PIECE: usize = 64 * 1024;

fn needs_quoting(line: &[u8]) -> bool {
    let rest = line.iter().position(|byte| *byte != b'>').and_then(|start| line.get(start..));
    rest.is_some_and(|rest| rest.starts_with(b"From "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(text: &[u8], quote: bool) -> Vec<u8> {
        let mut out = Vec::new();
        copy(&mut &*text, &mut out, quote).unwrap();
        out
    }

    #[test]
    fn lines_that_look_like_separators_are_quoted() {
        for (text, expected) in [
            (&b"From me\r\n"[..], &b">From me\n"[..]),
            (b">From me\r\n", b">>From me\n"),
            (b">>>From me\r\n", b">>>>From me\n"),
            (b"From: me\r\n", b"From: me\n"),
            (b"Fromage\r\n", b"Fromage\n"),
            (b" From me\r\n", b" From me\n"),
            (b"> From me\r\n", b"> From me\n"),
            (b"a\r\nFrom b\r\n\r\nFrom c", b"a\n>From b\n\n>From c\n"),
            (b"from me\r\n", b"from me\n"),
            (b">>>\r\n", b">>>\n"),
            (b"", b""),
        ] {
            assert_eq!(copied(text, true), expected, "{text:?}");
        }
        assert_eq!(copied(b"From me\r\n", false), b"From me\n");
    }

    #[test]
    fn line_ends_become_local_and_nothing_else_changes() {
        for (text, expected) in [
            (&b"a\r\nb\nc"[..], &b"a\nb\nc\n"[..]),
            (b"a\rb\r\r\n", b"a\rb\r\n"),
            (b"a\r", b"a\r\n"),
            (b"\r\n\r\n", b"\n\n"),
        ] {
            assert_eq!(copied(text, true), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_longer_than_a_piece_is_one_line() {
        for extra in [0, 1, 2] {
            let mut text = vec![b'x'; PIECE - extra];
            text.extend_from_slice(b"\r\nFrom x\r\n");
            let mut expected = vec![b'x'; PIECE - extra];
            expected.extend_from_slice(b"\n>From x\n");
            assert_eq!(copied(&text, true), expected, "{extra}");
        }
        let mut text = vec![b'x'; PIECE];
        text.extend_from_slice(b"From y\r\n");
        let mut expected = vec![b'x'; PIECE];
        expected.extend_from_slice(b"From y\n");
        assert_eq!(copied(&text, true), expected);
    }
}
