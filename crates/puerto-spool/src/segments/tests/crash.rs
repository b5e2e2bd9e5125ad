//! The promise, while the disk fails and the power goes at every moment.
//!
//! A history is a sequence of random calls, decided by a seed. Beside the store a
//! model keeps what has been promised; after each restart the store is held to it.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;

use super::*;
use crate::simulated::{Effect, Random};
use crate::{Disposition, RecipientState};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Promised and not settled.
    Open,
    /// Settled, and the ticket said that this is durable.
    Done,
    /// The call failed or the power went before the answer.
    Unknown,
}

#[derive(Debug, Clone)]
struct Promise {
    octets: Vec<u8>,
    /// What commit answered: whether the message must, must not or may be there.
    there: Fate,
    recipients: Vec<Fate>,
    /// Attempts that failed and of which the ticket said that they are durable.
    failed: Vec<u32>,
}

pub(super) struct History {
    pub(super) disk: SimulatedDisk,
    pub(super) clock: Arc<ManualClock>,
    random: Random,
    pub(super) spool: SegmentSpool,
    promises: BTreeMap<MessageId, Promise>,
    pub(super) leases: Vec<Lease>,
    /// The disk was so broken that a refused message may come back (see the module of
    /// the log).
    pub(super) hopeless: bool,
}

