//! The backend that keeps everything in memory: for tests and for the simulated
//! Internet. It promises what the others promise, except that nothing outlives it.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::entry::{Entry, LeaseToken, Settled, Settlement};
use crate::faces::{
    Answer, ClaimRequest, Claimed, Count, Desk, Edit, Health, Node, Page, PageRequest, Renewed,
    Store, Work, is_new,
};
use crate::filter::Filter;
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index, Moment};
use crate::orders::Orders;
use crate::tally::{Tally, TallyRequest};
use crate::ticket::Ticket;
use crate::{Content, Draft, Hindrance, NewMessage, SpoolError, StoredContent};

/// A queue in memory.
pub struct MemorySpool {
    clock: Arc<dyn Clock>,
    since: Timestamp,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    index: Index<Arc<[u8]>>,
    last_id: Option<MessageId>,
    refusing: Option<SpoolError>,
    slow_disk: Option<SlowDisk>,
    orders: Orders,
    closed: bool,
}

impl MemorySpool {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { since: clock.now(), clock, state: Mutex::default() }
    }

    /// All messages as they stand.
    pub fn entries(&self) -> Vec<Entry> {
        let all = PageRequest { limit: usize::MAX, ..PageRequest::default() };
        self.page(&all).wait().map_or_else(|_| Vec::new(), |page| page.entries)
    }

    /// From now on new mail is refused with this error, as a full or failing disk
    /// makes a backend do; `None` ends it.
    pub fn refuse_with(&self, error: Option<SpoolError>) {
        self.state().refusing = error;
    }

    /// From now on new drafts wait for this wherever those of another backend would wait
    /// for the disk.
    pub fn wait_for(&self, disk: SlowDisk) {
        self.state().slow_disk = Some(disk);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, message: NewMessage, states: Option<&[u8]>) -> Result<(), SpoolError> {
        let due = message.received_at.min(self.clock.now());
        let mut octets = message.prefix;
        message
            .content
            .reader()?
            .read_to_end(&mut octets)
            .map_err(|error| SpoolError::Io((&error).into()))?;
        let NewMessage { envelope, received_at, origin, held_for, .. } = message;
        let envelope = EncodedEnvelope::new(envelope, received_at, origin, held_for)?;
        let mut state = self.state();
        state.check()?;
        let id = message.id;
        if state.index.contains(id) {
            return Err(SpoolError::Io(Hindrance::QueuedAlready(id)));
        }
        state.index.insert(id, envelope, (octets.len() as u64, octets.into()), due);
        if let Some(states) = states {
            // They are of this envelope.
            let _ = state.index.apply(id, states);
        }
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<(), SpoolError> {
        if self.closed {
            return Err(SpoolError::ReadOnly(Hindrance::Closed));
        }
        self.refusing.clone().map_or(Ok(()), Err)
    }
}

impl Store for MemorySpool {
    fn new_id(&self) -> MessageId {
        let mut state = self.state();
        let id = MessageId::next(state.last_id, self.clock.now());
        state.last_id = Some(id);
        id
    }

    fn draft(&self) -> Result<Box<dyn Draft>, SpoolError> {
        let state = self.state();
        state.check()?;
        let disk = state.slow_disk.clone();
        Ok(Box::new(MemoryDraft { octets: Vec::new(), spilled: 0, disk }))
    }

    fn commit(&self, message: NewMessage) -> Answer<()> {
        Ticket::ready(self.store(message, None))
    }

    fn content(&self, id: MessageId) -> Answer<Box<dyn StoredContent>> {
        Ticket::ready(self.content_at_once(id).ok_or(SpoolError::NotFound(id)))
    }

    fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>> {
        let octets = Arc::clone(self.state().index.stored(id)?.2);
        Some(Box::new(MemoryContent { octets, read: 0 }))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

impl Work for MemorySpool {
    fn claim(&self, request: &ClaimRequest) -> Answer<Claimed> {
        Ticket::ready(Ok(self.state().index.claim(request, Moment::of(&*self.clock))))
    }

    fn renew(&self, leases: &[LeaseToken], hold: Duration) -> Answer<Renewed> {
        Ticket::ready(Ok(self.state().index.renew(leases, hold, Moment::of(&*self.clock))))
    }

    fn edits(&self) -> u64 {
        self.state().index.edits()
    }

    fn settle(&self, settlements: Vec<Settlement>) -> Ticket<Vec<Result<Settled, SpoolError>>> {
        let now = self.clock.now();
        let index = &mut self.state().index;
        let answers = settlements.into_iter().map(|settlement| {
            let remaining = index.settle(settlement, now)?.remaining;
            Ok(Settled { remaining, durable: Ticket::ready(Ok(())) })
        });
        Ticket::ready(answers.collect())
    }

    fn note_delay(&self, id: MessageId) -> Answer<bool> {
        let noted = self.state().index.note_delay(id, true, self.clock.now());
        Ticket::ready(noted.map(|changed| changed.is_some()))
    }

    fn forget_delay(&self, id: MessageId) -> Answer<()> {
        let forgotten = self.state().index.note_delay(id, false, self.clock.now());
        Ticket::ready(forgotten.map(drop))
    }

    fn standing(&self, id: MessageId) -> Answer<Entry> {
        Desk::get(self, id)
    }

    fn retry_all(&self) -> Answer<u64> {
        let (retried, _) = self.state().index.retry_some(None, usize::MAX, self.clock.now());
        Ticket::ready(Ok(retried.len() as u64))
    }

    fn changed(&self) -> Ticket<()> {
        Ticket::never()
    }

    fn living(&self) -> u32 {
        1
    }
}

impl Desk for MemorySpool {
    fn get(&self, id: MessageId) -> Answer<Entry> {
        Ticket::ready(self.state().index.get(id))
    }

    fn page(&self, request: &PageRequest) -> Answer<Page> {
        let selector = request.filter.compiled();
        Ticket::ready(self.state().index.page(request.after, request.limit, &selector))
    }

    fn count(&self, filter: &Filter) -> Answer<Count> {
        let selector = filter.compiled();
        let all = self.state().index.page(None, usize::MAX, &selector);
        Ticket::ready(all.map(|page| Count::of(&page.entries)))
    }

    fn tally(&self, request: &TallyRequest) -> Answer<Tally> {
        let (mut tally, now) = (Tally::default(), self.clock.now());
        let selector = request.filter.compiled();
        let asked = (Some(&selector).filter(|_| !request.filter.is_empty()), &request.classify);
        self.state().index.tally_some(&mut tally, (None, usize::MAX), asked, now);
        Ticket::ready(Ok(tally))
    }

    fn orders(&self) -> Answer<Vec<(u64, String)>> {
        Ticket::ready(Ok(self.state().orders.list()))
    }

    fn give_order(&self, order: String) -> Answer<u64> {
        Ticket::ready(Ok(self.state().orders.give(order)))
    }

    fn take_back_order(&self, number: u64) -> Answer<bool> {
        Ticket::ready(Ok(self.state().orders.take_back(number)))
    }

    fn edit(&self, ids: &[MessageId], edit: Edit) -> Ticket<Vec<Result<(), SpoolError>>> {
        let now = self.clock.now();
        let index = &mut self.state().index;
        Ticket::ready(ids.iter().map(|id| index.edit(*id, edit, now).map(drop)).collect())
    }

    fn adopt(&self, entry: &Entry, content: Content) -> Answer<bool> {
        let states = entry.states(self.clock.now());
        Ticket::ready(is_new(self.store(entry.as_new(content), Some(&states))))
    }

    fn health(&self) -> Answer<Health> {
        let state = self.state();
        let (messages, recipients, octets) = state.index.totals();
        Ticket::ready(Ok(Health {
            messages,
            recipients,
            octets,
            disk_octets: 0,
            refusing: state.check().err(),
            damaged: Vec::new(),
            unreadable: Vec::new(),
            held_back: None,
        }))
    }

    fn nodes(&self) -> Answer<Vec<Node>> {
        let leases = self.state().index.leases();
        Ticket::ready(Ok(vec![Node::alone(self.since, self.clock.now(), leases)]))
    }

    fn close(&self) {
        self.state().closed = true;
    }
}

/// A disk that a test makes slow: called wherever a draft would wait for one.
pub type SlowDisk = Arc<dyn Fn() + Send + Sync>;

/// Octets that a draft holds before it waits for the disk that it is given.
const SPILL_ABOVE: usize = 64 * 1024;

/// Content that arrives in memory and stays there.
struct MemoryDraft {
    octets: Vec<u8>,
    /// Octets that count as being on the disk.
    spilled: usize,
    disk: Option<SlowDisk>,
}

impl Draft for MemoryDraft {
    fn hold(&mut self, octets: &[u8]) -> bool {
        self.octets.extend_from_slice(octets);
        self.disk.is_some() && self.octets.len() - self.spilled > SPILL_ABOVE
    }

    fn spill(&mut self) -> Result<(), SpoolError> {
        self.spilled = self.octets.len();
        if let Some(disk) = &self.disk {
            disk();
        }
        Ok(())
    }

    fn is_on_disk(&self) -> bool {
        self.spilled > 0
    }

    fn len(&self) -> u64 {
        self.octets.len() as u64
    }

    fn finish(mut self: Box<Self>) -> Result<Content, SpoolError> {
        if self.is_on_disk() {
            self.spill()?;
        }
        Ok(Content::Memory(std::mem::take(&mut self.octets)))
    }
}

impl Drop for MemoryDraft {
    fn drop(&mut self) {
        if let Some(disk) = self.disk.as_ref().filter(|_| self.spilled > 0) {
            disk();
        }
    }
}

#[derive(Debug)]
struct MemoryContent {
    octets: Arc<[u8]>,
    read: usize,
}

impl Read for MemoryContent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut rest = self.octets.get(self.read..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl StoredContent for MemoryContent {
    fn len(&self) -> u64 {
        self.octets.len() as u64
    }

    fn in_memory(&self) -> Option<&[u8]> {
        Some(&self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::contract;

    #[test]
    fn memory_keeps_the_contract() {
        contract::run(&|| {
            let clock = Arc::new(ManualClock::new(contract::START));
            contract::Subject { store: Arc::new(MemorySpool::new(clock.clone())), time: clock }
        });
    }
}
