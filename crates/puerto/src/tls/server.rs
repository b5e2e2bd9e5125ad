//! Our certificate, offered by STARTTLS and on the port for implicit TLS.
//!
//! A reload puts another certificate in force for the sessions to come; those that
//! are under way keep theirs. If the new files are no good the old ones stay, since
//! a mail server that stops offering TLS is worse than one with last week's
//! certificate. Session tickets are made with a key that belongs to one loaded
//! certificate alone, so that none is ever honoured by another service.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::end_point;
use crate::config::TlsFiles;
use crate::lang::{Said, Text, quoted, said, said_of, system};
use crate::rights::{self, Place};

/// Octets of a PEM file that are read at most.
const MAX_PEM: u64 = 1024 * 1024;

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what is expected.
        what: Said,
    },
    /// Users other than the key's owner and group can get at the key.
    #[error(
        "{} has mode {mode:04o}: others can read or change the private key; run: chmod 0600 {}",
        path.display(), path.display()
    )]
    ExposedKey {
        /// The file.
        path: PathBuf,
        /// Its permission bits, which let others read it.
        mode: u32,
    },
    /// The certificate and the key do not belong together, or rustls cannot use them.
    #[error("the certificate {} cannot be used with the key {}: {error}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        error: rustls::Error,
    },
}

impl TlsError {
    /// The error for people.
    pub fn said(&self) -> Said {
        let words = |path: &Path| Said::words(path.display().to_string());
        match self {
            Self::Read { path, error } => said_of!(
                "cannot read {path}: {error}", "no se puede leer {path}: {error}";
                path = words(path), error = system(error)
            ),
            Self::Pem { path, what } => {
                said_of!("{path}: {what}", "{path}: {what}"; path = words(path), what = what)
            }
            Self::ExposedKey { path, mode } => said!(
                "{path} has mode {mode}: others can read or change the private key; run: chmod \
                 0600 {path}",
                "{path} tiene el modo {mode}: otros pueden leer o cambiar la clave privada; \
                 ejecute: chmod 0600 {path}";
                path = path.display(), mode = format!("{mode:04o}")
            ),
            Self::Mismatch { certificate, key, error } => said_of!(
                "the certificate {certificate} cannot be used with the key {key}: {error}",
                "el certificado {certificate} no se puede usar con la clave {key} ({error})";
                certificate = words(certificate), key = words(key), error = quoted(&error.to_string())
            ),
        }
    }
}

/// Our certificate in force, if any. Clones share it.
#[derive(Clone, Default)]
pub struct ServerTls(Arc<RwLock<Option<Acceptor>>>);

/// What makes handshakes with one certificate.
#[derive(Clone)]
pub struct Acceptor {
    /// What makes them.
    pub tls: TlsAcceptor,
    /// What the certificate is known by to logins that are bound to it (RFC 5929 §4.1), where
    /// its signature has such a hash.
    pub end_point: Option<Arc<[u8]>>,
}

impl ServerTls {
    /// Loads the files; with `None`, TLS is not offered.
    pub fn load(files: Option<&TlsFiles>) -> Result<Self, TlsError> {
        let tls = Self::default();
        tls.reload(files)?;
        Ok(tls)
    }

    /// Loads the files anew for the sessions to come. On an error, what was in
    /// force before stays.
    pub fn reload(&self, files: Option<&TlsFiles>) -> Result<(), TlsError> {
        let acceptor = files.map(|files| Pem::read(files)?.acceptor(files)).transpose()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// Loads what was read from the files, by whoever could.
    pub fn reload_from(&self, files: &TlsFiles, pem: &Pem) -> Result<(), TlsError> {
        let acceptor = pem.acceptor(files)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(acceptor);
        Ok(())
    }

    /// Whether TLS can be offered.
    pub fn is_available(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What accepts a handshake, if TLS can be offered.
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerTls(available: {})", self.is_available())
    }
}

/// What the two files hold, not yet looked at.
pub struct Pem {
    /// The certificate and those that lead to its authority.
    pub chain: Vec<u8>,
    /// The private key, in PEM.
    pub key: Vec<u8>,
}

impl Pem {
    /// Reads the files, with the rights of whoever calls.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = read(&open(&files.certificate)?, &files.certificate)?;
        let path = &files.key;
        let file = open(path)?;
        let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
        // A group of its own may read it, as Debian's ssl-cert does; nobody else.
        let mode = metadata.mode() & 0o7777;
        if mode & 0o027 != 0 {
            return Err(TlsError::ExposedKey { path: path.to_owned(), mode });
        }
        Ok(Self { chain, key: read(&file, path)? })
    }

    /// The certificates and the private key in it and nothing else, if they can be used.
    pub fn alone(self, files: &TlsFiles) -> Result<Self, TlsError> {
        let alone = Self {
            chain: blocks(&self.chain, |label| label == "CERTIFICATE"),
            key: blocks(&self.key, |label| label.ends_with("PRIVATE KEY")),
        };
        alone.acceptor(files)?;
        Ok(alone)
    }

