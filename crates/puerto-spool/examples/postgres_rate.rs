//! How fast messages pass through a database: accepted by sessions that each wait for their
//! own, claimed and settled by one queue.
//!
//! `cargo run --release --example postgres_rate -- URL [SESSIONS [SECONDS [OCTETS]]]`

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use puerto_smtp::{Address, EnhancedCode, Envelope, Recipient, ReversePath};
use puerto_spool::postgres::{Bounds, Options, PostgresStore};
use puerto_spool::{
    Attempt, ClaimRequest, Content, Desk as _, Disposition, NewMessage, Origin, Settlement,
    Store as _, Work as _,
};

fn commit(store: &PostgresStore, to: &str, octets: &[u8]) {
    let recipient = Recipient::new(Address::parse(to).unwrap());
    let message = NewMessage {
        id: store.new_id(),
        envelope: Envelope::new(ReversePath::Null, vec![recipient]),
        received_at: store.clock().now(),
        origin: Origin::LocalUser(1000),
        prefix: b"Received: by test\r\n".to_vec(),
        content: Content::Memory(octets.to_vec()),
        held_for: None,
    };
    store.commit(message).wait().unwrap();
}

fn deliver(store: &PostgresStore) -> u64 {
    let request = ClaimRequest {
        hold: Duration::from_secs(60),
        limit: 500,
        per_domain: 500,
        resting: Vec::new(),
    };
    let leases = store.claim(&request).wait().unwrap().leases;
    let at = store.clock().now();
    let settle = |lease: &puerto_spool::Lease| {
        let attempt = Attempt {
            at,
            relay: "mx.example.net[192.0.2.1]:25".into(),
            code: 250,
            status: EnhancedCode::new(2, 0, 0),
            text: "ok".into(),
            cause: String::new(),
        };
        let each = lease.recipients.iter();
        let dispositions =
            each.map(|r| (r.index, Disposition::Delivered(attempt.clone()))).collect();
        Settlement { token: lease.token, dispositions }
    };
    let settlements: Vec<Settlement> = leases.iter().map(settle).collect();
    for answer in store.settle(settlements).wait() {
        answer.unwrap().durable.wait().unwrap();
    }
    leases.len() as u64
}

/// Accepts from so many sessions for a while, and delivers meanwhile or not.
fn run(store: &Arc<PostgresStore>, sessions: usize, seconds: u64, size: usize, delivers: bool) {
    let (accepted, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
    let ends = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..sessions {
            let (accepted, ends) = (&accepted, &ends);
            scope.spawn(move || {
                let octets = vec![b'x'; size];
                let mut count = 0;
                while !ends.load(Ordering::Relaxed) {
                    commit(store, &format!("user@d{}.example", (n * 7 + count) % 100), &octets);
                    count += 1;
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        if delivers {
            let (delivered, ends) = (&delivered, &ends);
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let count = deliver(store);
                    delivered.fetch_add(count, Ordering::Relaxed);
                    if count == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(seconds));
        ends.store(true, Ordering::Relaxed);
    });
    let took = began.elapsed().as_secs_f64();
    let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / took;
    println!("  accepted {:.0}/s, delivered {:.0}/s", rate(&accepted), rate(&delivered));
    let began = Instant::now();
    let mut rest = 0;
    loop {
        let count = deliver(store);
        rest += count;
        if count == 0 && store.health().wait().unwrap().messages == 0 {
            break;
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!("  the rest, {rest}, claimed and settled: {:.0}/s", rest as f64 / took);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap();
    let mut number = |otherwise: usize| arguments.next().map_or(otherwise, |n| n.parse().unwrap());
    let (sessions, seconds, size) = (number(20), number(5), number(4096));
    let folder = tempfile::tempdir().unwrap();
    for (what, bounds) in [
        ("fresh mail in hand", Bounds::default()),
        ("all by claims", Bounds { parts: 0, ..Bounds::default() }),
    ] {
        let options = Options { bounds, ..Options::new(&url, "bench", folder.path()) };
        let store = PostgresStore::open(options).unwrap();
        for delivers in [true, false] {
            println!("{what}, {}:", if delivers { "with delivery" } else { "accepting alone" });
            run(&store, sessions, seconds as u64, size, delivers);
        }
        store.close();
    }
}
