//! xtext: how ENVID and ORCPT carry any text in a command line (RFC 3461 §4).

/// Decodes xtext; `None` for what is none. Control characters are refused in either form:
/// a `+0A` that became a line end could add a field to a notification, a `+00` end a text
/// early.
pub(crate) fn decode_xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let octet = match byte {
            b'+' => hex_digit(bytes.next())? << 4 | hex_digit(bytes.next())?,
            b'=' => return None,
            other => other,
        };
        if octet.is_ascii_control() {
            return None;
        }
        octets.push(octet);
    }
    String::from_utf8(octets).ok()
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

// RFC 3461 §4 has upper case alone; who writes lower case means the same.
fn hex_digit(byte: Option<u8>) -> Option<u8> {
    char::from(byte?).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_read_and_written() {
        for (written, text) in
            [("QQ314159", "QQ314159"), ("a+2Bb+3Dc+20d", "a+b=c d"), ("+C3+A9", "é"), ("", "")]
        {
            assert_eq!(decode_xtext(written).as_deref(), Some(text));
            let mut encoded = String::new();
            encode_xtext(text, &mut encoded);
            assert_eq!(encoded, written);
        }
        assert_eq!(decode_xtext("a+2bb").as_deref(), Some("a+b"));
        for bad in ["+00", "+0A", "+0D", "a+7F", "+", "+2", "+G0", "a=b", "+FF", "\t", "+ 1"] {
            assert_eq!(decode_xtext(bad), None, "{bad:?}");
        }
    }
}
