//! Reports for a terminal: lines with colours, and what is wrong with its remedy below.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Language, Text};

/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something may be wrong, or cannot be told.
pub const UNSURE: Style = AnsiColor::Yellow.on_default().bold();
/// Beside the point.
pub const FAINT: Style = Style::new().dimmed();

/// How much a finding matters, in colour and word.
pub const ERROR: (Style, Text) = (BAD, Text::new("error", "error"));
/// The same for what may do harm.
pub const WARNING: (Style, Text) = (UNSURE, Text::new("warning", "aviso"));
/// The same for what is only said.
pub const NOTE: (Style, Text) = (FAINT, Text::new("note", "nota"));

/// A report in the making, in one language. Its colours are taken out by whoever
/// prints it where there are none.
pub struct Page {
    text: String,
    language: Language,
}

impl Page {
    /// An empty page.
    pub fn new(language: Language) -> Self {
        Self { text: String::new(), language }
    }

    /// Its language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// A sentence in its language.
    pub fn words(&self, text: Text, values: &[(&str, &str)]) -> String {
        text.with(self.language, values)
    }

    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds a finding: what was seen, what there is to say about it, its name.
    pub fn finding(
        &mut self,
        (style, word): (Style, Text),
        seen: &str,
        about: &[String],
        name: &str,
    ) {
        let word = paint(style, &format!("{:<8}", word.of(self.language)));
        self.line(&format!("{word} {seen}"));
        for line in about {
            self.line(&format!("         {line}"));
        }
        self.line(&paint(FAINT, &format!("         {name}")));
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A text in a colour.
pub fn paint(style: Style, text: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(out, "{style}{text}{style:#}");
    out
}
