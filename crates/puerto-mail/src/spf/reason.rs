//! Why an evaluation came to what it did, as values. In English by `Display`, for logs
//! and `Authentication-Results`; whoever speaks to people knows their languages.

use crate::dns::DnsError;

/// Why a record or a term came to its result, where no term that matched says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It has one label, is an address literal or is not in A-labels (RFC 7208 §4.3).
    #[error("this is not a full domain name")]
    NotADomain,
    /// It or one of its labels is empty or too long (RFC 1035 §2.3.4).
    #[error("no such name can exist in the DNS")]
    NoSuchName,
    /// The domain has no TXT records at all.
    #[error("no SPF record: {0}")]
    NoTexts(DnsError),
    /// It has some, and none is of SPF.
    #[error("no TXT record begins with v=spf1")]
    NoRecord,
    /// More than one (RFC 7208 §4.5).
    #[error("several SPF records: receivers accept exactly one")]
    SeveralRecords,
    /// The DNS did not answer for the domain's record.
    #[error("{0}")]
    Dns(DnsError),
    /// The same for a name that a term asks about.
    #[error("{0}: {1}")]
    Asked(String, DnsError),
    /// The record cannot be read, so that none of it counts (RFC 7208 §4.6).
    #[error("{0}")]
    Syntax(SyntaxError),
    /// The terms were tried, and there is neither `all` nor `redirect`.
    #[error("no term matched")]
    NoTermMatched,
    /// `redirect` leads to a domain without a record (RFC 7208 §6.1).
    #[error("the target has no SPF record")]
    RedirectToNone,
    /// `include` does (RFC 7208 §5.2).
    #[error("the included domain has no SPF record")]
    IncludeOfNone,
    /// How many MX records a name has (RFC 7208 §4.6.4).
    #[error("{0} has {1} MX records, more than 10")]
    TooManyMx(String, usize),
    /// More terms than [`super::MAX_LOOKUPS`] would ask the DNS.
    #[error("more than 10 terms of the record and its includes ask the DNS")]
    TooManyLookups,
    /// More questions than [`super::MAX_VOID_LOOKUPS`] had an empty answer.
    #[error("more than 2 questions of the record and its includes lead nowhere")]
    TooManyVoidLookups,
    /// The term that could not be decided, and why.
    #[error("term `{0}`: {1}")]
    Term(String, Box<Reason>),
}

/// What is wrong with the text of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A record is in ASCII (RFC 7208 §3.1).
    #[error("the record holds characters outside ASCII")]
    NotAscii,
    /// The term as it is written, shortened, and what is wrong with it.
    #[error("term `{0}`: {1}")]
    Term(String, TermError),
}

/// What is wrong with a term; with the part of it that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// A tab or the like stands in it.
    #[error("terms are separated by spaces, not by control characters")]
    ControlCharacter,
    /// `redirect` or `exp` (RFC 7208 §6).
    #[error("{0}= may stand once only")]
    Twice(String),
    /// `all` is followed by something.
    #[error("`all` takes no value")]
    AllWithValue,
    /// A mechanism that is nothing without its value.
    #[error("`{0}` needs a colon and a value")]
    NoValue(String),
    /// Neither a mechanism nor a modifier.
    #[error("`{0}` is not a mechanism")]
    UnknownMechanism(String),
    /// What stands behind the slash is no number.
    #[error("`{0}` is not a prefix length")]
    NotAPrefix(String),
    /// The number behind the slash, and the largest that there is.
    #[error("`/{0}` is not a prefix length of 0 to {1}")]
    PrefixTooLong(String, u8),
    /// `ip4` has this value, which is no IPv4 address.
    #[error("`{0}` is not an IPv4 address")]
    NotIpv4(String),
    /// `ip6` has this value, which is no IPv6 address.
    #[error("`{0}` is not an IPv6 address")]
    NotIpv6(String),
    /// A `%` that begins nothing (RFC 7208 §7.1).
    #[error("% must be followed by {{, %, _ or -")]
    BarePercent,
    /// `%{` begins a macro that no `}` ends.
    #[error("a macro has no closing }}")]
    MacroNotClosed,
    /// `%{}`: there is no letter for what it stands for.
    #[error("a macro is empty")]
    MacroEmpty,
    /// A letter that the text of `exp=` alone may have (RFC 7208 §7.2).
    #[error("%{{{0}}} is allowed in an explanation only")]
    ExplanationMacro(char),
    /// A letter that stands for nothing.
    #[error("%{{{0}}} is not a macro")]
    UnknownMacro(char),
    /// `%{d0}` and its like, which would leave nothing of the name.
    #[error("a macro keeps zero parts")]
    ZeroParts,
    /// What stands where the delimiters do.
    #[error("`{0}` is not a list of macro delimiters")]
    BadDelimiters(String),
    /// Nothing stands where a domain does.
    #[error("a domain name is missing")]
    NoDomain,
    /// A domain of one label, or one that ends in a number.
    #[error("`{0}` does not end in a top-level domain")]
    NoTopLevel(String),
}
