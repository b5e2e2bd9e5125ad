//! One message of the index: its envelope, and a slot for each recipient.

use std::ops::Range;

use super::domains::DomainKey;
use super::slots::{self, Slot};
use super::{DELAY_NOTIFIED, HELD};
use crate::codec::{Malformed, Take, bit};
use crate::id::Timestamp;

/// A message. `L` says where its content is.
#[derive(Debug)]
pub(super) struct Message<L> {
    pub(super) envelope: Box<[u8]>,
    /// Ordered by domain, then by place in the envelope.
    pub(super) slots: Box<[Slot]>,
    pub(super) size: u64,
    pub(super) remaining: u32,
    pub(super) held: bool,
    pub(super) delay_notified: bool,
    pub(super) location: L,
}

impl<L> Message<L> {
    /// The slots of each domain.
    pub(super) fn groups(&self) -> Vec<(DomainKey, Range<usize>)> {
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

    pub(super) fn group(&self, domain: DomainKey) -> Range<usize> {
        self.slots.partition_point(|slot| slot.domain < domain)
            ..self.slots.partition_point(|slot| slot.domain <= domain)
    }

    pub(super) fn record(&self, places: impl Iterator<Item = u32>, now: Timestamp) -> Vec<u8> {
        let slots = places.filter_map(|place| self.slots.get(place as usize));
        let flags = bit(self.held, HELD) | bit(self.delay_notified, DELAY_NOTIFIED);
        slots::put_states(flags, slots, now)
    }

    /// The slots that states speak of, as they would be then.
    pub(super) fn locate(
        &self,
        states: &[slots::SlotState],
    ) -> Result<Vec<(usize, Slot)>, Malformed> {
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

    pub(super) fn recipient(&self, slot: &Slot) -> Option<Take<'_>> {
        self.envelope.get(slot.offset as usize..).map(Take)
    }
}
