//! What a node finds out by itself: changes that nobody told it of, work that is nobody's,
//! rows that cannot be read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::lock;
use super::cluster::{self, Cluster};
use super::faults::{NOTHING_KEPT, claim, commit, lease, queued, settle, short, until};
use super::{HOUR, Options, PostgresStore, options};
use crate::clock::Clock as _;
use crate::contract::{alike, attempt, message};
use crate::{
    ClaimRequest, Desk as _, Disposition, Edit, Filter, Hindrance, Holder, MessageId, PageRequest,
    SpoolError, Store as _, Timestamp, Work as _,
};

/// A node that tells nobody anything, since it has heard of nobody, and never will.
fn silent(cluster: &Cluster, url: &str) -> Arc<PostgresStore> {
    let (lease, beat, bounds) = (HOUR * 3, HOUR, NOTHING_KEPT);
    let options = Options { lease, beat, bounds, ..options(cluster, url, "silent") };
    let store = PostgresStore::open(options).unwrap();
    until("it counts as alone", || {
        store.core.living.load(std::sync::atomic::Ordering::SeqCst) == 1
    });
    store
}

#[test]
fn a_database_that_does_not_let_us_in_is_told_from_one_that_is_away() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("there");
    let look = |url: &str| {
        let looked = crate::postgres::look(&options(&cluster, url, "one"), Duration::from_secs(5));
        looked.map(|seen| seen.shown)
    };
    let none = look(&cluster.url("none", cluster.port));
    let is_denied = matches!(&none, Err(SpoolError::ReadOnly(Hindrance::DatabaseDenied { why, .. })) if why.contains("none"));
    assert!(is_denied, "{none:?}");
    // A name with several addresses, of which the database has one.
    let named = url.replace("127.0.0.1", "localhost");
    assert_eq!(look(&named).map(|shown| shown.contains("localhost")), Ok(true));
    cluster.kill();
    let away = look(&url);
    assert!(matches!(away, Err(SpoolError::ReadOnly(Hindrance::DatabaseAway { .. }))), "{away:?}");
}

#[test]
fn what_is_changed_at_one_node_holds_at_the_other_though_it_was_never_told() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("untold");
    let silent = silent(&cluster, &url);
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let (id, other) =
        (commit(&one, "a@one.example").unwrap(), commit(&one, "b@two.example").unwrap());
    let has = |count: usize| {
        let hand = lock(&one.core.hand);
        hand.due(one.core.clock.now()) == count
    };
    assert!(has(2), "both are in hand");
    assert_eq!(silent.edit(&[id, other], Edit::Hold).wait(), [Ok(()), Ok(())]);
    until("both are held", || has(0));
    assert_eq!(silent.edit(&[id], Edit::Release).wait(), [Ok(())]);
    until("one is released", || has(1));
    let lease = lease(&one);
    assert_eq!(lease.token.id, id);
    assert_eq!(silent.edit(&[id, other], Edit::Remove).wait(), [Ok(()), Ok(())]);
    until("its lease is lost", || {
        one.renew(&[lease.token], HOUR).wait().unwrap().lost == [lease.token]
    });
    assert!(one.content_at_once(id).is_none());
    assert!(matches!(one.content(id).wait(), Err(SpoolError::NotFound(_))));
    assert!(queued(&one).is_empty() && claim(&one).is_empty());
}

#[test]
fn a_node_whose_heart_beats_fast_looks_for_work_all_the_same() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("fast");
    let silent = silent(&cluster, &url);
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    until("it has looked at what there is", || {
        claim(&one).is_empty() && !lock(&one.core.hand).is_stale
    });
    let id = commit(&silent, "a@one.example").unwrap();
    until("it is handed out", || claim(&one).iter().any(|lease| lease.token.id == id));
}

