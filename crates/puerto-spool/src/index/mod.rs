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
mod leases;
mod message;
mod parts;
mod slots;
mod story;
mod tally;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use foldhash::HashMap;

use self::domains::{DomainKey, Domains};
pub(crate) use self::envelope::EncodedEnvelope;
pub(crate) use self::leases::{BEFORE_BULK, Moment};
use self::leases::{Kind, Leased, first_due};
pub(crate) use self::message::Hold;
use self::message::Message;
pub(crate) use self::parts::{Part, PartState, states_of};
pub(crate) use self::slots::read_states;
use self::slots::{Slot, State};
use crate::codec::{Common, Malformed, Take};
use crate::entry::{Disposition, Settlement};
use crate::id::{MessageId, Timestamp};
use crate::{Edit, SpoolError};

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
    due: BTreeSet<(DomainKey, Kind, Timestamp, MessageId)>,
    leases: HashMap<u64, Leased>,
    /// When leases end, by the clock that does not leap.
    expiries: BTreeSet<(Duration, u64)>,
    last_lease: u64,
    /// Messages that were held or removed since it was opened.
    edits: u64,
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
            leases: HashMap::default(),
            expiries: BTreeSet::new(),
            last_lease: 0,
            edits: 0,
            per_domain: 0,
            recipients: 0,
            octets: 0,
        }
    }
}

