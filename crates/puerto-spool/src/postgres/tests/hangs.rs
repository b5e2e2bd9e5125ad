//! Databases that take what they are given, and say nothing.

use std::net::TcpListener;
use std::time::Duration;

use super::cluster::{self, Cluster};
use super::faults::{claim, commit, queued, short, until};
use super::{HOUR, Options, PostgresStore, options};
use crate::postgres::core::LANES;
use crate::postgres::look;
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
    // All of them are told while it hangs: it goes on only when they have been.
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
        until("who asked is told", || asked.iter().all(|asked| asked.is_finished()));
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
        let told = one.health().wait().unwrap().refusing;
        assert!(told.is_some_and(|why| why.to_string().contains("does not answer")));
        assert!(one.draft().is_err(), "whoever comes now hears it at once");
        until("who sent is told", || committing.iter().all(|one| one.is_finished()));
        for committed in committing {
            let refused = committed.join().unwrap();
            assert!(matches!(refused, Err(SpoolError::ReadOnly(_))), "{refused:?}");
        }
    });
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
            // Until it is ended.
            let lock = "LOCK TABLE puerto.message; SELECT pg_sleep(1000)";
            assert!(cluster.in_database("waits", lock).is_err());
        });
        let waiting = |of: &str| {
            let count = format!("SELECT count(*)::text FROM {of}");
            cluster.in_database("waits", &count).unwrap().unwrap()
        };
        let locked = || {
            waiting(
                "pg_locks WHERE granted AND mode = 'AccessExclusiveLock' \
                   AND relation = 'puerto.message'::regclass",
            ) == "1"
        };
        until("nothing can be stored", locked);
        let refused = commit(&one, "a@one.example");
        assert!(matches!(refused, Err(SpoolError::ReadOnly(_))), "{refused:?}");
        assert!(locked(), "it is told before what it waits for has come");
        until("its statement is ended", || {
            waiting(
                "pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND query LIKE '%INSERT INTO message%' AND query NOT LIKE '%LIKE%'",
            ) == "0"
        });
        assert!(locked(), "nor is it this that ends it");
        cluster.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LOCK %'",
        );
    });
    assert_eq!(queued(&one).len(), 0);
}

#[test]
fn of_two_servers_the_second_is_found_where_the_first_hangs_and_else_each_says_why() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    cluster.database("second");
    // The system takes connections for it, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = silent.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let refuses = free.local_addr().unwrap();
    drop(free);
    let of = |servers: &str| {
        let url = format!("postgres://puerto@{servers}/second");
        look(&options(&cluster, &url, "one"), Duration::from_secs(4))
    };
    let seen = of(&format!("{hangs},127.0.0.1:{}", cluster.port)).unwrap();
    assert_eq!((seen.version, &*seen.role), (0, "puerto"));
    match of(&format!("{hangs},{refuses}")) {
        Err(SpoolError::ReadOnly(Hindrance::DatabaseServers { servers, .. })) => {
            assert_eq!(servers[0], (hangs.to_string(), None));
            assert_eq!(servers[1].0, refuses.to_string());
            assert!(servers[1].1.as_ref().unwrap().contains("refused"), "{servers:?}");
        }
        other => panic!("{other:?}"),
    }
}
