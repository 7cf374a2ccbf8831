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
use crate::limits::{EVENT_ID_MAX, FIELD_MAX, FUTURE_MS, LINE_MAX, TENANT_MAX, USER_ID_MAX};
use crate::rows::{self, Projection};
use crate::time::Millis;
use crate::value::Type;
pub use bytes::SLACK;
use bytes::{Str, string, unescape};
use step::{END, Keys, START};

/// What a key of an event means to the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    EventId,
    UserId,
    EventType,
    Timestamp,
    ReceivedAt,
    Amount,
    Tenant,
    /// Another field that is a string wherever it appears.
    Text,
    Other,
}

/// A place of the projection that a key fills.
#[derive(Clone, Debug)]
struct Want {
    slot: usize,
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

/// The event of one line.
#[derive(Debug, Default)]
pub struct Line {
    pub timestamp: Millis,
    pub received: Option<Millis>,
    pub tenant: Cell,
    pub user: Cell,
    pub event_id: Cell,
    /// By slot of the projection.
    pub cells: Vec<Cell>,
    own: Vec<u8>,
    event_type: Cell,
}

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

    fn clear(&mut self) {
        self.received = None;
        self.tenant = Cell::Null;
        self.cells.fill(Cell::Null);
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
        let line = Line { cells: vec![Cell::Null; projection.fields.len()], ..Line::default() };
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
            scan.value(keys.kind(key), keys.wants(key), next.quoted)?;
        }
        let Scan { seen, wide, at, .. } = scan;
        let to = bytes::blanks(buf, at);
        if buf[to] != b'\n' || to - from > LINE_MAX {
            return None;
        }
        let required = 1 << Kind::EventId as u32
            | 1 << Kind::UserId as u32
            | 1 << Kind::EventType as u32
            | 1 << Kind::Timestamp as u32;
        if seen & required != required || (wide && std::str::from_utf8(&buf[from..to]).is_err()) {
            return None;
        }
        let receipt = line.received.unwrap_or(received);
        let future = line.received.is_some_and(|at| at > received.saturating_add(FUTURE_MS))
            || line.timestamp > receipt.saturating_add(FUTURE_MS);
        if future || !rules.allow(line.text(line.event_type, buf)) {
            return None;
        }
        Some(to)
    }

    fn judge(&mut self, bytes: &[u8], received: Millis) -> Result<bool, Refusal> {
        let Some(event) = Event::parse(bytes, received, &self.rules)? else { return Ok(false) };
        self.judged += 1;
        let line = &mut self.line;
        line.clear();
        line.timestamp = event.timestamp;
        line.received = event.received_at;
        line.user = line.keep(event.user_id.as_bytes());
        line.event_id = line.keep(event.event_id.as_bytes());
        line.tenant = event.tenant_id.as_deref().map_or(Cell::Null, |tenant| line.keep(tenant.as_bytes()));
        for (slot, field) in self.projection.fields.iter().enumerate() {
            line.cells[slot] = match rows::field_of(&event, field) {
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
    /// The known fields that stood there, by `Kind`; other texts are counted by their keys.
    seen: u32,
    wide: bool,
}

impl Scan<'_> {
    /// Takes in the value that begins at `at`, behind its quote if it is a string; `None`: the judge decides.
    #[inline(always)]
    fn value(&mut self, kind: Kind, wants: &Wants, quoted: bool) -> Option<()> {
        if kind == Kind::Other {
            return if quoted { self.other_text(wants) } else { self.other(wants) };
        }
        let bit = 1u32 << wants.bit;
        if self.seen & bit != 0 {
            return None;
        }
        self.seen |= bit;
        let cell = if quoted {
            match kind {
                Kind::Text => self.text(FIELD_MAX)?,
                Kind::EventId => self.id(EVENT_ID_MAX)?,
                Kind::UserId => self.id(USER_ID_MAX)?,
                Kind::EventType => self.id(FIELD_MAX)?,
                Kind::Tenant => self.id_or_nothing(TENANT_MAX)?,
                _ => return None,
            }
        } else {
            match kind {
                Kind::Timestamp => Cell::Word(self.instant()? as u64),
                Kind::Amount | Kind::ReceivedAt | Kind::Tenant | Kind::Text if self.null() => return Some(()),
                Kind::Amount => Cell::Word(self.amount()? as u64),
                Kind::ReceivedAt => Cell::Word(self.instant()? as u64),
                _ => return None,
            }
        };
        match (kind, cell) {
            (Kind::EventId, _) => self.line.event_id = cell,
            (Kind::UserId, _) => self.line.user = cell,
            (Kind::EventType, _) => self.line.event_type = cell,
            (Kind::Tenant, _) => self.line.tenant = cell,
            (Kind::Timestamp, Cell::Word(at)) => self.line.timestamp = at as Millis,
            (Kind::ReceivedAt, Cell::Word(at)) => self.line.received = Some(at as Millis),
            _ => {}
        }
        for slot in &wants.direct {
            self.line.cells[*slot] = cell;
        }
        Some(())
    }

    /// The string that begins at `at`, and moves behind its closing quote.
    #[inline(always)]
    fn string(&mut self) -> Option<(usize, Str)> {
        let from = self.at;
        let found = string(self.buf, from)?;
        self.wide |= found.odd;
        self.at = found.end + 1;
        Some((from, found))
    }

    #[inline(always)]
    fn id(&mut self, max: usize) -> Option<Cell> {
        let cell = self.id_or_nothing(max)?;
        (!matches!(cell, Cell::Read { len: 0, .. })).then_some(cell)
    }

    #[inline(always)]
    fn id_or_nothing(&mut self, max: usize) -> Option<Cell> {
        let (from, found) = self.string()?;
        let text = &self.buf[from..found.end];
        let deceives = || std::str::from_utf8(text).is_ok_and(event::is_deceptive);
        if found.escaped || text.len() > max || (found.odd && deceives()) {
            return None;
        }
        Some(Cell::Read { from: from as u32, len: text.len() as u32 })
    }

    #[inline(always)]
    fn text(&mut self, max: usize) -> Option<Cell> {
        let (from, found) = self.string()?;
        (found.end - from <= max).then(|| self.cell(from, found))
    }

    #[inline(always)]
    fn cell(&mut self, from: usize, found: Str) -> Cell {
        if !found.escaped {
            return Cell::Read { from: from as u32, len: (found.end - from) as u32 };
        }
        let begins = self.line.own.len() as u32;
        unescape(&self.buf[from..found.end], &mut self.line.own);
        Cell::Own { from: begins, len: self.line.own.len() as u32 - begins }
    }

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

    /// A field that an event's form does not know, where it is a string.
    #[inline(always)]
    fn other_text(&mut self, wants: &Wants) -> Option<()> {
        let (from, found) = self.string()?;
        if wants.direct.is_empty() && wants.typed.is_empty() {
            return Some(());
        }
        let text = self.cell(from, found);
        self.fill(wants, from - 1, Some(text))
    }

    /// A field that an event's form does not know, where it is no string: any other JSON.
    #[inline(never)]
    fn other(&mut self, wants: &Wants) -> Option<()> {
        let from = self.at;
        self.at = json::value(self.buf, from, &mut self.wide)?;
        if wants.direct.is_empty() && wants.typed.is_empty() {
            return Some(());
        }
        self.fill(wants, from, None)
    }

    /// Fills the places of a field that the form does not know. A field twice has its last value.
    fn fill(&mut self, wants: &Wants, from: usize, text: Option<Cell>) -> Option<()> {
        for slot in &wants.direct {
            self.line.cells[*slot] = text.unwrap_or(Cell::Null);
        }
        for want in &wants.typed {
            let found = json::find(self.buf, from, &want.path).ok()?;
            self.line.cells[want.slot] = found.map_or(Some(Cell::Null), |(from, to)| self.typed(want.ty, from, to))?;
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

/// The places of the projection that one key fills.
#[derive(Clone, Debug, Default)]
struct Wants {
    /// Its bit in `Scan::seen`; of no account for a field that the form does not know.
    bit: u32,
    /// Places that take the value as it is: of the type it has when it is right.
    direct: Vec<usize>,
    /// Places that want another type, or something inside.
    typed: Vec<Want>,
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
