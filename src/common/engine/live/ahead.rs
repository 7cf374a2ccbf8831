//! Looking ahead: what the next rows will need is looked at before they come.
//!
//! With many keys each row needs a handful of places in memory that no cache holds. One after the other each costs a
//! hundred nanoseconds; asked for together they come at the price of one.

use super::Live;
use super::entry::Entry;
use super::places::Hashed;
use crate::engine::dedup::{Identity, identity};
use crate::rows::Block;
use std::hint::black_box;
use std::ops::Range;

/// Rows to look at together: what they need fits into the nearer caches.
pub const AHEAD: usize = 256;

const NOWHERE: u32 = u32::MAX;

/// What was worked out of some rows of a block.
#[derive(Default)]
pub(super) struct Ahead {
    /// The first of them.
    first: usize,
    identities: Vec<Identity>,
    /// For each row where its keys end.
    rows: Vec<usize>,
    keys: Vec<Touched>,
    text: String,
    places: Vec<u32>,
}

/// A key that a row touches.
struct Touched {
    plan: usize,
    hash: u32,
    /// Where its text ends.
    end: usize,
}

impl Ahead {
    fn clear(&mut self, first: usize) {
        self.first = first;
        self.identities.clear();
        self.rows.clear();
        self.keys.clear();
        self.text.clear();
        self.places.clear();
    }

    pub fn identity(&self, i: usize) -> Identity {
        self.identities[i - self.first]
    }

    /// The keys that row `i` touches, each with its plan.
    pub fn keys(&self, i: usize) -> impl Iterator<Item = (usize, Hashed<'_>)> {
        let row = i - self.first;
        let start = if row == 0 { 0 } else { self.rows[row - 1] };
        (start..self.rows[row]).map(|n| {
            let begin = if n == 0 { 0 } else { self.keys[n - 1].end };
            let Touched { plan, hash, end } = self.keys[n];
            (plan, Hashed { text: &self.text[begin..end], hash })
        })
    }
}

impl Live {
    /// Looks at what these rows need; then [`Live::push_ahead`] takes them. Changes nothing else.
    pub fn look_ahead(&mut self, block: &Block, rows: Range<usize>) {
        let ahead = &mut self.ahead;
        ahead.clear(rows.start);
        ahead.identities.extend(rows.clone().map(|i| identity(&self.hash_key, block, i)));
        let known = rows.clone().zip(&ahead.identities).filter(|(i, id)| self.dedup.knows(**id, block.timestamp(*i)));
        black_box(known.count());
        for i in rows {
            for (plan, each) in self.plans.iter().enumerate() {
                each.keys(block, i, &mut self.keys, &mut self.scratch);
                for key in self.keys.iter() {
                    ahead.text.push_str(key);
                    ahead.keys.push(Touched { plan, hash: self.places.hash(key).hash, end: ahead.text.len() });
                }
            }
            ahead.rows.push(ahead.keys.len());
        }
        // Hashes first, then places, then entries, then what these point at: no question waits for the answer to another.
        ahead.places.extend(ahead.keys.iter().map(|key| self.places.likely(key.hash).unwrap_or(NOWHERE)));
        let entries = ahead.places.iter().filter_map(|place| self.entries.get(*place as usize));
        black_box(entries.clone().filter(|entry| entry.unsaved).count());
        black_box(entries.clone().fold(0, |all, entry| all ^ entry.glance()));
        black_box(entries.map(Entry::glance_inside).sum::<usize>());
    }
}
