//! Functions: the one table of what an expression may call.
//!
//! Each is pure and typed, with its NULL rule, and says beside its meaning how it is written for every engine.

use super::number::{finite, order};
use super::print::{Call, Printed, functions as sql};
use super::text;
use crate::money::{Decimal, SCALE, div_round};
use crate::value::{Datum, Type, Value};
use bumpalo::Bump;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One function.
pub(crate) struct Function {
    /// As the canonical text writes it.
    pub name: &'static str,
    /// Other names for the same, in upper case.
    pub aliases: &'static [&'static str],
    /// Fewest and most arguments.
    pub arity: (usize, usize),
    pub rule: Rule,
    pub nulls: Nulls,
    pub eval: for<'a> fn(&[Datum<'a>], &'a Bump) -> Datum<'a>,
    /// The call in the SQL of an engine; the error is why it cannot be said there.
    pub print: fn(&Call<'_, '_>) -> Printed,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What the arguments must be and what comes out.
pub(crate) enum Rule {
    /// Parameters of these types, the last for all that follow.
    Fixed(&'static [Type], Type),
    /// A number, which is also the result's type; what follows are ints.
    Number,
    /// All of one type, which is also the result's.
    Same,
    /// Two values that can be compared; the result is the first's type.
    First,
    /// A list or a map, to an int.
    Size,
    /// A list, and a value that can be compared with its items, to a bool.
    Member,
}

/// What a NULL argument does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nulls {
    /// The result is NULL.
    Propagate,
    /// The function decides.
    Own,
}

use Type::{Double, Int, String as Text};

const MANY: usize = usize::MAX;

pub(crate) static FUNCTIONS: &[Function] = &[
    function("ABS", (1, 1), Rule::Number, Nulls::Propagate, abs, sql::abs),
    function("BUCKET", (2, 2), Rule::Fixed(&[Text, Text], Double), Nulls::Propagate, bucket, sql::bucket),
    function("CEIL", (1, 1), Rule::Number, Nulls::Propagate, ceil, sql::ceil).or(&["CEILING"]),
    function("COALESCE", (1, MANY), Rule::Same, Nulls::Own, coalesce, sql::coalesce),
    function("CONCAT", (1, MANY), Rule::Fixed(&[Text], Text), Nulls::Propagate, text::concat, sql::concat),
    function("CONTAINS", (2, 2), Rule::Member, Nulls::Propagate, contains, sql::contains),
    function("FLOOR", (1, 1), Rule::Number, Nulls::Propagate, floor, sql::floor),
    function("GREATEST", (1, MANY), Rule::Same, Nulls::Own, greatest, sql::greatest),
    function("LEAST", (1, MANY), Rule::Same, Nulls::Own, least, sql::least),
    function("LEN", (1, 1), Rule::Size, Nulls::Propagate, len, sql::len),
    function("LENGTH", (1, 1), Rule::Fixed(&[Text], Int), Nulls::Propagate, text::length, sql::length)
        .or(&["CHAR_LENGTH", "CHARACTER_LENGTH"]),
    function("LOWER", (1, 1), Rule::Fixed(&[Text], Text), Nulls::Propagate, text::lower, sql::lower),
    function("LTRIM", (1, 2), Rule::Fixed(&[Text], Text), Nulls::Propagate, text::ltrim, sql::ltrim),
    function("NULLIF", (2, 2), Rule::First, Nulls::Own, nullif, sql::nullif),
    function("ROUND", (1, 2), Rule::Number, Nulls::Propagate, round, sql::round),
    function("RTRIM", (1, 2), Rule::Fixed(&[Text], Text), Nulls::Propagate, text::rtrim, sql::rtrim),
    function("SUBSTRING", (2, 3), Rule::Fixed(&[Text, Int], Text), Nulls::Propagate, text::substring, sql::substring)
        .or(&["SUBSTR"]),
    function("TRIM", (1, 2), Rule::Fixed(&[Text], Text), Nulls::Propagate, text::trim, sql::trim),
    function("UPPER", (1, 1), Rule::Fixed(&[Text], Text), Nulls::Propagate, text::upper, sql::upper),
];

const fn function(
    name: &'static str,
    arity: (usize, usize),
    rule: Rule,
    nulls: Nulls,
    eval: for<'a> fn(&[Datum<'a>], &'a Bump) -> Datum<'a>,
    print: fn(&Call<'_, '_>) -> Printed,
) -> Function {
    Function { name, aliases: &[], arity, rule, nulls, eval, print }
}

impl Function {
    const fn or(mut self, aliases: &'static [&'static str]) -> Function {
        self.aliases = aliases;
        self
    }

    /// By its name or another name for it, in any case.
    pub fn find(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|f| {
            f.name.eq_ignore_ascii_case(name) || f.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        })
    }
}

