//! `min(x)`, `max(x)`: the smallest and the largest value; strings by their bytes.

use super::codec::{get_byte, get_value, put_value};
use super::{Aggregate, Input, one_argument};
use crate::value::{Datum, Type, Value};
use std::cmp::Ordering;

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Min(Option<Value>);

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Max(Option<Value>);

/// The order of two values of one type.
fn order(a: &Datum, b: &Datum) -> Ordering {
    match (a, b) {
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Int(a) | Datum::Time(a), Datum::Int(b) | Datum::Time(b)) => a.cmp(b),
        (Datum::Decimal(a), Datum::Decimal(b)) => a.cmp(b),
        // Zero and minus zero are one value, so that the first to come does not decide the bytes.
        (Datum::Double(a), Datum::Double(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (Datum::Str(a), Datum::Str(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn keep(slot: &mut Option<Value>, new: Datum, wanted: Ordering) {
    let better = slot.as_ref().is_none_or(|old| order(&new, &old.datum()) == wanted);
    if better {
        let new = if let Datum::Double(x) = new { Datum::Double(x + 0.0) } else { new };
        *slot = new.to_value();
    }
}

fn comparable(args: &[Type]) -> Result<Type, String> {
    match one_argument(args)? {
        Type::Bool => Err("takes a number, a string or a datetime, not bool".into()),
        ty => Ok(ty),
    }
}

fn encode(slot: &Option<Value>, out: &mut Vec<u8>) {
    out.push(u8::from(slot.is_some()));
    if let Some(value) = slot {
        put_value(out, value);
    }
}

fn decode(input: &mut &[u8]) -> Option<Option<Value>> {
    match get_byte(input)? {
        0 => Some(None),
        _ => get_value(input).map(Some),
    }
}

macro_rules! extreme {
    ($name:ident, $wanted:expr) => {
        impl Aggregate for $name {
            fn result_type(args: &[Type]) -> Result<Type, String> {
                comparable(args)
            }

            fn add(&mut self, input: &Input) {
                keep(&mut self.0, input.args[0], $wanted);
            }

            fn merge(&mut self, other: &Self) {
                if let Some(value) = &other.0 {
                    keep(&mut self.0, value.datum(), $wanted);
                }
            }

            /// Of nothing: NULL.
            fn value(&self, _: Type) -> Option<Value> {
                self.0.clone()
            }

            fn encode(&self, out: &mut Vec<u8>) {
                encode(&self.0, out);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                decode(input).map(Self)
            }
        }
    };
}

extreme!(Min, Ordering::Less);
extreme!(Max, Ordering::Greater);
