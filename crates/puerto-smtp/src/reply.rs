//! Replies and enhanced status codes (RFC 5321 §4.2, RFC 3463, RFC 2034).
//!
//! A [`Reply`] is what one side says and what every later room reads: the log, the
//! bounce and the explanation work on the same value. [`ReplyDecoder`] reads one
//! from a peer who may be hostile, within the bounds of [`crate::limits`].

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_NOISE_LINES, MAX_REPLY, MAX_REPLY_LINE, MAX_REPLY_LINES, MAX_REPLY_READ};
use crate::text::{is_harmful, is_plain};

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
        // Nearly all are of three digits, and several are written for each message.
        if let (0..10, 0..10, 0..10) = (self.class, self.subject, self.detail) {
            let digit = |number: u16| b'0' + u8::try_from(number).unwrap_or_default();
            let [class, subject, detail] =
                [self.class.into(), self.subject, self.detail].map(digit);
            let text = [class, b'.', subject, b'.', detail];
            return f.write_str(std::str::from_utf8(&text).unwrap_or_default());
        }
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
        let lines = lines.into_iter().map(clean).collect();
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
        let mut octets = Octets(out);
        // Octets can always be appended.
        let _ = write!(octets, "{}{}", self.code, char::from(separator));
        if let Some(enhanced) = self.enhanced {
            let _ = write!(octets, "{enhanced} ");
        }
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Text is written into octets.
struct Octets<'a>(&'a mut Vec<u8>);

impl fmt::Write for Octets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
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

fn clean(line: String) -> String {
    if is_plain(&line) {
        return line;
    }
    line.chars().map(|c| if is_harmful(c) && c != '\t' { '?' } else { c }).collect()
}

/// Why a peer's bytes are not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyError {
    /// Lines came that do not begin with three digits and a space or hyphen, and no
    /// reply behind them.
    NotAReply,
    /// A code that means nothing: its first digit is none of 2 to 5.
    UnknownCode(u16),
    /// The whole reply is longer than the bounds allow.
    TooLong,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReply => f.write_str("the peer sent a line that is not an SMTP reply"),
            Self::UnknownCode(code) => {
                write!(f, "the peer sent the reply code {code:03}, which SMTP does not know")
            }
            Self::TooLong => f.write_str("the peer sent a reply that is too long"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// Reads replies from a stream of bytes, as many as come.
///
/// What servers send is not always what RFC 5321 §4.2 describes, and mail goes to them
/// all the same. Where the lines of one reply carry different codes, the last decides,
/// since only then has the server made up its mind. A line that is no reply, such as a
/// blank one or a message of a program behind the server, is skipped, within bounds.
/// Of a line that is too long the beginning is kept.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    buffer: Vec<u8>,
    pending: Option<Reply>,
    /// The beginning of a line that is too long, until its end has come.
    cut: Option<Vec<u8>>,
    /// Octets of the reply that is coming, read and kept.
    read: usize,
    kept: usize,
    skipped: usize,
    noise: bool,
}

impl ReplyDecoder {
    /// An empty decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.pending.is_none() && self.cut.is_none() {
            self.skip_blank_lines();
        }
    }

    /// Whether bytes are held that no reply has used yet. After the 220 to
    /// STARTTLS there must be none (RFC 3207 §4; CVE-2021-38371).
    pub fn has_leftover(&self) -> bool {
        !self.buffer.is_empty() || self.pending.is_some() || self.cut.is_some()
    }

    /// Whether something came since the last reply that is none.
    pub fn has_noise(&self) -> bool {
        self.noise
    }

    /// The next whole reply, `None` when more bytes are needed. Lines may end in a
    /// bare LF: old servers do so, and nothing can be smuggled in a reply's line.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                self.cut_long_line()?;
                return Ok(None);
            };
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.count(line.len())?;
            let line = self.cut.take().unwrap_or(line);
            if let Some(reply) = self.take_line(&line)? {
                (self.read, self.kept, self.skipped, self.noise) = (0, 0, 0, false);
                self.skip_blank_lines();
                return Ok(Some(reply));
            }
        }
    }

    fn cut_long_line(&mut self) -> Result<(), ReplyError> {
        if self.cut.is_none() && self.buffer.len() <= MAX_REPLY_LINE {
            return Ok(());
        }
        let part = std::mem::take(&mut self.buffer);
        self.count(part.len())?;
        self.cut.get_or_insert(part);
        Ok(())
    }

    fn count(&mut self, octets: usize) -> Result<(), ReplyError> {
        self.read += octets;
        if self.read > MAX_REPLY_READ { Err(ReplyError::TooLong) } else { Ok(()) }
    }

    fn skip_blank_lines(&mut self) {
        let rest = self.buffer.iter().position(|octet| !matches!(octet, b'\r' | b'\n'));
        self.buffer.drain(..rest.unwrap_or(self.buffer.len()));
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let line = line.get(..MAX_REPLY_LINE).unwrap_or(line);
        let end = line.iter().rposition(|octet| !matches!(octet, b'\r' | b'\n'));
        let line = line.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
        let Some((code, more, text)) = split_line(line)? else {
            self.skipped += 1;
            self.noise |= !line.is_empty();
            let too_much = self.skipped > MAX_NOISE_LINES;
            return if too_much { Err(ReplyError::NotAReply) } else { Ok(None) };
        };
        let (enhanced, text) = split_enhanced(code, text);
        let first = Reply { code, enhanced: None, lines: Vec::new() };
        let mut reply = self.pending.take().unwrap_or(first);
        if reply.code != code {
            (reply.code, reply.enhanced) = (code, None);
        }
        reply.enhanced = reply.enhanced.or(enhanced);
        if reply.lines.len() < MAX_REPLY_LINES && self.kept < MAX_REPLY {
            self.kept += line.len();
            reply.lines.push(clean(text));
        }
        if more {
            self.pending = Some(reply);
            return Ok(None);
        }
        Ok(Some(reply))
    }
}

