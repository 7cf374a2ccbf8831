//! Rows packed straight from a line of a known shape: what it has, and where, was found out in the first line of that shape.
//!
//! Nearly all of such a row is known before the line is: the lengths of its ids, which fields it has, where each of its values
//! stands. A form keeps that. Places in a line and a row are below a power of two, so that no bound has to be checked.

use super::words::mask;
use super::{HEAD, How, INLINE, Packed, Packer, Packing, SHORT, STEP, TIMESTAMP_BITS, zigzag};
use crate::reader::{Cell, LAID_MAX, Layout, Lazy, Line, NEAR};

/// A row that is packed straight finds room in so many bytes.
const ROOM: usize = 256 + STEP;
/// The first value of a row begins there at the latest.
const START_MAX: usize = STEP;
/// What a place in a line and one in a row are cut to.
const IN_LINE: usize = 511;
const IN_ROW: usize = 255;

// Whole steps from any place on; beside the texts of a layout a row has three zeros.
const _: () = assert!(IN_LINE + STEP <= NEAR && IN_ROW + STEP < ROOM && START_MAX + LAID_MAX + 3 <= IN_ROW);

/// How lines of one shape are packed.
pub struct Form {
    /// Of its layout.
    name: (usize, u64),
    /// What a row begins with, but for its timestamp.
    head: u128,
    start: usize,
    fields: Vec<Field>,
    /// The tenant, the user and the event id.
    ids: [Text; 3],
}

enum Field {
    /// A text that may have a number among the words of a field.
    Short {
        field: usize,
        text: Text,
        mask: u128,
    },
    Long(Text),
    /// A number of so many slots on.
    Whole(usize),
    Double(usize),
}

#[derive(Clone, Copy)]
struct Text {
    at: usize,
    len: usize,
}

impl Form {
    fn new(packing: &Packing, layout: &Layout) -> Form {
        let text = |place: crate::reader::Place| Text { at: place.at(), len: place.size() };
        let ids = [layout.tenant, layout.user, layout.event_id].map(text);
        let mut head = [0; STEP];
        let lengths = (ids[1].len as u64) << TIMESTAMP_BITS;
        head[..8].copy_from_slice(&lengths.to_le_bytes());
        (head[8], head[9]) = (ids[2].len as u8, ids[0].len as u8);
        let mut fields = Vec::new();
        for (slot, place) in &layout.fields {
            fields.push(match (packing.fields[*slot], place.map(text)) {
                (How::Text(_), Some(text)) if !(1..=SHORT).contains(&text.len) => Field::Long(text),
                (How::Text(field), Some(text)) => Field::Short { field, text, mask: mask(text.len as u32) },
                (How::Whole, None) => Field::Whole(*slot),
                (How::Double, None) => Field::Double(*slot),
                // A value of another type than the field's is none.
                _ => continue,
            });
            head[HEAD + slot / 8] |= 1 << (slot % 8);
        }
        Form { name: layout.name, head: u128::from_le_bytes(head), start: HEAD + packing.bits, fields, ids }
    }
}

