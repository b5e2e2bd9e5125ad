//! Address lists of header fields (RFC 5322 §3.4), as `sendmail -t` and the checks
//! of From read them: groups, comments, quoted strings, the obsolete forms, encoded
//! words in display names and UTF-8 (RFC 6532).
//!
//! The parser is iterative and linear; what bounds it is the size of the header.

use std::borrow::Cow;
use std::fmt;

use puerto_smtp::address::AddressError;
use puerto_smtp::text::is_harmful;
use puerto_smtp::{Address, Domain, LocalPart};

use super::encoded_word;

/// A mailbox of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, decoded; `None` if there is none. A comment after a bare
    /// address counts as one, as old programs write it.
    pub name: Option<String>,
    /// The address; a word without a domain has been given the default one.
    pub address: Address,
}

/// Writes `name <address>` in its raw form, for people; a header field is written
/// by [`super::write_mailboxes`].
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Why a value is not a list of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} in {excerpt:?}")]
pub struct AddressListError {
    /// What the reader stumbled over first.
    pub problem: AddressListProblem,
    /// The part of the list that it is about, shortened.
    pub excerpt: String,
}

/// What can be wrong with a list of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressListProblem {
    /// A quoted string, comment, domain literal or angle bracket is not closed.
    #[error("something is opened and not closed: quotes, parentheses or brackets")]
    Unclosed,
    /// Two words follow each other where an address stands.
    #[error("a comma between addresses is missing, or a name needs <> around its address")]
    MissingComma,
    /// What stands where an address does is none, for this reason.
    #[error("{0}")]
    Address(AddressError),
    /// A character stands where none of its kind may.
    #[error("unexpected character")]
    Unexpected,
}

/// Reads a field's value as a list of mailboxes; those of groups are listed like
/// all others. An address without a domain gets `default_domain`, or is an error
/// without one.
pub fn parse_address_list(
    value: &[u8],
    default_domain: Option<&Domain>,
) -> Result<Vec<Mailbox>, AddressListError> {
    let text = String::from_utf8_lossy(value);
    let mut list = List { tokens: Tokens::new(&text), default_domain, mailboxes: Vec::new() };
    list.run().map_err(|problem| list.error(problem))?;
    Ok(list.mailboxes)
}

/// Whether an address list is of the form that may be written: ASCII, and nothing of what
/// only readers have to know (RFC 5322 §4.4): routes, members that are empty, white space
/// for a comma; nor a dot behind a domain, which is no form at all.
pub fn is_well_formed(value: &[u8]) -> bool {
    PlainAddress::read(value).is_some() || is_well_formed_list(value)
}

fn is_well_formed_list(value: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let Some(text) = std::str::from_utf8(value).ok().filter(|_| value.iter().all(is_text)) else {
        return false;
    };
    let mut tokens = Tokens::new(text);
    let mut before = ',';
    loop {
        let next = match tokens.next() {
            Ok(Some(Token::Comment(_))) => continue,
            Ok(Some(Token::Special(mark))) => mark,
            Ok(Some(_)) => 'x',
            Ok(None) => ',',
            Err(_) => return false,
        };
        match (before, next) {
            (',' | ':', ',') | (',', ';') | ('<', '@') | ('.', ',' | ';' | '>') => return false,
            _ if tokens.rest().is_empty() && next == ',' => break,
            _ => before = next,
        }
    }
    parse_address_list(value, None).is_ok()
}

/// The form of nearly every list, `left@right` or `words <left@right>`, which is seen at a
/// glance; all else is read with care.
pub(super) struct PlainAddress<'a> {
    /// The words before the brackets, between blanks.
    pub(super) words: &'a [u8],
    /// The address.
    pub(super) address: Address,
}

impl<'a> PlainAddress<'a> {
    /// Reads a value that is of this form.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (words, address) = match value.strip_suffix(b">") {
            None => (b"".as_slice(), value),
            Some(rest) => {
                let (words, address) = rest.split_at(memchr::memchr(b'<', rest)?);
                let are_words = words.iter().all(|octet| is_atext(*octet) || *octet == b' ');
                (words.trim_ascii(), address.get(1..).filter(|_| are_words)?)
            }
        };
        let (local, domain) = address.split_at(memchr::memchr(b'@', address)?);
        let domain = std::str::from_utf8(domain.get(1..)?).ok()?;
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'.' || octet == b'-';
        if !domain.bytes().all(is_plain) || domain.ends_with('.') {
            return None;
        }
        if !local.iter().all(|octet| is_atext(*octet) || *octet == b'.') {
            return None;
        }
        let local = LocalPart::parse(std::str::from_utf8(local).ok()?).ok()?;
        let domain = Domain::parse(domain).ok()?;
        (!local.needs_quotes()).then(|| Self { words, address: Address::new(local, domain) })
    }
}

