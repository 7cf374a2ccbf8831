//! Numbers of a block, bit by bit: one set of places for each binary digit.
//!
//! What is written is (number − smallest) / unit, the unit being the greatest common divisor of all such differences:
//! amounts in cents or instants in whole seconds take no digits for what they never have. A comparison with any
//! constant reads each digit once.

use super::{BLOCK, Bits, CHECK, Part, seal, unseal, word};
use std::cell::Cell;

/// The digits of a column, checked as far as they have been read.
pub struct Numbers<'a> {
    low: i128,
    high: i128,
    unit: u128,
    /// Places with a number.
    has: Part<'a>,
    /// The digits, the lowest first.
    digits: Vec<Digit<'a>>,
}

/// One digit, which is checked when it is first looked at.
struct Digit<'a> {
    bytes: &'a [u8],
    checked: Cell<Option<Part<'a>>>,
}

impl<'a> Digit<'a> {
    fn part(&self) -> Option<Part<'a>> {
        if self.checked.get().is_none() {
            self.checked.set(Part::read(self.bytes));
        }
        self.checked.get()
    }
}

/// Bytes of the smallest and the largest number, the unit and the number of digits.
const FIXED: usize = 16 + 16 + 16 + 1;
/// Of memory, in bytes.
const PAGE: usize = 4096;

/// Numbers from `from` on and before `to`; `None` is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    pub from: Option<i128>,
    pub to: Option<i128>,
}

impl Range {
    pub fn holds(&self, n: i128) -> bool {
        let (low, high) = self.ends();
        low <= n && n <= high
    }

    /// The smallest and the largest number in it; of an empty range they are the wrong way round.
    pub fn ends(&self) -> (i128, i128) {
        match self.to.map(|to| to.checked_sub(1)) {
            Some(None) => (i128::MAX, i128::MIN),
            high => (self.from.unwrap_or(i128::MIN), high.flatten().unwrap_or(i128::MAX)),
        }
    }
}

