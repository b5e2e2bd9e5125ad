//! Reports for a terminal: lines with colours, and what is wrong with its remedy below.
//! Whoever prints one breaks its lines where the terminal ends
//! ([`crate::lang::layout::set`]) and takes the colours out where there are none.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Finding, Severity};
use crate::lang::layout::whole;
use crate::lang::{Language, Said, Text, harmless};

/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something may be wrong, or cannot be told.
pub const UNSURE: Style = AnsiColor::Yellow.on_default().bold();
/// Beside the point.
pub const FAINT: Style = Style::new().dimmed();
/// What a part of the page is about.
pub const TITLE: Style = Style::new().bold();

/// How much a finding matters, in colour and word.
pub fn word(severity: Severity) -> (Style, Text) {
    match severity {
        Severity::Error => (BAD, Text::new("error", "error")),
        Severity::Warning => (UNSURE, Text::new("warning", "aviso")),
        Severity::Info => (FAINT, Text::new("note", "nota")),
    }
}

/// A report in the making, in one language.
pub struct Page {
    text: String,
    language: Language,
}

impl Page {
    /// An empty page.
    pub fn new(language: Language) -> Self {
        Self { text: String::new(), language }
    }

    /// What its sentences are said in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Adds a line as it is.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds the title of what follows, apart from what stands above.
    pub fn heading(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.line(&format!("{gap}{title}"));
    }

    /// Adds one of several sentences below a heading; what is serious is marked.
    pub fn point(&mut self, is_serious: bool, said: &Said) {
        let mark = if is_serious { '!' } else { '-' };
        self.line(&format!("  {mark} {}", said.of(self.language)));
    }

    /// Adds a finding as one of several below a heading.
    pub fn note(&mut self, finding: &Finding) {
        self.point(finding.severity == Severity::Error, &finding.said());
    }

    /// Adds a finding, `indent` columns from the edge: what is at fault in the first line,
    /// then what there is to say about it. `more` is a row that only this room has.
    pub fn found(&mut self, indent: usize, finding: &Finding, more: Option<(Text, &Said)>) {
        const ASKED: Text = Text::new("asked", "preguntado");
        const EXPECTED: Text = Text::new("expected", "esperado");
        const DO: Text = Text::new("do", "haga");
        const SEE: Text = Text::new("see", "véase");
        let (language, subject) = (self.language, finding.subject.as_deref());
        let seen = finding.seen.of(language);
        self.headline(indent, word(finding.severity), (finding.id, subject), (&seen, ""));
        let asked = finding.asked.as_deref().unwrap_or_default();
        self.row(indent, ASKED, asked);
        if let Some((label, said)) = more {
            self.row(indent, label, &said.of(language));
        }
        if let Some(expected) = &finding.expected {
            self.row(indent, EXPECTED, &expected.of(language));
        }
        self.row(indent, DO, &finding.remedy.of(language));
        self.row(indent, SEE, finding.reference.unwrap_or_default());
    }

    /// Adds the first line of something that was judged: how it stands, its name, of
    /// which subject, and what was seen; beside that, of less weight, what was asked.
    pub fn headline(
        &mut self,
        indent: usize,
        (style, word): (Style, Text),
        (id, subject): (&str, Option<&str>),
        (seen, asked): (&str, &str),
    ) {
        let (word, id) = (paint(style, word.of(self.language)), paint(TITLE, id));
        let subject = subject.map_or_else(String::new, |name| format!("{}: ", harmless(name)));
        let asked = match asked {
            "" => String::new(),
            asked => paint(FAINT, &format!("  {}", harmless(asked))),
        };
        self.line(&format!("{:indent$}{word}  {id}  {subject}{}{asked}", "", harmless(seen)));
    }

    // A piece of a configuration has several lines, each to be copied as it is.
    fn row(&mut self, indent: usize, label: Text, value: &str) {
        for (number, line) in value.lines().enumerate() {
            let (label, line) = match number {
                0 => (label.of(self.language), harmless(line)),
                _ => ("", whole(&harmless(line))),
            };
            self.line(&format!("{:indent$}  {label:<11} {line}", ""));
        }
    }

    /// All lines, not yet broken where a terminal ends.
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
