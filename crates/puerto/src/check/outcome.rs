//! One check: what is demanded ([`Definition`]) and what came of it ([`Check`]).
//!
//! A file of a family knows this and the context; the registry alone knows the families.

use puerto_mail::dns::DnsError;

use crate::finding::{Finding, Severity};
use crate::lang::{Said, Text, dns_error};

const NOTHING: Text = Text::same("");

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
    // What is seen where all is well and where it is not, what should be seen, and what to
    // do: the words of an outcome that gives none of its own. The second and the third are
    // left out where they are as the first.
    pub(super) right: Text,
    pub(super) wrong: Text,
    pub(super) expected: Text,
    pub(super) remedy: Text,
}

/// A family of checks: one heading, one table, in the order in which they are shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// What `--only` takes for all of them.
    pub name: &'static str,
    /// The heading of its checks, in the report and in `docs/checks.md`.
    pub title: Text,
    /// Whether it judges this machine, and so once for all domains.
    pub is_of_machine: bool,
    /// In the order in which they build on each other: the first that fails is told.
    pub checks: &'static [&'static Definition],
}

/// Declares a family and its checks. A check has a name, an id, how bad a finding is,
/// where it is written; then the title and the reason, each in English and in Spanish;
/// then its other words, one where they are the same in both. What it does not say is as
/// with the check that it is `like`.
macro_rules! family {
    ($family:ident = $word:literal [$($heading:literal),+] is_of_machine: $machine:literal;
     $($name:ident = $id:literal $severity:ident $reference:literal $(like $like:ident)?
       [$title_en:literal, $title_es:literal, $reason_en:literal, $reason_es:literal $(,)?
        $($outcome:ident: $($words:literal),+;)*];)*) => {
        pub(in crate::check) static $family: $crate::check::Family = $crate::check::Family {
            name: $word,
            title: $crate::check::outcome::text!($($heading),+),
            is_of_machine: $machine,
            checks: &[$(&$name),*],
        };
        $(#[allow(clippy::needless_update, reason = "some have all their words")]
        pub(in crate::check) static $name: $crate::check::Definition = $crate::check::Definition {
            id: $id,
            severity: $crate::finding::Severity::$severity,
            title: $crate::lang::Text::new($title_en, $title_es),
            reason: $crate::lang::Text::new($reason_en, $reason_es),
            reference: $reference,
            $($outcome: $crate::check::outcome::text!($($words),+),)*
            ..$crate::check::outcome::base!($($like)?)
        };)*
    };
}
macro_rules! text {
    ($words:literal) => {
        $crate::lang::Text::same($words)
    };
    ($en:literal, $es:literal) => {
        $crate::lang::Text::new($en, $es)
    };
}
macro_rules! base {
    () => {
        $crate::check::Definition::WITHOUT_WORDS
    };
    ($like:ident) => {
        $like
    };
}
pub(super) use {base, family, text};

impl Definition {
    pub(super) const WITHOUT_WORDS: Self = Self {
        id: "",
        severity: Severity::Error,
        title: NOTHING,
        reason: NOTHING,
        reference: "",
        right: NOTHING,
        wrong: NOTHING,
        expected: NOTHING,
        remedy: NOTHING,
    };

    /// What stands before the dot: what `--only` takes.
    pub fn group(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(group, _)| group)
    }
}

/// What came of a check of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was demanded; two checks are the same one if this and the subject are.
    pub definition: &'static Definition,
    /// How bad it is; a check may be milder than its definition.
    pub severity: Severity,
    /// Which of the four outcomes it is; only a finding has something expected.
    pub status: Status,
    /// Which address, domain, name or key.
    pub subject: String,
    /// What was asked and of whom: `PTR 1.2.0.192.in-addr.arpa @127.0.0.53`. Empty
    /// where nobody was asked.
    pub asked: String,
    /// It was the DNS that was asked.
    pub is_of_dns: bool,
    /// The name that was judged, where the subject is the address that has it.
    pub name: Option<String>,
    /// What was seen, or why nothing was.
    pub seen: Said,
    /// What should have been seen; for findings.
    pub expected: Said,
    /// What to do, ready to paste where it is a record or a command.
    pub remedy: Said,
    /// A key or a whole record stands in what to do.
    pub has_record: bool,
    /// No receiver takes mail while this is so.
    pub is_decisive: bool,
}

