//! The steps of a check as values: what was seen at each, and what can be wrong there.
//! In English by `Display`, for `Authentication-Results`; whoever speaks to people knows
//! their languages.

use super::record::RecordError;
use super::tags::TagError;
use super::{Algorithm, DkimResult};
use crate::dns::DnsError;

/// What a step of the check looks at, in the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Whether the signature's tags can be read and are all there.
    Syntax,
    /// Whether anybody accepts the algorithm.
    Algorithm,
    /// The key record in the DNS.
    KeyRecord,
    /// Whether the body is the one that was signed.
    BodyHash,
    /// The signature over the header.
    HeaderHash,
}

/// One step of the check. What comes from the message or the DNS is shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// The tags are right; `d=` and `s=`.
    #[error("d={0} s={1}")]
    Signer(String, String),
    /// The algorithm is one that counts.
    #[error("{0}")]
    Algorithm(Algorithm),
    /// The kind of the key, its bits, and whether the domain is only testing.
    #[error("{0} key of {1} bits{test}", test = if *.2 { ", in test mode (t=y)" } else { "" })]
    Key(&'static str, usize, bool),
    /// How many records there are at the selector.
    #[error("{0} keys at the selector, of which any may count")]
    SeveralKeys(usize),
    /// How many octets the body has, canonicalized.
    #[error("{0} octets")]
    Body(u64),
    /// How many fields are signed.
    #[error("{0} fields")]
    Fields(usize),
    /// Of a signature that passes: how many octets `l=` covers, and of how many
    /// (RFC 6376 §8.2).
    #[error("l= covers {0} of {1} octets: anybody could have added the rest")]
    PartOfBody(u64, u64),

    /// Only so many signatures of one message are checked.
    #[error("only the first {0} signatures are checked")]
    NotChecked(usize),
    /// The list of tags cannot be read.
    #[error("{0}")]
    Tags(TagError),
    /// A tag that each signature has.
    #[error("the tag {0}= is missing")]
    Missing(&'static str),
    /// `v=` is not 1, the only version there is.
    #[error("v= is not 1")]
    Version,
    /// Whoever changed From would not be found out (RFC 6376 §5.4).
    #[error("h= does not cover From")]
    FromNotSigned,
    /// The value of `b=` or `bh=`.
    #[error("{0}= is not base64")]
    NotBase64(&'static str),
    /// `q=` names other ways to the key only.
    #[error("q= does not offer dns/txt")]
    Query,
    /// RFC 8301 §3.1: such a signature counts as none.
    #[error("rsa-sha1 proves nothing since RFC 8301: sign with rsa-sha256")]
    Sha1,
    /// `a=` names an algorithm that is not known: its value.
    #[error("the algorithm \"{0}\" is unknown")]
    UnknownAlgorithm(String),
    /// `c=` names a canonicalization that is not known: its value.
    #[error("c={0} is unknown")]
    UnknownForm(String),
    /// A tag, `d=` or `s=`, whose value the DNS cannot be asked for, and the value.
    #[error("{0}={1} is not a name")]
    NotAName(&'static str, String),
    /// The value of `l=`, `t=` or `x=`.
    #[error("\"{0}\" is not a number")]
    NotANumber(String),
    /// It would never have been valid.
    #[error("x= is before t=")]
    ExpiresBeforeSigned,
    /// By the clock of the receiver.
    #[error("the signature has expired (x=)")]
    Expired,
    /// By the same clock, with some minutes of grace.
    #[error("the signature was made in the future (t=): a clock is wrong")]
    InTheFuture,
    /// It is no identity at all.
    #[error("i= has no @")]
    NoIdentity,
    /// It must be in `d=` or below it (RFC 6376 §3.5).
    #[error("i= is not within d=")]
    ForeignIdentity,

    /// The name of the key, at which the DNS has none.
    #[error("no key at {0}: {1}")]
    NoKey(String, DnsError),
    /// The name of the key, for which the DNS did not answer.
    #[error("no answer for {0}: {1}")]
    NoAnswer(String, DnsError),
    /// The name of the key, and why the record there is none.
    #[error("{0}: {1}")]
    KeyRecord(String, RecordError),
    /// The kind of the key, and the algorithm that it does not serve.
    #[error("the key is for {0}, not {1}")]
    OtherKind(&'static str, Algorithm),
    /// `h=` of the key record names other hashes.
    #[error("the key record's h= does not allow sha256")]
    HashNotAllowed,
    /// `i=`, which must be in `d=` itself and is below it.
    #[error("the key record's t=s does not allow i={0}")]
    IdentityNotAllowed(String),

    /// `l=`, and how many octets the body has.
    #[error("l={0} is more than the body's {1} octets")]
    BodyTooShort(u64, u64),
    /// The hash of the body is not `bh=`.
    #[error("the body hash differs: the body was changed after it was signed")]
    BodyChanged,
    /// No key at the selector made this signature over this header.
    #[error(
        "the signature does not fit the header: a signed field was changed after it was signed, \
         or the published key is not the signer's"
    )]
    HeaderChanged,
}

impl Step {
    /// Which part of the check it belongs to.
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Signer(..)
            | Self::NotChecked(_)
            | Self::Tags(_)
            | Self::Missing(_)
            | Self::Version
            | Self::FromNotSigned
            | Self::NotBase64(_)
            | Self::Query
            | Self::UnknownForm(_)
            | Self::NotAName(..)
            | Self::NotANumber(_)
            | Self::ExpiresBeforeSigned
            | Self::Expired
            | Self::InTheFuture
            | Self::NoIdentity
            | Self::ForeignIdentity => StepKind::Syntax,
            Self::Algorithm(_) | Self::Sha1 | Self::UnknownAlgorithm(_) => StepKind::Algorithm,
            Self::Key(..)
            | Self::SeveralKeys(_)
            | Self::NoKey(..)
            | Self::NoAnswer(..)
            | Self::KeyRecord(..)
            | Self::OtherKind(..)
            | Self::HashNotAllowed
            | Self::IdentityNotAllowed(_) => StepKind::KeyRecord,
            Self::Body(_) | Self::PartOfBody(..) | Self::BodyTooShort(..) | Self::BodyChanged => {
                StepKind::BodyHash
            }
            Self::Fields(_) | Self::HeaderChanged => StepKind::HeaderHash,
        }
    }

    /// What the signature comes to by this step: a pass, as long as nothing is wrong.
    pub fn result(&self) -> DkimResult {
        match self {
            Self::Signer(..)
            | Self::Algorithm(_)
            | Self::Key(..)
            | Self::SeveralKeys(_)
            | Self::Body(_)
            | Self::Fields(_)
            | Self::PartOfBody(..) => DkimResult::Pass,
            Self::Sha1 => DkimResult::Policy,
            Self::NoAnswer(..) => DkimResult::TempError,
            Self::BodyTooShort(..) | Self::BodyChanged | Self::HeaderChanged => DkimResult::Fail,
            _ => DkimResult::PermError,
        }
    }

    /// Whether nothing is wrong at it.
    pub fn passed(&self) -> bool {
        self.result() == DkimResult::Pass
    }
}
