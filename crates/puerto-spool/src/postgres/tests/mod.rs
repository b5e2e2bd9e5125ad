//! The backend against a real PostgreSQL.

mod cluster;
mod faults;
mod hangs;
mod notes;
mod proxy;
mod tally;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::cluster::Cluster;
use super::{Bounds, Options, PostgresStore};
use crate::clock::{Clock, SystemClock};
use crate::contract::{self, Subject, Time};
use crate::{Store as _, Timestamp};

/// The machine's clock, and what a test lets pass besides.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Ahead {
    fn ahead(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed() + self.ahead()
    }
}

/// The database's time as the store knows it: it goes on by itself, and cannot be set.
struct StoreTime {
    ahead: Arc<Ahead>,
    clock: Arc<dyn Clock>,
}

impl Time for StoreTime {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap();
        self.ahead.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn leap(&self, _: Timestamp) -> bool {
        false
    }

    fn slack(&self) -> Duration {
        Duration::from_secs(20)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn options(cluster: &Cluster, url: &str, node: &str) -> Options {
    Options::new(url, node, cluster.folder().join(format!("drafts-{node}")))
}

fn keeps_the_contract(bounds: Bounds) {
    if !cluster::is_there() {
        return;
    }
    let cluster = Cluster::start("");
    let made = AtomicU64::new(0);
    contract::run(&|| {
        let name = format!("c{}", made.fetch_add(1, Ordering::SeqCst));
        let ahead = Arc::new(Ahead::default());
        let clock = Arc::clone(&ahead) as Arc<dyn Clock>;
        let url = cluster.database(&name);
        // A beat would bring the time back that a check has let pass.
        let (lease, beat) = (HOUR * 3, HOUR);
        let options = Options { clock, bounds, lease, beat, ..options(&cluster, &url, "one") };
        let store = PostgresStore::open(options).unwrap();
        // The first beat sets the clock, too: no check is to begin before it.
        while store.core.living.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let time = Arc::new(StoreTime { ahead, clock: store.clock() });
        Subject { store, time }
    });
}

#[test]
fn postgres_keeps_the_contract() {
    keeps_the_contract(Bounds::default());
}

#[test]
fn postgres_keeps_the_contract_when_all_comes_by_claims() {
    keeps_the_contract(Bounds { parts: 0, ..Bounds::default() });
}
