//! `avg(x)`: the exact sum over the count, rounded to six places once, at value time.

use super::sum::Sum;
use super::{Aggregate, Input, one_number};
use crate::money::Decimal;
use crate::value::{Datum, Type};

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Average(Sum);

impl Aggregate for Average {
    type Lane = Vec<Average>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        one_number(args).map(|_| Type::Decimal)
    }

    #[inline]
    fn add(&mut self, input: &Input) {
        self.0.add(input);
    }

    fn merge(&mut self, other: &Average) {
        self.0.merge(&other.0);
    }

    fn subtract(&mut self, other: &Average) -> bool {
        self.0.subtract(&other.0)
    }

    /// Of nothing: NULL. Halves round away from zero.
    #[inline]
    fn datum(&self, _: Type) -> Datum<'_> {
        Decimal(self.0.millionths()).checked_div_int(i128::from(self.0.count())).map_or(Datum::Null, Datum::Decimal)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Option<Average> {
        Sum::decode(input).map(Average)
    }
}
