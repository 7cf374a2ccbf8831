//! Insight: who is in an audience, compared with a base.
//!
//! Each profile is looked at once. What is told of a tag are cells: a value, an interval, an item; of each the people in
//! the audience and in the base, and the [index](Index) of the two shares. What would tell of a few people only is not
//! told (`Guard`). All figures are made of those that are told, so none of them tells more.
//!
//! # How tags are ordered
//!
//! By *distance*: half the sum of the differences of all shares, from 0 (the audience is as the base) to 1 (they
//! have no value in common). It is the share of the audience who would need another value for it to be as the base. Of
//! lists and maps it is the largest difference of two shares.

mod cell;
mod count;
mod guard;
mod index;
#[cfg(test)]
mod index_tests;
mod numbers;
mod tally;
#[cfg(test)]
mod tests;

pub use cell::{Cell, What};
pub use count::{Count, Side};
pub use guard::{Guard, Refusal};
pub use index::Index;
pub use numbers::{FEW, Interval};
pub use tally::{Tally, VALUES_MAX};

use crate::profiles::Profile;
use crate::time::Millis;
use crate::value::Type;
use numbers::Numbers;
use std::cmp::Reverse;
use tally::{Texts, Values};

/// Values of a tag that are told one by one; the others are told together.
pub const SHOWN: usize = 15;

/// An audience and its base as they are counted, profile after profile.
pub struct Insight {
    tags: Vec<(usize, Tally)>,
    total: Count,
}

/// What is told of one tag.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    /// Its place in the definitions.
    pub tag: usize,
    pub ty: Type,
    pub cells: Vec<Cell>,
    /// From 0 to 1: how strongly it tells the audience from the base.
    pub distance: f64,
    /// Items or keys that are not told: of too few people, or too rare.
    pub untold: u64,
    /// There were more different values than are counted one by one.
    pub full: bool,
    /// There are values that are not of the tag's type; they count as missing.
    pub wrong: bool,
}

impl Insight {
    /// Of these tags: places in the definitions, and their types.
    pub fn new(tags: impl IntoIterator<Item = (usize, Type)>, as_of: Millis) -> Insight {
        let tags = tags.into_iter().map(|(place, ty)| (place, Tally::new(ty, as_of))).collect();
        Insight { tags, total: Count::default() }
    }

    /// Takes one more profile.
    pub fn take(&mut self, profile: &Profile, side: Side) {
        self.total.take(side);
        for (place, tally) in &mut self.tags {
            tally.take(profile.values[*place].as_ref(), side);
        }
    }

    /// How many people there are.
    pub fn total(&self) -> Count {
        self.total
    }

    /// What may be told of each tag where cells of fewer than `least` people are not, the most telling tag first.
    pub fn tell(&self, least: u64) -> Result<Vec<Told>, Refusal> {
        let guard = Guard::new(least, self.total);
        guard.check()?;
        let mut told: Vec<Told> = self.tags.iter().map(|(place, tally)| tell(*place, tally, guard)).collect();
        told.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.tag.cmp(&b.tag)));
        Ok(told)
    }
}

fn tell(tag: usize, tally: &Tally, guard: Guard) -> Told {
    let (cells, untold, full) = match &tally.values {
        Values::Many(texts) => {
            let (cells, untold) = many(texts, tally.missing, guard);
            (cells, untold, texts.beyond != Count::default())
        }
        Values::Texts(texts) => {
            let rest_is_there = texts.beyond != Count::default();
            let rest = rest_is_there.then_some((What::Rest, texts.beyond));
            let values = sorted(texts).into_iter().chain(rest).collect();
            (parts(values, tally.missing, guard), 0, rest_is_there)
        }
        Values::Numbers(numbers) => (parts(of_numbers(numbers, guard), tally.missing, guard), 0, false),
    };
    let cells: Vec<Cell> = cells.into_iter().map(|(what, count)| Cell::new(what, count, guard.total())).collect();
    let differences = cells.iter().map(|cell| (cell.share - cell.base_share).abs());
    let distance = match tally.values {
        Values::Many(_) => differences.fold(0.0, f64::max),
        _ => differences.sum::<f64>() / 2.0,
    };
    Told { tag, ty: tally.ty(), cells, distance, untold, full, wrong: tally.wrong }
}

/// Values, the most frequent of the audience first.
fn sorted(texts: &Texts) -> Vec<(What, Count)> {
    let mut values: Vec<(&Box<str>, Count)> = texts.known.iter().map(|(text, count)| (text, *count)).collect();
    values.sort_unstable_by_key(|(text, count)| (Reverse(count.audience()), Reverse(count.base()), *text));
    values.into_iter().map(|(text, count)| (What::Value(text.clone()), count)).collect()
}

/// A few whole numbers one by one, others in intervals. Neighbours of too few people are joined first: that tells more
/// than hiding them.
fn of_numbers(numbers: &Numbers, guard: Guard) -> Vec<(What, Count)> {
    match numbers.few() {
        Some(few) => {
            let mut few: Vec<(i128, Count)> = few.iter().map(|(n, count)| (*n, *count)).collect();
            few.sort_by_key(|(n, count)| (Reverse(count.audience()), Reverse(count.base()), *n));
            few.into_iter().map(|(n, count)| (What::Number(n), count)).collect()
        }
        None => {
            let intervals = guard.widened(numbers.intervals(), Interval::join);
            intervals.into_iter().map(|(interval, count)| (What::Interval(interval), count)).collect()
        }
    }
}

/// The cells that everybody is in one of: as many as are shown, one for those that are not, and one for who has no value.
fn parts(values: Vec<(What, Count)>, missing: Count, guard: Guard) -> Vec<(What, Count)> {
    // Who has no value is told apart however many values there are, so that cell comes first.
    let cells: Vec<(What, Count)> = [(What::Missing, missing)].into_iter().chain(values).collect();
    let counts: Vec<Count> = cells.iter().map(|(_, count)| *count).collect();
    let merged = guard.merged(&counts, 1 + SHOWN, |count| guard.is_safe(count));
    // What has no name cannot stand by itself.
    let (mut told, mut other) = (Vec::new(), Vec::new());
    for (cell, merged) in cells.into_iter().zip(&merged) {
        if *merged || cell.0 == What::Rest { other.push(cell) } else { told.push(cell) }
    }
    let few = other.iter().any(|(_, count)| !guard.is_safe(*count));
    let with_missing = merged[0];
    if !with_missing {
        told.rotate_left(1);
    }
    if !other.is_empty() {
        let sum = other.into_iter().map(|(_, count)| count).sum();
        told.insert(told.len() - usize::from(!with_missing), (What::Other { few, with_missing }, sum));
    }
    told.retain(|(_, count)| *count != Count::default());
    told
}

/// Items or keys, of which anybody may have several: each is told with those who have it not. How many are not told.
fn many(texts: &Texts, missing: Count, guard: Guard) -> (Vec<(What, Count)>, u64) {
    let cells = sorted(texts);
    let counts: Vec<Count> = cells.iter().map(|(_, count)| *count).collect();
    let merged = guard.merged(&counts, SHOWN, |count| guard.is_safe_both_ways(count));
    let untold = merged.iter().filter(|merged| **merged).count() as u64;
    let mut told: Vec<(What, Count)> =
        cells.into_iter().zip(merged).filter(|(_, merged)| !merged).map(|(cell, _)| cell).collect();
    if missing != Count::default() && guard.is_safe_both_ways(missing) {
        told.push((What::Missing, missing));
    }
    (told, untold)
}
