//! The reader: lines to rows, with only the fields that definitions look at, in three levels.
//!
//! 1. *Steps*: what stood between two values is remembered, and compared with whole words at a time. Producers write
//!    the same keys in the same order, so this is nearly every field of nearly every line. Lines whose values are also as
//!    long as they were in a line before have its *shape*, and are compared with it as a whole. Who reads *lazily* takes
//!    their texts from where the shape's *layout* has them.
//! 2. *The scanner*: any key order, blanks, escapes and nesting; what it finds becomes a step.
//! 3. *The judge*: `Event::parse`, which decides whatever the first two do not, and every refusal.
//!
//! The first two accept only what the judge accepts, with the same values: held by a test over damaged lines.

mod bytes;
mod entry;
mod json;
mod layout;
mod line;
mod number;
mod shapes;
mod step;
mod steps;
#[cfg(test)]
mod tests;
mod vector;

use crate::event::{self, Event, Refusal, Rules};
use crate::limits::{FUTURE_MS, LINE_MAX};
use crate::rows::{self, Projection};
use crate::time::Millis;
use crate::value::Type;
pub use bytes::SLACK;
use bytes::{plain, string, unescape};
use entry::{Entry, Kind};
pub use layout::{LAID_MAX, Layout, Lazy, NEAR, Place};
pub use line::{Cell, Line};
use line::{EVENT_ID, EVENT_TYPE, HEADS, NOWHERE, RECEIVED, TENANT, TIMESTAMP, USER};
use shapes::{Found, Part, Shape, Shapes, Value};
use step::Step;
use steps::Steps;

/// Whether a line holds an event or is blank. Refusals are rare, and in a box they leave the result in registers.
pub type Read = Result<bool, Box<Refusal>>;

/// Reads lines of one input, and learns how they are written.
pub struct Reader {
    shapes: Shapes,
    steps: Steps,
    rules: Rules,
    projection: Projection,
    line: Line,
    /// A line with slack behind it, where it came without.
    spare: Vec<u8>,
    judged: u64,
    /// The shape of the line read last, if its texts were left where they are.
    laid: Option<usize>,
}

impl Reader {
    pub fn new(projection: &Projection, rules: &Rules) -> Reader {
        Reader {
            shapes: Shapes::default(),
            steps: Steps::new(projection),
            rules: rules.clone(),
            projection: projection.clone(),
            line: Line::new(projection.fields.len()),
            spare: Vec::new(),
            judged: 0,
            laid: None,
        }
    }

    /// Reads the line that begins at `from`; `false`: it is blank. What it holds is in `line`. Also gives the place of its newline.
    ///
    /// `received` is the instant of receipt, as in `Event::parse`. Somewhere behind `from` there is a newline, and behind the last
    /// one the buffer has `SLACK` bytes.
    #[inline]
    pub fn read(&mut self, buf: &[u8], from: usize, received: Millis) -> (usize, Read) {
        match self.fast::<false>(buf, from, received) {
            Some(to) => (to, Ok(true)),
            None => self.slow(buf, from, received),
        }
    }

    #[cold]
    #[inline(never)]
    fn slow(&mut self, buf: &[u8], from: usize, received: Millis) -> (usize, Read) {
        let to = memchr::memchr(b'\n', &buf[from..]).map_or(buf.len(), |len| from + len);
        (to, self.judge(&buf[from..to], received))
    }

    /// Reads a line, or a message, that has neither a newline nor slack behind it. Text cells lie in `spare`.
    pub fn read_alone(&mut self, line: &[u8], received: Millis) -> Result<bool, Refusal> {
        if memchr::memchr(b'\n', line).is_some() {
            // A message may be JSON on several lines, which the first two levels would take for several.
            return self.judge(line, received).map_err(|refusal| *refusal);
        }
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        spare.extend_from_slice(line);
        spare.extend_from_slice(&[b'\n'; SLACK]);
        let (_, outcome) = self.read(&spare, 0, received);
        self.spare = spare;
        outcome.map_err(|refusal| *refusal)
    }