#[test]
fn a_backlog_of_one_domain_goes_on_though_nothing_of_it_is_delivered() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("backlog");
    let options = Options { bounds: NOTHING_KEPT, ..options(&cluster, &url, "one") };
    let one = PostgresStore::open(options).unwrap();
    let ids: HashSet<MessageId> =
        (0..30).map(|_| commit(&one, "a@dead.example").unwrap()).collect();
    let due = one.clock().now().after(HOUR);
    let deferred = Disposition::Deferred { due, attempt: attempt(Timestamp::default()) };
    let request = ClaimRequest { hold: HOUR, limit: 100, per_domain: 10, resting: Vec::new() };
    let mut seen = HashSet::new();
    until("all had their turn", || {
        let leases = one.claim(&request).wait().unwrap().leases;
        assert!(leases.len() <= 10);
        seen.extend(leases.iter().map(|lease| lease.token.id));
        let all = leases.iter().map(|lease| alike(lease, &deferred)).collect();
        assert!(one.settle(all).wait().iter().all(Result::is_ok));
        seen == ids
    });
}

#[test]
fn what_cannot_be_read_is_set_aside_and_told_of_and_keeps_nobody_waiting() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("damaged");
    let open = || {
        let options = Options { bounds: NOTHING_KEPT, ..options(&cluster, &url, "one") };
        PostgresStore::open(options).unwrap()
    };
    let one = open();
    let ids: Vec<MessageId> =
        (0..4).map(|n| commit(&one, &format!("a@d{n}.example")).unwrap()).collect();
    let damage = |column: &str, id: MessageId| {
        let (id, sql) = (id.as_u64(), format!("puerto.work SET {column} = '\\x0007'"));
        cluster.in_database("damaged", &format!("UPDATE {sql} WHERE id = {id}")).unwrap();
    };
    damage("recipients", ids[0]);
    damage("state", ids[1]);
    // One is met by a claim, the other by a list.
    let seen = one.page(&PageRequest { limit: 100, ..PageRequest::default() }).wait().unwrap();
    let seen: Vec<MessageId> = seen.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(seen, ids[2..]);
    let damaged = one.health().wait().unwrap().damaged;
    assert!(damaged.len() == 2 && damaged[0].contains(&ids[0].to_string()), "{damaged:?}");
    assert_eq!(one.edit(&ids[..2], Edit::Release).wait(), [Ok(()), Ok(())]);
    assert_eq!(one.health().wait().unwrap().damaged, Vec::<String>::new());
    let leases = claim(&one);
    assert_eq!(leases.len(), 2);
    for lease in &leases {
        assert_eq!(settle(&one, lease), Ok(0));
    }
    assert_eq!(one.health().wait().unwrap().damaged, damaged, "found anew");
    let nothing_due = one.claim(&crate::ClaimRequest {
        hold: HOUR,
        limit: 0,
        per_domain: 0,
        resting: Vec::new(),
    });
    assert_eq!(nothing_due.wait().unwrap().next_due, None, "it is not tried again and again");
    one.close();
    // Nor is it at any other node, which says the same of it.
    let again = open();
    assert!(claim(&again).is_empty());
    assert_eq!(again.health().wait().unwrap().damaged, damaged);
    assert!(
        matches!(again.get(ids[0]).wait(), Err(SpoolError::Damaged { id, .. }) if id == ids[0])
    );
    assert_eq!(
        again
            .count(&Filter { to: vec!["a@".into()], ..Filter::default() })
            .wait()
            .unwrap()
            .messages,
        0
    );
    assert_eq!(again.edit(&ids[..2], Edit::Remove).wait(), [Ok(()), Ok(())]);
    assert_eq!(again.health().wait().unwrap().damaged, Vec::<String>::new());
}

