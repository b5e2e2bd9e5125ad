//! Stores that programs of earlier formats wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::{Attempt, Disposition, RecipientState};

/// Opens a fixture with its checkpoint and without it. `PUERTO_MAKE_FIXTURE` makes one
/// that does not exist; one that a release has written is never made again.
fn each_way(name: &str, make: fn(&Path), check: fn(&SegmentSpool, &[Entry])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("PUERTO_MAKE_FIXTURE").is_some() && !root.exists() {
        make(&root);
    }
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for folder in [".", "segments", "content"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let name = PathBuf::from("/spool").join(folder).join(path.file_name().unwrap());
            files.insert(name.components().collect(), std::fs::read(path).unwrap());
        }
    }
    for checkpoint in [true, false] {
        if !checkpoint {
            files.remove(Path::new("/spool/checkpoint")).unwrap();
        }
        let disk = SimulatedDisk::new(9);
        for (path, octets) in &files {
            disk.put(path, octets.clone());
        }
        let clock = Arc::new(ManualClock::new(START));
        // As it is read, and as the store itself has written it since.
        for _ in 0..2 {
            let spool = open(&disk, stepwise(), &clock);
            assert_eq!(spool.health().wait().unwrap().damaged, Vec::<String>::new());
            check(&spool, &list(&spool));
        }
    }
}

fn make(root: &Path, fill: impl FnOnce(&SegmentSpool, &ManualClock)) {
    let clock = Arc::new(ManualClock::new(START));
    let options = Options { segment_size: 8 << 10, ..stepwise() };
    let spool = SegmentSpool::open(root, options, Arc::new(SystemDisk), clock.clone()).unwrap();
    fill(&spool, &clock);
    // The process ends without a word, so that there is something to replay.
    std::mem::forget(spool);
    let _ = std::fs::remove_file(root.join("lock"));
}

#[test]
fn format_1_stays_readable() {
    each_way("segment-v1", make_first, |spool, list| {
        let states: Vec<Vec<bool>> = list
            .iter()
            .map(|e| e.recipients.iter().map(|r| r.state == RecipientState::Done).collect())
            .collect();
        assert_eq!(states, [vec![false, true], vec![false], vec![false]]);
        assert_eq!(list[0].recipients[1].story, [of_format_1(contract::attempt(START))]);
        assert_eq!(list[0].recipients[0].recipient.notify, Some(puerto_smtp::Notify::NEVER));
        assert_eq!(list[0].recipients[0].recipient.original.as_deref(), Some("rfc822;o@b.example"));
        assert!(list[1].held && list[1].delay_notified);
        assert_eq!(list[2].origin, crate::Origin::Client("mail.example[192.0.2.7]".into()));
        assert_eq!(read(spool, list[0].id).unwrap(), b"Received: by test\r\nfirst\r\n");
        assert_eq!(read(spool, list[2].id).unwrap().len(), 5019);
    });
}

fn make_first(root: &Path) {
    make(root, |spool, _| {
        let mut first =
            message(spool.new_id(), &["a@b.example", "c@d.example"], b"first\r\n", START);
        first.envelope.recipients[0].notify = Some(puerto_smtp::Notify::NEVER);
        first.envelope.recipients[0].original = Some("rfc822;o@b.example".into());
        let second = message(spool.new_id(), &["held@b.example"], b"second\r\n", START);
        let gone = message(spool.new_id(), &["gone@b.example"], b"gone\r\n", START);
        let mut large = message(spool.new_id(), &["large@b.example"], &[b'l'; 5000], START);
        large.origin = crate::Origin::Client("mail.example[192.0.2.7]".into());
        let (held, removed) = (second.id, gone.id);
        for new in [first, second, gone, large] {
            spool.commit(new).wait().unwrap();
        }
        spool.checkpoint();
        edit(spool, held, Edit::Hold).unwrap();
        assert_eq!(spool.note_delay(held).wait(), Ok(true));
        edit(spool, removed, Edit::Remove).unwrap();
        let leases = claim_all(spool);
        let lease = leases.iter().find(|lease| lease.domain.to_string() == "d.example").unwrap();
        settle_all(spool, lease, &Disposition::Delivered(contract::attempt(START)));
    });
}

fn of_format_1(attempt: Attempt) -> Attempt {
    Attempt { cause: String::new(), ..attempt }
}

/// An attempt that failed for the moment, `minutes` after the start.
fn failed(minutes: u64, relay: &str, text: &str) -> Attempt {
    let at = START.after(Duration::from_secs(60 * minutes));
    of_format_1(Attempt { relay: relay.into(), text: text.into(), ..contract::attempt(at) })
}

fn defer(spool: &SegmentSpool, clock: &ManualClock, domain: &str, attempt: &Attempt) {
    clock.set(attempt.at);
    let leases = claim_all(spool);
    let lease = leases.iter().find(|lease| lease.domain.to_string() == domain).unwrap();
    let due = attempt.at.after(Duration::from_secs(60));
    settle_all(spool, lease, &Disposition::Deferred { due, attempt: attempt.clone() });
    for other in leases.iter().filter(|other| other.token != lease.token) {
        settle_all(spool, other, &Disposition::Returned(attempt.at));
    }
}

