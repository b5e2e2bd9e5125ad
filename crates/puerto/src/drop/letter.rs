//! What a file in a drop folder holds: the commands that hand the message over, as they
//! will be said, and the content.
//!
//! ```text
//! puerto-drop 1
//! size=1234 written=1795504620000
//! XORIGIN executable=/usr/bin/php
//! MAIL FROM:<www-data@example.com> SIZE=1234
//! RCPT TO:<you@example.net>
//!
//! Subject: …
//! ```

use std::io::{self, BufRead, Read as _};

use puerto_smtp::limits::MAX_COMMAND_LINE;
use puerto_spool::Timestamp;

const MAGIC: &str = "puerto-drop 1";
/// How its second line goes on, and how commands begin.
const WRITTEN: &str = " written=";
const ORIGIN: &str = "XORIGIN ";
const MAIL: &str = "MAIL FROM:<";
const RECIPIENT: &str = "RCPT TO:<";
const NULL_SENDER: &str = "MAIL FROM:<>";
/// Octets of everything before the content at most: as many recipients as anybody has.
const MAX_HEAD: usize = 64 * 1024 * 1024;
/// Letters and digits of a name at most.
const MAX_NAME: usize = 64;

/// Why a file is no message that could be sent: for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A symbolic link, which is not followed.
    #[error("it is a symbolic link")]
    Link,
    /// A pipe, a folder, a device.
    #[error("it is no regular file")]
    Special,
    /// Another user's.
    #[error("it belongs to another user")]
    Foreign,
    /// With hard links.
    #[error("it has more than one name (hard links)")]
    Linked,
    /// No name as [`name`] makes them.
    #[error("sendmail gives no such names")]
    Name,
    /// It ends too early, or too late.
    #[error("it is not whole")]
    Incomplete,
    /// `sendmail` has not written it.
    #[error("it is no message that sendmail has left")]
    NoLetter,
    /// The system does not let it be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The server refused it, and its user could not be told.
    #[error("it was refused, and its user cannot be told: {0}")]
    Refused(String),
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Everything before the content. Commands have their line ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Octets of the content.
    pub size: u64,
    /// When it was written, by the clock of that time.
    pub written: Timestamp,
    /// XORIGIN.
    pub claims: Vec<String>,
    /// MAIL.
    pub mail: String,
    /// RCPT, one for each recipient.
    pub recipients: Vec<String>,
}

/// A name for a file: those of later moments come later. No other file has this inode now.
pub fn name(now: Timestamp, inode: u64) -> String {
    format!("{:012x}{inode:016x}", now.as_millis().max(0))
}

/// Whether a file is called as such files are: one that is being written begins with a dot.
pub fn is_name(name: &[u8]) -> bool {
    let is_plain = |octet: &u8| octet.is_ascii_digit() || octet.is_ascii_lowercase();
    (1..=MAX_NAME).contains(&name.len())
        && name.iter().all(is_plain)
        && name != super::REFUSED.as_bytes()
}

impl Head {
    /// Whether it is a notification: of those nobody is told (RFC 5321 §4.5.5).
    pub fn is_notice(&self) -> bool {
        self.mail.starts_with(NULL_SENDER)
    }

    /// The recipients' addresses, in brackets.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        let path = |line: &String| line.trim_end().strip_prefix(RECIPIENT).map(str::to_owned);
        let paths = self.recipients.iter().filter_map(path);
        paths.map(|path| format!("<{}", path.split(' ').next().unwrap_or_default()))
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        let mut text =
            format!("{MAGIC}\nsize={} written={}\n", self.size, self.written.as_millis());
        for line in self.claims.iter().chain([&self.mail]).chain(&self.recipients) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
        text
    }

    /// Reads it, up to the content; says how many octets it has.
    pub fn read(file: &mut impl BufRead) -> Result<(Self, u64), Why> {
        let mut lines = Lines { file, octets: 0 };
        if lines.next()? != MAGIC {
            return Err(Why::NoLetter);
        }
        let figures = lines.next()?;
        let figures = figures.strip_prefix("size=").and_then(|rest| rest.split_once(WRITTEN));
        let (size, written) = figures.ok_or(Why::NoLetter)?;
        let mut head = Self {
            size: size.parse().map_err(|_| Why::NoLetter)?,
            written: Timestamp::from_millis(written.parse().map_err(|_| Why::NoLetter)?),
            ..Self::default()
        };
        loop {
            let line = lines.next()?;
            let is_first = head.mail.is_empty();
            if line.is_empty() {
                break;
            } else if line.starts_with(ORIGIN) && is_first {
                head.claims.push(line + "\r\n");
            } else if line.starts_with(MAIL) && is_first {
                head.mail = line + "\r\n";
            } else if line.starts_with(RECIPIENT) && !is_first {
                head.recipients.push(line + "\r\n");
            } else {
                return Err(Why::NoLetter);
            }
        }
        if head.recipients.is_empty() {
            return Err(Why::NoLetter);
        }
        Ok((head, lines.octets as u64))
    }
}