#[test]
fn a_row_that_the_database_itself_cannot_read_keeps_nobody_waiting() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("files");
    let options = Options { bounds: NOTHING_KEPT, ..options(&cluster, &url, "one") };
    let one = PostgresStore::open(super::faults::short(options)).unwrap();
    let run = |sql: &str| cluster.in_database("files", sql).unwrap();
    // So that a list of some length has a place of its own.
    run("ALTER TABLE puerto.work ALTER recipients SET STORAGE EXTERNAL");
    let long = one.new_id();
    let to: Vec<String> = (0..300).map(|n| format!("someone-{n}@one.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    one.commit(message(long, &to, b"hello\r\n", Timestamp::default())).wait().unwrap();
    let place = "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class \
                 WHERE oid = 'puerto.work'::regclass";
    let file = cluster.data().join(run(place).unwrap());
    run("CHECKPOINT");
    cluster.kill();
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0; usize::try_from(length).unwrap()]).unwrap();
    cluster.restart();
    until("it takes mail again", || one.draft().is_ok());
    let short = commit(&one, "b@one.example").unwrap();
    let mut leases = Vec::new();
    until("the other is handed out", || {
        leases = claim(&one);
        !leases.is_empty()
    });
    assert!(leases.iter().map(|lease| lease.token.id).eq([short]), "{leases:?}");
    let damaged = one.health().wait().unwrap().damaged;
    assert!(damaged.len() == 1 && damaged[0].contains(&long.to_string()), "{damaged:?}");
    assert_eq!(queued(&one).into_iter().collect::<Vec<_>>(), [short]);
    assert_eq!(one.edit(&[long], Edit::Remove).wait(), [Ok(())]);
    assert_eq!(one.health().wait().unwrap().messages, 1);
}

#[test]
fn tables_of_the_first_version_are_brought_to_this_one() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("older");
    let first = include_str!("../schema/1.sql");
    let begin = "CREATE SCHEMA puerto; CREATE TABLE puerto.version (one boolean PRIMARY KEY \
                 DEFAULT true CHECK (one), number integer NOT NULL); \
                 INSERT INTO puerto.version (number) VALUES (1);";
    cluster.in_database("older", &format!("{begin}{first}")).unwrap();
    let refused = PostgresStore::open(options(&cluster, &url, "one")).map(drop).unwrap_err();
    assert!(matches!(refused, SpoolError::Io(Hindrance::SchemaOlder { version: 1, .. })));
    let migrated = super::super::migrate(&options(&cluster, &url, "one")).unwrap();
    assert_eq!((migrated.from, migrated.to), (1, super::super::schema::KNOWN));
    let one = PostgresStore::open(options(&cluster, &url, "one")).unwrap();
    assert!(commit(&one, "a@one.example").is_ok());
}

#[test]
fn who_keeps_the_database_from_clearing_away_is_named() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("max_prepared_transactions = 1");
    let url = cluster.database("horizon");
    let ahead = Arc::new(super::Ahead::default());
    let clock = Arc::clone(&ahead) as Arc<dyn crate::clock::Clock>;
    let one =
        PostgresStore::open(short(Options { clock, ..options(&cluster, &url, "one") })).unwrap();
    let held = || one.health().wait().unwrap().held_back.filter(|held| held.is_old());
    let later = || ahead.0.fetch_add(400_000, std::sync::atomic::Ordering::SeqCst);
    cluster.in_database("horizon", "CREATE TABLE t (n integer)").unwrap();
    let begin = "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'forgotten'";
    cluster.in_database("horizon", begin).unwrap();
    let is_by = |expected: &Holder| {
        let known = one.health().wait().unwrap().held_back;
        known.is_some_and(|held| held.by == *expected)
    };
    let forgotten = Holder::Prepared { name: "forgotten".into() };
    until("it is seen", || is_by(&forgotten));
    later();
    let told = held().map(|held| held.to_string()).unwrap();
    assert!(told.contains("ROLLBACK PREPARED 'forgotten'"), "{told}");
    cluster.in_database("horizon", "ROLLBACK PREPARED 'forgotten'").unwrap();
    until("it is gone", || held().is_none());
    // A session with a snapshot, which writes nothing.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let pid: i32 = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        let row = client.query_one("SELECT pg_backend_pid(), count(*) FROM t", &[]).await.unwrap();
        std::mem::forget(client);
        row.get(0)
    });
    until("it is seen", || is_by(&Holder::Session { pid, who: "puerto, 127.0.0.1".into() }));
    later();
    let told = held().map(|held| held.to_string()).unwrap();
    assert!(told.contains(&format!("pg_terminate_backend({pid})")), "{told}");
    cluster.in_database("horizon", &format!("SELECT pg_terminate_backend({pid})")).unwrap();
    until("it is gone", || held().is_none());
}

