//! A sentence for people together with what is put into it, so that whoever prints it
//! chooses the language.

use crate::lang::{Language, Text};

/// A sentence in both languages with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    text: Text,
    values: Vec<(&'static str, String)>,
    advice: Option<Text>,
}

impl Said {
    /// The sentence in one language.
    pub fn of(&self, language: Language) -> String {
        let values: Vec<_> = self.values.iter().map(|(name, v)| (*name, v.as_str())).collect();
        let said = self.text.with(language, &values);
        match self.advice {
            Some(advice) => format!("{said}: {}", advice.of(language)),
            None => said,
        }
    }

    /// The same with what to do about it, after a colon.
    pub(super) fn followed_by(self, advice: Text) -> Self {
        Self { advice: Some(advice), ..self }
    }
}

/// A sentence with its values by name.
pub(super) fn say(text: Text, values: &[(&'static str, &str)]) -> Said {
    let values = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Said { text, values, advice: None }
}
