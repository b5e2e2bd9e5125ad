//! Leases: what is due is handed out, for a time, and comes back when that ends.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Index;
use super::domains::DomainKey;
use super::slots::{Slot, State};
use super::story::Shared;
use crate::clock::Clock;
use crate::entry::{Lease, LeaseToken};
use crate::faces::Renewed;
use crate::id::{MessageId, Timestamp};
use crate::{ClaimRequest, Claimed};

/// After so many others, one message that goes to many is handed out before them.
pub(crate) const BEFORE_BULK: u8 = 7;

/// What was handed out.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) id: MessageId,
    pub(super) domain: DomainKey,
    /// When it ends, by the clock that does not leap.
    pub(super) end: Duration,
    /// The same as a time of day, to be shown.
    pub(super) until: Timestamp,
    /// Places in the message's slots.
    pub(super) slots: Box<[u32]>,
}

impl Leased {
    /// Whether this is the token of it. Here all leases are this process's own.
    pub(super) fn is(&self, token: &LeaseToken) -> bool {
        token.owner == 0 && self.id == token.id
    }
}

/// When it is, by both of a store's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The time of day, which may leap.
    pub(crate) now: Timestamp,
    /// How much time has passed since some moment.
    pub(crate) elapsed: Duration,
}

impl Moment {
    /// The present.
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), elapsed: clock.elapsed() }
    }

    /// The time of day when so much time will have passed, if the clock does not leap.
    fn until(self, end: Duration) -> Timestamp {
        self.now.after(end.saturating_sub(self.elapsed))
    }
}

impl<L> Index<L> {
    /// Hands out due work; see [`crate::Work::claim`].
    pub(crate) fn claim(&mut self, request: &ClaimRequest, at: Moment) -> Claimed {
        self.expire(at);
        if request.limit > 0 {
            if request.per_domain > self.per_domain {
                self.domains.unpark_all();
            }
            self.per_domain = request.per_domain;
        }
        self.domains.wake_due(at.now);
        let resting = self.domains.rest(&request.resting);
        let mut leases = Vec::new();
        let mut left = request.limit;
        while left > 0 {
            let Some((domain, room)) = self.domains.next(at.now, request.per_domain) else { break };
            let room = room.min(left);
            let Some(lease) = self.lease_first(domain, room, request.hold, at) else { continue };
            left = left.saturating_sub(lease.recipients.len());
            leases.push(lease);
        }
        resting.into_iter().for_each(|domain| self.domains.unpark(domain));
        Claimed { leases, next_due: self.next_due(at) }
    }

    /// Lets leases hold for this long from now on; see [`crate::Work::renew`].
    pub(crate) fn renew(&mut self, tokens: &[LeaseToken], hold: Duration, at: Moment) -> Renewed {
        let mut renewed = Renewed::default();
        for token in tokens {
            let Some(lease) = self.leases.get_mut(&token.fence).filter(|held| held.is(token))
            else {
                renewed.lost.push(*token);
                continue;
            };
            let end = at.elapsed.saturating_add(hold);
            lease.until = at.now.after(hold);
            let before = std::mem::replace(&mut lease.end, end);
            self.expiries.remove(&(before, token.fence));
            self.expiries.insert((end, token.fence));
            if self.messages.get(&token.id).is_some_and(|message| message.hold.is_held()) {
                renewed.held.push(*token);
            }
        }
        renewed
    }

    /// How often messages were held or removed; see [`crate::Work::edits`].
    pub(crate) fn edits(&self) -> u64 {
        self.edits
    }

    /// When the next recipient of any unheld message becomes due, or a lease ends.
    fn next_due(&self, at: Moment) -> Option<Timestamp> {
        let expiry = self.expiries.first().map(|(end, _)| at.until(*end));
        self.domains.first_due().into_iter().chain(expiry).min()
    }

    /// Leases end whose time has come; their recipients are due since then.
    fn expire(&mut self, at: Moment) {
        while let Some((end, number)) = self.expiries.first().copied() {
            if end > at.elapsed {
                break;
            }
            self.expiries.remove(&(end, number));
            if let Some(lease) = self.leases.remove(&number) {
                let due = lease.until.min(at.now);
                self.change_leased(&lease, number, |slot, _| slot.state = State::Waiting(due));
            }
        }
    }

