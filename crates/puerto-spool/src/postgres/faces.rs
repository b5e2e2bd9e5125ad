//! The three faces of the queue in PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use super::core::Promise;
use super::notes::Notes;
use super::{PostgresStore, closed, lock};
use crate::archive::Archive;
use crate::clock::Clock;
use crate::entry::{Entry, LeaseToken, Settled, Settlement};
use crate::faces::{
    Answer, ClaimRequest, Claimed, Count, Desk, Edit, Health, Node, Page, PageRequest, Renewed,
    Store, Work,
};
use crate::filter::Filter;
use crate::id::MessageId;
use crate::segments::SegmentDraft;
use crate::tally::{Tally, TallyRequest};
use crate::ticket::Ticket;
use crate::{Content, Draft, NewMessage, SpoolError, StoredContent};

impl Store for PostgresStore {
    fn new_id(&self) -> MessageId {
        self.core.next_id()
    }

    fn draft(&self) -> Result<Box<dyn Draft>, SpoolError> {
        if let Some(refusing) = self.core.refusing() {
            return Err(refusing);
        }
        let above = usize::try_from(super::accept::LARGE).unwrap_or(usize::MAX);
        Ok(Box::new(SegmentDraft::new(Arc::clone(&self.core.drafts), above)))
    }

    fn commit(&self, message: NewMessage) -> Answer<()> {
        if let Some(refusing) = self.core.refusing() {
            return Ticket::ready(Err(refusing));
        }
        let (promise, answer) = Promise::new();
        self.core.prepare(message, promise);
        answer
    }

    fn content(&self, id: MessageId) -> Answer<Box<dyn StoredContent>> {
        self.core.content(id)
    }

    fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>> {
        self.core.content_at_once(id)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.core.clock) as Arc<dyn Clock>
    }
}

impl Work for PostgresStore {
    fn claim(&self, request: &ClaimRequest) -> Answer<Claimed> {
        self.core.claim(request)
    }

    fn renew(&self, leases: &[LeaseToken], hold: Duration) -> Answer<Renewed> {
        // Others may have what this node had. Whatever it has still is not told apart from
        // that until it is heard of again.
        let renewed = match self.core.has_lapsed() {
            true => Renewed { lost: leases.to_vec(), held: Vec::new() },
            false => lock(&self.core.hand).renew(leases, hold, &*self.core.clock),
        };
        Ticket::ready(Ok(renewed))
    }

    fn edits(&self) -> u64 {
        lock(&self.core.hand).edits
    }

    fn settle(&self, settlements: Vec<Settlement>) -> Ticket<Vec<Result<Settled, SpoolError>>> {
        self.core.settle(settlements)
    }

    fn note_delay(&self, id: MessageId) -> Answer<bool> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.note_delay(id, true).await })
    }

    fn forget_delay(&self, id: MessageId) -> Answer<()> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.note_delay(id, false).await.map(drop) })
    }

    fn standing(&self, id: MessageId) -> Answer<Entry> {
        Desk::get(self, id)
    }

    fn retry_all(&self) -> Answer<u64> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.retry_all().await })
    }

    fn changed(&self) -> Ticket<()> {
        let (completer, ticket) = Ticket::new();
        lock(&self.core.hand).wait(completer);
        ticket
    }

    fn living(&self) -> u32 {
        self.core.living()
    }
}

impl Desk for PostgresStore {
    fn get(&self, id: MessageId) -> Answer<Entry> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.get(id).await })
    }

    fn page(&self, request: &PageRequest) -> Answer<Page> {
        let (core, request) = (Arc::clone(&self.core), request.clone());
        self.core.ask(async move { core.page(request).await })
    }

    fn count(&self, filter: &Filter) -> Answer<Count> {
        let (core, filter) = (Arc::clone(&self.core), filter.clone());
        self.core.ask(async move { core.count(filter).await })
    }

    fn tally(&self, request: &TallyRequest) -> Answer<Tally> {
        self.core.tally(request.clone())
    }

    fn orders(&self) -> Answer<Vec<(u64, String)>> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.orders().await })
    }

    fn give_order(&self, order: String) -> Answer<u64> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.give_order(&order).await })
    }

    fn take_back_order(&self, number: u64) -> Answer<bool> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.take_back_order(number).await })
    }

    fn edit(&self, ids: &[MessageId], edit: Edit) -> Ticket<Vec<Result<(), SpoolError>>> {
        let (core, ids) = (Arc::clone(&self.core), ids.to_vec());
        let count = ids.len();
        let edited = self.core.ask(async move { Ok(core.edit(&ids, edit).await) });
        Ticket::of(async move {
            edited.await.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
        })
    }

    fn adopt(&self, entry: &Entry, content: Content) -> Answer<bool> {
        let (promise, answer) = Promise::new();
        self.core.prepare_adoption(entry, content, promise);
        answer
    }

    fn health(&self) -> Answer<Health> {
        if lock(&self.core.hand).is_closed {
            let refusing = Some(closed());
            return Ticket::ready(Ok(Health { refusing, ..Health::default() }));
        }
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.health().await })
    }

    fn nodes(&self) -> Answer<Vec<Node>> {
        let core = Arc::clone(&self.core);
        self.core.ask(async move { core.nodes().await })
    }

    fn archive(&self) -> Option<Arc<dyn Archive>> {
        Some(Arc::new(Notes(Arc::clone(&self.core))))
    }

    fn close(&self) {
        lock(&self.core.hand).is_closed = true;
        self.core.close();
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.close();
    }
}
