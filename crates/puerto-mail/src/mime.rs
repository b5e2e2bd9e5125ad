//! The structure of a message (RFC 2045, RFC 2046): what MIME fields say with their
//! parameters, and at which lines parts begin and end.
//!
//! This is our own, and no library's: a message passes through it when it is taken in, in
//! pieces and in bounded memory, where libraries want it whole; and a delimiter must be
//! found where receivers find it, at the beginning of a line. Whoever reads says how deep
//! and how far ([`Limits`]): [`Nest`] follows a message line by line, [`read`] one that is
//! all there.

use std::borrow::Cow;

use crate::header::encoded_word::{from_charset, hex};
use crate::header::{Field, Header};

/// Octets of a boundary. RFC 2046 §5.1.1 says 70, and not everybody counts.
pub const MAX_BOUNDARY: usize = 200;

/// The value of a MIME field: a word, and parameters behind it.
///
/// Read as it is met, not only as RFC 2045 §5.1 has it: semicolons may be missing,
/// white space may surround `=`, a value may be unquoted that should not be, and of two
/// parameters of a name the first counts.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// Of a field's unfolded value.
    pub fn of(text: &'a str) -> Self {
        Self(text.trim())
    }

    /// The word, in lower case: `text/plain`.
    pub fn word(self) -> String {
        self.0.split(is_word_end).next().unwrap_or_default().to_ascii_lowercase()
    }

    /// A parameter, in one piece or in several (RFC 2231 §3) that are put together here
    /// and decoded if they say their character set (§4.1).
    pub fn get(self, name: &str) -> Option<String> {
        let mut whole = None;
        let mut sections = Vec::new();
        for (key, value) in Parameters(self.0.trim_start_matches(|c| !is_word_end(c))) {
            let Some((start, rest)) = key.split_at_checked(name.len()) else { continue };
            if !start.eq_ignore_ascii_case(name) {
                continue;
            }
            let number = match rest.strip_prefix('*') {
                None if rest.is_empty() => {
                    whole.get_or_insert(value);
                    continue;
                }
                None => continue,
                Some("") => Some(0),
                Some(number) => number.strip_suffix('*').unwrap_or(number).parse::<usize>().ok(),
            };
            sections.extend(number.map(|number| (number, rest.ends_with('*'), value)));
        }
        sections.sort_by_key(|(number, ..)| *number);
        sections.dedup_by_key(|(number, ..)| *number);
        let count = sections.iter().enumerate().take_while(|(at, one)| *at == one.0).count();
        sections.truncate(count);
        joined(&sections).or_else(|| whole.map(Cow::into_owned))
    }

    /// The boundary of a multipart type, which never ends in white space
    /// (RFC 2046 §5.1.1).
    pub fn boundary(self) -> Option<Vec<u8>> {
        let boundary = self.get("boundary")?;
        let boundary = boundary.trim_end();
        let is_usable = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY;
        is_usable.then(|| boundary.as_bytes().to_owned())
    }
}

fn is_word_end(character: char) -> bool {
    matches!(character, ';' | ',' | '(' | ' ' | '\t')
}

fn joined(sections: &[(usize, bool, Cow<'_, str>)]) -> Option<String> {
    let (_, is_encoded, first) = sections.first()?;
    let (charset, first) = match first.split_once('\'').filter(|_| *is_encoded) {
        Some((charset, rest)) => (charset, rest.split_once('\'').map_or(rest, |(_, rest)| rest)),
        None => ("utf-8", &**first),
    };
    let mut octets = Vec::new();
    for (number, is_encoded, value) in sections {
        let value = if *number == 0 { first } else { value };
        match is_encoded {
            true => octets.extend(without_percent(value.as_bytes())),
            false => octets.extend_from_slice(value.as_bytes()),
        }
    }
    let text = from_charset(charset, octets.clone());
    Some(text.unwrap_or_else(|| String::from_utf8_lossy(&octets).into_owned()))
}

fn without_percent(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (first, rest) = text.split_first()?;
        let encoded = match (first, rest) {
            (b'%', [high, low, after @ ..]) => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (octet, rest) = encoded.unwrap_or((*first, rest));
        text = rest;
        Some(octet)
    })
}

// What stands behind the word of a value.
struct Parameters<'a>(&'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.0.trim_start_matches([';', ',', ' ', '\t']);
            if let Some(comment) = rest.strip_prefix('(') {
                self.0 = behind_comment(comment);
                continue;
            }
            let end = rest.find(|c| c == '=' || is_word_end(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at_checked(end)?;
            let rest = rest.trim_start_matches([' ', '\t']);
            let Some(value) = rest.strip_prefix('=') else {
                if name.is_empty() {
                    return None;
                }
                self.0 = rest;
                continue;
            };
            let value = value.trim_start_matches([' ', '\t']);
            let (value, rest) = match value.strip_prefix('"') {
                Some(quoted) => unquoted(quoted),
                None => {
                    let end = value.find([';', ' ', '\t']).unwrap_or(value.len());
                    let comment = value.find('(').filter(|at| *at > 0).unwrap_or(end);
                    let (value, rest) = value.split_at_checked(end.min(comment))?;
                    (Cow::Borrowed(value), rest)
                }
            };
            self.0 = rest;
            return Some((name, value));
        }
    }
}

