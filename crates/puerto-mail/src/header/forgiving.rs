//! Address lists as people and programs write them: names with commas, brackets and
//! colons that nobody quoted, lists with semicolons or blanks between the addresses,
//! quotes that are not closed, octets that are not UTF-8.
//!
//! A list is cut into members, and each is read for itself, so that one that makes no
//! sense stops no other. What is read is an address that stands there: nothing is
//! guessed, and a member in which no address can be found is listed with the reason.
//! What [`parse_address_list`] takes is read here in the same way.

use std::net::Ipv4Addr;
use std::ops::Range;

use puerto_smtp::address::AddressError;
use puerto_smtp::text::is_harmful;
use puerto_smtp::{Address, Domain, LocalPart};

use super::address_list::{
    AddressListError, AddressListProblem, Mailbox, PlainAddress, is_well_formed, parse_address_list,
};
use super::encoded_word;

/// A list of addresses, with all that stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressList<'a> {
    /// The members in their order.
    pub members: Vec<Member<'a>>,
}

/// A part of a list of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// As it is written, without the mark that ends it.
    pub octets: &'a [u8],
    /// What it was most likely meant as.
    pub meaning: Meaning,
}

impl Member<'_> {
    /// Whether it is the empty path, `<>`, with or without a name.
    pub fn is_empty_path(&self) -> bool {
        self.meaning == Meaning::Unread(AddressListProblem::Address(AddressError::Empty))
    }

    /// The words in it, without quotes and without an empty path.
    pub fn words(&self) -> Vec<u8> {
        match angles(self.octets).last().filter(|_| self.is_empty_path()) {
            Some(range) => outside(self.octets, range.clone()),
            None => plain_name(self.octets),
        }
    }
}

/// What a part of a list of addresses means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// An address that mail can be sent to, with its name.
    Mailbox(Written),
    /// The name of a group, whose members follow (RFC 5322 §3.4).
    Group,
    /// The end of a group.
    GroupEnd,
    /// No address can be read in it, for this reason.
    Unread(AddressListProblem),
}

/// A mailbox as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The display name without its quotes; empty if there is none. It may hold
    /// encoded words and octets that are not UTF-8.
    pub name: Vec<u8>,
    /// The address, made valid where it was not quite.
    pub address: Address,
    /// It is well formed as it stands, and ASCII.
    pub is_sound: bool,
}

/// Reads a field's value as a list of mailboxes, as far as there are any. A word without
/// a domain gets `default_domain`; without one it is no address.
pub fn read_address_list<'a>(value: &'a [u8], default_domain: Option<&Domain>) -> AddressList<'a> {
    let value = value.trim_ascii();
    if let Some(PlainAddress { words, address }) = PlainAddress::read(value) {
        let written = Written { name: words.to_vec(), address, is_sound: true };
        let only = Member { octets: value, meaning: Meaning::Mailbox(written) };
        return AddressList { members: vec![only] };
    }
    read_with_care(value, default_domain)
}

fn read_with_care<'a>(value: &'a [u8], default_domain: Option<&Domain>) -> AddressList<'a> {
    let mut members = Vec::new();
    if says_undisclosed(value) {
        members.push(Member { octets: b"undisclosed-recipients", meaning: Meaning::Group });
        members.push(Member { octets: b"", meaning: Meaning::GroupEnd });
        return AddressList { members };
    }
    for piece in pieces(value, default_domain.is_some()) {
        let octets = value.get(piece.range).unwrap_or_default().trim_ascii();
        match piece.kind {
            Kind::Group => members.push(Member { octets, meaning: Meaning::Group }),
            Kind::GroupEnd => members.push(Member { octets, meaning: Meaning::GroupEnd }),
            Kind::Text => interpret(octets, default_domain, &mut members),
        }
    }
    AddressList { members }
}

