//! Cells: one value of any type a place, without an allocation for each.
//!
//! Texts share one arena. A text that replaces another takes its room where it fits,
//! so an arena is at most a few times as large as the texts in it.

use crate::money::Decimal;
use crate::value::Datum;

/// A value of 16 bytes; a text lies in an arena.
#[derive(Clone, Copy, Default)]
pub(super) enum Cell {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Time(i64),
    Decimal(i64),
    /// A decimal beyond 64 bits: its bytes.
    Wide(Text),
    Double(f64),
    Str(Text),
}

/// Where a text lies in an arena, and how much room it has there.
#[derive(Clone, Copy, Default)]
pub(super) struct Text {
    start: u32,
    len: u32,
    room: u32,
}

/// The bytes of texts.
#[derive(Default)]
pub(super) struct Arena(Vec<u8>);

impl Arena {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn bytes(&self, text: Text) -> &[u8] {
        &self.0[text.start as usize..][..text.len as usize]
    }

    /// Puts `bytes` in the place of `old`.
    #[inline]
    pub fn put(&mut self, old: Text, bytes: &[u8]) -> Text {
        let len = u32::try_from(bytes.len()).expect("a line, and so a text, is shorter than 4 GiB");
        if len <= old.room {
            self.0[old.start as usize..][..bytes.len()].copy_from_slice(bytes);
            return Text { len, ..old };
        }
        let start = self.0.len();
        self.0.extend_from_slice(bytes);
        // A text that grows again and again leaves no more behind than it has.
        let room = if old.room == 0 { len.next_multiple_of(8) } else { len.next_power_of_two() };
        self.0.resize(start + room as usize, 0);
        Text { start: u32::try_from(start).expect("the texts of one part of a log are below 4 GiB"), len, room }
    }

    /// Puts a value in the place of `old`.
    #[inline(always)]
    pub fn put_cell(&mut self, old: &mut Cell, new: &Datum) {
        let room = match old {
            Cell::Str(text) | Cell::Wide(text) => *text,
            _ => Text::default(),
        };
        *old = match *new {
            // No field of an event is a list or a map.
            Datum::Null | Datum::Json(_) => Cell::Null,
            Datum::Bool(b) => Cell::Bool(b),
            Datum::Int(n) => Cell::Int(n),
            Datum::Time(t) => Cell::Time(t),
            Datum::Decimal(d) => match i64::try_from(d.0) {
                Ok(n) => Cell::Decimal(n),
                Err(_) => Cell::Wide(self.put(room, &d.0.to_le_bytes())),
            },
            Datum::Double(x) => Cell::Double(x),
            Datum::Str(text) => Cell::Str(self.put(room, text.as_bytes())),
        };
    }

    #[inline(always)]
    pub fn datum(&self, cell: Cell) -> Datum<'_> {
        match cell {
            Cell::Null => Datum::Null,
            Cell::Bool(b) => Datum::Bool(b),
            Cell::Int(n) => Datum::Int(n),
            Cell::Time(t) => Datum::Time(t),
            Cell::Decimal(n) => Datum::Decimal(Decimal(i128::from(n))),
            Cell::Wide(text) => {
                let bytes = self.bytes(text).try_into().expect("a decimal is put as its 16 bytes");
                Datum::Decimal(Decimal(i128::from_le_bytes(bytes)))
            }
            Cell::Double(x) => Datum::Double(x),
            Cell::Str(text) => Datum::Str(std::str::from_utf8(self.bytes(text)).expect("it was put as a text")),
        }
    }
}
