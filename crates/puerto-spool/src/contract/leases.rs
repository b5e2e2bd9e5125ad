//! Leases: whose work is, until when, and what becomes of it then.
//!
//! What other queues met: work of a dead worker that stays locked (graphile/worker #204 and
//! #449), or is freed only in part and never handed out again (Signet-AI/signetai #318);
//! each expiry counted as a failed attempt, until the work is dropped (PostHog #70400); a
//! release of what was never leased (divviup/janus #193); a late worker that ends what
//! another has (Azure/azure-storage-net #285); the same work for two that ask at once
//! (015-Weggeefkastje.nl-automation #19).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use puerto_smtp::Domain;

use super::{Bench, Check, MINUTE, addresses, alike, attempt, message};
use crate::{
    Backend, ClaimRequest, Disposition, Edit, LeaseToken, MessageId, RecipientState,
    RecipientStatus, Renewed, SpoolError, Timestamp,
};

/// The checks.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("held leases are named, and what is held or removed is counted", held_leases_are_named),
    ("an expired lease is due again, a renewed one not", expire_unless_renewed),
    ("the end of a lease counts as due", an_end_counts_as_due),
    ("an expired lease cannot be settled", an_expired_one_is_lost),
    ("a later lease has a greater fence", fences_grow),
    ("a token is of one owner, message and fence", a_token_is_all_of_it),
    ("a clock that leaps ends no lease", a_leaping_clock_ends_none),
    ("a lease tells of its message", a_lease_tells_of_its_message),
    ("removal takes the lease with it", removal_takes_it),
    ("what a hold or a retry met under lease is settled as usual", edits_leave_the_lease),
    ("nothing is handed out twice, however many ask", nothing_twice),
    ("a domain that rests is passed over, that once", a_resting_one_is_passed_over),
    ("all becomes due after a leap, but held mail", all_is_retried),
    ("what goes to many waits for the rest, and not for ever", bulk_waits),
];

fn expire_unless_renewed(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    bench.commit(&["a@two.example"]);
    let leases = bench.claim(10, 10);
    bench.pass(50);
    assert!(bench.renew(&leases[0]));
    bench.pass(10);
    let again = bench.claim(10, 10);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].token.id, leases[1].token.id);
    assert_eq!(again[0].recipients[0].attempts, 0, "nobody has failed");
    assert_ne!(again[0].token, leases[1].token);
    assert!(bench.renew(&leases[0]), "the other holds on");
    for _ in 0..5 {
        bench.pass(61);
        let again = bench.claim(10, 10);
        assert_eq!(again.len(), 2, "handed out whole, however often");
        assert!(again.iter().all(|lease| lease.recipients[0].attempts == 0));
    }
}

fn an_end_counts_as_due(bench: &Bench) {
    assert_eq!(bench.next_due(), None);
    bench.commit(&["a@one.example"]);
    assert!(bench.is_about(bench.next_due(), bench.start));
    let claimed = bench.claimed(10, 10);
    assert!(bench.is_about(claimed.next_due, bench.start.after(MINUTE)), "as the claim says");
    bench.pass(30);
    assert!(bench.is_about(bench.next_due(), bench.start.after(MINUTE)));
    assert!(bench.renew(&claimed.leases[0]));
    assert!(bench.is_about(bench.next_due(), bench.start.after(MINUTE * 3 / 2)));
    bench.pass(61);
    assert!(bench.next_due() <= Some(bench.now()));
    let again = bench.claim(10, 10).remove(0);
    assert_eq!(bench.settle(&again, &bench.deferred(5)), 1);
    assert!(bench.is_about(bench.next_due(), bench.now().after(Duration::from_secs(5))));
}

