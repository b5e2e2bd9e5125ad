//! DMARC (RFC 9989): does what SPF and DKIM proved agree with the From field, and
//! what does the owner of that domain ask for if it does not?
//!
//! The results of SPF and DKIM come in as plain values ([`Authenticated`]), so that
//! this room knows neither. Organizational domains are found by walking up the DNS
//! tree; beside it [`ByList`] says what a receiver comes to that still goes by the
//! list of public suffixes, as RFC 7489 had it. A DNS that does not answer never
//! counts as a domain without a record.

mod by_list;
mod finding;
pub mod mend;
mod record;
mod walk;

use std::fmt;

use crate::dns::{Dns, RecordType, canonical, is_at_or_below};
use by_list::Method;
pub use by_list::{ByList, organizational_domain as organizational_domain_by_list};
pub use finding::Finding;
pub use record::{Mode, Policy, PublicSuffix, Record};
use walk::{Walk, Walker};

/// A domain that SPF or DKIM looked at, and whether it passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The domain of the reverse-path or HELO name, or a signature's `d=`; A-labels.
    pub domain: String,
    /// Whether SPF or the signature's verification passed.
    pub pass: bool,
}

impl Authenticated {
    /// A domain and whether it passed.
    pub fn new(domain: impl Into<String>, pass: bool) -> Self {
        Self { domain: domain.into(), pass }
    }
}

/// The result of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DmarcResult {
    /// No record applies, so nobody asks for anything.
    None,
    /// SPF or DKIM passed for an aligned domain.
    Pass,
    /// Neither SPF nor DKIM passed for an aligned domain.
    Fail,
    /// The DNS did not answer; ask again later.
    TempError,
    /// The From field has no domain that can be asked about.
    PermError,
}

impl DmarcResult {
    /// Its word in `Authentication-Results`, as IANA registered it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for DmarcResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an authenticated domain stands to that of From.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Alignment {
    /// It passed, and agrees with From as closely as the record asks.
    #[error("passed and is aligned with From")]
    Aligned,
    /// It passed for a domain that does not agree.
    #[error("passed, but is not aligned with From")]
    NotAligned,
    /// It did not pass, so whether it agrees does not matter.
    #[error("did not pass")]
    NotPassed,
    /// The DNS did not say what its organizational domain is.
    #[error("passed; the DNS did not say whether it is aligned")]
    Unknown,
}

/// The result and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// What the message came to.
    pub result: DmarcResult,
    /// The domain of the From field.
    pub from_domain: String,
    /// Its organizational domain, once found.
    pub organizational_domain: Option<String>,
    /// The domain whose record applies.
    pub policy_domain: Option<String>,
    /// The record of [`Self::policy_domain`].
    pub record: Option<Record>,
    /// What the record asks for mail of this From domain that fails.
    pub policy: Policy,
    /// What a receiver is to do with this message: [`Policy::None`] unless it
    /// failed; in test mode one step less than `policy`.
    pub disposition: Policy,
    /// The domain that SPF checked.
    pub spf: Option<(String, Alignment)>,
    /// The domains of the signatures, in the order in which they came.
    pub dkim: Vec<(String, Alignment)>,
    /// What the old way comes to.
    pub by_list: ByList,
    /// The name and the text of a DMARC record above or at From that is damaged, so that
    /// receivers pass it over.
    pub damaged: Option<(String, String)>,
    /// What was asked and concluded, in order.
    pub steps: Vec<Step>,
}

/// One thing that was asked or concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was looked at: `_dmarc.example.com`, `SPF example.com`.
    pub about: String,
    /// What was found or concluded.
    pub finding: Finding,
}

/// Evaluates a message whose From field holds one address at `from_domain`, which is
/// given in A-labels.
///
/// A message with several From domains is outside of DMARC (RFC 9989 §5); callers
/// refuse it or use the result of none.
pub async fn evaluate<D: Dns>(
    dns: &D,
    from_domain: &str,
    spf: Option<&Authenticated>,
    dkim: &[Authenticated],
) -> Evaluation {
    let from_domain = canonical(from_domain);
    let mut evaluation = Evaluation::new(&from_domain);
    if !walk::is_domain(&from_domain) {
        evaluation.result = DmarcResult::PermError;
        evaluation.by_list.result = DmarcResult::PermError;
        evaluation.note("From", Finding::NotADomain);
        return evaluation;
    }
    let mut walker = Walker::new(dns);
    let walk = walker.walk(&from_domain).await;
    evaluation.steps.append(&mut walker.steps);
    evaluation.damaged = walker.damaged.take();
    evaluation.find_policy(dns, &walk).await;
    if evaluation.record.is_some() {
        evaluation.align(&mut walker, spf, dkim).await;
        evaluation.conclude();
    }
    let authenticated = spf.map(|spf| (spf, Method::Spf));
    let authenticated: Vec<_> =
        authenticated.into_iter().chain(dkim.iter().map(|one| (one, Method::Dkim))).collect();
    evaluation.by_list.evaluate(&mut walker, &from_domain, &authenticated).await;
    evaluation
}

impl Evaluation {
    fn new(from_domain: &str) -> Self {
        Self {
            result: DmarcResult::None,
            from_domain: from_domain.to_owned(),
            organizational_domain: None,
            policy_domain: None,
            record: None,
            policy: Policy::None,
            disposition: Policy::None,
            spf: None,
            dkim: Vec::new(),
            by_list: ByList::new(from_domain),
            damaged: None,
            steps: Vec::new(),
        }
    }

