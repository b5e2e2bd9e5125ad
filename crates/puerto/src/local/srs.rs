//! The Sender Rewriting Scheme: mail that is sent on to another address leaves with a
//! sender of ours, whose SPF record names this server, and what comes back for that sender
//! finds its way to the first one.
//!
//! `SRS0=HASH=DAY=domain=user@ours` stands for `user@domain`; the hash is ours alone to
//! make, so that nobody can have this server send to whom he likes, and the day bounds for
//! how long. An address that another forwarder has written so already becomes
//! `SRS1=HASH=forwarder==HASH=DAY=domain=user@ours`, and goes back to that forwarder.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::{hmac, rand};
use puerto_smtp::{Address, Domain, LocalPart};

use crate::cause::Cause;
use crate::rights;

/// Days for which what comes back is taken.
const VALID: u64 = 21;
/// Days that can be told apart: ten bits.
const DAYS: u64 = 1024;
/// Characters of the hash: 30 bits of which each guess has to be asked of this server.
const HASH: usize = 6;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret in a file, which only its owner may read; where that may be, it is made.
pub(super) fn secret(file: &Path, may_make: bool) -> io::Result<Vec<u8>> {
    match rights::read_secret(file) {
        Ok(text) => return enough(text.trim()),
        Err(error) if error.kind() != io::ErrorKind::NotFound || !may_make => return Err(error),
        Err(_) => {}
    }
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(io::Error::other)?;
    let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let beside = file.with_extension(format!("{}.new", &text.get(..16).unwrap_or_default()));
    let mut made = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    made.write_all(text.as_bytes())?;
    made.sync_all()?;
    // Whoever comes second takes the first one's.
    let linked = std::fs::hard_link(&beside, file);
    std::fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => enough(rights::read_secret(file)?.trim()),
    }
}

fn enough(secret: &str) -> io::Result<Vec<u8>> {
    match secret.len() {
        16.. => Ok(secret.as_bytes().to_vec()),
        _ => Err(Cause::SecretTooShort {}.into()),
    }
}

/// Whether an address has the form of those that a forwarder makes.
pub(super) fn is_rewritten(address: &Address) -> bool {
    let local = address.local_part().as_str();
    strip(local, "SRS0").is_some() || strip(local, "SRS1").is_some()
}

/// What addresses of this scheme are made and read with.
#[derive(Debug)]
pub(super) struct Srs {
    key: hmac::Key,
    domain: Domain,
}

/// Why an address of the scheme leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It has not the form of one.
    Form,
    /// Its hash is not ours.
    Forged,
    /// It is older than three weeks.
    Old,
}

impl Srs {
    /// For addresses in this domain.
    pub(super) fn new(secret: &[u8], domain: Domain) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), domain }
    }

    /// The address that stands for a sender from this day on; days are counted since 1970.
    pub(super) fn forward(&self, sender: &Address, day: u64) -> Option<Address> {
        let local = sender.local_part().as_str();
        let written = match (strip(local, "SRS1"), strip(local, "SRS0")) {
            (Some(rest), _) => {
                // The first forwarder stays, and those between are left out.
                let (_, rest) = rest.split_once('=')?;
                let (host, rest) = rest.split_once('=')?;
                self.second(host, rest)
            }
            (None, Some(_)) => {
                // With its separator, which is the other's choice.
                let rest = local.get(4..)?;
                self.second(&sender.domain().to_string(), rest)
            }
            (None, None) => {
                let (domain, day) = (sender.domain().to_string(), day_text(day));
                let hash = self.hash(&[&day, &domain, local]);
                format!("SRS0={hash}={day}={domain}={local}")
            }
        };
        let local = LocalPart::from_unquoted(&written).ok()?;
        Some(Address::new(local, self.domain.clone()))
    }

    fn second(&self, host: &str, rest: &str) -> String {
        let hash = self.hash(&[host, rest]);
        format!("SRS1={hash}={host}={rest}")
    }

    /// Whom an address stands for on this day; `None` if it is not one of the scheme.
    pub(super) fn back(&self, address: &Address, day: u64) -> Option<Result<Address, Wrong>> {
        let local = address.local_part().as_str();
        let is_ours = *address.domain() == self.domain;
        match (strip(local, "SRS0"), strip(local, "SRS1")) {
            _ if !is_ours => None,
            (Some(rest), _) => Some(self.first_back(rest, day)),
            (_, Some(rest)) => Some(self.second_back(rest)),
            (None, None) => None,
        }
    }

    fn first_back(&self, rest: &str, day: u64) -> Result<Address, Wrong> {
        let mut parts = rest.splitn(4, '=');
        let mut next = || parts.next().ok_or(Wrong::Form);
        let (hash, written, domain, local) = (next()?, next()?, next()?, next()?);
        let written = written.to_ascii_uppercase();
        self.check(hash, &[&written, &domain.to_lowercase(), local])?;
        let since = day_of(&written).ok_or(Wrong::Form)?;
        // The days go round.
        if (day % DAYS + DAYS - since) % DAYS > VALID {
            return Err(Wrong::Old);
        }
        let domain = Domain::parse(domain).map_err(|_| Wrong::Form)?;
        let local = LocalPart::from_unquoted(local).map_err(|_| Wrong::Form)?;
        Ok(Address::new(local, domain))
    }

    // How old it is, the forwarder before us says.
    fn second_back(&self, rest: &str) -> Result<Address, Wrong> {
        let mut parts = rest.splitn(3, '=');
        let mut next = || parts.next().ok_or(Wrong::Form);
        let (hash, host, rest) = (next()?, next()?, next()?);
        self.check(hash, &[&host.to_lowercase(), rest])?;
        let domain = Domain::parse(host).map_err(|_| Wrong::Form)?;
        let local = LocalPart::from_unquoted(&format!("SRS0{rest}")).map_err(|_| Wrong::Form)?;
        Ok(Address::new(local, domain))
    }

    fn check(&self, hash: &str, parts: &[&str]) -> Result<(), Wrong> {
        let right = self.hash(parts);
        match hash.eq_ignore_ascii_case(&right) {
            true => Ok(()),
            false => Err(Wrong::Forged),
        }
    }

    // Of the words in lower case: some servers change the case of a local part.
    fn hash(&self, parts: &[&str]) -> String {
        let text = parts.join("=").to_lowercase();
        let tag = hmac::sign(&self.key, text.as_bytes());
        tag.as_ref().iter().take(HASH).map(|octet| letter(u64::from(*octet))).collect()
    }
}

