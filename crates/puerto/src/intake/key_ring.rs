//! The keys that mail is signed with: DIRECTORY/DOMAIN/SELECTOR.pem.
//!
//! A file that cannot be used is reported and passed over: it never stops the
//! server or the other keys. A reload puts a whole new ring in the place of the
//! old one, so that no message is signed with half of each.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use puerto_mail::dkim::{PrivateKey, SigningKey};
use puerto_smtp::Domain;

use crate::config::Config;
use crate::lang::{Said, key_error, said, said_of};
use crate::rights::{self, Identity};

/// Octets of a key file at most; an RSA key of 8,192 bits has about 6,400.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// All usable keys of a directory.
#[derive(Debug)]
pub struct KeyRing {
    directory: PathBuf,
    service: Option<Identity>,
    ring: RwLock<Arc<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    by_domain: HashMap<String, Vec<Arc<SigningKey>>>,
    problems: Vec<KeyProblem>,
}

/// Why a key, or a folder of them, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// The file, the reason and the remedy.
    pub said: Said,
    /// Whether it is only that this process may not look: the daemon, which is another user,
    /// may.
    pub is_hidden: bool,
}

impl KeyProblem {
    fn of(said: Said, error: &std::io::Error) -> Self {
        let is_hidden = error.raw_os_error() == Some(nix::errno::Errno::EACCES as i32);
        Self { said, is_hidden }
    }
}

impl From<Said> for KeyProblem {
    fn from(said: Said) -> Self {
        Self { said, is_hidden: false }
    }
}

impl KeyRing {
    /// Reads a directory. One that does not exist holds no keys.
    pub fn load(directory: &Path) -> Self {
        Self::load_as(directory, None)
    }

    /// Reads the keys that the daemon signs with.
    pub fn of(config: &Config) -> Self {
        let service = Identity::of_service(&config.user).ok().flatten();
        Self::load_as(&config.dkim_directory, service)
    }

    fn load_as(directory: &Path, service: Option<Identity>) -> Self {
        let ring = RwLock::new(Arc::new(read_directory(directory, service.as_ref())));
        Self { directory: directory.to_owned(), service, ring }
    }

    /// Reads the directory again and says what could not be used. A key whose file is
    /// still there but cannot be read any more stays in use: mail that goes out unsigned
    /// is refused, and the daemon may have lost the right to read it since its start.
    pub fn reload(&self) -> Vec<KeyProblem> {
        let mut fresh = read_directory(&self.directory, self.service.as_ref());
        for key in self.keys() {
            let keys = fresh.by_domain.entry(key.domain.clone()).or_default();
            if keys.iter().any(|other| other.selector == key.selector) {
                continue;
            }
            let file = self.directory.join(&key.domain).join(format!("{}.pem", key.selector));
            if !matches!(file.try_exists(), Ok(false)) {
                let problem = said!(
                    "{file}: what was read of it before stays in use",
                    "{file}: sigue en uso lo que se leyó de él antes"; file = file.display()
                );
                fresh.problems.push(problem.into());
                keys.push(key);
            }
        }
        fresh.by_domain.retain(|_, keys| !keys.is_empty());
        let problems = fresh.problems.clone();
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        problems
    }

    /// What could not be used.
    pub fn problems(&self) -> Vec<KeyProblem> {
        self.current().problems.clone()
    }

    /// Whether there are no keys at all.
    pub fn is_empty(&self) -> bool {
        self.current().by_domain.is_empty()
    }

    /// Every key, in the order of domain and selector.
    pub fn keys(&self) -> Vec<Arc<SigningKey>> {
        let mut keys: Vec<_> = self.current().by_domain.values().flatten().cloned().collect();
        keys.sort_by(|a, b| (&a.domain, &a.selector).cmp(&(&b.domain, &b.selector)));
        keys
    }