struct Lines<'a, R> {
    file: &'a mut R,
    octets: usize,
}

impl<R: BufRead> Lines<'_, R> {
    // A line of a file that ends within one is none: the file is not whole.
    fn next(&mut self) -> Result<String, Why> {
        let mut line = Vec::new();
        let bounded = &mut (&mut *self.file).take(MAX_COMMAND_LINE as u64);
        let read = bounded.read_until(b'\n', &mut line)?;
        self.octets += read;
        if line.pop() != Some(b'\n') {
            return Err(if read < MAX_COMMAND_LINE { Why::Incomplete } else { Why::NoLetter });
        }
        let text = String::from_utf8(line).map_err(|_| Why::NoLetter)?;
        if self.octets > MAX_HEAD || text.chars().any(char::is_control) {
            return Err(Why::NoLetter);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            size: 3,
            written: Timestamp::from_millis(1_795_504_620_000),
            claims: vec!["XORIGIN directory=/srv\r\n".into()],
            mail: "MAIL FROM:<me@example.com> SIZE=3\r\n".into(),
            recipients: vec![
                "RCPT TO:<a@example.com>\r\n".into(),
                "RCPT TO:<b@c.example>\r\n".into(),
            ],
        }
    }

    #[test]
    fn a_letter_reads_back_and_no_beginning_of_one_is_a_letter() {
        let text = head().to_text() + "abc";
        let (read, octets) = Head::read(&mut text.as_bytes()).unwrap();
        assert_eq!(read, head());
        assert_eq!(octets as usize + 3, text.len());
        for end in 0..octets as usize {
            let cut = text.as_bytes().get(..end).unwrap();
            assert_eq!(Head::read(&mut &*cut), Err(Why::Incomplete), "{end}");
        }
    }

    #[test]
    fn commands_of_another_kind_are_not_said() {
        let whole = head().to_text();
        for (from, to) in [
            ("puerto-drop 1", "puerto-drop 2"),
            ("size=3", "size=-3"),
            ("written=1795504620000", "written="),
            ("RCPT TO:<a@example.com>\n", "DATA\n"),
            ("RCPT TO:<a@example.com>\n", "RSET\nMAIL FROM:<x@example.com>\n"),
            ("RCPT TO:<a@example.com>", "RCPT TO:<a@example.com>\rDATA"),
            ("MAIL FROM:<me@example.com> SIZE=3\n", ""),
            ("XORIGIN", "EHLO"),
        ] {
            assert!(whole.contains(from), "{from}");
            let text = whole.replace(from, to);
            assert_eq!(Head::read(&mut text.as_bytes()), Err(Why::NoLetter), "{to}");
        }
        let endless = format!("{whole}{}", "x".repeat(100)).replace("SIZE=3", &"X".repeat(3000));
        assert_eq!(Head::read(&mut endless.as_bytes()), Err(Why::NoLetter));
    }

    #[test]
    fn names_are_in_the_order_of_time_and_nothing_else_is_one() {
        let at = |millis| name(Timestamp::from_millis(millis), 7);
        assert!(at(999_999_999_999) < at(1_795_504_620_000) && at(5) < at(6));
        assert!(is_name(at(5).as_bytes()));
        for odd in ["", ".x", "a.b", "a\nb", "A", "refused", "..", &"a".repeat(65)] {
            assert!(!is_name(odd.as_bytes()), "{odd:?}");
        }
    }
}
