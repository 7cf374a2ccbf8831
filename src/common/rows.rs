//! Rows: events as columns, a block of them at a time, with only the fields that definitions look at.
//!
//! A block is what readers hand to the engine. Every column has one entry a row.

use crate::event::{Event, raw_str};
use crate::money::Decimal;
use crate::time::{Day, Millis};
use crate::value::{Datum, Type};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One field of an event that some expression names: its path and the type it is read as.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Field {
    /// `["category"]`, or `["properties", "duration"]` for a nested one.
    pub path: Vec<String>,
    pub ty: Type,
}

impl Field {
    pub fn new(path: &str, ty: Type) -> Field {
        Field { path: path.split('.').map(str::to_string).collect(), ty }
    }
}

/// The fields a set of definitions needs; an expression names one by its place here.
#[derive(Clone, Default, Debug)]
pub struct Projection {
    pub fields: Vec<Field>,
}

impl Projection {
    /// The place of `field`, added when it is new.
    pub fn slot(&mut self, field: Field) -> usize {
        match self.fields.iter().position(|known| *known == field) {
            Some(slot) => slot,
            None => {
                self.fields.push(field);
                self.fields.len() - 1
            }
        }
    }
}

/// What an expression reads from: a row of a block, or the tags of a key.
pub trait Row {
    /// The value in `slot`, typed as its declaration says, or NULL.
    fn datum(&self, slot: usize) -> Datum<'_>;
    /// The instant at which the row is looked at, for `as_of()`; NULL in an aggregation.
    fn as_of(&self) -> Datum<'_> {
        Datum::Null
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// Events as columns. Strings share one arena, so a block is a handful of allocations however many rows it has.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub(crate) timestamps: Vec<Millis>,
    pub(crate) ids: Vec<Ids>,
    pub(crate) columns: Vec<Column>,
    pub(crate) text: String,
    /// The days on which the rows were received, where somebody asked; the nightly path does not.
    days: Vec<Day>,
}

/// What every row has besides its fields.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Empty for the default tenant.
    pub tenant: &'a str,
    pub user: &'a str,
    pub event_id: &'a str,
    pub timestamp: Millis,
}

/// Where a row's ids lie in the arena: `tenant NUL user NUL eventId NUL`, in one piece.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids {
    pub(crate) tenant: u32,
    pub(crate) user: u32,
    pub(crate) event_id: u32,
    pub(crate) end: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    ty: Type,
    /// The value's bits; for a string, where it lies in the arena.
    words: Vec<u64>,
    present: Vec<bool>,
    distinct: bool,
}

/// A row of a block and the place, among the keys of a fold, of the key whose tags it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    pub row: u32,
    pub place: u32,
}

/// All rows of one column, read only.
#[derive(Clone, Copy)]
pub struct ColumnView<'a> {
    pub ty: Type,
    /// One a row: a whole number, an instant, millionths of a decimal, the bits of a double, 0 or 1; see `span` for a text.
    pub words: &'a [u64],
    /// Whether the row has a value; where not, its word is 0.
    pub present: &'a [bool],
    /// Equal texts have equal words: each lies in the arena once.
    pub distinct: bool,
    /// The arena that texts lie in.
    pub text: &'a str,
}

impl<'a> ColumnView<'a> {
    /// Where the text of row `i` begins in the arena, and its length in bytes.
    pub fn span(&self, i: usize) -> (usize, usize) {
        let Span { start, len } = Span::of_word(self.words[i]);
        (start as usize, len as usize)
    }

    /// The value of row `i`, or NULL.
    #[inline]
    pub fn datum(&self, i: usize) -> Datum<'a> {
        if !self.present[i] {
            return Datum::Null;
        }
        let word = self.words[i];
        match self.ty {
            Type::Bool => Datum::Bool(word != 0),
            Type::Int => Datum::Int(word as i64),
            Type::Decimal => Datum::Decimal(Decimal(i128::from(word as i64))),
            Type::Double => Datum::Double(f64::from_bits(word)),
            Type::String => Datum::Str(Span::of_word(word).of(self.text)),
            Type::Datetime => Datum::Time(word as i64),
            Type::List(_) => Datum::Json(Span::of_word(word).of(self.text)),
            // No field is a map.
            Type::Map(_) => Datum::Null,
        }
    }
}

