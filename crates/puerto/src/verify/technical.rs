//! What the evaluators say, in the language of who reads.
//!
//! The evaluators speak English, since their words go into `Authentication-Results`
//! and logs. Here their phrases are found again in a text and said in Spanish; what
//! is not known stays as it is.

use crate::lang::{Language, Text};

const fn text(en: &'static str, es: &'static str) -> Text {
    Text::new(en, es)
}

/// Longer phrases before those that they contain.
static PHRASES: &[Text] = &[
    text("no SPF record: no such domain", "sin registro SPF: el dominio no existe"),
    text("no SPF record: no such record", "sin registro SPF: no hay registros TXT"),
    text("no such domain", "el dominio no existe"),
    text("no such record", "no hay tal registro"),
    text("the DNS did not answer in time", "el DNS no respondió a tiempo"),
    text("the DNS failed", "el DNS falló"),
];

/// The text in one language.
pub(super) fn said(text: &str, language: Language) -> String {
    let mut out = text.to_owned();
    if language == Language::Spanish {
        for phrase in PHRASES {
            if out.contains(phrase.en) {
                out = out.replace(phrase.en, phrase.es);
            }
        }
    }
    out
}
