//! Databases that take what they are given, and say nothing.

use std::time::Duration;

use super::cluster::{self, Cluster};
use super::faults::{claim, commit, queued, short, until};
use super::{HOUR, Options, PostgresStore, options};
use crate::clock::{Clock as _, SystemClock};
use crate::postgres::core::LANES;
use crate::{Desk as _, Hindrance, PageRequest, SpoolError, Store as _, Work as _};

#[test]
fn a_database_that_hangs_is_given_up_in_time_and_nothing_of_it_is_delivered_twice() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("hangs");
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let before = commit(&one, "a@one.example").unwrap();
    until("it is heard of", || one.living() == 1);
    let frozen = cluster.freeze();
    let began = SystemClock.elapsed();
    std::thread::scope(|scope| {
        // Some are sent and never answered, the others come when all connections wait.
        let committing: Vec<_> = (0..LANES * 3)
            .map(|n| {
                let one = &one;
                scope.spawn(move || commit(one, &format!("a@d{n}.example")))
            })
            .collect();
        let asked = [
            scope.spawn(|| one.nodes().wait().map(drop)),
            scope.spawn(|| {
                one.page(&PageRequest { limit: 9, ..PageRequest::default() }).wait().map(drop)
            }),
        ];
        for asked in asked {
            let silent = asked.join().unwrap();
            let said = matches!(
                silent,
                Err(SpoolError::ReadOnly(
                    Hindrance::DatabaseSilent { .. } | Hindrance::DatabaseAway { .. }
                ))
            );
            assert!(said, "{silent:?}");
        }
        assert!(
            SystemClock.elapsed() - began < Duration::from_secs(15),
            "{:?}",
            SystemClock.elapsed() - began
        );
        let told = one.health().wait().unwrap().refusing;
        assert!(told.is_some_and(|why| why.contains("does not answer")));
        assert!(one.draft().is_err(), "whoever comes now hears it at once");
        for committed in committing {
            let refused = committed.join().unwrap();
            assert!(matches!(refused, Err(SpoolError::ReadOnly(_))), "{refused:?}");
        }
    });
    assert!(
        SystemClock.elapsed() - began < Duration::from_secs(25),
        "{:?}",
        SystemClock.elapsed() - began
    );
    drop(frozen);
    until("it takes mail again", || one.draft().is_ok());
    // Their clients come again: what was stored of them after all is forgotten.
    until("nothing stays of what was refused", || {
        one.page(&PageRequest { limit: 99, ..PageRequest::default() }).wait().is_ok_and(|page| {
            page.entries.iter().map(|entry| entry.id).collect::<Vec<_>>() == [before]
        })
    });
    assert_eq!(claim(&one).iter().map(|lease| lease.token.id).collect::<Vec<_>>(), [before]);
}

#[test]
fn a_statement_that_waits_for_others_is_given_up_in_time_and_ended() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("waits");
    let (lease, beat) = (HOUR * 3, HOUR);
    let options = Options { lease, beat, ..options(&cluster, &url, "one") };
    let one = PostgresStore::open(options).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lock = "LOCK TABLE puerto.message; SELECT pg_sleep(24)";
            cluster.in_database("waits", lock).unwrap();
        });
        let waiting = |of: &str| {
            let count = format!("SELECT count(*)::text FROM {of}");
            cluster.in_database("waits", &count).unwrap().unwrap()
        };
        until("nothing can be stored", || {
            waiting(
                "pg_locks WHERE granted AND mode = 'AccessExclusiveLock' \
                   AND relation = 'puerto.message'::regclass",
            ) == "1"
        });
        let began = SystemClock.elapsed();
        let refused = commit(&one, "a@one.example");
        assert!(matches!(refused, Err(SpoolError::ReadOnly(_))), "{refused:?}");
        assert!(
            SystemClock.elapsed() - began < Duration::from_secs(22),
            "{:?}",
            SystemClock.elapsed() - began
        );
        until("its statement is ended", || {
            waiting(
                "pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND query LIKE '%INSERT INTO message%' AND query NOT LIKE '%LIKE%'",
            ) == "0"
        });
    });
    assert_eq!(queued(&one).len(), 0);
}
