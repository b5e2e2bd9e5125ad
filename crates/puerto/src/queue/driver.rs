//! The queue at work: one dispatcher that claims and routes, and for each
//! destination as many workers as it bears, each doing one job after the other.
//!
//! What is in memory follows the active set, which is bounded: how many recipients
//! may be leased at the same time, in all and for one domain. A domain whose route
//! must be asked of the DNS is looked up in a task of its own, so that a slow name
//! server keeps only its own domain's mail waiting.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use puerto_mail::dns::Dns;
use puerto_smtp::{Domain, ReversePath};
use puerto_spool::clock::Clock;
use puerto_spool::{
    ClaimRequest, Disposition, Lease, LeaseToken, MessageId, Settlement, Spool, SpoolError, Ticket,
    Timestamp,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::Wake;
use super::body::SpoolBody;
use super::carrier::Carrier;
use super::outcome;
use super::schedule::{Schedule, Step};
use super::shape::Ended;
use super::work::{Kind, Work};
use crate::config::Live;
use crate::deliver::{Outcome, Pressure, Report};
use crate::route::random::Random;
use crate::route::{DestinationKey, Question, RouteFailure, Router, Routing, providers};
use crate::telemetry::{Event, MailLog};

/// Recipients that may be leased at the same time.
const ACTIVE_RECIPIENTS: usize = 5_000;
/// Of which for one domain.
const ACTIVE_FOR_DOMAIN: usize = 250;
/// When a destination's queue has come down to this, more is claimed.
const LOW_WATER: usize = 60;
/// How long a lease holds without being renewed.
const LEASE: Duration = Duration::from_secs(600);
/// For how long after a claim it is not worth asking whether a lease still holds.
const SURELY_HELD: Duration = Duration::from_secs(1);
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// The longest time that a lost wake-up may cost.
const POLL: Duration = Duration::from_secs(1);
/// How long jobs under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(30);
/// Connections to pseudo-destinations: one user's mailbox, and mail without a route.
const LOCAL_CEILING: usize = 2;
const UNROUTABLE_CEILING: usize = 20;
/// How long a destination must have stood still before its mail makes room.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// How far a clock must go back before what waits is tried at once.
const CLOCK_WENT_BACK: i64 = 60_000;

/// The parts of the queue that its tests replace.
pub(super) struct Driver<D, C> {
    pub(super) config: Live,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) router: Arc<Router<D>>,
    pub(super) carrier: C,
    pub(super) log: MailLog,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) wake: Wake,
    pub(super) signals: Signals,
    pub(super) state: Mutex<State>,
}

/// What wakes whom.
pub(super) struct Signals {
    /// There is room in the active set.
    room: Notify,
    /// The last task has ended.
    idle: Notify,
    stopping: watch::Sender<bool>,
    tickets: mpsc::UnboundedSender<Written>,
}

/// A lease, and where it goes.
type Routed = (Lease, Result<Routing, RouteFailure>);

type Written = (MessageId, Ticket<Result<(), SpoolError>>);

/// What the tasks share.
pub(super) struct State {
    schedule: Schedule<Work, Outcome>,
    /// Leases that are ours, with the number of their recipients.
    held: HashMap<LeaseToken, usize>,
    active: usize,
    /// There was no room when the dispatcher last looked.
    was_full: bool,
    /// Leases whose routes are being looked up, by what is asked.
    routing: HashMap<Question, Vec<Lease>>,
    pub(super) unsettled: Vec<Settlement>,
    pub(super) telling_delay: HashSet<MessageId>,
    random: Random,
    tasks: usize,
    stopping: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            schedule: Schedule::new(),
            held: HashMap::new(),
            active: 0,
            was_full: false,
            routing: HashMap::new(),
            unsettled: Vec::new(),
            telling_delay: HashSet::new(),
            random: Random::unpredictable(),
            tasks: 0,
            stopping: false,
        }
    }
}

