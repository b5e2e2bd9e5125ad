//! What a certificate is known by to a login that is bound to it: `tls-server-end-point`
//! (RFC 5929 §4.1), a hash of the whole of it.
//!
//! Which hash is said by the signature under the certificate, which is its issuer's and has
//! nothing to do with the certificate's own key. Where the signature is not made over a hash
//! (Ed25519), the binding is not defined, and guessing one would be to agree with nobody.

use std::sync::Arc;

use aws_lc_rs::digest::{self, Algorithm, SHA224, SHA256, SHA384, SHA512};

use super::certificate::{OID, Reader, SEQUENCE};

/// Signatures by RSA, older and newer: 1.2.840.113549.1.1.
const RSA: [u8; 8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];
/// ECDSA with the hashes of SHA-2: 1.2.840.10045.4.3.
const ECDSA: [u8; 7] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];
/// ECDSA with SHA-1: 1.2.840.10045.4.1.
const ECDSA_SHA1: [u8; 7] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01];
/// The hashes of SHA-2 by themselves: 2.16.840.1.101.3.4.2.
const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// SHA-1 by itself: 1.3.14.3.2.26.
const SHA1: [u8; 5] = [0x2B, 0x0E, 0x03, 0x02, 0x1A];
/// `[0]`: the hash among the parameters of RSASSA-PSS.
const HASH: u8 = 0xA0;

/// The binding to a certificate in DER; `None` where there is none.
pub(super) fn of(certificate: &[u8]) -> Option<Arc<[u8]>> {
    let hash = signature_hash(certificate)?;
    Some(Arc::from(digest::digest(hash, certificate).as_ref()))
}

fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let mut certificate = Reader(Reader(certificate).take(SEQUENCE)?);
    certificate.take(SEQUENCE)?;
    let mut algorithm = Reader(certificate.take(SEQUENCE)?);
    let name = algorithm.take(OID)?;
    if name == ECDSA_SHA1 {
        return Some(&SHA256);
    }
    if let Some(rest) = name.strip_prefix(&ECDSA) {
        return of_sha2(rest, [1, 2, 3, 4]);
    }
    match name.strip_prefix(&RSA)? {
        // MD5 and SHA-1, in whose stead SHA-256 is taken (RFC 5929 §4.1).
        [4 | 5] => Some(&SHA256),
        [10] => of_pss(algorithm.take(SEQUENCE)?),
        rest => of_sha2(rest, [14, 11, 12, 13]),
    }
}

// The last arc of a name, where SHA-224, SHA-256, SHA-384 and SHA-512 have these.
fn of_sha2(rest: &[u8], arcs: [u8; 4]) -> Option<&'static Algorithm> {
    let [arc] = rest else { return None };
    let index = arcs.iter().position(|known| known == arc)?;
    [&SHA224, &SHA256, &SHA384, &SHA512].get(index).copied()
}

// RFC 4055 §3.1: a hash that is not said is SHA-1.
fn of_pss(parameters: &[u8]) -> Option<&'static Algorithm> {
    let Some((HASH, hash)) = Reader(parameters).next() else { return Some(&SHA256) };
    let name = Reader(Reader(hash).take(SEQUENCE)?).take(OID)?;
    match name.strip_prefix(&SHA2) {
        Some(rest) => of_sha2(rest, [4, 1, 2, 3]),
        None => (name == SHA1).then_some(&SHA256),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        [&[tag, u8::try_from(value.len()).unwrap()], &*value].concat()
    }

    /// As much of a certificate as is looked at, with this signature.
    fn signed(name: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = element(SEQUENCE, &[&element(OID, &[name]), parameters]);
        element(SEQUENCE, &[&element(SEQUENCE, &[b"what is signed"]), &algorithm, &[3, 1, 0]])
    }

    /// The parameters of PSS: the hash, if it is said, and a salt of 32 octets.
    fn pss(hash: Option<&[u8]>) -> Vec<u8> {
        let hash = hash
            .map(|name| element(HASH, &[&element(SEQUENCE, &[&element(OID, &[name]), &[5, 0]])]));
        element(SEQUENCE, &[&hash.unwrap_or_default(), &[0xA2, 3, 2, 1, 32]])
    }

    #[test]
    fn the_issuers_signature_says_by_which_hash_a_certificate_is_known() {
        let [null, none] = [&[5, 0][..], &[]];
        for (name, parameters, bits) in [
            (&[&RSA[..], &[4]].concat()[..], null.to_vec(), 256),
            (&[&RSA[..], &[5]].concat(), null.to_vec(), 256),
            (&[&RSA[..], &[11]].concat(), null.to_vec(), 256),
            (&[&RSA[..], &[12]].concat(), null.to_vec(), 384),
            (&[&RSA[..], &[13]].concat(), null.to_vec(), 512),
            (&[&RSA[..], &[14]].concat(), null.to_vec(), 224),
            (&[&RSA[..], &[10]].concat(), pss(Some(&[&SHA2[..], &[1]].concat())), 256),
            (&[&RSA[..], &[10]].concat(), pss(Some(&[&SHA2[..], &[2]].concat())), 384),
            (&[&RSA[..], &[10]].concat(), pss(Some(&SHA1)), 256),
            (&[&RSA[..], &[10]].concat(), pss(None), 256),
            (&ECDSA_SHA1, none.to_vec(), 256),
            (&[&ECDSA[..], &[2]].concat(), none.to_vec(), 256),
            (&[&ECDSA[..], &[3]].concat(), none.to_vec(), 384),
            (&[&ECDSA[..], &[4]].concat(), none.to_vec(), 512),
            // Ed25519, which has no hash; a hash that is newer than this; none at all.
            (&[0x2B, 0x65, 0x70], none.to_vec(), 0),
            (&[&RSA[..], &[10]].concat(), pss(Some(&[&SHA2[..], &[8]].concat())), 0),
            (&[&RSA[..], &[10]].concat(), none.to_vec(), 0),
            (&[&RSA[..], &[1]].concat(), null.to_vec(), 0),
            (&RSA, null.to_vec(), 0),
            (&[], none.to_vec(), 0),
        ] {
            let certificate = signed(name, &parameters);
            let bound = of(&certificate);
            assert_eq!(bound.as_ref().map_or(0, |hash| hash.len() * 8), bits, "{name:02X?}");
            if bits == 384 {
                assert_eq!(bound.unwrap()[..], *digest::digest(&SHA384, &certificate).as_ref());
            }
            for end in 0..certificate.len() {
                assert_eq!(of(&certificate[..end]), None, "{name:02X?}");
            }
        }
    }
}