impl AddressList<'_> {
    /// The mailboxes, those of groups among them, with their names decoded.
    pub fn mailboxes(&self) -> impl Iterator<Item = Mailbox> {
        self.written().map(|written| {
            let name = encoded_word::decode(&String::from_utf8_lossy(&written.name));
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
            Mailbox { name, address: written.address.clone() }
        })
    }

    /// The mailboxes as they are written.
    pub fn written(&self) -> impl Iterator<Item = &Written> {
        self.members.iter().filter_map(|member| match &member.meaning {
            Meaning::Mailbox(written) => Some(written),
            _ => None,
        })
    }

    /// What could not be read, and why.
    pub fn problems(&self) -> impl Iterator<Item = AddressListError> {
        self.members.iter().filter_map(|member| match member.meaning {
            Meaning::Unread(problem) => {
                let text = String::from_utf8_lossy(member.octets);
                let excerpt = text.chars().filter(|c| !is_harmful(*c)).take(80).collect();
                Some(AddressListError { problem, excerpt })
            }
            _ => None,
        })
    }

    /// Whether writing it anew would mend nothing: there is something that cannot be
    /// read, and the rest is well formed as it stands.
    pub fn is_best_left(&self) -> bool {
        let is_left = |member: &Member<'_>| match &member.meaning {
            Meaning::Mailbox(written) => written.is_sound,
            Meaning::Group | Meaning::Unread(_) => {
                member.octets.is_ascii() && !member.is_empty_path()
            }
            Meaning::GroupEnd => true,
        };
        self.problems().next().is_some() && self.members.iter().all(is_left)
    }
}

// Programs write this in every form where there is no recipient to be shown.
fn says_undisclosed(value: &[u8]) -> bool {
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic());
    let letters: Vec<u8> = letters.take(23).map(u8::to_ascii_lowercase).collect();
    let is_plain = |byte: &u8| byte.is_ascii_alphabetic() || b" -_<>\"':;,.()".contains(byte);
    value.iter().all(is_plain)
        && matches!(letters.as_slice(), b"undisclosedrecipients" | b"undisclosedrecipient")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Group,
    GroupEnd,
}

struct Piece {
    range: Range<usize>,
    kind: Kind,
    // It ends with a mark that may have been meant as a part of a name.
    may_go_on: bool,
}

fn pieces(value: &[u8], completes: bool) -> Vec<Piece> {
    let pieces = cut(value);
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    // The first of the words that may belong to the name of a mailbox to come.
    let mut name_from: Option<usize> = None;
    for piece in pieces {
        let text = value.get(piece.range.clone()).unwrap_or_default();
        let is_mailbox = piece.kind == Kind::Text && has_angle_address(text);
        if let (true, Some(from)) = (is_mailbox, name_from) {
            let start = joined.get(from).map_or(piece.range.start, |first| first.range.start);
            joined.truncate(from);
            joined.push(Piece { range: start..piece.range.end, ..piece });
            name_from = None;
            continue;
        }
        let may_be_name =
            piece.kind == Kind::Text && piece.may_go_on && is_part_of_name(text, completes);
        name_from = if may_be_name { name_from.or(Some(joined.len())) } else { None };
        joined.push(piece);
    }
    joined
}

fn has_angle_address(text: &[u8]) -> bool {
    angles(text).iter().any(|range| text.get(range.clone()).is_some_and(|t| t.contains(&b'@')))
}

// `Kock` in `Kock, Arne <arne@example.com>`. Where bare words are completed, those that
// look like a login name are somebody's of their own.
fn is_part_of_name(text: &[u8], completes: bool) -> bool {
    let text = text.trim_ascii();
    if text.is_empty() || text.contains(&b'@') || text.contains(&b'<') {
        return false;
    }
    let looks_like_login = text
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+".contains(byte));
    !completes || !looks_like_login
}

// Cuts a list at its commas and semicolons, and finds its groups.
fn cut(value: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut at, mut start, mut in_group) = (0, 0, false);
    let last_end = value.iter().rposition(|byte| *byte == b';').unwrap_or(0);
    while let Some((&byte, _)) = value.get(at..).and_then(<[u8]>::split_first) {
        let rest = value.get(at..).unwrap_or_default();
        let before = value.get(start..at).unwrap_or_default();
        match byte {
            b',' | b';' => {
                let ends_group = byte == b';' && std::mem::take(&mut in_group);
                pieces.push(Piece { range: start..at, kind: Kind::Text, may_go_on: !ends_group });
                if ends_group {
                    pieces.push(Piece { range: at..at, kind: Kind::GroupEnd, may_go_on: false });
                }
                at += 1;
                start = at;
            }
            b':' if !in_group && at < last_end && begins_group(before) => {
                pieces.push(Piece { range: start..at, kind: Kind::Group, may_go_on: false });
                in_group = true;
                at += 1;
                start = at;
            }
            b'<' => at += angle_length(rest),
            _ => at += unit_length(rest),
        }
    }
    pieces.push(Piece { range: start..value.len(), kind: Kind::Text, may_go_on: false });
    pieces
}

