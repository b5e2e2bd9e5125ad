//! What the store is to each of its users: [`Store`] to those that bring messages and
//! read them, [`Work`] to the queue, [`Desk`] to whoever administers it.
//!
//! Every call that may leave the process answers with a [`Ticket`], to be awaited, or
//! waited for by a thread that may block. It has begun when it returns: a ticket that is
//! dropped takes nothing back.

use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::Domain;

use crate::archive::Archive;
use crate::clock::Clock;
use crate::entry::{Entry, Lease, LeaseToken, RecipientState, Settled, Settlement};
use crate::filter::Filter;
use crate::id::{MessageId, Timestamp};
use crate::tally::{Tally, TallyRequest};
use crate::ticket::Ticket;
use crate::{Content, Draft, Hindrance, NewMessage, SpoolError, StoredContent};

/// The answer to a call that may fail.
pub type Answer<T> = Ticket<Result<T, SpoolError>>;

/// The store as those need it that bring messages and read them.
pub trait Store: Send + Sync + 'static {
    /// A new id: greater than all that this node gave before, also after a restart. It is
    /// made here, and never waited for.
    fn new_id(&self) -> MessageId;
    /// Begins to take content. Fails at once where nothing is taken now, as on a full disk.
    fn draft(&self) -> Result<Box<dyn Draft>, SpoolError>;
    /// Makes a message durable. When the answer is `Ok`, the message is on stable storage;
    /// with an error it is absent, now and after any restart.
    fn commit(&self, message: NewMessage) -> Answer<()>;
    /// The stored octets of a message. The call may block on a disk.
    fn content(&self, id: MessageId) -> Answer<Box<dyn StoredContent>>;
    /// The stored octets of a message in memory, if they can be brought there without
    /// waiting for anything. `None` says nothing about the message.
    fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>>;
    /// The store's clock: whatever is dated or due is so by it.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// What work to hand out.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// How long the leases hold by the store's own clock, unless renewed. The time of
    /// day, which may leap, has no part in it.
    pub hold: Duration,
    /// How many recipients at most. With none, it is only said when more is due.
    pub limit: usize,
    /// How many recipients of one domain may be leased at the same time by this node,
    /// those already leased included: this is what keeps one domain's backlog from
    /// filling the active queue. Domains are served in turn.
    pub per_domain: usize,
    /// Domains of which nothing is handed out this time: what came of them last was put off
    /// without an attempt, and so would be what comes now.
    pub resting: Vec<Domain>,
}

/// What was handed out.
#[derive(Debug, Default)]
pub struct Claimed {
    /// At most one for each message and domain.
    pub leases: Vec<Lease>,
    /// When the next recipient of any unheld message becomes due; the end of a lease counts.
    /// It lies in the past if something is due that was not handed out.
    pub next_due: Option<Timestamp>,
}

/// What became of leases that were to hold on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Those that are lost.
    pub lost: Vec<LeaseToken>,
    /// Those that hold, and whose messages are held: what of them is not under way is to be
    /// given back, since nothing that is held is sent.
    pub held: Vec<LeaseToken>,
}

/// The store as the queue needs it.
pub trait Work: Send + Sync + 'static {
    /// Hands out work that is due by the store's clock, as leases.
    fn claim(&self, request: &ClaimRequest) -> Answer<Claimed>;
    /// Lets leases hold for this long from now on. Those that are not named as lost are
    /// renewed, whatever became of the others.
    fn renew(&self, leases: &[LeaseToken], hold: Duration) -> Answer<Renewed>;
    /// How often a message was held or removed of which this process may have leases. Once it
    /// has grown, [`Work::renew`] tells which these are.
    fn edits(&self) -> u64;
    /// Records what became of leased recipients and ends the leases, in the order given.
    /// There is an answer for each, in the same order: one that is lost keeps none of the
    /// others from being recorded.
    fn settle(&self, settlements: Vec<Settlement>) -> Ticket<Vec<Result<Settled, SpoolError>>>;
    /// Notes that the sender is about to be told of a delay. `true` for whoever is the
    /// first to say so, and for nobody else, on any node.
    fn note_delay(&self, id: MessageId) -> Answer<bool>;
    /// Takes that back: the sender could not be told.
    fn forget_delay(&self, id: MessageId) -> Answer<()>;
    /// A message as it stands: its sender is about to be told of all that wait.
    fn standing(&self, id: MessageId) -> Answer<Entry>;
    /// Makes every waiting recipient due now, except those of held messages: the clock has
    /// leaped. Done in pieces, so that other work goes on. Answers with the number of
    /// messages that wait.
    fn retry_all(&self) -> Answer<u64>;
    /// Completes when work may have come that this process did not store.
    fn changed(&self) -> Ticket<()>;
    /// How many nodes share the queue now, as this one knows; at least 1. Limits towards
    /// a receiver are divided by it.
    fn living(&self) -> u32;
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Only messages with a greater id: where the page before said that the next begins.
    pub after: Option<MessageId>,
    /// How many at most.
    pub limit: usize,
    /// Which of them.
    pub filter: Filter,
}

