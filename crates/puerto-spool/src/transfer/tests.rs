#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::contract::{START, attempt, message};
use crate::disk::SystemDisk;
use crate::memory::MemorySpool;
use crate::segments::{Options, SegmentSpool};
use crate::{ClaimRequest, Desk as _, Disposition, Settlement, Store as _, Work as _};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

// Some that were never tried, one that was deferred, one that is half delivered, one held.
fn filled(clock: &Arc<ManualClock>, count: usize) -> MemorySpool {
    let store = MemorySpool::new(Arc::clone(clock) as _);
    for number in 0..count {
        let to = ["a@one.example", "b@two.example"];
        let new = message(store.new_id(), &to, format!("{number}\r\n").as_bytes(), START);
        store.commit(new).wait().unwrap();
    }
    let request = ClaimRequest { hold: HOUR, limit: 3, per_domain: 10, resting: Vec::new() };
    let leases = store.claim(&request).wait().unwrap().leases;
    let of = |lease: usize, disposition| Settlement {
        token: leases[lease].token,
        dispositions: vec![(leases[lease].recipients[0].index, disposition)],
    };
    store
        .settle(vec![
            of(0, Disposition::Deferred { due: START.after(HOUR), attempt: attempt(START) }),
            of(1, Disposition::Delivered(attempt(START))),
        ])
        .wait();
    let held = store.entries().last().unwrap().id;
    store.edit(&[held], Edit::Hold).wait();
    store
}

// As a store shows it that leases nothing.
fn as_it_stands(mut entry: Entry) -> Entry {
    for status in &mut entry.recipients {
        if matches!(status.state, crate::RecipientState::Leased(_)) {
            status.state = crate::RecipientState::Due(START);
        }
    }
    entry
}

fn here(store: &dyn Backend) -> Place<'_> {
    Place { name: "here", store }
}

fn there(store: &dyn Backend) -> Place<'_> {
    Place { name: "there", store }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().all(|file| file.unwrap().path().is_dir())
}

fn entries(store: &dyn Backend) -> Vec<Entry> {
    let all = PageRequest { limit: 10_000, ..PageRequest::default() };
    store.page(&all).wait().unwrap().entries
}

#[test]
fn what_was_ordered_goes_with_the_queue_once() {
    let clock = Arc::new(ManualClock::new(START));
    let (from, to) = (filled(&clock, 5), MemorySpool::new(Arc::clone(&clock) as _));
    for order in ["one", "two"] {
        from.give_order(order.to_owned()).wait().unwrap();
    }
    // As a run that was broken off has left it.
    to.give_order("two".to_owned()).wait().unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(here(&from), there(&to), folder.path(), |_, _| {}).unwrap();
    let mut orders: Vec<String> =
        to.orders().wait().unwrap().into_iter().map(|(_, order)| order).collect();
    orders.sort();
    assert_eq!(orders, ["one", "two"]);
    assert_eq!(from.orders().wait(), Ok(vec![]));
}

#[test]
fn a_queue_moves_whole_to_the_disk_and_back() {
    let clock = Arc::new(ManualClock::new(START));
    let from = filled(&clock, 1200);
    let before: Vec<Entry> = from.entries().into_iter().map(as_it_stands).collect();
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let place = folder.path().join("spool");
        SegmentSpool::open(place, Options::small(), Arc::new(SystemDisk), Arc::clone(&clock) as _)
    };
    let to = open().unwrap();
    let mut heard = Vec::new();
    let moved = run(here(&from), there(&to), folder.path(), |moved, all| heard.push((moved, all)));
    assert_eq!(moved, Ok(Moved { messages: 1200, ..Moved::default() }));
    assert_eq!(heard, [(0, 1200), (500, 1200), (1000, 1200), (1200, 1200)]);
    assert_eq!(entries(&to), before);
    assert_eq!(from.entries(), []);
    assert!(is_empty(folder.path()));
    drop(to);
    let to = open().unwrap();
    assert_eq!(entries(&to), before, "after a restart");
    let mut octets = String::new();
    to.content(before[7].id).wait().unwrap().read_to_string(&mut octets).unwrap();
    assert_eq!(octets, "Received: by test\r\n7\r\n");
    let moved = run(there(&to), here(&from), folder.path(), |_, _| ());
    assert_eq!(moved, Ok(Moved { messages: 1200, ..Moved::default() }));
    assert_eq!(from.entries(), before);
    assert_eq!(entries(&to), []);
}

