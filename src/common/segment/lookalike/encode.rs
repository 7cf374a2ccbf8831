//! Tags as features: what a profile looks like to the model.
//!
//! All that has to be known for it (means, frequent values, ranges) is learned from the rows that the model learns from.
//! A tag has its features side by side:
//!
//! | tag | features |
//! |---|---|
//! | int, decimal, double | the standardised number, of a signed logarithm where that is less skewed; missing |
//! | datetime | the same of its age in days |
//! | bool | true; missing |
//! | string, list, map | one for each of the most frequent values (items, names), one for all others; missing |
//!
//! A missing number has the place of the mean. A number beyond those that were learned from counts as the nearest of them.

use super::Row;
use crate::tag::Definitions;
use crate::time::{DAY, Millis};
use crate::value::{Datum, Type, Value};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Values of a tag that have a feature of their own.
pub const WORDS_MAX: usize = 32;
/// Texts of which at least this share is distinct say who somebody is, not what she is like.
const IDENTIFIER: f64 = 0.9;
/// Fewer texts than that do not tell.
const IDENTIFIER_MIN: usize = 20;
/// A number more skewed than that is looked at through a logarithm.
const SKEWED: f64 = 1.0;

/// One tag with its features.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its place in the definitions.
    pub tag: usize,
    /// Its place among the tags that were offered.
    pub slot: usize,
    /// The number of its first feature.
    pub first: u32,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Number(Scale),
    Bool,
    /// By the place of their features.
    Words(HashMap<Box<str>, u32>),
}

/// How a number becomes a feature.
#[derive(Clone, Copy, Debug)]
struct Scale {
    log: bool,
    mean: f64,
    deviation: f64,
    low: f64,
    high: f64,
}

/// Why a tag is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftOut {
    /// No user has a value.
    Missing,
    /// All have the same.
    Constant,
    /// Nearly every text is another one.
    Identifier,
}

impl LeftOut {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            LeftOut::Missing => "missing",
            LeftOut::Constant => "constant",
            LeftOut::Identifier => "identifier",
        }
    }
}

impl Column {
    /// Learns a tag from rows; `slot` is its place in them. The column has no features before `first`.
    pub fn learn(
        definitions: &Definitions,
        (tag, slot): (usize, usize),
        first: u32,
        rows: &[&Row],
        as_of: Millis,
    ) -> Result<Column, LeftOut> {
        let values: Vec<&Value> = rows.iter().filter_map(|row| row[slot].as_ref()).collect();
        let Some(one) = values.first() else { return Err(LeftOut::Missing) };
        if values.len() == rows.len() && values.iter().all(|value| value == one) {
            return Err(LeftOut::Constant);
        }
        let kind = match definitions.tags[tag].ty {
            Type::Bool => Kind::Bool,
            Type::String | Type::List(_) | Type::Map(_) => Kind::Words(frequent(&values)?),
            Type::Int | Type::Decimal | Type::Double | Type::Datetime => {
                Kind::Number(Scale::learn(values.iter().filter_map(|value| number(value, as_of)).collect()))
            }
        };
        Ok(Column { tag, slot, first, kind })
    }

    /// How many features it has.
    pub fn width(&self) -> u32 {
        match &self.kind {
            Kind::Number(_) | Kind::Bool => 2,
            Kind::Words(words) => words.len() as u32 + 2,
        }
    }

    /// Appends the features of a value that are not zero.
    pub fn push(&self, value: Option<&Value>, as_of: Millis, row: &mut Vec<(u32, f64)>) {
        let missing = (self.first + self.width() - 1, 1.0);
        let Some(value) = value else { return row.push(missing) };
        match &self.kind {
            Kind::Number(scale) => match number(value, as_of) {
                Some(x) => row.push((self.first, scale.of(x))),
                None => row.push(missing),
            },
            Kind::Bool => match value {
                Value::Bool(true) => row.push((self.first, 1.0)),
                Value::Bool(false) => {}
                _ => row.push(missing),
            },
            Kind::Words(known) => {
                let begin = row.len();
                let other = known.len() as u32;
                each_word(value, |word| {
                    let feature = (self.first + known.get(word).copied().unwrap_or(other), 1.0);
                    if !row[begin..].contains(&feature) {
                        row.push(feature);
                    }
                });
                row[begin..].sort_unstable_by_key(|(feature, _)| *feature);
            }
        }
    }

