//! The file of accounts: TOML, written whole by `puerto user`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use puerto_smtp::{Address, Domain, LocalPart, sasl};
use serde::{Deserialize, Serialize};

use super::{Mark, Parameters, keys};
use crate::config::{AddressPattern, account_folded, account_spellings, means_account};
use crate::lang::{Said, Text, quoted, said_of};
use crate::rights::{self, Place};

/// Octets of the file at most: some hundred thousand accounts.
pub const MAX_FILE: u64 = 64 * 1024 * 1024;

const HEADER: Text = Text::new(
    "Written by `puerto user`. What is kept of a password lets nobody in, but can be guessed at: \
     nobody else should read this.",
    "Lo escribe `puerto user`. Lo que se guarda de una contraseña no deja entrar a nadie, pero \
     permite adivinarla: nadie más debería leerlo.",
);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not what `puerto user` writes.
    #[error("{}: {error}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the line.
        error: String,
    },
}

impl BookError {
    /// For people.
    pub fn said(&self) -> Said {
        let words = |path: &Path| Said::words(path.display().to_string());
        match self {
            Self::File { path, error } => said_of!(
                "cannot use the accounts in {path}: {error}",
                "no se pueden usar las cuentas de {path}: {error}";
                path = words(path), error = rights::said(error)
            ),
            Self::Malformed { path, error } => said_of!(
                "{path} is not as `puerto user` writes it: {error}",
                "{path} no está como lo escribe `puerto user`: {error}";
                path = words(path), error = quoted(error)
            ),
        }
    }
}

/// All accounts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// What names that are no accounts get their salts from.
    #[serde(default, with = "octets", skip_serializing_if = "Vec::is_empty")]
    decoy: Vec<u8>,
    #[serde(default, rename = "account", skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<Account>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name, in small letters.
    pub name: String,
    #[serde(with = "octets")]
    salt: Vec<u8>,
    memory: u32,
    passes: u32,
    #[serde(with = "octets")]
    scram_salt: Vec<u8>,
    iterations: u32,
    /// Addresses that it may send from beside its own, as [`AddressPattern`] reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Its passwords, its own first.
    #[serde(default, rename = "password")]
    pub passwords: Vec<Password>,
}

/// One password of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// The application that has it; empty for the account's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub application: String,
    #[serde(with = "octets")]
    hash: Vec<u8>,
    #[serde(with = "octets")]
    stored_key: Vec<u8>,
    #[serde(with = "octets")]
    server_key: Vec<u8>,
    /// The day it was made.
    #[serde(with = "date")]
    pub made: Option<Date>,
    /// The last day it is good for, in UTC; none: all.
    #[serde(default, with = "date", skip_serializing_if = "Option::is_none")]
    pub ends: Option<Date>,
}

impl Book {
    /// Reads the file, which nobody else may read.
    pub fn load(path: &Path) -> Result<Self, BookError> {
        let file = |error| BookError::File { path: path.to_owned(), error };
        let text = rights::read_secrets(path, MAX_FILE).map_err(file)?;
        let malformed = |error: toml::de::Error| {
            // Without the line itself, which is secret.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let error = format!("line {line}: {}", error.message());
            BookError::Malformed { path: path.to_owned(), error }
        };
        toml::from_str(&text).map_err(malformed)
    }

    /// Writes it whole or not at all; `prepare` says who may read the new file before it is
    /// there.
    pub fn save(
        &mut self,
        path: &Path,
        prepare: impl Fn(&File) -> io::Result<()>,
    ) -> Result<(), BookError> {
        let mut written = || {
            if self.decoy.is_empty() {
                self.decoy = keys::random::<{ keys::KEY }>()?.to_vec();
            }
            let text = toml::to_string(self).map_err(io::Error::other)?;
            let place = Place::of(path)?;
            place.may_be_changed()?;
            let octets = format!("# {}\n# {}\n\n{text}", HEADER.en, HEADER.es).into_bytes();
            place.replace_once(&octets, 0o600, |file| {
                prepare(file)?;
                file.sync_all()
            })?;
            place.sync_folder()
        };
        written().map_err(|error| BookError::File { path: path.to_owned(), error })
    }

    /// All accounts, by name.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Accounts of which the first's name means the second, too: our domains have become more
    /// since, or somebody has written the file by hand.
    pub fn doubles(&self, domains: &[Domain]) -> Vec<(&str, &str)> {
        let names = || self.accounts.iter().map(|account| account.name.as_str());
        let pairs = names().flat_map(|one| names().map(move |other| (one, other)));
        let is_double = |(one, other): &(&str, &str)| {
            // What is the same in both directions is told in one.
            one != other
                && means_account(one, other, domains)
                && (one < other || !means_account(other, one, domains))
        };
        pairs.filter(is_double).collect()
    }

    pub(super) fn decoy(&self) -> Option<&[u8]> {
        Some(self.decoy.as_slice()).filter(|decoy| !decoy.is_empty())
    }

    /// The account that somebody means: its name, in any case, or its name in one of our
    /// domains, which is what programs fill in.
    pub fn find(&self, user: &str, domains: &[Domain]) -> Option<&Account> {
        self.accounts.get(self.place_of(user, domains)?)
    }

    fn place_of(&self, user: &str, domains: &[Domain]) -> Option<usize> {
        let named = |name: &String| {
            self.accounts.iter().position(|account| account_folded(&account.name) == *name)
        };
        account_spellings(user, domains).iter().find_map(named)
    }