fn an_expired_one_is_lost(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    let old = bench.claim(10, 10).remove(0);
    bench.pass(61);
    let new = bench.claim(10, 10).remove(0);
    let late = alike(&old, &bench.delivered());
    assert_eq!(bench.settle_as(late.clone()), Err(SpoolError::LeaseLost(id)));
    assert!(!bench.renew(&old));
    assert_eq!(bench.get(id).unwrap().recipients[0].story, [], "it left no trace");
    assert_eq!(bench.settle(&new, &bench.delivered()), 0);
    assert_eq!(bench.settle_as(late), Err(SpoolError::LeaseLost(id)));
}

fn fences_grow(bench: &Bench) {
    bench.commit(&["a@one.example", "b@two.example"]);
    let mut last = 0;
    for round in 0..4 {
        let leases = bench.claim(10, 10);
        assert_eq!(leases.len(), 2);
        let fences: HashSet<u64> = leases.iter().map(|lease| lease.token.fence).collect();
        assert!(fences.iter().all(|fence| *fence > last), "{fences:?} after {last}");
        assert_eq!(fences.len(), 2, "two leases of one message are two");
        last = fences.into_iter().max().unwrap();
        assert_eq!(leases[0].token.owner, leases[1].token.owner);
        if round % 2 == 0 {
            bench.pass(61);
        } else {
            leases.iter().for_each(|lease| _ = bench.settle(lease, &bench.deferred(0)));
        }
    }
}

fn a_token_is_all_of_it(bench: &Bench) {
    let (one, two) = (bench.commit(&["a@one.example"]), bench.commit(&["a@two.example"]));
    let leases = bench.claim(10, 10);
    let lease = leases.iter().find(|lease| lease.token.id == one).unwrap();
    let right = lease.token;
    for wrong in [
        LeaseToken { id: two, ..right },
        LeaseToken { owner: right.owner ^ 1, ..right },
        LeaseToken { fence: right.fence + 1_000_000, ..right },
    ] {
        assert_eq!(bench.store.renew(&[wrong], MINUTE).wait().unwrap().lost, [wrong]);
        let mut settlement = alike(lease, &bench.delivered());
        settlement.token = wrong;
        assert_eq!(bench.settle_as(settlement), Err(SpoolError::LeaseLost(wrong.id)));
    }
    assert_eq!(bench.settle(lease, &bench.delivered()), 0);
}

fn a_leaping_clock_ends_none(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    let lease = bench.claim(10, 10).remove(0);
    for leap in [3_600, -86_400, 315_360_000] {
        if !bench.time.leap(Timestamp::from_millis(bench.now().as_millis() + leap * 1000)) {
            return;
        }
        assert_eq!(bench.claim(10, 10).len(), 0, "handed out twice after {leap} s");
        assert!(bench.next_due() > Some(bench.now()), "{leap} s");
        assert!(bench.renew(&lease));
    }
    bench.pass(59);
    assert_eq!(bench.claim(10, 10).len(), 0);
    bench.pass(1);
    let again = bench.claim(10, 10).remove(0);
    assert_eq!(again.token.id, lease.token.id);
    bench.settle(&again, &bench.delivered());
}

fn a_lease_tells_of_its_message(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example"]);
    let entry = bench.get(id).unwrap();
    let lease = bench.claim(1, 10).remove(0);
    assert_eq!(lease.reverse_path, entry.reverse_path);
    assert_eq!((lease.received_at, lease.size), (entry.received_at, entry.size));
    assert_eq!((&lease.origin, lease.recipients_in_all), (&entry.origin, 2));
    assert_eq!(lease.domain, *lease.recipients[0].recipient.address.domain());
    assert!(!lease.delay_notified);
}

fn removal_takes_it(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    let lease = bench.claim(10, 1).remove(0);
    bench.edit(id, Edit::Remove).unwrap();
    assert!(!bench.renew(&lease));
    let late = alike(&lease, &bench.delivered());
    assert_eq!(bench.settle_as(late), Err(SpoolError::LeaseLost(id)));
    assert_eq!(bench.edit(id, Edit::Hold), Err(SpoolError::NotFound(id)));
    assert_eq!(bench.next_due(), None, "a lease on what is gone never ends");
    bench.commit(&["b@one.example"]);
    assert_eq!(bench.claim(10, 1).len(), 1, "its place in the domain is free again");
}

