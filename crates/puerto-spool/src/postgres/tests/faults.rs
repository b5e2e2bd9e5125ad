//! Databases that die, wires that are cut, nodes that are not heard of.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::cluster::{self, Cluster};
use super::proxy::Wire;
use super::{Bounds, Options, PostgresStore, options};
use crate::contract::{alike, attempt, message};
use crate::postgres::core::LANES;
use crate::{
    Backend, ClaimRequest, Content, Desk as _, Disposition, Edit, Hindrance, Lease, MessageId,
    PageRequest, SpoolError, Store as _, Timestamp, Work as _,
};

/// Everything is anybody's from the beginning.
pub(super) const NOTHING_KEPT: Bounds = Bounds { parts: 0, octets: 0, of_one_domain: 0 };
const SHORT: (Duration, Duration) = (Duration::from_secs(4), Duration::from_millis(200));

pub(super) fn short(options: Options) -> Options {
    Options { lease: SHORT.0, beat: SHORT.1, ..options }
}

pub(super) fn commit(store: &PostgresStore, to: &str) -> Result<MessageId, SpoolError> {
    let id = store.new_id();
    let at = store.clock().now();
    store.commit(message(id, &[to], b"hello\r\n", at)).wait().map(|()| id)
}

/// The first of what is handed out. On a busy machine a node may be unheard of for a moment, and
/// hands out nothing until it is heard again.
pub(super) fn lease(store: &PostgresStore) -> Lease {
    let mut leases = Vec::new();
    until("something is handed out", || {
        leases = claim(store);
        !leases.is_empty()
    });
    leases.remove(0)
}

pub(super) fn claim(store: &PostgresStore) -> Vec<Lease> {
    let request = ClaimRequest {
        hold: Duration::from_secs(60),
        limit: 1000,
        per_domain: 1000,
        resting: Vec::new(),
    };
    store.claim(&request).wait().unwrap().leases
}

fn delivered() -> Disposition {
    Disposition::Delivered(attempt(Timestamp::default()))
}

pub(super) fn settle(store: &PostgresStore, lease: &Lease) -> Result<u32, SpoolError> {
    let answer = store.settle(vec![alike(lease, &delivered())]).wait().pop().unwrap();
    answer.map(|settled| settled.remaining)
}

pub(super) fn queued(store: &PostgresStore) -> HashSet<MessageId> {
    let all = PageRequest { limit: usize::MAX >> 1, ..PageRequest::default() };
    store.page(&all).wait().unwrap().entries.into_iter().map(|entry| entry.id).collect()
}

/// Waits for what is to come by itself.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not within 30 seconds");
}

#[test]
fn two_nodes_hand_out_nothing_twice_and_each_shows_all() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("two");
    let open = |node| {
        let options = Options { bounds: NOTHING_KEPT, ..options(&cluster, &url, node) };
        PostgresStore::open(options).unwrap()
    };
    let (one, two) = (open("one"), open("two"));
    let ids: HashSet<MessageId> =
        (0..300).map(|n| commit(&one, &format!("a@d{}.example", n % 30)).unwrap()).collect();
    assert_eq!(queued(&two), ids);
    let left = AtomicUsize::new(300);
    let deliver = |store: Arc<PostgresStore>| {
        let request = ClaimRequest {
            hold: Duration::from_secs(60),
            limit: 7,
            per_domain: 100,
            resting: Vec::new(),
        };
        let mut taken = Vec::new();
        // Who meets the other's locks may get nothing for a moment.
        until("all are delivered", || {
            for lease in store.claim(&request).wait().unwrap().leases {
                assert_eq!(settle(&store, &lease), Ok(0));
                taken.push(lease.token.id);
                left.fetch_sub(1, Ordering::SeqCst);
            }
            left.load(Ordering::SeqCst) == 0
        });
        taken
    };
    let (first, second) = std::thread::scope(|scope| {
        let (one, two) = (Arc::clone(&one), Arc::clone(&two));
        let threads = (scope.spawn(move || deliver(one)), scope.spawn(move || deliver(two)));
        (threads.0.join().unwrap(), threads.1.join().unwrap())
    });
    let all: Vec<MessageId> = first.into_iter().chain(second).collect();
    assert_eq!((all.len(), all.into_iter().collect::<HashSet<_>>()), (300, ids));
    until("both are known to each other", || one.living() == 2 && two.living() == 2);
    let nodes = two.nodes().wait().unwrap();
    assert!(nodes.len() == 2 && nodes.iter().all(|node| node.alive), "{nodes:?}");
    one.close();
    until("one has left", || two.living() == 1);
    let nodes = two.nodes().wait().unwrap();
    let states: Vec<_> = nodes.iter().map(|node| (&*node.name, node.alive, node.stopped)).collect();
    assert_eq!(states, [("one", false, true), ("two", true, false)]);
}