/// Recipients that are looked for one by one.
const FEW: usize = 8;
const HELD: u8 = 1;
const DELAY_NOTIFIED: u8 = 2;
/// Beside `HELD`: for the reason that the envelope gives.
const AS_COMMITTED: u8 = 4;

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
        let mut slots: Vec<Slot> = (0..)
            .zip(&envelope.recipients)
            .map(|(index, (offset, domain))| {
                Slot::new(index, *offset, self.domains.intern(domain), due)
            })
            .collect();
        slots.sort_unstable_by_key(|slot| (slot.domain, slot.index));
        let hold = Hold::of_new(envelope.held);
        self.place(id, (envelope.blob, slots, hold), content, due)
    }

    /// Puts a message into its place whose recipients, in the slots' order, are due at
    /// `due`; one of the same id is replaced.
    fn place(
        &mut self,
        id: MessageId,
        (envelope, slots, hold): (Box<[u8]>, Vec<Slot>, Hold),
        content: (u64, L),
        due: Timestamp,
    ) -> Option<L> {
        // The domains of the slots are known by their numbers until these are counted.
        for slot in &slots {
            self.domains.change_depth(slot.domain, 1, 0);
        }
        let before = self.remove(id);
        let (size, location) = content;
        let remaining = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        self.recipients += u64::from(remaining);
        self.octets += size;
        let bulk = Common::is_bulk(&envelope);
        let message = Message {
            bulk,
            envelope,
            slots: slots.into(),
            size,
            remaining,
            hold,
            delay_notified: false,
            location,
        };
        let groups = message.groups();
        self.messages.insert(id, message);
        for (domain, _) in groups.into_iter().filter(|_| !hold.is_held()) {
            self.due.insert((domain, Kind::of(bulk, false), due, id));
            self.refresh_head(domain);
        }
        before
    }

    /// Takes a message from another index as it stands there; says whether it could.
    pub(crate) fn adopt(&mut self, from: &Self, id: MessageId, location: L) -> bool {
        let states = from.snapshot(id, Timestamp::default());
        let (Some((envelope, size, _)), Some(states)) = (from.stored(id), states) else {
            return false;
        };
        let Ok(envelope) = EncodedEnvelope::decode(envelope) else { return false };
        self.insert(id, envelope, (size, location), Timestamp::default());
        self.apply(id, &states).is_ok()
    }

    /// Forgets a message, its leases too.
    pub(crate) fn remove(&mut self, id: MessageId) -> Option<L> {
        let message = self.messages.get(&id)?;
        let groups = message.groups();
        let leases: BTreeSet<u64> = message.slots.iter().filter_map(Slot::lease).collect();
        for number in leases {
            if let Some(lease) = self.leases.remove(&number) {
                self.expiries.remove(&(lease.end, number));
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

    /// Changes the recipients of a lease and ends it.
    pub(crate) fn settle(
        &mut self,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Changed<L>, SpoolError> {
        let id = settlement.token.id;
        if self.is_last(&settlement) {
            let gone = self.remove(id);
            return Ok(Changed { record: Vec::new(), remaining: 0, gone });
        }
        let places = self.settle_slots(settlement, now)?;
        self.changed(id, places.iter().copied(), now)
    }

    /// Whether nothing is left of a message after this, as after nearly all: then nobody will
    /// ask how its recipients fared.
    fn is_last(&self, settlement: &Settlement) -> bool {
        let lease = self.leases.get(&settlement.token.fence);
        let Some(lease) = lease.filter(|lease| lease.is(&settlement.token)) else { return false };
        let Some(message) = self.messages.get(&lease.id) else { return false };
        let is_over = |place: &u32| {
            let slot = message.slots.get(*place as usize);
            let Some(slot) = slot.filter(|slot| slot.lease() == Some(settlement.token.fence))
            else {
                return false;
            };
            let mut told = settlement.dispositions.iter();
            let first = told.find(|(index, _)| *index == slot.index);
            first.is_some_and(|(_, disposition)| disposition.is_final())
        };
        lease.slots.len() <= FEW
            && message.remaining as usize == lease.slots.len()
            && lease.slots.iter().all(is_over)
    }

    /// Changes the recipients of a lease and ends it; returns their places.
    fn settle_slots(
        &mut self,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Box<[u32]>, SpoolError> {
        let id = settlement.token.id;
        let number = settlement.token.fence;
        if !self.leases.get(&number).is_some_and(|lease| lease.is(&settlement.token)) {
            return Err(SpoolError::LeaseLost(id));
        }
        let lease = self.leases.remove(&number).ok_or(SpoolError::LeaseLost(id))?;
        self.expiries.remove(&(lease.end, number));
        let mut dispositions = settlement.dispositions;
        dispositions.sort_by_key(|(index, _)| *index);
        dispositions.dedup_by_key(|(index, _)| *index);
        let outcome = |index| {
            let place = dispositions.binary_search_by_key(&index, |(index, _)| *index).ok()?;
            dispositions.get(place).map(|(_, disposition)| disposition)
        };
        self.change_leased(&lease, number, |slot, shared| {
            slot.settle(outcome(slot.index).unwrap_or(&Disposition::Returned(now)), shared);
        });
        Ok(lease.slots)
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
        self.edits += u64::from(matches!(edit, Edit::Hold | Edit::Remove));
        match edit {
            Edit::Remove => {
                let gone = self.remove(id);
                return Ok(Changed { record: Vec::new(), remaining: 0, gone });
            }
            // One that is held keeps its reason.
            Edit::Hold if message.hold.is_held() => {}
            Edit::Hold => self.set_hold(id, Hold::Asked),
            Edit::Release => self.set_hold(id, Hold::No),
            Edit::Retry if message.hold.is_held() => return Err(SpoolError::Held(id)),
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

    /// Notes whether the sender is told of a delay; `None` if it is noted already.
    pub(crate) fn note_delay(
        &mut self,
        id: MessageId,
        told: bool,
        now: Timestamp,
    ) -> Result<Option<Changed<L>>, SpoolError> {
        let message = self.messages.get_mut(&id).ok_or(SpoolError::NotFound(id))?;
        if std::mem::replace(&mut message.delay_notified, told) == told {
            return Ok(None);
        }
        self.changed(id, std::iter::empty(), now).map(Some)
    }

    /// The first messages behind `after` that wait and are not held: they are due now.
    /// Looks at so many; says where it ended, unless that is the end.
    pub(crate) fn retry_some(
        &mut self,
        after: Option<MessageId>,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<(MessageId, Changed<L>)>, Option<MessageId>) {
        let looked_at = self.waiting_after(after).take(limit);
        let (ids, waits): (Vec<MessageId>, Vec<bool>) = looked_at.unzip();
        let next = if ids.len() == limit { ids.last().copied() } else { None };
        let wanted = ids.into_iter().zip(waits).filter(|(_, waits)| *waits);
        let retry = |(id, _)| Some((id, self.edit(id, Edit::Retry, now).ok()?));
        (wanted.filter_map(retry).collect(), next)
    }

    /// Brings about what a record says; returns where the content was if the message
    /// is gone by it. A record of a message that is not here changes nothing.
    pub(crate) fn apply(&mut self, id: MessageId, record: &[u8]) -> Result<Option<L>, Malformed> {
        self.restate(id, record)?;
        Ok(self.remove_if_done(id))
    }

    /// The same, and the message stays even if nothing of it is left to do.
    fn restate(&mut self, id: MessageId, record: &[u8]) -> Result<(), Malformed> {
        let (flags, states) = slots::take_states(&mut Take(record))?;
        let Some(message) = self.messages.get(&id) else { return Ok(()) };
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
        self.set_hold(id, Hold::of_flags(flags));
        if let Some(message) = self.messages.get_mut(&id) {
            message.delay_notified = flags & DELAY_NOTIFIED != 0;
        }
        Ok(())
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
        let (held, bulk) = (message.hold.is_held(), message.bulk);
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
                self.due.remove(&(domain, Kind::of(bulk, retried), due, id));
            }
            if let Some((retried, due)) = after.next {
                self.due.insert((domain, Kind::of(bulk, retried), due, id));
            }
            self.refresh_head(domain);
        }
        self.domains.change_depth(domain, u64::from(more), u64::from(fewer));
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

    fn set_hold(&mut self, id: MessageId, hold: Hold) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let held = hold.is_held();
        if std::mem::replace(&mut message.hold, hold).is_held() == held {
            return;
        }
        let message = &*message;
        for (domain, range) in message.groups() {
            let summary = message.slots.get(range).map(slots::Summary::of).unwrap_or_default();
            let Some((retried, due)) = summary.next else { continue };
            let kind = Kind::of(message.bulk, retried);
            if held {
                self.due.remove(&(domain, kind, due, id));
            } else {
                self.due.insert((domain, kind, due, id));
            }
            let head = first_due(&self.due, domain);
            self.domains.set_head(domain, head);
        }
    }

    fn refresh_head(&mut self, domain: DomainKey) {
        let head = first_due(&self.due, domain);
        self.domains.set_head(domain, head);
    }
}
