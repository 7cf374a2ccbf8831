//! The naive twin of every aggregation: what it means, told from all its events as simply as can be.

use super::distinct::put_distinct;
use super::extreme::order;
use super::hash::hash;
use super::{Form, Function, list, map};
use crate::money::{Decimal, SCALE};
use crate::time::Millis;
use crate::value::Value;
use std::collections::BTreeMap;

/// An event that counts: what an aggregation sees of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub timestamp: Millis,
    pub id: String,
    pub value: Value,
    /// The value of `by`.
    pub group: Value,
}

/// The value at `at`, from all events that count then. Constants are as a definition keeps them.
pub fn naive(form: Form, constants: &[i64], keep: usize, events: &[Seen], at: Millis) -> Option<Value> {
    if !form.by {
        return one(form.function, constants, keep, events, at);
    }
    let groups = kept(events.iter().map(|e| e.group.clone()).collect(), keep);
    map(groups.into_iter().filter_map(|group| {
        let of: Vec<Seen> = events.iter().filter(|e| e.group == group).cloned().collect();
        Some((group, one(form.function, constants, keep, &of, at)?))
    }))
}

/// The `keep` different values with the smallest hash.
fn kept(mut values: Vec<Value>, keep: usize) -> Vec<Value> {
    values.sort_by_key(|value| {
        let mut bytes = Vec::new();
        put_distinct(&mut bytes, &value.datum());
        (hash(&bytes), bytes)
    });
    values.dedup();
    values.truncate(keep);
    values
}

fn one(function: Function, constants: &[i64], keep: usize, events: &[Seen], at: Millis) -> Option<Value> {
    let mut by_time: Vec<&Seen> = events.iter().collect();
    by_time.sort_by_key(|e| (e.timestamp, e.id.clone()));
    let mut by_value: Vec<&Value> = events.iter().map(|e| &e.value).collect();
    by_value.sort_by(|a, b| order(&a.datum(), &b.datum()));
    let n = events.len();
    let numbers = || by_value.iter().map(|v| millionths(v));
    let constant = |i: usize| constants[i] as usize;
    Some(match function {
        Function::Count => Value::Int(n as i64),
        Function::CountDistinct => {
            by_value.dedup();
            Value::Int(by_value.len() as i64)
        }
        _ if n == 0 => return None,
        Function::Sum => Value::Decimal(Decimal(numbers().sum())),
        Function::Avg => Value::Decimal(Decimal(numbers().sum()).checked_div_int(n as i128)?),
        Function::Min => by_value[0].clone(),
        Function::Max => by_value[n - 1].clone(),
        Function::First => by_time[0].value.clone(),
        Function::Last => by_time[n - 1].value.clone(),
        Function::FirstK => list(by_time.iter().take(constant(0)).map(|e| &e.value)),
        Function::LastK => list(by_time.iter().rev().take(constant(0)).map(|e| &e.value)),
        Function::Variance | Function::Stddev if n < 2 => return None,
        Function::Variance => Value::Double(variance(&numbers().collect::<Vec<_>>())),
        Function::Stddev => Value::Double(variance(&numbers().collect::<Vec<_>>()).sqrt()),
        Function::TopK => {
            let mut counts = counts(events, keep);
            // The sort is stable and the values were in their order: ties stay so.
            counts.sort_by(|(a, _), (b, _)| order(&a.datum(), &b.datum()));
            counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            list(counts.iter().take(constant(0)).map(|(value, _)| value))
        }
        Function::Histogram => {
            return map(counts(events, keep).into_iter().map(|(value, n)| (value, Value::Int(n))));
        }
        // For values so small that each has a bucket of its own.
        Function::ApproxPercentile => {
            let rank = (constants[0] as usize * n).div_ceil(SCALE as usize).max(1);
            Value::Decimal(Decimal(millionths(by_value[rank - 1])))
        }
        Function::Decayed => {
            let step = constants[0] / 8;
            let age = |e: &Seen| at.div_euclid(step) - e.timestamp.div_euclid(step);
            let part = |e: &Seen| millionths(&e.value) as f64 * 2f64.powf(-age(e) as f64 / 8.0);
            Value::Decimal(Decimal(events.iter().map(part).sum::<f64>().round() as i128))
        }
    })
}

fn counts(events: &[Seen], keep: usize) -> Vec<(Value, i64)> {
    let count = |value: &Value| events.iter().filter(|e| e.value == *value).count() as i64;
    kept(events.iter().map(|e| e.value.clone()).collect(), keep).into_iter().map(|v| (v.clone(), count(&v))).collect()
}

fn millionths(value: &Value) -> i128 {
    match value {
        Value::Int(n) => i128::from(*n) * SCALE,
        Value::Decimal(d) => d.0,
        other => panic!("no number: {other}"),
    }
}

/// Exact as long as the whole numbers are: below 2⁵³ here.
fn variance(numbers: &[i128]) -> f64 {
    let n = numbers.len() as i128;
    let (sum, squares) = (numbers.iter().sum::<i128>(), numbers.iter().map(|x| x * x).sum::<i128>());
    (n * squares - sum * sum) as f64 / (n * (n - 1) * 1_000_000_000_000) as f64
}

/// Whether two values are equal; numbers that the twin tells by way of doubles to within their rounding.
pub fn alike(function: Function, a: &Option<Value>, b: &Option<Value>) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs() + 1.1e-6;
    match (function, a, b) {
        (Function::Stddev | Function::Decayed, Some(a), Some(b)) => {
            let read = |v: &Value| match v {
                Value::Json(json) => serde_json::from_str::<BTreeMap<String, f64>>(json).expect("a map of numbers"),
                other => BTreeMap::from([(String::new(), other.to_string().parse().expect("a number"))]),
            };
            let (a, b) = (read(a), read(b));
            a.len() == b.len() && a.iter().zip(&b).all(|((j, x), (k, y))| j == k && near(*x, *y))
        }
        _ => a == b,
    }
}
