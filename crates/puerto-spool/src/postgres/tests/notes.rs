//! Notes that all nodes share.

use std::sync::Arc;

use super::cluster::{self, Cluster};
use super::{PostgresStore, options};
use crate::{Archive, Desk as _, MessageId, Note, SpoolError, Timestamp};

const NOON: Timestamp = Timestamp::from_millis(1_795_521_600_000);

fn id(number: u64) -> MessageId {
    MessageId::from_u64(0xAB_CDEF_0000_0000 + number)
}

fn note(number: u64, second: i64) -> Note {
    let at = Timestamp::from_millis(NOON.as_millis() + second * 1000);
    let keys = vec![u64::MAX, number << 40];
    let mut octets = format!("what became of {number}, at {second}. ").repeat(20).into_bytes();
    octets.push(0);
    Note { id: id(number), at, keys, octets }
}

fn open(cluster: &Cluster, url: &str, node: &str) -> (Arc<PostgresStore>, Arc<dyn Archive>) {
    let store = PostgresStore::open(options(cluster, url, node)).unwrap();
    let archive = store.archive().unwrap();
    (store, archive)
}

#[test]
fn what_one_node_has_noted_any_other_tells() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("noted");
    let (one, of_one) = open(&cluster, &url, "one");
    let (_two, of_two) = open(&cluster, &url, "two");
    assert_eq!(of_two.since().wait(), Ok(None));
    assert_eq!(of_two.newest(9).wait(), Ok(vec![]));
    for second in 0..20 {
        let numbers = second * 10..second * 10 + 10;
        let notes = numbers.map(|n| note(n, second.cast_signed())).collect();
        of_one.keep(notes).wait().unwrap();
    }
    of_two.keep(vec![note(7, 50)]).wait().unwrap();
    let (mut place, mut read) = (0, Vec::new());
    while let Some((notes, behind)) = of_two.behind(place).wait().unwrap() {
        place = behind;
        read.extend(notes);
    }
    assert_eq!(read.len(), 201);
    assert_eq!((&read[0], &read[200]), (&note(0, 0), &note(7, 50)));
    // A node that is dead tells nothing any more; what it has noted is there.
    drop(of_one);
    one.close();
    assert_eq!(of_two.notes(id(7)).wait(), Ok(vec![note(7, 0), note(7, 50)]));
    assert_eq!(of_two.notes(id(199)).wait(), Ok(vec![note(199, 19)]));
    assert_eq!(of_two.notes(id(200)).wait(), Ok(vec![]));
    assert_eq!(of_two.under(150 << 40, 9).wait(), Ok(vec![id(150)]));
    assert_eq!(of_two.under(1, 9).wait(), Ok(vec![]));
    assert_eq!(of_two.under(u64::MAX, 3).wait(), Ok(vec![id(199), id(198), id(197)]));
    assert_eq!(of_two.under(u64::MAX, 500).wait().map(|ids| ids.len()), Ok(200));
    let newest: Vec<u64> = vec![7, 199, 198];
    let newest: Vec<MessageId> = newest.into_iter().map(id).collect();
    let told = of_two.newest(3).wait().unwrap();
    assert_eq!(told.iter().map(|note| note.id).collect::<Vec<_>>(), newest);
    assert_eq!(of_two.since().wait(), Ok(Some(NOON)));
    // What is forgotten is gone, and nothing else.
    assert_eq!(of_two.forget(&[id(7), id(8), id(4711)]).wait(), Ok(2));
    assert_eq!(of_two.notes(id(7)).wait(), Ok(vec![]));
    assert_eq!(of_two.under(7 << 40, 9).wait(), Ok(vec![]));
    assert_eq!(of_two.notes(id(6)).wait(), Ok(vec![note(6, 0)]));
    assert_eq!(of_two.notes(id(9)).wait(), Ok(vec![note(9, 0)]));
    assert_eq!(of_two.under(9 << 40, 9).wait(), Ok(vec![id(9)]));
}

#[test]
fn notes_are_bounded_by_age_and_by_octets() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("bounded");
    let (_store, archive) = open(&cluster, &url, "one");
    for second in 0..100 {
        archive.keep(vec![note(second, second.cast_signed())]).wait().unwrap();
    }
    let since = |second: i64| Ok(Some(Timestamp::from_millis(NOON.as_millis() + second * 1000)));
    archive.purge(note(0, 0).at, 1 << 30).wait().unwrap();
    assert_eq!(archive.since().wait(), since(0));
    archive.purge(note(10, 10).at, 1 << 30).wait().unwrap();
    assert_eq!(archive.since().wait(), since(10));
    let one = note(99, 99).octets.len() as u64;
    archive.purge(note(10, 10).at, one * 20).wait().unwrap();
    let left: Vec<u64> =
        (0..100).filter(|n| !archive.notes(id(*n)).wait().unwrap().is_empty()).collect();
    assert!((10..20).contains(&left.len()), "{left:?}");
    assert_eq!(left.last(), Some(&99));
    archive.purge(Timestamp::from_millis(i64::MAX), 0).wait().unwrap();
    assert_eq!(archive.since().wait(), Ok(None));
}

#[test]
fn notes_wait_for_nothing_when_the_database_is_away_and_may_be_brought_again() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("away");
    let (_store, archive) = open(&cluster, &url, "one");
    archive.keep(vec![note(1, 1)]).wait().unwrap();
    cluster.kill();
    let kept = archive.keep(vec![note(2, 2)]).wait();
    assert!(matches!(kept, Err(SpoolError::ReadOnly(_))), "{kept:?}");
    cluster.restart();
    super::faults::until("it is back", || archive.keep(vec![note(2, 2)]).wait().is_ok());
    assert_eq!(archive.notes(id(2)).wait(), Ok(vec![note(2, 2)]));
}
