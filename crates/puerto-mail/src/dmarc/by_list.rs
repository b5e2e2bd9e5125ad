//! The old way (RFC 7489 §3.2, §6.6.3): the organizational domain is one label more
//! than the longest public suffix, by a list that people keep, and the policy is
//! that of the domain itself or else of its organizational domain.
//!
//! Receivers of both ways exist side by side for years, so a sender wants to be
//! judged alike by both. The list is compiled in, with its private part, as most
//! receivers of the old way use it.

use super::walk::Walker;
use super::{Authenticated, DmarcResult, Mode, Record};
use crate::dns::Dns;

/// What a receiver comes to that goes by the list of public suffixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByList {
    /// The organizational domain of From.
    pub organizational_domain: String,
    /// The domain whose record applies.
    pub policy_domain: Option<String>,
    /// What the message comes to by that record.
    pub result: DmarcResult,
}

/// The organizational domain by the list; of a public suffix, the suffix itself.
pub fn organizational_domain(domain: &str) -> &str {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    psl::domain_str(domain).filter(|found| !found.starts_with('.')).unwrap_or(domain)
}

/// Which of a record's modes holds for a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Spf,
    Dkim,
}

impl ByList {
    pub(super) fn new(from_domain: &str) -> Self {
        Self {
            organizational_domain: organizational_domain(from_domain).to_owned(),
            policy_domain: None,
            result: DmarcResult::None,
        }
    }

    pub(super) async fn evaluate<D: Dns>(
        &mut self,
        walker: &mut Walker<'_, D>,
        from_domain: &str,
        authenticated: &[(&Authenticated, Method)],
    ) {
        for domain in [from_domain.to_owned(), self.organizational_domain.clone()] {
            match walker.record_of(&domain).await {
                Ok(Some(record)) => {
                    let aligned = |one: &(&Authenticated, Method)| {
                        self.aligned(&record, from_domain, one.0, one.1)
                    };
                    let passes = authenticated.iter().any(aligned);
                    self.result = if passes { DmarcResult::Pass } else { DmarcResult::Fail };
                    self.policy_domain = Some(domain);
                    return;
                }
                Ok(None) => {}
                Err(_) => {
                    self.result = DmarcResult::TempError;
                    return;
                }
            }
        }
    }

    fn aligned(
        &self,
        record: &Record,
        from_domain: &str,
        authenticated: &Authenticated,
        method: Method,
    ) -> bool {
        let mode = match method {
            Method::Spf => record.spf_mode,
            Method::Dkim => record.dkim_mode,
        };
        let domain = super::canonical(&authenticated.domain);
        let same = domain == from_domain;
        let related = organizational_domain(&domain) == self.organizational_domain;
        authenticated.pass && (same || mode == Mode::Relaxed && related)
    }
}