#[test]
fn what_a_node_had_that_is_not_heard_of_is_anothers_and_its_fence_keeps_it_out() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("dead");
    let wire = Wire::to(cluster.port);
    let far = cluster.url("dead", wire.port);
    let one = PostgresStore::open(short(options(&cluster, &far, "one"))).unwrap();
    let two = PostgresStore::open(short(options(&cluster, &url, "two"))).unwrap();
    let id = commit(&one, "a@one.example").unwrap();
    let lease = lease(&one);
    assert!(claim(&two).is_empty(), "it is another's");
    wire.cut();
    until("it knows by itself", || {
        !one.renew(&[lease.token], Duration::from_secs(60)).wait().unwrap().lost.is_empty()
    });
    assert!(claim(&one).is_empty(), "it begins nothing");
    assert!(matches!(one.draft().map(drop), Err(SpoolError::ReadOnly(_))));
    let mut taken = Vec::new();
    until("it is handed out by another", || {
        taken = claim(&two);
        !taken.is_empty()
    });
    assert_eq!(taken[0].token.id, id);
    assert!(taken[0].token.fence > lease.token.fence);
    let late = one.settle(vec![alike(&lease, &delivered())]);
    wire.mend();
    let late = late.wait().pop().unwrap();
    assert!(matches!(late, Err(SpoolError::LeaseLost(of)) if of == id), "{late:?}");
    assert_eq!(settle(&two, &taken[0]), Ok(0));
    until("it takes part again", || commit(&one, "b@one.example").is_ok());
    // A beat that comes late on a busy machine has it begin nothing for a moment.
    let mut again = Vec::new();
    until("what it took is handed out", || {
        again = claim(&one);
        !again.is_empty()
    });
    assert_eq!(again.len(), 1);
}

#[test]
fn a_node_that_was_away_while_nobody_missed_it_has_lost_nothing() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    cluster.database("away");
    let wire = Wire::to(cluster.port);
    let far = cluster.url("away", wire.port);
    let one = PostgresStore::open(short(options(&cluster, &far, "one"))).unwrap();
    commit(&one, "a@one.example").unwrap();
    let lease = lease(&one);
    wire.cut();
    until("it knows by itself", || {
        !one.renew(&[lease.token], Duration::from_secs(60)).wait().unwrap().lost.is_empty()
    });
    let settled = one.settle(vec![alike(&lease, &delivered())]);
    wire.mend();
    assert_eq!(settled.wait().pop().unwrap().unwrap().remaining, 0);
    until("it takes mail again", || commit(&one, "b@one.example").is_ok());
}

// Seen in a fail-over that took longer than a node is waited for: the first to be back gave
// everybody's mail under way to itself, and 134 of 2,000 messages arrived twice.
#[test]
fn after_an_outage_for_all_the_first_to_be_back_waits_for_the_others() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    cluster.database("outage");
    let wires = [(); 2].map(|()| Wire::to(cluster.port));
    let [one, two] = [("one", &wires[0]), ("two", &wires[1])].map(|(name, wire)| {
        let far = cluster.url("outage", wire.port);
        PostgresStore::open(short(options(&cluster, &far, name))).unwrap()
    });
    let id = commit(&one, "a@one.example").unwrap();
    let lease = lease(&one);
    wires.iter().for_each(Wire::cut);
    until("both know", || one.core.has_lapsed() && two.core.has_lapsed());
    wires[1].mend();
    until("it is back", || commit(&two, "b@two.example").is_ok());
    assert!(claim(&two).iter().all(|lease| lease.token.id != id), "the other was not waited for");
    let settled = one.settle(vec![alike(&lease, &delivered())]);
    wires[0].mend();
    assert_eq!(settled.wait().pop().unwrap().unwrap().remaining, 0);
}

#[test]
fn a_settlement_that_a_fail_over_loses_is_made_good() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("over");
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let id = commit(&one, "a@one.example").unwrap();
    let lease = lease(&one);
    let rows = |sql: &str| cluster.in_database("over", sql).unwrap();
    let before = rows("SELECT concat_ws(',', owner, epoch, fence, due) FROM puerto.work").unwrap();
    let due = one.clock().now().after(super::HOUR);
    let deferred = Disposition::Deferred { due, attempt: attempt(Timestamp::default()) };
    assert!(one.settle(vec![alike(&lease, &deferred)]).wait().iter().all(Result::is_ok));
    // The new primary has the row as it was before.
    rows(&format!(
        "UPDATE puerto.work SET (owner, epoch, fence, due) = ROW({before}), state = NULL"
    ));
    cluster.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'over'");
    until("it is handed out again", || claim(&one).iter().any(|lease| lease.token.id == id));
}

