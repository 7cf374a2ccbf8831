//! Steps: from the end of one value to the beginning of the next, as it was written before.
//!
//! After each key its followers are known by the very bytes between the two values (`","userId":"`). A line of a known
//! producer is so many comparisons of a few words; an unknown step is scanned once and then known.

use super::bytes::{blanks, string};
use super::{Kind, Want, Wants};
use crate::event::STRING_FIELDS;
use crate::rows::Projection;
use crate::value::Type;
use hashbrown::HashMap;

/// Before the first key, and behind the last value.
pub const START: usize = 0;
pub const END: usize = 1;
/// A key nobody wants, of which there may be too many to know each.
const ANY: usize = 2;
const KEYS_MAX: usize = 256;
/// So many followers of one key are known.
const STEPS_MAX: usize = 8;
/// The longest step that is remembered.
const STEP_MAX: usize = 32;

/// What stands between two values, up to the opening quote of the second.
#[derive(Clone, Debug)]
struct Step {
    /// Its bytes and, as bits, which of them count.
    text: [u128; 2],
    mask: [u128; 2],
    long: bool,
    advance: usize,
    next: Next,
}

/// Where a step leads.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    pub key: usize,
    /// The value is a string, and the place is behind its opening quote.
    pub quoted: bool,
}

impl Step {
    fn new(text: &[u8], next: Next) -> Step {
        let mut bytes = [0u8; STEP_MAX];
        let mut mask = [0u8; STEP_MAX];
        bytes[..text.len()].copy_from_slice(text);
        mask[..text.len()].fill(0xff);
        let halves = |b: &[u8; STEP_MAX]| [word(&b[..16]), word(&b[16..])];
        Step { text: halves(&bytes), mask: halves(&mask), long: text.len() > 16, advance: text.len(), next }
    }

    #[inline(always)]
    fn fits(&self, buf: &[u8], p: usize) -> bool {
        let near: &[u8; STEP_MAX] = buf[p..].first_chunk().expect("a buffer has slack behind its last line");
        (word(&near[..16]) ^ self.text[0]) & self.mask[0] == 0
            && (!self.long || (word(&near[16..]) ^ self.text[1]) & self.mask[1] == 0)
            // What leads to a number also begins what leads to a string.
            && (self.next.quoted || buf[p + self.advance] != b'"')
    }
}

#[inline(always)]
fn word(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(*bytes.first_chunk().expect("sixteen bytes"))
}

struct Key {
    kind: Kind,
    wants: Wants,
    steps: Vec<Step>,
}

/// All keys seen so far, each with what may follow it.
pub struct Keys {
    keys: Vec<Key>,
    by_name: HashMap<Box<[u8]>, usize>,
}

impl Keys {
    pub fn new(projection: &Projection) -> Keys {
        let mut keys = Keys { keys: Vec::new(), by_name: HashMap::new() };
        for _ in [START, END, ANY] {
            keys.keys.push(Key { kind: Kind::Other, wants: Wants { bit: 31, ..Wants::default() }, steps: Vec::new() });
        }
        for (name, kind) in [
            ("eventId", Kind::EventId),
            ("userId", Kind::UserId),
            ("eventType", Kind::EventType),
            ("timestamp", Kind::Timestamp),
            ("receivedAt", Kind::ReceivedAt),
            ("amount", Kind::Amount),
            ("tenantId", Kind::Tenant),
        ] {
            keys.add(name, kind, kind as u32);
        }
        for (i, name) in STRING_FIELDS.iter().filter(|name| **name != "tenantId").enumerate() {
            keys.add(name, Kind::Text, Kind::Other as u32 + i as u32);
        }
        for (slot, field) in projection.fields.iter().enumerate() {
            let name = &field.path[0];
            let key = match keys.by_name.get(name.as_bytes()) {
                Some(key) => *key,
                None => keys.add(name, Kind::Other, 31),
            };
            keys.keys[key].want(Want { slot, ty: field.ty, path: field.path[1..].to_vec() });
        }
        keys
    }

