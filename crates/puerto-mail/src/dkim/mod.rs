//! DomainKeys Identified Mail: signing and verifying (RFC 6376, RFC 8301, RFC 8463).
//!
//! The body is read once, in chunks of any size, however many signatures are made
//! or checked: [`BodyHasher`] is the only place that canonicalizes a body, and
//! [`sign`] takes its result. What is signed are the fields as they are stored, so
//! the header of [`crate::header`] is read, never rewritten. A signature never
//! carries `l=`: it would let anybody add to the body.

mod canonical;
mod key;
mod record;
mod short_rsa;
mod sign;
mod step;
mod tags;
mod verify;

pub use canonical::{BodyHash, BodyHasher, Canonicalization};
pub use key::{KeyError, PrivateKey, zone_file_text};
pub use record::{PublicKey, RecordError};
pub use sign::{SignError, SigningKey, SigningTime, sign};
pub use step::{Step, StepKind};
pub use tags::TagError;
pub use verify::{DkimResult, Verification, verify};

/// A signing algorithm, with its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA with SHA-256 (RFC 6376 §3.3.2).
    RsaSha256,
    /// Ed25519 with SHA-256 (RFC 8463).
    Ed25519Sha256,
    /// RSA with SHA-1: known, so that it can be named, and never accepted
    /// (RFC 8301 §3.1).
    RsaSha1,
}

impl Algorithm {
    /// As the `a=` tag writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
            Self::RsaSha1 => "rsa-sha1",
        }
    }

    /// The algorithm that an `a=` tag names, in any case; `None`: one that is not known.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::RsaSha256, Self::Ed25519Sha256, Self::RsaSha1]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
