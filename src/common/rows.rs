//! Rows: events as columns, a block of them at a time, with only the fields that definitions look at.
//!
//! A block is what readers hand to the engine. Every column has one entry a row.

use crate::event::{Event, raw_str};
use crate::money::Decimal;
use crate::time::Millis;
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
struct Span {
    start: u32,
    len: u32,
}

/// Events as columns. Strings share one arena, so a block is a handful of allocations however many rows it has.
#[derive(Clone, Debug, Default)]
pub struct Block {
    heads: Vec<Head>,
    columns: Vec<Column>,
    text: String,
}

/// What every row has.
#[derive(Clone, Copy, Debug)]
struct Head {
    timestamp: Millis,
    received: Millis,
    tenant: Span,
    user: Span,
    event_id: Span,
}

#[derive(Clone, Debug)]
struct Column {
    ty: Type,
    /// The value's bits; for a string, where it lies in the arena.
    words: Vec<u64>,
    present: Vec<bool>,
}

impl Block {
    pub fn new(projection: &Projection) -> Block {
        Block::with_capacity(projection, 0, 0)
    }

    /// A block with room for so many rows and bytes of text.
    pub fn with_capacity(projection: &Projection, rows: usize, text: usize) -> Block {
        let column =
            |field: &Field| Column { ty: field.ty, words: Vec::with_capacity(rows), present: Vec::with_capacity(rows) };
        let columns = projection.fields.iter().map(column).collect();
        Block { heads: Vec::with_capacity(rows), columns, text: String::with_capacity(text) }
    }

    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes of text held: with `len`, what bounds a block.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    pub fn clear(&mut self) {
        self.heads.clear();
        self.text.clear();
        for column in &mut self.columns {
            column.words.clear();
            column.present.clear();
        }
    }

    /// Adds an event as a row. `received` stands in where the event carries no `receivedAt`.
    pub fn push(&mut self, event: &Event, projection: &Projection, received: Millis) {
        let head = Head {
            timestamp: event.timestamp,
            received: event.received_at.unwrap_or(received),
            tenant: self.keep(event.tenant_id.as_deref().unwrap_or("")),
            user: self.keep(&event.user_id),
            event_id: self.keep(&event.event_id),
        };
        self.heads.push(head);
        for (slot, field) in projection.fields.iter().enumerate() {
            let word = self.word(event, field);
            let column = &mut self.columns[slot];
            column.words.push(word.unwrap_or(0));
            column.present.push(word.is_some());
        }
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, len: text.len() as u32 }
    }

    fn word(&mut self, event: &Event, field: &Field) -> Option<u64> {
        if let [name] = &field.path[..] {
            match name.as_str() {
                "timestamp" => return Some(event.timestamp as u64),
                "receivedAt" => return event.received_at.map(|t| t as u64),
                "amount" => return event.amount.map(|d| d.0 as i64 as u64),
                _ => {}
            }
        }
        let raw = event.raw(&field.path[0])?;
        if field.path.len() == 1 {
            return self.read(raw, field.ty);
        }
        let inner = nested(raw, &field.path[1..])?;
        self.read(inner, field.ty)
    }

    /// A field of another type than declared is NULL: the declaration says what the expressions mean.
    fn read(&mut self, raw: &RawValue, ty: Type) -> Option<u64> {
        let text = raw.get();
        match ty {
            Type::String => raw_str(raw).map(|text| {
                let span = self.keep(&text);
                u64::from(span.start) << 32 | u64::from(span.len)
            }),
            Type::Bool => matches!(text, "true" | "false").then(|| u64::from(text == "true")),
            Type::Int | Type::Datetime => text.parse::<i64>().ok().map(|n| n as u64),
            Type::Decimal => Decimal::parse(text).ok().map(|d| d.0 as i64 as u64),
            Type::Double => text.parse::<f64>().ok().filter(|x| x.is_finite()).map(f64::to_bits),
        }
    }

    /// Row `i` as an expression sees it.
    pub fn row(&self, i: usize) -> BlockRow<'_> {
        BlockRow { block: self, i }
    }

    pub fn timestamp(&self, i: usize) -> Millis {
        self.heads[i].timestamp
    }

    pub fn received(&self, i: usize) -> Millis {
        self.heads[i].received
    }

    pub fn tenant(&self, i: usize) -> &str {
        self.text_at(self.heads[i].tenant)
    }

    pub fn user(&self, i: usize) -> &str {
        self.text_at(self.heads[i].user)
    }

    pub fn event_id(&self, i: usize) -> &str {
        self.text_at(self.heads[i].event_id)
    }

    fn text_at(&self, span: Span) -> &str {
        &self.text[span.start as usize..(span.start + span.len) as usize]
    }

    pub fn datum(&self, slot: usize, i: usize) -> Datum<'_> {
        let column = &self.columns[slot];
        if !column.present[i] {
            return Datum::Null;
        }
        let word = column.words[i];
        match column.ty {
            Type::Bool => Datum::Bool(word != 0),
            Type::Int => Datum::Int(word as i64),
            Type::Decimal => Datum::Decimal(Decimal(i128::from(word as i64))),
            Type::Double => Datum::Double(f64::from_bits(word)),
            Type::String => Datum::Str(self.text_at(Span { start: (word >> 32) as u32, len: word as u32 })),
            Type::Datetime => Datum::Time(word as i64),
        }
    }
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
        block.push(&event, &projection, 10);
        let row = block.row(0);
        assert_eq!(row.datum(amount), Datum::Decimal(Decimal(1_500_000)));
        assert_eq!(row.datum(category), Datum::Str("café"));
        assert_eq!(row.datum(duration), Datum::Int(42));
        assert_eq!(row.datum(wrong), Datum::Null);
        assert_eq!((block.user(0), block.event_id(0), block.timestamp(0), block.received(0)), ("u", "e", 5, 10));
    }
}
