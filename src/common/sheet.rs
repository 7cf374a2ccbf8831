//! Sheets: lines being formatted, in memory that serves again for the next ones.
//!
//! Room is made once for a whole line; what is written into it then asks for none.

use crate::ndjson;

/// Lines under construction.
#[derive(Default)]
pub struct Sheet {
    /// Written up to `len`; what lies beyond is room.
    bytes: Vec<u8>,
    len: usize,
}

/// Bytes that are written many times.
pub struct Piece {
    /// The bytes, and zeros up to a whole number of chunks.
    chunks: Vec<[u8; Piece::CHUNK]>,
    len: usize,
}

impl Piece {
    const CHUNK: usize = 32;

    pub fn new(write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let len = bytes.len();
        bytes.resize(len.next_multiple_of(Piece::CHUNK), 0);
        Piece { chunks: bytes.as_chunks().0.to_vec(), len }
    }

    /// The room it takes while it is written.
    pub fn room(&self) -> usize {
        self.chunks.len() * Piece::CHUNK
    }
}

impl Sheet {
    const LEAST: usize = 1 << 20;

    /// The lines written so far.
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// No lines, and the room of those there were.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Writes a line, with room for `room` bytes and no more: writing beyond is a panic.
    #[inline(always)]
    pub fn line(&mut self, room: usize, write: impl FnOnce(&mut Pen)) {
        if self.bytes.len() - self.len < room + Pen::SLACK {
            self.grow(room + Pen::SLACK);
        }
        let mut pen = Pen { room: &mut self.bytes[self.len..], at: 0 };
        write(&mut pen);
        self.len += pen.at;
    }

    #[cold]
    fn grow(&mut self, room: usize) {
        let wanted = (self.len + room).max(self.bytes.len() * 3 / 2).max(Sheet::LEAST);
        self.bytes.resize(wanted, 0);
    }
}

/// Where in a line the next byte goes.
pub struct Pen<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    /// Bytes beyond the last one of a line that may be touched: moves of a known size are fast.
    const SLACK: usize = 32;

    #[inline(always)]
    pub fn piece(&mut self, piece: &Piece) {
        for (n, chunk) in piece.chunks.iter().enumerate() {
            *self.chunk(n * Piece::CHUNK) = *chunk;
        }
        self.at += piece.len;
    }

    #[inline(always)]
    pub fn fixed<const N: usize>(&mut self, bytes: &[u8; N]) {
        *self.chunk(0) = *bytes;
        self.at += N;
    }

    /// Bytes of any number. Most are few, and a call would cost more than they do.
    #[inline(always)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        match (len, bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (8..=16, Some(first), Some(last)) => {
                *self.chunk(0) = *first;
                *self.chunk(len - 8) = *last;
            }
            _ => self.room[self.at..self.at + len].copy_from_slice(bytes),
        }
        self.at += len;
    }

    /// A JSON string, quotes included; it takes up to six bytes for each of the text's, and two.
    #[inline(always)]
    pub fn text(&mut self, text: &str) {
        if ndjson::is_plain(text.as_bytes()) {
            self.fixed(b"\"");
            self.bytes(text.as_bytes());
            self.fixed(b"\"");
        } else {
            self.pushed(|out| ndjson::push_str(out, text));
        }
    }

    /// A whole number.
    #[inline(always)]
    pub fn int(&mut self, n: i64) {
        const EIGHT: i64 = 100_000_000;
        match n {
            // Most are small counts.
            0..10 => self.fixed(&[b'0' + n as u8]),
            10..EIGHT => {
                let digits = n.ilog10() as usize + 1;
                let text = eight_digits(n as u64) >> ((8 - digits) * 8);
                *self.chunk(0) = text.to_le_bytes();
                self.at += digits;
            }
            EIGHT..10_000_000_000_000_000 => {
                let digits = n.ilog10() as usize + 1;
                let (high, low) = (eight_digits((n / EIGHT) as u64), eight_digits((n % EIGHT) as u64));
                let text = (u128::from(low) << 64 | u128::from(high)) >> ((16 - digits) * 8);
                *self.chunk(0) = text.to_le_bytes();
                self.at += digits;
            }
            _ => self.bytes(itoa::Buffer::new().format(n).as_bytes()),
        }
    }

    /// What `push` appends, for what is seldom.
    #[cold]
    pub fn pushed(&mut self, push: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        push(&mut bytes);
        self.bytes(&bytes);
    }

    #[inline(always)]
    fn chunk<const N: usize>(&mut self, ahead: usize) -> &mut [u8; N] {
        let at = self.at + ahead;
        (&mut self.room[at..at + N]).try_into().expect("as many were asked for")
    }
}

/// The eight digits of a number below 10⁸, the first one in the lowest byte. All are made at once: halves of four
/// digits, then of two, then of one lie side by side in a word, and a product and a shift divide all of them.
#[inline(always)]
fn eight_digits(n: u64) -> u64 {
    let fours = (n / 10_000) | ((n % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (twos - tens * 10) << 8) + 0x3030_3030_3030_3030
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(room: usize, write: impl FnOnce(&mut Pen)) -> String {
        let mut sheet = Sheet::default();
        sheet.line(room, write);
        String::from_utf8(sheet.written().to_vec()).expect("UTF-8")
    }

    #[test]
    fn eight_digits_are_those_of_the_number() {
        // Each half of four digits on its own, and both together.
        for n in (0..10_000).flat_map(|n| [n, n * 10_000, n * 10_001]) {
            assert_eq!(eight_digits(n).to_le_bytes(), format!("{n:08}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn a_line_is_its_parts_one_after_the_other(
            lines in prop::collection::vec((any::<i64>(), 0u32..64, "[ -~é\u{2028}]{0,40}", "[a-z]{0,70}"), 0..50),
        ) {
            let (mut sheet, mut want) = (Sheet::default(), Vec::new());
            for (n, shift, text, piece) in &lines {
                let piece = Piece::new(|out| out.extend_from_slice(piece.as_bytes()));
                let n = n >> shift;
                sheet.line(piece.room() + text.len() * 6 + 2 + 20 + 1, |pen| {
                    pen.piece(&piece);
                    pen.text(text);
                    pen.int(n);
                    pen.fixed(b"\n");
                });
                want.extend(piece.chunks.as_flattened()[..piece.len].iter());
                ndjson::push_str(&mut want, text);
                want.extend_from_slice(format!("{n}\n").as_bytes());
            }
            prop_assert_eq!(sheet.written(), &want[..]);
            sheet.clear();
            prop_assert!(sheet.written().is_empty());
        }
    }

    #[test]
    fn whole_numbers_of_every_length() {
        for n in (0..19).map(|places| 10i64.pow(places)).flat_map(|n| [n - 1, n, n + 1, 7 * (n / 9), -n]) {
            assert_eq!(written(20, |pen| pen.int(n)), n.to_string());
        }
        assert_eq!(written(20, |pen| pen.int(i64::MIN)), i64::MIN.to_string());
    }
}
