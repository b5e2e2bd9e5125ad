//! Signatures by keys in certificates that the library does not read (X.509 v1) and by RSA
//! keys shorter than it takes. A certificate is only the wrapping of a key here: what is
//! proved is that the peer holds the key.

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    UnparsedPublicKey,
};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pss::VerifyingKey;
use rsa::sha2::{Sha256, Sha384};
use rsa::signature::Verifier as _;
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;

use super::Certificate;

/// Octets of the shortest RSA key that proves anything: 1,024 bits.
const SHORTEST_RSA: usize = 128;

/// Whether a message is signed by a certificate's key.
pub(super) fn is_signed(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &[u8],
    (scheme, signature): (SignatureScheme, &[u8]),
) -> bool {
    let Some(certificate) = Certificate::parse(certificate) else { return false };
    let Some((algorithm, key)) = certificate.key() else { return false };
    let fitting = algorithms.mapping.iter().filter(|(known, _)| *known == scheme);
    let by_library = fitting.flat_map(|(_, algorithms)| *algorithms).any(|verifier| {
        verifier.public_key_alg_id().as_ref() == algorithm
            && verifier.verify_signature(key, message, signature).is_ok()
    });
    by_library || signature.len() >= SHORTEST_RSA && is_short(scheme, key, message, signature)
}

// TLS 1.3 knows RSA by PSS alone, which the library does not check for
// short keys.
fn is_short(scheme: SignatureScheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let pkcs1 = |kind| UnparsedPublicKey::new(kind, key).verify(message, signature).is_ok();
    let pss = || {
        let key = rsa::PublicKey::from_pkcs1_der(key).ok()?;
        Some((key, rsa::pss::Signature::try_from(signature).ok()?))
    };
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => pkcs1(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PKCS1_SHA512 => pkcs1(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PSS_SHA256 => pss().is_some_and(|(key, signature)| {
            VerifyingKey::<Sha256>::new(key).verify(message, &signature).is_ok()
        }),
        SignatureScheme::RSA_PSS_SHA384 => pss().is_some_and(|(key, signature)| {
            VerifyingKey::<Sha384>::new(key).verify(message, &signature).is_ok()
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_short_key_in_an_old_certificate_signs_as_any_other() {
        let provider = aws_lc_rs::default_provider();
        let algorithms = &provider.signature_verification_algorithms;
        let pem = include_bytes!("../../tests/tls/old.pem");
        let old = CertificateDer::from_pem_slice(pem).unwrap();
        let pem = include_bytes!("../../tests/tls/mx.pem");
        let other = CertificateDer::from_pem_slice(pem).unwrap();
        let message = include_bytes!("../../tests/tls/old.pem");
        for (scheme, signature) in [
            (SignatureScheme::RSA_PKCS1_SHA256, include_bytes!("../../tests/tls/old.signature")),
            (SignatureScheme::RSA_PSS_SHA256, include_bytes!("../../tests/tls/old.pss")),
        ] {
            assert!(is_signed(algorithms, message, &old, (scheme, signature)), "{scheme:?}");
            assert!(!is_signed(algorithms, b"another message", &old, (scheme, signature)));
            assert!(!is_signed(algorithms, message, &old, (scheme, b"")));
            assert!(!is_signed(algorithms, message, &other, (scheme, signature)));
            assert!(!is_signed(algorithms, message, b"no certificate", (scheme, signature)));
            for another in [SignatureScheme::RSA_PKCS1_SHA512, SignatureScheme::RSA_PSS_SHA384] {
                assert!(!is_signed(algorithms, message, &old, (another, signature)));
            }
        }
    }
}