// What follows a comment, whose first parenthesis was read; nothing if it has no end.
fn behind_comment(text: &str) -> &str {
    let (mut depth, mut is_escaped) = (1_usize, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return text.get(at + 1..).unwrap_or_default(),
            b')' => depth -= 1,
            _ => {}
        }
    }
    ""
}

// A quoted string, whose first quotation mark was read, and what follows it.
fn unquoted(text: &str) -> (Cow<'_, str>, &str) {
    let (mut value, mut rest) = (Cow::Borrowed(""), text);
    loop {
        let (piece, found) = rest.split_at(rest.find(['"', '\\']).unwrap_or(rest.len()));
        value += piece;
        let mut characters = found.chars();
        if characters.next() != Some('\\') {
            return (value, characters.as_str());
        }
        value.to_mut().extend(characters.next());
        rest = characters.as_str();
    }
}

/// How far a structure is followed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How deep multiparts and messages may lie inside one another.
    pub depth: usize,
    /// How many parts the message may have at all depths together.
    pub parts: usize,
}

/// A line that begins a part or ends the last one, and of which of the open boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter {
    level: usize,
    is_last: bool,
}

/// What a delimiter has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The header of a part, which in a digest is a message unless it says otherwise
    /// (RFC 2046 §5.1.5).
    Part {
        /// It is a part of a digest.
        in_digest: bool,
    },
    /// What belongs to no part.
    Epilogue,
    /// One part more than the limit.
    TooMany,
}

#[derive(Debug)]
struct Open {
    boundary: Vec<u8>,
    is_digest: bool,
    has_parts: bool,
}

/// The boundaries that are open at a line of a message, the innermost last.
#[derive(Debug)]
pub struct Nest {
    limits: Limits,
    open: Vec<Open>,
    depth: usize,
    parts: usize,
}

impl Nest {
    /// At the beginning of a message.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Vec::new(), depth: 0, parts: 0 }
    }

    /// Whether no line can be a delimiter here.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Goes into a message within a message; false if that is deeper than the limit.
    pub fn descend(&mut self) -> bool {
        self.depth += 1;
        self.depth <= self.limits.depth
    }

    /// Goes into a multipart; false if that is deeper than the limit.
    pub fn open(&mut self, boundary: Vec<u8>, is_digest: bool) -> bool {
        let is_allowed = self.descend();
        if is_allowed {
            self.open.push(Open { boundary, is_digest, has_parts: false });
        }
        is_allowed
    }

    /// What a line delimits, with its end or without. One of an outer boundary ends the
    /// inner ones, since those may never be closed (RFC 2046 §5.1.2); where two have the
    /// same boundary, it is the inner one's.
    pub fn delimiter(&self, line: &[u8]) -> Option<Delimiter> {
        let text = line.strip_prefix(b"--")?;
        let levels = self.open.iter().enumerate().rev();
        levels.into_iter().find_map(|(level, open)| {
            let rest = text.strip_prefix(open.boundary.as_slice())?;
            let (is_last, padding) = match rest.strip_prefix(b"--") {
                Some(padding) => (true, padding),
                None => (false, rest),
            };
            let is_blank = padding.iter().all(|octet| b" \t\r\n".contains(octet));
            is_blank.then_some(Delimiter { level, is_last })
        })
    }

    /// Goes past a delimiter, which closes all boundaries within its own, and counts the part
    /// that begins.
    pub fn pass(&mut self, delimiter: Delimiter) -> Behind {
        let Delimiter { level, is_last } = delimiter;
        self.open.truncate(level + usize::from(!is_last));
        self.depth = self.open.len();
        self.parts += usize::from(!is_last);
        match self.open.last_mut() {
            _ if self.parts > self.limits.parts => Behind::TooMany,
            Some(open) if !is_last => {
                open.has_parts = true;
                Behind::Part { in_digest: open.is_digest }
            }
            _ => Behind::Epilogue,
        }
    }
}

/// What is wrong with a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A multipart type names no boundary, or one that cannot be.
    NoBoundary,
    /// No part begins with this boundary.
    NoParts(String),
    /// The line that closes this boundary never comes.
    NotClosed(String),
    /// There are more parts, or parts within parts, than the limit.
    TooMany,
}

