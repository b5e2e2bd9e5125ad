//! Canonicalization (RFC 6376 §3.4): what of a message is hashed, and in what form.

use aws_lc_rs::digest;

use crate::header::Field;

/// How much change on the way a signature forgives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Canonicalization {
    /// Next to none: any change to white space breaks the signature (RFC 6376 §3.4).
    Simple,
    /// Folding, white space and the case of field names.
    Relaxed,
}

impl Canonicalization {
    /// As the `c=` tag writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }

    /// Reads one half of a `c=` tag.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Simple, Self::Relaxed].into_iter().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}

/// The hash of a body and how it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyHash {
    /// The form that was hashed.
    pub canonicalization: Canonicalization,
    /// SHA-256 of the body in its canonical form, as `bh=` carries it.
    pub sha256: Vec<u8>,
    /// How many octets the canonical form has, those beyond a limit included.
    pub octets: u64,
}

/// Canonicalizes and hashes a body that comes in chunks, cut anywhere.
#[derive(Clone)]
pub struct BodyHasher {
    canonicalization: Canonicalization,
    reducer: WhiteSpaceReducer,
    tail: TailTrimmer,
    scratch: Vec<u8>,
}

impl BodyHasher {
    /// A hasher for one canonicalization.
    pub fn new(canonicalization: Canonicalization) -> Self {
        Self::with_limit(canonicalization, u64::MAX)
    }

    /// A hasher that hashes only the first `limit` canonical octets, to check a
    /// signature with an `l=` tag.
    pub(super) fn with_limit(canonicalization: Canonicalization, limit: u64) -> Self {
        Self {
            canonicalization,
            reducer: WhiteSpaceReducer::default(),
            tail: TailTrimmer {
                hash: digest::Context::new(&digest::SHA256),
                octets: 0,
                limit,
                line_ends: 0,
                carriage_return: false,
            },
            scratch: Vec::new(),
        }
    }

    /// Takes the octets of the body that follow those before, cut anywhere.
    pub fn update(&mut self, chunk: &[u8]) {
        match self.canonicalization {
            Canonicalization::Simple => self.tail.update(chunk),
            Canonicalization::Relaxed => {
                self.scratch.clear();
                self.reducer.update(chunk, &mut self.scratch);
                self.tail.update(&self.scratch);
            }
        }
    }

    /// Ends the body: empty lines at its end do not count (RFC 6376 §3.4.3).
    pub fn finish(mut self) -> BodyHash {
        if self.canonicalization == Canonicalization::Relaxed {
            self.scratch.clear();
            self.reducer.finish(&mut self.scratch);
            self.tail.update(&self.scratch);
        }
        let (sha256, octets) = self.tail.finish(self.canonicalization);
        BodyHash { canonicalization: self.canonicalization, sha256, octets }
    }
}

impl std::fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BodyHasher({})", self.canonicalization.name())
    }
}

// Turns runs of white space into one space and drops them before a CRLF
// (RFC 6376 §3.4.4 a). What it holds back between chunks is white space and a CR.
#[derive(Debug, Clone, Default)]
struct WhiteSpaceReducer {
    space: bool,
    carriage_return: bool,
}

impl WhiteSpaceReducer {
    fn update(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while let Some((&first, after)) = rest.split_first() {
            if self.carriage_return {
                self.carriage_return = false;
                if first == b'\n' {
                    self.space = false;
                    out.extend_from_slice(b"\r\n");
                    rest = after;
                    continue;
                }
                self.emit_space(out);
                out.push(b'\r');
            }
            match first {
                b' ' | b'\t' => self.space = true,
                b'\r' => self.carriage_return = true,
                _ => {
                    self.emit_space(out);
                    let (run, remainder) = rest.split_at(run_length(rest));
                    out.extend_from_slice(run);
                    rest = remainder;
                    continue;
                }
            }
            rest = after;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.carriage_return) {
            self.emit_space(out);
            out.push(b'\r');
        }
        // White space at the very end stands before the CRLF that is missing.
        self.space = false;
    }

    fn emit_space(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.space) {
            out.push(b' ');
        }
    }
}

