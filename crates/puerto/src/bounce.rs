//! Tells the sender what became of a message.
//!
//! A notification is an ordinary message with the null reverse-path: it enters at
//! intake, is signed, and is durable before its cause is settled, so that a crash in
//! between sends it twice rather than never. Nobody is ever told about a
//! notification (RFC 5321 §4.5.5).

use std::sync::Arc;

use puerto_smtp::{Envelope, Notify, Recipient, ReversePath};
use puerto_spool::{Content, Timestamp};

use crate::config::Live;
use crate::deliver::{Job, Outcome};
use crate::intake::{Intake, Refusal, Source};
use crate::telemetry::{Event, MailLog};

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

/// What there is to tell.
pub struct Notice<'a> {
    /// What it is about.
    pub kind: Kind,
    /// The message and its recipients.
    pub job: &'a Job,
    /// What became of the recipients that it is about.
    pub outcomes: &'a [Outcome],
    /// When the message will be given up.
    pub expire_at: Timestamp,
}

/// Writes notifications.
pub struct Bouncer {
    config: Live,
    intake: Arc<Intake>,
    log: MailLog,
}

impl Bouncer {
    /// Builds it; called once.
    pub fn new(config: Live, intake: Arc<Intake>, log: MailLog) -> Self {
        Self { config, intake, log }
    }

    /// Tells the sender of a message what became of some of its recipients, if the
    /// sender wants to know. When this returns `Ok`, the notification is on stable
    /// storage or there is nobody to tell; on `Err` the cause must not be settled yet.
    pub async fn notify(&self, notice: &Notice<'_>) -> Result<(), Refusal> {
        let ReversePath::Address(sender) = &notice.job.reverse_path else { return Ok(()) };
        let wanted = notice.outcomes.iter().filter(|outcome| is_wanted(notice, outcome));
        let lines: Vec<&str> = wanted.map(|outcome| outcome.text.as_str()).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let hostname = &self.config.get().hostname;
        let message = format!(
            "From: Mail delivery <MAILER-DAEMON@{hostname}>\r\nTo: {sender}\r\nSubject: Your \
             mail\r\n\r\n{}\r\n",
            lines.join("\r\n")
        );
        let id = self.intake.new_id();
        let envelope = Envelope::new(ReversePath::Null, vec![Recipient::new(sender.clone())]);
        let content = Content::Memory(message.into_bytes());
        self.intake.accept(id, &Source::Internal, envelope, content).await?;
        let kind = match notice.kind {
            Kind::Failed => "sender non-delivery notification",
            Kind::Delayed => "sender delay notification",
            Kind::Delivered => "sender delivery status notification",
        };
        self.log.write(&Event::Notification { id: notice.job.id, kind, notification: id });
        Ok(())
    }
}

fn is_wanted(notice: &Notice<'_>, outcome: &Outcome) -> bool {
    let recipient = notice.job.recipients.iter().find(|r| r.index == outcome.index);
    let Notify { success, failure, delay } =
        recipient.and_then(|r| r.recipient.notify).unwrap_or_default();
    match notice.kind {
        Kind::Failed => failure,
        Kind::Delayed => delay,
        Kind::Delivered => success,
    }
}
