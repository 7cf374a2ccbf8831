//! `count_distinct(x)`, `count(DISTINCT x)`: how many different values; exactly up to 4,096, past it within 0.81 %.
//!
//! Up to 4,096 the values themselves are kept; past it a sketch of 16 KiB is. Which of the two it is, and what it holds,
//! follows from the set of values: their order and grouping do not show.

use super::cells::{Arena, Text};
use super::codec::{get_bytes, get_u64, put_bytes, put_datum, put_u64};
use super::hash::hash;
use super::lanes::Lane;
use super::sketch::Sketch;
use super::{Aggregate, Input, one_argument};
use crate::value::{Datum, Type};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::collections::BTreeSet;
use std::hash::BuildHasher;

/// So many values are told apart.
const EXACT_MAX: usize = 4096;
/// Stands where the number of values does: no set is as large.
const SKETCHED: u64 = u64::MAX;

#[derive(Clone, PartialEq, Debug)]
pub enum Distinct {
    // A sorted set: its order of iteration is the order of its bytes, whatever came first.
    Exact(BTreeSet<Box<[u8]>>),
    Sketched(Sketch),
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct::Exact(BTreeSet::new())
    }
}

impl Distinct {
    fn put(&mut self, value: &[u8]) {
        match self {
            Distinct::Sketched(sketch) => sketch.add(hash(value)),
            Distinct::Exact(values) if values.contains(value) => {}
            Distinct::Exact(values) => {
                values.insert(value.into());
                if values.len() > EXACT_MAX {
                    *self = Distinct::Sketched(sketch(values.iter().map(|value| &**value)));
                }
            }
        }
    }
}

fn sketch<'v>(values: impl Iterator<Item = &'v [u8]>) -> Sketch {
    let mut sketch = Sketch::default();
    values.for_each(|value| sketch.add(hash(value)));
    sketch
}

/// The bytes of a value: equal for equal values, zero and minus zero among them.
pub(super) fn put_distinct(out: &mut Vec<u8>, value: &Datum) {
    match value {
        Datum::Double(x) => put_datum(out, &Datum::Double(x + 0.0)),
        other => put_datum(out, other),
    }
}

/// The values of many keys: one set of (place, value), and how many there are of each place.
#[derive(Default)]
pub struct Distincts {
    counts: Vec<u32>,
    values: HashTable<(u32, Text)>,
    texts: Arena,
    hasher: DefaultHashBuilder,
    bytes: Vec<u8>,
    /// Of the places with more values than are told apart.
    sketches: HashMap<u32, Sketch>,
}

impl Lane for Distincts {
    const ORDERED: bool = false;

    fn grow(&mut self, places: usize) {
        self.counts.resize(places, 0);
    }

    fn add(&mut self, place: usize, input: &Input) {
        let Distincts { counts, values, texts, hasher, bytes, sketches } = self;
        let place = place as u32;
        bytes.clear();
        put_distinct(bytes, &input.args[0]);
        if counts[place as usize] as usize > EXACT_MAX {
            // Few keys come this far; the values that led here stay, and cost no more than they did.
            return sketches.entry(place).or_insert_with(|| of_place(values, texts, place)).add(hash(bytes));
        }
        let known = |(other, text): &(u32, Text)| *other == place && texts.bytes(*text) == &bytes[..];
        let at = hasher.hash_one((place, &bytes[..]));
        if values.find(at, known).is_none() {
            let text = texts.put(Text::default(), bytes);
            values.insert_unique(at, (place, text), |(place, text)| hasher.hash_one((*place, texts.bytes(*text))));
            counts[place as usize] += 1;
        }
    }

    #[inline(always)]
    fn datum(&self, place: usize, _: Type) -> Datum<'_> {
        match self.counts[place] as usize {
            n @ 0..=EXACT_MAX => Datum::Int(n as i64),
            _ => Datum::Int(self.estimate(place as u32)),
        }
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.values.clear();
        self.texts.clear();
        self.sketches.clear();
    }
}

