//! Header fields that we write ourselves. Whatever the texts hold, a field written
//! here is one field: line ends come from folding only, control characters become
//! `?`, and non-ASCII text becomes encoded words.

use std::borrow::Cow;

use puerto_smtp::Address;
use puerto_smtp::limits::MAX_TEXT_LINE;
use puerto_smtp::text::is_plain;

use super::address_list::Mailbox;
use super::encoded_word::{self, MAX_WHOLE_WORD, Place};
use super::forgiving::{AddressList, Meaning, Member, Written, plain_name};

/// Octets of a line that is to be folded (RFC 5322 §2.1.1).
const FOLD_AT: usize = 78;
/// Octets of a name that is quoted; a longer one becomes encoded words, which can be
/// folded between.
const MAX_QUOTED: usize = 200;

/// Appends an unstructured field: Subject, or any other that is plain text.
pub fn write_unstructured(out: &mut Vec<u8>, name: &str, text: &str) {
    let text = clean(text);
    if text.is_ascii() {
        let words = text.split(' ').filter(|word| !word.is_empty());
        write_words(out, name, words.map(str::as_bytes));
    } else {
        let encoded = encoded_word::encode(text.as_bytes());
        write_words(out, name, encoded.split(' ').map(str::as_bytes));
    }
}

/// Appends a field that somebody else wrote, made fit for a header: see
/// [`encoded_word::encode_parts`].
pub fn write_mended(
    out: &mut Vec<u8>,
    name: &str,
    value: &[u8],
    place: Place,
    charset: Option<&str>,
) {
    let words = encoded_word::encode_parts(value, place, charset);
    write_words(out, name, words.iter().map(Vec::as_slice));
}

/// Appends a list of addresses that somebody else wrote: what is well formed as it
/// stands, names of groups included, and the rest in a form that can be read.
pub fn write_address_list(
    out: &mut Vec<u8>,
    name: &str,
    list: &AddressList<'_>,
    charset: Option<&str>,
) {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let (mut is_open, mut in_group) = (false, false);
    for member in list.members.iter().filter(|member| !says_nothing(member)) {
        if is_open && member.meaning != Meaning::GroupEnd {
            mark(&mut words, b',');
        }
        is_open = member.meaning != Meaning::Group;
        match &member.meaning {
            Meaning::Mailbox(written) if written.is_sound && has_room(member.octets) => {
                words.extend(member.octets.split(u8::is_ascii_whitespace).map(<[u8]>::to_vec));
                words.retain(|word| !word.is_empty());
            }
            Meaning::Mailbox(written) => mailbox(written, charset, &mut words),
            Meaning::Group => {
                words.extend(written_phrase(&plain_name(member.octets), charset));
                mark(&mut words, b':');
                in_group = true;
            }
            Meaning::GroupEnd => {
                mark(&mut words, b';');
                in_group = false;
            }
            // A name without an address is a group without members, and no other form.
            Meaning::Unread(_) if member.is_empty_path() && !in_group => {
                words.extend(written_phrase(&member.words(), charset));
                mark(&mut words, b':');
                mark(&mut words, b';');
            }
            Meaning::Unread(_) if member.is_empty_path() => {}
            Meaning::Unread(_) => {
                words.extend(encoded_word::encode_parts(member.octets, Place::Guarded, charset));
            }
        }
    }
    write_words(out, name, words.iter().map(Vec::as_slice));
}

fn says_nothing(member: &Member<'_>) -> bool {
    member.is_empty_path() && member.words().is_empty()
}

// Whether it can be folded where it has white space.
fn has_room(octets: &[u8]) -> bool {
    octets.split(u8::is_ascii_whitespace).all(|word| word.len() < MAX_WHOLE_WORD)
}

fn mark(words: &mut Vec<Vec<u8>>, mark: u8) {
    match words.last_mut() {
        Some(word) => word.push(mark),
        None => words.push(vec![mark]),
    }
}

