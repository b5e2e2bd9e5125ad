//! What the parts of the store share, and how they begin and end together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::accept::Arrival;
use super::adopt::Adoption;
use super::claims::Asked;
use super::cleaning::Oldest;
use super::clock::{StoreClock, uptime};
use super::connect::{Link, Reach};
use super::desk::Totals;
use super::hand::{Bounds, Hand};
use super::node::{Doubt, Registered};
use super::settle::Change;
use super::wake::Wakes;
use super::{Durability, Options, closed, lock, schema};
use crate::SpoolError;
use crate::clock::Clock as _;
use crate::disk::{Disk as _, SystemDisk};
use crate::faces::Answer;
use crate::id::MessageId;
use crate::segments::ContentFiles;
use crate::ticket::{Completer, Ticket};

/// What waits for a task of the store.
pub(super) struct Queue<T> {
    waiting: Mutex<VecDeque<T>>,
    woken: Notify,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { waiting: Mutex::default(), woken: Notify::new() }
    }

    pub(super) fn push(&self, one: T) {
        lock(&self.waiting).push_back(one);
        self.woken.notify_one();
    }

    /// What waits, at least one and at most so many, of no more than so much weight.
    pub(super) async fn take(&self, many: usize, heavy: usize, weight: fn(&T) -> usize) -> Vec<T> {
        loop {
            let taken = self.take_now(many, heavy, weight);
            if !taken.is_empty() {
                return taken;
            }
            self.woken.notified().await;
        }
    }

    /// The same, and nothing if nothing waits.
    pub(super) fn take_now(&self, many: usize, heavy: usize, weight: fn(&T) -> usize) -> Vec<T> {
        let mut taken = Vec::new();
        let mut sum = 0;
        let mut waiting = lock(&self.waiting);
        while let Some(next) = waiting.front() {
            sum += weight(next);
            if taken.len() == many || (sum > heavy && !taken.is_empty()) {
                // For another task that takes of the same.
                self.woken.notify_one();
                break;
            }
            taken.extend(waiting.pop_front());
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.waiting).is_empty()
    }
}

/// An answer that is owed. Whoever waits hears that the store is closed if nobody says
/// anything else.
pub(super) struct Promise<T>(Option<Completer<Result<T, SpoolError>>>);

impl<T> Promise<T> {
    pub(super) fn new() -> (Self, Answer<T>) {
        let (completer, ticket) = Ticket::new();
        (Self(Some(completer)), ticket)
    }

