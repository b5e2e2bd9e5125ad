//! Key records, as the DNS holds them (RFC 6376 §3.6.1, RFC 8463 §4).

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ED25519, ParsedPublicKey, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
};
use puerto_smtp::base64;

use super::Algorithm;
use super::tags::{TagError, Tags, shown};

/// Why a TXT record is not a key to verify with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The list of tags is malformed.
    #[error("the key record is malformed: {0}")]
    Malformed(TagError),
    /// `v=` is there and is not DKIM1 in the first place.
    #[error("the key record's v= is not DKIM1 in the first place")]
    Version,
    /// The tag `p=`, which holds the key, is missing.
    #[error("the key record has no p=")]
    NoKey,
    /// `p=` is empty: the key counts no more (RFC 6376 §3.6.1).
    #[error("the key has been revoked: p= is empty")]
    Revoked,
    /// `k=` names a kind of key that nobody here knows.
    #[error("the key record's k={0} is unknown")]
    UnknownKind(String),
    /// `p=` does not hold a key of that kind.
    #[error("the key record's p= does not hold a valid {0} key")]
    BadKey(&'static str),
    /// An RSA key of less than 1024 bits.
    #[error("the RSA key has {0} bits: at least 1024 are needed, 2048 recommended")]
    TooShort(usize),
    /// The key does not serve mail: `s=`.
    #[error("the key record's s= does not allow email")]
    NotForEmail,
}

/// The public key of a record.
#[derive(Debug)]
pub struct PublicKey {
    key: ParsedPublicKey,
    kind: &'static str,
    /// The bits of the key.
    pub bits: usize,
    /// Hashes that `h=` allows; empty: all.
    pub hashes: Vec<String>,
    /// `t=y`: the domain is only testing.
    pub testing: bool,
    /// `t=s`: `i=` must be in `d=` itself, not in a subdomain.
    pub strict: bool,
}

impl PublicKey {
    /// Reads the text of a TXT record, its strings joined (RFC 6376 §3.6.1).
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let tags = Tags::parse(text).map_err(RecordError::Malformed)?;
        if let Some(version) = tags.get("v")
            && (version != "DKIM1" || tags.first_name() != Some("v"))
        {
            return Err(RecordError::Version);
        }
        let encoded = tags.get("p").ok_or(RecordError::NoKey)?;
        if encoded.is_empty() {
            return Err(RecordError::Revoked);
        }
        let list = |name: &str| -> Vec<String> {
            let values = tags.get(name).unwrap_or_default().split(':');
            values.map(|v| v.trim().to_ascii_lowercase()).filter(|v| !v.is_empty()).collect()
        };
        let services = list("s");
        if !services.is_empty() && !services.iter().any(|s| s == "*" || s == "email") {
            return Err(RecordError::NotForEmail);
        }
        let octets = base64::decode(encoded.as_bytes());
        let (key, kind, bits) = read_key(tags.get("k").unwrap_or("rsa"), octets)?;
        let flags = list("t");
        Ok(Self {
            key,
            kind,
            bits,
            hashes: list("h"),
            testing: flags.iter().any(|flag| flag == "y"),
            strict: flags.iter().any(|flag| flag == "s"),
        })
    }

    /// What `k=` calls it: `rsa` or `ed25519`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether a signature of this algorithm can be checked with it.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha1 => "rsa",
            Algorithm::Ed25519Sha256 => "ed25519",
        };
        self.kind == kind
    }

    /// Whether `signature` was made over `octets` with the private half.
    pub(super) fn verifies(&self, octets: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            "rsa" => self.key.verify_sig(octets, signature).is_ok(),
            _ => {
                let digest = digest::digest(&digest::SHA256, octets);
                self.key.verify_sig(digest.as_ref(), signature).is_ok()
            }
        }
    }
}

fn read_key(
    kind: &str,
    octets: Option<Vec<u8>>,
) -> Result<(ParsedPublicKey, &'static str, usize), RecordError> {
    match kind {
        "rsa" => {
            let octets = octets.ok_or(RecordError::BadKey("RSA"))?;
            let algorithm = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
            let bits = rsa_bits(&octets).ok_or(RecordError::BadKey("RSA"))?;
            // RFC 8301 §3.2: signatures with less are not to be considered valid.
            if bits < 1024 {
                return Err(RecordError::TooShort(bits));
            }
            let key =
                ParsedPublicKey::new(algorithm, &octets).map_err(|_| RecordError::BadKey("RSA"))?;
            Ok((key, "rsa", bits))
        }
        "ed25519" => {
            let octets = octets.filter(|o| o.len() == 32).ok_or(RecordError::BadKey("Ed25519"))?;
            let key = ParsedPublicKey::new(&ED25519, &octets)
                .map_err(|_| RecordError::BadKey("Ed25519"))?;
            Ok((key, "ed25519", 256))
        }
        other => Err(RecordError::UnknownKind(shown(other))),
    }
}

// Both forms that are met in `p=` are measured: SubjectPublicKeyInfo, as the RFC
// shows, and the bare RSAPublicKey, as its text says.
fn rsa_bits(octets: &[u8]) -> Option<usize> {
    const ALGORITHM: &[u8] =
        &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bare = match memchr::memmem::find(octets, ALGORITHM) {
        None => octets,
        Some(at) => {
            let rest = octets.get(at + ALGORITHM.len()..)?.strip_prefix(&[0x03])?;
            let length_octets = match rest.first()? {
                0x81 => 2,
                0x82 => 3,
                _ => 1,
            };
            rest.get(length_octets..)?.strip_prefix(&[0x00])?
        }
    };
    let bits = aws_lc_rs::signature::RsaParameters::public_modulus_len(bare).ok()?;
    usize::try_from(bits).ok()
}
