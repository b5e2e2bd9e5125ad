//! Encoded words (RFC 2047): non-ASCII text inside header fields.

use std::fmt::Write as _;

use puerto_smtp::base64;

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
    let mut parts = text.get(2..)?.splitn(4, '?');
    let (charset, encoding, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if !parts.next()?.starts_with('=') || encoded.contains([' ', '\t']) {
        return None;
    }
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + encoded.len() + 2;
    let octets = match encoding {
        "B" | "b" => base64::decode(encoded.as_bytes())?,
        "Q" | "q" => decode_q(encoded.as_bytes())?,
        _ => return None,
    };
    Some((from_charset(charset, octets)?, length))
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

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn from_charset(charset: &str, octets: Vec<u8>) -> Option<String> {
    // A language may follow a star (RFC 2231 §5).
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    match charset.as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(octets).ok(),
        "iso-8859-1" => Some(octets.into_iter().map(char::from).collect()),
        _ => None,
    }
}

/// Encodes a text as encoded words separated by spaces, each of at most 60 octets
/// and of whole characters. Text that is not UTF-8 is marked `unknown-8bit` (RFC 1428).
pub fn encode(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => encode_utf8(text),
        Err(_) => encode_unknown(octets),
    }
}

fn encode_utf8(text: &str) -> String {
    let mut words = Words::new("utf-8");
    let mut buffer = [0u8; 4];
    for character in text.chars() {
        words.push(character.encode_utf8(&mut buffer).as_bytes());
    }
    words.finish()
}

fn encode_unknown(octets: &[u8]) -> String {
    let mut words = Words::new("unknown-8bit");
    for octet in octets {
        words.push(std::slice::from_ref(octet));
    }
    words.finish()
}

struct Words {
    prefix: String,
    out: String,
    start: usize,
}

impl Words {
    fn new(charset: &str) -> Self {
        let prefix = format!("=?{charset}?Q?");
        Self { out: prefix.clone(), prefix, start: 0 }
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
        if self.out.len() - self.start + encoded.len() + 2 > MAX_WORD {
            self.out.push_str("?= ");
            self.start = self.out.len();
            self.out.push_str(&self.prefix);
        }
        self.out.push_str(&encoded);
    }

    fn finish(mut self) -> String {
        self.out.push_str("?=");
        self.out
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
        assert_eq!(encode(b"\xe9t\xe9"), "=?unknown-8bit?Q?=E9t=E9?=");
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text: String) {
            proptest::prop_assert_eq!(decode(&encode(text.as_bytes())), text);
        }
    }
}