    pub(super) fn keep(mut self, answer: Result<T, SpoolError>) {
        if let Some(completer) = self.0.take() {
            completer.complete(answer);
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(completer) = self.0.take() {
            completer.complete(Err(closed()));
        }
    }
}

/// What the parts of the store share.
pub(super) struct Core {
    pub(super) reach: Arc<Reach>,
    pub(super) clock: Arc<StoreClock>,
    pub(super) bounds: Bounds,
    pub(super) name: String,
    /// Other machines that had connections by that name at the start.
    pub(super) namesakes: Vec<String>,
    pub(super) lease: Duration,
    pub(super) beat: Duration,
    pub(super) hand: Mutex<Hand>,
    pub(super) arrivals: Queue<Arrival>,
    pub(super) large: Queue<Arrival>,
    pub(super) adopted: Queue<Adoption>,
    pub(super) asked: Queue<Asked>,
    pub(super) changes: Queue<Change>,
    pub(super) wakes: Wakes,
    /// Commits of unknown fate whose clients were told to try again.
    pub(super) doubts: Mutex<Vec<Doubt>>,
    /// Until when, by the clock that does not leap, the database may say of rows that they
    /// are this node's, and it knows of none.
    pub(super) sweeps_until: Mutex<Duration>,
    /// When the last beat was sent that was answered, by [`uptime`].
    pub(super) heard_at: Mutex<Duration>,
    /// From when on this node misses others, by [`uptime`].
    pub(super) misses_from: Mutex<Duration>,
    /// Nodes that live, as the last beat said; 0: there was none yet.
    pub(super) living: AtomicU32,
    pub(super) last_id: Mutex<u64>,
    pub(super) drafts: Arc<ContentFiles>,
    pub(super) desk: tokio::sync::Mutex<Link>,
    pub(super) contents: tokio::sync::Mutex<Link>,
    pub(super) counting: tokio::sync::Mutex<Link>,
    pub(super) cleaner: tokio::sync::Mutex<Link>,
    pub(super) notes: tokio::sync::Mutex<Link>,
    pub(super) oldest: Mutex<Option<Oldest>>,
    /// What was counted last, when, and how long that took.
    pub(super) counted: tokio::sync::Mutex<Option<(Totals, Instant, Duration)>>,
    pub(super) runtime: tokio::runtime::Handle,
    closing: Notify,
}

/// Connects, looks at the tables and joins the nodes.
pub(super) async fn start(options: Options) -> Result<(Arc<Core>, Durability), SpoolError> {
    let drafts = drafts(&options)?;
    let reach = Arc::new(options.reach()?);
    let mut link = Link::new(&reach);
    let session = link.session().await?;
    let version = reach.within(PROMPT, schema::version(&reach, &session)).await?;
    if version == 0 || options.migrate {
        schema::migrate(&reach, &session).await?;
    }
    let durability = async {
        schema::check(&reach, schema::version(&reach, &session).await?)?;
        super::node::durability(&session).await.map_err(|e| reach.failure(&e))
    };
    let durability = reach.within(PROMPT, durability).await?;
    let namesakes = super::node::namesakes(&session, &options.node).await;
    let clock = Arc::new(StoreClock::new(options.clock));
    let asked = (clock.elapsed(), uptime());
    let Registered { number, epoch, last_id, now } = reach
        .within(PROMPT, super::node::register(&reach, &session, &options.node, options.lease))
        .await?;
    clock.hear(now, asked.0);
    let core = Arc::new(Core {
        clock,
        bounds: options.bounds,
        name: options.node,
        namesakes,
        lease: options.lease,
        beat: options.beat,
        hand: Mutex::new(Hand::new(number, epoch)),
        arrivals: Queue::new(),
        large: Queue::new(),
        adopted: Queue::new(),
        asked: Queue::new(),
        changes: Queue::new(),
        wakes: Wakes::default(),
        doubts: Mutex::default(),
        sweeps_until: Mutex::default(),
        heard_at: Mutex::new(asked.1),
        misses_from: Mutex::default(),
        living: AtomicU32::new(0),
        last_id: Mutex::new(last_id),
        drafts: Arc::new(drafts),
        desk: tokio::sync::Mutex::new(link),
        contents: tokio::sync::Mutex::new(Link::new(&reach)),
        // To count all, it is better to read all.
        counting: tokio::sync::Mutex::new(Link::with(&reach, "SET enable_seqscan = on")),
        cleaner: tokio::sync::Mutex::new(Link::new(&reach)),
        notes: tokio::sync::Mutex::new(Link::with(&reach, super::notes::SETUP)),
        oldest: Mutex::default(),
        counted: tokio::sync::Mutex::default(),
        runtime: tokio::runtime::Handle::current(),
        closing: Notify::new(),
        reach,
    });
    Ok((core, durability))
}

fn drafts(options: &Options) -> Result<ContentFiles, SpoolError> {
    let failed = |error: std::io::Error| {
        let (file, why) = (options.drafts.display().to_string(), Box::new((&error).into()));
        SpoolError::Io(crate::Hindrance::Unusable { file, why })
    };
    SystemDisk.create_dir(&options.drafts).map_err(failed)?;
    // What an earlier run left was never acknowledged.
    for name in SystemDisk.list(&options.drafts).map_err(failed)? {
        if name.ends_with(".content") {
            SystemDisk.remove(&options.drafts.join(name)).map_err(failed)?;
        }
    }
    Ok(ContentFiles::new(Arc::new(SystemDisk), options.drafts.clone(), 1, 0))
}

/// How long a database may take for what is done in a moment.
const PROMPT: Duration = Duration::from_secs(20);
/// Connections that store what arrives. One transaction waits for the disk while the next
/// is being gathered.
pub(super) const LANES: usize = 3;
/// How long an end waits for what is under way.
const FAREWELL: Duration = Duration::from_secs(10);

impl Core {
    /// Works until the store is closed.
    pub(super) async fn run(self: Arc<Self>) {
        for _ in 0..LANES {
            tokio::spawn(Arc::clone(&self).accept());
        }
        tokio::spawn(Arc::clone(&self).accept_large());
        tokio::spawn(Arc::clone(&self).take_over());
        tokio::spawn(Arc::clone(&self).answer_claims());
        tokio::spawn(Arc::clone(&self).record());
        tokio::spawn(Arc::clone(&self).listen());
        tokio::spawn(Arc::clone(&self).notify());
        let beating = tokio::spawn(Arc::clone(&self).stay());
        self.closing.notified().await;
        // Those that wait for the database are not kept waiting for ever.
        let _ = tokio::time::timeout(FAREWELL, self.quiet()).await;
        beating.abort();
        let _ = tokio::time::timeout(FAREWELL, self.leave()).await;
    }

    /// Nothing is under way any more.
    async fn quiet(&self) {
        loop {
            let busy = {
                let hand = lock(&self.hand);
                !hand.leaving.is_empty() || !hand.arriving.is_empty()
            };
            if !busy && self.arrivals.is_empty() && self.large.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends [`Core::run`].
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    /// Why nothing can be stored now.
    pub(super) fn refusing(&self) -> Option<SpoolError> {
        if lock(&self.hand).is_closed { Some(closed()) } else { self.reach.away() }
    }

    /// Time since the others have last heard of this node, at least.
    fn silence(&self) -> Duration {
        uptime().saturating_sub(*lock(&self.heard_at))
    }

    /// Whether what this node has may have become others'.
    pub(super) fn has_lapsed(&self) -> bool {
        self.silence() >= self.lease
    }

    /// Whether it is near enough to that to begin nothing new.
    pub(super) fn is_fading(&self) -> bool {
        self.silence() >= self.lease * 2 / 3
    }

    /// Wakes who waits for work that this process did not store.
    pub(super) fn changed(&self) {
        let woken = lock(&self.hand).change();
        for waiting in woken {
            waiting.complete(());
        }
    }

    /// A new id.
    pub(super) fn next_id(&self) -> MessageId {
        let mut last = lock(&self.last_id);
        let number = lock(&self.hand).owner.unsigned_abs();
        let before = MessageId::from_u64(*last);
        let next = MessageId::next(Some(before), self.clock.now()).as_u64();
        // So great that a node's number shows, whatever the clock says.
        *last = next.max(1 << 40);
        MessageId::from_u64(*last << 8 | u64::from(number))
    }

    /// Does something for whoever waits for the answer.
    pub(super) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T, SpoolError>> + Send + 'static,
    ) -> Answer<T> {
        let (promise, answer) = Promise::new();
        self.runtime.spawn(async move { promise.keep(work.await) });
        answer
    }

    /// How many nodes share the queue.
    pub(super) fn living(&self) -> u32 {
        self.living.load(Ordering::SeqCst).max(1)
    }
}
