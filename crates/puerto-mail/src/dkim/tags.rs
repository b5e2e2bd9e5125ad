//! Tag lists, `name=value; name=value` (RFC 6376 §3.2), as signatures and key
//! records are written in.

use puerto_smtp::text::harmless;

/// Tags of one list at most; a signature has about ten.
const MAX_TAGS: usize = 100;

/// Why a text is not a tag list, with the part of it that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A piece between semicolons that has no `=`.
    #[error("\"{0}\" is not a tag")]
    NotATag(String),
    /// What stands before the `=`.
    #[error("\"{0}\" is not a tag's name")]
    NotAName(String),
    /// There are more tags than so many, which is how many are read.
    #[error("there are more than {0} tags")]
    TooMany(usize),
    /// The name of a tag.
    #[error("the tag {0}= stands twice")]
    Twice(String),
}

/// A tag list that was read: names in their order, each once, with trimmed values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// Reads a list, of a signature or of a record.
    pub(super) fn parse(text: &'a str) -> Result<Self, TagError> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        let mut parts = text.split(';').peekable();
        while let Some(part) = parts.next() {
            let part = part.trim_matches(is_white);
            // A semicolon may follow the last tag.
            if part.is_empty() && parts.peek().is_none() {
                break;
            }
            let (name, value) =
                part.split_once('=').ok_or_else(|| TagError::NotATag(shown(part)))?;
            let name = name.trim_matches(is_white);
            let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !valid {
                return Err(TagError::NotAName(shown(name)));
            }
            if tags.len() >= MAX_TAGS {
                return Err(TagError::TooMany(MAX_TAGS));
            }
            if tags.iter().any(|(other, _)| *other == name) {
                return Err(TagError::Twice(shown(name)));
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
