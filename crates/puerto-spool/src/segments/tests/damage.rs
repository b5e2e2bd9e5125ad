//! Starts from whatever a disk may hold: what is intact is kept, what is not is named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::Disposition;
use crate::codec::{Put, Take};
use crate::index::Index;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One segment with a few messages, and what they hold.
fn small_store(options: Options) -> (Files, Vec<(MessageId, Vec<u8>)>) {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(3);
    let spool = open(&disk, options, &clock);
    let mut expected = Vec::new();
    for n in 0..4_u8 {
        let new = message(spool.new_id(), &["a@one.example", "b@two.example"], &[n; 70], START);
        let mut octets = new.prefix.clone();
        octets.extend_from_slice(&[n; 70]);
        expected.push((new.id, octets));
        spool.commit(new).wait().unwrap();
    }
    let lease = claim_all(&spool).remove(0);
    settle_all(&spool, &lease, &Disposition::Delivered(contract::attempt(START)));
    let files = disk.files();
    (files, expected)
}

fn disk_with(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new(9);
    for (path, octets) in files {
        disk.put(path, octets.clone());
    }
    disk
}

/// The segment that was written to, and up to where it holds anything.
fn written_segment(files: &Files) -> (PathBuf, usize) {
    let used = |octets: &Vec<u8>| octets.iter().rposition(|o| *o != 0).map_or(0, |at| at + 1);
    let segments =
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "segment"));
    segments.map(|(path, octets)| (path.clone(), used(octets))).max_by_key(|(_, n)| *n).unwrap()
}

/// Opens a damaged store; says which messages are there whole.
fn survivors(files: &Files, expected: &[(MessageId, Vec<u8>)]) -> (Vec<MessageId>, Vec<String>) {
    let clock = Arc::new(ManualClock::new(START));
    let spool = open(&disk_with(files), stepwise(), &clock);
    let list = list(&spool);
    for entry in &list {
        let (_, octets) = expected.iter().find(|(id, _)| *id == entry.id).expect("made up");
        assert_eq!(read(&spool, entry.id).as_ref(), Ok(octets));
    }
    (list.iter().map(|entry| entry.id).collect(), spool.health().wait().unwrap().damaged)
}

#[test]
fn every_octet_of_a_segment_may_flip() {
    let (files, expected) = small_store(stepwise());
    let (path, used) = written_segment(&files);
    for place in 0..used + 64 {
        for mask in [0x01, 0x80, 0xFF] {
            let mut files = files.clone();
            files.get_mut(&path).unwrap()[place] ^= mask;
            let (there, damaged) = survivors(&files, &expected);
            assert!(there.len() >= 3, "one octet costs at most one message: {place}");
            for (id, _) in expected.iter().filter(|(id, _)| !there.contains(id)) {
                let named = damaged.iter().any(|note| note.contains(&id.to_string()));
                assert!(named, "{id} is lost by the flip at {place} and not named: {damaged:?}");
            }
        }
    }
}

#[test]
fn every_prefix_of_a_segment_may_be_all_there_is() {
    let (files, expected) = small_store(stepwise());
    let (path, used) = written_segment(&files);
    let mut most = 0;
    for length in 0..=used {
        let mut files = files.clone();
        files.get_mut(&path).unwrap().truncate(length);
        let (there, damaged) = survivors(&files, &expected);
        let prefix: Vec<MessageId> = expected.iter().map(|(id, _)| *id).take(there.len()).collect();
        assert_eq!(there, prefix, "messages come back in the order in which they were written");
        assert!(there.len() >= most);
        assert!(damaged.len() <= 2, "{damaged:?}");
        most = there.len();
    }
    assert_eq!(most, expected.len());
}

#[test]
fn several_wounds_cost_only_what_they_touch() {
    let (files, expected) = small_store(stepwise());
    let (path, used) = written_segment(&files);
    let mut random = crate::simulated::Random::new(5);
    for _ in 0..500 {
        let mut files = files.clone();
        let octets = files.get_mut(&path).unwrap();
        for _ in 0..1 + random.below(6) {
            let at = random.below(used as u64) as usize;
            let to = (at + random.below(300) as usize).min(octets.len());
            octets[at..to].iter_mut().for_each(|octet| *octet = random.below(256) as u8);
        }
        survivors(&files, &expected);
    }
}

