//! Which mail goes by the rescue route, and until when. Pure: times come in.
//!
//! A relay is tried only after the direct way has failed for what a relay cures: what a reply
//! holds against the address that we send from, as the providers' files tell, or that nothing
//! outside answers on the port. A recipient that is refused for it is *owed* another way, and
//! comes again at once by the rescue route. A destination that has refused several messages in a
//! row for it is not asked by all others too: it *stands* for a while, in which its mail goes by
//! the rescue route at once, and then one message looks again.
//!
//! What a relay says is the end: nothing that it refuses comes back here. What stands is in a file,
//! too, since each look costs a refusal and some of what a receiver still thinks of us; what one
//! message is owed is not: after a restart it is tried directly once more. All of it is each node's
//! own, as are the address and the port that it is about.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use nix::errno::Errno;
use puerto_smtp::{Domain, TlsWish};
use puerto_spool::{MessageId, Timestamp};
use tokio::time::Instant;

use crate::cause::Cause;
use crate::config::{Config, TlsLevel};
use crate::deliver::{Job, Outcome, Pressure, Report};
use crate::rights::Place;
use crate::route::{DestinationKey, Plan, Rescued, is_relayed};
use crate::telemetry::DeliveryStatus;

mod note;

use note::Note;

/// Messages that are owed another way at the same time, and destinations of which something is
/// remembered. What does not fit waits as if there were no rescue.
const MOST_OWED: usize = 10_000;
const MOST_DESTINATIONS: usize = 4096;
/// For how long a message is owed another way, beyond the longest wait between two attempts.
const OWED: Duration = Duration::from_secs(6 * 3600);
/// Messages in a row that are refused before a destination stands.
const IN_A_ROW: u32 = 3;
/// For how long it stands, at first and at most.
const FIRST_STAND: Duration = Duration::from_secs(3600);
const LONGEST_STAND: Duration = Duration::from_secs(24 * 3600);
/// Networks that must have been out of reach, in a time in which nobody answered, for the port
/// to be closed, and for how long that is believed.
const NETWORKS: usize = 3;
const WINDOW: Duration = Duration::from_secs(3600);
const CLOSED: Duration = Duration::from_secs(1800);
/// While the first that looks again is under way, the others do not.
const LOOKING: Duration = Duration::from_secs(300);

/// See the module.
pub(super) struct Rescue {
    state: Mutex<State>,
    file: PathBuf,
}

/// A point in time, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) time: Timestamp,
}

impl Moment {
    /// What the time of day is then.
    pub(super) fn at(self, instant: Instant) -> Timestamp {
        self.time.after(instant.saturating_duration_since(self.instant))
    }
}

/// A destination whose mail goes by the rescue route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The destination; `None`: all of them, since the port is closed here.
    pub name: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// When one message looks again.
    pub until: Timestamp,
    /// What it holds against us.
    pub why: Cause,
}

#[derive(Default)]
struct State {
    owed: HashMap<MessageId, Vec<Owed>>,
    destinations: HashMap<DestinationKey, Destination>,
    port: Port,
    /// The plans that were made, by the destination that they are tried instead of.
    plans: HashMap<DestinationKey, Made>,
    /// The file says something else.
    unwritten: bool,
}

struct Owed {
    from: DestinationKey,
    why: Arc<Cause>,
    until: Instant,
}

/// A destination that holds something against us.
struct Destination {
    in_a_row: u32,
    why: Arc<Cause>,
    last: Instant,
    /// Since when and until when.
    stands: Option<(Timestamp, Instant)>,
    /// Who looks whether it still does.
    looks: Option<MessageId>,
    next_stand: Duration,
}

/// What is known of port 25, by networks that could not be reached.
#[derive(Default)]
struct Port {
    unreached: HashMap<IpAddr, Instant>,
    /// When anybody last answered.
    reached: Option<Instant>,
    closed: Option<Closed>,
    /// Who looks whether it still is.
    looks: Option<MessageId>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    since: Timestamp,
    until: Instant,
    /// How many could not be reached.
    destinations: u64,
}

struct Made {
    base: Arc<Plan>,
    plan: Arc<Plan>,
}

/// Why mail goes by the rescue route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    from: DestinationKey,
    why: Arc<Cause>,
}

