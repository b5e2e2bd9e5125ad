//! The character set of text that does not say which it is in: what readers show is what
//! it is labelled as, in a header and in a body alike.
//!
//! UTF-8 is recognized by its form; where more of it is whole than broken, it is UTF-8
//! that a program has cut, and not something else. Western text of old programs is in
//! windows-1252, where letters beyond ASCII stand alone or in pairs. Everything else is
//! marked `unknown-8bit` (RFC 1428 §3): no label is better than a wrong one, since most
//! readers then try the set that their owner reads.

/// What text seems to be in, from octets that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Guess {
    // The beginning of a character whose rest is in the next piece.
    begun: Vec<u8>,
    whole: u64,
    broken: u64,
    // Letters beyond ASCII, as windows-1252 has them, that stand in a row at the end.
    row: usize,
    is_foreign: bool,
    after_escape: bool,
    is_japanese: bool,
}

impl Guess {
    /// What a whole text seems to be in.
    pub fn of(octets: &[u8]) -> Self {
        let mut guess = Self::default();
        guess.update(octets);
        guess
    }

    /// Takes the octets that follow those before, cut anywhere.
    pub fn update(&mut self, octets: &[u8]) {
        let is_plain = self.begun.is_empty() && octets.is_ascii();
        if is_plain && !self.after_escape && memchr::memchr(0x1b, octets).is_none() {
            self.row = if octets.is_empty() { self.row } else { 0 };
            return;
        }
        for octet in octets {
            self.row = if *octet >= 0xc0 { self.row + 1 } else { 0 };
            let is_undefined = matches!(octet, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d);
            self.is_foreign |= self.row > 2 || is_undefined;
            self.is_japanese |= self.after_escape && *octet == b'$';
            self.after_escape = *octet == 0x1b;
        }
        let joined = [std::mem::take(&mut self.begun).as_slice(), octets].concat();
        let mut rest = joined.len();
        for chunk in joined.utf8_chunks() {
            self.whole += chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count() as u64;
            let invalid = chunk.invalid();
            rest -= chunk.valid().len() + invalid.len();
            let is_begun = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if rest == 0 && is_begun {
                self.begun = invalid.to_vec();
            } else {
                self.broken += u64::from(!invalid.is_empty());
            }
        }
    }

    /// The name by which it is labelled.
    pub fn charset(&self) -> &'static str {
        let is_whole = self.broken == 0 && self.begun.is_empty();
        match () {
            () if self.is_japanese => "iso-2022-jp",
            () if is_whole || self.whole > self.broken => "utf-8",
            () if self.is_foreign => "unknown-8bit",
            () => "windows-1252",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_known_by_its_form_at_every_cut() {
        for (octets, expected) in [
            ("añ€𝄞".as_bytes(), "utf-8"),
            (b"", "utf-8"),
            (b"N\xc3\xba\xc3\xb1e\xc3", "utf-8"),
            (b"a\xe9b", "windows-1252"),
            (b"a\xe9", "windows-1252"),
            (b"\xc3", "windows-1252"),
            (b"Jos\xe9 N\xfa\xf1ez \x80 10", "windows-1252"),
            (b"a\x81\xe9", "unknown-8bit"),
            (b"\xcf\xf0\xe8\xe2\xe5\xf2", "unknown-8bit"),
            (b"\xbb\xe1\xd2\xe9\xcd\xa8\xd6\xaa", "unknown-8bit"),
            (b"\x1b$B;3\x1b(B x", "iso-2022-jp"),
            (b"\x1b[31mred\x1b(B", "utf-8"),
        ] {
            for cut in 0..=octets.len() {
                let mut guess = Guess::of(&octets[..cut]);
                guess.update(&octets[cut..]);
                assert_eq!(guess.charset(), expected, "{octets:?} at {cut}");
            }
        }
    }
}
