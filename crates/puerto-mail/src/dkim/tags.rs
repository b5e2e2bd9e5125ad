//! Tag lists, `name=value; name=value` (RFC 6376 §3.2), as signatures and key
//! records are written in.

use puerto_smtp::text::harmless;

/// Tags of one list at most; a signature has about ten.
const MAX_TAGS: usize = 100;

/// A tag list that was read: names in their order, each once, with trimmed values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// Reads a list; the error says what is malformed.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        let mut parts = text.split(';').peekable();
        while let Some(part) = parts.next() {
            let part = part.trim_matches(is_white);
            // A semicolon may follow the last tag.
            if part.is_empty() && parts.peek().is_none() {
                break;
            }
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("\"{}\" is not a tag", shown(part)))?;
            let name = name.trim_matches(is_white);
            let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !valid {
                return Err(format!("\"{}\" is not a tag's name", shown(name)));
            }
            if tags.len() >= MAX_TAGS {
                return Err(format!("there are more than {MAX_TAGS} tags"));
            }
            if tags.iter().any(|(other, _)| *other == name) {
                return Err(format!("the tag {}= stands twice", shown(name)));
            }
            tags.push((name, value.trim_matches(is_white)));
        }
        Ok(Self(tags))
    }

    /// The value of a tag.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// The name of the first tag.
    pub(super) fn first_name(&self) -> Option<&'a str> {
        self.0.first().map(|(name, _)| *name)
    }
}

fn is_white(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// A piece of somebody else's text, short and harmless.
pub(super) fn shown(text: &str) -> String {
    harmless(&text.chars().take(40).collect::<String>())
}
