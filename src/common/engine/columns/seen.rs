//! The events seen so far, exactly: a table of hashes that leads to rows, and what makes each row the event it is.
//!
//! The hashes are seeded anew in every run and decide nothing: where two agree the identities themselves are compared.

use crate::rows::{Block, Identities};

/// A set of rows; open addressing, at most three quarters full.
#[derive(Default)]
pub struct Seen {
    /// A power of two of them, or none: the upper half of a row's hash and its number plus one; 0 is free.
    slots: Vec<u64>,
    /// Rows of blocks that were let go, duplicates too.
    rows: usize,
    /// For each such block the number of its first row, and the identities of all.
    blocks: Vec<(usize, Identities)>,
    /// The memory of blocks that were forgotten.
    spare: Vec<Identities>,
}

impl Seen {
    /// Makes room for so many rows in all.
    pub fn reserve(&mut self, rows: usize) {
        let wanted = (rows + rows / 3 + 2).next_power_of_two();
        if wanted > self.slots.len() {
            let old = std::mem::replace(&mut self.slots, vec![0; wanted]);
            for slot in old.into_iter().filter(|slot| *slot != 0) {
                let mut at = (slot >> 32) as usize & (wanted - 1);
                while self.slots[at] != 0 {
                    at = (at + 1) & (wanted - 1);
                }
                self.slots[at] = slot;
            }
        }
    }

    /// Where a row with this hash lies or would lie first, if nothing else does: to be looked at before `insert`, for
    /// many rows one after the other. The machine then fetches them together; in `insert` it waits for each.
    #[inline(always)]
    pub fn touch(&self, hash: u64) -> u64 {
        self.slots[(hash >> 32) as usize & (self.slots.len() - 1)]
    }

    /// Remembers a row of the block at hand, whose identity has this hash; `false` when an event like it was there.
    ///
    /// There must be room for all rows of the block (`reserve`), and `keep` comes before a row of the next one.
    #[inline]
    pub fn insert(&mut self, block: &Block, row: usize, hash: u64) -> bool {
        let mask = self.slots.len() - 1;
        let tag = hash >> 32;
        let mut at = tag as usize & mask;
        while self.slots[at] != 0 {
            let (known, number) = (self.slots[at] >> 32, self.slots[at] as u32 - 1);
            if known == tag && self.identity(block, number as usize) == block.identity(row) {
                return false;
            }
            at = (at + 1) & mask;
        }
        let number = u32::try_from(self.rows + row + 1).expect("fewer than 2^32 events in one part of a log");
        self.slots[at] = tag << 32 | u64::from(number);
        true
    }

    /// Lets the block at hand go: its identities stay here, and it has no rows any more.
    pub fn keep(&mut self, block: &mut Block) {
        let first = self.rows;
        self.rows += block.len();
        let spare = self.spare.pop().unwrap_or_default();
        self.blocks.push((first, block.take_identities(spare)));
    }

    /// The identity of a row by its number; the last ones are those of the block at hand.
    fn identity<'a>(&'a self, block: &'a Block, number: usize) -> &'a [u8] {
        if number >= self.rows {
            return block.identity(number - self.rows);
        }
        let at = self.blocks.partition_point(|(first, _)| *first <= number) - 1;
        let (first, identities) = &self.blocks[at];
        identities.of(number - first)
    }

    /// The rows that were let go.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets all, and keeps the table unless it was far too much: it is written once for each part of a log.
    pub fn clear(&mut self) {
        let needed = (self.rows * 4).next_power_of_two();
        if needed < self.slots.len() {
            self.slots = vec![0; needed];
        } else {
            self.slots.fill(0);
        }
        self.spare.extend(self.blocks.drain(..).map(|(_, identities)| identities));
        self.rows = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Head, Projection};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_identities_whatever_their_hashes(
            parts in prop::collection::vec(prop::collection::vec(("[ab]?", "[a-c]{1,2}", "[a-c]{1,3}"), 0..60), 1..6),
            bits in 0u32..34,
        ) {
            let mut seen = Seen::default();
            for _ in 0..2 {
                let mut want = std::collections::HashSet::new();
                for part in &parts {
                    let mut block = Block::new(&Projection::default());
                    for (tenant, user, event_id) in part {
                        block.push_head(&Head { tenant, user, event_id, timestamp: 0 });
                    }
                    seen.reserve(seen.rows() + block.len());
                    for (row, id) in part.iter().enumerate() {
                        // Few bits: different identities of one hash. Many: of one slot.
                        let sum = block.identity(row).iter().fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
                        let hash = (sum & ((1 << bits) - 1)) << 30;
                        prop_assert_eq!(seen.insert(&block, row, hash), want.insert(id.clone()));
                    }
                    seen.keep(&mut block);
                    prop_assert!(block.is_empty());
                }
                seen.clear();
            }
        }
    }
}