/// Whether what fails by this plan may go by the rescue route.
///
/// Not what has a next hop of its own, nor mail of others that we stand in front of, which the
/// relay would bring back; and nothing gets less TLS than it was to have: a message that asks
/// for REQUIRETLS, or whose receiver demands TLS, unless the way to the relay is as safe.
pub(super) fn may_rescue(config: &Config, plan: &Plan, (to, tls): (&Domain, TlsWish)) -> bool {
    let is_safe = config.rescue.tls == TlsLevel::Required;
    let demands = || plan.hops.iter().any(|hop| hop.demand(plan).is_mandatory());
    config.rescue.via.is_some()
        && !plan.is_relay
        && tls != TlsWish::Required
        && !is_relayed(config, to)
        && (is_safe || tls == TlsWish::Optional || !demands())
}

impl Rescue {
    /// What a file in this folder remembers, if it was learnt with these addresses of ours.
    pub(super) fn load(state_dir: &Path, from: &[IpAddr], now: Moment) -> Self {
        let file = state_dir.join("rescue.json");
        let state = Note::read(&file).state(from, now);
        Self { state: Mutex::new(state), file }
    }

    /// Whether something is known that is not written.
    pub(super) fn is_unwritten(&self) -> bool {
        self.state().unwritten
    }

    /// Writes what is known, if there is anything new. It blocks.
    pub(super) fn write(&self, from: Vec<IpAddr>, now: Moment) -> std::io::Result<()> {
        let note = {
            let mut state = self.state();
            if !std::mem::take(&mut state.unwritten) {
                return Ok(());
            }
            Note::of(&state, from, now)
        };
        let text = serde_json::to_string(&note).map_err(std::io::Error::from)?;
        Place::of(&self.file)?.replace(text.as_bytes(), 0o640)
    }

    /// What goes by the rescue route, the port first.
    pub(super) fn standing(&self, now: Moment) -> Vec<Standing> {
        let state = self.state();
        let port = state.port.closed.map(|closed| Standing {
            name: None,
            since: closed.since,
            until: now.at(closed.until),
            why: Cause::PortClosed { destinations: closed.destinations },
        });
        let stands = |(key, known): (&DestinationKey, &Destination)| {
            let (since, until) = known.stands?;
            let (name, why) = (Some(key.to_string()), Cause::clone(&known.why));
            Some(Standing { name, since, until: now.at(until), why })
        };
        let mut all: Vec<Standing> = state.destinations.iter().filter_map(stands).collect();
        drop(state);
        all.sort_by(|one, other| one.name.cmp(&other.name));
        port.into_iter().chain(all).collect()
    }

    /// Why a message goes by the rescue route that would go by this plan, if it does. Of a
    /// destination that stands no longer, whoever asks first looks.
    pub(super) fn reason(&self, id: MessageId, plan: &Plan, now: Instant) -> Option<Reason> {
        let mut state = self.state();
        let from = &plan.key;
        let mut owed = state.owed.get(&id).into_iter().flatten();
        if let Some(owed) = owed.find(|owed| owed.from == *from && now < owed.until) {
            return Some(Reason { from: from.clone(), why: Arc::clone(&owed.why) });
        }
        if let Some(why) = state.stands(from, id, now) {
            return Some(Reason { from: from.clone(), why });
        }
        let destinations = state.port.is_closed(Some(id), now)?;
        let why = Arc::new(Cause::PortClosed { destinations });
        Some(Reason { from: from.clone(), why })
    }

    /// The rescue route's plan as it is tried for this reason: the same one for all mail that
    /// may travel together.
    pub(super) fn plan(&self, base: &Arc<Plan>, reason: &Reason) -> Arc<Plan> {
        let mut state = self.state();
        if let Some(made) = state.plans.get(&reason.from)
            && Arc::ptr_eq(&made.base, base)
            && made.plan.rescues.as_ref().is_some_and(|rescued| rescued.why == *reason.why)
        {
            return Arc::clone(&made.plan);
        }
        let rescues = Some(Rescued { from: reason.from.clone(), why: Cause::clone(&reason.why) });
        let plan = Arc::new(Plan { rescues, ..Plan::clone(base) });
        if state.plans.len() >= MOST_DESTINATIONS {
            state.plans.clear();
        }
        let made = Made { base: Arc::clone(base), plan: Arc::clone(&plan) };
        state.plans.insert(reason.from.clone(), made);
        plan
    }

    /// What follows from an attempt: what a relay cures becomes an attempt by the rescue route,
    /// and what the rescue route says tells why it was asked.
    pub(super) fn consider(&self, config: &Config, job: &Job, report: &mut Report, now: Moment) {
        match &job.plan.rescues {
            Some(rescued) => self.rescued(job.id, rescued, report),
            None if job.plan.is_relay => {}
            None => self.direct(config, job, report, now),
        }
    }

