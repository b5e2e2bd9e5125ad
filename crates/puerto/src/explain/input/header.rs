//! Header fields in front of what is looked for, when a whole message is pasted. What
//! they say about a message (`Received-SPF: fail`) is no refusal.

use super::wording::wording;

/// The header that a text begins with and what follows it, if it begins with one.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    // A file of messages begins each with such a line.
    let from_line = text.starts_with("From ").then(|| text.split_once('\n')).flatten();
    let mut rest = from_line.map_or(text, |(_, rest)| rest);
    rest.lines().next().filter(|line| begins_header(line))?;
    while let Some(line) = rest.lines().next() {
        if !(line.starts_with([' ', '\t']) || name(line).is_some()) {
            break;
        }
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    Some((text.strip_suffix(rest)?, rest.trim()))
}

fn begins_header(line: &str) -> bool {
    name(line).is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        let is_extension = ["x-", "arc-", "list-"].iter().any(|start| name.starts_with(start));
        is_extension || wording().header_fields.contains(&name)
    })
}

// The field's name (RFC 5322 §2.2), if the line is a field.
fn name(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(':')?;
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    let begins = name.bytes().next().is_some_and(|octet| octet.is_ascii_alphabetic());
    (begins && name.bytes().all(is_name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_header_is_taken_off_and_nothing_else_is() {
        for (text, rest) in [
            ("Received-SPF: fail (mx: no)", ""),
            ("Received: from a\n\tby b\nSubject: x\n\nUser unknown", "User unknown"),
            ("From MAILER-DAEMON Tue\nFrom: a\n\nUser unknown", "User unknown"),
            ("From what I hear: no", "From what I hear: no"),
            ("550 To: x", "550 To: x"),
            ("x-unix; User unknown", "x-unix; User unknown"),
            ("Remote host said: 550 no", "Remote host said: 550 no"),
            ("", ""),
        ] {
            assert_eq!(split(text).map_or(text, |(_, rest)| rest), rest, "{text}");
        }
    }
}
