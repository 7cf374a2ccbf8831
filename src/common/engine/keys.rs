//! Keys: whom an event touches, by the key expressions of an entity.
//!
//! Each distinct key is touched once, however many values lead to it. Which ones stay of too many depends on the keys
//! alone, not on the order in which an event names them.

use super::plan::Plan;
use crate::expr::Scratch;
use crate::key::Key;
use crate::limits::{FIELD_MAX, KEYS_MAX};
use crate::ndjson::push_int;
use crate::rows::{Block, Row};
use crate::tag::{Entity, KeyPart};
use crate::time::Millis;
use crate::value::Datum;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use siphasher::sip::SipHasher24;
use std::borrow::Cow;
use std::hash::Hasher;

/// The keys that a row touches, as they are stored, in their order; its memory serves one row after another.
#[derive(Default)]
pub struct Keys {
    keys: Vec<String>,
    len: usize,
    /// The values of the parts so far, joined, and of the part at hand.
    joined: Vec<String>,
    values: Vec<String>,
}

impl Keys {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.keys[..self.len].iter().map(String::as_str)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, n: usize) -> &str {
        &self.keys[..self.len][n]
    }

    /// Room for one key more.
    fn next(&mut self) -> &mut String {
        if self.len == self.keys.len() {
            self.keys.push(String::new());
        }
        self.len += 1;
        let key = &mut self.keys[self.len - 1];
        key.clear();
        key
    }
}

impl Plan {
    /// The keys whose tags row `i` may change.
    pub fn keys(&self, block: &Block, i: usize, keys: &mut Keys, scratch: &mut Scratch) {
        keys.len = 0;
        let entity = &self.definitions.entities[self.entity];
        if !entity.is_declared() {
            let (tenant, user) = self.user(block, i);
            Key::write_user(tenant, user, keys.next());
            return;
        }
        if entity.parts.iter().all(KeyPart::is_one) {
            entity.only_key(block, i, keys, scratch);
            scratch.reset();
            return;
        }
        let Keys { joined, values, .. } = keys;
        joined.clear();
        joined.push(format!("\0{}", entity.name));
        for part in &entity.parts {
            values.clear();
            part.values(block, i, values, scratch);
            scratch.reset();
            few(values);
            let longer = joined.iter().flat_map(|before| values.iter().map(move |value| format!("{before}\0{value}")));
            *joined = longer.collect();
            few(joined);
        }
        std::mem::swap(&mut keys.keys, &mut keys.joined);
        keys.len = keys.keys.len();
    }
}

impl Entity {
    /// The one key of a row, whose parts have one value each; written in place, since most keys are such.
    fn only_key(&self, block: &Block, i: usize, keys: &mut Keys, scratch: &Scratch) {
        let row = block.row(i);
        let key = keys.next();
        key.push('\0');
        key.push_str(&self.name);
        for part in &self.parts {
            key.push('\0');
            let value = match part {
                KeyPart::One(expr) => expr.eval(&row, scratch),
                KeyPart::Slices { at, size, step } => match at.eval(&row, scratch) {
                    Datum::Time(at) | Datum::Int(at) => starts(at, *size, *step).next().map_or(Datum::Null, Datum::Int),
                    _ => Datum::Null,
                },
                KeyPart::Each(_) => Datum::Null,
            };
            match value {
                Datum::Str(text) if is_part(text) => key.push_str(text),
                Datum::Int(n) | Datum::Time(n) => key.push_str(itoa::Buffer::new().format(n)),
                Datum::Bool(b) => key.push_str(if b { "true" } else { "false" }),
                _ => {
                    keys.len = 0;
                    return;
                }
            }
        }
    }
}

/// Whether a text can be a part of a key.
fn is_part(text: &str) -> bool {
    let plain = || text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    !text.is_empty() && text.len() <= FIELD_MAX && (plain() || !text.contains(char::is_control))
}

impl KeyPart {
    /// Whether it has one value in a row, or none.
    fn is_one(&self) -> bool {
        match self {
            KeyPart::One(_) => true,
            KeyPart::Each(_) => false,
            KeyPart::Slices { size, step, .. } => size == step,
        }
    }

    /// Adds the texts of the part's values in a row, in any order and with repetitions.
    fn values(&self, block: &Block, i: usize, out: &mut Vec<String>, scratch: &Scratch) {
        let row = block.row(i);
        let mut keep = |text: &str| {
            if is_part(text) {
                out.push(text.to_string());
            }
        };
        match self {
            KeyPart::One(expr) => match expr.eval(&row, scratch) {
                Datum::Str(text) => keep(text),
                Datum::Int(n) | Datum::Time(n) => keep(&int(n)),
                Datum::Bool(b) => keep(if b { "true" } else { "false" }),
                // The types that a key cannot have, and NULL.
                Datum::Null | Datum::Decimal(_) | Datum::Double(_) | Datum::Json(_) => {}
            },
            KeyPart::Each(slot) => {
                let Datum::Json(json) = row.datum(*slot) else { return };
                let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
                for item in items {
                    if let Some(text) = scalar(item.get()) {
                        keep(&text);
                    }
                }
            }
            KeyPart::Slices { at, size, step } => {
                let (Datum::Time(at) | Datum::Int(at)) = at.eval(&row, scratch) else { return };
                starts(at, *size, *step).for_each(|start| keep(&int(start)));
            }
        }
    }
}

