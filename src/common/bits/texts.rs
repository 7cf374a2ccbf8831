//! Values of a block that are told apart and not measured: for each the set of places that have it.
//!
//! A value is any bytes. A place may have several, such as the items of a list. Reading a value's set reads nothing of
//! the others' sets.

use super::{Bits, CHECK, Part, seal, unseal};
use std::collections::BTreeMap;

/// A column, checked as far as it has been read.
pub struct Texts<'a> {
    has: Part<'a>,
    values: &'a [u8],
    sets: &'a [u8],
}

impl Texts<'_> {
    /// Appends a column: `has` is the places that have any value.
    pub fn encode(has: &Bits, values: &BTreeMap<Box<[u8]>, Vec<u16>>, out: &mut Vec<u8>) {
        let mut sets = Vec::new();
        let mut list = vec![0; CHECK];
        for (value, places) in values {
            let begin = sets.len();
            places.iter().copied().collect::<Bits>().encode(&mut sets);
            list.extend_from_slice(&(value.len() as u32).to_le_bytes());
            list.extend_from_slice(&((sets.len() - begin) as u32).to_le_bytes());
            list.extend_from_slice(value);
        }
        seal(&mut list, 0);
        let mut all = Vec::new();
        has.encode(&mut all);
        for part in [&all, &list] {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&sets);
    }

    /// `None` when the column is broken.
    pub fn read(bytes: &[u8]) -> Option<Texts<'_>> {
        let (has, rest) = sized(bytes)?;
        let (values, sets) = sized(rest)?;
        Some(Texts { has: Part::read(has)?, values: unseal(values)?, sets })
    }

    /// The places that have any value.
    pub fn has(&self) -> Bits {
        self.has.bits()
    }

    /// The places that have one of the values that `wanted` takes; `None` when the column is broken.
    pub fn with(&self, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Bits> {
        let mut found = Bits::default();
        self.each(|value, set| {
            if wanted(value) {
                Part::read(set)?.or_into(&mut found);
            }
            Some(())
        })?;
        Some(found)
    }

    /// All values with their places; `None` when the column is broken.
    pub fn all(&self) -> Option<BTreeMap<Box<[u8]>, Bits>> {
        let mut all = BTreeMap::new();
        self.each(|value, set| {
            all.insert(value.into(), Part::read(set)?.bits());
            Some(())
        })?;
        Some(all)
    }

    fn each(&self, mut each: impl FnMut(&[u8], &[u8]) -> Option<()>) -> Option<()> {
        let (mut values, mut sets) = (self.values, self.sets);
        while !values.is_empty() {
            let (head, rest) = values.split_first_chunk::<8>()?;
            let size = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
            let (value, rest) = rest.split_at_checked(size(0))?;
            let (set, behind) = sets.split_at_checked(size(4))?;
            (values, sets) = (rest, behind);
            each(value, set)?;
        }
        sets.is_empty().then_some(())
    }
}

/// A part and what stands behind it.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[(&str, &[u16])]) -> Vec<u8> {
        let has: Bits = values.iter().flat_map(|(_, places)| places.iter().copied()).collect();
        let values = values.iter().map(|(value, places)| (value.as_bytes().into(), places.to_vec())).collect();
        let mut bytes = Vec::new();
        Texts::encode(&has, &values, &mut bytes);
        bytes
    }

    #[test]
    fn a_column_gives_the_places_of_the_values_that_are_wanted() {
        let bytes = column(&[("", &[9]), ("a", &[1, 5]), ("b", &[5, 65535])]);
        let column = Texts::read(&bytes).expect("whole");
        let with = |wanted: &[&str]| {
            let found = column.with(|value| wanted.iter().any(|w| w.as_bytes() == value)).expect("whole");
            found.iter().collect::<Vec<_>>()
        };
        assert_eq!(column.has().iter().collect::<Vec<_>>(), [1, 5, 9, 65535]);
        assert_eq!(with(&["a"]), [1, 5]);
        assert_eq!(with(&["a", "b"]), [1, 5, 65535]);
        assert_eq!(with(&["", "c"]), [9]);
        assert_eq!(with(&[]), [] as [u16; 0]);
        let all = column.all().expect("whole");
        assert_eq!(
            all.iter().map(|(value, set)| (&**value, set.count())).collect::<Vec<_>>(),
            [(&b""[..], 1), (b"a", 2), (b"b", 2)]
        );
    }

    #[test]
    fn a_broken_column_is_an_error_and_never_an_answer() {
        let bytes = column(&[("a", &[1, 5]), ("bc", &[5, 7])]);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Texts::read(&bad).and_then(|column| column.with(|_| true)).is_none(), "{at}");
        }
    }
}