impl Signals {
    /// The signals, and where the tickets of settlements arrive.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Written>) {
        let (tickets, written) = mpsc::unbounded_channel();
        let (stopping, _) = watch::channel(false);
        (Self { room: Notify::new(), idle: Notify::new(), stopping, tickets }, written)
    }
}

impl<D: Dns + 'static, C: Carrier> Driver<D, C> {
    /// Works until it is told to stop, and then until what is under way has ended.
    pub(super) async fn run(
        self: Arc<Self>,
        mut shutdown: watch::Receiver<bool>,
        written: mpsc::UnboundedReceiver<Written>,
    ) {
        tokio::spawn(watch_tickets(written, self.log.clone()));
        let mut last_renewal = Instant::now();
        let mut clock = (Instant::now(), self.now());
        while !*shutdown.borrow() {
            if last_renewal.elapsed() >= RENEW_EVERY {
                self.renew_leases();
                last_renewal = Instant::now();
            }
            self.settle_leftovers();
            self.mind_the_clock(&mut clock).await;
            while self.claim() {}
            tokio::select! {
                () = self.wake.woken() => {}
                () = self.signals.room.notified() => {}
                () = tokio::time::sleep(self.until_next_due()) => {}
                changed = shutdown.changed() => if changed.is_err() { break },
            }
        }
        self.stop().await;
    }

    fn until_next_due(&self) -> Duration {
        let now = self.now();
        match self.spool.next_due() {
            Some(due) if due > now => due.since(now).min(POLL),
            // Due, but there is no room for it; or there is nothing at all.
            _ => POLL,
        }
    }

    /// Claims what is due and there is room for. Says whether there may be more.
    fn claim(self: &Arc<Self>) -> bool {
        let now = self.now();
        if self.spool.next_due().is_none_or(|due| due > now) {
            return false;
        }
        let room = ACTIVE_RECIPIENTS.saturating_sub(self.state().active);
        if room < ACTIVE_RECIPIENTS / 8 {
            self.state().was_full = true;
            self.make_room();
            return false;
        }
        let request = ClaimRequest { now, hold: LEASE, limit: room, per_domain: ACTIVE_FOR_DOMAIN };
        let mut leases = match self.spool.claim(&request) {
            Ok(leases) => leases,
            Err(error) => {
                self.warn(None, &format!("no work could be claimed: {error}"));
                return false;
            }
        };
        if leases.is_empty() {
            return false;
        }
        // The leases of one message together, so that they can share a transaction.
        leases.sort_by_key(|lease| (lease.token.id, lease.recipients.first().map(|r| r.index)));
        {
            let mut state = self.state();
            // Looked at after the claim: what was made due since then comes with the next.
            if self.wake.take_retry() {
                state.schedule.give_another_chance(Instant::now());
            }
            for lease in &leases {
                state.held.insert(lease.token, lease.recipients.len());
                state.active += lease.recipients.len();
            }
        }
        let (mut known, mut unknown): (Vec<Routed>, Vec<Question>) = Default::default();
        for lease in leases {
            if known.last().is_some_and(|(last, _)| last.token.id != lease.token.id) {
                self.place(std::mem::take(&mut known));
            }
            match self.router.known(&lease.reverse_path, &lease.domain) {
                Some(routing) => known.push((lease, routing)),
                None => unknown.extend(self.wait_for_route(lease)),
            }
        }
        self.place(known);
        unknown.into_iter().for_each(|question| self.look_up(question));
        true
    }

    // Gives back what is to be asked, if nobody asks it yet.
    fn wait_for_route(&self, lease: Lease) -> Option<Question> {
        let question = self.router.question(&lease.reverse_path, &lease.domain);
        let mut state = self.state();
        if let Some(waiting) = state.routing.get_mut(&question) {
            waiting.push(lease);
            return None;
        }
        state.routing.insert(question.clone(), vec![lease]);
        Some(question)
    }

    fn look_up(self: &Arc<Self>, question: Question) {
        let driver = Arc::clone(self);
        self.spawn(async move {
            while let Some((reverse_path, domain)) = driver.first_waiting(&question) {
                // Whatever comes meanwhile goes the same way, and together. What is
                // found is asked for again below, when it is known.
                let _ = driver.route(&reverse_path, &domain).await;
                let waiting = driver.state().routing.get_mut(&question).map(std::mem::take);
                let mut routed = Vec::new();
                for lease in waiting.unwrap_or_default() {
                    let routing = driver.route(&lease.reverse_path, &lease.domain).await;
                    routed.push((lease, routing));
                }
                driver.place(routed);
            }
        });
    }

    // What the first that waits for an answer asks; with none left, nobody waits any more.
    fn first_waiting(&self, question: &Question) -> Option<(ReversePath, Domain)> {
        let mut state = self.state();
        let first = state.routing.get(question).and_then(|waiting| waiting.first());
        let first = first.map(|lease| (lease.reverse_path.clone(), lease.domain.clone()));
        if first.is_none() {
            state.routing.remove(question);
        }
        first
    }

    async fn route(
        &self,
        reverse_path: &ReversePath,
        domain: &Domain,
    ) -> Result<Routing, RouteFailure> {
        let routing = catch(self.router.route(reverse_path, domain)).await;
        routing.unwrap_or_else(|()| {
            Err(RouteFailure {
                code: puerto_smtp::EnhancedCode::new(4, 3, 0),
                text: "routing was broken off by an internal error".to_owned(),
            })
        })
    }

    // All at once, so that what can share a transaction does before a worker takes it.
    fn place(self: &Arc<Self>, routed: Vec<Routed>) {
        if routed.is_empty() {
            return;
        }
        let works = routed.into_iter().map(|(lease, routing)| {
            let body = SpoolBody::new(&self.spool, lease.token.id, lease.size);
            let work = Work::new(lease, routing, Arc::new(body));
            let key = work.destination();
            let ceiling = self.ceiling(&work, &key);
            (key, work, ceiling)
        });
        let works: Vec<_> = works.collect();
        let mut state = self.state();
        if state.stopping {
            drop(state);
            works.iter().for_each(|(_, work, _)| self.give_back(work, self.now()));
            return;
        }
        let mut wanting = Vec::new();
        for (key, work, ceiling) in works {
            if state.schedule.push(&key, work, ceiling) {
                wanting.push(key);
            }
        }
        drop(state);
        wanting.into_iter().for_each(|key| self.start_worker(key));
    }

    fn ceiling(&self, work: &Work, key: &DestinationKey) -> usize {
        match work.kind {
            Kind::Local => LOCAL_CEILING,
            Kind::Unroutable(_) => UNROUTABLE_CEILING,
            Kind::Remote => {
                let ours = self.config.get().delivery.concurrency;
                let theirs = providers::by_key(key).and_then(|provider| provider.connections);
                theirs.map_or(ours, |theirs| ours.min(theirs))
            }
        }
    }

    fn start_worker(self: &Arc<Self>, key: DestinationKey) {
        let driver = Arc::clone(self);
        self.spawn(async move { driver.work(key).await });
    }

    async fn work(self: Arc<Self>, key: DestinationKey) {
        loop {
            let step = self.state().schedule.next(&key, Instant::now());
            match step {
                Step::Stop => {
                    let successor = self.state().schedule.successor();
                    successor.into_iter().for_each(|next| self.start_worker(next));
                    return;
                }
                Step::Wait(until) => {
                    let mut stopping = self.signals.stopping.subscribe();
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        _ = stopping.wait_for(|stopping| *stopping) => {}
                    }
                    if !self.state().schedule.waited(&key) {
                        return;
                    }
                    continue;
                }
                Step::Suspend { work, reason } => {
                    let outcomes = outcome::suspended(&work.job, reason.as_deref(), self.now());
                    let tried_at = reason.map_or(Timestamp::default(), |reason| reason.at);
                    self.conclude(&work, outcomes, Some(tried_at)).await;
                }
                Step::Deliver { work, probe } => self.deliver(&key, work, probe).await,
            }
            let successor = self.after_job(&key);
            if let Some(successor) = successor {
                self.start_worker(successor);
                return;
            }
        }
    }

    async fn deliver(self: &Arc<Self>, key: &DestinationKey, mut work: Work, was_probe: bool) {
        let started = Instant::now();
        let now = self.now();
        self.leave_lost_leases(&mut work);
        let mut pressure = Pressure::Fine;
        let mut reason = None;
        if !work.leases.is_empty() {
            work.job.in_queue = now.since(work.job.received_at);
            let report = catch(self.attempt(&work)).await.unwrap_or_else(|()| {
                self.warn(Some(work.job.id), "a delivery was broken off by an internal error");
                Report {
                    outcomes: outcome::all_broken_off(&work.job, self.now()),
                    pressure: Pressure::Fine,
                }
            });
            pressure = report.pressure;
            if pressure == Pressure::Unreachable {
                reason = self.reason_of(&work, &report.outcomes).map(Arc::new);
            }
            self.conclude(&work, report.outcomes, None).await;
        }
        let ended = Ended { started, now: Instant::now(), was_probe, pressure };
        let mut state = self.state();
        state.schedule.ended(key, ended, reason);
        let grows = state.schedule.take_worker(key);
        drop(state);
        if grows {
            self.start_worker(key.clone());
        }
    }

    async fn attempt(&self, work: &Work) -> Report {
        match &work.kind {
            Kind::Remote => self.carrier.remote(&work.job).await,
            Kind::Local => self.carrier.local(&work.job).await,
            Kind::Unroutable(failure) => Report {
                outcomes: outcome::unroutable(&work.job, failure, self.now()),
                pressure: Pressure::Fine,
            },
        }
    }

    // If drawing the consequences fails by a mistake of our own, the mail waits a
    // minute and is tried again.
    async fn conclude(&self, work: &Work, outcomes: Vec<Outcome>, tried_at: Option<Timestamp>) {
        if catch(self.settle(work, outcomes, tried_at)).await.is_err() {
            self.warn(Some(work.job.id), "its settlement was broken off by an internal error");
            self.give_back(work, self.now().after(Duration::from_secs(60)));
        }
    }

    /// After a job: wakes the dispatcher if there is room, and hands the worker's
    /// place over if another destination has waited for it.
    fn after_job(&self, key: &DestinationKey) -> Option<DestinationKey> {
        let mut state = self.state();
        let queued = state.schedule.queued(key);
        let relieved = state.was_full && state.active < ACTIVE_RECIPIENTS / 2;
        if queued == LOW_WATER || queued == 0 || relieved {
            state.was_full = false;
            self.signals.room.notify_one();
        }
        state.schedule.hand_over(key)
    }

    // An administrator may have removed a message since it was claimed.
    fn leave_lost_leases(&self, work: &mut Work) {
        if work.claimed.elapsed() < SURELY_HELD {
            return;
        }
        work.retain_leases(|token| match self.spool.renew(token, LEASE) {
            Err(SpoolError::LeaseLost(_) | SpoolError::NotFound(_)) => {
                self.release(token);
                false
            }
            Ok(()) | Err(_) => true,
        });
    }

    fn renew_leases(&self) {
        let tokens: Vec<LeaseToken> = self.state().held.keys().copied().collect();
        for token in tokens {
            // One that is lost is noticed when its work begins or is settled.
            let _ = self.spool.renew(&token, LEASE);
        }
    }

    /// Gives leases back without an attempt.
    fn give_back(&self, work: &Work, due: Timestamp) {
        let mut recipients = work.job.recipients.iter();
        for held in &work.leases {
            let own = recipients.by_ref().take(held.recipients);
            let dispositions = own.map(|r| (r.index, Disposition::Returned(due))).collect();
            let settlement = Settlement { token: held.token, dispositions };
            if self.try_settle(settlement.clone()).is_err() {
                self.state().unsettled.push(settlement);
            }
        }
    }

    // When the active set is full and work is due, the destination that has stood
    // still with the longest queue makes room, so that it keeps nobody waiting.
    fn make_room(&self) {
        let stuck = self.state().schedule.take_stuck(Instant::now(), STUCK_AFTER);
        let later = self.now().after(Duration::from_secs(60));
        for work in stuck {
            self.give_back(&work, later);
        }
    }

    // A clock that went back would leave mail waiting until it has caught up.
    async fn mind_the_clock(&self, last: &mut (Instant, Timestamp)) {
        let (instant, wall) = (Instant::now(), self.now());
        let passed = i64::try_from((instant - last.0).as_millis()).unwrap_or(i64::MAX);
        let leap = wall.as_millis() - last.1.as_millis() - passed;
        *last = (instant, wall);
        if leap < -CLOCK_WENT_BACK {
            self.warn(None, "the clock went back: all waiting mail is tried now");
            super::retry_all(&self.spool).await;
        }
    }

    async fn stop(self: &Arc<Self>) {
        let (queued, unrouted) = {
            let mut state = self.state();
            state.stopping = true;
            let unrouted: Vec<Lease> =
                state.routing.values_mut().flat_map(std::mem::take).collect();
            (state.schedule.take_all(), unrouted)
        };
        self.signals.stopping.send_replace(true);
        let now = self.now();
        for work in &queued {
            self.give_back(work, now);
        }
        for lease in unrouted {
            self.place(vec![(lease, Ok(Routing::Local))]);
        }
        let deadline = Instant::now() + GRACE;
        while self.state().tasks > 0 && Instant::now() < deadline {
            self.settle_leftovers();
            let tick = deadline.min(Instant::now() + POLL);
            let _ = tokio::time::timeout_at(tick, self.signals.idle.notified()).await;
        }
        self.settle_leftovers();
    }

    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.state().tasks += 1;
        let guard = TaskGuard(Arc::clone(self));
        tokio::spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// A lease is no longer ours.
    pub(super) fn release(&self, token: &LeaseToken) {
        let mut state = self.state();
        if let Some(recipients) = state.held.remove(token) {
            state.active = state.active.saturating_sub(recipients);
        }
    }

    /// A settlement is to become durable; nobody waits for it, but a failure is told.
    pub(super) fn watch_over(&self, id: MessageId, ticket: Ticket<Result<(), SpoolError>>) {
        let _ = self.signals.tickets.send((id, ticket));
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn dice(&self) -> u64 {
        self.state().random.next()
    }

    pub(super) fn warn(&self, id: Option<MessageId>, text: &str) {
        self.log.write(&Event::Notice { level: "warning", component: "qmgr", id, text });
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a task until it has ended, however it ends.
struct TaskGuard<D: Dns + 'static, C: Carrier>(Arc<Driver<D, C>>);

impl<D: Dns + 'static, C: Carrier> Drop for TaskGuard<D, C> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.tasks = state.tasks.saturating_sub(1);
        if state.tasks == 0 {
            self.0.signals.idle.notify_one();
        }
    }
}

async fn watch_tickets(mut written: mpsc::UnboundedReceiver<Written>, log: MailLog) {
    while let Some((id, ticket)) = written.recv().await {
        if let Err(error) = ticket.await {
            let text = format!(
                "what became of its recipients is not on disk; after a restart some may get it \
                 again: {error}"
            );
            log.write(&Event::Notice {
                level: "error",
                component: "qmgr",
                id: Some(id),
                text: &text,
            });
        }
    }
}

/// Runs a future and turns a panic into an error, so that one message's trouble
/// stays its own.
async fn catch<T>(future: impl Future<Output = T>) -> Result<T, ()> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(_) => Poll::Ready(Err(())),
        }
    })
    .await
}
