//! Tells each domain once a day how TLS towards it went (RFC 8460), if it wants to know.
//!
//! What was counted is `transport`'s; here it becomes a report, and goes where the domain's
//! record says, by HTTPS and by mail. A report is best effort: it is tried for a day and then
//! let go. Reports are never about reports: their mails say `TLS-Required: No`, connections
//! that carry such mail are not counted, and what was counted is forgotten before a mail is
//! queued, so that a crash in between loses a report rather than doubling it. They have the
//! null reverse-path: nobody is told of one that could not be delivered.

mod document;
mod letter;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use puerto_mail::dns::{Dns, Record, RecordType};
use puerto_smtp::{Address, Envelope, Notify, Recipient, ReversePath, TlsWish};
use puerto_spool::Content;
use puerto_spool::clock::Clock;
use tokio::sync::watch;

use crate::config::{Config, Live};
use crate::intake::{Intake, Source};
use crate::telemetry::{Event, MailLog};
use crate::transport::results::Results;
use document::Document;
pub use record::Place;

/// The day is over for everybody at the same time; reports go out within so many seconds of it.
const SPREAD: i64 = 4 * 3600;
const DAY: i64 = 24 * 3600;
/// RFC 8460 §5.5: a report that cannot be delivered is tried for a day.
const PATIENCE: i64 = 2;
/// How long a domain is left alone after an attempt that failed.
const AGAIN: Duration = Duration::from_secs(3600);
/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(600);

/// A delivery by HTTPS that is under way: whether it was taken, and what was said else.
pub type Posting = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
/// Delivers octets of this media type to a place.
pub type Post = Arc<dyn Fn(Place, &'static str, Vec<u8>) -> Posting + Send + Sync>;

/// What a reporter needs.
pub struct Context<D> {
    /// The configuration in force.
    pub config: Live,
    /// Who knows where reports go.
    pub dns: Arc<D>,
    /// What was counted.
    pub results: Results,
    /// Where mails enter.
    pub intake: Arc<Intake>,
    /// What was sent is told.
    pub log: MailLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Delivers by HTTPS.
    pub post: Post,
}

/// Sends the reports.
pub struct Reporter<D> {
    context: Context<D>,
    /// When each is tried again, by the clock that does not leap.
    tried: HashMap<(i64, String), Duration>,
}

/// What became of one report.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// Somebody has it, or nobody wants it.
    Done,
    /// It is to be tried again.
    Later,
}

impl<D: Dns> Reporter<D> {
    /// Builds it; called once.
    pub fn new(context: Context<D>) -> Self {
        Self { context, tried: HashMap::new() }
    }

    /// Sends what is due, now and until it is to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let sending = async {
            loop {
                self.round().await;
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = sending => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Sends what is due now.
    pub async fn round(&mut self) {
        let config = self.context.config.get();
        let (now, elapsed) = (self.context.clock.now().as_millis() / 1000, self.elapsed());
        let today = self.context.results.today();
        self.tried.retain(|(day, _), _| today - day <= PATIENCE);
        for (day, domain) in self.context.results.finished() {
            if today - day > PATIENCE || !config.delivery.tls_reports {
                self.context.results.forget(day, &domain);
                continue;
            }
            let since = now - (day + 1) * DAY;
            let key = (day, domain.clone());
            let waits = self.tried.get(&key).is_some_and(|again| elapsed < *again);
            if waits || since < lag(&domain) {
                continue;
            }
            match self.send(&config, day, &domain).await {
                Sent::Done => self.context.results.forget(day, &domain),
                Sent::Later => drop(self.tried.insert(key, elapsed + AGAIN)),
            }
        }
    }

    fn elapsed(&self) -> Duration {
        self.context.clock.elapsed()
    }

    async fn send(&self, config: &Config, day: i64, domain: &str) -> Sent {
        let name = format!("_smtp._tls.{domain}");
        let texts: Vec<String> = match self.context.dns.records(&name, RecordType::Txt).await {
            Ok(records) => records.iter().filter_map(Record::text).collect(),
            Err(error) if error.is_absence() => return Sent::Done,
            Err(_) => return Sent::Later,
        };
        let places = record::places(texts.iter().map(String::as_str));
        let Some(submitter) = config.sender_domain() else { return Sent::Done };
        let submitter = submitter.to_string();
        let tallies = self.context.results.of(day, domain);
        if places.is_empty() || tallies.is_empty() {
            return Sent::Done;
        }
        let document = Document::new(&tallies, (day, domain), (&submitter, &config.hostname));
        let mut taken = false;
        for place in places {
            let shown = place.to_string();
            let done = match &place {
                Place::Https { .. } => {
                    (self.context.post)(place, document::GZIP, document.zipped()).await
                }
                Place::Mail(to) => self.mail(&document, to).await,
            };
            let (id, level) = (None, if done.is_ok() { "info" } else { "warning" });
            let text = match &done {
                Ok(()) => format!("TLS report about {domain} sent to {shown}"),
                Err(why) => format!("TLS report about {domain} not sent to {shown}: {why}"),
            };
            let component = "tlsrpt";
            self.context.log.write(&Event::Notice { level, component, id, text: &text });
            taken |= done.is_ok();
        }
        if taken { Sent::Done } else { Sent::Later }
    }

    async fn mail(&self, document: &Document, to: &Address) -> Result<(), String> {
        let results = &self.context.results;
        results.forget(document.day, &document.domain);
        let saved = results.clone();
        let _ = tokio::task::spawn_blocking(move || saved.write()).await;
        let id = self.context.intake.new_id();
        let now = self.context.clock.now().as_millis() / 1000;
        let written = letter::write(document, to, &id.to_string(), now)?;
        let recipient = Recipient { notify: Some(Notify::NEVER), ..Recipient::new(to.clone()) };
        let mut envelope = Envelope::new(ReversePath::Null, vec![recipient]);
        envelope.tls = TlsWish::Optional;
        envelope.smtputf8 = !to.is_ascii();
        let content = Content::Memory(written);
        let accepted = self.context.intake.accept(id, &Source::Internal, envelope, content).await;
        accepted.map(drop).map_err(|refusal| refusal.reply.to_string())
    }
}

// By the domain's name, so that a receiver of many reports has them one after the other.
fn lag(domain: &str) -> i64 {
    let mut hasher = DefaultHasher::new();
    domain.hash(&mut hasher);
    i64::try_from(hasher.finish() % SPREAD.unsigned_abs()).unwrap_or_default()
}

impl<D> std::fmt::Debug for Reporter<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}
