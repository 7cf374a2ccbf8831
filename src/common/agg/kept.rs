//! Kept values: different values, each with what is remembered of it; past `keep` those with the smallest hash stay.
//!
//! The rule knows no order: a value that is among the `keep` smallest of all is so among any part of them, so it was
//! never let go and what is remembered of it is whole. Whether any was let go rests on the number of values alone.

use super::codec::{get_byte, get_bytes, get_u64, put_bytes, put_u64};
use super::hash::hash;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Kept<T> {
    keep: usize,
    /// More than `keep` values were seen.
    over: bool,
    /// By the hash of their bytes.
    entries: BTreeMap<(u64, Box<[u8]>), T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept { keep: 0, over: false, entries: BTreeMap::new() }
    }
}

impl<T: Default> Kept<T> {
    /// What is remembered of a value; `None` for one that does not stay.
    pub fn of(&mut self, keep: usize, bytes: &[u8]) -> Option<&mut T> {
        self.keep = keep;
        let hash = hash(bytes);
        // No allocation to look a value up: an empty box has none.
        let from = (hash, Box::default());
        let known = self.entries.range(from..).take_while(|((h, _), _)| *h == hash).any(|((_, b), _)| **b == *bytes);
        if !known && self.entries.len() >= keep {
            self.over = true;
            let last = self.entries.last_key_value()?;
            if (last.0.0, &*last.0.1) < (hash, bytes) {
                return None;
            }
            self.entries.pop_last();
        }
        Some(self.entries.entry((hash, bytes.into())).or_default())
    }

    /// Folds in what another part of the events left.
    pub fn merge(&mut self, other: &Kept<T>, mut merge: impl FnMut(&mut T, &T)) {
        self.over |= other.over;
        for ((_, bytes), theirs) in &other.entries {
            if let Some(own) = self.of(other.keep, bytes) {
                merge(own, theirs);
            }
        }
    }

    /// Whether `other` can be taken back out: nothing was ever let go.
    pub fn is_whole(&self, other: &Kept<T>) -> bool {
        !self.over && !other.over
    }

    /// Takes back out what `other` put in; `subtract` says whether anything of a value is left.
    pub fn subtract(&mut self, other: &Kept<T>, mut subtract: impl FnMut(&mut T, &T) -> bool) {
        for (key, theirs) in &other.entries {
            if let Some(own) = self.entries.get_mut(key)
                && !subtract(own, theirs)
            {
                self.entries.remove(key);
            }
        }
    }
}

impl<T> Kept<T> {
    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of each value with what is remembered of it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.entries.iter().map(|((_, bytes), of)| (&**bytes, of))
    }

    pub fn encode(&self, out: &mut Vec<u8>, mut encode: impl FnMut(&T, &mut Vec<u8>)) {
        put_u64(out, self.keep as u64);
        out.push(u8::from(self.over));
        put_u64(out, self.entries.len() as u64);
        for (bytes, of) in self.iter() {
            put_bytes(out, bytes);
            encode(of, out);
        }
    }

    pub fn decode(input: &mut &[u8], mut decode: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Kept<T>> {
        let keep = usize::try_from(get_u64(input)?).ok()?;
        let over = get_byte(input)? != 0;
        let n = get_u64(input)?;
        let mut entries = BTreeMap::new();
        for _ in 0..n {
            let bytes = get_bytes(input)?;
            entries.insert((hash(bytes), bytes.into()), decode(input)?);
        }
        Some(Kept { keep, over, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(keep: usize, values: &[u8]) -> Kept<u64> {
        let mut kept = Kept::default();
        for value in values {
            if let Some(n) = kept.of(keep, &[*value]) {
                *n += 1;
            }
        }
        kept
    }

    proptest! {
        #[test]
        fn the_smallest_hashes_stay_with_all_their_events(values in prop::collection::vec(0u8..12, 0..60), cut in 0usize..60, keep in 1usize..14) {
            let mut distinct: Vec<u8> = values.clone();
            distinct.sort_by_key(|v| hash(&[*v]));
            distinct.dedup();
            let count = |v: &u8| values.iter().filter(|other| *other == v).count() as u64;
            let naive: Vec<(Vec<u8>, u64)> = distinct.iter().take(keep).map(|v| (vec![*v], count(v))).collect();
            let whole = of(keep, &values);
            prop_assert_eq!(whole.iter().map(|(bytes, n)| (bytes.to_vec(), *n)).collect::<Vec<_>>(), naive);
            prop_assert_eq!(whole.is_over(), distinct.len() > keep);
            let (a, b) = values.split_at(cut.min(values.len()));
            let mut merged = of(keep, b);
            merged.merge(&of(keep, a), |own, theirs| *own += theirs);
            prop_assert_eq!(&merged.entries, &whole.entries);
            prop_assert_eq!(merged.over, whole.over);
        }
    }
}
