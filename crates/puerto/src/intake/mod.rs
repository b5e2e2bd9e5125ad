//! The one choke point between a client and the spool: what a local message lacks
//! is added, lines are made right, trace and signatures are written, and only then
//! is the message committed.

mod author;
mod bulk;
mod content;
mod encode;
mod fix_up;
mod foreign;
#[cfg(test)]
mod header_tests;
mod held;
mod key_ring;
mod local_origin;
mod permitted;
mod prepare;
mod repeated;
mod senders;
mod structure;
#[cfg(test)]
mod tests;
mod wake;

use std::net::SocketAddr;
use std::sync::Arc;

use puerto_smtp::{Envelope, Reply, ReversePath};
use puerto_spool::clock::Clock;
use puerto_spool::{Content, Draft, MessageId, NewMessage, Origin, SpoolError, Store, Timestamp};
use tokio::sync::Semaphore;

use crate::caps::Caps;
use crate::cause::Cause;
use crate::config::{AddressPattern, Live};
use crate::orders::Orders;
use crate::telemetry::{self, Client, Event, LocalOrigin, MailLog};

pub(crate) use encode::Base64Lines;
pub use key_ring::{KeyProblem, KeyRing, key_files};
pub(crate) use prepare::wall_clock;
pub(crate) use wake::Retry;
pub use wake::{Announcement, Meant, Wake};

/// Whoever has logged in, as far as a message's sender goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's name.
    pub name: String,
    /// Addresses that it may send from, beside its own.
    pub addresses: Vec<AddressPattern>,
}

/// Who hands a message over.
#[derive(Debug, Clone)]
pub enum Source {
    /// An SMTP client.
    Smtp {
        /// As the log names it.
        client: Client,
        /// Its address and port.
        peer: SocketAddr,
        /// What it called itself.
        helo: String,
        /// `SMTP`, `ESMTP`, `ESMTPS`, `UTF8SMTPS` … (RFC 3848, RFC 6531 §4.3).
        protocol: &'static str,
        /// TLS version and cipher, if any.
        tls: Option<String>,
        /// It may relay: what it lacks is added as for a local user.
        trusted: bool,
        /// The account that it has logged in to.
        account: Option<Account>,
    },
    /// A user of this machine, by the local socket.
    Local {
        /// From the peer's credentials.
        uid: u32,
        /// The user's name, or the number as text.
        user: String,
        /// What is known of the program.
        origin: LocalOrigin,
    },
    /// This server: a notification to one of ours.
    Internal,
    /// This server: a notification to somebody who is not ours. It is whole, and stays
    /// unsigned, since what is in it may be a stranger's choice.
    Outward,
    /// A copy of a message that an alias sends on to another address. It was taken in
    /// once already, and stays as its author made it.
    Forwarded,
}

impl Source {
    /// Whether it may leave out what a message needs, and has it signed: local users,
    /// trusted clients and this server itself. Mail that others send to our users is
    /// theirs, and nothing in it is touched.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Smtp { trusted, .. } => *trusted,
            Self::Local { .. } | Self::Internal => true,
            Self::Forwarded | Self::Outward => false,
        }
    }

    /// Whether a program of this machine made the message. Another host that is
    /// trusted passes on what others made.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Smtp { trusted, peer, .. } => *trusted && peer.ip().to_canonical().is_loopback(),
            Self::Local { .. } | Self::Internal => true,
            Self::Forwarded | Self::Outward => false,
        }
    }
}

/// What was accepted: it is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: MessageId,
    /// Octets, our own header included.
    pub size: u64,
}

/// Why a message was not accepted; nothing of it is kept.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
}

/// What intake is wired to.
pub struct Context {
    /// The configuration in force.
    pub config: Live,
    /// The store of messages.
    pub store: Arc<dyn Store>,
    /// What ours is signed with.
    pub keys: Arc<KeyRing>,
    /// The mail log.
    pub log: MailLog,
    /// How the queue hears of work.
    pub wake: Wake,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// The door to the spool.
pub struct Intake {
    context: Context,
    orders: Orders,
    /// Signing costs about a millisecond of processor time and large content is read
    /// from the disk: both happen on threads beside the reactor, no more of them at a
    /// time than there are processors.
    workers: Arc<Semaphore>,
    caps: Caps,
}

impl Intake {
    /// Builds it; called once.
    pub fn new(context: Context) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = Arc::new(Semaphore::new(processors));
        let caps = Caps::new(&context.config.get().state_dir);
        Self { context, orders: Orders::default(), workers, caps }
    }

    /// The same, which holds what was ordered to be held.
    pub fn heeding(self, orders: Orders) -> Self {
        Self { orders, ..self }
    }

