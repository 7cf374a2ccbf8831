//! Steps: what may follow what, learned line by line.
//!
//! A line of a known producer is so many steps, each the usual one behind that before; an unknown step is scanned once and
//! then known. A step may leave objects and enter others, so that what is inside of them is read in the same way.

use super::Texts;
use super::bytes::{SLACK, blanks, near, string};
use super::entry::{Entry, Kind, Want};
use super::line::HEADS;
use super::step::{FOLLOWERS, NEVER, STEP_MAX, Step, Value};
use crate::rows::Projection;
use hashbrown::HashMap;

const START: usize = NEVER as usize;
/// Beyond so many everything is forgotten and learned again.
const STEPS_MAX: usize = 1024;
const KEYS_MAX: usize = 512;
const OBJECTS_MAX: usize = 32;
/// Objects deeper than this are read as values.
const INSIDE_MAX: usize = 8;
/// More unknown steps inside of objects than this, and than a sixteenth of the lines: their names are not worth knowing.
const STRANGE_MAX: u64 = 64;
/// The event itself among the objects.
const TOP: usize = 0;

struct Key {
    entry: Entry,
    /// Its bit in `Step::bits`; none for a key that may stand there twice.
    bit: u64,
    /// The object it stands in, and the one that it names.
    object: usize,
    inside: Option<usize>,
    /// Steps to it that are not remembered: to a value that is no string, and to a string.
    bare: [Option<u16>; 2],
}

/// An object whose members are known by name.
struct Object {
    /// The object around it.
    parent: usize,
    depth: usize,
    keys: HashMap<Box<[u8]>, usize>,
    /// Stands for all keys that are too many.
    any: usize,
}

/// All steps seen so far.
pub struct Steps {
    steps: Vec<Step>,
    keys: Vec<Key>,
    objects: Vec<Object>,
    by_text: HashMap<(usize, Box<[u8]>), u16>,
    bits: u32,
    /// The key behind the last value.
    end: usize,
    /// Too much is known.
    full: bool,
    /// Whether objects are entered.
    enters: bool,
    /// Unknown steps inside of objects.
    strange: u64,
    lines: u64,
}

impl Steps {
    pub fn new(projection: &Projection) -> Steps {
        let mut steps = Steps {
            steps: Vec::new(),
            keys: Vec::new(),
            objects: Vec::new(),
            by_text: HashMap::new(),
            bits: 0,
            end: 0,
            full: false,
            enters: true,
            strange: 0,
            lines: 0,
        };
        steps.object(TOP, 0);
        steps.end = steps.add(TOP, None, Entry::other(0));
        let start = steps.step(b"", steps.end, Value::None, 0);
        steps.steps.push(start);
        for (name, entry) in Entry::known() {
            let key = steps.add(TOP, Some(name), entry);
            steps.keys[key].bit = steps.bit();
        }
        let wants = projection.fields.iter().enumerate();
        let wants = wants.map(|(slot, field)| Want { place: HEADS + slot, ty: field.ty, path: field.path.clone() });
        steps.want(TOP, wants.collect());
        steps
    }

    /// Called before every line.
    #[inline(always)]
    pub fn begin(&mut self, projection: &Projection) {
        self.lines += 1;
        if self.full {
            *self = Steps { enters: self.enters, lines: self.lines, ..Steps::new(projection) };
        }
    }

    #[inline(always)]
    pub fn get(&self, step: usize) -> &Step {
        &self.steps[step]
    }

    /// Before the first key.
    #[inline(always)]
    pub fn start(&self) -> &Step {
        &self.steps[START]
    }

    #[inline(always)]
    pub fn entry(&self, step: &Step) -> &Entry {
        &self.keys[step.key as usize].entry
    }

    /// The step that `near` begins with, if it is one of the first two behind `step`.
    #[inline(always)]
    pub fn usual(&self, step: &Step, near: &[u8; SLACK]) -> Option<&Step> {
        let first = &self.steps[usize::from(step.next[0])];
        if first.fits(near) {
            return Some(first);
        }
        let second = &self.steps[usize::from(step.next[1])];
        second.fits(near).then_some(second)
    }

