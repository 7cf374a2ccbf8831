//! Columns: the nightly fold of one part of a log at one known instant, a column at a time.
//!
//! It tells what `Fold` tells, byte for byte. Since the instant is known from the start, a window
//! is a filter and one partial a key: no panes.

mod feeds;
#[cfg(test)]
mod laws;
mod places;
mod seen;
mod touched;
#[cfg(test)]
mod touched_laws;

use super::fold::{Range, Tally};
use super::given::Given;
use super::plan::{HIDDEN, Plan};
use crate::expr::{Scratch, convert};
use crate::key::Key;
use crate::patch::Form;
use crate::rows::{Block, Pick};
use crate::sheet::Sheet;
use crate::time::Millis;
use crate::value::{Datum, Value};
use feeds::Feeds;
use hashbrown::DefaultHashBuilder;
use places::Places;
use seen::Seen;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
pub use touched::Touched;

/// Keys told at once: their values fit the fastest cache.
const TOLD_AT_ONCE: usize = 32;

/// The values of some keys, under construction. Blocks come in the order of the log: of duplicates the first one counts.
pub struct Columns<'p> {
    plan: &'p Plan,
    hasher: DefaultHashBuilder,
    range: Range,
    as_of: Millis,
    form: Form,
    seen: Seen,
    places: Places,
    feeds: Feeds,
    /// The rows of a block that count.
    picks: Vec<Pick>,
    hashes: Vec<Hashes>,
    sources: Sources,
    scratch: Scratch,
    pub tally: Tally,
}

