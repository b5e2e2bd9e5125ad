//! What the index shows: messages as they stand, leases as they are handed out, counts.

use super::Index;
use super::leases::Leased;
use super::message::{Hold, Message};
use super::slots::{Slot, State};
use super::story::Story;
use crate::codec::{Common, Malformed, Take, take_recipient};
use crate::entry::{Entry, Lease, LeaseToken, LeasedRecipient, RecipientState, RecipientStatus};
use crate::filter::Selector;
use crate::id::{MessageId, Timestamp};
use crate::{Page, SpoolError};

impl<L> Index<L> {
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

    /// A page of messages: so many are looked at, however few of them are selected, since
    /// others wait for the index meanwhile.
    pub(crate) fn page(
        &self,
        after: Option<MessageId>,
        limit: usize,
        selector: &Selector,
    ) -> Result<Page, SpoolError> {
        if let Some(ids) = selector.ids() {
            return self.page_of(ids, (after, limit), selector);
        }
        let mut page = Page::default();
        for (looked_at, (id, message)) in (0..limit).zip(self.messages.range(after_bound(after))) {
            let entry = self.entry(*id, message)?;
            if selector.selects(&entry) {
                page.entries.push(entry);
            }
            page.next = (looked_at + 1 == limit).then_some(*id);
        }
        Ok(page)
    }

    // A page of those that are named.
    fn page_of(
        &self,
        ids: &[MessageId],
        (after, limit): (Option<MessageId>, usize),
        selector: &Selector,
    ) -> Result<Page, SpoolError> {
        let mut page = Page::default();
        let behind = ids.iter().filter(|id| after.is_none_or(|after| **id > after));
        for (looked_at, id) in (1..=limit).zip(behind) {
            if let Some(message) = self.messages.get(id) {
                let entry = self.entry(*id, message)?;
                page.entries.extend(Some(entry).filter(|entry| selector.selects(entry)));
            }
            page.next = (looked_at == limit).then_some(*id);
        }
        Ok(page)
    }

    /// The messages behind `after`, and whether they wait and are not held.
    pub(super) fn waiting_after(
        &self,
        after: Option<MessageId>,
    ) -> impl Iterator<Item = (MessageId, bool)> {
        let waits = |message: &Message<L>| {
            let mut slots = message.slots.iter();
            !message.hold.is_held() && slots.any(|slot| matches!(slot.state, State::Waiting(_)))
        };
        self.messages.range(after_bound(after)).map(move |(id, message)| (*id, waits(message)))
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> u64 {
        self.leases.len() as u64
    }

    /// Messages, recipients that are not done, and octets.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        (self.messages.len() as u64, self.recipients, self.octets)
    }

    pub(super) fn describe(&self, lease: &Leased, number: u64) -> Option<Lease> {
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
            token: LeaseToken { id: lease.id, owner: 0, fence: number },
            until: lease.until,
            domain: (*self.domains.get(lease.domain)?.domain).clone(),
            recipients,
            reverse_path: common.reverse_path,
            envelope_id: common.envelope_id,
            ret: common.ret,
            verp: common.verp,
            eight_bit: common.eight_bit,
            smtputf8: common.smtputf8,
            tls: common.tls,
            bulk: common.bulk,
            received_at: common.received_at,
            origin: common.origin,
            size: message.size,
            recipients_in_all: u32::try_from(message.slots.len()).unwrap_or(u32::MAX),
            delay_notified: message.delay_notified,
        })
    }

    pub(super) fn entry(&self, id: MessageId, message: &Message<L>) -> Result<Entry, SpoolError> {
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
                story: slot.story.as_ref().map(Story::attempts).unwrap_or_default(),
            });
        }
        Ok(Entry {
            id,
            reverse_path: common.reverse_path,
            recipients,
            envelope_id: common.envelope_id,
            ret: common.ret,
            verp: common.verp,
            eight_bit: common.eight_bit,
            smtputf8: common.smtputf8,
            tls: common.tls,
            bulk: common.bulk,
            received_at: common.received_at,
            origin: common.origin,
            size: message.size,
            held: message.hold.is_held(),
            held_for: match message.hold {
                Hold::AsCommitted => common.held_for.unwrap_or_default(),
                Hold::Asked | Hold::No => String::new(),
            },
            delay_notified: message.delay_notified,
        })
    }

    pub(super) fn recipient_state(&self, slot: &Slot) -> RecipientState {
        match slot.state {
            State::Waiting(due) => RecipientState::Due(due),
            State::Done => RecipientState::Done,
            State::Leased(number) => RecipientState::Leased(
                self.leases.get(&number).map_or(Timestamp::default(), |lease| lease.until),
            ),
        }
    }
}

pub(super) fn after_bound(
    after: Option<MessageId>,
) -> (std::ops::Bound<MessageId>, std::ops::Bound<MessageId>) {
    use std::ops::Bound::{Excluded, Unbounded};
    (after.map_or(Unbounded, Excluded), Unbounded)
}
