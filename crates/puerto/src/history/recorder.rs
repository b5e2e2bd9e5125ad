//! From events to notes: what happens is written into a buffer, and a thread makes notes of
//! what has gathered there and has them kept.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use foldhash::HashMap;
use puerto_spool::clock::Clock;
use puerto_spool::{Archive, MessageId, Note, SpoolError, Timestamp};

use super::GATHERING;
use super::fact::{self, Keeper};
use crate::config;
use crate::telemetry::{Event, MailLog};

/// Octets that may wait: what does not fit is not kept.
const BOUND: usize = 8 << 20;
/// Octets at which the thread stops gathering.
const ENOUGH: usize = 512 << 10;
/// How long it waits where it could not keep anything.
const AGAIN: Duration = Duration::from_secs(2);
/// How often what is too old is looked for.
const PURGING: Duration = Duration::from_secs(60);
/// How long nothing may have failed before that is told: a database that hangs may take a note
/// between two that it does not.
const CALM: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Recorder {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
    /// Something was done.
    done: Condvar,
    on: AtomicBool,
    /// Milliseconds that are kept, and octets.
    keep: AtomicU64,
    size: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Octets that are tried to be kept now.
    tried: usize,
    /// How often that failed so that it may be tried again.
    failed: u64,
    /// Octets that were ever handed over, and of these how many are done with.
    handed: u64,
    done: u64,
    /// Facts that found no room.
    lost: u64,
    busy: bool,
    hurry: bool,
    purge: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, history: &config::History) {
        let millis = u64::try_from(history.keep.as_millis()).unwrap_or(u64::MAX);
        self.keep.store(millis, Ordering::Relaxed);
        self.size.store(history.size, Ordering::Relaxed);
        self.on.store(millis > 0 && history.size > 0, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Starts the thread.
    pub(super) fn start(
        archive: Arc<dyn Archive>,
        node: Option<String>,
        history: &config::History,
        clock: Arc<dyn Clock>,
        log: &MailLog,
    ) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            on: AtomicBool::new(false),
            keep: AtomicU64::new(0),
            size: AtomicU64::new(0),
        });
        shared.set(history);
        let writer = Writer {
            shared: Arc::clone(&shared),
            archive,
            node,
            clock: Arc::clone(&clock),
            log: log.clone(),
            outage: None,
            lost: 0,
        };
        let thread =
            std::thread::Builder::new().name("history".to_owned()).spawn(move || writer.run())?;
        Ok(Arc::new(Self { shared, clock, thread: Mutex::new(Some(thread)) }))
    }

    /// See [`super::History::reload`].
    pub(super) fn reload(&self, history: &config::History) {
        self.shared.set(history);
        self.shared.lock().purge = true;
        self.shared.work.notify_one();
    }

    pub(super) fn is_on(&self) -> bool {
        self.shared.on.load(Ordering::Relaxed)
    }

    /// See [`super::History::hear`].
    pub(super) fn hear(&self, event: &Event<'_>) {
        if !self.is_on() {
            return;
        }
        ENTRIES.with_borrow_mut(|entries| {
            entries.clear();
            fact::keep(entries, self.clock.now(), event);
            if !entries.octets.is_empty() {
                self.push(entries);
            }
        });
    }

    fn push(&self, entries: &mut Entries) {
        entries.end();
        let mut state = self.shared.lock();
        let before = state.waiting.len();
        if before + state.tried + entries.octets.len() > BOUND {
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(&entries.octets);
        state.handed += entries.octets.len() as u64;
        let is_first = before == 0 && !state.busy;
        let is_enough = before < ENOUGH && state.waiting.len() >= ENOUGH;
        drop(state);
        if is_first || is_enough {
            self.shared.work.notify_one();
        }
    }

    /// Waits until all that was heard before is kept, or cannot be now.
    pub(super) fn flush(&self) {
        let mut state = self.shared.lock();
        let (handed, failed) = (state.handed, state.failed);
        state.hurry = true;
        self.shared.work.notify_one();
        while state.done < handed && state.failed == failed && !state.closed {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Octets that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let state = self.shared.lock();
        state.waiting.len() + state.tried
    }

    /// See [`super::History::close`].
    pub(super) fn close(&self) {
        self.flush();
        self.shared.lock().closed = true;
        self.shared.on.store(false, Ordering::Relaxed);
        self.shared.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot have panicked in a way that matters any more.
            let _ = thread.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

thread_local! {
    static ENTRIES: RefCell<Entries> = const { RefCell::new(Entries::new()) };
}

/// What is handed over of one event: for each message it is about, the id, how many keys and
/// how many octets there are, then these.
struct Entries {
    octets: Vec<u8>,
    start: usize,
    keys: u32,
    /// Where the facts begin, once they have.
    facts: Option<usize>,
}

/// Octets before an entry's keys.
const HEAD: usize = 16;

impl Entries {
    const fn new() -> Self {
        Self { octets: Vec::new(), start: 0, keys: 0, facts: None }
    }

    fn clear(&mut self) {
        self.octets.clear();
        (self.start, self.keys, self.facts) = (0, 0, None);
    }

    fn end(&mut self) {
        let Some(facts) = self.facts.take() else { return };
        let length = u32::try_from(self.octets.len() - facts).unwrap_or(u32::MAX);
        let (start, keys) = (self.start, self.keys);
        if let Some(head) = self.octets.get_mut(start + 8..start + HEAD) {
            let (first, second) = head.split_at_mut(4);
            first.copy_from_slice(&keys.to_le_bytes());
            second.copy_from_slice(&length.to_le_bytes());
        }
    }
}

impl Keeper for Entries {
    fn begin(&mut self, id: MessageId) {
        self.end();
        (self.start, self.keys) = (self.octets.len(), 0);
        self.octets.extend_from_slice(&id.as_u64().to_le_bytes());
        self.octets.extend_from_slice(&[0; 8]);
    }

    fn key(&mut self, key: u64) {
        self.keys += 1;
        self.octets.extend_from_slice(&key.to_le_bytes());
    }

    fn octets(&mut self) -> &mut Vec<u8> {
        if self.facts.is_none() {
            self.facts = Some(self.octets.len());
        }
        &mut self.octets
    }
}

/// The entries of a buffer, one after the other.
struct Gathered<'a>(&'a [u8]);

impl<'a> Iterator for Gathered<'a> {
    type Item = (MessageId, &'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, rest) = self.0.split_first_chunk::<8>()?;
        let (keys, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let size = |octets: &[u8; 4]| usize::try_from(u32::from_le_bytes(*octets)).ok();
        let (keys, rest) = rest.split_at_checked(size(keys)?.checked_mul(8)?)?;
        let (facts, rest) = rest.split_at_checked(size(length)?)?;
        self.0 = rest;
        Some((MessageId::from_u64(u64::from_le_bytes(*id)), keys, facts))
    }
}

/// One note of all that is about one message.
fn notes(gathered: &[u8], at: Timestamp, node: Option<&str>) -> Vec<Note> {
    let mut places: HashMap<MessageId, usize> = HashMap::default();
    let mut notes: Vec<Note> = Vec::new();
    for (id, keys, facts) in Gathered(gathered) {
        let place = *places.entry(id).or_insert_with(|| {
            let mut octets = Vec::with_capacity(512);
            if let Some(node) = node {
                fact::say_node(&mut octets, at, node);
            }
            notes.push(Note { id, at, keys: Vec::with_capacity(4), octets });
            notes.len() - 1
        });
        let Some(note) = notes.get_mut(place) else { continue };
        for key in keys.chunks_exact(8).filter_map(|key| key.first_chunk::<8>()) {
            let key = u64::from_le_bytes(*key);
            // Few keys are many's: a message with thousands of recipients has each once.
            if note.keys.len() >= 64 || !note.keys.contains(&key) {
                note.keys.push(key);
            }
        }
        note.octets.extend_from_slice(facts);
    }
    notes
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    archive: Arc<dyn Archive>,
    node: Option<String>,
    clock: Arc<dyn Clock>,
    log: MailLog,
    /// What the log has told of, and nothing since of its end.
    outage: Option<Outage>,
    /// Facts that were not kept since the log has told of it.
    lost: u64,
}

/// A time in which not everything could be kept.
struct Outage {
    /// When something failed last.
    last: Duration,
    /// Whether that was the last that was tried.
    goes_on: bool,
}

impl Writer {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut batch = Vec::new();
        let mut purged: Option<Duration> = None;
        let mut state = shared.lock();
        loop {
            let now = self.clock.elapsed();
            let is_old = purged.is_none_or(|purged| now.saturating_sub(purged) >= PURGING);
            let (asked, closed) = (std::mem::take(&mut state.purge), state.closed);
            if asked || (is_old && !closed) {
                state.busy = true;
                drop(state);
                // A machine's clock may be wrong until it has asked others.
                self.purge(asked || purged.is_some());
                self.tell_of_calm(now);
                purged = Some(now);
                state = shared.lock();
            } else if !state.waiting.is_empty() {
                state.busy = true;
                state = gather(&shared, state, self.is_failing());
                std::mem::swap(&mut batch, &mut state.waiting);
                state.tried = batch.len();
                state.hurry = false;
                let (lost, closed) = (std::mem::take(&mut state.lost), state.closed);
                drop(state);
                let is_done = self.keep(&batch, lost) || closed;
                state = shared.lock();
                if is_done {
                    state.done += batch.len() as u64;
                } else {
                    state.failed += 1;
                    batch.append(&mut state.waiting);
                    std::mem::swap(&mut batch, &mut state.waiting);
                }
                state.tried = 0;
                batch.clear();
                // A burst leaves no memory behind.
                batch.shrink_to(ENOUGH * 2);
            } else if closed {
                drop(state);
                if !self.is_failing() {
                    self.tell_of_calm(Duration::MAX);
                }
                return;
            } else {
                state.busy = false;
                state.hurry = false;
                shared.done.notify_all();
                let waited = shared.work.wait_timeout(state, PURGING);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            shared.done.notify_all();
        }
    }

    /// Whether that is done with; else it is to be tried again.
    fn keep(&mut self, batch: &[u8], lost: u64) -> bool {
        self.lost += lost;
        let notes = notes(batch, self.clock.now(), self.node.as_deref());
        let count = Gathered(batch).count() as u64;
        let kept = self.archive.keep(notes).wait();
        let now = self.clock.elapsed();
        match kept {
            Ok(()) => {
                if let Some(outage) = &mut self.outage {
                    outage.goes_on = false;
                }
                self.tell_of_calm(now);
                true
            }
            Err(error) => {
                let may_be_later = matches!(error, SpoolError::ReadOnly(_));
                self.lost += if may_be_later { 0 } else { count };
                if self.outage.is_none() {
                    let text = format!(
                        "the history has stopped, mail has not: {error}; it goes on by itself \
                         once it can"
                    );
                    self.say("error", &text);
                }
                self.outage = Some(Outage { last: now, goes_on: true });
                !may_be_later
            }
        }
    }

    fn is_failing(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.goes_on)
    }

    /// Says that all is kept again, if it is, and what is missing.
    fn tell_of_calm(&mut self, now: Duration) {
        let is_over = |outage: &Outage| !outage.goes_on && now.saturating_sub(outage.last) >= CALM;
        let was_told = match &self.outage {
            Some(outage) if !is_over(outage) => return,
            outage => outage.is_some(),
        };
        self.outage = None;
        let lost = std::mem::take(&mut self.lost);
        if was_told || lost > 0 {
            let text = format!("the history goes on; events that are missing from it: {lost}");
            self.say("warning", &text);
        }
    }

    /// Removes what is beyond the bounds; of what is too old only where the time can be relied
    /// upon. A history that is switched off keeps nothing; one that is closed does.
    fn purge(&self, by_age: bool) {
        let keep = self.shared.keep.load(Ordering::Relaxed);
        let size = self.shared.size.load(Ordering::Relaxed);
        let now = self.clock.now().as_millis();
        let (before, size) = match (keep > 0 && size > 0, by_age) {
            (false, _) => (i64::MAX, 0),
            (true, false) => (i64::MIN, size),
            (true, true) => (now.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX)), size),
        };
        // What cannot be removed now is removed later.
        let _ = self.archive.purge(Timestamp::from_millis(before), size).wait();
    }

    fn say(&self, level: &'static str, text: &str) {
        self.log.write(&Event::Notice { level, component: "master", id: None, text });
    }
}

// Where nothing could be kept, what waits has grown old, and is tried more seldom.
fn gather<'a>(
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    is_failing: bool,
) -> MutexGuard<'a, State> {
    let span = if is_failing { AGAIN } else { GATHERING };
    let more_may_come = |state: &mut State| {
        !state.hurry && !state.closed && (is_failing || state.waiting.len() < ENOUGH)
    };
    let waited = shared.work.wait_timeout_while(state, span, more_may_come);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