    /// The time of day, as messages are dated by it.
    pub fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// An id for a message that is about to come.
    pub fn new_id(&self) -> MessageId {
        self.context.store.new_id()
    }

    /// Begins to take content; the refusal is what the client is to be told.
    pub fn draft(&self) -> Result<Box<dyn Draft>, Refusal> {
        self.context.store.draft().map_err(Refusal::from)
    }

    /// Whether a message from this reverse-path may be sent at all. What only the message
    /// can tell is judged when it is taken.
    pub fn may_send(&self, source: &Source, from: &ReversePath) -> Result<(), Refusal> {
        permitted::at_mail(source, from, &self.context.config.get(), &self.context.keys)
    }

    /// Takes a whole message: completes and signs it if it is ours, and commits it.
    /// When this returns `Ok`, the message is on stable storage; until then nothing of
    /// it is promised.
    pub async fn accept(
        &self,
        id: MessageId,
        source: &Source,
        envelope: Envelope,
        content: Content,
    ) -> Result<Accepted, Refusal> {
        let is_heavy = matches!(content, Content::Spilled(_))
            || (source.is_ours() && !self.context.keys.is_empty());
        let work = prepare::Work {
            id,
            source: source.clone(),
            envelope,
            content,
            now: self.now(),
            config: self.context.config.get(),
            keys: Arc::clone(&self.context.keys),
            store: Arc::clone(&self.context.store),
        };
        let prepared =
            if is_heavy { self.prepare_aside(work).await? } else { prepare::prepare(work)? };
        for notice in &prepared.notices {
            self.notice(id, notice);
        }
        let envelope = &prepared.message.envelope;
        self.context.log.write(&Event::Prepared(telemetry::Prepared {
            id,
            message_id: &prepared.message_id,
            from: &envelope.reverse_path,
            recipients: &envelope.recipients,
            changes: &prepared.changes,
            signing: &prepared.signing,
        }));
        let mut message = prepared.message;
        let over = self.over_cap(source, &message);
        message.held_for = over.as_ref().map(|over| over.cause().kept());
        self.hold_if_ordered(&mut message);
        let size = message.prefix.len() as u64 + message.content.len();
        let from = message.envelope.reverse_path.clone();
        let recipients = message.envelope.recipients.len();
        let announcement = self.context.wake.announce(id);
        self.context.store.commit(message).await.map_err(|error| {
            self.notice(id, &Cause::NotStored { why: error.clone() });
            Refusal::from(error)
        })?;
        self.context.log.write(&Event::Queued { id, from: &from, size, recipients });
        drop(announcement);
        match over {
            None => self.context.wake.wake(),
            Some(over) => {
                self.notice(id, &Cause::Held { why: Box::new(over.cause()) });
                if over.is_first {
                    self.tell_of_cap(&over, id, &from).await;
                }
            }
        }
        Ok(Accepted { id, size })
    }

    async fn prepare_aside(&self, work: prepare::Work) -> Result<prepare::Prepared, Refusal> {
        let broken =
            || Refusal { reply: Reply::enhanced(451, (4, 3, 0), "internal error, try later") };
        let permit = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| broken())?;
        let task = tokio::task::spawn_blocking(move || {
            let prepared = prepare::prepare(work);
            drop(permit);
            prepared
        });
        task.await.map_err(|_| broken())?
    }

    // What an administrator has ordered to be held waits for the administrator.
    fn hold_if_ordered(&self, message: &mut NewMessage) {
        let orders = self.orders.get();
        let size = message.prefix.len() as u64 + message.content.len();
        let account = match &message.origin {
            Origin::Account { name, .. } => Some(name.as_str()),
            Origin::Client(_) | Origin::LocalUser(_) | Origin::Internal => None,
        };
        let config = self.context.config.get();
        let handed = (size, account, &*config.domains);
        let order = orders.hold_of(&message.envelope, handed, self.now());
        if let (None, Some(number)) = (&message.held_for, order) {
            let cause = Cause::HeldByOrder { number: number.to_string() };
            self.notice(message.id, &cause);
            message.held_for = Some(cause.kept());
        }
    }

    fn notice(&self, id: MessageId, cause: &Cause) {
        let (level, component) = ("warning", "cleanup");
        self.context.log.write(&Event::Remark { level, component, id, cause });
    }
}

/// A failing store: the client is to try again later (RFC 3463 §3.4).
impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        let reply = match error {
            SpoolError::Full(_) => Reply::enhanced(452, (4, 3, 1), "the disk is full, try later"),
            _ => Reply::enhanced(451, (4, 3, 0), "mail cannot be stored now, try later"),
        };
        Self { reply }
    }
}