fn begins_group(before: &[u8]) -> bool {
    let name = before.trim_ascii();
    let is_scheme = SCHEMES.iter().any(|scheme| {
        scheme.len() == name.len() + 1 && scheme.as_bytes().starts_with(&name.to_ascii_lowercase())
    });
    let is_name = !name.is_empty() && name.len() <= MAX_UNIT && !is_scheme;
    is_name && !name.contains(&b'@') && !name.contains(&b'<')
}

// Octets of what stands in angle brackets, unless it is a list itself or has no end.
fn angle_length(octets: &[u8]) -> usize {
    let mut at = 1;
    while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
        let is_route = octets.get(1) == Some(&b'@');
        match rest.first() {
            Some(b'>') => return at + 1,
            Some(b'<') => return 1,
            Some(b',' | b';') if !is_route => return 1,
            _ => at += unit_length(rest),
        }
    }
    1
}

/// Octets of a comment, a group's name or a text in another character set at most: what
/// opens and does not close within them counts as text, so that reading stays linear.
const MAX_UNIT: usize = 256;

// Octets of what belongs together at the beginning: a quoted string, a comment, a
// literal, an encoded word, or one octet. What is opened and not closed counts as text.
fn unit_length(octets: &[u8]) -> usize {
    let length = match octets.first() {
        Some(b'"') => quoted_length(octets),
        Some(b'(') => comment_length(octets),
        Some(b'[') => literal_length(octets),
        Some(b'=') => encoded_word::length(octets),
        Some(b'\\') => Some(2),
        // Two octets for each character, until it says otherwise (RFC 1468).
        Some(0x1b) => {
            let near = octets.get(..MAX_UNIT).unwrap_or(octets);
            memchr::memmem::find(near, b"\x1b(").map(|end| end + 3)
        }
        _ => None,
    };
    length.unwrap_or(1).clamp(1, octets.len().max(1))
}

fn quoted_length(octets: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in octets.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let inner = octets.get(1..index)?;
                return (!spans_mailboxes(inner, octets)).then_some(index + 1);
            }
            _ => {}
        }
    }
    None
}

/// Octets of a list in which a quote too many is looked for.
const MAX_MENDED: usize = 16 * 1024;

// `"Ann <a@x>, "Bob" <b@x>`: with an odd number of quotes, one that would swallow the
// end of an address and a comma is the one too many.
fn spans_mailboxes(inner: &[u8], rest: &[u8]) -> bool {
    let is_odd = || rest.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    let is_joint = |at: usize| {
        let after = inner.get(at + 1..).unwrap_or_default().trim_ascii_start();
        inner.get(at) == Some(&b'>') && after.starts_with(b",")
    };
    rest.len() < MAX_MENDED && (0..inner.len()).any(is_joint) && is_odd()
}

fn comment_length(octets: &[u8]) -> Option<usize> {
    let (mut depth, mut escaped) = (0usize, false);
    for (index, byte) in octets.iter().enumerate().take(MAX_UNIT) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(index + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn literal_length(octets: &[u8]) -> Option<usize> {
    let end = octets.iter().skip(1).position(|byte| b"[]<>@,\"".contains(byte))? + 1;
    (octets.get(end) == Some(&b']')).then_some(end + 1)
}

// Where something stands in angle brackets, brackets included; the last may lack its
// end.
fn angles(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open = None;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = unit_length(rest);
        match (rest.first(), open) {
            (Some(b'<'), _) => open = Some(at),
            (Some(b'>'), Some(from)) => {
                found.push(from..at + 1);
                open = None;
            }
            _ => {}
        }
        at += length;
    }
    found.extend(open.map(|from| from..text.len()));
    found
}

fn interpret<'a>(octets: &'a [u8], default: Option<&Domain>, members: &mut Vec<Member<'a>>) {
    if octets.is_empty() {
        return;
    }
    if let Some(address) = only_address(octets, None) {
        let name = name_of(octets);
        let written = Written { name, address, is_sound: is_well_formed(octets) };
        return members.push(Member { octets, meaning: Meaning::Mailbox(written) });
    }
    if let Some(inner) = quoted_mailbox(octets) {
        return interpret(inner, default, members);
    }
    let mut push = |octets: &'a [u8], meaning| members.push(Member { octets, meaning });
    let brackets = angles(octets);
    let inside = |range: &Range<usize>| octets.get(range.clone()).unwrap_or_default();
    let (last, others) = match brackets.split_last() {
        Some(split) => split,
        None => return words(octets, default, &mut push),
    };
    let mut from = 0;
    for range in others.iter().filter(|range| inside(range).contains(&b'@')) {
        // A comma was forgotten after it.
        let member = octets.get(from..range.end).unwrap_or_default().trim_ascii();
        push(member, in_brackets(member, range.start - from..range.end - from, default));
        from = range.end;
    }
    let has_later = inside(last).contains(&b'@');
    let rest = octets.get(from..).unwrap_or_default();
    if has_later || from == 0 {
        // The spaces that trimming removes stand before the brackets.
        let trimmed = rest.trim_ascii();
        let shift = rest.len() - rest.trim_ascii_start().len();
        let range = last.start.saturating_sub(from + shift)..last.end.saturating_sub(from + shift);
        push(trimmed, in_brackets(trimmed, range, default));
    }
}

