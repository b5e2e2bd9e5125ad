//! TLS as a client: one configuration for each policy, so that sessions resume.
//!
//! Opportunistic TLS takes any certificate: most MX hosts have one that says
//! nothing about the recipient's domain, and without TLS the mail would go in plain
//! text, so that verifying it would only turn encrypted mail into plain mail. So it is
//! with old certificates (X.509 v1, RSA keys of 1,024 bits) and signatures (SHA-1). It
//! protects against whoever listens and not against whoever interferes. The library knows
//! no TLS 1.0 or 1.1, no anonymous, DHE or CBC suites, no DSA or Ed448, and P-521 in TLS 1.3
//! alone: such a host gets plain text where that is allowed, and the log says why. Required
//! TLS verifies the certificate by the system's roots (or those that the
//! environment's SSL_CERT_FILE and SSL_CERT_DIR name) and the host's name. Where a
//! password is to be sent by opportunistic TLS, the certificate must verify or show
//! the key that the relay had before (`known`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::fault::{of_ours, tls_failure};
use super::{Acquaintance, CertificateFault, Dane, KnownKeys, legacy};
use crate::cause::Cause;

/// The client's side of TLS, for all connections of the process.
#[derive(Clone)]
pub struct ClientTls(Arc<Shared>);

struct Shared {
    any: OnceLock<Arc<ClientConfig>>,
    watched: OnceLock<Arc<ClientConfig>>,
    verifier: OnceLock<Arc<Verifier>>,
    verified: OnceLock<Arc<ClientConfig>>,
    known: Mutex<HashMap<Acquainted, Arc<ClientConfig>>>,
    /// Sessions are resumed without another look at the certificate: no two demands share
    /// any.
    dane: Mutex<HashMap<Arc<Dane>, Arc<ClientConfig>>>,
    keys: KnownKeys,
    extra_roots: Vec<CertificateDer<'static>>,
}

impl ClientTls {
    /// TLS that trusts the system's roots. They are read when a verified connection
    /// is first made.
    pub fn new() -> Self {
        Self::trusting(Vec::new())
    }

    /// TLS that trusts these roots too.
    pub fn trusting(extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self::with(extra_roots, KnownKeys::default())
    }

    /// The same, with the keys of relays that are known.
    #[must_use]
    pub fn knowing(&self, keys: KnownKeys) -> Self {
        Self::with(self.0.extra_roots.clone(), keys)
    }

    fn with(extra_roots: Vec<CertificateDer<'static>>, keys: KnownKeys) -> Self {
        Self(Arc::new(Shared {
            any: OnceLock::new(),
            watched: OnceLock::new(),
            verifier: OnceLock::new(),
            verified: OnceLock::new(),
            known: Mutex::default(),
            dane: Mutex::default(),
            keys,
            extra_roots,
        }))
    }

    /// The keys of relays that are known.
    pub fn keys(&self) -> &KnownKeys {
        &self.0.keys
    }

    /// A connector that takes any certificate.
    pub fn unverified(&self) -> Result<TlsConnector, Error> {
        let config = match self.0.any.get() {
            Some(config) => config,
            None => {
                let config = configuration(|provider| Judge::by(provider, Rule::Any))?;
                self.0.any.get_or_init(|| config)
            }
        };
        Ok(TlsConnector::from(Arc::clone(config)))
    }

    /// A connector that verifies the certificate and the host's name. The first call
    /// reads the system's roots from the disk.
    pub fn verified(&self) -> Result<TlsConnector, Error> {
        let config = match self.0.verified.get() {
            Some(config) => config,
            None => {
                let verifier = self.verifier()?;
                let config = configuration(|_provider| Ok(verifier))?;
                self.0.verified.get_or_init(|| config)
            }
        };
        Ok(TlsConnector::from(Arc::clone(config)))
    }

    /// A connector that takes any certificate, from a peer that proves that it holds the
    /// certificate's key: [`ClientTls::verdict`] then says what would have become of it.
    pub fn watched(&self) -> Result<TlsConnector, Error> {
        let config = match self.0.watched.get() {
            Some(config) => config,
            None => {
                let config = configuration(|provider| Judge::by(provider, Rule::Watched))?;
                self.0.watched.get_or_init(|| config)
            }
        };
        Ok(TlsConnector::from(Arc::clone(config)))
    }

