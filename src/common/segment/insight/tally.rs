//! Tallies: how the values of one tag are distributed, filled in one pass, in bounded memory.

use super::count::{Count, Side};
use super::numbers::{Grid, Numbers};
use crate::money::{Decimal, SCALE};
use crate::time::{HOUR, Millis};
use crate::value::{Type, Value};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Different values of one tag that are counted one by one; of what comes later only the sum is known.
pub const VALUES_MAX: usize = 4096;
/// The longest text that is counted by itself, in bytes.
const TEXT_MAX: usize = 256;
/// The largest age in days, either way: beyond 270 years.
const DAYS_MAX: i64 = 100_000;

/// The values of one tag so far.
#[derive(Clone, Debug)]
pub struct Tally {
    ty: Type,
    as_of: Millis,
    pub missing: Count,
    /// There are values that are not of the tag's type (any more): they are among the missing ones.
    pub wrong: bool,
    pub values: Values,
}

#[derive(Clone, Debug)]
pub enum Values {
    /// One for each profile.
    Texts(Texts),
    /// Any number for each profile: items of a list, keys of a map.
    Many(Texts),
    Numbers(Numbers),
}

/// Texts and how many have them.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub known: HashMap<Box<str>, Count>,
    /// Those that came when the table was full, and those that are too long. Of lists and maps, items instead of people.
    pub beyond: Count,
}

impl Texts {
    fn take(&mut self, text: &str, side: Side) {
        if let Some(count) = self.known.get_mut(text) {
            count.take(side);
        } else if self.known.len() < VALUES_MAX && text.len() <= TEXT_MAX {
            self.known.entry(text.into()).or_default().take(side);
        } else {
            self.beyond.take(side);
        }
    }
}

impl Tally {
    /// Of a tag of this type, looked at from `as_of`.
    pub fn new(ty: Type, as_of: Millis) -> Tally {
        let values = match ty {
            Type::Bool | Type::String => Values::Texts(Texts::default()),
            Type::Int => Values::Numbers(Numbers::new(Grid::of(SCALE), true)),
            Type::Decimal | Type::Double => Values::Numbers(Numbers::new(Grid::of(1), false)),
            Type::Datetime => Values::Numbers(Numbers::new(Grid::Hours, false)),
            Type::List(_) | Type::Map(_) => Values::Many(Texts::default()),
        };
        Tally { ty, as_of, missing: Count::default(), wrong: false, values }
    }

    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Takes the value of one more profile.
    pub fn take(&mut self, value: Option<&Value>, side: Side) {
        let taken = value.is_some_and(|value| self.values.take(value, self.ty, self.as_of, side));
        if !taken {
            self.missing.take(side);
            self.wrong |= value.is_some();
        }
    }
}

impl Values {
    /// Whether the value is of the type.
    fn take(&mut self, value: &Value, ty: Type, as_of: Millis, side: Side) -> bool {
        match (self, value, ty) {
            (Values::Texts(texts), Value::Str(text), Type::String) => texts.take(text, side),
            (Values::Texts(texts), Value::Bool(truth), Type::Bool) => {
                texts.take(if *truth { "true" } else { "false" }, side);
            }
            (Values::Numbers(numbers), Value::Time(t), Type::Datetime) => numbers.take(age(*t, as_of), side),
            (Values::Numbers(numbers), value, _) => match micros(value) {
                Some(n) if ty != Type::Datetime => numbers.take(n, side),
                _ => return false,
            },
            (Values::Many(texts), Value::Json(json), _) => match items(json, ty) {
                Some(items) => items.iter().for_each(|item| texts.take(item, side)),
                None => return false,
            },
            _ => return false,
        }
        true
    }
}

/// Millionths, the nearest where there are none; what is beyond all bounds is at them.
fn micros(value: &Value) -> Option<i128> {
    match value {
        Value::Int(n) => Some(Decimal::from_int(*n).0),
        Value::Decimal(d) => Some(d.0),
        // 10³⁶ is far from where 128 bits end, so that it can be rounded.
        Value::Double(x) if x.is_finite() => Some((x * 1e6).round().clamp(-1e36, 1e36) as i128),
        _ => None,
    }
}

/// Whole hours from `t` to `as_of`; negative where that is still to come.
fn age(t: Millis, as_of: Millis) -> i128 {
    let most = DAYS_MAX * 24;
    i128::from(as_of.saturating_sub(t).div_euclid(HOUR).clamp(-most, most))
}

/// What a list contains, or the keys of a map, each once.
fn items(json: &str, ty: Type) -> Option<BTreeSet<String>> {
    match ty {
        Type::List(_) => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let text = |item: &&RawValue| match Value::from_json(item.get()) {
                Ok(value) => value.map(|value| value.to_string()),
                Err(_) => None,
            };
            Some(items.iter().filter_map(text).collect())
        }
        _ => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            Some(members.into_keys().collect())
        }
    }
}
