//! Tells the sender what became of a message.
//!
//! A notification is an ordinary message with the null reverse-path: it enters at
//! intake, is signed, and is durable before its cause is settled, so that a crash in
//! between sends it twice rather than never. Nobody is ever told about a
//! notification (RFC 5321 §4.5.5).

mod outsider;
#[cfg(test)]
mod tests;
mod text;

use std::io::Read;
use std::sync::Arc;

use puerto_mail::dsn::{self, Action, Diagnostic, RecipientReport, Returned};
use puerto_mail::header::{Header, MAX_HEADER};
use puerto_smtp::{
    Address, Domain, Envelope, Notify, Recipient, Return, ReversePath, Severity, TlsWish,
};
use puerto_spool::{Content, LeasedRecipient, MessageId, Origin, Timestamp};

use crate::cause::Cause;
use crate::config::{Config, Live};
use crate::deliver::{Body, Job, Outcome, Success};
use crate::intake::{Intake, Refusal, Source, wall_clock};
use crate::lang::Language;
use crate::telemetry::{Event, MailLog};

/// Octets of a message that are returned with a notification at most; of a larger
/// one, the header is.
const MAX_RETURNED: u64 = 50 * 1024;

/// Undeliverable notifications that a postmaster is told of within an hour.
const TO_POSTMASTER: u32 = 100;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Delivery was given up.
    Failed,
    /// Delivery is late and goes on.
    Delayed,
    /// Delivery succeeded, and the sender wanted to know.
    Delivered,
}

impl Kind {
    /// As Postfix's log calls the notification.
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Failed => "sender non-delivery notification",
            Self::Delayed => "sender delay notification",
            Self::Delivered => "sender delivery status notification",
        }
    }
}

/// What there is to tell.
pub struct Notice<'a> {
    /// What it is about.
    pub kind: Kind,
    /// The message and its recipients.
    pub job: &'a Job,
    /// Recipients of the message that other jobs have, and whom it is about too.
    pub others: &'a [LeasedRecipient],
    /// What became of the recipients that it is about.
    pub outcomes: &'a [Outcome],
    /// When the message will be given up.
    pub expire_at: Timestamp,
    /// When those that wait are tried next.
    pub next_attempt: Option<Timestamp>,
    /// Where the message came from, if the spool still knows.
    pub origin: Option<Origin>,
}

/// Writes notifications.
pub struct Bouncer {
    config: Live,
    intake: Arc<Intake>,
    log: MailLog,
    to_outsiders: outsider::Allowance,
    to_postmaster: outsider::Allowance,
}

impl Bouncer {
    /// Builds it; called once.
    pub fn new(config: Live, intake: Arc<Intake>, log: MailLog) -> Self {
        let to_outsiders = outsider::Allowance::of(outsider::TO_ONE, outsider::TO_ALL);
        let to_postmaster = outsider::Allowance::of(TO_POSTMASTER, TO_POSTMASTER);
        Self { config, intake, log, to_outsiders, to_postmaster }
    }

    /// Tells the sender of a message what became of some of its recipients, if the
    /// sender wants to know. When this returns `Ok`, the notification, which it names, is
    /// on stable storage, or there is nobody to tell; on `Err` the cause must not be
    /// settled yet.
    pub async fn notify(&self, notice: &Notice<'_>) -> Result<Option<MessageId>, Refusal> {
        let told = told(notice);
        if told.is_empty() {
            return Ok(None);
        }
        let config = self.config.get();
        let Some(sender) = notice.job.reverse_path.address() else {
            return self.tell_postmaster(notice, told, &config).await;
        };
        let from = &notice.job.reverse_path;
        let is_outward = outsider::is_meant(&config, notice.origin.as_ref(), from);
        let whom = if is_outward { Whom::Outsider } else { Whom::Sender };
        if notice.job.verp.is_none() {
            return self
                .tell(Letter { notice, to: sender, told, whom, now: self.intake.now() })
                .await;
        }
        // Each address tells whom its notification is about.
        let mut last = None;
        for one in told {
            let own = notice.job.reverse_path_for(&one.recipient.recipient.address).into_owned();
            let to = own.address().unwrap_or(sender);
            let letter = Letter { notice, to, told: vec![one], whom, now: self.intake.now() };
            let told = self.tell(letter).await?;
            if let Some(notification) = std::mem::replace(&mut last, told) {
                let (id, kind) = (notice.job.id, notice.kind.log_name());
                self.log.write(&Event::Notification { id, kind, notification });
            }
        }
        Ok(last)
    }

