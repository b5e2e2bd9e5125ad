//! What is wrong with a message: the rule that it breaks, and what was seen.

use crate::lang::{Said, Text};

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
        Finding { rule: self, severity: self.severity, seen, remedy: self.remedy }
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
    /// What to do here.
    pub remedy: Text,
}

impl Finding {
    /// The same with a remedy of its own.
    #[must_use]
    pub(super) fn mended_by(mut self, remedy: Text) -> Self {
        self.remedy = remedy;
        self
    }

    /// The same with another severity.
    #[must_use]
    pub(super) fn at(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}
