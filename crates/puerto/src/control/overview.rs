//! What is queued in one page: counts by destination and by reason, what is tried next, and
//! what each destination's lane is doing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use puerto_smtp::Domain;
use puerto_spool::{AGES, COLUMNS, Group, Tally, Timestamp};
use serde::{Deserialize, Serialize};

use super::ordering::{OrderView, Pause};
use super::view::time;
use crate::cause::Cause;
use crate::queue::{Lane, LaneState, Standing, WarmUp};
use crate::telemetry::Counts;

/// What is queued, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overview {
    /// When it was counted, as in RFC 3339.
    pub at: String,
    /// Messages.
    pub messages: u64,
    /// Of these, those that are held.
    pub held: u64,
    /// Octets of all.
    pub octets: u64,
    /// All recipients that are not done.
    pub recipients: Numbers,
    /// The ages, in seconds, at which the columns of `ages` end; the last has no end.
    pub age_bounds: Vec<u64>,
    /// By destination, the fullest first.
    pub destinations: Vec<Destination>,
    /// How many destinations there are besides those.
    pub more_destinations: u64,
    /// By the class of the reason, the most frequent first.
    pub reasons: Vec<Reason>,
    /// What the lanes are doing, the busiest first; of this node.
    pub lanes: Vec<LaneView>,
    /// What goes by the rescue route; of this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rescued: Vec<RescuedView>,
    /// What an administrator has ordered.
    pub orders: Vec<OrderView>,
}

/// Counts of recipients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbers {
    /// All that are not done.
    pub count: u64,
    /// Of these, those that are being tried.
    pub active: u64,
    /// Of these, those of held messages.
    pub held: u64,
    /// By the age of their message.
    pub ages: [u64; COLUMNS],
    /// When the next of them is tried.
    pub next_attempt: Option<String>,
    /// When the oldest came.
    pub oldest: Option<String>,
}

/// What waits for one destination.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// The recipients' domain; nothing: domains that are too many to be told apart.
    pub domain: Option<String>,
    /// Its recipients.
    pub recipients: Numbers,
    /// By the class of the reason.
    pub reasons: BTreeMap<String, u64>,
    /// The lane by which they go, if that is known without asking the DNS.
    pub lane: Option<String>,
    /// The number of the pause that all of it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<u64>,
}

/// What waits for one kind of reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reason {
    /// The class.
    pub class: String,
    /// Its recipients.
    pub recipients: Numbers,
}

/// How a destination's lane stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneView {
    /// The destination: its MX hosts, or the relay.
    pub lane: String,
    /// What it is doing.
    pub state: LaneWord,
    /// Recipients that wait in memory for their turn.
    pub waiting: usize,
    /// Connections in use.
    pub open: usize,
    /// Connections that it may have, as it behaved lately.
    pub allowed: usize,
    /// Connections that it may have at best.
    pub ceiling: usize,
    /// Attempts in a row that did not reach it.
    pub failures: u32,
    /// Messages an hour at most, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u64>,
    /// That is the rate of all destinations together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_all: bool,
    /// Until when nothing is tried, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why, in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, as a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// A destination whose mail goes by the rescue route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescuedView {
    /// The destination; without one, all of them: port 25 is closed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Since when.
    pub since: String,
    /// When one message looks whether the direct way is open again.
    pub until: String,
    /// Why, in English.
    pub reason: String,
    /// Why, as a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl From<Standing> for RescuedView {
    fn from(standing: Standing) -> Self {
        Self {
            lane: standing.name,
            since: time(standing.since),
            until: time(standing.until),
            reason: standing.why.to_string(),
            cause: Some(standing.why),
        }
    }
}

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneWord {
    /// It takes what comes.
    Open,
    /// It could not be reached, and nothing is tried until a time.
    OutOfReach,
    /// It could not be reached, and one message tries it now.
    Probing,
    /// Others hold the connections that it may have.
    NoPlace,
    /// It asked for a pause, until a time.
    Parked,
    /// It asked for a pause, which is over: one message looks.
    Canary,
}

/// How an address stands that is being warmed up, with one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUpView {
    /// The source's name.
    pub source: String,
    /// The provider, or its hosts; nothing: none has had anything today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The day of its plan, from 1; 0: it has not begun.
    pub day: u32,
    /// Messages that a provider may get today from this node.
    pub limit: u32,
    /// Messages that this one got.
    pub sent: u32,
}

impl From<WarmUp> for WarmUpView {
    fn from(WarmUp { source, provider, day, limit, sent }: WarmUp) -> Self {
        Self { source, provider, day, limit, sent }
    }
}

/// What went through this node since it began, and how its lanes stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vitals {
    /// The node's time, in milliseconds since 1970.
    pub millis: i64,
    /// Messages that were taken.
    pub accepted: u64,
    /// Recipients that were delivered to.
    pub delivered: u64,
    /// Attempts after which a recipient waits for the next.
    pub deferred: u64,
    /// Recipients that were given up.
    pub bounced: u64,
    /// Commands and messages that were refused.
    pub rejected: u64,
}