/// The starts of the slices of `size`, one each `step`, that hold an instant.
fn starts(at: Millis, size: Millis, step: Millis) -> impl Iterator<Item = Millis> {
    let newest = at.div_euclid(step).saturating_mul(step);
    (0..size / step).map(move |n| newest.saturating_sub(n * step))
}

/// The text of an item of an array: of a string, a whole number or a boolean; of others there is none.
fn scalar(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
        b't' | b'f' => serde_json::from_str::<IgnoredAny>(json).ok().map(|_| Cow::Borrowed(json)),
        _ => json.parse::<i64>().ok().map(|n| Cow::Owned(int(n))),
    }
}

fn int(n: i64) -> String {
    let mut out = Vec::with_capacity(20);
    push_int(&mut out, n);
    String::from_utf8(out).expect("digits")
}

/// Each text once and in order; of more than an event may touch, those with the smallest hash.
fn few(texts: &mut Vec<String>) {
    if texts.len() > 1 {
        texts.sort_unstable();
        texts.dedup();
    }
    if texts.len() > KEYS_MAX {
        texts.sort_by_cached_key(|text| hash(text.as_bytes()));
        texts.truncate(KEYS_MAX);
        texts.sort_unstable();
    }
}

/// Never changed: which keys an event touches past the limit follows from it.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0x6164_7072_6f66_2e6b, 0x6579_732e_7631_0000);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Rules};
    use crate::tag::Definitions;
    use std::sync::Arc;

    fn touched(key: &str, fields: &str) -> Vec<String> {
        let text = format!(
            "[[field]]\npath = 'properties.n'\ntype = 'int'\n[[entity]]\nname = 'e'\nkey = {key}\n[[tag]]\ncode = 'c'\nentity = 'e'\nvalue = 'count(*)'"
        );
        let definitions = Arc::new(Definitions::parse(&text, "d").unwrap_or_else(|e| panic!("{}", e[0])));
        let line = format!(r#"{{"eventId":"e","userId":"u","eventType":"click","timestamp":3725000{fields}}}"#);
        let event = Event::parse(line.as_bytes(), 3_725_000, &Rules::default()).expect("valid").expect("not blank");
        let mut block = Block::new(&definitions.projection);
        block.push(&event, &definitions.projection);
        let plan = Plan::new(definitions, &[0]);
        let mut keys = Keys::default();
        // Twice: the memory of one row serves the next.
        for _ in 0..2 {
            plan.keys(&block, 0, &mut keys, &mut Scratch::new());
        }
        let shown = |key: &str| key.strip_prefix("\0e\0").expect("of the entity").replace('\0', "|");
        keys.iter().map(shown).collect()
    }

    #[test]
    fn an_event_touches_each_distinct_key_of_the_product_of_its_parts_once() {
        let tags = r#","itemId":"i","properties":{"n":7,"tags":["b","a",1,"1",true,null,1.5,{"x":1},["y"],"","a"]}"#;
        for (key, fields, want) in [
            ("'itemId'", tags, "i"),
            ("'itemId'", "", ""),
            ("'itemId'", r#","itemId":"""#, ""),
            ("'itemId'", r#","itemId":"a\u0001b""#, ""),
            ("['itemId', 'properties.n']", tags, "i|7"),
            ("['itemId', 'properties.missing[]']", tags, ""),
            ("'properties.tags[]'", tags, "1 a b true"),
            ("' properties.tags[] '", tags, "1 a b true"),
            ("['properties.n > 5', 'properties.tags[]']", tags, "true|1 true|a true|b true|true"),
            ("'timestamp'", "", "3725000"),
            ("\"tumble(timestamp, '1m')\"", "", "3720000"),
            ("\"hop(timestamp, '1h', '20m')\"", "", "1200000 2400000 3600000"),
            ("['lower(itemId)', \"TUMBLE(timestamp, '1h')\"]", r#","itemId":"Ab""#, "ab|3600000"),
        ] {
            assert_eq!(touched(key, fields).join(" "), want, "{key} {fields}");
        }
    }

    #[test]
    fn slices_begin_at_multiples_of_their_step_and_hold_the_instant() {
        for at in [-61_000, -60_000, -1, 0, 59_999, 60_000, 123_456] {
            let starts: Vec<Millis> = starts(at, 60_000, 20_000).collect();
            assert_eq!(starts.len(), 3);
            assert!(starts.iter().all(|start| start % 20_000 == 0 && *start <= at && at < start + 60_000), "{at}");
        }
    }

    #[test]
    fn of_too_many_keys_the_same_ones_stay_whatever_their_order() {
        let list = |items: Vec<String>| format!(r#","properties":{{"n":1,"tags":[{}]}}"#, items.join(","));
        let all: Vec<String> = (0..3000).map(|n| format!("\"k{n}\"")).collect();
        let mut back = all.clone();
        back.reverse();
        let kept = touched("'properties.tags[]'", &list(all.clone()));
        assert_eq!(kept.len(), KEYS_MAX);
        assert_eq!(touched("'properties.tags[]'", &list(back)), kept);
        // Pinned: states out there hold these.
        assert_eq!(&kept[..3], ["k0", "k1", "k1007"]);
        let product = touched("['properties.tags[]', \"hop(timestamp, '20m', '1m')\"]", &list(all));
        assert_eq!(product.len(), KEYS_MAX);
    }
}
