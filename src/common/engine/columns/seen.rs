//! The identities seen so far, exactly: a table of the 128-bit values themselves.
//!
//! They are hashes of a secret key already, so their low bits say where each lies.

use crate::engine::dedup::Identity;

/// A set of identities; open addressing, at most three quarters full.
#[derive(Default)]
pub struct Seen {
    /// A power of two of them, or none; 0 is free.
    slots: Vec<Identity>,
    used: usize,
    /// Whether the identity 0, which no slot can show, was seen.
    zero: bool,
}

impl Seen {
    /// Makes room for so many identities in all.
    pub fn reserve(&mut self, identities: usize) {
        let wanted = (identities + identities / 3 + 2).next_power_of_two();
        if wanted > self.slots.len() {
            let old = std::mem::replace(&mut self.slots, vec![0; wanted]);
            for identity in old.into_iter().filter(|identity| *identity != 0) {
                let at = self.find(identity);
                self.slots[at] = identity;
            }
        }
    }

    /// Remembers an identity; `false` when it was there.
    ///
    /// There must be room for it (`reserve`).
    #[inline]
    pub fn insert(&mut self, identity: Identity) -> bool {
        if identity == 0 {
            return !std::mem::replace(&mut self.zero, true);
        }
        let at = self.find(identity);
        let new = self.slots[at] == 0;
        self.slots[at] = identity;
        self.used += usize::from(new);
        new
    }

    /// Where the identity lies or would lie.
    #[inline]
    fn find(&self, identity: Identity) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = identity as usize & mask;
        while self.slots[at] != 0 && self.slots[at] != identity {
            at = (at + 1) & mask;
        }
        at
    }

    pub fn len(&self) -> usize {
        self.used
    }

    /// Forgets all, and keeps the memory unless it was far too much: it is written once for each part of a log.
    pub fn clear(&mut self) {
        let needed = (self.used * 4).next_power_of_two();
        if needed < self.slots.len() {
            self.slots = vec![0; needed];
        } else {
            self.slots.fill(0);
        }
        self.used = 0;
        self.zero = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set(identities in prop::collection::vec(0u128..64, 0..200), high in 0u32..100) {
            let mut seen = Seen::default();
            let mut want = std::collections::HashSet::new();
            for round in 0..2 {
                for identity in identities.iter().map(|n| n << (high + round)) {
                    seen.reserve(seen.len() + 1);
                    prop_assert_eq!(seen.insert(identity), want.insert(identity));
                }
                seen.clear();
                want.clear();
            }
        }
    }
}
