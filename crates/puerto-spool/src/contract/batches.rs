//! Batches: each of their parts has an answer of its own, in the order given.
//!
//! What other queues met: one text that cannot be stored keeps its whole batch from being
//! stored (kenn-io/roborev #911), or its own failure from being recorded, so that it is
//! neither tried again nor given up (fazer-ai/agents #243); one lock that is lost breaks the
//! renewal of all (marten #5186); a renewal that fails is taken for one that held
//! (cbtw-apac/qdrant-loader #306).

use std::sync::Arc;

use super::{Bench, Check, MINUTE, alike, attempt, message};
use crate::{
    Attempt, Disposition, Edit, Lease, LeaseToken, MessageId, RecipientState, Renewed, Settlement,
    SpoolError, Timestamp,
};

/// The checks.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("an empty batch is none", empty_batches),
    ("settlements are recorded in order, lost ones among good ones", a_mixed_batch),
    ("of two settlements of one lease the first counts", the_first_counts),
    ("of many leases those that are lost are named", renewal_names_the_lost),
    ("changes are answered one by one", edits_are_answered_one_by_one),
    ("a delay notice is one caller's to send", one_delay_notice),
    ("a delay notice that could not be sent is sent later", a_delay_notice_is_taken_back),
    ("texts of any kind come back", any_text_comes_back),
    ("a message with very many recipients is settled at once", very_many_recipients),
    ("what is due in the past or in a century is kept", any_due_date),
];

fn answers(bench: &Bench, settlements: Vec<Settlement>) -> Vec<Result<u32, SpoolError>> {
    let answers = bench.store.settle(settlements).wait();
    let durable = answers.into_iter().map(|answer| {
        let settled = answer?;
        settled.durable.wait().unwrap();
        Ok(settled.remaining)
    });
    durable.collect()
}

fn lease_of(leases: &[Lease], id: MessageId) -> &Lease {
    leases.iter().find(|lease| lease.token.id == id).unwrap()
}

fn empty_batches(bench: &Bench) {
    assert!(bench.store.settle(Vec::new()).wait().is_empty());
    assert!(bench.store.edit(&[], Edit::Remove).wait().is_empty());
    assert_eq!(bench.store.renew(&[], MINUTE).wait(), Ok(Renewed::default()));
    assert_eq!(bench.store.retry_all().wait(), Ok(0));
    let id = bench.commit(&["a@one.example"]);
    let lease = bench.claim(1, 1).remove(0);
    let nothing_said = Settlement { token: lease.token, dispositions: Vec::new() };
    assert_eq!(bench.settle_as(nothing_said), Ok(1));
    assert_eq!(bench.claim(1, 1)[0].token.id, id, "it is due again");
}

fn a_mixed_batch(bench: &Bench) {
    let ids: Vec<MessageId> =
        (0..4).map(|n| bench.commit(&["a@one.example", &format!("b@d{n}.example")])).collect();
    let leases = bench.claim(100, 100);
    assert_eq!(leases.len(), 8);
    bench.edit(ids[1], Edit::Remove).unwrap();
    let done = bench.delivered();
    // Both leases of a message, one that was removed between them, and one left out.
    let of = |id: MessageId| leases.iter().filter(move |lease| lease.token.id == id);
    let batch: Vec<&Lease> = of(ids[0]).chain(of(ids[1])).chain(of(ids[2]).take(1)).collect();
    let settlements = batch.iter().map(|lease| alike(lease, &done)).collect();
    let lost = Err(SpoolError::LeaseLost(ids[1]));
    assert_eq!(answers(bench, settlements), [Ok(1), Ok(0), lost.clone(), lost, Ok(1)]);
    assert!(bench.get(ids[0]).is_err());
    assert_eq!(bench.get(ids[2]).unwrap().recipients.len(), 2);
    let open = |id| {
        let of = bench.get(id).unwrap().recipients;
        of.iter().filter(|r| matches!(r.state, RecipientState::Leased(_))).count()
    };
    assert_eq!((open(ids[2]), open(ids[3])), (1, 2));
    let fresh = bench.commit(&["c@three.example"]);
    let lease = bench.claim(10, 10).remove(0);
    assert_eq!((lease.token.id, bench.settle(&lease, &done)), (fresh, 0), "all goes on");
}

fn the_first_counts(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    let lease = bench.claim(1, 1).remove(0);
    let twice = vec![alike(&lease, &bench.deferred(60)), alike(&lease, &bench.delivered())];
    assert_eq!(answers(bench, twice), [Ok(1), Err(SpoolError::LeaseLost(id))]);
    assert_eq!(bench.get(id).unwrap().recipients[0].attempts, 1);
}

fn renewal_names_the_lost(bench: &Bench) {
    let ids: Vec<MessageId> = (0..5).map(|n| bench.commit(&[&format!("a@d{n}.example")])).collect();
    let leases = bench.claim(10, 10);
    let token = |n: usize| lease_of(&leases, ids[n]).token;
    bench.edit(ids[1], Edit::Remove).unwrap();
    bench.settle(lease_of(&leases, ids[3]), &bench.deferred(600));
    let unknown = LeaseToken { id: bench.store.new_id(), ..token(0) };
    bench.pass(50);
    let all = [token(0), token(1), token(2), token(3), unknown, token(4)];
    let mut lost = bench.store.renew(&all, MINUTE).wait().unwrap().lost;
    let mut expected = vec![token(1), token(3), unknown];
    lost.sort_by_key(|token| (token.id, token.fence));
    expected.sort_by_key(|token| (token.id, token.fence));
    assert_eq!(lost, expected);
    bench.pass(50);
    assert!(bench.claim(10, 10).is_empty(), "the others hold, in spite of these");
}

