//! TLS on both sides, by rustls with aws-lc-rs: TLS 1.2 and 1.3 and nothing older.

pub mod certificate;
pub mod client;
mod dane;
mod end_point;
mod fault;
mod known;
mod legacy;
mod own;
pub mod server;

use rustls::{CommonState, ProtocolVersion};

use crate::lang::{Said, said};

pub use certificate::Certificate;
pub use client::{Acquainted, ClientTls, Inspected, Inspection};
pub use dane::{Dane, Tlsa, TlsaSet};
pub use fault::{CertificateFault, handshake_failure, is_certificates_fault, tls_failure};
pub use known::{Acquaintance, KnownKeys};
pub use own::OwnCertificate;
pub use server::{Acceptor, Pem, ServerTls, TlsError};

/// What both sides agreed on. Displayed as the log and `Received` fields have it:
/// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// By its name in the registry of the IANA.
    pub cipher: String,
}

impl Agreed {
    /// What a handshake that is over led to.
    pub fn of(session: &CommonState) -> Self {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLS",
        };
        let suite = session.negotiated_cipher_suite();
        let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        // rustls writes TLS13_ where the registry of the IANA has TLS_.
        let cipher = match cipher.strip_prefix("TLS13_") {
            Some(rest) => format!("TLS_{rest}"),
            None => cipher.to_owned(),
        };
        Self { version, cipher }
    }

    /// In both languages.
    pub fn said(&self) -> Said {
        said!(
            "{version} with cipher {cipher}", "{version} con el cifrado {cipher}";
            version = self.version, cipher = self.cipher
        )
    }
}

impl std::fmt::Display for Agreed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.said().fmt(f)
    }
}
