//! Signatures by keys in certificates that the library does not read (X.509 v1) and by RSA
//! keys shorter than it takes. A certificate is only the wrapping of a key here: what is
//! proved is that the peer holds the key.

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    UnparsedPublicKey,
};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;

use super::Certificate;

/// The schemes by which a short RSA key can be checked: not those of TLS 1.3, for which
/// the cryptographic library has no such thing.
pub(super) const SCHEMES: [SignatureScheme; 2] =
    [SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PKCS1_SHA512];

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
    let short = match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        SignatureScheme::RSA_PKCS1_SHA512 => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        _ => return by_library,
    };
    by_library || UnparsedPublicKey::new(short, key).verify(message, signature).is_ok()
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
        let signature = include_bytes!("../../tests/tls/old.signature");
        let message = include_bytes!("../../tests/tls/old.pem");
        let scheme = SignatureScheme::RSA_PKCS1_SHA256;
        assert!(is_signed(algorithms, message, &old, (scheme, signature)));
        assert!(!is_signed(algorithms, b"another message", &old, (scheme, signature)));
        assert!(!is_signed(algorithms, message, &old, (scheme, b"")));
        assert!(!is_signed(algorithms, message, &other, (scheme, signature)));
        assert!(!is_signed(algorithms, message, b"no certificate", (scheme, signature)));
        for scheme in [SignatureScheme::RSA_PKCS1_SHA512, SignatureScheme::RSA_PSS_SHA256] {
            assert!(!is_signed(algorithms, message, &old, (scheme, signature)));
        }
    }
}