    /// Any other step that begins at `at`, and the place behind it; `None`: the judge decides.
    #[inline(never)]
    pub fn other(&mut self, buf: &[u8], step: u16, at: usize, texts: &mut Texts) -> Option<(usize, usize)> {
        let step = usize::from(step);
        let next = self.steps[step].next;
        let near = near(buf, at);
        let Some(i) = (2..FOLLOWERS).find(|i| self.steps[usize::from(next[*i])].fits(near)) else {
            return self.explore(buf, step, at, texts);
        };
        // The more usual of two followers comes to stand before the other.
        self.steps[step].next.swap(i, i - 1);
        let found = usize::from(next[i]);
        Some((found, at + self.steps[found].advance as usize))
    }

    /// The second level: reads the step as JSON, and remembers it.
    #[cold]
    #[inline(never)]
    fn explore(&mut self, buf: &[u8], step: usize, at: usize, texts: &mut Texts) -> Option<(usize, usize)> {
        let mut object = self.keys[self.steps[step].key as usize].object;
        self.strange += u64::from(object != TOP);
        if self.strange > STRANGE_MAX && self.strange > self.lines / 16 {
            (self.enters, self.full) = (false, true);
        }
        let mut p = blanks(buf, at);
        while buf[p] == b'}' && step != START {
            if object == TOP {
                return Some((self.learn(step, &buf[at..=p], self.end, Value::None, 0), p + 1));
            }
            object = self.objects[object].parent;
            p = blanks(buf, p + 1);
        }
        if buf[p] != if step == START { b'{' } else { b',' } {
            return None;
        }
        let (mut bits, mut odd) = (0, false);
        loop {
            p = blanks(buf, p + 1);
            if buf[p] != b'"' {
                return None;
            }
            let name = string(buf, p + 1)?;
            if name.escaped {
                return None;
            }
            odd |= name.odd;
            let key = self.key(object, &buf[p + 1..name.end]);
            bits |= self.keys[key].bit;
            p = blanks(buf, name.end + 1);
            if buf[p] != b':' {
                return None;
            }
            p = blanks(buf, p + 1);
            if buf[p] == b'{' && buf[p + 1] == b'"' {
                // Only if the step to the first value inside will not be too long, a few blanks allowed for.
                let first = string(buf, p + 2)?;
                let inside = if first.end + 5 - at > STEP_MAX { None } else { self.inside(key) };
                if let Some(inside) = inside {
                    object = inside;
                    continue;
                }
            }
            texts.odd |= odd;
            let quoted = buf[p] == b'"';
            let value = match self.keys[key].entry.kind {
                _ if quoted => Value::Quoted,
                Kind::Instant => Value::Instant,
                Kind::Amount => Value::Amount,
                Kind::Text | Kind::Other => Value::Other,
            };
            let to = p + usize::from(quoted);
            // One that is not ASCII is never remembered: a step that fits is known to be.
            let text = if odd { &[] } else { &buf[at..to] };
            let next = self.learn(step, text, key, value, bits);
            // Or it would have been entered here.
            self.steps[next].opens &= buf[p] != b'{' || buf[p + 1] != b'"';
            return Some((next, to));
        }
    }

    /// The step with this text, now one of those that follow `step`; without a text, or a short one, it will not be known again.
    fn learn(&mut self, step: usize, text: &[u8], key: usize, value: Value, bits: u64) -> usize {
        let next = self.steps.len();
        if text.is_empty() || text.len() > STEP_MAX || next >= STEPS_MAX {
            self.full |= next >= STEPS_MAX;
            let bare = &mut self.keys[key].bare[usize::from(value == Value::Quoted)];
            if let Some(bare) = *bare {
                // The same key with and without the objects entered on the way to it.
                self.steps[usize::from(bare)].bits = bits;
                return usize::from(bare);
            }
            *bare = Some(next as u16);
            let bare = self.step(b"", key, value, bits);
            self.steps.push(bare);
            return next;
        }
        let known = self.by_text.get(&(key, text.into())).copied();
        let next = known.unwrap_or(next as u16);
        if known.is_none() {
            let new = self.step(text, key, value, bits);
            self.steps.push(new);
            self.by_text.insert((key, text.into()), next);
        }
        let followers = &mut self.steps[step].next;
        if !followers.contains(&next) {
            let free = followers.iter().position(|known| *known == NEVER);
            followers[free.unwrap_or(FOLLOWERS - 1)] = next;
        }
        usize::from(next)
    }