impl History {
    pub(super) fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let disk = SimulatedDisk::new(seed);
        let spool = open(&disk, stepwise(), &clock);
        Self {
            disk,
            clock,
            random: Random::new(seed ^ 0xABCD),
            spool,
            promises: BTreeMap::new(),
            leases: Vec::new(),
            hopeless: false,
        }
    }

    pub(super) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            if !self.disk.is_powered() {
                return;
            }
            match self.random.below(16) {
                0..6 => self.commit(),
                6..9 => self.claim(),
                9..14 => self.settle(),
                14 => self.edit(),
                _ => self.clock.advance(Duration::from_secs(7)),
            }
        }
    }

    /// An answer counts only if the power was still on when it was given.
    fn fate(&self, answer: &Result<(), SpoolError>, on_error: Fate) -> Fate {
        match answer {
            Ok(()) => Fate::Open,
            Err(_) if self.disk.is_powered() && !self.hopeless => on_error,
            Err(_) => Fate::Unknown,
        }
    }

    fn commit(&mut self) {
        let size = match self.random.below(12) {
            0..6 => self.random.below(300),
            6..10 => self.random.below(3000),
            10 => 3000 + self.random.below(5000),
            _ => 20_000,
        };
        let octets: Vec<u8> = (0..size).map(|_| self.random.below(256) as u8).collect();
        let count = 1 + self.random.below(4);
        let to: Vec<String> =
            (0..count).map(|n| format!("user{n}@domain{}.example", self.random.below(5))).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let id = self.spool.new_id();
        let mut new = message(id, &to, b"", self.clock.now());
        let mut expected = new.prefix.clone();
        expected.extend_from_slice(&octets);
        let drafted = self.spool.draft().and_then(|mut draft| {
            for piece in octets.chunks(1500) {
                draft.write(piece)?;
            }
            draft.finish()
        });
        let answer = drafted.and_then(|content| {
            new.content = content;
            self.spool.commit(new).wait()
        });
        let there = self.fate(&answer, Fate::Done);
        let recipients = vec![Fate::Open; to.len()];
        let failed = vec![0; to.len()];
        let promise = Promise { octets: expected, there, recipients, failed };
        let before = self.promises.insert(id, promise);
        assert!(before.is_none(), "{id} was given out twice");
    }

    fn claim(&mut self) {
        let hold = Duration::from_secs(3600);
        let limit = 1 + self.random.below(6) as usize;
        let request = ClaimRequest { hold, limit, per_domain: 4, resting: Vec::new() };
        for lease in self.spool.claim(&request).wait().unwrap().leases {
            let promise = &self.promises[&lease.token.id];
            for recipient in &lease.recipients {
                let fate = promise.recipients[recipient.index as usize];
                assert_ne!(fate, Fate::Done, "{} comes back", lease.token.id);
            }
            self.leases.push(lease);
        }
    }

    fn settle(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let place = self.random.below(self.leases.len() as u64) as usize;
        let lease = self.leases.swap_remove(place);
        let now = self.clock.now();
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let mut dispositions = Vec::new();
        for recipient in &lease.recipients {
            let attempt = contract::attempt(now);
            let disposition = match self.random.below(4) {
                0 => Disposition::Deferred { due: now.after(Duration::from_secs(5)), attempt },
                1 => Disposition::Bounced(attempt),
                _ => Disposition::Delivered(attempt),
            };
            let is_failed = matches!(disposition, Disposition::Deferred { .. });
            if is_failed { &mut failed } else { &mut done }.push(recipient.index);
            dispositions.push((recipient.index, disposition));
        }
        let settlement = Settlement { token: lease.token, dispositions };
        let Ok(settled) = self.spool.settle(vec![settlement]).wait().remove(0) else { return };
        let fate = match settled.durable.wait() {
            Ok(()) => Fate::Done,
            Err(_) => Fate::Unknown,
        };
        let promise = self.promises.get_mut(&lease.token.id).unwrap();
        for index in done {
            promise.recipients[index as usize] = fate;
        }
        for index in failed {
            promise.failed[index as usize] += u32::from(fate == Fate::Done);
        }
    }

    fn edit(&mut self) {
        let list = list(&self.spool);
        let [first, last] = [0, list.len().saturating_sub(1)];
        let place = [first, last, last / 2][self.random.below(3) as usize];
        let Some(entry) = list.get(place) else { return };
        let change = match self.random.below(5) {
            0 => Edit::Remove,
            1 => Edit::Hold,
            2 => Edit::Retry,
            3 => return drop(self.spool.note_delay(entry.id).wait()),
            _ => Edit::Release,
        };
        let answer = edit(&self.spool, entry.id, change);
        if change == Edit::Remove {
            let fate = if answer.is_ok() { Fate::Done } else { Fate::Unknown };
            self.promises.get_mut(&entry.id).unwrap().recipients.fill(fate);
        }
    }

    pub(super) fn reopen(&mut self) {
        self.leases.clear();
        // The process before is gone without a word, and a start takes its time.
        self.clock.advance(Duration::from_secs(1));
        let clock = Arc::clone(&self.clock);
        self.spool = open(&self.disk, stepwise(), &clock);
        self.check();
    }

    /// Invariants: what was promised is there and whole; what was refused is absent;
    /// what was settled does not come back; nothing else is there.
    pub(super) fn check(&mut self) {
        let list = list(&self.spool);
        let there: HashSet<MessageId> = list.iter().map(|entry| entry.id).collect();
        let notes = self.spool.health().wait().unwrap().damaged;
        for (id, promise) in &self.promises {
            let open = promise.recipients.contains(&Fate::Open);
            if promise.there == Fate::Open && open {
                assert!(there.contains(id), "{id} was acknowledged and is lost: {notes:#?}");
            }
        }
        for entry in &list {
            let promise = self.promises.get_mut(&entry.id).expect("a message nobody sent");
            assert_ne!(promise.there, Fate::Done, "{} was refused and is there", entry.id);
            let octets = read(&self.spool, entry.id);
            let whole = octets.as_ref().map(|octets| octets == &promise.octets);
            assert_eq!(whole, Ok(true), "{} is whole", entry.id);
            assert_eq!(entry.recipients.len(), promise.recipients.len());
            let fates = promise.recipients.iter_mut().zip(&promise.failed);
            for (status, (fate, failed)) in entry.recipients.iter().zip(fates) {
                let done = status.state == RecipientState::Done;
                match fate {
                    Fate::Open => assert!(!done, "a recipient of {} is lost", entry.id),
                    Fate::Done => assert!(done, "a recipient of {} comes back", entry.id),
                    Fate::Unknown if done => *fate = Fate::Done,
                    Fate::Unknown => *fate = Fate::Open,
                }
                let tried = status.attempts + u32::from(done);
                assert_eq!(status.story.len(), tried.min(5) as usize, "{:?}", status.story);
                assert!(status.attempts >= *failed, "an attempt of {} is forgotten", entry.id);
            }
            promise.there = Fate::Open;
        }
        // What may have been there and is not must not appear later.
        for (id, promise) in &mut self.promises {
            if !there.contains(id) {
                promise.there = Fate::Done;
                promise.recipients.fill(Fate::Done);
            }
        }
    }

    fn contents(&self) -> usize {
        let files = self.disk.files();
        files.keys().filter(|path| path.extension().is_some_and(|e| e == "content")).count()
    }

    /// When all is delivered nothing is left.
    pub(super) fn drain(&mut self) {
        let ids = list(&self.spool);
        for entry in ids.iter().filter(|entry| entry.held) {
            edit(&self.spool, entry.id, Edit::Release).unwrap();
        }
        self.clock.advance(Duration::from_secs(7200));
        deliver_all(&self.spool, self.clock.now());
        assert_eq!(self.spool.health().wait().unwrap().messages, 0);
        self.spool.close();
        for promise in self.promises.values_mut() {
            promise.recipients.fill(Fate::Done);
        }
        if self.contents() > 0 {
            // A start that found the last record torn left alone whatever it may name.
            self.disk.restart_process();
            self.reopen();
            self.spool.close();
        }
        let files = self.disk.files();
        let health = self.spool.health().wait().unwrap();
        let names: Vec<_> = files.keys().collect();
        assert_eq!(self.contents(), 0, "large content goes with its message: {names:?} {health:?}");
        let octets: usize = files.values().map(Vec::len).sum();
        assert!(octets <= 8 * (16 << 10), "{octets} octets for an empty queue");
        assert!(!self.disk.was_synced_after_failure());
    }
}

