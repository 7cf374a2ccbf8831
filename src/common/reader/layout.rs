//! Layouts: where the texts of all lines of one shape are, so that nobody has to write their places down line by line.

use super::line::{EVENT_ID, EVENT_TYPE, HEADS, Line, NOWHERE, TENANT, TIMESTAMP, USER};
use super::shapes::{Part, Value};
use super::{Read, Reader};
use crate::time::Millis;

/// Behind the beginning of a line that is read lazily there are so many bytes: the line, and more than its last value needs.
pub const NEAR: usize = 576;
/// A layout has so many bytes to be written down at most: its texts, and ten a slot of whatever it is.
pub const LAID_MAX: usize = 192;

/// What all lines of a shape have, besides its numbers.
#[derive(Default)]
pub struct Layout {
    /// Its number, below that of shapes that are known at a time, and one that no other layout of this reader ever has.
    pub name: (usize, u64),
    /// Of a line without one it is empty.
    pub tenant: Place,
    pub user: Place,
    pub event_id: Place,
    pub(super) event_type: Place,
    /// The slots that are not NULL, in their order, without that of the timestamp, which all have; and where the text is.
    /// A number is in the line's cell.
    pub fields: Vec<(usize, Option<Place>)>,
}

/// A text, by its place in the line.
#[derive(Clone, Copy, Default, Debug)]
pub struct Place {
    at: u32,
    len: u32,
}

/// The event of one line.
#[derive(Clone, Copy)]
pub enum Lazy<'a> {
    /// With all that was asked for in its cells.
    Read(&'a Line),
    /// With its numbers there, and its texts where they are in each line of its shape.
    Laid(&'a Layout, &'a Line),
}

impl Reader {
    /// As `read`, but what it holds is in `lazy`: the texts of a line of a known shape are not looked up one by one.
    #[inline]
    pub fn read_lazily(&mut self, buf: &[u8], from: usize, received: Millis) -> (usize, Read) {
        if buf.len() - from < NEAR {
            return self.read(buf, from, received);
        }
        match self.fast::<true>(buf, from, received) {
            Some(to) => (to, Ok(true)),
            None => self.slow(buf, from, received),
        }
    }

    /// The event of the line read last.
    #[inline(always)]
    pub fn lazy(&self) -> Lazy<'_> {
        match self.laid.and_then(|shape| self.shapes.get(shape).layout.as_ref()) {
            Some(layout) => Lazy::Laid(layout, &self.line),
            None => Lazy::Read(&self.line),
        }
    }
}

impl Layout {
    /// `None` where a value may be NULL in one line and not in another, or has to be looked at, and where there is too much to
    /// be written down.
    pub(super) fn new(parts: &[Part]) -> Option<Layout> {
        let mut layout = Layout::default();
        let mut bytes = 0;
        for part in parts {
            let text = Place { at: part.at, len: part.end - part.at };
            let text = match part.value {
                Value::Text(_) => Some(text),
                Value::Instant(places) if places[0] == TIMESTAMP as u32 => continue,
                Value::Instant(_) | Value::Amount(_) | Value::Whole => None,
                Value::TextOf(_) | Value::Other(_) => return None,
            };
            for place in part.value.places() {
                bytes += text.map_or(0, Place::size) + if place >= HEADS { 10 } else { 0 };
                match (place, text) {
                    (TENANT, Some(text)) => layout.tenant = text,
                    (USER, Some(text)) => layout.user = text,
                    (EVENT_ID, Some(text)) => layout.event_id = text,
                    (EVENT_TYPE, Some(text)) => layout.event_type = text,
                    (..=NOWHERE, _) => {}
                    (slot, text) => layout.fields.push((slot - HEADS, text)),
                }
            }
        }
        if bytes > LAID_MAX {
            return None;
        }
        layout.fields.sort_unstable_by_key(|(slot, _)| *slot);
        Some(layout)
    }
}

impl Place {
    /// The bytes of the text; `line` may have more behind it.
    #[inline(always)]
    pub(super) fn of(self, line: &[u8]) -> &[u8] {
        &line[self.at as usize..(self.at + self.len) as usize]
    }

    /// Where it begins in the line.
    #[inline(always)]
    pub fn at(self) -> usize {
        self.at as usize
    }

    #[inline(always)]
    pub fn size(self) -> usize {
        self.len as usize
    }
}

impl Lazy<'_> {
    #[inline(always)]
    pub fn timestamp(&self) -> Millis {
        let (Lazy::Read(line) | Lazy::Laid(_, line)) = self;
        line.timestamp()
    }

    /// The bytes of the user id in the line that was read from `from` on.
    #[inline(always)]
    pub fn user<'b>(&'b self, buf: &'b [u8], from: usize) -> &'b [u8] {
        match self {
            Lazy::Read(line) => line.text(line.user(), buf),
            Lazy::Laid(layout, _) => layout.user.of(&buf[from..]),
        }
    }
}
