//! Leases: what is due is handed out, for a time, and comes back when that ends.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Index;
use super::domains::DomainKey;
use super::slots::{Slot, State};
use super::story::Shared;
use crate::entry::{Lease, LeaseToken};
use crate::id::{MessageId, Timestamp};
use crate::{ClaimRequest, SpoolError};

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

impl<L> Index<L> {
    /// Hands out due work; see [`crate::Spool::claim`].
    pub(crate) fn claim(&mut self, request: &ClaimRequest, elapsed: Duration) -> Vec<Lease> {
        self.expire(request.now, elapsed);
        if request.per_domain > self.per_domain {
            self.domains.unpark_all();
        }
        self.per_domain = request.per_domain;
        self.domains.wake_due(request.now);
        let mut leases = Vec::new();
        let mut left = request.limit;
        while left > 0 {
            let Some((domain, room)) = self.domains.next(request.now, request.per_domain) else {
                break;
            };
            let room = room.min(left);
            let Some(lease) = self.lease_first(domain, room, request, elapsed) else { continue };
            left = left.saturating_sub(lease.recipients.len());
            leases.push(lease);
        }
        leases
    }

    /// Lets a lease hold for this long from now on.
    pub(crate) fn renew(
        &mut self,
        token: &LeaseToken,
        hold: Duration,
        now: Timestamp,
        elapsed: Duration,
    ) -> Result<(), SpoolError> {
        let lease = self
            .leases
            .get_mut(&token.number)
            .filter(|lease| lease.id == token.id)
            .ok_or(SpoolError::LeaseLost(token.id))?;
        let end = elapsed.saturating_add(hold);
        lease.until = now.after(hold);
        let before = std::mem::replace(&mut lease.end, end);
        self.expiries.remove(&(before, token.number));
        self.expiries.insert((end, token.number));
        Ok(())
    }

    /// Leases end whose time has come; their recipients are due since then.
    fn expire(&mut self, now: Timestamp, elapsed: Duration) {
        while let Some((end, number)) = self.expiries.first().copied() {
            if end > elapsed {
                break;
            }
            self.expiries.remove(&(end, number));
            if let Some(lease) = self.leases.remove(&number) {
                let due = lease.until.min(now);
                self.change_leased(&lease, number, |slot, _| slot.state = State::Waiting(due));
            }
        }
    }

    /// Leases the recipients of the first message of a domain that are due.
    fn lease_first(
        &mut self,
        domain: DomainKey,
        room: usize,
        request: &ClaimRequest,
        elapsed: Duration,
    ) -> Option<Lease> {
        let id = self.choose(domain, request.now)?;
        self.last_lease += 1;
        let number = self.last_lease;
        let range = self.messages.get(&id)?.group(domain);
        let first = range.start;
        let mut places = Vec::new();
        self.change_group(id, domain, range, |slots| {
            let due = |slot: &Slot| matches!(slot.state, State::Waiting(due) if due <= request.now);
            for (slot, place) in slots.iter_mut().zip(first..).filter(|(slot, _)| due(slot)) {
                if places.len() == room {
                    break;
                }
                slot.state = State::Leased(number);
                places.push(u32::try_from(place).unwrap_or(u32::MAX));
            }
        });
        let end = elapsed.saturating_add(request.hold);
        let until = request.now.after(request.hold);
        let lease = Leased { id, domain, end, until, slots: places.into() };
        self.domains.lease(domain, lease.slots.len());
        self.expiries.insert((end, number));
        let out = self.describe(&lease, number);
        self.leases.insert(number, lease);
        out
    }

    /// The message of a domain to hand out: new mail and mail that was tried before
    /// take turns, so that a backlog never starves what has just come.
    fn choose(&mut self, domain: DomainKey, now: Timestamp) -> Option<MessageId> {
        let retried_first = self.domains.get(domain)?.retried_next;
        for retried in [retried_first, !retried_first] {
            if let Some((due, id)) = first_of_kind(&self.due, domain, retried)
                && due <= now
            {
                self.domains.set_turn(domain, !retried);
                return Some(id);
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
    due: &BTreeSet<(DomainKey, bool, Timestamp, MessageId)>,
    domain: DomainKey,
    retried: bool,
) -> Option<(Timestamp, MessageId)> {
    let earliest = (domain, retried, Timestamp::from_millis(i64::MIN), MessageId::from_u64(0));
    let (found, kind, due, id) = *due.range(earliest..).next()?;
    (found == domain && kind == retried).then_some((due, id))
}

/// When the first of a domain is due.
pub(super) fn first_due(
    due: &BTreeSet<(DomainKey, bool, Timestamp, MessageId)>,
    domain: DomainKey,
) -> Option<Timestamp> {
    let kinds = [false, true].into_iter();
    kinds.filter_map(|retried| first_of_kind(due, domain, retried)).map(|(due, _)| due).min()
}