impl Numbers<'_> {
    /// Appends a column; a place without a number has none.
    pub fn encode(numbers: &[Option<i128>], out: &mut Vec<u8>) {
        debug_assert!(numbers.len() <= BLOCK);
        let low = numbers.iter().flatten().copied().min().unwrap_or(0);
        let high = numbers.iter().flatten().copied().max().unwrap_or(0);
        let distance = |n: i128| n.wrapping_sub(low) as u128;
        let unit = numbers.iter().flatten().fold(0, |unit, n| gcd(distance(*n), unit)).max(1);
        let top = distance(high) / unit;
        let digits = (u128::BITS - top.leading_zeros()) as usize;
        let mut sets = vec![Bits::default(); digits + 1];
        for (place, n) in numbers.iter().enumerate() {
            let Some(n) = n else { continue };
            let mut rest = distance(*n) / unit;
            sets[0].insert(place as u16);
            while rest != 0 {
                sets[1 + rest.trailing_zeros() as usize].insert(place as u16);
                rest &= rest - 1;
            }
        }
        let head = out.len();
        let head_len = CHECK + FIXED + 4 * sets.len();
        out.resize(head + head_len, 0);
        let mut lengths = Vec::with_capacity(sets.len());
        for set in &sets {
            let begin = out.len();
            set.encode(out);
            lengths.push((out.len() - begin) as u32);
        }
        let mut fields = low.to_le_bytes().to_vec();
        fields.extend(high.to_le_bytes());
        fields.extend(unit.to_le_bytes());
        fields.push(digits as u8);
        lengths.iter().for_each(|len| fields.extend(len.to_le_bytes()));
        out[head + CHECK..head + head_len].copy_from_slice(&fields);
        seal(&mut out[..head + head_len], head);
    }

    /// Reads a column; its digits are checked when they are looked at. `None` when it is broken.
    pub fn read(bytes: &[u8]) -> Option<Numbers<'_>> {
        let digits = usize::from(*bytes.get(CHECK + FIXED - 1)?);
        let (head, mut rest) = bytes.split_at_checked(CHECK + FIXED + 4 * (digits + 1))?;
        let fields = unseal(head)?;
        let mut sets = Vec::with_capacity(digits + 1);
        for len in fields[FIXED..].chunks_exact(4) {
            let (set, behind) = rest.split_at_checked(u32::from_le_bytes(len.try_into().ok()?) as usize)?;
            sets.push(set);
            rest = behind;
        }
        let has = Part::read(sets.first()?)?;
        let digits = sets[1..].iter().map(|bytes| Digit { bytes, checked: Cell::new(None) }).collect();
        let low = i128::from_le_bytes(fields[..16].try_into().ok()?);
        let high = i128::from_le_bytes(fields[16..32].try_into().ok()?);
        let unit = u128::from_le_bytes(fields[32..48].try_into().ok()?);
        (rest.is_empty() && unit > 0).then_some(Numbers { low, high, unit, has, digits })
    }

    /// Whether every digit is whole.
    pub fn is_whole(&self) -> bool {
        self.digits.iter().all(|digit| digit.part().is_some())
    }

    /// The places that have a number.
    pub fn has(&self) -> Bits {
        self.has.bits()
    }

    /// The smallest and the largest number; 0 where there is none.
    pub fn bounds(&self) -> (i128, i128) {
        (self.low, self.high)
    }

    /// All numbers, by place; `None` when a digit is broken.
    pub fn all(&self) -> Option<Vec<Option<i128>>> {
        let mut steps = vec![None; BLOCK];
        self.has().iter().for_each(|place| steps[usize::from(place)] = Some(0u128));
        for (i, digit) in self.digits.iter().enumerate() {
            for place in digit.part()?.bits().iter() {
                *steps[usize::from(place)].as_mut()? |= 1 << i;
            }
        }
        let number = |steps: u128| self.low.wrapping_add(steps.wrapping_mul(self.unit) as i128);
        Some(steps.into_iter().map(|steps| steps.map(number)).collect())
    }

    /// The places whose number lies in the range, of those `among` which are asked for (`None`: of all); `None` when a
    /// digit is broken. Digits are read until nobody is left who is equal to an end: the fewer are asked for, the sooner.
    pub fn within(&self, range: Range, among: Option<&Bits>) -> Option<Bits> {
        self.fetch();
        let from = range.from.map_or(Some(0), |from| self.steps(from));
        let to = range.to.map(|to| self.steps(to));
        let (from, to) = match (from, to) {
            // All numbers are smaller.
            (None, _) => return Some(Bits::default()),
            (Some(from), None | Some(None)) => (from, None),
            (Some(from), Some(Some(to))) => (from, Some(to)),
        };
        match to {
            Some(to) if to <= from => Some(Bits::default()),
            Some(to) if to - from == 1 => self.equal(from, among),
            None if from == 0 => Some(self.those(among)),
            None => {
                let mut rest = self.those(among);
                rest.and_not(&self.below(from, among)?);
                Some(rest)
            }
            Some(to) => {
                let mut found = self.below(to, among)?;
                if from > 0 {
                    found.and_not(&self.below(from, Some(&found))?);
                }
                Some(found)
            }
        }
    }

    /// Touches each page of the digits, so that the processor waits for all of them at once and not for one after the other.
    fn fetch(&self) {
        let pages = self.digits.iter().flat_map(|digit| digit.bytes.iter().step_by(PAGE));
        std::hint::black_box(pages.fold(0, |all, byte| all ^ byte));
    }

    fn those(&self, among: Option<&Bits>) -> Bits {
        let Some(among) = among else { return self.has() };
        let mut those = among.clone();
        self.has.keep(&mut those, true);
        those
    }

    /// The smallest number of units that is not below `n`; `None` when every number of the column is.
    fn steps(&self, n: i128) -> Option<u128> {
        if n <= self.low {
            return Some(0);
        }
        let steps = (n.wrapping_sub(self.low) as u128).div_ceil(self.unit);
        let is_beyond = steps.checked_shr(self.digits.len() as u32).is_some_and(|rest| rest != 0);
        (!is_beyond).then_some(steps)
    }

    fn below(&self, steps: u128, among: Option<&Bits>) -> Option<Bits> {
        let (mut equal, mut below) = (self.those(among), Bits::default());
        for (i, digit) in self.digits.iter().enumerate().rev() {
            // Nothing is below by a digit that no lower one of the constant has, or when nobody is left.
            if steps & (u128::MAX >> (127 - i)) == 0 || equal.is_empty() {
                break;
            }
            let digit = digit.part()?;
            if steps >> i & 1 == 1 {
                split(&mut equal, &mut below, digit);
            } else {
                digit.keep(&mut equal, false);
            }
        }
        Some(below)
    }

    fn equal(&self, steps: u128, among: Option<&Bits>) -> Option<Bits> {
        let mut equal = self.those(among);
        for (i, digit) in self.digits.iter().enumerate() {
            if equal.is_empty() {
                break;
            }
            digit.part()?.keep(&mut equal, steps >> i & 1 == 1);
        }
        Some(equal)
    }
}

