//! Rows packed again: from a block, by another writer.

use super::{HEAD, How, INLINE, NUMBER_MAX, Packed, Packer, Row, SHORT, TIMESTAMP_BITS, zigzag};
use crate::reader::Cell;
use crate::rows::Block;

impl Packer<'_> {
    /// Bytes in which row `i` of a block surely finds room.
    pub fn room_of_row(&self, block: &Block, i: usize) -> usize {
        let texts: usize = self.packing.texts.iter().map(|slot| block.column(*slot).span(i).1).sum();
        let fields = self.packing.bits + NUMBER_MAX * self.packing.fields.len();
        HEAD + fields + block.identity(i).len() + texts
    }

    /// Adds row `i` of a block of the same projection; there must be room for it.
    pub fn push_row(&mut self, packed: &mut Packed, block: &Block, i: usize) {
        let packing = self.packing;
        let mut row = Row { bytes: &mut packed.bytes[packed.used..], at: HEAD + packing.bits };
        row.bytes[HEAD..row.at].fill(0);
        for (slot, how) in packing.fields.iter().enumerate() {
            let column = block.column(slot);
            if *how == How::Timestamp || !column.present[i] {
                continue;
            }
            match *how {
                How::Timestamp => {}
                How::Whole => row.number(zigzag(column.words[i] as i64)),
                How::Double => row.put(column.words[i].to_le_bytes()),
                How::Text(n) => {
                    let (from, len) = column.span(i);
                    let text = column.text.as_bytes();
                    let cell = Cell::Read { from: from as u32, len: len as u32 };
                    // A word is looked up with what lies behind it, and zeros end it.
                    let may_be = len <= SHORT && from + SHORT <= text.len() && !text[from..from + len].contains(&0);
                    let code = if may_be { self.words.code(n, cell, text) } else { INLINE };
                    self.codes[n] = code;
                    row.put([code]);
                    if code == INLINE {
                        row.number(len as u64);
                    }
                }
            }
            row.bytes[HEAD + slot / 8] |= 1 << (slot % 8);
        }
        row.bytes_of(block.identity(i));
        for (slot, code) in packing.texts.iter().zip(&self.codes) {
            let column = block.column(*slot);
            if *code == INLINE && column.present[i] {
                let (from, len) = column.span(i);
                row.bytes_of(&column.text.as_bytes()[from..from + len]);
            }
        }
        let head = block.timestamp(i) as u64 | (block.user(i).len() as u64) << TIMESTAMP_BITS;
        row.bytes[..8].copy_from_slice(&head.to_le_bytes());
        row.bytes[8] = block.event_id(i).len() as u8;
        row.bytes[9] = block.tenant(i).len() as u8;
        packed.used += row.at;
        packed.rows += 1;
    }
}

impl Packed {
    /// Adds a row as the writer of these rows packed it; there must be room for it.
    pub fn push_packed(&mut self, row: &[u8]) {
        self.bytes[self.used..][..row.len()].copy_from_slice(row);
        self.used += row.len();
        self.rows += 1;
    }
}

impl Row<'_> {
    fn bytes_of(&mut self, bytes: &[u8]) {
        self.bytes[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{Packing, Unpacker};
    use crate::rows::{Field, Head, Projection};
    use crate::value::{Datum, Type};
    use bytes::BytesMut;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_packed_again_are_the_rows(
            rows in proptest::collection::vec(
                (
                    ("[ab]?", "[a-z日]{1,9}", "[a-z]{1,20}", 0i64..1 << 47),
                    prop_oneof![Just(None), "(click|view|a|a\u{0}|\u{0})?".prop_map(Some), ".{0,40}".prop_map(Some)],
                    proptest::option::of(any::<i64>()),
                    proptest::option::of(-1e9..1e9f64),
                    proptest::option::of("\\[(1,)?2\\]"),
                ), 0..60),
        ) {
            let mut projection = Projection::default();
            for (path, ty) in [
                ("timestamp", Type::Datetime), ("x", Type::String), ("n", Type::Int), ("d", Type::Double),
                ("l", Type::List(&Type::String)), ("y", Type::String), ("a", Type::Bool), ("b", Type::Bool), ("c", Type::Bool),
            ] {
                projection.slot(Field::new(path, ty));
            }
            let mut block = Block::new(&projection);
            for ((tenant, user, event_id, timestamp), x, n, d, l) in &rows {
                let text = x.as_ref().map_or(Datum::Null, |x| Datum::Str(x));
                let values = [
                    Datum::Time(*timestamp), text, n.map_or(Datum::Null, Datum::Int), d.map_or(Datum::Null, Datum::Double),
                    l.as_ref().map_or(Datum::Null, |l| Datum::Json(l)), text, Datum::Null, Datum::Null,
                    n.map_or(Datum::Null, |n| Datum::Bool(n > 0)),
                ];
                block.push_typed(&Head { tenant, user, event_id, timestamp: *timestamp }, &values);
            }
            let packing = Packing::new(&projection);
            let mut packer = Packer::new(&packing, 0);
            // As memory that served before: nothing of it may show.
            let mut packed = packer.start(BytesMut::from(&[0xff; 1 << 15][..]));
            for i in 0..block.len() {
                let (room, before) = (packer.room_of_row(&block, i), packed.used());
                packer.push_row(&mut packed, &block, i);
                prop_assert!(packed.used() - before <= room);
            }
            let words = [packer.finish()];
            let mut unpacker = Unpacker::new(&projection, &packing, &words);
            let again = unpacker.unpack(&packed);
            prop_assert_eq!(again.len(), block.len());
            for i in 0..block.len() {
                prop_assert_eq!((again.identity(i), again.timestamp(i)), (block.identity(i), block.timestamp(i)));
                for slot in 0..projection.fields.len() {
                    prop_assert_eq!(again.datum(slot, i), block.datum(slot, i), "row {} slot {}", i, slot);
                }
            }
        }
    }
}
