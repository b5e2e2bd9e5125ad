//! Notices and complaints that come back about messages that went out earlier: read after
//! they were delivered, and noted with the message that they belong to.
//!
//! Anybody may write one. So nothing follows from it but a line of the log and of the
//! message's story, and [`judge`] believes it only where it names a message that went out
//! from the address it comes to, and one of its recipients. Answers of machines and read
//! receipts are none ([`explain::returned`] tells them apart).
//!
//! It is off the path of mail: a message is looked at once a mailbox has it, its first
//! [`MAX_INPUT`] octets alone, one after the other; what comes faster than that is left out.
//! Mail that our own domains write to each other is not opened for it.

mod judge;
mod known;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::sync::Arc;

use puerto_smtp::{Address, ReversePath, Verp};
use puerto_spool::MessageId;
use tokio::sync::mpsc;

use crate::config::{Config, Live};
use crate::deliver::{BodyReader, Job, Report};
use crate::explain::{self, MAX_INPUT};
use crate::telemetry::{DeliveryStatus, Event, Later, MailLog};

/// Messages that wait to be looked at.
const WAITING: usize = 64;
/// Octets in which it must say what it is.
const HEAD: u64 = 16 * 1024;

/// What is known of messages that went out. It may wait for a disk.
pub trait Known: Send + Sync {
    /// Whether anything is.
    fn is_kept(&self) -> bool;
    /// Those with this Message-ID, without brackets; a few, the newest first.
    fn with_message_id(&self, message_id: &str) -> Vec<MessageId>;
    /// Who sent it to whom.
    fn envelope(&self, id: MessageId) -> Option<Sent>;
}

/// A message that went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The reverse-path; empty for the null one.
    pub from: String,
    /// The recipients, maybe not all.
    pub to: Vec<String>,
}

/// Looks for reports in what mailboxes get.
pub struct Returns {
    looking: Option<Looking>,
}

struct Looking {
    config: Live,
    known: Arc<dyn Known>,
    waiting: mpsc::Sender<Candidate>,
}

/// What may be a report.
struct Candidate {
    id: MessageId,
    came_to: Vec<Address>,
    body: Vec<u8>,
}

impl Returns {
    /// Looks at nothing, where nothing is known of what went out.
    pub fn nowhere() -> Self {
        Self { looking: None }
    }

    /// Begins to look; to be called within a runtime.
    pub fn start(config: Live, known: Arc<dyn Known>, log: MailLog) -> Self {
        let (waiting, mut candidates) = mpsc::channel::<Candidate>(WAITING);
        let looking = Looking { config: config.clone(), known: Arc::clone(&known), waiting };
        tokio::spawn(async move {
            while let Some(candidate) = candidates.recv().await {
                let (config, known, log) = (config.get(), Arc::clone(&known), log.clone());
                // What cannot be read is no report.
                let look = move || look(&candidate, &config, known.as_ref(), &log);
                let _ = tokio::task::spawn_blocking(look).await;
            }
        });
        Self { looking: Some(looking) }
    }

    /// Looks at what was delivered here, if it may be a report.
    pub async fn consider(&self, job: &Job, report: &Report) {
        let Some(looking) = &self.looking else { return };
        let sent = report.outcomes.iter().any(|outcome| outcome.status == DeliveryStatus::Sent);
        if !sent
            || looking.waiting.capacity() == 0
            || !may_report(&job.reverse_path, &looking.config.get())
            || !looking.known.is_kept()
        {
            return;
        }
        let (body, is_null) = (Arc::clone(&job.body), job.reverse_path.is_null());
        let read = match body.open_at_once() {
            Some(reader) => beginning(reader, is_null),
            None => {
                let reading = move || beginning(body.open().ok()?, is_null);
                tokio::task::spawn_blocking(reading).await.ok().flatten()
            }
        };
        if let Some(body) = read {
            let came_to = job.recipients.iter().map(|leased| leased.recipient.address.clone());
            let _ = looking.waiting.try_send(Candidate {
                id: job.id,
                came_to: came_to.collect(),
                body,
            });
        }
    }
}

impl std::fmt::Debug for Returns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Returns").field("looks", &self.looking.is_some()).finish()
    }
}

// Notices have no sender, as a rule, and complaints one elsewhere. They come to any address.
fn may_report(reverse_path: &ReversePath, config: &Config) -> bool {
    reverse_path.address().is_none_or(|sender| !config.domains.contains(sender.domain()))
}

// The beginning of a message that may be a report. Notices have the null reverse-path;
// complaints and the notices of some say what they are (RFC 6522).
fn beginning(mut reader: Box<dyn BodyReader>, is_null: bool) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut octets).ok()?;
    if !is_null && !says_it_is_a_report(&octets) {
        return None;
    }
    let rest = u64::try_from(MAX_INPUT.saturating_sub(octets.len())).unwrap_or_default();
    reader.take(rest).read_to_end(&mut octets).ok()?;
    Some(octets)
}

// In its header: a letter may speak of such things.
fn says_it_is_a_report(head: &[u8]) -> bool {
    let end = memchr::memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
    let header = head.get(..end).unwrap_or_default().to_ascii_lowercase();
    let holds = |words: &[u8]| memchr::memmem::find(&header, words).is_some();
    holds(b"multipart/report") || holds(b"x-failed-recipients")
}

fn look(candidate: &Candidate, config: &Config, known: &dyn Known, log: &MailLog) {
    let text = String::from_utf8_lossy(&candidate.body);
    let Some(report) = explain::returned(&text) else { return };
    // What we tell our own users is in the log and in the story already.
    if report.reporter.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(&config.hostname)) {
        return;
    }
    let asked = judge::Asked {
        report: &report,
        came_to: &candidate.came_to,
        hostname: &config.hostname,
        delimiters: &delimiters(config),
    };
    match judge::judge(&asked, known) {
        Ok(found) => found.iter().for_each(|one| {
            log.write(&Event::Later(Later {
                id: one.id,
                report: candidate.id,
                news: one.fate.news.name(),
                to: one.recipient.as_deref(),
                status_code: one.fate.status,
                text: &one.fate.text,
                complaint: report.complaint.as_deref(),
                explanation: one.fate.explanation.map(|found| found.clause()),
            }));
        }),
        Err(doubt) => {
            let (id, cause) = (candidate.id, &doubt.cause());
            log.write(&Event::Remark { level: "info", component: "bounce", id, cause });
        }
    }
}

// A program may choose others for itself; then its notices name the recipient another way.
fn delimiters(config: &Config) -> Vec<Verp> {
    let mut all: Vec<Verp> = config.routes.iter().filter_map(|route| route.verp).collect();
    all.push(Verp::default());
    all.dedup();
    all
}
