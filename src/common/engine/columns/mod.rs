//! Columns: the nightly fold of one part of a log at one known instant, a column at a time.
//!
//! It tells what `Fold` tells, byte for byte. Since the instant is known from the start, a window
//! is a filter and one partial a key: no panes.

mod feeds;
#[cfg(test)]
mod laws;
mod places;
mod seen;

use super::dedup::HashKey;
use super::fold::{Range, Tally};
use super::plan::{Counter, Plan};
use crate::expr::{Scratch, convert};
use crate::patch::Form;
use crate::rows::{Block, Pick};
use crate::time::Millis;
use crate::value::Datum;
use feeds::Feeds;
use places::Places;
use seen::Seen;
use siphasher::sip128::SipHasher13;

/// The values of some keys, under construction. Blocks come in the order of the log: of duplicates the first one counts.
pub struct Columns<'p> {
    plan: &'p Plan,
    hasher: SipHasher13,
    range: Range,
    as_of: Millis,
    form: Form,
    seen: Seen,
    places: Places,
    feeds: Feeds,
    /// The rows of a block that count.
    picks: Vec<Pick>,
    identities: Vec<u128>,
    /// Where the told tags come from, and what each derivation reads.
    told: Vec<Source>,
    inputs: Vec<Vec<Source>>,
    scratch: Scratch,
    pub tally: Tally,
}

impl<'p> Columns<'p> {
    /// A fold of the events in `range`, for the values at `as_of`: an instant no earlier than any of them.
    pub fn new(plan: &'p Plan, hash_key: HashKey, range: Range, as_of: Millis) -> Columns<'p> {
        let codes = plan.outputs.iter().map(|tag| &*plan.definitions.tags[*tag].code);
        let sources = Source::all(plan);
        Columns {
            plan,
            hasher: SipHasher13::new_with_keys(hash_key[0], hash_key[1]),
            range,
            as_of,
            form: Form::new(as_of, codes),
            seen: Seen::default(),
            places: Places::default(),
            feeds: Feeds::new(plan, as_of),
            picks: Vec::new(),
            identities: Vec::new(),
            told: plan.outputs.iter().map(|tag| sources[*tag]).collect(),
            inputs: plan.derivations.iter().map(|d| d.inputs.iter().map(|tag| sources[*tag]).collect()).collect(),
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

    /// Adds the events of a block.
    ///
    /// An event outside the range hides its duplicates too: which of them counts rests on the log, not on the question.
    pub fn add(&mut self, block: &Block) {
        self.identities.clear();
        let identity = |i| self.hasher.hash(block.identity(i)).as_u128();
        self.identities.extend((0..block.len()).map(identity));
        self.seen.reserve(self.seen.len() + block.len());
        self.picks.clear();
        let mut fresh = 0;
        for (row, identity) in self.identities.iter().enumerate() {
            let new = self.seen.insert(*identity);
            fresh += u64::from(new);
            if new && self.range.holds(block.timestamp(row)) {
                self.picks.push(Pick { row: row as u32, place: 0 });
            }
        }
        for pick in &mut self.picks {
            let (tenant, user) = self.plan.user(block, pick.row as usize);
            pick.place = self.places.of_user(tenant, user);
        }
        self.tally.absorbed += self.picks.len() as u64;
        self.tally.duplicates += block.len() as u64 - fresh;
        self.tally.outside += fresh - self.picks.len() as u64;
        self.feeds.add(block, &self.picks, self.places.len(), &mut self.scratch);
    }

    /// Appends one patch line a key, in the order of keys, with all told tags. Returns the number of keys.
    ///
    /// `reset` comes before events of other keys.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> u64 {
        for place in self.places.in_order() {
            self.tell(place as usize, out);
            self.scratch.reset();
        }
        self.places.len() as u64
    }

    fn tell(&self, place: usize, out: &mut Vec<u8>) {
        let derived = self.derive(place);
        self.form.push_line(out, self.places.key(place), |n, out| match self.told[n] {
            Source::Counter { counter, plain: true } => {
                self.feeds.partials()[counter].push_json(place, self.plan.counters[counter].gives, out);
            }
            source => self.value(source, place, derived).push_json(out),
        });
    }

    /// The values of the derived tags, in the order of the plan.
    fn derive(&self, place: usize) -> &[Datum<'_>] {
        let mut derived = bumpalo::collections::Vec::with_capacity_in(self.inputs.len(), &self.scratch);
        for (derivation, inputs) in self.plan.derivations.iter().zip(&self.inputs) {
            let values = inputs.iter().map(|source| self.value(*source, place, &derived));
            let values = self.scratch.alloc_slice_fill_iter(values);
            let value = derivation.value(values, self.as_of, &self.scratch);
            derived.push(value);
        }
        derived.into_bump_slice()
    }

    /// The value of a tag of the key at `place`.
    fn value<'a>(&'a self, source: Source, place: usize, derived: &[Datum<'a>]) -> Datum<'a> {
        match source {
            Source::Counter { counter, plain } => {
                let Counter { gives, ty, .. } = self.plan.counters[counter];
                let value = self.feeds.partials()[counter].datum(place, gives);
                if plain { value } else { convert(value, ty, &self.scratch) }
            }
            Source::Derived(at) => derived[at],
            Source::Elsewhere => Datum::Null,
        }
    }
}

/// Where the value of a tag comes from.
#[derive(Clone, Copy)]
enum Source {
    /// A counter of the plan; `plain` when it gives the type that the tag is declared to have.
    Counter { counter: usize, plain: bool },
    /// A derivation of the plan.
    Derived(usize),
    /// The fold does not know it: NULL.
    Elsewhere,
}

impl Source {
    /// For each tag.
    fn all(plan: &Plan) -> Vec<Source> {
        let mut sources = vec![Source::Elsewhere; plan.definitions.tags.len()];
        for (counter, Counter { tag, gives, ty, .. }) in plan.counters.iter().enumerate() {
            sources[*tag] = Source::Counter { counter, plain: gives == ty };
        }
        for (at, derivation) in plan.derivations.iter().enumerate() {
            sources[derivation.tag] = Source::Derived(at);
        }
        sources
    }
}