fn edits_leave_the_lease(bench: &Bench) {
    let id = bench.commit(&["a@one.example", "b@two.example"]);
    let lease = bench.claim(1, 10).remove(0);
    bench.edit(id, Edit::Retry).unwrap();
    bench.edit(id, Edit::Hold).unwrap();
    let leased = |status: &&RecipientStatus| matches!(status.state, RecipientState::Leased(_));
    assert_eq!(bench.get(id).unwrap().recipients.iter().filter(leased).count(), 1);
    assert!(bench.renew(&lease));
    assert_eq!(bench.settle(&lease, &bench.delivered()), 1);
    assert!(bench.claim(10, 10).is_empty());
    bench.edit(id, Edit::Release).unwrap();
    let other = bench.claim(10, 10).remove(0);
    assert_eq!(bench.settle(&other, &bench.delivered()), 0);
}

fn held_leases_are_named(bench: &Bench) {
    let ids = [bench.commit(&["a@one.example"]), bench.commit(&["a@two.example"])];
    let leases = bench.claim(10, 10);
    let of = |id| leases.iter().find(|lease| lease.token.id == id).unwrap();
    let tokens = ids.map(|id| of(id).token);
    let held = || bench.store.renew(&tokens, MINUTE).wait().unwrap();
    let before = bench.store.edits();
    bench.edit(ids[0], Edit::Retry).unwrap();
    assert_eq!((held(), bench.store.edits()), (Renewed::default(), before));
    bench.edit(ids[0], Edit::Hold).unwrap();
    assert_eq!(held(), Renewed { lost: Vec::new(), held: vec![tokens[0]] });
    assert!(bench.store.edits() > before);
    bench.settle(of(ids[0]), &Disposition::Returned(bench.now()));
    assert_eq!(held(), Renewed { lost: vec![tokens[0]], held: Vec::new() });
    assert!(bench.claim(10, 10).is_empty(), "what was given back is held");
    let before = bench.store.edits();
    bench.edit(ids[1], Edit::Remove).unwrap();
    assert!(bench.store.edits() > before);
    bench.edit(ids[0], Edit::Release).unwrap();
    assert_eq!(bench.claim(10, 10).len(), 1);
}

fn nothing_twice(bench: &Bench) {
    const EACH: usize = 40;
    for n in 0..EACH {
        bench.commit(&["a@one.example", "b@one.example", &format!("c@d{n}.example")]);
    }
    let left = AtomicUsize::new(3 * EACH);
    let taken: Vec<_> = std::thread::scope(|scope| {
        let workers = (0..4).map(|n| (n, Arc::clone(&bench.store), &left));
        let threads: Vec<_> = workers
            .map(|(n, store, left)| scope.spawn(move || deliver_all(&*store, n % 2 == 0, left)))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.len(), 3 * EACH);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 3 * EACH);
    assert_eq!(bench.health().messages, 0);
}

/// A domain that rests is passed over, however much of it is due, and nothing of it is lost
/// or forgotten.
fn a_resting_one_is_passed_over(bench: &Bench) {
    for _ in 0..3 {
        bench.commit(&["user@dead.example"]);
    }
    bench.commit(&["user@alive.example"]);
    let request = ClaimRequest {
        hold: MINUTE,
        limit: 100,
        per_domain: 100,
        resting: vec![Domain::parse("dead.example").unwrap()],
    };
    let claimed = bench.store.claim(&request).wait().unwrap();
    let domains: Vec<String> = claimed.leases.iter().map(|l| l.domain.to_string()).collect();
    assert_eq!(domains, ["alive.example"]);
    assert!(claimed.next_due.is_some_and(|due| due <= bench.now()), "{:?}", claimed.next_due);
    assert_eq!(bench.claim(100, 100).len(), 3);
}

