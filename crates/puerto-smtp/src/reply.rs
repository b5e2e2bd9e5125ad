//! Replies and enhanced status codes (RFC 5321 §4.2, RFC 3463, RFC 2034).
//!
//! A [`Reply`] is what one side says and what every later room reads: the log, the
//! bounce and the explanation work on the same value. [`ReplyDecoder`] reads one
//! from a peer who may be hostile, within the bounds of [`crate::limits`].

use std::fmt;
use std::str::FromStr;

use crate::limits::{MAX_REPLY, MAX_REPLY_LINE, MAX_REPLY_LINES};

/// What the first digit of a reply says (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// 2yz: done.
    Positive,
    /// 3yz: go on.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: not so.
    Permanent,
}

/// A three-digit reply code, 200 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// The code, if it lies between 200 and 599.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 { Some(Self(code)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// What the first digit says.
    pub const fn severity(self) -> Severity {
        match self.0 {
            200..300 => Severity::Positive,
            300..400 => Severity::Intermediate,
            400..500 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An enhanced status code, class.subject.detail (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl EnhancedCode {
    /// Builds a code that is known to be valid; `class` is 2, 4 or 5.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The same subject and detail with another class: what a temporary failure
    /// becomes when it is given up.
    pub const fn with_class(self, class: u8) -> Self {
        Self { class, ..self }
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The text is not class.subject.detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnEnhancedCode;

impl fmt::Display for NotAnEnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an enhanced status code: expected a form like 5.7.1")
    }
}

impl std::error::Error for NotAnEnhancedCode {}

impl FromStr for EnhancedCode {
    type Err = NotAnEnhancedCode;

    fn from_str(text: &str) -> Result<Self, NotAnEnhancedCode> {
        let mut parts = text.split('.');
        let mut number = || {
            let part = parts.next().ok_or(NotAnEnhancedCode)?;
            let digits =
                !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
            if digits {
                part.parse::<u16>().map_err(|_| NotAnEnhancedCode)
            } else {
                Err(NotAnEnhancedCode)
            }
        };
        let (class, subject, detail) = (number()?, number()?, number()?);
        if parts.next().is_some() {
            return Err(NotAnEnhancedCode);
        }
        match class {
            2 => Ok(Self::new(2, subject, detail)),
            4 => Ok(Self::new(4, subject, detail)),
            5 => Ok(Self::new(5, subject, detail)),
            _ => Err(NotAnEnhancedCode),
        }
    }
}

/// One reply: a code, perhaps an enhanced code, and its lines of text.
///
/// The lines hold neither the code nor the enhanced code, and no control
/// characters whatever the peer sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply of one line. A `code` outside 200..=599 becomes 554, so that a
    /// mistake here never turns into an acceptance.
    pub fn new(code: u16, enhanced: Option<EnhancedCode>, text: impl Into<String>) -> Self {
        Self::multiline(code, enhanced, vec![text.into()])
    }

    /// A reply of several lines; see [`Reply::new`].
    pub fn multiline(code: u16, enhanced: Option<EnhancedCode>, lines: Vec<String>) -> Self {
        let code = ReplyCode::new(code).unwrap_or(ReplyCode(554));
        let lines = lines.into_iter().map(|line| clean(&line)).collect();
        Self { code, enhanced, lines }
    }

    /// A reply whose text begins with its enhanced code: `Reply::enhanced(550,
    /// (5, 7, 1), "…")`.
    pub fn enhanced(code: u16, status: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self::new(code, Some(EnhancedCode::new(status.0, status.1, status.2)), text)
    }

    /// The code.
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced code that the peer gave, if any.
    pub fn enhanced_code(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The enhanced code, or the general one of the reply's class (RFC 3463 §3.1).
    pub fn status(&self) -> EnhancedCode {
        let class = match self.code.severity() {
            Severity::Positive | Severity::Intermediate => 2,
            Severity::Transient => 4,
            Severity::Permanent => 5,
        };
        // A peer that says "550 4.7.1" means the 5: clients act on the reply code.
        self.enhanced.map_or(EnhancedCode::new(class, 0, 0), |code| code.with_class(class))
    }

    /// The lines of text, without codes.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// All lines joined by a space.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// What the first digit says.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether the reply is 2yz.
    pub fn is_positive(&self) -> bool {
        self.severity() == Severity::Positive
    }

    /// Whether the peer closes the connection with it (RFC 5321 §4.2.3: 421).
    pub fn closes(&self) -> bool {
        self.code.get() == 421
    }

    /// Appends the wire form, each line ended by CRLF.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        if self.lines.is_empty() {
            self.write_line(out, b' ', "");
        }
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == last { b' ' } else { b'-' };
            self.write_line(out, separator, line);
        }
    }

    fn write_line(&self, out: &mut Vec<u8>, separator: u8, line: &str) {
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.push(separator);
        if let Some(enhanced) = self.enhanced {
            out.extend_from_slice(enhanced.to_string().as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The whole reply on one line, as a log shows it: `550 5.7.1 no`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

fn clean(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

/// Why a peer's bytes are not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// A line does not begin with three digits and a space or hyphen.
    NotAReply,
    /// The lines of one reply carry different codes.
    CodesDiffer,
    /// A line or the whole reply is longer than the bounds allow.
    TooLong,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAReply => "the peer sent a line that is not an SMTP reply",
            Self::CodesDiffer => "the peer sent a reply whose lines carry different codes",
            Self::TooLong => "the peer sent a reply that is too long",
        })
    }
}

impl std::error::Error for ReplyError {}

/// Reads replies from a stream of bytes, as many as come.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    buffer: Vec<u8>,
    pending: Option<Reply>,
    octets: usize,
}

