//! Distinct values: counted exactly up to a stated number, then estimated from the smallest hashes.
//!
//! The `EXACT` smallest hashes of all values say how many there are. They do not depend on order or repetition, so
//! parts merge and an estimate is always the same number.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Up to so many distinct values the count is exact; beyond, the error is about 0.8 % (one standard deviation).
pub const EXACT: usize = 16_384;
/// Fixed, so that an estimate is the same in every run.
const KEYS: (u64, u64) = (0x6469_7374_696e_6374, 0x7661_6c75_6573_2e31);

/// The smallest hashes of the values so far.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    /// Sorted and without repetition, at most `EXACT`.
    smallest: Vec<u64>,
    /// Those that came since, not above the largest that counts.
    fresh: Vec<u64>,
    /// Whether hashes were let go: then the count is an estimate.
    over: bool,
    /// Hashes seen lately, by their last bits: most values of most tags come again and again.
    recent: Vec<u64>,
}

const RECENT: usize = 256;

impl Distinct {
    /// Takes a value as bytes that differ between different values.
    pub fn add(&mut self, kind: u8, bytes: &[u8]) {
        let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
        hasher.write_u8(kind);
        hasher.write(bytes);
        self.add_hash(hasher.finish());
    }

    fn add_hash(&mut self, hash: u64) {
        if self.smallest.len() == EXACT && self.smallest.last().is_some_and(|largest| *largest < hash) {
            self.over = true;
            return;
        }
        if self.recent.is_empty() {
            // No hash is at home where its complement is.
            self.recent = (0..RECENT as u64).map(|i| !i).collect();
        }
        let seen = &mut self.recent[hash as usize % RECENT];
        if *seen == hash {
            return;
        }
        *seen = hash;
        self.fresh.push(hash);
        if self.fresh.len() >= EXACT {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.smallest.append(&mut self.fresh);
        self.smallest.sort_unstable();
        self.smallest.dedup();
        if self.smallest.len() > EXACT {
            self.smallest.truncate(EXACT);
            self.over = true;
        }
    }

    pub fn merge(&mut self, other: Distinct) {
        self.over |= other.over;
        for hash in other.smallest.into_iter().chain(other.fresh) {
            self.add_hash(hash);
        }
    }

    /// How many there are, and whether that is exact.
    pub fn count(mut self) -> (u64, bool) {
        self.settle();
        match (self.over, self.smallest.last()) {
            (true, Some(largest)) => {
                // Of n hashes spread evenly, the k-th smallest lies at about k/n of the range.
                let share = (*largest as f64 + 1.0) / 2f64.powi(64);
                (((EXACT as f64 - 1.0) / share).round() as u64, false)
            }
            _ => (self.smallest.len() as u64, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: impl Iterator<Item = u64>) -> Distinct {
        let mut distinct = Distinct::default();
        numbers.for_each(|n| distinct.add(b'i', &n.to_le_bytes()));
        distinct
    }

    #[test]
    fn the_count_is_exact_up_to_the_limit_and_near_beyond_it() {
        let limit = EXACT as u64;
        for n in [0, 1, 1000, limit - 1, limit] {
            assert_eq!(of((0..n).chain(0..n)).count(), (n, true));
        }
        for n in [limit + 1, 100_000, 1_000_000] {
            let (count, exact) = of(0..n).count();
            assert!(!exact && count.abs_diff(n) * 100 < n * 4, "{n}: {count}");
        }
    }

    #[test]
    fn order_and_parts_do_not_show() {
        let whole = of(0..200_000).count();
        assert_eq!(of((0..200_000).rev()).count(), whole);
        let mut merged = of((0..200_000).filter(|n| n % 3 == 0));
        merged.merge(of((0..150_000).filter(|n| n % 3 != 0)));
        merged.merge(of(100_000..200_000));
        assert_eq!(merged.count(), whole);
        for (few, many) in [(0..10, 10..200_000), (0..200_000, 0..10), (0..16_384, 16_384..16_385), (0..0, 0..20)] {
            let whole = of(few.start..many.end.max(few.end)).count();
            let mut merged = of(few);
            merged.merge(of(many));
            assert_eq!(merged.count(), whole);
        }
    }
}
