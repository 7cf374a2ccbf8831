//! Touched: the keys of an entity that events touch, a column at a time.
//!
//! What comes in counts already, each event once: users were there before, and their partitions know of duplicates.

use super::Columns;
use crate::engine::fold::Range;
use crate::engine::given::Given;
use crate::engine::keys::Keys;
use crate::engine::plan::Plan;
use crate::key::Key;
use crate::rows::{Block, Pick};
use crate::sheet::Sheet;
use crate::time::Millis;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// So many pairs of a row and a key are fed at once: an event may touch a thousand keys.
const FED_AT_ONCE: usize = 4096;

/// The values of some keys of one entity, under construction. Events may come in any order.
pub struct Touched<'p> {
    columns: Columns<'p>,
    keys: Keys,
}

impl<'p> Touched<'p> {
    /// For the values at `as_of`: an instant no earlier than any event.
    pub fn new(plan: &'p Plan, as_of: Millis) -> Touched<'p> {
        Touched { columns: Columns::new(plan, Range::default(), as_of), keys: Keys::default() }
    }

    /// The same, of events some of which are later: these do not count.
    pub fn up_to(plan: &'p Plan, as_of: Millis) -> Touched<'p> {
        let range = Range { since: None, as_of: Some(as_of) };
        Touched { columns: Columns::new(plan, range, as_of), keys: Keys::default() }
    }

    /// Starts over with other keys, in the memory of those before.
    pub fn reset(&mut self) {
        self.columns.reset();
    }

    /// Adds the events of a block to those of their keys that are `mine`; each has one such key at least.
    pub fn add(&mut self, block: &Block, mine: impl Fn(&str) -> bool) {
        let Touched { columns, keys } = self;
        columns.picks.clear();
        for row in 0..block.len() {
            if !columns.range.holds(block.timestamp(row)) {
                continue;
            }
            columns.plan.keys(block, row, keys, &mut columns.scratch);
            let only = keys.len() == 1;
            for key in keys.iter().filter(|key| only || mine(key)) {
                let place = columns.places.of_key(key, columns.hasher.hash_one(key));
                columns.picks.push(Pick { row: row as u32, place });
            }
            if columns.picks.len() >= FED_AT_ONCE {
                columns.feed(block);
            }
        }
        columns.feed(block);
    }

    /// Appends one patch line a key, in the order of keys, with all told tags: of keys that were touched, and of those with
    /// a value in `given`. Returns the number of keys.
    ///
    /// A key that is forgotten is told as one without events: without given values it has no value at all.
    pub fn finish(&mut self, given: &BTreeMap<Key, Given>, out: &mut Sheet) -> u64 {
        self.columns.finish(given, out)
    }
}

impl Columns<'_> {
    /// Feeds the picks there are.
    fn feed(&mut self, block: &Block) {
        self.feeds.add(block, &self.picks, self.places.len(), &mut self.scratch);
        self.picks.clear();
    }
}