    fn rescued(&self, id: MessageId, rescued: &Rescued, report: &mut Report) {
        let failed = |outcome: &&mut Outcome| outcome.status != DeliveryStatus::Sent;
        let mut waits = false;
        for outcome in report.outcomes.iter_mut().filter(failed) {
            waits |= outcome.status == DeliveryStatus::Deferred;
            let why = Box::new(rescued.why.clone());
            outcome.wrap(|last| Cause::RescueFailed { last, why });
        }
        if !waits {
            self.state().forget(id, &rescued.from);
        }
    }

    fn direct(&self, config: &Config, job: &Job, report: &mut Report, now: Moment) {
        let mut state = self.state();
        let is_reached =
            !matches!(report.pressure, Pressure::Unreachable | Pressure::Crowded { .. });
        if report.outcomes.iter().any(|outcome| outcome.status == DeliveryStatus::Sent) {
            let known = state.destinations.remove(&job.plan.key);
            state.unwritten |= known.is_some_and(|known| known.stands.is_some());
        }
        if is_reached {
            state.unwritten |= state.port.closed.is_some();
            state.port = Port { reached: Some(now.instant), ..Port::default() };
        } else if let Some(hop) = job.plan.hops.first().filter(|_| is_silent(report)) {
            let is_closed = state.port.unreached(hop.address, now);
            state.unwritten |= is_closed;
        }
        let Some(relay) = &config.rescue.via else { return };
        let relay = relay.to_string();
        let closed = state.port.is_closed(None, now.instant);
        let mut held = None;
        for (outcome, leased) in report.outcomes.iter_mut().zip(&job.recipients) {
            let why = match (outcome.status, outcome.against, closed) {
                (DeliveryStatus::Sent, ..) => continue,
                (_, Some(_), _) => outcome.cause.clone(),
                (_, None, Some(destinations)) if is_unanswered(outcome) => {
                    Cause::PortClosed { destinations }
                }
                _ => continue,
            };
            let whose = (leased.recipient.address.domain(), job.tls);
            if !may_rescue(config, &job.plan, whose) {
                continue;
            }
            let why = Arc::new(why);
            if !state.owe(job.id, (&job.plan.key, &why), now.instant) {
                outcome.status = DeliveryStatus::Deferred;
                outcome.status_code = outcome.status_code.with_class(4);
                continue;
            }
            if outcome.against.is_some() {
                held = Some(Arc::clone(&why));
            }
            outcome.status = DeliveryStatus::Deferred;
            outcome.status_code = outcome.status_code.with_class(4);
            outcome.wrap(|why| Cause::ToRescue { relay: relay.clone(), why });
            // Nobody is spared by a pause of the direct way that is not gone any more.
            report.pressure = Pressure::Fine;
        }
        if let Some(why) = held {
            state.refused(&job.plan.key, why, now);
        }
    }

    /// Whether this comes again at once, by the rescue route.
    pub(super) fn is_next(outcome: &Outcome) -> bool {
        matches!(outcome.cause, Cause::ToRescue { .. })
    }

    /// Forgets what was learnt of destinations and the port: an administrator has mended it, maybe.
    pub(super) fn look_again(&self) {
        let mut state = self.state();
        state.destinations.clear();
        state.port = Port::default();
        state.owed.clear();
        state.unwritten = true;
    }