    /// Leases the recipients of the first message of a domain that are due.
    fn lease_first(
        &mut self,
        domain: DomainKey,
        room: usize,
        hold: Duration,
        at: Moment,
    ) -> Option<Lease> {
        let id = self.choose(domain, at.now)?;
        self.last_lease += 1;
        let number = self.last_lease;
        let range = self.messages.get(&id)?.group(domain);
        let first = range.start;
        let mut places = Vec::new();
        self.change_group(id, domain, range, |slots| {
            let due = |slot: &Slot| matches!(slot.state, State::Waiting(due) if due <= at.now);
            for (slot, place) in slots.iter_mut().zip(first..).filter(|(slot, _)| due(slot)) {
                if places.len() == room {
                    break;
                }
                slot.state = State::Leased(number);
                places.push(u32::try_from(place).unwrap_or(u32::MAX));
            }
        });
        let end = at.elapsed.saturating_add(hold);
        let until = at.now.after(hold);
        let lease = Leased { id, domain, end, until, slots: places.into() };
        self.domains.lease(domain, lease.slots.len());
        self.expiries.insert((end, number));
        let out = self.describe(&lease, number);
        self.leases.insert(number, lease);
        out
    }

    /// The message of a domain to hand out. What goes to many waits for the others, but for
    /// one in so many, so that it does not wait for ever. New mail and mail that was tried
    /// before take turns, so that a backlog never starves what has just come.
    fn choose(&mut self, domain: DomainKey, now: Timestamp) -> Option<MessageId> {
        let state = self.domains.get(domain)?;
        let (retried_first, bulk_first) = (state.retried_next, state.before_bulk >= BEFORE_BULK);
        for bulk in [bulk_first, !bulk_first] {
            for retried in [retried_first, !retried_first] {
                if let Some((due, id)) = first_of_kind(&self.due, domain, Kind::of(bulk, retried))
                    && due <= now
                {
                    self.domains.set_turn(domain, !retried, bulk);
                    return Some(id);
                }
            }
        }
        None
    }

    pub(super) fn change_leased(
        &mut self,
        lease: &Leased,
        number: u64,
        mut change: impl FnMut(&mut Slot, &mut Shared),
    ) {
        self.domains.release(lease.domain, lease.slots.len());
        let Some(message) = self.messages.get(&lease.id) else { return };
        let range = message.group(lease.domain);
        let mut shared = Shared::default();
        self.change_group(lease.id, lease.domain, range, |slots| {
            for slot in slots.iter_mut().filter(|slot| slot.state == State::Leased(number)) {
                change(slot, &mut shared);
            }
        });
    }
}

fn first_of_kind(
    due: &BTreeSet<(DomainKey, Kind, Timestamp, MessageId)>,
    domain: DomainKey,
    kind: Kind,
) -> Option<(Timestamp, MessageId)> {
    let earliest = (domain, kind, Timestamp::from_millis(i64::MIN), MessageId::from_u64(0));
    let (found, of_kind, due, id) = *due.range(earliest..).next()?;
    (found == domain && of_kind == kind).then_some((due, id))
}

/// When the first of a domain is due.
pub(super) fn first_due(
    due: &BTreeSet<(DomainKey, Kind, Timestamp, MessageId)>,
    domain: DomainKey,
) -> Option<Timestamp> {
    let kinds = Kind::ALL.into_iter();
    kinds.filter_map(|kind| first_of_kind(due, domain, kind)).map(|(due, _)| due).min()
}

/// Whether a message goes to many, and whether all of its recipients in a domain were tried
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind(u8);

impl Kind {
    const ALL: [Self; 4] = [Self(0), Self(1), Self(2), Self(3)];

    /// The kind of such a message.
    pub(super) fn of(bulk: bool, retried: bool) -> Self {
        Self(u8::from(bulk) * 2 + u8::from(retried))
    }
}
