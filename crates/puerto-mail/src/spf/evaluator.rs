//! check_host() (RFC 7208 §4): one [`Evaluator`] for a whole evaluation, since the
//! limits count through all includes and redirects.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use puerto_smtp::text::harmless;

use super::macros::{MacroString, Place, Values};
use super::record::{Directive, Mechanism, Modifier, Prefixes, Record, contains, find, is_name};
use super::{
    Answer, Evaluation, MAX_LOOKUPS, MAX_VOID_LOOKUPS, Outcome, Query, Question, Reason, SpfResult,
    Step, Trace,
};
use crate::dns::reverse_name;
use crate::dns::{self, Dns, DnsError, RecordType};

/// MX hosts, and names of one address, that are looked at (RFC 7208 §4.6.4).
const MAX_NAMES: usize = 10;
/// Records that a step shows; the rest are counted.
const SHOWN: usize = 12;

pub(super) async fn run<D: Dns>(dns: &D, query: &Query) -> Evaluation {
    let mut evaluator = Evaluator {
        dns,
        query,
        lookups: 0,
        void_lookups: 0,
        validated: None,
        questions: Vec::new(),
    };
    let domain = query.domain.strip_suffix('.').unwrap_or(&query.domain).to_owned();
    let visit = if is_checkable(&domain) {
        evaluator.visit(domain.clone()).await
    } else {
        Visit::without_record(&domain, Reason::NotADomain)
    };
    let (lookups, void_lookups) = (evaluator.lookups, evaluator.void_lookups);
    let explanation = match &visit.explanation {
        Some((domain, modifier)) => evaluator.explain(domain, modifier).await,
        None => None,
    };
    Evaluation {
        result: visit.trace.result,
        identity: query.identity,
        domain,
        explanation,
        lookups,
        void_lookups,
        trace: visit.trace,
    }
}

struct Evaluator<'a, D> {
    dns: &'a D,
    query: &'a Query,
    lookups: u32,
    void_lookups: u32,
    // The client's names that lead back to its address, once they were needed.
    validated: Option<Vec<String>>,
    // Those of the step that is being made.
    questions: Vec<Question>,
}

// What came of one term, before it becomes a step.
struct Tried {
    outcome: Outcome,
    reason: Option<Reason>,
    nested: Option<Box<Trace>>,
}

// One record evaluated, and the explanation that goes with a failure.
struct Visit {
    trace: Trace,
    explanation: Option<(String, Modifier)>,
}

impl Visit {
    fn without_record(domain: &str, problem: Reason) -> Self {
        let trace = Trace {
            domain: domain.to_owned(),
            record: None,
            result: result_of(&problem),
            problem: Some(problem),
            steps: Vec::new(),
        };
        Self { trace, explanation: None }
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<D: Dns> Evaluator<'_, D> {
    // Boxed, since an include leads back here.
    fn visit(&mut self, domain: String) -> BoxFuture<'_, Visit> {
        Box::pin(async move {
            let text = match find(self.dns, &domain).await {
                Ok(text) => text,
                Err(problem) => return Visit::without_record(&domain, problem),
            };
            let mut trace = Trace {
                domain: domain.clone(),
                record: Some(String::from_utf8_lossy(&text).into_owned()),
                result: SpfResult::Neutral,
                problem: None,
                steps: Vec::new(),
            };
            match Record::parse(&text) {
                Ok(record) => self.evaluate(record, domain, trace).await,
                Err(problem) => {
                    trace.result = SpfResult::PermError;
                    trace.problem = Some(Reason::Syntax(problem));
                    Visit { trace, explanation: None }
                }
            }
        })
    }

    async fn evaluate(&mut self, record: Record, domain: String, mut trace: Trace) -> Visit {
        let Record { directives, redirect, explanation } = record;
        for directive in &directives {
            let tried = match self.try_directive(directive, &domain).await {
                Ok(tried) => tried,
                Err(reason) => stopped(reason),
            };
            let outcome = self.push_step(&mut trace, &directive.written, tried);
            match outcome {
                Outcome::NoMatch => {}
                Outcome::Match(result) => {
                    trace.result = result;
                    let explanation = explanation
                        .filter(|_| result == SpfResult::Fail)
                        .map(|modifier| (domain, modifier));
                    return Visit { trace, explanation };
                }
                Outcome::Error(result) => {
                    trace.result = result;
                    return Visit { trace, explanation: None };
                }
            }
        }
        match redirect {
            Some(redirect) => self.redirect(redirect, &domain, trace).await,
            None => {
                trace.problem = Some(Reason::NoTermMatched);
                Visit { trace, explanation: None }
            }
        }
    }

