//! The reader: lines to rows, with only the fields that definitions look at, in three levels.
//!
//! 1. *Steps*: what stood between two values is remembered, and compared with whole words at a time. Producers write
//!    the same keys in the same order, so this is nearly every field of nearly every line.
//! 2. *The scanner*: any key order, blanks, escapes and nesting; what it finds becomes a step.
//! 3. *The judge*: `Event::parse`, which decides whatever the first two do not, and every refusal.
//!
//! The first two accept only what the judge accepts, with the same values: held by a test over damaged lines.

mod bytes;
mod json;
mod step;
#[cfg(test)]
mod tests;
mod vector;

use crate::event::{self, Event, Refusal, Rules};
use crate::limits::{FUTURE_MS, LINE_MAX};
use crate::rows::{self, Projection};
use crate::time::Millis;
use crate::value::Type;
pub use bytes::SLACK;
use bytes::{Str, string, unescape};
use step::{END, Keys, START};

/// How the value of a key is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    Instant,
    Amount,
    /// Any JSON.
    Other,
}

/// What a key of an event means to the reader.
#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    /// Its bit in `Scan::seen`; none for a key that may stand there twice.
    bit: u32,
    /// The lengths of a text that is taken: so many bytes, and how many more.
    least: usize,
    span: usize,
    /// A text that must not deceive and is never written with escapes.
    id: bool,
    nullable: bool,
    /// Places in `Line::all` that take the value as it is: of the type it has when it is right.
    targets: Vec<usize>,
    /// Places that want another type, or something inside.
    typed: Vec<Want>,
}

/// A place of the projection that a key fills with something else than its text.
#[derive(Clone, Debug)]
struct Want {
    place: usize,
    ty: Type,
    /// The names below the key.
    path: Vec<String>,
}

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
    all: Vec<Cell>,
    own: Vec<u8>,
}

/// Places of what every event has.
const EVENT_ID: usize = 0;
const USER: usize = 1;
const EVENT_TYPE: usize = 2;
const TENANT: usize = 3;
const TIMESTAMP: usize = 4;
const RECEIVED: usize = 5;
const HEADS: usize = 6;

impl Line {
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

    fn clear(&mut self) {
        self.all.fill(Cell::Null);
        self.own.clear();
    }

    fn keep(&mut self, text: &[u8]) -> Cell {
        let from = self.own.len() as u32;
        self.own.extend_from_slice(text);
        Cell::Own { from, len: text.len() as u32 }
    }
}

/// Reads lines of one input, and learns how they are written.
pub struct Reader {
    keys: Keys,
    rules: Rules,
    projection: Projection,
    line: Line,
    /// A line with slack behind it, where it came without.
    spare: Vec<u8>,
    judged: u64,
}

impl Reader {
    pub fn new(projection: &Projection, rules: &Rules) -> Reader {
        let line = Line { all: vec![Cell::Null; HEADS + projection.fields.len()], own: Vec::new() };
        Reader {
            keys: Keys::new(projection),
            rules: rules.clone(),
            projection: projection.clone(),
            line,
            spare: Vec::new(),
            judged: 0,
        }
    }

    /// Reads the line that begins at `from`; `false`: it is blank. What it holds is in `line`. Also gives the place of its newline.
    ///
    /// `received` is the instant of receipt, as in `Event::parse`. Somewhere behind `from` there is a newline, and behind the last
    /// one the buffer has `SLACK` bytes.
    #[inline]
    pub fn read(&mut self, buf: &[u8], from: usize, received: Millis) -> (usize, Result<bool, Refusal>) {
        match self.fast(buf, from, received) {
            Some(to) => (to, Ok(true)),
            None => {
                let to = memchr::memchr(b'\n', &buf[from..]).map_or(buf.len(), |len| from + len);
                (to, self.judge(&buf[from..to], received))
            }
        }
    }

    /// Reads a line, or a message, that has neither a newline nor slack behind it. Text cells lie in `spare`.
    pub fn read_alone(&mut self, line: &[u8], received: Millis) -> Result<bool, Refusal> {
        if memchr::memchr(b'\n', line).is_some() {
            // A message may be JSON on several lines, which the first two levels would take for several.
            return self.judge(line, received);
        }
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        spare.extend_from_slice(line);
        spare.extend_from_slice(&[b'\n'; SLACK]);
        let (_, outcome) = self.read(&spare, 0, received);
        self.spare = spare;
        outcome
    }

    /// The event of the line read last.
    #[inline(always)]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// What `read_alone` read from.
    pub fn spare(&self) -> &[u8] {
        &self.spare
    }

