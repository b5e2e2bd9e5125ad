//! Counts of what is queued, by destination and by why it waits, in one walk through it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::Domain;

use crate::entry::{Entry, RecipientState};
use crate::filter::{Classify, Filter, LastAttempt, Selector};
use crate::id::Timestamp;

/// The ages at which the columns of a tally end, in seconds; what is older stands in the
/// last column.
pub const AGES: [u64; 7] = [300, 1200, 3600, 14_400, 43_200, 86_400, 259_200];

/// Columns of a tally.
pub const COLUMNS: usize = AGES.len() + 1;

/// Groups that are told apart; what does not fit is counted together, so that no queue
/// fills the memory with its domains.
const MAX_GROUPS: usize = 50_000;

/// What to count.
#[derive(Clone)]
pub struct TallyRequest {
    /// Which messages, and of them which recipients.
    pub filter: Filter,
    /// What tells why a recipient waits.
    pub classify: Classify,
}

/// Recipients that have a domain and a class in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// All that are not done.
    pub recipients: u64,
    /// Of these, those of messages that are held.
    pub held: u64,
    /// Of these, those that are being tried.
    pub active: u64,
    /// All of them by the age of their message; see [`AGES`].
    pub ages: [u64; COLUMNS],
    /// When the first of those that wait and are not held is tried next.
    pub next: Option<Timestamp>,
    /// When the oldest came.
    pub oldest: Option<Timestamp>,
}

/// One recipient, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) state: RecipientState,
    pub(crate) received_at: Timestamp,
    pub(crate) held: bool,
}

impl Group {
    pub(crate) fn count(&mut self, one: Counted, now: Timestamp) {
        self.recipients += 1;
        self.held += u64::from(one.held);
        match one.state {
            RecipientState::Leased(_) => self.active += 1,
            RecipientState::Due(due) if !one.held => {
                self.next = Some(self.next.map_or(due, |next| next.min(due)));
            }
            RecipientState::Due(_) | RecipientState::Done => {}
        }
        let column = column(now.since(one.received_at));
        if let Some(count) = self.ages.get_mut(column) {
            *count += 1;
        }
        self.oldest = Some(self.oldest.map_or(one.received_at, |old| old.min(one.received_at)));
    }

    /// Takes another group in.
    pub fn add(&mut self, other: &Self) {
        self.recipients += other.recipients;
        self.held += other.held;
        self.active += other.active;
        for (count, more) in self.ages.iter_mut().zip(other.ages) {
            *count += more;
        }
        let first = |one: Option<Timestamp>, other: Option<Timestamp>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.next = first(self.next, other.next);
        self.oldest = first(self.oldest, other.oldest);
    }
}

fn column(age: Duration) -> usize {
    let age = age.as_secs();
    AGES.iter().position(|end| age < *end).unwrap_or(AGES.len())
}

/// What is queued, counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Of these, those that are held.
    pub held: u64,
    /// Octets of all.
    pub octets: u64,
    /// Recipients that are not done, by their domain (`None`: there were too many domains
    /// to tell apart) and by the class of why they wait.
    pub groups: HashMap<(Option<Arc<Domain>>, &'static str), Group>,
}

impl Tally {
    pub(crate) fn add(&mut self, domain: Arc<Domain>, class: &'static str, group: &Group) {
        let known = self.groups.len() < MAX_GROUPS;
        let key = (Some(domain), class);
        let key = if known || self.groups.contains_key(&key) { key } else { (None, class) };
        self.groups.entry(key).or_default().add(group);
    }

    pub(crate) fn count_message(&mut self, held: bool, octets: u64) {
        self.messages += 1;
        self.held += u64::from(held);
        self.octets += octets;
    }

    /// Counts a message that is meant.
    pub(crate) fn count(
        &mut self,
        entry: &Entry,
        (selector, classify): (&Selector, &Classify),
        now: Timestamp,
    ) {
        self.count_message(entry.held, entry.size);
        for status in selector.selected(entry) {
            let last = status.last().map(LastAttempt::from);
            let one =
                Counted { state: status.state, received_at: entry.received_at, held: entry.held };
            let mut group = Group::default();
            group.count(one, now);
            let domain = Arc::new(status.recipient.address.domain().clone());
            self.add(domain, classify(last), &group);
        }
    }
}