// `"Acme <info@example.com>"`: the quotes are around too much.
fn quoted_mailbox(octets: &[u8]) -> Option<&[u8]> {
    let inner = octets.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_whole = !inner.contains(&b'"') && !inner.contains(&b'\\');
    (is_whole && has_angle_address(inner)).then_some(inner)
}

fn only_address(octets: &[u8], default: Option<&Domain>) -> Option<Address> {
    let list = parse_address_list(octets, default).ok()?;
    match <[Mailbox; 1]>::try_from(list) {
        Ok([mailbox]) => Some(mailbox.address),
        Err(_) => None,
    }
}

// `name <address> more`
fn in_brackets(member: &[u8], range: Range<usize>, default: Option<&Domain>) -> Meaning {
    let inside = member.get(range.clone()).unwrap_or_default();
    let inside = inside.strip_prefix(b"<").unwrap_or(inside);
    let inside = inside.strip_suffix(b">").unwrap_or(inside).trim_ascii();
    if inside.is_empty() {
        return Meaning::Unread(AddressListProblem::Address(AddressError::Empty));
    }
    match specification(inside, default) {
        Ok(address) => {
            let name = outside(member, range);
            Meaning::Mailbox(Written { name, address, is_sound: false })
        }
        Err(problem) => Meaning::Unread(problem),
    }
}

fn words<'a>(octets: &'a [u8], default: Option<&Domain>, push: &mut impl FnMut(&'a [u8], Meaning)) {
    let (words, notes) = split_words(octets);
    let has_address = |word: &&&[u8]| word.contains(&b'@');
    let addresses = words.iter().filter(has_address).count();
    let read = |word: &[u8], name: Vec<u8>| match specification(word, default) {
        Ok(address) => Meaning::Mailbox(Written { name, address, is_sound: false }),
        Err(problem) => Meaning::Unread(problem),
    };
    match (addresses, words.as_slice()) {
        (_, []) => {}
        (0 | 1, [only]) => push(octets, read(only, plain_name(&notes.join(&b' ')))),
        (0, _) => push(octets, Meaning::Unread(AddressListProblem::MissingComma)),
        // The name before an address that has no brackets.
        (1, _) if words.iter().any(|word| is_surely_address(word)) => {
            let name = words.iter().filter(|word| !word.contains(&b'@'));
            let name: Vec<&[u8]> = name.chain(&notes).copied().collect();
            let address = words.iter().find(has_address).copied().unwrap_or_default();
            push(octets, read(address, plain_name(&name.join(&b' '))));
        }
        (all, _) if all == words.len() => {
            for word in &words {
                push(word, read(word, Vec::new()));
            }
        }
        _ => push(octets, Meaning::Unread(AddressListProblem::MissingComma)),
    }
}

// Not the end of something else, such as `Ann Lee/Sales/Acme@ACME`.
fn is_surely_address(word: &[u8]) -> bool {
    let domain = word.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    word.contains(&b'@') && domain.trim_ascii_end().contains(&b'.') && !word.contains(&b'/')
}

// The words and the texts of the comments.
fn split_words(octets: &[u8]) -> (Vec<&[u8]>, Vec<&[u8]>) {
    let (mut words, mut notes) = (Vec::new(), Vec::new());
    let (mut at, mut from) = (0, 0);
    while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
        let length = unit_length(rest);
        let is_comment = rest.starts_with(b"(") && length > 1;
        if is_comment || rest.first().is_some_and(u8::is_ascii_whitespace) {
            words.push(octets.get(from..at).unwrap_or_default());
            if is_comment {
                notes.push(rest.get(1..length - 1).unwrap_or_default());
            }
            from = at + length;
        }
        at += length;
    }
    words.push(octets.get(from..).unwrap_or_default());
    words.retain(|word| !word.is_empty());
    (words, notes)
}

