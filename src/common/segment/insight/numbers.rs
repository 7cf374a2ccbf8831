//! Numbers: how they lie, and the intervals that they are told in.
//!
//! A number is put down to a grid that is as fine as memory allows, and the borders of intervals are numbers of the
//! grid. So each interval is counted exactly, though no value is kept.

use super::count::{Count, Side};
use std::collections::{BTreeMap, HashMap};

/// Borders there are at most between intervals, but for those around zero.
const PARTS: u64 = 8;
/// Places of the grid that are kept for one tag: beyond it the grid becomes coarser.
const PLACES_MAX: usize = 1 << 16;
/// Different whole numbers that are told one by one.
pub const FEW: usize = 12;
/// Ages are told by the hour below four days, by the day above.
const BY_HOUR: i128 = 96;
const DAY: i128 = 24;

/// The numbers that borders may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grid {
    /// Numbers of so many significant digits that are multiples of `unit`.
    Digits { digits: u32, unit: i128 },
    /// Whole hours, and from four days on whole days.
    Hours,
}

impl Grid {
    /// The grid of numbers that are multiples of `unit`.
    pub fn of(unit: i128) -> Grid {
        Grid::Digits { digits: 6, unit }
    }

    /// The largest number of the grid that is not larger.
    ///
    /// A coarser grid has numbers of the finer one only, so putting down twice is putting down once.
    pub fn floor(self, n: i128) -> i128 {
        match self {
            Grid::Digits { digits, .. } => {
                let mut step = 1i128;
                while n.unsigned_abs() / step.unsigned_abs() >= 10u128.pow(digits) {
                    step *= 10;
                }
                n.div_euclid(step) * step
            }
            Grid::Hours if n < BY_HOUR => n,
            Grid::Hours => n.div_euclid(DAY) * DAY,
        }
    }

    /// A coarser grid. The coarsest has 900 numbers for each power of ten: it needs no coarser one.
    fn coarser(self) -> Option<Grid> {
        match self {
            Grid::Digits { digits, unit } if digits > 3 => Some(Grid::Digits { digits: digits - 1, unit }),
            _ => None,
        }
    }

    /// The roundest number near `n`, for a border that may be moved by about half of `room`.
    fn round(self, n: i128, room: i128) -> i128 {
        let step = match self {
            Grid::Digits { unit, .. } => nice(room / unit) * unit,
            Grid::Hours if room < DAY => [12, 6, 3, 2, 1].into_iter().find(|step| *step <= room).unwrap_or(1),
            Grid::Hours => nice(room / DAY) * DAY,
        };
        self.floor((n + step / 2).div_euclid(step) * step)
    }

    /// The number behind zero, for zero to be an interval of its own; `None` where that says nothing.
    fn behind_zero(self) -> Option<i128> {
        match self {
            Grid::Digits { unit, .. } => Some(unit),
            Grid::Hours => None,
        }
    }
}

/// The largest of 1, 2, 5, 10, 20, … that is not larger; 1 for what is smaller.
fn nice(n: i128) -> i128 {
    let mut power = 1;
    while n / power >= 10 {
        power *= 10;
    }
    power * [5, 2, 1].into_iter().find(|digit| digit * power <= n).unwrap_or(1)
}

/// From `from` on, up to and without `below`; open where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    pub from: Option<i128>,
    pub below: Option<i128>,
}

impl Interval {
    /// One interval of two neighbours.
    pub fn join(self, next: Interval) -> Interval {
        Interval { from: self.from, below: next.below }
    }
}

/// The numbers of one tag so far.
#[derive(Clone, Debug)]
pub struct Numbers {
    grid: Grid,
    places: HashMap<i128, Count>,
    /// The values themselves, while they are few.
    few: Option<BTreeMap<i128, Count>>,
}

impl Numbers {
    /// `one_by_one`: a few values are told as they are.
    pub fn new(grid: Grid, one_by_one: bool) -> Numbers {
        Numbers { grid, places: HashMap::new(), few: one_by_one.then(BTreeMap::new) }
    }

    pub fn take(&mut self, n: i128, side: Side) {
        if let Some(few) = &mut self.few {
            few.entry(n).or_default().take(side);
            if few.len() > FEW {
                self.few = None;
            }
        }
        self.places.entry(self.grid.floor(n)).or_default().take(side);
        if self.places.len() > PLACES_MAX
            && let Some(grid) = self.grid.coarser()
        {
            self.grid = grid;
            for (place, count) in std::mem::take(&mut self.places) {
                *self.places.entry(grid.floor(place)).or_default() += count;
            }
        }
    }

    /// The values, where they are few.
    pub fn few(&self) -> Option<&BTreeMap<i128, Count>> {
        self.few.as_ref()
    }

    /// The numbers in intervals, each of about as many people of the base as the next: the borders are round numbers near
    /// its eighths. Where an eighth of the base or more has zero, zero is an interval of its own.
    pub fn intervals(&self) -> Vec<(Interval, Count)> {
        let mut places: Vec<(i128, Count)> = self.places.iter().map(|(place, count)| (*place, *count)).collect();
        places.sort_unstable_by_key(|(place, _)| *place);
        let Some((least, _)) = places.first().copied() else { return Vec::new() };
        let borders = self.borders(&places, least);
        let mut intervals: Vec<(Interval, Count)> = Vec::new();
        let mut from = (least >= 0).then_some(0);
        for below in borders.into_iter().map(Some).chain([None]) {
            intervals.push((Interval { from, below }, Count::default()));
            from = below;
        }
        let mut at = 0;
        for (place, count) in places {
            while intervals[at].0.below.is_some_and(|below| place >= below) {
                at += 1;
            }
            intervals[at].1 += count;
        }
        intervals
    }

