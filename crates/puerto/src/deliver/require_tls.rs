//! Whom mail goes to that asks for REQUIRETLS (RFC 8689 §4.2.1): hosts that prove who they are,
//! by the word of the receiver, of DNSSEC or of the administrator.

use puerto_smtp::{EnhancedCode, ReversePath, TlsWish};

use super::Job;
use super::outcome::{HostFailure, Why};
use crate::cause::Cause;
use crate::route::Plan;
use crate::transport::{Demand, Rule};

/// A host does not offer REQUIRETLS, or nobody vouches for it.
pub(super) const UNSUPPORTED: EnhancedCode = EnhancedCode { class: 5, subject: 7, detail: 30 };
/// A host that somebody vouches for has no TLS, or no certificate that proves that it is the one.
pub(super) const UNENCRYPTED: EnhancedCode = EnhancedCode { class: 5, subject: 7, detail: 10 };

/// Whether a message asks for REQUIRETLS at all.
pub(super) fn is_asked(job: &Job) -> bool {
    job.tls == TlsWish::Required
}

/// Whether it goes nowhere else: a notification would be lost, and goes also where REQUIRETLS
/// cannot be had (RFC 8689 §5).
pub(super) fn is_insisted_on(job: &Job) -> bool {
    is_asked(job) && job.reverse_path != ReversePath::Null
}

/// What is demanded of a host, so that it proves who it is; `None` where nothing would. Where its
/// name is beyond doubt, a certificate for that is enough.
pub(super) fn proving(rule: &Rule, plan: &Plan) -> Option<Rule> {
    match (&rule.demand, &rule.reason) {
        (Demand::Dane(_), _) | (Demand::Verified, Cause::StsEnforced { .. }) => Some(rule.clone()),
        (Demand::None, _) => None,
        _ if !plan.is_vouched => None,
        (Demand::Verified, _) => Some(rule.clone()),
        _ => Some(Rule { demand: Demand::Verified, reason: Cause::RequireTlsVouched {} }),
    }
}

/// Why a host is given up for good: one of which nobody but the message demands a certificate
/// does not get one while the mail waits. What breaks on the way there may be otherwise the next
/// time.
pub(super) fn unproved(rule: &Rule, failure: &HostFailure) -> Option<Cause> {
    if rule.reason != (Cause::RequireTlsVouched {}) {
        return None;
    }
    let why = match &failure.why {
        Why::NoTls => &failure.cause,
        Why::Handshake(why) if failure.is_uncertified => why,
        _ => return None,
    };
    let (host, why) = (failure.host.to_string(), Box::new(why.clone()));
    Some(Cause::RequireTlsUncertified { host, why })
}
