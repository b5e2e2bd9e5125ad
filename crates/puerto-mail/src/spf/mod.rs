//! SPF (RFC 7208): may this address send for this domain?
//!
//! [`check`] answers with a result and with the way to it: a [`Trace`] for the
//! record of each domain that was visited, with a [`Step`] for each term that was
//! tried, the DNS questions that it asked and what they brought. That is what lets
//! an administrator see which term of which provider's record let a host in.

pub mod ahead;
pub mod count;
mod evaluator;
mod macros;
pub mod mend;
mod reason;
mod record;

use std::fmt;
use std::net::IpAddr;

use puerto_smtp::ReversePath;

use crate::dns::{Dns, DnsError, RecordType};
pub use reason::{Reason, SyntaxError, TermError};

/// Terms that may ask the DNS in one evaluation (RFC 7208 §4.6.4).
pub const MAX_LOOKUPS: u32 = 10;
/// Questions of those that may have an empty answer (RFC 7208 §4.6.4).
pub const MAX_VOID_LOOKUPS: u32 = 2;

/// The result of an evaluation (RFC 7208 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpfResult {
    /// The domain publishes nothing, or there is no domain to ask about.
    None,
    /// The domain says nothing about this address.
    Neutral,
    /// The address may send for the domain.
    Pass,
    /// It may not: receivers may refuse the message for that alone.
    Fail,
    /// It probably may not: receivers are to take the message with more suspicion.
    SoftFail,
    /// The DNS did not answer; ask again later.
    TempError,
    /// The record cannot be read or asks too much of the DNS; its owner has to mend it.
    PermError,
}

impl SpfResult {
    /// The word in `Received-SPF` and `Authentication-Results`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the names that a client gives was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The domain of the reverse-path (RFC 7208 §2.4).
    MailFrom,
    /// The name that the client called itself (RFC 7208 §2.3).
    Helo,
}

/// Who asks to send what. Domains are in A-labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    ip: IpAddr,
    helo: String,
    local_part: String,
    domain: String,
    identity: Identity,
    receiver: String,
    timestamp: u64,
}

impl Query {
    /// Asks about the reverse-path; the null one is checked as
    /// `postmaster@HELO` (RFC 7208 §2.4).
    pub fn mail_from(ip: IpAddr, helo: &str, reverse_path: &ReversePath) -> Self {
        match reverse_path.address() {
            Some(address) => {
                let local_part = address.local_part().as_str();
                Self::new(ip, helo, local_part, &address.domain().to_string(), Identity::MailFrom)
            }
            None => Self::helo(ip, helo),
        }
    }

    /// The same of a sender as text, such as a command's argument: what stands
    /// after the last `@` is the domain.
    pub fn mail_from_text(ip: IpAddr, helo: &str, sender: &str) -> Self {
        match sender.rsplit_once('@') {
            Some((local_part, domain)) => {
                Self::new(ip, helo, local_part, domain, Identity::MailFrom)
            }
            None if sender.is_empty() => Self::helo(ip, helo),
            None => Self::new(ip, helo, "", sender, Identity::MailFrom),
        }
    }

    /// Asks about the HELO name.
    pub fn helo(ip: IpAddr, helo: &str) -> Self {
        Self::new(ip, helo, "", helo, Identity::Helo)
    }

    fn new(ip: IpAddr, helo: &str, local_part: &str, domain: &str, identity: Identity) -> Self {
        // RFC 7208 §4.3: without a local part, "postmaster".
        let local_part = if local_part.is_empty() { "postmaster" } else { local_part };
        Self {
            ip: ip.to_canonical(),
            helo: helo.to_owned(),
            local_part: local_part.to_owned(),
            domain: domain.to_owned(),
            identity,
            receiver: "unknown".to_owned(),
            timestamp: 0,
        }
    }

    /// Names the host that asks, for `%{r}` in explanations.
    #[must_use]
    pub fn receiver(mut self, host: &str) -> Self {
        host.clone_into(&mut self.receiver);
        self
    }

    /// Says what time it is, in seconds since 1970, for `%{t}` in explanations.
    #[must_use]
    pub fn at(mut self, timestamp: u64) -> Self {
        self.timestamp = timestamp;
        self
    }
}

/// The result and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// What the sender came to.
    pub result: SpfResult,
    /// Which of its names that result is about.
    pub identity: Identity,
    /// The domain that was checked.
    pub domain: String,
    /// What the domain's owner says about a failure (`exp=`). It is text from the
    /// network: show it as the domain's words, not as ours.
    pub explanation: Option<String>,
    /// Terms that asked the DNS, of [`MAX_LOOKUPS`].
    pub lookups: u32,
    /// Questions with an empty answer, of [`MAX_VOID_LOOKUPS`].
    pub void_lookups: u32,
    /// The domain's record and its terms.
    pub trace: Trace,
}

