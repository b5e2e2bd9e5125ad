//! A certificate that is renewed must be read again.

use super::files::{Content, Wanted};
use super::root::Root;
use crate::config::Config;

/// Where certbot keeps the certificates in force.
const LIVE: &str = "/etc/letsencrypt/live";
/// What certbot runs after each renewal.
pub(super) const HOOK: &str = "/etc/letsencrypt/renewal-hooks/deploy/puerto";

const SCRIPT: &str = "\
#!/bin/sh
# certbot runs this after each renewal: the mail server reads its certificate again. It
# keeps a process that may read the key, so nobody else needs to be let at it.
exec systemctl try-reload-or-restart puerto.service
";

/// The file that has a certificate of certbot's read again when it was renewed.
pub(super) fn hook(root: &Root, config: &Config) -> Option<Wanted> {
    let renewed = config.tls.as_ref().is_some_and(|files| files.certificate.starts_with(LIVE));
    (renewed && root.has(LIVE))
        .then(|| Wanted { path: HOOK.into(), content: Content::Text(SCRIPT.to_owned(), 0o755) })
}