    /// What a verified connection to a host of this name would have made of a chain, the
    /// host's own certificate first. It reads no roots: without [`ClientTls::has_roots`] nothing
    /// is known.
    pub fn verdict(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Option<Result<(), Cause>> {
        let (own, others) = chain.split_first()?;
        let verifier = self.0.verifier.get()?;
        let verified = verifier.verify_server_cert(own, others, name, &[], UnixTime::now());
        Some(verified.map(|_verified| ()).map_err(|error| match tls_failure(&error) {
            names @ Cause::CertificateFor { .. } => names,
            // With the chain more can be said of who vouches for it.
            _ => (&CertificateFault::of(&error, chain)).into(),
        }))
    }

    /// Reads the system's roots from the disk, at the first call.
    pub fn read_roots(&self) -> Result<(), Error> {
        self.verifier().map(drop)
    }

    fn verifier(&self) -> Result<Arc<Verifier>, Error> {
        if let Some(verifier) = self.0.verifier.get() {
            return Ok(Arc::clone(verifier));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let made = Verifier::new_with_extra_roots(self.0.extra_roots.clone(), provider)?;
        Ok(Arc::clone(self.0.verifier.get_or_init(|| Arc::new(made))))
    }

    /// A connector for sending a password: it takes a certificate that verifies, or the
    /// key that the relay had before, or, if the relay may be new, any from one that was
    /// never seen. Whoever has shaken hands notes the key in [`ClientTls::keys`]. The first
    /// call for a relay reads the system's roots from the disk.
    pub fn known(&self, relay: Acquainted) -> Result<TlsConnector, Error> {
        if let Some(config) = self.known_configurations().get(&relay) {
            return Ok(TlsConnector::from(Arc::clone(config)));
        }
        let (verifier, keys) = (self.verifier()?, self.0.keys.clone());
        let config = configuration(|provider| {
            Judge::by(provider, Rule::Known { verifier, keys, relay: relay.clone() })
        })?;
        self.known_configurations().insert(relay, Arc::clone(&config));
        Ok(TlsConnector::from(config))
    }

    /// A connector that takes a certificate which one of a host's TLSA records matches.
    pub fn dane(&self, dane: &Arc<Dane>) -> Result<TlsConnector, Error> {
        let mut kept = self.0.dane.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = kept.get(dane) {
            return Ok(TlsConnector::from(Arc::clone(config)));
        }
        // Hosts whose records change leave theirs behind.
        if kept.len() >= MOST_DANE {
            kept.clear();
        }
        let rule = Rule::Dane(Arc::clone(dane));
        let config = configuration(|provider| Judge::by(provider, rule))?;
        kept.insert(Arc::clone(dane), Arc::clone(&config));
        Ok(TlsConnector::from(config))
    }

    fn known_configurations(&self) -> MutexGuard<'_, HashMap<Acquainted, Arc<ClientConfig>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connector that takes any certificate, keeps it, and says what a verified
    /// connection would have made of it. It reads the system's roots from the disk.
    pub fn inspecting(
        &self,
        inspection: &Inspection,
        relay: Acquainted,
    ) -> Result<TlsConnector, Error> {
        let config = configuration(|provider| {
            let roots = self.0.extra_roots.clone();
            let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider));
            let verifier = verifier.map(Arc::new);
            let (keys, inspection) = (self.0.keys.clone(), inspection.clone());
            Judge::by(provider, Rule::Inspect { verifier, keys, relay, inspection })
        })?;
        Ok(TlsConnector::from(config))
    }

    /// Whether the system's roots have been read.
    pub fn has_roots(&self) -> bool {
        self.0.verifier.get().is_some()
    }

    /// Whether [`ClientTls::known`] has them for a relay.
    pub fn has_roots_for(&self, relay: &Acquainted) -> bool {
        self.known_configurations().contains_key(relay)
    }
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// A relay to which a password may be sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acquainted {
    /// The name under which its key is remembered.
    pub name: String,
    /// Whether a key that was never seen is taken under that name.
    pub may_be_new: bool,
}

