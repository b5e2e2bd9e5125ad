//! How many sessions there may be at the same time: of each user, of ordinary users, and apart
//! from those of administrators.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sessions of ordinary users at the same time. Those of administrators are counted
/// apart, so that nobody can shut them out.
const ORDINARY: usize = 64;

/// Of these, of one user, so that nobody can shut out the others either.
const OF_ONE: usize = 8;

/// Sessions of administrators at the same time.
const ADMINISTRATORS: usize = 64;

/// The places, and who has them.
#[derive(Debug)]
pub(super) struct Places {
    /// The server's own user, who may do what root may.
    pub(super) own_uid: u32,
    ordinary: Arc<Semaphore>,
    administrators: Arc<Semaphore>,
    /// Sessions of each user that has any.
    by_user: Mutex<HashMap<u32, usize>>,
}

/// A place that is a user's until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    uid: u32,
    _one: OwnedSemaphorePermit,
}

impl Places {
    /// All of them free.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            own_uid: nix::unistd::geteuid().as_raw(),
            ordinary: Arc::new(Semaphore::new(ORDINARY)),
            administrators: Arc::new(Semaphore::new(ADMINISTRATORS)),
            by_user: Mutex::default(),
        })
    }

    /// Whether a user may do everything.
    pub(super) fn is_administrator(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid
    }

    /// A place for one more session of a user; `None`: there is none left for them.
    pub(super) fn enter(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let is_administrator = self.is_administrator(uid);
        let places = if is_administrator { &self.administrators } else { &self.ordinary };
        let one = Arc::clone(places).try_acquire_owned().ok()?;
        let mut by_user = self.by_user();
        let count = by_user.entry(uid).or_default();
        if !is_administrator && *count >= OF_ONE {
            return None;
        }
        *count += 1;
        Some(Place { places: Arc::clone(self), uid, _one: one })
    }

    fn by_user(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_user = self.places.by_user();
        if let Some(count) = by_user.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_user.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_takes_anothers_place_and_nobody_an_administrators() {
        let places = Places::new();
        let user = |number: u32| 50_000 + number;
        let of_one: Vec<_> = (0..OF_ONE).map(|_| places.enter(user(0)).unwrap()).collect();
        assert!(places.enter(user(0)).is_none());
        let all: Vec<_> = (OF_ONE..ORDINARY)
            .map(|number| places.enter(user(u32::try_from(number / 8).unwrap())).unwrap())
            .collect();
        assert!(places.enter(user(99)).is_none());
        assert!(places.enter(0).is_some());
        drop(of_one);
        assert!(places.enter(user(0)).is_some());
        drop(all);
        assert!(places.by_user().is_empty());
    }
}