#[test]
fn what_the_database_leaves_lying_is_cleared_away() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("autovacuum = off");
    let url = cluster.database("dead");
    let one = PostgresStore::open(short(options(&cluster, &url, "one"))).unwrap();
    let run = |sql: &str| cluster.in_database("dead", sql).unwrap();
    run("INSERT INTO puerto.chunk SELECT n, 0, 'x' FROM generate_series(1, 60000) n");
    run("DELETE FROM puerto.chunk");
    until("it is", || {
        let count = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'chunk'";
        run(count).as_deref() == Some("0")
            && run("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'chunk'")
                .as_deref()
                != Some("0")
    });
    assert!(commit(&one, "a@one.example").is_ok());
}

#[test]
fn a_look_tells_how_a_database_is_and_what_its_role_may_see() {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("looked");
    cluster.run("CREATE ROLE plain LOGIN");
    let plain = options(&cluster, &url.replace("puerto@", "plain@"), "one");
    let look = |options| crate::postgres::look(options, std::time::Duration::from_secs(10));
    let seen = look(&plain).unwrap();
    assert_eq!((seen.version, &*seen.role, seen.sees_holders), (0, "plain", false));
    cluster.run("GRANT pg_read_all_stats TO plain");
    assert!(look(&plain).unwrap().sees_holders);
    let own = options(&cluster, &url, "one");
    PostgresStore::open(options(&cluster, &url, "one")).unwrap().close();
    assert!(look(&own).unwrap().version > 0);
    cluster.in_database("looked", "UPDATE puerto.version SET number = 99").unwrap();
    assert!(matches!(look(&own), Err(SpoolError::Io(Hindrance::SchemaNewer { .. }))));
}

#[test]
fn what_is_damaged_stays_when_the_queue_moves_and_all_else_goes() {
    use crate::memory::MemorySpool;
    use crate::transfer::{self, Place};
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let url = cluster.database("moves");
    let from = PostgresStore::open(options(&cluster, &url, "one")).unwrap();
    let large = |id| message(id, &["a@one.example"], &[b'x'; 2_000_000], Timestamp::default());
    let whole: Vec<MessageId> = (0..5).map(|_| commit(&from, "a@one.example").unwrap()).collect();
    let chunked = from.new_id();
    from.commit(large(chunked)).wait().unwrap();
    from.close();
    let change = |sql: &str| cluster.in_database("moves", sql).unwrap();
    change(&format!("UPDATE puerto.message SET content = 'cut' WHERE id = {}", whole[1].as_u64()));
    change(&format!("UPDATE puerto.message SET common = '\\x00' WHERE id = {}", whole[3].as_u64()));
    change("DELETE FROM puerto.chunk WHERE n = 1");
    let from = PostgresStore::open(options(&cluster, &url, "two")).unwrap();
    let to = MemorySpool::new(from.clock());
    let folder = tempfile::tempdir().unwrap();
    let (source, target) =
        (Place { name: "here", store: &*from }, Place { name: "there", store: &to });
    let moved = transfer::run(source, target, folder.path(), |_, _| ()).unwrap();
    assert_eq!((moved.messages, moved.stay), (3, 3), "{moved:?}");
    let left: Vec<MessageId> = moved.left.iter().map(|(id, _)| *id).collect();
    assert_eq!(left, [whole[1], chunked]);
    let named = moved.damage.iter().any(|line| line.contains(&whole[3].to_string()));
    assert!(named, "{:?}", moved.damage);
    let there: Vec<MessageId> = to.entries().iter().map(|entry| entry.id).collect();
    assert_eq!(there, [whole[0], whole[2], whole[4]]);
    assert_eq!(queued(&from), [whole[1], chunked].into(), "and they are held no more");
    assert_eq!(
        change("SELECT count(*)::text FROM puerto.message WHERE held").as_deref(),
        Some("0")
    );
}