    // Nobody is told about a notification that failed, but for a postmaster who wants to be,
    // and who is not told that such a letter failed.
    async fn tell_postmaster(
        &self,
        notice: &Notice<'_>,
        told: Vec<Told<'_>>,
        config: &Config,
    ) -> Result<Option<MessageId>, Refusal> {
        if notice.kind != Kind::Failed {
            return Ok(None);
        }
        let is_strange = outsider::is_strange(config, notice.origin.as_ref());
        let postmaster = config.postmaster.as_ref().filter(|postmaster| {
            !is_strange && !told.iter().any(|told| is_meant_for(told.recipient, postmaster))
        });
        let Some(to) = postmaster else {
            self.note(notice, &Cause::NoSenderToTell {});
            return Ok(None);
        };
        if !self.to_postmaster.take(to, self.intake.now()) {
            self.note(notice, &Cause::PostmasterHasEnough {});
            return Ok(None);
        }
        self.tell(Letter { notice, to, told, whom: Whom::Postmaster, now: self.intake.now() }).await
    }

    async fn tell(&self, letter: Letter<'_>) -> Result<Option<MessageId>, Refusal> {
        let notice = letter.notice;
        let is_outward = letter.whom == Whom::Outsider;
        if is_outward && !self.to_outsiders.take(letter.to, letter.now) {
            self.note(notice, &Cause::OutsidersHaveEnough {});
            return Ok(None);
        }
        let original = read_original(notice, letter.whom).await;
        match self.send(&letter, original.returned()).await {
            Err(refusal) if refusal.reply.severity() == Severity::Permanent => {
                // What is returned may be what is wrong with it.
                self.note(notice, &Cause::NotReturned { reply: refusal.reply.to_string() });
                self.send_bare(&letter).await
            }
            other => other,
        }
    }

    // A notification that can never be stored must not hold up its cause for ever.
    async fn send_bare(&self, letter: &Letter<'_>) -> Result<Option<MessageId>, Refusal> {
        match self.send(letter, Returned::Nothing).await {
            Err(refusal) if refusal.reply.severity() == Severity::Permanent => {
                let (who, reply) = (letter.to.to_string(), refusal.reply.to_string());
                self.note(letter.notice, &Cause::NobodyTold { who, reply });
                Ok(None)
            }
            other => other,
        }
    }

    async fn send(
        &self,
        letter: &Letter<'_>,
        returned: Returned<'_>,
    ) -> Result<Option<MessageId>, Refusal> {
        let notification = self.intake.new_id();
        let config = self.config.get();
        let written = letter.write(notification, (&config.hostname, config.language), returned);
        let recipients = vec![Recipient::new(letter.to.clone())];
        let mut envelope = Envelope::new(ReversePath::Null, recipients);
        envelope.smtputf8 = written.smtputf8;
        // RFC 8689 §5: what stands in it is protected as the message was.
        if letter.notice.job.tls == TlsWish::Required {
            envelope.tls = TlsWish::Required;
        }
        let content = Content::Memory(written.octets);
        let source = match letter.whom {
            Whom::Outsider => Source::Outward,
            Whom::Sender | Whom::Postmaster => Source::Internal,
        };
        self.intake.accept(notification, &source, envelope, content).await?;
        Ok(Some(notification))
    }

    fn note(&self, notice: &Notice<'_>, cause: &Cause) {
        let id = notice.job.id;
        self.log.write(&Event::Remark { level: "warning", component: "bounce", id, cause });
    }
}

/// What is told to whom.
struct Letter<'a> {
    notice: &'a Notice<'a>,
    to: &'a Address,
    told: Vec<Told<'a>>,
    whom: Whom,
    now: Timestamp,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Who sent it, and is ours.
    Sender,
    /// Who sent it, as a stranger says.
    Outsider,
    /// The postmaster, since it is a notification that has failed.
    Postmaster,
}

impl Letter<'_> {
    fn write(
        &self,
        id: MessageId,
        (hostname, language): (&str, Language),
        returned: Returned<'_>,
    ) -> dsn::Notification {
        let job = self.notice.job;
        let recipients: Vec<RecipientReport> =
            self.told.iter().map(|told| recipient_report(self.notice, told)).collect();
        let subject = match &returned {
            // A stranger's text rides on no notice of ours.
            _ if self.whom == Whom::Outsider => None,
            Returned::Headers(octets) | Returned::Full(octets) => text::subject_of(octets),
            Returned::Nothing => None,
        };
        dsn::build(&dsn::Report {
            hostname,
            to: self.to,
            subject: text::subject(self).of(language),
            labels: text::labels(language),
            text: &text::body(self, (hostname, language), subject.as_deref()),
            message_id: &format!("<{id}@{hostname}>"),
            date: wall_clock(self.now),
            envelope_id: job.envelope_id.as_deref(),
            arrival: wall_clock(job.received_at),
            received_from: self.notice.origin.as_ref().and_then(origin_host).as_deref(),
            is_international: job.smtputf8,
            recipients: &recipients,
            returned,
        })
    }
}

/// A recipient that the sender is told about, and what became of it.
struct Told<'a> {
    recipient: &'a LeasedRecipient,
    outcome: &'a Outcome,
}

