//! Segments that are damaged, foreign or not there at a start.

use std::path::PathBuf;

use super::passing::*;
use super::*;

/// Opens what is left; says what is there, having seen that the rest is named.
fn open_damaged(store: &Store) -> (SegmentSpool, String) {
    let spool = open(&store.disk, stepwise(), &store.clock);
    let notes = spool.health().wait().unwrap().damaged.join("\n");
    let there = ids(&spool);
    assert!(there.iter().all(|id| store.queued.contains(id)), "something is back: {notes}");
    (spool, notes)
}

#[test]
fn a_sealed_segment_that_has_lost_its_end_is_reported() {
    for zeroed in [true, false] {
        for checkpoint in [false, true] {
            let store = several_segments(checkpoint);
            let mut octets = store.disk.files()[&store.segments[2]].clone();
            match zeroed {
                true => octets[6000..].fill(0),
                false => octets.truncate(6000),
            }
            store.disk.put(&store.segments[2], octets);
            // What it said of others is lost as well, so some may come back.
            let spool = open(&store.disk, stepwise(), &store.clock);
            let notes = spool.health().wait().unwrap().damaged.join("\n");
            let lost = store.queued.iter().filter(|id| spool.get(**id).wait().is_err()).count();
            if !checkpoint {
                assert!(lost > 0);
                assert!(notes.contains("octets that were written to it are not there"), "{notes}");
            }
            // What is known by a checkpoint stays and is named when it is read.
            for id in &store.queued {
                if spool.get(*id).wait().is_ok() && read(&spool, *id).is_err() {
                    let notes = spool.health().wait().unwrap().damaged.join("\n");
                    assert!(notes.contains(&id.to_string()), "{id} is not named: {notes}");
                }
            }
        }
    }
}

#[test]
fn a_message_that_is_lost_is_named_by_what_was_said_of_it_later() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(11);
    let spool = open(&disk, stepwise(), &clock);
    let first = spool.new_id();
    spool.commit(message(first, &["a@one.example"], &[1; 200], START)).wait().unwrap();
    for _ in 0..40 {
        let new = message(spool.new_id(), &["b@two.example"], &[2; 700], START);
        spool.commit(new).wait().unwrap();
    }
    assert_eq!(spool.note_delay(first).wait(), Ok(true));
    disk.restart_process();
    disk.erase(Path::new("/spool/checkpoint"));
    let path = PathBuf::from("/spool/segments/00000001.segment");
    let mut octets = disk.files()[&path].clone();
    octets[1024..].fill(0);
    disk.put(&path, octets);
    let notes = open(&disk, stepwise(), &clock).health().wait().unwrap().damaged.join("\n");
    assert!(notes.contains(&format!("message {first} is lost")), "{notes}");
}

#[test]
fn segments_that_are_not_there_are_reported_and_bring_nothing_back() {
    for checkpoint in [true, false] {
        for place in 0..several_segments(checkpoint).segments.len() {
            let store = several_segments(checkpoint);
            store.disk.erase(&store.segments[place]);
            let newest = place == store.segments.len() - 1;
            if newest && !checkpoint {
                // Nothing tells that there was one.
                continue;
            }
            let spool = open(&store.disk, stepwise(), &store.clock);
            let notes = spool.health().wait().unwrap().damaged.join("\n");
            assert!(notes.contains("is not there"), "{notes}");
            if checkpoint {
                let there = ids(&spool);
                assert!(there.iter().all(|id| store.queued.contains(id)), "something is back");
                for id in store.queued.iter().filter(|id| !there.contains(id)) {
                    assert!(notes.contains(&id.to_string()), "{id} is not named: {notes}");
                }
            }
            let used = |path: &PathBuf| store.disk.files().contains_key(path);
            let new = message(spool.new_id(), &["new@two.example"], b"new", START);
            spool.commit(new).wait().unwrap();
            assert!(!used(&store.segments[place]), "its name is not given to another");
        }
    }
}

#[test]
fn a_segment_of_another_store_is_set_aside() {
    let foreign = several_segments(false);
    let foreign = foreign.disk.files()[&foreign.segments[3]].clone();
    for (checkpoint, identity) in [(true, true), (false, true), (true, false), (false, false)] {
        for name in ["00000000", "00000001", "0000ffff"] {
            let store = several_segments(checkpoint);
            let clock = Arc::new(ManualClock::new(START));
            drop(open(&SimulatedDisk::new(1), stepwise(), &clock));
            let path = PathBuf::from(format!("/spool/segments/{name}.segment"));
            if store.segments.contains(&path) {
                continue;
            }
            store.disk.put(&path, foreign.clone());
            if !identity {
                store.disk.erase(Path::new("/spool/identity"));
            }
            let (spool, notes) = open_damaged(&store);
            assert_eq!(ids(&spool), store.queued);
            assert!(notes.contains("belongs to another store"), "{notes}");
            let aside = path.with_extension("foreign");
            assert_eq!(store.disk.files()[&aside], foreign);
        }
    }
}

#[test]
fn a_second_copy_of_a_segment_is_set_aside() {
    for name in ["00000000", "0000ffff"] {
        let store = several_segments(false);
        let path = PathBuf::from(format!("/spool/segments/{name}.segment"));
        store.disk.put(&path, store.disk.files()[&store.segments[2]].clone());
        let (spool, notes) = open_damaged(&store);
        assert_eq!(ids(&spool), store.queued);
        assert!(notes.contains("second copy"), "{notes}");
    }
}

#[test]
fn a_segment_whose_beginning_is_zeroed_is_not_taken_for_an_unused_one() {
    for place in 0..4 {
        let store = several_segments(false);
        let mut octets = store.disk.files()[&store.segments[place]].clone();
        octets[..1024].fill(0);
        store.disk.put(&store.segments[place], octets);
        let (spool, notes) = open_damaged(&store);
        assert_eq!(ids(&spool), store.queued);
        assert!(notes.contains("has a damaged header"), "{notes}");
    }
}

#[test]
fn damaged_segments_are_kept_when_nothing_in_them_counts_any_more() {
    let store = several_segments(false);
    let mut octets = store.disk.files()[&store.segments[1]].clone();
    octets[2000] ^= 1;
    store.disk.put(&store.segments[1], octets.clone());
    let (spool, _) = open_damaged(&store);
    deliver_all(&spool, store.clock.now());
    for _ in 0..60 {
        let new = message(spool.new_id(), &["new@two.example"], &[3; 700], START);
        spool.commit(new).wait().unwrap();
        deliver_all(&spool, store.clock.now());
    }
    let aside = store.segments[1].with_extension("damaged");
    assert!(store.disk.files().get(&aside) == Some(&octets));
}
