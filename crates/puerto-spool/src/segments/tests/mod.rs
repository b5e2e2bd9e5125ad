//! The segment log against the contract, and against everything that a disk may do.

use super::*;
use crate::clock::ManualClock;
use crate::contract;
use crate::disk::SystemDisk;

#[test]
fn segments_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    for threads in [true, false] {
        contract::run(&|clock: Arc<ManualClock>| {
            let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let options = Options { threads, ..Options::small() };
            let path = directory.path().join(n.to_string());
            Arc::new(SegmentSpool::open(path, options, Arc::new(SystemDisk), clock).unwrap())
        });
    }
}
