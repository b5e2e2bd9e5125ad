//! Where the database is, and how it is to be known for the right one.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Hindrance, SpoolError};

/// How to reach the database.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// The URL as people may see it: without a password.
    pub(super) shown: String,
}

/// What is known of the certificate that the server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Verified,
    Any,
}

fn wrong(what: impl Into<String>) -> SpoolError {
    SpoolError::Io(Hindrance::DatabaseUrl { what: what.into() })
}

impl Settings {
    /// Reads a URL as PostgreSQL's own programs take it. `sslmode` is `disable`, `prefer`,
    /// `require` or `verify-full`; without it, a server on another machine must show a
    /// certificate that is valid for its name.
    pub(super) fn read(url: &str, password_file: Option<&Path>) -> Result<Self, SpoolError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(wrong("it begins with postgres://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots) = (None, None);
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value)),
                _ => rest.push(pair),
            }
        }
        let rest = rest.join("&");
        // The library's words never quote the password.
        let mut config =
            Config::from_str(&format!("{base}?{rest}")).map_err(|error| wrong(quoted(&error)))?;
        if let Some(file) = password_file {
            config.password(password(file)?);
        }
        let (encryption, trust) = match (mode.as_deref(), is_near(&config)) {
            (Some("disable"), _) | (None, true) => (SslMode::Disable, Trust::Any),
            (Some("prefer"), _) => (SslMode::Prefer, Trust::Any),
            (Some("require"), _) => (SslMode::Require, Trust::Any),
            (Some("verify-full"), _) | (None, false) => (SslMode::Require, Trust::Verified),
            (Some(other), _) => {
                return Err(wrong(format!(
                    "sslmode is disable, prefer, require or verify-full, not {other}"
                )));
            }
        };
        config
            .ssl_mode(encryption)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("puerto")
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(SILENCE)
            .keepalives_interval(SILENCE / 2)
            .keepalives_retries(2)
            .tcp_user_timeout(SILENCE * 2);
        let shown = shown(&config);
        let needed = encryption != SslMode::Disable;
        let tls = MakeRustlsConnect::new(tls(trust, roots.as_deref(), needed)?);
        Ok(Self { config, tls, shown })
    }
}

/// How long one host may take to answer.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// After so long a silence a peer is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(5);

// A file's first line: editors put an end there.
fn password(file: &Path) -> Result<String, SpoolError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let (file, why) = (file.display().to_string(), Box::new(SpoolError::from(&error)));
        SpoolError::Io(Hindrance::Unusable { file, why })
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Whether every host is this machine.
fn is_near(config: &Config) -> bool {
    let near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    config.get_hosts().iter().all(near) && config.get_hostaddrs().iter().all(|a| a.is_loopback())
}

fn shown(config: &Config) -> String {
    let mut hosts = Vec::new();
    for (n, host) in config.get_hosts().iter().enumerate() {
        let ports = config.get_ports();
        let port = ports.get(n).or(ports.first()).filter(|port| **port != 5432);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        hosts.push(match host {
            Host::Tcp(name) => format!("{name}{port}"),
            Host::Unix(path) => format!("{}{port}", path.display()),
        });
    }
    let user = config.get_user().map_or_else(String::new, |user| format!("{user}@"));
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{user}{}/{name}", hosts.join(","))
}

fn tls(trust: Trust, roots: Option<&Path>, needed: bool) -> Result<ClientConfig, SpoolError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| wrong(error.to_string());
    let verifier: Arc<dyn ServerCertVerifier> = match (trust, roots) {
        (Trust::Any, _) => Arc::new(Unverified(Arc::clone(&provider))),
        (Trust::Verified, Some(file)) => {
            let unreadable = |error: rustls::pki_types::pem::Error| {
                wrong(format!("sslrootcert {}: {error}", file.display()))
            };
            let mut store = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                store.add(certificate.map_err(unreadable)?).map_err(failed)?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .build()
                .map_err(|error| wrong(format!("sslrootcert {}: {error}", file.display())))?
        }
        // The system's authorities are read where they are needed, and may be none.
        (Trust::Verified, None) if needed => Arc::new(
            rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(failed)?,
        ),
        (Trust::Verified, None) => Arc::new(Unverified(Arc::clone(&provider))),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Takes any certificate, for whoever said `require` or `prefer`: it keeps listeners out,
/// but not impostors.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A library's error in its own words, with what is behind it.
pub(super) fn quoted(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut words = error.to_string();
    let mut behind = std::error::Error::source(error);
    while let Some(error) = behind {
        words.push_str(": ");
        words.push_str(&error.to_string());
        behind = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Settings, SpoolError> {
        Settings::read(url, None)
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = read("postgres://puerto:s3cret@db1:5433,db2/mail?sslmode=require").unwrap();
        assert_eq!(settings.shown, "postgres://puerto@db1:5433,db2/mail");
        let Err(error) = read("postgres://puerto:s3cret@db1/mail?nonsense=1") else { panic!() };
        assert!(!error.to_string().contains("s3cret"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from a file\n").unwrap();
        let settings = Settings::read("postgres://puerto@db1/mail", Some(&file)).unwrap();
        assert_eq!(settings.config.get_password(), Some(&b"from a file"[..]));
        let absent = Settings::read("postgres://db1/mail", Some(Path::new("/nowhere")));
        assert!(absent.is_err());
    }

    #[test]
    fn a_server_elsewhere_is_verified_unless_told_otherwise() {
        for (url, expected) in [
            ("postgres://db1/mail", SslMode::Require),
            ("postgres://db1/mail?sslmode=prefer", SslMode::Prefer),
            ("postgres://127.0.0.1/mail", SslMode::Disable),
            ("postgres://localhost,db2/mail", SslMode::Require),
            ("postgres://127.0.0.1/mail?sslmode=verify-full", SslMode::Require),
            ("postgresql://u@/mail?host=/run/postgresql", SslMode::Disable),
        ] {
            assert_eq!(read(url).unwrap().config.get_ssl_mode(), expected, "{url}");
        }
        for url in ["mysql://db/x", "postgres://db/x?sslmode=verify-ca", "postgres://db:x/y"] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