pub(super) fn seeds(default: u64) -> u64 {
    std::env::var("PUERTO_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many operations a history takes when nothing goes wrong.
fn length(seed: u64, steps: u64) -> u64 {
    let mut history = History::new(seed);
    history.run(steps);
    history.disk.operations()
}

#[test]
fn the_power_may_go_at_any_moment() {
    for seed in 0..seeds(600) {
        let operations = length(seed, 60);
        let mut history = History::new(seed);
        let mut random = Random::new(seed ^ 0x5EED);
        history.disk.set_fault(Some((1 + random.below(operations), Effect::PowerCut)));
        for round in 0..3 {
            history.run(60);
            history.disk.restart();
            if round == 1 {
                // It goes again while the store is being opened.
                let at = history.disk.operations() + 1 + random.below(12);
                history.disk.set_fault(Some((at, Effect::PowerCut)));
                let clock = Arc::clone(&history.clock) as Arc<dyn Clock>;
                let disk = Arc::new(history.disk.attach());
                drop(SegmentSpool::open("/spool", stepwise(), disk, clock));
                history.disk.restart();
            }
            history.reopen();
            let at = history.disk.operations() + 1 + random.below(operations);
            history.disk.set_fault(Some((at, Effect::PowerCut)));
        }
        history.disk.set_fault(None);
        history.run(20);
        history.drain();
    }
}

#[test]
fn the_power_may_go_at_every_operation_of_one_history() {
    let operations = length(7, 40);
    for at in 1..=operations {
        let mut history = History::new(7);
        if history.disk.operations() >= at {
            continue;
        }
        history.disk.set_fault(Some((at, Effect::PowerCut)));
        history.run(40);
        history.disk.restart();
        history.reopen();
        history.drain();
    }
}

#[test]
fn every_operation_may_fail_once() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let mut at = 0;
        loop {
            at += 1;
            let mut history = History::new(at % 5);
            let before = history.disk.operations();
            history.disk.set_fault(Some((before + at, Effect::Fail(kind))));
            history.run(60);
            let harmless = history.disk.operations() < before + at;
            history.check();
            // The next process sees what the kernel kept, then the power goes.
            if at % 2 == 0 {
                history.disk.restart_process();
                history.reopen();
                history.run(10);
            }
            history.disk.restart();
            history.reopen();
            history.run(10);
            history.drain();
            if harmless {
                break;
            }
        }
        assert!(at > 100, "the history is long enough to mean something");
    }
}

#[test]
fn a_disk_that_fails_for_good_loses_nothing_that_was_acknowledged() {
    for seed in 0..seeds(200) {
        let mut history = History::new(seed);
        history.run(30);
        history.hopeless = true;
        let at = history.disk.operations() + 1 + seed % 17;
        let kind = if seed % 2 == 0 { ErrorKind::Other } else { ErrorKind::ReadOnlyFilesystem };
        history.disk.set_fault(Some((at, Effect::FailForEver(kind))));
        history.run(40);
        if seed % 3 == 0 {
            // It comes back while the process lives.
            history.disk.set_fault(None);
            history.run(30);
            assert_eq!(
                history.spool.health().wait().unwrap().refusing,
                None,
                "it recovers by itself"
            );
        }
        history.disk.restart();
        history.reopen();
        history.drain();
    }
}

/// What a failed sync could not write stays in the system's memory, where the next
/// process finds it, and whoever comes after a power cut does not.
#[test]
fn what_a_failed_sync_left_in_memory_is_not_taken_for_durable() {
    for seed in 0..seeds(400) {
        let mut history = History::new(seed);
        history.run(40 + seed % 40);
        history.hopeless = true;
        let at = history.disk.operations() + 1 + seed % 29;
        history.disk.set_fault(Some((at, Effect::FailForEver(ErrorKind::Other))));
        history.run(20);
        history.disk.restart_process();
        history.reopen();
        history.hopeless = false;
        history.run(seed % 60);
        history.disk.restart();
        history.reopen();
        history.drain();
    }
}