const SCHEMES: [&str; 2] = ["mailto:", "smtp:"];

// An address alone, with what may cling to it.
fn specification(octets: &[u8], default: Option<&Domain>) -> Result<Address, AddressListProblem> {
    let text = std::str::from_utf8(octets).map_err(|_| AddressListProblem::Unexpected)?;
    let text = without_scheme(text.trim_matches(|c: char| c.is_ascii_whitespace()));
    // A whole address in quotes.
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = match inner.filter(|inner| inner.contains('@') && !inner.contains(['"', '\\'])) {
        Some(inner) => without_scheme(inner.trim()),
        None => text,
    };
    if let Some(address) = only_address(text.as_bytes(), None) {
        return Ok(address);
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return complete(text, default) };
    let domain = domain.trim_end_matches(|c: char| c.is_whitespace() || ">,;:.\"')]".contains(c));
    let domain = match domain.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => domain,
    };
    let domain = match domain.parse::<Ipv4Addr>() {
        Ok(address) => Domain::Literal(address.into()),
        Err(_) => Domain::parse(domain).map_err(AddressListProblem::Address)?,
    };
    let local = local.trim_start_matches(['<', '[', '\'', '"', ' ']);
    let is_malformed = |c: char| c.is_whitespace() || "@,;:<>()[]\"\\".contains(c);
    if local.is_empty() || local.contains(is_malformed) {
        return Err(AddressListProblem::Address(AddressError::BadLocalPart));
    }
    let local = LocalPart::from_unquoted(local).map_err(AddressListProblem::Address)?;
    Ok(Address::new(local, domain))
}

fn without_scheme(text: &str) -> &str {
    for scheme in SCHEMES {
        let start = text.get(..scheme.len());
        if start.is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
            let rest = text.get(scheme.len()..).unwrap_or_default();
            return rest.split('?').next().unwrap_or_default();
        }
    }
    text
}

// A login name gets the default domain; a name for people does not become an address.
fn complete(text: &str, default: Option<&Domain>) -> Result<Address, AddressListProblem> {
    let missing = AddressListProblem::Address(AddressError::MissingDomain);
    let text = text.trim_end_matches([':', ';', '>']);
    if default.is_none() || !text.is_ascii() || text.contains(' ') || text.contains("=?") {
        return Err(missing);
    }
    only_address(text.as_bytes(), default).ok_or(missing)
}

// The display name of a well-formed mailbox.
fn name_of(octets: &[u8]) -> Vec<u8> {
    match angles(octets).last() {
        Some(range) => outside(octets, range.clone()),
        None => plain_name(&split_words(octets).1.join(&b' ')),
    }
}

fn outside(member: &[u8], range: Range<usize>) -> Vec<u8> {
    let before = member.get(..range.start).unwrap_or_default().trim_ascii();
    let after = member.get(range.end..).unwrap_or_default().trim_ascii();
    // Brackets that stand twice.
    let before = if before == b"<" { b"".as_slice() } else { before };
    let after = if after == b">" { b"".as_slice() } else { after };
    let blank = if before.is_empty() || after.is_empty() { "" } else { " " };
    plain_name(&[before, blank.as_bytes(), after].concat())
}

// A name without its quotes, on one line.
pub(super) fn plain_name(raw: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let length = unit_length(rest);
        let unit = rest.get(..length).unwrap_or_default();
        match unit {
            [b'"', inner @ .., b'"'] if length > 1 => unescape(inner, &mut name),
            [b'\\', escaped @ (b'"' | b'\\')] => name.push(*escaped),
            other => name.extend_from_slice(other),
        }
        at += length;
    }
    let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    name.retain(is_text);
    let name = name.trim_ascii();
    // A quote that nothing closes.
    let is_single = name.iter().filter(|byte| **byte == b'"').count() == 1;
    let bare = name.strip_prefix(b"\"").or(name.strip_suffix(b"\"")).filter(|_| is_single);
    bare.unwrap_or(name).trim_ascii().to_vec()
}

fn unescape(inner: &[u8], out: &mut Vec<u8>) {
    let mut octets = inner.iter();
    while let Some(byte) = octets.next() {
        out.extend(if *byte == b'\\' { octets.next() } else { Some(byte) });
    }
}

#[cfg(test)]
mod tests;