    /// Makes an account without a password. No two are the same person for whoever logs in:
    /// `ana` and `ana@example.com` are one where example.com is ours.
    pub fn add(&mut self, name: &str, domains: &[Domain]) -> Result<&mut Account, NotAdded> {
        let name = account_folded(&sasl::user_name(name.as_bytes()).unwrap_or_default());
        // Commands take what begins so for an option, and these for a pattern.
        let is_awkward = name.starts_with('-') || name.contains(['*', '?']);
        let is_name = LocalPart::parse(&name).is_ok() || Address::parse(&name).is_ok();
        if is_awkward || !is_name {
            return Err(NotAdded::NoName);
        }
        let is_same = |known: &&Account| means_account(&known.name, &name, domains);
        let same = self.find(&name, domains).or_else(|| self.accounts.iter().find(is_same));
        if let Some(known) = same {
            return Err(NotAdded::Exists(known.name.clone()));
        }
        self.accounts.push(Account {
            name,
            salt: keys::random::<{ keys::SALT }>().map_err(NotAdded::NoSalt)?.to_vec(),
            memory: keys::MEMORY,
            passes: keys::PASSES,
            scram_salt: keys::random::<{ keys::SALT }>().map_err(NotAdded::NoSalt)?.to_vec(),
            iterations: keys::ITERATIONS,
            addresses: Vec::new(),
            passwords: Vec::new(),
        });
        self.accounts.last_mut().ok_or(NotAdded::NoName)
    }

    /// The account that is meant, to be changed.
    pub fn get_mut(&mut self, name: &str, domains: &[Domain]) -> Option<&mut Account> {
        let place = self.place_of(name, domains)?;
        self.accounts.get_mut(place)
    }

    /// Takes the account that is meant out; whether there was one.
    pub fn remove(&mut self, name: &str, domains: &[Domain]) -> bool {
        let place = self.place_of(name, domains);
        place.map(|place| self.accounts.remove(place)).is_some()
    }
}

/// Why an account cannot be made.
#[derive(Debug)]
pub enum NotAdded {
    /// What was given is neither a name nor an address.
    NoName,
    /// There is one already that is the same for whoever logs in, by this name.
    Exists(String),
    /// The system gives no random octets.
    NoSalt(io::Error),
}

impl Account {
    /// Gives it a password, in the place of the one that this application had. The error is
    /// the library's.
    pub fn set_password(
        &mut self,
        application: &str,
        password: &[u8],
        (made, ends): (Date, Option<Date>),
    ) -> Result<(), String> {
        let hash = self.hash(password)?.to_vec();
        let (stored_key, server_key) = keys::scram(password, &self.scram_salt, self.iterations);
        self.remove_password(application);
        let (application, made) = (application.to_owned(), Some(made));
        self.passwords.push(Password { application, hash, stored_key, server_key, made, ends });
        self.passwords.sort_by(|one, other| one.application.cmp(&other.application));
        Ok(())
    }

    /// Takes an application's password away; whether it had one.
    pub fn remove_password(&mut self, application: &str) -> bool {
        let before = self.passwords.len();
        self.passwords.retain(|password| password.application != application);
        self.passwords.len() < before
    }

    /// Addresses that it may send from beside its own. What somebody wrote there by hand and
    /// cannot be read allows nothing.
    pub fn patterns(&self) -> Vec<AddressPattern> {
        self.addresses.iter().filter_map(|text| AddressPattern::parse(text).ok()).collect()
    }

    fn hash(&self, password: &[u8]) -> Result<[u8; keys::KEY], String> {
        keys::argon2id(password, &self.salt, (self.memory, self.passes))
    }

    pub(super) fn by_password(&self, password: &[u8]) -> Result<Option<&Password>, String> {
        let hash = self.hash(password)?;
        Ok(self.passwords.iter().find(|known| keys::are_equal(&known.hash, &hash)))
    }

    pub(super) fn by_proof(&self, proof: &[u8], message: &str) -> Option<&Password> {
        self.passwords.iter().find(|known| keys::proves(&known.stored_key, proof, message))
    }

    pub(super) fn parameters(&self) -> Parameters {
        Parameters { salt: self.scram_salt.clone(), iterations: self.iterations }
    }
}

impl Password {
    /// Whether it is good on this day.
    pub fn holds(&self, today: Date) -> bool {
        self.ends.is_none_or(|ends| today <= ends)
    }

    /// What tells it from every other, before and after.
    /// A number for what is kept of it, which says nothing of the password.
    pub(super) fn number(&self) -> u32 {
        crc32fast::hash(&self.hash)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.hash.clone())
    }

    /// ServerSignature (RFC 5802 §3).
    pub(super) fn signature(&self, message: &str) -> Vec<u8> {
        keys::sign(&self.server_key, message.as_bytes())
    }
}

/// A password that nobody has to remember: four groups of five letters and digits, of which
/// none looks like another; a hundred bits.
pub fn new_password() -> io::Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let octets = keys::random::<20>()?;
    let letter =
        |octet: &u8| ALPHABET.get(usize::from(octet % 32)).copied().map_or('a', char::from);
    let groups: Vec<String> =
        octets.chunks(5).map(|group| group.iter().map(letter).collect()).collect();
    Ok(groups.join("-"))
}

/// Octets as Base64.
mod octets {
    use puerto_smtp::base64;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64::encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        base64::decode(text.as_bytes()).ok_or_else(|| de::Error::custom("no Base64"))
    }
}

/// A day as `2026-11-29`.
mod date {
    use jiff::civil::Date;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(day: &Option<Date>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&day.map(|day| day.to_string()).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Date>, D::Error> {
        let text = String::deserialize(from)?;
        match text.parse() {
            Ok(day) => Ok(Some(day)),
            Err(_) if text.is_empty() => Ok(None),
            Err(_) => Err(de::Error::custom("no day")),
        }
    }
}