impl Packer<'_> {
    /// Whether lines that are read lazily can be packed.
    pub fn is_straight(&self) -> bool {
        HEAD + self.packing.bits <= START_MAX
    }

    /// Bytes in which the row of a line, of so many bytes, surely finds room.
    #[inline(always)]
    pub fn room_lazy(&self, event: &Lazy, len: usize) -> usize {
        match event {
            Lazy::Read(line) => self.room(line, len),
            Lazy::Laid(..) => ROOM,
        }
    }

    /// Adds the line that was read from `from` on; there must be room for it.
    #[inline(always)]
    pub fn push_lazy(&mut self, packed: &mut Packed, event: &Lazy, buf: &[u8], from: usize) {
        match event {
            Lazy::Read(line) => self.push(packed, line, buf),
            Lazy::Laid(layout, numbers) => self.push_laid(packed, layout, numbers, near(buf, from)),
        }
    }

    /// Gives the very bytes of `push`.
    #[inline(always)]
    fn push_laid(&mut self, packed: &mut Packed, layout: &Layout, numbers: &Line, line: &[u8; NEAR]) {
        let known = self.forms.get(layout.name.0).is_some_and(|form| form.name == layout.name);
        if !known {
            self.learn(layout);
        }
        let form = &self.forms[layout.name.0];
        let bytes = packed.bytes[packed.used..].first_chunk_mut().expect("there is room for the row");
        let mut row = Straight { bytes, line, at: form.start };
        *row.step(0) = (form.head | numbers.timestamp() as u128).to_le_bytes();
        let mut inline = 0u64;
        for (n, field) in form.fields.iter().enumerate() {
            match field {
                Field::Short { field, text, mask } => {
                    let code =
                        self.words.code_of(*field, u128::from_le_bytes(*row.read(text.at)) & mask, text.len as u32);
                    row.byte(code);
                    if code == INLINE {
                        row.number(text.len as u64);
                        inline |= 1 << n;
                    }
                }
                Field::Long(text) => {
                    row.byte(INLINE);
                    row.number(text.len as u64);
                    inline |= 1 << n;
                }
                Field::Whole(slot) => row.number(zigzag(word(numbers, *slot) as i64)),
                Field::Double(slot) => {
                    let at = row.at;
                    row.step(at)[..8].copy_from_slice(&word(numbers, *slot).to_le_bytes());
                    row.at += 8;
                }
            }
        }
        for id in form.ids {
            row.text(id);
            row.byte(0);
        }
        while inline != 0 {
            if let Field::Short { text, .. } | Field::Long(text) = &form.fields[inline.trailing_zeros() as usize] {
                row.text(*text);
            }
            inline &= inline - 1;
        }
        packed.used += row.at;
        packed.rows += 1;
    }

    #[cold]
    #[inline(never)]
    fn learn(&mut self, layout: &Layout) {
        let form = Form::new(self.packing, layout);
        let n = layout.name.0;
        // Shapes that have no layout leave gaps.
        while self.forms.len() <= n {
            self.forms.push(Form::new(self.packing, &Layout::default()));
        }
        self.forms[n] = form;
    }
}

/// All the bytes of a line that was read lazily, and some behind.
#[inline(always)]
fn near(buf: &[u8], from: usize) -> &[u8; NEAR] {
    buf[from..].first_chunk().expect("only such lines are read lazily")
}

#[inline(always)]
fn word(numbers: &Line, slot: usize) -> u64 {
    match numbers.cells()[slot] {
        Cell::Word(word) => word,
        _ => 0,
    }
}

/// A row under construction.
struct Straight<'a> {
    bytes: &'a mut [u8; ROOM],
    line: &'a [u8; NEAR],
    at: usize,
}