#[test]
fn format_1_keeps_what_was_tried() {
    each_way("segment-v1-tried", make_tried, |_, list| {
        let tried: Vec<Vec<u32>> =
            list.iter().map(|e| e.recipients.iter().map(|r| r.attempts).collect()).collect();
        assert_eq!(tried, [vec![3, 3, 1, 0], vec![2]]);
        let last = failed(9, "mx2.example.net[192.0.2.2]:25", "still later");
        assert_eq!(list[0].recipients[0].story, std::slice::from_ref(&last));
        assert_eq!(list[0].recipients[1].story, [last]);
        let cut = list[0].recipients[2].last().unwrap();
        assert_eq!((cut.relay.as_str(), cut.text.len()), ("", 1022));
        assert_eq!(list[0].recipients[3].last(), None);
        assert_eq!(list[1].recipients[0].story, [failed(8, "mx.example.net", "é")]);
        let due =
            |minutes: u64| RecipientState::Due(START.after(Duration::from_secs(60 * minutes)));
        assert_eq!(list[0].recipients[0].state, due(10));
        assert_eq!(list[1].recipients[0].state, due(9));
    });
}

fn make_tried(root: &Path) {
    make(root, |spool, clock| {
        let to = ["a@one.example", "b@one.example", "c@two.example", "d@three.example"];
        let first = message(spool.new_id(), &to, b"first\r\n", START);
        spool.commit(first).wait().unwrap();
        defer(spool, clock, "one.example", &failed(1, "mx1.example.net[192.0.2.1]:25", "later"));
        let second = message(spool.new_id(), &["e@four.example"], b"second\r\n", START);
        spool.commit(second).wait().unwrap();
        defer(spool, clock, "four.example", &failed(2, "", "no answer"));
        defer(spool, clock, "one.example", &failed(3, "mx1.example.net[192.0.2.1]:25", "later"));
        spool.checkpoint();
        defer(spool, clock, "two.example", &failed(4, "", &"ñ€x".repeat(500)));
        defer(spool, clock, "four.example", &failed(8, "mx.example.net", "é"));
        defer(
            spool,
            clock,
            "one.example",
            &failed(9, "mx2.example.net[192.0.2.2]:25", "still later"),
        );
    });
}

#[test]
fn format_2_stays_readable() {
    each_way("segment-v2", make_second, |spool, list| {
        let (one, other) = (failed_by(1, 1), failed_by(1, 2));
        assert_eq!(list[0].recipients[0].attempts, 7);
        let told = [1, 4, 5, 6, 7].map(|n| failed_by(n, 1 + n % 2)).to_vec();
        assert_eq!(list[0].recipients[0].story, told);
        assert_eq!(list[0].recipients[1].story, told);
        assert_eq!(list[0].recipients[2].story, []);
        assert_eq!(list[1].recipients[0].story, [other, one]);
        assert_eq!(read(spool, list[1].id).unwrap(), b"Received: by test\r\nsecond\r\n");
    });
}

fn failed_by(minutes: u64, host: u64) -> Attempt {
    let relay = format!("mx{host}.example.net[192.0.2.{host}]:25");
    let cause = format!("{{\"id\":\"reply\",\"host\":{host}}}");
    Attempt { cause, ..failed(minutes, &relay, "try again later") }
}

fn make_second(root: &Path) {
    make(root, |spool, clock| {
        let to = ["a@one.example", "b@one.example", "c@two.example"];
        spool.commit(message(spool.new_id(), &to, b"first\r\n", START)).wait().unwrap();
        let second = message(spool.new_id(), &["d@four.example"], b"second\r\n", START);
        spool.commit(second).wait().unwrap();
        defer(spool, clock, "four.example", &failed_by(1, 2));
        for n in 1..=4 {
            defer(spool, clock, "one.example", &failed_by(n, 1 + n % 2));
        }
        spool.checkpoint();
        for n in 5..=7 {
            defer(spool, clock, "one.example", &failed_by(n, 1 + n % 2));
        }
        clock.set(START.after(Duration::from_secs(900)));
        let lease = claim_all(spool);
        let lease = lease.iter().find(|lease| lease.domain.to_string() == "four.example").unwrap();
        settle_all(spool, lease, &Disposition::Deferred { due: START, attempt: failed_by(1, 1) });
    });
}

#[test]
fn format_3_stays_readable() {
    each_way("segment-v3", make_third, |spool, list| {
        let how: Vec<_> = list.iter().map(|e| (e.held, e.held_for.as_str())).collect();
        assert_eq!(how, [(true, "{\"why\":1}"), (false, ""), (true, ""), (true, "second")]);
        let by_login = |name: &str| crate::Origin::Account {
            name: name.into(),
            client: "phone.example[2001:db8::7]".into(),
        };
        assert_eq!(list[0].origin, by_login("ana"));
        assert_eq!(list[3].origin, by_login("zoë@example.org"));
        assert_eq!(read(spool, list[0].id).unwrap(), b"Received: by test\r\nfirst\r\n");
        let claimed = claim_all(spool);
        assert!(claimed.iter().all(|lease| lease.token.id == list[1].id), "the others are held");
        assert_eq!(claimed.len(), 1);
    });
}

fn make_third(root: &Path) {
    make(root, |spool, _| {
        let commit = |account: &str, why: &str| {
            let mut new = message(spool.new_id(), &["a@one.example"], b"first\r\n", START);
            let client = "phone.example[2001:db8::7]".into();
            new.origin = crate::Origin::Account { name: account.into(), client };
            new.held_for = Some(why.into());
            let id = new.id;
            spool.commit(new).wait().unwrap();
            id
        };
        let _stays = commit("ana", "{\"why\":1}");
        let (released, again) = (commit("ana", "first"), commit("ana", "first"));
        edit(spool, again, Edit::Release).unwrap();
        spool.checkpoint();
        edit(spool, released, Edit::Release).unwrap();
        edit(spool, again, Edit::Hold).unwrap();
        commit("zoë@example.org", "second");
    });
}
