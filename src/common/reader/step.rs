//! A step: from the end of one value to the beginning of the next, as it was written before.
//!
//! It knows the very bytes between two values (`","userId":"`), and what the second one is. Short ones are compared at once.

use super::bytes::SLACK;
use super::entry::{Entry, Kind};
use super::line::NOWHERE;
use super::vector::same;
use std::cell::Cell;

/// The longest step that is remembered.
pub const STEP_MAX: usize = 31;
/// So many followers of one step are known.
pub const FOLLOWERS: usize = 8;
/// A follower that fits nowhere: what stands before the first key.
pub const NEVER: u16 = 0;

/// What is behind a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// A string; the place is behind its opening quote.
    Quoted,
    Instant,
    Amount,
    Other,
    /// Nothing: the event is over.
    None,
}

/// What stands between two values, up to the opening quote of the second, and what that one means.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Step {
    text: [[u8; 16]; 2],
    /// As bits, which of its bytes count, and how the first of these must compare.
    masks: [u32; 2],
    equal: u32,
    /// More than the first half of the text has to be looked at.
    unusual: bool,
    pub advance: u32,
    pub key: u32,
    /// Its own place.
    pub id: u16,
    /// The steps that came next.
    pub next: [u16; FOLLOWERS],
    /// Keys that must not stand there twice.
    pub bits: u64,
    /// As in `Entry`; no text is so long where it has more targets than two, or other wants.
    pub least: u32,
    pub span: u32,
    /// The first two targets, or `NOWHERE`.
    pub places: [u32; 2],
    pub length: Length,
    /// More targets there are.
    pub several: bool,
    /// Nobody wants the value.
    pub idle: bool,
    // What is behind it, each in a byte of its own: a jump by table costs more than some branches.
    pub quoted: bool,
    pub end: bool,
    pub instant: bool,
    pub amount: bool,
    /// Any other value but a string; and were it an object, it would be entered.
    other: bool,
    pub opens: bool,
}

impl Step {
    /// A step to a key with this meaning; without a text it fits nowhere.
    pub fn new(text: &[u8], entry: &Entry, value: Value, bits: u64) -> Step {
        let mut bytes = [[0; 16]; 2];
        bytes.as_flattened_mut()[..text.len()].copy_from_slice(text);
        let mask = (1u32 << text.len()) - 1;
        let place = |i: usize| entry.targets.get(i).map_or(NOWHERE, |place| *place) as u32;
        let simple = entry.targets.len() <= 2 && entry.typed.is_empty();
        let (least, span) = if simple { (entry.least, entry.span) } else { (u32::MAX, 0) };
        Step {
            text: bytes,
            masks: [mask & 0xffff, mask >> 16],
            // Without a text the mask lets no bit through.
            equal: mask.max(1) & 0xffff,
            unusual: text.len() > 16 || value == Value::Other,
            advance: text.len() as u32,
            key: 0,
            id: 0,
            next: [NEVER; FOLLOWERS],
            bits,
            least,
            span,
            places: [place(0), place(1)],
            length: Length::new(),
            several: entry.targets.len() > 2,
            idle: entry.kind == Kind::Other && entry.targets.is_empty() && entry.typed.is_empty(),
            quoted: value == Value::Quoted,
            end: value == Value::None,
            instant: value == Value::Instant,
            amount: value == Value::Amount,
            other: value == Value::Other,
            opens: false,
        }
    }

    /// Whether `near` begins with it.
    #[inline(always)]
    pub fn fits(&self, near: &[u8; SLACK]) -> bool {
        let [first, rest] = [&near[..16], &near[16..32]].map(|half| half.first_chunk().expect("sixteen bytes"));
        same(first, &self.text[0]) & self.masks[0] == self.equal
            && (!self.unusual || (same(rest, &self.text[1]) & self.masks[1] == self.masks[1] && self.is_other(near)))
    }

    /// What leads to a number also begins what leads to a string or into an object.
    #[inline(always)]
    fn is_other(&self, near: &[u8; SLACK]) -> bool {
        let value = self.behind(near);
        !self.other || value[0] != b'"' && !(self.opens && value[0] == b'{' && value[1] == b'"')
    }

    /// What stands behind the step that begins with `near`.
    #[inline(always)]
    pub fn behind<'a>(&self, near: &'a [u8; SLACK]) -> &'a [u8; 16] {
        near[self.advance as usize % (STEP_MAX + 1)..].first_chunk().expect("a step and 16 are fewer")
    }
}

/// How long the texts behind a step usually are. With ids of one length what follows is read before the end of the text is
/// found, and only then confirmed.
#[derive(Clone, Debug)]
pub struct Length {
    /// Bits up to that length, and the last of them.
    upto: Cell<u32>,
    last: Cell<u32>,
    len: Cell<u32>,
    changes: Cell<u32>,
}

impl Length {
    /// After so many changes it is not foretold any more.
    const CHANGES_MAX: u32 = 16;

    fn new() -> Length {
        Length { upto: Cell::new(0), last: Cell::new(1), len: Cell::new(0), changes: Cell::new(0) }
    }

    /// The place of the first mark, of which there is one among sixteen.
    #[inline(always)]
    pub fn first(&self, marks: u32) -> usize {
        if marks & self.upto.get() == self.last.get() {
            return self.len.get() as usize % 16;
        }
        let len = marks.trailing_zeros();
        if self.changes.get() < Length::CHANGES_MAX {
            self.change(len);
        }
        len as usize % 16
    }

    #[cold]
    #[inline(never)]
    fn change(&self, len: u32) {
        self.changes.set(self.changes.get() + 1);
        // At last a length that no text has.
        let never = self.changes.get() == Length::CHANGES_MAX;
        self.upto.set(if never { 0 } else { (2 << len) - 1 });
        self.last.set(1 << len);
        self.len.set(len);
    }
}