    // RFC 7208 §6.1: the target's result is ours, and so is its explanation.
    async fn redirect(&mut self, redirect: Modifier, domain: &str, mut trace: Trace) -> Visit {
        let mut explanation = None;
        let tried = match self.count_lookup() {
            Err(reason) => stopped(reason),
            Ok(()) => match self.expand(&redirect.domain, domain).await {
                Err(reason) => stopped(reason),
                Ok(target) => {
                    let visit = self.visit(target).await;
                    explanation = visit.explanation;
                    let (outcome, reason) = match visit.trace.result {
                        SpfResult::None => {
                            (Outcome::Error(SpfResult::PermError), Some(Reason::RedirectToNone))
                        }
                        error @ (SpfResult::TempError | SpfResult::PermError) => {
                            (Outcome::Error(error), None)
                        }
                        result => (Outcome::Match(result), None),
                    };
                    Tried { outcome, reason, nested: Some(Box::new(visit.trace)) }
                }
            },
        };
        match self.push_step(&mut trace, &redirect.written, tried) {
            Outcome::Match(result) | Outcome::Error(result) => trace.result = result,
            Outcome::NoMatch => {}
        }
        Visit { trace, explanation }
    }

    fn push_step(&mut self, trace: &mut Trace, term: &str, tried: Tried) -> Outcome {
        trace.steps.push(Step {
            term: term.to_owned(),
            outcome: tried.outcome,
            reason: tried.reason,
            questions: std::mem::take(&mut self.questions),
            nested: tried.nested,
        });
        tried.outcome
    }

    async fn try_directive(
        &mut self,
        directive: &Directive,
        domain: &str,
    ) -> Result<Tried, Reason> {
        let qualifier = directive.qualifier;
        let matched = match &directive.mechanism {
            Mechanism::All => true,
            Mechanism::Ip { network, prefix } => contains(*network, *prefix, self.query.ip),
            Mechanism::Include(target) => return self.include(target, domain, qualifier).await,
            Mechanism::A { domain: target, prefixes } => {
                self.count_lookup()?;
                let name = self.target(target.as_ref(), domain).await?;
                self.host_matches(&name, *prefixes).await?
            }
            Mechanism::Mx { domain: target, prefixes } => {
                self.count_lookup()?;
                let name = self.target(target.as_ref(), domain).await?;
                self.mx_matches(&name, *prefixes).await?
            }
            Mechanism::Ptr(target) => {
                self.count_lookup()?;
                let name = self.target(target.as_ref(), domain).await?;
                let names = self.validated_names(true).await?;
                names.iter().any(|candidate| is_within(candidate, &name))
            }
            Mechanism::Exists(target) => {
                self.count_lookup()?;
                let name = self.expand(target, domain).await?;
                // RFC 7208 §5.7: type A, even when the client came by IPv6.
                !self.ask(&name, RecordType::A).await?.is_empty()
            }
        };
        let outcome = if matched { Outcome::Match(qualifier) } else { Outcome::NoMatch };
        Ok(Tried { outcome, reason: None, nested: None })
    }

    // RFC 7208 §5.2.
    async fn include(
        &mut self,
        target: &MacroString,
        domain: &str,
        qualifier: SpfResult,
    ) -> Result<Tried, Reason> {
        self.count_lookup()?;
        let target = self.expand(target, domain).await?;
        let trace = self.visit(target).await.trace;
        let (outcome, reason) = match trace.result {
            SpfResult::Pass => (Outcome::Match(qualifier), None),
            SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => (Outcome::NoMatch, None),
            error @ (SpfResult::TempError | SpfResult::PermError) => (Outcome::Error(error), None),
            SpfResult::None => (Outcome::Error(SpfResult::PermError), Some(Reason::IncludeOfNone)),
        };
        Ok(Tried { outcome, reason, nested: Some(Box::new(trace)) })
    }

