//! What is queued, in memory: the part that both backends share.
//!
//! For each message the index keeps its envelope in encoded form, one small slot
//! for each recipient and where its content is; for each domain, which messages are
//! due when. Every operation takes time that grows with the logarithm of the queue
//! and with the recipients it touches, never with the queue itself.
//!
//! A change returns the record that would bring about the same change in another
//! index: [`Index::apply`] takes it. Records say how things are, not what happened,
//! so applying one twice, or to an index that is already ahead, does no harm.

mod domains;
mod envelope;
mod slots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use puerto_smtp::Domain;

use self::domains::{DomainKey, Domains};
pub(crate) use self::envelope::EncodedEnvelope;
use self::slots::{Slot, State};
use crate::codec::{Common, Malformed, Take, bit, take_recipient};
use crate::entry::{
    Disposition, Entry, Lease, LeaseToken, LeasedRecipient, RecipientState, RecipientStatus,
    Settled, Settlement,
};
use crate::id::{MessageId, Timestamp};
use crate::{ClaimRequest, Edit, ListRequest, SpoolError};

#[derive(Debug)]
struct Message<L> {
    envelope: Box<[u8]>,
    /// Ordered by domain, then by place in the envelope.
    slots: Box<[Slot]>,
    size: u64,
    remaining: u32,
    held: bool,
    delay_notified: bool,
    location: L,
}

#[derive(Debug)]
struct Leased {
    id: MessageId,
    domain: DomainKey,
    until: Timestamp,
    /// Places in the message's slots.
    slots: Box<[u32]>,
}

/// What a change came to.
#[derive(Debug)]
pub(crate) struct Changed<L> {
    /// The record that says so, for [`Index::apply`].
    pub(crate) record: Vec<u8>,
    /// Recipients that are not done.
    pub(crate) remaining: u32,
    /// Where the content was, if the message is gone.
    pub(crate) gone: Option<L>,
}

/// The index. `L` says where a message's content is.
#[derive(Debug)]
pub(crate) struct Index<L> {
    messages: BTreeMap<MessageId, Message<L>>,
    domains: Domains,
    /// One entry for each message and domain of which recipients wait: whether it
    /// was tried before, when its first recipient is due.
    due: BTreeSet<(DomainKey, bool, Timestamp, MessageId)>,
    leases: HashMap<u64, Leased>,
    expiries: BTreeSet<(Timestamp, u64)>,
    last_lease: u64,
    per_domain: usize,
    recipients: u64,
    octets: u64,
}

impl<L> Default for Index<L> {
    fn default() -> Self {
        Self {
            messages: BTreeMap::new(),
            domains: Domains::default(),
            due: BTreeSet::new(),
            leases: HashMap::new(),
            expiries: BTreeSet::new(),
            last_lease: 0,
            per_domain: 0,
            recipients: 0,
            octets: 0,
        }
    }
}

const HELD: u8 = 1;
const DELAY_NOTIFIED: u8 = 2;

impl<L> Index<L> {
    /// Adds a message with every recipient due at `due`; one of the same id is
    /// replaced.
    pub(crate) fn insert(
        &mut self,
        id: MessageId,
        envelope: EncodedEnvelope,
        content: (u64, L),
        due: Timestamp,
    ) -> Option<L> {
        let before = self.remove(id);
        let (size, location) = content;
        let mut slots: Vec<Slot> = (0..)
            .zip(&envelope.recipients)
            .map(|(index, (offset, domain))| {
                Slot::new(index, *offset, self.domains.intern(domain), due)
            })
            .collect();
        slots.sort_unstable_by_key(|slot| (slot.domain, slot.index));
        let remaining = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        self.recipients += u64::from(remaining);
        self.octets += size;
        for slot in &slots {
            self.domains.change_depth(slot.domain, 1, 0);
        }
        let message = Message {
            envelope: envelope.blob,
            slots: slots.into(),
            size,
            remaining,
            held: false,
            delay_notified: false,
            location,
        };
        let groups = message.groups();
        self.messages.insert(id, message);
        for (domain, _) in groups {
            self.due.insert((domain, false, due, id));
            self.refresh_head(domain);
        }
        before
    }