/// Those of the checks that stand behind one of them.
pub(super) fn after(
    checks: &'static [&'static Definition],
    last: &Definition,
) -> &'static [&'static Definition] {
    let at = checks.iter().position(|check| *check == last);
    at.and_then(|at| checks.get(at + 1..)).unwrap_or_default()
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

    /// As the end of a check's steps.
    pub(super) fn fails<T>(self) -> Judged<T> {
        Err(Box::new(self))
    }

    /// Itself, and these, which build on it and are not told.
    pub(super) fn skipping(
        self,
        rest: &[&'static Definition],
        draft: impl Fn(&'static Definition) -> Draft,
    ) -> Vec<Self> {
        let skipped = rest.iter().map(|next| draft(next).skipped(self.definition)).collect();
        [vec![self], skipped].concat()
    }

    /// What was found, as every room says it; of a check that passed too.
    pub fn finding(&self) -> Finding {
        Finding {
            subject: Some(self.subject.clone()),
            asked: Some(self.asked.clone()),
            expected: Some(self.expected.clone()),
            reference: Some(self.definition.reference),
            ..Finding::new(self.id(), self.severity, self.seen.clone(), self.remedy.clone())
        }
    }
}

/// What a step of a check came to, or the check's outcome where there is no next step.
pub(super) type Judged<T = Check> = Result<T, Box<Check>>;

/// The outcome, whichever step told it.
pub(super) fn told(judged: Judged) -> Check {
    judged.unwrap_or_else(|check| *check)
}

/// A check whose outcome is still to be told: made by
/// [`Context::about`](super::Context::about), ended by one of its outcomes. The
/// sentences, pairs of English and Spanish or words that are the same in both, have
/// `{name}` where a value given by [`Draft::with`] is put in; `{subject}`, `{domain}` and
/// `{helo}` are known already.
#[derive(Debug, Clone)]
pub struct Draft {
    values: Vec<(&'static str, Said)>,
    check: Check,
    // For a finding.
    expected: Text,
    remedy: Text,
}

impl Draft {
    pub(super) fn new(definition: &'static Definition, subject: String) -> Self {
        let values = vec![("subject", Said::words(&subject))];
        let check = Check {
            definition,
            severity: definition.severity,
            status: Status::Unknown,
            subject,
            asked: String::new(),
            is_of_dns: false,
            name: None,
            seen: Said::default(),
            expected: Said::default(),
            remedy: Said::default(),
            has_record: false,
            is_decisive: false,
        };
        let Definition { right, expected, remedy, .. } = *definition;
        let expected = if expected == NOTHING { right } else { expected };
        Self { values, check, expected, remedy }
    }

    /// Says what was asked and of whom.
    #[must_use]
    pub fn asked(mut self, asked: impl Into<String>) -> Self {
        self.check.asked = asked.into();
        self
    }

    /// The same, where it was the DNS.
    #[must_use]
    pub fn asked_dns(mut self, question: impl Into<String>) -> Self {
        self.check.is_of_dns = true;
        self.asked(question)
    }

    /// Says which name of the subject is judged.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.check.name = Some(name.to_owned());
        self.with("name", name)
    }

    /// Gives a value to put in, the same in every language.
    #[must_use]
    pub fn with(self, name: &'static str, value: impl ToString) -> Self {
        self.with_said(name, Said::words(value.to_string()))
    }

    /// The same of several, one after the other.
    #[must_use]
    pub fn list(self, name: &'static str, values: impl IntoIterator<Item: ToString>) -> Self {
        let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
        self.with(name, values.join(", "))
    }

    /// The same of a sentence.
    #[must_use]
    pub fn with_said(mut self, name: &'static str, said: impl Into<Said>) -> Self {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, said.into()));
        self
    }

    /// The same of a record that is to be published: it is too long for a summary.
    #[must_use]
    pub fn with_record(mut self, name: &'static str, record: impl Into<Said>) -> Self {
        self.check.has_record = true;
        self.with_said(name, record)
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

    /// Says what should have been seen, in the place of the declaration.
    #[must_use]
    pub fn expected(self, expected: impl Into<Text>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    /// Says what to do where something is wrong, in the place of the declaration.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<Text>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// Says what to do although nothing is known to be wrong.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<Text>) -> Self {
        self.check.remedy = self.say(advice);
        self
    }

    /// As it should be, or not, in the declaration's words.
    pub fn judge(self, is_wrong: bool) -> Check {
        if is_wrong { self.wrong() } else { self.right() }
    }

    /// As it should be, in the declaration's words.
    pub fn right(self) -> Check {
        let seen = self.check.definition.right;
        self.pass(seen)
    }

    /// Something is wrong, in the declaration's words.
    pub fn wrong(self) -> Check {
        let Definition { right, wrong, .. } = *self.check.definition;
        self.finding(if wrong == NOTHING { right } else { wrong })
    }

    /// As it should be.
    pub fn pass(self, seen: impl Into<Text>) -> Check {
        self.end(Status::Pass, seen)
    }

    /// Something is wrong.
    pub fn finding(mut self, seen: impl Into<Text>) -> Check {
        self.check.expected = self.say(self.expected);
        self.check.remedy = self.say(self.remedy);
        self.end(Status::Finding, seen)
    }

    /// Nothing may be concluded, and why.
    pub fn unknown(self, reason: impl Into<Text>) -> Check {
        self.end(Status::Unknown, reason)
    }

    /// The DNS did not answer: nothing may be concluded.
    pub fn no_answer(self, error: &DnsError) -> Check {
        self.with_said("error", dns_error(error))
            .unknown(("no answer: {error}", "sin respuesta: {error}"))
    }

    /// What the DNS answered; without an answer nothing may be concluded.
    pub fn answered<T>(&self, answer: Result<T, DnsError>) -> Judged<T> {
        answer.map_err(|error| Box::new(self.clone().no_answer(&error)))
    }

    /// The same of several questions, where it does not matter which had no answer.
    pub fn dns_silent(self) -> Check {
        self.unknown(("the DNS did not answer", "el DNS no respondió"))
    }

    /// It does not matter here, and why.
    pub fn not_applicable(self, reason: impl Into<Text>) -> Check {
        self.end(Status::NotApplicable, reason)
    }

    /// It builds on another check, which did not pass.
    pub fn skipped(self, prerequisite: &Definition) -> Check {
        self.with("check", prerequisite.id)
            .not_applicable(("needs {check} first", "antes hay que resolver {check}"))
    }

    // What is put in stays whole and as it is: a record must not be cut, and JSON says it
    // with all its characters. The last of a name counts.
    fn say(&self, text: impl Into<Text>) -> Said {
        let values: Vec<_> = self.values.iter().rev().map(|(name, value)| (*name, value)).collect();
        Said::of_parts(text.into(), &values)
    }

    fn end(mut self, status: Status, seen: impl Into<Text>) -> Check {
        self.check.seen = self.say(seen);
        self.check.status = status;
        self.check
    }
}