/// One of two stores that die together at the nth call that changes something in either.
struct Dying {
    inner: MemorySpool,
    calls_left: Arc<std::sync::atomic::AtomicI64>,
}

impl Dying {
    fn count(&self) {
        let left = self.calls_left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        assert!(left != 1, "it dies");
    }
}

macro_rules! passed_on {
    ($($face:ident { $(fn $name:ident(&self $(, $arg:ident: $type:ty)*) $(-> $answer:ty)?;)* })*) => {
        $(impl crate::$face for Dying {
            $(fn $name(&self $(, $arg: $type)*) $(-> $answer)? {
                if matches!(stringify!($name), "adopt" | "edit") { self.count(); }
                self.inner.$name($($arg),*)
            })*
        })*
    };
}

passed_on! {
    Store {
        fn new_id(&self) -> MessageId;
        fn draft(&self) -> Result<Box<dyn crate::Draft>, SpoolError>;
        fn commit(&self, message: crate::NewMessage) -> crate::Answer<()>;
        fn content(&self, id: MessageId) -> crate::Answer<Box<dyn crate::StoredContent>>;
        fn content_at_once(&self, id: MessageId) -> Option<Box<dyn crate::StoredContent>>;
        fn clock(&self) -> Arc<dyn crate::clock::Clock>;
    }
    Work {
        fn claim(&self, request: &ClaimRequest) -> crate::Answer<crate::Claimed>;
        fn renew(&self, leases: &[crate::LeaseToken], hold: std::time::Duration) -> crate::Answer<crate::Renewed>;
        fn edits(&self) -> u64;
        fn settle(&self, all: Vec<Settlement>) -> crate::Ticket<Vec<Result<crate::Settled, SpoolError>>>;
        fn note_delay(&self, id: MessageId) -> crate::Answer<bool>;
        fn forget_delay(&self, id: MessageId) -> crate::Answer<()>;
        fn standing(&self, id: MessageId) -> crate::Answer<Entry>;
        fn retry_all(&self) -> crate::Answer<u64>;
        fn changed(&self) -> crate::Ticket<()>;
        fn living(&self) -> u32;
    }
    Desk {
        fn get(&self, id: MessageId) -> crate::Answer<Entry>;
        fn page(&self, request: &PageRequest) -> crate::Answer<crate::Page>;
        fn count(&self, filter: &crate::Filter) -> crate::Answer<crate::Count>;
        fn tally(&self, request: &crate::TallyRequest) -> crate::Answer<crate::Tally>;
        fn orders(&self) -> crate::Answer<Vec<(u64, String)>>;
        fn give_order(&self, order: String) -> crate::Answer<u64>;
        fn take_back_order(&self, number: u64) -> crate::Answer<bool>;
        fn edit(&self, ids: &[MessageId], edit: Edit) -> crate::Ticket<Vec<Result<(), SpoolError>>>;
        fn adopt(&self, entry: &Entry, content: Content) -> crate::Answer<bool>;
        fn health(&self) -> crate::Answer<crate::Health>;
        fn nodes(&self) -> crate::Answer<Vec<crate::Node>>;
        fn close(&self);
    }
}

fn handed_out(store: &MemorySpool) -> Vec<(MessageId, String)> {
    let request = ClaimRequest { hold: HOUR, limit: 1000, per_domain: 1000, resting: Vec::new() };
    let claimed = store.claim(&request).wait().unwrap().leases;
    claimed.iter().map(|lease| (lease.token.id, lease.domain.to_string())).collect()
}

// Of a move of 20 messages: it holds, takes 20 over, removes and releases.
const CALLS: i64 = 23;

