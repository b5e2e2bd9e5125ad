//! From what is due to work that stands in line: claims, routes, and who makes room.
//!
//! No bound here is a pool that one peer could fill against the others:
//!
//! * Recipients whose job is under way hold a connection; how many of those there may
//!   be is the carrier's to bound, for each peer. The more there are, the fewer of one
//!   domain are claimed.
//! * Recipients that wait, in a line or for a route, are bounded in all. While there is
//!   no room, the longest lines that stand and the look-ups that are slow give back
//!   what they hold, for a while.
//! * Look-ups that are slow do not count among those that may run at the same time, and
//!   the last to come is the first to be asked: a thousand name servers that are silent
//!   keep only their own mail waiting.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use puerto_mail::dns::Dns;
use puerto_smtp::{Domain, ReversePath, TlsWish};
use puerto_spool::{ClaimRequest, Claimed, Lease, MessageId, Origin, Timestamp};
use tokio::time::Instant;

use super::body::SpoolBody;
use super::carrier::Carrier;
use super::leases::{LEASE, Leases};
use super::lines::Lines;
use super::look_ups::{LookUps, PROMPT, Way};
use super::parks::Standpoint;
use super::rescue::{self, Reason, Rescue};
use super::resting::Resting;
use super::retried::Retried;
use super::settle::Settler;
use super::share;
use super::sources::{Sources, Whose};
use super::work::{USERS, Work};
use super::{Wiring, catch, retry};
use crate::cause::Cause;
use crate::config::{Config, NextHop};
use crate::intake::Retry;
use crate::route::random::Random;
use crate::route::{self, DestinationKey, Question, RouteFailure, Routing};

/// Recipients that may wait in memory at the same time.
const WAITING_RECIPIENTS: usize = 5_000;
/// Recipients in memory at most, those whose job is under way included.
const ACTIVE_RECIPIENTS: usize = 100_000;
/// How many of one domain may be in memory, by how many there are in all.
const FOR_DOMAIN: [(usize, usize); 3] = [(10_000, 250), (30_000, 50), (ACTIVE_RECIPIENTS, 5)];
/// For how long there must have been no room before somebody makes it, and how long a
/// line must have stood for that.
const STANDING: Duration = Duration::from_secs(2);
/// How much room is made at once.
const ROOM: usize = WAITING_RECIPIENTS / 8;
/// How long what is paused waits where the pause has no end: whoever ends it has it tried.
pub(super) const PAUSED: Duration = Duration::from_secs(3600);

/// A lease, and where it goes.
type Routed = (Lease, Result<Routing, RouteFailure>);

/// Those who take work from the lines.
pub(super) trait Workers: Send + Sync + 'static {
    /// One more is wanted for this destination.
    fn start_worker(self: Arc<Self>, key: DestinationKey);
}

/// See the module.
pub(super) struct Dispatcher<D, C> {
    wiring: Arc<Wiring<D, C>>,
    leases: Arc<Leases>,
    settler: Arc<Settler<D, C>>,
    lines: Arc<Lines>,
    workers: Weak<dyn Workers>,
    rescue: Arc<Rescue>,
    sources: Arc<Sources>,
    retried: Retried,
    state: Mutex<State>,
}

struct State {
    look_ups: LookUps,
    /// Since when there has been no room.
    full_since: Option<Instant>,
    /// The last claim failed, and the log says so.
    claims_fail: bool,
    resting: Resting,
    /// The pauses and other ways that were ordered when it was last looked.
    directions: Vec<(u64, Option<NextHop>)>,
    /// The configuration in force when it was last looked, and how many nodes lived, which share
    /// its limits.
    config: (Arc<Config>, u32),
    standpoint: Standpoint,
    random: Random,
}