fn abs<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    match args[0] {
        Datum::Int(n) => n.checked_abs().map_or(Datum::Null, Datum::Int),
        Datum::Decimal(d) => d.0.checked_abs().map_or(Datum::Null, |n| Datum::Decimal(Decimal(n))),
        Datum::Double(x) => Datum::Double(x.abs()),
        _ => Datum::Null,
    }
}

fn floor<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    match args[0] {
        Datum::Decimal(d) => Datum::Decimal(Decimal(d.0.div_euclid(SCALE) * SCALE)),
        Datum::Double(x) => Datum::Double(x.floor()),
        other => other,
    }
}

fn ceil<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    match args[0] {
        Datum::Decimal(d) => {
            let up = i128::from(d.0.rem_euclid(SCALE) != 0);
            Datum::Decimal(Decimal((d.0.div_euclid(SCALE) + up) * SCALE))
        }
        Datum::Double(x) => Datum::Double(x.ceil()),
        other => other,
    }
}

/// Halves away from zero; negative places round before the point.
fn round<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    let places = match args.get(1) {
        Some(Datum::Int(n)) => (*n).clamp(-40, 40) as i32,
        _ => 0,
    };
    match args[0] {
        Datum::Int(n) => match round_whole(i128::from(n), -places).map(i64::try_from) {
            Some(Ok(n)) => Datum::Int(n),
            _ => Datum::Null,
        },
        Datum::Decimal(d) => round_whole(d.0, 6 - places).map_or(Datum::Null, |n| Datum::Decimal(Decimal(n))),
        Datum::Double(x) => {
            let scale = 10f64.powi(places);
            finite((x * scale).round() / scale)
        }
        _ => Datum::Null,
    }
}

/// `n` to a multiple of 10^`digits`.
fn round_whole(n: i128, digits: i32) -> Option<i128> {
    match u32::try_from(digits) {
        Err(_) | Ok(0) => Some(n),
        Ok(digits) if digits > 38 => Some(0),
        Ok(digits) => {
            let unit = 10i128.pow(digits);
            div_round(n, unit)?.checked_mul(unit)
        }
    }
}

fn coalesce<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    args.iter().copied().find(|a| !a.is_null()).unwrap_or(Datum::Null)
}

fn nullif<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    if order(args[0], args[1]).is_some_and(|o| o.is_eq()) { Datum::Null } else { args[0] }
}

/// NULLs are passed over, as in Spark and DuckDB.
fn greatest<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    extreme(args, |o| o.is_gt())
}

fn least<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    extreme(args, |o| o.is_lt())
}

fn extreme<'a>(args: &[Datum<'a>], better: fn(std::cmp::Ordering) -> bool) -> Datum<'a> {
    args.iter().copied().fold(Datum::Null, |best, a| match order(a, best) {
        Some(order) if !better(order) => best,
        None if a.is_null() => best,
        _ => a,
    })
}

/// How many items a list, or entries a map has.
fn len<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    let Datum::Json(json) = args[0] else { return Datum::Null };
    let n = match json.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<IgnoredAny>>(json).map(|items| items.len()),
        _ => serde_json::from_str::<BTreeMap<String, IgnoredAny>>(json).map(|entries| entries.len()),
    };
    n.map_or(Datum::Null, |n| Datum::Int(n as i64))
}

/// Whether an item of the list equals the value. Lists have no NULL in them.
fn contains<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    let Datum::Json(json) = args[0] else { return Datum::Null };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) else { return Datum::Null };
    let equals = |item: &RawValue| match Value::from_json(item.get()) {
        Ok(Some(item)) => order(item.datum(), args[1]).is_some_and(|o| o.is_eq()),
        _ => false,
    };
    Datum::Bool(items.into_iter().any(equals))
}

/// The place of `id` in [0, 1) under `salt`: the first 13 hex digits of SHA-256(salt ‖ 0x1F ‖ id) / 2⁵².
fn bucket<'a>(args: &[Datum<'a>], _: &'a Bump) -> Datum<'a> {
    let (Datum::Str(salt), Datum::Str(id)) = (args[0], args[1]) else { return Datum::Null };
    let digest = Sha256::new().chain_update(salt).chain_update([0x1f]).chain_update(id).finalize();
    let head = digest.iter().take(8).fold(0u64, |n, b| n << 8 | u64::from(*b));
    // 13 hex digits are 52 bits, which a double holds exactly.
    Datum::Double((head >> 12) as f64 / (1u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upper_case_and_stand_for_one_function() {
        let mut seen = std::collections::HashSet::new();
        for function in FUNCTIONS {
            for name in std::iter::once(&function.name).chain(function.aliases) {
                assert_eq!(**name, name.to_ascii_uppercase());
                assert!(seen.insert(*name), "{name} twice");
            }
            assert!(function.arity.0 <= function.arity.1);
        }
    }

    #[test]
    fn bucket_is_the_documented_hash() {
        let scratch = Bump::new();
        let value = bucket(&[Datum::Str("exp1"), Datum::Str("u-001")], &scratch);
        assert_eq!(value, Datum::Double(0.17432952802797486));
    }
}
