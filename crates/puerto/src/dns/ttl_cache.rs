//! A map whose entries end after a time of their own and whose cost is bounded.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// What an entry costs besides its own content, in octets.
const OVERHEAD: usize = 160;

struct Slot<V> {
    value: V,
    until: Instant,
    cost: usize,
    number: u64,
}

/// Entries leave when their time is over or, oldest first, when the whole costs
/// more than its bound.
pub(crate) struct TtlCache<K, V> {
    slots: HashMap<K, Slot<V>>,
    order: VecDeque<(K, u64)>,
    cost: usize,
    bound: usize,
    next_number: u64,
}

impl<K: Eq + Hash + Clone, V> TtlCache<K, V> {
    /// An empty cache of at most `bound` octets, by the reckoning of its user.
    pub(crate) fn new(bound: usize) -> Self {
        Self { slots: HashMap::new(), order: VecDeque::new(), cost: 0, bound, next_number: 0 }
    }

    /// The value and for how long it still holds.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<(&V, Duration)> {
        let slot = self.slots.get(key)?;
        let left = slot.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some((&slot.value, left))
    }

    /// Keeps a value that costs `cost` octets from a moment on for a while.
    pub(crate) fn insert(&mut self, key: K, value: V, cost: usize, from: (Instant, Duration)) {
        let cost = cost + OVERHEAD;
        let number = self.next_number;
        self.next_number += 1;
        let slot = Slot { value, until: from.0 + from.1, cost, number };
        if let Some(old) = self.slots.insert(key.clone(), slot) {
            self.cost -= old.cost;
        }
        self.cost += cost;
        self.order.push_back((key, number));
        self.shrink();
    }

    /// Forgets all that it keeps.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.order.clear();
        self.cost = 0;
    }

    // The order also holds entries that were replaced since; they are dropped when
    // met, and swept when they are the greater part.
    fn shrink(&mut self) {
        while self.cost > self.bound {
            let Some((key, number)) = self.order.pop_front() else { break };
            if self.slots.get(&key).is_some_and(|slot| slot.number == number)
                && let Some(slot) = self.slots.remove(&key)
            {
                self.cost -= slot.cost;
            }
        }
        if self.order.len() > 2 * self.slots.len() + 64 {
            let slots = &self.slots;
            self.order.retain(|(key, number)| slots.get(key).is_some_and(|s| s.number == *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn entries_end_with_their_time() {
        let mut cache = TtlCache::new(10_000);
        let now = Instant::now();
        cache.insert("a", 1, 0, (now, Duration::from_secs(10)));
        let later = now + Duration::from_secs(4);
        assert_eq!(cache.get(&"a", later), Some((&1, Duration::from_secs(6))));
        assert_eq!(cache.get(&"a", now + Duration::from_secs(10)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_leave_when_there_are_too_many() {
        let mut cache = TtlCache::new(10 * (OVERHEAD + 8));
        let from = (Instant::now(), Duration::from_secs(10));
        for number in 0..1000_u32 {
            cache.insert(number, number, 8, from);
            cache.insert(7000, number, 8, from);
        }
        assert!(cache.slots.len() <= 10);
        assert!(cache.order.len() <= 100);
        assert_eq!(cache.get(&999, from.0).map(|found| *found.0), Some(999));
        assert_eq!(cache.get(&5, from.0), None);
        cache.clear();
        assert_eq!(cache.cost, 0);
    }
}
