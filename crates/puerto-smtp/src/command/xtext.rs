//! xtext: how ENVID and ORCPT carry any text in a command line (RFC 3461 §4).

/// The text is not xtext, or holds a character that must not be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotXtext;

impl std::fmt::Display for NotXtext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not xtext: write unusual characters as +XX, and no control characters")
    }
}

impl std::error::Error for NotXtext {}

/// Decodes xtext. Control characters are refused in either form: a `+0A` that
/// became a line end could add a field to a notification, a `+00` end a text early.
pub fn decode_xtext(text: &str) -> Result<String, NotXtext> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let octet = match byte {
            b'+' => hex_digit(bytes.next())? << 4 | hex_digit(bytes.next())?,
            b'=' => return Err(NotXtext),
            other => other,
        };
        if octet.is_ascii_control() {
            return Err(NotXtext);
        }
        octets.push(octet);
    }
    String::from_utf8(octets).map_err(|_| NotXtext)
}

/// Encodes text as xtext.
pub fn encode_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("+{byte:02X}")),
        }
    }
    encoded
}

// RFC 3461 §4 has upper case alone; who writes lower case means the same.
fn hex_digit(byte: Option<u8>) -> Result<u8, NotXtext> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(NotXtext)?;
    u8::try_from(digit).map_err(|_| NotXtext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_read_and_written() {
        for (written, text) in
            [("QQ314159", "QQ314159"), ("a+2Bb+3Dc+20d", "a+b=c d"), ("+C3+A9", "é"), ("", "")]
        {
            assert_eq!(decode_xtext(written).as_deref(), Ok(text));
            assert_eq!(encode_xtext(text), written);
        }
        assert_eq!(decode_xtext("a+2bb").as_deref(), Ok("a+b"));
        for bad in ["+00", "+0A", "+0D", "a+7F", "+", "+2", "+G0", "a=b", "+FF", "\t", "+ 1"] {
            assert_eq!(decode_xtext(bad), Err(NotXtext), "{bad:?}");
        }
    }
}