impl ReplyDecoder {
    /// An empty decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes are held that no reply has used yet. After the 220 to
    /// STARTTLS there must be none (RFC 3207 §4; CVE-2021-38371).
    pub fn has_leftover(&self) -> bool {
        !self.buffer.is_empty() || self.pending.is_some()
    }

    /// The next whole reply, `None` when more bytes are needed. Lines may end in a
    /// bare LF: old servers do so, and nothing can be smuggled in a reply's line.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                let too_long = self.buffer.len() > MAX_REPLY_LINE;
                return if too_long { Err(ReplyError::TooLong) } else { Ok(None) };
            };
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            if let Some(reply) = self.take_line(&line)? {
                self.octets = 0;
                return Ok(Some(reply));
            }
        }
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.octets += line.len();
        if line.len() > MAX_REPLY_LINE || self.octets > MAX_REPLY {
            return Err(ReplyError::TooLong);
        }
        let (code, more, text) = split_line(line)?;
        let (enhanced, text) = split_enhanced(code, text);
        let mut reply = match self.pending.take() {
            Some(reply) if reply.code != code => return Err(ReplyError::CodesDiffer),
            Some(reply) => reply,
            None => Reply { code, enhanced, lines: Vec::new() },
        };
        if reply.lines.len() >= MAX_REPLY_LINES {
            return Err(ReplyError::TooLong);
        }
        reply.enhanced = reply.enhanced.or(enhanced);
        reply.lines.push(clean(&text));
        if more {
            self.pending = Some(reply);
            return Ok(None);
        }
        Ok(Some(reply))
    }
}

fn split_line(line: &[u8]) -> Result<(ReplyCode, bool, String), ReplyError> {
    let text = String::from_utf8_lossy(line);
    let digits = text.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let code = digits.and_then(|d| d.parse().ok()).and_then(ReplyCode::new);
    let code = code.ok_or(ReplyError::NotAReply)?;
    let rest = text.get(3..).unwrap_or_default();
    match rest.chars().next() {
        None => Ok((code, false, String::new())),
        Some(' ') => Ok((code, false, rest.trim_start().to_owned())),
        Some('-') => Ok((code, true, rest.get(1..).unwrap_or_default().trim_start().to_owned())),
        Some(_) => Err(ReplyError::NotAReply),
    }
}

// The enhanced code stands first in the text of 2yz, 4yz and 5yz replies (RFC 2034 §4).
fn split_enhanced(code: ReplyCode, text: String) -> (Option<EnhancedCode>, String) {
    if code.severity() == Severity::Intermediate {
        return (None, text);
    }
    let first = text.split(' ').next().unwrap_or_default();
    match first.parse::<EnhancedCode>() {
        Ok(enhanced) => {
            let rest = text.get(first.len()..).unwrap_or_default().trim_start().to_owned();
            (Some(enhanced), rest)
        }
        Err(_) => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let mut decoder = ReplyDecoder::new();
        decoder.feed(bytes);
        decoder.next_reply()
    }

    #[test]
    fn a_reply_is_read_whole_and_written_on_one_line() {
        let reply = decode(b"550-5.7.1 not\r\n550 5.7.1 today\r\n").unwrap().unwrap();
        assert_eq!(reply.to_string(), "550 5.7.1 not today");
        assert_eq!(reply.status().to_string(), "5.7.1");
        assert_eq!(reply.severity(), Severity::Permanent);
    }

    #[test]
    fn several_replies_come_one_by_one_at_any_cut() {
        let wire = b"250-a\r\n250 b\r\n354 go\n451 4.3.0 later\r\n";
        for cut in 0..wire.len() {
            let mut decoder = ReplyDecoder::new();
            let mut seen = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                decoder.feed(part);
                while let Some(reply) = decoder.next_reply().unwrap() {
                    seen.push(reply.to_string());
                }
            }
            assert_eq!(seen, ["250 a b", "354 go", "451 4.3.0 later"]);
            assert!(!decoder.has_leftover());
        }
    }

    #[test]
    fn hostile_replies_are_errors_within_bounds() {
        assert_eq!(decode(b"hello\r\n"), Err(ReplyError::NotAReply));
        assert_eq!(decode(b"250x\r\n"), Err(ReplyError::NotAReply));
        assert_eq!(decode(b"600 no\r\n"), Err(ReplyError::NotAReply));
        assert_eq!(decode(b"250-a\r\n251 b\r\n"), Err(ReplyError::CodesDiffer));
        assert_eq!(decode(&[b'2'; 5000]), Err(ReplyError::TooLong));
        assert_eq!(decode(&b"250-a\r\n".repeat(3000)), Err(ReplyError::TooLong));
        assert_eq!(decode(b"250 a\x1b[31mb\r\n").unwrap().unwrap().text(), "a?[31mb");
    }

    #[test]
    fn the_reply_code_wins_over_a_contradicting_enhanced_code() {
        let reply = decode(b"550 4.7.1 no\r\n").unwrap().unwrap();
        assert_eq!(reply.status().to_string(), "5.7.1");
        let wire = {
            let mut out = Vec::new();
            reply.write_to(&mut out);
            out
        };
        assert_eq!(wire, b"550 4.7.1 no\r\n");
    }
}