#[test]
fn a_record_inside_a_message_is_never_taken_for_one() {
    let (files, _) = small_store(stepwise());
    let (path, used) = written_segment(&files);
    let clock = Arc::new(ManualClock::new(START));
    // A message holds all of another segment of the same generation and size.
    let disk = SimulatedDisk::new(3);
    let spool = open(&disk, Options { spill_above: 1 << 20, ..stepwise() }, &clock);
    let id = spool.new_id();
    spool.commit(message(id, &["a@b.example"], &files[&path][..used], START)).wait().unwrap();
    let mut outer = disk.files();
    let (outer_path, _) = written_segment(&outer);
    // Its header is destroyed, so the reader looks for the next record inside of it.
    outer.get_mut(&outer_path).unwrap()[1024..1064].fill(0xEE);
    let (there, damaged) = survivors(&outer, &[]);
    assert_eq!(there, []);
    assert!(damaged.iter().any(|note| note.contains(&id.to_string())), "{damaged:?}");
}

#[test]
fn content_that_rots_while_the_store_is_open_is_never_handed_out() {
    let clock = Arc::new(ManualClock::new(START));
    let directory = tempfile::tempdir().unwrap();
    let options = Options { cache: 0, threads: false, ..Options::small() };
    let spool = SegmentSpool::open(directory.path(), options, Arc::new(SystemDisk), clock).unwrap();
    let small = spool.new_id();
    spool.commit(message(small, &["a@b.example"], &[b'x'; 500], START)).wait().unwrap();
    let large = spool.new_id();
    spool.commit(message(large, &["a@b.example"], &[b'y'; 3 << 20], START)).wait().unwrap();
    for (folder, letter) in [("segments", b'x'), ("content", b'y')] {
        for entry in std::fs::read_dir(directory.path().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let mut octets = std::fs::read(&path).unwrap();
            if let Some(at) = octets.windows(9).position(|w| w == [letter; 9]) {
                octets[at] = b'!';
                std::fs::write(&path, octets).unwrap();
            }
        }
    }
    assert!(matches!(spool.content(small).wait().err(), Some(SpoolError::Damaged { .. })));
    assert!(read(&spool, large).unwrap_err().contains("checksum"));
    assert!(spool.health().wait().unwrap().damaged[0].contains(&small.to_string()));
}

#[test]
fn lost_and_orphaned_content_files_are_noticed() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(3);
    let spool = open(&disk, stepwise(), &clock);
    let ids: Vec<MessageId> = (0..2).map(|_| spool.new_id()).collect();
    for id in &ids {
        spool.commit(message(*id, &["a@b.example"], &[7; 9000], START)).wait().unwrap();
    }
    drop(spool);
    let orphan = PathBuf::from("/spool/content/000000aa.content");
    disk.put(&orphan, vec![1; 10]);
    disk.erase(std::path::Path::new("/spool/content/00000001.content"));
    disk.restart_process();
    let spool = open(&disk, stepwise(), &clock);
    assert!(!disk.files().contains_key(&orphan));
    assert!(spool.health().wait().unwrap().damaged[0].contains(&ids[0].to_string()));
    assert!(spool.get(ids[0]).wait().is_ok(), "its sender can be told");
    assert!(read(&spool, ids[0]).is_err());
    assert_eq!(read(&spool, ids[1]).unwrap().len(), 9019);
}

