//! Packed rows: what a reader found in many lines, in few bytes, until it is folded.
//!
//! A row is some ten bytes of lengths and numbers and, behind them, its texts in one piece, as a block wants them.
//! A text that a writer has met before in the same field is one byte, its number among the writer's `Words`.

mod lazy;
mod row;
#[cfg(test)]
mod tests;
mod words;

use crate::reader::{Cell, Line};
use crate::rows::{Block, Field, Head, Ids, Projection, Span, keep};
use crate::time::Millis;
use crate::value::Type;
use bytes::BytesMut;
use lazy::Form;
pub use words::Words;
use words::{INLINE, SHORT};

/// How the fields of a projection are packed.
pub struct Packing {
    fields: Vec<How>,
    /// Those that are written, which the row's own timestamp is not.
    written: Vec<Written>,
    /// Bytes of the bits that say which fields are there.
    bits: usize,
    /// The fields that are texts.
    texts: Vec<usize>,
    /// Bytes that a row needs at most, its texts aside.
    room: usize,
}

struct Written {
    how: How,
    slot: usize,
    /// Which of a row's bits says whether there is a value.
    byte: usize,
    bit: u8,
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
/// Of a line of so many bytes it is not counted which of them are wanted: that takes as long as a tenth of its packing.
const SHORT_LINE: usize = 512;
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
        let written = fields.iter().enumerate().filter(|(_, how)| **how != How::Timestamp);
        let written = written.map(|(slot, how)| Written { how: *how, slot, byte: slot / 8, bit: 1 << (slot % 8) });
        let (written, bits) = (written.collect(), fields.len().div_ceil(8));
        let room = HEAD + bits + NUMBER_MAX * fields.len() + 3 + STEP;
        Packing { fields, written, bits, texts, room }
    }
}

/// What packs the lines of one reader.
pub struct Packer<'a> {
    packing: &'a Packing,
    writer: u32,
    words: Words,
    /// For each text of the row at hand, its number or `INLINE`.
    codes: Vec<u8>,
    /// How lines of the shapes met so far are packed, by the number of their layout.
    forms: Vec<Form>,
}

impl<'a> Packer<'a> {
    /// One of several writers, by number.
    pub fn new(packing: &'a Packing, writer: u32) -> Packer<'a> {
        let texts = packing.texts.len();
        Packer { packing, writer, words: Words::new(texts), codes: vec![INLINE; texts], forms: Vec::new() }
    }

    /// No rows, and room for some in `bytes`.
    pub fn start(&self, bytes: BytesMut) -> Packed {
        Packed { bytes, used: 0, rows: 0, writer: self.writer }
    }

    /// What is needed to unpack the rows.
    pub fn finish(self) -> Words {
        self.words
    }

    /// Bytes in which the row of a line, of so many bytes, surely finds room.
    #[inline(always)]
    pub fn room(&self, line: &Line, len: usize) -> usize {
        // Ids lie apart in a line and so do fields, but an id may be a field as well.
        self.packing.room + if len <= SHORT_LINE { 2 * len } else { self.texts(line) }
    }

    /// Bytes of all texts of a row.
    fn texts(&self, line: &Line) -> usize {
        let fields = self.packing.texts.iter().map(|slot| line.cells()[*slot]);
        let ids = [line.tenant(), line.user(), line.event_id()];
        fields.chain(ids).map(Cell::text_len).sum()
    }

    /// Adds a line that was read from `buf`; there must be `room` for it.
    #[inline(always)]
    pub fn push(&mut self, packed: &mut Packed, line: &Line, buf: &[u8]) {
        let packing = self.packing;
        let mut row = Row { bytes: &mut packed.bytes[packed.used..], at: HEAD + packing.bits };
        let cells = line.cells();
        // In steps: what is too much is overwritten.
        (0..packing.bits).step_by(STEP).for_each(|at| *row.chunk(HEAD + at) = [0; STEP]);
        for Written { how, slot, byte, bit } in &packing.written {
            match (how, cells[*slot]) {
                (How::Whole, Cell::Word(word)) => row.number(zigzag(word as i64)),
                (How::Double, Cell::Word(word)) => row.put(word.to_le_bytes()),
                (How::Text(n), cell @ (Cell::Read { .. } | Cell::Own { .. })) => {
                    let code = self.words.code(*n, cell, buf);
                    self.codes[*n] = code;
                    row.put([code]);
                    if code == INLINE {
                        row.number(cell.text_len() as u64);
                    }
                }
                _ => continue,
            }
            row.bytes[HEAD + byte] |= bit;
        }
        let tenant = row.id(line.tenant(), line, buf);
        let user = row.id(line.user(), line, buf);
        let event_id = row.id(line.event_id(), line, buf);
        for (slot, code) in packing.texts.iter().zip(&self.codes) {
            // What stood there in a row before may be left of a field that is NULL now: then nothing is written.
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
    /// The same rows in other memory, which holds what `written` gave, or will.
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

    /// Where the rows of `without_bytes` have to come back.
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
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
    fn chunk<const N: usize>(&mut self, at: usize) -> &mut [u8; N] {
        self.bytes[at..].first_chunk_mut().expect("there is room for the row")
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        *self.chunk(self.at) = bytes;
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
                    let step: &[u8; STEP] = buf[from + done..].first_chunk().expect("a line has slack behind it");
                    *self.chunk(self.at + done) = *step;
                    done += STEP;
                }
                len
            }
            Cell::Null | Cell::Word(_) => 0,
            Cell::Own { .. } => {
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
