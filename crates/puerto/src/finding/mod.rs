//! What is wrong, as every room that diagnoses says it: a [`Finding`] holds its sentences
//! in both languages, so that one run can be shown in either, by one page ([`page`]) and
//! in one JSON form.
//!
//! A room adds what it alone knows (a check its status, a relayhost's refusal its class)
//! around the finding, never a finding of another shape.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::lang::{Language, Said, Text};

pub mod page;

/// How bad a finding is; the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; no mail is lost.
    Info,
    /// It costs reputation, or the mail to a minority of receivers.
    Warning,
    /// Mail is refused or lost somewhere that matters.
    Error,
}

impl Severity {
    /// The word in JSON, and in the program's own data.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A kind of finding as it is declared, with `{name}` where something is put in.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// See [`Finding::id`].
    pub id: &'static str,
    /// How bad it is, unless a room says otherwise of one.
    pub severity: Severity,
    /// The sentence that says what was seen.
    pub seen: Text,
    /// What to do; empty where nothing can be done.
    pub remedy: Text,
}

impl Kind {
    /// A finding of this kind, with a value put in.
    pub fn put(self, name: &'static str, value: impl ToString) -> Finding {
        Finding::from(self).put(name, value)
    }
}

/// Declares kinds of findings: a name, the id, how bad it is; then what is seen, and what to
/// do where anything can be done, each in English and in Spanish.
macro_rules! kinds {
    ($($name:ident = $id:literal $severity:ident:
       $en:literal, $es:literal $(, $do_en:literal, $do_es:literal)?;)*) => {
        $(pub(super) const $name: $crate::finding::Kind = $crate::finding::Kind {
            id: $id,
            severity: $crate::finding::Severity::$severity,
            seen: $crate::lang::Text::new($en, $es),
            remedy: $crate::lang::Text::new(concat!($($do_en)?), concat!($($do_es)?)),
        };)*
    };
}
pub(crate) use kinds;

/// Something that is wrong, and how to mend it. What a room never says of its findings is
/// `None`, and stands neither on the page nor in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name, the same in every version: people look it up and programs know it by it.
    pub id: &'static str,
    /// How bad it is here.
    pub severity: Severity,
    /// Which address, domain, name or key, where several are judged.
    pub subject: Option<String>,
    /// What was asked and of whom: `PTR 1.2.0.192.in-addr.arpa @127.0.0.53`.
    pub asked: Option<String>,
    /// What was seen, or why nothing was.
    pub seen: Said,
    /// What should have been seen.
    pub expected: Option<Said>,
    /// What to do, ready to paste where it is a record or a command; empty where nothing
    /// can be done.
    pub remedy: Said,
    /// Where it is written.
    pub reference: Option<&'static str>,
}

impl Finding {
    /// A finding that says no more than what was seen and what to do.
    pub fn new(id: &'static str, severity: Severity, seen: Said, remedy: Said) -> Self {
        let (subject, asked, expected, reference) = (None, None, None, None);
        Self { id, severity, subject, asked, seen, expected, remedy, reference }
    }

    /// The same with a value put into its sentences, whole.
    #[must_use]
    pub fn put(self, name: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        let (seen, remedy) = (self.seen.put(name, &value), self.remedy.put(name, &value));
        Self { seen, remedy, ..self }
    }

    /// The same, as bad as this.
    #[must_use]
    pub fn of(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// What was seen and what to do, one behind the other, where it stands in a list.
    pub fn said(&self) -> Said {
        if self.remedy.is_empty() { self.seen.clone() } else { self.seen.then(&self.remedy) }
    }

    /// Its members in a JSON document; the names are a contract. A room adds its own.
    pub fn to_json(&self, language: Language) -> Map<String, Value> {
        let members = [
            ("id", Some(self.id.to_owned())),
            ("severity", Some(self.severity.as_str().to_owned())),
            ("subject", self.subject.clone()),
            ("asked", self.asked.clone()),
            ("seen", Some(self.seen.of(language))),
            ("expected", self.expected.as_ref().map(|said| said.of(language))),
            ("remedy", Some(self.remedy.of(language))),
            ("reference", self.reference.map(str::to_owned)),
        ];
        let known = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        known.map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
    }
}

impl From<Kind> for Finding {
    fn from(kind: Kind) -> Self {
        Self::new(kind.id, kind.severity, kind.seen.into(), kind.remedy.into())
    }
}

#[cfg(test)]
mod tests;