    /// Lines that only the judge could decide.
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// Levels one and two, and the end of the line; `None`: the judge decides.
    #[inline]
    fn fast(&mut self, buf: &[u8], from: usize, received: Millis) -> Option<usize> {
        let Reader { keys, line, rules, .. } = self;
        line.clear();
        let mut scan = Scan { buf, line, at: from, seen: 0, wide: false };
        let mut key = START;
        loop {
            let next = keys.next(buf, key, &mut scan.at, &mut scan.wide)?;
            key = next.key;
            if key == END {
                break;
            }
            scan.value(keys.entry(key), next.quoted)?;
        }
        let Scan { seen, wide, at, .. } = scan;
        let to = bytes::blanks(buf, at);
        if buf[to] != b'\n' || to - from > LINE_MAX {
            return None;
        }
        let required = 1 << EVENT_ID | 1 << USER | 1 << EVENT_TYPE | 1 << TIMESTAMP;
        if seen & required != required || (wide && std::str::from_utf8(&buf[from..to]).is_err()) {
            return None;
        }
        let receipt = line.received().unwrap_or(received);
        let future =
            receipt > received.saturating_add(FUTURE_MS) || line.timestamp() > receipt.saturating_add(FUTURE_MS);
        if future || !rules.allow(line.text(line.all[EVENT_TYPE], buf)) {
            return None;
        }
        Some(to)
    }

    fn judge(&mut self, bytes: &[u8], received: Millis) -> Result<bool, Refusal> {
        let Some(event) = Event::parse(bytes, received, &self.rules)? else { return Ok(false) };
        self.judged += 1;
        let line = &mut self.line;
        line.clear();
        line.all[TIMESTAMP] = Cell::Word(event.timestamp as u64);
        line.all[RECEIVED] = event.received_at.map_or(Cell::Null, |at| Cell::Word(at as u64));
        line.all[USER] = line.keep(event.user_id.as_bytes());
        line.all[EVENT_ID] = line.keep(event.event_id.as_bytes());
        line.all[TENANT] = event.tenant_id.as_deref().map_or(Cell::Null, |tenant| line.keep(tenant.as_bytes()));
        for (slot, field) in self.projection.fields.iter().enumerate() {
            line.all[HEADS + slot] = match rows::field_of(&event, field) {
                None => Cell::Null,
                Some(rows::Word::Bits(bits)) => Cell::Word(bits),
                Some(rows::Word::Text(text)) => line.keep(text.as_bytes()),
            };
        }
        Ok(true)
    }
}

/// One line on its way through the first two levels.
struct Scan<'a> {
    buf: &'a [u8],
    line: &'a mut Line,
    at: usize,
    /// The known keys that stood there, by `Entry::bit`.
    seen: u32,
    wide: bool,
}

