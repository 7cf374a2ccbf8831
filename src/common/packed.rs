//! Packed rows: what a reader found in many lines, in few bytes, until it is folded.
//!
//! A row is some ten bytes of lengths and numbers and, behind them, its texts in one piece, as a block wants them.
//! A text that a writer has met before in the same field is one byte, its number among the writer's `Words`.

mod row;
mod words;

use crate::reader::{Cell, Line};
use crate::rows::{Block, Field, Head, Ids, Projection, Span, keep};
use crate::time::Millis;
use crate::value::Type;
use bytes::BytesMut;
pub use words::Words;
use words::{INLINE, SHORT};

/// How the fields of a projection are packed.
pub struct Packing {
    fields: Vec<How>,
    /// Bytes of the bits that say which fields are there.
    bits: usize,
    /// The fields that are texts.
    texts: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum How {
    /// The row's own timestamp.
    Timestamp,
    /// By its number among the texts of a row.
    Text(usize),
    /// A number that is usually small.
    Whole,
    Double,
}

/// Packed rows, in the order they came, in a piece of memory that does not grow.
#[derive(Debug, Default)]
pub struct Packed {
    bytes: BytesMut,
    used: usize,
    rows: u32,
    writer: u32,
}

const TIMESTAMP_BITS: u32 = 48;
/// The timestamp and the lengths of the ids.
const HEAD: usize = 10;
/// Numbers are written by seven bits.
const NUMBER_MAX: usize = 10;
/// Texts are copied in steps of so many bytes.
const STEP: usize = SHORT;

impl Packing {
    pub fn new(projection: &Projection) -> Packing {
        let mut texts = Vec::new();
        let how = |(slot, field): (usize, &Field)| match field.ty {
            _ if field.path == ["timestamp"] => How::Timestamp,
            // A list lies there as its JSON text.
            Type::String | Type::List(_) => {
                texts.push(slot);
                How::Text(texts.len() - 1)
            }
            Type::Double => How::Double,
            Type::Bool | Type::Int | Type::Decimal | Type::Datetime => How::Whole,
            // No field is one: there is nothing but NULL to keep.
            Type::Map(_) => How::Whole,
        };
        let fields: Vec<How> = projection.fields.iter().enumerate().map(how).collect();
        Packing { bits: fields.len().div_ceil(8), fields, texts }
    }
}

/// What packs the lines of one reader.
pub struct Packer<'a> {
    packing: &'a Packing,
    writer: u32,
    words: Words,
    /// For each text of the row at hand, its number or `INLINE`.
    codes: Vec<u8>,
}

impl<'a> Packer<'a> {
    /// One of several writers, by number.
    pub fn new(packing: &'a Packing, writer: u32) -> Packer<'a> {
        let texts = packing.texts.len();
        Packer { packing, writer, words: Words::new(texts), codes: vec![INLINE; texts] }
    }

    /// No rows, and room for some in `bytes`.
    pub fn start(&self, bytes: BytesMut) -> Packed {
        Packed { bytes, used: 0, rows: 0, writer: self.writer }
    }

    /// What is needed to unpack the rows.
    pub fn finish(self) -> Words {
        self.words
    }

    /// Bytes in which the row of a line surely finds room.
    #[inline(always)]
    pub fn room(&self, line: &Line) -> usize {
        let cells = line.cells();
        let texts: usize = self.packing.texts.iter().map(|slot| cells[*slot].text_len()).sum();
        let ids = line.tenant().text_len() + line.user().text_len() + line.event_id().text_len();
        HEAD + self.packing.bits + NUMBER_MAX * self.packing.fields.len() + 3 + ids + texts + STEP
    }

    /// Adds a line that was read from `buf`; there must be `room` for it.
    #[inline(always)]
    pub fn push(&mut self, packed: &mut Packed, line: &Line, buf: &[u8]) {
        let packing = self.packing;
        let mut row = Row { bytes: &mut packed.bytes[packed.used..], at: HEAD + packing.bits };
        let cells = line.cells();
        for (group, (fields, cells)) in packing.fields.chunks(8).zip(cells.chunks(8)).enumerate() {
            let mut present = 0;
            for (i, (how, cell)) in fields.iter().zip(cells).enumerate() {
                match (how, *cell) {
                    (How::Timestamp, _) | (_, Cell::Null) => continue,
                    (How::Whole, Cell::Word(word)) => row.number(zigzag(word as i64)),
                    (How::Double, Cell::Word(word)) => row.put(word.to_le_bytes()),
                    (How::Text(n), cell) => {
                        let code = self.words.code(*n, cell, buf);
                        self.codes[*n] = code;
                        row.put([code]);
                        if code == INLINE {
                            row.number(cell.text_len() as u64);
                        }
                    }
                    (How::Whole | How::Double, Cell::Read { .. } | Cell::Own { .. }) => continue,
                }
                present |= 1 << i;
            }
            row.bytes[HEAD + group] = present;
        }
        let tenant = row.id(line.tenant(), line, buf);
        let user = row.id(line.user(), line, buf);
        let event_id = row.id(line.event_id(), line, buf);
        for (slot, code) in packing.texts.iter().zip(&self.codes) {
            if *code == INLINE {
                row.text(cells[*slot], line, buf);
            }
        }
        // A user id has 256 bytes at most, an event id 128, a tenant 64; a timestamp of our time fits into 47 bits.
        let head = line.timestamp() as u64 | (user as u64) << TIMESTAMP_BITS;
        row.bytes[..8].copy_from_slice(&head.to_le_bytes());
        row.bytes[8] = event_id as u8;
        row.bytes[9] = tenant as u8;
        packed.used += row.at;
        packed.rows += 1;
    }
}

impl Packed {
    /// The same rows in other memory, which holds what `written` gave.
    pub fn again(&self, bytes: BytesMut) -> Packed {
        Packed { bytes, ..*self }
    }