// Dies at a call, and brings a store back as it is after its death.
fn broken_off(death: i64, clock: &Arc<ManualClock>, folder: &Path) -> (MemorySpool, MemorySpool) {
    let calls_left = Arc::new(death.into());
    let dying = |inner| Dying { inner, calls_left: Arc::clone(&calls_left) };
    let (from, to) = (dying(filled(clock, 20)), dying(MemorySpool::new(Arc::clone(clock) as _)));
    let broken = catch_unwind(AssertUnwindSafe(|| {
        run(here(&from), there(&to), folder, |_, _| ()).unwrap();
    }));
    assert_eq!(broken.is_err(), death <= CALLS, "death {death}");
    (from.inner, to.inner)
}

#[test]
fn a_move_that_is_broken_off_anywhere_goes_on_and_doubles_nothing() {
    for death in 1..=CALLS + 1 {
        let clock = Arc::new(ManualClock::new(START));
        let before: Vec<Entry> =
            filled(&clock, 20).entries().into_iter().map(as_it_stands).collect();
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = broken_off(death, &clock, folder.path());
        // A server that begins to work on the target in between finds nothing that the
        // source still has.
        let gone = handed_out(&to);
        let still: Vec<MessageId> = from.entries().iter().map(|entry| entry.id).collect();
        assert!(gone.iter().all(|(id, _)| !still.contains(id)), "death {death}");
        run(here(&from), there(&to), folder.path(), |_, _| ()).unwrap();
        let after: Vec<Entry> = to.entries().into_iter().map(as_it_stands).collect();
        assert_eq!(after, before, "death {death}");
        assert_eq!(from.entries(), []);
        assert!(is_empty(folder.path()));
    }
}

#[test]
fn whoever_turns_back_after_a_move_was_broken_off_loses_and_doubles_nothing() {
    for death in 1..=CALLS + 1 {
        let clock = Arc::new(ManualClock::new(START));
        let before: Vec<MessageId> =
            filled(&clock, 20).entries().iter().map(|entry| entry.id).collect();
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = broken_off(death, &clock, folder.path());
        run(there(&to), here(&from), folder.path(), |_, _| ()).unwrap();
        let after: Vec<MessageId> = from.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(after, before, "death {death}");
        assert_eq!(to.entries(), []);
        assert!(is_empty(folder.path()));
    }
}

#[test]
fn what_the_source_hands_out_after_a_move_was_broken_off_does_not_go_out_from_the_target() {
    for death in 1..=CALLS {
        let clock = Arc::new(ManualClock::new(START));
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = broken_off(death, &clock, folder.path());
        let request =
            ClaimRequest { hold: HOUR, limit: 1000, per_domain: 1000, resting: Vec::new() };
        let mut delivered = Vec::new();
        for lease in from.claim(&request).wait().unwrap().leases {
            let done = |to: &crate::LeasedRecipient| {
                delivered.push((lease.token.id, to.index));
                (to.index, Disposition::Delivered(attempt(START)))
            };
            let dispositions = lease.recipients.iter().map(done).collect();
            from.settle(vec![Settlement { token: lease.token, dispositions }]).wait();
        }
        run(here(&from), there(&to), folder.path(), |_, _| ()).unwrap();
        for lease in to.claim(&request).wait().unwrap().leases {
            for recipient in lease.recipients {
                let twice = delivered.contains(&(lease.token.id, recipient.index));
                assert!(!twice, "death {death}: {} of {}", recipient.index, lease.token.id);
            }
        }
    }
}

// The one file below a folder that holds these octets, and where in it.
fn place_of(octets: &[u8], folder: &Path) -> Option<(PathBuf, usize)> {
    std::fs::read_dir(folder).unwrap().find_map(|file| {
        let path = file.unwrap().path();
        if path.is_dir() {
            return place_of(octets, &path);
        }
        let at = memchr::memmem::find(&std::fs::read(&path).unwrap(), octets)?;
        Some((path, at))
    })
}