    /// Forgets a message, its leases too.
    pub(crate) fn remove(&mut self, id: MessageId) -> Option<L> {
        let message = self.messages.get(&id)?;
        let groups = message.groups();
        let leases: BTreeSet<u64> = message.slots.iter().filter_map(Slot::lease).collect();
        for number in leases {
            if let Some(lease) = self.leases.remove(&number) {
                self.expiries.remove(&(lease.until, number));
                self.domains.release(lease.domain, lease.slots.len());
            }
        }
        for (domain, range) in groups {
            self.change_group(id, domain, range, |slots| {
                for slot in slots {
                    slot.state = State::Done;
                }
            });
        }
        let message = self.messages.remove(&id)?;
        self.octets = self.octets.saturating_sub(message.size);
        Some(message.location)
    }

    /// Hands out due work; see [`crate::Spool::claim`].
    pub(crate) fn claim(&mut self, request: &ClaimRequest) -> Vec<Lease> {
        self.expire(request.now);
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
            let Some(lease) = self.lease_first(domain, room.min(left), request) else { continue };
            left = left.saturating_sub(lease.recipients.len());
            leases.push(lease);
        }
        leases
    }

    /// Moves the end of a lease.
    pub(crate) fn renew(&mut self, token: &LeaseToken, until: Timestamp) -> Result<(), SpoolError> {
        let lease = self
            .leases
            .get_mut(&token.number)
            .filter(|lease| lease.id == token.id)
            .ok_or(SpoolError::LeaseLost(token.id))?;
        let before = std::mem::replace(&mut lease.until, until);
        self.expiries.remove(&(before, token.number));
        self.expiries.insert((until, token.number));
        Ok(())
    }

    /// Changes the recipients of a lease and ends it.
    pub(crate) fn settle(
        &mut self,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(Settled, Changed<L>), SpoolError> {
        let id = settlement.token.id;
        let number = settlement.token.number;
        if self.leases.get(&number).is_none_or(|lease| lease.id != id) {
            return Err(SpoolError::LeaseLost(id));
        }
        let lease = self.leases.remove(&number).ok_or(SpoolError::LeaseLost(id))?;
        self.expiries.remove(&(lease.until, number));
        let mut dispositions = settlement.dispositions;
        dispositions.sort_by_key(|(index, _)| *index);
        dispositions.dedup_by_key(|(index, _)| *index);
        let outcome = |index| {
            let place = dispositions.binary_search_by_key(&index, |(index, _)| *index).ok()?;
            dispositions.get(place).map(|(_, disposition)| disposition)
        };
        self.change_leased(&lease, number, |slot, last| {
            slot.settle(outcome(slot.index).unwrap_or(&Disposition::Returned(now)), last);
        });
        let changed = self.changed(id, lease.slots.iter().copied(), now)?;
        Ok((Settled { remaining: changed.remaining }, changed))
    }

    /// Changes a message as an administrator asks.
    pub(crate) fn edit(
        &mut self,
        id: MessageId,
        edit: Edit,
        now: Timestamp,
    ) -> Result<Changed<L>, SpoolError> {
        let message = self.messages.get_mut(&id).ok_or(SpoolError::NotFound(id))?;
        let count = u32::try_from(message.slots.len()).unwrap_or(u32::MAX);
        match edit {
            Edit::Remove => {
                let gone = self.remove(id);
                return Ok(Changed { record: Vec::new(), remaining: 0, gone });
            }
            Edit::DelayNotified => message.delay_notified = true,
            Edit::Hold => self.set_held(id, true),
            Edit::Release => self.set_held(id, false),
            Edit::Retry => {
                for (domain, range) in message.groups() {
                    self.change_group(id, domain, range, |slots| {
                        for slot in slots {
                            slot.retry(now);
                        }
                    });
                }
                return self.changed(id, 0..count, now);
            }
        }
        self.changed(id, std::iter::empty(), now)
    }

    /// Brings about what a record says; returns where the content was if the message
    /// is gone by it. A record of a message that is not here changes nothing.
    pub(crate) fn apply(&mut self, id: MessageId, record: &[u8]) -> Result<Option<L>, Malformed> {
        let (flags, states) = slots::take_states(&mut Take(record))?;
        let Some(message) = self.messages.get(&id) else { return Ok(None) };
        let mut found: Vec<(usize, Slot)> = Vec::with_capacity(states.len());
        for (index, slot) in message.locate(&states)? {
            found.push((index, slot));
        }
        for (place, new) in found {
            self.change_group(id, new.domain, place..place + 1, |slots| {
                if let Some(slot) = slots.first_mut() {
                    *slot = new;
                }
            });
        }
        self.set_held(id, flags & HELD != 0);
        if let Some(message) = self.messages.get_mut(&id) {
            message.delay_notified = flags & DELAY_NOTIFIED != 0;
        }
        Ok(self.remove_if_done(id))
    }

    /// Everything about a message's recipients as a record.
    pub(crate) fn snapshot(&self, id: MessageId, now: Timestamp) -> Option<Vec<u8>> {
        let message = self.messages.get(&id)?;
        Some(message.record(0..u32::try_from(message.slots.len()).unwrap_or(u32::MAX), now))
    }

    /// A message's encoded envelope, its size and where its content is.
    pub(crate) fn stored(&self, id: MessageId) -> Option<(&[u8], u64, &L)> {
        let message = self.messages.get(&id)?;
        Some((&message.envelope, message.size, &message.location))
    }

    /// Where a message's content is, to be changed when it has moved.
    pub(crate) fn location_mut(&mut self, id: MessageId) -> Option<&mut L> {
        self.messages.get_mut(&id).map(|message| &mut message.location)
    }

    /// Whether a message is here.
    pub(crate) fn contains(&self, id: MessageId) -> bool {
        self.messages.contains_key(&id)
    }

    /// The messages behind `after`, in the order of their ids.
    pub(crate) fn ids_after(
        &self,
        after: Option<MessageId>,
    ) -> impl Iterator<Item = (MessageId, &L)> {
        self.messages.range(after_bound(after)).map(|(id, message)| (*id, &message.location))
    }

    /// One message as it stands.
    pub(crate) fn get(&self, id: MessageId) -> Result<Entry, SpoolError> {
        let message = self.messages.get(&id).ok_or(SpoolError::NotFound(id))?;
        self.entry(id, message)
    }

    /// A page of messages.
    pub(crate) fn list(&self, request: &ListRequest) -> Result<Vec<Entry>, SpoolError> {
        self.messages
            .range(after_bound(request.after))
            .take(request.limit)
            .map(|(id, message)| self.entry(*id, message))
            .collect()
    }

    /// When the next recipient of any unheld message becomes due, or a lease ends.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let expiry = self.expiries.first().map(|(until, _)| *until);
        self.domains.first_due().into_iter().chain(expiry).min()
    }

    /// How many recipients of a domain wait or are leased.
    pub(crate) fn depth(&self, domain: &Domain) -> u64 {
        let state = self.domains.number(domain).and_then(|key| self.domains.get(key));
        state.map_or(0, |state| state.depth)
    }

    /// Messages, recipients that are not done, and octets.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        (self.messages.len() as u64, self.recipients, self.octets)
    }
}

