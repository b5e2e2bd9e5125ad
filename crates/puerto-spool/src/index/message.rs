//! One message of the index: its envelope, and a slot for each recipient.

use std::ops::Range;

use super::domains::DomainKey;
use super::slots::{self, Slot};
use super::{AS_COMMITTED, DELAY_NOTIFIED, HELD};
use crate::codec::{Malformed, Take, bit};
use crate::id::Timestamp;

/// Whether a message is kept from being handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It is not.
    No,
    /// By an administrator.
    Asked,
    /// Since it came, for the reason that its envelope gives.
    AsCommitted,
}

impl Hold {
    /// As one is committed.
    pub(crate) fn of_new(held: bool) -> Self {
        if held { Self::AsCommitted } else { Self::No }
    }

    /// As a record says it.
    pub(crate) fn of_flags(flags: u8) -> Self {
        match (flags & HELD, flags & AS_COMMITTED) {
            (0, _) => Self::No,
            (_, 0) => Self::Asked,
            (_, _) => Self::AsCommitted,
        }
    }

    /// For a record.
    pub(crate) fn flags(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Asked => HELD,
            Self::AsCommitted => HELD | AS_COMMITTED,
        }
    }

    /// Whether it is.
    pub(crate) fn is_held(self) -> bool {
        self != Self::No
    }
}

/// A message. `L` says where its content is.
#[derive(Debug)]
pub(super) struct Message<L> {
    pub(super) envelope: Box<[u8]>,
    /// Ordered by domain, then by place in the envelope.
    pub(super) slots: Box<[Slot]>,
    pub(super) size: u64,
    pub(super) remaining: u32,
    pub(super) bulk: bool,
    pub(super) hold: Hold,
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
        let flags = self.hold.flags() | bit(self.delay_notified, DELAY_NOTIFIED);
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
