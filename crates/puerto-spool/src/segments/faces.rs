//! The three faces of the log on disk. The index answers all but what waits for the disk,
//! so nearly every answer is there at once.

use std::future::ready;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::SegmentSpool;
use super::content::{SegmentContent, SegmentDraft, SpilledReader};
use super::core::{Core, Location, lock};
use super::payload::Payload;
use crate::clock::Clock;
use crate::entry::{Entry, LeaseToken, Settled, Settlement};
use crate::faces::{
    Answer, ClaimRequest, Claimed, Count, Desk, Edit, Health, Node, Page, PageRequest, Renewed,
    Store, Work, is_new,
};
use crate::filter::Filter;
use crate::id::MessageId;
use crate::index::Moment;
use crate::orders::Orders;
use crate::tally::{Tally, TallyRequest};
use crate::ticket::Ticket;
use crate::{Content, Draft, NewMessage, SpoolError, StoredContent};

/// Messages that are looked at while the index is locked, where all of them are meant.
const PIECE: usize = 200;
/// Messages that are counted meanwhile: it takes less than a millisecond.
const TALLY_PIECE: usize = 1000;

impl Store for SegmentSpool {
    fn new_id(&self) -> MessageId {
        let mut last = lock(&self.core.last_id);
        *last = MessageId::next(Some(*last), self.core.clock.now());
        *last
    }

    fn draft(&self) -> Result<Box<dyn Draft>, SpoolError> {
        if let Some(refusing) = self.core.refusing() {
            self.step();
            return Err(refusing);
        }
        let files = Arc::clone(&self.core.content);
        Ok(Box::new(SegmentDraft::new(files, self.core.options.spill_above)))
    }

    fn commit(&self, message: NewMessage) -> Answer<()> {
        self.store(message, None)
    }

    fn content(&self, id: MessageId) -> Answer<Box<dyn StoredContent>> {
        Ticket::ready(self.read(id))
    }

    fn content_at_once(&self, id: MessageId) -> Option<Box<dyn StoredContent>> {
        let location = lock(&self.core.index).stored(id)?.2.clone();
        if location.spilled.is_some() {
            return None;
        }
        let cached = lock(&self.core.cache).get(id);
        let (payload, from) = match cached {
            Some(cached) => cached,
            None => {
                let payload = self.core.read_record_at_once(id, location.placed)?;
                let from = payload.len() - Payload::take(&payload).ok()?.content.len();
                (Arc::new(payload), from)
            }
        };
        Some(Box::new(SegmentContent::new(payload, from, None)))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.core.clock)
    }
}

impl Work for SegmentSpool {
    fn claim(&self, request: &ClaimRequest) -> Answer<Claimed> {
        let at = Moment::of(&*self.core.clock);
        Ticket::ready(Ok(lock(&self.core.index).claim(request, at)))
    }

    fn renew(&self, leases: &[LeaseToken], hold: Duration) -> Answer<Renewed> {
        let at = Moment::of(&*self.core.clock);
        Ticket::ready(Ok(lock(&self.core.index).renew(leases, hold, at)))
    }

    fn edits(&self) -> u64 {
        lock(&self.core.index).edits()
    }

    fn settle(&self, settlements: Vec<Settlement>) -> Ticket<Vec<Result<Settled, SpoolError>>> {
        let now = self.core.clock.now();
        let mut index = lock(&self.core.index);
        let answers = settlements.into_iter().map(|settlement| {
            let id = settlement.token.id;
            let changed = index.settle(settlement, now)?;
            Ok(Settled { remaining: changed.remaining, durable: self.core.log_change(id, changed) })
        });
        let answers = answers.collect();
        drop(index);
        self.step();
        Ticket::ready(answers)
    }

    fn note_delay(&self, id: MessageId) -> Answer<bool> {
        Ticket::ready(self.set_delay_noted(id, true))
    }

    fn forget_delay(&self, id: MessageId) -> Answer<()> {
        Ticket::ready(self.set_delay_noted(id, false).map(drop))
    }

    fn standing(&self, id: MessageId) -> Answer<Entry> {
        Desk::get(self, id)
    }