// RFC 5322 §3.2.3.
fn is_atext(octet: u8) -> bool {
    const MARKS: &[u8] = b"!#$%&'*+-/=?^_`{|}~";
    octet.is_ascii_alphanumeric() || memchr::memchr(octet, MARKS).is_some()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Atom(&'a str),
    Quoted(String),
    Literal(&'a str),
    Comment(&'a str),
    Special(char),
}

struct Tokens<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, AddressListProblem> {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.position += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else { return Ok(None) };
        let (token, length) = match first {
            '"' => quoted(trimmed)?,
            '(' => comment(trimmed)?,
            '[' => literal(trimmed)?,
            '<' | '>' | ',' | ';' | ':' | '@' | '.' => (Token::Special(first), 1),
            ')' | ']' | '\\' => return Err(AddressListProblem::Unexpected),
            other if other.is_control() => return Err(AddressListProblem::Unexpected),
            _ => {
                let plain = trimmed.bytes().take_while(|octet| is_atext(*octet)).count();
                let rest = trimmed.get(plain..).unwrap_or_default();
                let length = plain + rest.find(ends_atom).unwrap_or(rest.len());
                (Token::Atom(trimmed.get(..length).unwrap_or_default()), length)
            }
        };
        self.position += length;
        Ok(Some(token))
    }
}

fn ends_atom(character: char) -> bool {
    matches!(
        character,
        ' ' | '"' | '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',' | '.'
    ) || character.is_control()
}

fn quoted(text: &str) -> Result<(Token<'_>, usize), AddressListProblem> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((Token::Quoted(value), index + 1)),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            // Folding inside quotes leaves its white space (RFC 5322 §3.2.4).
            '\r' | '\n' => {}
            other => value.push(other),
        }
    }
    Err(AddressListProblem::Unclosed)
}

fn comment(text: &str) -> Result<(Token<'_>, usize), AddressListProblem> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 1 => {
                let inner = text.get(1..index).unwrap_or_default();
                return Ok((Token::Comment(inner), index + 1));
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    Err(AddressListProblem::Unclosed)
}

fn literal(text: &str) -> Result<(Token<'_>, usize), AddressListProblem> {
    let end = text.find(']').ok_or(AddressListProblem::Unclosed)? + 1;
    Ok((Token::Literal(text.get(..end).unwrap_or_default()), end))
}

struct List<'a> {
    tokens: Tokens<'a>,
    default_domain: Option<&'a Domain>,
    mailboxes: Vec<Mailbox>,
}

impl<'a> List<'a> {
    fn run(&mut self) -> Result<(), AddressListProblem> {
        let mut words = Vec::new();
        let mut note = None;
        let mut in_group = false;
        loop {
            match self.tokens.next()? {
                None if in_group => return Err(AddressListProblem::Unclosed),
                None => return self.bare(&words, note),
                Some(Token::Comment(text)) => note = Some(text),
                Some(Token::Special('<')) => {
                    check_phrase(&words)?;
                    self.angle(&words)?;
                    words.clear();
                    if !self.end_of_mailbox(&mut in_group)? {
                        return Ok(());
                    }
                    note = None;
                }
                Some(Token::Special(end @ (',' | ';'))) => {
                    if end == ';' && !std::mem::take(&mut in_group) {
                        return Err(AddressListProblem::Unexpected);
                    }
                    self.bare(&words, note.take())?;
                    words.clear();
                }
                Some(Token::Special(':')) if !in_group && !words.is_empty() => {
                    check_phrase(&words)?;
                    in_group = true;
                    words.clear();
                    note = None;
                }
                Some(Token::Special('>' | ':')) => return Err(AddressListProblem::Unexpected),
                Some(word) => words.push(word),
            }
        }
    }

    // After `name <address>` only a comma, the end of the group or the end may follow.
    fn end_of_mailbox(&mut self, in_group: &mut bool) -> Result<bool, AddressListProblem> {
        loop {
            return match self.tokens.next()? {
                None if *in_group => Err(AddressListProblem::Unclosed),
                None => Ok(false),
                Some(Token::Comment(_)) => continue,
                Some(Token::Special(',')) => Ok(true),
                Some(Token::Special(';')) if std::mem::take(in_group) => Ok(true),
                Some(_) => Err(AddressListProblem::MissingComma),
            };
        }
    }