// Octets from the start that canonicalization leaves alone: single spaces between
// other characters and line ends after them stay as they are, so they need not be
// taken one by one. The first octet is neither white space nor CR.
fn run_length(octets: &[u8]) -> usize {
    let mut position = 1;
    loop {
        let rest = octets.get(position..).unwrap_or_default();
        let Some(found) = memchr::memchr3(b' ', b'\t', b'\r', rest) else { return octets.len() };
        position += found;
        let next = octets.get(position + 1).copied();
        let harmless = match (octets.get(position), next) {
            (Some(b' '), Some(next)) => !matches!(next, b' ' | b'\t' | b'\r'),
            (Some(b'\r'), Some(b'\n')) => true,
            _ => false,
        };
        if !harmless {
            return position;
        }
        position += 1;
    }
}

// Hashes everything but the empty lines at the end (RFC 6376 §3.4.3 and §3.4.4 b):
// line ends are held back until something follows them.
#[derive(Clone)]
struct TailTrimmer {
    hash: digest::Context,
    octets: u64,
    limit: u64,
    line_ends: u64,
    carriage_return: bool,
}

impl TailTrimmer {
    fn update(&mut self, chunk: &[u8]) {
        let mut chunk = chunk;
        if self.carriage_return && !chunk.is_empty() {
            self.carriage_return = false;
            match chunk.strip_prefix(b"\n") {
                Some(rest) => {
                    self.line_ends += 1;
                    chunk = rest;
                }
                None => {
                    self.release_line_ends();
                    self.hash(b"\r");
                }
            }
        }
        let (content, carriage_return) = match chunk.strip_suffix(b"\r") {
            Some(before) => (before, true),
            None => (chunk, false),
        };
        let mut kept = content;
        let mut line_ends = 0;
        while let Some(before) = kept.strip_suffix(b"\r\n") {
            kept = before;
            line_ends += 1;
        }
        if !kept.is_empty() {
            self.release_line_ends();
            self.hash(kept);
        }
        self.line_ends += line_ends;
        self.carriage_return |= carriage_return;
    }

    fn release_line_ends(&mut self) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.hash(b"\r\n");
        }
    }

    fn hash(&mut self, octets: &[u8]) {
        let room = usize::try_from(self.limit.saturating_sub(self.octets)).unwrap_or(usize::MAX);
        self.hash.update(octets.get(..room).unwrap_or(octets));
        self.octets += octets.len() as u64;
    }

    fn finish(mut self, canonicalization: Canonicalization) -> (Vec<u8>, u64) {
        if self.carriage_return {
            self.release_line_ends();
            self.hash(b"\r");
        }
        // An empty body is one line end in the simple form and nothing in the relaxed
        // one; any other ends with exactly one.
        if self.octets > 0 || canonicalization == Canonicalization::Simple {
            self.hash(b"\r\n");
        }
        (self.hash.finish().as_ref().to_vec(), self.octets)
    }
}

