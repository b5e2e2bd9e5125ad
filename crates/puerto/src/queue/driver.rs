//! The queue at work: `dispatch` claims and routes, and for each destination there are
//! as many workers as it bears, each doing one job after the other.
//!
//! What is in memory follows the active set, which is bounded, in a way that nobody can
//! fill it against others: see `dispatch`.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::HashSet;
use puerto_mail::dns::Dns;
use puerto_smtp::Domain;
use puerto_spool::{LeaseToken, Renewed, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::carrier::Carrier;
use super::dispatch::{Dispatcher, PAUSED, Workers};
use super::leases::Leases;
use super::lines::{Ground, Lines};
use super::outcome::{self, Basis};
use super::parks::{Parks, Standpoint};
use super::rescue::{Moment, Rescue};
use super::schedule::Step;
use super::settle::Settler;
use super::shape::Ended;
use super::sources::Sources;
use super::work::{Kind, Work};
use super::{Wiring, catch};
use crate::alarm::Alarm;
use crate::deliver::{Outcome, Pressure, Report};
use crate::route::DestinationKey;
use crate::telemetry::DeliveryStatus;

/// When a destination's queue has come down to this, more is claimed.
const LOW_WATER: usize = 60;
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// How often it is written what new addresses have sent, and who refuses ours.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// The longest time that a lost wake-up may cost.
const POLL: Duration = Duration::from_secs(1);
/// How long jobs under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(30);
/// How long one may of which no peer can have the message yet.
const MOMENT: Duration = Duration::from_secs(1);
/// How far a clock must go back before what waits is tried at once.
const CLOCK_WENT_BACK: i64 = 60_000;

/// The workers, and what they share with the others.
pub(super) struct Driver<D, C> {
    wiring: Arc<Wiring<D, C>>,
    leases: Arc<Leases>,
    settler: Arc<Settler<D, C>>,
    lines: Arc<Lines>,
    dispatcher: Arc<Dispatcher<D, C>>,
    rescue: Arc<Rescue>,
    sources: Arc<Sources>,
    parks: Arc<Parks>,
    /// Who writes the notes: the last to begin has the newest.
    writing: tokio::sync::Mutex<()>,
    /// There is room in the active set.
    room: Notify,
}

impl<D: Dns + 'static, C: Carrier> Workers for Driver<D, C> {
    fn start_worker(self: Arc<Self>, key: DestinationKey) {
        let lines = Arc::clone(&self.lines);
        lines.spawn(Box::pin(self.work(key)));
    }
}