impl Span {
    pub(crate) fn word(self) -> u64 {
        u64::from(self.start) << 32 | u64::from(self.len)
    }

    pub(crate) fn of_word(word: u64) -> Span {
        Span { start: (word >> 32) as u32, len: word as u32 }
    }

    fn of(self, text: &str) -> &str {
        &text[self.start as usize..(self.start + self.len) as usize]
    }
}

/// What makes each row of a block the event it is, without the block.
#[derive(Default)]
pub struct Identities {
    ids: Vec<Ids>,
    text: String,
}

impl Identities {
    /// `tenant NUL user NUL eventId NUL` of row `i`.
    pub fn of(&self, i: usize) -> &[u8] {
        self.ids[i].identity(&self.text)
    }
}

impl Ids {
    #[inline]
    fn identity(self, text: &str) -> &[u8] {
        &text.as_bytes()[self.tenant as usize..self.end as usize]
    }
}

impl Block {
    pub fn new(projection: &Projection) -> Block {
        Block::with_capacity(projection, 0, 0)
    }

    /// A block with room for so many rows and bytes of text.
    pub fn with_capacity(projection: &Projection, rows: usize, text: usize) -> Block {
        let column = |field: &Field| {
            let (words, present) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
            Column { ty: field.ty, words, present, distinct: false }
        };
        Block {
            timestamps: Vec::with_capacity(rows),
            ids: Vec::with_capacity(rows),
            columns: projection.fields.iter().map(column).collect(),
            text: String::with_capacity(text),
            days: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes of text held: with `len`, what bounds a block.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// No rows, and the room of those there were: for the next ones.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.ids.clear();
        self.text.clear();
        self.days.clear();
        for column in &mut self.columns {
            column.words.clear();
            column.present.clear();
        }
    }

    /// Adds an event as a row.
    pub fn push(&mut self, event: &Event, projection: &Projection) {
        self.push_head(&Head {
            tenant: event.tenant_id.as_deref().unwrap_or(""),
            user: &event.user_id,
            event_id: &event.event_id,
            timestamp: event.timestamp,
        });
        for (slot, field) in projection.fields.iter().enumerate() {
            let word = field_of(event, field).map(|word| match word {
                Word::Bits(bits) => bits,
                Word::Text(text) => keep(&mut self.text, &text).word(),
            });
            self.columns[slot].push(word);
        }
    }

    /// Adds a row whose fields are typed already: one value a column, of the column's type or NULL, as `datum` gives them back.
    pub fn push_typed(&mut self, head: &Head<'_>, values: &[Datum<'_>]) {
        self.push_head(head);
        debug_assert_eq!(values.len(), self.columns.len(), "one value a column");
        for (column, value) in self.columns.iter_mut().zip(values) {
            let word = match *value {
                Datum::Null => None,
                Datum::Json(text) => Some(keep(&mut self.text, text).word()),
                Datum::Bool(b) => Some(u64::from(b)),
                Datum::Int(n) | Datum::Time(n) => Some(n as u64),
                Datum::Decimal(d) => Some(d.0 as i64 as u64),
                Datum::Double(x) => Some(x.to_bits()),
                Datum::Str(text) => Some(keep(&mut self.text, text).word()),
            };
            column.push(word);
        }
    }

    pub(crate) fn push_head(&mut self, head: &Head<'_>) {
        self.timestamps.push(head.timestamp);
        let tenant = self.text.len();
        let user = tenant + head.tenant.len() + 1;
        let event_id = user + head.user.len() + 1;
        let end = event_id + head.event_id.len() + 1;
        // Ids hold no control characters, so NUL separates.
        for id in [head.tenant, head.user, head.event_id] {
            self.text.push_str(id);
            self.text.push('\0');
        }
        let [tenant, user, event_id, end] = [tenant, user, event_id, end].map(|at| at as u32);
        self.ids.push(Ids { tenant, user, event_id, end });
    }

