//! What is kept of a password, and how one is compared with it.

use std::io;
use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};

use super::Parameters;

/// What Argon2id takes: 19 MiB, twice over, as OWASP has it for a server that has to do it
/// for everybody who asks.
pub(super) const MEMORY: u32 = 19_456;
pub(super) const PASSES: u32 = 2;
/// How often SCRAM hashes: sixteen times what RFC 7677 §4 asks for, and as much as the
/// libraries of clients put up with. The client does it, not we; but who steals the file
/// has to do no more than this for each guess.
pub(super) const ITERATIONS: u32 = 65_536;

/// Octets of a salt.
pub(super) const SALT: usize = 16;
/// Octets of what is kept.
pub(super) const KEY: usize = 32;

/// Octets that nobody can guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(io::Error::other)?;
    Ok(octets)
}

/// A password in its normal form (RFC 4013), in which two keyboards agree; one that has none
/// stays as it is.
fn prepared(password: &[u8]) -> Vec<u8> {
    let normal =
        std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    normal.map_or_else(|| password.to_vec(), |text| text.as_bytes().to_vec())
}

/// Argon2id of a password.
pub(super) fn argon2id(
    password: &[u8],
    salt: &[u8],
    (memory, passes): (u32, u32),
) -> Result<[u8; KEY], String> {
    #[cfg(test)]
    tests::COMPUTED.set(tests::COMPUTED.get() + 1);
    let mut out = [0; KEY];
    let params = Params::new(memory, passes, 1, Some(KEY)).map_err(|error| error.to_string())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&prepared(password), salt, &mut out)
        .map_err(|error| error.to_string())?;
    Ok(out)
}

/// As much work as judging a password is, for a name that is no account.
pub(super) fn waste(password: &[u8]) -> Result<(), String> {
    argon2id(password, &[0; SALT], (MEMORY, PASSES)).map(drop)
}

/// What SCRAM asks of a name that is no account: always the same of the same name, as if it
/// were one.
pub(super) fn decoy(secret: &[u8], user: &str) -> Parameters {
    let tag = sign(secret, user.to_lowercase().as_bytes());
    Parameters { salt: tag.into_iter().take(SALT).collect(), iterations: ITERATIONS }
}

/// StoredKey and ServerKey (RFC 5802 §3).
pub(super) fn scram(password: &[u8], salt: &[u8], iterations: u32) -> (Vec<u8>, Vec<u8>) {
    let mut salted = [0; KEY];
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let password = prepared(password);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, &password, &mut salted);
    let stored = hash(&sign(&salted, b"Client Key"));
    (stored, sign(&salted, b"Server Key"))
}

/// Whether a proof is that of who knows the password (RFC 5802 §3).
pub(super) fn proves(stored_key: &[u8], proof: &[u8], message: &str) -> bool {
    let signature = sign(stored_key, message.as_bytes());
    let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(p, s)| p ^ s).collect();
    proof.len() == signature.len() && are_equal(&hash(&client_key), stored_key)
}

/// HMAC-SHA-256.
pub(super) fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn hash(octets: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, octets).as_ref().to_vec()
}

/// Whether they are, found out in the same time whether they are or not.
pub(super) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use puerto_smtp::base64;

    use super::*;

    thread_local! {
        /// How often a password was hashed on this thread.
        pub(in crate::accounts) static COMPUTED: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn the_exchange_of_rfc_7677_section_3() {
        let salt = base64::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (stored, server) = scram(b"pencil", &salt, 4096);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,\
             i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = base64::decode(b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        assert!(proves(&stored, &proof, message));
        let signature = base64::encode(&sign(&server, message.as_bytes()));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for other in [&proof[..31], &[proof.clone(), vec![0]].concat(), &[0; 32], &[]] {
            assert!(!proves(&stored, other, message));
        }
        assert!(!proves(&stored, &proof, &message.replace("n=user", "n=root")));
    }

    #[test]
    fn passwords_are_compared_in_their_normal_form() {
        let key = |password: &[u8]| scram(password, b"salt", 1);
        // One letter or two, by keyboard; a wide blank; a soft hyphen.
        assert_eq!(key("contraseña".as_bytes()), key("contrasen\u{303}a".as_bytes()));
        assert_eq!(key("a\u{a0}b".as_bytes()), key(b"a b"));
        assert_eq!(key("a\u{ad}b".as_bytes()), key(b"ab"));
        // What has no normal form is what it is.
        for odd in [&b"\xf1"[..], b"a\x07b", "\u{1fae8}".as_bytes()] {
            assert_ne!(key(odd), key(b""));
            assert_ne!(key(odd), key(b"ab"));
        }
        assert_ne!(key(b"Secret"), key(b"secret"));
    }
}
