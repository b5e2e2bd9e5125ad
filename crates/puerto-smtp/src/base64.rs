//! Base64 (RFC 4648 §4), as AUTH and DKIM use it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes octets with padding and without line breaks.
pub fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let mut group: u32 = 0;
        for index in 0..3 {
            group = group << 8 | u32::from(chunk.get(index).copied().unwrap_or(0));
        }
        for position in 0..4 {
            if position > chunk.len() {
                text.push('=');
            } else {
                let sextet = (group >> (18 - 6 * position)) & 0x3f;
                text.push(ALPHABET.get(sextet as usize).copied().map_or('=', char::from));
            }
        }
    }
    text
}

/// Decodes padded or unpadded text; white space is passed over, since folded
/// header values hold it. `None` if any other character stands in it or the last
/// group cannot be complete.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits, mut sextets, mut padding) = (0u32, 0u32, 0usize, 0usize);
    for &byte in text {
        let value = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'=' => {
                padding += 1;
                continue;
            }
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        group = group << 6 | u32::from(value);
        bits += 6;
        sextets += 1;
        if bits >= 8 {
            bits -= 8;
            octets.push((group >> bits & 0xff) as u8);
        }
    }
    let complete = sextets % 4 != 1 && padding <= 2;
    (complete && (padding == 0 || (sextets + padding) % 4 == 0)).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_section_10() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(octets.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).unwrap(), octets.as_bytes());
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["Z", "Zg=", "Zg===", "Zm9v!", "Zg==Zg=="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode(b"Zm9v\r\n\tYmFy").unwrap(), b"foobar");
    }
}
