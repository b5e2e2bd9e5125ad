//! A message as a reader takes it: lines that end in CRLF, and what they ended in
//! before.

use std::borrow::Cow;

use puerto_mail::line_ends::LineEnds;

/// A message whose lines end in CRLF.
pub(super) struct Message<'a> {
    octets: Cow<'a, [u8]>,
    /// Lines that ended in LF alone among lines that ended in CRLF.
    pub(super) stray_line_feeds: usize,
    /// CR that no LF follows.
    pub(super) stray_carriage_returns: usize,
    /// NUL octets, which mail cannot carry and many readers end at.
    pub(super) nul_octets: usize,
}

impl<'a> Message<'a> {
    /// Takes a message as it was received, or as a file holds it: with LF throughout,
    /// and perhaps behind the line `From ` of a mailbox file.
    pub(super) fn read(octets: &'a [u8]) -> Self {
        let octets = without_mailbox_line(octets);
        let (mut line_feeds, mut line_ends, mut returns) = (0, 0, 0);
        for at in memchr::memchr2_iter(b'\r', b'\n', octets) {
            match octets.get(at) {
                Some(b'\r') if octets.get(at + 1) == Some(&b'\n') => line_ends += 1,
                Some(b'\r') => returns += 1,
                _ if at > 0 && octets.get(at - 1) == Some(&b'\r') => {}
                _ => line_feeds += 1,
            }
        }
        let read = if line_feeds == 0 {
            Cow::Borrowed(octets)
        } else {
            let (mut made_right, mut lines) = (Vec::new(), LineEnds::new(false));
            lines.push(octets, &mut made_right);
            lines.finish(&mut made_right);
            Cow::Owned(made_right)
        };
        Self {
            octets: read,
            stray_line_feeds: if line_ends > 0 { line_feeds } else { 0 },
            stray_carriage_returns: returns,
            nul_octets: memchr::memchr_iter(0, octets).count(),
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }
}

fn without_mailbox_line(octets: &[u8]) -> &[u8] {
    let Some(rest) = octets.strip_prefix(b"From ") else { return octets };
    // `From :` is a field, as RFC 5322 §4.5 lets old programs write one.
    if rest.trim_ascii_start().starts_with(b":") {
        return octets;
    }
    let end = memchr::memchr(b'\n', octets).map_or(octets.len(), |at| at + 1);
    octets.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_with_a_blank_before_its_colon_is_no_line_of_a_mailbox_file() {
        for (text, first) in [
            ("From ana@example.com Mon Nov 23 10:00:00 2026\r\nTo: b\r\n\r\n", "To: b"),
            ("From : ana@example.com\r\nTo: b\r\n\r\n", "From : ana@example.com"),
            ("From  \t: ana@example.com\r\nTo: b\r\n\r\n", "From  \t: ana@example.com"),
        ] {
            let message = Message::read(text.as_bytes());
            assert!(message.octets().starts_with(first.as_bytes()), "{text}");
        }
    }
}
