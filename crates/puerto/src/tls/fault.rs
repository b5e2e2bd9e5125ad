//! Why a certificate was not taken, as values that people can be told.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};

use super::Certificate;
use crate::cause::Cause;

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
        if matches!(error, CertificateError::Other(other) if other.0.is::<Cause>()) {
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

impl From<&CertificateFault> for Cause {
    fn from(fault: &CertificateFault) -> Self {
        match fault {
            CertificateFault::Expired => Self::CertificateExpired {},
            CertificateFault::NotYetValid => Self::CertificateNotYetValid {},
            CertificateFault::OtherName => Self::CertificateOfOther {},
            CertificateFault::SelfSigned => Self::CertificateSelfSigned {},
            CertificateFault::UntrustedIssuer => Self::CertificateUntrusted {},
            CertificateFault::Changed => Self::CertificateChanged {},
            CertificateFault::Other(words) => Self::words(words),
        }
    }
}

/// Our own reason among the library's errors.
pub(super) fn of_ours(cause: Cause) -> OtherError {
    OtherError(Arc::new(cause))
}

/// Why a handshake failed.
pub fn handshake_failure(error: &std::io::Error) -> Cause {
    match error.get_ref().map(|inner| inner.downcast_ref::<Error>()) {
        Some(Some(error)) => tls_failure(error),
        // The library's own word for it, and not the system's.
        Some(None) if error.kind() == ErrorKind::UnexpectedEof => Cause::HandshakeBrokenOff {},
        _ => Cause::HandshakeSystem { error: error.into() },
    }
}

/// Whether a handshake failed for the peer's certificate. A clock that is wrong or roots that
/// cannot be read are ours.
pub fn is_certificates_fault(error: &std::io::Error) -> bool {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match of_tls {
        Some(Error::InvalidCertificate(why)) => !matches!(why, CertificateError::Other(_)),
        other => matches!(other, Some(Error::NoCertificatesPresented)),
    }
}

/// Why a session or a certificate was not taken. For what the library has no value of its
/// own, its words.
pub fn tls_failure(error: &Error) -> Cause {
    if let Error::Other(OtherError(inner)) = error
        && let Some(ours) = inner.downcast_ref::<Cause>()
    {
        return ours.clone();
    }
    match error {
        Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented, ..
        }) => {
            // The library writes the kind of each name around it.
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<String> = presented.iter().map(bare).collect();
            Cause::CertificateFor { names: names.join(", ") }
        }
        refused @ Error::InvalidCertificate(_) => (&CertificateFault::of(refused, &[])).into(),
        Error::AlertReceived(alert) => Cause::Alert { alert: format!("{alert:?}") },
        Error::InvalidMessage(kind) => Cause::NoTlsRecord { kind: format!("{kind:?}") },
        Error::PeerIncompatible(why) => Cause::PeerIncompatible { why: format!("{why:?}") },
        Error::PeerMisbehaved(why) => Cause::PeerMisbehaved { why: format!("{why:?}") },
        Error::NoCertificatesPresented => Cause::NoCertificate {},
        Error::DecryptError => Cause::Undecipherable {},
        Error::PeerSentOversizedRecord => Cause::OversizedRecord {},
        other => Cause::words(other.to_string()),
    }
}