/// Where a connector of [`ClientTls::inspecting`] puts what it saw.
#[derive(Debug, Clone, Default)]
pub struct Inspection(Arc<Mutex<Option<Inspected>>>);

/// The certificates of a peer and whether they would have been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// In DER, the peer's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why they would not.
    pub verdict: Result<(), CertificateFault>,
    /// Whether the relay's key is the one that it had.
    pub acquaintance: Acquaintance,
    /// Whether a key that was never seen would have been taken.
    pub may_be_new: bool,
}

impl Inspection {
    /// The same as [`Inspection::take`], left where it is.
    pub fn seen(&self) -> Option<Inspected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was seen in the last handshake; `None` if there was none.
    pub fn take(&self) -> Option<Inspected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn configuration(
    verifier: impl FnOnce(Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error>,
) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier(provider)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Demands of DANE whose sessions are kept at the same time.
const MOST_DANE: usize = 1_000;

/// How the library verifies a signature of one version of TLS.
type VerifySignature = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error>;

/// What is made of a peer's certificate.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// Any will do.
    Any,
    /// Any will do whose key the peer holds.
    Watched,
    /// It verifies, or has the key that the relay had, or the relay may be new and is.
    Known { verifier: Arc<Verifier>, keys: KnownKeys, relay: Acquainted },
    /// A TLSA record matches it.
    Dane(Arc<Dane>),
    /// Any will do, and it is written down what would have been made of it.
    Inspect {
        verifier: Result<Arc<Verifier>, Error>,
        keys: KnownKeys,
        relay: Acquainted,
        inspection: Inspection,
    },
}

impl Judge {
    fn by(provider: Arc<CryptoProvider>, rule: Rule) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        Ok(Arc::new(Self { provider, rule }))
    }

    // Where any certificate is taken, that the peer holds its key proves nothing: whoever
    // interferes has one of their own. Where the key is what counts, it does, whatever
    // certificate the key is in.
    fn judge_signature(
        &self,
        verify: VerifySignature,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if matches!(self.rule, Rule::Any) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify(message, certificate, signed, algorithms).or_else(|error| {
            let signature = (signed.scheme, signed.signature());
            match legacy::is_signed(algorithms, message, certificate, signature) {
                true => Ok(HandshakeSignatureValid::assertion()),
                false => Err(error),
            }
        })
    }
}

fn whole(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
    std::iter::once(own).chain(others).map(|one| one.clone().into_owned()).collect()
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |verifier: &Verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        match &self.rule {
            Rule::Any | Rule::Watched => {}
            Rule::Known { verifier, keys, relay } => {
                let Err(unverified) = verify(verifier) else {
                    return Ok(ServerCertVerified::assertion());
                };
                match keys.compare(&relay.name, end_entity) {
                    Acquaintance::Same => {}
                    Acquaintance::New if relay.may_be_new => {}
                    Acquaintance::New => return Err(unverified),
                    Acquaintance::Changed => {
                        let changed = of_ours(Cause::CertificateChanged {});
                        return Err(Error::InvalidCertificate(CertificateError::Other(changed)));
                    }
                }
            }
            Rule::Dane(dane) => {
                let chain = whole(end_entity, intermediates);
                dane.matched(&chain, now, &self.provider.signature_verification_algorithms)?;
            }
            Rule::Inspect { verifier, keys, relay, inspection } => {
                let chain = whole(end_entity, intermediates);
                let verified = verifier.as_deref().map_err(Clone::clone).and_then(verify);
                let verdict = verified
                    .map(|_verified| ())
                    .map_err(|error| CertificateFault::of(&error, &chain));
                let acquaintance = keys.compare(&relay.name, end_entity);
                let may_be_new = relay.may_be_new;
                let mut seen = inspection.0.lock().unwrap_or_else(PoisonError::into_inner);
                *seen = Some(Inspected { chain, verdict, acquaintance, may_be_new });
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge_signature(verify_tls12_signature, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge_signature(verify_tls13_signature, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if matches!(self.rule, Rule::Any) {
            schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        }
        schemes
    }
}