// What follows the tag and its separator.
fn strip<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (head, rest) = local.split_at_checked(4)?;
    let rest = rest.strip_prefix(['=', '-', '+'])?;
    head.eq_ignore_ascii_case(tag).then_some(rest)
}

fn letter(number: u64) -> char {
    let index = usize::try_from(number % 32).unwrap_or_default();
    ALPHABET.get(index).copied().map_or('A', char::from)
}

fn day_text(day: u64) -> String {
    [letter(day / 32), letter(day)].into_iter().collect()
}

fn day_of(text: &str) -> Option<u64> {
    if text.len() != 2 {
        return None;
    }
    text.bytes().try_fold(0, |day, octet| {
        let value = ALPHABET.iter().position(|one| *one == octet)?;
        Some(day * 32 + u64::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srs(secret: &[u8]) -> Srs {
        Srs::new(secret, Domain::parse("srs.example.com").unwrap())
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn what_comes_back_finds_its_sender_for_three_weeks() {
        let srs = srs(b"a secret of ours");
        for sender in
            ["ana@example.net", "\"a b\"@example.net", "Ana=x=y@example.net", "a+b-c@x.example"]
        {
            for day in [0, 20_000, 1023, 1024 * 20 - 1] {
                let ours = srs.forward(&address(sender), day).unwrap();
                assert_eq!(ours.domain().to_string(), "srs.example.com");
                for later in [0, 1, 21] {
                    assert_eq!(srs.back(&ours, day + later), Some(Ok(address(sender))), "{ours}");
                }
                assert_eq!(srs.back(&ours, day + 22), Some(Err(Wrong::Old)), "{ours}");
                assert_eq!(srs.back(&ours, day + 1000), Some(Err(Wrong::Old)), "{ours}");
                let shouted = address(&ours.to_string().replace("SRS0", "srs0"));
                assert_eq!(srs.back(&shouted, day), Some(Ok(address(sender))));
            }
        }
    }

    #[test]
    fn what_another_has_made_is_no_way_through() {
        let ours = srs(b"a secret of ours");
        let day = 20_000;
        let theirs = srs(b"another secret").forward(&address("victim@example.net"), day).unwrap();
        assert_eq!(ours.back(&theirs, day), Some(Err(Wrong::Forged)));
        let good = ours.forward(&address("ana@example.net"), day).unwrap().to_string();
        for (from, to) in [("ana@", "bea@"), ("example.net", "example.org"), ("=ana", "=anb")] {
            let changed = address(&good.replace(from, to));
            if changed.to_string() != good {
                assert_eq!(ours.back(&changed, day), Some(Err(Wrong::Forged)), "{changed}");
            }
        }
        for bad in ["SRS0=@srs.example.com", "SRS0=A=B@srs.example.com", "SRS1=A=B@srs.example.com"]
        {
            assert_eq!(ours.back(&address(bad), day), Some(Err(Wrong::Form)), "{bad}");
        }
        for other in ["SRS0=A=B=C=D@example.net", "ana@srs.example.com", "SRS0@srs.example.com"] {
            assert_eq!(ours.back(&address(other), day), None, "{other}");
        }
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("srs.secret");
        assert!(secret(&file, false).is_err());
        let first = secret(&file, true).unwrap();
        assert_eq!(secret(&file, true).unwrap(), first);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&file, "short").unwrap();
        assert!(secret(&file, true).is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(secret(&file, true).is_err());
    }

    #[test]
    fn a_second_forwarder_sends_back_to_the_first() {
        let first = Srs::new(b"one", Domain::parse("one.example").unwrap());
        let second = Srs::new(b"two", Domain::parse("two.example").unwrap());
        let third = Srs::new(b"three", Domain::parse("three.example").unwrap());
        let sender = address("ana@example.net");
        let day = 20_000;
        let by_first = first.forward(&sender, day).unwrap();
        let by_second = second.forward(&by_first, day).unwrap();
        let by_third = third.forward(&by_second, day).unwrap();
        assert!(by_second.to_string().starts_with("SRS1="), "{by_second}");
        for back in [second.back(&by_second, day), third.back(&by_third, day)] {
            let back = back.unwrap().unwrap();
            assert_eq!(back, by_first);
            assert_eq!(first.back(&back, day), Some(Ok(sender.clone())));
        }
        let forged = address(&by_second.to_string().replace("one.example", "victim.example"));
        assert_eq!(second.back(&forged, day), Some(Err(Wrong::Forged)));
    }
}
