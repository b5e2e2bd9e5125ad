//! Which domain is served next.
//!
//! Domains are known by small numbers while anything waits for them. A domain whose
//! first recipient is not yet due is *idle* and ordered by that time. A due one
//! stands in a *ring*, from which claims take one message at a time, so that a
//! domain with a million messages never delays one with a single message. One that
//! has as many leased recipients as it may have is *parked* outside the ring until a
//! lease ends, so that no claim has to step over it.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use foldhash::HashMap;
use puerto_smtp::Domain;

use crate::id::Timestamp;

/// A domain's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DomainKey(pub(crate) u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    Ring,
    Parked,
}

/// What is known of one domain.
#[derive(Debug)]
pub(crate) struct DomainState {
    pub(crate) domain: Arc<Domain>,
    /// Recipients that wait or are leased.
    pub(crate) depth: u64,
    /// Recipients that are leased.
    pub(crate) leased: usize,
    /// Whether the next message is to be one that was tried before.
    pub(crate) retried_next: bool,
    /// Messages in a row that went before those that go to many.
    pub(crate) before_bulk: u8,
    head: Option<Timestamp>,
    place: Place,
}

/// All domains for which something waits.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    numbers: HashMap<Arc<Domain>, DomainKey>,
    states: Vec<Option<DomainState>>,
    vacant: Vec<DomainKey>,
    idle_heads: BTreeSet<(Timestamp, DomainKey)>,
    active_heads: BTreeSet<(Timestamp, DomainKey)>,
    ring: VecDeque<DomainKey>,
    parked: HashSet<DomainKey>,
}

