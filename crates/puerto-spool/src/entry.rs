//! The values that go in and out of a spool.

use std::fmt;

use puerto_smtp::{Domain, EnhancedCode, Envelope, Recipient, Return, ReversePath, TlsWish, Verp};

use crate::id::{MessageId, Timestamp};
use crate::index::states_of;
use crate::{Answer, Content, NewMessage};

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// By SMTP from this client, as the log writes it: `name[address]`.
    Client(String),
    /// By SMTP from whoever had logged in to an account.
    Account {
        /// The account's name.
        name: String,
        /// Where it was logged in from, as the log writes it: `name[address]`.
        client: String,
    },
    /// From a local user.
    LocalUser(u32),
    /// From this server itself: a notification.
    Internal,
}

/// As it is shown, and as [`Filter::origin`](crate::Filter::origin) is compared with it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => write!(f, "client {client}"),
            Self::LocalUser(uid) => write!(f, "user {uid}"),
            Self::Account { name, client } => write!(f, "account {name} client {client}"),
            Self::Internal => f.write_str("server"),
        }
    }
}

/// One attempt to deliver to one recipient, kept with the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// The host that answered or should have, as the log's `relay=`; empty if none.
    pub relay: String,
    /// The reply code, 0 if there was no reply.
    pub code: u16,
    /// The status, also for failures without a reply.
    pub status: EnhancedCode,
    /// The reply or the reason.
    pub text: String,
    /// The reason as a value that the program writes and reads: one JSON object, or
    /// empty. The store does not look into it; one of more than [`MAX_CAUSE`] octets is
    /// left out.
    pub cause: String,
}

/// Octets that an attempt's cause may have.
pub const MAX_CAUSE: usize = 1024;

/// What a recipient waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientState {
    /// To be handed out at this time.
    Due(Timestamp),
    /// Handed out until this time.
    Leased(Timestamp),
    /// Delivered, bounced or discarded.
    Done,
}

/// A recipient of a queued message as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientStatus {
    /// The recipient.
    pub recipient: Recipient,
    /// What it waits for.
    pub state: RecipientState,
    /// How many attempts have failed.
    pub attempts: u32,
    /// The first attempt and the last four, oldest first, the one that ended it
    /// included. Fewer, if their replies are long; long replies are cut.
    pub story: Vec<Attempt>,
}

impl RecipientStatus {
    /// The last attempt.
    pub fn last(&self) -> Option<&Attempt> {
        self.story.last()
    }
}

/// A queued message as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: MessageId,
    /// Where failures are told.
    pub reverse_path: ReversePath,
    /// All recipients, those that are done too.
    pub recipients: Vec<RecipientStatus>,
    /// ENVID.
    pub envelope_id: Option<String>,
    /// RET.
    pub ret: Option<Return>,
    /// VERP, if it was asked for.
    pub verp: Option<Verp>,
    /// The content needs 8BITMIME.
    pub eight_bit: bool,
    /// The message needs SMTPUTF8.
    pub smtputf8: bool,
    /// What is wanted of TLS on the way.
    pub tls: TlsWish,
    /// Others go before it.
    pub bulk: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// Octets, prefix included.
    pub size: u64,
    /// Not handed out until released.
    pub held: bool,
    /// Why it was committed held, if it has been so ever since: a value that the program
    /// writes and reads. Empty if an administrator holds it.
    pub held_for: String,
    /// A delay notice has been queued.
    pub delay_notified: bool,
}

impl Entry {
    /// What it was committed with.
    pub(crate) fn envelope(&self) -> Envelope {
        Envelope {
            reverse_path: self.reverse_path.clone(),
            recipients: self.recipients.iter().map(|status| status.recipient.clone()).collect(),
            envelope_id: self.envelope_id.clone(),
            ret: self.ret,
            verp: self.verp,
            eight_bit: self.eight_bit,
            smtputf8: self.smtputf8,
            tls: self.tls,
            bulk: self.bulk,
        }
    }

    /// The same as a new message. It has its trace already.
    pub(crate) fn as_new(&self, content: Content) -> NewMessage {
        NewMessage {
            id: self.id,
            envelope: self.envelope(),
            received_at: self.received_at,
            origin: self.origin.clone(),
            prefix: Vec::new(),
            content,
            held_for: (!self.held_for.is_empty()).then(|| self.held_for.clone()),
        }
    }

    /// How its recipients stand, as [`crate::index::Index::apply`] takes it.
    pub(crate) fn states(&self, now: Timestamp) -> Vec<u8> {
        states_of(self, (0..).zip(&self.recipients), now)
    }
}

/// The right to work on some recipients of one message until it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The message.
    pub id: MessageId,
    /// Whose it is: the node's number among those that share the queue.
    pub owner: u16,
    /// Which lease it is: greater than that of any lease before it on the same message,
    /// so that whoever held an older one is told apart, however late.
    pub fence: u64,
}

/// A recipient that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedRecipient {
    /// Its place in the envelope.
    pub index: u32,
    /// The recipient.
    pub recipient: Recipient,
    /// How many attempts have failed before this one.
    pub attempts: u32,
}

/// Work that was handed out: the due recipients of one message in one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The right to settle it.
    pub token: LeaseToken,
    /// When the right ends, if the clock does not leap.
    pub until: Timestamp,
    /// The domain that all its recipients share.
    pub domain: Domain,
    /// The recipients.
    pub recipients: Vec<LeasedRecipient>,
    /// Where failures are told.
    pub reverse_path: ReversePath,
    /// ENVID.
    pub envelope_id: Option<String>,
    /// RET.
    pub ret: Option<Return>,
    /// VERP, if it was asked for.
    pub verp: Option<Verp>,
    /// The content needs 8BITMIME.
    pub eight_bit: bool,
    /// The message needs SMTPUTF8.
    pub smtputf8: bool,
    /// What is wanted of TLS on the way.
    pub tls: TlsWish,
    /// Others go before it.
    pub bulk: bool,
    /// When the message came.
    pub received_at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// Octets, prefix included.
    pub size: u64,
    /// How many recipients the message has in all.
    pub recipients_in_all: u32,
    /// A delay notice has been queued.
    pub delay_notified: bool,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The next hop has it.
    Delivered(Attempt),
    /// Given up; the sender was told, or is not to be.
    Bounced(Attempt),
    /// Dropped by a rule that the log names.
    Discarded(String),
    /// To be tried again.
    Deferred {
        /// When.
        due: Timestamp,
        /// Why.
        attempt: Attempt,
    },
    /// Not tried: due again at this time, and no attempt is counted.
    Returned(Timestamp),
}

impl Disposition {
    /// Whether nothing more is done for the recipient.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Delivered(_) | Self::Bounced(_) | Self::Discarded(_) => true,
            Self::Deferred { .. } | Self::Returned(_) => false,
        }
    }
}

/// What became of a lease. Recipients that it does not name are returned, due now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lease.
    pub token: LeaseToken,
    /// What became of each recipient, by its place in the envelope.
    pub dispositions: Vec<(u32, Disposition)>,
}

/// What a settlement left.
#[derive(Debug)]
pub struct Settled {
    /// Recipients that are not done; with none, the message is gone.
    pub remaining: u32,
    /// Completes when the settlement is durable. With an error it may be undone by a
    /// restart, and the recipients handed out again.
    pub durable: Answer<()>,
}
