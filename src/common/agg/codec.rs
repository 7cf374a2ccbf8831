//! The bytes of partials and states: varints, zigzag, length-prefixed text.
//!
//! Decoding never panics: what was not written by `put_*` gives `None`.

use crate::money::Decimal;
use crate::value::{Datum, Value};

pub fn put_u64(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub fn get_u64(input: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = get_byte(input)?;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

pub fn get_byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

pub fn put_i64(out: &mut Vec<u8>, n: i64) {
    put_u64(out, ((n << 1) ^ (n >> 63)) as u64);
}

pub fn get_i64(input: &mut &[u8]) -> Option<i64> {
    let n = get_u64(input)?;
    Some((n >> 1) as i64 ^ -((n & 1) as i64))
}

pub fn put_i128(out: &mut Vec<u8>, n: i128) {
    let mut n = ((n << 1) ^ (n >> 127)) as u128;
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub fn get_i128(input: &mut &[u8]) -> Option<i128> {
    let mut n = 0u128;
    for shift in (0..128).step_by(7) {
        let byte = get_byte(input)?;
        n |= u128::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some((n >> 1) as i128 ^ -((n & 1) as i128));
        }
    }
    None
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What `put` appends, with its length before it, as `put_bytes` has it.
pub fn put_sized(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    put(out);
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
    } else {
        let mut head = Vec::with_capacity(10);
        put_u64(&mut head, len as u64);
        out.splice(at..=at, head);
    }
}

pub fn get_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(get_u64(input)?).ok()?;
    if len > input.len() {
        return None;
    }
    let (bytes, rest) = input.split_at(len);
    *input = rest;
    Some(bytes)
}

pub fn get_str<'a>(input: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(get_bytes(input)?).ok()
}

pub fn put_value(out: &mut Vec<u8>, value: &Value) {
    put_datum(out, &value.datum());
}

/// What `put_value` writes for the owned value; nothing for NULL.
pub fn put_datum(out: &mut Vec<u8>, datum: &Datum) {
    match *datum {
        Datum::Null => {}
        Datum::Bool(b) => out.extend_from_slice(&[0, u8::from(b)]),
        Datum::Int(n) => {
            out.push(1);
            put_i64(out, n);
        }
        Datum::Decimal(d) => {
            out.push(2);
            put_i128(out, d.0);
        }
        Datum::Double(x) => {
            out.push(3);
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        Datum::Str(s) => {
            out.push(4);
            put_bytes(out, s.as_bytes());
        }
        Datum::Time(t) => {
            out.push(5);
            put_i64(out, t);
        }
        Datum::Json(json) => {
            out.push(6);
            put_bytes(out, json.as_bytes());
        }
    }
}

pub fn get_value(input: &mut &[u8]) -> Option<Value> {
    Some(match get_byte(input)? {
        0 => Value::Bool(get_byte(input)? != 0),
        1 => Value::Int(get_i64(input)?),
        2 => Value::Decimal(Decimal(get_i128(input)?)),
        3 => {
            let (bits, rest) = input.split_first_chunk::<8>()?;
            *input = rest;
            Value::Double(f64::from_bits(u64::from_le_bytes(*bits)))
        }
        4 => Value::Str(get_str(input)?.into()),
        5 => Value::Time(get_i64(input)?),
        6 => Value::Json(get_str(input)?.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_survive_the_round_trip(a: u64, b: i64, c: i128, d: Vec<u8>) {
            let mut out = Vec::new();
            put_u64(&mut out, a);
            put_i64(&mut out, b);
            put_i128(&mut out, c);
            put_bytes(&mut out, &d);
            let mut input = &out[..];
            prop_assert_eq!(get_u64(&mut input), Some(a));
            prop_assert_eq!(get_i64(&mut input), Some(b));
            prop_assert_eq!(get_i128(&mut input), Some(c));
            prop_assert_eq!(get_bytes(&mut input), Some(&d[..]));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = get_value(&mut &bytes[..]);
            let _ = get_i128(&mut &bytes[..]);
            let _ = get_bytes(&mut &bytes[..]);
        }
    }
}