    fn step(&self, text: &[u8], key: usize, value: Value, bits: u64) -> Step {
        let mut new = Step::new(text, &self.keys[key].entry, value, bits);
        (new.id, new.key, new.opens) = (self.steps.len() as u16, key as u32, self.may_enter(key));
        new
    }

    fn key(&mut self, object: usize, name: &[u8]) -> usize {
        let Object { keys, depth, any, .. } = &self.objects[object];
        if let Some(key) = keys.get(name) {
            return *key;
        }
        let (entry, any) = (Entry::other(*depth), *any);
        match std::str::from_utf8(name) {
            Ok(name) if self.keys.len() < KEYS_MAX => self.add(object, Some(name), entry),
            outcome => {
                self.full |= outcome.is_ok();
                any
            }
        }
    }

    fn add(&mut self, object: usize, name: Option<&str>, entry: Entry) -> usize {
        let key = self.keys.len();
        self.keys.push(Key { entry, bit: 0, object, inside: None, bare: [None; 2] });
        if let Some(name) = name {
            self.objects[object].keys.insert(name.as_bytes().into(), key);
        }
        key
    }

    fn object(&mut self, parent: usize, depth: usize) -> usize {
        let object = self.objects.len();
        self.objects.push(Object { parent, depth, keys: HashMap::new(), any: 0 });
        self.objects[object].any = self.add(object, None, Entry::other(depth));
        object
    }

    /// Notes what is wanted of the members of an object.
    fn want(&mut self, object: usize, wants: Vec<Want>) {
        for Want { place, ty, path } in wants {
            let (name, path) = path.split_first().expect("a path names something");
            let depth = self.objects[object].depth;
            let key = match self.objects[object].keys.get(name.as_bytes()) {
                Some(key) => *key,
                None => self.add(object, Some(name), Entry::other(depth)),
            };
            self.keys[key].entry.want(Want { place, ty, path: path.to_vec() });
            let Key { entry, bit, .. } = &self.keys[key];
            if *bit == 0 && entry.typed.iter().any(|want| !want.path.is_empty()) {
                // Twice: what the second lacks must not be left from the first.
                self.keys[key].bit = self.bit();
            }
        }
    }

    /// A bit that no key has; none when there are no more.
    fn bit(&mut self) -> u64 {
        self.bits += 1;
        1u64.checked_shl(self.bits - 1).unwrap_or(0)
    }

    fn may_enter(&self, key: usize) -> bool {
        let Key { entry, bit, inside, .. } = &self.keys[key];
        let room = inside.is_some() || self.objects.len() < OBJECTS_MAX;
        self.enters && room && entry.depth < INSIDE_MAX && entry.is_path() && (entry.typed.is_empty() || *bit != 0)
    }

    /// The object that is the value of a key, if its members are to be known.
    fn inside(&mut self, key: usize) -> Option<usize> {
        if !self.may_enter(key) {
            return None;
        }
        let Key { entry, object, inside, .. } = &self.keys[key];
        if inside.is_some() {
            return *inside;
        }
        let (parent, depth) = (*object, entry.depth + 1);
        let below = |want: &Want| Want { path: want.path.clone(), ..*want };
        let wants = entry.typed.iter().map(below).collect();
        let inside = self.object(parent, depth);
        self.keys[key].inside = Some(inside);
        self.want(inside, wants);
        Some(inside)
    }
}
