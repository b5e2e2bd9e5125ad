//! Space: it comes back, and when there is none the queue still drains.

use super::*;
use crate::Disposition;

fn options() -> Options {
    Options { segment_size: 32 << 10, reserve: 64 << 10, ..stepwise() }
}

/// What the module of upkeep promises, for the octets that are queued: a record is at
/// most half as large again as its content here.
fn bound(queued: u64) -> u64 {
    2 * (queued + queued / 2) + SEGMENTS_BESIDES * (32 << 10)
}

#[test]
fn disk_use_stays_within_its_bound_over_many_rounds() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let spool = open(&disk, options(), &clock);
    // A few messages that nobody can deliver lie in the way of all the others.
    let mut stuck = Vec::new();
    let mut last_octets = 0;
    for round in 0..120_u64 {
        if round % 10 == 0 {
            let id = spool.new_id();
            spool.commit(message(id, &["a@stuck.example"], &[1; 1000], START)).wait().unwrap();
            stuck.push(id);
        }
        for n in 0..20 {
            let body = vec![2; 300 + 60 * n];
            spool.commit(message(spool.new_id(), &["a@b.example"], &body, START)).wait().unwrap();
        }
        let health = spool.health().wait().unwrap();
        assert!(
            health.disk_octets <= bound(health.octets),
            "round {round}: {} octets on disk for {} queued",
            health.disk_octets,
            health.octets
        );
        for lease in claim_all(&spool) {
            let attempt = contract::attempt(clock.now());
            let due = clock.now().after(Duration::from_secs(60));
            let disposition = match lease.domain.to_string().as_str() {
                "stuck.example" => Disposition::Deferred { due, attempt },
                _ => Disposition::Delivered(attempt),
            };
            settle_all(&spool, &lease, &disposition);
        }
        clock.advance(Duration::from_secs(61));
        last_octets = spool.health().wait().unwrap().disk_octets;
        assert_eq!(last_octets, segments(&disk));
    }
    assert!(last_octets <= bound(stuck.len() as u64 * 1000));
    disk.restart();
    let spool = open(&disk, options(), &clock);
    for id in stuck {
        assert_eq!(read(&spool, id).unwrap().len(), 1019);
    }
}

/// A store in which much was delivered and one message waits.
fn after_much_mail(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> (SegmentSpool, MessageId) {
    let spool = open(disk, Options { tidy: Duration::from_secs(3600), ..options() }, clock);
    let kept = spool.new_id();
    spool.commit(message(kept, &["a@stuck.example"], b"kept", START)).wait().unwrap();
    for n in 0..60 {
        let body = b"delivered ".repeat(if n == 30 { 1000 } else { 100 });
        spool.commit(message(spool.new_id(), &["gone@b.example"], &body, START)).wait().unwrap();
    }
    for lease in claim_all(&spool).into_iter().filter(|lease| lease.token.id != kept) {
        settle_all(&spool, &lease, &Disposition::Delivered(contract::attempt(START)));
    }
    (spool, kept)
}

fn traces(disk: &SimulatedDisk) -> usize {
    let is_there = |octets: &[u8], what: &[u8]| octets.windows(what.len()).any(|at| at == what);
    let files = disk.files();
    let with = files.values().filter(|o| is_there(o, b"delivered ") || is_there(o, b"gone@b"));
    with.count()
}

#[test]
fn what_was_delivered_leaves_no_trace_in_a_quiet_store() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let (spool, kept) = after_much_mail(&disk, &clock);
    spool.core.maintain();
    assert!(traces(&disk) > 0);
    clock.advance(upkeep::QUIET);
    spool.core.maintain();
    spool.core.maintain();
    assert_eq!(traces(&disk), 0);
    assert!(spool.health().wait().unwrap().disk_octets <= SEGMENTS_AT_REST * (32 << 10));
    assert_eq!(read(&spool, kept).unwrap().len(), 23);
    // Nothing is written for nothing.
    let operations = disk.operations();
    clock.advance(Duration::from_secs(7200));
    spool.core.maintain();
    assert_eq!(disk.operations(), operations);
    // Where mail comes and goes all the time, it is an hour.
    for (body, left) in [(&b"delivered "[..], 1), (b"another", 0)] {
        clock.advance(Duration::from_secs(3600));
        spool.commit(message(spool.new_id(), &["a@b.example"], body, START)).wait().unwrap();
        for lease in claim_all(&spool).into_iter().filter(|l| l.token.id != kept) {
            settle_all(&spool, &lease, &Disposition::Delivered(contract::attempt(START)));
        }
        assert_eq!(traces(&disk), left);
    }
    assert_eq!(read(&spool, kept).unwrap().len(), 23);
}

