//! Trouble that passes: what cannot be read for a while is there when it can be read
//! again, and so is what was taken meanwhile; nothing that was settled comes back.

use std::path::PathBuf;

use super::crash::{History, seeds};
use super::*;
use crate::Disposition;
use crate::simulated::{Effect, Passing, Random};

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;
const ESTALE: i32 = 116;
const TROUBLES: [Passing; 7] = [
    Passing::Fails(EACCES),
    Passing::Fails(EIO),
    Passing::Fails(EMFILE),
    Passing::Fails(ENOMEM),
    Passing::Fails(ESTALE),
    Passing::Fails(ENOENT),
    Passing::Short,
];

pub(super) fn try_open(
    disk: &SimulatedDisk,
    clock: &Arc<ManualClock>,
) -> Result<SegmentSpool, SpoolError> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    SegmentSpool::open("/spool", stepwise(), Arc::new(disk.attach()), clock)
}

pub(super) fn ids(spool: &SegmentSpool) -> Vec<MessageId> {
    let list = list(spool);
    list.iter().map(|entry| entry.id).collect()
}

/// Lets the store look after itself for so long.
pub(super) fn pass(spool: &SegmentSpool, clock: &ManualClock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance(Duration::from_secs(1));
        spool.core.maintain();
        spool.core.pump();
    }
}

/// A history ends, then a start meets the trouble at the `nth` of its calls. Says whether
/// it met it at all.
pub(super) fn start_with(trouble: Passing, seed: u64, nth: u64) -> bool {
    let mut history = History::new(seed);
    history.run(40 + seed % 30);
    history.leases.clear();
    match seed % 3 {
        0 => {
            history.spool.close();
            history.disk.restart_process();
        }
        1 => history.disk.restart_process(),
        _ => history.disk.restart(),
    }
    history.clock.advance(Duration::from_secs(1));
    let begun = history.disk.calls();
    history.disk.set_passing_fault(Some((begun + nth, trouble)));
    let opened = try_open(&history.disk, &history.clock);
    let met = history.disk.calls() >= begun + nth;
    if let Ok(spool) = opened {
        history.spool = spool;
        history.run(15);
        if seed.is_multiple_of(2) {
            pass(&history.spool, &history.clock, 10);
            assert_eq!(
                history.spool.health().wait().unwrap().unreadable,
                Vec::<String>::new(),
                "{trouble:?}"
            );
            history.check();
            history.run(15);
        }
    }
    match nth % 3 {
        0 => history.disk.restart(),
        _ => history.disk.restart_process(),
    }
    history.reopen();
    history.drain();
    met
}

#[test]
fn every_call_of_a_start_may_fail_once() {
    for trouble in TROUBLES {
        for seed in 0..seeds(6) {
            let mut nth = 1;
            while start_with(trouble, seed, nth) {
                nth += 1;
            }
            assert!(nth > 20, "a start makes so many calls");
        }
    }
}

#[test]
fn every_call_of_a_running_store_may_fail_once() {
    for (number, trouble) in (0..).zip(TROUBLES) {
        for seed in [number, 50 + number] {
            let mut nth = 0;
            loop {
                nth += 1 + nth / 40;
                let mut history = History::new(seed);
                let begun = history.disk.calls();
                history.disk.set_passing_fault(Some((begun + nth, trouble)));
                history.run(50);
                pass(&history.spool, &history.clock, 5);
                let met = history.disk.calls() >= begun + nth;
                history.disk.set_passing_fault(None);
                history.check();
                match nth % 2 {
                    0 => history.disk.restart(),
                    _ => history.disk.restart_process(),
                }
                history.reopen();
                history.drain();
                if !met {
                    break;
                }
            }
        }
    }
}

/// Each file in turn cannot be read by one start, or by several; mail goes on.
#[test]
fn every_file_may_be_unreadable_for_a_while() {
    for seed in 0..seeds(12) {
        for place in 0.. {
            let mut history = History::new(seed);
            history.run(90);
            history.leases.clear();
            if seed.is_multiple_of(2) {
                history.spool.close();
            }
            history.disk.restart_process();
            history.clock.advance(Duration::from_secs(1));
            let files: Vec<PathBuf> = history.disk.files().into_keys().collect();
            let Some(file) = files.get(place / 3) else { break };
            // Its beginning, some of it, or none of it can be read.
            let from = [0, 600, 3000][place % 3];
            history.disk.set_unreadable(file, Some((from, EIO)));
            for _ in 0..1 + seed % 3 {
                let before = history.disk.files();
                let Ok(spool) = try_open(&history.disk, &history.clock) else { continue };
                history.spool = spool;
                history.run(20);
                pass(&history.spool, &history.clock, 70);
                history.leases.clear();
                let kept = history.disk.files();
                // Content goes with its message.
                assert!(
                    file.extension().is_some_and(|e| e == "content")
                        || kept.get(file) == before.get(file)
                        || history.spool.health().wait().unwrap().unreadable.is_empty(),
                    "{} was changed",
                    file.display()
                );
                if seed.is_multiple_of(4) {
                    history.spool.close();
                }
                match seed % 5 {
                    0 => history.disk.restart(),
                    _ => history.disk.restart_process(),
                }
            }
            history.disk.set_unreadable(file, None);
            history.reopen();
            assert_eq!(history.spool.health().wait().unwrap().unreadable, Vec::<String>::new());
            history.drain();
        }
    }
}