impl Domains {
    /// The domain's number, given to it now if it has none.
    pub(crate) fn intern(&mut self, domain: &Domain) -> DomainKey {
        if let Some(key) = self.numbers.get(domain) {
            return *key;
        }
        let domain = Arc::new(domain.clone());
        let state = DomainState {
            domain: Arc::clone(&domain),
            depth: 0,
            leased: 0,
            retried_next: false,
            before_bulk: 0,
            head: None,
            place: Place::Idle,
        };
        let key = match self.vacant.pop() {
            Some(key) => {
                if let Some(slot) = self.states.get_mut(key.0 as usize) {
                    *slot = Some(state);
                }
                key
            }
            None => {
                self.states.push(Some(state));
                DomainKey(u32::try_from(self.states.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.numbers.insert(domain, key);
        key
    }

    /// What is known of it.
    pub(crate) fn get(&self, key: DomainKey) -> Option<&DomainState> {
        self.states.get(key.0 as usize)?.as_ref()
    }

    fn get_mut(&mut self, key: DomainKey) -> Option<&mut DomainState> {
        self.states.get_mut(key.0 as usize)?.as_mut()
    }

    /// More recipients wait, or fewer; the number is given back with the last one.
    pub(crate) fn change_depth(&mut self, key: DomainKey, more: u64, fewer: u64) {
        if let Some(state) = self.get_mut(key) {
            state.depth = (state.depth + more).saturating_sub(fewer);
        }
        self.forget_if_empty(key);
    }

    /// How many recipients of a domain wait or are leased.
    pub(crate) fn depth_of(&self, domain: &Domain) -> u64 {
        let key = self.numbers.get(domain).copied();
        key.and_then(|key| self.get(key)).map_or(0, |state| state.depth)
    }

    /// The domains of which so many recipients wait or are leased.
    pub(crate) fn deep(&self, recipients: u64) -> impl Iterator<Item = &Domain> {
        let states = self.states.iter().flatten();
        states.filter(move |state| state.depth >= recipients).map(|state| &*state.domain)
    }

    /// Sets whether the next message is to be one that was tried before, after one that was
    /// `bulk` or not.
    pub(crate) fn set_turn(&mut self, key: DomainKey, retried_next: bool, bulk: bool) {
        if let Some(state) = self.get_mut(key) {
            state.retried_next = retried_next;
            state.before_bulk = if bulk { 0 } else { state.before_bulk.saturating_add(1) };
        }
    }

    /// More recipients are leased.
    pub(crate) fn lease(&mut self, key: DomainKey, count: usize) {
        if let Some(state) = self.get_mut(key) {
            state.leased += count;
        }
    }

    /// Fewer recipients are leased, so that the domain may be served again.
    pub(crate) fn release(&mut self, key: DomainKey, count: usize) {
        let Some(state) = self.get_mut(key) else { return };
        state.leased = state.leased.saturating_sub(count);
        self.unpark(key);
    }

    /// When the first recipient of the domain is due, after a change.
    pub(crate) fn set_head(&mut self, key: DomainKey, head: Option<Timestamp>) {
        let Some(state) = self.get_mut(key) else { return };
        let before = std::mem::replace(&mut state.head, head);
        let heads = match state.place {
            Place::Idle => &mut self.idle_heads,
            Place::Ring | Place::Parked => &mut self.active_heads,
        };
        if before == head {
            return;
        }
        if let Some(before) = before {
            heads.remove(&(before, key));
        }
        if let Some(head) = head {
            heads.insert((head, key));
        }
    }

    /// When the first recipient of any domain is due.
    pub(crate) fn first_due(&self) -> Option<Timestamp> {
        let idle = self.idle_heads.first().map(|(due, _)| *due);
        let active = self.active_heads.first().map(|(due, _)| *due);
        idle.into_iter().chain(active).min()
    }

    /// Puts the domains into the ring that have become due.
    pub(crate) fn wake_due(&mut self, now: Timestamp) {
        while let Some((due, key)) = self.idle_heads.first().copied() {
            if due > now {
                break;
            }
            self.idle_heads.remove(&(due, key));
            self.active_heads.insert((due, key));
            self.enter_ring(key);
        }
    }

    /// The next domain to serve and how many more of its recipients may be leased.
    /// It goes to the end of the ring.
    pub(crate) fn next(&mut self, now: Timestamp, per_domain: usize) -> Option<(DomainKey, usize)> {
        while let Some(key) = self.ring.pop_front() {
            let Some(state) = self.get_mut(key) else { continue };
            match state.head {
                Some(head) if head <= now => {
                    let room = per_domain.saturating_sub(state.leased);
                    if room > 0 {
                        self.ring.push_back(key);
                        return Some((key, room));
                    }
                    state.place = Place::Parked;
                    self.parked.insert(key);
                }
                head => {
                    state.place = Place::Idle;
                    if let Some(head) = head {
                        self.active_heads.remove(&(head, key));
                        self.idle_heads.insert((head, key));
                    }
                    self.forget_if_empty(key);
                }
            }
        }
        None
    }

    /// Lets all parked domains be looked at again, since the bound has risen.
    pub(crate) fn unpark_all(&mut self) {
        for key in std::mem::take(&mut self.parked) {
            self.enter_ring(key);
        }
    }

    /// Parks some domains that stand in the ring; says which.
    pub(crate) fn rest(&mut self, domains: &[Domain]) -> Vec<DomainKey> {
        let known = domains.iter().filter_map(|domain| self.numbers.get(domain).copied());
        let in_ring = |key: &DomainKey| self.get(*key).is_some_and(|s| s.place == Place::Ring);
        let resting: Vec<DomainKey> = known.filter(in_ring).collect();
        if !resting.is_empty() {
            self.ring.retain(|key| !resting.contains(key));
        }
        for key in &resting {
            if let Some(state) = self.get_mut(*key) {
                state.place = Place::Parked;
            }
            self.parked.insert(*key);
        }
        resting
    }

    /// Lets a parked domain be served again.
    pub(crate) fn unpark(&mut self, key: DomainKey) {
        if self.parked.remove(&key) {
            self.enter_ring(key);
        }
    }

    fn enter_ring(&mut self, key: DomainKey) {
        if let Some(state) = self.get_mut(key) {
            state.place = Place::Ring;
            self.ring.push_back(key);
        }
    }

    // A number that still stands in the ring is kept until its turn comes.
    fn forget_if_empty(&mut self, key: DomainKey) {
        let empty = |state: &DomainState| state.depth == 0 && state.place == Place::Idle;
        if !self.get(key).is_some_and(empty) {
            return;
        }
        self.set_head(key, None);
        if let Some(state) = self.states.get_mut(key.0 as usize).and_then(Option::take) {
            self.numbers.remove(&state.domain);
            self.vacant.push(key);
        }
    }
}