    /// Row `i` as an expression sees it.
    pub fn row(&self, i: usize) -> BlockRow<'_> {
        BlockRow { block: self, i }
    }

    pub fn timestamp(&self, i: usize) -> Millis {
        self.timestamps[i]
    }

    /// Says on which day the last row was received: of every row of a block, or of none.
    pub fn received_on(&mut self, day: Day) {
        self.days.push(day);
        debug_assert_eq!(self.days.len(), self.ids.len(), "a day for each row");
    }

    /// The day on which row `i` was received; one and the same for all where nobody said.
    pub fn day(&self, i: usize) -> Day {
        self.days.get(i).copied().unwrap_or(0)
    }

    /// Of all rows.
    pub fn timestamps(&self) -> &[Millis] {
        &self.timestamps
    }

    pub fn tenant(&self, i: usize) -> &str {
        let ids = &self.ids[i];
        &self.text[ids.tenant as usize..ids.user as usize - 1]
    }

    pub fn user(&self, i: usize) -> &str {
        let ids = &self.ids[i];
        &self.text[ids.user as usize..ids.event_id as usize - 1]
    }

    pub fn event_id(&self, i: usize) -> &str {
        let ids = &self.ids[i];
        &self.text[ids.event_id as usize..ids.end as usize - 1]
    }

    /// What makes row `i` the event it is: `tenant NUL user NUL eventId NUL`.
    pub fn identity(&self, i: usize) -> &[u8] {
        self.ids[i].identity(&self.text)
    }

    /// Takes the identities out, in exchange for memory of former ones; no rows are left.
    pub fn take_identities(&mut self, spare: Identities) -> Identities {
        let Identities { ids, text } = spare;
        let identities =
            Identities { ids: std::mem::replace(&mut self.ids, ids), text: std::mem::replace(&mut self.text, text) };
        self.clear();
        identities
    }

    /// The column of a field of the projection.
    pub fn column(&self, slot: usize) -> ColumnView<'_> {
        let Column { ty, words, present, distinct } = &self.columns[slot];
        ColumnView { ty: *ty, words, present, distinct: *distinct, text: &self.text }
    }

    pub fn datum(&self, slot: usize, i: usize) -> Datum<'_> {
        self.column(slot).datum(i)
    }

    /// Lets equal texts of a column lie in one place, as unpacking does.
    #[cfg(test)]
    pub(crate) fn texts_once(&mut self, slot: usize) {
        let mut places = std::collections::HashMap::new();
        let Column { words, present, .. } = &mut self.columns[slot];
        for (word, _) in words.iter_mut().zip(present).filter(|(_, present)| **present) {
            *word = *places.entry(Span::of_word(*word).of(&self.text)).or_insert(*word);
        }
        self.columns[slot].texts_before(u32::MAX);
    }
}

impl Column {
    /// So many rows without a value: their words and whether they are present, to be set.
    pub(crate) fn room(&mut self, rows: usize) -> (&mut [u64], &mut [bool]) {
        self.words.clear();
        self.words.resize(rows, 0);
        self.present.clear();
        self.present.resize(rows, false);
        self.distinct = false;
        (&mut self.words, &mut self.present)
    }

    /// These words, one a row, all present.
    pub(crate) fn fill(&mut self, words: impl ExactSizeIterator<Item = u64>) {
        self.words.clear();
        self.words.extend(words);
        self.present.clear();
        self.present.resize(self.words.len(), true);
    }

    /// Says whether all its texts begin before `end`, where each lies once.
    pub(crate) fn texts_before(&mut self, end: u32) {
        self.distinct = self.words.iter().all(|word| Span::of_word(*word).start < end);
    }

    pub(crate) fn push(&mut self, word: Option<u64>) {
        self.distinct = false;
        self.words.push(word.unwrap_or(0));
        self.present.push(word.is_some());
    }
}

/// Adds `text` to the arena.
pub(crate) fn keep(arena: &mut String, text: &str) -> Span {
    let start = arena.len() as u32;
    arena.push_str(text);
    Span { start, len: text.len() as u32 }
}

/// The value of one field of an event.
pub(crate) enum Word<'a> {
    /// The bits of anything that is no text.
    Bits(u64),
    Text(Cow<'a, str>),
}