/// Unreadable files, damage, a full disk and power cuts, all in one life.
#[test]
fn trouble_of_all_kinds_may_meet() {
    for seed in 0..seeds(150) {
        let mut random = Random::new(seed ^ 0xBAD);
        let mut history = History::new(seed);
        history.run(60);
        for _ in 0..4 {
            history.leases.clear();
            if random.one_in(2) {
                history.disk.restart_process();
            } else {
                history.disk.restart();
            }
            history.clock.advance(Duration::from_secs(1));
            let files: Vec<PathBuf> = history.disk.files().into_keys().collect();
            for _ in 0..random.below(3) {
                let file = &files[random.below(files.len() as u64) as usize];
                let from = [0, 0, 700, 5000][random.below(4) as usize];
                history.disk.set_unreadable(file, Some((from, EACCES)));
            }
            if random.one_in(3) {
                history.disk.set_capacity(history.disk.used() + random.below(40_000));
            }
            let at = history.disk.operations() + 1 + random.below(60);
            if random.one_in(2) {
                history.disk.set_fault(Some((at, Effect::PowerCut)));
            } else {
                let at = history.disk.calls() + 1 + random.below(120);
                let trouble = TROUBLES[random.below(7) as usize];
                history.disk.set_passing_fault(Some((at, trouble)));
            }
            // A store that cannot begin a segment may not void what it refused.
            history.hopeless = true;
            if let Ok(spool) = try_open(&history.disk, &history.clock) {
                history.spool = spool;
                history.run(30);
            }
            if random.one_in(2) {
                files.iter().for_each(|file| history.disk.set_unreadable(file, None));
                if history.disk.is_powered() && random.one_in(2) {
                    pass(&history.spool, &history.clock, 70);
                    history.run(10);
                }
            }
            history.disk.set_capacity(1 << 40);
        }
        let files = history.disk.files();
        files.keys().for_each(|file| history.disk.set_unreadable(file, None));
        history.disk.restart();
        history.reopen();
        history.drain();
    }
}

/// A store of several segments: what is queued, what was removed, and its files.
pub(super) struct Store {
    pub(super) disk: SimulatedDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) queued: Vec<MessageId>,
    pub(super) segments: Vec<PathBuf>,
}

/// `checkpoint`: whether it was closed as it should be.
pub(super) fn several_segments(checkpoint: bool) -> Store {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(11);
    let spool = open(&disk, stepwise(), &clock);
    let mut queued = Vec::new();
    let mut removed = Vec::new();
    for n in 0..120_u64 {
        let id = spool.new_id();
        let size = if n % 40 == 7 { 9000 } else { 700 };
        spool.commit(message(id, &["a@one.example"], &vec![n as u8; size], START)).wait().unwrap();
        queued.push(id);
        if n % 4 == 3 {
            // One of long ago, so that its end stands in another segment.
            let id = queued.remove(n as usize / 8);
            edit(&spool, id, Edit::Remove).unwrap();
            removed.push(id);
        }
    }
    let health = spool.health().wait().unwrap();
    assert_eq!((health.messages, removed.len()), (90, 30));
    if checkpoint {
        spool.close();
    }
    disk.restart_process();
    if !checkpoint {
        disk.erase(Path::new("/spool/checkpoint"));
    }
    clock.advance(Duration::from_secs(1));
    let mut segments = Vec::new();
    for (path, octets) in disk.files() {
        if let record::ReadHeader::Valid(header) =
            record::SegmentHeader::decode(octets.get(..1024).unwrap_or_default())
            && header.generation > 0
            && path.extension().is_some_and(|e| e == "segment")
        {
            segments.push((header.generation, path));
        }
    }
    segments.sort_unstable();
    assert!(segments.len() > 5, "{segments:?}");
    Store { disk, clock, queued, segments: segments.into_iter().map(|(_, path)| path).collect() }
}