fn edits_are_answered_one_by_one(bench: &Bench) {
    let (one, two) = (bench.commit(&["a@one.example"]), bench.commit(&["a@two.example"]));
    let absent = bench.store.new_id();
    let missing = || Err(SpoolError::NotFound(absent));
    let held = bench.store.edit(&[two, absent, one, two], Edit::Hold).wait();
    assert_eq!(held, [Ok(()), missing(), Ok(()), Ok(())]);
    bench.edit(one, Edit::Release).unwrap();
    let retried = bench.store.edit(&[one, two, absent], Edit::Retry).wait();
    assert_eq!(retried, [Ok(()), Err(SpoolError::Held(two)), missing()]);
    assert!(bench.get(two).unwrap().held);
    let removed = bench.store.edit(&[two, two, absent], Edit::Remove).wait();
    assert_eq!(removed, [Ok(()), Err(SpoolError::NotFound(two)), missing()]);
    assert!(bench.get(two).is_err() && bench.get(one).is_ok());
}

fn one_delay_notice(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    let absent = bench.store.new_id();
    assert_eq!(bench.store.note_delay(absent).wait(), Err(SpoolError::NotFound(absent)));
    let first = std::thread::scope(|scope| {
        let callers = (0..8).map(|_| Arc::clone(&bench.store));
        let threads: Vec<_> =
            callers.map(|store| scope.spawn(move || store.note_delay(id).wait())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(first.iter().filter(|first| **first == Ok(true)).count(), 1, "{first:?}");
    assert_eq!(first.iter().filter(|first| **first == Ok(false)).count(), 7);
    assert!(bench.get(id).unwrap().delay_notified);
    assert_eq!(bench.store.standing(id).wait(), bench.get(id));
    assert_eq!(bench.store.standing(absent).wait(), Err(SpoolError::NotFound(absent)));
    assert!(bench.claim(1, 1)[0].delay_notified);
}

fn a_delay_notice_is_taken_back(bench: &Bench) {
    let id = bench.commit(&["a@one.example"]);
    assert_eq!(bench.store.note_delay(id).wait(), Ok(true));
    assert_eq!(bench.store.forget_delay(id).wait(), Ok(()));
    assert_eq!(bench.store.forget_delay(id).wait(), Ok(()), "there was nothing to forget");
    assert!(!bench.claim(1, 1)[0].delay_notified);
    assert_eq!(bench.store.note_delay(id).wait(), Ok(true));
    let absent = bench.store.new_id();
    assert_eq!(bench.store.forget_delay(absent).wait(), Err(SpoolError::NotFound(absent)));
}

fn any_text_comes_back(bench: &Bench) {
    let odd = "a\0b'; DROP TABLE message; -- \\ \" {\"}\u{7f}\u{1F4EB}\r\n\tñ \\x00 $1 %s";
    let id = bench.store.new_id();
    let mut new = message(id, &["\"'; --\"@one.example"], b"\0\xff\r\n", bench.now());
    new.origin = crate::Origin::Client(odd.into());
    new.envelope.envelope_id = Some(odd.into());
    bench.store.commit(new).wait().unwrap();
    let lease = bench.claim(1, 1).remove(0);
    let tried = Attempt {
        relay: odd.into(),
        text: odd.into(),
        cause: format!("{{\"it\":{odd:?}}}"),
        ..attempt(bench.now())
    };
    let other = bench.commit(&["a@two.example"]);
    let plain = bench.claim(1, 1).remove(0);
    let due = bench.now();
    let odd_one = alike(&lease, &Disposition::Deferred { due, attempt: tried.clone() });
    let together = vec![odd_one, alike(&plain, &bench.delivered())];
    assert_eq!(answers(bench, together), [Ok(1), Ok(0)]);
    assert!(bench.get(other).is_err());
    let entry = bench.get(id).unwrap();
    assert_eq!(entry.recipients[0].story, [tried]);
    assert_eq!(entry.origin, crate::Origin::Client(odd.into()));
    assert_eq!(entry.envelope_id.as_deref(), Some(odd));
    assert_eq!(bench.read(id), b"Received: by test\r\n\0\xff\r\n");
}

fn very_many_recipients(bench: &Bench) {
    // More than fit into one statement's parameters, elsewhere.
    const MANY: usize = 20_000;
    let to: Vec<String> = (0..MANY).map(|n| format!("u{n}@one.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let id = bench.commit(&to);
    let lease = bench.claim(usize::MAX, usize::MAX).remove(0);
    assert_eq!(lease.recipients.len(), MANY);
    let places = lease.recipients.iter().map(|recipient| {
        let done = if recipient.index % 2 == 0 { bench.delivered() } else { bench.deferred(0) };
        (recipient.index, done)
    });
    let settlement = Settlement { token: lease.token, dispositions: places.collect() };
    assert_eq!(bench.settle_as(settlement), Ok(MANY as u32 / 2));
    let entry = bench.get(id).unwrap();
    let done = entry.recipients.iter().filter(|r| r.state == RecipientState::Done);
    assert_eq!(done.count(), MANY / 2);
    let rest = bench.claim(usize::MAX, usize::MAX).remove(0);
    assert_eq!(bench.settle(&rest, &bench.delivered()), 0);
}

fn any_due_date(bench: &Bench) {
    bench.commit(&["a@one.example"]);
    let lease = bench.claim(1, 1).remove(0);
    bench.settle(&lease, &Disposition::Returned(Timestamp::from_millis(-1)));
    let again = bench.claim(1, 1).remove(0);
    assert_eq!(again.recipients[0].attempts, 0);
    let century = Timestamp::from_millis(7_258_118_400_000);
    bench.settle(&again, &Disposition::Returned(century));
    assert!(bench.claim(1, 1).is_empty());
    assert_eq!(bench.next_due(), Some(century));
}
