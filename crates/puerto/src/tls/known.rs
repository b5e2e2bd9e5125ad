//! The keys of relays that a password was given to, as they were then.
//!
//! A password must not go to whoever answers. A certificate that verifies proves who
//! does; but many relays have one that vouches for itself, and an administrator who
//! asked for opportunistic TLS expects them to work. So the key that was seen at the
//! first login is remembered, as `ssh` does: whoever shows neither a certificate that
//! verifies nor that key gets no password.
//!
//! The file has a line for each host, `mail.example.org SHA256:…`, the hash of the
//! certificate's SubjectPublicKeyInfo, which outlives a renewal with the same key. It
//! is a file of its own in the state folder, and may be edited.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

use super::Certificate;
use crate::rights::{self, Identity, Place};

/// The file's name in the state folder.
const FILE: &str = "relay-keys";
/// Octets of the file that are read: hosts are few.
const LONGEST: u64 = 1024 * 1024;
const HEADER: &str = "# The keys of relays as they were when a password was first given to them.\n\
                      # Remove a host's line if its key was changed on purpose.\n";

/// What is known of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// It was never seen.
    New,
    /// It shows the key that it had.
    Same,
    /// It shows another key than it had: somebody may stand between.
    Changed,
}

/// The keys of hosts by their names. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct KnownKeys(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    // Without one they live as long as the process.
    file: Option<PathBuf>,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    by_host: BTreeMap<String, String>,
    unsaved: bool,
}

impl KnownKeys {
    /// Where the keys are in a state folder.
    pub fn file(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// The keys in a state folder, which are written there when one is added. Reads the
    /// file, if there is one.
    pub fn in_folder(state_dir: &Path) -> io::Result<Self> {
        let file = Self::file(state_dir);
        let by_host = read(&file, None)?;
        let keys = Mutex::new(Keys { by_host, unsaved: false });
        Ok(Self(Arc::new(Shared { file: Some(file), keys })))
    }

    /// The keys in a state folder of the service's user, to look at them only.
    pub fn to_look_at(state_dir: &Path, service: Option<&Identity>) -> io::Result<Self> {
        let by_host = read(&Self::file(state_dir), service)?;
        let keys = Mutex::new(Keys { by_host, unsaved: false });
        Ok(Self(Arc::new(Shared { file: None, keys })))
    }

    /// What is known of a host that shows this certificate. One whose key cannot be read
    /// counts as another.
    pub fn compare(&self, host: &str, certificate: &[u8]) -> Acquaintance {
        let Some(shown) = fingerprint(certificate) else { return Acquaintance::Changed };
        match self.keys().by_host.get(host) {
            None => Acquaintance::New,
            Some(known) if *known == shown => Acquaintance::Same,
            Some(_) => Acquaintance::Changed,
        }
    }

    /// Notes the key that a host shows now.
    pub fn remember(&self, host: &str, certificate: &[u8]) {
        let Some(shown) = fingerprint(certificate) else { return };
        let mut keys = self.keys();
        if keys.by_host.get(host) != Some(&shown) {
            keys.by_host.insert(host.to_owned(), shown);
            keys.unsaved = true;
        }
    }

    /// Whether there is something to save.
    pub fn is_unsaved(&self) -> bool {
        self.0.file.is_some() && self.keys().unsaved
    }

    /// Writes the file, whole or not at all. It blocks.
    pub fn save(&self) -> io::Result<()> {
        let Some(file) = &self.0.file else { return Ok(()) };
        // Held while writing, so that two writers do not overtake each other.
        let mut keys = self.keys();
        let mut text = HEADER.to_owned();
        for (host, key) in &keys.by_host {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{host} {key}");
        }
        Place::of(file)?.replace(text.as_bytes(), 0o600)?;
        keys.unsaved = false;
        Ok(())
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(file: &Path, service: Option<&Identity>) -> io::Result<BTreeMap<String, String>> {
    let text = match rights::read_bounded(file, service, LONGEST) {
        Ok(octets) => String::from_utf8_lossy(&octets).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.trim().split_once(' '));
    Ok(pairs.map(|(host, key)| (host.to_owned(), key.trim().to_owned())).collect())
}

/// `SHA256:` and the hash of a certificate's key in hexadecimal digits.
fn fingerprint(certificate: &[u8]) -> Option<String> {
    let key = Certificate::parse(certificate)?.public_key;
    let mut text = "SHA256:".to_owned();
    for octet in digest::digest(&digest::SHA256, &key).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn certificate(pem: &[u8]) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem).unwrap()
    }

    #[test]
    fn a_key_is_known_again_after_a_restart_and_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let relay = certificate(include_bytes!("../../tests/tls/mx.pem"));
        let other = certificate(include_bytes!("../../tests/tls/ca.pem"));
        let known = KnownKeys::in_folder(folder.path()).unwrap();
        assert_eq!(known.compare("relay.example", &relay), Acquaintance::New);
        known.remember("relay.example", &relay);
        assert!(known.is_unsaved());
        known.save().unwrap();
        assert!(!known.is_unsaved());
        let known = KnownKeys::in_folder(folder.path()).unwrap();
        assert_eq!(known.compare("relay.example", &relay), Acquaintance::Same);
        assert_eq!(known.compare("relay.example", &other), Acquaintance::Changed);
        assert_eq!(known.compare("relay.example", b"no certificate"), Acquaintance::Changed);
        assert_eq!(known.compare("another.example", &other), Acquaintance::New);
        // Whoever only looks writes nothing.
        let looking = KnownKeys::to_look_at(folder.path(), None).unwrap();
        looking.remember("another.example", &other);
        assert!(!looking.is_unsaved());
        looking.save().unwrap();
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.starts_with('#') && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn a_file_that_is_damaged_forgets_what_is_damaged_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let relay = certificate(include_bytes!("../../tests/tls/mx.pem"));
        let key = fingerprint(&relay).unwrap();
        let text = format!("\u{0}\u{1}\nhalf\n  relay.example   {key} \nother.example SHA256:");
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let known = KnownKeys::in_folder(folder.path()).unwrap();
        assert_eq!(known.compare("relay.example", &relay), Acquaintance::Same);
        assert_eq!(known.compare("half", &relay), Acquaintance::New);
        // A key that was cut is no key: nobody passes for it.
        assert_eq!(known.compare("other.example", &relay), Acquaintance::Changed);
    }
}
