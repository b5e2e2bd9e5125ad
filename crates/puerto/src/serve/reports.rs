//! What is remembered of TLS towards others, and told them.

use std::path::Path;
use std::sync::Arc;

use puerto_spool::clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::notice;
use crate::config::Live;
use crate::dns::Resolver;
use crate::intake::Intake;
use crate::reports::{Context, Place, Post, Posting, Reporter};
use crate::telemetry::MailLog;
use crate::tls::ClientTls;
use crate::transport::fetch;
use crate::transport::memory::Memory;
use crate::transport::results::Results;
use crate::transport::sts::Shared;

/// Which hosts did TLS before. Mail is not stopped by a file that cannot be read.
pub(super) fn memory(folder: &Path, clock: &Arc<dyn Clock>, log: &MailLog) -> Memory {
    Memory::in_folder(Arc::clone(clock), folder).unwrap_or_else(|error| {
        let file = Memory::file(folder);
        let text = format!("which hosts speak TLS in {} cannot be read: {error}", file.display());
        notice(log, "warning", &text);
        Memory::new(Arc::clone(clock))
    })
}

/// What was counted for the reports to receivers.
pub(super) fn results(
    folder: &Path,
    clock: &Arc<dyn Clock>,
    policies: Shared,
    log: &MailLog,
) -> Results {
    let read = Results::in_folder(Arc::clone(clock), Some(policies.clone()), folder);
    read.unwrap_or_else(|error| {
        let file = Results::file(folder);
        let text = format!("the results of TLS in {} cannot be read: {error}", file.display());
        notice(log, "warning", &text);
        Results::new(Arc::clone(clock), Some(policies))
    })
}

/// Begins to send the reports, until it is to stop.
pub(super) fn begin(
    results: &Results,
    (dns, config): (&Arc<Resolver>, &Live),
    (intake, clock): (&Arc<Intake>, &Arc<dyn Clock>),
    (log, stop): (&MailLog, watch::Receiver<bool>),
) -> JoinHandle<()> {
    let reporter = Reporter::new(Context {
        config: config.clone(),
        dns: Arc::clone(dns),
        results: results.clone(),
        intake: Arc::clone(intake),
        log: log.clone(),
        clock: Arc::clone(clock),
        post: over_https(dns, config),
    });
    tokio::spawn(reporter.run(stop))
}

fn over_https(dns: &Arc<Resolver>, config: &Live) -> Post {
    let (dns, config, tls) = (Arc::clone(dns), config.clone(), ClientTls::new());
    Arc::new(move |place: Place, media_type: &'static str, octets: Vec<u8>| -> Posting {
        let (dns, config, tls) = (Arc::clone(&dns), config.clone(), tls.clone());
        Box::pin(async move {
            let Place::Https { host, port, path } = place else { return Ok(()) };
            let (with, to) = ((&*dns, &config, &tls), (&*host, port, &*path));
            let posted = fetch::post(with, to, (media_type, &octets)).await;
            posted.map_err(|why| why.to_string())
        })
    })
}