/// Takes what there is, in small batches, until nothing is left. In another order than others
/// do, so that whoever locks rows meets the others' locks; and who meets them may get nothing
/// for a moment.
fn deliver_all(
    store: &dyn Backend,
    backwards: bool,
    left: &AtomicUsize,
) -> Vec<(MessageId, String)> {
    let request =
        ClaimRequest { hold: MINUTE, limit: 7, per_domain: usize::MAX, resting: Vec::new() };
    let mut taken = Vec::new();
    let mut in_vain = 0;
    while left.load(Ordering::SeqCst) > 0 {
        let mut leases = store.claim(&request).wait().unwrap().leases;
        if leases.is_empty() {
            in_vain += 1;
            assert!(in_vain < 60_000, "{left:?} are never handed out");
            std::thread::sleep(Duration::from_millis(1));
        }
        if backwards {
            leases.reverse();
        }
        let done = Disposition::Delivered(attempt(Timestamp::default()));
        let settlements = leases.iter().map(|lease| alike(lease, &done)).collect();
        for answer in store.settle(settlements).wait() {
            answer.unwrap().durable.wait().unwrap();
        }
        for lease in &leases {
            let all = addresses(lease).into_iter();
            taken.extend(all.map(|address| (lease.token.id, address)));
            left.fetch_sub(lease.recipients.len(), Ordering::SeqCst);
        }
    }
    taken
}

fn all_is_retried(bench: &Bench) {
    let waits = bench.commit(&["a@one.example", "b@two.example"]);
    let held = bench.commit(&["a@one.example"]);
    let leased = bench.commit(&["c@three.example"]);
    for lease in bench.claim(10, 10).iter().filter(|lease| lease.token.id != leased) {
        bench.settle(lease, &bench.deferred(3600));
    }
    bench.edit(held, Edit::Hold).unwrap();
    assert!(bench.claim(10, 10).is_empty());
    assert_eq!(bench.store.retry_all().wait(), Ok(1));
    let due = bench.claim(10, 10);
    assert_eq!(due.iter().map(|lease| lease.token.id).collect::<Vec<_>>(), [waits, waits]);
    assert_eq!(due[0].recipients[0].attempts, 1);
    bench.edit(held, Edit::Release).unwrap();
    assert!(bench.claim(10, 10).is_empty(), "what was held waits for its time");
}

// Released from a hold, so that a store that keeps what it has just taken at hand has to look
// for it as for any other.
fn bulk_waits(bench: &Bench) {
    let commit = |bulk: bool| {
        let id = bench.store.new_id();
        let mut new = message(id, &["a@example.net"], b"x\r\n", bench.now());
        new.envelope.bulk = bulk;
        new.held_for = Some("a test".to_owned());
        bench.store.commit(new).wait().unwrap();
        id
    };
    let letters: Vec<MessageId> = (0..30).map(|_| commit(true)).collect();
    let others: Vec<MessageId> = (0..10).map(|_| commit(false)).collect();
    for id in letters.iter().chain(&others) {
        bench.edit(*id, Edit::Release).unwrap();
    }
    let leases = bench.claim(20, 20);
    let order: Vec<MessageId> = leases.iter().map(|lease| lease.token.id).collect();
    let place = |id: &MessageId| order.iter().position(|known| known == id);
    assert!(others.iter().all(|id| place(id).is_some_and(|at| at < 12)), "{order:?}");
    assert!(letters.iter().any(|id| place(id).is_some_and(|at| at < 10)), "{order:?}");
    assert!(leases.iter().all(|lease| lease.bulk == letters.contains(&lease.token.id)));
    assert!(letters.iter().all(|id| bench.get(*id).unwrap().bulk));
}