impl Distincts {
    #[cold]
    fn estimate(&self, place: u32) -> i64 {
        match self.sketches.get(&place) {
            Some(sketch) => sketch.estimate(),
            None => of_place(&self.values, &self.texts, place).estimate(),
        }
    }
}

/// The sketch of the values of one place: a look at those of all places, once a place.
fn of_place(values: &HashTable<(u32, Text)>, texts: &Arena, place: u32) -> Sketch {
    sketch(values.iter().filter(|(other, _)| *other == place).map(|(_, text)| texts.bytes(*text)))
}

impl Aggregate for Distinct {
    type Lane = Distincts;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        one_argument(args).map(|_| Type::Int)
    }

    fn add(&mut self, input: &Input) {
        let mut bytes = Vec::new();
        put_distinct(&mut bytes, &input.args[0]);
        self.put(&bytes);
    }

    fn merge(&mut self, other: &Distinct) {
        match (&mut *self, other) {
            (_, Distinct::Exact(values)) => values.iter().for_each(|value| self.put(value)),
            (Distinct::Sketched(own), Distinct::Sketched(theirs)) => own.merge(theirs),
            (Distinct::Exact(values), Distinct::Sketched(theirs)) => {
                let mut merged = sketch(values.iter().map(|value| &**value));
                merged.merge(theirs);
                *self = Distinct::Sketched(merged);
            }
        }
    }

    /// Of nothing: 0.
    #[inline]
    fn datum(&self, _: Type) -> Datum<'_> {
        Datum::Int(match self {
            Distinct::Exact(values) => values.len() as i64,
            Distinct::Sketched(sketch) => sketch.estimate(),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Distinct::Exact(values) => {
                put_u64(out, values.len() as u64);
                values.iter().for_each(|value| put_bytes(out, value));
            }
            Distinct::Sketched(sketch) => {
                put_u64(out, SKETCHED);
                put_bytes(out, sketch.bytes());
            }
        }
    }

    /// Sets of any size are read: those beyond `EXACT_MAX` were written before there were sketches.
    fn decode(input: &mut &[u8]) -> Option<Distinct> {
        let n = get_u64(input)?;
        if n == SKETCHED {
            return Sketch::from_bytes(get_bytes(input)?).map(Distinct::Sketched);
        }
        if n > EXACT_MAX as u64 {
            let mut distinct = Distinct::default();
            for _ in 0..n {
                distinct.put(get_bytes(input)?);
            }
            return Some(distinct);
        }
        // They come sorted, and a set of what is sorted is made without a search for each.
        (0..n).map(|_| get_bytes(input).map(Box::from)).collect::<Option<_>>().map(Distinct::Exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_tells_what_partials_tell_on_either_side_of_the_exact_size() {
        let sizes = [0, 1, EXACT_MAX - 1, EXACT_MAX, EXACT_MAX + 1, EXACT_MAX + 2, 3 * EXACT_MAX];
        let mut lane = Distincts::default();
        // Twice: nothing may be left of the time before.
        for first in [0, 1_000_000] {
            let mut partials = vec![Distinct::default(); sizes.len()];
            lane.clear();
            lane.grow(sizes.len());
            // Values of all places in turns, each value twice.
            for n in (0..3 * EXACT_MAX).flat_map(|n| [n, n]) {
                for (place, _) in sizes.iter().enumerate().filter(|(_, size)| n < **size) {
                    let input = Input { args: &[Datum::Int((first + n) as i64)], timestamp: 0, event_id: "" };
                    lane.add(place, &input);
                    partials[place].add(&input);
                }
            }
            for (place, size) in sizes.iter().enumerate() {
                let told = lane.datum(place, Type::Int);
                assert_eq!(told, partials[place].datum(Type::Int), "{size}");
                assert!(*size > EXACT_MAX || told == Datum::Int(*size as i64), "{size}");
            }
        }
    }
}