// The code, whether more lines follow, and the text; `None` for a line that is no reply.
fn split_line(line: &[u8]) -> Result<Option<(ReplyCode, bool, String)>, ReplyError> {
    let text = String::from_utf8_lossy(line);
    let digits = text.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let Some(number) = digits.and_then(|digits| digits.parse().ok()) else { return Ok(None) };
    let rest = text.get(3..).unwrap_or_default();
    let more = rest.starts_with('-');
    if !more && !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Ok(None);
    }
    let code = ReplyCode::new(number).ok_or(ReplyError::UnknownCode(number))?;
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    Ok(Some((code, more, rest.trim_start().to_owned())))
}

// The enhanced code stands first in the text of 2yz, 4yz and 5yz replies (RFC 2034 §4).
fn split_enhanced(code: ReplyCode, text: String) -> (Option<EnhancedCode>, String) {
    if code.severity() == Severity::Intermediate {
        return (None, text);
    }
    let first = text.split([' ', '\t']).next().unwrap_or_default();
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
        assert_eq!(decode(&b"what?\r\n".repeat(101)), Err(ReplyError::NotAReply));
        assert_eq!(decode(&b"\r\n".repeat(2_000_000)), Ok(None));
        assert_eq!(decode(&[b'2'; 2_000_000]), Err(ReplyError::TooLong));
        assert_eq!(decode(&b"250-a\r\n".repeat(200_000)), Err(ReplyError::TooLong));
        assert_eq!(decode(b"250 a\x1b[31mb\r\n").unwrap().unwrap().text(), "a?[31mb");
    }

    // Each of these is what some server was seen to send.
    #[test]
    fn odd_replies_mean_what_they_say_at_any_cut() {
        let long = format!("550 5.7.1 {}\r\n", "x".repeat(5000));
        let long_first = format!("550-{}\r\n550 5.1.1 no\r\n", "x".repeat(20_000));
        let many = format!("{}250 end\r\n", "250-more\r\n".repeat(3000));
        for (wire, code, status) in [
            ("250\r\n", 250, "2.0.0"),
            ("250 \r\n", 250, "2.0.0"),
            ("250\tOK\r\n", 250, "2.0.0"),
            ("550\t5.1.1\tno\r\n", 550, "5.1.1"),
            ("250 2.0.0 OK\r\r\n", 250, "2.0.0"),
            ("250-a\r\r\n250 b\r\r\n", 250, "2.0.0"),
            ("250 ok\n", 250, "2.0.0"),
            ("\r\n220 mx.example ESMTP\r\n", 220, "2.0.0"),
            ("\n\r\n\n220 mx.example ESMTP\r\n", 220, "2.0.0"),
            ("PHP Warning: foo in bar\r\n220 mx.example\r\n", 220, "2.0.0"),
            ("220-a\r\n\r\nWelcome to our server\r\n220 b\r\n", 220, "2.0.0"),
            ("220-mx.example\r\n521 5.3.2 go away\r\n", 521, "5.3.2"),
            ("220-mx.example\r\n421 4.7.0 later\r\n", 421, "4.7.0"),
            ("550-5.1.1 no\r\n554 5.7.1 not at all\r\n", 554, "5.7.1"),
            ("550-5.1.1 no\r\n450 well\r\n", 450, "4.0.0"),
            ("450-later\r\n250 ok\r\n", 250, "2.0.0"),
            ("550 \u{fffd}\u{e9}\r\n", 550, "5.0.0"),
            (&long, 550, "5.7.1"),
            (&long_first, 550, "5.1.1"),
            (&many, 250, "2.0.0"),
        ] {
            let step = 1 + wire.len() / 200;
            for cut in (0..wire.len()).step_by(step) {
                let mut decoder = ReplyDecoder::new();
                decoder.feed(&wire.as_bytes()[..cut]);
                assert_eq!(decoder.next_reply(), Ok(None), "{wire:?} cut at {cut}");
                decoder.feed(&wire.as_bytes()[cut..]);
                let reply = decoder.next_reply().unwrap().unwrap();
                assert_eq!((reply.code().get(), &*reply.status().to_string()), (code, status));
                assert!(!decoder.has_leftover() && reply.text().len() < 100_000);
            }
        }
    }

    #[test]
    fn a_code_that_smtp_does_not_know_is_no_verdict() {
        for code in [0, 1, 100, 199, 600, 650, 999] {
            let wire = format!("{code:03} 5.1.1 no such user\r\n");
            assert_eq!(decode(wire.as_bytes()), Err(ReplyError::UnknownCode(code)));
        }
        for noise in ["25 ok", "2500 ok", "250ok", "250=ok", " 250 ok", "ok 250", "٢٥٠ ok", ""] {
            assert_eq!(decode(format!("{noise}\r\n").as_bytes()), Ok(None), "{noise}");
        }
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
