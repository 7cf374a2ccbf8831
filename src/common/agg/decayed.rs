//! `decayed(x, 'half-life')`: the sum of x · 2^(-age / half-life), moving in steps of half-life / 8.
//!
//! Ages are counted in steps: an event is as many steps old as edges of steps lie between it and the instant. The weight
//! of i steps is 2^(-i/8) as a whole number of 2⁻⁶³, from a fixed table, and 0 from 512 steps (64 half-lives) on; so all
//! machines agree, and older panes are dropped. A sum for each step of the last 512 is the memory. Rounded once, to six
//! places, halves away from zero. Events where x is NULL do not count.

use super::codec::{get_byte, get_i64, get_u64, put_i64, put_u64};
use super::constant::STEPS;
use super::heap::Heap;
use super::sum::Sum;
use super::wide::Wide;
use super::{Aggregate, Constant, Input, one_number};
use crate::money::Decimal;
use crate::pane::Window;
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// Steps after which nothing is left.
const LAST: i64 = 64 * STEPS;
/// ⌊2^(63 - i/8)⌉ for i from 0 to 7.
const WEIGHTS: [u64; STEPS as usize] = [
    9_223_372_036_854_775_808,
    8_457_869_449_776_733_335,
    7_755_900_482_342_532_474,
    7_112_192_101_001_162_095,
    6_521_908_912_666_391_106,
    5_980_616_842_327_661_685,
    5_484_249_825_272_419_512,
    5_029_079_263_719_320_435,
];

/// The window in which an event of a half-life counts at all.
pub(super) fn window(half_life: Millis) -> Window {
    let resolution = half_life / STEPS;
    Window { span: LAST * resolution, resolution }
}

/// What so many steps leave of one, in 2⁻⁶³. An event ahead of the instant counts in full.
fn weight(steps: i64) -> u64 {
    match steps.max(0) {
        steps if steps >= LAST => 0,
        steps => WEIGHTS[(steps % STEPS) as usize] >> (steps / STEPS),
    }
}

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Decayed(Option<Box<Steps>>);

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Steps {
    /// The width of a step.
    resolution: Millis,
    sums: BTreeMap<i64, Sum>,
}

impl Steps {
    /// `None` where the value is beyond all decimals.
    fn value(&self, at: Millis) -> Option<Decimal> {
        let now = at.div_euclid(self.resolution);
        let (mut above, mut below) = (Wide::ZERO, Wide::ZERO);
        for (pane, sum) in &self.sums {
            let sum = sum.millionths();
            let part = Wide::product(sum.unsigned_abs(), weight(now.saturating_sub(*pane)).into());
            let side = if sum < 0 { &mut below } else { &mut above };
            *side = side.wrapping_add(part);
        }
        let (size, sign) =
            if above >= below { (above.wrapping_sub(below), 1) } else { (below.wrapping_sub(above), -1) };
        let rounded = size.wrapping_add(Wide { high: 0, low: 1 << 62 }) >> 63;
        (rounded.high == 0).then(|| i128::try_from(rounded.low).ok().map(|n| Decimal(sign * n)))?
    }
}

impl Aggregate for Decayed {
    /// The instant is, the id is not.
    const ORDERED: bool = true;
    const CONSTANTS: &'static [Constant] = &[Constant::HalfLife];
    type Lane = Heap<Decayed>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        match args {
            [x, _] => one_number(&[*x]).map(|_| Type::Decimal),
            _ => Err(format!("takes 2 arguments, a number and a half-life, not {}", args.len())),
        }
    }

    /// Arguments: x, the half-life in milliseconds.
    fn add(&mut self, input: &Input) {
        let Datum::Int(half_life) = input.args[1] else { return };
        let steps = self.0.get_or_insert_default();
        steps.resolution = half_life / STEPS;
        steps.sums.entry(input.timestamp.div_euclid(steps.resolution)).or_default().add(input);
    }

    fn merge(&mut self, other: &Decayed) {
        let Some(other) = &other.0 else { return };
        let steps = self.0.get_or_insert_default();
        steps.resolution = other.resolution;
        for (pane, sum) in &other.sums {
            steps.sums.entry(*pane).or_default().merge(sum);
        }
    }

    fn subtract(&mut self, other: &Decayed) -> bool {
        if let (Some(own), Some(other)) = (&mut self.0, &other.0) {
            for (pane, sum) in &other.sums {
                own.sums.entry(*pane).and_modify(|own| {
                    own.subtract(sum);
                });
            }
            own.sums.retain(|_, sum| sum.count() > 0);
            if own.sums.is_empty() {
                self.0 = None;
            }
        }
        true
    }

    /// Of nothing: NULL.
    fn value(&self, _: Type, at: Millis) -> Option<Value> {
        self.0.as_ref()?.value(at).map(Value::Decimal)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let none = Steps::default();
        let steps = self.0.as_deref().unwrap_or(&none);
        put_i64(out, steps.resolution);
        put_u64(out, steps.sums.len() as u64);
        let mut previous = 0i64;
        for (pane, sum) in &steps.sums {
            put_i64(out, pane.wrapping_sub(previous));
            sum.encode(out);
            previous = *pane;
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Decayed> {
        if get_byte(input)? != VERSION {
            return None;
        }
        let (resolution, n) = (get_i64(input)?, get_u64(input)?);
        let mut sums = BTreeMap::new();
        let mut previous = 0i64;
        for _ in 0..n {
            previous = previous.wrapping_add(get_i64(input)?);
            sums.insert(previous, Sum::decode(input)?);
        }
        if resolution <= 0 && n > 0 {
            return None;
        }
        Some(Decayed((n > 0).then(|| Box::new(Steps { resolution, sums }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_powers_of_the_eighth_root() {
        // The square of what i steps leave is what 2i steps leave, up to what rounding both leaves; and 8 steps leave half.
        for i in 0..STEPS {
            let (one, two) = (u128::from(weight(i)), u128::from(weight(2 * i)));
            assert!((one * one).abs_diff(two << 63) <= 1 << 64, "{i}");
        }
        assert_eq!(weight(-3), weight(0));
        assert_eq!((weight(8), weight(503), weight(511), weight(512)), (1 << 62, 1, 0, 0));
    }
}
