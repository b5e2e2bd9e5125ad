//! xtext: how ENVID and ORCPT carry any text in a command line (RFC 3461 §4), and how an
//! ORCPT of type `utf-8` carries its address (RFC 6533 §3).

/// Decodes xtext; `None` for what is none, and for what is not printable ASCII behind it
/// (RFC 3461 §4.2, §4.4): a `+0A` that became a line end could add a field to a
/// notification, a `+00` end a text early.
pub(crate) fn decode_xtext(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let octet = match byte {
            b'+' => hex_digit(bytes.next())? << 4 | hex_digit(bytes.next())?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        };
        decoded.push(Some(char::from(octet)).filter(|c| matches!(c, ' '..='~'))?);
    }
    Some(decoded)
}

/// Appends a text as xtext.
pub(crate) fn encode_xtext(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => out.push(char::from(byte)),
            _ => out.push_str(&format!("+{byte:02X}")),
        }
    }
}

/// Decodes an address of type `utf-8`: characters as they are, or as `\x{code point}`
/// (RFC 6533 §3). `None` for what is neither.
pub(crate) fn decode_utf8_address(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let (character, length) = match character {
            '\\' => {
                let (point, _) = rest.strip_prefix("\\x{")?.split_once('}')?;
                (code_point(point)?, point.len() + 4)
            }
            '+' | '=' | ' ' => return None,
            other => (other, other.len_utf8()),
        };
        if character.is_control() {
            return None;
        }
        decoded.push(character);
        rest = rest.get(length..)?;
    }
    Some(decoded)
}

/// Appends an address of type `utf-8`, in ASCII alone unless the peer reads UTF-8.
pub(crate) fn encode_utf8_address(address: &str, as_utf8: bool, out: &mut String) {
    for character in address.chars() {
        match character {
            '\\' | '+' | '=' => escape(character, out),
            '!'..='~' => out.push(character),
            other if as_utf8 && !other.is_ascii() => out.push(other),
            other => escape(other, out),
        }
    }
}

fn escape(character: char, out: &mut String) {
    out.push_str(&format!("\\x{{{:02X}}}", u32::from(character)));
}

fn code_point(digits: &str) -> Option<char> {
    let is_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let has_length = (2..=6).contains(&digits.len());
    if !is_hex || !has_length {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

// RFC 3461 §4 has upper case alone.
fn hex_digit(byte: Option<u8>) -> Option<u8> {
    let digit = byte.filter(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))?;
    char::from(digit).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_read_and_written() {
        for (written, text) in
            [("QQ314159", "QQ314159"), ("a+2Bb+3Dc+20d", "a+b=c d"), ("", ""), ("~!", "~!")]
        {
            assert_eq!(decode_xtext(written).as_deref(), Some(text));
            let mut encoded = String::new();
            encode_xtext(text, &mut encoded);
            assert_eq!(encoded, written);
        }
        for bad in [
            "+00", "+0A", "+0D", "a+7F", "+", "+2", "+G0", "a=b", "+FF", "\t", "+ 1", "a b",
            // Lower case, and what is not ASCII before or behind it.
            "a+2bb", "é", "+C3+A9",
        ] {
            assert_eq!(decode_xtext(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn utf8_addresses_are_read_in_both_forms_and_written_in_that_which_fits() {
        for (address, ascii, utf8) in [
            ("bó@example.net", "b\\x{F3}@example.net", "bó@example.net"),
            ("a+b@例.example", "a\\x{2B}b@\\x{4F8B}.example", "a\\x{2B}b@例.example"),
            ("😀@x.example", "\\x{1F600}@x.example", "😀@x.example"),
            ("\"a\\b\"@x", "\"a\\x{5C}b\"@x", "\"a\\x{5C}b\"@x"),
        ] {
            for (as_utf8, expected) in [(false, ascii), (true, utf8)] {
                let mut out = String::new();
                encode_utf8_address(address, as_utf8, &mut out);
                assert_eq!(out, expected);
                assert_eq!(decode_utf8_address(&out).as_deref(), Some(address));
            }
        }
        for bad in [
            "a+40b",
            "a=b",
            "a b",
            "\\",
            "\\x",
            "\\x{",
            "\\x{}",
            "\\x{0}",
            "\\x{0A}",
            "\\x{7F}",
            "\\x{f3}",
            "\\x{D800}",
            "\\x{110000}",
            "\\x{0000041}",
            "\u{85}",
            "\\n",
        ] {
            assert_eq!(decode_utf8_address(bad), None, "{bad:?}");
        }
    }
}
