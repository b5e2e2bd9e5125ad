//! The header of a message, read over its raw octets.
//!
//! Nothing is rewritten here: a field keeps its folding, its spelling and its
//! odd white space, because a signature may cover them. [`Header::parse`] is the
//! only place in the project that decides where a header ends; signing, sending
//! and returning all use its answer, so that no text can be header to one reader
//! and body to another.
//!
//! The header ends at the first empty line. A line that is neither a field nor
//! the continuation of one ends it too ([`End::Malformed`]): readers disagree
//! about what follows such a line, so whoever forwards the message puts an empty
//! line there.

pub mod address_list;
pub mod encoded_word;
pub mod forgiving;
mod parameter;
mod write;

use std::borrow::Cow;

pub use address_list::{Mailbox, is_well_formed, parse_address_list};
pub use forgiving::read_address_list;
pub use parameter::write_parameters;
pub use write::{
    write_address_list, write_folded, write_mailboxes, write_mended, write_structured,
    write_unstructured,
};

/// Octets of a header at most. Real ones reach hundreds of thousands: thousands of
/// recipients, or a mailing list's whole thread in References.
pub const MAX_HEADER: usize = 2 * 1024 * 1024;

/// Why octets are not a header that this server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It does not end within [`MAX_HEADER`] octets.
    #[error("the header is longer than 2 MiB")]
    TooLong,
}

/// What a header ended with, and so where the body begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An empty line, which belongs to neither header nor body.
    Blank,
    /// A line that is neither a field nor the continuation of one; it counts as
    /// the first of the body.
    Malformed,
    /// The end of the octets: there is no body.
    EndOfInput,
}

/// One field of a header, continuation lines included (RFC 5322 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads a field from its octets, final CRLF included or not; `None` if they do
    /// not begin with a name and a colon.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', raw)?;
        let before = raw.get(..colon)?;
        // WSP before the colon is obsolete syntax that is still met (RFC 5322 §4.5).
        let kept = before.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
        let name = before.get(..kept)?;
        let valid = !name.is_empty() && name.iter().all(|b| (33..=126).contains(b));
        let value = raw.get(colon + 1..)?;
        let value = value.strip_suffix(b"\r\n").unwrap_or(value);
        valid.then_some(Self { raw, name, value })
    }

    /// The octets as they stand, folding and final CRLF included.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The name as it is written.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Whether it has this name; case does not matter.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// What stands after the colon, folding included, without the final CRLF.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The value on one line, without the white space around it (RFC 5322 §2.2.3).
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        let value = trim(self.value);
        if memchr::memchr2(b'\r', b'\n', value).is_none() {
            return Cow::Borrowed(value);
        }
        Cow::Owned(value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect())
    }

    /// The unfolded value as text; octets that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.unfolded()).into_owned()
    }
}

/// A header: its fields and where it ends.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    octets: &'a [u8],
    fields: Vec<Field<'a>>,
    length: usize,
    end: End,
}

impl<'a> Header<'a> {
    /// Reads the header at the beginning of `octets`: a whole message, or at least
    /// its first [`MAX_HEADER`] + 2 octets. Lines end in CRLF and nothing else.
    pub fn parse(octets: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parse_within(octets, MAX_HEADER)
    }

    /// The same with another bound: a message that is being made may still have
    /// thousands of blind recipients in its header, which are taken out of it.
    pub fn parse_within(octets: &'a [u8], limit: usize) -> Result<Self, HeaderError> {
        let header = Self::parse_leading(octets, limit);
        let rest = octets.get(header.length..).unwrap_or_default();
        let next = rest.get(..field_length(rest, limit)).and_then(Field::parse);
        match next.filter(|_| header.end == End::Malformed) {
            Some(_) => Err(HeaderError::TooLong),
            None => Ok(header),
        }
    }

