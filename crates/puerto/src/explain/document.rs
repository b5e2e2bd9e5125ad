//! The document that explains every class of refusal, made from the rules themselves.

use std::collections::BTreeSet;

use super::knowledge::{CLASSES, Class, Knowledge};
use super::{Kind, text};
use crate::lang::{Language, Text};

/// Explains each class in Markdown: what happened, whose problem it is, what to do,
/// which providers' words are known for it and which checks cover it.
pub fn document(language: Language) -> String {
    let mut out = format!("# {}\n\n{}\n", TITLE.of(language), INTRODUCTION.of(language));
    for (class, Class { whose, kind }) in CLASSES.iter() {
        let said = text::of(language, class);
        let rules = || Knowledge::get().rules().iter().filter(|rule| rule.class == *class);
        let providers: BTreeSet<&str> = rules().map(|rule| rule.provider.as_str()).collect();
        let checks: BTreeSet<String> = rules()
            .filter_map(|rule| rule.check.as_ref())
            .map(|check| format!("[`{check}`](checks.md)"))
            .collect();
        out.push_str(&format!("\n## {class}\n\n{}\n\n", said.cause));
        let lines = [
            (WHOSE, whose.in_language(language).to_owned()),
            (KIND, usual(*kind).of(language).to_owned()),
            (REMEDY, said.remedy.clone()),
            (KNOWN, providers.into_iter().collect::<Vec<_>>().join(", ")),
            (CHECKS, checks.into_iter().collect::<Vec<_>>().join(", ")),
        ];
        for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            out.push_str(&format!("- **{}:** {value}\n", label.of(language)));
        }
    }
    out
}

fn usual(kind: Kind) -> Text {
    match kind {
        Kind::Temporary => Text::new("temporary", "temporal"),
        Kind::Permanent => Text::new("permanent", "definitivo"),
    }
}

const TITLE: Text = Text::new("What refusals mean", "Qué significan los rechazos");
const INTRODUCTION: Text = Text::new(
    "Made by `puerto explain --document`. `puerto explain` finds the class of a reply, a log \
     line, a notification or a queued message; many providers' words have more exact sentences \
     of their own. The reply's first digit decides whether it is temporary, whatever is usual.",
    "Hecho por `puerto explain --document`. `puerto explain` encuentra la clase de una \
     respuesta, una línea del registro, una notificación o un mensaje en cola; las palabras de \
     muchos proveedores tienen frases propias más exactas. El primer dígito de la respuesta \
     decide si es temporal, sea lo que sea lo habitual.",
);
const WHOSE: Text = Text::new("Problem of", "Problema");
const KIND: Text = Text::new("Usually", "Normalmente");
const REMEDY: Text = Text::new("Remedy", "Solución");
const KNOWN: Text = Text::new("Words known of", "Palabras conocidas de");
const CHECKS: Text = Text::new("Checks", "Comprobaciones");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_one_in_the_docs() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/refusals.md");
        let written = std::fs::read_to_string(file).unwrap_or_default();
        let made = document(Language::English);
        assert!(
            written == made,
            "write it anew: puerto --lang en explain --document > docs/refusals.md"
        );
    }
}
