//! Packed rows: what a reader found in many lines, in few bytes, until it is folded.
//!
//! A row is some ten bytes of lengths and numbers and its texts, which lie as a block wants them: unpacking moves the
//! arena and copies nothing.

use crate::reader::{Cell, Line};
use crate::rows::{Block, Column, Field, Head, Ids, Projection, Span, keep};
use crate::time::Millis;
use crate::value::Type;

/// How the fields of a projection are packed.
pub struct Packing {
    fields: Vec<How>,
    /// Bytes of the bits that say which fields are there.
    bits: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum How {
    /// The row's own timestamp.
    Timestamp,
    Text,
    /// A number that is usually small.
    Whole,
    Double,
}

/// Packed rows, in the order they came.
#[derive(Debug, Default)]
pub struct Packed {
    /// Lengths and numbers, row by row.
    heads: Vec<u8>,
    /// `tenant NUL user NUL eventId NUL` and the texts of the fields, row by row; UTF-8.
    text: Vec<u8>,
    rows: u32,
}

const TIMESTAMP_BITS: u32 = 48;

impl Packing {
    pub fn new(projection: &Projection) -> Packing {
        let how = |field: &Field| match field.ty {
            _ if field.path == ["timestamp"] => How::Timestamp,
            Type::String => How::Text,
            Type::Double => How::Double,
            Type::Bool | Type::Int | Type::Decimal | Type::Datetime => How::Whole,
            // No field is one: there is nothing but NULL to keep.
            Type::List(_) | Type::Map(_) => How::Whole,
        };
        let fields: Vec<How> = projection.fields.iter().map(how).collect();
        Packing { bits: fields.len().div_ceil(8), fields }
    }
}

impl Packed {
    /// Room for rows of so many bytes in all.
    pub fn with_capacity(bytes: usize) -> Packed {
        Packed { heads: Vec::with_capacity(bytes / 4), text: Vec::with_capacity(bytes - bytes / 4), rows: 0 }
    }

    pub fn len(&self) -> usize {
        self.rows as usize
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes held, used or not.
    pub fn capacity(&self) -> usize {
        self.heads.capacity() + self.text.capacity()
    }

    /// Whether a usual row may not find room any more.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.heads.capacity() - self.heads.len() < 64 || self.text.capacity() - self.text.len() < 256
    }

    /// Gives back the room that most of is not used.
    pub fn trim(&mut self) {
        if self.heads.len() + self.text.len() < self.capacity() / 2 {
            self.heads.shrink_to_fit();
            self.text.shrink_to_fit();
        }
    }

    /// Adds a line that was read from `buf`.
    #[inline]
    pub fn push(&mut self, packing: &Packing, line: &Line, buf: &[u8]) {
        let tenant = self.keep(line.text(line.tenant(), buf));
        self.text.push(0);
        let user = self.keep(line.text(line.user(), buf));
        self.text.push(0);
        let event_id = self.keep(line.text(line.event_id(), buf));
        self.text.push(0);
        // A user id has 256 bytes at most, an event id 128, a tenant 64; a timestamp of our time fits into 47 bits.
        let head = line.timestamp() as u64 | (user as u64) << TIMESTAMP_BITS;
        self.heads.extend_from_slice(&head.to_le_bytes());
        self.heads.extend_from_slice(&[event_id as u8, tenant as u8]);
        let bits = self.heads.len();
        self.heads.resize(bits + packing.bits, 0);
        for (group, (fields, cells)) in packing.fields.chunks(8).zip(line.cells().chunks(8)).enumerate() {
            let mut present = 0;
            for (i, (how, cell)) in fields.iter().zip(cells).enumerate() {
                match (how, *cell) {
                    (How::Timestamp, _) | (_, Cell::Null) => continue,
                    (How::Whole, Cell::Word(word)) => self.put(zigzag(word as i64)),
                    (How::Double, Cell::Word(word)) => self.heads.extend_from_slice(&word.to_le_bytes()),
                    (_, text) => {
                        let len = self.keep(line.text(text, buf));
                        self.put(len as u64);
                    }
                }
                present |= 1 << i;
            }
            // Once for all eight: a byte that was just written is slow to be read back.
            self.heads[bits + group] = present;
        }
        self.rows += 1;
    }