#[test]
fn an_answer_to_a_commit_that_is_lost_is_asked_for_again() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    cluster.database("cut");
    let wire = Wire::to(cluster.port);
    let far = cluster.url("cut", wire.port);
    // So that nothing else is asked meanwhile.
    let (lease, beat) = (super::HOUR * 3, super::HOUR);
    let options = Options { lease, beat, ..options(&cluster, &far, "one") };
    let one = PostgresStore::open(options).unwrap();
    let mut ids: HashSet<MessageId> = HashSet::new();
    for n in 0..20 {
        // Where it is known to be away, it is not tried, and nothing of it stays.
        until("it is taken", || {
            commit(&one, &format!("a@d{n}.example")).map(|id| ids.insert(id)).is_ok()
        });
        wire.swallow_an_answer();
    }
    // The answer to this is the one that is swallowed.
    let _ = one.health().wait();
    until("it is reached again", || one.draft().is_ok());
    assert_eq!(queued(&one), ids, "nothing is there twice, nothing is missing");
    let mut settled = HashSet::new();
    until("all is handed out", || {
        for lease in claim(&one) {
            wire.swallow_an_answer();
            assert_eq!(settle(&one, &lease), Ok(0));
            settled.insert(lease.token.id);
        }
        settled == ids
    });
    until("it is reached again", || one.health().wait().is_ok_and(|health| health.messages == 0));
}

#[test]
fn what_was_not_sent_does_not_wait_for_the_fate_of_what_was() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    cluster.database("doubt");
    let wire = Wire::to(cluster.port);
    let far = cluster.url("doubt", wire.port);
    let (lease, beat) = (super::HOUR * 3, super::HOUR);
    let options = Options { lease, beat, ..options(&cluster, &far, "one") };
    let one = PostgresStore::open(options).unwrap();
    let new = |n: usize| {
        let to = format!("a@d{n}.example");
        one.commit(message(one.new_id(), &[&to], b"hello\r\n", Timestamp::default()))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lock = "LOCK TABLE puerto.message; SELECT pg_sleep(5)";
            cluster.in_database("doubt", lock).unwrap();
        });
        let count = |of: &str| {
            let counted = cluster.in_database("doubt", &format!("SELECT count(*)::text FROM {of}"));
            counted.unwrap().unwrap().parse::<usize>().unwrap()
        };
        until("nothing can be stored", || {
            count(
                "pg_locks WHERE granted AND mode = 'AccessExclusiveLock' \
                   AND relation = 'puerto.message'::regclass",
            ) == 1
        });
        let sent: Vec<_> = (1..=LANES)
            .map(|n| {
                let answer = new(n);
                until("it is sent", || {
                    count(
                        "pg_stat_activity WHERE wait_event_type = 'Lock' \
                           AND query LIKE '%INSERT INTO message%' AND query NOT LIKE '%LIKE%'",
                    ) == n
                });
                answer
            })
            .collect();
        let unsent: Vec<_> = (0..5).map(new).collect();
        wire.cut();
        for answer in unsent {
            assert!(matches!(
                answer.wait(),
                Err(SpoolError::ReadOnly(Hindrance::DatabaseAway { .. }))
            ));
        }
        // While these would still be given up for lost after as long as anybody waits.
        wire.mend();
        for answer in sent {
            assert_eq!(answer.wait(), Ok(()));
        }
    });
    assert_eq!(queued(&one).len(), LANES);
}

