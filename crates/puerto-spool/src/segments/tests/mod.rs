//! The segment log against the contract, and against everything that a disk may do.

mod crash;
mod damage;
mod formats;
mod missing;
mod passing;
mod space;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::contract::{self, START, message};
use crate::disk::SystemDisk;
use crate::simulated::SimulatedDisk;
use crate::{ClaimRequest, Edit, Entry, Lease, PageRequest, Settlement, Store as _, Work as _};

/// Small segments, no threads: one seed, one history.
fn stepwise() -> Options {
    Options {
        segment_size: 16 << 10,
        spill_above: 3 << 10,
        reserve: 0,
        cache: 4 << 10,
        gather: Duration::ZERO,
        tidy: Duration::from_secs(5),
        threads: false,
    }
}

fn open(disk: &SimulatedDisk, options: Options, clock: &Arc<ManualClock>) -> SegmentSpool {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    SegmentSpool::open("/spool", options, Arc::new(disk.attach()), clock).unwrap()
}

fn read(spool: &SegmentSpool, id: MessageId) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut content = spool.content(id).wait().map_err(|error| error.to_string())?;
    std::io::Read::read_to_end(&mut content, &mut octets).map_err(|error| error.to_string())?;
    Ok(octets)
}

fn list(spool: &SegmentSpool) -> Vec<Entry> {
    let all = PageRequest { limit: usize::MAX, ..PageRequest::default() };
    spool.page(&all).wait().unwrap().entries
}

fn edit(spool: &SegmentSpool, id: MessageId, edit: Edit) -> Result<(), SpoolError> {
    spool.edit(&[id], edit).wait().remove(0)
}

fn claim_all(spool: &SegmentSpool) -> Vec<Lease> {
    let hold = Duration::from_secs(60);
    let all = ClaimRequest { hold, limit: usize::MAX, per_domain: usize::MAX, resting: Vec::new() };
    spool.claim(&all).wait().unwrap().leases
}

fn settle_all(spool: &SegmentSpool, lease: &Lease, disposition: &crate::Disposition) {
    let settled = spool.settle(vec![contract::alike(lease, disposition)]).wait().remove(0);
    settled.unwrap().durable.wait().unwrap();
}

fn deliver_all(spool: &SegmentSpool, now: Timestamp) {
    for lease in claim_all(spool) {
        settle_all(spool, &lease, &crate::Disposition::Delivered(contract::attempt(now)));
    }
}

#[test]
fn segments_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    contract::run(&|| {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(n.to_string());
        let (disk, clock) = (Arc::new(SystemDisk), Arc::new(ManualClock::new(START)));
        let store = SegmentSpool::open(path, Options::small(), disk, clock.clone()).unwrap();
        contract::Subject { store: Arc::new(store), time: clock }
    });
    contract::run(&|| {
        let clock = Arc::new(ManualClock::new(START));
        let store = open(&SimulatedDisk::new(1), stepwise(), &clock);
        contract::Subject { store: Arc::new(store), time: clock }
    });
}

#[test]
fn a_second_process_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(SystemDisk);
        SegmentSpool::open(directory.path(), Options::small(), disk, Arc::new(SystemClock))
    };
    let first = open().unwrap();
    let error = open().err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    drop(first);
    open().unwrap();
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("spool");
    let clock = Arc::new(SystemClock);
    let spool = SegmentSpool::open(&root, Options::small(), Arc::new(SystemDisk), clock).unwrap();
    let big = vec![b'x'; 2 << 20];
    spool.commit(message(spool.new_id(), &["a@b.example"], &big, START)).wait().unwrap();
    spool.checkpoint();
    let mut pending = vec![root];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
        seen += 1;
        if metadata.is_dir() {
            pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen >= 8, "directories, segments, content, checkpoint, lock");
}

#[test]
fn many_threads_commit_together() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let (disk, clock) = (Arc::new(SystemDisk), Arc::new(SystemClock));
        SegmentSpool::open(directory.path(), Options::small(), disk, clock).unwrap()
    };
    let spool = open();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..40 {
                    let body = vec![b'a'; 100 * n];
                    let new = message(spool.new_id(), &["a@b.example"], &body, START);
                    spool.commit(new).wait().unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                deliver_all(&spool, START);
            }
        });
    });
    let before = list(&spool);
    drop(spool);
    let spool = open();
    let after = list(&spool);
    assert_eq!(before, after);
    assert_eq!(spool.health().wait().unwrap().damaged, Vec::<String>::new());
    deliver_all(&spool, START);
    assert_eq!(spool.health().wait().unwrap().messages, 0);
}

#[test]
fn ids_go_on_growing_when_the_clock_is_set_back_over_a_restart() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let spool = open(&disk, stepwise(), &clock);
    let committed = spool.new_id();
    spool.commit(message(committed, &["a@b.example"], b"", START)).wait().unwrap();
    clock.advance(Duration::from_secs(20));
    let only_given_out = spool.new_id();
    clock.set(Timestamp::from_millis(0));
    disk.restart();
    let again = open(&disk, stepwise(), &clock);
    assert!(again.new_id() > only_given_out);
    assert!(only_given_out > committed);
    deliver_all(&again, START);
    let last = again.new_id();
    drop(again);
    drop(spool);
    assert!(open(&disk, stepwise(), &clock).new_id() > last.min(committed));
}

#[test]
fn what_the_system_has_in_memory_comes_at_once_and_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { cache: 0, ..Options::small() };
    let disk = Arc::new(SystemDisk);
    let spool = SegmentSpool::open(directory.path(), options, disk, Arc::new(SystemClock)).unwrap();
    let id = spool.new_id();
    spool.commit(message(id, &["a@example.net"], b"hello\r\n", START)).wait().unwrap();
    // Not every file system can tell, and then there is nothing at once.
    if let Some(content) = spool.content_at_once(id) {
        assert_eq!(content.in_memory(), Some(&b"Received: by test\r\nhello\r\n"[..]));
    }
    let segments = std::fs::read_dir(directory.path().join("segments")).unwrap();
    for path in segments.map(|entry| entry.unwrap().path()) {
        let mut octets = std::fs::read(&path).unwrap();
        if let Some(at) = memchr::memmem::find(&octets, b"hello") {
            octets[at] ^= 1;
            std::fs::write(&path, octets).unwrap();
        }
    }
    assert!(spool.content_at_once(id).is_none(), "damaged content must not be sent");
}