    async fn host_matches(&mut self, name: &str, prefixes: Prefixes) -> Result<bool, Reason> {
        let ip = self.query.ip;
        let (record_type, prefix) = match ip {
            IpAddr::V4(_) => (RecordType::A, prefixes.v4),
            IpAddr::V6(_) => (RecordType::Aaaa, prefixes.v6),
        };
        let records = self.ask(name, record_type).await?;
        Ok(records.iter().any(|record| match record {
            dns::Record::Address(address) => contains(*address, prefix, ip),
            _ => false,
        }))
    }

    async fn mx_matches(&mut self, name: &str, prefixes: Prefixes) -> Result<bool, Reason> {
        let mut hosts: Vec<(u16, String)> = self
            .ask(name, RecordType::Mx)
            .await?
            .into_iter()
            .filter_map(|record| match record {
                dns::Record::Mx(preference, host) => Some((preference, host)),
                _ => None,
            })
            .collect();
        if hosts.len() > MAX_NAMES {
            return Err(Reason::TooManyMx(name.to_owned(), hosts.len()));
        }
        hosts.sort();
        for (_, host) in hosts.iter().filter(|(_, host)| !host.is_empty()) {
            if self.host_matches(host, prefixes).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn target(&mut self, spec: Option<&MacroString>, domain: &str) -> Result<String, Reason> {
        match spec {
            Some(spec) => self.expand(spec, domain).await,
            None => Ok(domain.to_owned()),
        }
    }

    async fn expand(&mut self, spec: &MacroString, domain: &str) -> Result<String, Reason> {
        let validated = self.name_for(spec, domain, true).await?;
        Ok(spec.expand_domain(&self.values(domain, &validated)))
    }

    fn values<'v>(&'v self, domain: &'v str, validated: &'v str) -> Values<'v> {
        Values {
            local_part: &self.query.local_part,
            sender_domain: &self.query.domain,
            domain,
            ip: self.query.ip,
            helo: &self.query.helo,
            receiver: &self.query.receiver,
            timestamp: self.query.timestamp,
            validated,
        }
    }

    // RFC 7208 §7.3: for %{p}, the domain itself is preferred, then a name in it,
    // then any other.
    async fn name_for(
        &mut self,
        spec: &MacroString,
        domain: &str,
        counted: bool,
    ) -> Result<String, Reason> {
        if !spec.needs_validated_name() {
            return Ok(String::new());
        }
        let names = self.validated_names(counted).await?;
        let best = names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(domain))
            .or_else(|| names.iter().find(|name| is_within(name, domain)))
            .or_else(|| names.first());
        Ok(best.map_or_else(|| "unknown".to_owned(), Clone::clone))
    }

    // RFC 7208 §5.5: an error on the way to a name only means that it is not used.
    async fn validated_names(&mut self, counted: bool) -> Result<Vec<String>, Reason> {
        if let Some(names) = &self.validated {
            return Ok(names.clone());
        }
        let ip = self.query.ip;
        let address_type = if ip.is_ipv4() { RecordType::A } else { RecordType::Aaaa };
        let mut validated = Vec::new();
        match self.ask_plainly(&reverse_name(ip), RecordType::Ptr).await {
            Ok(records) => {
                for record in records.into_iter().take(MAX_NAMES) {
                    let dns::Record::Name(name) = record else { continue };
                    let addresses = self.ask_plainly(&name, address_type).await;
                    if addresses.is_ok_and(|found| found.contains(&dns::Record::Address(ip))) {
                        validated.push(name);
                    }
                }
            }
            Err(error) if error.is_absence() && counted => self.count_void()?,
            Err(_) => {}
        }
        self.validated = Some(validated.clone());
        Ok(validated)
    }

    // A question whose empty answer counts and whose failure ends the evaluation.
    async fn ask(
        &mut self,
        name: &str,
        record_type: RecordType,
    ) -> Result<Vec<dns::Record>, Reason> {
        if !is_name(name) {
            // RFC 7208 §4.8: what cannot be asked is as if it did not exist.
            self.note(name, record_type, Answer::NoSuchName);
            return Ok(Vec::new());
        }
        match self.ask_plainly(name, record_type).await {
            Ok(records) => Ok(records),
            Err(error) if error.is_absence() => {
                self.count_void()?;
                Ok(Vec::new())
            }
            Err(error) => Err(Reason::Asked(name.to_owned(), error)),
        }
    }

    async fn ask_plainly(
        &mut self,
        name: &str,
        record_type: RecordType,
    ) -> Result<Vec<dns::Record>, DnsError> {
        let result = self.dns.lookup(name, record_type).await.map(|answer| answer.records);
        let answer = match &result {
            Ok(records) => list(records),
            Err(error) => Answer::Nothing(error.clone()),
        };
        self.note(name, record_type, answer);
        result
    }

    fn note(&mut self, name: &str, record_type: RecordType, answer: Answer) {
        let asked = format!("{} {name}", record_type.name());
        self.questions.push(Question { asked, kind: record_type, answer });
    }

    fn count_lookup(&mut self) -> Result<(), Reason> {
        if self.lookups == MAX_LOOKUPS {
            return Err(Reason::TooManyLookups);
        }
        self.lookups += 1;
        Ok(())
    }

    fn count_void(&mut self) -> Result<(), Reason> {
        self.void_lookups += 1;
        if self.void_lookups > MAX_VOID_LOOKUPS {
            return Err(Reason::TooManyVoidLookups);
        }
        Ok(())
    }

    // RFC 7208 §6.2: whatever goes wrong here, the result stands without explanation.
    async fn explain(&mut self, domain: &str, modifier: &Modifier) -> Option<String> {
        let validated = self.name_for(&modifier.domain, domain, false).await.ok()?;
        let name = modifier.domain.expand_domain(&self.values(domain, &validated));
        if !is_name(&name) {
            return None;
        }
        let answer = self.dns.lookup(&name, RecordType::Txt).await.ok()?;
        let [dns::Record::Txt(text)] = answer.records.as_slice() else { return None };
        let text = std::str::from_utf8(text).ok()?;
        if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return None;
        }
        let text = MacroString::parse(text, Place::Explanation).ok()?;
        let validated = self.name_for(&text, domain, false).await.ok()?;
        let explanation = text.expand(&self.values(domain, &validated));
        // A local part may hold anything, and this ends in replies and logs.
        Some(harmless(&explanation))
    }
}

