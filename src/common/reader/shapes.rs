//! Shapes: whole lines as they were written before, but for what their values say.
//!
//! Machines write ids, instants and codes of one length, so that a few dozen shapes are nearly all lines of a log: the same
//! bytes between the values, and every value as long as it was. A line of a known shape is compared as a whole; no end of
//! a value has to be found before the next one can be looked at.

use super::entry::Entry;
use super::layout::Layout;
use super::line::{NOWHERE, TIMESTAMP};
use super::vector::{Masked, begins, outline};

/// Lines are compared in pieces of so many bytes.
const PIECE: usize = 64;
/// Longer lines have no shape.
const PIECES_MAX: usize = 8;
/// Beyond so many no shape is learned.
const SHAPES_MAX: usize = 512;
/// Places of the table: four times as many as there are shapes.
const TABLE: usize = 2048;
/// A shape that is not at one of so many places is not known.
const PROBES: usize = 4;
/// After so many lines it is seen whether half of them had a known shape. If not, so many are not looked at, and all is
/// learned anew: a shape is learned in the time in which twenty lines are read.
const TRIAL: u32 = 4096;
const REST: u32 = 1 << 20;

/// What was read in a line.
#[derive(Clone, Debug)]
pub struct Part {
    /// From the beginning of the line; of a text, behind its opening quote.
    pub at: u32,
    /// Behind the value; of a text, its closing quote.
    pub end: u32,
    pub value: Value,
}

/// How a value is read again.
#[derive(Clone, Debug)]
pub enum Value {
    /// To these places, or `NOWHERE`.
    Text([u32; 2]),
    Instant([u32; 2]),
    Amount([u32; 2]),
    /// A short whole number that nobody wants.
    Whole,
    /// A text, and anything else, that is not only taken as it is.
    TextOf(Box<Entry>),
    Other(Box<Entry>),
}

impl Value {
    /// The places it is written to.
    pub fn places(&self) -> Vec<usize> {
        match self {
            Value::Text(places) | Value::Instant(places) | Value::Amount(places) => {
                places.iter().map(|place| *place as usize).filter(|place| *place != NOWHERE).collect()
            }
            Value::Whole => Vec::new(),
            Value::TextOf(entry) | Value::Other(entry) => {
                entry.targets.iter().copied().chain(entry.typed.iter().map(|want| want.place)).collect()
            }
        }
    }
}

pub struct Shape {
    len: usize,
    quotes: Vec<u64>,
    /// What is the same in every line.
    pieces: Vec<Masked>,
    /// The texts that are taken as they are.
    pub texts: Vec<Text>,
    /// Where the timestamp is, which every line has, and the places it is written to.
    pub timestamp: (u32, u32, [u32; 2]),
    /// All other values.
    pub parts: Vec<Part>,
    /// If all texts are taken as they are.
    pub layout: Option<Layout>,
}

/// A text that is taken as it is.
pub struct Text {
    pub place: u32,
    pub at: u32,
    pub len: u32,
}

impl Shape {
    fn new(line: &[u8], len: usize, quotes: &[u64], mut parts: Vec<Part>) -> Option<Shape> {
        // The newline belongs to it.
        let mut mask = vec![u8::MAX; len + 1];
        parts.iter().for_each(|part| mask[part.at as usize..part.end as usize].fill(0));
        mask.resize((len + 1).next_multiple_of(PIECE), 0);
        let pieces = line.as_chunks().0.iter().zip(mask.as_chunks().0).map(|(text, mask)| [*text, *mask]);
        let pieces: Vec<Masked> = pieces.collect();
        let text = |part: &Part| match part.value {
            Value::Text(places) => places.map(|place| Text { place, at: part.at, len: part.end - part.at }).into(),
            _ => Vec::new(),
        };
        let texts = parts.iter().flat_map(text).filter(|text| text.place as usize != NOWHERE).collect();
        let layout = Layout::new(&parts);
        let timestamp = |part: &Part| match part.value {
            Value::Instant(places) if places[0] == TIMESTAMP as u32 => Some((part.at, part.end, places)),
            _ => None,
        };
        let timestamp = parts.iter().find_map(timestamp)?;
        parts.retain(|part| !matches!(part.value, Value::Text(_)) && part.at != timestamp.0);
        let quotes = quotes[..pieces.len()].to_vec();
        Some(Shape { len, quotes, pieces, texts, timestamp, parts, layout })
    }