    /// The rows without their bytes.
    pub fn without_bytes(&self) -> Packed {
        self.again(BytesMut::new())
    }

    pub fn len(&self) -> usize {
        self.rows as usize
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes held, used or not.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that are used.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes that are not used yet.
    #[inline(always)]
    pub fn free(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// The rows as bytes.
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// The memory the rows lay in.
    pub fn into_memory(self) -> BytesMut {
        self.bytes
    }
}

/// A row under construction.
struct Row<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Row<'_> {
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.at..][..N].copy_from_slice(&bytes);
        self.at += N;
    }

    #[inline(always)]
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.put([n as u8 | 0x80]);
            n >>= 7;
        }
        self.put([n as u8]);
    }

    #[inline(always)]
    fn id(&mut self, cell: Cell, line: &Line, buf: &[u8]) -> usize {
        let len = self.text(cell, line, buf);
        self.put([0]);
        len
    }

    #[inline(always)]
    fn text(&mut self, cell: Cell, line: &Line, buf: &[u8]) -> usize {
        let len = match cell {
            Cell::Read { from, len } => {
                let (from, len) = (from as usize, len as usize);
                // Whole steps: what is too much is overwritten by what comes next.
                let mut done = 0;
                while done < len {
                    let step: [u8; STEP] = *buf[from + done..].first_chunk().expect("a line has slack behind it");
                    self.bytes[self.at + done..][..STEP].copy_from_slice(&step);
                    done += STEP;
                }
                len
            }
            cell => {
                let text = line.text(cell, buf);
                self.bytes[self.at..][..text.len()].copy_from_slice(text);
                text.len()
            }
        };
        self.at += len;
        len
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
}

/// What unpacks the rows of several writers.
pub struct Unpacker<'a> {
    packing: &'a Packing,
    /// By writer.
    words: &'a [Words],
    block: Block,
}