fn stopped(reason: Reason) -> Tried {
    Tried { outcome: Outcome::Error(result_of(&reason)), reason: Some(reason), nested: None }
}

// What a domain or a term comes to for which this is the reason (RFC 7208 §2.6, §4.3 to §4.6).
fn result_of(reason: &Reason) -> SpfResult {
    match reason {
        Reason::NotADomain | Reason::NoSuchName | Reason::NoTexts(_) | Reason::NoRecord => {
            SpfResult::None
        }
        Reason::Dns(_) | Reason::Asked(..) => SpfResult::TempError,
        Reason::NoTermMatched => SpfResult::Neutral,
        Reason::SeveralRecords
        | Reason::Syntax(_)
        | Reason::RedirectToNone
        | Reason::IncludeOfNone
        | Reason::TooManyMx(..)
        | Reason::TooManyLookups
        | Reason::TooManyVoidLookups
        | Reason::Term(..) => SpfResult::PermError,
    }
}

fn list(records: &[dns::Record]) -> Answer {
    let shown = records
        .iter()
        .take(SHOWN)
        .map(|record| match record {
            dns::Record::Address(address) => address.to_string(),
            dns::Record::Mx(preference, host) if host.is_empty() => format!("{preference} ."),
            dns::Record::Mx(preference, host) => format!("{preference} {host}"),
            dns::Record::Txt(text) => String::from_utf8_lossy(text).into_owned(),
            dns::Record::Name(name) => name.clone(),
            dns::Record::Soa(..) | dns::Record::Tlsa(..) => String::new(),
        })
        .collect();
    Answer::Records(shown, records.len().saturating_sub(SHOWN))
}

// RFC 7208 §4.3: an initial domain has several labels and is no address literal.
fn is_checkable(domain: &str) -> bool {
    is_name(domain) && domain.contains('.') && !domain.starts_with('[') && domain.is_ascii()
}

fn is_within(name: &str, domain: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len().checked_sub(domain.len()).and_then(|start| name.split_at_checked(start)).is_some_and(
        |(before, end)| {
            end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
        },
    )
}