impl<D: Dns + 'static, C: Carrier> Driver<D, C> {
    /// A queue that does nothing until it runs.
    pub(super) fn new(wiring: Wiring<D, C>) -> Arc<Self> {
        let wiring = Arc::new(wiring);
        let leases = Arc::new(Leases::new(Arc::clone(&wiring.work)));
        let settler = Arc::new(Settler::start(&wiring, &leases));
        let lines = Lines::new(&leases);
        let state_dir = wiring.config.get().state_dir.clone();
        let now = Moment { instant: Instant::now(), time: wiring.now() };
        let from = wiring.router.leaves_from();
        let rescue = Arc::new(Rescue::load(&state_dir, &from, now));
        let standpoint = Standpoint::of(&wiring.config.get(), from);
        let parks = Parks::load(&state_dir, &standpoint, &mut lines.lock().schedule, now);
        let parks = Arc::new(parks);
        let sources = Arc::new(Sources::load(&state_dir));
        let learnt = (&sources, &rescue);
        wiring.lanes.are(&lines, &wiring.clock, learnt, (&wiring.config, &wiring.work));
        Arc::new_cyclic(|workers: &Weak<Self>| {
            let workers: Weak<dyn Workers> = workers.clone();
            let dispatcher =
                Dispatcher::new(&wiring, &leases, &settler, (&lines, workers), (&rescue, &sources));
            let room = Notify::new();
            let writing = tokio::sync::Mutex::new(());
            Self {
                wiring,
                leases,
                settler,
                lines,
                dispatcher,
                rescue,
                sources,
                parks,
                writing,
                room,
            }
        })
    }

    /// Works until it is told to stop, and then until what is under way has ended.
    pub(super) async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let (mut last_renewal, mut last_write) = (Instant::now(), Instant::now());
        let mut clock = (Instant::now(), self.now());
        let mut stored_elsewhere = self.wiring.work.changed();
        let mut edits = (self.wiring.work.edits(), Instant::now());
        let mut alarm = Alarm::default();
        while !*shutdown.borrow() {
            if last_renewal.elapsed() >= RENEW_EVERY {
                self.leases.renew_all().await;
                last_renewal = Instant::now();
            }
            self.settler.settle_leftovers();
            if last_write.elapsed() >= WRITE_EVERY {
                self.write_notes().await;
                last_write = Instant::now();
            }
            self.mind_the_clock(&mut clock).await;
            self.heed_edits(&mut edits).await;
            self.dispatcher.put_off_standing_users();
            let next_due = self.dispatcher.claim().await;
            tokio::select! {
                () = self.wiring.wake.woken() => {}
                () = self.room.notified() => {}
                () = &mut stored_elsewhere => stored_elsewhere = self.wiring.work.changed(),
                () = alarm.wait_until(Instant::now() + self.until(next_due)) => {}
                changed = shutdown.changed() => if changed.is_err() { break },
            }
        }
        self.stop().await;
    }

    // What is not written is not known after a crash: it counts as not sent, and is found out
    // again.
    async fn write_notes(&self) {
        let _turn = self.writing.lock().await;
        let now = self.moment();
        let from = || self.wiring.router.leaves_from();
        let standpoint = || Standpoint::of(&self.wiring.config.get(), from());
        let parked = self.parks.news(&self.lines.lock().schedule, standpoint, now);
        if !self.sources.is_unwritten() && !self.rescue.is_unwritten() && parked.is_none() {
            return;
        }
        let (sources, rescue) = (Arc::clone(&self.sources), Arc::clone(&self.rescue));
        let (parks, from) = (Arc::clone(&self.parks), from());
        let writing = move || {
            let parked = parked.map_or(Ok(()), |text| parks.write(&text));
            [sources.write(), rescue.write(from, now), parked]
        };
        let Ok(written) = tokio::task::spawn_blocking(writing).await else { return };
        let whats =
            ["what new addresses have sent", "who refuses our address", "which pauses hold"];
        for (what, written) in whats.into_iter().zip(written) {
            if let Err(error) = written {
                self.wiring.warn(None, &format!("{what} was not noted: {error}"));
            }
        }
    }

    fn until(&self, next_due: Option<Timestamp>) -> Duration {
        let now = self.now();
        match next_due {
            Some(due) if due > now => due.since(now).min(POLL),
            // Due, but there is no room for it; or there is nothing at all.
            _ => POLL,
        }
    }

    async fn work(self: Arc<Self>, key: DestinationKey) {
        let mut moved = self.lines.moved.subscribe();
        loop {
            match self.next_step(&key) {
                Step::Stop => return,
                Step::Wait(until) => {
                    let mut stopping = self.lines.stopping.subscribe();
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        _ = moved.changed() => {}
                        _ = stopping.wait_for(|stopping| *stopping) => {}
                    }
                    if !self.lines.lock().schedule.waited(&key) {
                        return;
                    }
                    continue;
                }
                Step::Suspend { work, reason } => {
                    self.dispatcher.rest(&work);
                    let outcomes = outcome::suspended(&work.job, reason.as_deref(), self.now());
                    let tried_at = reason.as_ref().map(|ground| ground.tried_at);
                    let basis = Basis::Spared(tried_at.unwrap_or_default());
                    self.settler.settle(&work, outcomes, basis).await;
                }
                Step::Park { work, until, reason } => self.park(&key, &work, until, reason).await,
                Step::TurnAway { work, reason } => {
                    let outcomes = outcome::turned_away(&work.job, &reason, self.now());
                    self.settler.settle(&work, outcomes, Basis::Crowded(reason.tried_at)).await;
                }
                Step::Deliver { work, probe } => self.deliver(&key, work, probe).await,
            }
            self.after_job(&key);
        }
    }

    // Its recipients wait for the end of the pause, and nothing else becomes of them; unless
    // they are past their end and somebody was tried since.
    async fn park(
        &self,
        key: &DestinationKey,
        work: &Work,
        until: Instant,
        reason: Option<Arc<Ground>>,
    ) {
        self.dispatcher.rest_until(work, until);
        {
            let mut standing = self.lines.lock();
            for leased in &work.job.recipients {
                standing.schedule.keeps_waiting(key, leased.recipient.address.domain());
            }
        }
        let now = self.now();
        let due = now.after(until.saturating_duration_since(Instant::now()));
        let outcomes = outcome::parked(&work.job, reason.as_deref(), now);
        let tried_at = reason.as_ref().map(|ground| ground.tried_at).unwrap_or_default();
        self.settler.settle(work, outcomes, Basis::Parked { tried_at, until: due }).await;
    }

    fn next_step(self: &Arc<Self>, key: &DestinationKey) -> Step<Box<Work>, Ground> {
        let mut standing = self.lines.lock();
        let step = standing.schedule.next(key, Instant::now());
        let Step::Deliver { work, .. } = &step else { return step };
        standing.running += work.job.recipients.len();
        // Where there is a pace, somebody else minds the time while this job is under way.
        let has_successor = standing.schedule.take_successor(key, Instant::now());
        drop(standing);
        if has_successor {
            Arc::clone(self).start_worker(key.clone());
        }
        step
    }

    async fn deliver(self: &Arc<Self>, key: &DestinationKey, mut work: Box<Work>, was_probe: bool) {
        let started = Instant::now();
        let recipients = work.job.recipients.len();
        let now = self.now();
        let withdrawn = self.leases.withdrawn.subscribe();
        self.leave_withdrawn(&mut work).await;
        self.leave_paused(&mut work);
        self.leave_rescued(&mut work);
        self.leave_used_up(&mut work);
        // Where nothing is left of it, nothing is learnt.
        let mut pressure = Pressure::Crowded { failed_at: None };
        let mut ground = None;
        if !work.leases.is_empty() {
            work.job.in_queue = now.since(work.job.received_at);
            let report = catch(Box::pin(self.attempt_or_stop(&work, withdrawn)))
                .await
                .unwrap_or_else(|()| {
                    self.wiring
                        .warn(Some(work.job.id), "a delivery was broken off by an internal error");
                    Some(Report {
                        outcomes: outcome::all_broken_off(&work.job, self.now()),
                        pressure: Pressure::Fine,
                    })
                });
            match report {
                Some(mut report) => {
                    self.sources.ended(&work.job.plan, work.job.id, outcome::taken(&report));
                    let config = self.wiring.config.get();
                    self.rescue.consider(&config, &work.job, &mut report, self.moment());
                    pressure = report.pressure;
                    ground = self.ground(&work, &report).map(Arc::new);
                    self.settle(&work, report).await;
                }
                None => {
                    self.sources.ended(&work.job.plan, work.job.id, (false, true));
                    self.leave_withdrawn(&mut work).await;
                    self.settler.give_back(&work, self.now());
                }
            }
        }
        let ended = Ended { started, now: Instant::now(), was_probe, pressure };
        let grows = {
            let mut standing = self.lines.lock();
            standing.running = standing.running.saturating_sub(recipients);
            standing.schedule.ended(key, ended, ground);
            standing.schedule.take_worker(key)
        };
        if grows {
            Arc::clone(self).start_worker(key.clone());
        }
        // Whoever asks for a pause has it, though the power go a moment later.
        if matches!(pressure, Pressure::Parked(_)) {
            self.write_notes().await;
        }
    }

    async fn settle(&self, work: &Work, report: Report) {
        let basis = match report.pressure {
            Pressure::Crowded { failed_at } => Basis::Crowded(failed_at.unwrap_or_default()),
            _ => Basis::Tried,
        };
        self.settler.settle(work, report.outcomes, basis).await;
    }

    // `None` if the server stops, or the message was held or removed, and no peer can have it:
    // it is given up then. Else it goes on to its end, so that the message is not sent twice.
    async fn attempt_or_stop(
        &self,
        work: &Work,
        mut withdrawn: watch::Receiver<HashSet<LeaseToken>>,
    ) -> Option<Report> {
        let mut attempt = pin!(self.attempt(work));
        let time_is_up = async {
            let _ = self.lines.stopping.subscribe().wait_for(|stopping| *stopping).await;
            tokio::time::sleep(MOMENT).await;
        };
        tokio::select! {
            biased;
            report = &mut attempt => return Some(report),
            () = time_is_up => {}
            _ = withdrawn.wait_for(|gone| work.leases.iter().any(|held| gone.contains(&held.token)))
                => {}
        }
        let is_ours = matches!(work.kind, Kind::Remote) && !work.job.ending.may_be_sent();
        if is_ours { None } else { Some(attempt.await) }
    }

    async fn attempt(&self, work: &Work) -> Report {
        match &work.kind {
            Kind::Remote => self.wiring.carrier.remote(&work.job).await,
            Kind::Local => self.wiring.carrier.local(&work.job).await,
            Kind::Unroutable(failure) => Report {
                outcomes: outcome::unroutable(&work.job, failure, self.now()),
                pressure: Pressure::Fine,
            },
        }
    }

    // What the work that comes behind will be told, if it is put off for this.
    fn ground(&self, work: &Work, report: &Report) -> Option<Ground> {
        let tried_at = match report.pressure {
            Pressure::Crowded { failed_at } => Some(failed_at.unwrap_or_default()),
            Pressure::Unreachable | Pressure::Slowed(..) | Pressure::Parked(_) => None,
            Pressure::Fine | Pressure::Strained => return None,
        };
        if !matches!(work.kind, Kind::Remote) {
            return None;
        }
        let failed = |outcome: &&Outcome| outcome.status != DeliveryStatus::Sent;
        let outcome = report.outcomes.iter().find(failed)?;
        Some(Ground {
            code: outcome.status_code,
            cause: outcome.cause.clone(),
            tried_at: tried_at.unwrap_or(outcome.at),
        })
    }

    /// After a job: wakes the dispatcher if there is room.
    fn after_job(&self, key: &DestinationKey) {
        let queued = self.lines.lock().schedule.queued(key);
        let relieved = self.dispatcher.is_relieved();
        if queued == LOW_WATER || queued == 0 || relieved {
            self.room.notify_one();
        }
    }

    // An administrator may have removed or held a message since it was claimed.
    async fn leave_withdrawn(&self, work: &mut Work) {
        let tokens: Vec<LeaseToken> = work.leases.iter().map(|held| held.token).collect();
        if self.leases.are_fresh(&tokens) {
            return;
        }
        let renewed = self.leases.renew(&tokens).await;
        self.settler.return_some(work.withdraw(&renewed, self.now()));
    }

    // What was held or removed leaves the lines at once, and what is under way is broken off
    // as far as no peer can have it. Of many such changes in a row this takes note together.
    async fn heed_edits(&self, (seen, looked): &mut (u64, Instant)) {
        let edits = self.wiring.work.edits();
        if edits == *seen || looked.elapsed() < POLL {
            return;
        }
        (*seen, *looked) = (edits, Instant::now());
        let renewed = self.leases.renew_all().await;
        let [lost, held] = [renewed.lost, renewed.held].map(HashSet::from_iter);
        let (now, mut returned) = (self.now(), Vec::new());
        self.lines.lock().schedule.retain(|work| {
            let of = |some: &HashSet<LeaseToken>| {
                let tokens = work.leases.iter().map(|held| held.token);
                tokens.filter(|token| some.contains(token)).collect()
            };
            let own = Renewed { lost: of(&lost), held: of(&held) };
            returned.extend(work.withdraw(&own, now));
            !work.leases.is_empty()
        });
        self.leases.withdrawn.send_replace(lost.into_iter().chain(held).collect());
        self.settler.return_some(returned);
    }

    // An administrator may have paused its destination since it was claimed.
    fn leave_paused(&self, work: &mut Work) {
        let orders = self.wiring.orders.get();
        if !orders.has_pauses() {
            return;
        }
        let now = self.now();
        let from = work.job.reverse_path.clone();
        let waits = |_: &LeaseToken, domain: &Domain| {
            let (_, until) = orders.pause_of(&from, domain, now)?;
            Some(until.unwrap_or_else(|| now.after(PAUSED)))
        };
        self.settler.return_some(work.take_waiting(waits));
    }

    // It may have been found out since it was routed that its destination does not take it from
    // here: it comes again at once, another way.
    fn leave_rescued(&self, work: &mut Work) {
        if !matches!(work.kind, Kind::Remote) || !self.dispatcher.goes_by_rescue(work) {
            return;
        }
        let now = self.now();
        self.settler.return_some(work.take_waiting(|_, _| Some(now)));
    }

    // Others may have sent what its source may send today.
    fn leave_used_up(&self, work: &mut Work) {
        let (now, nodes) = (self.now(), self.wiring.work.living());
        if work.leases.is_empty() || self.sources.begin(&work.job.plan, work.job.id, nodes, now) {
            return;
        }
        self.settler.return_some(work.take_waiting(|_, _| Some(now)));
    }

    // A clock that went back would leave mail waiting until it has caught up.
    async fn mind_the_clock(&self, last: &mut (Instant, Timestamp)) {
        let (instant, wall) = (Instant::now(), self.now());
        let passed = i64::try_from((instant - last.0).as_millis()).unwrap_or(i64::MAX);
        let leap = wall.as_millis() - last.1.as_millis() - passed;
        *last = (instant, wall);
        if leap < -CLOCK_WENT_BACK {
            self.wiring.warn(None, "the clock went back: all waiting mail is tried now");
            if let Err(error) = self.wiring.work.retry_all().await {
                self.wiring.warn(None, &format!("waiting mail could not be made due: {error}"));
            }
        }
    }

    async fn stop(self: &Arc<Self>) {
        let queued = {
            let mut standing = self.lines.lock();
            standing.closed = true;
            standing.schedule.take_all()
        };
        self.lines.stopping.send_replace(true);
        let now = self.now();
        for work in &queued {
            self.settler.give_back(work, now);
        }
        self.dispatcher.stop();
        let deadline = Instant::now() + GRACE;
        while self.lines.tasks() > 0 && Instant::now() < deadline {
            self.settler.settle_leftovers();
            let tick = deadline.min(Instant::now() + POLL);
            let _ = tokio::time::timeout_at(tick, self.lines.idle.notified()).await;
        }
        self.settler.settle_leftovers();
        let _ = tokio::time::timeout_at(deadline.max(Instant::now() + POLL), self.settler.finish())
            .await;
        self.write_notes().await;
    }

    fn now(&self) -> Timestamp {
        self.wiring.now()
    }

    fn moment(&self) -> Moment {
        Moment { instant: Instant::now(), time: self.now() }
    }
}
