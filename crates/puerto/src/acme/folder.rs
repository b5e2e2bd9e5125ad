//! What is kept on the disk.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::roll::Roll;
use crate::cause::Cause;
use crate::config::{Acme, TlsFiles};
use crate::rights::{self, Identity, Place};
use crate::tls::ServerTls;

/// Octets of a file at most.
const MOST: u64 = 1024 * 1024;
const STANDING: &str = "standing.json";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// A certificate whose key is not in force yet.
const NEW_CERTIFICATE: &str = "new-certificate.pem";
/// The key that comes next.
const NEXT_KEY: &str = "next-key.pem";

/// The folder of one server.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// How things stand, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The authority from which the certificate is.
    pub directory: Option<String>,
    /// When a certificate was last asked for, in seconds since the epoch.
    pub tried: Option<i64>,
    /// How often one was asked for at all.
    pub attempts: u64,
    /// How often that failed since it last did not.
    pub failures: u32,
    /// Not to be asked for before this.
    pub not_before: Option<i64>,
    /// Why there is none.
    pub trouble: Option<Trouble>,
    /// Between which times the authority wants to be asked for the next (RFC 9773).
    pub window: Option<(i64, i64)>,
    /// When it was last asked about that.
    pub window_asked: Option<i64>,
    /// Names that have no address in the DNS, and without which a certificate is asked for.
    pub unresolved: Vec<String>,
    /// How long the next key waits, if there is one that has to.
    pub roll: Option<Roll>,
}

/// What went wrong, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The cause, for this version and later ones.
    pub kept: String,
    /// Its words.
    pub text: String,
}

impl Trouble {
    /// What is kept of a cause.
    pub fn of(cause: &Cause) -> Self {
        Self { kept: cause.kept(), text: cause.text().into_owned() }
    }

    /// The cause.
    pub fn cause(&self) -> Cause {
        Cause::of_kept(&self.kept, &self.text)
    }
}

impl Folder {
    /// The folder of a server with this state folder.
    pub fn of(state_dir: &Path) -> Self {
        Self(Acme::folder(state_dir))
    }

    /// Makes it where it is missing, for its owner alone.
    pub(super) fn prepare(&self) -> io::Result<()> {
        Place::making_way(&self.0, 0o700)?.new_folder(0o700).map(drop)
    }

    /// How things stand. Whoever only looks says whose the folder is.
    pub fn standing(&self, service: Option<&Identity>) -> io::Result<Standing> {
        let text = self.read(STANDING, service)?;
        // One that is damaged is begun again.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    pub(super) fn keep_standing(&self, standing: &Standing) -> io::Result<()> {
        self.write(STANDING, &serde_json::to_string_pretty(standing)?)
    }

    /// The account with an authority, as it was kept.
    pub(super) fn account(&self, directory: &str) -> io::Result<Option<String>> {
        self.read(&account_file(directory), None)
    }

    pub(super) fn keep_account(&self, directory: &str, account: &str) -> io::Result<()> {
        self.write(&account_file(directory), account)
    }

    /// Forgets an account that its authority does not know.
    pub(super) fn forget_account(&self, directory: &str) {
        let _ = std::fs::remove_file(self.0.join(account_file(directory)));
    }

    /// The key in force.
    pub(super) fn key(&self) -> io::Result<Option<String>> {
        self.read(KEY, None)
    }

    /// The key that comes next, if there is one.
    pub fn next_key(&self, service: Option<&Identity>) -> io::Result<Option<String>> {
        self.read(NEXT_KEY, service)
    }

    pub(super) fn keep_next_key(&self, key: &str) -> io::Result<()> {
        self.write(NEXT_KEY, key)
    }

    /// Puts a certificate in force, which goes with the key in force or the next one. Where a
    /// crash leaves it half done, [`Folder::settle`] ends it.
    pub(super) fn install(&self, chain: &str, key: &str) -> io::Result<()> {
        if self.key()?.as_deref() != Some(key) {
            self.write(NEXT_KEY, key)?;
        }
        self.write(NEW_CERTIFICATE, chain)?;
        self.settle()
    }

