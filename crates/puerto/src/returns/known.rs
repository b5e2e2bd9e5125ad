//! What the history knows of messages that went out.

use puerto_spool::MessageId;

use super::{Known, Sent};
use crate::history::fact::Fact;
use crate::history::{Happened, History, Key};

/// Messages with one Message-ID that are looked at: copies, as a rule one.
const COPIES: usize = 8;

impl Known for History {
    fn is_kept(&self) -> bool {
        self.is_on()
    }

    fn with_message_id(&self, message_id: &str) -> Vec<MessageId> {
        self.find(Key::MessageId(message_id), COPIES).unwrap_or_default()
    }

    fn envelope(&self, id: MessageId) -> Option<Sent> {
        let of = |happened: Happened| match happened.fact {
            Fact::Prepared(ready) => Some(Sent { from: ready.from, to: ready.to }),
            _ => None,
        };
        self.of(id).ok()?.into_iter().find_map(of)
    }
}
