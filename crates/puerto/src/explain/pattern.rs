//! Patterns of words: the little that rules need, in time linear in the text.
//!
//! | written | means |
//! | --- | --- |
//! | `mailbox full` | these words, whole, one space between them |
//! | `black*` | a word that begins so; `*` is any run without spaces |
//! | `ib1%` | `%` is a number |
//! | `{user\|mailbox} unknown` | one of these; an empty one makes the others optional |
//! | `{not {found\|known}\|new}` | they may be nested |
//! | `{=box\|alias}` | one of the vocabulary's words for a box, or `alias` |
//! | `quota ... exceeded` | anything between |
//! | `header .. missing` | at most forty octets between |
//! | `user ~ unknown` | the same, whichever comes first |
//! | `^rejected$` | the text begins and ends here |
//!
//! A pattern and the text it is compared with are in lower case, with white space
//! squeezed and apostrophes made equal, as `reply` writes them.

/// What `..` may skip.
const SHORT_GAP: usize = 40;

/// What `*` may skip.
const LONGEST_RUN: usize = 80;

/// A pattern, ready to be compared.
#[derive(Debug)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    at_start: bool,
    at_end: bool,
}

/// What stands between two gaps.
#[derive(Debug)]
struct Piece {
    /// Octets that may be skipped before it.
    gap: usize,
    atoms: Vec<Atom>,
    /// The octets that it can begin with; any if empty.
    first: Vec<u8>,
    /// The longest text that it cannot be without.
    needle: String,
}

#[derive(Debug)]
enum Atom {
    Text(String),
    OneOf(Vec<Vec<Atom>>),
    Number,
    Run,
}

impl Pattern {
    /// Reads a pattern; an error says what is wrong with it.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let (at_start, rest) = match written.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, written),
        };
        let (at_end, rest) = match rest.strip_suffix('$') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let mut pieces = Vec::new();
        let mut gap = usize::MAX;
        let mut words: Vec<&str> = Vec::new();
        for word in rest.split(' ') {
            let next_gap = match word {
                "..." => usize::MAX,
                ".." => SHORT_GAP,
                _ => {
                    words.push(word);
                    continue;
                }
            };
            pieces.push(piece(gap, &words)?);
            words.clear();
            gap = next_gap;
        }
        pieces.push(piece(gap, &words)?);
        Ok(Self { pieces, at_start, at_end })
    }

    /// Whether it is found in a text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let octets = text.as_bytes();
        let possible = |piece: &Piece| {
            piece.needle.is_empty()
                || memchr::memmem::find(octets, piece.needle.as_bytes()).is_some()
        };
        self.pieces.iter().all(possible) && self.rest_is_in(&self.pieces, text, 0)
    }

    // The earliest end of a piece leaves most to the next, so only a short gap makes
    // it worth looking for a later one.
    fn rest_is_in(&self, pieces: &[Piece], text: &str, from: usize) -> bool {
        let Some((piece, rest)) = pieces.split_first() else { return true };
        let last = rest.is_empty();
        let first = pieces.len() == self.pieces.len();
        let bounded = rest.first().is_some_and(|next| next.gap != usize::MAX);
        let limit = from.saturating_add(piece.gap);
        let mut at = from;
        while let Some(start) = piece.next_start(text, at).filter(|&start| start <= limit) {
            if first && self.at_start && start != 0 {
                return false;
            }
            let accept = |end: usize| !(last && self.at_end) || end == text.len();
            if let Some(end) = piece.end_at(text, start, &accept) {
                if self.rest_is_in(rest, text, end) {
                    return true;
                }
                if !bounded {
                    return false;
                }
            }
            at = start + 1;
        }
        false
    }
}

impl Piece {
    // The next place at which it might begin.
    fn next_start(&self, text: &str, from: usize) -> Option<usize> {
        match self.atoms.first() {
            Some(Atom::Text(word)) => {
                let rest = text.as_bytes().get(from..)?;
                memchr::memmem::find(rest, word.as_bytes()).map(|found| from + found)
            }
            _ => {
                let mut rest = text.as_bytes().get(from..)?.iter();
                let is_first = |octet: &u8| self.first.is_empty() || self.first.contains(octet);
                rest.position(is_first).map(|found| from + found)
            }
        }
    }

    fn end_at(&self, text: &str, start: usize, accept: &dyn Fn(usize) -> bool) -> Option<usize> {
        if splits_word(text, start) {
            return None;
        }
        let end_fits = |end: usize| (!splits_word(text, end) && accept(end)).then_some(end);
        matched(&self.atoms, text, start, &end_fits)
    }
}

// `go_on` says where all ends if these atoms end here.
fn matched(
    atoms: &[Atom],
    text: &str,
    at: usize,
    go_on: &dyn Fn(usize) -> Option<usize>,
) -> Option<usize> {
    let Some((atom, rest)) = atoms.split_first() else { return go_on(at) };
    let here = text.as_bytes().get(at..)?;
    let next = |end: usize| matched(rest, text, end, go_on);
    match atom {
        Atom::Text(word) if here.starts_with(word.as_bytes()) => next(at + word.len()),
        Atom::Text(_) => None,
        Atom::OneOf(choices) => choices.iter().find_map(|atoms| matched(atoms, text, at, &next)),
        Atom::Number => {
            let digits = here.iter().take_while(|octet| octet.is_ascii_digit()).count();
            (digits > 0).then(|| next(at + digits)).flatten()
        }
        Atom::Run => {
            let longest = here.iter().take(LONGEST_RUN).take_while(|&&o| o != b' ').count();
            (0..=longest).find_map(|skip| next(at + skip))
        }
    }
}