    /// Ends what was begun: a new certificate comes into force with the key that it goes with.
    pub(super) fn settle(&self) -> io::Result<()> {
        let new = self.0.join(NEW_CERTIFICATE);
        if !new.try_exists()? {
            return Ok(());
        }
        let (key, next) = (self.0.join(KEY), self.0.join(NEXT_KEY));
        let goes_with = |key: &Path| {
            let files = TlsFiles { certificate: new.clone(), key: key.to_owned() };
            ServerTls::load(Some(&files)).is_ok()
        };
        if goes_with(&next) {
            std::fs::rename(&next, &key)?;
        }
        if goes_with(&key) {
            std::fs::rename(&new, self.0.join(CERTIFICATE))?;
        } else {
            std::fs::remove_file(&new)?;
        }
        Place::of(&new)?.sync_folder()
    }

    fn read(&self, name: &str, service: Option<&Identity>) -> io::Result<Option<String>> {
        match rights::read_bounded(&self.0.join(name), service, MOST) {
            Ok(octets) => Ok(Some(String::from_utf8_lossy(&octets).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let place = Place::of(&self.0.join(name))?;
        place.replace_once(text.as_bytes(), 0o600, std::fs::File::sync_all)?;
        place.sync_folder()
    }
}

// One account for each authority: who tries another one out, and comes back, is known again.
fn account_file(directory: &str) -> String {
    let bare = directory.strip_prefix("https://").unwrap_or(directory);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let name: String = bare.chars().map(|one| if is_plain(one) { one } else { '-' }).collect();
    let name: String = name.chars().take(150).collect();
    format!("account-{name}.json")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CERTIFICATE_PEM: &str = include_str!("../../tests/tls/localhost.pem");
    const KEY_PEM: &str = include_str!("../../tests/tls/localhost.key");
    const OTHER_KEY: &str = include_str!("../../tests/tls/mx.key");

    fn folder() -> (tempfile::TempDir, Folder) {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::of(state.path());
        folder.prepare().unwrap();
        folder.prepare().unwrap();
        (state, folder)
    }

    #[test]
    fn what_is_kept_is_kept_from_others() {
        let (state, folder) = folder();
        let standing = Standing { failures: 3, window: Some((1, 2)), ..Standing::default() };
        folder.keep_standing(&standing).unwrap();
        folder.keep_account("https://acme.test:14000/dir", "{}").unwrap();
        folder.install(CERTIFICATE_PEM, KEY_PEM).unwrap();
        assert_eq!(folder.standing(None).unwrap(), standing);
        assert_eq!(folder.account("https://acme.test:14000/dir").unwrap().as_deref(), Some("{}"));
        assert_eq!(folder.account("https://other.test/dir").unwrap(), None);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.path().join("acme")), 0o700);
        for file in std::fs::read_dir(state.path().join("acme")).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        std::fs::write(state.path().join("acme").join(STANDING), "{ torn").unwrap();
        assert_eq!(folder.standing(None).unwrap(), Standing::default());
        assert!(!account_file("https://a/../../etc/x").contains('/'));
    }

    /// A crash between any two steps leaves a certificate with its own key.
    #[test]
    fn a_new_key_comes_with_its_certificate_or_not_at_all() {
        let (state, folder) = folder();
        let files = Acme::files(state.path());
        folder.install(CERTIFICATE_PEM, KEY_PEM).unwrap();
        let is_whole = || ServerTls::load(Some(&files)).is_ok();
        assert!(is_whole());
        // Cut off after the certificate was written, whose key is the next.
        folder.write(KEY, OTHER_KEY).unwrap();
        folder.write(NEXT_KEY, KEY_PEM).unwrap();
        folder.write(NEW_CERTIFICATE, CERTIFICATE_PEM).unwrap();
        folder.settle().unwrap();
        assert!(is_whole());
        assert_eq!(folder.next_key(None).unwrap(), None);
        // Cut off when the key was in force already.
        folder.write(NEW_CERTIFICATE, CERTIFICATE_PEM).unwrap();
        folder.settle().unwrap();
        assert!(is_whole());
        // One that goes with no key is dropped.
        folder.write(NEXT_KEY, OTHER_KEY).unwrap();
        folder
            .write(NEW_CERTIFICATE, &CERTIFICATE_PEM.replace("-----BEGIN", "-----BEGUN"))
            .unwrap();
        folder.settle().unwrap();
        assert!(is_whole());
        assert_eq!(folder.next_key(None).unwrap().as_deref(), Some(OTHER_KEY));
        assert!(!state.path().join("acme").join(NEW_CERTIFICATE).exists());
    }
}