    #[inline(always)]
    fn keep(&mut self, text: &[u8]) -> usize {
        self.text.extend_from_slice(text);
        text.len()
    }

    #[inline(always)]
    fn put(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.heads.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.heads.push(n as u8);
    }

    /// Writes the rows behind `out`, as `read` takes them.
    pub fn write(&self, out: &mut Vec<u8>) {
        for n in [self.rows, self.heads.len() as u32, self.text.len() as u32] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.heads);
        out.extend_from_slice(&self.text);
    }

    /// What `write` wrote at the beginning of `input`, which moves behind it; `None`: it was not.
    pub fn read(input: &mut &[u8]) -> Option<Packed> {
        let mut number = || {
            let (n, rest) = input.split_first_chunk::<4>()?;
            *input = rest;
            Some(u32::from_le_bytes(*n))
        };
        let (rows, heads, text) = (number()?, number()? as usize, number()? as usize);
        if input.len() < heads + text {
            return None;
        }
        let (heads, rest) = input.split_at(heads);
        let (text, rest) = rest.split_at(text);
        *input = rest;
        Some(Packed { heads: heads.to_vec(), text: text.to_vec(), rows })
    }
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

impl Block {
    /// Adds the event of a line, read from `buf` for the projection of this block, as a row.
    pub fn push_line(&mut self, line: &Line, buf: &[u8]) {
        let text = |cell| std::str::from_utf8(line.text(cell, buf)).expect("readers give out UTF-8 only");
        self.push_head(&Head {
            tenant: text(line.tenant()),
            user: text(line.user()),
            event_id: text(line.event_id()),
            timestamp: line.timestamp(),
        });
        for (column, cell) in self.columns.iter_mut().zip(line.cells()) {
            let word = match *cell {
                Cell::Null => None,
                Cell::Word(bits) => Some(bits),
                cell => Some(keep(&mut self.text, text(cell)).word()),
            };
            column.push(word);
        }
    }

    /// The rows that were packed, in the place of those the block holds.
    pub fn unpack(&mut self, packing: &Packing, packed: Packed) {
        self.clear();
        self.text = String::from_utf8(packed.text).expect("readers give out UTF-8 only");
        let mut heads = Heads { bytes: &packed.heads, text: 0 };
        self.timestamps.reserve(packed.rows as usize);
        self.ids.reserve(packed.rows as usize);
        for _ in 0..packed.rows {
            let (timestamp, ids) = heads.ids();
            self.timestamps.push(timestamp);
            self.ids.push(ids);
            let (bits, rest) = heads.bytes.split_at(packing.bits);
            heads.bytes = rest;
            for (i, (how, column)) in packing.fields.iter().zip(&mut self.columns).enumerate() {
                let present = bits[i / 8] & (1 << (i % 8)) != 0;
                heads.field(*how, present, timestamp, column);
            }
        }
    }
}

/// What is not unpacked yet.
struct Heads<'a> {
    bytes: &'a [u8],
    /// Where the next text begins.
    text: u32,
}

