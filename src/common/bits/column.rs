//! Columns: what the keys of a block have of one tag.
//!
//! A column knows its name: one that is found under another is broken, as one whose bytes have changed is.

use super::{Bits, CHECK, Numbers, Part, Texts};

/// One column, as it is read.
pub struct Column<'a> {
    /// Places whose value the body does not tell, if there are any; that they have one is told by it.
    pub odd: Option<Bits>,
    pub body: Body<'a>,
}

pub enum Body<'a> {
    Numbers(Numbers<'a>),
    Texts(Texts<'a>),
}

const NUMBERS: u8 = 1;
const TEXTS: u8 = 2;

impl Column<'_> {
    /// Appends a column of numbers; `odd` places have a value that is none.
    pub fn encode_numbers(name: &str, odd: &Bits, numbers: &[Option<i128>], out: &mut Vec<u8>) {
        head(name, NUMBERS, odd, out);
        Numbers::encode(numbers, out);
    }

    /// Appends a column of values; `has` is the places with any, the odd ones too.
    pub fn encode_texts(
        name: &str,
        odd: &Bits,
        has: &Bits,
        values: &std::collections::BTreeMap<Box<[u8]>, Vec<u16>>,
        out: &mut Vec<u8>,
    ) {
        head(name, TEXTS, odd, out);
        Texts::encode(has, values, out);
    }

    /// Reads the column of this name; `None` when it is broken. What is not looked at is not checked.
    pub fn read<'a>(name: &str, bytes: &'a [u8]) -> Option<Column<'a>> {
        let (sum, rest) = bytes.split_first_chunk::<CHECK>()?;
        let (kind, rest) = rest.split_first()?;
        if u32::from_le_bytes(*sum) != sum_of(name, *kind) {
            return None;
        }
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (odd, body) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let body = match *kind {
            NUMBERS => Body::Numbers(Numbers::read(body)?),
            TEXTS => Body::Texts(Texts::read(body)?),
            _ => return None,
        };
        let odd = Some(Part::read(odd)?).filter(|odd| !odd.is_empty()).map(Part::bits);
        Some(Column { odd, body })
    }

    /// Whether all of it is whole.
    pub fn check(&self) -> bool {
        match &self.body {
            Body::Numbers(numbers) => numbers.is_whole(),
            Body::Texts(texts) => texts.with(|_| true).is_some(),
        }
    }

    /// The places that have a value.
    pub fn has(&self) -> Bits {
        let mut has = match &self.body {
            Body::Numbers(numbers) => numbers.has(),
            Body::Texts(texts) => texts.has(),
        };
        self.odd.iter().for_each(|odd| has.or(odd));
        has
    }
}

fn sum_of(name: &str, kind: u8) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[kind]);
    hasher.finalize()
}

fn head(name: &str, kind: u8, odd: &Bits, out: &mut Vec<u8>) {
    out.extend_from_slice(&sum_of(name, kind).to_le_bytes());
    out.push(kind);
    let mut set = Vec::new();
    odd.encode(&mut set);
    out.extend_from_slice(&(set.len() as u32).to_le_bytes());
    out.extend_from_slice(&set);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_whole_under_its_own_name_only_and_no_byte_of_it_may_change() {
        let odd: Bits = [3].into_iter().collect();
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        Column::encode_numbers("a", &odd, &[Some(5), None, Some(-7)], &mut numbers);
        let values = [(Box::from(&b"x"[..]), vec![0u16, 2])].into_iter().collect();
        Column::encode_texts("a", &odd, &[0, 2, 3].into_iter().collect(), &values, &mut texts);
        for bytes in [numbers, texts] {
            let column = Column::read("a", &bytes).expect("whole");
            assert!(column.check());
            assert_eq!(column.has().iter().collect::<Vec<_>>(), [0, 2, 3]);
            assert!(Column::read("b", &bytes).is_none());
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 1;
                assert!(!Column::read("a", &bad).is_some_and(|column| column.check()), "{at}");
            }
        }
    }
}