impl Straight<'_> {
    #[inline(always)]
    fn read(&self, at: usize) -> &[u8; STEP] {
        self.line[at & IN_LINE..].first_chunk().expect("there is a step behind every place")
    }

    #[inline(always)]
    fn step(&mut self, at: usize) -> &mut [u8; STEP] {
        self.bytes[at & IN_ROW..].first_chunk_mut().expect("there is a step behind every place")
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.at & IN_ROW] = byte;
        self.at += 1;
    }

    #[inline(always)]
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.byte(n as u8 | 0x80);
            n >>= 7;
        }
        self.byte(n as u8);
    }

    #[inline(always)]
    fn text(&mut self, text: Text) {
        // Whole steps: what is too much is overwritten by what comes next.
        let mut done = 0;
        while done < text.len {
            *self.step(self.at + done) = *self.read(text.at + done);
            done += STEP;
        }
        self.at += text.len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Rules;
    use crate::packed::Packing;
    use crate::reader::Reader;
    use crate::rows::{Field, Projection};
    use crate::value::Type;
    use bytes::BytesMut;
    use proptest::prelude::*;

    const NOW: i64 = 1_731_300_000_000;

    /// Nine fields and more, so that one byte of bits is not enough; ids and instants are fields as well.
    fn projection(typed: bool) -> Projection {
        let mut projection = Projection::default();
        for (path, ty) in [
            ("eventType", Type::String),
            ("x", Type::String),
            ("amount", Type::Decimal),
            ("timestamp", Type::Datetime),
            ("receivedAt", Type::Datetime),
            ("category", Type::String),
            ("never", Type::Double),
            ("userId", Type::String),
            ("y", Type::String),
            ("tenantId", Type::String),
            ("properties.z", Type::String),
        ] {
            projection.slot(Field::new(path, ty));
        }
        if typed {
            // Then such a text has to be looked at.
            projection.slot(Field::new("y", Type::Double));
        }
        projection
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => "[a-c]{0,2}".prop_map(|text| format!("\"{text}\"")),
            3 => "[a-z ]{14,40}".prop_map(|text| format!("\"{text}\"")),
            1 => Just(r#""\"é\u00e9""#.to_string()),
            2 => Just("null".to_string()),
            2 => "[1-9][0-9]{0,3}(\\.[0-9]{1,2})?",
            1 => Just("1731296325000".to_string()),
        ]
    }

    proptest! {
        #[test]
        fn a_row_is_the_same_whether_its_line_has_a_shape_or_not(
            forms in proptest::collection::vec((
                ("[a-z0-9]{1,20}", "[a-z0-9]{1,36}", proptest::sample::select(vec!["click", "view", "a type nobody abbreviates"])),
                proptest::collection::vec((proptest::sample::select(vec!["x", "amount", "receivedAt", "category", "y", "tenantId"]), value()), 0..5),
                proptest::option::of(value()), 0..6usize,
            ), 1..4),
            changes in proptest::collection::vec(proptest::collection::vec((any::<prop::sample::Index>(), 1..26u8), 0..4), 1..40),
            typed: bool,
        ) {
            let (projection, rules) = (projection(typed), Rules::default());
            let packing = Packing::new(&projection);
            let (mut reader, mut lazy) = (Reader::new(&projection, &rules), Reader::new(&projection, &rules));
            let (mut packer, mut straight) = (Packer::new(&packing, 0), Packer::new(&packing, 0));
            let mut want = packer.start(BytesMut::zeroed(1 << 18));
            // As memory that served before: nothing of it may show.
            let mut packed = straight.start(BytesMut::from(&[0xff; 1 << 18][..]));
            for (((user, id, ty), more, z, turn), changes) in changes.iter().flat_map(|c| forms.iter().map(move |form| (form, c))) {
                let mut fields = vec![
                    format!(r#""eventId":"{id}""#), format!(r#""userId":"{user}""#), format!(r#""eventType":"{ty}""#),
                    r#""timestamp":1731296325000"#.to_string(),
                ];
                fields.extend(more.iter().map(|(name, value)| format!(r#""{name}":{value}"#)));
                fields.extend(z.iter().map(|z| format!(r#""properties":{{"z":{z}}}"#)));
                let by = turn % fields.len();
                fields.rotate_left(by);
                let mut line = format!("{{{}}}", fields.join(",")).into_bytes();
                for (at, by) in changes {
                    let at = at.index(line.len());
                    line[at] = match line[at] {
                        old @ b'0'..=b'9' => b'0' + (old - b'0' + by) % 10,
                        old @ b'a'..=b'z' => b'a' + (old - b'a' + by) % 26,
                        old => old,
                    };
                }
                let buf = [b"before\n", &line[..], &[b'\n'; NEAR]].concat();
                let (_, outcome) = reader.read(&buf, 7, NOW);
                let (_, other) = lazy.read_lazily(&buf, 7, NOW);
                let outcome = outcome.map_err(|refusal| refusal.reason);
                prop_assert_eq!(&other.map_err(|refusal| refusal.reason), &outcome);
                if outcome.is_err() {
                    continue;
                }
                packer.push(&mut want, reader.line(), &buf);
                let (room, before) = (straight.room_lazy(&lazy.lazy(), line.len()), packed.used());
                straight.push_lazy(&mut packed, &lazy.lazy(), &buf, 7);
                prop_assert!(packed.used() - before <= room - STEP);
                prop_assert_eq!(packed.written(), want.written(), "{}", String::from_utf8_lossy(&line));
            }
            prop_assert_eq!(packed.len(), want.len());
            let words = [straight.finish(), packer.finish()];
            prop_assert_eq!(words[0].text(), words[1].text());
        }
    }

    /// A new shape then has the number of an old one.
    #[test]
    fn lines_are_packed_as_they_are_when_all_shapes_were_forgotten() {
        let projection = projection(false);
        let packing = Packing::new(&projection);
        let (mut reader, mut lazy) =
            (Reader::new(&projection, &Rules::default()), Reader::new(&projection, &Rules::default()));
        let (mut packer, mut straight) = (Packer::new(&packing, 0), Packer::new(&packing, 0));
        let buffer = |id: &str, user: &str| {
            let line =
                format!(r#"{{"eventId":"{id}","userId":"{user}","eventType":"view","timestamp":1731296325000}}"#);
            [line.as_bytes(), &[b'\n'; NEAR]].concat()
        };
        let mut pack = |lazy: &mut Reader, user: &str| {
            for laid in [false, true] {
                let buf = buffer("e", user);
                assert!(reader.read(&buf, 0, NOW).1.is_ok() && lazy.read_lazily(&buf, 0, NOW).1.is_ok());
                assert_eq!(matches!(lazy.lazy(), Lazy::Laid(..)), laid);
                let (mut want, mut packed) =
                    (packer.start(BytesMut::zeroed(4096)), straight.start(BytesMut::zeroed(4096)));
                packer.push(&mut want, reader.line(), &buf);
                straight.push_lazy(&mut packed, &lazy.lazy(), &buf, 0);
                assert_eq!(packed.written(), want.written());
            }
        };
        pack(&mut lazy, "u");
        for n in 0..5000usize {
            let buf = buffer(&"7".repeat(1 + n * 37 % 120), &"u".repeat(1 + n * 53 % 97));
            assert!(lazy.read_lazily(&buf, 0, NOW).1.is_ok());
        }
        (0..1 << 20).for_each(|_| assert!(lazy.read_lazily(&[b'\n'; NEAR], 0, NOW).1.is_ok()));
        pack(&mut lazy, "user");
    }

    #[test]
    fn usual_lines_are_packed_straight_and_one_of_another_kind_is_not() {
        let projection = projection(true);
        let mut reader = Reader::new(&projection, &Rules::default());
        let mut laid = |n: u32, more: &str| {
            let line =
                format!(r#"{{"eventId":"e{n}","userId":"u{n}","eventType":"view","timestamp":173129632500{n}{more}}}"#);
            let buf = [line.as_bytes(), &[b'\n'; NEAR]].concat();
            let (_, outcome) = reader.read_lazily(&buf, 0, NOW);
            assert_eq!(outcome.map_err(|refusal| refusal.reason), Ok(true), "{line}");
            matches!(reader.lazy(), Lazy::Laid(..))
        };
        for (more, straight) in [
            ("", true),
            (r#","category":"food","amount":1.25,"receivedAt":null,"properties":{"duration":23,"z":"text"}"#, true),
            (r#","x":"text","amount":null"#, true),
            (r#","x":5"#, false),
            (r#","y":"text""#, false),
            (r#","x":"\u00e9""#, false),
        ] {
            assert_eq!([1, 2, 3].map(|n| laid(n, more)), [false, straight, straight], "{more}");
        }
    }
}