#[test]
fn leaving_the_log_behind_may_be_broken_off_at_any_moment() {
    use crate::simulated::Effect;
    let faults = [Effect::PowerCut, Effect::Fail(std::io::ErrorKind::Other)];
    for (fault, seed) in faults.into_iter().zip(1..) {
        for at in 1.. {
            let clock = Arc::new(ManualClock::new(START));
            let disk = SimulatedDisk::new(seed * 1000 + at);
            let (spool, kept) = after_much_mail(&disk, &clock);
            let before = disk.operations();
            disk.set_fault(Some((before + at, fault)));
            clock.advance(upkeep::QUIET);
            spool.core.maintain();
            let was_whole = disk.operations() < before + at;
            disk.restart();
            drop(spool);
            let spool = open(&disk, options(), &clock);
            assert_eq!(spool.health().wait().unwrap().damaged, [""; 0], "{fault:?} at {at}");
            let list = list(&spool);
            let ids: Vec<MessageId> = list.iter().map(|entry| entry.id).collect();
            assert_eq!(ids, [kept], "{fault:?} at {at}");
            assert_eq!(read(&spool, kept).unwrap().len(), 23);
            clock.advance(upkeep::QUIET);
            spool.core.maintain();
            assert_eq!(traces(&disk), 0, "{fault:?} at {at}");
            if was_whole {
                assert!(at > 8, "{at}");
                break;
            }
        }
    }
}

fn segments(disk: &SimulatedDisk) -> u64 {
    let files = disk.files();
    let segments =
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "segment"));
    segments.map(|(_, octets)| octets.len() as u64).sum()
}

#[test]
fn a_record_may_be_larger_than_a_segment() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let large = Options { spill_above: 1 << 20, ..options() };
    let spool = open(&disk, large, &clock);
    let to: Vec<String> = (0..3000).map(|n| format!("user{n}@domain{n}.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let many = spool.new_id();
    spool.commit(message(many, &to, b"x", START)).wait().unwrap();
    let long = spool.new_id();
    spool.commit(message(long, &["a@b.example"], &[3; 200_000], START)).wait().unwrap();
    disk.restart();
    let spool = open(&disk, large, &clock);
    assert_eq!(spool.get(many).wait().unwrap().recipients.len(), 3000);
    assert_eq!(read(&spool, long).unwrap().len(), 200_019);
    assert_eq!(claim_all(&spool).len(), 3001);
}

#[test]
fn many_drafts_at_once_move_to_files_early() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let spool = open(&disk, Options { spill_above: 1 << 20, ..options() }, &clock);
    let in_files = || {
        let files = disk.files();
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "content")).count()
    };
    let half = vec![7; 512 << 10];
    let mut drafts: Vec<_> = (0..64)
        .map(|_| {
            let mut draft = spool.draft().unwrap();
            draft.write(&half).unwrap();
            draft
        })
        .collect();
    assert_eq!(in_files(), 0, "what is small stays in memory while there is room for it");
    for draft in &mut drafts {
        draft.write(&half[..256 << 10]).unwrap();
    }
    // Together they have 48 MiB, of which 32 may stay.
    assert!(in_files() >= 21, "{} of 64 drafts are in files", in_files());
    drop(drafts);
    assert_eq!(in_files(), 0);
    let mut draft = spool.draft().unwrap();
    draft.write(&half).unwrap();
    assert_eq!(in_files(), 0, "room was given back");
}

#[test]
fn a_full_disk_refuses_mail_and_drains_the_queue() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    disk.set_capacity(400 << 10);
    let spool = open(&disk, options(), &clock);
    let mut accepted = Vec::new();
    let error = loop {
        let id = spool.new_id();
        let drafted = spool.draft().map(drop);
        let new = message(id, &["a@b.example", "c@d.example"], &[1; 2000], START);
        match drafted.and_then(|()| spool.commit(new).wait()) {
            Ok(()) => accepted.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, SpoolError::Full(_)), "{error:?}");
    assert!(spool.health().wait().unwrap().refusing.is_none() || spool.draft().is_err());
    assert!(accepted.len() > 50);
    // Nothing at all is free any more, and still each delivery can be recorded.
    disk.set_capacity(disk.used());
    for lease in claim_all(&spool) {
        settle_all(&spool, &lease, &Disposition::Delivered(contract::attempt(START)));
    }
    assert_eq!(spool.health().wait().unwrap().messages, 0);
    disk.set_capacity(1 << 20);
    spool.draft().unwrap();
    let id = spool.new_id();
    spool.commit(message(id, &["a@b.example"], b"again", START)).wait().unwrap();
    disk.restart();
    let list = list(&open(&disk, options(), &clock));
    assert_eq!(list.iter().map(|entry| entry.id).collect::<Vec<_>>(), [id]);
}