    /// The keys for mail from a domain: those of the domain itself or of the closest
    /// domain above it, so that `d=` is aligned with From (RFC 7489 §3.1.1).
    pub fn keys_for(&self, from: &Domain) -> Vec<Arc<SigningKey>> {
        let Some(name) = from.name().and_then(ascii_name) else { return Vec::new() };
        let ring = self.current();
        let mut name = name.as_str();
        loop {
            if let Some(keys) = ring.by_domain.get(name) {
                return keys.clone();
            }
            match name.split_once('.') {
                Some((_, parent)) => name = parent,
                None => return Vec::new(),
            }
        }
    }

    fn current(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn ascii_name(name: &str) -> Option<String> {
    idna::domain_to_ascii(name).ok()
}

fn read_directory(directory: &Path, service: Option<&Identity>) -> Ring {
    let mut ring = Ring::default();
    let domains = match sorted_entries(directory) {
        Ok(domains) => domains,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return ring,
        Err(error) => {
            ring.problems.push(unlisted(directory, &error));
            return ring;
        }
    };
    for path in domains.iter().filter(|path| path.is_dir()) {
        let Some(domain) = directory_domain(path) else {
            let problem = said!(
                "{path}: not a domain name: name the directory like the domain its keys sign for",
                "{path}: no es un nombre de dominio: la carpeta se llama como el dominio por el \
                 que firman sus claves";
                path = path.display()
            );
            ring.problems.push(problem.into());
            continue;
        };
        match read_domain(&domain, path, service, &mut ring.problems) {
            Ok(keys) if keys.is_empty() => {}
            Ok(keys) => ring.by_domain.entry(domain).or_default().extend(keys),
            Err(error) => ring.problems.push(unlisted(path, &error)),
        }
    }
    ring
}

fn directory_domain(path: &Path) -> Option<String> {
    let domain = Domain::parse(path.file_name()?.to_str()?).ok()?;
    domain.name().and_then(ascii_name)
}

fn sorted_entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

/// The files of a directory of keys, whether they can be used or not.
pub fn key_files(directory: &Path) -> Vec<PathBuf> {
    let domains = sorted_entries(directory).unwrap_or_default();
    let files = domains.iter().filter_map(|domain| sorted_entries(domain).ok()).flatten();
    files.filter(|file| is_key(file)).collect()
}

fn is_key(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "pem")
}

fn read_domain(
    domain: &str,
    path: &Path,
    service: Option<&Identity>,
    problems: &mut Vec<KeyProblem>,
) -> std::io::Result<Vec<Arc<SigningKey>>> {
    let mut keys = Vec::new();
    for file in sorted_entries(path)? {
        if !is_key(&file) {
            continue;
        }
        match read_key(domain, &file, service) {
            Ok(key) => keys.push(Arc::new(key)),
            Err(problem) => {
                let file = Said::words(file.display().to_string());
                let said = said_of!(
                    "{file}: {problem}", "{file}: {problem}"; file = file, problem = problem.said
                );
                problems.push(KeyProblem { said, ..problem });
            }
        }
    }
    Ok(keys)
}

fn unlisted(path: &Path, error: &std::io::Error) -> KeyProblem {
    let said = said_of!(
        "{path}: cannot list DKIM keys: {error}",
        "{path}: no se pueden enumerar las claves DKIM: {error}";
        path = Said::words(path.display().to_string()), error = rights::said(error)
    );
    KeyProblem::of(said, error)
}

fn unread(error: &std::io::Error) -> KeyProblem {
    let said = said_of!(
        "cannot read it: {error}", "no se puede leer: {error}"; error = rights::said(error)
    );
    KeyProblem::of(said, error)
}

fn read_key(
    domain: &str,
    file: &Path,
    service: Option<&Identity>,
) -> Result<SigningKey, KeyProblem> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_selector = Domain::parse(&format!("{stem}.example")).is_ok() && stem.is_ascii();
    if !is_selector {
        return Err(said!(
            "the file's name is not a selector: use letters, digits, - and .",
            "el nombre del fichero no es un selector: use letras, cifras, - y ."
        )
        .into());
    }
    let opened = rights::open_to_read(file, service).map_err(|error| unread(&error))?;
    let metadata = opened.metadata().map_err(|error| unread(&error))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(said!(
            "everybody on this machine can read or change this private key; run: {remedy}; or make \
             a new one if it may have been read",
            "cualquiera en esta máquina puede leer o cambiar esta clave privada; ejecute: {remedy}; \
             o cree otra si alguien ha podido leerla";
            remedy = rights::closing(file, metadata.uid(), service)
        )
        .into());
    }
    if metadata.len() > MAX_KEY_FILE {
        return Err(said!(
            "too large for a private key",
            "es demasiado grande para ser una clave privada"
        )
        .into());
    }
    let mut text = String::new();
    opened.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(|error| unread(&error))?;
    let key = PrivateKey::from_pem(&text).map_err(|error| key_error(&error))?;
    Ok(SigningKey { domain: domain.to_owned(), selector: stem.to_lowercase(), key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use puerto_mail::dkim::Algorithm;

    fn write(directory: &Path, name: &str, text: &str, mode: u32) {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn selectors(ring: &KeyRing, domain: &str) -> Vec<String> {
        let keys = ring.keys_for(&Domain::parse(domain).unwrap());
        keys.iter().map(|key| format!("{}@{}", key.selector, key.domain)).collect()
    }

    #[test]
    fn the_closest_domain_that_has_keys_signs() {
        let directory = tempfile::tempdir().unwrap();
        let pem = PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap();
        write(directory.path(), "example.com/one.pem", &pem, 0o640);
        write(directory.path(), "example.com/two.pem", &pem, 0o600);
        write(directory.path(), "example.com/notes.txt", "not a key", 0o644);
        write(directory.path(), "shop.example.com/s.pem", &pem, 0o600);
        write(directory.path(), "ñandú.example/s.pem", &pem, 0o600);
        let ring = KeyRing::load(directory.path());
        assert_eq!(ring.problems(), []);
        assert_eq!(selectors(&ring, "Example.COM"), ["one@example.com", "two@example.com"]);
        assert_eq!(selectors(&ring, "a.shop.example.com"), ["s@shop.example.com"]);
        assert_eq!(selectors(&ring, "mail.example.com").len(), 2);
        assert_eq!(selectors(&ring, "x.xn--and-6ma2c.example"), selectors(&ring, "ñandú.example"));
        assert_eq!(selectors(&ring, "badexample.com"), Vec::<String>::new());
        assert_eq!(selectors(&ring, "com"), Vec::<String>::new());
        assert_eq!(selectors(&ring, "[192.0.2.1]"), Vec::<String>::new());
        assert_eq!(ring.keys().len(), 4);
    }

    #[test]
    fn a_bad_file_is_reported_and_the_others_are_used() {
        let directory = tempfile::tempdir().unwrap();
        let pem = PrivateKey::generate(Algorithm::Ed25519Sha256).unwrap();
        write(directory.path(), "example.com/good.pem", &pem, 0o600);
        write(directory.path(), "example.com/open.pem", &pem, 0o644);
        write(directory.path(), "example.com/torn.pem", "-----BEGIN PRIVATE KEY-----", 0o600);
        write(directory.path(), "example.com/bad name.pem", &pem, 0o600);
        write(directory.path(), "not a domain/a.pem", &pem, 0o600);
        let ring = KeyRing::load(directory.path());
        assert_eq!(selectors(&ring, "example.com"), ["good@example.com"]);
        let problems = ring.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        for says in ["chmod o-rwx", "no PEM block", "not a selector", "not a domain name"] {
            assert!(
                problems.iter().any(|problem| problem.said.to_string().contains(says)),
                "{says}"
            );
        }
        std::fs::remove_file(directory.path().join("example.com/good.pem")).unwrap();
        assert_eq!(ring.reload().len(), 4);
        assert!(ring.is_empty());
        write(directory.path(), "example.com/good.pem", &pem, 0o600);
        ring.reload();
        write(directory.path(), "example.com/good.pem", "torn", 0o600);
        assert!(
            ring.reload().iter().any(|problem| problem.said.to_string().contains("stays in use"))
        );
        assert_eq!(selectors(&ring, "example.com"), ["good@example.com"]);
        assert!(KeyRing::load(Path::new("/nonexistent")).problems().is_empty());
    }
}
