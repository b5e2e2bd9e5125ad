//! What is demanded of TLS towards one host, and why: the one rule that the configuration,
//! DANE (RFC 7672) and MTA-STS (RFC 8461) come to.
//!
//! [`Rule::of`] is the whole table and pure; `dane` finds out what a host's TLSA records are,
//! `sts` what the policy of a domain is. DANE comes first: a policy never stands in for
//! records that do not match. TLSA records that could not be looked up are no answer, and
//! nobody goes on without one: the host is left out, and mail waits where none is left. A
//! policy that cannot be had is none, as RFC 8461 §3.3 has it: whoever can keep it away could
//! do so at the first message anyway.

pub mod dane;
pub mod fetch;
mod file;
pub mod memory;
pub mod results;
pub mod sts;

use std::sync::Arc;

use puerto_mail::dns::DnsError;

use crate::cause::Cause;
use crate::config::TlsLevel;
use crate::tls::Dane;

/// What is demanded of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Demand {
    /// No TLS, even if it is offered.
    None,
    /// TLS if it is offered, with whatever certificate; plain text where it fails.
    Opportunistic,
    /// The same, and it is told what a certificate that must verify would have come to: the
    /// receiver tries its policy out.
    Watched,
    /// TLS, with whatever certificate.
    Encrypted,
    /// TLS, with a certificate that verifies for the host's name.
    Verified,
    /// TLS, with a certificate that a TLSA record matches.
    Dane(Arc<Dane>),
}

impl Demand {
    /// What a level of the configuration demands.
    pub fn of_level(level: TlsLevel) -> Self {
        match level {
            TlsLevel::None => Self::None,
            TlsLevel::Opportunistic => Self::Opportunistic,
            TlsLevel::Required => Self::Verified,
        }
    }

    /// Whether the mail waits rather than goes in plain text.
    pub fn is_mandatory(&self) -> bool {
        matches!(self, Self::Encrypted | Self::Verified | Self::Dane(_))
    }

    /// Whether mail goes in plain text where TLS fails.
    pub fn may_be_plain(&self) -> bool {
        matches!(self, Self::Opportunistic | Self::Watched)
    }

    /// Why mail goes in plain text, by this demand.
    pub fn plain(&self, why: Cause) -> Cause {
        match self {
            Self::Watched => Cause::StsTestFailed { why: Box::new(why) },
            _ => why,
        }
    }
}

/// A demand with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What is demanded.
    pub demand: Demand,
    /// Why.
    pub reason: Cause,
}

/// What the TLSA records of a host come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// There are none, or nobody vouches for them or for the host's address.
    Absent,
    /// There are some with which a certificate is compared.
    Usable(Arc<Dane>),
    /// There are some, and none of a kind that a certificate can be compared with.
    Unusable,
    /// They could not be looked up.
    Unknown(DnsError),
}

/// What the MTA-STS policy of a domain says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// There is none.
    Absent,
    /// Mail goes to this host, by the pattern that names it, and over verified TLS alone.
    Enforced {
        /// The pattern.
        pattern: String,
    },
    /// No mail goes to this host.
    Excluded {
        /// Whose policy it is.
        domain: String,
    },
    /// The domain only tries its policy out.
    Testing {
        /// Whose policy it is.
        domain: String,
        /// The pattern that names the host.
        pattern: Option<String>,
    },
}

impl Rule {
    /// The rule of a level alone.
    pub fn of_level(level: TlsLevel) -> Self {
        let reason = match level {
            TlsLevel::None => Cause::WithoutTls {},
            TlsLevel::Opportunistic => Cause::Opportunistic {},
            TlsLevel::Required => Cause::TlsConfigured {},
        };
        Self { demand: Demand::of_level(level), reason }
    }

    /// The rule for a host; the error says why it may not be connected to. Who configures
    /// that there is no TLS means it: it is the way around a receiver whose records are
    /// broken. Otherwise the stricter holds.
    pub fn of(
        level: TlsLevel,
        host: &str,
        records: &Records,
        policy: &Policy,
    ) -> Result<Self, Cause> {
        let rule = |demand, reason| Ok(Self { demand, reason });
        let host = || host.to_owned();
        match (records, policy) {
            _ if level == TlsLevel::None => Ok(Self::of_level(level)),
            (Records::Unknown(error), _) => {
                Err(Cause::TlsaUnknown { host: host(), error: error.clone() })
            }
            (Records::Usable(dane), _) => {
                let records = dane.records.shown();
                rule(Demand::Dane(Arc::clone(dane)), Cause::DanePublished { records })
            }
            (_, Policy::Excluded { domain }) => {
                Err(Cause::StsExcludes { domain: domain.clone(), host: host() })
            }
            (_, Policy::Enforced { pattern }) => {
                rule(Demand::Verified, Cause::StsEnforced { pattern: pattern.clone() })
            }
            _ if level == TlsLevel::Required => Ok(Self::of_level(level)),
            (Records::Unusable, _) => rule(Demand::Encrypted, Cause::DaneUnusable {}),
            (Records::Absent, Policy::Testing { pattern: Some(_), .. }) => {
                rule(Demand::Watched, Cause::StsTesting {})
            }
            (Records::Absent, Policy::Testing { domain, pattern: None }) => {
                let why = Cause::StsExcludes { domain: domain.clone(), host: host() };
                rule(Demand::Opportunistic, Cause::StsTestFailed { why: Box::new(why) })
            }
            (Records::Absent, Policy::Absent) => Ok(Self::of_level(level)),
        }
    }
}

#[cfg(test)]
mod tests;
