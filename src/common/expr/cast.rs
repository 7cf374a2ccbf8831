//! CAST: the same value in another type; what cannot be converted is NULL.
//!
//! A number loses its fraction on the way to int, towards zero, as in Spark, Flink and ClickHouse (DuckDB rounds).

use super::number::finite;
use crate::money::{Decimal, DecimalError, SCALE};
use crate::time;
use crate::value::{Datum, Type, Value};
use bumpalo::Bump;

/// Whether CAST knows the way at all; otherwise it is an error at load.
pub(crate) fn possible(from: Type, to: Type) -> bool {
    from == to
        || match (from, to) {
            // A list or a map is its JSON text.
            (Type::List(_) | Type::Map(_), other) => other == Type::String,
            (_, Type::List(_) | Type::Map(_)) => false,
            (Type::Datetime, other) | (other, Type::Datetime) => matches!(other, Type::Int | Type::String),
            _ => true,
        }
}

/// `a` as `to`.
pub(crate) fn cast<'a>(a: Datum<'a>, to: Type, scratch: &'a Bump) -> Datum<'a> {
    match to {
        Type::Bool => to_bool(a),
        Type::Int => to_int(a).map_or(Datum::Null, Datum::Int),
        Type::Decimal => to_decimal(a).map_or(Datum::Null, Datum::Decimal),
        Type::Double => to_double(a).map_or(Datum::Null, finite),
        Type::String => to_text(a, scratch),
        Type::Datetime => match a {
            Datum::Time(t) | Datum::Int(t) => Datum::Time(t),
            Datum::Str(s) => instant(s).map_or(Datum::Null, Datum::Time),
            _ => Datum::Null,
        },
        Type::List(_) | Type::Map(_) => match a {
            Datum::Json(json) => Datum::Json(json),
            _ => Datum::Null,
        },
    }
}

fn to_bool(a: Datum<'_>) -> Datum<'static> {
    match a {
        Datum::Bool(b) => Datum::Bool(b),
        Datum::Int(n) => Datum::Bool(n != 0),
        Datum::Decimal(d) => Datum::Bool(d.0 != 0),
        Datum::Double(x) => Datum::Bool(x != 0.0),
        Datum::Str(s) => match s.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Datum::Bool(true),
            "false" | "f" | "0" => Datum::Bool(false),
            _ => Datum::Null,
        },
        Datum::Time(_) | Datum::Json(_) | Datum::Null => Datum::Null,
    }
}

fn to_int(a: Datum<'_>) -> Option<i64> {
    match a {
        Datum::Bool(b) => Some(i64::from(b)),
        Datum::Int(n) | Datum::Time(n) => Some(n),
        Datum::Decimal(d) => i64::try_from(d.0 / SCALE).ok(),
        // 2⁶³ itself is a double and does not fit.
        Datum::Double(x) => (x.trunc() >= -(2f64.powi(63)) && x.trunc() < 2f64.powi(63)).then_some(x as i64),
        Datum::Str(s) => s.trim().parse().ok(),
        Datum::Json(_) | Datum::Null => None,
    }
}

fn to_decimal(a: Datum<'_>) -> Option<Decimal> {
    match a {
        Datum::Bool(b) => Some(Decimal::from_int(i64::from(b))),
        Datum::Int(n) => Some(Decimal::from_int(n)),
        Datum::Decimal(d) => Some(d),
        Datum::Double(x) => Decimal::from_f64(x),
        Datum::Str(s) => decimal_text(s.trim()),
        Datum::Time(_) | Datum::Json(_) | Datum::Null => None,
    }
}

/// More than six places are rounded, halves away from zero.
fn decimal_text(text: &str) -> Option<Decimal> {
    match Decimal::parse(text) {
        Ok(d) => return Some(d),
        Err(DecimalError::Places) => {}
        Err(_) => return None,
    }
    let (whole, fraction) = text.split_once('.')?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() < 7 {
        return None;
    }
    let kept = Decimal::parse(&format!("{whole}.{}", &fraction[..6])).ok()?;
    let up = i128::from(fraction.as_bytes()[6] >= b'5');
    Some(Decimal(if text.starts_with('-') { kept.0 - up } else { kept.0 + up }))
}

fn to_double(a: Datum<'_>) -> Option<f64> {
    match a {
        Datum::Bool(b) => Some(f64::from(u8::from(b))),
        Datum::Str(s) => s.trim().parse().ok(),
        other => super::number::double(other),
    }
}

fn to_text<'a>(a: Datum<'a>, scratch: &'a Bump) -> Datum<'a> {
    match a {
        Datum::Str(s) | Datum::Json(s) => Datum::Str(s),
        Datum::Null => Datum::Null,
        Datum::Bool(b) => Datum::Str(if b { "true" } else { "false" }),
        Datum::Time(t) => Datum::Str(scratch.alloc_str(&time::show(t))),
        Datum::Int(n) => Datum::Str(bumpalo::format!(in scratch, "{}", n).into_bump_str()),
        Datum::Decimal(d) => Datum::Str(bumpalo::format!(in scratch, "{}", d).into_bump_str()),
        Datum::Double(x) => Datum::Str(bumpalo::format!(in scratch, "{}", Value::Double(x)).into_bump_str()),
    }
}

/// RFC 3339, or a date or a date with time in UTC, as milliseconds.
pub(crate) fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(t.as_millisecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(civil).ok().map(|t| t.as_millisecond())
}