    fn add(&mut self, name: &str, kind: Kind, bit: u32) -> usize {
        let key = self.keys.len();
        self.keys.push(Key { kind, wants: Wants { bit, ..Wants::default() }, steps: Vec::new() });
        self.by_name.insert(name.as_bytes().into(), key);
        key
    }

    #[inline(always)]
    pub fn kind(&self, key: usize) -> Kind {
        self.keys[key].kind
    }

    #[inline(always)]
    pub fn wants(&self, key: usize) -> &Wants {
        &self.keys[key].wants
    }

    /// Goes from behind a value of `key` to the next value, or behind the object; `None`: the judge decides.
    #[inline(always)]
    pub fn next(&mut self, buf: &[u8], key: usize, at: &mut usize, wide: &mut bool) -> Option<Next> {
        match self.keys[key].steps.first() {
            Some(step) if step.fits(buf, *at) => {
                *at += step.advance;
                Some(step.next)
            }
            _ => self.other(buf, key, at, wide),
        }
    }

    /// Any step but the first.
    #[inline(never)]
    fn other(&mut self, buf: &[u8], key: usize, at: &mut usize, wide: &mut bool) -> Option<Next> {
        let steps = &mut self.keys[key].steps;
        let Some(i) = (1..steps.len()).find(|i| steps[*i].fits(buf, *at)) else {
            return self.explore(buf, key, at, wide);
        };
        *at += steps[i].advance;
        let next = steps[i].next;
        // The more usual of two followers comes to stand before the other.
        steps.swap(i, i - 1);
        Some(next)
    }

    /// The second level: reads the step as JSON, and remembers it.
    #[cold]
    #[inline(never)]
    fn explore(&mut self, buf: &[u8], key: usize, at: &mut usize, wide: &mut bool) -> Option<Next> {
        let from = *at;
        let mut p = blanks(buf, from);
        if buf[p] == b'}' && key != START {
            *at = p + 1;
            let next = Next { key: END, quoted: false };
            self.learn(key, &buf[from..*at], next);
            return Some(next);
        }
        if buf[p] != if key == START { b'{' } else { b',' } {
            return None;
        }
        p = blanks(buf, p + 1);
        if buf[p] != b'"' {
            return None;
        }
        let name = string(buf, p + 1)?;
        if name.escaped {
            return None;
        }
        let next = self.key(&buf[p + 1..name.end]);
        p = blanks(buf, name.end + 1);
        if buf[p] != b':' {
            return None;
        }
        p = blanks(buf, p + 1);
        let quoted = buf[p] == b'"';
        *at = p + usize::from(quoted);
        let next = Next { key: next, quoted };
        if name.odd {
            // Never remembered: a step that fits is known to be ASCII.
            *wide = true;
        } else {
            self.learn(key, &buf[from..*at], next);
        }
        Some(next)
    }

    fn key(&mut self, name: &[u8]) -> usize {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        match std::str::from_utf8(name) {
            Ok(name) if self.keys.len() < KEYS_MAX => self.add(name, Kind::Other, 31),
            _ => ANY,
        }
    }

    fn learn(&mut self, key: usize, text: &[u8], next: Next) {
        if text.len() > STEP_MAX {
            return;
        }
        let steps = &mut self.keys[key].steps;
        if steps.len() == STEPS_MAX {
            steps.pop();
        }
        steps.push(Step::new(text, next));
    }
}

impl Key {
    fn want(&mut self, want: Want) {
        let below = !want.path.is_empty();
        let direct = match self.kind {
            Kind::Timestamp | Kind::ReceivedAt | Kind::Amount => !below,
            Kind::Other => false,
            _ => !below && want.ty == Type::String,
        };
        match (direct, self.kind) {
            (true, _) => self.wants.direct.push(want.slot),
            (false, Kind::Other) if !below && want.ty == Type::String => self.wants.direct.push(want.slot),
            (false, Kind::Other) => self.wants.typed.push(want),
            // Inside a field that is a text or a number there is nothing, and it is nothing else.
            (false, _) => {}
        }
    }
}
