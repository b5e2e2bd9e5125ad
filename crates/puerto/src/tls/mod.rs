//! TLS on both sides, by rustls with aws-lc-rs: TLS 1.2 and 1.3 and nothing older.

pub mod certificate;
pub mod client;
mod fault;
mod known;
mod legacy;
mod own;
pub mod server;

use rustls::{ProtocolVersion, SupportedCipherSuite};

pub use certificate::Certificate;
pub use client::{Acquainted, ClientTls, Inspected, Inspection};
pub use fault::{CertificateFault, handshake_failure};
pub use known::{Acquaintance, KnownKeys};
pub use own::OwnCertificate;
pub use server::{Pem, ServerTls, TlsError};

/// What was agreed on, as the log and `Received` fields say it:
/// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`.
pub fn summary(version: Option<ProtocolVersion>, suite: Option<SupportedCipherSuite>) -> String {
    let version = match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    // rustls writes TLS13_ where the registry of the IANA has TLS_.
    match cipher.strip_prefix("TLS13_") {
        Some(rest) => format!("{version} with cipher TLS_{rest}"),
        None => format!("{version} with cipher {cipher}"),
    }
}
