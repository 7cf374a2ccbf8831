//! Words: the short texts that a writer meets again and again, each by a number of one byte.
//!
//! Event types and categories are a few dozen texts in all of a log. A field has its own words; the first ones it meets
//! get a number, and texts beyond them, or longer, lie in their rows.

use crate::reader::Cell;
use crate::rows::Span;

/// Stands for a text that lies in the row.
pub const INLINE: u8 = u8::MAX;
/// The longest text that gets a number.
pub const SHORT: usize = 16;

/// Places of a field's table: twice as many as there are numbers.
const PLACES: usize = 512;
/// A text that is not at one of so many places has no number.
const PROBES: usize = 4;

/// The words of one writer.
pub struct Words {
    fields: Vec<Vocabulary>,
    /// All words, one after the other.
    text: Vec<u8>,
}

struct Vocabulary {
    places: Box<[Place; PLACES]>,
    /// For each number, where the word lies in `text`, as a block has it.
    spans: Vec<u64>,
}

/// A word and its number; a word of zeros is none.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The bytes, with zeros behind them. No word has a zero: JSON writes it as an escape.
    word: u128,
    code: u8,
}

impl Words {
    /// For so many fields.
    pub fn new(fields: usize) -> Words {
        let vocabulary = || Vocabulary { places: Box::new([Place::default(); PLACES]), spans: Vec::new() };
        Words { fields: (0..fields).map(|_| vocabulary()).collect(), text: Vec::new() }
    }

    /// All words, to begin an arena with.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the word of a number lies in such an arena.
    #[inline(always)]
    pub fn word(&self, field: usize, code: u8) -> u64 {
        self.fields[field].spans[code as usize]
    }

    /// The number of a text, a new one for a new text, or `INLINE`.
    #[inline(always)]
    pub fn code(&mut self, field: usize, cell: Cell, buf: &[u8]) -> u8 {
        let Cell::Read { from, len } = cell else { return INLINE };
        if !(1..=SHORT as u32).contains(&len) {
            return INLINE;
        }
        let bytes: [u8; SHORT] = *buf[from as usize..].first_chunk().expect("a line has slack behind it");
        self.code_of(field, u128::from_le_bytes(bytes) & mask(len), len)
    }

    /// The same of a text of 1 to `SHORT` bytes, with zeros behind them.
    #[inline(always)]
    pub fn code_of(&mut self, field: usize, word: u128, len: u32) -> u8 {
        let places = &self.fields[field].places;
        let place = &places[hash(word) % PLACES];
        if place.word == word { place.code } else { self.search(field, word, len) }
    }

    #[inline(never)]
    fn search(&mut self, field: usize, word: u128, len: u32) -> u8 {
        let places = &self.fields[field].places;
        let first = hash(word);
        for at in first..first + PROBES {
            let place = &places[at % PLACES];
            if place.word == word {
                return place.code;
            }
            if place.word == 0 {
                return self.add(field, at % PLACES, word, len);
            }
        }
        INLINE
    }

    #[cold]
    fn add(&mut self, field: usize, at: usize, word: u128, len: u32) -> u8 {
        let vocabulary = &mut self.fields[field];
        let code = vocabulary.spans.len() as u8;
        if code != INLINE {
            vocabulary.places[at] = Place { word, code };
            vocabulary.spans.push(Span { start: self.text.len() as u32, len }.word());
            self.text.extend_from_slice(&word.to_le_bytes()[..len as usize]);
        }
        code
    }
}

/// All bits of the first so many bytes, of 1 to `SHORT`.
#[inline(always)]
pub fn mask(len: u32) -> u128 {
    u128::MAX >> (8 * (SHORT as u32 - len))
}

fn hash(word: u128) -> usize {
    // An odd number without a pattern; the upper bits of a product depend on all bits below.
    let mixed = (word as u64 ^ ((word >> 64) as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number_and_those_beyond_the_numbers_have_none() {
        let mut words = Words::new(2);
        let mut code = |field: usize, text: &str| {
            let buf = format!("{text}\"{}", "x".repeat(64));
            words.code(field, Cell::Read { from: 0, len: text.len() as u32 }, buf.as_bytes())
        };
        assert_eq!((code(0, "click"), code(0, "clicks"), code(0, "click"), code(1, "view")), (0, 1, 0, 0));
        assert_eq!((code(0, ""), code(0, "exactly-16-bytes"), code(0, "seventeen-bytes-!")), (INLINE, 2, INLINE));
        let codes: Vec<u8> = (0..2000).map(|i| code(1, &format!("i-{i:07}"))).collect();
        let numbered: Vec<u8> = codes.iter().copied().filter(|code| *code != INLINE).collect();
        assert_eq!(numbered, (1..=254).collect::<Vec<u8>>(), "each number once, in turn");
        let again: Vec<u8> = (0..2000).map(|i| code(1, &format!("i-{i:07}"))).collect();
        assert_eq!(again, codes);
        let Span { start, len } = Span::of_word(words.word(0, 1));
        assert_eq!(&words.text()[start as usize..][..len as usize], b"clicks");
    }
}