    fn bare(&mut self, words: &[Token<'a>], note: Option<&str>) -> Result<(), AddressListProblem> {
        if words.is_empty() {
            return Ok(());
        }
        let address = address(words, self.default_domain)?;
        let name = note.map(str::trim).filter(|text| !text.is_empty());
        let name = name.map(|text| encoded_word::decode(&without_folds(text)));
        self.mailboxes.push(Mailbox { name, address });
        Ok(())
    }

    fn angle(&mut self, phrase: &[Token<'a>]) -> Result<(), AddressListProblem> {
        let mut words = Vec::new();
        loop {
            match self.tokens.next()? {
                None => return Err(AddressListProblem::Unclosed),
                Some(Token::Comment(_)) => {}
                Some(Token::Special('>')) => break,
                // A source route, obsolete, ends with a colon and is dropped.
                Some(Token::Special(':' | ',')) if words.first() == Some(&Token::Special('@')) => {
                    words.clear();
                }
                Some(Token::Special('<' | ';' | ':' | ',')) => {
                    return Err(AddressListProblem::Unexpected);
                }
                Some(word) => words.push(word),
            }
        }
        let address = address(&words, self.default_domain)?;
        self.mailboxes.push(Mailbox { name: display_name(phrase), address });
        Ok(())
    }

    fn error(&self, problem: AddressListProblem) -> AddressListError {
        let before = self.tokens.text.get(..self.tokens.position).unwrap_or_default();
        let start = before.char_indices().rev().take(40).last().map_or(0, |(index, _)| index);
        let excerpt = self.tokens.text.get(start..).unwrap_or_default();
        let excerpt = excerpt.chars().filter(|c| !is_harmful(*c)).take(80).collect();
        AddressListError { problem, excerpt }
    }
}

// A name is words, with dots in the obsolete form (RFC 5322 §4.1).
fn check_phrase(words: &[Token<'_>]) -> Result<(), AddressListProblem> {
    for word in words {
        match word {
            Token::Special('.') | Token::Atom(_) | Token::Quoted(_) | Token::Comment(_) => {}
            Token::Special('@') => return Err(AddressListProblem::MissingComma),
            Token::Special(_) | Token::Literal(_) => return Err(AddressListProblem::Unexpected),
        }
    }
    Ok(())
}

fn without_folds(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\n']) {
        Cow::Owned(text.replace(['\r', '\n'], ""))
    } else {
        Cow::Borrowed(text)
    }
}

fn display_name(phrase: &[Token<'_>]) -> Option<String> {
    let mut name = String::new();
    let mut joins = true;
    for token in phrase {
        let text = match token {
            Token::Atom(text) | Token::Literal(text) => (*text).to_owned(),
            Token::Quoted(text) => text.clone(),
            Token::Comment(_) => continue,
            Token::Special(character) => character.to_string(),
        };
        let is_mark = matches!(token, Token::Special(_));
        if !joins && !is_mark {
            name.push(' ');
        }
        joins = false;
        name.push_str(&text);
    }
    let name = encoded_word::decode(&name);
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    (!name.trim().is_empty()).then(|| name.trim().to_owned())
}

fn address(
    words: &[Token<'_>],
    default_domain: Option<&Domain>,
) -> Result<Address, AddressListProblem> {
    check_joints(words)?;
    let at_sign = words.iter().rposition(|word| *word == Token::Special('@'));
    let (local, domain) = match at_sign {
        Some(index) => {
            (words.get(..index).unwrap_or_default(), words.get(index + 1..).unwrap_or_default())
        }
        None => (words, [].as_slice()),
    };
    let domain = match (at_sign, default_domain) {
        (Some(_), _) => Domain::parse(&joined(domain)?).map_err(AddressListProblem::Address)?,
        (None, Some(default)) => default.clone(),
        (None, None) => return Err(AddressListProblem::Address(AddressError::MissingDomain)),
    };
    let is_quoted = local.iter().any(|word| matches!(word, Token::Quoted(_)));
    let text = joined(local)?;
    let local = if is_quoted { LocalPart::from_unquoted(&text) } else { LocalPart::parse(&text) };
    let local = local.map_err(AddressListProblem::Address)?;
    // An envelope may hold dots anywhere; the grammar of a header wants quotes then.
    if !is_quoted && local.needs_quotes() {
        return Err(AddressListProblem::Address(AddressError::BadLocalPart));
    }
    Ok(Address::new(local, domain))
}

// White space is allowed around `.` and `@` (obsolete), but between two words it
// means that a comma was forgotten.
fn check_joints(words: &[Token<'_>]) -> Result<(), AddressListProblem> {
    let is_word = |token: &Token<'_>| !matches!(token, Token::Special(_));
    let touching = words.windows(2).any(|pair| pair.iter().all(is_word));
    if touching { Err(AddressListProblem::MissingComma) } else { Ok(()) }
}

fn joined(words: &[Token<'_>]) -> Result<String, AddressListProblem> {
    let mut text = String::new();
    for word in words {
        match word {
            Token::Atom(part) | Token::Literal(part) => text.push_str(part),
            Token::Quoted(part) => text.push_str(part),
            Token::Special('@') => return Err(AddressListProblem::MissingComma),
            Token::Special(mark) => text.push(*mark),
            Token::Comment(_) => {}
        }
    }
    // Octets that were not UTF-8 cannot be part of an address (RFC 6532 §3.1).
    if text.contains('\u{fffd}') {
        return Err(AddressListProblem::Unexpected);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Vec<String> {
        let domain = Domain::parse("here.example").unwrap();
        let mailboxes = parse_address_list(value.as_bytes(), Some(&domain)).unwrap();
        mailboxes.iter().map(Mailbox::to_string).collect()
    }

    #[test]
    fn lists_in_all_their_forms() {
        for (value, mailboxes) in [
            ("", vec![]),
            (" , ,", vec![]),
            ("a@b.example", vec!["a@b.example"]),
            ("a@b.example, root", vec!["a@b.example", "root@here.example"]),
            ("Ann Lee <a@b.example>", vec!["Ann Lee <a@b.example>"]),
            (
                "\"Lee, Ann\" <a@b.example>,c@d.example",
                vec!["Lee, Ann <a@b.example>", "c@d.example"],
            ),
            ("J. R. \"Bob\" Dobbs <a@b.example>", vec!["J. R. Bob Dobbs <a@b.example>"]),
            ("a@b.example (Ann (the first) Lee)", vec!["Ann (the first) Lee <a@b.example>"]),
            ("(x) a (y) @ (z) b . example", vec!["z <a@b.example>"]),
            ("undisclosed-recipients:;", vec![]),
            (
                "friends: a@b.example, Bo <c@d.example>; , e@f.example",
                vec!["a@b.example", "Bo <c@d.example>", "e@f.example"],
            ),
            ("friends: <a@b.example>;", vec!["a@b.example"]),
            ("<@x.example,@y.example:a@b.example>", vec!["a@b.example"]),
            ("\"a b\"@b.example", vec!["\"a b\"@b.example"]),
            ("\"a@evil.example\"@b.example", vec!["\"a@evil.example\"@b.example"]),
            ("\"a\".b@c.example", vec!["a.b@c.example"]),
            ("a@[192.0.2.1]", vec!["a@[192.0.2.1]"]),
            ("=?utf-8?Q?Jos=C3=A9?= =?utf-8?B?IMOR?= <a@b.example>", vec!["José Ñ <a@b.example>"]),
            ("José <josé@b.example>", vec!["José <josé@b.example>"]),
            ("a@b.example,\r\n\tc@d.example", vec!["a@b.example", "c@d.example"]),
            ("root <root> (Cron)", vec!["root <root@here.example>"]),
        ] {
            assert_eq!(list(value), mailboxes, "{value:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use AddressListProblem::*;
        for (value, problem) in [
            ("a@b.example c@d.example", MissingComma),
            ("Ann Lee", MissingComma),
            ("<a@b.example> c@d.example", MissingComma),
            ("a@b@c.example", MissingComma),
            ("\"a@b.example", Unclosed),
            ("a@b.example (x", Unclosed),
            ("<a@b.example", Unclosed),
            ("a@[192.0.2.1", Unclosed),
            ("<>", Address(AddressError::MissingDomain)),
            ("root", Address(AddressError::MissingDomain)),
            ("a@", Address(AddressError::BadDomain)),
            ("a@b.example <c@d.example>", MissingComma),
            ("[Shop] Orders <a@b.example>", Unexpected),
            ("friends: a@b.example", Unclosed),
            ("friends: Ann <a@b.example>", Unclosed),
            ("a@b.example:", MissingComma),
            ("a..b@c.example", Address(AddressError::BadLocalPart)),
            ("a@b.example;", Unexpected),
            ("a@b.example>", Unexpected),
            ("a\u{0}@b.example", Unexpected),
        ] {
            let error = parse_address_list(value.as_bytes(), None).unwrap_err();
            assert_eq!(error.problem, problem, "{value:?}");
        }
        assert!(parse_address_list(b"a\xff@b.example", None).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets: Vec<u8>) {
            let _ = parse_address_list(&octets, None);
        }

        // What is seen at a glance is what care finds.
        #[test]
        fn a_plain_address_is_well_formed(
            text in "[a =?'-]{0,8}<?[a.-]{0,6}@?[a1._-]{0,8}>? {0,1}|[a. ]{0,4}<a@[a1.]{1,5}>",
        ) {
            proptest::prop_assert!(
                PlainAddress::read(text.as_bytes()).is_none()
                    || is_well_formed_list(text.as_bytes()),
            );
        }

        #[test]
        fn any_mixture_of_marks_is_read_or_refused(text in "[a@.<>,;:()\"\\\\ \\[\\]=?]{0,40}") {
            let _ = parse_address_list(text.as_bytes(), None);
        }
    }
}
