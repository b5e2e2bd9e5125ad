//! Connections that wait a little for another message to the same place.
//!
//! A connection is kept after a message, with no transaction open, for a few
//! seconds. Whoever takes it out says MAIL straight away. Peers close idle
//! connections as they like: one that has spoken or closed is thrown away when it is
//! taken out, and one that dies just then is replaced by the driver.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use super::places::{Places, Whom};
use super::session::Session;
use crate::config::Downgrade;
use crate::transport::Demand;

/// How long a connection waits.
const IDLE: Duration = Duration::from_secs(5);
/// How many wait at most.
const MOST_IDLE: usize = 200;

/// What two messages must share to use one connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The host's name, which its certificate was checked against.
    pub(super) host: Arc<str>,
    /// The address that it was reached at.
    pub(super) address: SocketAddr,
    /// What was demanded of TLS: a connection that was made with less never carries what
    /// needs more.
    pub(super) demand: Demand,
    /// What was to be done had it done less TLS than before.
    pub(super) downgrade: Downgrade,
    /// Whether TLS came from the first byte.
    pub(super) implicit_tls: bool,
    /// What we called ourselves.
    pub(super) name: String,
    /// Where we came from.
    pub(super) source: Option<IpAddr>,
    /// Who we said we are.
    pub(super) user: Option<String>,
}

/// The connections that wait.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    reaping: bool,
    closed: bool,
}

struct Idle {
    session: Box<Session>,
    whom: Option<Arc<Whom>>,
    until: Instant,
}

impl Pool {
    /// Takes a connection out, the one that waits for the shortest time.
    pub(super) fn take(&self, key: &Key, places: &Places) -> Option<Box<Session>> {
        loop {
            let Idle { mut session, whom, .. } = self.lock().pop(key)?;
            if session.is_alive() {
                session.peer.place = whom.map(|whom| places.resume(whom));
                return Some(session);
            }
        }
    }

    /// Puts a connection in, or ends it if there is no room. It holds no place meanwhile.
    pub(super) fn put(&self, key: Key, mut session: Box<Session>) {
        let whom = session.peer.place.take().map(|place| place.whom());
        let mut state = self.lock();
        if state.closed || state.count >= MOST_IDLE {
            drop(state);
            tokio::spawn(session.quit());
            return;
        }
        state.count += 1;
        let until = Instant::now() + IDLE;
        state.idle.entry(key).or_default().push(Idle { session, whom, until });
        if !std::mem::replace(&mut state.reaping, true) {
            tokio::spawn(reap(Arc::downgrade(&self.0)));
        }
    }

    /// Ends all connections and keeps none from now on.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            state.expired(None)
        };
        let quitting: Vec<_> =
            idle.into_iter().map(|idle| tokio::spawn(idle.session.quit())).collect();
        for task in quitting {
            // A session that cannot be ended politely is ended all the same.
            let _ = task.await;
        }
    }

    /// How many connections wait, to all hosts together.
    pub(super) fn len(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self, key: &Key) -> Option<Idle> {
        // On a busy way the next comes at once: the reaper clears an empty place away.
        let idle = self.idle.get_mut(key)?.pop();
        self.count -= usize::from(idle.is_some());
        idle
    }

    // Those whose time is over at this moment, or all of them.
    fn expired(&mut self, at: Option<Instant>) -> Vec<Idle> {
        let mut expired = Vec::new();
        for waiting in self.idle.values_mut() {
            let is_over = |idle: &mut Idle| at.is_none_or(|at| idle.until <= at);
            expired.extend(waiting.extract_if(.., is_over));
        }
        self.idle.retain(|_, waiting| !waiting.is_empty());
        self.count -= expired.len();
        expired
    }

    fn next_end(&self) -> Option<Instant> {
        self.idle.values().flatten().map(|idle| idle.until).min()
    }
}

// Runs while anything waits, and holds nothing alive that nobody else does.
async fn reap(pool: Weak<Mutex<State>>) {
    loop {
        let Some(shared) = pool.upgrade() else { return };
        let (expired, next) = {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let expired = state.expired(Some(Instant::now()));
            let next = state.next_end();
            state.reaping = next.is_some();
            (expired, next)
        };
        drop(shared);
        for idle in expired {
            tokio::spawn(idle.session.quit());
        }
        match next {
            Some(next) => tokio::time::sleep_until(next).await,
            None => return,
        }
    }
}