/// Commits from several threads while something is done to the database; what was
/// acknowledged.
fn commit_during(store: &Arc<PostgresStore>, disturb: impl FnOnce()) -> HashSet<MessageId> {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders = (0..8).map(|n| {
            let (store, ends) = (Arc::clone(store), &ends);
            scope.spawn(move || {
                let mut taken = Vec::new();
                while !ends.load(Ordering::SeqCst) {
                    let id = store.new_id();
                    let to = format!("a@d{n}.example");
                    let new =
                        message(id, &[&to, "b@two.example"], &[b'x'; 3000], Timestamp::default());
                    match store.commit(new).wait() {
                        Ok(()) => taken.push(id),
                        Err(_) => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
                taken
            })
        });
        let senders: Vec<_> = senders.collect();
        disturb();
        std::thread::sleep(Duration::from_millis(300));
        ends.store(true, Ordering::SeqCst);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

#[test]
fn a_database_that_is_killed_in_a_commit_has_all_that_was_acknowledged_and_nothing_else() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("killed");
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let taken = commit_during(&one, || {
        std::thread::sleep(Duration::from_millis(300));
        cluster.kill();
        std::thread::sleep(Duration::from_millis(500));
        cluster.restart();
        until("it takes mail again", || one.draft().is_ok());
    });
    assert!(!taken.is_empty());
    until("what was refused is not there", || queued(&one) == taken);
}

#[test]
fn sessions_that_are_terminated_lose_nothing() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("ended");
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let taken = commit_during(&one, || {
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(50));
            cluster.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ended'",
            );
        }
    });
    assert!(!taken.is_empty());
    until("all is there", || queued(&one) == taken);
    let mut got = HashSet::new();
    until("all is handed out, and once", || {
        for lease in claim(&one) {
            settle(&one, &lease).unwrap();
            got.insert(lease.token.id);
        }
        one.health().wait().is_ok_and(|health| health.messages == 0)
    });
    assert_eq!(got, taken);
}

// From here on a COMMIT waits.
fn wait_for_nobody(cluster: &Cluster) {
    cluster.run("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (nobody)'");
    cluster.run("SELECT pg_reload_conf()");
    until("it is so", || {
        let shown = cluster.in_database("postgres", "SHOW synchronous_standby_names");
        shown.unwrap().as_deref() == Some("ANY 1 (nobody)")
    });
}

#[test]
fn a_message_that_was_taken_over_is_new_though_the_answer_to_its_commit_was_lost() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("source");
    let from = PostgresStore::open(options(&cluster, &url, "one")).unwrap();
    let id = commit(&from, "a@one.example").unwrap();
    let entry = from.get(id).wait().unwrap();
    cluster.database("lost");
    let wire = Wire::to(cluster.port);
    let url = cluster.url("lost", wire.port);
    let one = PostgresStore::open(options(&cluster, &url, "two")).unwrap();
    wait_for_nobody(&cluster);
    let answer = one.adopt(&entry, Content::Memory(b"hello\r\n".to_vec()));
    let waiting = |event: &str, query: &str| {
        let count = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = 'lost' AND {event} \
               AND query LIKE '{query}'"
        );
        cluster.in_database("postgres", &count).unwrap().as_deref() == Some("1")
    };
    until("its commit waits", || waiting("wait_event = 'SyncRep'", "COMMIT%"));
    wire.cut();
    wire.mend();
    until("it is tried again", || waiting("wait_event_type = 'Lock'", "%INSERT INTO message%"));
    cluster.run("ALTER SYSTEM RESET synchronous_standby_names");
    cluster.run("SELECT pg_reload_conf()");
    assert_eq!(answer.wait(), Ok(true));
    let again = one.adopt(&entry, Content::Memory(b"hello\r\n".to_vec())).wait();
    assert_eq!(again, Ok(false), "now it is there");
}

#[test]
fn what_no_standby_has_confirmed_is_not_taken() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("alone");
    let one = PostgresStore::open(options(&cluster, &url, "one")).unwrap();
    commit(&one, "a@one.example").unwrap();
    wait_for_nobody(&cluster);
    let id = one.new_id();
    let waits = one.commit(message(id, &["b@one.example"], b"", one.clock().now()));
    until("its commit waits", || {
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                      WHERE wait_event = 'SyncRep' AND query LIKE '%INSERT INTO message%'";
        cluster.in_database("alone", cancel).unwrap().as_deref() != Some("0")
    });
    let refused = waits.wait();
    let expected = matches!(refused, Err(SpoolError::Io(Hindrance::NotReplicated { .. })));
    assert!(expected, "{refused:?}");
    assert!(!claim(&one).iter().any(|lease| lease.token.id == id), "it is not sent");
    cluster.run("ALTER SYSTEM RESET synchronous_standby_names");
    cluster.in_database("alone", "SELECT pg_reload_conf()").unwrap();
    until("it is forgotten", || !queued(&one).contains(&id));
    until("mail is taken again", || commit(&one, "c@one.example").is_ok());
}

#[test]
fn tables_of_a_newer_program_are_left_alone() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("newer");
    let options = |migrate| Options { migrate, ..options(&cluster, &url, "one") };
    assert_eq!(super::super::version(&options(false)), Ok(0));
    PostgresStore::open(options(false)).unwrap().close();
    let known = super::super::version(&options(false)).unwrap();
    let set = |to: u32| {
        cluster.in_database("newer", &format!("UPDATE puerto.version SET number = {to}")).unwrap()
    };
    set(known + 1);
    for migrate in [false, true] {
        let error = PostgresStore::open(options(migrate)).map(drop).unwrap_err();
        let newer = matches!(error, SpoolError::Io(Hindrance::SchemaNewer { .. }));
        assert!(newer && error.to_string().contains("newer"), "{error}");
    }
    assert!(super::super::migrate(&options(true)).is_err());
    assert_eq!(super::super::version(&options(false)), Ok(known + 1));
    set(known);
    PostgresStore::open(options(true)).unwrap().close();
}

