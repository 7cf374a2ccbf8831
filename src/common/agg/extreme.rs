//! `min(x)`, `max(x)`: the smallest and the largest value; strings by their bytes.

use super::cells::{Arena, Cell};
use super::codec::{get_byte, get_value, put_value};
use super::lanes::Lane;
use super::{Aggregate, Input, one_argument};
use crate::value::{Datum, Type, Value};
use std::cmp::Ordering;

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Min(Option<Value>);

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Max(Option<Value>);

/// The order of two values of one type.
pub(super) fn order(a: &Datum, b: &Datum) -> Ordering {
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

/// Whether `new` takes the place of `old`, NULL when there was none yet.
#[inline]
fn wins(old: &Datum, new: &Datum, wanted: Ordering) -> bool {
    old.is_null() || order(new, old) == wanted
}

/// What is kept of a value: zero for minus zero.
#[inline]
fn kept(new: Datum) -> Datum {
    if let Datum::Double(x) = new { Datum::Double(x + 0.0) } else { new }
}

fn datum(slot: &Option<Value>) -> Datum<'_> {
    slot.as_ref().map_or(Datum::Null, Value::datum)
}

fn keep(slot: &mut Option<Value>, new: Datum, wanted: Ordering) {
    if wins(&datum(slot), &new, wanted) {
        *slot = kept(new).to_value();
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
    ($name:ident, $lane:ident, $wanted:expr) => {
        /// The values of many keys.
        #[derive(Default)]
        pub struct $lane {
            cells: Vec<Cell>,
            texts: Arena,
        }

        impl Lane for $lane {
            const ORDERED: bool = false;

            fn grow(&mut self, places: usize) {
                self.cells.resize(places, Cell::Null);
            }

            #[inline(always)]
            fn add(&mut self, place: usize, input: &Input) {
                let cell = &mut self.cells[place];
                if wins(&self.texts.datum(*cell), &input.args[0], $wanted) {
                    self.texts.put_cell(cell, &kept(input.args[0]));
                }
            }

            #[inline(always)]
            fn datum(&self, place: usize, _: Type) -> Datum<'_> {
                self.texts.datum(self.cells[place])
            }

            fn clear(&mut self) {
                self.cells.clear();
                self.texts.clear();
            }
        }

        impl Aggregate for $name {
            type Lane = $lane;

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
            fn datum(&self, _: Type) -> Datum<'_> {
                datum(&self.0)
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

extreme!(Min, Minima, Ordering::Less);
extreme!(Max, Maxima, Ordering::Greater);