/// Appends a field in its canonical form, final CRLF included (RFC 6376 §3.4.1, §3.4.2).
pub(super) fn canonical_field(
    field: &Field<'_>,
    canonicalization: Canonicalization,
    out: &mut Vec<u8>,
) {
    match canonicalization {
        Canonicalization::Simple => {
            out.extend_from_slice(field.raw().strip_suffix(b"\r\n").unwrap_or(field.raw()));
        }
        Canonicalization::Relaxed => {
            out.extend(field.name().iter().map(u8::to_ascii_lowercase));
            out.push(b':');
            let mut space = false;
            let start = out.len();
            for &byte in field.value() {
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => space = true,
                    other => {
                        if std::mem::take(&mut space) && out.len() > start {
                            out.push(b' ');
                        }
                        out.push(other);
                    }
                }
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(octets: &[u8]) -> Vec<u8> {
        digest::digest(&digest::SHA256, octets).as_ref().to_vec()
    }

    fn hash(canonicalization: Canonicalization, chunks: &[&[u8]]) -> BodyHash {
        let mut hasher = BodyHasher::new(canonicalization);
        for chunk in chunks {
            hasher.update(chunk);
        }
        hasher.finish()
    }

    // Body, simple form, relaxed form.
    const BODIES: [(&str, &str, &str); 16] = [
        ("", "\r\n", ""),
        ("\r\n", "\r\n", ""),
        ("\r\n\r\n\r\n", "\r\n", ""),
        ("a", "a\r\n", "a\r\n"),
        ("a\r\n", "a\r\n", "a\r\n"),
        ("a\r\n\r\n\r\n", "a\r\n", "a\r\n"),
        (" \r\n", " \r\n", ""),
        (" \t", " \t\r\n", ""),
        ("a \t \r\n \r\n\t\r\n", "a \t \r\n \r\n\t\r\n", "a\r\n"),
        (" a  b\t\tc \r\n", " a  b\t\tc \r\n", " a b c\r\n"),
        ("a\r\n\r\n b", "a\r\n\r\n b\r\n", "a\r\n\r\n b\r\n"),
        ("a\tb c", "a\tb c\r\n", "a b c\r\n"),
        ("a\rb\r\n", "a\rb\r\n", "a\rb\r\n"),
        ("a \rb\nc\r", "a \rb\nc\r\r\n", "a \rb\nc\r\r\n"),
        ("\r\n\r", "\r\n\r\r\n", "\r\n\r\r\n"),
        ("é \r\r\n\r\n", "é \r\r\n", "é \r\r\n"),
    ];

    #[test]
    fn bodies_take_their_canonical_form_at_every_cut() {
        for (body, simple, relaxed) in BODIES {
            let body = body.as_bytes();
            for first in 0..=body.len() {
                for second in first..=body.len() {
                    let chunks = [&body[..first], &body[first..second], &body[second..]];
                    let hashed = hash(Canonicalization::Simple, &chunks);
                    assert_eq!(hashed.sha256, sha256(simple.as_bytes()), "simple {body:?}");
                    assert_eq!(hashed.octets, simple.len() as u64);
                    let hashed = hash(Canonicalization::Relaxed, &chunks);
                    assert_eq!(hashed.sha256, sha256(relaxed.as_bytes()), "relaxed {body:?}");
                    assert_eq!(hashed.octets, relaxed.len() as u64);
                }
            }
        }
    }

    #[test]
    fn a_limit_cuts_what_is_hashed_and_not_what_is_counted() {
        let mut hasher = BodyHasher::with_limit(Canonicalization::Simple, 3);
        hasher.update(b"ab");
        hasher.update(b"cdef\r\n");
        let hash = hasher.finish();
        assert_eq!((hash.sha256, hash.octets), (sha256(b"abc"), 8));
    }

    #[test]
    fn fields_take_their_canonical_form() {
        let mut out = Vec::new();
        let field = Field::parse(b"SUBJect : \t a \r\n\t b  c \r\n").unwrap();
        canonical_field(&field, Canonicalization::Relaxed, &mut out);
        canonical_field(&field, Canonicalization::Simple, &mut out);
        assert_eq!(out, b"subject:a b c\r\nSUBJect : \t a \r\n\t b  c \r\n");
    }

    // The rules of RFC 6376 §3.4.3 and §3.4.4 line by line, as slow and plain as can be.
    fn plain_form(canonicalization: Canonicalization, body: &[u8]) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut line = Vec::new();
        for &byte in body {
            line.push(byte);
            if line.ends_with(b"\r\n") {
                line.truncate(line.len() - 2);
                lines.push(std::mem::take(&mut line));
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        if canonicalization == Canonicalization::Relaxed {
            for line in &mut lines {
                for byte in line.iter_mut().filter(|b| **b == b'\t') {
                    *byte = b' ';
                }
                line.dedup_by(|a, b| *a == b' ' && *b == b' ');
                if line.last() == Some(&b' ') {
                    line.pop();
                }
            }
        }
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        if lines.is_empty() && canonicalization == Canonicalization::Simple {
            lines.push(Vec::new());
        }
        lines.iter().flat_map(|line| [line.as_slice(), b"\r\n"].concat()).collect()
    }

    proptest::proptest! {
        #[test]
        fn any_body_in_any_chunks(
            chunks in proptest::collection::vec("[ab \t\r\n]{0,12}", 0..8),
            relaxed: bool,
        ) {
            let form = if relaxed { Canonicalization::Relaxed } else { Canonicalization::Simple };
            let body = chunks.concat();
            let parts: Vec<&[u8]> = chunks.iter().map(String::as_bytes).collect();
            proptest::prop_assert_eq!(
                hash(form, &parts).sha256,
                sha256(&plain_form(form, body.as_bytes())),
                "{:?}", body
            );
        }
    }
}