    fn retry_all(&self) -> Answer<u64> {
        if !self.core.options.threads {
            let retried = self.core.retry_all();
            self.step();
            return Ticket::ready(Ok(retried));
        }
        let (done, ticket) = Ticket::new();
        let core = Arc::clone(&self.core);
        let retry = move || done.complete(Ok(core.retry_all()));
        match std::thread::Builder::new().name("spool-retry".to_owned()).spawn(retry) {
            Ok(_) => ticket,
            Err(error) => Ticket::ready(Err(SpoolError::from(&error))),
        }
    }

    fn changed(&self) -> Ticket<()> {
        Ticket::never()
    }

    fn living(&self) -> u32 {
        1
    }
}

impl Desk for SegmentSpool {
    fn get(&self, id: MessageId) -> Answer<Entry> {
        Ticket::ready(lock(&self.core.index).get(id))
    }

    fn page(&self, request: &PageRequest) -> Answer<Page> {
        let selector = request.filter.compiled();
        Ticket::ready(lock(&self.core.index).page(request.after, request.limit, &selector))
    }

    fn count(&self, filter: &Filter) -> Answer<Count> {
        let core = Arc::clone(&self.core);
        if filter.is_empty() {
            let (messages, recipients, _) = lock(&core.index).totals();
            return Ticket::ready(Ok(Count { messages, recipients }));
        }
        let selector = filter.compiled();
        let page = move |after| ready(lock(&core.index).page(after, PIECE, &selector));
        Ticket::of(Count::of_pages(page))
    }

    fn tally(&self, request: &TallyRequest) -> Answer<Tally> {
        let (mut tally, now) = (Tally::default(), self.core.clock.now());
        let selector = request.filter.compiled();
        let asked = (Some(&selector).filter(|_| !request.filter.is_empty()), &request.classify);
        let mut after = None;
        loop {
            let index = lock(&self.core.index);
            after = index.tally_some(&mut tally, (after, TALLY_PIECE), asked, now);
            drop(index);
            if after.is_none() {
                return Ticket::ready(Ok(tally));
            }
        }
    }

    fn orders(&self) -> Answer<Vec<(u64, String)>> {
        Ticket::ready(Ok(lock(&self.core.orders).list()))
    }

    fn give_order(&self, order: String) -> Answer<u64> {
        Ticket::ready(self.change_orders(|orders| orders.give(order)))
    }

    fn take_back_order(&self, number: u64) -> Answer<bool> {
        Ticket::ready(self.change_orders(|orders| orders.take_back(number)))
    }

    fn edit(&self, ids: &[MessageId], edit: Edit) -> Ticket<Vec<Result<(), SpoolError>>> {
        let now = self.core.clock.now();
        let logged: Vec<_> = ids
            .iter()
            .map(|id| {
                let mut index = lock(&self.core.index);
                Ok(self.core.log_change(*id, index.edit(*id, edit, now)?))
            })
            .collect();
        self.step();
        Ticket::of(async move {
            let mut answers = Vec::with_capacity(logged.len());
            for ticket in logged {
                answers.push(match ticket {
                    Ok(ticket) => ticket.await,
                    Err(error) => Err(error),
                });
            }
            answers
        })
    }

    fn adopt(&self, entry: &Entry, content: Content) -> Answer<bool> {
        let states = entry.states(self.core.clock.now());
        let stored = self.store(entry.as_new(content), Some(states));
        Ticket::of(async move { is_new(stored.await) })
    }

    fn health(&self) -> Answer<Health> {
        let (messages, recipients, octets) = lock(&self.core.index).totals();
        Ticket::ready(Ok(Health {
            messages,
            recipients,
            octets,
            disk_octets: self.core.disk_octets(),
            refusing: self.core.refusing(),
            damaged: lock(&self.core.trouble).notes.clone(),
            unreadable: self.core.unreadable(),
            held_back: None,
        }))
    }

    fn nodes(&self) -> Answer<Vec<Node>> {
        let leases = lock(&self.core.index).leases();
        Ticket::ready(Ok(vec![Node::alone(self.since, self.core.clock.now(), leases)]))
    }