// RFC 3461 §4.1 and §5.2: only what was asked for, and success only where the next
// hop does not report it.
fn told<'a>(notice: &'a Notice<'_>) -> Vec<Told<'a>> {
    let recipient_of = |outcome: &Outcome| {
        let mut all = notice.job.recipients.iter().chain(notice.others);
        all.find(|recipient| recipient.index == outcome.index)
    };
    notice
        .outcomes
        .iter()
        .filter_map(|outcome| Some(Told { recipient: recipient_of(outcome)?, outcome }))
        .filter(|told| {
            let Notify { success, failure, delay } =
                told.recipient.recipient.notify.unwrap_or_default();
            match notice.kind {
                Kind::Failed => failure,
                Kind::Delayed => delay,
                Kind::Delivered => success && told.outcome.success != Success::ToldElsewhere,
            }
        })
        .collect()
}

fn recipient_report(notice: &Notice<'_>, told: &Told<'_>) -> RecipientReport {
    let Told { recipient, outcome } = told;
    let (action, class) = match (notice.kind, outcome.success) {
        (Kind::Failed, _) => (Action::Failed, 5),
        (Kind::Delayed, _) => (Action::Delayed, 4),
        (Kind::Delivered, Success::Delivered) => (Action::Delivered, 2),
        (Kind::Delivered, Success::Expanded) => (Action::Expanded, 2),
        (Kind::Delivered, Success::Relayed | Success::ToldElsewhere) => (Action::Relayed, 2),
    };
    let reply = outcome.reply.as_ref().map(ToString::to_string);
    let diagnostic = match reply.or_else(|| outcome.cause.reply().map(str::to_owned)) {
        Some(text) => Diagnostic { kind: "smtp", text },
        None => Diagnostic { kind: "x-buen-puerto", text: outcome.text().into_owned() },
    };
    RecipientReport {
        original: recipient.recipient.original.clone(),
        address: recipient.recipient.address.clone(),
        action,
        status: outcome.status_code.with_class(class),
        remote_mta: outcome.host.clone(),
        diagnostic: Some(diagnostic),
        final_log_id: outcome.host.is_none().then(|| notice.job.id.to_string()),
        last_attempt: wall_clock(outcome.at),
        will_retry_until: (notice.kind == Kind::Delayed).then(|| wall_clock(notice.expire_at)),
    }
}

// An alias of that address may have sent it on; its original recipient tells.
fn is_meant_for(leased: &LeasedRecipient, postmaster: &Address) -> bool {
    let original = leased.recipient.original_or_address();
    let original = original.split_once(';').map(|(_, address)| address);
    let postmaster = postmaster.to_string();
    leased.recipient.address.to_string().eq_ignore_ascii_case(&postmaster)
        || original.is_some_and(|original| original.eq_ignore_ascii_case(&postmaster))
}

// RFC 3464 §2.2.4. A name that nobody vouches for is none.
fn origin_host(origin: &Origin) -> Option<String> {
    let (name, address) = outsider::client(origin)?;
    Some(if name == "unknown" { Domain::Literal(address).to_string() } else { name.to_owned() })
}

// What is returned of the message, read beside the reactor.
enum Original {
    Full(Vec<u8>),
    Headers(Vec<u8>),
    Unreadable,
}

impl Original {
    fn returned(&self) -> Returned<'_> {
        match self {
            Self::Full(octets) => Returned::Full(octets),
            Self::Headers(octets) => Returned::Headers(octets),
            Self::Unreadable => Returned::Nothing,
        }
    }
}

async fn read_original(notice: &Notice<'_>, whom: Whom) -> Original {
    let body = Arc::clone(&notice.job.body);
    // RET speaks of failures alone (RFC 3461 §4.3).
    let is_full = notice.kind == Kind::Failed
        && whom == Whom::Sender
        && notice.job.ret == Some(Return::Full)
        // RFC 8689 §5: the notice may go in plain text all the same.
        && notice.job.tls != TlsWish::Required
        && body.len() <= MAX_RETURNED;
    let read = tokio::task::spawn_blocking(move || read_bounded(body.as_ref()));
    match read.await {
        Ok(Ok(octets)) if is_full => Original::Full(octets),
        Ok(Ok(octets)) => match Header::parse(&octets) {
            Ok(header) => Original::Headers(header.octets().to_vec()),
            Err(_) => Original::Unreadable,
        },
        Ok(Err(_)) | Err(_) => Original::Unreadable,
    }
}

fn read_bounded(body: &dyn Body) -> std::io::Result<Vec<u8>> {
    // Our own fields stand before a header that may be as long as one can be.
    let bound = 2 * MAX_HEADER as u64;
    let mut octets = Vec::new();
    body.open()?.take(bound).read_to_end(&mut octets)?;
    Ok(octets)
}
