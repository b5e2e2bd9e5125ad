//! Parts of messages: for a store that keeps messages elsewhere, and here only what this
//! process may hand out.
//!
//! A part is the recipients that a message has in one domain. It has a key of its own in
//! the index, as if it were a message; a settlement says how all of it stands then.

use foldhash::HashMap;
use puerto_smtp::Domain;

use super::domains::DomainKey;
use super::slots::{Slot, State, Summary, put_states};
use super::story::Story;
use super::{DELAY_NOTIFIED, EncodedEnvelope, Hold, Index};
use crate::codec::{Common, Malformed, Put, Take, bit, take_recipient};
use crate::entry::{Entry, RecipientState, RecipientStatus, Settlement};
use crate::id::{MessageId, Timestamp};
use crate::{Edit, SpoolError};

/// The recipients of one message in one domain, encoded: each after its place in the
/// envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The first one's place, which no other part of the message has.
    pub(crate) place: u32,
    pub(crate) domain: Domain,
    pub(crate) recipients: Vec<u8>,
    pub(crate) count: u32,
}

impl Part {
    /// Reads a part's recipients: all are in the domain of the first.
    pub(crate) fn read(recipients: Vec<u8>) -> Result<Self, Malformed> {
        let mut from = Take(&recipients);
        let mut first = None;
        let mut count = 0;
        while !from.0.is_empty() {
            let place = from.u32()?;
            let domain = take_recipient(&mut from)?.address.domain().clone();
            first.get_or_insert((place, domain));
            count += 1;
        }
        let (place, domain) = first.ok_or(Malformed("a part has no recipient"))?;
        Ok(Self { place, domain, recipients, count })
    }
}

impl EncodedEnvelope {
    /// What is said once, and the parts.
    pub(crate) fn parts(&self) -> (&[u8], Vec<Part>) {
        let mut parts: Vec<Part> = Vec::new();
        let mut known: HashMap<&Domain, usize> = HashMap::default();
        let ends = self.recipients.iter().skip(1).map(|(offset, _)| *offset as usize);
        let ends = ends.chain([self.blob.len()]);
        for ((index, (offset, domain)), end) in (0..).zip(&self.recipients).zip(ends) {
            let at = *known.entry(domain).or_insert(parts.len());
            if at == parts.len() {
                let recipients = Vec::new();
                parts.push(Part { place: index, domain: domain.clone(), recipients, count: 0 });
            }
            if let Some(part) = parts.get_mut(at) {
                part.recipients.put_u32(index);
                let octets = self.blob.get(*offset as usize..end).unwrap_or_default();
                part.recipients.extend_from_slice(octets);
                part.count += 1;
            }
        }
        let common = self.recipients.first().map_or(self.blob.len(), |(at, _)| *at as usize);
        (self.blob.get(..common).unwrap_or_default(), parts)
    }
}

/// Recipients as they stood in another store, as [`Index::apply`] takes them. None of them
/// is leased here.
pub(crate) fn states_of<'a>(
    entry: &Entry,
    recipients: impl Iterator<Item = (u32, &'a RecipientStatus)>,
    now: Timestamp,
) -> Vec<u8> {
    let slot = |(index, status): (u32, &RecipientStatus)| {
        let state = match status.state {
            RecipientState::Due(due) => State::Waiting(due),
            RecipientState::Leased(_) => State::Waiting(now),
            RecipientState::Done => State::Done,
        };
        let attempts = status.attempts;
        let told = status.story.iter().cloned();
        let story = told.fold(None, |before, one| Some(Story::with(before.as_ref(), one)));
        Slot { attempts, state, story, ..Slot::new(index, 0, DomainKey(0), now) }
    };
    let slots: Vec<Slot> = recipients.map(slot).collect();
    let hold = match entry.held {
        true if entry.held_for.is_empty() => Hold::Asked,
        held => Hold::of_new(held),
    };
    let flags = hold.flags() | bit(entry.delay_notified, DELAY_NOTIFIED);
    put_states(flags, slots.iter(), now)
}

/// How a part stands after a settlement.
#[derive(Debug)]
pub(crate) struct PartState {
    /// All its recipients, as [`Index::insert_part`] takes them.
    pub(crate) states: Vec<u8>,
    /// Recipients that were not done before.
    pub(crate) open_before: u32,
    /// Recipients that are not done.
    pub(crate) open: u32,
    /// Whether all that wait were tried before, and when the first of them is due.
    pub(crate) next: Option<(bool, Timestamp)>,
    /// Whether the part has left the index: nothing of it is leased, nor due.
    pub(crate) has_left: bool,
}