/// The value of a field, or `None` for NULL: a field of another type than declared is NULL, since the declaration says
/// what the expressions mean.
pub(crate) fn field_of<'a>(event: &Event<'a>, field: &Field) -> Option<Word<'a>> {
    if let [name] = &field.path[..] {
        match name.as_str() {
            "timestamp" => return Some(Word::Bits(event.timestamp as u64)),
            "receivedAt" => return event.received_at.map(|t| Word::Bits(t as u64)),
            "amount" => return event.amount.map(|d| Word::Bits(d.0 as i64 as u64)),
            _ => {}
        }
    }
    let mut raw = event.raw(&field.path[0])?;
    if field.path.len() > 1 {
        raw = nested(raw, &field.path[1..])?;
    }
    match field.ty {
        Type::String => raw_str(raw).map(Word::Text),
        Type::List(_) => array(raw.get()).map(|json| Word::Text(json.into())),
        ty => word(raw.get(), ty).map(Word::Bits),
    }
}

/// The bits of a JSON value as a type that is no text; `None` where it is of another.
pub(crate) fn word(json: &str, ty: Type) -> Option<u64> {
    match ty {
        Type::String | Type::List(_) | Type::Map(_) => None,
        Type::Bool => matches!(json, "true" | "false").then(|| u64::from(json == "true")),
        Type::Int | Type::Datetime => json.parse::<i64>().ok().map(|n| n as u64),
        Type::Decimal => Decimal::parse(json).ok().map(|d| d.0 as i64 as u64),
        Type::Double => json.parse::<f64>().ok().filter(|x| x.is_finite()).map(f64::to_bits),
    }
}

/// A JSON value that is an array, as it is written.
pub(crate) fn array(json: &str) -> Option<&str> {
    json.starts_with('[').then_some(json)
}

/// The value under `path` inside a raw object.
fn nested<'a>(raw: &'a RawValue, path: &[String]) -> Option<&'a RawValue> {
    let mut raw = raw;
    for name in path {
        let object: std::collections::HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(raw.get()).ok()?;
        raw = object.get(name.as_str()).copied()?;
    }
    Some(raw)
}

/// One row of a block.
#[derive(Clone, Copy)]
pub struct BlockRow<'a> {
    block: &'a Block,
    i: usize,
}

impl Row for BlockRow<'_> {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.block.datum(slot, self.i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Rules;

    #[test]
    fn a_row_gives_back_the_fields_it_was_asked_for() {
        let mut projection = Projection::default();
        let amount = projection.slot(Field::new("amount", Type::Decimal));
        let category = projection.slot(Field::new("category", Type::String));
        let duration = projection.slot(Field::new("properties.duration", Type::Int));
        let wrong = projection.slot(Field::new("category", Type::Int));
        assert_eq!(projection.slot(Field::new("amount", Type::Decimal)), amount);
        let line = r#"{"eventId":"e","userId":"u","eventType":"click","timestamp":5,"amount":1.5,"category":"caf\u00e9","properties":{"duration":42}}"#;
        let event = Event::parse(line.as_bytes(), 10, &Rules::default()).expect("valid").expect("not blank");
        let mut block = Block::new(&projection);
        block.push(&event, &projection);
        let row = block.row(0);
        assert_eq!(row.datum(amount), Datum::Decimal(Decimal(1_500_000)));
        assert_eq!(row.datum(category), Datum::Str("café"));
        assert_eq!(row.datum(duration), Datum::Int(42));
        assert_eq!(row.datum(wrong), Datum::Null);
        assert_eq!((block.user(0), block.event_id(0), block.timestamp(0)), ("u", "e", 5));
        assert_eq!(block.identity(0), b"\0u\0e\0");

        let values: Vec<Datum> = (0..projection.fields.len()).map(|slot| row.datum(slot)).collect();
        let head = Head { tenant: "t", user: "u2", event_id: "e2", timestamp: 6 };
        let mut again = Block::new(&projection);
        again.push_typed(&head, &values);
        again.clear();
        again.push_typed(&head, &values);
        assert_eq!((0..values.len()).map(|slot| again.datum(slot, 0)).collect::<Vec<_>>(), values);
        assert_eq!((again.len(), again.tenant(0), again.user(0), again.event_id(0)), (1, "t", "u2", "e2"));
        assert_eq!(again.timestamps(), &[6]);
    }
}