    /// The borders in their order, all of them above the least number there is.
    fn borders(&self, places: &[(i128, Count)], least: i128) -> Vec<i128> {
        let base: u64 = places.iter().map(|(_, count)| count.base()).sum();
        let zero = places.iter().filter(|(place, _)| *place == 0).map(|(_, count)| count.base()).sum::<u64>();
        let apart = self.grid.behind_zero().filter(|_| zero > 0 && zero >= base.div_ceil(PARTS));
        let mut borders: Vec<i128> = match apart {
            Some(behind) => vec![0, behind],
            None if self.grid == Grid::Hours => vec![0],
            None => Vec::new(),
        };
        let eighths = eighths(places.iter().filter(|(place, _)| apart.is_none() || *place != 0));
        for near in eighths.windows(3) {
            let (before, here, after) = (here_to(near[0], near[1]), near[1], here_to(near[1], near[2]));
            let border = match before.into_iter().chain(after).min() {
                Some(room) => self.grid.round(here, room),
                None => here,
            };
            borders.push(border);
        }
        let most = places.last().map_or(least, |(place, _)| *place);
        borders.retain(|border| *border > least && *border <= most);
        borders.sort_unstable();
        borders.dedup();
        borders
    }
}

/// How far one is from the next; `None` where they are the same.
fn here_to(one: i128, next: i128) -> Option<i128> {
    (next > one).then(|| next - one)
}

/// The places at which the first, second, … eighth of the base ends, between the first place and the last.
fn eighths<'a>(places: impl Iterator<Item = &'a (i128, Count)> + Clone) -> Vec<i128> {
    let places = places.filter(|(_, count)| count.base() > 0);
    let base: u64 = places.clone().map(|(_, count)| count.base()).sum();
    let mut found = Vec::new();
    let mut sum = 0;
    for (place, count) in places {
        if found.is_empty() {
            found.push(*place);
        }
        sum += count.base();
        while (found.len() as u64) <= PARTS && sum * PARTS >= found.len() as u64 * base {
            found.push(*place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i128 = 1_000_000;

    fn told(numbers: &Numbers) -> Vec<(Option<i128>, Option<i128>, u64)> {
        let show = |n: Option<i128>| n.map(|n| n / ONE);
        numbers.intervals().iter().map(|(i, count)| (show(i.from), show(i.below), count.base())).collect()
    }

    #[test]
    fn borders_are_round_and_parts_alike() {
        let mut ages = Numbers::new(Grid::of(ONE), true);
        (0..1000).for_each(|n| ages.take((18 + n % 47) * ONE, Side::Base));
        assert!(ages.few().is_none());
        let borders: Vec<i128> = ages.intervals().iter().filter_map(|(i, _)| Some(i.below? / ONE)).collect();
        assert_eq!(borders, [25, 30, 35, 40, 45, 55, 60]);
        let mut skewed = Numbers::new(Grid::of(1), false);
        (1..=4000i128).for_each(|n| skewed.take(n * n * 1000, Side::Base));
        let parts = told(&skewed);
        assert!(parts.len() >= 6, "{parts:?}");
        assert!(parts.iter().all(|(_, _, people)| (200..=1000).contains(people)), "{parts:?}");
    }

    #[test]
    fn zero_stands_alone_where_it_is_frequent() {
        let mut counts = Numbers::new(Grid::of(ONE), true);
        (0..100).for_each(|_| counts.take(0, Side::Base));
        (1..=40).for_each(|n| counts.take(n * ONE, Side::Base));
        let parts = told(&counts);
        assert_eq!((parts[0], parts[1].0), ((Some(0), Some(1), 100), Some(1)));
        assert_eq!(parts.iter().map(|part| part.2).sum::<u64>(), 140);
    }

    #[test]
    fn each_interval_is_counted_exactly_however_coarse_the_grid_is() {
        let mut numbers = Numbers::new(Grid::of(1), false);
        let mut state = 7u64;
        let values: Vec<i128> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let wide = i128::from(state >> 20) * i128::from(state >> 30 & 0xffff);
                if state & 1 == 0 { wide } else { -(wide >> (state >> 58)) }
            })
            .collect();
        values.iter().for_each(|n| numbers.take(*n, Side::Base));
        assert!(numbers.places.len() <= PLACES_MAX && numbers.grid != Grid::of(1));
        for (Interval { from, below }, count) in numbers.intervals() {
            let inside = |n: &&i128| from.is_none_or(|from| **n >= from) && below.is_none_or(|below| **n < below);
            assert_eq!(count.base(), values.iter().filter(inside).count() as u64, "{from:?} {below:?}");
        }
    }

    #[test]
    fn ages_have_borders_of_whole_hours_and_days() {
        let mut ages = Numbers::new(Grid::Hours, false);
        (0..24 * 60).for_each(|hour| ages.take(hour - 5, Side::Base));
        let parts = ages.intervals();
        assert_eq!(parts[0], (Interval { from: None, below: Some(0) }, Count { rest: 5, ..Count::default() }));
        assert!(parts[2..].iter().all(|(i, _)| i.from.is_some_and(|hours| hours % 24 == 0)), "{parts:?}");
    }
}