fn after_bound(
    after: Option<MessageId>,
) -> (std::ops::Bound<MessageId>, std::ops::Bound<MessageId>) {
    use std::ops::Bound::{Excluded, Unbounded};
    (after.map_or(Unbounded, Excluded), Unbounded)
}

impl<L> Message<L> {
    /// The slots of each domain.
    fn groups(&self) -> Vec<(DomainKey, Range<usize>)> {
        let mut start = 0;
        self.slots
            .chunk_by(|a, b| a.domain == b.domain)
            .filter_map(|group| {
                let range = start..start + group.len();
                start = range.end;
                group.first().map(|slot| (slot.domain, range))
            })
            .collect()
    }

    fn group(&self, domain: DomainKey) -> Range<usize> {
        self.slots.partition_point(|slot| slot.domain < domain)
            ..self.slots.partition_point(|slot| slot.domain <= domain)
    }

    fn record(&self, places: impl Iterator<Item = u32>, now: Timestamp) -> Vec<u8> {
        let slots = places.filter_map(|place| self.slots.get(place as usize));
        let flags = bit(self.held, HELD) | bit(self.delay_notified, DELAY_NOTIFIED);
        slots::put_states(flags, slots, now)
    }

    /// The slots that states speak of, as they would be then.
    fn locate(&self, states: &[slots::SlotState]) -> Result<Vec<(usize, Slot)>, Malformed> {
        let mut by_index: Vec<(u32, usize)> = Vec::new();
        if states.len() > 4 {
            by_index.extend(self.slots.iter().zip(0..).map(|(slot, place)| (slot.index, place)));
            by_index.sort_unstable();
        }
        let find = |index: u32| {
            if by_index.is_empty() {
                return self.slots.iter().position(|slot| slot.index == index);
            }
            let at = by_index.binary_search_by_key(&index, |(index, _)| *index).ok()?;
            by_index.get(at).map(|(_, place)| *place)
        };
        states
            .iter()
            .map(|state| {
                let place = find(state.index).ok_or(Malformed("there is no such recipient"))?;
                let slot = self.slots.get(place).ok_or(Malformed("there is no such recipient"))?;
                Ok((place, slot.with(state)))
            })
            .collect()
    }
}