/// A start that cannot read a segment, mail meanwhile, and then the segment can be read
/// again: by the same process or by the next one.
#[test]
fn any_of_several_segments_may_be_unreadable_for_a_while() {
    for checkpoint in [true, false] {
        for place in 0..several_segments(checkpoint).segments.len() {
            for (from, restarts) in [(0, 0), (0, 1), (0, 3), (1500, 0), (1500, 2)] {
                let store = several_segments(checkpoint);
                let path = &store.segments[place];
                store.disk.set_unreadable(path, Some((from, EIO)));
                let mut spool = open(&store.disk, stepwise(), &store.clock);
                let mut queued = store.queued.clone();
                for restart in 0..=restarts {
                    let unreadable = spool.health().wait().unwrap().unreadable;
                    // With a checkpoint a start reads only the end of the log.
                    let named = unreadable.iter().any(|n| n.contains(path.to_str().unwrap()));
                    assert!(named || (checkpoint && from > 0), "{unreadable:?}");
                    assert!(ids(&spool).iter().all(|id| queued.contains(id)), "something is back");
                    let new = message(spool.new_id(), &["new@two.example"], b"new", START);
                    queued.push(new.id);
                    spool.commit(new).wait().unwrap();
                    pass(&spool, &store.clock, 100);
                    if restart < restarts {
                        store.disk.restart();
                        store.clock.advance(Duration::from_secs(1));
                        spool = open(&store.disk, stepwise(), &store.clock);
                    }
                }
                // What is not named as waiting is there.
                let waits = spool.health().wait().unwrap().unreadable;
                let there = ids(&spool);
                for id in queued.iter().filter(|id| !there.contains(id)) {
                    let named = waits.iter().any(|note| note.contains(&id.to_string()));
                    assert!(named || !checkpoint, "{id} waits and is not named");
                }
                store.disk.set_unreadable(path, None);
                pass(&spool, &store.clock, 61);
                assert_eq!(spool.health().wait().unwrap().unreadable, Vec::<String>::new());
                assert_eq!(spool.health().wait().unwrap().damaged, Vec::<String>::new());
                assert_eq!(ids(&spool), queued, "{place} {from} {restarts}");
                store.disk.restart_process();
                let spool = open(&store.disk, stepwise(), &store.clock);
                assert_eq!(ids(&spool), queued, "{place} {from} {restarts}, after a restart");
                for id in &queued {
                    read(&spool, *id).unwrap();
                }
                store.clock.advance(Duration::from_secs(3600));
                deliver_all(&spool, store.clock.now());
                assert_eq!(spool.health().wait().unwrap().messages, 0);
            }
        }
    }
}

#[test]
fn what_is_newer_than_an_unreadable_segment_is_delivered_meanwhile() {
    let store = several_segments(false);
    store.disk.set_unreadable(&store.segments[0], Some((0, EACCES)));
    let spool = open(&store.disk, stepwise(), &store.clock);
    let there = ids(&spool);
    assert!(there.len() > 60, "only the oldest wait: {}", there.len());
    deliver_all(&spool, store.clock.now());
    store.disk.set_unreadable(&store.segments[0], None);
    pass(&spool, &store.clock, 61);
    let expected: Vec<MessageId> =
        store.queued.iter().copied().filter(|id| !there.contains(id)).collect();
    assert_eq!(ids(&spool), expected, "and none of them comes back");
    store.disk.restart_process();
    assert_eq!(ids(&open(&store.disk, stepwise(), &store.clock)), expected);
}

/// One segment that cannot be read for a while, and another that is damaged, in one start.
#[test]
fn a_segment_may_be_unreadable_and_another_damaged() {
    for checkpoint in [true, false] {
        let count = several_segments(checkpoint).segments.len();
        for (unread, hurt) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
            if unread == hurt {
                continue;
            }
            let store = several_segments(checkpoint);
            let mut octets = store.disk.files()[&store.segments[hurt]].clone();
            octets[5000..5100].fill(0x55);
            store.disk.put(&store.segments[hurt], octets.clone());
            store.disk.set_unreadable(&store.segments[unread], Some((0, EACCES)));
            let spool = open(&store.disk, stepwise(), &store.clock);
            let new = message(spool.new_id(), &["new@two.example"], b"new", START);
            let id = new.id;
            spool.commit(new).wait().unwrap();
            pass(&spool, &store.clock, 10);
            // Neither file is touched.
            assert_eq!(store.disk.files()[&store.segments[hurt]], octets, "{unread} {hurt}");
            store.disk.set_unreadable(&store.segments[unread], None);
            pass(&spool, &store.clock, 61);
            assert_eq!(spool.health().wait().unwrap().unreadable, Vec::<String>::new());
            let mut lost = 0;
            for id in &store.queued {
                if read(&spool, *id).is_err() {
                    lost += 1;
                    let notes = spool.health().wait().unwrap().damaged.join("\n");
                    assert!(notes.contains(&id.to_string()), "{id} is not named: {notes}");
                }
            }
            assert!(lost <= 2, "{lost} lost by 100 octets: {unread} {hurt}");
            read(&spool, id).unwrap();
        }
    }
}

