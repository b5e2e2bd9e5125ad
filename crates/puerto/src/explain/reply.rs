//! A reply in one form: its codes apart, its lines joined, its words in lower case.

use puerto_smtp::EnhancedCode;

use super::Kind;
use super::input::Found;

/// Octets of a reply that are compared with patterns.
const MAX_WORDS: usize = 4096;

/// What a peer said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The reply code.
    pub(super) code: Option<u16>,
    /// The enhanced status code: the reply's, else the one that the log gives.
    pub(super) status: Option<EnhancedCode>,
    /// The words without codes, for patterns.
    pub(super) words: String,
    /// Whether its form says that something was refused; prose may hold the same words.
    pub(super) sure: bool,
    /// It begins with a code that SMTP does not know: its words are no verdict then.
    pub(super) has_unknown_code: bool,
}

impl Reply {
    /// Brings what was found into this form.
    pub(super) fn parse(found: &Found) -> Self {
        let mut reader = Reader::default();
        for line in found.reply.lines() {
            reader.line(line);
        }
        let code = reader.code;
        let status = reader.status.or(reader.status_within).or(found.status);
        let sure = found.sure || code.is_none() && reader.status.is_some();
        let said = found.reply.split_once(" said: ").map_or(found.reply.as_str(), |(_, said)| said);
        let begins = said.split_whitespace().next().unwrap_or_default();
        let has_unknown_code = code.is_none() && is_unknown_code(begins);
        Self { code, status, words: reader.words, sure, has_unknown_code }
    }

    /// Whether it is no refusal.
    pub(super) fn is_success(&self) -> bool {
        match self.code {
            Some(code) => code < 400,
            None => self.status.is_some_and(|status| status.class == 2),
        }
    }

    /// What the first digit says.
    pub(super) fn kind(&self) -> Option<Kind> {
        let digit = self.code.map(|code| code / 100);
        match digit.or(self.status.map(|status| u16::from(status.class))) {
            Some(4) => Some(Kind::Temporary),
            Some(5) => Some(Kind::Permanent),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Reader {
    code: Option<u16>,
    status: Option<EnhancedCode>,
    /// One that stands among the words.
    status_within: Option<EnhancedCode>,
    words: String,
}

impl Reader {
    // Each line begins with the code, and often with the enhanced code again
    // (RFC 5321 §4.2.1, RFC 2034 §4). Lines that a log has joined carry them in their
    // middle.
    fn line(&mut self, line: &str) {
        let mut begins = true;
        for word in line.split_whitespace() {
            let mut word = word;
            if let Some((code, rest)) = code_of(word)
                && (begins || self.code == Some(code))
                && (begins || rest.is_some())
            {
                self.code = self.code.or(Some(code));
                begins = true;
                match rest {
                    Some(rest) if !rest.is_empty() => word = rest,
                    _ => continue,
                }
            } else if !begins && self.code.is_some() && self.code == word.parse().ok() {
                begins = true;
                continue;
            }
            if let Some((status, rest)) = status_of(word) {
                let own = Some(status) == self.status;
                if begins || own {
                    self.status = self.status.or(Some(status));
                    if !rest.is_empty() {
                        self.push(rest);
                    }
                    continue;
                }
                self.status_within = self.status_within.or(Some(status));
            }
            begins = false;
            self.push(word);
        }
    }

    fn push(&mut self, word: &str) {
        if self.words.len() + word.len() >= MAX_WORDS {
            return;
        }
        if !self.words.is_empty() {
            self.words.push(' ');
        }
        // Nor does a host, by its name before its address: `mx-flood.example[192.0.2.1]:25`.
        let (name, address) = word.split_at(word.find('[').unwrap_or(0));
        let is_host = name.contains('.') && address.contains(']') && !name.contains('@');
        let word = if is_host { address } else { word };
        // Whoever is called spam@ or spf@ says nothing about the reason.
        let (before, word) = match word.rfind('@') {
            Some(at) if word.starts_with('<') => ("<", word.get(at..).unwrap_or_default()),
            Some(at) if !word.contains("//") => ("", word.get(at..).unwrap_or_default()),
            _ => ("", word),
        };
        self.words.push_str(before);
        self.words.push_str(&folded_words(word));
    }
}

/// As words are compared with patterns.
pub(super) fn folded_words(words: &str) -> String {
    words.chars().flat_map(char::to_lowercase).map(folded).collect()
}

// Servers write apostrophes and accents or leave them out as they like.
fn folded(letter: char) -> char {
    match letter {
        '\u{2018}' | '\u{2019}' | '`' | '\u{b4}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        'á' | 'à' | 'â' | 'ä' | 'ã' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'î' | 'ï' => 'i',
        'ó' | 'ô' | 'ö' | 'õ' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

// `650`, `199`, `000-`: three digits in the place of a code, and the first means nothing.
fn is_unknown_code(word: &str) -> bool {
    let digits = word.split('-').next().unwrap_or_default();
    let is_number = digits.len() == 3 && digits.bytes().all(|octet| octet.is_ascii_digit());
    is_number && !digits.starts_with(['2', '3', '4', '5'])
}

// `550`, `550-` or `550-text`; what follows the hyphen, if there is one.
fn code_of(word: &str) -> Option<(u16, Option<&str>)> {
    let digits = word.get(..3)?;
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let code: u16 = digits.parse().ok().filter(|code| (200..600).contains(code))?;
    match word.get(3..)? {
        "" => Some((code, None)),
        rest => Some((code, Some(rest.strip_prefix('-')?))),
    }
}

// `5.7.1`, also `(#5.7.1)` and `5.7.1:`; what follows it in the same word.
fn status_of(word: &str) -> Option<(EnhancedCode, &str)> {
    let inner = word.trim_start_matches(['(', '#', '[', '<']);
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(inner.len());
    let (number, rest) = inner.split_at(end);
    let mut parts = number.trim_end_matches('.').split('.');
    let class: u8 = parts.next()?.parse().ok().filter(|class| [2, 4, 5].contains(class))?;
    let subject: u16 = parts.next()?.parse().ok().filter(|n| *n < 1000)?;
    let detail: u16 = parts.next()?.parse().ok().filter(|n| *n < 1000)?;
    let rest = rest.trim_start_matches([')', ']', '>', ':', ',', '-', ';']);
    parts.next().is_none().then_some((EnhancedCode { class, subject, detail }, rest))
}