    /// The same, but of a header that is too long only the fields that end within
    /// `limit` octets; what follows them counts as body, as if it were malformed.
    pub fn parse_leading(octets: &'a [u8], limit: usize) -> Self {
        let mut fields = Vec::with_capacity(16);
        let mut position = 0;
        let end = loop {
            let rest = octets.get(position..).unwrap_or_default();
            if rest.is_empty() {
                break End::EndOfInput;
            }
            if rest.starts_with(b"\r\n") {
                break End::Blank;
            }
            let length = field_length(rest, limit);
            let field = rest.get(..length).filter(|_| position + length <= limit);
            match field.and_then(Field::parse) {
                Some(field) => fields.push(field),
                None => break End::Malformed,
            }
            position += length;
        };
        Self { octets, fields, length: position, end }
    }

    /// The fields in their order.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The fields of this name, from the top.
    pub fn named<'n>(&'n self, name: &'n str) -> impl DoubleEndedIterator<Item = &'n Field<'a>> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// The first field of this name.
    pub fn first(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// How many fields of this name there are.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// All fields as they stand, without the empty line that follows.
    pub fn octets(&self) -> &'a [u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// Where the body begins among the octets that were parsed.
    pub fn body_offset(&self) -> usize {
        self.length + if self.end == End::Blank { 2 } else { 0 }
    }

    /// The body, as far as it was among the octets that were parsed.
    pub fn body(&self) -> &'a [u8] {
        self.octets.get(self.body_offset()..).unwrap_or_default()
    }

    /// What the header ended with; only [`End::Blank`] is as it should be.
    pub fn end(&self) -> End {
        self.end
    }

    /// The line that ended the header, if it was a malformed one.
    pub fn malformed_line(&self) -> Option<&'a [u8]> {
        let rest = self.octets.get(self.length..)?;
        let line = rest.get(..line_length(rest))?;
        (self.end == End::Malformed).then(|| line.strip_suffix(b"\r\n").unwrap_or(line))
    }
}

/// Where the first empty line ends: behind the header of a message of which nothing else
/// is known yet. A malformed line may end it before, which [`Header::parse`] alone
/// decides; but no header reaches further. Lines may end in LF alone, since a message may
/// be looked at before its line ends are made right.
pub fn first_empty_line(octets: &[u8]) -> Option<usize> {
    let mut starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', octets).map(|lf| lf + 1));
    starts.find_map(|start| match octets.get(start..)? {
        [b'\n', ..] => Some(start + 1),
        [b'\r', b'\n', ..] => Some(start + 2),
        _ => None,
    })
}

// Octets of the first line and the continuations that follow it.
fn field_length(octets: &[u8], limit: usize) -> usize {
    let mut length = line_length(octets);
    while octets.get(length).is_some_and(|b| matches!(b, b' ' | b'\t')) {
        let line = line_length(octets.get(length..).unwrap_or_default());
        length += line;
        if line == 0 || length > limit {
            break;
        }
    }
    length
}

// Octets of the first line, its CRLF included if it has one.
fn line_length(octets: &[u8]) -> usize {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\n', octets.get(from..).unwrap_or_default()) {
        let end = from + found + 1;
        if octets.get(..end).is_some_and(|line| line.ends_with(b"\r\n")) {
            return end;
        }
        from = end;
    }
    octets.len()
}

fn trim_end(octets: &[u8]) -> &[u8] {
    let kept = octets.iter().rposition(|b| !is_white(*b)).map_or(0, |last| last + 1);
    octets.get(..kept).unwrap_or_default()
}

