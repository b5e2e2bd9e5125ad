//! The MTA-STS policies that are kept, and fetched again before they end.

use std::sync::Arc;
use std::time::Duration;

use puerto_spool::clock::Clock;

use super::notice;
use crate::config::Live;
use crate::dns::Resolver;
use crate::telemetry::MailLog;
use crate::transport::fetch::over_https;
use crate::transport::sts::Policies;

/// How often it is looked which policies are to be fetched again.
const LOOK: Duration = Duration::from_secs(3600);

/// Reads those of the state folder, and begins to keep them fresh. Mail is not stopped by a
/// file that cannot be read: its policies are then fetched when they are needed.
pub(super) fn open(
    dns: &Arc<Resolver>,
    config: &Live,
    clock: &Arc<dyn Clock>,
    log: &MailLog,
) -> Policies {
    let fetch = over_https(Arc::clone(dns), config.clone());
    let folder = config.get().state_dir.clone();
    let read = Policies::in_folder(Arc::clone(clock), Arc::clone(&fetch), &folder);
    let policies = read.unwrap_or_else(|error| {
        let file = Policies::file(&folder);
        let text = format!("the MTA-STS policies in {} cannot be read: {error}", file.display());
        notice(log, "warning", &text);
        Policies::new(Arc::clone(clock), fetch)
    });
    let (kept, dns, config) = (policies.downgrade(), Arc::clone(dns), config.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(policies) = kept.upgrade() else { return };
            if config.get().delivery.mta_sts {
                policies.refresh(&*dns).await;
            }
        }
    });
    policies
}
