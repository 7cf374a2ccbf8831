//! Places: where the entry of a key is.

use super::entry::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// A part of a key's hash and the place of its entry. The key itself stands in the entry alone.
#[derive(Default)]
pub(super) struct Places {
    table: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
}

/// A key and its hash.
#[derive(Clone, Copy)]
pub(super) struct Hashed<'k> {
    pub text: &'k str,
    pub hash: u32,
}

impl Places {
    pub fn hash<'k>(&self, text: &'k str) -> Hashed<'k> {
        Hashed { text, hash: self.hasher.hash_one(text) as u32 }
    }

    pub fn get(&self, key: Hashed<'_>, entries: &[Entry]) -> Option<u32> {
        let is_it = |(h, place): &(u32, u32)| *h == key.hash && entries[*place as usize].key.as_str() == key.text;
        self.table.find(spread(key.hash), is_it).map(|(_, place)| *place)
    }

    /// Where the key of a hash is, unless that is another one; no entry is looked at.
    pub fn likely(&self, hash: u32) -> Option<u32> {
        self.table.find(spread(hash), |(h, _)| *h == hash).map(|(_, place)| *place)
    }

    pub fn reserve(&mut self, keys: usize) {
        self.table.reserve(keys, |(hash, _)| spread(*hash));
    }

    /// Of a key with this hash that has no place.
    pub fn insert(&mut self, hash: u32, place: u32) {
        self.table.insert_unique(spread(hash), (hash, place), |(hash, _)| spread(*hash));
    }

    pub fn remove(&mut self, key: &str, place: u32) {
        let found = self.table.find_entry(spread(self.hash(key).hash), |(_, p)| *p == place);
        if let Ok(entry) = found {
            entry.remove();
        }
    }
}

/// The table looks at the first and the last bits of a hash.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