/// Those that were equal so far: without the digit they are below, with it they stay.
fn split(equal: &mut Bits, below: &mut Bits, digit: Part<'_>) {
    match digit {
        // In one pass: most digits of most columns are such.
        Part::Whole(bytes) => {
            let words = equal.0.iter_mut().zip(below.0.iter_mut()).zip(bytes.chunks_exact(8));
            words.for_each(|((equal, below), digit)| {
                let digit = word(digit);
                *below |= *equal & !digit;
                *equal &= digit;
            });
        }
        digit => {
            let mut without = equal.clone();
            digit.keep(&mut without, false);
            below.or(&without);
            equal.and_not(&without);
        }
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = Option<i128>> {
        let near = -40i128..40;
        prop_oneof![
            2 => Just(None),
            6 => near.clone().prop_map(Some),
            2 => near.prop_map(|n| Some(n * 10_000)),
            1 => prop_oneof![any::<i128>(), Just(i128::MIN), Just(i128::MAX)].prop_map(Some),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_range_finds_what_comparing_each_number_finds(
            numbers in prop_oneof![
                proptest::collection::vec(number(), 0..40),
                // Of one sign and unit, as most columns are.
                proptest::collection::vec(proptest::option::of((0i128..50).prop_map(|n| n * 250_000 - 3)), 0..40),
            ],
            from in proptest::option::of(number()), to in proptest::option::of(number()),
            among in proptest::collection::vec(0u16..40, 0..40).prop_map(|places| places.into_iter().collect::<Bits>()),
        ) {
            let range = Range { from: from.flatten(), to: to.flatten() };
            let mut bytes = Vec::new();
            Numbers::encode(&numbers, &mut bytes);
            let column = Numbers::read(&bytes).expect("whole");
            let set = |holds: &dyn Fn(i128) -> bool| -> Bits {
                let places = numbers.iter().enumerate().filter(|(_, n)| n.is_some_and(holds));
                places.map(|(place, _)| place as u16).collect()
            };
            prop_assert_eq!(column.has(), set(&|_| true));
            let mut found = column.within(range, None).expect("whole");
            prop_assert_eq!(&found, &set(&|n| range.holds(n)));
            found.and(&among);
            prop_assert_eq!(column.within(range, Some(&among)).expect("whole"), found);
            let (low, high) = column.bounds();
            prop_assert!(numbers.iter().flatten().all(|n| (low..=high).contains(n)));
            prop_assert_eq!(&column.all().expect("whole")[..numbers.len()], &numbers[..]);
        }
    }

    #[test]
    fn units_and_the_smallest_number_take_no_digits() {
        let column = |numbers: &[Option<i128>]| {
            let mut bytes = Vec::new();
            Numbers::encode(numbers, &mut bytes);
            Numbers::read(&bytes).expect("whole").digits.len()
        };
        assert_eq!(column(&[]), 0);
        assert_eq!(column(&[Some(i128::MAX)]), 0);
        assert_eq!(column(&[Some(5_000_000), None, Some(5_250_000), Some(5_750_000)]), 2);
        assert_eq!(column(&[Some(i128::MIN), Some(i128::MAX)]), 1);
    }

    #[test]
    fn a_broken_digit_is_an_error_and_never_an_answer() {
        let numbers: Vec<Option<i128>> = (0..300).map(|n| Some(n * n)).collect();
        let mut bytes = Vec::new();
        Numbers::encode(&numbers, &mut bytes);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            let found =
                Numbers::read(&bad).and_then(|column| column.within(Range { from: Some(11), to: Some(40_001) }, None));
            assert_eq!(found, None, "{at}");
        }
        assert!(Numbers::read(&bytes[..bytes.len() - 1]).is_none());
    }
}