/// What stands in a segment's place and is no file has not become the segment.
#[test]
fn a_pipe_in_a_segments_place_is_no_empty_segment() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let (disk, clock) = (Arc::new(SystemDisk), Arc::new(ManualClock::new(START)));
        SegmentSpool::open(directory.path(), stepwise(), disk, clock).unwrap()
    };
    let spool = open();
    let id = spool.new_id();
    spool.commit(message(id, &["a@b.example"], b"kept", START)).wait().unwrap();
    spool.close();
    drop(spool);
    let (segment, aside) =
        (directory.path().join("segments/00000001.segment"), directory.path().join("aside"));
    std::fs::rename(&segment, &aside).unwrap();
    nix::unistd::mkfifo(&segment, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let spool = open();
    let unreadable = spool.health().wait().unwrap().unreadable.join("\n");
    assert!(unreadable.contains("00000001.segment"), "{unreadable}");
    drop(spool);
    std::fs::rename(&aside, &segment).unwrap();
    assert_eq!(read(&open(), id).unwrap(), b"Received: by test\r\nkept");
}

#[test]
fn trouble_with_a_whole_folder_is_an_error_and_changes_nothing() {
    for store in [several_segments(true), several_segments(false)] {
        // The disk that the segments were on is not there.
        let all = store.disk.files();
        for path in all.keys().filter(|path| path.starts_with("/spool/segments")) {
            store.disk.erase(path);
        }
        let before = store.disk.files();
        let error = try_open(&store.disk, &store.clock).err().unwrap().to_string();
        assert!(error.contains("mount"), "{error}");
        assert_eq!(store.disk.files(), before);
        for (path, octets) in &all {
            store.disk.put(path, octets.clone());
        }
        assert_eq!(ids(&open(&store.disk, stepwise(), &store.clock)), store.queued);
    }
    // Nothing can be read of a store that an older program made.
    let store = several_segments(false);
    store.disk.erase(Path::new("/spool/identity"));
    let all = store.disk.files();
    for path in all.keys() {
        store.disk.set_unreadable(path, Some((0, EACCES)));
    }
    let error = try_open(&store.disk, &store.clock).err().unwrap().to_string();
    assert!(error.contains("nothing was changed"), "{error}");
    assert_eq!(store.disk.files(), all);
}

#[test]
fn a_single_segment_that_another_owner_has_keeps_its_mail() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(3);
    let spool = open(&disk, stepwise(), &clock);
    let mut sent = Vec::new();
    for n in 0..11 {
        let size = if n == 5 { 9000 } else { 100 };
        let new = message(spool.new_id(), &["a@one.example"], &vec![n; size], START);
        sent.push(new.id);
        spool.commit(new).wait().unwrap();
    }
    drop(spool);
    disk.restart_process();
    let names = disk.files().into_keys().filter(|p| p.extension().is_some_and(|e| e == "segment"));
    let names: Vec<PathBuf> = names.collect();
    names.iter().for_each(|path| disk.set_unreadable(path, Some((0, EACCES))));
    let spool = open(&disk, stepwise(), &clock);
    for _ in 0..2 {
        let new = message(spool.new_id(), &["a@one.example"], &[b'x'; 8000], START);
        sent.push(new.id);
        spool.commit(new).wait().unwrap();
    }
    assert_eq!(ids(&spool), sent[11..]);
    let waits = spool.health().wait().unwrap().unreadable.join("\n");
    assert!(sent[..11].iter().all(|id| waits.contains(&id.to_string())), "{waits}");
    drop(spool);
    disk.restart_process();
    names.iter().for_each(|path| disk.set_unreadable(path, None));
    let spool = open(&disk, stepwise(), &clock);
    assert_eq!(ids(&spool), sent);
    for id in &sent {
        read(&spool, *id).unwrap();
    }
    for lease in claim_all(&spool) {
        settle_all(&spool, &lease, &Disposition::Delivered(contract::attempt(START)));
    }
    assert_eq!(spool.health().wait().unwrap().messages, 0);
}
