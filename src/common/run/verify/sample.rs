//! Samples: some keys chosen by their hash, the same for the same seed, in whatever order they come.

use crate::key::Key;
use siphasher::sip::SipHasher13;
use std::collections::BinaryHeap;
use std::hash::Hasher;

/// Which keys are compared: all, or those with the smallest hashes.
pub struct Sample {
    wanted: Option<usize>,
    seed: u64,
    smallest: BinaryHeap<u64>,
    /// The largest hash that is in.
    limit: u64,
}

impl Sample {
    /// `wanted`: how many keys of the store; those that only the log has come on top, in the same proportion.
    pub fn new(wanted: Option<usize>, seed: u64) -> Sample {
        Sample { wanted, seed, smallest: BinaryHeap::new(), limit: u64::MAX }
    }

    fn hash(&self, key: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.seed, 0);
        hasher.write(key.as_bytes());
        hasher.finish()
    }

    /// Takes note of a key that the store has.
    pub fn offer(&mut self, key: &Key) {
        if let Some(wanted) = self.wanted {
            let hash = self.hash(key.as_str());
            self.smallest.push(hash);
            if self.smallest.len() > wanted {
                self.smallest.pop();
            }
        }
    }

    /// All keys were offered. A store with fewer keys than wanted is compared whole.
    pub fn close(&mut self) {
        if let Some(wanted) = self.wanted
            && self.smallest.len() >= wanted
        {
            self.limit = self.smallest.peek().copied().unwrap_or(0);
        }
        self.smallest = BinaryHeap::new();
    }

    /// Whether all keys are in.
    pub fn is_whole(&self) -> bool {
        self.limit == u64::MAX
    }

    pub fn holds(&self, key: &Key) -> bool {
        self.is_whole() || self.hash(key.as_str()) <= self.limit
    }

    /// Whether a user is in.
    pub fn holds_user(&self, id: &[u8]) -> bool {
        let Ok(id) = std::str::from_utf8(id) else { return false };
        self.is_whole() || self.holds(&Key::user("", id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_rests_on_the_seed_alone() {
        let keys: Vec<Key> = (0..1000).map(|i| Key::user("", &format!("u-{i}"))).collect();
        let chosen = |seed, backwards: bool| {
            let mut sample = Sample::new(Some(10), seed);
            let mut offer = |key: &Key| sample.offer(key);
            if backwards {
                keys.iter().rev().for_each(&mut offer)
            } else {
                keys.iter().for_each(&mut offer)
            }
            sample.close();
            keys.iter().filter(|key| sample.holds(key)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(chosen(1, false).len(), 10);
        assert_eq!(chosen(1, false), chosen(1, true));
        assert_ne!(chosen(1, false), chosen(2, false));
        let mut few = Sample::new(Some(10), 1);
        keys[..9].iter().for_each(|key| few.offer(key));
        few.close();
        assert!(keys.iter().all(|key| few.holds(key)), "a store that lost its keys is compared whole");
    }
}
