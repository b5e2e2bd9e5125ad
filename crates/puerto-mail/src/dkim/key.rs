//! Private keys as text, and the DNS records of their public halves.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use puerto_smtp::base64;

use super::Algorithm;
use super::short_rsa::ShortRsa;
use crate::dns::{character_strings, quoted};

/// Why a text is not a key to sign with. The messages say how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block is in it.
    #[error("no PEM block found: expected -----BEGIN PRIVATE KEY-----")]
    NotPem,
    /// The block holds something else.
    #[error("the PEM block holds a {0}: expected PRIVATE KEY (PKCS#8) or RSA PRIVATE KEY (PKCS#1)")]
    WrongKind(String),
    /// The base64 between the marks is damaged.
    #[error("the text between the PEM marks is not base64: the file is damaged")]
    BadBase64,
    /// The cryptographic library refuses it.
    #[error(
        "not a usable RSA key of at least 1024 bits or Ed25519 key ({0}): make one with `puerto \
         dkim new`"
    )]
    Rejected(String),
    /// A key could not be made.
    #[error("the system could not make a key")]
    Generation,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    ShortRsa(ShortRsa),
    Ed25519(Ed25519KeyPair),
}

/// A private key to sign with. Its contents are never shown.
pub struct PrivateKey(Pair);

impl PrivateKey {
    /// Reads a PEM text: PKCS#8, RSA or Ed25519, or the older PKCS#1 for RSA.
    ///
    /// RSA keys have 1024 bits (RFC 8301 §3.2) to 8192.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, der) = read_pem(text)?;
        match label {
            "PRIVATE KEY" => match Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
                Ok(pair) => Ok(Self(Pair::Ed25519(pair))),
                Err(_) => rsa(RsaKeyPair::from_pkcs8(&der), || ShortRsa::from_pkcs8(&der)),
            },
            "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(&der), || ShortRsa::from_pkcs1(&der)),
            other => Err(KeyError::WrongKind(other.chars().take(40).collect())),
        }
    }

    /// Makes a new key as PKCS#8 PEM: RSA of 2048 bits, or Ed25519.
    pub fn generate(algorithm: Algorithm) -> Result<String, KeyError> {
        match algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha1 => Self::generate_rsa(2048),
            Algorithm::Ed25519Sha256 => {
                let random = aws_lc_rs::rand::SystemRandom::new();
                let document = Ed25519KeyPair::generate_pkcs8v1(&random);
                let document = document.map_err(|_| KeyError::Generation)?;
                Ok(write_pem("PRIVATE KEY", document.as_ref()))
            }
        }
    }

    /// Makes a new RSA key as PKCS#8 PEM, of 2048, 3072 or 4096 bits. More would be of
    /// no use: receivers need not verify with them (RFC 8301 §3.2).
    pub fn generate_rsa(bits: u32) -> Result<String, KeyError> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return Err(KeyError::Generation),
        };
        let pair = RsaKeyPair::generate(size).map_err(|_| KeyError::Generation)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Generation)?;
        Ok(write_pem("PRIVATE KEY", der.as_ref()))
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::Rsa(_) | Pair::ShortRsa(_) => Algorithm::RsaSha256,
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The size of the key.
    pub fn bits(&self) -> usize {
        match &self.0 {
            Pair::Rsa(pair) => pair.public_modulus_len() * 8,
            Pair::ShortRsa(key) => key.bits(),
            Pair::Ed25519(_) => 256,
        }
    }

    /// The text of the DNS record to publish at `SELECTOR._domainkey.DOMAIN`:
    /// SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1), the bare key for Ed25519
    /// (RFC 8463 §4).
    pub fn record_text(&self) -> String {
        match &self.0 {
            Pair::Rsa(pair) => {
                let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
                // Encoding a key that was read cannot fail; an empty p= would say so.
                let der = der.map(|der| der.as_ref().to_vec()).unwrap_or_default();
                format!("v=DKIM1; k=rsa; p={}", base64::encode(&der))
            }
            Pair::ShortRsa(key) => {
                format!("v=DKIM1; k=rsa; p={}", base64::encode(&key.public_key()))
            }
            Pair::Ed25519(pair) => {
                let key = pair.public_key();
                format!("v=DKIM1; k=ed25519; p={}", base64::encode(key.as_ref()))
            }
        }
    }

    /// Signs octets: their SHA-256 is what the algorithm is applied to.
    pub(super) fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = aws_lc_rs::rand::SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature).ok()?;
                Some(signature)
            }
            Pair::ShortRsa(key) => key.sign(octets),
            Pair::Ed25519(pair) => {
                let digest = digest::digest(&digest::SHA256, octets);
                Some(pair.try_sign(digest.as_ref()).ok()?.as_ref().to_vec())
            }
        }
    }
}

// What one library refuses for its length the other may take; what neither takes is
// refused with the first one's reason.
fn rsa(
    long: Result<RsaKeyPair, aws_lc_rs::error::KeyRejected>,
    short: impl FnOnce() -> Option<ShortRsa>,
) -> Result<PrivateKey, KeyError> {
    match long {
        Ok(pair) => Ok(PrivateKey(Pair::Rsa(Box::new(pair)))),
        Err(error) => short()
            .map(|key| PrivateKey(Pair::ShortRsa(key)))
            .ok_or_else(|| KeyError::Rejected(error.to_string())),
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({}, {} bits)", self.algorithm(), self.bits())
    }
}

/// A record's text as a zone file writes it: character-strings in quotes, to be set between
/// parentheses when there is more than one.
pub fn zone_file_text(text: &str) -> String {
    character_strings(text).iter().map(|string| quoted(string)).collect::<Vec<_>>().join(" ")
}

fn read_pem(text: &str) -> Result<(&str, Vec<u8>), KeyError> {
    let (_, from_begin) = text.split_once("-----BEGIN ").ok_or(KeyError::NotPem)?;
    let (label, rest) = from_begin.split_once("-----").ok_or(KeyError::NotPem)?;
    let (body, _) = rest.split_once("-----END ").ok_or(KeyError::NotPem)?;
    // An encrypted PKCS#1 block has header lines of its own.
    if body.contains(':') {
        return Err(KeyError::WrongKind(format!("encrypted {label}")));
    }
    let der = base64::decode(body.as_bytes()).ok_or(KeyError::BadBase64)?;
    Ok((label, der))
}

fn write_pem(label: &str, der: &[u8]) -> String {
    let encoded = base64::encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}
