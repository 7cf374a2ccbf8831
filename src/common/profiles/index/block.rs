//! Blocks of the index: 65,536 keys by number, what is known of them as a whole, and how their values stand in columns.

use crate::bits::{BLOCK, Bits};
use crate::key::Key;
use crate::money::Decimal;
use crate::store::{Error, Kind};
use crate::time::Millis;
use crate::value::{Datum, Type, Value};
use serde::{Deserialize, Serialize};

/// What the index of an entity is as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The number that the next key gets.
    pub next: u32,
    /// Every key that is not marked as changed has a number.
    pub whole: bool,
}

impl Head {
    pub fn blocks(&self) -> u32 {
        self.next.div_ceil(BLOCK as u32)
    }
}

/// What a block says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    /// Of the definitions, and of how the live state was read.
    pub signature: u64,
    /// Its values are true from here on, each until the next change of its key.
    pub since: Millis,
    /// The newest as-of of a patch.
    pub newest: Millis,
    /// The first change by time alone of any of its keys.
    pub next: Option<Millis>,
    /// The first and the last key as they are stored, where the keys rise.
    pub span: Option<(String, String)>,
}

/// The name of a block's record.
pub(super) fn name(what: &str, entity: &str, block: u32) -> String {
    format!("{what}\0{entity}\0{block:08x}")
}

/// The name of a column of a block.
pub(super) fn column(entity: &str, block: u32, code: &str) -> String {
    format!("{entity}\0{block:08x}\0{code}")
}

/// The column of the instants at which keys change by time alone; no tag is called so.
pub(super) const NEXT: &str = "\0next";

impl About {
    /// With the places of keys that have a profile.
    pub fn encode(&self, present: &Bits) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("plain data has a JSON form");
        bytes.push(b'\n');
        present.encode(&mut bytes);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<(About, Bits), Error> {
        let end = memchr::memchr(b'\n', bytes).ok_or_else(broken)?;
        let about = serde_json::from_slice(&bytes[..end]).map_err(|_| broken())?;
        Ok((about, Bits::decode(&bytes[end + 1..]).ok_or_else(broken)?))
    }
}

pub(super) fn broken() -> Error {
    Error::new(Kind::Corrupt, "embedded store: its index is broken").hint("make it anew: adprof segment index --anew")
}

/// Keys in the order of their numbers, each after what it shares with the one before.
pub(super) fn encode_keys(keys: &[Key]) -> Vec<u8> {
    let (mut out, mut last): (Vec<u8>, &[u8]) = (Vec::new(), b"");
    for key in keys {
        let key = key.as_str().as_bytes();
        let shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
        out.extend_from_slice(&(shared as u16).to_le_bytes());
        out.extend_from_slice(&((key.len() - shared) as u16).to_le_bytes());
        out.extend_from_slice(&key[shared..]);
        last = key;
    }
    out
}

pub(super) fn decode_keys(mut bytes: &[u8]) -> Option<Vec<Key>> {
    let (mut keys, mut text) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let (shared, own) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
        let (own, rest) = rest.split_at_checked(own.into())?;
        if usize::from(shared) > text.len() {
            return None;
        }
        text.truncate(shared.into());
        text.extend_from_slice(own);
        keys.push(Key::from_stored(std::str::from_utf8(&text).ok()?)?);
        bytes = rest;
    }
    Some(keys)
}

/// How the values of a type stand in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// As numbers in the order of the values.
    Numbers,
    /// Each as its text.
    Texts,
    /// Item by item, each as its JSON text.
    Items,
    /// Not at all: only that there is one.
    Nothing,
}

impl Shape {
    pub fn of(ty: Type) -> Shape {
        match ty {
            Type::Int | Type::Decimal | Type::Double | Type::Datetime => Shape::Numbers,
            Type::Bool | Type::String => Shape::Texts,
            Type::List(_) => Shape::Items,
            Type::Map(_) => Shape::Nothing,
        }
    }
}

/// The number that stands for a value of a type of numbers; `None`: it is of another type.
pub fn number(value: &Value, ty: Type) -> Option<i128> {
    match (value, ty) {
        (Value::Int(n), Type::Int) | (Value::Time(n), Type::Datetime) => Some((*n).into()),
        (Value::Decimal(d), Type::Decimal) => Some(d.0),
        (Value::Double(x), Type::Double) => Some(ordered(if *x == 0.0 { 0.0 } else { *x }).into()),
        _ => None,
    }
}

/// The smallest and the largest number that can stand for a value of a type.
pub fn numbers_of(ty: Type) -> (i128, i128) {
    match ty {
        Type::Double => (ordered(f64::MIN).into(), ordered(f64::MAX).into()),
        Type::Decimal => (i128::MIN, i128::MAX),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

/// The value that a number between these stands for.
pub fn value_of(number: i128, ty: Type) -> Datum<'static> {
    match ty {
        Type::Decimal => Datum::Decimal(Decimal(number)),
        Type::Double => Datum::Double(f64::from_bits(unordered(number as i64))),
        Type::Datetime => Datum::Time(number as i64),
        _ => Datum::Int(number as i64),
    }
}

/// An integer that rises with the double.
fn ordered(x: f64) -> i64 {
    let bits = x.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn unordered(n: i64) -> u64 {
    (n ^ ((n >> 63) as u64 >> 1) as i64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_whatever_they_share() {
        let keys: Vec<Key> =
            ["u-001", "u-0012", "a", "päť", "pä", &"k".repeat(1500)].map(|id| Key::user("", id)).into();
        let bytes = encode_keys(&keys);
        assert_eq!(decode_keys(&bytes).as_ref(), Some(&keys));
        assert_eq!(decode_keys(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode_keys(&[9, 0, 0, 0]), None);
    }

    #[test]
    fn numbers_rise_with_doubles_and_give_them_back() {
        let doubles = [f64::MIN, -2.5, -1e-300, 0.0, 5e-324, 0.1, 7.0, f64::MAX];
        let numbers = doubles.map(|x| number(&Value::Double(x), Type::Double).expect("a double"));
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        for (x, n) in doubles.into_iter().zip(numbers) {
            assert_eq!(value_of(n, Type::Double), Datum::Double(x));
        }
        assert_eq!(number(&Value::Double(-0.0), Type::Double), Some(numbers[3]));
        assert_eq!(number(&Value::Int(1), Type::Double), None);
    }
}
