//! Numbers: comparing and calculating across int, decimal, double and datetime.
//!
//! Int and decimal never pass through a float. What does not fit is NULL, so is division by zero.

use super::node::{Comparison, Operator};
use crate::money::{Decimal, SCALE, div_round};
use crate::value::Datum;
use std::cmp::Ordering;

/// How `a` stands to `b`; `None` when either is NULL.
pub(crate) fn order(a: Datum<'_>, b: Datum<'_>) -> Option<Ordering> {
    Some(match (a, b) {
        (Datum::Str(a), Datum::Str(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(&b),
        // An int beside a datetime is milliseconds.
        (Datum::Int(a) | Datum::Time(a), Datum::Int(b) | Datum::Time(b)) => a.cmp(&b),
        (Datum::Double(_), _) | (_, Datum::Double(_)) => return double(a)?.partial_cmp(&double(b)?),
        _ => decimal(a)?.cmp(&decimal(b)?),
    })
}

pub(crate) fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Eq => order.is_eq(),
        Comparison::Ne => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::Le => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::Ge => order.is_ge(),
    }
}

pub(crate) fn calculate(operator: Operator, a: Datum<'_>, b: Datum<'_>) -> Datum<'static> {
    let value = match (a, b) {
        (Datum::Null, _) | (_, Datum::Null) => None,
        (Datum::Double(_), _) | (_, Datum::Double(_)) => doubles(operator, a, b),
        (Datum::Int(a), Datum::Int(b)) if operator != Operator::Div => ints(operator, a, b).map(Datum::Int),
        (Datum::Time(a), Datum::Time(b)) => ints(operator, a, b).map(Datum::Int),
        (Datum::Time(a), Datum::Int(b)) | (Datum::Int(a), Datum::Time(b)) => ints(operator, a, b).map(Datum::Time),
        _ => decimals(operator, a, b),
    };
    value.unwrap_or(Datum::Null)
}

pub(crate) fn negate(a: Datum<'_>) -> Datum<'static> {
    match a {
        Datum::Int(n) => n.checked_neg().map_or(Datum::Null, Datum::Int),
        Datum::Decimal(d) => d.0.checked_neg().map_or(Datum::Null, |n| Datum::Decimal(Decimal(n))),
        Datum::Double(x) => Datum::Double(-x),
        _ => Datum::Null,
    }
}

/// A double that is finite, or NULL.
pub(crate) fn finite(x: f64) -> Datum<'static> {
    if x.is_finite() { Datum::Double(x) } else { Datum::Null }
}

fn ints(operator: Operator, a: i64, b: i64) -> Option<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mul => a.checked_mul(b),
        // The smallest int % -1 is 0, though the machine's division overflows.
        Operator::Rem if b == -1 => Some(0),
        Operator::Rem => a.checked_rem(b),
        Operator::Div => None,
    }
}

fn decimals(operator: Operator, a: Datum<'_>, b: Datum<'_>) -> Option<Datum<'static>> {
    let (a, b) = (decimal(a)?, decimal(b)?);
    let value = match operator {
        Operator::Add => Decimal(a.0.checked_add(b.0)?),
        Operator::Sub => Decimal(a.0.checked_sub(b.0)?),
        Operator::Mul => a.checked_mul(b)?,
        Operator::Div => Decimal(div_round(a.0.checked_mul(SCALE)?, b.0)?),
        Operator::Rem => Decimal(a.0.checked_rem(b.0)?),
    };
    Some(Datum::Decimal(value))
}

fn doubles(operator: Operator, a: Datum<'_>, b: Datum<'_>) -> Option<Datum<'static>> {
    let (a, b) = (double(a)?, double(b)?);
    Some(finite(match operator {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Div => a / b,
        Operator::Rem => a % b,
    }))
}

/// An int or decimal, exactly.
pub(crate) fn decimal(a: Datum<'_>) -> Option<Decimal> {
    match a {
        Datum::Int(n) => Some(Decimal::from_int(n)),
        Datum::Decimal(d) => Some(d),
        _ => None,
    }
}

pub(crate) fn double(a: Datum<'_>) -> Option<f64> {
    match a {
        Datum::Int(n) => Some(n as f64),
        Datum::Decimal(d) => Some(nearest_double(d)),
        Datum::Double(x) => Some(x),
        _ => None,
    }
}

/// The double nearest to a decimal, so that 0.1 the decimal equals 0.1 the double.
fn nearest_double(d: Decimal) -> f64 {
    // Both sides of the division are exact up to 2⁵³, so it rounds once; beyond that text does.
    const EXACT: u128 = 1 << 53;
    if d.0.unsigned_abs() <= EXACT {
        d.0 as f64 / SCALE as f64
    } else {
        d.to_string().parse().expect("a decimal is written as a number")
    }
}
