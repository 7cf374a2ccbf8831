//! Tags at rest: the values that came as patches, each with its as-of.
//!
//! The newest as-of wins. A removed tag stays as a bare as-of, so that an older patch
//! cannot bring it back. Entries are sorted by code: the same tags are the same bytes.

use crate::money::Decimal;
use crate::patch::{Patch, replaces};
use crate::time::Millis;
use crate::value::Value;

/// One tag of one key as patches have left it; no value means that it was removed.
#[derive(Clone, PartialEq, Debug)]
pub struct Tag {
    pub code: Box<str>,
    pub value: Option<Value>,
    pub as_of: Millis,
}

impl Tag {
    /// Its code, its value and since when.
    pub fn dated(&self) -> (&str, Option<&Value>, Millis) {
        (&self.code, self.value.as_ref(), self.as_of)
    }
}

/// What became of the tags of some patches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Applied {
    /// Different keys named.
    pub keys: usize,
    /// Tags taken, removals and repetitions included.
    pub tags: usize,
    /// Tags left out because a newer as-of is stored.
    pub older: usize,
}

/// Takes the tags of `patch` into `tags`, which are sorted by code and stay so.
pub(super) fn merge(tags: &mut Vec<Tag>, patch: &Patch, applied: &mut Applied) {
    for (code, value) in &patch.tags {
        match tags.binary_search_by(|tag| (*tag.code).cmp(code)) {
            Ok(at) if !replaces(patch.as_of, tags[at].as_of) => {
                applied.older += 1;
                continue;
            }
            Ok(at) => (tags[at].value, tags[at].as_of) = (value.clone(), patch.as_of),
            Err(at) => tags.insert(at, Tag { code: (**code).into(), value: value.clone(), as_of: patch.as_of }),
        }
        applied.tags += 1;
    }
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const DECIMAL: u8 = 4;
const DOUBLE: u8 = 5;
const STR: u8 = 6;
const TIME: u8 = 7;
const JSON: u8 = 8;

pub(super) fn encode(out: &mut Vec<u8>, tags: &[Tag]) {
    push_number(out, tags.len() as u128);
    for tag in tags {
        push_text(out, &tag.code);
        push_signed(out, tag.as_of.into());
        match &tag.value {
            None => out.push(NULL),
            Some(Value::Bool(false)) => out.push(FALSE),
            Some(Value::Bool(true)) => out.push(TRUE),
            Some(Value::Int(n)) => push_tagged(out, INT, (*n).into()),
            Some(Value::Decimal(d)) => push_tagged(out, DECIMAL, d.0),
            Some(Value::Time(t)) => push_tagged(out, TIME, (*t).into()),
            Some(Value::Double(x)) => {
                out.push(DOUBLE);
                out.extend_from_slice(&x.to_bits().to_le_bytes());
            }
            Some(Value::Str(s)) => {
                out.push(STR);
                push_text(out, s);
            }
            Some(Value::Json(s)) => {
                out.push(JSON);
                push_text(out, s);
            }
        }
    }
}

fn push_tagged(out: &mut Vec<u8>, kind: u8, n: i128) {
    out.push(kind);
    push_signed(out, n);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_number(out, text.len() as u128);
    out.extend_from_slice(text.as_bytes());
}

fn push_signed(out: &mut Vec<u8>, n: i128) {
    push_number(out, ((n << 1) ^ (n >> 127)) as u128);
}

/// Seven bits a byte, lowest first.
fn push_number(out: &mut Vec<u8>, mut n: u128) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The inverse of `encode`; `None` when the bytes are not that.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Tag>> {
    let mut rest = Rest(bytes);
    // Each tag takes at least three bytes: a wild count cannot reserve more than the record's size.
    let count = rest.size()?;
    let mut tags = Vec::with_capacity(count.min(bytes.len() / 3));
    for _ in 0..count {
        let code = rest.text()?.into();
        let as_of = i64::try_from(rest.signed()?).ok()?;
        let value = rest.value()?;
        tags.push(Tag { code, value, as_of });
    }
    rest.0.is_empty().then_some(tags)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn value(&mut self) -> Option<Option<Value>> {
        Some(Some(match self.byte()? {
            NULL => return Some(None),
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INT => Value::Int(self.signed()?.try_into().ok()?),
            DECIMAL => Value::Decimal(Decimal(self.signed()?)),
            TIME => Value::Time(self.signed()?.try_into().ok()?),
            DOUBLE => {
                let (bits, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Value::Double(f64::from_bits(u64::from_le_bytes(*bits)))
            }
            STR => Value::Str(self.text()?.into()),
            JSON => Value::Json(self.text()?.into()),
            _ => return None,
        }))
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.size()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn size(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn signed(&mut self) -> Option<i128> {
        let n = self.number()?;
        Some((n >> 1) as i128 ^ -((n & 1) as i128))
    }

    fn number(&mut self) -> Option<u128> {
        let mut n = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            n |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[&str]) -> (Vec<Tag>, Applied) {
        let (mut tags, mut applied) = (Vec::new(), Applied::default());
        for line in lines {
            merge(&mut tags, &Patch::parse(line).expect(line), &mut applied);
        }
        (tags, applied)
    }

    fn patch(as_of: i64, tags: &str) -> String {
        format!(r#"{{"userId":"u","asOf":{as_of},"tags":{{{tags}}}}}"#)
    }

    #[test]
    fn the_newest_as_of_wins_in_any_order_and_a_removal_is_remembered() {
        let lines = [patch(1, r#""a":1,"b":1"#), patch(2, r#""a":null"#), patch(3, r#""b":3"#)];
        let mut results = Vec::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            results.push(taken(&order.map(|i| lines[i].as_str())).0);
        }
        let want = [
            Tag { code: "a".into(), value: None, as_of: 2 },
            Tag { code: "b".into(), value: Some(Value::Int(3)), as_of: 3 },
        ];
        assert!(results.iter().all(|tags| *tags == want), "{results:?}");
    }

    #[test]
    fn at_the_same_as_of_the_later_patch_wins_and_the_count_is_told() {
        let (tags, applied) = taken(&[&patch(5, r#""a":1"#), &patch(5, r#""a":2"#), &patch(4, r#""a":3"#)]);
        assert_eq!(tags[0].value, Some(Value::Int(2)));
        assert_eq!(applied, Applied { keys: 0, tags: 2, older: 1 });
    }

    /// Format 1 for ever: a change here needs another number in `format.rs`.
    #[test]
    fn the_bytes_of_format_1_are_these() {
        let (tags, _) = taken(&[&patch(300, r#""ltv":1.5,"gone":null,"seg":"x","n":-2,"ok":true"#)]);
        let mut bytes = Vec::new();
        encode(&mut bytes, &tags);
        let want = b"\x05\x04gone\xd8\x04\x00\x03ltv\xd8\x04\x04\xc0\x8d\xb7\x01\x01n\xd8\x04\x03\x03\x02ok\xd8\x04\x02\x03seg\xd8\x04\x06\x01x";
        assert_eq!(bytes, want);
    }

    #[test]
    fn values_of_every_kind_read_back_and_broken_bytes_do_not() {
        let values = [
            None,
            Some(Value::Bool(true)),
            Some(Value::Bool(false)),
            Some(Value::Int(i64::MIN)),
            Some(Value::Decimal(Decimal(i128::MIN))),
            Some(Value::Decimal(Decimal(i128::MAX))),
            Some(Value::Double(-2.5e-9)),
            Some(Value::Str("päť".into())),
            Some(Value::Time(i64::MAX)),
            Some(Value::Json("[1,2]".into())),
        ];
        let tags: Vec<Tag> = values
            .into_iter()
            .enumerate()
            .map(|(i, value)| Tag { code: format!("t{i}").into(), value, as_of: -(i as i64) })
            .collect();
        let mut bytes = Vec::new();
        encode(&mut bytes, &tags);
        assert_eq!(decode(&bytes), Some(tags));
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "{len}");
        }
        assert_eq!(decode(&[0xff; 40]), None);
    }
}
