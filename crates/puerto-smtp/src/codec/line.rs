//! Reads command lines.

use crate::command::announces_chunk;
use crate::limits::{MAX_COMMAND_LINE, MAX_DISCARDED_LINE};

/// What a client sent where a command belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its CRLF. It may hold any octet but LF.
    Command(&'a [u8]),
    /// An LF came without a CR before it. Where the line ends is now a matter of
    /// opinion, so nothing that follows may be taken for a command.
    BareLf,
    /// A line longer than it may be was read to its end and thrown away.
    TooLong {
        /// It began with BDAT: a chunk of a size that nobody knows may follow.
        announces_chunk: bool,
    },
    /// A line longer than [`MAX_DISCARDED_LINE`] still has no end.
    Endless,
}

/// Finds the ends of command lines (RFC 5321 §2.3.8: CRLF and nothing else).
#[derive(Debug, Default)]
pub struct LineDecoder {
    discarded: usize,
    lenient: bool,
    ended_oddly: bool,
    announces_chunk: bool,
}

impl LineDecoder {
    /// A decoder at the beginning of a line.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a client that is trusted: LF ends a line whatever number of CRs
    /// stand before it.
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// Whether the last line ended in something else than CRLF.
    pub fn ended_oddly(&self) -> bool {
        self.ended_oddly
    }

    /// Looks for one line at the beginning of `input`, which holds everything
    /// since the octets that earlier calls consumed. Returns how many octets are
    /// consumed and the line, `None` while it has no end.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Line<'a>>) {
        self.decode_within(MAX_COMMAND_LINE, input)
    }

    /// The same for a line that may have so many octets with its CRLF.
    pub fn decode_within<'a>(&mut self, most: usize, input: &'a [u8]) -> (usize, Option<Line<'a>>) {
        let Some(lf) = memchr::memchr(b'\n', input) else {
            return self.without_end(most, input);
        };
        let consumed = lf + 1;
        let line = input.get(..lf).unwrap_or_default();
        let text = line.iter().rposition(|octet| *octet != b'\r').map_or(0, |last| last + 1);
        self.ended_oddly = line.len() - text != 1;
        let line = match line.strip_suffix(b"\r") {
            _ if self.lenient => line.get(..text).unwrap_or_default(),
            Some(line) => line,
            None => {
                self.discarded = 0;
                return (consumed, Some(Line::BareLf));
            }
        };
        if std::mem::take(&mut self.discarded) == 0 {
            if consumed <= most {
                return (consumed, Some(Line::Command(line)));
            }
            self.announces_chunk = announces_chunk(line);
        }
        (consumed, Some(Line::TooLong { announces_chunk: self.announces_chunk }))
    }

    fn without_end(&mut self, most: usize, input: &[u8]) -> (usize, Option<Line<'static>>) {
        if self.discarded == 0 && input.len() < most {
            return (0, None);
        }
        if self.discarded == 0 {
            self.announces_chunk = announces_chunk(input);
        }
        // A final CR stays: its LF may be the next octet.
        let consumed = input.len() - usize::from(input.ends_with(b"\r"));
        self.discarded = self.discarded.saturating_add(consumed);
        let endless = self.discarded > MAX_DISCARDED_LINE;
        (consumed, endless.then_some(Line::Endless))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` cut into pieces of `step` octets; tells what came out.
    fn lines(wire: &[u8], step: usize) -> Vec<String> {
        let mut decoder = LineDecoder::new();
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for piece in wire.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                let (consumed, line) = decoder.decode(&buffer);
                let name = line.map(|line| match line {
                    Line::Command(octets) => String::from_utf8_lossy(octets).into_owned(),
                    other => format!("{other:?}"),
                });
                buffer.drain(..consumed);
                let Some(name) = name else { break };
                seen.push(name);
                if seen.ends_with(&["Endless".to_owned()]) {
                    return seen;
                }
            }
            assert!(buffer.len() <= MAX_COMMAND_LINE + step, "memory is bounded");
        }
        seen
    }

    #[test]
    fn only_crlf_ends_a_line_at_any_cut() {
        for step in 1..20 {
            assert_eq!(lines(b"NOOP\r\n\r\nQUIT\r\nX", step), ["NOOP", "", "QUIT"]);
            assert_eq!(lines(b"a\rb\r\r\n", step), ["a\rb\r"]);
            assert_eq!(lines(b"NOOP\nQUIT\r\n", step), ["BareLf", "QUIT"]);
            assert_eq!(lines(b"\n", step), ["BareLf"]);
        }
    }

    #[test]
    fn a_trusted_client_may_end_its_lines_otherwise() {
        for (wire, line, oddly) in [
            (&b"NOOP\r\n"[..], &b"NOOP"[..], false),
            (b"NOOP\n", b"NOOP", true),
            (b"NOOP\r\r\n", b"NOOP", true),
            (b"\n", b"", true),
            (b"a\rb\r\n", b"a\rb", false),
        ] {
            let mut decoder = LineDecoder::lenient();
            assert_eq!(decoder.decode(wire), (wire.len(), Some(Line::Command(line))));
            assert_eq!(decoder.ended_oddly(), oddly, "{wire:?}");
        }
    }

    #[test]
    fn long_lines_are_thrown_away_within_bounds() {
        let line = |length: usize| [vec![b'x'; length], b"\r\nNOOP\r\n".to_vec()].concat();
        let too_long = ["TooLong { announces_chunk: false }", "NOOP"];
        for step in [1, 7, 2048, 100_000] {
            let chunk = [b" bDaT ".to_vec(), line(60_000)].concat();
            assert_eq!(lines(&chunk, step), ["TooLong { announces_chunk: true }", "NOOP"]);
            let longest = MAX_COMMAND_LINE - 2;
            assert_eq!(lines(&line(longest), step)[0].len(), longest);
            assert_eq!(lines(&line(longest + 1), step), too_long);
            assert_eq!(lines(&line(60_000), step), too_long);
        }
        assert_eq!(lines(&[b'x'; 100_000], 1000)[0], "Endless");
        assert_eq!(lines(&[b'\r'; 100_000], 1000)[0], "Endless");
    }
}
