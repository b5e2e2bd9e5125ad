//! Text beyond ASCII where no encoded word may stand (RFC 2047 §5): in the parameters of a
//! MIME field, and in addresses of the web. Both have a form of their own for it, with `%`.

use std::borrow::Cow;

use super::encoded_word::is_japanese;
use super::write::write_structured;
use crate::charset::Guess;

/// Writes a MIME field whose parameters hold text in 8 bits (RFC 2231 §4), in `charset`
/// if it is not UTF-8 and the message says what it is in. The other parameters stay.
pub fn write_parameters(out: &mut Vec<u8>, name: &str, value: &[u8], charset: Option<&str>) {
    let parts: Vec<String> = split_parameters(value).map(|part| encoded(part, charset)).collect();
    let last = parts.len().saturating_sub(1);
    let mark = |(index, part): (usize, String)| if index == last { part } else { part + ";" };
    let parts: Vec<String> = parts.into_iter().enumerate().map(mark).collect();
    write_structured(out, name, parts.iter().map(String::as_str));
}

fn split_parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = value.split(move |byte| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match byte {
            _ if was_escaped => {}
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        *byte == b';' && !is_quoted
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

fn encoded(part: &[u8], declared: Option<&str>) -> String {
    if part.is_ascii() && !is_japanese(part) {
        return String::from_utf8_lossy(part).into_owned();
    }
    let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    let (name, value) = part.split_at(at);
    let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let value = value.strip_suffix(b"\"").unwrap_or(value);
    let name: String = name.iter().copied().filter(u8::is_ascii_graphic).map(char::from).collect();
    let guessed = Guess::of(value).charset();
    let charset = declared.filter(|_| guessed != "utf-8").unwrap_or(guessed);
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&byte);
    let mut octets = value.iter().copied().filter(|byte| *byte != b'\\');
    format!("{}*={charset}''{}", name.trim_end_matches('*'), percent(&mut octets, is_safe))
}

fn percent(octets: &mut dyn Iterator<Item = u8>, is_safe: impl Fn(u8) -> bool) -> String {
    let mut out = String::new();
    for octet in octets {
        if is_safe(octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

/// An address of the web or of mail as it is written in ASCII: the host in A-labels, the
/// rest with `%` (RFC 3987 §3.1, RFC 6068 §2). What has no scheme stays.
pub(super) fn reference(text: &[u8]) -> Cow<'_, [u8]> {
    match (!text.is_ascii()).then(|| host_range(text)).flatten() {
        None => Cow::Borrowed(text),
        Some((from, to)) => {
            let (rest, after) = text.split_at(to.min(text.len()));
            let (before, host) = rest.split_at(from.min(rest.len()));
            let ascii = |part: &[u8]| percent(&mut part.iter().copied(), |byte| byte.is_ascii());
            let name = std::str::from_utf8(host).ok();
            let name = name.and_then(|name| idna::domain_to_ascii(name).ok());
            let host = name.unwrap_or_else(|| ascii(host));
            Cow::Owned([ascii(before), host, ascii(after)].concat().into_bytes())
        }
    }
}

fn host_range(text: &[u8]) -> Option<(usize, usize)> {
    let lower = text.to_ascii_lowercase();
    let (from, ends) = match memchr::memmem::find(&lower, b"://") {
        Some(at) => (at + 3, b"/?#>:,;".as_slice()),
        None => {
            let scheme = memchr::memmem::find(&lower, b"mailto:")? + 7;
            let at = lower.get(scheme..)?.iter().position(|byte| b"@?>".contains(byte))?;
            let is_address = lower.get(scheme + at) == Some(&b'@');
            (scheme + at + usize::from(is_address), b"?>,;".as_slice())
        }
    };
    let rest = text.get(from..)?;
    let length = rest.iter().position(|byte| ends.contains(byte)).unwrap_or(rest.len());
    Some((from, from + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_parameter_is_in_the_form_of_parameters() {
        for (value, charset, expected) in [
            (
                "application/pdf; name=\"año 1.pdf\"".as_bytes(),
                None,
                "application/pdf; name*=utf-8''a%C3%B1o%201.pdf",
            ),
            (
                b"attachment; filename=a\xf1o.pdf; size=3",
                None,
                "attachment; filename*=windows-1252''a%F1o.pdf; size=3",
            ),
            (
                b"text/plain; charset=koi8-r; name=\"\xc1;\\\"\xc2\xd7\"",
                Some("koi8-r"),
                "text/plain; charset=koi8-r; name*=koi8-r''%C1%3B%22%C2%D7",
            ),
            (
                b"text/plain; name=\"\x1b$BF|\x1b(B\"",
                None,
                "text/plain; name*=iso-2022-jp''%1B$BF|%1B%28B",
            ),
            (
                b"application/x; boundary=\"a;b\";; name=\"\xd0\xb6",
                None,
                "application/x; boundary=\"a;b\"; name*=utf-8''%D0%B6",
            ),
        ] {
            let mut out = Vec::new();
            write_parameters(&mut out, "X", value, charset);
            let seen = String::from_utf8(out).unwrap().replace("\r\n", "");
            assert_eq!(seen, format!("X: {expected}"));
        }
    }

    #[test]
    fn an_address_of_the_web_becomes_ascii() {
        for (text, expected) in [
            (
                "<https://mañana.example/año?q=é#ñ>",
                "<https://xn--maana-pta.example/a%C3%B1o?q=%C3%A9#%C3%B1>",
            ),
            ("https://x.example:8080/ñ", "https://x.example:8080/%C3%B1"),
            (
                "<mailto:ana@mañana.example?subject=adiós>,",
                "<mailto:ana@xn--maana-pta.example?subject=adi%C3%B3s>,",
            ),
            ("<MAILTO:ñ@x.example>", "<MAILTO:%C3%B1@x.example>"),
            ("<mailto:?subject=ñ>", "<mailto:?subject=%C3%B1>"),
            ("ana@ñ.example", "ana@ñ.example"),
            ("<https://x.example/a%20b>", "<https://x.example/a%20b>"),
        ] {
            assert_eq!(reference(text.as_bytes()), expected.as_bytes(), "{text}");
        }
        assert_eq!(reference(b"<https://x.example/\xf1>").as_ref(), b"<https://x.example/%F1>");
        assert_eq!(reference(b"<https://\xf1.example/>").as_ref(), b"<https://%F1.example/>");
    }

    proptest::proptest! {
        #[test]
        fn anything_becomes_ascii(octets: Vec<u8>) {
            let mut out = Vec::new();
            write_parameters(&mut out, "X", &octets, None);
            proptest::prop_assert!(out.is_ascii());
            let _ = reference(&octets);
        }
    }
}
