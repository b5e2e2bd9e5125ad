//! The backend that keeps everything in memory: for tests and for the simulated
//! Internet. It promises what the others promise, except that nothing outlives it.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::entry::{Entry, Lease, LeaseToken, Settled, Settlement};
use crate::id::{MessageId, Timestamp};
use crate::index::{EncodedEnvelope, Index};
use crate::ticket::Ticket;
use crate::{
    ClaimRequest, Content, Draft, Edit, Health, Hindrance, ListRequest, NewMessage, Spool,
    SpoolError, StoredContent,
};

/// A queue in memory.
pub struct MemorySpool {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    index: Index<Arc<[u8]>>,
    last_id: Option<MessageId>,
    refusing: Option<SpoolError>,
    slow_disk: Option<SlowDisk>,
    closed: bool,
}

impl MemorySpool {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
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

    fn store(&self, message: NewMessage) -> Result<(), SpoolError> {
        let due = message.received_at.min(self.clock.now());
        let mut octets = message.prefix;
        message
            .content
            .reader()?
            .read_to_end(&mut octets)
            .map_err(|error| SpoolError::Io((&error).into()))?;
        let envelope = EncodedEnvelope::new(message.envelope, message.received_at, message.origin)?;
        let mut state = self.state();
        state.check()?;
        if state.index.contains(message.id) {
            return Err(SpoolError::Io(Hindrance::QueuedAlready(message.id)));
        }
        state.index.insert(message.id, envelope, (octets.len() as u64, octets.into()), due);
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

impl Spool for MemorySpool {
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

    fn commit(&self, message: NewMessage) -> Ticket<Result<(), SpoolError>> {
        Ticket::ready(self.store(message))
    }

    fn claim(&self, request: &ClaimRequest) -> Result<Vec<Lease>, SpoolError> {
        let elapsed = self.clock.elapsed();
        Ok(self.state().index.claim(request, elapsed))
    }

    fn renew(&self, token: &LeaseToken, hold: Duration) -> Result<(), SpoolError> {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.state().index.renew(token, hold, now, elapsed)
    }

    fn settle(
        &self,
        settlement: Settlement,
    ) -> Result<(Settled, Ticket<Result<(), SpoolError>>), SpoolError> {
        let (settled, _) = self.state().index.settle(settlement, self.clock.now())?;
        Ok((settled, Ticket::ready(Ok(()))))
    }

    fn content(&self, id: MessageId) -> Result<Box<dyn StoredContent>, SpoolError> {
        let state = self.state();
        let (_, _, octets) = state.index.stored(id).ok_or(SpoolError::NotFound(id))?;
        Ok(Box::new(MemoryContent { octets: Arc::clone(octets), read: 0 }))
    }

    fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>> {
        self.content(id).ok()
    }

    fn get(&self, id: MessageId) -> Result<Entry, SpoolError> {
        self.state().index.get(id)
    }

    fn list(&self, request: &ListRequest) -> Result<Vec<Entry>, SpoolError> {
        self.state().index.list(request)
    }

    fn edit(
        &self,
        id: MessageId,
        edit: Edit,
    ) -> Result<Ticket<Result<(), SpoolError>>, SpoolError> {
        self.state().index.edit(id, edit, self.clock.now())?;
        Ok(Ticket::ready(Ok(())))
    }

    fn next_due(&self) -> Option<Timestamp> {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.state().index.next_due(now, elapsed)
    }

    fn health(&self) -> Health {
        let state = self.state();
        let (messages, recipients, octets) = state.index.totals();
        Health {
            messages,
            recipients,
            octets,
            disk_octets: 0,
            refusing: state.check().err().map(|error| error.to_string()),
            damaged: Vec::new(),
            unreadable: Vec::new(),
        }
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
    use crate::contract;

    #[test]
    fn memory_keeps_the_contract() {
        contract::run(&|clock| Arc::new(MemorySpool::new(clock)));
    }
}
