//! Whether the resolver validates DNSSEC, looked at when the daemon starts and from then
//! on: what DANE can do is said once, and again when it has changed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::notice;
use crate::config::Live;
use crate::dns::{Resolver, Validation};
use crate::telemetry::MailLog;

/// Until the next look: a resolver is seldom changed.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// The same where it did not answer: the network may not be there yet.
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(60);

/// Watches for as long as there is a resolver.
async fn watch(dns: Weak<Resolver>, config: Live, log: MailLog) {
    let mut said = None;
    loop {
        let Some(resolver) = dns.upgrade() else { return };
        let known = config.get().dns.clone();
        if known.signed_name.is_empty() && known.bogus_name.is_empty() {
            return;
        }
        let found = resolver.validation(&known.signed_name, &known.bogus_name).await;
        drop(resolver);
        let wait = match found {
            Validation::Unknown(_) => LOOK_AGAIN_SOON,
            _ => LOOK_AGAIN,
        };
        if said.as_ref() != Some(&found) {
            let (level, text) = words(&found, &known.bogus_name);
            notice(&log, level, &text);
            said = Some(found);
        }
        tokio::time::sleep(wait).await;
    }
}

fn words(found: &Validation, bogus: &str) -> (&'static str, String) {
    const REMEDY: &str = "`puerto check --only net.resolver-dnssec` says what to do";
    match found {
        Validation::Full => ("info", "DANE: active, the resolver validates DNSSEC".to_owned()),
        Validation::Absent => {
            ("info", format!("DANE: inactive, the resolver does not validate DNSSEC; {REMEDY}"))
        }
        Validation::Untrusted => {
            ("info", format!("DANE: inactive, the resolver is not on this machine; {REMEDY}"))
        }
        Validation::Credulous => (
            "warning",
            format!(
                "DANE: inactive, the resolver vouches for what it has not validated: it gives the \
                 address of {bogus}, whose signatures are wrong"
            ),
        ),
        Validation::Unknown(error) => {
            ("info", format!("DANE: nobody knows yet whether the resolver validates: {error}"))
        }
    }
}

/// Begins to watch.
pub(super) fn begin(dns: &Arc<Resolver>, config: &Live, log: &MailLog) {
    tokio::spawn(watch(Arc::downgrade(dns), config.clone(), log.clone()));
}