    /// Whether receivers of the old way and of the new one see the domains, and so
    /// perhaps the message, differently. Without an answer of the DNS, they do not.
    pub fn ways_differ(&self) -> bool {
        let Some(organizational) = &self.organizational_domain else { return false };
        let known = [self.result, self.by_list.result]
            .into_iter()
            .all(|result| result != DmarcResult::TempError);
        let applies = self.policy_domain.is_some() || self.by_list.policy_domain.is_some();
        // Where domains must be the same, it does not matter whose they are.
        let strict = self.record.as_ref().is_some_and(|record| {
            record.spf_mode == Mode::Strict && record.dkim_mode == Mode::Strict
        });
        let same_domain = *organizational == self.by_list.organizational_domain;
        known && applies && (self.result != self.by_list.result || !same_domain && !strict)
    }

    fn note(&mut self, about: &str, finding: Finding) {
        self.steps.push(Step { about: about.to_owned(), finding });
    }

    // RFC 9989 §4.10.1: the domain's own record, then that of its organizational
    // domain, then that of its public suffix.
    async fn find_policy<D: Dns>(&mut self, dns: &D, walk: &Walk) {
        if let Some((name, error)) = &walk.error {
            // What lies below the failure is known: an own record decides all the same.
            if walk.record_at(&self.from_domain).is_none() {
                self.result = DmarcResult::TempError;
                self.note("policy", Finding::Unknown(name.clone(), error.clone()));
                return;
            }
        }
        let organizational = walk.organizational_domain();
        let found = walk
            .record_at(&self.from_domain)
            .or_else(|| walk.record_at(&organizational))
            .or_else(|| walk.public_suffix_record());
        if walk.error.is_none() {
            self.organizational_domain = Some(organizational);
        }
        let Some((domain, record)) = found else {
            self.note("policy", Finding::NoneApplies);
            return;
        };
        self.policy_domain = Some(domain.clone());
        self.policy = if *domain == self.from_domain {
            record.policy
        } else {
            self.inherited_policy(dns, record).await
        };
        self.note("policy", Finding::Policy(self.policy, domain.clone(), record.testing));
        self.record = Some(record.clone());
    }

    async fn inherited_policy<D: Dns>(&mut self, dns: &D, record: &Record) -> Policy {
        let policy = record.subdomain_policy.unwrap_or(record.policy);
        let Some(nonexistent_policy) = record.nonexistent_policy else { return policy };
        match dns.lookup(&self.from_domain, RecordType::A).await {
            Err(crate::dns::DnsError::NoSuchDomain) => {
                self.note("From", Finding::DomainAbsent);
                nonexistent_policy
            }
            _ => policy,
        }
    }

    async fn align<D: Dns>(
        &mut self,
        walker: &mut Walker<'_, D>,
        spf: Option<&Authenticated>,
        dkim: &[Authenticated],
    ) {
        let (spf_mode, dkim_mode) = match &self.record {
            Some(record) => (record.spf_mode, record.dkim_mode),
            None => return,
        };
        if let Some(spf) = spf {
            let alignment = self.alignment(walker, spf, spf_mode).await;
            self.note(&format!("SPF {}", spf.domain), Finding::Alignment(alignment));
            self.spf = Some((canonical(&spf.domain), alignment));
        }
        for signature in dkim {
            let alignment = self.alignment(walker, signature, dkim_mode).await;
            self.note(&format!("DKIM {}", signature.domain), Finding::Alignment(alignment));
            self.dkim.push((canonical(&signature.domain), alignment));
        }
    }

    async fn alignment<D: Dns>(
        &mut self,
        walker: &mut Walker<'_, D>,
        identifier: &Authenticated,
        mode: Mode,
    ) -> Alignment {
        let domain = canonical(&identifier.domain);
        if !identifier.pass {
            return Alignment::NotPassed;
        }
        if domain == self.from_domain {
            return Alignment::Aligned;
        }
        if mode == Mode::Strict {
            return Alignment::NotAligned;
        }
        let Some(organizational) = &self.organizational_domain else { return Alignment::Unknown };
        // A domain's organizational domain is at or above it: one outside the tree
        // of ours can have another only, and its owner's DNS need not be asked.
        if !is_at_or_below(&domain, organizational) {
            return Alignment::NotAligned;
        }
        let walk = walker.walk(&domain).await;
        self.steps.append(&mut walker.steps);
        match walk.error {
            Some(_) => Alignment::Unknown,
            None if walk.organizational_domain() == *organizational => Alignment::Aligned,
            None => Alignment::NotAligned,
        }
    }

    fn conclude(&mut self) {
        let mut alignments =
            self.spf.iter().chain(&self.dkim).map(|(_, alignment)| *alignment).collect::<Vec<_>>();
        alignments.dedup();
        self.result = if alignments.contains(&Alignment::Aligned) {
            DmarcResult::Pass
        } else if alignments.contains(&Alignment::Unknown) {
            DmarcResult::TempError
        } else {
            DmarcResult::Fail
        };
        let testing = self.record.as_ref().is_some_and(|record| record.testing);
        if self.result == DmarcResult::Fail {
            self.disposition = if testing { self.policy.relaxed() } else { self.policy };
        }
    }
}

/// What was asked and concluded, one line for each.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{}: {}", step.about, step.finding)?;
        }
        writeln!(f, "→ {}, disposition {}", self.result, self.disposition)
    }
}

#[cfg(test)]
mod tests;
