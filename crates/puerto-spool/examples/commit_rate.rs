//! How many messages become durable in a second: the segment log with several threads
//! that wait for each message, against a file and a sync for each message.
//!
//! `cargo run --release -p puerto-spool --example commit_rate -- [DIRECTORY [THREADS]]`
//!
//! The directory should be on the disk that is to be measured. It also says how much
//! memory a queued message takes.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "it measures this machine")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use puerto_smtp::{Address, Envelope, Recipient, ReversePath};
use puerto_spool::clock::{Clock, SystemClock};
use puerto_spool::disk::SystemDisk;
use puerto_spool::segments::{Options, SegmentSpool};
use puerto_spool::{ClaimRequest, Content, Desk, NewMessage, Origin, Settlement, Store, Work};

const SPAN: Duration = Duration::from_secs(3);
const OCTETS: usize = 4096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory =
        arguments.next().map_or_else(|| PathBuf::from("commit_rate.tmp"), PathBuf::from);
    let threads: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20);
    std::fs::create_dir_all(&directory).unwrap();
    println!("{OCTETS} octets for each message, {threads} threads, {} s each", SPAN.as_secs());

    let files = directory.join("files");
    std::fs::create_dir_all(&files).unwrap();
    let rate = measure(threads, |_, n| write_and_sync(&files, n));
    println!("a file and a sync for each   {rate:>8} messages/s");

    let spool = open(&directory.join("spool"));
    let rate = measure(threads, |_, n| commit(&spool, n));
    println!("segment log                  {rate:>8} messages/s");

    let rate = measure(threads, |thread, n| {
        commit(&spool, n);
        if thread == 0 {
            settle(&spool);
        }
    });
    println!("the same, while settling     {rate:>8} messages/s");

    let queued = spool.health().wait().unwrap();
    let started = Instant::now();
    drop(spool);
    println!("close with {} messages   {:>10.0?}", queued.messages, started.elapsed());
    let before = resident();
    let started = Instant::now();
    let spool = open(&directory.join("spool"));
    println!("open from the checkpoint     {:>10.0?}", started.elapsed());
    let each = resident().saturating_sub(before) / queued.messages.max(1);
    println!("memory for each message      {each:>8} octets");
    drop(spool);
    std::fs::remove_file(directory.join("spool/checkpoint")).unwrap();
    let started = Instant::now();
    let spool = open(&directory.join("spool"));
    println!("open from the segments       {:>10.0?}", started.elapsed());
    println!(
        "on disk {} MiB for {} MiB queued",
        spool.health().wait().unwrap().disk_octets >> 20,
        queued.octets >> 20
    );
    drop(spool);
    std::fs::remove_dir_all(&directory).unwrap();
}

fn open(directory: &Path) -> SegmentSpool {
    let (disk, clock) = (Arc::new(SystemDisk), Arc::new(SystemClock));
    SegmentSpool::open(directory, Options::default(), disk, clock).unwrap()
}

/// Calls `work` on several threads for a while; returns calls in a second.
fn measure(threads: u64, work: impl Fn(u64, u64) + Sync) -> u64 {
    let count = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (count, work) = (&count, &work);
            scope.spawn(move || {
                while started.elapsed() < SPAN {
                    work(thread, count.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    count.load(Ordering::Relaxed) * 1000 / started.elapsed().as_millis() as u64
}

fn write_and_sync(directory: &Path, n: u64) {
    let path = directory.join(n.to_string());
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&[b'x'; OCTETS]).unwrap();
    file.sync_data().unwrap();
    std::fs::File::open(directory).unwrap().sync_all().unwrap();
}

fn commit(spool: &SegmentSpool, n: u64) {
    let to = Address::parse(&format!("user{n}@domain{}.example", n % 500)).unwrap();
    let from = Address::parse("sender@origin.example").unwrap();
    let id = spool.new_id();
    let message = NewMessage {
        id,
        envelope: Envelope::new(ReversePath::Address(from), vec![Recipient::new(to)]),
        received_at: SystemClock.now(),
        origin: Origin::LocalUser(1000),
        prefix: Vec::new(),
        content: Content::Memory(vec![b'x'; OCTETS]),
        held_for: None,
    };
    spool.commit(message).wait().unwrap();
}

fn settle(spool: &SegmentSpool) {
    let request = ClaimRequest {
        hold: Duration::from_secs(60),
        limit: 100,
        per_domain: 100,
        resting: Vec::new(),
    };
    let leases = spool.claim(&request).wait().unwrap().leases;
    let settlements = leases.iter().map(|lease| {
        let done = puerto_spool::Disposition::Discarded("measured".into());
        let dispositions = lease.recipients.iter().map(|r| (r.index, done.clone())).collect();
        Settlement { token: lease.token, dispositions }
    });
    drop(spool.settle(settlements.collect()));
}

/// Octets of memory that the process has.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