impl Evaluation {
    /// The term of the domain's own record that matched or could not be decided.
    pub fn decided_by(&self) -> Option<&str> {
        let step = self.trace.steps.last()?;
        (!matches!(step.outcome, Outcome::NoMatch)).then_some(step.term.as_str())
    }
}

/// The record of one domain and the terms that were tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The domain whose record was asked for.
    pub domain: String,
    /// Its record, if it has one.
    pub record: Option<String>,
    /// What this record alone comes to.
    pub result: SpfResult,
    /// Why it came to that, where no term decided it.
    pub problem: Option<Reason>,
    /// The terms that were tried, in order.
    pub steps: Vec<Step>,
}

/// What came of one term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It matched, and so this is the result.
    Match(SpfResult),
    /// It did not match, so that the next one was tried.
    NoMatch,
    /// It could not be decided, and so this is the result.
    Error(SpfResult),
}

/// One term of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The term as it is written.
    pub term: String,
    /// Whether it matched, and what that makes the result.
    pub outcome: Outcome,
    /// Why, where the questions do not say so already.
    pub reason: Option<Reason>,
    /// The questions that it asked.
    pub questions: Vec<Question>,
    /// What `include` or `redirect` led to.
    pub nested: Option<Box<Trace>>,
}

/// A question to the DNS and what it brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, with the record type: `A mail.example.com`.
    pub asked: String,
    /// The record type, for whoever shows questions by type.
    pub kind: RecordType,
    /// The records, or why there are none.
    pub answer: Answer,
}

/// What a question to the DNS brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The first of the records, as they are shown, and how many more there are.
    Records(Vec<String>, usize),
    /// There are none, or nobody answered.
    Nothing(DnsError),
    /// It cannot be asked for, and counts as absent (RFC 7208 §4.8).
    NoSuchName,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(shown, 0) => f.write_str(&shown.join(", ")),
            Self::Records(shown, more) => write!(f, "{}, and {more} more", shown.join(", ")),
            Self::Nothing(error) => error.fmt(f),
            Self::NoSuchName => Reason::NoSuchName.fmt(f),
        }
    }
}

/// Evaluates (RFC 7208 §4: check_host).
pub async fn check<D: Dns>(dns: &D, query: &Query) -> Evaluation {
    evaluator::run(dns, query).await
}

/// Whether a TXT record is an SPF record: `v=spf1`, then a space or the end
/// (RFC 7208 §4.5).
pub fn is_record(text: &[u8]) -> bool {
    record::is_spf(text)
}

/// Whether an SPF record can be read.
pub(crate) fn check_syntax(text: &[u8]) -> Result<(), SyntaxError> {
    record::Record::parse(text).map(|_| ())
}

/// The tree of steps, one line for each, indented.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Trace {
    /// Why it could not be evaluated or nothing matched: the problem of the record, or
    /// the term that could not be decided and why. `None` if a term matched.
    pub fn reason(&self) -> Option<Reason> {
        if let Some(problem) = &self.problem {
            return Some(problem.clone());
        }
        let step = self.steps.last().filter(|step| matches!(step.outcome, Outcome::Error(_)))?;
        let nested = || step.nested.as_ref().and_then(|nested| nested.reason());
        let why = step.reason.clone().or_else(nested)?;
        Some(Reason::Term(step.term.clone(), Box::new(why)))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        let record = self.record.as_deref().unwrap_or("no record");
        writeln!(f, "{indent}{}: {record}", self.domain)?;
        for step in &self.steps {
            let outcome = match step.outcome {
                Outcome::Match(result) => format!("matches: {result}"),
                Outcome::NoMatch => "does not match".to_owned(),
                Outcome::Error(result) => result.to_string(),
            };
            write!(f, "{indent}  {} {outcome}", step.term)?;
            if let Some(reason) = &step.reason {
                write!(f, " ({reason})")?;
            }
            writeln!(f)?;
            for question in &step.questions {
                writeln!(f, "{indent}    {} → {}", question.asked, question.answer)?;
            }
            if let Some(nested) = &step.nested {
                nested.write(f, depth + 2)?;
            }
        }
        match &self.problem {
            Some(problem) => writeln!(f, "{indent}  {}: {problem}", self.result),
            None => writeln!(f, "{indent}  → {}", self.result),
        }
    }
}

#[cfg(test)]
mod tests;
