//! What is wrong with a message: the rule that it breaks, and what was seen.

use crate::lang::{Language, Text};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Receivers refuse the message, or drop it.
    Error,
    /// It costs trust, or some receivers refuse it.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A rule that receivers enforce.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, the same in every version.
    pub id: &'static str,
    /// How much it matters, where a finding does not say otherwise.
    pub severity: Severity,
    /// What should be.
    pub expected: Text,
    /// What to do.
    pub remedy: Text,
    /// Who says so.
    pub reference: &'static str,
}

impl Rule {
    /// A finding with the rule's own severity.
    pub(super) fn broken(&'static self, seen: Said) -> Finding {
        Finding { rule: self, severity: self.severity, seen }
    }
}

/// A sentence and what is put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    text: Text,
    values: Vec<(&'static str, String)>,
}

impl Said {
    /// A sentence with nothing to put in.
    pub const fn plain(text: Text) -> Self {
        Self { text, values: Vec::new() }
    }

    /// A sentence with values, shortened and without control characters: they come
    /// from the message or the network.
    pub fn with(text: Text, values: &[(&'static str, &str)]) -> Self {
        let values = values.iter().map(|(name, value)| (*name, shown(value))).collect();
        Self { text, values }
    }

    /// The sentence in one language.
    pub fn of(&self, language: Language) -> String {
        let values: Vec<(&str, &str)> =
            self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.text.with(language, &values)
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How much it matters here.
    pub severity: Severity,
    /// What was seen.
    pub seen: Said,
}

impl Finding {
    /// The same with another severity.
    #[must_use]
    pub(super) fn at(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Somebody else's text, short enough for a line and harmless on a terminal.
pub(super) fn shown(text: &str) -> String {
    const LENGTH: usize = 200;
    let mut out: String =
        text.chars().take(LENGTH).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(LENGTH).is_some() {
        out.push('…');
    }
    out
}
