//! `approx_percentile(x, p)`: the smallest value that a share of p of the values is not above, to within 1/128 of it.
//!
//! Values are counted in buckets, by integers only: a bucket is told by the leading one of the absolute value in
//! millionths and the 7 bits after it, so it is 1/128 of its start wide at most, and below 256 millionths a bucket is
//! one value. What is told is the middle of the bucket in which the value of rank ⌈p·n⌉ lies: no further from that
//! value than 1/128 of it. Memory: 30,976 buckets at most, for numbers up to 10³² either side of zero; those between a
//! hundredth and a million fit 3,405.

use super::codec::{get_byte, get_i64, get_u64, put_i64, put_u64};
use super::heap::Heap;
use super::sum::millionths;
use super::{Aggregate, Constant, Input, one_number, whole};
use crate::money::{Decimal, SCALE};
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// Bits kept after the leading one.
const BITS: u32 = 7;
/// The bucket of the largest of all numbers.
const LAST: i64 = 15_488;

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Percentile(Option<Box<Buckets>>);

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Buckets {
    /// In millionths.
    p: u64,
    /// Negative ones for negative values, in the order of the values.
    counts: BTreeMap<i32, u64>,
}

/// The bucket of a number of millionths.
fn bucket(x: i128) -> i32 {
    let n = x.unsigned_abs();
    let exponent = 127 - (n | 1).leading_zeros();
    let bucket = match exponent.checked_sub(BITS) {
        // 2^7 is bucket 128, 2^8 is bucket 256, and so on.
        Some(drop) => (drop << BITS) as i32 + (n >> drop) as i32,
        None => n as i32,
    };
    if x < 0 { -bucket } else { bucket }
}

/// The middle of a bucket, in millionths.
fn middle(bucket: i32) -> i128 {
    let n = bucket.unsigned_abs();
    let middle = match (n >> BITS).checked_sub(1) {
        Some(drop) => {
            let start = u128::from((n & ((1 << BITS) - 1)) | 1 << BITS) << drop;
            start + ((1u128 << drop) - 1) / 2
        }
        None => u128::from(n),
    };
    // The last bucket ends where the numbers do.
    let middle = i128::try_from(middle).unwrap_or(i128::MAX);
    if bucket < 0 { -middle } else { middle }
}

impl Buckets {
    fn value(&self) -> Option<Decimal> {
        let n: u128 = self.counts.values().map(|n| u128::from(*n)).sum();
        let rank = (u128::from(self.p) * n).div_ceil(SCALE as u128).max(1);
        let mut seen = 0u128;
        self.counts.iter().find_map(|(bucket, count)| {
            seen += u128::from(*count);
            (seen >= rank).then(|| Decimal(middle(*bucket)))
        })
    }
}

impl Aggregate for Percentile {
    const CONSTANTS: &'static [Constant] = &[Constant::Share];
    type Lane = Heap<Percentile>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        match args {
            [x, _] => one_number(&[*x]).map(|_| Type::Decimal),
            _ => Err(format!("takes 2 arguments, a number and p, not {}", args.len())),
        }
    }

    /// Arguments: x, p in millionths. A double beyond all decimals counts as the largest.
    fn add(&mut self, input: &Input) {
        let buckets = self.0.get_or_insert_default();
        buckets.p = whole(input.args[1]) as u64;
        let x = millionths(input.args[0]).unwrap_or(match input.args[0] {
            Datum::Double(x) if x < 0.0 => -i128::MAX,
            _ => i128::MAX,
        });
        *buckets.counts.entry(bucket(x)).or_default() += 1;
    }

    fn merge(&mut self, other: &Percentile) {
        let Some(other) = &other.0 else { return };
        let buckets = self.0.get_or_insert_default();
        buckets.p = other.p;
        for (bucket, n) in &other.counts {
            *buckets.counts.entry(*bucket).or_default() += n;
        }
    }

    fn subtract(&mut self, other: &Percentile) -> bool {
        if let (Some(own), Some(other)) = (&mut self.0, &other.0) {
            for (bucket, n) in &other.counts {
                own.counts.entry(*bucket).and_modify(|own| *own -= n);
            }
            own.counts.retain(|_, n| *n > 0);
            if own.counts.is_empty() {
                self.0 = None;
            }
        }
        true
    }

    /// Of nothing: NULL.
    fn value(&self, _: Type, _: Millis) -> Option<Value> {
        self.0.as_ref()?.value().map(Value::Decimal)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let none = Buckets::default();
        let buckets = self.0.as_deref().unwrap_or(&none);
        put_u64(out, buckets.p);
        put_u64(out, buckets.counts.len() as u64);
        let mut previous = 0;
        for (bucket, n) in &buckets.counts {
            put_i64(out, i64::from(*bucket) - previous);
            put_u64(out, *n);
            previous = i64::from(*bucket);
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Percentile> {
        if get_byte(input)? != VERSION {
            return None;
        }
        let (p, n) = (get_u64(input)?, get_u64(input)?);
        let mut counts = BTreeMap::new();
        let mut previous = 0i64;
        for _ in 0..n {
            previous = previous.checked_add(get_i64(input)?).filter(|bucket| bucket.abs() <= LAST)?;
            counts.insert(previous as i32, get_u64(input)?);
        }
        if p > SCALE as u64 {
            return None;
        }
        Some(Percentile((!counts.is_empty()).then(|| Box::new(Buckets { p, counts }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = i128> {
        prop_oneof![
            Just(0),
            -300i128..300,
            -1_000_000_000i128..1_000_000_000,
            any::<i64>().prop_map(i128::from),
            any::<i128>().prop_map(|n| n.max(-i128::MAX))
        ]
    }

    proptest! {
        #[test]
        fn the_error_is_what_is_promised(numbers in prop::collection::vec(number(), 1..80), p in 0u64..=1_000_000) {
            let mut buckets = Buckets { p, counts: BTreeMap::new() };
            numbers.iter().for_each(|x| *buckets.counts.entry(bucket(*x)).or_default() += 1);
            let mut sorted = numbers.clone();
            sorted.sort();
            let not_above = |x: &i128| numbers.iter().filter(|n| *n <= x).count() as u64;
            let exact = *sorted.iter().find(|x| not_above(x) * 1_000_000 >= p * numbers.len() as u64).expect("the last");
            let told = buckets.value().expect("there are values").0;
            prop_assert!(told.abs_diff(exact) <= exact.unsigned_abs() / 128, "{told} for {exact}");
            prop_assert_eq!(told.signum(), exact.signum());
        }

        #[test]
        fn buckets_are_in_the_order_of_their_values(a in number(), b in number()) {
            prop_assert_eq!(a.cmp(&b).is_le(), bucket(a) < bucket(b) || bucket(a) == bucket(b) && a <= b);
            prop_assert_eq!(bucket(middle(bucket(a))), bucket(a));
        }
    }

    #[test]
    fn the_bound_on_memory_is_that_of_the_last_bucket() {
        assert_eq!((bucket(i128::MIN), bucket(i128::MAX)), (-LAST as i32, LAST as i32 - 1));
        assert_eq!(bucket(1_000_000 * SCALE) - bucket(SCALE / 100), 3_404);
    }
}