    fn acceptor(&self, files: &TlsFiles) -> Result<Acceptor, TlsError> {
        let chain = certificates(&self.chain, &files.certificate)?;
        let end_point = chain.first().and_then(|leaf| end_point::of(leaf));
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| not_pem(&files.key, &error, KEY_EXPECTED))?;
        let mismatch = |error| TlsError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            error,
        };
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(mismatch)?
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .map_err(mismatch)?;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(mismatch)?;
        Ok(Acceptor { tls: TlsAcceptor::from(Arc::new(config)), end_point })
    }
}

// The blocks between BEGIN and END lines whose labels are wanted.
fn blocks(text: &[u8], is_wanted: fn(&str) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut inside = false;
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let word = String::from_utf8_lossy(line);
        let label = |begin: &str| {
            let rest = word.trim().strip_prefix(begin)?.strip_suffix("-----")?;
            Some(is_wanted(rest))
        };
        inside |= label("-----BEGIN ") == Some(true);
        if inside {
            out.extend_from_slice(line);
        }
        inside &= label("-----END ").is_none();
    }
    out
}

pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(&read(&open(path)?, path)?, path)
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| not_pem(path, &error, CHAIN_EXPECTED))?;
    if chain.is_empty() {
        return Err(not_pem(path, &pem::Error::NoItemsFound, CHAIN_EXPECTED));
    }
    Ok(chain)
}

const CHAIN_EXPECTED: Text =
    Text::new("a PEM certificate chain", "una cadena de certificados en formato PEM");
const KEY_EXPECTED: Text = Text::new(
    "a PEM private key without a passphrase",
    "una clave privada en formato PEM y sin contraseña",
);

/// Opens a regular file. Whoever may read more than others does it only where nobody else
/// could have put the file, so that no other secret is taken for a certificate.
fn open(path: &Path) -> Result<File, TlsError> {
    let place = Place::of(path).map_err(|error| unreadable(path, error))?;
    let file = place.open().map_err(|error| unreadable(path, error))?;
    if rights::is_privileged()
        && let Err(distrust) = place.is_safe_for(&file)
    {
        return Err(TlsError::Pem { path: path.to_owned(), what: distrust.said() });
    }
    Ok(file)
}

fn read(file: &File, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    file.take(MAX_PEM).read_to_end(&mut text).map_err(|error| unreadable(path, error))?;
    Ok(text)
}

fn unreadable(path: &Path, error: std::io::Error) -> TlsError {
    TlsError::Read { path: path.to_owned(), error }
}

fn not_pem(path: &Path, error: &pem::Error, expected: Text) -> TlsError {
    let what = match error {
        pem::Error::NoItemsFound => said_of!(
            "{expected} is expected, and there is none in it",
            "no contiene lo que debería: {expected}"; expected = Said::plain(expected)
        ),
        other => said_of!(
            "{expected} is expected: {error}", "no contiene lo que debería ({error}): {expected}";
            expected = Said::plain(expected), error = quoted(&other.to_string())
        ),
    };
    TlsError::Pem { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CERTIFICATE: &str = include_str!("../../tests/tls/localhost.pem");
    const KEY: &str = include_str!("../../tests/tls/localhost.key");
    const OTHER_KEY: &str = include_str!("../../tests/tls/other.key");

    fn files(directory: &Path, certificate: &str, key: &str, key_mode: u32) -> TlsFiles {
        let files = TlsFiles {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        let mode = std::fs::Permissions::from_mode(key_mode);
        std::fs::set_permissions(&files.key, mode).unwrap();
        files
    }

    #[test]
    fn files_that_are_no_good_are_refused_with_the_reason() {
        for (certificate, key, mode, expected) in [
            (CERTIFICATE, KEY, 0o600, None),
            (CERTIFICATE, KEY, 0o640, None),
            (CERTIFICATE, KEY, 0o644, Some("chmod 0600")),
            (CERTIFICATE, KEY, 0o660, Some("others can read or change")),
            (CERTIFICATE, OTHER_KEY, 0o600, Some("cannot be used with the key")),
            (CERTIFICATE, CERTIFICATE, 0o600, Some("a PEM private key without a passphrase")),
            (KEY, KEY, 0o600, Some("a PEM certificate chain is expected")),
            ("", KEY, 0o600, Some("there is none in it")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let result = ServerTls::load(Some(&files(directory.path(), certificate, key, mode)));
            let error = result.err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None),
                Some(part) => assert!(error.clone().unwrap().contains(part), "{error:?}"),
            }
        }
    }

    #[test]
    fn a_failed_reload_keeps_what_was_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let good = files(directory.path(), CERTIFICATE, KEY, 0o600);
        let tls = ServerTls::load(Some(&good)).unwrap();
        let missing = TlsFiles { key: directory.path().join("missing.pem"), ..good };
        let error = tls.reload(Some(&missing)).unwrap_err().to_string();
        assert!(error.contains("missing.pem"), "{error}");
        assert!(tls.is_available());
        tls.reload(None).unwrap();
        assert!(!tls.is_available());
        assert!(ServerTls::load(None).unwrap().acceptor().is_none());
    }
}
