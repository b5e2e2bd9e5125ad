//! The index counted, a piece at a time: others wait for it meanwhile.

use std::hint::black_box;
use std::sync::Arc;

use foldhash::HashMap;

use super::Index;
use super::domains::DomainKey;
use super::message::Message;
use super::slots::State;
use super::story::Story;
use super::view::after_bound;
use crate::codec::Common;
use crate::entry::RecipientState;
use crate::filter::{Classify, Selector};
use crate::id::{MessageId, Timestamp};
use crate::tally::{Counted, Group, Tally};

/// Domains have their numbers only as long as the index is locked. A class is known by where
/// its name stands: two places for one name are two groups, which come together in the tally.
type Piece = HashMap<(DomainKey, *const u8), (&'static str, Group)>;

/// A recipient that is to be counted.
struct Row<'a> {
    domain: DomainKey,
    counted: Counted,
    story: Option<&'a Story>,
}

impl<L> Index<L> {
    /// Counts the messages behind `after`, so many of them; says where it ended, unless that
    /// is the end. Without a selector all are meant, and none is decoded.
    pub(crate) fn tally_some(
        &self,
        tally: &mut Tally,
        (after, limit): (Option<MessageId>, usize),
        (selector, classify): (Option<&Selector>, &Classify),
        now: Timestamp,
    ) -> Option<MessageId> {
        let (mut next, mut rows) = (None, Vec::new());
        for (looked_at, (id, message)) in (1..=limit).zip(self.messages.range(after_bound(after))) {
            match selector {
                None => Self::rows_of(tally, &mut rows, message, now),
                // What cannot be read is told of elsewhere.
                Some(selector) => {
                    if let Ok(entry) = self.entry(*id, message)
                        && selector.selects(&entry)
                    {
                        tally.count(&entry, (selector, classify), now);
                    }
                }
            }
            next = (looked_at == limit).then_some(*id);
        }
        for ((domain, _), (class, group)) in Self::counted(&rows, classify, now) {
            if let Some(state) = self.domains.get(domain) {
                tally.add(Arc::clone(&state.domain), class, &group);
            }
        }
        next
    }

    fn rows_of<'a>(
        tally: &mut Tally,
        rows: &mut Vec<Row<'a>>,
        message: &'a Message<L>,
        now: Timestamp,
    ) {
        let held = message.hold.is_held();
        tally.count_message(held, message.size);
        let received_at = Common::received_at(&message.envelope).unwrap_or(now);
        for slot in &message.slots {
            let state = match slot.state {
                State::Waiting(due) => RecipientState::Due(due),
                State::Leased(_) => RecipientState::Leased(now),
                State::Done => continue,
            };
            let counted = Counted { state, received_at, held };
            rows.push(Row { domain: slot.domain, counted, story: slot.story.as_ref() });
        }
    }

    // What a million recipients came to lies all over the memory, and to wait for each of them
    // by itself is most of what counting costs: they are touched first, one right after the
    // other, so that the waits go side by side.
    fn counted(rows: &[Row<'_>], classify: &Classify, now: Timestamp) -> Piece {
        let touch = |sum: u8, row: &Row<'_>| {
            let first = row.story.and_then(|story| story.as_bytes().first());
            first.map_or(sum, |octet| sum ^ octet)
        };
        black_box(rows.iter().fold(0, touch));
        let mut piece = Piece::default();
        for row in rows {
            let class = classify(row.story.and_then(Story::last));
            let key = (row.domain, class.as_ptr());
            let (_, group) = piece.entry(key).or_insert_with(|| (class, Group::default()));
            group.count(row.counted, now);
        }
        piece
    }
}