impl<D: Dns + 'static, C: Carrier> Dispatcher<D, C> {
    /// Brings work into these lines, for these workers.
    pub(super) fn new(
        wiring: &Arc<Wiring<D, C>>,
        leases: &Arc<Leases>,
        settler: &Arc<Settler<D, C>>,
        (lines, workers): (&Arc<Lines>, Weak<dyn Workers>),
        (rescue, sources): (&Arc<Rescue>, &Arc<Sources>),
    ) -> Arc<Self> {
        let config = wiring.config.get();
        let state = State {
            standpoint: Standpoint::of(&config, wiring.router.leaves_from()),
            look_ups: LookUps::new(wiring.files),
            full_since: None,
            claims_fail: false,
            resting: Resting::default(),
            directions: Vec::new(),
            config: (config, wiring.work.living()),
            random: Random::unpredictable(),
        };
        Arc::new(Self {
            wiring: Arc::clone(wiring),
            leases: Arc::clone(leases),
            settler: Arc::clone(settler),
            lines: Arc::clone(lines),
            workers,
            rescue: Arc::clone(rescue),
            sources: Arc::clone(sources),
            retried: Retried::default(),
            state: Mutex::new(state),
        })
    }

    /// Whether there was no room, and there is now.
    pub(super) fn is_relieved(&self) -> bool {
        let mut state = self.state();
        let relieved = state.full_since.is_some() && self.lines.waiting() < WAITING_RECIPIENTS / 2;
        if relieved {
            state.full_since = None;
        }
        relieved
    }

    /// Gives back what has no route yet.
    pub(super) fn stop(&self) {
        let unrouted = self.state().look_ups.take_all();
        let now = self.wiring.now();
        for lease in unrouted {
            self.settler.give_back(&self.unrouted(lease), now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims what is due and there is room for. Says when more is due.
    pub(super) async fn claim(self: &Arc<Self>) -> Option<Timestamp> {
        loop {
            self.heed_retries();
            self.heed_directions();
            self.heed_configuration();
            let request = self.request();
            // What is changed while they are claimed counts as changed afterwards.
            let edits = self.wiring.work.edits();
            let Claimed { leases, next_due } = self.claimed(&request).await?;
            let is_due = next_due.is_some_and(|due| due <= self.wiring.now());
            let goes_on = match request.limit {
                0 => is_due && self.make_room(),
                _ => is_due && !leases.is_empty(),
            };
            if !leases.is_empty() {
                self.take(leases, edits);
            }
            if !goes_on {
                return next_due;
            }
        }
    }

    // With a limit of none where there is no room.
    fn request(&self) -> ClaimRequest {
        let active = self.leases.recipients();
        let room = WAITING_RECIPIENTS.saturating_sub(self.lines.waiting());
        let share = FOR_DOMAIN.into_iter().find(|(below, _)| active < *below);
        let per_domain = share.map_or(0, |(_, per_domain)| per_domain);
        let limit = if room < ROOM || per_domain == 0 { 0 } else { room };
        let resting = self.state().resting.domains();
        ClaimRequest { hold: LEASE, limit, per_domain, resting }
    }

    /// Some of these recipients' domains have been suspended: they rest.
    pub(super) fn rest(&self, work: &Work) {
        self.state().resting.suspended(work);
    }

    /// Their destination has asked for a pause: they rest.
    pub(super) fn rest_until(&self, work: &Work, until: Instant) {
        let by_sender = self.wiring.config.get().routes.iter().any(|route| route.from.is_some());
        self.state().resting.paused(work, until, by_sender);
    }

    // Whatever rests costs a look and no attempt. Another chance is given to the destinations of
    // what was retried, when that comes: a pause that another has asked for goes on.
    fn heed_retries(&self) {
        self.retried.forget();
        let retry = self.wiring.wake.take_retry();
        if retry == Retry::Nothing {
            return;
        }
        self.state().resting.end();
        if let Retry::Of(meant) = retry {
            self.retried.note(meant);
            return;
        }
        self.rescue.look_again();
        self.lines.lock().schedule.give_another_chance(Instant::now());
    }

    // What stands in line has its way already. When a pause or another way has been ordered, or
    // one has ended, it is given back untried and comes again as holds now; a lane that nothing
    // goes by any more is forgotten, and what was learnt of it.
    fn heed_directions(&self) {
        let now = self.wiring.now();
        let directions = self.wiring.orders.get().directions(now);
        let before = {
            let mut state = self.state();
            if state.directions == directions {
                return;
            }
            state.resting.end();
            std::mem::replace(&mut state.directions, directions.clone())
        };
        let config = self.wiring.config.get();
        let is_used = |hop: &NextHop| {
            directions.iter().any(|(_, way)| way.as_ref() == Some(hop))
                || config.relays().any(|relay| relay.next_hop == hop)
        };
        let mut standing = self.lines.lock();
        let waiting = standing.schedule.take_all();
        for hop in before.iter().filter_map(|(_, hop)| hop.as_ref()).filter(|hop| !is_used(hop)) {
            standing.schedule.forget(&DestinationKey(hop.to_string().into()));
        }
        drop(standing);
        waiting.iter().for_each(|work| self.settler.give_back(work, now));
    }

    // What stands in line waits by the rates, and goes the way, of the configuration with which
    // it came there, shared out over the nodes of then: under another, or where a node has come or
    // gone, it is given back untried and comes again as holds now. Who asked other addresses of
    // ours for a pause, or could not be gone round, is looked at anew.
    fn heed_configuration(&self) {
        let (config, nodes) = (self.wiring.config.get(), self.wiring.work.living());
        let is_moved = {
            let mut state = self.state();
            let is_same = Arc::ptr_eq(&state.config.0, &config);
            if is_same && state.config.1 == nodes {
                return;
            }
            state.resting.end();
            let is_moved = !is_same && {
                let now = Standpoint::of(&config, self.wiring.router.leaves_from());
                std::mem::replace(&mut state.standpoint, now) != state.standpoint
            };
            state.config = (config, nodes);
            is_moved
        };
        let mut standing = self.lines.lock();
        if is_moved {
            standing.schedule.give_another_chance(Instant::now());
        }
        let waiting = standing.schedule.take_all();
        drop(standing);
        self.lines.moved.send_replace(());
        let now = self.wiring.now();
        waiting.iter().for_each(|work| self.settler.give_back(work, now));
    }

    async fn claimed(&self, request: &ClaimRequest) -> Option<Claimed> {
        let claimed = self.wiring.work.claim(request).await;
        let failed_before = std::mem::replace(&mut self.state().claims_fail, claimed.is_err());
        if let (Err(error), false) = (&claimed, failed_before) {
            self.wiring.warn(None, &format!("no work could be claimed: {error}"));
        }
        claimed.ok()
    }

    fn take(self: &Arc<Self>, mut leases: Vec<Lease>, edits: u64) {
        // The leases of one message together, so that they can share a transaction.
        leases.sort_by_key(|lease| (lease.token.id, lease.recipients.first().map(|r| r.index)));
        // Once more after the claim: it may have brought what was made due meanwhile.
        self.heed_retries();
        self.leases.add(&leases, edits);
        let leases = self.without_paused(leases);
        self.send_on(leases);
    }

    // What is paused waits without an attempt until that ends.
    fn without_paused(&self, leases: Vec<Lease>) -> Vec<Lease> {
        let orders = self.wiring.orders.get();
        if !orders.has_pauses() {
            return leases;
        }
        let now = self.wiring.now();
        let mut free = Vec::with_capacity(leases.len());
        for lease in leases {
            match orders.pause_of(&lease.reverse_path, &lease.domain, now) {
                Some((_, until)) => {
                    let due = until.unwrap_or_else(|| now.after(PAUSED));
                    self.settler.give_back(&self.unrouted(lease), due);
                }
                None => free.push(lease),
            }
        }
        free
    }

    fn send_on(self: &Arc<Self>, leases: Vec<Lease>) {
        let mut known: Vec<Routed> = Vec::new();
        let mut unknown = false;
        for lease in leases {
            if known.last().is_some_and(|(last, _)| last.token.id != lease.token.id) {
                self.place(std::mem::take(&mut known));
            }
            match self.known(&lease) {
                Some(routing) => known.push((lease, routing)),
                None => {
                    let (reverse_path, domain) = (&lease.reverse_path, &lease.domain);
                    let question = self.wiring.router.question(reverse_path, domain, lease.tls);
                    self.state().look_ups.wait(question, lease);
                    unknown = true;
                }
            }
        }
        self.place(known);
        if unknown {
            self.begin_look_ups();
        }
    }

    // When there has been no room for a while and work is due, those make room who get
    // nowhere. Says whether they did.
    fn make_room(self: &Arc<Self>) -> bool {
        let now = Instant::now();
        let unrouted = {
            let mut state = self.state();
            let since = *state.full_since.get_or_insert(now);
            if now.duration_since(since) < STANDING {
                return false;
            }
            state.look_ups.take_slow(now, ROOM)
        };
        let routed = if unrouted.is_empty() { ROOM } else { 0 };
        let standing = self.lines.lock().schedule.take_standing(now, STANDING, routed);
        let made_room = !unrouted.is_empty() || !standing.is_empty();
        let unrouted = unrouted.into_iter().map(|lease| self.unrouted(lease));
        unrouted.chain(standing).for_each(|work| self.put_off(&work));
        made_room
    }

    /// All users share a domain, of which so many recipients may be leased: a user whose
    /// line stands gives back what waits in it.
    pub(super) fn put_off_standing_users(&self) {
        let is_user = |key: &DestinationKey| key.0.starts_with(USERS);
        let standing = self.lines.lock().schedule.take_behind(is_user, Instant::now(), STANDING);
        standing.iter().for_each(|work| self.put_off(work));
    }

    // Gives work back without an attempt, for some time.
    fn put_off(&self, work: &Work) {
        let now = self.wiring.now();
        let age = now.since(work.job.received_at);
        let dice = self.state().random.next();
        self.settler.give_back(work, now.after(retry::wait_when_crowded(age, dice)));
    }

    // Copies that an alias sends on keep the reverse-path that their author gave.
    fn with_verp(&self, lease: Lease) -> Lease {
        if lease.verp.is_some() || lease.origin == Origin::Internal {
            return lease;
        }
        let verp = route::verp(&self.wiring.config.get(), &lease.reverse_path, &lease.domain);
        Lease { verp, ..lease }
    }

    fn unrouted(&self, lease: Lease) -> Box<Work> {
        let body = SpoolBody::new(&self.wiring.store, lease.token.id, lease.size);
        Work::new(lease, Ok(Routing::Local), Arc::new(body))
    }

    fn begin_look_ups(self: &Arc<Self>) {
        loop {
            let next = self.state().look_ups.next();
            let Some(question) = next else { return };
            self.look_up(question);
        }
    }

    fn look_up(self: &Arc<Self>, question: Question) {
        let dispatcher = Arc::clone(self);
        self.lines.spawn(Box::pin(async move {
            let mut turn = LookUp { dispatcher: &dispatcher, prompt: true };
            loop {
                let first = dispatcher.state().look_ups.first_waiting(&question);
                let Some(way) = first else { return };
                // Whatever comes meanwhile goes the same way, and together. What is
                // found is asked for again below, when it is known.
                let asked = async {
                    let mut asking = pin!(dispatcher.ask(&question, &way));
                    if tokio::time::timeout(PROMPT, &mut asking).await.is_err() {
                        turn.is_slow();
                        asking.await;
                    }
                };
                let mut stopping = dispatcher.lines.stopping.subscribe();
                tokio::select! {
                    () = asked => {}
                    // By then everything that waits was given back.
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                }
                let waiting = dispatcher.state().look_ups.take(&question);
                let (others, ours) = dispatcher.by_sender(&question, waiting);
                let mut routed = Vec::new();
                for lease in ours {
                    let routing = dispatcher.route(&Way::of(&lease)).await;
                    routed.push((lease, routing));
                }
                dispatcher.place(routed);
                dispatcher.send_on(others);
            }
        }));
    }

    // What comes of it is in the router's cache.
    async fn ask(&self, question: &Question, way: &Way) {
        if question.is_of_sender() {
            let _ = self.route(way).await;
            return;
        }
        let Way { reverse_path, domain, tls, .. } = way;
        // A panic shows again where the route is taken.
        let _ = catch(Box::pin(self.wiring.router.prepare(reverse_path, domain, *tls))).await;
    }

    // What is found may show that it matters whose mail it is. What other senders' DNS says is
    // then a question of its own, so that one that is slow keeps only its own mail waiting.
    fn by_sender(&self, question: &Question, waiting: Vec<Lease>) -> (Vec<Lease>, Vec<Lease>) {
        let router = &self.wiring.router;
        waiting.into_iter().partition(|lease| {
            let (from, to, wish) = (&lease.reverse_path, &lease.domain, lease.tls);
            !question.is_of_sender()
                && router.known(from, to, wish).is_none()
                && router.question(from, to, wish).is_of_sender()
        })
    }

    // What is known without asking the DNS.
    fn known(&self, lease: &Lease) -> Option<Result<Routing, RouteFailure>> {
        let router = &self.wiring.router;
        let direct = router.known(&lease.reverse_path, &lease.domain, lease.tls)?;
        let whose = (lease.token.id, &lease.reverse_path, &lease.origin);
        let direct = self.by_source(direct, whose);
        match self.reason(&direct, lease.token.id, (&lease.domain, lease.tls)) {
            None => Some(direct),
            Some(reason) => Some(self.by_rescue(&reason, router.known_rescue(lease.tls)?)),
        }
    }

    async fn route(&self, way: &Way) -> Result<Routing, RouteFailure> {
        let routing = catch(Box::pin(async {
            let router = &self.wiring.router;
            let direct = router.route_by(&way.reverse_path, &way.domain, way.tls).await;
            let direct = self.by_source(direct, (way.id, &way.reverse_path, &way.origin));
            match self.reason(&direct, way.id, (&way.domain, way.tls)) {
                None => direct,
                Some(reason) => self.by_rescue(&reason, router.rescue(way.tls).await),
            }
        }));
        routing.await.unwrap_or_else(|()| {
            Err(RouteFailure {
                code: puerto_smtp::EnhancedCode::new(4, 3, 0),
                cause: Cause::RoutingBrokenOff {},
            })
        })
    }

    /// Whether work that was to go directly goes by the rescue route.
    pub(super) fn goes_by_rescue(&self, work: &Work) -> bool {
        let direct = Ok(Routing::Remote(Arc::clone(&work.job.plan)));
        let domain = work.job.recipients.first().map(|first| first.recipient.address.domain());
        domain.is_some_and(|domain| {
            self.reason(&direct, work.job.id, (domain, work.job.tls)).is_some()
        })
    }

    // The direct way from one of several addresses.
    fn by_source(
        &self,
        direct: Result<Routing, RouteFailure>,
        (id, reverse_path, origin): (MessageId, &ReversePath, &Origin),
    ) -> Result<Routing, RouteFailure> {
        let Ok(Routing::Remote(plan)) = &direct else { return direct };
        let config = self.wiring.config.get();
        let account = match origin {
            Origin::Account { name, .. } => Some(name.as_str()),
            _ => None,
        };
        let whose = Whose { id, reverse_path, account };
        let nodes = self.wiring.work.living();
        let plan = self.sources.plan((&config, nodes), plan, whose, self.wiring.now())?;
        Ok(Routing::Remote(plan))
    }

    // Why mail that would go so goes by the rescue route, if it does.
    fn reason(
        &self,
        direct: &Result<Routing, RouteFailure>,
        id: MessageId,
        whose: (&Domain, TlsWish),
    ) -> Option<Reason> {
        let Ok(Routing::Remote(plan)) = direct else { return None };
        if self.retried.awaits(id, whose.0, &plan.key) {
            self.rescue.look_again_at(id, &plan.key);
        }
        let may = rescue::may_rescue(&self.wiring.config.get(), plan, whose);
        may.then(|| self.rescue.reason(id, plan, Instant::now())).flatten()
    }

    fn by_rescue(
        &self,
        reason: &Reason,
        found: Result<Routing, RouteFailure>,
    ) -> Result<Routing, RouteFailure> {
        match found? {
            Routing::Remote(base) => Ok(Routing::Remote(self.rescue.plan(&base, reason))),
            Routing::Local => Ok(Routing::Local),
        }
    }

    // All at once, so that what can share a transaction does before a worker takes it.
    fn place(self: &Arc<Self>, routed: Vec<Routed>) {
        if routed.is_empty() {
            return;
        }
        let (config, nodes) = (self.wiring.config.get(), self.wiring.work.living());
        let works = routed.into_iter().map(|(lease, routing)| {
            let body = SpoolBody::new(&self.wiring.store, lease.token.id, lease.size);
            let work = Work::new(self.with_verp(lease), routing, Arc::new(body));
            let (key, bounds) = share::line(&work, (&config, nodes));
            (key, work, bounds)
        });
        let works: Vec<_> = works.collect();
        let in_all = config.delivery.rate_in_all.map(|rate| share::interval(rate, nodes));
        let mut standing = self.lines.lock();
        standing.schedule.order(in_all, Instant::now());
        if standing.closed {
            drop(standing);
            works.iter().for_each(|(_, work, _)| self.settler.give_back(work, self.wiring.now()));
            return;
        }
        let (mut wanting, mut put_off) = (Vec::new(), Vec::new());
        let now = Instant::now();
        for (key, work, bounds) in works {
            let to = work.job.recipients.first().map(|first| first.recipient.address.domain());
            if to.is_some_and(|domain| self.retried.takes(work.job.id, domain, &key)) {
                standing.schedule.give_another_chance_to(&key, now);
            }
            if key.0.starts_with(USERS) && standing.schedule.stands(&key, now, STANDING) {
                put_off.push(work);
            } else if standing.schedule.push(&key, work, bounds) {
                wanting.push(key);
            }
        }
        drop(standing);
        for key in wanting {
            if let Some(workers) = self.workers.upgrade() {
                workers.start_worker(key);
            }
        }
        put_off.iter().for_each(|work| self.put_off(work));
    }
}

/// Counts a look-up while it runs, and whether it is slow, however it ends.
struct LookUp<'a, D: Dns + 'static, C: Carrier> {
    dispatcher: &'a Arc<Dispatcher<D, C>>,
    prompt: bool,
}

impl<D: Dns + 'static, C: Carrier> LookUp<'_, D, C> {
    fn is_slow(&mut self) {
        if std::mem::take(&mut self.prompt) {
            self.dispatcher.state().look_ups.prompt -= 1;
            self.dispatcher.begin_look_ups();
        }
    }
}

impl<D: Dns + 'static, C: Carrier> Drop for LookUp<'_, D, C> {
    fn drop(&mut self) {
        let mut state = self.dispatcher.state();
        state.look_ups.running -= 1;
        state.look_ups.prompt -= usize::from(self.prompt);
        drop(state);
        self.dispatcher.begin_look_ups();
    }
}