#[test]
fn a_damaged_message_stays_and_keeps_none_of_the_others_back() {
    let clock = Arc::new(ManualClock::new(START));
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let open = || {
        let (disk, clock) = (Arc::new(SystemDisk), Arc::clone(&clock) as _);
        SegmentSpool::open(place.clone(), Options::small(), disk, clock).unwrap()
    };
    let from = open();
    let all: Vec<MessageId> = (0..1100)
        .map(|n| {
            let body = match n {
                // In a file of its own.
                700 => vec![b'x'; 3_000_000],
                // The same, and only its end will say that it is damaged.
                900 => vec![b'y'; 3_000_000],
                _ => format!("body {n:04}\r\n").into_bytes(),
            };
            let new = message(from.new_id(), &["a@one.example"], &body, START);
            let id = new.id;
            from.commit(new).wait().unwrap();
            id
        })
        .collect();
    from.edit(&[all[501]], Edit::Hold).wait();
    drop(from);
    for n in [0, 499, 501] {
        let (path, at) = place_of(format!("body {n:04}").as_bytes(), &place).unwrap();
        let mut octets = std::fs::read(&path).unwrap();
        octets[at] ^= 1;
        std::fs::write(path, octets).unwrap();
    }
    std::fs::remove_file(place_of(&[b'x'; 100_000], &place).unwrap().0).unwrap();
    let (path, at) = place_of(&[b'y'; 100_000], &place).unwrap();
    let mut octets = std::fs::read(&path).unwrap();
    octets[at] ^= 1;
    std::fs::write(path, octets).unwrap();
    let (from, to) = (open(), MemorySpool::new(Arc::clone(&clock) as _));
    let damaged = [all[0], all[499], all[501], all[700], all[900]];
    let before: Vec<Entry> =
        entries(&from).into_iter().filter(|entry| damaged.contains(&entry.id)).collect();
    // Whoever only reads them passes over the same.
    let mut whole = Vec::new();
    let passed_over = each(&from, |entry, (size, content), all| -> Result<(), SpoolError> {
        let mut octets = Vec::new();
        content.read_to_end(&mut octets).map_err(|error| SpoolError::from(&error))?;
        assert_eq!((octets.len() as u64, all), (size, 1100));
        whole.push(entry.id);
        Ok(())
    });
    let passed_over: Vec<MessageId> = passed_over.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(passed_over, damaged);
    assert_eq!(whole.len(), 1095);
    let moved = run(here(&from), there(&to), folder.path(), |_, _| ()).unwrap();
    assert_eq!((moved.messages, moved.stay), (1095, 5));
    let left: Vec<MessageId> = moved.left.iter().map(|(id, _)| *id).collect();
    assert_eq!(left, damaged);
    let there_now: Vec<MessageId> = to.entries().iter().map(|entry| entry.id).collect();
    let intact: Vec<MessageId> = all.into_iter().filter(|id| !damaged.contains(id)).collect();
    assert_eq!(there_now, intact);
    assert!(to.entries().iter().all(|entry| !entry.held), "they wait for nobody");
    assert_eq!(entries(&from), before, "as they were, one of them held");
    // Again: nothing is moved, and the same are told of.
    let moved = run(here(&from), there(&to), folder.path(), |_, _| ()).unwrap();
    assert_eq!((moved.messages, moved.left.len(), moved.stay), (0, 5, 5));
}

#[test]
fn what_became_damaged_after_it_was_taken_over_is_moved() {
    let clock = Arc::new(ManualClock::new(START));
    let (from, to) = (filled(&clock, 3), MemorySpool::new(Arc::clone(&clock) as _));
    let folder = tempfile::tempdir().unwrap();
    let all = from.entries();
    Journal::of(folder.path(), there(&to)).write(&all).unwrap();
    // A run that was broken off has brought the first two there, and has removed the first.
    for entry in &all[..2] {
        let mut content = from.content(entry.id).wait().unwrap();
        let held = Entry { held: true, ..as_it_stands(entry.clone()) };
        let mut adoptions = Adoptions::new(&to);
        adoptions.begin(&held, &mut content).unwrap();
        assert_eq!(adoptions.end(), Ok(Taken { new: 1, there: 0 }));
    }
    from.edit(&[all[0].id], Edit::Remove).wait();
    // And the server that ran on the source meanwhile has given up the last.
    from.edit(&[all[2].id], Edit::Remove).wait();
    let moved = run(here(&from), there(&to), folder.path(), |_, _| ()).unwrap();
    assert_eq!(moved, Moved { messages: 2, ..Moved::default() });
    let there_now: Vec<(MessageId, bool)> =
        to.entries().iter().map(|entry| (entry.id, entry.held)).collect();
    assert_eq!(there_now, [(all[0].id, false), (all[1].id, false)]);
}
