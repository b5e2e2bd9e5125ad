//! Our certificate as a client that verifies would see it, to be judged before one
//! does.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::dane::Tlsa;
use super::fault::of_ours;
use super::server::{ServerTls, TlsError, read_chain};
use crate::cause::Cause;
use crate::config::TlsFiles;

/// 1 January 9999: when every certificate has expired.
const END_OF_TIME: u64 = 253_370_764_800;

/// A certificate with its chain, which goes with its key.
#[derive(Debug)]
pub struct OwnCertificate {
    chain: Vec<CertificateDer<'static>>,
}

impl OwnCertificate {
    /// Loads the files as the daemon does.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        ServerTls::load(Some(files))?;
        Ok(Self { chain: read_chain(&files.certificate)? })
    }

    /// When it ends, in seconds since the epoch; `None` if that cannot be read.
    pub fn not_after(&self) -> Option<i64> {
        let (first, rest) = self.chain.split_first()?;
        let parsed = ParsedCertificate::try_from(first).ok()?;
        // The library tells the end of a certificate only when it has come. Validity
        // is looked at before trust, so that no roots are needed.
        let verdict = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &RootCertStore::empty(),
            rest,
            UnixTime::since_unix_epoch(Duration::from_secs(END_OF_TIME)),
            aws_lc_rs::default_provider().signature_verification_algorithms.all,
        );
        match verdict {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => i64::try_from(not_after.as_secs()).ok(),
            _ => None,
        }
    }

    /// Whether it names a host.
    pub fn names(&self, host: &str) -> bool {
        let Some(parsed) = self.chain.first().and_then(|c| ParsedCertificate::try_from(c).ok())
        else {
            return false;
        };
        let Ok(name) = ServerName::try_from(host.to_owned()) else { return false };
        verify_server_name(&parsed, &name).is_ok()
    }

    /// Whether clients that trust this system's authorities trust it for a host at a
    /// time, in seconds since the epoch. The error says why not. Reads the system's
    /// roots from the disk.
    pub fn is_trusted(&self, host: &str, now: i64) -> Result<(), Error> {
        let unnamed = || Error::Other(of_ours(Cause::UnverifiableName {}));
        let (first, rest) = self.chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| unnamed())?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        let verifier = Verifier::new(Arc::new(aws_lc_rs::default_provider()))?;
        verifier.verify_server_cert(first, rest, &name, &[], now).map(|_| ())
    }

    /// Whether it holds what a TLSA record is about.
    pub fn meets(&self, record: &Tlsa) -> bool {
        record.is_met(&self.chain)
    }

    /// The certificates, ours first, each with its public key where that can be read:
    /// what TLSA records are made of (RFC 6698 §2.1).
    pub fn chain(&self) -> impl Iterator<Item = (&[u8], Option<SubjectPublicKeyInfoDer<'static>>)> {
        self.chain.iter().map(|certificate| {
            let parsed = ParsedCertificate::try_from(certificate).ok();
            (certificate.as_ref(), parsed.map(|parsed| parsed.subject_public_key_info()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_tells_its_end_and_its_names() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls"));
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key.pem");
        std::fs::copy(folder.join("localhost.key"), &key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let files = TlsFiles { certificate: folder.join("localhost.pem"), key };
        let certificate = OwnCertificate::load(&files).unwrap();
        // Not After: Oct 31 07:26:53 2126 GMT.
        assert_eq!(certificate.not_after(), Some(4_949_105_213));
        assert!(certificate.names("mail.example.com") && certificate.names("LOCALHOST"));
        assert!(!certificate.names("example.com") && !certificate.names("not a name"));
        assert!(certificate.is_trusted("mail.example.com", 1_795_000_000).is_err());
        let (_, key) = certificate.chain().next().unwrap();
        assert!(key.is_some());
    }
}