#[test]
fn ids_go_on_after_a_restart_and_a_name_is_one_nodes() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("names");
    let first = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let id = commit(&first, "a@one.example").unwrap();
    assert!(id.has_node() && id.to_string().len() == 14, "{id}");
    // Killed, and started again: what it had is had again at once.
    let second = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    assert!(second.new_id() > id);
    until("it is had again", || claim(&second).iter().any(|lease| lease.token.id == id));
    until("who was first knows", || {
        let refused = first.draft().map(drop);
        matches!(refused, Err(SpoolError::ReadOnly(Hindrance::NameTaken { .. })))
    });
    assert!(claim(&first).is_empty());
    assert!(commit(&second, "b@one.example").is_ok());
}

#[test]
fn who_takes_anothers_name_is_told_of_it_by_which_machine() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("namesakes");
    // As the sessions of nodes on another machine are called.
    let other = |node: &str| {
        let url = format!("{url}?application_name=puerto%20{node}@elsewhere");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        (runtime, client)
    };
    let first = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    assert_eq!(first.namesakes(), [""; 0]);
    let others = [other("one"), other("one-more"), other("on")];
    let second = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    assert_eq!(second.namesakes(), ["elsewhere (127.0.0.1)"]);
    let mut by = String::new();
    until("who was first knows by whom", || match first.draft().map(drop) {
        Err(SpoolError::ReadOnly(Hindrance::NameTaken { by: who, .. })) => {
            by = who;
            true
        }
        _ => false,
    });
    assert_eq!(by, "elsewhere (127.0.0.1)");
    drop(others);
}

#[test]
fn an_old_snapshot_does_not_stop_the_queue_and_edits_reach_the_other_node() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("old");
    let open = |node| PostgresStore::open(options(&cluster, &url, node)).unwrap();
    let (one, two) = (open("one"), open("two"));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let _snapshot = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM puerto.message";
        client.batch_execute(begin).await.unwrap();
        client
    });
    for round in 0..20 {
        for n in 0..50 {
            commit(&one, &format!("a@d{}.example", (round + n) % 7)).unwrap();
        }
        let leases = claim(&one);
        assert_eq!(leases.len(), 50);
        let all = leases.iter().map(|lease| alike(lease, &delivered())).collect();
        assert!(one.settle(all).wait().iter().all(Result::is_ok));
    }
    // In hand at one node, changed at the other.
    let id = commit(&one, "a@one.example").unwrap();
    until("they know each other", || one.living() == 2 && two.living() == 2);
    assert_eq!(two.edit(&[id], Edit::Hold).wait(), [Ok(())]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(claim(&one).is_empty(), "it is held");
    assert_eq!(two.edit(&[id], Edit::Remove).wait(), [Ok(())]);
    assert_eq!(one.health().wait().unwrap().messages, 0);
}

#[test]
fn a_server_must_prove_its_name_where_that_is_asked() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    cluster.database("tls");
    let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (own, other) = (made(), made());
    let file = |name: &str, certificate: &rcgen::Certificate| {
        let path = cluster.folder().join(name);
        std::fs::write(&path, certificate.pem()).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (file("right.pem", &own.cert), file("wrong.pem", &other.cert));
    cluster.speak_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    let url = |host: &str, how: &str| {
        format!("postgres://puerto@{host}:{}/tls?sslmode={how}", cluster.port)
    };
    let opens = |url: String| {
        super::super::migrate(&Options { migrate: true, ..options(&cluster, &url, "one") }).is_ok()
    };
    until("it speaks TLS", || opens(url("127.0.0.1", "require")));
    assert!(opens(url("localhost", &format!("verify-full&sslrootcert={right}"))));
    assert!(!opens(url("localhost", &format!("verify-full&sslrootcert={wrong}"))), "another's");
    assert!(!opens(url("127.0.0.1", &format!("verify-full&sslrootcert={right}"))), "its name");
    assert!(!opens(url("localhost", "verify-full")), "nobody knows it");
    assert!(opens(url("localhost", "prefer")) && opens(url("localhost", "disable")));
}

/// A whole backend is one that any node may be.
const _: fn(Arc<PostgresStore>) -> Arc<dyn Backend> = |store| store;