impl<'a> Unpacker<'a> {
    pub fn new(projection: &Projection, packing: &'a Packing, words: &'a [Words]) -> Unpacker<'a> {
        Unpacker { packing, words, block: Block::new(projection) }
    }

    /// The rows as a block, until the next are unpacked.
    pub fn unpack(&mut self, packed: &Packed) -> &mut Block {
        let (block, packing, rows) = (&mut self.block, self.packing, packed.len());
        let words = &self.words[packed.writer as usize];
        let mut text = std::mem::take(&mut block.text).into_bytes();
        text.clear();
        text.reserve(words.text().len() + packed.used);
        text.extend_from_slice(words.text());
        let mut heads = Heads { bytes: packed.written(), text: text.len() as u32, words };
        block.timestamps.resize(rows, 0);
        block.ids.resize(rows, Ids::default());
        // All room is made before: a column that grows row by row asks each time whether it must.
        let columns = packing.fields.iter().zip(&mut block.columns).enumerate();
        let mut fields: Vec<Unpacked> = columns
            .filter(|(_, (how, _))| **how != How::Timestamp)
            .map(|(i, (how, column))| {
                let (words, present) = column.room(rows);
                Unpacked { how: *how, byte: i / 8, bit: 1 << (i % 8), words, present }
            })
            .collect();
        for (row, (timestamp, ids)) in block.timestamps.iter_mut().zip(&mut block.ids).enumerate() {
            let begins = heads.text;
            (*timestamp, *ids) = heads.ids();
            let (bits, rest) = heads.bytes.split_at(packing.bits);
            heads.bytes = rest;
            for field in &mut fields {
                if bits[field.byte] & field.bit != 0 {
                    field.words[row] = heads.word(field.how);
                    field.present[row] = true;
                }
            }
            let (texts, rest) = heads.bytes.split_at((heads.text - begins) as usize);
            text.extend_from_slice(texts);
            heads.bytes = rest;
        }
        for (how, column) in packing.fields.iter().zip(&mut block.columns) {
            match how {
                How::Timestamp => column.fill(block.timestamps.iter().map(|timestamp| *timestamp as u64)),
                How::Text(_) => column.texts_before(words.text().len() as u32),
                How::Whole | How::Double => {}
            }
        }
        block.text = String::from_utf8(text).expect("readers give out UTF-8 only");
        block
    }
}

/// A column while its rows are unpacked.
struct Unpacked<'a> {
    how: How,
    /// Which of a row's bits says whether there is a value.
    byte: usize,
    bit: u8,
    words: &'a mut [u64],
    present: &'a mut [bool],
}

/// What is not unpacked yet.
struct Heads<'a> {
    bytes: &'a [u8],
    /// Where the next text begins in the arena.
    text: u32,
    words: &'a Words,
}

impl Heads<'_> {
    #[inline(always)]
    fn ids(&mut self) -> (Millis, Ids) {
        let (head, rest) = self.bytes.split_first_chunk::<HEAD>().expect("whole rows");
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

    /// The value of a field that is there.
    #[inline(always)]
    fn word(&mut self, how: How) -> u64 {
        match how {
            How::Text(n) => {
                let (code, rest) = self.bytes.split_first().expect("whole rows");
                self.bytes = rest;
                match code {
                    &INLINE => {
                        let span = Span { start: self.text, len: self.number() as u32 };
                        self.text += span.len;
                        span.word()
                    }
                    code => self.words.word(n, *code),
                }
            }
            How::Whole => {
                let n = self.number();
                ((n >> 1) as i64 ^ -((n & 1) as i64)) as u64
            }
            How::Double | How::Timestamp => {
                let (word, rest) = self.bytes.split_first_chunk().expect("whole rows");
                self.bytes = rest;
                u64::from_le_bytes(*word)
            }
        }
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
            let mut packer = Packer::new(&packing, 0);
            let mut packed = packer.start(BytesMut::zeroed(1 << 16));
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
                prop_assert!(packer.room(reader.line()) <= packed.free());
                let before = packed.free();
                packer.push(&mut packed, reader.line(), reader.spare());
                prop_assert!(before - packed.free() <= packer.room(reader.line()) - STEP);
                direct.push_line(reader.line(), reader.spare());
                let event = Event::parse(line.as_bytes(), NOW, &rules).expect("valid").expect("not blank");
                want.push(&event, &projection);
            }
            let again = packed.again(BytesMut::from(packed.written()));
            let other = Packer::new(&packing, 1);
            let words = [packer.finish(), other.finish()];
            let mut unpacker = Unpacker::new(&projection, &packing, &words);
            // What a block held before must not show, whoever wrote it.
            unpacker.unpack(&Packed { writer: 1, ..Packed::default() });
            unpacker.unpack(&packed);
            let block = unpacker.unpack(&again);
            for slot in 0..projection.fields.len() {
                let column = block.column(slot);
                for (i, j) in (0..block.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                    let alike = column.datum(i) == column.datum(j) && column.present[i];
                    prop_assert!(!column.distinct || !alike || column.words[i] == column.words[j]);
                }
            }
            for block in [&*block, &direct] {
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
