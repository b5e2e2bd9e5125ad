//! Two archives as one: what all nodes share, and what this machine kept before it did.

use std::collections::BTreeSet;
use std::sync::Arc;

use puerto_spool::{Answer, Archive, MessageId, Note, SpoolError, Ticket, Timestamp};

/// Notes are kept in the first and told from both.
pub(super) struct Joined {
    pub(super) first: Arc<dyn Archive>,
    pub(super) before: Arc<dyn Archive>,
}

/// Of a place: it is one of the first.
const SHARED: u64 = 1 << 63;

impl Joined {
    // Both are asked at once.
    fn both<T: Send + 'static, U: Send + 'static>(
        &self,
        ask: impl Fn(&dyn Archive) -> Answer<T>,
        join: impl FnOnce(T, T) -> U + Send + 'static,
    ) -> Answer<U> {
        let (first, before) = (ask(&*self.first), ask(&*self.before));
        Ticket::of(async move { Ok::<U, SpoolError>(join(first.await?, before.await?)) })
    }
}

impl Archive for Joined {
    fn keep(&self, notes: Vec<Note>) -> Answer<()> {
        self.first.keep(notes)
    }

    fn notes(&self, id: MessageId) -> Answer<Vec<Note>> {
        self.both(|archive| archive.notes(id), |first, before| [before, first].concat())
    }

    fn under(&self, key: u64, limit: usize) -> Answer<Vec<MessageId>> {
        let join = move |first: Vec<MessageId>, before: Vec<MessageId>| {
            let all: BTreeSet<MessageId> = first.into_iter().chain(before).collect();
            all.into_iter().rev().take(limit).collect()
        };
        self.both(move |archive| archive.under(key, limit), join)
    }

    fn behind(&self, place: u64) -> Answer<Option<(Vec<Note>, u64)>> {
        let first = Arc::clone(&self.first);
        let before = (place & SHARED == 0).then(|| self.before.behind(place));
        Ticket::of(async move {
            if let Some(before) = before
                && let Some(some) = before.await?
            {
                return Ok(Some(some));
            }
            // A place in the files is none of the others'.
            let place = if place & SHARED == 0 { 0 } else { place & !SHARED };
            let some = first.behind(place).await?;
            Ok(some.map(|(notes, place)| (notes, place | SHARED)))
        })
    }

    fn newest(&self, limit: usize) -> Answer<Vec<Note>> {
        let join = move |first: Vec<Note>, before: Vec<Note>| {
            first.into_iter().chain(before).take(limit).collect()
        };
        self.both(move |archive| archive.newest(limit), join)
    }

    fn purge(&self, before: Timestamp, octets: u64) -> Answer<()> {
        self.both(move |archive| archive.purge(before, octets), |(), ()| ())
    }

    fn clear(&self) -> Answer<Vec<String>> {
        self.both(|archive| archive.clear(), |first, before| [before, first].concat())
    }

    fn forget(&self, ids: &[MessageId]) -> Answer<u64> {
        // A message may be in both: it is one all the same.
        self.both(|archive| archive.forget(ids), u64::max)
    }

    fn since(&self) -> Answer<Option<Timestamp>> {
        let join = |first: Option<Timestamp>, before| first.into_iter().chain(before).min();
        self.both(|archive| archive.since(), join)
    }
}