impl<L> Index<L> {
    /// Takes up a part. Its recipients are due at `due`, unless `states` says how they
    /// stand.
    pub(crate) fn insert_part(
        &mut self,
        key: MessageId,
        (common, part): (&[u8], &Part),
        content: (u64, L),
        (due, states): (Timestamp, Option<&[u8]>),
    ) -> Result<(), Malformed> {
        let mut from = Take(common);
        Common::take(&mut from)?;
        from.end()?;
        let mut blob = common.to_vec();
        let domain = self.domains.intern(&part.domain);
        let mut slots = Vec::with_capacity(part.count as usize);
        let mut from = Take(&part.recipients);
        while !from.0.is_empty() {
            let index = from.u32()?;
            let whole = from.0;
            take_recipient(&mut from)?;
            let offset = u32::try_from(blob.len()).map_err(|_| Malformed("a part is too large"))?;
            slots.push(Slot::new(index, offset, domain, due));
            blob.extend_from_slice(whole.get(..whole.len() - from.0.len()).unwrap_or_default());
        }
        // Whether the message is held is not a part's to say.
        self.place(key, (blob.into(), slots, Hold::No), content, due);
        if let Some(states) = states {
            self.restate(key, states)?;
            self.set_hold(key, Hold::No);
        }
        Ok(())
    }

    /// Changes the recipients of a lease, ends it, and says how its part stands then.
    pub(crate) fn settle_part(
        &mut self,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<PartState, SpoolError> {
        let id = settlement.token.id;
        let open_before = self.messages.get(&id).map_or(0, |message| message.remaining);
        self.settle_slots(settlement, now)?;
        let state = self.part_state(id, now).ok_or(SpoolError::LeaseLost(id))?;
        if state.has_left {
            self.remove(id);
        }
        Ok(PartState { open_before, ..state })
    }

    /// How a part stands.
    pub(crate) fn part_state(&self, id: MessageId, now: Timestamp) -> Option<PartState> {
        let message = self.messages.get(&id)?;
        let summary = Summary::of(&message.slots);
        let leased = message.slots.iter().any(|slot| slot.lease().is_some());
        let due = summary.next.is_some_and(|(_, due)| due <= now);
        let count = u32::try_from(message.slots.len()).unwrap_or(u32::MAX);
        let mut state = PartState {
            states: message.record(0..count, now),
            open_before: message.remaining,
            open: message.remaining,
            next: summary.next,
            has_left: !leased && !due,
        };
        // What is leased still is due now for whoever reads this, as in the states.
        if leased {
            state.next = Some((state.next.is_some_and(|(tried, _)| tried), now));
        }
        Some(state)
    }

    /// Makes due what is not due before `bound`.
    pub(crate) fn make_due(&mut self, key: MessageId, bound: Timestamp) {
        // What is held is not handed out, and keeps its times.
        let _ = self.edit(key, Edit::Retry, bound);
    }

    /// The next lease has a greater number than this.
    pub(crate) fn number_above(&mut self, number: u64) {
        self.last_lease = self.last_lease.max(number);
    }

    /// Domains of which so many recipients are here, waiting or leased.
    pub(crate) fn domains_with(&self, recipients: u64) -> Vec<String> {
        self.domains.deep(recipients).map(ToString::to_string).collect()
    }

    /// How many recipients of a domain are here, waiting or leased.
    pub(crate) fn depth_of(&self, domain: &Domain) -> u64 {
        self.domains.depth_of(domain)
    }

    /// How many recipients of a part's domain are here, waiting or leased.
    pub(crate) fn depth_around(&self, key: MessageId) -> u64 {
        let slot = self.messages.get(&key).and_then(|message| message.slots.first());
        slot.and_then(|slot| self.domains.get(slot.domain)).map_or(0, |state| state.depth)
    }

    /// Whether a lease of this number is on a part.
    pub(crate) fn has_lease(&self, key: MessageId, number: u64) -> bool {
        self.leases.get(&number).is_some_and(|lease| lease.id == key)
    }

    /// How the recipients of a part stand, by their places in the envelope.
    pub(crate) fn states_of(&self, key: MessageId) -> Vec<(u32, RecipientState)> {
        let slots = self.messages.get(&key).map(|message| &message.slots);
        let slots = slots.into_iter().flatten();
        slots.map(|slot| (slot.index, self.recipient_state(slot))).collect()
    }

    /// How many messages and domains are due.
    #[cfg(test)]
    pub(crate) fn due_at(&self, now: Timestamp) -> usize {
        self.due.iter().filter(|(_, _, due, _)| *due <= now).count()
    }

    /// What nobody has a lease on.
    pub(crate) fn unleased(&self) -> impl Iterator<Item = (MessageId, &L)> {
        let leased = |slot: &Slot| slot.lease().is_some();
        let free =
            self.messages.iter().filter(move |(_, message)| !message.slots.iter().any(leased));
        free.map(|(key, message)| (*key, &message.location))
    }
}