#[test]
fn a_checkpoint_says_what_the_segments_say() {
    let clock = Arc::new(ManualClock::new(START));
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let spool = open(&disk, stepwise(), &clock);
        let mut random = crate::simulated::Random::new(seed);
        for step in 0..80 {
            let size = random.below(2000) as usize;
            let to = ["a@one.example", "b@two.example", "c@one.example"];
            let new = message(spool.new_id(), &to, &vec![1; size], START);
            let id = new.id;
            spool.commit(new).wait().unwrap();
            for lease in claim_all(&spool).into_iter().take(2) {
                let due = clock.now().after(Duration::from_secs(random.below(90)));
                let attempt = contract::attempt(clock.now());
                let disposition = match random.below(3) {
                    0 => Disposition::Deferred { due, attempt },
                    _ => Disposition::Delivered(attempt),
                };
                settle_all(&spool, &lease, &disposition);
            }
            if random.one_in(9) {
                let _ = edit(&spool, id, Edit::Hold);
            }
            if step == 50 {
                spool.checkpoint();
            }
            clock.advance(Duration::from_secs(60));
        }
        let files = disk.files();
        let with = open(&disk_with(&files), stepwise(), &clock);
        let mut damaged = files.clone();
        damaged.get_mut(&PathBuf::from("/spool/checkpoint")).unwrap()[200] ^= 4;
        let without = open(&disk_with(&damaged), stepwise(), &clock);
        let with_list = list(&with);
        // A checkpoint says of what was leased that it is due since then, the records
        // since when it was before.
        let by_now = |spool: &SegmentSpool| {
            let mut list = list(spool);
            for status in list.iter_mut().flat_map(|entry| &mut entry.recipients) {
                if let crate::RecipientState::Due(due) = &mut status.state {
                    *due = clock.now().max(*due);
                }
            }
            list
        };
        assert!(by_now(&with) == by_now(&without), "seed {seed}");
        assert_eq!(with.health().wait().unwrap().damaged, Vec::<String>::new());
        assert!(without.health().wait().unwrap().damaged[0].contains("checkpoint"));
        // What was leased is due again, all else is as it was.
        let before = list(&spool);
        assert_eq!(before.len(), with_list.len());
        for entry in &with_list {
            assert_eq!(read(&with, entry.id), read(&without, entry.id));
            assert_eq!(read(&with, entry.id), read(&spool, entry.id));
        }
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_left_alone() {
    let (mut files, _) = small_store(stepwise());
    let (path, _) = written_segment(&files);
    let octets = files.get_mut(&path).unwrap();
    for copy in [0, 512] {
        octets[copy + 8] = 4;
        let checksum = crc32fast::hash(&octets[copy..copy + 508]);
        octets[copy + 508..copy + 512].copy_from_slice(&checksum.to_le_bytes());
    }
    let disk = disk_with(&files);
    let clock = Arc::new(ManualClock::new(START));
    let error = SegmentSpool::open("/spool", stepwise(), Arc::new(disk.attach()), clock).err();
    let text = error.unwrap().to_string();
    assert!(text.contains("format 4") && text.contains("up to 3"), "{text}");
    assert_eq!(disk.files(), files);
}

#[test]
fn no_octets_make_a_decoder_panic() {
    let mut random = crate::simulated::Random::new(11);
    let (files, _) = small_store(stepwise());
    let (path, used) = written_segment(&files);
    let real = &files[&path][1024 + record::HEADER..used];
    for round in 0..20_000 {
        let mut octets: Vec<u8> = match round % 3 {
            0 => (0..random.below(200)).map(|_| random.below(256) as u8).collect(),
            _ => real[..random.below(real.len() as u64) as usize].to_vec(),
        };
        for _ in 0..random.below(4) {
            if let Some(length) = std::num::NonZeroU64::new(octets.len() as u64) {
                octets[random.below(length.get()) as usize] = random.below(256) as u8;
            }
        }
        let _ = EncodedEnvelope::decode(&octets);
        let _ = record::SegmentHeader::decode(&octets);
        let _ = record::RecordHeader::read(&octets, 1, 2);
        if let Ok(payload) = Payload::take(&octets)
            && let Ok(envelope) = EncodedEnvelope::decode(payload.envelope)
        {
            let mut index = Index::default();
            index.insert(MessageId::from_u64(1), envelope, (1, ()), START);
            let _ = index.apply(MessageId::from_u64(1), payload.states);
        }
    }
    let mut texts = Vec::new();
    texts.put_bytes("é".as_bytes());
    assert!(Take(&texts[..5]).text().is_err());
}
