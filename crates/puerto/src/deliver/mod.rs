//! Hands a message on to the next hop and says what became of each recipient.
//!
//! [`Remote`] goes through the hosts of a plan until every recipient has its
//! outcome: `open` brings an address to a session that is ready for MAIL, `session`
//! joins the protocol's state machine to the socket, `content` writes the message,
//! `attempt` keeps where each recipient stands and says so, `places` says how many
//! connections there may be and to whom, `pool` keeps connections for the next message.
//! Nothing here knows the queue: the report is all that comes out.

mod attempt;
mod content;
mod one_domain;
mod open;
mod outcome;
mod places;
mod pool;
pub mod probe;
mod question;
mod remote;
mod require_tls;
mod retry_after;
mod seldom;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod witness;

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use puerto_smtp::{Address, EnhancedCode, Reply, Return, ReversePath, TlsWish, Verp};
use puerto_spool::{LeasedRecipient, MessageId, Timestamp};

use crate::cause::Cause;
use crate::providers::{Against, Call, Rate};
use crate::route::Plan;
use crate::telemetry::{Delays, DeliveryStatus, Encryption};

pub use places::open_files;
#[cfg(test)]
pub(crate) use places::{HURRIED, Places, Whom};
pub use question::Judged;
pub use remote::{LmtpTarget, Remote, share};

/// A message's content, openable more than once: a second host may need it again.
pub trait Body: Send + Sync {
    /// Octets of it, line ends as they are stored.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Opens it at the beginning if that needs no waiting for a disk, nor reading it.
    fn open_at_once(&self) -> Option<Box<dyn BodyReader>> {
        None
    }
    /// Opens it at the beginning. May block on the disk.
    fn open(&self) -> std::io::Result<Box<dyn BodyReader>>;
}

/// A body that was opened, read from its beginning to its end.
pub trait BodyReader: Read + Send {
    /// All of it, if it is in memory, so that reading cannot block.
    fn in_memory(&self) -> Option<&[u8]>;
}

/// A message that is whole in memory.
impl Body for Arc<[u8]> {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn open_at_once(&self) -> Option<Box<dyn BodyReader>> {
        self.open().ok()
    }

    fn open(&self) -> std::io::Result<Box<dyn BodyReader>> {
        Ok(Box::new(Cursor::new(Self::clone(self))))
    }
}

impl BodyReader for Cursor<Arc<[u8]>> {
    fn in_memory(&self) -> Option<&[u8]> {
        Some(self.get_ref())
    }
}

/// One message for one destination.
pub struct Job {
    /// The message, by the id that the log knows it by.
    pub id: MessageId,
    /// How to get there.
    pub plan: Arc<Plan>,
    /// The argument of MAIL FROM, its domain as the sender wrote it.
    pub reverse_path: ReversePath,
    /// The recipients that are tried now, maybe not all of the message.
    pub recipients: Vec<LeasedRecipient>,
    /// ENVID, decoded, for a next hop that offers DSN (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// How much of the message a failure is to return (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// The reverse-path is to name the recipient.
    pub verp: Option<Verp>,
    /// The content needs 8BITMIME.
    pub eight_bit: bool,
    /// The message needs SMTPUTF8.
    pub smtputf8: bool,
    /// What is wanted of TLS on the way.
    pub tls: TlsWish,
    /// It goes to many, and others go before it.
    pub bulk: bool,
    /// When the message came, for `delay=`.
    pub received_at: Timestamp,
    /// How long it waited in the queue before this attempt, for `delays=`.
    pub in_queue: Duration,
    /// The content, which each host that is tried reads anew.
    pub body: Arc<dyn Body>,
    /// Whether all of it may have been sent in this attempt.
    pub ending: Ending,
}

impl Job {
    /// The reverse-path for one recipient. One that cannot be made is as it was.
    pub fn reverse_path_for(&self, recipient: &Address) -> Cow<'_, ReversePath> {
        let made = self.verp.zip(self.reverse_path.address());
        match made.and_then(|(verp, sender)| verp.reverse_path(sender, recipient)) {
            Some(address) => Cow::Owned(ReversePath::Address(address)),
            None => Cow::Borrowed(&self.reverse_path),
        }
    }

    /// The time of day when the attempt has lasted so long. It follows the clock that the
    /// job was made by, and does not leap.
    pub fn after(&self, lasted: Duration) -> Timestamp {
        self.received_at.after(self.in_queue + lasted)
    }
}