    /// The event of the line read last, unless that was read lazily.
    #[inline(always)]
    pub fn line(&self) -> &Line {
        debug_assert!(self.laid.is_none(), "the texts are not in the line");
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
    fn fast<const LAZY: bool>(&mut self, buf: &[u8], from: usize, received: Millis) -> Option<usize> {
        let Reader { shapes, steps, line, rules, projection, laid, .. } = self;
        *laid = None;
        steps.begin(projection);
        let found = shapes.find(buf, from);
        if let Found::Known(n, to) = found
            && let shape = shapes.get(n)
            && let Some(layout) = shape.layout.as_ref().filter(|_| LAZY)
        {
            line.all[RECEIVED] = Cell::Null;
            if (Scan { buf, line, texts: Texts::default() }).parts(shape, from).is_some() {
                *laid = Some(n);
                return allows(rules, line, layout.event_type.of(&buf[from..]), received).then_some(to);
            }
        }
        line.clear();
        let to = match found {
            Found::Known(n, to) => match (Scan { buf, line, texts: Texts::default() }).shape(shapes.get(n), from) {
                Some(()) => to,
                None => {
                    line.clear();
                    walk::<false>(steps, line, buf, from)?.0
                }
            },
            Found::New => {
                let (to, parts) = walk::<true>(steps, line, buf, from)?;
                if let Some(parts) = parts {
                    shapes.learn(buf, from, parts);
                }
                to
            }
            Found::None => walk::<false>(steps, line, buf, from)?.0,
        };
        allows(rules, line, line.text(line.all[EVENT_TYPE], buf), received).then_some(to)
    }

    fn judge(&mut self, bytes: &[u8], received: Millis) -> Read {
        self.laid = None;
        let Some(event) = Event::parse(bytes, received, &self.rules).map_err(Box::new)? else { return Ok(false) };
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

/// Whether the times of a line, and the type of its event, are such that the judge need not be asked.
#[inline(always)]
fn allows(rules: &Rules, line: &Line, event_type: &[u8], received: Millis) -> bool {
    let receipt = line.received().unwrap_or(received);
    let future = receipt > received.saturating_add(FUTURE_MS) || line.timestamp() > receipt.saturating_add(FUTURE_MS);
    !future && rules.allow(event_type)
}

/// Reads the line that begins at `from` step by step. Gives the place of its newline and, if asked to `LEARN`, what was read
/// where, unless that cannot be read again in the same way. `None`: the judge decides.
#[inline]
fn walk<const LEARN: bool>(
    steps: &mut Steps,
    line: &mut Line,
    buf: &[u8],
    from: usize,
) -> Option<(usize, Option<Vec<Part>>)> {
    let mut scan = Scan { buf, line, texts: Texts::default() };
    let mut parts = Vec::new();
    let mut several = false;
    let mut learn = |at: usize, end: usize, value: Value| {
        parts.push(Part { at: (at - from) as u32, end: (end - from) as u32, value });
    };
    // The step last taken, and the known keys that stood there, as `Step::bits`.
    let (mut now, mut at, mut seen) = (steps.start(), from, 0);
    loop {
        let near = bytes::near(buf, at);
        let value;
        (now, at, value) = match steps.usual(now, near) {
            Some(next) => (next, at + next.advance as usize, next.behind(near)),
            None => {
                let (next, at) = steps.other(buf, now.id, at, &mut scan.texts)?;
                (steps.get(next), at, bytes::sixteen(buf, at))
            }
        };
        if seen & now.bits != 0 {
            return None;
        }
        seen |= now.bits;
        if now.quoted {
            let marks = vector::odd(value);
            let (end, stop) = if marks != 0 {
                let len = now.length.first(marks);
                (at + len, value[len])
            } else {
                let end = plain(buf, at + 16);
                (end, buf[end])
            };
            let len = (end - at) as u32;
            if stop != b'"' || len.wrapping_sub(now.least) > now.span {
                let behind = scan.unusual(steps.entry(now), at, end)?;
                if LEARN {
                    learn(at, behind - 1, Value::TextOf(Box::new(steps.entry(now).clone())));
                }
                at = behind;
                continue;
            }
            scan.text(now.places, at, len);
            if LEARN {
                learn(at, end, Value::Text(now.places));
            }
            at = end + 1;
        } else if now.end {
            break;
        } else {
            let end = if now.instant {
                scan.number(steps, now, at, number::instant(buf, at, value))?
            } else if now.amount {
                scan.number(steps, now, at, number::amount(buf, at))?
            } else {
                match number::whole(value) {
                    Some(len) if now.idle => at + len,
                    _ => scan.other(steps.entry(now), at)?,
                }
            };
            if LEARN {
                several |= now.several;
                let is_null = buf[at] == b'n';
                if now.instant && !is_null {
                    learn(at, end, Value::Instant(now.places));
                } else if now.amount && !is_null {
                    learn(at, end, Value::Amount(now.places));
                } else if now.idle && number::whole(value).is_some() {
                    learn(at, end, Value::Whole);
                } else if steps.entry(now).kind == Kind::Other {
                    learn(at, end, Value::Other(Box::new(steps.entry(now).clone())));
                }
                // What is left is the NULL of a field that has a type: its bytes are its shape.
            }
            at = end;
        }
    }
    let Scan { texts, .. } = scan;
    let to = if buf[at] == b'\n' { at } else { bytes::blanks(buf, at) };
    if buf[to] != b'\n' || to - from > LINE_MAX {
        return None;
    }
    let required = 1 << EVENT_ID | 1 << USER | 1 << EVENT_TYPE | 1 << TIMESTAMP;
    if seen & required != required || (texts.escaped && texts.huge) {
        return None;
    }
    if texts.odd && std::str::from_utf8(&buf[from..to]).is_err() {
        return None;
    }
    Some((to, (LEARN && !several).then_some(parts)))
}

/// What was found in values so far.
#[derive(Clone, Copy, Default, Debug)]
struct Texts {
    /// Something in a string is not printable ASCII.
    odd: bool,
    /// Inside an object or array there is an escape, or a number that may be beyond a double. Where something is written
    /// as \u the whole value is read, its numbers too, so that both at once are for the judge.
    escaped: bool,
    huge: bool,
}

/// One line on its way through the first two levels. Of each of its functions the result is what is behind the value that
/// begins at `at`; `None`: the judge decides.
struct Scan<'a> {
    buf: &'a [u8],
    line: &'a mut Line,
    texts: Texts,
}

impl Scan<'_> {
    /// All values of a line of a known shape. `None`: one of them is not as the shape has it.
    #[inline(always)]
    fn shape(&mut self, shape: &Shape, from: usize) -> Option<()> {
        for text in &shape.texts {
            self.line.put_text(text.place as usize, (from + text.at as usize) as u32, text.len);
        }
        self.parts(shape, from)
    }

    /// The same without the texts that are taken as they are.
    #[inline(always)]
    fn parts(&mut self, shape: &Shape, from: usize) -> Option<()> {
        let (at, wanted, places) = shape.timestamp;
        let at = from + at as usize;
        let timestamp = number::instant(self.buf, at, bytes::sixteen(self.buf, at))?;
        if self.put(places, timestamp) != from + wanted as usize {
            return None;
        }
        for part in &shape.parts {
            let (at, wanted) = (from + part.at as usize, from + part.end as usize);
            let near = bytes::sixteen(self.buf, at);
            let end = match &part.value {
                Value::Instant(places) => self.put(*places, number::instant(self.buf, at, near)?),
                Value::Amount(places) => self.put(*places, number::amount(self.buf, at)?),
                Value::Whole => at + number::whole(near)?,
                Value::TextOf(entry) => self.unusual(entry, at, wanted)? - 1,
                Value::Other(entry) => self.other(entry, at)?,
                Value::Text(_) => wanted,
            };
            if end != wanted {
                return None;
            }
        }
        // Nothing is odd or escaped in a line that has an outline, so that `texts` has nothing to say.
        Some(())
    }

    /// A text that is taken as it is.
    #[inline(always)]
    fn text(&mut self, places: [u32; 2], at: usize, len: u32) {
        let [first, second] = places.map(|place| place as usize);
        if first != NOWHERE {
            self.line.put_text(first, at as u32, len);
            if second != NOWHERE {
                self.line.put_text(second, at as u32, len);
            }
        }
    }

    #[inline(always)]
    fn put(&mut self, places: [u32; 2], (n, end): (i64, usize)) -> usize {
        self.line.put_word(places[0] as usize, n as u64);
        self.line.put_word(places[1] as usize, n as u64);
        end
    }

    /// A text with something in it besides printable ASCII, from `odd` on, or that not all want as it is.
    #[inline(never)]
    fn unusual(&mut self, entry: &Entry, at: usize, odd: usize) -> Option<usize> {
        let found = bytes::odd_string(self.buf, odd)?;
        if ((found.end - at) as u32).wrapping_sub(entry.least) > entry.span {
            return None;
        }
        self.texts.odd |= found.odd;
        self.texts.escaped |= found.escaped && entry.depth > 0;
        let text = &self.buf[at..found.end];
        let deceives = || found.odd && std::str::from_utf8(text).is_ok_and(event::is_deceptive);
        if entry.id && (found.escaped || deceives()) {
            return None;
        }
        if !entry.targets.is_empty() {
            let cell = self.cell(at, found);
            for place in &entry.targets {
                self.line.all[*place] = cell;
            }
        }
        self.inside(entry, at - 1, found.end + 1)?;
        Some(found.end + 1)
    }

    fn cell(&mut self, from: usize, found: bytes::Str) -> Cell {
        if !found.escaped {
            return Cell::Read { from: from as u32, len: (found.end - from) as u32 };
        }
        let begins = self.line.own.len() as u32;
        unescape(&self.buf[from..found.end], &mut self.line.own);
        Cell::Own { from: begins, len: self.line.own.len() as u32 - begins }
    }

    /// A number, given with what is behind it, if it was one; or nothing.
    #[inline(always)]
    fn number(&mut self, steps: &Steps, step: &Step, at: usize, read: Option<(i64, usize)>) -> Option<usize> {
        let Some((n, end)) = read else { return self.null(steps.entry(step), at) };
        self.put(step.places, (n, end));
        if step.several {
            for place in &steps.entry(step).targets {
                self.line.put_word(*place, n as u64);
            }
        }
        Some(end)
    }

    #[inline(never)]
    fn null(&mut self, entry: &Entry, at: usize) -> Option<usize> {
        (entry.nullable && self.buf[at..].starts_with(b"null")).then_some(at + 4)
    }

    /// What is no string under a key that an event's form does not know. A field twice has its last value.
    #[inline(never)]
    fn other(&mut self, entry: &Entry, at: usize) -> Option<usize> {
        if entry.kind == Kind::Text {
            return self.null(entry, at);
        }
        let end = json::value(self.buf, at, entry.depth, &mut self.texts)?;
        for place in &entry.targets {
            self.line.all[*place] = Cell::Null;
        }
        self.inside(entry, at, end)?;
        Some(end)
    }

    /// Fills the places that want the value in `at..end` as something else than its text.
    fn inside(&mut self, entry: &Entry, at: usize, end: usize) -> Option<()> {
        for want in &entry.typed {
            let found =
                if want.path.is_empty() { Some((at, end)) } else { json::find(self.buf, at, &want.path).ok()? };
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
        if let Type::List(_) = ty {
            let (from, len) = (from as u32, text.len() as u32);
            return Some(rows::array(text).map_or(Cell::Null, |_| Cell::Read { from, len }));
        }
        Some(rows::word(text, ty).map_or(Cell::Null, Cell::Word))
    }
}