impl Vitals {
    pub(super) fn new(millis: i64, counts: Counts) -> Self {
        let Counts { accepted, delivered, deferred, bounced, rejected } = counts;
        Self { millis, accepted, delivered, deferred, bounced, rejected }
    }
}

impl From<&Group> for Numbers {
    fn from(group: &Group) -> Self {
        Self {
            count: group.recipients,
            active: group.active,
            held: group.held,
            ages: group.ages,
            next_attempt: group.next.map(time),
            oldest: group.oldest.map(time),
        }
    }
}

impl From<Lane> for LaneView {
    fn from(lane: Lane) -> Self {
        let (state, until) = match lane.state {
            LaneState::Open => (LaneWord::Open, None),
            LaneState::OutOfReach(until) => (LaneWord::OutOfReach, Some(until)),
            LaneState::Probing => (LaneWord::Probing, None),
            LaneState::NoPlace(until) => (LaneWord::NoPlace, Some(until)),
            LaneState::Parked(until) => (LaneWord::Parked, Some(until)),
            LaneState::Canary => (LaneWord::Canary, None),
        };
        Self {
            lane: lane.name,
            state,
            waiting: lane.waiting,
            open: lane.open,
            allowed: lane.allowed,
            ceiling: lane.ceiling,
            failures: lane.failures,
            per_hour: lane.per_hour,
            in_all: lane.in_all,
            until: until.map(time),
            reason: lane.reason.as_ref().map(ToString::to_string),
            cause: lane.reason,
        }
    }
}

/// A destination's recipients, all and by the class of their reason.
type ByReason = (Group, BTreeMap<String, u64>);

impl Overview {
    /// Leaves the lanes by which what was asked for goes; of more destinations than are told
    /// apart, and of those whose way is not known, any may be.
    pub(super) fn keep_lanes_of_destinations(&mut self) {
        let is_whole = self.more_destinations == 0;
        let known: Option<HashSet<&str>> =
            self.destinations.iter().map(|destination| destination.lane.as_deref()).collect();
        if let Some(known) = known.filter(|_| is_whole) {
            self.lanes.retain(|lane| known.contains(lane.lane.as_str()));
        }
    }

    /// Of a tally, with so many destinations at most.
    pub(super) fn new(
        at: String,
        (tally, most): (&Tally, usize),
        standing_of: impl Fn(&Domain) -> (Option<String>, Option<Pause>),
        next: impl Fn(&Domain, Timestamp) -> Option<Timestamp>,
    ) -> Self {
        let mut all = Group::default();
        let mut reasons: HashMap<&'static str, Group> = HashMap::new();
        let mut domains: HashMap<Option<&Arc<Domain>>, ByReason> = HashMap::new();
        for ((domain, class), group) in &tally.groups {
            // What is due waits for a pause, given here or asked for by its destination.
            let tried = |at| domain.as_ref().map_or(Some(at), |to| next(to, at));
            let group = &Group { next: group.next.and_then(tried), ..*group };
            all.add(group);
            reasons.entry(class).or_default().add(group);
            let (sum, of_class) = domains.entry(domain.as_ref()).or_default();
            sum.add(group);
            *of_class.entry((*class).to_owned()).or_default() += group.recipients;
        }
        let mut domains: Vec<_> = domains.into_iter().collect();
        domains.sort_by(|(one, (a, _)), (other, (b, _))| {
            let name = |domain: &Option<&Arc<Domain>>| domain.map(ToString::to_string);
            b.recipients.cmp(&a.recipients).then_with(|| name(one).cmp(&name(other)))
        });
        let more = domains.len().saturating_sub(most);
        domains.truncate(most);
        let destinations = domains.into_iter().map(|(domain, (group, reasons))| {
            let (lane, pause) = domain.map(|domain| standing_of(domain)).unwrap_or_default();
            let paused = pause.map(|(number, _)| number);
            let recipients = (&group).into();
            let domain = domain.map(ToString::to_string);
            Destination { domain, recipients, reasons, lane, paused }
        });
        let mut reasons: Vec<Reason> = reasons
            .into_iter()
            .map(|(class, group)| Reason { class: class.to_owned(), recipients: (&group).into() })
            .collect();
        reasons.sort_by(|one, other| {
            let by_count = other.recipients.count.cmp(&one.recipients.count);
            by_count.then_with(|| one.class.cmp(&other.class))
        });
        Self {
            at,
            messages: tally.messages,
            held: tally.held,
            octets: tally.octets,
            recipients: (&all).into(),
            age_bounds: AGES.to_vec(),
            destinations: destinations.collect(),
            more_destinations: more as u64,
            reasons,
            lanes: Vec::new(),
            rescued: Vec::new(),
            orders: Vec::new(),
        }
    }
}
