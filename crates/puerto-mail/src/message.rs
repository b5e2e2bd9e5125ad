//! Facts about a message that decide how it can be sent, gathered in one pass over
//! octets that come in chunks.

/// What a pass over a message found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Some octet is not ASCII, so that 8BITMIME is needed (RFC 6152).
    pub eight_bit: bool,
    /// Octets of the longest line without its line end, a CR that stands alone among
    /// them; more than 998 cannot be sent (RFC 5322 §2.1.1).
    pub longest_line: usize,
    /// A CR or LF stands alone.
    pub bare_line_end: bool,
    /// Some octet is NUL, which no message may hold (RFC 5322 §2.1).
    pub nul: bool,
}

/// Gathers [`Facts`] from chunks that may be cut anywhere, even within a line end.
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    facts: Facts,
    line: usize,
    after_cr: bool,
    // CRs that no LF has followed yet.
    unpaired: u64,
}

impl Scanner {
    /// A scanner that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the octets that follow those before.
    pub fn update(&mut self, chunk: &[u8]) {
        self.facts.eight_bit |= !chunk.is_ascii();
        self.facts.nul |= memchr::memchr(0, chunk).is_some();
        self.unpaired += memchr::memchr_iter(b'\r', chunk).count() as u64;
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', chunk) {
            let before = at.checked_sub(1).and_then(|before| chunk.get(before));
            let is_crlf = before.map_or(self.after_cr, |octet| *octet == b'\r');
            self.line += at - start;
            self.line -= usize::from(is_crlf);
            self.end_line();
            self.facts.bare_line_end |= !is_crlf;
            self.unpaired -= u64::from(is_crlf);
            start = at + 1;
        }
        self.line += chunk.len() - start;
        self.after_cr = chunk.last().map_or(self.after_cr, |octet| *octet == b'\r');
    }

    fn end_line(&mut self) {
        self.facts.longest_line = self.facts.longest_line.max(self.line);
        self.line = 0;
    }

    /// The facts about all octets; a last line without its end counts as one.
    pub fn finish(mut self) -> Facts {
        self.facts.bare_line_end |= self.unpaired > 0;
        self.end_line();
        self.facts
    }
}

/// The facts about octets that are all there.
pub fn scan(octets: &[u8]) -> Facts {
    let mut scanner = Scanner::new();
    scanner.update(octets);
    scanner.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_seen_at_every_cut() {
        for (message, longest_line, eight_bit, bare_line_end, nul) in [
            ("", 0, false, false, false),
            ("a: b\r\n\r\nabc", 4, false, false, false),
            ("é\r\n", 2, true, false, false),
            ("a\r\n\r\n", 1, false, false, false),
            ("a\nb", 1, false, true, false),
            ("a\rb\r\n", 3, false, true, false),
            ("a\r\r\n", 2, false, true, false),
            ("a\r", 2, false, true, false),
            ("a\r\n\n", 1, false, true, false),
            ("a\0\r\n", 2, false, false, true),
        ] {
            let octets = message.as_bytes();
            let expected = Facts { eight_bit, longest_line, bare_line_end, nul };
            for cut in 0..=octets.len() {
                let mut scanner = Scanner::new();
                scanner.update(&octets[..cut]);
                scanner.update(&octets[cut..]);
                assert_eq!(scanner.finish(), expected, "{message:?} at {cut}");
            }
        }
    }
}