fn trim(octets: &[u8]) -> &[u8] {
    let first = octets.iter().position(|b| !is_white(*b)).unwrap_or(octets.len());
    trim_end(octets.get(first..).unwrap_or_default())
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(header: &Header<'_>) -> Vec<String> {
        header.fields().iter().map(|f| String::from_utf8_lossy(f.name()).into_owned()).collect()
    }

    #[test]
    fn fields_keep_their_octets() {
        let message = b"From: a@b\r\nSubject : one\r\n\ttwo \r\nX:\r\n\r\nbody\r\n";
        let header = Header::parse(message).unwrap();
        assert_eq!(names(&header), ["From", "Subject", "X"]);
        let subject = header.first("SUBJECT").unwrap();
        assert_eq!(subject.raw(), b"Subject : one\r\n\ttwo \r\n");
        assert_eq!(subject.unfolded().as_ref(), b"one\ttwo");
        assert_eq!(header.body(), b"body\r\n");
        assert_eq!(header.octets().len() + 2, header.body_offset());
    }

    #[test]
    fn the_end_of_the_header_is_found() {
        for (message, fields, body, end) in [
            ("", 0, "", End::EndOfInput),
            ("\r\nbody", 0, "body", End::Blank),
            ("A: b\r\n", 1, "", End::EndOfInput),
            ("A: b", 1, "", End::EndOfInput),
            ("A: b\r\n\r\n", 1, "", End::Blank),
            ("hi there\r\n", 0, "hi there\r\n", End::Malformed),
            ("A: b\r\nno field\r\nC: d\r\n\r\n", 1, "no field\r\nC: d\r\n\r\n", End::Malformed),
            (" A: b\r\n", 0, " A: b\r\n", End::Malformed),
            ("\tA: b\r\n", 0, "\tA: b\r\n", End::Malformed),
            ("A b: c\r\n\r\n", 0, "A b: c\r\n\r\n", End::Malformed),
            ("A\r\n : c\r\n\r\n", 0, "A\r\n : c\r\n\r\n", End::Malformed),
            ("A: b\n\nC: d\r\n\r\nx", 1, "x", End::Blank),
            ("A: b\r\n \r\nC: d\r\n\r\nx", 2, "x", End::Blank),
        ] {
            let header = Header::parse(message.as_bytes()).unwrap();
            assert_eq!(header.fields().len(), fields, "{message:?}");
            assert_eq!(header.body(), body.as_bytes(), "{message:?}");
            assert_eq!(header.end(), end, "{message:?}");
        }
    }

    #[test]
    fn no_header_reaches_behind_the_first_empty_line() {
        for (message, end) in [
            ("", None),
            ("A: b\r\n", None),
            ("A: b\r\n\r", None),
            ("\r\nbody", Some(2)),
            ("\nbody", Some(1)),
            ("A: b\r\n\r\nbody\r\n\r\n", Some(8)),
            ("A: b\n\nbody", Some(6)),
            ("A: b\n\r\nbody", Some(7)),
            ("A: b\n \n\r\rno\n\n", Some(13)),
        ] {
            assert_eq!(first_empty_line(message.as_bytes()), end, "{message:?}");
            if !message.replace("\r\n", "").contains('\n') {
                let header = Header::parse(message.as_bytes()).unwrap();
                assert!(header.body_offset() <= end.unwrap_or(message.len()), "{message:?}");
            }
        }
    }

    #[test]
    fn a_malformed_line_can_be_shown() {
        let header = Header::parse(b"A: b\r\nwhat is this\r\n\r\n").unwrap();
        assert_eq!(header.malformed_line(), Some(b"what is this".as_slice()));
    }

    #[test]
    fn a_header_without_bounds_is_refused() {
        let fields = b"A: b\r\n".repeat(MAX_HEADER / 6 + 2);
        assert_eq!(Header::parse(&fields).unwrap_err(), HeaderError::TooLong);
        let line = [b"A: ".as_slice(), &vec![b'x'; MAX_HEADER], b"\r\n\r\n"].concat();
        assert_eq!(Header::parse(&line).unwrap_err(), HeaderError::TooLong);
        let folded = [b"A: b\r\n".as_slice(), &b" c\r\n".repeat(MAX_HEADER)].concat();
        assert_eq!(Header::parse(&folded).unwrap_err(), HeaderError::TooLong);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_invented(octets: Vec<u8>) {
            let header = Header::parse(&octets).unwrap();
            let fields: Vec<u8> = header.fields().iter().flat_map(|f| f.raw().to_vec()).collect();
            proptest::prop_assert_eq!(fields.as_slice(), header.octets());
            let gap = if header.end() == End::Blank { 2 } else { 0 };
            proptest::prop_assert_eq!(
                header.octets().len() + gap + header.body().len(), octets.len());
        }
    }
}