/// The structure of a message that is all there.
#[derive(Debug, Default)]
pub struct Structure<'a> {
    /// Parts without parts, in order, each with its header and body.
    pub parts: Vec<Header<'a>>,
    /// What is wrong, in the order in which it was seen.
    pub problems: Vec<Problem>,
}

/// Reads the structure of a message whose header was read. Its lines end in CRLF.
pub fn read<'a>(header: &Header<'a>, limits: Limits) -> Structure<'a> {
    let mut reader = Reader {
        octets: header.body(),
        nest: Nest::new(limits),
        place: Place::Between,
        found: Structure::default(),
    };
    match reader.enter(header) {
        Some(false) => reader.found.parts.push(header.clone()),
        Some(true) => reader.lines().unwrap_or_default(),
        None => {}
    }
    reader.found
}

#[derive(Debug, Clone, Copy)]
enum Place {
    // In the header of a part that begins here.
    Header(usize),
    // In the body of a part that begins here and has no parts.
    Body(usize),
    Between,
}

struct Reader<'a> {
    octets: &'a [u8],
    nest: Nest,
    place: Place,
    found: Structure<'a>,
}

impl<'a> Reader<'a> {
    // `None` where it went too far: nothing is read behind that.
    fn lines(&mut self) -> Option<()> {
        let ends = memchr::memchr_iter(b'\n', self.octets).map(|at| at + 1);
        let mut at = 0;
        for end in ends.chain([self.octets.len()]) {
            let line = self.octets.get(at..end).unwrap_or_default();
            if let Place::Header(begun) = self.place
                && is_behind_header(line, at == begun)
            {
                self.end_header(begun, end)?;
            }
            if let Some(delimiter) = self.nest.delimiter(line) {
                // The line end before a delimiter belongs to it (RFC 2046 §5.1.1).
                self.end_part(at.saturating_sub(2))?;
                self.leave(delimiter);
                self.place = match self.nest.pass(delimiter) {
                    Behind::Part { .. } => Place::Header(end),
                    Behind::Epilogue => Place::Between,
                    Behind::TooMany => return self.too_many(),
                };
            }
            at = end;
        }
        self.end_part(self.octets.len())?;
        self.unclosed(0);
        Some(())
    }

    fn end_header(&mut self, begun: usize, end: usize) -> Option<()> {
        let part = self.octets.get(begun..end).unwrap_or_default();
        self.place = match Header::parse(part).map(|header| self.enter(&header)) {
            Ok(Some(false)) => Place::Body(begun),
            Ok(Some(true)) | Err(_) => Place::Between,
            Ok(None) => return None,
        };
        Some(())
    }

    fn end_part(&mut self, end: usize) -> Option<()> {
        if let Place::Header(begun) = self.place {
            self.end_header(begun, end.max(begun))?;
        }
        if let Place::Body(begun) = std::mem::replace(&mut self.place, Place::Between) {
            let part = self.octets.get(begun..end.max(begun)).unwrap_or_default();
            self.found.parts.extend(Header::parse(part).ok());
        }
        Some(())
    }

    // Whether it has parts, or should have.
    fn enter(&mut self, header: &Header<'_>) -> Option<bool> {
        let text = header.first("Content-Type").map(Field::text).unwrap_or_default();
        let value = Value::of(&text);
        let word = value.word();
        if !word.starts_with("multipart/") {
            return Some(false);
        }
        let Some(boundary) = value.boundary() else {
            self.found.problems.push(Problem::NoBoundary);
            return Some(true);
        };
        if !self.nest.open(boundary, word == "multipart/digest") {
            self.too_many()?;
        }
        Some(true)
    }

    fn too_many(&mut self) -> Option<()> {
        self.found.problems.push(Problem::TooMany);
        None
    }

    fn leave(&mut self, delimiter: Delimiter) {
        let closed = self.nest.open.get(delimiter.level).filter(|_| delimiter.is_last);
        let is_empty = closed.is_some_and(|open| !open.has_parts);
        self.unclosed(delimiter.level + usize::from(!is_empty));
    }

    // Boundaries from this level on will not be closed, or had nothing to close.
    fn unclosed(&mut self, level: usize) {
        for open in self.nest.open.get(level..).unwrap_or_default() {
            let boundary = String::from_utf8_lossy(&open.boundary).into_owned();
            self.found.problems.push(match open.has_parts {
                true => Problem::NotClosed(boundary),
                false => Problem::NoParts(boundary),
            });
        }
    }
}

// An empty line, or one that is no field: `Header` ends there too.
fn is_behind_header(line: &[u8], is_first: bool) -> bool {
    let is_continuation = line.starts_with(b" ") || line.starts_with(b"\t");
    (is_first || !is_continuation) && Field::parse(line).is_none()
}

#[cfg(test)]
mod tests;
