//! The event of one line: what every event has, and the fields of the projection.

use crate::time::Millis;

/// One field of a row.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Cell {
    #[default]
    Null,
    /// The value's bits.
    Word(u64),
    /// Text, by its place in the buffer that was read.
    Read { from: u32, len: u32 },
    /// Text whose escapes were resolved, by its place beside the row.
    Own { from: u32, len: u32 },
}

impl Cell {
    /// The length of a text in bytes; 0 for anything else.
    #[inline(always)]
    pub fn text_len(self) -> usize {
        match self {
            Cell::Read { len, .. } | Cell::Own { len, .. } => len as usize,
            Cell::Null | Cell::Word(_) => 0,
        }
    }
}

/// The event of one line.
#[derive(Debug, Default)]
pub struct Line {
    /// What every event has (`HEADS`), then one a slot of the projection.
    pub(super) all: Vec<Cell>,
    pub(super) own: Vec<u8>,
}

/// Places of what every event has.
pub(super) const EVENT_ID: usize = 0;
pub(super) const USER: usize = 1;
pub(super) const EVENT_TYPE: usize = 2;
pub(super) const TENANT: usize = 3;
pub(super) const TIMESTAMP: usize = 4;
pub(super) const RECEIVED: usize = 5;
/// The place of what nobody asked for.
pub(super) const NOWHERE: usize = 6;
pub(super) const HEADS: usize = 7;

impl Line {
    /// With so many slots.
    pub(super) fn new(slots: usize) -> Line {
        Line { all: vec![Cell::Null; HEADS + slots], own: Vec::new() }
    }

    /// The bytes of a text cell, always UTF-8; of any other nothing. `buf` is what the line was read from.
    #[inline(always)]
    pub fn text<'a>(&'a self, cell: Cell, buf: &'a [u8]) -> &'a [u8] {
        match cell {
            Cell::Read { from, len } => &buf[from as usize..(from + len) as usize],
            Cell::Own { from, len } => &self.own[from as usize..(from + len) as usize],
            _ => &[],
        }
    }

    #[inline(always)]
    pub fn timestamp(&self) -> Millis {
        self.instant(TIMESTAMP).unwrap_or(0)
    }

    #[inline(always)]
    pub fn received(&self) -> Option<Millis> {
        self.instant(RECEIVED)
    }

    #[inline(always)]
    pub fn tenant(&self) -> Cell {
        self.all[TENANT]
    }

    #[inline(always)]
    pub fn user(&self) -> Cell {
        self.all[USER]
    }

    #[inline(always)]
    pub fn event_id(&self) -> Cell {
        self.all[EVENT_ID]
    }

    /// By slot of the projection.
    #[inline(always)]
    pub fn cells(&self) -> &[Cell] {
        &self.all[HEADS..]
    }

    #[inline(always)]
    fn instant(&self, place: usize) -> Option<Millis> {
        match self.all[place] {
            Cell::Word(at) => Some(at as Millis),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn clear(&mut self) {
        // What a line must have is overwritten, or the judge writes all.
        self.all[TENANT] = Cell::Null;
        self.all[RECEIVED] = Cell::Null;
        for cell in &mut self.all[HEADS..] {
            *cell = Cell::Null;
        }
        self.own.clear();
    }

    // Every cell is written where it stands: one that is put together elsewhere in parts is slow to be copied as a whole.
    #[inline(always)]
    pub(super) fn put_text(&mut self, place: usize, from: u32, len: u32) {
        self.all[place] = Cell::Read { from, len };
    }

    #[inline(always)]
    pub(super) fn put_word(&mut self, place: usize, word: u64) {
        self.all[place] = Cell::Word(word);
    }

    pub(super) fn keep(&mut self, text: &[u8]) -> Cell {
        let from = self.own.len() as u32;
        self.own.extend_from_slice(text);
        Cell::Own { from, len: text.len() as u32 }
    }
}