    /// The same of what concerns one message and its destination.
    pub(super) fn look_again_at(&self, id: MessageId, key: &DestinationKey) {
        let mut state = self.state();
        state.destinations.remove(key);
        state.port = Port::default();
        state.owed.remove(&id);
        state.unwritten = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn owe(
        &mut self,
        id: MessageId,
        (from, why): (&DestinationKey, &Arc<Cause>),
        now: Instant,
    ) -> bool {
        if self.owed.len() >= MOST_OWED && !self.owed.contains_key(&id) {
            self.owed.retain(|_, owed| owed.iter().any(|owed| now < owed.until));
            if self.owed.len() >= MOST_OWED {
                return false;
            }
        }
        let owed = self.owed.entry(id).or_default();
        owed.retain(|owed| owed.from != *from && now < owed.until);
        owed.push(Owed { from: from.clone(), why: Arc::clone(why), until: now + OWED });
        true
    }

    fn forget(&mut self, id: MessageId, from: &DestinationKey) {
        if let Some(owed) = self.owed.get_mut(&id) {
            owed.retain(|owed| owed.from != *from);
            if owed.is_empty() {
                self.owed.remove(&id);
            }
        }
    }

    fn refused(&mut self, key: &DestinationKey, why: Arc<Cause>, now: Moment) {
        if self.destinations.len() >= MOST_DESTINATIONS && !self.destinations.contains_key(key) {
            let is_old =
                |known: &Destination| now.instant.duration_since(known.last) > LONGEST_STAND;
            self.destinations.retain(|_, known| !is_old(known));
            if self.destinations.len() >= MOST_DESTINATIONS {
                return;
            }
        }
        let known = self.destinations.entry(key.clone()).or_insert_with(|| Destination {
            in_a_row: 0,
            why: Arc::clone(&why),
            last: now.instant,
            stands: None,
            looks: None,
            next_stand: FIRST_STAND,
        });
        known.in_a_row = known.in_a_row.saturating_add(1);
        (known.why, known.last) = (why, now.instant);
        let is_over = known.stands.is_none_or(|(_, until)| until <= now.instant + LOOKING);
        if known.in_a_row >= IN_A_ROW && is_over {
            let since = known.stands.map_or(now.time, |(since, _)| since);
            known.stands = Some((since, now.instant + known.next_stand));
            known.looks = None;
            known.next_stand = (known.next_stand * 2).min(LONGEST_STAND);
            self.unwritten = true;
        }
    }

    fn stands(&mut self, key: &DestinationKey, id: MessageId, now: Instant) -> Option<Arc<Cause>> {
        let known = self.destinations.get_mut(key)?;
        let (_, until) = known.stands.as_mut()?;
        let still = looked_at(until, &mut known.looks, Some(id), now);
        still.then(|| Arc::clone(&known.why))
    }
}

impl Port {
    // Whether it is found to be closed, or still to be.
    fn unreached(&mut self, there: SocketAddr, Moment { instant: now, time }: Moment) -> bool {
        if self.reached.is_some_and(|at| now.duration_since(at) <= WINDOW) {
            return false;
        }
        self.unreached.retain(|_, at| now.duration_since(*at) <= WINDOW);
        self.unreached.insert(network(there.ip()), now);
        let is_over = self.closed.is_none_or(|closed| closed.until <= now + LOOKING);
        // After a restart one that is silent still says what several did before.
        let is_closed = is_over && (self.unreached.len() >= NETWORKS || self.closed.is_some());
        if is_closed {
            let known = u64::try_from(self.unreached.len()).unwrap_or(u64::MAX);
            let (since, known) = match self.closed {
                Some(closed) => (closed.since, closed.destinations.max(known)),
                None => (time, known),
            };
            self.closed = Some(Closed { since, until: now + CLOSED, destinations: known });
            self.looks = None;
        }
        // More tell nothing that these do not.
        if self.unreached.len() > NETWORKS * 100 {
            self.unreached.clear();
        }
        is_closed
    }

    // How many tell so.
    fn is_closed(&mut self, id: Option<MessageId>, now: Instant) -> Option<u64> {
        let closed = self.closed.as_mut()?;
        looked_at(&mut closed.until, &mut self.looks, id, now).then_some(closed.destinations)
    }
}

// Whether what was found out holds for this message. When it has held for its time, the first
// that asks looks again, while the others wait for what it finds.
fn looked_at(
    until: &mut Instant,
    looks: &mut Option<MessageId>,
    id: Option<MessageId>,
    now: Instant,
) -> bool {
    if now >= *until && id.is_some() {
        (*until, *looks) = (now + LOOKING, id);
    }
    id.is_none() || *looks != id
}

// Whoever has one address of it mostly has the others, too.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (ip & std::net::Ipv4Addr::new(255, 255, 0, 0)).into(),
        IpAddr::V6(ip) => {
            let [one, two, ..] = ip.segments();
            std::net::Ipv6Addr::new(one, two, 0, 0, 0, 0, 0, 0).into()
        }
    }
}

fn is_silent(report: &Report) -> bool {
    report.pressure == Pressure::Unreachable && report.outcomes.iter().all(is_unanswered)
}

// Nobody answered; where no connection could even be tried, nothing is learnt of others.
fn is_unanswered(outcome: &Outcome) -> bool {
    let Cause::NotConnected { error, .. } = &outcome.cause else { return false };
    !matches!(
        error.errno(),
        Some(
            Errno::EADDRNOTAVAIL
                | Errno::EADDRINUSE
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::EACCES
                | Errno::EPERM
        )
    )
}
