//! Steps: from the end of one value to the beginning of the next, as it was written before.
//!
//! After each key its followers are known by the very bytes between the two values (`","userId":"`). A line of a known
//! producer is so many comparisons of a few words; an unknown step is scanned once and then known.

use super::bytes::{blanks, string};
use super::{EVENT_ID, EVENT_TYPE, Entry, HEADS, Kind, RECEIVED, TENANT, TIMESTAMP, USER, Want};
use crate::event::STRING_FIELDS;
use crate::limits::{EVENT_ID_MAX, FIELD_MAX, TENANT_MAX, USER_ID_MAX};
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
    entry: Entry,
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
            keys.keys.push(Key { entry: Entry::other(), steps: Vec::new() });
        }
        keys.add("eventId", Entry::id(EVENT_ID, EVENT_ID_MAX));
        keys.add("userId", Entry::id(USER, USER_ID_MAX));
        keys.add("eventType", Entry::id(EVENT_TYPE, FIELD_MAX));
        let tenant = Entry::id(TENANT, TENANT_MAX);
        keys.add("tenantId", Entry { least: 0, span: TENANT_MAX, nullable: true, ..tenant });
        keys.add("timestamp", Entry::number(Kind::Instant, TIMESTAMP, vec![TIMESTAMP], false));
        keys.add("receivedAt", Entry::number(Kind::Instant, RECEIVED, vec![RECEIVED], true));
        keys.add("amount", Entry::number(Kind::Amount, HEADS, Vec::new(), true));
        for (i, name) in STRING_FIELDS.iter().filter(|name| **name != "tenantId").enumerate() {
            keys.add(name, Entry { kind: Kind::Text, bit: 1 << (HEADS + 1 + i), span: FIELD_MAX, ..Entry::other() });
        }
        for (slot, field) in projection.fields.iter().enumerate() {
            let name = &field.path[0];
            let key = match keys.by_name.get(name.as_bytes()) {
                Some(key) => *key,
                None => keys.add(name, Entry::other()),
            };
            keys.keys[key].entry.want(Want { place: HEADS + slot, ty: field.ty, path: field.path[1..].to_vec() });
        }
        keys
    }

    fn add(&mut self, name: &str, entry: Entry) -> usize {
        let key = self.keys.len();
        self.keys.push(Key { entry, steps: Vec::new() });
        self.by_name.insert(name.as_bytes().into(), key);
        key
    }

    #[inline(always)]
    pub fn entry(&self, key: usize) -> &Entry {
        &self.keys[key].entry
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
            Ok(name) if self.keys.len() < KEYS_MAX => self.add(name, Entry::other()),
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

impl Entry {
    /// A key that an event's form does not know: any JSON, and several times if it must be.
    fn other() -> Entry {
        let (targets, typed) = (Vec::new(), Vec::new());
        Entry { kind: Kind::Other, bit: 0, least: 0, span: usize::MAX, id: false, nullable: true, targets, typed }
    }

    fn id(place: usize, max: usize) -> Entry {
        let (least, span) = (1, max - 1);
        Entry {
            kind: Kind::Text,
            bit: 1 << place,
            least,
            span,
            id: true,
            nullable: false,
            targets: vec![place],
            typed: Vec::new(),
        }
    }

    fn number(kind: Kind, bit: usize, targets: Vec<usize>, nullable: bool) -> Entry {
        // No text is as long as that.
        let (least, span) = (usize::MAX, 0);
        Entry { kind, bit: 1 << bit, least, span, id: false, nullable, targets, typed: Vec::new() }
    }

    fn want(&mut self, want: Want) {
        let below = !want.path.is_empty();
        match self.kind {
            Kind::Text | Kind::Other if !below && want.ty == Type::String => self.targets.push(want.place),
            Kind::Instant | Kind::Amount if !below => self.targets.push(want.place),
            Kind::Other => self.typed.push(want),
            // Inside a field that is a text or a number there is nothing, and it is nothing else.
            _ => {}
        }
    }
}