fn mailbox(written: &Written, charset: Option<&str>, words: &mut Vec<Vec<u8>>) {
    let name = written_phrase(&written.name, charset);
    if name.is_empty() {
        words.push(bare(&written.address).into_bytes());
    } else {
        words.extend(name);
        words.push(format!("<{}>", bare(&written.address)).into_bytes());
    }
}

/// Copies a field and folds its over-long lines at the white space that is there, so
/// that a signature in relaxed form still holds. A word too long for a line stays one.
pub fn write_folded(out: &mut Vec<u8>, raw: &[u8]) {
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if line.len() <= MAX_TEXT_LINE + 2 {
            out.extend_from_slice(line);
            continue;
        }
        let mut column = 0;
        let mut rest = line;
        while !rest.is_empty() {
            let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            let word = rest.iter().skip(blanks).take_while(|b| !matches!(b, b' ' | b'\t')).count();
            let (piece, after) = rest.split_at(blanks + word);
            // Blanks at the end may not become a line of their own (RFC 5322 §3.2.2).
            let is_end = piece.iter().all(u8::is_ascii_whitespace);
            if column > 0 && column + piece.len() > FOLD_AT && !is_end {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.extend_from_slice(piece);
            column += piece.len();
            rest = after;
        }
    }
}

/// Appends a structured field, folding only between the given tokens. Characters
/// outside ASCII are kept, as fields of SMTPUTF8 messages need them.
pub fn write_structured<'a>(
    out: &mut Vec<u8>,
    name: &str,
    tokens: impl IntoIterator<Item = &'a str>,
) {
    let tokens: Vec<_> = tokens.into_iter().map(clean).collect();
    write_words(out, name, tokens.iter().map(|token| token.as_bytes()));
}

/// Appends a field that lists mailboxes: From, To and the like.
pub fn write_mailboxes(out: &mut Vec<u8>, name: &str, mailboxes: &[Mailbox]) {
    let last = mailboxes.len().saturating_sub(1);
    let mut words = Vec::new();
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let comma = if index == last { "" } else { "," };
        if let Some(display) = &mailbox.name {
            words.extend(phrase(display));
            words.push(format!("<{}>{comma}", bare(&mailbox.address)).into_bytes());
        } else {
            words.push(format!("{}{comma}", bare(&mailbox.address)).into_bytes());
        }
    }
    write_words(out, name, words.iter().map(Vec::as_slice));
}

fn bare(address: &Address) -> String {
    clean(&address.to_string()).into_owned()
}

// A display name as words that may be folded between.
fn phrase(display: &str) -> Vec<Vec<u8>> {
    let display = clean(display);
    if !display.is_ascii() || display.contains("=?") {
        let encoded = encoded_word::encode(display.as_bytes());
        return encoded.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    }
    quoted(display.as_bytes())
}

// A display name that somebody else wrote: the encoded words in it stay what they are.
fn written_phrase(name: &[u8], charset: Option<&str>) -> Vec<Vec<u8>> {
    let holds_word = name.windows(2).enumerate().any(|(at, two)| {
        two == b"=?" && encoded_word::length(name.get(at..).unwrap_or_default()).is_some()
    });
    if !name.is_ascii() || holds_word || name.len() > MAX_QUOTED || encoded_word::is_japanese(name)
    {
        return encoded_word::encode_parts(name, Place::Phrase, charset);
    }
    quoted(clean(&String::from_utf8_lossy(name)).as_bytes())
}