/// Whether the end of a message's content may have been sent: from then on a peer may have
/// the message, whatever becomes of the connection.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<AtomicBool>);

impl Ending {
    /// It may be sent now.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it may have been.
    pub fn may_be_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What became of one recipient in one attempt: the one record that the log, the
/// bounce, the queue and the explanation read.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The recipient's place in the envelope.
    pub index: u32,
    /// What became of it.
    pub status: DeliveryStatus,
    /// `smtp`, `lmtp`, `local`, `error`: who says so.
    pub component: &'static str,
    /// `host[ip]:port`, `local` or `none`.
    pub relay: String,
    /// The host's name, for the DSN's Remote-MTA.
    pub host: Option<String>,
    /// The status, also where there was no reply.
    pub status_code: EnhancedCode,
    /// The reply, if the peer gave one.
    pub reply: Option<Reply>,
    /// What brought it about: the reply that took the message, or what went wrong.
    pub cause: Cause,
    /// How the connection was protected, if it was.
    pub tls: Option<Encryption>,
    /// Why it was so, or why it was not protected.
    pub tls_reason: Option<Cause>,
    /// When the attempt ended.
    pub at: Timestamp,
    /// Where the time went.
    pub delays: Delays,
    /// "Try again in N", if the reply said so.
    pub retry_after: Option<Duration>,
    /// What it means that it was taken.
    pub success: Success,
    /// What of the address that we send from it is held against, where another way has none
    /// of it.
    pub against: Option<Against>,
}

/// What a sender who wants to hear of success is told once a message was taken for a
/// recipient, and by whom (RFC 3461 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Success {
    /// It went to a server that offers no DSN: we say that, and nobody says more.
    #[default]
    Relayed,
    /// It is in its mailbox.
    Delivered,
    /// The address stands for several, to whom it was sent on.
    Expanded,
    /// Whoever has it now takes over the duty of telling.
    ToldElsewhere,
}

impl Outcome {
    /// The log's text: `host mx.example[192.0.2.1] said: 550 … (in reply to RCPT TO
    /// command)`, or `connect to …: Connection refused`.
    pub fn text(&self) -> Cow<'_, str> {
        match self.cause.text() {
            Cow::Owned(text) => Cow::Owned(outcome::shortened(text)),
            quoted => quoted,
        }
    }

    /// Puts what brought it about into another cause.
    pub fn wrap(&mut self, outer: impl FnOnce(Box<Cause>) -> Cause) {
        let inner = std::mem::replace(&mut self.cause, Cause::words(String::new()));
        self.cause = outer(Box::new(inner));
    }
}

/// How the destination bore it, for the shape of what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// It answered as it should.
    Fine,
    /// It asked for less: 421, too many connections, a lost connection.
    Strained,
    /// It asked for less for about so long, or named a rate that it bears.
    Slowed(Duration, Option<Rate>),
    /// It asked for a pause.
    Parked(Duration),
    /// No host of it could be reached or would greet us.
    Unreachable,
    /// Nobody was spoken to: others hold all places that its hosts may have.
    Crowded {
        /// When one of those others last failed there.
        failed_at: Option<Timestamp>,
    },
}

impl Pressure {
    /// What a reply calls for, if it calls for less.
    pub fn of(call: Option<Call>) -> Option<Self> {
        match call? {
            Call::Park(span) => Some(Self::Parked(span)),
            Call::Slow(span, rate) => Some(Self::Slowed(span, rate)),
            Call::Recipient(_) | Call::Message | Call::Reconnect => None,
        }
    }
}

/// What a job came to: one outcome for each recipient.
#[derive(Debug, Clone)]
pub struct Report {
    /// One for each recipient of the job, in their order.
    pub outcomes: Vec<Outcome>,
    /// How the destination bore it.
    pub pressure: Pressure,
}
