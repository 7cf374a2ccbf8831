//! `count(*)`, `count(x)`: how many events, or how many where x is not NULL.

use super::codec::{get_u64, put_u64};
use super::{Aggregate, Input};
use crate::value::{Datum, Type};

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Count(u64);

impl Aggregate for Count {
    type Lane = Vec<Count>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        if args.len() <= 1 { Ok(Type::Int) } else { Err(format!("takes `*` or one argument, not {}", args.len())) }
    }

    #[inline]
    fn add(&mut self, _: &Input) {
        self.0 += 1;
    }

    fn merge(&mut self, other: &Count) {
        self.0 += other.0;
    }

    fn subtract(&mut self, other: &Count) -> bool {
        self.0 -= other.0;
        true
    }

    /// Of nothing: 0.
    #[inline]
    fn datum(&self, _: Type) -> Datum<'_> {
        Datum::Int(self.0 as i64)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0);
    }

    fn decode(input: &mut &[u8]) -> Option<Count> {
        get_u64(input).map(Count)
    }
}
