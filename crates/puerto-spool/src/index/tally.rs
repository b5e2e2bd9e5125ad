//! The index counted, a piece at a time: others wait for it meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use super::Index;
use super::domains::DomainKey;
use super::message::Message;
use super::slots::State;
use super::view::after_bound;
use crate::codec::Common;
use crate::entry::RecipientState;
use crate::filter::{Classify, Selector};
use crate::id::{MessageId, Timestamp};
use crate::tally::{Counted, Group, Tally};

/// Domains have their numbers only as long as the index is locked.
type Piece = HashMap<(DomainKey, &'static str), Group>;

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
        let (mut next, mut piece) = (None, Piece::new());
        for (looked_at, (id, message)) in (1..=limit).zip(self.messages.range(after_bound(after))) {
            match selector {
                None => Self::tally_message(tally, &mut piece, message, (classify, now)),
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
        for ((domain, class), group) in piece {
            if let Some(state) = self.domains.get(domain) {
                tally.add(Arc::clone(&state.domain), class, &group);
            }
        }
        next
    }

    fn tally_message(
        tally: &mut Tally,
        piece: &mut Piece,
        message: &Message<L>,
        (classify, now): (&Classify, Timestamp),
    ) {
        tally.count_message(message.hold.is_held(), message.size);
        let received_at = Common::received_at(&message.envelope).unwrap_or(now);
        for slot in &message.slots {
            let state = match slot.state {
                State::Waiting(due) => RecipientState::Due(due),
                State::Leased(_) => RecipientState::Leased(now),
                State::Done => continue,
            };
            let last = slot.story.as_ref().and_then(super::story::Story::last);
            let group = piece.entry((slot.domain, classify(last))).or_default();
            group.count(Counted { state, received_at, held: message.hold.is_held() }, now);
        }
    }
}