impl Scan<'_> {
    /// Takes in the value that begins at `at`, behind its quote if it is a string; `None`: the judge decides.
    #[inline(always)]
    fn value(&mut self, entry: &Entry, quoted: bool) -> Option<()> {
        if self.seen & entry.bit != 0 {
            return None;
        }
        self.seen |= entry.bit;
        if !quoted {
            return self.unquoted(entry);
        }
        let from = self.at;
        let found = string(self.buf, from)?;
        self.at = found.end + 1;
        let len = found.end - from;
        if len.wrapping_sub(entry.least) > entry.span {
            return None;
        }
        let mut cell = Cell::Read { from: from as u32, len: len as u32 };
        if found.odd || found.escaped {
            cell = self.unusual(entry, from, found)?;
        }
        for place in &entry.targets {
            self.line.all[*place] = cell;
        }
        if entry.typed.is_empty() { Some(()) } else { self.inside(entry, from - 1) }
    }

    /// A text with something in it besides printable ASCII.
    #[inline(never)]
    fn unusual(&mut self, entry: &Entry, from: usize, found: Str) -> Option<Cell> {
        self.wide |= found.odd;
        let text = &self.buf[from..found.end];
        let deceives = || std::str::from_utf8(text).is_ok_and(event::is_deceptive);
        if entry.id && (found.escaped || deceives()) {
            return None;
        }
        Some(self.cell(from, found))
    }

    fn cell(&mut self, from: usize, found: Str) -> Cell {
        if !found.escaped {
            return Cell::Read { from: from as u32, len: (found.end - from) as u32 };
        }
        let begins = self.line.own.len() as u32;
        unescape(&self.buf[from..found.end], &mut self.line.own);
        Cell::Own { from: begins, len: self.line.own.len() as u32 - begins }
    }

    /// A value that is no string.
    #[inline(always)]
    fn unquoted(&mut self, entry: &Entry) -> Option<()> {
        let word = match entry.kind {
            Kind::Other => return self.other(entry),
            _ if entry.nullable && self.null() => return Some(()),
            Kind::Instant => self.instant()?,
            Kind::Amount => self.amount()?,
            Kind::Text => return None,
        };
        for place in &entry.targets {
            self.line.all[*place] = Cell::Word(word as u64);
        }
        Some(())
    }

    #[inline(always)]
    fn null(&mut self) -> bool {
        let null = self.buf[self.at] == b'n' && self.buf[self.at..].starts_with(b"null");
        self.at += if null { 4 } else { 0 };
        null
    }

    /// An instant of our time in milliseconds; anything else is for the judge.
    #[inline(always)]
    fn instant(&mut self) -> Option<Millis> {
        let start = self.at;
        let (n, end) = digits(self.buf, start);
        self.at = end;
        ((12..=14).contains(&(end - start)) && self.buf[start] != b'0').then_some(n)
    }

    /// An amount in millionths, as long as it is short.
    #[inline(always)]
    fn amount(&mut self) -> Option<i64> {
        let negative = self.buf[self.at] == b'-';
        let start = self.at + usize::from(negative);
        let (whole, end) = digits(self.buf, start);
        let len = end - start;
        if !(1..=12).contains(&len) || (len > 1 && self.buf[start] == b'0') {
            return None;
        }
        let mut millionths = whole * 1_000_000;
        self.at = end;
        if self.buf[end] == b'.' {
            let (fraction, end) = digits(self.buf, end + 1);
            let places = end - self.at - 1;
            if !(1..=6).contains(&places) {
                return None;
            }
            self.at = end;
            millionths += fraction * [0, 100_000, 10_000, 1000, 100, 10, 1][places];
        }
        Some(if negative { -millionths } else { millionths })
    }

    /// A field that an event's form does not know, where it is no string. A field twice has its last value.
    #[inline(never)]
    fn other(&mut self, entry: &Entry) -> Option<()> {
        let from = self.at;
        self.at = json::value(self.buf, from, &mut self.wide)?;
        for place in &entry.targets {
            self.line.all[*place] = Cell::Null;
        }
        self.inside(entry, from)
    }

    /// Fills the places that want the value at `from` as something else than its text.
    fn inside(&mut self, entry: &Entry, from: usize) -> Option<()> {
        for want in &entry.typed {
            let found = json::find(self.buf, from, &want.path).ok()?;
            self.line.all[want.place] = found.map_or(Some(Cell::Null), |(from, to)| self.typed(want.ty, from, to))?;
        }
        Some(())
    }

    /// A value of another type than declared is NULL.
    fn typed(&mut self, ty: Type, from: usize, to: usize) -> Option<Cell> {
        let raw = &self.buf[from..to];
        if raw[0] == b'"' {
            return Some(match ty {
                Type::String => self.cell(from + 1, string(self.buf, from + 1)?),
                _ => Cell::Null,
            });
        }
        let text = std::str::from_utf8(raw).ok()?;
        Some(rows::word(text, ty).map_or(Cell::Null, Cell::Word))
    }
}

/// The digits from `p` on as a number, and where they end. Of more than 18 the number means nothing.
#[inline(always)]
fn digits(buf: &[u8], p: usize) -> (i64, usize) {
    let mut n = 0i64;
    let mut at = p;
    let eight = u64::from_le_bytes(*buf[at..].first_chunk().expect("a buffer has slack behind its last line"));
    if all_digits(eight) {
        n = eight_digits(eight);
        at += 8;
    }
    while buf[at].is_ascii_digit() {
        n = n.wrapping_mul(10).wrapping_add(i64::from(buf[at] - b'0'));
        at += 1;
    }
    (n, at)
}

fn all_digits(eight: u64) -> bool {
    // A digit's upper half is 3, and stays 3 when 6 is added.
    let upper = 0xf0f0_f0f0_f0f0_f0f0;
    (eight & upper) | ((eight.wrapping_add(0x0606_0606_0606_0606) & upper) >> 4) == 0x3333_3333_3333_3333
}

/// Eight digits, the first in the lowest byte: pairs, then fours, then all.
fn eight_digits(eight: u64) -> i64 {
    let n = eight & 0x0f0f_0f0f_0f0f_0f0f;
    let n = (n.wrapping_mul(10) + (n >> 8)) & 0x00ff_00ff_00ff_00ff;
    let n = (n.wrapping_mul(100) + (n >> 16)) & 0x0000_ffff_0000_ffff;
    (n.wrapping_mul(10_000) + (n >> 32)) as u32 as i64
}
