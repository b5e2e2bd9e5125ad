//! Why a certificate was not taken, as values that people can be told.

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};

use super::Certificate;

/// Why a certificate is not good for a host (RFC 5280 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its time is over.
    Expired,
    /// Its time has not begun, or our clock is slow.
    NotYetValid,
    /// It is for other names.
    OtherName,
    /// It vouches for itself.
    SelfSigned,
    /// Nobody whom this machine trusts vouches for it: an authority of its own, or the
    /// peer left out a certificate in between.
    UntrustedIssuer,
    /// It does not verify, and its key is not the one that the host had before.
    Changed,
    /// Something else, in the library's words.
    Other(String),
}

impl CertificateFault {
    /// What an error of the verifier means for this chain, the peer's own certificate
    /// first.
    pub fn of(error: &Error, chain: &[CertificateDer<'_>]) -> Self {
        let Error::InvalidCertificate(error) = error else { return Self::Other(error.to_string()) };
        if matches!(error, CertificateError::Other(other) if other.0.is::<KeyChanged>()) {
            return Self::Changed;
        }
        let own = chain.first().and_then(|der| Certificate::parse(der));
        let vouches_for_itself = own.is_some_and(|own| own.is_self_issued);
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            // A certificate that may sign others is refused as a server's for that reason.
            CertificateError::UnknownIssuer | CertificateError::Other(_) if vouches_for_itself => {
                Self::SelfSigned
            }
            CertificateError::UnknownIssuer => Self::UntrustedIssuer,
            other => Self::Other(other.to_string()),
        }
    }

    /// Its name in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::OtherName => "other-name",
            Self::SelfSigned => "self-signed",
            Self::UntrustedIssuer => "untrusted-issuer",
            Self::Changed => "changed",
            Self::Other(_) => "other",
        }
    }
}

/// For the log.
impl std::fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => "the certificate is not valid yet",
            Self::OtherName => "the certificate is for another name",
            Self::SelfSigned => "the certificate is self-signed",
            Self::UntrustedIssuer => "the certificate's issuer is not trusted",
            Self::Changed => {
                "the certificate is not valid, and its key is not the one that this relay had \
                 before: no password is sent (relay-keys in state_dir has the key that is known)"
            }
            Self::Other(words) => words,
        })
    }
}

/// A host shows another key than before, and nobody vouches for it.
#[derive(Debug)]
pub(super) struct KeyChanged;

impl std::fmt::Display for KeyChanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        CertificateFault::Changed.fmt(f)
    }
}

impl std::error::Error for KeyChanged {}

/// The log's words for a handshake that failed.
pub fn handshake_failure(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) => {
            // The library writes the kind of each name around it.
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<String> = presented.iter().map(bare).collect();
            format!("the certificate is for {}", names.join(", "))
        }
        Some(refused @ Error::InvalidCertificate(_)) => {
            CertificateFault::of(refused, &[]).to_string()
        }
        _ => error.to_string(),
    }
}
