//! Makes a queue of so many deferred messages, as an operator has it on a bad day: many
//! destinations of very different depth, waiting for a few kinds of reasons, some attempts old.
//!
//! `cargo run --release -p puerto-spool --example fill_queue -- DIRECTORY [COUNT]`
//!
//! The directory is a store's: `STATE_DIR/spool` of a server that is stopped.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "it measures this machine")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use puerto_smtp::{Address, EnhancedCode, Envelope, Recipient, ReversePath};
use puerto_spool::clock::{Clock, SystemClock};
use puerto_spool::disk::SystemDisk;
use puerto_spool::segments::{Options, SegmentSpool};
use puerto_spool::{
    Attempt, ClaimRequest, Content, Desk, Disposition, Lease, NewMessage, Origin, Settlement,
    Store, Timestamp, Work,
};

const BATCH: u64 = 5000;
const OCTETS: usize = 2048;
const DAY: u64 = 86_400;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap());
    let count: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let (disk, clock) = (Arc::new(SystemDisk), Arc::new(SystemClock));
    let spool = SegmentSpool::open(&directory, Options::default(), disk, clock).unwrap();
    let began = Instant::now();
    for first in (0..count).step_by(usize::try_from(BATCH).unwrap()) {
        let numbers = first..count.min(first + BATCH);
        let tickets: Vec<_> = numbers.map(|n| spool.commit(message(&spool, n))).collect();
        tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
        defer_all(&spool);
    }
    println!("{count} messages in {:.0?}", began.elapsed());
    spool.close();
}

fn message(spool: &SegmentSpool, n: u64) -> NewMessage {
    let to = format!("somebody{n}@{}", domain(n));
    let from = Address::parse(&format!("shop{}@example.com", n % 7)).unwrap();
    // Up to four days old.
    let age = Duration::from_secs(n.wrapping_mul(7919) % (4 * DAY));
    let now = SystemClock.now().as_millis();
    NewMessage {
        id: spool.new_id(),
        envelope: Envelope::new(
            ReversePath::Address(from),
            vec![Recipient::new(Address::parse(&to).unwrap())],
        ),
        received_at: Timestamp::from_millis(now - i64::try_from(age.as_millis()).unwrap()),
        origin: Origin::LocalUser(33),
        prefix: b"Received: by mail.example.com\r\n".to_vec(),
        content: Content::Memory(vec![b'x'; OCTETS]),
        held_for: None,
    }
}

// A third is for three destinations, the rest for thousands.
fn domain(n: u64) -> String {
    match n % 9 {
        0 => "example.net".to_owned(),
        1 => "example.org".to_owned(),
        2 => "mail.example.edu".to_owned(),
        _ => format!("d{}.example", n % 5003),
    }
}

fn defer_all(spool: &SegmentSpool) {
    loop {
        let hold = Duration::from_secs(600);
        let request = ClaimRequest { hold, limit: 10_000, per_domain: 10_000, resting: Vec::new() };
        let leases = spool.claim(&request).wait().unwrap().leases;
        if leases.is_empty() {
            return;
        }
        let settlements = leases.iter().map(deferred).collect();
        for settled in spool.settle(settlements).wait() {
            drop(settled.unwrap());
        }
    }
}

fn deferred(lease: &Lease) -> Settlement {
    let n = lease.token.id.as_u64();
    let host = format!("mx{}.{}", n % 3, lease.domain);
    let relay = format!("{host}[192.0.2.{}]:25", n % 250);
    let (code, text) = match n % 5 {
        0 => (0, format!("connect to {relay}: Connection timed out")),
        1 => (0, format!("connect to {relay}: Connection refused")),
        2 => (
            450,
            format!(
                "host {host} said: 450 4.2.0 <x{n}@{}>: Recipient address rejected: Greylisted, see https://postgrey.example/help/{n:x}.html",
                lease.domain
            ),
        ),
        3 => (
            452,
            format!(
                "host {host} said: 452 4.2.2 The email account that you tried to reach is over quota {n:x}"
            ),
        ),
        _ => (
            421,
            format!(
                "host {host} said: 421 4.7.0 Try again later, closing connection. (EHLO) {n:x}"
            ),
        ),
    };
    let attempt = Attempt {
        at: SystemClock.now(),
        relay,
        code,
        status: EnhancedCode::new(4, 4, 1),
        text,
        cause: String::new(),
    };
    let due = SystemClock.now().after(Duration::from_secs(6 * 3600 + n % DAY));
    let dispositions = lease
        .recipients
        .iter()
        .map(|leased| (leased.index, Disposition::Deferred { due, attempt: attempt.clone() }));
    Settlement { token: lease.token, dispositions: dispositions.collect() }
}
