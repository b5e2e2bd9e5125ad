//! What those say who know no languages, in Spanish: the resolver, TLS, the operating
//! system, and the rooms whose words go into the log.
//!
//! They speak English, since programs read the log. Where their words are shown to people, they are recognized here; `{}` stands for what is
//! put into a sentence, which may be such a sentence again, and `{=}` in the Spanish for
//! what is somebody else's and stays. What is not recognized stays as it is, or in
//! quotes.

use super::{Language, Said, Text, quote_sentence, system};

mod delivery;
mod local;
mod network;

const fn text(en: &'static str, es: &'static str) -> Text {
    Text::new(en, es)
}

/// Sentences within sentences that are followed.
const MAX_DEPTH: usize = 6;

/// The more special before the more general.
static TABLES: &[&[Text]] = &[network::SENTENCES, delivery::SENTENCES, local::SENTENCES];

/// The text in Spanish.
pub fn in_spanish(text: &str) -> String {
    translate(text, 0, &str::to_owned)
}

/// The words of a library or of another room, in both languages. A sentence that has
/// no Spanish is quoted there.
pub fn detail(text: &str) -> Said {
    Said::of_both(|language| match language {
        Language::English => text.to_owned(),
        Language::Spanish => translate(text, 0, &quote_sentence),
    })
}

fn translate(text: &str, depth: usize, unknown: &dyn Fn(&str) -> String) -> String {
    // A reply is somebody else's, whatever its words are.
    if depth >= MAX_DEPTH || is_reply(text) {
        return text.to_owned();
    }
    // A sentence that begins with what is put into it would take another's beginning.
    let all = || TABLES.iter().copied().flatten();
    let open = |sentence: &&Text| sentence.en.starts_with("{}");
    for sentence in all().filter(|one| !open(one)).chain(all().filter(open)) {
        if let Some(values) = values(sentence.en, text) {
            return fill(sentence.es, &values, |value| translate(value, depth + 1, unknown));
        }
    }
    if let Some(words) = system::recognized(text) {
        return words;
    }
    // What stands before a colon is the name that the rest is about.
    match text.split_once(": ") {
        Some((about, rest)) => format!("{about}: {}", translate(rest, depth + 1, unknown)),
        None => unknown(text),
    }
}

fn is_reply(text: &str) -> bool {
    let code = text.get(..3).is_some_and(|code| code.bytes().all(|octet| octet.is_ascii_digit()));
    code && text.get(3..4).is_some_and(|after| [" ", "-"].contains(&after))
        && matches!(text.bytes().next(), Some(b'2'..=b'5'))
}

/// Puts the values into the holes of a sentence, in their order: those of `{}` in
/// Spanish, those of `{=}` as they are.
fn fill(sentence: &str, values: &[&str], translate: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut values = values.iter().copied();
    let mut pieces = sentence.split('{');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let whole = piece.strip_prefix("=}").zip(values.clone().next());
        let part = piece.strip_prefix('}').zip(values.clone().next());
        match (whole, part) {
            (Some((rest, value)), _) => out.extend([value, rest]),
            (None, Some((rest, value))) => out.extend([&*translate(value), rest]),
            // A brace that is no hole.
            (None, None) => {
                out.extend(["{", piece]);
                continue;
            }
        }
        values.next();
    }
    out
}

/// What stands for each `{}` of a pattern; `None` if the text is another.
fn values<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = pattern.split("{}");
    let mut rest = text.strip_prefix(pieces.next()?)?;
    let mut values = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let (value, after) = match pieces.peek() {
            None => (rest.strip_suffix(piece)?, ""),
            Some(_) => rest.split_once(piece)?,
        };
        values.push(value);
        rest = after;
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests;