    /// Whether these are its quotes, those of a line of the same length.
    #[inline(always)]
    fn has(&self, quotes: &[u64]) -> bool {
        // Word by word: for so few a comparison of slices is a call.
        std::iter::zip(&self.quotes, quotes).all(|(a, b)| a == b)
    }
}

/// All shapes seen so far.
pub struct Shapes {
    shapes: Vec<Shape>,
    /// The number of a shape plus one; 0 is free.
    table: Box<[u16]>,
    /// The line looked at last: its length, its quotes, and where in the table its shape is to be put.
    len: usize,
    quotes: [u64; PIECES_MAX],
    free: usize,
    /// Shapes learned in all.
    learned: u64,
    tries: u32,
    hits: u32,
    rest: u32,
}

/// Where a line is among the shapes.
#[derive(Clone, Copy)]
pub enum Found {
    /// By number, until another line is looked at; and the place of its newline. That is not taken from the shape: where the next line
    /// begins is then known long before.
    Known(usize, usize),
    /// Not yet known: to be learned.
    New,
    None,
}

impl Default for Shapes {
    fn default() -> Shapes {
        let (table, quotes) = (vec![0; TABLE].into(), [0; PIECES_MAX]);
        Shapes { shapes: Vec::new(), table, len: 0, quotes, free: 0, learned: 0, tries: 0, hits: 0, rest: 0 }
    }
}

impl Shapes {
    /// The shape of the line that begins at `from`.
    #[inline(always)]
    pub fn find(&mut self, buf: &[u8], from: usize) -> Found {
        if self.rest > 0 {
            self.rest -= 1;
            return Found::None;
        }
        self.tries += 1;
        if self.tries == TRIAL {
            self.look_back();
        }
        let line = &buf[from..];
        let Some(len) = outline(line, &mut self.quotes) else { return Found::None };
        let quotes = &self.quotes[..len / PIECE + 1];
        let first = hash(len, quotes);
        for at in (first..first + PROBES).map(|at| at % TABLE) {
            match usize::from(self.table[at]) {
                0 if self.shapes.len() < SHAPES_MAX => {
                    (self.len, self.free) = (len, at);
                    return Found::New;
                }
                0 => return Found::None,
                n => {
                    let shape = &self.shapes[n - 1];
                    if shape.len == len && shape.has(quotes) && begins(line, &shape.pieces) {
                        self.hits += 1;
                        return Found::Known(n - 1, from + len);
                    }
                }
            }
        }
        Found::None
    }

    #[inline(always)]
    pub fn get(&self, shape: usize) -> &Shape {
        &self.shapes[shape]
    }

    /// Remembers the line that was found to be new, and what was then read in it.
    pub fn learn(&mut self, buf: &[u8], from: usize, parts: Vec<Part>) {
        let mut places: Vec<usize> = parts.iter().flat_map(|part| part.value.places()).collect();
        places.sort_unstable();
        if places.windows(2).any(|two| two[0] == two[1]) {
            // Of a field twice the last value counts, but a shape knows no order.
            return;
        }
        let Some(mut shape) = Shape::new(&buf[from..], self.len, &self.quotes, parts) else { return };
        self.learned += 1;
        if let Some(layout) = &mut shape.layout {
            layout.name = (self.shapes.len(), self.learned);
        }
        self.shapes.push(shape);
        self.table[self.free] = self.shapes.len() as u16;
    }

    /// Lines of a known shape, of those looked at lately.
    #[cfg(test)]
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// Whether lines are not looked at for a while.
    #[cfg(test)]
    pub fn rests(&self) -> bool {
        self.rest > 0
    }

    #[cold]
    fn look_back(&mut self) {
        if self.hits < TRIAL / 2 {
            *self = Shapes { rest: REST, learned: self.learned, ..Shapes::default() };
        }
        (self.tries, self.hits) = (0, 0);
    }
}

#[inline(always)]
fn hash(len: usize, quotes: &[u64]) -> usize {
    // An odd number without a pattern; the upper bits of a product depend on all bits below.
    let mix = |hash: u64, word: &u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    (quotes.iter().fold(len as u64, mix) >> 16) as usize
}
