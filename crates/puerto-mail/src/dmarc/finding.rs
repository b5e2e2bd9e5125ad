//! What an evaluation finds on its way, as values. In English by `Display`; whoever speaks
//! to people knows their languages.

use super::{Alignment, Policy};
use crate::dns::DnsError;

/// What was found at a name, or concluded from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// From has an address literal, say, of which nothing can be asked.
    #[error("its domain is not a domain name")]
    NotADomain,
    /// Its tag `np` is for such domains (RFC 9989 §4.7).
    #[error("its domain does not exist: np applies")]
    DomainAbsent,

    /// A record, as it was found.
    #[error("{0}")]
    Record(String),
    /// There are no TXT records.
    #[error("no record")]
    Absent,
    /// There are some, and none is of DMARC.
    #[error("no record begins with v=DMARC1")]
    NoneBegins,
    /// There is more than one of DMARC (RFC 9989 §4.7).
    #[error("several records, so none counts")]
    Several,
    /// A text that was meant as a record, and that receivers do not read.
    #[error("the record is damaged, so it does not count: {0}")]
    Damaged(String),
    /// A record that asks for nothing (RFC 9989 §4.7).
    #[error("no valid policy and no rua, so it does not count: {0}")]
    AsksNothing(String),
    /// The DNS did not answer.
    #[error("{0}")]
    Dns(DnsError),

    /// The policy, the domain whose record says so, and whether it is being tried out.
    #[error("{0} by the record of {1}{test}", test = if *.2 { ", in test mode" } else { "" })]
    Policy(Policy, String, bool),
    /// There is no record at the domain, at its organizational domain or above.
    #[error("no record applies")]
    NoneApplies,
    /// The name for whose record the DNS did not answer.
    #[error("unknown: {0}: {1}")]
    Unknown(String, DnsError),
    /// Of a domain that SPF or DKIM looked at.
    #[error("{0}")]
    Alignment(Alignment),
}
