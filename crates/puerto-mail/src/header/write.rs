//! Header fields that we write ourselves. Whatever the texts hold, a field written
//! here is one field: line ends come from folding only, control characters become
//! `?`, and non-ASCII text becomes encoded words.

use puerto_smtp::Address;

use super::address_list::Mailbox;
use super::encoded_word;

/// Octets of a line that is to be folded (RFC 5322 §2.1.1).
const FOLD_AT: usize = 78;
/// Octets of a word that is left whole; a longer one is cut so that no line can
/// exceed 998 octets.
const MAX_WHOLE_WORD: usize = 900;

/// Appends an unstructured field: Subject, or any other that is plain text.
pub fn write_unstructured(out: &mut Vec<u8>, name: &str, text: &str) {
    let text = clean(text);
    if text.is_ascii() {
        write_words(out, name, text.split(' ').filter(|word| !word.is_empty()));
    } else {
        let encoded = encoded_word::encode(text.as_bytes());
        write_words(out, name, encoded.split(' '));
    }
}

/// Appends a structured field, folding only between the given tokens. Characters
/// outside ASCII are kept, as fields of SMTPUTF8 messages need them.
pub fn write_structured<'a>(
    out: &mut Vec<u8>,
    name: &str,
    tokens: impl IntoIterator<Item = &'a str>,
) {
    let tokens: Vec<String> = tokens.into_iter().map(clean).collect();
    write_words(out, name, tokens.iter().map(String::as_str));
}

/// Appends a field that lists mailboxes: From, To and the like.
pub fn write_mailboxes(out: &mut Vec<u8>, name: &str, mailboxes: &[Mailbox]) {
    let last = mailboxes.len().saturating_sub(1);
    let mut words = Vec::new();
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let comma = if index == last { "" } else { "," };
        if let Some(display) = &mailbox.name {
            words.extend(phrase(display));
            words.push(format!("<{}>{comma}", mailbox.address));
        } else {
            words.push(format!("{}{comma}", bare(&mailbox.address)));
        }
    }
    write_words(out, name, words.iter().map(String::as_str));
}

fn bare(address: &Address) -> String {
    clean(&address.to_string())
}

// A display name as words that may be folded between.
fn phrase(display: &str) -> Vec<String> {
    let display = clean(display);
    if !display.is_ascii() || display.contains("=?") {
        return encoded_word::encode(display.as_bytes()).split(' ').map(str::to_owned).collect();
    }
    let is_plain = display.bytes().all(|b| b.is_ascii_alphanumeric() || b" -_'+".contains(&b));
    if is_plain {
        return display.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    }
    vec![format!("\"{}\"", display.replace('\\', "\\\\").replace('"', "\\\""))]
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

fn write_words<'a>(out: &mut Vec<u8>, name: &str, words: impl Iterator<Item = &'a str>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    for (index, word) in words.enumerate() {
        if index > 0 && column + 1 + word.len() > FOLD_AT {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        for chunk in word.as_bytes().chunks(MAX_WHOLE_WORD) {
            if column > MAX_WHOLE_WORD {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            if column == 0 || chunk.as_ptr() == word.as_ptr() {
                out.push(b' ');
                column += 1;
            }
            out.extend_from_slice(chunk);
            column += chunk.len();
        }
    }
    out.extend_from_slice(b"\r\n");
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
