//! `variance(x)`, `stddev(x)`: of a sample, over n - 1; NULL for fewer than two values.
//!
//! Count, sum and sum of squares are whole numbers of millionths and of their squares; a double is rounded to six
//! places on entry. There is one division, one root, and one rounding to a double, when the value is told.

use super::codec::{get_byte, get_i128, get_u64, put_i128, put_u64};
use super::heap::Heap;
use super::sum::millionths;
use super::wide::Wide;
use super::{Aggregate, Input, one_number};
use crate::time::Millis;
use crate::value::{Type, Value};

/// With numbers up to 2⁹⁰ millionths (10²¹) and fewer than 2³⁷ of them, n·Σx² and (Σx)² stay below 2²⁵⁵. A number
/// beyond makes the value NULL, as an overflow does everywhere.
const NUMBER_MAX: u128 = 1 << 90;
const COUNT_MAX: u64 = 1 << 37;
const VERSION: u8 = 1;
/// The square of the millionths in one unit.
const SQUARE: u128 = 1_000_000_000_000;

#[derive(Clone, Default, PartialEq, Debug)]
struct Moments {
    count: u64,
    /// Sums wrap, so that even those that overflowed are the same in any order.
    sum: i128,
    squares: Wide,
    /// Numbers beyond `NUMBER_MAX`.
    beyond: u64,
}

impl Moments {
    fn add(&mut self, x: i128) {
        if x.unsigned_abs() > NUMBER_MAX {
            return self.beyond += 1;
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(x);
        self.squares = self.squares.wrapping_add(Wide::product(x.unsigned_abs(), x.unsigned_abs()));
    }

    fn merge(&mut self, other: &Moments) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
        self.beyond += other.beyond;
    }

    fn subtract(&mut self, other: &Moments) {
        self.count -= other.count;
        self.sum = self.sum.wrapping_sub(other.sum);
        self.squares = self.squares.wrapping_sub(other.squares);
        self.beyond -= other.beyond;
    }

    /// The variance as a quotient rounded down, whether that is all of it, and the even power of two that divides it.
    fn quotient(&self) -> Option<(Wide, bool, u32)> {
        if self.beyond > 0 || self.count < 2 || self.count >= COUNT_MAX {
            return None;
        }
        let n = u128::from(self.count);
        let sum = self.sum.unsigned_abs();
        let over = self.squares.checked_mul(n)?.checked_sub(Wide::product(sum, sum))?;
        // Shifted as far up as it goes, the quotient has 140 bits or more.
        let shift = (256 - over.bits()) & !1;
        let (quotient, rest) = (over << shift).div_rem(n * (n - 1) * SQUARE);
        Some((quotient, rest == 0, shift))
    }

    fn variance(&self) -> Option<f64> {
        let (quotient, exact, shift) = self.quotient()?;
        Some(quotient.to_f64(!exact, -(shift as i32)))
    }

    fn stddev(&self) -> Option<f64> {
        let (quotient, exact, shift) = self.quotient()?;
        let (root, whole) = quotient.root();
        Some(Wide { high: 0, low: root }.to_f64(!(exact && whole), -(shift as i32 / 2)))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        put_i128(out, self.sum);
        put_i128(out, self.squares.high as i128);
        put_i128(out, self.squares.low as i128);
        put_u64(out, self.beyond);
    }

    fn decode(input: &mut &[u8]) -> Option<Moments> {
        Some(Moments {
            count: get_u64(input)?,
            sum: get_i128(input)?,
            squares: Wide { high: get_i128(input)? as u128, low: get_i128(input)? as u128 },
            beyond: get_u64(input)?,
        })
    }
}

