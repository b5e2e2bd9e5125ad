//! Dice: for the order of equal hosts and for jitter, not for secrets.

use std::hash::{BuildHasher, Hasher};

/// A SplitMix64 generator: one seed, one sequence.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence that differs in each process and each time.
    pub(crate) fn unpredictable() -> Self {
        Self(std::hash::RandomState::new().build_hasher().finish())
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Puts a list into a random order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let bound = last as u64 + 1;
            list.swap(last, usize::try_from(self.next() % bound).unwrap_or(last));
        }
    }
}