impl<L> Index<L> {
    /// Changes slots of one message and one domain and all that depends on them.
    fn change_group(
        &mut self,
        id: MessageId,
        domain: DomainKey,
        range: Range<usize>,
        change: impl FnOnce(&mut [Slot]),
    ) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let group = message.group(domain);
        let held = message.held;
        let before = message.slots.get(group.clone()).map(slots::Summary::of).unwrap_or_default();
        if let Some(slots) = message.slots.get_mut(range) {
            change(slots);
        }
        let after = message.slots.get(group).map(slots::Summary::of).unwrap_or_default();
        let fewer = before.open.saturating_sub(after.open);
        let more = after.open.saturating_sub(before.open);
        message.remaining = (message.remaining + more).saturating_sub(fewer);
        self.recipients = (self.recipients + u64::from(more)).saturating_sub(u64::from(fewer));
        if !held && before.next != after.next {
            if let Some((retried, due)) = before.next {
                self.due.remove(&(domain, retried, due, id));
            }
            if let Some((retried, due)) = after.next {
                self.due.insert((domain, retried, due, id));
            }
            self.refresh_head(domain);
        }
        self.domains.change_depth(domain, u64::from(more), u64::from(fewer));
    }

    fn change_leased(
        &mut self,
        lease: &Leased,
        number: u64,
        mut change: impl FnMut(&mut Slot, &mut slots::LastAttempt),
    ) {
        self.domains.release(lease.domain, lease.slots.len());
        let Some(message) = self.messages.get(&lease.id) else { return };
        let range = message.group(lease.domain);
        let mut last = slots::LastAttempt::default();
        self.change_group(lease.id, lease.domain, range, |slots| {
            for slot in slots.iter_mut().filter(|slot| slot.state == State::Leased(number)) {
                change(slot, &mut last);
            }
        });
    }

    fn changed(
        &mut self,
        id: MessageId,
        places: impl Iterator<Item = u32>,
        now: Timestamp,
    ) -> Result<Changed<L>, SpoolError> {
        let message = self.messages.get(&id).ok_or(SpoolError::LeaseLost(id))?;
        let record = message.record(places, now);
        let remaining = message.remaining;
        Ok(Changed { record, remaining, gone: self.remove_if_done(id) })
    }

    fn remove_if_done(&mut self, id: MessageId) -> Option<L> {
        let done = self.messages.get(&id).is_some_and(|message| message.remaining == 0);
        if done { self.remove(id) } else { None }
    }

    fn set_held(&mut self, id: MessageId, held: bool) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if std::mem::replace(&mut message.held, held) == held {
            return;
        }
        let message = &*message;
        for (domain, range) in message.groups() {
            let summary = message.slots.get(range).map(slots::Summary::of).unwrap_or_default();
            let Some((retried, due)) = summary.next else { continue };
            if held {
                self.due.remove(&(domain, retried, due, id));
            } else {
                self.due.insert((domain, retried, due, id));
            }
            let head = first_due(&self.due, domain);
            self.domains.set_head(domain, head);
        }
    }

    fn refresh_head(&mut self, domain: DomainKey) {
        let head = first_due(&self.due, domain);
        self.domains.set_head(domain, head);
    }

    /// Leases end whose time has come; their recipients are due since then.
    fn expire(&mut self, now: Timestamp) {
        while let Some((until, number)) = self.expiries.first().copied() {
            if until > now {
                break;
            }
            self.expiries.remove(&(until, number));
            if let Some(lease) = self.leases.remove(&number) {
                self.change_leased(&lease, number, |slot, _| slot.state = State::Waiting(until));
            }
        }
    }

    /// Leases the recipients of the first message of a domain that are due.
    fn lease_first(
        &mut self,
        domain: DomainKey,
        room: usize,
        request: &ClaimRequest,
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
        let lease = Leased { id, domain, until: request.until, slots: places.into() };
        self.domains.lease(domain, lease.slots.len());
        self.expiries.insert((request.until, number));
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

    fn describe(&self, lease: &Leased, number: u64) -> Option<Lease> {
        let message = self.messages.get(&lease.id)?;
        let common = Common::take(&mut Take(&message.envelope)).ok()?;
        let mut recipients = Vec::with_capacity(lease.slots.len());
        for place in &lease.slots {
            let slot = message.slots.get(*place as usize)?;
            recipients.push(LeasedRecipient {
                index: slot.index,
                recipient: take_recipient(&mut message.recipient(slot)?).ok()?,
                attempts: slot.attempts,
            });
        }
        Some(Lease {
            token: LeaseToken { id: lease.id, number },
            until: lease.until,
            domain: (*self.domains.get(lease.domain)?.domain).clone(),
            recipients,
            reverse_path: common.reverse_path,
            envelope_id: common.envelope_id,
            ret: common.ret,
            eight_bit: common.eight_bit,
            smtputf8: common.smtputf8,
            received_at: common.received_at,
            size: message.size,
            recipients_in_all: u32::try_from(message.slots.len()).unwrap_or(u32::MAX),
            delay_notified: message.delay_notified,
        })
    }

    fn entry(&self, id: MessageId, message: &Message<L>) -> Result<Entry, SpoolError> {
        let damaged =
            |malformed: Malformed| SpoolError::Damaged { id, what: malformed.to_string() };
        let common = Common::take(&mut Take(&message.envelope)).map_err(damaged)?;
        let mut recipients = Vec::with_capacity(message.slots.len());
        let mut slots: Vec<&Slot> = message.slots.iter().collect();
        slots.sort_unstable_by_key(|slot| slot.index);
        for slot in slots {
            let mut from = message.recipient(slot).ok_or(Malformed("it ends too early"));
            let recipient =
                from.as_mut().map_err(|e| *e).and_then(take_recipient).map_err(damaged)?;
            recipients.push(RecipientStatus {
                recipient,
                state: self.recipient_state(slot),
                attempts: slot.attempts,
                last: slot.last.as_deref().cloned(),
            });
        }
        Ok(Entry {
            id,
            reverse_path: common.reverse_path,
            recipients,
            envelope_id: common.envelope_id,
            ret: common.ret,
            eight_bit: common.eight_bit,
            smtputf8: common.smtputf8,
            received_at: common.received_at,
            origin: common.origin,
            size: message.size,
            held: message.held,
            delay_notified: message.delay_notified,
        })
    }

    fn recipient_state(&self, slot: &Slot) -> RecipientState {
        match slot.state {
            State::Waiting(due) => RecipientState::Due(due),
            State::Done => RecipientState::Done,
            State::Leased(number) => RecipientState::Leased(
                self.leases.get(&number).map_or(Timestamp::default(), |lease| lease.until),
            ),
        }
    }
}

impl<L> Message<L> {
    fn recipient(&self, slot: &Slot) -> Option<Take<'_>> {
        self.envelope.get(slot.offset as usize..).map(Take)
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

fn first_due(
    due: &BTreeSet<(DomainKey, bool, Timestamp, MessageId)>,
    domain: DomainKey,
) -> Option<Timestamp> {
    let kinds = [false, true].into_iter();
    kinds.filter_map(|retried| first_of_kind(due, domain, retried)).map(|(due, _)| due).min()
}
