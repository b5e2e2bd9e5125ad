//! Any history, against a model of a few lines.

use std::collections::HashMap;
use std::time::Duration;

use super::{Bench, attempt};
use crate::{Disposition, Lease, MessageId, Settlement, Timestamp};

/// Longer than any history here.
const FOR_LONG: Duration = Duration::from_secs(10_000_000);

/// Random operations against a map from (message, recipient) to when it is due.
pub(super) fn agrees(bench: &Bench) {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut waiting: HashMap<(MessageId, u32), Timestamp> = HashMap::new();
    let mut leased: Vec<Lease> = Vec::new();
    for _ in 0..2000 {
        match next(10) {
            0..4 => {
                let to: Vec<String> =
                    (0..=next(5)).map(|n| format!("u{n}@d{}.example", next(8))).collect();
                let to: Vec<&str> = to.iter().map(String::as_str).collect();
                let id = bench.commit(&to);
                for index in 0..to.len() {
                    waiting.insert((id, index as u32), bench.now());
                }
            }
            4 => bench.pass(next(4)),
            5 => {
                let before = waiting.clone();
                for lease in bench.claim(next(12) as usize, 1 + next(6) as usize) {
                    for recipient in &lease.recipients {
                        let due = waiting.remove(&(lease.token.id, recipient.index)).unwrap();
                        assert!(due <= bench.now());
                    }
                    assert!(
                        bench.store.renew(&[lease.token], FOR_LONG).wait().unwrap().lost.is_empty()
                    );
                    leased.push(lease);
                }
                if before.len() == waiting.len() && leased.is_empty() {
                    let all = bench.claim(usize::MAX, usize::MAX);
                    let due = before.values().filter(|due| **due <= bench.now()).count();
                    assert_eq!(all.iter().map(|l| l.recipients.len()).sum::<usize>(), due);
                    for lease in &all {
                        bench.settle(lease, &Disposition::Returned(bench.now()));
                        for recipient in &lease.recipients {
                            waiting.insert((lease.token.id, recipient.index), bench.now());
                        }
                    }
                }
            }
            _ => {
                if leased.is_empty() {
                    continue;
                }
                let lease = leased.swap_remove(next(leased.len() as u64) as usize);
                let now = bench.now();
                let dispositions = lease.recipients.iter().map(|r| {
                    if next(3) == 0 {
                        let due = now.after(Duration::from_secs(next(20)));
                        waiting.insert((lease.token.id, r.index), due);
                        return (r.index, Disposition::Deferred { due, attempt: attempt(now) });
                    }
                    (r.index, Disposition::Delivered(attempt(now)))
                });
                let dispositions = dispositions.collect();
                bench.settle_as(Settlement { token: lease.token, dispositions }).unwrap();
            }
        }
        let open: usize = leased.iter().map(|l| l.recipients.len()).sum();
        assert_eq!(bench.health().recipients, (waiting.len() + open) as u64);
        let next = bench.next_due();
        match waiting.values().min() {
            Some(first) => assert!(bench.is_about(next, *first), "{next:?}, {first:?}"),
            None if open > 0 => assert!(next > Some(bench.now().after(FOR_LONG / 2)), "{next:?}"),
            None => assert_eq!(next, None),
        }
    }
}