#[test]
fn a_draft_that_finds_the_disk_full_says_so_and_leaves_nothing() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let spool = open(&disk, Options { reserve: 0, ..options() }, &clock);
    let used = disk.used();
    disk.set_capacity(used + 10_000);
    let mut draft = spool.draft().unwrap();
    let mut answer = Ok(());
    for _ in 0..400 {
        answer = answer.and_then(|()| draft.write(&[9; 1000]));
    }
    assert!(matches!(answer, Err(SpoolError::Full(_))), "{answer:?}");
    drop(draft);
    assert_eq!(disk.used(), used);
}

#[test]
fn a_disk_that_becomes_read_only_still_hands_out_what_it_has() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let spool = open(&disk, options(), &clock);
    let kept = spool.new_id();
    spool.commit(message(kept, &["a@b.example"], b"kept", START)).wait().unwrap();
    let gone = spool.new_id();
    spool.commit(message(gone, &["a@d.example"], b"gone", START)).wait().unwrap();
    disk.set_read_only(true);
    let refused = message(spool.new_id(), &["a@b.example"], b"no", START);
    let answer = spool.commit(refused).wait();
    assert!(matches!(answer, Err(SpoolError::ReadOnly(_))), "{answer:?}");
    assert!(spool.health().wait().unwrap().refusing.is_some());
    assert!(matches!(spool.draft().err(), Some(SpoolError::ReadOnly(_))));
    for lease in claim_all(&spool).into_iter().filter(|lease| lease.token.id == gone) {
        assert_eq!(read(&spool, lease.token.id).unwrap(), b"Received: by test\r\ngone");
        let dispositions = vec![(0, Disposition::Delivered(contract::attempt(START)))];
        let settlement = Settlement { token: lease.token, dispositions };
        let settled = spool.settle(vec![settlement]).wait().remove(0).unwrap();
        assert_eq!(settled.remaining, 0);
        assert!(settled.durable.wait().is_err(), "it is not durable, and the caller is told");
    }
    disk.set_read_only(false);
    assert_eq!(spool.note_delay(kept).wait(), Ok(true));
    assert_eq!(spool.health().wait().unwrap().refusing, None, "it recovers by itself");
    disk.restart();
    let list = list(&open(&disk, options(), &clock));
    let ids: Vec<MessageId> = list.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [kept], "what could not be recorded was recorded later");
}

#[test]
fn neither_a_start_nor_a_stop_waits_for_ever_for_a_copy_of_what_is_alive() {
    let clock = Arc::new(ManualClock::new(START));
    let disk = SimulatedDisk::new(1);
    let spool = open(&disk, options(), &clock);
    let kept = spool.new_id();
    spool.commit(message(kept, &["a@stuck.example"], &[1; 1000], START)).wait().unwrap();
    // Many segments whose messages go at the very end, so that copying is due.
    let mut others = Vec::new();
    for _ in 0..400 {
        let id = spool.new_id();
        spool.commit(message(id, &["a@b.example"], &[2; 2000], START)).wait().unwrap();
        others.push(id);
    }
    let threaded = Options { threads: true, ..options() };
    drop(spool);
    let spool = open(&disk, threaded, &clock);
    for id in others {
        let _ = edit(&spool, id, crate::Edit::Remove);
    }
    drop(spool);
    // While a store is opened, and when it is closed soon after, upkeep may wait for
    // copies that another thread must write.
    let spool = open(&disk, threaded, &clock);
    assert_eq!(read(&spool, kept).unwrap().len(), 1019);
}

#[test]
fn a_store_fits_its_disk() {
    for (disk, segment_size, reserve) in [
        (8 << 20, 1 << 20, 512 << 10),
        (64 << 20, 1 << 20, 4 << 20),
        (512 << 20, 8 << 20, 32 << 20),
        (4 << 30, 64 << 20, 64 << 20),
        (u64::MAX, 64 << 20, 64 << 20),
    ] {
        let options = Options::fitting(disk);
        assert_eq!((options.segment_size, options.reserve), (segment_size, reserve), "{disk}");
        assert!(options.spill_above as u64 <= segment_size / 4);
    }
}
