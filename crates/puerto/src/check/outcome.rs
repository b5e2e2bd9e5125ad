//! One check: what is demanded ([`Definition`]) and what came of it ([`Check`]).

use crate::lang::{Language, Text};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; no mail is lost.
    Info,
    /// It costs reputation, or the mail to a minority of receivers.
    Warning,
    /// Mail is refused or lost somewhere that matters.
    Error,
}

impl Severity {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// As it should be.
    Pass,
    /// Something is wrong.
    Finding,
    /// It does not matter here, or what it builds on failed already.
    NotApplicable,
    /// Nothing may be concluded: who was asked did not answer.
    Unknown,
}

impl Status {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Finding => "finding",
            Self::NotApplicable => "not-applicable",
            Self::Unknown => "unknown",
        }
    }
}

/// A check as it is declared, once: the programme and `docs/checks.md` read it here.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name, `FAMILY.WHAT`; it never changes.
    pub id: &'static str,
    /// How bad a finding is at most.
    pub severity: Severity,
    /// What is demanded, in a few words.
    pub title: Text,
    /// Why, and what to do where it is not so: for the documentation.
    pub reason: Text,
    /// Where it is written; empty where it is nowhere.
    pub reference: &'static str,
}

/// Declares checks: a name, an id, how bad a finding is, where it is written, then the
/// title and the reason, each in English and in Spanish.
macro_rules! definitions {
    ($($name:ident = $id:literal $severity:ident $reference:literal
       [$title_en:literal, $title_es:literal, $reason_en:literal, $reason_es:literal $(,)?];)*) => {
        $(pub(in crate::check) static $name: $crate::check::Definition = $crate::check::Definition {
            id: $id,
            severity: $crate::check::Severity::$severity,
            title: $crate::lang::Text::new($title_en, $title_es),
            reason: $crate::lang::Text::new($reason_en, $reason_es),
            reference: $reference,
        };)*
    };
}
pub(super) use definitions;

impl Definition {
    /// What stands before the dot: what `--only` takes.
    pub fn group(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(group, _)| group)
    }
}

/// What came of a check of one subject. All sentences are in the language asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub definition: &'static Definition,
    /// How bad it is; a check may be milder than its definition.
    pub severity: Severity,
    /// What came of it.
    pub status: Status,
    /// Which address, domain, name or key.
    pub subject: String,
    /// What was asked and of whom: `PTR 1.2.0.192.in-addr.arpa @127.0.0.53`. Empty
    /// where nobody was asked.
    pub asked: String,
    /// What was seen, or why nothing was.
    pub seen: String,
    /// What should have been seen; for findings.
    pub expected: String,
    /// What to do, ready to paste where it is a record or a command.
    pub remedy: String,
    /// No receiver takes mail while this is so.
    pub is_decisive: bool,
}

impl Check {
    /// Its name.
    pub fn id(&self) -> &'static str {
        self.definition.id
    }

    /// Whether something is wrong that costs mail or reputation.
    pub fn is_wrong(&self) -> bool {
        self.status == Status::Finding && self.severity > Severity::Info
    }
}

/// A check whose outcome is still to be told: made by
/// [`Context::about`](super::Context::about), ended by one of its outcomes. The
/// sentences have `{name}` where a value given by [`Draft::with`] is put in.
#[derive(Debug, Clone)]
pub struct Draft {
    language: Language,
    values: Vec<(&'static str, String)>,
    check: Check,
}

impl Draft {
    pub(super) fn new(
        definition: &'static Definition,
        subject: String,
        language: Language,
    ) -> Self {
        let values = vec![("subject", subject.clone())];
        let check = Check {
            definition,
            severity: definition.severity,
            status: Status::Unknown,
            subject,
            asked: String::new(),
            seen: String::new(),
            expected: String::new(),
            remedy: String::new(),
            is_decisive: false,
        };
        Self { language, values, check }
    }

    /// Says what was asked and of whom.
    #[must_use]
    pub fn asked(mut self, asked: impl Into<String>) -> Self {
        self.check.asked = asked.into();
        self
    }

    /// Gives a value to put in; `{subject}` is known already.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.values.push((name, value.to_string()));
        self
    }

    /// The same of a library's words, or another room's.
    #[must_use]
    pub fn with_detail(self, name: &'static str, words: impl ToString) -> Self {
        let words = crate::lang::detail(&words.to_string()).of(self.language);
        self.with(name, words)
    }

    /// Makes a finding milder than its definition says.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.check.severity = severity;
        self
    }

    /// No receiver takes mail while this is so, whatever its other rules.
    #[must_use]
    pub fn decisive(mut self) -> Self {
        self.check.is_decisive = true;
        self
    }

    /// Says what to do also where nothing is known to be wrong.
    #[must_use]
    pub fn remedy(mut self, remedy: Text) -> Self {
        self.check.remedy = self.say(remedy);
        self
    }

    /// As it should be.
    pub fn pass(self, seen: Text) -> Check {
        self.end(Status::Pass, seen)
    }

    /// Something is wrong.
    pub fn finding(mut self, seen: Text, expected: Text, remedy: Text) -> Check {
        self.check.expected = self.say(expected);
        self.check.remedy = self.say(remedy);
        self.end(Status::Finding, seen)
    }

    /// Nothing may be concluded, and why.
    pub fn unknown(self, reason: Text) -> Check {
        self.end(Status::Unknown, reason)
    }

    /// The DNS did not answer: nothing may be concluded.
    pub fn no_answer(self, error: &puerto_mail::dns::DnsError) -> Check {
        let error = crate::lang::dns_error(error).of(self.language);
        self.with("error", error).unknown(Text::new("no answer: {error}", "sin respuesta: {error}"))
    }

    /// It does not matter here, and why.
    pub fn not_applicable(self, reason: Text) -> Check {
        self.end(Status::NotApplicable, reason)
    }

    /// It builds on another check, which did not pass.
    pub fn skipped(self, prerequisite: &Definition) -> Check {
        self.with("check", prerequisite.id)
            .not_applicable(Text::new("needs {check} first", "antes hay que resolver {check}"))
    }

    fn say(&self, text: Text) -> String {
        let values: Vec<_> = self.values.iter().map(|(n, v)| (*n, v.as_str())).collect();
        text.with(self.language, &values)
    }

    fn end(mut self, status: Status, seen: Text) -> Check {
        self.check.seen = self.say(seen);
        self.check.status = status;
        self.check
    }
}