    /// The names of its features in their order.
    pub fn names(&self) -> Vec<String> {
        let mut names = match &self.kind {
            Kind::Number(scale) if scale.log => vec!["log".to_string()],
            Kind::Number(_) => vec!["number".to_string()],
            Kind::Bool => vec!["true".to_string()],
            Kind::Words(known) => {
                let mut words: Vec<(&u32, &str)> = known.iter().map(|(word, place)| (place, &**word)).collect();
                words.sort_unstable();
                let named = words.into_iter().map(|(_, word)| format!("={word}"));
                named.chain(["other".to_string()]).collect()
            }
        };
        names.push("missing".to_string());
        names
    }
}

impl Scale {
    fn learn(numbers: Vec<f64>) -> Scale {
        let logs: Vec<f64> = numbers.iter().map(|x| signed_log(*x)).collect();
        let (plain, logged) = (Moments::of(&numbers), Moments::of(&logs));
        // Of numbers too large for their squares there is no skew: NaN is less than nothing.
        let is_even = plain.skew.abs() <= SKEWED || plain.skew.abs() <= logged.skew.abs();
        let (log, Moments { mean, deviation, .. }) = if is_even { (false, plain) } else { (true, logged) };
        let (low, high) =
            numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
        Scale { log, mean, deviation, low, high }
    }

    fn of(&self, x: f64) -> f64 {
        let x = x.max(self.low).min(self.high);
        let x = if self.log { signed_log(x) } else { x };
        if self.deviation > 0.0 { (x - self.mean) / self.deviation } else { 0.0 }
    }
}

struct Moments {
    mean: f64,
    deviation: f64,
    skew: f64,
}

impl Moments {
    fn of(numbers: &[f64]) -> Moments {
        let n = numbers.len().max(1) as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let moment = |power: i32| numbers.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
        let deviation = moment(2).sqrt();
        // Of equal numbers what is left is rounding.
        let is_constant = deviation <= mean.abs() * 1e-12;
        let skew = if is_constant { 0.0 } else { moment(3) / deviation.powi(3) };
        Moments { mean, deviation: if is_constant { 0.0 } else { deviation }, skew }
    }
}

fn signed_log(x: f64) -> f64 {
    x.signum() * x.abs().ln_1p()
}

/// A number, or the age of an instant in days.
fn number(value: &Value, as_of: Millis) -> Option<f64> {
    match value.datum() {
        Datum::Int(n) => Some(n as f64),
        Datum::Decimal(d) => Some(d.0 as f64 / 1e6),
        Datum::Double(x) => Some(x),
        Datum::Time(t) => Some((as_of as f64 - t as f64) / DAY as f64),
        _ => None,
    }
}

/// Gives the texts that a value is made of: a text itself, the items of a list, the names of a map.
fn each_word(value: &Value, mut each: impl FnMut(&str)) {
    match value {
        Value::Json(json) if json.starts_with('{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
            members.keys().for_each(|name| each(name));
        }
        Value::Json(json) => {
            let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
            for item in items {
                let text: Cow<str> = match serde_json::from_str::<String>(item.get()) {
                    Ok(text) => text.into(),
                    Err(_) => item.get().into(),
                };
                each(&text);
            }
        }
        Value::Str(text) => each(text),
        other => each(&other.to_string()),
    }
}

/// The most frequent texts, each with its place; those that come once have none.
fn frequent(values: &[&Value]) -> Result<HashMap<Box<str>, u32>, LeftOut> {
    let mut counts: HashMap<Box<str>, u64> = HashMap::new();
    let mut all = 0;
    for value in values {
        let mut own: HashSet<Box<str>> = HashSet::new();
        each_word(value, |word| {
            own.insert(word.into());
        });
        all += own.len();
        own.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
    }
    if all >= IDENTIFIER_MIN && counts.len() as f64 >= IDENTIFIER * all as f64 {
        return Err(LeftOut::Identifier);
    }
    let mut words: Vec<(Box<str>, u64)> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(words.into_iter().take(WORDS_MAX).zip(0..).map(|((word, _), place)| (word, place)).collect())
}