impl<'p> Columns<'p> {
    /// A fold of the events in `range`, for the values at `as_of`: an instant no earlier than any of them.
    pub fn new(plan: &'p Plan, range: Range, as_of: Millis) -> Columns<'p> {
        let codes = plan.outputs.iter().map(|tag| &*plan.definitions.tags[*tag].code);
        Columns {
            plan,
            hasher: DefaultHashBuilder::default(),
            range,
            as_of,
            form: Form::new(as_of, codes),
            seen: Seen::default(),
            places: Places::default(),
            feeds: Feeds::new(plan, as_of),
            picks: Vec::new(),
            hashes: Vec::new(),
            sources: Sources::new(plan),
            scratch: Scratch::new(),
            tally: Tally::default(),
        }
    }

    /// Makes room for so many rows in all; more may come.
    pub fn reserve(&mut self, rows: usize) {
        self.seen.reserve(rows);
    }

    /// Starts over with other keys, in the memory of those before.
    pub fn reset(&mut self) {
        self.seen.clear();
        self.places.clear();
        self.feeds.clear();
        self.tally = Tally::default();
    }

    /// Adds the events of a block, which has no rows afterwards.
    ///
    /// An event outside the range hides its duplicates too: which of them counts rests on the log, not on the question.
    pub fn add(&mut self, block: &mut Block) {
        self.add_then(block, |_, _| ());
    }

    /// The same, and shows the rows that count to `then` while they are there.
    pub fn add_then<R>(&mut self, block: &mut Block, then: impl FnOnce(&Block, &[Pick]) -> R) -> R {
        self.hashes.clear();
        let hasher = &self.hasher;
        self.hashes.extend((0..block.len()).map(|row| Hashes::new(hasher, block, row)));
        self.seen.reserve(self.seen.rows() + block.len());
        black_box(self.hashes.iter().fold(0, |all, hashes| all ^ self.seen.touch(hashes.identity)));
        self.picks.clear();
        let mut fresh = 0;
        for (row, hashes) in self.hashes.iter().enumerate() {
            let new = self.seen.insert(block, row, hashes.identity);
            fresh += u64::from(new);
            if new && self.range.holds(block.timestamp(row)) {
                self.picks.push(Pick { row: row as u32, place: 0 });
            }
        }
        let times = self.picks.iter().map(|pick| block.timestamp(pick.row as usize));
        self.tally.times = times.fold(self.tally.times, |times, at| {
            Some(times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
        });
        for pick in &mut self.picks {
            let row = pick.row as usize;
            let (tenant, user) = self.plan.user(block, row);
            pick.place = self.places.of_user(tenant, user, self.hashes[row].user);
        }
        self.tally.absorbed += self.picks.len() as u64;
        self.tally.duplicates += block.len() as u64 - fresh;
        self.tally.outside += fresh - self.picks.len() as u64;
        self.feeds.add(block, &self.picks, self.places.len(), &mut self.scratch);
        let shown = then(block, &self.picks);
        self.seen.keep(block);
        shown
    }

    /// Appends one patch line a key, in the order of keys, with all told tags: of keys with events, and of those with a
    /// value in `given`. Returns the number of keys.
    ///
    /// `reset` comes before events of other keys.
    pub fn finish(&mut self, given: &BTreeMap<Key, Given>, out: &mut Sheet) -> u64 {
        let with_events = self.places.len();
        for (key, _) in given.iter().filter(|(_, given)| given.is_known()) {
            if self.plan.entity().is_declared() {
                self.places.of_key(key.as_str(), self.hasher.hash_one(key.as_str()));
            } else {
                let hash = user_hash(&self.hasher, key.id()).finish();
                self.places.of_user(key.tenant(), key.id(), hash);
            }
        }
        self.feeds.grow(self.places.len());
        for places in self.places.in_order().chunks(TOLD_AT_ONCE) {
            self.tell(places, with_events, given, out);
            self.scratch.reset();
        }
        self.places.len() as u64
    }

    fn tell(&self, places: &[u32], with_events: usize, given: &BTreeMap<Key, Given>, out: &mut Sheet) {
        let keys = self.scratch.alloc_slice_fill_iter(places.iter().map(|place| self.places.key(*place as usize)));
        let width = self.sources.width;
        let rows = self.scratch.alloc_slice_fill_copy(places.len() * width, Datum::Null);
        for (at, counter) in self.plan.counters.iter().enumerate() {
            self.feeds.partials()[at].data(places, counter.gives, rows, width, at);
            if counter.gives != counter.ty {
                let column = rows.iter_mut().skip(at).step_by(width);
                column.for_each(|value| *value = convert(*value, counter.ty, &self.scratch));
            }
        }
        // Of a key that is forgotten no event counts, and without given values it has no value at all.
        let hidden = self.plan.hidden();
        let gone = self.scratch.alloc_slice_fill_copy(hidden.map_or(0, |_| width), Datum::Null);
        let mut before: Option<&[Datum]> = None;
        for ((row, key), place) in rows.chunks_exact_mut(width).zip(keys).zip(places) {
            let over = hidden.is_some_and(|at| matches!(row[at], Datum::Int(0)));
            let has_events = (*place as usize) < with_events && !over;
            if !has_events {
                row[..self.plan.counters.len()].fill(Datum::Null);
            }
            let given = given.get(*key).filter(|given| given.is_known());
            if let Some(given) = given {
                for (at, value) in row[self.sources.given..].iter_mut().enumerate() {
                    *value = given.value(at).map_or(Datum::Null, Value::datum);
                }
            }
            self.derive(row, has_events, before);
            let row = &*row;
            before = has_events.then_some(row);
            let row = if over && given.is_none() { &*gone } else { row };
            self.form.push_line(out, key, |n| row[self.sources.told[n]]);
        }
    }

    /// Computes the derived tags of one key. What the key before, which has events, had of the same inputs is not computed
    /// again: of many keys all inputs are NULL.
    fn derive<'a>(&'a self, row: &mut [Datum<'a>], has_events: bool, before: Option<&[Datum<'a>]>) {
        let first = self.plan.counters.len();
        for (n, (derivation, inputs)) in self.plan.derivations.iter().zip(&self.sources.inputs).enumerate() {
            if !has_events && !derivation.over_given {
                continue;
            }
            if let Some(before) = before
                && inputs.iter().all(|at| alike(row[*at], before[*at]))
            {
                row[first + n] = before[first + n];
                continue;
            }
            let inputs = self.scratch.alloc_slice_fill_iter(inputs.iter().map(|at| row[*at]));
            row[first + n] = derivation.value(inputs, self.as_of, &self.scratch);
        }
    }
}

/// Whether two values are surely the same.
fn alike(a: Datum, b: Datum) -> bool {
    match (a, b) {
        (Datum::Null, Datum::Null) => true,
        (Datum::Int(a), Datum::Int(b)) => a == b,
        (Datum::Decimal(a), Datum::Decimal(b)) => a == b,
        _ => false,
    }
}

/// The hashes of a row. Computed for a whole block before tables are looked into, so that none waits for another.
struct Hashes {
    user: u64,
    /// Of tenant, user and event id: it goes on where the user's ends.
    identity: u64,
}

impl Hashes {
    #[inline]
    fn new(hasher: &DefaultHashBuilder, block: &Block, row: usize) -> Hashes {
        let mut hasher = user_hash(hasher, block.user(row));
        let user = hasher.finish();
        hasher.write(block.event_id(row).as_bytes());
        let tenant = block.tenant(row);
        if !tenant.is_empty() {
            hasher.write(tenant.as_bytes());
        }
        Hashes { user, identity: hasher.finish() }
    }
}

/// The hash of a user.
#[inline]
fn user_hash(hasher: &DefaultHashBuilder, user: &str) -> impl Hasher {
    let mut hasher = hasher.build_hasher();
    hasher.write(user.as_bytes());
    hasher
}

/// Where in a row of values the value of a tag stands: counters come first, then derivations, one NULL, and given tags.
struct Sources {
    width: usize,
    /// Where the given tags begin.
    given: usize,
    /// Of the told tags.
    told: Vec<usize>,
    /// Of what each derivation reads.
    inputs: Vec<Vec<usize>>,
}

impl Sources {
    fn new(plan: &Plan) -> Sources {
        let known = plan.counters.len() + plan.derivations.len();
        let mut by_tag = vec![known; plan.definitions.tags.len()];
        let tags = plan.counters.iter().map(|c| c.tag).chain(plan.derivations.iter().map(|d| d.tag));
        tags.enumerate().filter(|(_, tag)| *tag != HIDDEN).for_each(|(at, tag)| by_tag[tag] = at);
        plan.given.iter().enumerate().for_each(|(at, tag)| by_tag[*tag] = known + 1 + at);
        Sources {
            width: known + 1 + plan.given.len(),
            given: known + 1,
            told: plan.outputs.iter().map(|tag| by_tag[*tag]).collect(),
            inputs: plan.derivations.iter().map(|d| d.inputs.iter().map(|tag| by_tag[*tag]).collect()).collect(),
        }
    }
}
