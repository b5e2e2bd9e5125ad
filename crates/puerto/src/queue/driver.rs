//! The queue at work: `dispatch` claims and routes, and for each destination there are
//! as many workers as it bears, each doing one job after the other.
//!
//! What is in memory follows the active set, which is bounded, in a way that nobody can
//! fill it against others: see `dispatch`.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use puerto_mail::dns::Dns;
use puerto_spool::clock::Clock;
use puerto_spool::{
    Disposition, LeaseToken, MessageId, Settlement, Spool, SpoolError, Ticket, Timestamp,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::Wake;
use super::carrier::Carrier;
use super::dispatch::{LookUps, WAITING_RECIPIENTS};
use super::outcome::{self, Basis};
use super::schedule::{Schedule, Step};
use super::shape::Ended;
use super::work::{Kind, Work};
use crate::config::Live;
use crate::deliver::{Outcome, Pressure, Report, open_files};
use crate::route::random::Random;
use crate::route::{DestinationKey, Router};
use crate::telemetry::{Event, MailLog};

/// When a destination's queue has come down to this, more is claimed.
const LOW_WATER: usize = 60;
/// How long a lease holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(600);
/// For how long after a claim it is not worth asking whether a lease still holds.
const SURELY_HELD: Duration = Duration::from_secs(1);
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// The longest time that a lost wake-up may cost.
const POLL: Duration = Duration::from_secs(1);
/// How long jobs under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(30);
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

type Written = (MessageId, Ticket<Result<(), SpoolError>>);

/// What the tasks share.
pub(super) struct State {
    pub(super) schedule: Schedule<Work, Ground>,
    /// Leases that are ours, with the number of their recipients.
    pub(super) held: HashMap<LeaseToken, usize>,
    /// Recipients that are leased, and those of them whose job is under way.
    pub(super) active: usize,
    pub(super) running: usize,
    /// Since when the dispatcher has found no room.
    pub(super) full_since: Option<Instant>,
    pub(super) look_ups: LookUps,
    pub(super) unsettled: Vec<Settlement>,
    pub(super) telling_delay: HashSet<MessageId>,
    random: Random,
    tasks: usize,
    pub(super) stopping: bool,
}

/// Why work is put off without an attempt of its own.
pub(super) struct Ground {
    outcome: Outcome,
    /// When somebody was really tried.
    tried_at: Timestamp,
}

impl State {
    /// Recipients that wait here for their turn or for their route.
    pub(super) fn waiting(&self) -> usize {
        self.active.saturating_sub(self.running)
    }

    pub(super) fn new() -> Self {
        Self {
            schedule: Schedule::new(),
            held: HashMap::new(),
            active: 0,
            running: 0,
            full_since: None,
            look_ups: LookUps::new(open_files()),
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
            self.put_off_standing_users();
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

    pub(super) fn start_worker(self: &Arc<Self>, key: DestinationKey) {
        let driver = Arc::clone(self);
        self.spawn(driver.work(key));
    }

    async fn work(self: Arc<Self>, key: DestinationKey) {
        loop {
            match self.next_step(&key) {
                Step::Stop => return,
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
                    let because = reason.as_ref().map(|ground| &ground.outcome);
                    let outcomes = outcome::suspended(&work.job, because, self.now());
                    let tried_at = reason.as_ref().map(|ground| ground.tried_at);
                    let basis = Basis::Spared(tried_at.unwrap_or_default());
                    self.conclude(&work, outcomes, basis).await;
                }
                Step::TurnAway { work, reason } => {
                    let outcomes = outcome::turned_away(&work.job, &reason.outcome, self.now());
                    self.conclude(&work, outcomes, Basis::Crowded(reason.tried_at)).await;
                }
                Step::Deliver { work, probe } => self.deliver(&key, work, probe).await,
            }
            self.after_job(&key);
        }
    }

    fn next_step(&self, key: &DestinationKey) -> Step<Work, Ground> {
        let mut state = self.state();
        let step = state.schedule.next(key, Instant::now());
        if let Step::Deliver { work, .. } = &step {
            state.running += work.job.recipients.len();
        }
        step
    }

    async fn deliver(self: &Arc<Self>, key: &DestinationKey, mut work: Work, was_probe: bool) {
        let started = Instant::now();
        let recipients = work.job.recipients.len();
        let now = self.now();
        self.leave_lost_leases(&mut work);
        let mut pressure = Pressure::Fine;
        let mut ground = None;
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
            ground = self.ground(&work, &report).map(Arc::new);
            let basis = match pressure {
                Pressure::Crowded { failed_at } => Basis::Crowded(failed_at.unwrap_or_default()),
                _ => Basis::Tried,
            };
            self.conclude(&work, report.outcomes, basis).await;
        }
        let ended = Ended { started, now: Instant::now(), was_probe, pressure };
        let mut state = self.state();
        state.running = state.running.saturating_sub(recipients);
        state.schedule.ended(key, ended, ground);
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
    async fn conclude(&self, work: &Work, outcomes: Vec<Outcome>, basis: Basis) {
        if catch(self.settle(work, outcomes, basis)).await.is_err() {
            self.warn(Some(work.job.id), "its settlement was broken off by an internal error");
            self.give_back(work, self.now().after(Duration::from_secs(60)));
        }
    }

    // What the work that comes behind will be told, if it is put off for this.
    fn ground(&self, work: &Work, report: &Report) -> Option<Ground> {
        let tried_at = match report.pressure {
            Pressure::Crowded { failed_at } => Some(failed_at.unwrap_or_default()),
            Pressure::Unreachable => None,
            Pressure::Fine | Pressure::Strained => return None,
        };
        let outcome = self.reason_of(work, &report.outcomes)?;
        Some(Ground { tried_at: tried_at.unwrap_or(outcome.at), outcome })
    }

    /// After a job: wakes the dispatcher if there is room.
    fn after_job(&self, key: &DestinationKey) {
        let mut state = self.state();
        let queued = state.schedule.queued(key);
        let relieved = state.full_since.is_some() && state.waiting() < WAITING_RECIPIENTS / 2;
        if queued == LOW_WATER || queued == 0 || relieved {
            if relieved {
                state.full_since = None;
            }
            self.signals.room.notify_one();
        }
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
    pub(super) fn give_back(&self, work: &Work, due: Timestamp) {
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
            let unrouted = state.look_ups.take_all();
            (state.schedule.take_all(), unrouted)
        };
        self.signals.stopping.send_replace(true);
        let now = self.now();
        for work in &queued {
            self.give_back(work, now);
        }
        for lease in unrouted {
            self.give_back_lease(lease, now);
        }
        let deadline = Instant::now() + GRACE;
        while self.state().tasks > 0 && Instant::now() < deadline {
            self.settle_leftovers();
            let tick = deadline.min(Instant::now() + POLL);
            let _ = tokio::time::timeout_at(tick, self.signals.idle.notified()).await;
        }
        self.settle_leftovers();
    }

    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
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
/// stays its own. It is boxed: thousands of tasks wait, and each is as large as the
/// largest of what it may ever do.
pub(super) fn catch<T>(future: impl Future<Output = T>) -> impl Future<Output = Result<T, ()>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(_) => Poll::Ready(Err(())),
        }
    })
}
