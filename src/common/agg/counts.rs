//! `top_k(x, k)`: the k most frequent values, most frequent first, ties by value ascending. `histogram(x)`: each value
//! with how often it came.
//!
//! Both are exact up to `keep` different values; past it those with the smallest hash stay, counted in full, and the
//! partial is flagged. Memory: `keep` values at most. Events where x is NULL do not count.

use super::codec::{get_byte, get_u64, get_value, put_u64};
use super::distinct::put_distinct;
use super::extreme::order;
use super::heap::Heap;
use super::kept::Kept;
use super::{Aggregate, Constant, Input, KEEP_MAX, list, list_type, map, one_argument, whole, with_constant};
use crate::time::Millis;
use crate::value::{Type, Value};

const VERSION: u8 = 1;
const K: &[Constant] = &[Constant::Count { name: "k", most: KEEP_MAX }];

#[derive(Clone, Default, PartialEq, Debug)]
pub struct TopK(Option<Box<Top>>);

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Top {
    k: usize,
    counts: Kept<u64>,
}

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Histogram(Option<Box<Kept<u64>>>);

fn add(counts: &mut Kept<u64>, input: &Input, keep: usize) {
    let mut bytes = Vec::new();
    put_distinct(&mut bytes, &input.args[0]);
    if let Some(n) = counts.of(keep, &bytes) {
        *n += 1;
    }
}

fn merge(counts: &mut Kept<u64>, other: &Kept<u64>) {
    counts.merge(other, |own, theirs| *own += theirs);
}

fn subtract(counts: &mut Kept<u64>, other: &Kept<u64>) {
    counts.subtract(other, |own, theirs| {
        *own -= theirs;
        *own > 0
    });
}

/// The values with their counts.
fn values(counts: &Kept<u64>) -> impl Iterator<Item = (Value, u64)> {
    counts.iter().filter_map(|(mut bytes, n)| Some((get_value(&mut bytes)?, *n)))
}

fn encode(counts: &Kept<u64>, out: &mut Vec<u8>) {
    counts.encode(out, |n, out| put_u64(out, *n));
}

impl Aggregate for TopK {
    const CONSTANTS: &'static [Constant] = K;
    const KEEPS: bool = true;
    type Lane = Heap<TopK>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        list_type(with_constant(args, "k")?)
    }

    /// Arguments: x, k, keep.
    fn add(&mut self, input: &Input) {
        let top = self.0.get_or_insert_default();
        top.k = whole(input.args[1]);
        add(&mut top.counts, input, whole(input.args[2]));
    }

    fn merge(&mut self, other: &TopK) {
        if let Some(other) = &other.0 {
            let top = self.0.get_or_insert_default();
            top.k = other.k;
            merge(&mut top.counts, &other.counts);
        }
    }

    fn subtract(&mut self, other: &TopK) -> bool {
        let (Some(own), Some(theirs)) = (&mut self.0, &other.0) else { return true };
        let whole = own.counts.is_whole(&theirs.counts);
        if whole {
            subtract(&mut own.counts, &theirs.counts);
            if own.counts.is_empty() {
                self.0 = None;
            }
        }
        whole
    }

    fn is_flagged(&self) -> bool {
        self.0.as_ref().is_some_and(|top| top.counts.is_over())
    }

    /// Of nothing: NULL.
    fn value(&self, _: Type, _: Millis) -> Option<Value> {
        let top = self.0.as_ref()?;
        let mut all: Vec<(Value, u64)> = values(&top.counts).collect();
        all.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| order(&a.datum(), &b.datum())));
        Some(list(all.iter().take(top.k).map(|(value, _)| value)))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let none = Top::default();
        let top = self.0.as_deref().unwrap_or(&none);
        put_u64(out, top.k as u64);
        encode(&top.counts, out);
    }

    fn decode(input: &mut &[u8]) -> Option<TopK> {
        if get_byte(input)? != VERSION {
            return None;
        }
        let k = usize::try_from(get_u64(input)?).ok()?;
        let counts = Kept::decode(input, get_u64)?;
        Some(TopK((!counts.is_empty()).then(|| Box::new(Top { k, counts }))))
    }
}

impl Aggregate for Histogram {
    const KEEPS: bool = true;
    type Lane = Heap<Histogram>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        one_argument(args).map(|_| Type::Map(&Type::Int))
    }

    /// Arguments: x, keep.
    fn add(&mut self, input: &Input) {
        add(self.0.get_or_insert_default(), input, whole(input.args[1]));
    }

    fn merge(&mut self, other: &Histogram) {
        if let Some(other) = &other.0 {
            merge(self.0.get_or_insert_default(), other);
        }
    }

    fn subtract(&mut self, other: &Histogram) -> bool {
        let (Some(own), Some(theirs)) = (&mut self.0, &other.0) else { return true };
        let whole = own.is_whole(theirs);
        if whole {
            subtract(own, theirs);
            if own.is_empty() {
                self.0 = None;
            }
        }
        whole
    }

    fn is_flagged(&self) -> bool {
        self.0.as_ref().is_some_and(|counts| counts.is_over())
    }

    /// Of nothing: NULL.
    fn value(&self, _: Type, _: Millis) -> Option<Value> {
        map(values(self.0.as_ref()?).map(|(value, n)| (value, Value::Int(n as i64))))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        encode(self.0.as_deref().unwrap_or(&Kept::default()), out);
    }

    fn decode(input: &mut &[u8]) -> Option<Histogram> {
        let counts = (get_byte(input)? == VERSION).then(|| Kept::decode(input, get_u64))??;
        Some(Histogram((!counts.is_empty()).then(|| Box::new(counts))))
    }
}