fn quoted(display: &[u8]) -> Vec<Vec<u8>> {
    if display.iter().all(|byte| encoded_word::is_plain(*byte) || *byte == b' ') {
        let words = display.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        return words.map(<[u8]>::to_vec).collect();
    }
    let mut quoted = vec![b'"'];
    for byte in display {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    vec![quoted]
}

fn clean(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

fn write_words<'a>(out: &mut Vec<u8>, name: &str, words: impl Iterator<Item = &'a [u8]>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    for (index, word) in words.enumerate() {
        if index > 0 && column + 1 + word.len() > FOLD_AT {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        let mut rest = word;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(chunk_length(rest));
            if column > 0 && column + chunk.len() > MAX_WHOLE_WORD + FOLD_AT {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            if column == 0 || rest.len() == word.len() {
                out.push(b' ');
                column += 1;
            }
            out.extend_from_slice(chunk);
            column += chunk.len();
            rest = after;
        }
    }
    out.extend_from_slice(b"\r\n");
}

// Octets of a word that go onto one line: all of them, or those up to the last mark
// after which white space does no harm, and never a part of a character.
fn chunk_length(word: &[u8]) -> usize {
    let Some(line) = word.get(..MAX_WHOLE_WORD).filter(|_| word.len() > MAX_WHOLE_WORD) else {
        return word.len();
    };
    let marked = line.iter().rposition(|byte| matches!(byte, b'>' | b',' | b';'));
    let is_inside = |at: &usize| word.get(*at).is_some_and(|byte| matches!(byte, 0x80..=0xbf));
    match marked {
        Some(at) => at + 1,
        None => (MAX_WHOLE_WORD - 3..=MAX_WHOLE_WORD)
            .rev()
            .find(|at| !is_inside(at))
            .unwrap_or(MAX_WHOLE_WORD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Header, parse_address_list};

    #[test]
    fn nothing_can_be_injected() {
        for hostile in ["x\r\nBcc: evil@example.net", "x\nY: z", "x\r\r\n\r\nbody", "a\0b\x1b[0m"] {
            let mut out = Vec::new();
            write_unstructured(&mut out, "Subject", hostile);
            write_structured(&mut out, "X-Thing", [hostile, hostile]);
            let name = Some(hostile.to_owned());
            let address = Address::parse("a@b.example").unwrap();
            write_mailboxes(&mut out, "From", &[Mailbox { name, address }]);
            let header = Header::parse(&out).unwrap();
            assert_eq!(header.fields().len(), 3, "{hostile:?}");
            assert!(header.body().is_empty());
            let without_folds = String::from_utf8(out.clone()).unwrap().replace("\r\n", "");
            assert!(!without_folds.contains(char::is_control), "{without_folds:?}");
        }
    }

    #[test]
    fn long_fields_are_folded() {
        let mut out = Vec::new();
        write_unstructured(&mut out, "Subject", &"palabra ".repeat(40));
        write_unstructured(&mut out, "Subject", &"ñandú ".repeat(40));
        for line in out.split(|b| *b == b'\n') {
            assert!(line.len() <= FOLD_AT + 1);
        }
        let mut out = Vec::new();
        write_unstructured(&mut out, "X", &"y".repeat(5000));
        for line in out.split(|b| *b == b'\n') {
            assert!(line.len() <= 998);
        }
        let header = Header::parse(&out).unwrap();
        assert_eq!(header.fields().len(), 1);
    }

    #[test]
    fn mailboxes_are_read_back() {
        let mailboxes: Vec<Mailbox> = [
            (None, "a@b.example"),
            (Some("Ann Lee"), "a@b.example"),
            (Some("Lee, \"Ann\" \\ B."), "a@b.example"),
            (Some("José Ñandú"), "\"a b\"@b.example"),
            (Some("=?not encoded?="), "a@b.example"),
        ]
        .map(|(name, address)| Mailbox {
            name: name.map(str::to_owned),
            address: Address::parse(address).unwrap(),
        })
        .to_vec();
        let mut out = Vec::new();
        write_mailboxes(&mut out, "To", &mailboxes);
        let header = Header::parse(&out).unwrap();
        let read = parse_address_list(header.first("To").unwrap().value(), None).unwrap();
        assert_eq!(read, mailboxes);
    }
}
