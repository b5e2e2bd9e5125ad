//! What could not be read when the store was opened waits, and is taken up later.
//!
//! Until then new mail is taken, into new segments. Nothing that was there is written to,
//! freed or made void, and no checkpoint is written, so that a start at which all can be
//! read finds everything. Messages that a file which could not be read may speak of are
//! not handed out: it may say that they are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::contents::Contents;
use super::core::{Core, Location, lock};
use super::log::Log;
use super::reading::Reading;
use super::survey::Scope;
use crate::id::{MessageId, Timestamp};

/// How long it is before the first try, and at most between two.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
/// Segments begun while others cannot be read get generations by the time of day, behind
/// all that others may have: so many for each millisecond.
const GENERATIONS: u32 = 20;
/// And this many more than any that is known.
const LEAP: u64 = 1 << 32;

/// So many messages that wait are named.
const MOST_NAMED: usize = 1000;

/// What waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// The segments' files that count or may count.
    numbers: BTreeSet<u64>,
    /// Messages in segments up to this generation wait.
    doubt: u64,
    /// Files of content with lesser numbers were there when the store was opened.
    contents: u64,
    next_try: Duration,
    pause: Duration,
    /// Which files could not be read, and what waits for them.
    pub(crate) notes: Vec<String>,
}

impl Waiting {
    /// Takes from what was read what must wait; `None` if all was read.
    pub(crate) fn take(reading: &mut Reading, elapsed: Duration) -> Option<Self> {
        if reading.is_whole() {
            return None;
        }
        let survey = &reading.survey;
        let doubt = survey.doubt();
        let live = survey.live.values().map(|file| file.number);
        let numbers = live.chain(survey.unread.iter().map(|unread| unread.number)).collect();
        let doubtful = |(id, location): (MessageId, &Location)| {
            let placed = location.placed.generation;
            (placed <= doubt).then_some((id, survey.live.contains_key(&placed)))
        };
        let waiting: Vec<(MessageId, bool)> =
            reading.index.ids_after(None).filter_map(doubtful).collect();
        let mut notes: Vec<String> = survey.unread.iter().map(|u| u.why.clone()).collect();
        let more = waiting.len().saturating_sub(MOST_NAMED);
        for (place, (id, is_read)) in waiting.into_iter().enumerate() {
            reading.index.remove(id);
            if place >= MOST_NAMED {
                continue;
            }
            notes.push(match is_read {
                true => format!("message {id} waits: what cannot be read may say that it is gone"),
                false => format!("message {id} waits until its segment can be read"),
            });
        }
        if more > 0 {
            notes.push(format!("{more} more messages wait"));
        }
        let (next_try, pause) = (elapsed + SHORTEST, SHORTEST);
        Some(Self { numbers, doubt, contents: 0, next_try, pause, notes })
    }

    /// Lets the log go on behind all that could not be read.
    pub(crate) fn step_over(&mut self, log: &mut Log, contents: &Contents, now: Timestamp) {
        log.frozen = true;
        log.unlinked = true;
        let by_time = u64::try_from(now.as_millis()).unwrap_or(0) << GENERATIONS;
        log.next_generation = log.next_generation.saturating_add(LEAP).max(by_time);
        self.contents = contents.next;
    }

    /// What waits, if it is time to try; the next time is later.
    fn if_time(&mut self, elapsed: Duration) -> Option<Self> {
        if elapsed < self.next_try {
            return None;
        }
        self.pause = (self.pause * 2).min(LONGEST);
        self.next_try = elapsed + self.pause;
        Some(self.clone())
    }
}

impl Core {
    /// What could not be read, and what waits for it.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        let waiting = lock(&self.waiting);
        let contents = lock(&self.unread_contents);
        let segments = waiting.iter().flat_map(|waiting| &waiting.notes);
        segments.chain(contents.iter().map(|(_, note)| note)).cloned().collect()
    }

    /// Tries to read what could not be read, if it is time.
    pub(crate) fn take_up(&self) {
        lock(&self.unread_contents)
            .retain(|(number, _)| self.content.open(*number).and_then(|file| file.len()).is_err());
        let elapsed = self.clock.elapsed();
        let due = lock(&self.waiting).as_mut().and_then(|waiting| waiting.if_time(elapsed));
        let Some(waits) = due else { return };
        let scope = Scope::Old(&waits.numbers, self.salt);
        let Ok(reading) = Reading::take(&*self.disk, &self.directory, scope) else { return };
        if !reading.is_whole() {
            return;
        }
        let doubt = waits.doubt;
        let in_doubt = |location: &Location| location.placed.generation <= doubt;
        let directory = &self.content.directory;
        let contents = Contents::take(&*self.disk, directory, &reading.index, in_doubt);
        let Ok(contents) = contents else { return };
        self.take_in(&reading, in_doubt);
        if reading.is_intact() {
            let index = lock(&self.index);
            let places = index.ids_after(None).filter_map(|(_, l)| l.spilled.as_ref());
            let here: BTreeSet<u64> = places.map(|at| at.number).collect();
            drop(index);
            contents.sweep(&*self.disk, directory, waits.contents, |n| here.contains(&n));
        }
        self.content.octets.fetch_add(contents.octets, Ordering::Relaxed);
        *lock(&self.waiting) = None;
        let cut = reading.cut_off();
        let cut = cut.iter().map(|id| format!("message {id} is damaged: its record is cut off"));
        let notes = reading.survey.notes.iter().cloned().chain(contents.notes).chain(cut);
        notes.for_each(|note| self.note(note));
    }

    /// Puts what waited into the index and the log.
    fn take_in(&self, reading: &Reading, in_doubt: impl Fn(&Location) -> bool) {
        let mut log = lock(&self.log);
        let segments = reading.survey.segments(log.segment_size);
        {
            let mut readable = lock(&self.readable);
            for segment in &segments {
                readable.insert(segment.generation(), Arc::clone(&segment.file.file));
            }
        }
        let octets: u64 = segments.iter().map(|segment| segment.file.size).sum();
        let known: u64 = log
            .sealed
            .iter()
            .filter(|old| segments.iter().any(|segment| segment.generation() == old.generation()))
            .map(|segment| segment.file.size)
            .sum();
        log.octets.fetch_add(octets.saturating_sub(known), Ordering::Relaxed);
        log.adopt(segments.into_iter());
        log.last_id = log.last_id.max(reading.last_id);
        let mut index = lock(&self.index);
        for (id, location) in reading.index.ids_after(None).filter(|(_, l)| in_doubt(l)) {
            // Its segment stays, whatever becomes of it here.
            log.enliven(location.placed);
            if index.contains(id) {
                self.note(format!("two messages have the id {id}; the older one is not sent"));
            } else if !index.adopt(&reading.index, id, location.clone()) {
                self.note(format!("message {id} is damaged: its envelope cannot be read"));
            }
        }
        drop(index);
        drop(log);
        let mut last = lock(&self.last_id);
        *last = (*last).max(reading.last_id);
    }
}