    fn close(&self) {
        if std::mem::replace(&mut lock(&self.core.queue).closing, true) {
            return;
        }
        *lock(&self.spilled) = None;
        self.core.upkeep_woken.notify_all();
        let mut threads = std::mem::take(&mut *lock(&self.threads));
        let committer = threads.pop();
        // A thread that panicked has said so on its own.
        for thread in threads {
            let _ = thread.join();
        }
        // Upkeep may have waited for the committer until now.
        lock(&self.core.queue).ending = true;
        self.core.woken.notify_all();
        let _ = committer.map(JoinHandle::join);
        // Nothing is put into the queue from here on, and what came last is written.
        lock(&self.core.queue).closed = true;
        self.core.drain();
        self.checkpoint();
    }
}

impl Core {
    /// Makes all due that waits, and lets others to the index in between.
    fn retry_all(&self) -> u64 {
        let (mut after, mut count) = (None, 0);
        loop {
            let now = self.clock.now();
            let mut index = lock(&self.index);
            let (retried, next) = index.retry_some(after, PIECE, now);
            count += retried.len() as u64;
            for (id, changed) in retried {
                // Nobody waits for it: a retry that is lost costs no message.
                drop(self.log_change(id, changed));
            }
            drop(index);
            if next.is_none() {
                return count;
            }
            after = next;
        }
    }
}

impl SegmentSpool {
    fn store(&self, message: NewMessage, adopted: Option<Vec<u8>>) -> Answer<()> {
        match self.prepare(message, adopted) {
            Ok(mut pending) => {
                let (done, ticket) = Ticket::new();
                pending.done = Some(done);
                self.submit(pending);
                ticket
            }
            Err(error) => {
                self.step();
                Ticket::ready(Err(error))
            }
        }
    }

    // What is not durable is not in force.
    fn change_orders<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> Result<T, SpoolError> {
        let mut orders = lock(&self.core.orders);
        let mut changed = orders.clone();
        let answer = change(&mut changed);
        let written = changed.write(&*self.core.disk, &self.core.directory);
        written.map_err(|error| SpoolError::from(&error))?;
        *orders = changed;
        Ok(answer)
    }

    // Says whether that is new.
    fn set_delay_noted(&self, id: MessageId, noted: bool) -> Result<bool, SpoolError> {
        let now = self.core.clock.now();
        let mut index = lock(&self.core.index);
        let changed = index.note_delay(id, noted, now)?;
        let is_new = changed.is_some();
        if let Some(changed) = changed {
            // A second notice after a power cut is better than to wait for the disk.
            drop(self.core.log_change(id, changed));
        }
        drop(index);
        self.step();
        Ok(is_new)
    }

    fn read(&self, id: MessageId) -> Result<Box<dyn StoredContent>, SpoolError> {
        // A message may be copied elsewhere, and its segment recycled, between the
        // look at the index and the read.
        let mut result = Err(SpoolError::NotFound(id));
        let mut seen = None;
        loop {
            let index = lock(&self.core.index);
            let Some((_, _, location)) = index.stored(id) else {
                return Err(SpoolError::NotFound(id));
            };
            let location = location.clone();
            drop(index);
            if seen.as_ref() == Some(&location) {
                return result;
            }
            result = self.read_content(id, &location);
            if result.is_ok() {
                return result;
            }
            seen = Some(location);
        }
    }

    fn read_content(
        &self,
        id: MessageId,
        location: &Location,
    ) -> Result<Box<dyn StoredContent>, SpoolError> {
        let cached = lock(&self.core.cache).get(id);
        let (payload, from) = match cached {
            Some(cached) => cached,
            None => {
                let payload = self.core.read_record(id, location).inspect_err(|error| {
                    if matches!(error, SpoolError::Damaged { .. }) {
                        lock(&self.core.log).mark_damaged(location.placed.generation);
                        self.core.note(error.to_string());
                    }
                })?;
                let content = Payload::take(&payload)
                    .map_err(|error| SpoolError::Damaged { id, what: error.to_string() })?
                    .content
                    .len();
                let from = payload.len() - content;
                (Arc::new(payload), from)
            }
        };
        let rest = match location.spilled.as_deref() {
            None => None,
            Some(at) => {
                let file =
                    self.core.content.open(at.number).map_err(|error| SpoolError::from(&error))?;
                Some(SpilledReader::new(file, *at))
            }
        };
        Ok(Box::new(SegmentContent::new(payload, from, rest)))
    }
}
