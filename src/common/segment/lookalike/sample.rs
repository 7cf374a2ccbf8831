//! Samples of keys that depend on the keys alone: not on the order they come in, nor on where they were found.
//!
//! Every key has a number, a hash under the seed of chance. Those with the smallest numbers are the sample.

use crate::key::Key;
use siphasher::sip::SipHasher13;
use std::collections::BinaryHeap;
use std::hash::Hasher;

/// Keys, each with what is known of it.
pub type Keyed<T> = Vec<(Key, T)>;

/// One key in so many is held out.
const HELD_OUT: u64 = 5;

/// Whether a key of the others is held out: one in five, by a number of its own.
pub fn is_held_out(chance: u64, key: &Key) -> bool {
    number(chance, 1, key) < u64::MAX / HELD_OUT
}

/// The number of a key under a seed of chance; `purpose` keeps two uses of it apart.
fn number(chance: u64, purpose: u64, key: &Key) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(chance, purpose);
    hasher.write(key.text().as_bytes());
    hasher.finish()
}

/// At most so many of the keys that were offered, each with what is known of it.
pub struct Sample<T> {
    size: usize,
    chance: u64,
    /// The largest number first.
    kept: BinaryHeap<Numbered<T>>,
    offered: u64,
}

struct Numbered<T> {
    number: u64,
    key: Key,
    value: T,
}

impl<T> PartialEq for Numbered<T> {
    fn eq(&self, other: &Numbered<T>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Numbered<T> {}

impl<T> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Numbered<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Numbered<T> {
    fn cmp(&self, other: &Numbered<T>) -> std::cmp::Ordering {
        (self.number, &self.key).cmp(&(other.number, &other.key))
    }
}

impl<T> Sample<T> {
    pub fn new(size: usize, chance: u64) -> Sample<T> {
        Sample { size, chance, kept: BinaryHeap::new(), offered: 0 }
    }

    /// Takes a key, unless there are enough with smaller numbers. No key is offered twice.
    pub fn offer(&mut self, key: &Key, value: impl FnOnce() -> T) {
        self.offered += 1;
        let number = number(self.chance, 0, key);
        if self.kept.len() == self.size {
            match self.kept.peek() {
                Some(last) if (number, key) < (last.number, &last.key) => drop(self.kept.pop()),
                _ => return,
            }
        }
        self.kept.push(Numbered { number, key: key.clone(), value: value() });
    }

    /// All keys that were offered.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// The sample in the order of keys.
    pub fn sorted(self) -> Keyed<T> {
        let mut all: Keyed<T> = self.kept.into_iter().map(|one| (one.key, one.value)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The sample in two parts, each in the order of keys: what is learned from, and a fifth, rounded, that is held out.
    pub fn split(self) -> (Keyed<T>, Keyed<T>) {
        let chance = self.chance;
        let mut all = self.sorted();
        all.sort_by_cached_key(|(key, _)| number(chance, 1, key));
        let mut learned = all.split_off((all.len() + HELD_OUT as usize / 2) / HELD_OUT as usize);
        learned.sort_by(|a, b| a.0.cmp(&b.0));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        (learned, all)
    }
}
