//! Encoded words (RFC 2047): non-ASCII text inside header fields.

use std::borrow::Cow;
use std::fmt::Write as _;

use puerto_smtp::base64;

use super::parameter::reference;
use crate::charset::Guess;

/// Octets of one encoded word at most. RFC 2047 §2 allows 75; these leave room on
/// the first line for the field's name.
const MAX_WORD: usize = 60;

/// Decodes every encoded word in a text. Words in an unknown character set or
/// with damaged contents stay as they are.
pub fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        match decode_first(from) {
            Some((decoded, length)) => {
                // White space between two encoded words is not part of the text
                // (RFC 2047 §6.2).
                let is_gap = after_word && before.trim_matches([' ', '\t', '\r', '\n']).is_empty();
                if !is_gap {
                    out.push_str(before);
                }
                out.push_str(&decoded);
                rest = from.get(length..).unwrap_or_default();
                after_word = true;
            }
            None => {
                out.push_str(before);
                out.push_str("=?");
                rest = from.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    out.push_str(rest);
    out
}

// `text` begins with "=?"; the result is the decoded word and its length.
fn decode_first(text: &str) -> Option<(String, usize)> {
    let length = length(text.as_bytes())?;
    let (charset, octets) = contents(text.get(..length)?)?;
    Some((from_charset(charset, octets)?, length))
}

// Character set and octets of one encoded word.
fn contents(word: &str) -> Option<(&str, Vec<u8>)> {
    let mut parts = word.split('?').skip(1);
    let (charset, encoding, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let octets = match encoding {
        "B" | "b" => base64::decode(encoded.as_bytes())?,
        _ => decode_q(encoded.as_bytes())?,
    };
    Some((charset, octets))
}

fn decode_q(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        octets.push(match byte {
            b'_' => b' ',
            b'=' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    Some(octets)
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Text in a character set; `None` in one that is not known, or if it is damaged.
pub(crate) fn from_charset(charset: &str, octets: Vec<u8>) -> Option<String> {
    // A language may follow a star (RFC 2231 §5).
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    match charset.as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(octets).ok(),
        "iso-8859-1" => Some(octets.into_iter().map(char::from).collect()),
        "windows-1252" => Some(octets.into_iter().map(from_windows_1252).collect()),
        _ => None,
    }
}

fn from_windows_1252(octet: u8) -> char {
    // The places that differ from ISO 8859-1; five of them are not assigned.
    const C1: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    let at = octet.checked_sub(0x80).map(usize::from);
    at.and_then(|at| C1.get(at)).copied().unwrap_or(char::from(octet))
}

/// Encodes a text as encoded words separated by spaces, each of at most 60 octets
/// and of whole characters. Text that is not UTF-8 is marked with the character set
/// that it is likely in.
pub fn encode(octets: &[u8]) -> String {
    let mut out = Vec::new();
    encode_run(octets, None, &mut out);
    String::from_utf8_lossy(&out.join(&b' ')).into_owned()
}

/// Where a text stands, and so what of it may become encoded words (RFC 2047 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a field that is nothing but text, such as Subject.
    Text,
    /// In the words before an address, where fewer characters stand for themselves.
    Phrase,
    /// In a field that may have a grammar of its own: addresses and URLs stay as they
    /// are, however they are written.
    Guarded,
}

/// Octets of a word that is left whole; a longer one would fill a line alone.
pub(super) const MAX_WHOLE_WORD: usize = 900;

/// Makes a value fit for a header: the words of it, to be separated by single spaces.
/// Encoded words that are there stay as they are, ASCII stays ASCII, and what is left
/// is encoded; octets that are not UTF-8 are taken to be in `charset`, or in the
/// character set that they look like.
pub(super) fn encode_parts(octets: &[u8], place: Place, charset: Option<&str>) -> Vec<Vec<u8>> {
    let parts = parts(octets, place);
    let mut out: Vec<Vec<u8>> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let is_glued = !part.after_blank && index > 0;
        match &part.kind {
            Kind::Word(word) if word.len() > MAX_WHOLE_WORD => split_word(word, &mut out),
            Kind::Word(word) if place == Place::Phrase => out.push(escape(word, is_plain)),
            Kind::Word(word) => out.push(word.to_vec()),
            Kind::Guarded(text) => append(&mut out, &reference(text), is_glued),
            Kind::Text(text) if !must_encode(text, place) => {
                for (nth, word) in words(text).enumerate() {
                    append(&mut out, word, is_glued && nth == 0 && !follows_word(&parts, index));
                }
            }
            Kind::Text(text) => {
                // A blank between two encoded words is no part of the text (RFC 2047
                // §6.2), so one that is meant goes into a word.
                let mut run = Vec::with_capacity(text.len() + 2);
                if part.after_blank && follows_word(&parts, index) {
                    run.push(b' ');
                }
                run.extend_from_slice(text);
                let next = parts.get(index + 1);
                if next.is_some_and(|next| next.after_blank && matches!(next.kind, Kind::Word(_))) {
                    run.push(b' ');
                }
                encode_run(&run, charset, &mut out);
            }
        }
    }
    out
}

fn append(out: &mut Vec<Vec<u8>>, word: &[u8], is_glued: bool) {
    match out.last_mut() {
        Some(last) if is_glued => last.extend_from_slice(word),
        _ => out.push(word.to_vec()),
    }
}

fn follows_word(parts: &[Part<'_>], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|before| parts.get(before));
    before.is_some_and(|part| matches!(part.kind, Kind::Word(_)))
}

struct Part<'a> {
    after_blank: bool,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Word(Cow<'a, [u8]>),
    Guarded(&'a [u8]),
    Text(&'a [u8]),
}

fn parts(octets: &[u8], place: Place) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut at = 0;
    // Where the text begins that the last part holds.
    let mut text_from = 0;
    while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        let rest = rest.get(blanks..).unwrap_or_default();
        let from = at + blanks;
        if rest.is_empty() {
            break;
        }
        let after_blank = blanks > 0;
        if let Some((word, length)) = word_at(rest) {
            parts.push(Part { after_blank, kind: Kind::Word(word) });
            at = from + length;
            continue;
        }
        let length = token_length(rest);
        at = from + length;
        let token = rest.get(..length).unwrap_or_default();
        if place == Place::Guarded && is_address_or_url(token) {
            parts.push(Part { after_blank, kind: Kind::Guarded(token) });
            continue;
        }
        match parts.last_mut() {
            Some(Part { kind: Kind::Text(text), .. }) => {
                *text = octets.get(text_from..at).unwrap_or_default();
            }
            _ => {
                text_from = from;
                parts.push(Part { after_blank, kind: Kind::Text(token) });
            }
        }
    }
    parts
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty())
}

// Up to a blank, or to an encoded word that follows without one.
fn token_length(octets: &[u8]) -> usize {
    let ends = |at: usize| {
        let rest = octets.get(at..).unwrap_or_default();
        rest.first().is_none_or(|byte| is_blank(*byte)) || length(rest).is_some()
    };
    (1..octets.len()).find(|at| ends(*at)).unwrap_or(octets.len())
}

fn is_address_or_url(token: &[u8]) -> bool {
    token.starts_with(b"<")
        || token.contains(&b'@')
        || memchr::memmem::find(token, b"://").is_some()
}

fn must_encode(text: &[u8], place: Place) -> bool {
    let is_special = |byte: &u8| place == Place::Phrase && !is_plain(*byte) && !is_blank(*byte);
    !text.is_ascii()
        || is_japanese(text)
        || text.iter().any(is_special)
        || place != Place::Guarded && words(text).any(|word| word.len() > MAX_WHOLE_WORD)
}

/// Whether a character of a display name needs no quotes (RFC 5322 §3.2.3).
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

// An encoded word at the beginning, with octets inside it that may not stand there
// escaped: they keep their value in the word's own character set.
fn word_at(octets: &[u8]) -> Option<(Cow<'_, [u8]>, usize)> {
    let length = length(octets)?;
    let word = octets.get(..length)?;
    if word.is_ascii() {
        return Some((Cow::Borrowed(word), length));
    }
    let is_q = encoding(word).is_some_and(|encoding| encoding.eq_ignore_ascii_case(&b'Q'));
    let escaped = escape(word, |byte| byte.is_ascii());
    (is_q && escaped.is_ascii()).then_some((Cow::Owned(escaped), length))
}

// Characters in the text of a word that may not stand there where it stands.
fn escape(word: &[u8], may_stand: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(word.len());
    let mut marks = 0;
    for byte in word {
        marks += u8::from(*byte == b'?');
        if marks != 3 || *byte == b'?' || may_stand(*byte) {
            escaped.push(*byte);
        } else {
            escaped.extend_from_slice(format!("={byte:02X}").as_bytes());
        }
    }
    escaped
}

fn encoding(word: &[u8]) -> Option<u8> {
    word.split(|byte| *byte == b'?').nth(2)?.first().copied()
}

/// Octets of the encoded word at the beginning, if there is one: by its form alone,
/// whatever its character set and its contents are.
pub(super) fn length(octets: &[u8]) -> Option<usize> {
    let rest = octets.strip_prefix(b"=?")?;
    let charset = rest.iter().position(|byte| *byte == b'?')?;
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\"/[].=".contains(byte);
    if charset == 0 || charset > 60 || !rest.get(..charset)?.iter().all(is_token) {
        return None;
    }
    let rest = rest.get(charset + 1..)?;
    if !matches!(rest.get(..2)?, [b'B' | b'b' | b'Q' | b'q', b'?']) {
        return None;
    }
    let text = rest.get(2..)?;
    let end = text.iter().position(|byte| *byte == b'?' || is_blank(*byte))?;
    (text.get(end..end + 2)? == b"?=").then_some(2 + charset + 1 + 2 + end + 2)
}

// An encoded word that is too long for a line becomes several in its character set.
fn split_word(word: &[u8], out: &mut Vec<Vec<u8>>) {
    match std::str::from_utf8(word).ok().and_then(contents) {
        Some((charset, octets)) => encode_in(charset, &octets, out),
        None => out.push(word.to_vec()),
    }
}

/// Whether octets are text in ISO-2022-JP, which is written in ASCII and means it not
/// (RFC 1468).
pub fn is_japanese(octets: &[u8]) -> bool {
    memchr::memmem::find(octets, b"\x1b$").is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Ascii,
    Utf8,
    Other,
}

fn class(token: &[u8]) -> Class {
    if token.contains(&0x1b) {
        Class::Other
    } else if token.is_ascii() {
        Class::Ascii
    } else if Guess::of(token).charset() == "utf-8" {
        Class::Utf8
    } else {
        Class::Other
    }
}

// UTF-8 beside octets of another character set: each in words of its own.
fn encode_run(run: &[u8], charset: Option<&str>, out: &mut Vec<Vec<u8>>) {
    let mut segments: Vec<(Class, Vec<u8>)> = Vec::new();
    for token in run.split_inclusive(|byte| *byte == b' ') {
        let class = class(token);
        match segments.last_mut() {
            Some((last, octets))
                if *last == class || class == Class::Ascii || *last == Class::Ascii =>
            {
                if *last == Class::Ascii {
                    *last = class;
                }
                octets.extend_from_slice(token);
            }
            _ => segments.push((class, token.to_vec())),
        }
    }
    if segments.is_empty() {
        segments.push((Class::Ascii, Vec::new()));
    }
    for (class, octets) in &segments {
        let charset = match class {
            Class::Ascii | Class::Utf8 => "utf-8",
            Class::Other if is_japanese(octets) => "iso-2022-jp",
            Class::Other => charset.unwrap_or_else(|| Guess::of(octets).charset()),
        };
        encode_in(charset, octets, out);
    }
}

fn encode_in(charset: &str, octets: &[u8], out: &mut Vec<Vec<u8>>) {
    let mut words = Words::new(charset, out);
    let mut rest = octets;
    while !rest.is_empty() {
        let length = character_length(charset, rest).clamp(1, rest.len());
        let (character, after) = rest.split_at(length);
        words.push(character);
        rest = after;
    }
    words.finish();
}

// Octets of the first character, so that no word is cut inside one.
fn character_length(charset: &str, octets: &[u8]) -> usize {
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    let first = octets.first().copied().unwrap_or_default();
    let second = octets.get(1).copied().unwrap_or_default();
    match charset.as_str() {
        "utf-8" => match first {
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        },
        "gb18030" if first > 0x80 && second.is_ascii_digit() => 4,
        "euc-jp" if first == 0x8f => 3,
        "shift_jis" | "shift-jis" | "sjis" | "windows-31j" | "cp932" => match first {
            0x81..=0x9f | 0xe0..=0xfc => 2,
            _ => 1,
        },
        "gb18030" | "gbk" | "gb2312" | "big5" | "big5-hkscs" | "euc-jp" | "euc-kr" | "euc-cn"
        | "ks_c_5601-1987" | "cp949" | "cp936" | "cp950" => 1 + usize::from(first > 0x80),
        // These change their meaning on the way, and are never cut.
        other if other.starts_with("iso-2022") || other.starts_with("utf-7") => octets.len(),
        other if other.starts_with("utf-16") => 4,
        _ => 1,
    }
}

struct Words<'a> {
    prefix: String,
    word: String,
    out: &'a mut Vec<Vec<u8>>,
}

impl<'a> Words<'a> {
    fn new(charset: &str, out: &'a mut Vec<Vec<u8>>) -> Self {
        let prefix = format!("=?{charset}?Q?");
        Self { word: prefix.clone(), prefix, out }
    }

    fn push(&mut self, character: &[u8]) {
        let mut encoded = String::with_capacity(12);
        for &octet in character {
            match octet {
                b' ' => encoded.push('_'),
                // The set that is safe in every place (RFC 2047 §5 rule 3).
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'*' | b'+' | b'-' | b'/' => {
                    encoded.push(char::from(octet));
                }
                other => {
                    let _ = write!(encoded, "={other:02X}");
                }
            }
        }
        let is_full = self.word.len() + encoded.len() + 2 > MAX_WORD;
        if is_full && self.word.len() > self.prefix.len() {
            self.end_word();
        }
        self.word.push_str(&encoded);
    }

    fn end_word(&mut self) {
        let mut word = std::mem::replace(&mut self.word, self.prefix.clone());
        word.push_str("?=");
        self.out.push(word.into_bytes());
    }

    fn finish(mut self) {
        self.end_word();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded_where_they_are_whole() {
        for (encoded, decoded) in [
            ("plain", "plain"),
            ("=?utf-8?q?a=C3=B1o_x?=", "año x"),
            ("=?ISO-8859-1*es?Q?a=F1o?= y", "año y"),
            ("=?utf-8?B?w7E=?=  =?utf-8?B?w7E=?= z", "ññ z"),
            ("=?utf-8?B?w7E=?= and =?utf-8?B?w7E=?=", "ñ and ñ"),
            ("=?koi8-r?Q?=C1?=", "=?koi8-r?Q?=C1?="),
            ("=?utf-8?Q?=C3?=", "=?utf-8?Q?=C3?="),
            ("=?utf-8?Q?=ZZ?=", "=?utf-8?Q?=ZZ?="),
            ("a =? b", "a =? b"),
            ("=?=?utf-8?Q?x?=", "=?x"),
        ] {
            assert_eq!(decode(encoded), decoded, "{encoded}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = "Sábado, ñandú y 🦆 ".repeat(20);
        let encoded = encode(text.as_bytes());
        for word in encoded.split(' ') {
            assert!(word.len() <= MAX_WORD, "{word}");
            assert!(word.is_ascii() && word.starts_with("=?utf-8?Q?") && word.ends_with("?="));
        }
        assert_eq!(decode(&encoded), text);
        assert_eq!(encode(b"\xe9t\xe9"), "=?windows-1252?Q?=E9t=E9?=");
        assert_eq!(decode("=?windows-1252?Q?=80_=93=E9=94?="), "€ “é”");
    }

    fn parts_of(octets: &[u8], place: Place) -> String {
        let words = encode_parts(octets, place, None);
        assert!(place == Place::Guarded || words.concat().is_ascii());
        String::from_utf8(words.join(&b' ')).unwrap()
    }

    // Faults B8 and B16.
    #[test]
    fn encoded_words_stand_as_they_are_beside_what_is_encoded() {
        for (value, expected) in [
            (b"plain text".as_slice(), "plain text"),
            (
                "=?utf-8?B?w7E=?= año nuevo".as_bytes(),
                "=?utf-8?B?w7E=?= =?utf-8?Q?_a=C3=B1o_nuevo?=",
            ),
            ("año =?koi8-r?Q?=C1?= x".as_bytes(), "=?utf-8?Q?a=C3=B1o_?= =?koi8-r?Q?=C1?= x"),
            ("=?utf-8?Q?Hola?=año".as_bytes(), "=?utf-8?Q?Hola?= =?utf-8?Q?a=C3=B1o?="),
            // Cut inside a character.
            (b"=?utf-8?Q?=C3?= =?utf-8?Q?=B1?= x", "=?utf-8?Q?=C3?= =?utf-8?Q?=B1?= x"),
            (b"=?iso-8859-1?Q?Jos\xe9?= x", "=?iso-8859-1?Q?Jos=E9?= x"),
            (b"=?utf-8?B?Jos\xe9?=", "=?windows-1252?Q?=3D=3Futf-8=3FB=3FJos=E9=3F=3D?="),
            (b"Jos\xe9 y Mar\xeda", "=?windows-1252?Q?Jos=E9_y_Mar=EDa?="),
            (
                b"Jos\xe9 \xc3\xb1and\xc3\xba",
                "=?windows-1252?Q?Jos=E9_?= =?utf-8?Q?=C3=B1and=C3=BA?=",
            ),
            (b"\xcf\xf0\xe8\xe2\xe5\xf2", "=?unknown-8bit?Q?=CF=F0=E8=E2=E5=F2?="),
            (b"a\x81\xe9", "=?unknown-8bit?Q?a=81=E9?="),
            (b"\x1b$B;3\x1b(B x", "=?iso-2022-jp?Q?=1B=24B=3B3=1B=28B_x?="),
            (b"foo=?bar", "foo=?bar"),
        ] {
            assert_eq!(parts_of(value, Place::Text), expected, "{value:?}");
        }
        let declared = encode_parts(b"\xc1\xc2\xd7", Place::Text, Some("koi8-r"));
        assert_eq!(declared, [b"=?koi8-r?Q?=C1=C2=D7?="]);
    }

    #[test]
    fn addresses_and_urls_become_no_encoded_words() {
        for (value, expected) in [
            (
                "Día <https://x.example/ñ>, <mailto:ñ@x.example>",
                "=?utf-8?Q?D=C3=ADa?= <https://x.example/%C3%B1>, <mailto:%C3%B1@x.example>",
            ),
            ("https://x.example/ñ", "https://x.example/%C3%B1"),
            ("Café ana@ñ.example", "=?utf-8?Q?Caf=C3=A9?= ana@ñ.example"),
        ] {
            assert_eq!(parts_of(value.as_bytes(), Place::Guarded), expected);
        }
        let text = parts_of("escriba a ñ@x.example".as_bytes(), Place::Text);
        assert_eq!(decode(&text), "escriba a ñ@x.example");
    }

    #[test]
    fn words_that_fill_a_line_are_cut_between_characters() {
        let long = format!("=?utf-8?Q?{}?=", "=C3=B1a".repeat(160));
        let base64 = format!("=?GBK?B?{}?=", base64::encode(&[0xc4, 0xe3].repeat(400)));
        for (value, charset, text) in [
            (long.as_bytes(), "utf-8", "ña".repeat(160).into_bytes()),
            (base64.as_bytes(), "GBK", [0xc4, 0xe3].repeat(400)),
            ("x".repeat(1000).as_bytes(), "utf-8", "x".repeat(1000).into_bytes()),
        ] {
            let words = encode_parts(value, Place::Text, None);
            let mut octets = Vec::new();
            for word in &words {
                assert!(word.len() <= 75);
                let (seen, part) = contents(std::str::from_utf8(word).unwrap()).unwrap();
                assert_eq!(seen, charset);
                assert!(charset != "GBK" || part.len() % 2 == 0);
                octets.extend(part);
            }
            assert_eq!(octets, text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text: String) {
            proptest::prop_assert_eq!(decode(&encode(text.as_bytes())), text);
        }

        #[test]
        fn any_octets_become_words_that_can_be_sent(octets: Vec<u8>, charset in "[a-z0-9-]{1,9}") {
            for place in [Place::Text, Place::Phrase] {
                for word in encode_parts(&octets, place, Some(&charset)) {
                    proptest::prop_assert!(word.is_ascii() && !word.iter().any(|b| is_blank(*b)));
                }
            }
        }
    }
}
