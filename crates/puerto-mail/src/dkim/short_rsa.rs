//! RSA keys of 1024 to 2047 bits.
//!
//! RFC 8301 §3.2 has signers use 1024 bits or more, and many domains still have such a
//! key, because a longer one does not fit into their DNS panel. aws-lc-rs signs with
//! 2048 bits and more only, so these few go through another library.

use aws_lc_rs::digest;
use aws_lc_rs::error::Unspecified;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::PublicKeyParts as _;
use rsa::{PrivateKey, PublicKey};

/// The DigestInfo that stands before a SHA-256 (RFC 8017 §9.2, note 1).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// A key that the library of the others refuses to sign with.
pub(super) struct ShortRsa(Box<PrivateKey>);

impl ShortRsa {
    /// Reads a key in PKCS#8, if it is an RSA key of a length that belongs here.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Self::of(PrivateKey::from_pkcs8_der(der).ok()?)
    }

    /// Reads a key in PKCS#1, `BEGIN RSA PRIVATE KEY`, under the same condition.
    pub(super) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        Self::of(PrivateKey::from_pkcs1_der(der).ok()?)
    }

    fn of(key: PrivateKey) -> Option<Self> {
        (1024..2048).contains(&key.n().bit_width()).then(|| Self(Box::new(key)))
    }

    /// How many bits its modulus has.
    pub(super) fn bits(&self) -> usize {
        self.0.n().bit_width() as usize
    }

    /// Its public half as SubjectPublicKeyInfo.
    pub(super) fn public_key(&self) -> Vec<u8> {
        let public = PublicKey::from(&*self.0).to_public_key_der();
        // Encoding a key that was read cannot fail; an empty p= would say so.
        public.map(|der| der.as_ref().to_vec()).unwrap_or_default()
    }

    /// Signs the SHA-256 of octets (RSASSA-PKCS1-v1_5), blinded.
    pub(super) fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let hash = digest::digest(&digest::SHA256, octets);
        let padding =
            Pkcs1v15Sign { hash_len: Some(hash.as_ref().len()), prefix: SHA256_PREFIX.into() };
        self.0.sign_with_rng(&mut SystemRandom, padding, hash.as_ref()).ok()
    }
}

/// The system's random numbers, for blinding.
struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Unspecified> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_ne_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Unspecified> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_ne_bytes(octets))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Unspecified> {
        aws_lc_rs::rand::fill(octets)
    }
}

impl TryCryptoRng for SystemRandom {}
