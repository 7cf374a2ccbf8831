//! `count(DISTINCT x)`: how many different values, exactly.
//!
//! The values themselves are kept, so memory grows with their number.

use super::codec::{get_bytes, get_u64, put_bytes, put_u64, put_value};
use super::{Aggregate, Input, one_argument};
use crate::value::{Datum, Type};
use std::collections::BTreeSet;

// A sorted set: its order of iteration is the order of its bytes, whatever came first.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Distinct(BTreeSet<Box<[u8]>>);

impl Aggregate for Distinct {
    type Lane = Vec<Distinct>;

    fn result_type(args: &[Type]) -> Result<Type, String> {
        one_argument(args).map(|_| Type::Int)
    }

    fn add(&mut self, input: &Input) {
        // Zero and minus zero are one value.
        let datum = if let Datum::Double(x) = input.args[0] { Datum::Double(x + 0.0) } else { input.args[0] };
        if let Some(value) = datum.to_value() {
            let mut bytes = Vec::new();
            put_value(&mut bytes, &value);
            if !self.0.contains(&bytes[..]) {
                self.0.insert(bytes.into());
            }
        }
    }

    fn merge(&mut self, other: &Distinct) {
        for value in &other.0 {
            if !self.0.contains(value) {
                self.0.insert(value.clone());
            }
        }
    }

    /// Of nothing: 0.
    #[inline]
    fn datum(&self, _: Type) -> Datum<'_> {
        Datum::Int(self.0.len() as i64)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        for value in &self.0 {
            put_bytes(out, value);
        }
    }

    fn decode(input: &mut &[u8]) -> Option<Distinct> {
        let n = get_u64(input)?;
        let mut set = BTreeSet::new();
        for _ in 0..n {
            set.insert(get_bytes(input)?.into());
        }
        Some(Distinct(set))
    }
}
