//! Words that mean the same, by name, so that a rule can say what it means once for
//! all languages and ways to put it.
//!
//! What `pattern` reads is written out here: `{=box}` becomes the words for a box, and
//! `a ~ b` the two orders.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The words by their name.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Vocabulary(HashMap<String, Vec<String>>);

// A file of the program that does not parse fails the tests.
static VOCABULARY: LazyLock<Vocabulary> =
    LazyLock::new(|| Vocabulary::read(include_str!("rules/vocabulary.toml")).unwrap_or_default());

impl Vocabulary {
    /// The words that the rules use.
    pub(super) fn get() -> &'static Self {
        &VOCABULARY
    }

    /// Reads the file of words.
    fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The patterns that a written one stands for.
    pub(super) fn expand(&self, written: &str) -> Result<Vec<String>, String> {
        let orders = match written.split_once(" ~ ") {
            Some((left, right)) if !right.contains(" ~ ") => {
                vec![format!("{left} .. {right}"), format!("{right} .. {left}")]
            }
            Some(_) => return Err(format!("`{written}`: one `~` at most")),
            None => vec![written.to_owned()],
        };
        orders.iter().map(|order| self.spell_out(order)).collect()
    }

    // A name is a choice that begins with an equals sign; its words may hold names too.
    fn spell_out(&self, written: &str) -> Result<String, String> {
        let mut text = written.to_owned();
        for _ in 0..8 {
            let Some(at) = text.find("{=").or_else(|| text.find("|=")) else { return Ok(text) };
            let rest = text.get(at + 2..).unwrap_or_default();
            let end = rest.find(['|', '}']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let words = self.0.get(name).ok_or_else(|| format!("there are no words `{name}`"))?;
            let before = text.get(..=at).unwrap_or_default();
            text = format!("{before}{}{after}", words.join("|"));
        }
        Err(format!("`{written}`: names within names"))
    }
}

#[cfg(test)]
mod tests {
    use super::Vocabulary;

    fn expanded(written: &str) -> Result<Vec<String>, String> {
        let vocabulary = Vocabulary::read("box = ['user', 'mailbox']\nme = ['{=box} me']");
        vocabulary.unwrap().expand(written)
    }

    #[test]
    fn names_and_orders_are_written_out() {
        assert_eq!(expanded("a b").unwrap(), ["a b"]);
        assert_eq!(expanded("{=box} x").unwrap(), ["{user|mailbox} x"]);
        assert_eq!(expanded("{x|=box|y}").unwrap(), ["{x|user|mailbox|y}"]);
        assert_eq!(expanded("{=me}").unwrap(), ["{{user|mailbox} me}"]);
        assert_eq!(expanded("a ~ b").unwrap(), ["a .. b", "b .. a"]);
    }

    #[test]
    fn what_cannot_be_written_out_is_refused() {
        for wrong in ["{=nobody}", "a ~ b ~ c"] {
            assert!(expanded(wrong).is_err(), "{wrong}");
        }
    }
}