/// Some messages, in the order of their ids.
#[derive(Debug, Default)]
pub struct Page {
    /// Those that the filter selects; maybe none, and there are more.
    pub entries: Vec<Entry>,
    /// What to ask for next; `None` at the end.
    pub next: Option<MessageId>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Their recipients that wait or are leased.
    pub recipients: u64,
}

impl Count {
    /// Of these.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let all = entries.iter().flat_map(|entry| &entry.recipients);
        let open = all.filter(|status| status.state != RecipientState::Done).count();
        Self { messages: entries.len() as u64, recipients: open as u64 }
    }

    /// Of all pages, each of which begins where the one before says.
    pub(crate) async fn of_pages<P>(
        page: impl Fn(Option<MessageId>) -> P,
    ) -> Result<Self, SpoolError>
    where
        P: Future<Output = Result<Page, SpoolError>>,
    {
        let (mut after, mut all) = (None, Self::default());
        loop {
            let Page { entries, next } = page(after).await?;
            let some = Self::of(&entries);
            all.messages += some.messages;
            all.recipients += some.recipients;
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    }
}

/// A change that an administrator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Not to be handed out until released.
    Hold,
    /// The opposite of `Hold`.
    Release,
    /// Every waiting recipient is due now; [`SpoolError::Held`] if the message is held.
    Retry,
    /// Forgotten without notice to anybody; the log names who asked. Its leases are lost.
    Remove,
}

/// How the store fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Messages held.
    pub messages: u64,
    /// Recipients waiting or leased.
    pub recipients: u64,
    /// Octets of content held.
    pub octets: u64,
    /// Octets used on disk.
    pub disk_octets: u64,
    /// Why no new mail is taken, if so.
    pub refusing: Option<SpoolError>,
    /// What was found damaged when the store was opened, by message where it is
    /// known: to be logged and shown, never silently dropped.
    pub damaged: Vec<String>,
    /// What could not be read when the store was opened, and the messages that wait for
    /// it. Nothing of it is lost; it is taken up when it can be read.
    pub unreadable: Vec<String>,
    /// The oldest snapshot that somebody holds in a database: what was deleted since then is
    /// not cleared away, so that tables grow and claims become slow.
    pub held_back: Option<HeldBack>,
}

/// An old snapshot in a database, and for how long it has been held at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Who holds it.
    pub by: Holder,
    /// Since when, in seconds.
    pub seconds: u64,
}

/// Who holds a snapshot in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "what is shown says what the fields are")]
pub enum Holder {
    /// A transaction that is open.
    Session { pid: i32, who: String },
    /// A query on a standby that has `hot_standby_feedback`.
    Standby { who: String },
    /// A replication slot, of which perhaps nobody reads any more.
    Slot { name: String },
    /// A transaction that was prepared and never ended.
    Prepared { name: String },
}

impl HeldBack {
    /// Whether it has lasted so long that it does harm; a backup of a queue takes less.
    pub fn is_old(&self) -> bool {
        self.seconds >= 300
    }
}