impl Heads<'_> {
    #[inline(always)]
    fn ids(&mut self) -> (Millis, Ids) {
        let (head, rest) = self.bytes.split_first_chunk::<10>().expect("whole rows");
        self.bytes = rest;
        let word = u64::from_le_bytes(*head.first_chunk().expect("ten bytes"));
        let timestamp = (word & ((1 << TIMESTAMP_BITS) - 1)) as Millis;
        let tenant = self.text;
        let user = tenant + u32::from(head[9]) + 1;
        let event_id = user + (word >> TIMESTAMP_BITS) as u32 + 1;
        let end = event_id + u32::from(head[8]) + 1;
        self.text = end;
        (timestamp, Ids { tenant, user, event_id, end })
    }

    #[inline(always)]
    fn field(&mut self, how: How, present: bool, timestamp: Millis, column: &mut Column) {
        let word = match how {
            How::Timestamp => Some(timestamp as u64),
            _ if !present => None,
            How::Whole => {
                let n = self.number();
                Some(((n >> 1) as i64 ^ -((n & 1) as i64)) as u64)
            }
            How::Double => {
                let (word, rest) = self.bytes.split_first_chunk().expect("whole rows");
                self.bytes = rest;
                Some(u64::from_le_bytes(*word))
            }
            How::Text => {
                let span = Span { start: self.text, len: self.number() as u32 };
                self.text += span.len;
                Some(span.word())
            }
        };
        column.push(word);
    }

    #[inline(always)]
    fn number(&mut self) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.bytes.split_first().expect("whole rows");
            self.bytes = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return n;
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Rules};
    use crate::reader::Reader;
    use proptest::prelude::*;

    const NOW: Millis = 1_731_300_000_000;

    fn projection() -> Projection {
        let mut projection = Projection::default();
        for (path, ty) in [
            ("timestamp", Type::Datetime),
            ("receivedAt", Type::Datetime),
            ("category", Type::String),
            ("amount", Type::Decimal),
            ("x", Type::Double),
            ("x", Type::Int),
            ("x", Type::Bool),
            ("x", Type::String),
            ("properties.name", Type::String),
        ] {
            projection.slot(Field::new(path, ty));
        }
        projection
    }

    proptest! {
        #[test]
        fn what_is_packed_and_unpacked_or_pushed_line_by_line_is_the_block_of_the_same_events(
            rows in proptest::collection::vec(
                (
                    "[a-zé日]{1,9}", "[a-z0-9]{1,36}", 1_731_200_000_000..NOW, proptest::option::of("[a-z\"\\\\é]{0,9}"),
                    proptest::option::of(-1_000_000_000_000i64..1_000_000_000_000),
                    proptest::option::of(prop_oneof![Just("true".to_string()), "-?[1-9][0-9]{0,17}", "-?[0-9]\\.[0-9]{1,4}", "\"[a-z]{0,4}\""]),
                    proptest::option::of("[a-z]{1,4}"),
                ), 0..40),
        ) {
            let (projection, rules) = (projection(), Rules::default());
            let packing = Packing::new(&projection);
            let mut reader = Reader::new(&projection, &rules);
            let mut packed = Packed::with_capacity(64);
            let (mut want, mut direct) = (Block::new(&projection), Block::new(&projection));
            for (i, (user, id, timestamp, category, cents, x, tenant)) in rows.iter().enumerate() {
                let mut event = serde_json::json!({"eventId": id, "userId": user, "eventType": "click", "timestamp": timestamp});
                if let Some(category) = category { event["category"] = category.as_str().into(); }
                if let Some(x) = x { event["x"] = serde_json::from_str(x).expect("JSON"); }
                if let Some(tenant) = tenant { event["tenantId"] = tenant.as_str().into(); }
                if i % 2 == 0 { event["properties"] = serde_json::json!({"name": user, "other": [1]}); }
                if let Some(cents) = cents { event["amount"] = serde_json::from_str(&format!("{}.{:02}", cents / 100, cents.abs() % 100)).expect("JSON"); }
                let line = event.to_string();
                prop_assert_eq!(reader.read_alone(line.as_bytes(), NOW).map_err(|r| r.reason), Ok(true));
                packed.push(&packing, reader.line(), reader.spare());
                direct.push_line(reader.line(), reader.spare());
                let event = Event::parse(line.as_bytes(), NOW, &rules).expect("valid").expect("not blank");
                want.push(&event, &projection);
            }
            let mut bytes = Vec::new();
            packed.write(&mut bytes);
            let mut input = &bytes[..];
            let again = Packed::read(&mut input).expect("just written");
            prop_assert!(input.is_empty() && Packed::read(&mut &bytes[..bytes.len() - 1]).is_none() );
            let mut block = Block::new(&projection);
            block.unpack(&packing, again);
            for block in [block, direct] {
                prop_assert_eq!(block.len(), want.len());
                for i in 0..want.len() {
                    prop_assert_eq!(block.identity(i), want.identity(i));
                    prop_assert_eq!((block.tenant(i), block.user(i), block.event_id(i)), (want.tenant(i), want.user(i), want.event_id(i)));
                    prop_assert_eq!(block.timestamp(i), want.timestamp(i));
                    for slot in 0..projection.fields.len() {
                        prop_assert_eq!(block.datum(slot, i), want.datum(slot, i), "row {} slot {}", i, slot);
                    }
                }
            }
        }
    }
}
