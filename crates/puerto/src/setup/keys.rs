//! The keys to sign with: those that another program had, or new ones.

use std::path::Path;

use jiff::civil::Date;
use puerto_mail::dkim::{Algorithm, KeyError, PrivateKey};

use super::files::Wanted;
use super::root::Root;
use super::takeover::Inherited;

/// What stands behind the month of a selector, where others have it already.
const LETTERS: [&str; 8] = ["", "b", "c", "d", "e", "f", "g", "h"];

/// The key files to be there. A domain that has keys, its own or inherited, gets no new
/// ones: what is published for it stays right. Nor does a new one take the name of what is
/// published already: another server of the domain signs with that.
pub(super) fn wanted(
    domain: &str,
    directory: &Path,
    inherited: &[&Inherited],
    root: &Root,
    (today, is_published): (Date, &dyn Fn(&str) -> bool),
) -> Result<Vec<Wanted>, KeyError> {
    let mut wanted = Vec::new();
    for key in inherited.iter().flat_map(|program| &program.keys) {
        let path = directory.join(&key.domain).join(format!("{}.pem", key.selector));
        wanted.push(Wanted::secret(path, key.pem.clone()));
    }
    let folder = directory.join(domain);
    let taken = wanted.iter().any(|key| key.path.parent() == Some(&folder));
    if taken || root.names(&folder).iter().any(|name| name.ends_with(".pem")) {
        return Ok(wanted);
    }
    let month = today.strftime("%Y-%m");
    for (kind, algorithm) in [("rsa", Algorithm::RsaSha256), ("ed25519", Algorithm::Ed25519Sha256)]
    {
        let pem = PrivateKey::generate(algorithm)?;
        let selectors = LETTERS.iter().map(|letter| format!("{kind}-{month}{letter}"));
        let is_free = |selector: &String| !is_published(&format!("{selector}._domainkey.{domain}"));
        let selector = selectors.into_iter().find(is_free).unwrap_or_else(|| kind.to_owned());
        wanted.push(Wanted::secret(folder.join(format!("{selector}.pem")), pem));
    }
    Ok(wanted)
}
