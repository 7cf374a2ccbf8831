//! Places: the keys of a fold, numbered in the order in which they came.
//!
//! The bytes of all keys lie in one arena, so that a new key costs no allocation.

use crate::key::Key;

const SLOTS_MIN: usize = 1024;

/// Keys by number, and numbers by key.
#[derive(Default)]
pub struct Places {
    /// A power of two of them, or none: the upper half of a key's hash and its number plus one; 0 is free.
    slots: Vec<u64>,
    /// Where each key ends in the arena.
    ends: Vec<u32>,
    /// The keys as they are stored, one after the other.
    arena: String,
    key: String,
}

impl Places {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The key of a place, as it is stored.
    pub fn key(&self, place: usize) -> &str {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.arena[start as usize..self.ends[place] as usize]
    }

    /// The place of a user, a new one for a new user. One user's hash is always the same.
    #[inline]
    pub fn of_user(&mut self, tenant: &str, user: &str, hash: u64) -> u32 {
        let is = |stored: &[u8]| Key::is_user(stored, tenant, user);
        self.place(hash, is, |key| Key::write_user(tenant, user, key))
    }

    /// The place of a key as it is stored, a new one for a new key. One key's hash is always the same.
    #[inline]
    pub fn of_key(&mut self, key: &str, hash: u64) -> u32 {
        self.place(hash, |stored| stored == key.as_bytes(), |out| key.clone_into(out))
    }

    #[inline(always)]
    fn place(&mut self, hash: u64, is: impl Fn(&[u8]) -> bool, write: impl FnOnce(&mut String)) -> u32 {
        if self.ends.len() * 3 >= self.slots.len() * 2 {
            self.grow();
        }
        let tag = hash >> 32;
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        while self.slots[at] != 0 {
            let (known, place) = (self.slots[at] >> 32, self.slots[at] as u32 - 1);
            if known == tag && is(self.bytes(place as usize)) {
                return place;
            }
            at = (at + 1) & mask;
        }
        let place = u32::try_from(self.ends.len()).expect("fewer than 2^32 keys in one part of a log");
        self.slots[at] = tag << 32 | u64::from(place + 1);
        write(&mut self.key);
        self.arena.push_str(&self.key);
        self.ends.push(u32::try_from(self.arena.len()).expect("the keys of one part of a log are below 4 GiB"));
        place
    }

    /// The places in the order of their keys.
    pub fn in_order(&self) -> Vec<u32> {
        let skip = self.common();
        // The first eight bytes that may differ, as a number, decide nearly always.
        let head = |place: usize| {
            let rest = &self.bytes(place)[skip..];
            let mut head = [0u8; 8];
            match rest.first_chunk::<8>() {
                Some(eight) => head = *eight,
                None => head[..rest.len()].copy_from_slice(rest),
            }
            u64::from_be_bytes(head)
        };
        let mut order: Vec<u128> = (0..self.len()).map(|at| u128::from(head(at)) << 64 | at as u128).collect();
        order.sort_unstable();
        for alike in order.chunk_by_mut(|a, b| a >> 64 == b >> 64).filter(|alike| alike.len() > 1) {
            alike.sort_unstable_by(|a, b| self.bytes(*a as u32 as usize).cmp(self.bytes(*b as u32 as usize)));
        }
        order.into_iter().map(|place| place as u32).collect()
    }

    /// How many bytes all keys begin with alike.
    fn common(&self) -> usize {
        let first = if self.len() == 0 { &[] } else { self.bytes(0) };
        (1..self.len()).fold(first.len(), |common, place| {
            let other = self.bytes(place);
            match other.get(..common) {
                Some(head) if *head == first[..common] => common,
                _ => first.iter().zip(other).take_while(|(a, b)| a == b).count(),
            }
        })
    }

    /// Forgets all keys, and keeps the memory unless it was far too much: it is written once for each part of a log.
    pub fn clear(&mut self) {
        let needed = (self.len() * 4).next_power_of_two().max(SLOTS_MIN);
        if needed < self.slots.len() {
            self.slots = vec![0; needed];
        } else {
            self.slots.fill(0);
        }
        self.ends.clear();
        self.arena.clear();
    }

    fn bytes(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.arena.as_bytes()[start as usize..self.ends[place] as usize]
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = (slot >> 32) as usize & (slots - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (slots - 1);
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::BuildHasher;

    proptest! {
        #[test]
        fn a_key_has_one_place_and_the_order_is_that_of_keys(ids in prop::collection::vec(("[ab]?", "[a-c]{1,4}|[a-z]{3,40}"), 0..3000)) {
            let mut places = Places::default();
            let hasher = hashbrown::DefaultHashBuilder::default();
            for _ in 0..2 {
                let mut keys: Vec<Key> = Vec::new();
                for (tenant, user) in &ids {
                    let place = places.of_user(tenant, user, hasher.hash_one(user)) as usize;
                    let key = Key::user(tenant, user);
                    prop_assert!(place <= keys.len());
                    if place == keys.len() {
                        prop_assert!(!keys.contains(&key));
                        keys.push(key.clone());
                    }
                    prop_assert_eq!(&keys[place], &key);
                    prop_assert_eq!(places.key(place), key.as_str());
                }
                for (place, key) in keys.iter().enumerate() {
                    prop_assert_eq!(places.of_key(key.as_str(), hasher.hash_one(key.id())) as usize, place);
                }
                let in_order: Vec<Key> = places.in_order().iter().map(|place| keys[*place as usize].clone()).collect();
                keys.sort();
                prop_assert_eq!(in_order, keys);
                places.clear();
            }
        }
    }
}
