//! `count(DISTINCT x)`: how many different values, exactly.
//!
//! The values themselves are kept, so memory grows with their number.

use super::cells::{Arena, Text};
use super::codec::{get_bytes, get_u64, put_bytes, put_datum, put_u64};
use super::lanes::Lane;
use super::{Aggregate, Input, one_argument};
use crate::value::{Datum, Type};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::BTreeSet;
use std::hash::BuildHasher;

// A sorted set: its order of iteration is the order of its bytes, whatever came first.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Distinct(BTreeSet<Box<[u8]>>);

/// The bytes of a value: equal for equal values, zero and minus zero among them.
fn put_distinct(out: &mut Vec<u8>, value: &Datum) {
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
}

impl Lane for Distincts {
    const ORDERED: bool = false;

    fn grow(&mut self, places: usize) {
        self.counts.resize(places, 0);
    }

    fn add(&mut self, place: usize, input: &Input) {
        let Distincts { counts, values, texts, hasher, bytes } = self;
        let place = place as u32;
        bytes.clear();
        put_distinct(bytes, &input.args[0]);
        let known = |(other, text): &(u32, Text)| *other == place && texts.bytes(*text) == &bytes[..];
        let hash = hasher.hash_one((place, &bytes[..]));
        if values.find(hash, known).is_none() {
            let text = texts.put(Text::default(), bytes);
            values.insert_unique(hash, (place, text), |(place, text)| hasher.hash_one((*place, texts.bytes(*text))));
            counts[place as usize] += 1;
        }
    }

    #[inline(always)]
    fn datum(&self, place: usize, _: Type) -> Datum<'_> {
        Datum::Int(i64::from(self.counts[place]))
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.values.clear();
        self.texts.clear();
    }
}

impl Aggregate for Distinct {
    type Lane = Distincts;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        one_argument(args).map(|_| Type::Int)
    }

    fn add(&mut self, input: &Input) {
        let mut bytes = Vec::new();
        put_distinct(&mut bytes, &input.args[0]);
        if !self.0.contains(&bytes[..]) {
            self.0.insert(bytes.into());
        }
    }

    fn merge(&mut self, other: &Distinct) {
        for value in &other.0 {
            if !self.0.contains(value) {
                self.0.insert(value.clone());
            }
        }
    }

    /// Of nothing: 0.
    #[inline]
    fn datum(&self, _: Type) -> Datum<'_> {
        Datum::Int(self.0.len() as i64)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        for value in &self.0 {
            put_bytes(out, value);
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Distinct> {
        let n = get_u64(input)?;
        let mut set = BTreeSet::new();
        for _ in 0..n {
            set.insert(get_bytes(input)?.into());
        }
        Some(Distinct(set))
    }
}
