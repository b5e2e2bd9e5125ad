//! What is wrong with a configuration, for people and for programs.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::lang::{Language, Said, Text, said, said_of, system};

const KEY: Text = Text::new("key `{key}`", "clave `{key}`");
const NEAREST: Text = Text::new("did you mean `{nearest}`?", "¿quería decir `{nearest}`?");

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Its place in the text, in octets.
    pub span: Range<usize>,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted in characters from 1.
    pub column: usize,
    /// The key with its section, such as `delivery.port`, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: Said,
    /// What is accepted there.
    pub accepted: Option<Said>,
    /// The nearest known key, for one that is unknown.
    pub nearest: Option<String>,
}

/// All that is wrong with one file. Never empty.
#[derive(Debug, Clone)]
pub struct ConfigErrors {
    /// The file, as the user named it.
    pub file: String,
    /// The text, for the excerpts; empty if it could not be read.
    source: String,
    /// What is wrong, in the order of the file.
    pub errors: Vec<ConfigError>,
    /// What is wrong with other files.
    others: Vec<Self>,
}

impl ConfigErrors {
    pub(super) fn new(file: &str, source: &str, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.span.start);
        for error in &mut errors {
            (error.line, error.column) = position(source, error.span.start);
        }
        Self { file: file.to_owned(), source: source.to_owned(), errors, others: Vec::new() }
    }

    /// Those of several files, of which there is at least one.
    pub(super) fn together(files: Vec<Self>) -> Self {
        let mut files = files.into_iter();
        let first = files.next().unwrap_or_else(|| Self::new("", "", Vec::new()));
        Self { others: files.collect(), ..first }
    }

    /// All errors, each with its file.
    pub fn all(&self) -> impl Iterator<Item = (&str, &ConfigError)> {
        let files = std::iter::once(self).chain(&self.others);
        files.flat_map(|file| file.errors.iter().map(|error| (file.file.as_str(), error)))
    }

    /// The file could not be read at all.
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let message = said_of!(
            "cannot read the configuration: {error}",
            "no se puede leer la configuración: {error}"; error = system(error)
        );
        let error = ConfigError::new(0..0, message).accepting(said!(
            "a file that this user may read; without --config and PUERTO_CONFIG, the default \
             file may be missing",
            "un fichero que este usuario pueda leer; sin --config ni PUERTO_CONFIG, el fichero \
             por defecto puede faltar"
        ));
        Self::new(&file.display().to_string(), "", vec![error])
    }

    /// All errors with excerpts, for people; with `colour` and `width` for a terminal.
    pub fn render(&self, colour: bool, width: Option<usize>, language: Language) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = width.map_or(renderer.clone(), |width| renderer.term_width(width));
        let files = std::iter::once(self).chain(&self.others);
        let shown: Vec<String> = files
            .flat_map(|file| {
                file.errors.iter().map(|error| file.render_one(error, &renderer, language))
            })
            .collect();
        shown.join("\n\n")
    }

    fn render_one(&self, error: &ConfigError, renderer: &Renderer, language: Language) -> String {
        let message = error.message.of(language);
        if self.source.is_empty() {
            return format!("error: {}: {message}", self.file);
        }
        let label = error.accepted.as_ref().map(|accepted| {
            said_of!("accepted: {accepted}", "se admite: {accepted}"; accepted = accepted)
                .of(language)
        });
        let mut annotation = AnnotationKind::Primary.span(error.span.clone());
        if let Some(key) = &error.key {
            annotation = annotation.label(KEY.with(language, &[("key", key)]));
        }
        let (note, help) = match language {
            Language::English => (Level::NOTE, Level::HELP),
            Language::Spanish => (Level::NOTE.with_name("nota"), Level::HELP.with_name("ayuda")),
        };
        let snippet = Snippet::source(&self.source).path(&self.file).annotation(annotation);
        let mut group = Level::ERROR.primary_title(&message).element(snippet);
        if let Some(label) = &label {
            group = group.element(note.message(label));
        }
        if let Some(nearest) = &error.nearest {
            let text = NEAREST.with(language, &[("nearest", nearest)]);
            group = group.element(help.message(text));
        }
        renderer.render(&[group])
    }

    /// All errors as one JSON document.
    pub fn to_json(&self, language: Language) -> serde_json::Value {
        let one = |(file, error): (&str, &ConfigError)| {
            serde_json::json!({
                "file": file, "line": error.line, "column": error.column,
                "key": error.key, "message": error.message.of(language),
                "accepted": error.accepted.as_ref().map(|said| said.of(language)),
                "nearest": error.nearest,
            })
        };
        serde_json::json!({
            "ok": false,
            "errors": self.all().map(one).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false, None, Language::English))
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigError {
    pub(super) fn new(span: Range<usize>, message: impl Into<Said>) -> Self {
        Self {
            span,
            line: 1,
            column: 1,
            key: None,
            message: message.into(),
            accepted: None,
            nearest: None,
        }
    }

    pub(super) fn about(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    pub(super) fn accepting(self, accepted: impl Into<Said>) -> Self {
        Self { accepted: Some(accepted.into()), ..self }
    }
}

fn position(source: &str, offset: usize) -> (usize, usize) {
    let before: &str = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// The candidate that a mistyped word most probably means, if any is near enough.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    nearest_by(word, known).map(|(_, candidate)| candidate)
}

/// The same, and how far it is.
pub(super) fn nearest_by<'a>(
    word: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    let word = word.to_lowercase().replace('-', "_");
    let bound = (word.len() / 3).max(2);
    known
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
}

/// How many characters are to be changed, added or left out (Levenshtein's distance). Words
/// come from anywhere, so long ones are not compared at all.
pub fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (above, to) in row.iter().skip(1).zip(&b) {
            left = (diagonal + usize::from(from != *to)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("relayhots", "relayhost", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
        assert_eq!(nearest("Relay-Host", ["relayhost", "domains"].into_iter()), Some("relayhost"));
        assert_eq!(nearest("something", ["relayhost", "domains"].into_iter()), None);
    }
}
