//! Lookalikes: the users outside of an audience who are most like it.
//!
//! A model learns what sets a seed apart from a sample of all others, and scores everybody. It is a sum over tags, so that
//! it says of each user which tags brought her in: `logit = intercept + Σ pull(tag)`, where
//! `pull(tag) = Σ weight · (feature - its mean among the others)` over the features of the tag. The intercept is the
//! logit of a user who is like the others on average.
//!
//! The seed is learned from as if it were as frequent as the sample makes it, and the intercept is put right afterwards:
//! that sampling by the outcome changes nothing but the intercept is a law of logistic regression (Prentice and Pyke 1979).
//!
//! The model that was measured on the held-out part is the one that scores: it is not trained again on all of the seed.
//! Others are held out by a hash of their ids, so that all of them can be counted while everybody is scored, not only a sample.

pub mod encode;
pub mod measure;
pub mod sample;
pub mod solve;
#[cfg(test)]
mod tests;

use crate::key::Key;
use crate::tag::{Definitions, Kind};
use crate::time::Millis;
use crate::value::Value;
use encode::{Column, LeftOut};
use measure::Ranks;
use sample::Sample;
use solve::{Rows, fit, sigmoid};

/// Users of the seed, or others, below which there is nothing to learn and less to measure.
pub const SEED_MIN: u64 = 50;

/// The values of the tags that may be learned from, in their order.
pub type Row = Vec<Option<Value>>;

/// The tags that repeat a rule on these tags: those it reads, what those are made of, and whatever is made of any of them.
pub fn repeating(definitions: &Definitions, rule: &[usize]) -> Vec<usize> {
    let mut repeats = vec![false; definitions.tags.len()];
    let mut below: Vec<usize> = rule.to_vec();
    while let Some(tag) = below.pop() {
        if !std::mem::replace(&mut repeats[tag], true)
            && let Kind::Derived(derived) = &definitions.tags[tag].kind
        {
            below.extend(&derived.inputs);
        }
    }
    for tag in definitions.order() {
        if let Kind::Derived(derived) = &definitions.tags[*tag].kind {
            repeats[*tag] |= derived.inputs.iter().any(|input| repeats[*input]);
        }
    }
    (0..repeats.len()).filter(|tag| repeats[*tag]).collect()
}

/// What sums and scores a user.
pub struct Model {
    pub columns: Vec<Column>,
    pub weights: Vec<f64>,
    /// Of each feature among the others that were learned from.
    pub means: Vec<f64>,
    pub intercept: f64,
    as_of: Millis,
    /// Of each column: its pull where all its features are zero.
    bases: Vec<f64>,
}

impl Model {
    /// What each column adds to the logit of a user.
    pub fn pulls<'v>(&self, value: impl Fn(&Column) -> Option<&'v Value>) -> Vec<f64> {
        let mut row = Vec::new();
        let pull = |(column, base): (&Column, &f64)| {
            row.clear();
            column.push(value(column), self.as_of, &mut row);
            base + row.iter().map(|(feature, x)| self.weights[*feature as usize] * x).sum::<f64>()
        };
        self.columns.iter().zip(&self.bases).map(pull).collect()
    }

    /// The intercept and the pulls, added in the order of the columns.
    pub fn logit(&self, pulls: &[f64]) -> f64 {
        pulls.iter().fold(self.intercept, |sum, pull| sum + pull)
    }

    /// The probability to be of the seed that a logit means.
    pub fn score(logit: f64) -> f64 {
        sigmoid(logit)
    }
}

/// How a model is made and measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub l2: f64,
    pub as_of: Millis,
    /// All who are outside of the seed.
    pub others: u64,
}

/// A model, and whom it is measured by.
pub struct Trained {
    pub model: Model,
    /// The users of the seed that were held out, with their logits, in the order of keys.
    pub held: Vec<(Key, f64)>,
    /// How many users of the seed one of them stands for.
    pub weight: f64,
    /// Users that it learned from.
    pub seed: usize,
    pub others: usize,
    /// Tags it did not learn from.
    pub left_out: Vec<(usize, LeftOut)>,
    pub steps: usize,
}

impl Trained {
    /// The held-out seed, among which the others are to be counted.
    pub fn ranks(&self) -> Ranks {
        Ranks::new(self.held.iter().map(|(_, logit)| *logit).collect())
    }
}

/// Learns from a sample of the seed, of which a fifth is held out, and one of those of the others who are not. Neither is
/// empty, and the seed has three users at least.
pub fn train(
    definitions: &Definitions,
    tags: &[usize],
    seed: Sample<Row>,
    others: Sample<Row>,
    options: Options,
) -> Trained {
    let all_seed = seed.offered() as f64;
    let (seed, held) = seed.split();
    let weight = all_seed / (seed.len() + held.len()) as f64;
    let others = others.sorted();
    let rows: Vec<&Row> = seed.iter().chain(&others).map(|(_, row)| row).collect();
    let (columns, left_out) = columns(definitions, tags, &rows, options.as_of);
    let width = columns.iter().map(Column::width).sum::<u32>() as usize;
    let encoded = encoded(&columns, &rows, options.as_of);
    let labels: Vec<bool> = (0..rows.len()).map(|i| i < seed.len()).collect();
    let found = fit(&encoded, &labels, width, options.l2);
    let means = means(&encoded, seed.len()..rows.len(), width);
    let bases: Vec<f64> = columns.iter().map(|column| base(column, &found.weights, &means)).collect();
    // As frequent as it is, not as the sample made it.
    let (taken, real) = (seed.len() as f64 / others.len() as f64, all_seed / options.others as f64);
    let intercept = bases.iter().fold(found.intercept + (real / taken).ln(), |sum, base| sum - base);
    let model = Model { columns, weights: found.weights, means, intercept, as_of: options.as_of, bases };
    let logit = |row: &Row| model.logit(&model.pulls(|column| row[column.slot].as_ref()));
    let held = held.into_iter().map(|(key, row)| (key, logit(&row))).collect();
    let (seed, others) = (seed.len(), others.len());
    Trained { model, held, weight, seed, others, left_out, steps: found.steps }
}

fn columns(
    definitions: &Definitions,
    tags: &[usize],
    rows: &[&Row],
    as_of: Millis,
) -> (Vec<Column>, Vec<(usize, LeftOut)>) {
    let (mut columns, mut left_out, mut first) = (Vec::new(), Vec::new(), 0);
    for (slot, tag) in tags.iter().enumerate() {
        match Column::learn(definitions, (*tag, slot), first, rows, as_of) {
            Ok(column) => {
                first += column.width();
                columns.push(column);
            }
            Err(why) => left_out.push((*tag, why)),
        }
    }
    (columns, left_out)
}

fn encoded(columns: &[Column], rows: &[&Row], as_of: Millis) -> Rows {
    let (mut encoded, mut features) = (Rows::default(), Vec::new());
    for row in rows {
        features.clear();
        columns.iter().for_each(|column| column.push(row[column.slot].as_ref(), as_of, &mut features));
        encoded.push(&features);
    }
    encoded
}

fn means(rows: &Rows, of: std::ops::Range<usize>, width: usize) -> Vec<f64> {
    let n = of.len() as f64;
    let mut sums = vec![0.0; width];
    of.for_each(|i| rows.row(i).for_each(|(feature, x)| sums[feature] += x));
    sums.iter().map(|sum| sum / n).collect()
}

fn base(column: &Column, weights: &[f64], means: &[f64]) -> f64 {
    let features = column.first as usize..(column.first + column.width()) as usize;
    -features.map(|feature| weights[feature] * means[feature]).sum::<f64>()
}
