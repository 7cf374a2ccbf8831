//! The interval of the index holds what it promises: simulations with a seed, and what must be so exactly.

use super::{Count, Index};

/// A generator: splitmix64.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// How many of `n` fall into the cell.
    fn draw(&mut self, n: u64, p: f64) -> u64 {
        (0..n).filter(|_| self.unit() < p).count() as u64
    }
}

const ROUNDS: u32 = 2000;

/// The share of rounds in which the interval holds the index that is true.
fn coverage(total: Count, shares: [f64; 3], seed: u64) -> f64 {
    let mut dice = Dice(seed);
    let [p, r, q] = shares;
    let (only, both, rest) = (total.only as f64, total.both as f64, total.rest as f64);
    let of_audience = (only * p + both * r) / (only + both);
    let of_base = (both * r + rest * q) / (both + rest);
    let truth = 100.0 * of_audience / of_base;
    let mut held = 0;
    for _ in 0..ROUNDS {
        let cell =
            Count { only: dice.draw(total.only, p), both: dice.draw(total.both, r), rest: dice.draw(total.rest, q) };
        // Of nobody in the base there is no index: nothing is promised.
        held += u32::from(Index::of(cell, total).is_none_or(|index| index.low <= truth && truth <= index.high));
    }
    f64::from(held) / f64::from(ROUNDS)
}

#[test]
fn an_audience_inside_its_base_is_covered_as_promised() {
    let total = |both, rest| Count { only: 0, both, rest };
    for (i, (total, p, q)) in [
        (total(100, 900), 0.3, 0.3),
        (total(100, 900), 0.5, 0.1),
        (total(500, 500), 0.2, 0.4),
        (total(900, 100), 0.2, 0.2),
        (total(900, 100), 0.3, 0.1),
        (total(50, 150), 0.9, 0.8),
        (total(200, 2000), 0.1, 0.02),
        (total(1000, 60), 0.5, 0.7),
    ]
    .into_iter()
    .enumerate()
    {
        let covered = coverage(total, [0.0, p, q], i as u64);
        assert!((0.935..=0.97).contains(&covered), "{total:?} {p} {q}: {covered}");
    }
}

#[test]
fn a_base_apart_or_inside_the_audience_is_covered_as_promised() {
    for (i, (only, both, rest, p, q)) in
        [(200, 0, 500, 0.3, 0.2), (80, 0, 60, 0.5, 0.5), (300, 200, 0, 0.4, 0.2), (100, 900, 0, 0.1, 0.3)]
            .into_iter()
            .enumerate()
    {
        // Who is in both is as the base is.
        let covered = coverage(Count { only, both, rest }, [p, q, q], 100 + i as u64);
        assert!((0.935..=0.97).contains(&covered), "{only} {both} {rest}: {covered}");
    }
}

#[test]
fn of_two_that_overlap_the_interval_is_about_as_wide_as_it_must_be() {
    for (i, (only, both, rest, shares)) in [
        (200, 300, 500, [0.3, 0.3, 0.3]),
        (50, 400, 50, [0.3, 0.3, 0.3]),
        (400, 40, 400, [0.3, 0.3, 0.3]),
        (200, 300, 500, [0.5, 0.3, 0.1]),
        (50, 400, 50, [0.2, 0.4, 0.6]),
        (400, 40, 400, [0.2, 0.5, 0.1]),
        (10, 500, 500, [0.5, 0.2, 0.2]),
    ]
    .into_iter()
    .enumerate()
    {
        let covered = coverage(Count { only, both, rest }, shares, 200 + i as u64);
        // Where the three parts differ, it is wider than it must be.
        let most = if i < 3 { 0.97 } else { 1.0 };
        assert!((0.93..=most).contains(&covered), "{only} {both} {rest}: {covered}");
    }
}

/// A base that stays as it is, and an audience of so many taken from it without looking: its index is 100 but for chance.
#[test]
fn an_audience_drawn_without_looking_is_rarely_marked() {
    for (i, (base, having, drawn)) in
        [(400u64, 100u64, 60u64), (1000, 300, 700), (2000, 60, 1000)].into_iter().enumerate()
    {
        let mut dice = Dice(300 + i as u64);
        let mut marked = 0;
        for _ in 0..ROUNDS {
            let (mut left, mut with, mut both) = (base, having, 0);
            for _ in 0..drawn {
                let hit = dice.unit() < with as f64 / left as f64;
                (left, with, both) = (left - 1, with - u64::from(hit), both + u64::from(hit));
            }
            let cell = Count { only: 0, both, rest: having - both };
            let total = Count { only: 0, both: drawn, rest: base - drawn };
            marked += u32::from(Index::of(cell, total).is_some_and(|index| index.differs()));
        }
        let rate = f64::from(marked) / f64::from(ROUNDS);
        assert!((0.03..=0.065).contains(&rate), "{base} {having} {drawn}: {rate}");
    }
}

#[test]
fn an_audience_that_is_the_base_has_exactly_100() {
    for both in [1, 10, 99, 100] {
        let index = Index::of(Count { both, ..Count::default() }, Count { both: 100, ..Count::default() });
        assert_eq!(index, Some(Index { value: 100.0, low: 100.0, high: 100.0 }));
        assert!(!index.expect("an index").differs());
    }
}

#[test]
fn the_ends_stay_within_what_is_possible() {
    let total = Count { only: 0, both: 100, rest: 300 };
    let of = |both, rest| Index::of(Count { only: 0, both, rest }, total).expect("an index");
    // An audience of a quarter of the base can have four times its share, and no more.
    assert_eq!((of(40, 0).value, of(40, 0).high), (400.0, 400.0));
    assert_eq!((of(0, 40).value, of(0, 40).low), (0.0, 0.0));
    assert!(of(0, 40).high > 0.0 && of(0, 40).differs() && of(40, 0).differs());
    assert!(!of(10, 30).differs() && of(10, 30).value == 100.0);
    assert_eq!(Index::of(Count { only: 5, ..Count::default() }, Count { only: 10, both: 10, rest: 10 }), None);
    for both in 0..=100 {
        for rest in (0..=300).step_by(7).filter(|rest| both + rest > 0) {
            let index = of(both, rest);
            assert!(index.low <= index.value && index.value <= index.high, "{both} {rest} {index:?}");
            assert!(0.0 <= index.low && index.high <= 400.0 + 1e-6, "{both} {rest} {index:?}");
        }
    }
}

/// Koopman's own example (1984): 36 of 40 and 16 of 80 have the ratio 4.5, from 2.94 to 7.15.
#[test]
fn the_ratio_is_koopmans() {
    let total = Count { only: 40, both: 0, rest: 80 };
    let index = Index::of(Count { only: 36, both: 0, rest: 16 }, total).expect("an index");
    assert!((index.value - 450.0).abs() < 1e-9);
    assert!((index.low - 294.0).abs() < 1.0 && (index.high - 715.0).abs() < 1.0, "{index:?}");
}
