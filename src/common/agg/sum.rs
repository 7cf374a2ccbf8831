//! `sum(x)`: exact, in millionths. Doubles are rounded to six places on entry, so order never matters.

use super::codec::{get_i128, get_u64, put_i128, put_u64};
use super::{Aggregate, Input, one_number};
use crate::money::{Decimal, SCALE};
use crate::value::{Datum, Type};

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Sum {
    /// Inputs are below 2⁹⁰ millionths and fewer than 2³⁷ reach one key, so this cannot overflow in practice; it saturates if it does.
    total: Decimal,
    count: u64,
}

impl Sum {
    pub(super) fn millionths(&self) -> i128 {
        self.total.0
    }

    fn take(&mut self, millionths: i128, count: u64) {
        self.total = Decimal(self.total.0.saturating_add(millionths));
        self.count += count;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// A number as millionths; `None` for a double beyond 10²⁷, and for what is not a number, which the types rule out.
pub(super) fn millionths(datum: Datum) -> Option<i128> {
    match datum {
        Datum::Int(n) => Some(Decimal::from_int(n).0),
        Datum::Decimal(d) => Some(d.0),
        Datum::Double(x) => Decimal::from_f64(x).map(|d| d.0),
        _ => None,
    }
}

impl Aggregate for Sum {
    type Lane = Vec<Sum>;

    /// Of whole numbers whole, else decimal.
    fn result_type(args: &[Type]) -> Result<Type, String> {
        Ok(if one_number(args)? == Type::Int { Type::Int } else { Type::Decimal })
    }

    #[inline]
    fn add(&mut self, input: &Input) {
        self.take(millionths(input.args[0]).unwrap_or(0), 1);
    }

    fn merge(&mut self, other: &Sum) {
        self.take(other.total.0, other.count);
    }

    fn subtract(&mut self, other: &Sum) -> bool {
        self.total = Decimal(self.total.0 - other.total.0);
        self.count -= other.count;
        true
    }

    /// Of nothing: NULL. A whole sum beyond 64 bits stays exact as a decimal.
    #[inline]
    fn datum(&self, ty: Type) -> Datum<'_> {
        if self.count == 0 {
            return Datum::Null;
        }
        if ty == Type::Int
            && self.total.0 % SCALE == 0
            && let Ok(whole) = i64::try_from(self.total.0 / SCALE)
        {
            return Datum::Int(whole);
        }
        Datum::Decimal(self.total)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_i128(out, self.total.0);
        put_u64(out, self.count);
    }

    fn decode(input: &mut &[u8]) -> Option<Sum> {
        Some(Sum { total: Decimal(get_i128(input)?), count: get_u64(input)? })
    }
}