impl std::fmt::Display for HeldBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.seconds / 60;
        match &self.by {
            Holder::Session { pid, who } => write!(
                f,
                "a transaction of {who} has been open for {minutes} minutes: end it there, or by \
                 SELECT pg_terminate_backend({pid})"
            ),
            Holder::Standby { who } => write!(
                f,
                "the standby {who} has needed old rows for {minutes} minutes: end the long query \
                 there, or set hot_standby_feedback = off"
            ),
            Holder::Slot { name } => write!(
                f,
                "the replication slot {name} has needed old rows for {minutes} minutes: mend its \
                 standby, or if there is none, SELECT pg_drop_replication_slot('{name}')"
            ),
            Holder::Prepared { name } => write!(
                f,
                "the prepared transaction {name} has been open for {minutes} minutes: COMMIT \
                 PREPARED '{name}' or ROLLBACK PREPARED '{name}'"
            ),
        }
    }
}

/// One of those that share the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The machine's name.
    pub name: String,
    /// Since when it takes part.
    pub since: Timestamp,
    /// When it was last heard of.
    pub seen: Timestamp,
    /// Whether that is recent enough for its leases to hold.
    pub alive: bool,
    /// Whether it has left in good order: nobody misses it.
    pub stopped: bool,
    /// Leases that it holds.
    pub leases: u64,
    /// The program's version.
    pub version: String,
    /// Whether it is this one.
    pub is_this: bool,
}

impl Node {
    /// The only one.
    pub(crate) fn alone(since: Timestamp, now: Timestamp, leases: u64) -> Self {
        let name = nix::unistd::gethostname().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { name, since, seen: now, alive: true, stopped: false, leases, version, is_this: true }
    }
}

/// The store as whoever administers it needs it.
pub trait Desk: Send + Sync + 'static {
    /// One message as it stands.
    fn get(&self, id: MessageId) -> Answer<Entry>;
    /// Messages in the order of their ids, a page at a time.
    fn page(&self, request: &PageRequest) -> Answer<Page>;
    /// How many messages a filter selects.
    fn count(&self, filter: &Filter) -> Answer<Count>;
    /// Counts what is queued by destination and by why it waits.
    fn tally(&self, request: &TallyRequest) -> Answer<Tally>;
    /// What an administrator has ordered for all nodes until it is taken back, in the order in
    /// which that was: texts, which the store keeps with the queue and does not look into.
    fn orders(&self) -> Answer<Vec<(u64, String)>>;
    /// Keeps an order. Answers with its number once it is durable; none is given twice.
    fn give_order(&self, order: String) -> Answer<u64>;
    /// Takes an order back, and says whether it was there, once that is durable.
    fn take_back_order(&self, number: u64) -> Answer<bool>;
    /// Changes messages; there is an answer for each, in the order given. A leased
    /// recipient is not touched until it is settled, except by [`Edit::Remove`]. Complete
    /// when all of it is durable.
    fn edit(&self, ids: &[MessageId], edit: Edit) -> Ticket<Vec<Result<(), SpoolError>>>;
    /// Takes over a message of another store as it stands there, with its content: attempts,
    /// due times and holds are kept, and nothing of it is leased. `false` if a message of
    /// this id is here already: so a copy that was broken off is begun anew.
    fn adopt(&self, entry: &Entry, content: Content) -> Answer<bool>;
    /// How the store fares.
    fn health(&self) -> Answer<Health>;
    /// Those that share the queue.
    fn nodes(&self) -> Answer<Vec<Node>>;
    /// Where notes about messages are kept for all nodes, if the store has such a place.
    fn archive(&self) -> Option<Arc<dyn Archive>> {
        None
    }
    /// Makes everything durable and stops the store's threads, and waits for that. Later
    /// commits fail.
    fn close(&self);
}

/// Whether a message that was to be adopted was not here before.
pub(crate) fn is_new(stored: Result<(), SpoolError>) -> Result<bool, SpoolError> {
    match stored {
        Ok(()) => Ok(true),
        Err(SpoolError::Io(Hindrance::QueuedAlready(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A whole store.
pub trait Backend: Store + Work + Desk {}

impl<T: Store + Work + Desk> Backend for T {}
