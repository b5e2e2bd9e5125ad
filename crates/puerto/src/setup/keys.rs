//! The keys to sign with: those that another program had, or new ones.

use std::path::Path;

use jiff::civil::Date;
use puerto_mail::dkim::{Algorithm, KeyError, PrivateKey};

use super::files::Wanted;
use super::root::Root;
use super::takeover::Inherited;

/// The key files to be there. A domain that has keys, its own or inherited, gets no new
/// ones: what is published for it stays right.
pub(super) fn wanted(
    domain: &str,
    directory: &Path,
    inherited: &[&Inherited],
    root: &Root,
    today: Date,
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
        wanted.push(Wanted::secret(folder.join(format!("{kind}-{month}.pem")), pem));
    }
    Ok(wanted)
}