fn piece(gap: usize, words: &[&str]) -> Result<Piece, String> {
    let written = words.join(" ");
    let atoms = atoms(&written)?;
    if atoms.is_empty() || written.starts_with('|') {
        return Err(format!("`{written}` says nothing"));
    }
    let mut first = Vec::new();
    if !begin(&atoms, &mut first) {
        first.clear();
    }
    let texts = atoms.iter().filter_map(|atom| match atom {
        Atom::Text(text) => Some(text.as_str()),
        _ => None,
    });
    first.sort_unstable();
    first.dedup();
    let needle = texts.max_by_key(|text| text.len()).unwrap_or_default().to_owned();
    Ok(Piece { gap, atoms, first, needle })
}

// Adds what these atoms can begin with; false if that is anything, or nothing.
fn begin(atoms: &[Atom], first: &mut Vec<u8>) -> bool {
    let Some((atom, rest)) = atoms.split_first() else { return false };
    match atom {
        Atom::Text(text) => first.extend(text.bytes().take(1)),
        Atom::Number => first.extend(b'0'..=b'9'),
        Atom::Run => return false,
        Atom::OneOf(choices) => {
            return choices.iter().all(|choice| match choice.as_slice() {
                [] => begin(rest, first),
                atoms => begin(atoms, first),
            });
        }
    }
    true
}

fn splits_word(text: &str, at: usize) -> bool {
    let is_word = |octet: Option<&u8>| octet.is_some_and(|o| o.is_ascii_alphanumeric() || *o > 127);
    let octets = text.as_bytes();
    at > 0 && is_word(octets.get(at - 1)) && is_word(octets.get(at))
}

fn atoms(written: &str) -> Result<Vec<Atom>, String> {
    let mut atoms = Vec::new();
    let mut rest = written;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(['{', '%', '*']).unwrap_or(rest.len());
        let (plain, tail) = rest.split_at(length);
        if !plain.is_empty() {
            atoms.push(Atom::Text(plain.to_owned()));
            rest = tail;
            continue;
        }
        let tail = tail.get(1..).unwrap_or_default();
        rest = match first {
            '%' => {
                atoms.push(Atom::Number);
                tail
            }
            '*' => {
                atoms.push(Atom::Run);
                tail
            }
            _ => {
                let (choices, tail) =
                    group(tail).ok_or_else(|| format!("`{written}`: `}}` is missing"))?;
                let choices: Result<Vec<_>, String> =
                    choices.into_iter().map(self::atoms).collect();
                atoms.push(Atom::OneOf(choices?));
                tail
            }
        };
    }
    Ok(atoms)
}

// The choices up to the brace that closes them, and what follows it.
fn group(text: &str) -> Option<(Vec<&str>, &str)> {
    let mut choices = Vec::new();
    let mut depth = 0_u32;
    let mut begin = 0;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'|' | b'}' if depth == 0 => {
                choices.push(text.get(begin..at)?);
                begin = at + 1;
                if octet == b'}' {
                    return Some((choices, text.get(begin..)?));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_find_what_they_mean() {
        for (pattern, text, found) in [
            ("mailbox full", "your mailbox full, sorry", true),
            ("mailbox full", "your mailbox fully", false),
            ("spf", "openspf.net", false),
            ("spf", "(spf)", true),
            ("black*", "it is blacklisted", true),
            ("*list", "a greylist", true),
            ("ib1%", "see ib112.", true),
            ("ib1%", "see ib1x", false),
            ("{user|mailbox} {unknown|not found}", "mailbox not found", true),
            ("{user|users} x", "users x", true),
            ("quota ... exceeded", "quota of the box is exceeded", true),
            ("quota ... exceeded", "exceeded the quota", false),
            ("header .. missing", "a header that is missing", true),
            ("a .. b", "a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx a b", true),
            ("a .. b", "a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx b", false),
            ("^rejected$", "rejected", true),
            ("^rejected$", "rejected now", false),
            ("^rejected", "was rejected", false),
            ("rejected$", "rejected was rejected", true),
            ("{over|exceed*} {the |}quota", "you exceeded quota", true),
            ("{over|exceed*} {the |}quota", "exceeds the quota.", true),
            ("user {not {found|known}|new}", "user not known", true),
            ("user {not {found|known}|new}", "a user new here", true),
            ("user {not {found|known}|new}", "user not here", false),
            ("{a|b {c|}} d", "b d", false),
            ("{a|b{ c|}} d", "b d", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().is_in(text), found, "{pattern} in {text}");
        }
    }

    #[test]
    fn a_pattern_that_says_nothing_is_refused() {
        for wrong in ["", "a ... ", "{a|b", "{a|{b}", "..."] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