macro_rules! of_moments {
    ($name:ident, $value:ident) => {
        // Boxed: a partial stands in every pane of every key, most of them counts of a few bytes.
        #[derive(Clone, Default, PartialEq, Debug)]
        pub struct $name(Option<Box<Moments>>);

        impl Aggregate for $name {
            type Lane = Heap<$name>;

            fn result_type(args: &[Type]) -> Result<Type, String> {
                one_number(args).map(|_| Type::Double)
            }

            fn add(&mut self, input: &Input) {
                self.0.get_or_insert_default().add(millionths(input.args[0]).unwrap_or(i128::MAX));
            }

            fn merge(&mut self, other: &Self) {
                if let Some(other) = &other.0 {
                    self.0.get_or_insert_default().merge(other);
                }
            }

            fn subtract(&mut self, other: &Self) -> bool {
                if let (Some(own), Some(other)) = (&mut self.0, &other.0) {
                    own.subtract(other);
                    if own.count == 0 && own.beyond == 0 {
                        self.0 = None;
                    }
                }
                true
            }

            fn value(&self, _: Type, _: Millis) -> Option<Value> {
                self.0.as_ref()?.$value().map(Value::Double)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.push(VERSION);
                self.0.as_deref().unwrap_or(&Moments::default()).encode(out);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                let moments = (get_byte(input)? == VERSION).then(|| Moments::decode(input))??;
                Some($name((moments != Moments::default()).then(|| Box::new(moments))))
            }
        }
    };
}

of_moments!(Variance, variance);
of_moments!(Stddev, stddev);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(numbers: &[i128]) -> Moments {
        let mut moments = Moments::default();
        numbers.iter().for_each(|n| moments.add(*n));
        moments
    }

    #[test]
    fn values_worked_out_by_hand() {
        let units = |n: &[i128]| of(&n.iter().map(|n| n * 1_000_000).collect::<Vec<_>>());
        for (numbers, variance, stddev) in [
            (&[][..], None, None),
            (&[5], None, None),
            (&[5, 5], Some(0.0), Some(0.0)),
            (&[1, 2, 3, 4], Some(5.0 / 3.0), Some((5f64 / 3.0).sqrt())),
            (&[2, 4, 4, 4, 5, 5, 7, 9], Some(32.0 / 7.0), Some((32f64 / 7.0).sqrt())),
            (&[-3, 3], Some(18.0), Some(18f64.sqrt())),
        ] {
            assert_eq!((units(numbers).variance(), units(numbers).stddev()), (variance, stddev), "{numbers:?}");
        }
        // Where a sum of squares in doubles would have lost everything.
        let far = 1_000_000_000_000_000_000i128;
        assert_eq!(units(&[far, far + 1, far + 2]).variance(), Some(1.0));
        assert_eq!(of(&[1, 2]).variance(), Some(0.5e-12));
        let largest = NUMBER_MAX as i128;
        assert!(of(&[largest, -largest, largest]).stddev().is_some_and(|x| x > 1e21 && x < 2e21));
        assert_eq!(of(&[1, 2, largest + 1]).variance(), None);
    }

    proptest! {
        #[test]
        fn numbers_of_any_size_give_the_same_bytes_in_any_grouping(
            numbers in prop::collection::vec(prop_oneof![any::<i128>(), (-1i128 << 90)..1 << 90, -9i128..9], 0..60),
            groups in prop::collection::vec(0usize..5, 60),
        ) {
            let mut parts = vec![Moments::default(); 5];
            numbers.iter().zip(&groups).rev().for_each(|(n, group)| parts[*group].add(*n));
            let mut merged = Moments::default();
            parts.iter().rev().for_each(|part| merged.merge(part));
            let bytes = |moments: &Moments| {
                let mut out = Vec::new();
                moments.encode(&mut out);
                out
            };
            prop_assert_eq!(bytes(&merged), bytes(&of(&numbers)));
            parts.iter().skip(1).for_each(|part| merged.subtract(part));
            prop_assert_eq!(bytes(&merged), bytes(&parts[0]));
        }

        #[test]
        fn the_root_is_as_exact_as_the_machines(numbers in prop::collection::vec(-1_000_000_000_000i128..1_000_000_000_000, 2..20)) {
            let moments = of(&numbers);
            let (variance, stddev) = (moments.variance().expect("two values"), moments.stddev().expect("two values"));
            // Two roundings may differ from one by the last place.
            prop_assert!((stddev - variance.sqrt()).abs() <= stddev * f64::EPSILON);
        }
    }
}
