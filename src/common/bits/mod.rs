//! Sets of places in a block of 65,536: what the index of audiences is made of and calculates with.
//!
//! In memory a set is one bit a place, since conditions are joined word by word and their parts seldom are small. At
//! rest it is, as a container of a roaring bitmap, the list of its places, of those it lacks, or all bits: the smallest.

mod column;
mod numbers;
mod texts;

pub use column::{Body, Column};
pub use numbers::{Numbers, Range};
pub use texts::Texts;

/// Places of one block.
pub const BLOCK: usize = 1 << 16;
const WORDS: usize = BLOCK / 64;
/// A list of more places than this is no shorter than all bits.
const LISTED_MAX: usize = BLOCK / 16;
const CHECK: usize = 4;

const LISTED: u8 = 0;
const LACKING: u8 = 1;
const WHOLE: u8 = 2;

/// A set of places of one block.
#[derive(Clone, PartialEq, Eq)]
pub struct Bits(Box<[u64; WORDS]>);

impl std::fmt::Debug for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Default for Bits {
    fn default() -> Bits {
        Bits(Box::new([0; WORDS]))
    }
}

impl FromIterator<u16> for Bits {
    fn from_iter<I: IntoIterator<Item = u16>>(places: I) -> Bits {
        let mut bits = Bits::default();
        places.into_iter().for_each(|place| bits.insert(place));
        bits
    }
}

impl Bits {
    /// The first `n` places.
    pub fn first(n: usize) -> Bits {
        let mut bits = Bits::default();
        for (i, word) in bits.0.iter_mut().enumerate() {
            *word = match n.saturating_sub(i * 64) {
                0 => 0,
                rest if rest < 64 => (1 << rest) - 1,
                _ => u64::MAX,
            };
        }
        bits
    }

    pub fn insert(&mut self, place: u16) {
        self.0[usize::from(place) / 64] |= 1 << (place % 64);
    }

    pub fn contains(&self, place: u16) -> bool {
        self.0[usize::from(place) / 64] & 1 << (place % 64) != 0
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The places in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((i * 64) as u16 + bit as u16)
            })
        })
    }

    fn join(&mut self, other: &Bits, with: impl Fn(u64, u64) -> u64) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(ours, theirs)| *ours = with(*ours, *theirs));
    }

    pub fn and(&mut self, other: &Bits) {
        self.join(other, |a, b| a & b);
    }

    pub fn or(&mut self, other: &Bits) {
        self.join(other, |a, b| a | b);
    }

    pub fn and_not(&mut self, other: &Bits) {
        self.join(other, |a, b| a & !b);
    }

    /// All places that are not in it.
    pub fn invert(&mut self) {
        self.0.iter_mut().for_each(|word| *word = !*word);
    }

    /// Appends the set: its checksum, its form, its places.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; CHECK]);
        let n = self.count();
        let list = |form: u8, places: &mut dyn Iterator<Item = u16>, out: &mut Vec<u8>| {
            out.push(form);
            places.for_each(|place| out.extend_from_slice(&place.to_le_bytes()));
        };
        if n <= LISTED_MAX {
            list(LISTED, &mut self.iter(), out);
        } else if BLOCK - n <= LISTED_MAX {
            let mut lacking = self.clone();
            lacking.invert();
            list(LACKING, &mut lacking.iter(), out);
        } else {
            out.push(WHOLE);
            self.0.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        seal(out, begin);
    }

    /// The inverse of `encode`; `None` when the bytes are not a whole set.
    pub fn decode(bytes: &[u8]) -> Option<Bits> {
        let mut bits = Bits::default();
        Part::read(bytes)?.or_into(&mut bits);
        Some(bits)
    }
}

/// Puts the checksum of what stands behind `begin` into its first bytes.
fn seal(out: &mut [u8], begin: usize) {
    let sum = crc32fast::hash(&out[begin + CHECK..]);
    out[begin..begin + CHECK].copy_from_slice(&sum.to_le_bytes());
}

/// What stands behind its checksum; `None` when that does not match.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = bytes.split_first_chunk::<CHECK>()?;
    (u32::from_le_bytes(*sum) == crc32fast::hash(rest)).then_some(rest)
}

/// A set at rest, which has been checked.
#[derive(Clone, Copy)]
enum Part<'a> {
    Listed(&'a [u8]),
    Lacking(&'a [u8]),
    Whole(&'a [u8]),
}

fn places(list: &[u8]) -> impl Iterator<Item = u16> + '_ {
    list.chunks_exact(2).map(|place| u16::from_le_bytes([place[0], place[1]]))
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("chunks are of 8 bytes"))
}

impl<'a> Part<'a> {
    fn read(bytes: &'a [u8]) -> Option<Part<'a>> {
        let (form, rest) = unseal(bytes)?.split_first()?;
        match *form {
            LISTED if rest.len().is_multiple_of(2) => Some(Part::Listed(rest)),
            LACKING if rest.len().is_multiple_of(2) => Some(Part::Lacking(rest)),
            WHOLE if rest.len() == BLOCK / 8 => Some(Part::Whole(rest)),
            _ => None,
        }
    }

    /// Whether it is written as no place at all.
    fn is_empty(self) -> bool {
        matches!(self, Part::Listed([]))
    }

    fn bits(self) -> Bits {
        let mut bits = Bits::default();
        match self {
            Part::Whole(bytes) => bits.0.iter_mut().zip(bytes.chunks_exact(8)).for_each(|(bits, at)| *bits = word(at)),
            part => part.or_into(&mut bits),
        }
        bits
    }

    fn or_into(self, bits: &mut Bits) {
        match self {
            Part::Listed(list) => places(list).for_each(|place| bits.insert(place)),
            Part::Whole(bytes) => {
                bits.0.iter_mut().zip(bytes.chunks_exact(8)).for_each(|(ours, theirs)| *ours |= word(theirs));
            }
            Part::Lacking(list) => {
                let mut lacking: Bits = places(list).collect();
                lacking.invert();
                bits.or(&lacking);
            }
        }
    }

    /// `bits` cut to the places that are in this set, or to those that are not.
    fn keep(self, bits: &mut Bits, inside: bool) {
        let flip = if inside { 0 } else { u64::MAX };
        match self {
            Part::Whole(bytes) => {
                bits.0.iter_mut().zip(bytes.chunks_exact(8)).for_each(|(ours, theirs)| *ours &= word(theirs) ^ flip);
            }
            part if inside => bits.and(&part.bits()),
            part => bits.and_not(&part.bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn some_bits() -> impl Strategy<Value = Bits> {
        let sparse = proptest::collection::vec(any::<u16>(), 0..200).prop_map(|places| places.into_iter().collect());
        let dense = any::<u64>().prop_map(|seed| {
            (0..=u16::MAX).filter(|p| (u64::from(*p) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1).collect()
        });
        prop_oneof![sparse, dense, (0..=BLOCK).prop_map(Bits::first)].boxed().prop_flat_map(|bits: Bits| {
            let mut other = bits.clone();
            other.invert();
            prop_oneof![Just(bits), Just(other)]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_set_reads_back_and_joins_as_sets_of_places_do(a in some_bits(), b in some_bits()) {
            let mut bytes = vec![7; 3];
            a.encode(&mut bytes);
            prop_assert_eq!(Bits::decode(&bytes[3..]), Some(a.clone()));
            let part = Part::read(&bytes[3..]).expect("whole");
            for (inside, places) in [(true, true), (false, false)] {
                let mut kept = b.clone();
                part.keep(&mut kept, inside);
                let want: Bits = b.iter().filter(|p| a.contains(*p) == places).collect();
                prop_assert_eq!(&kept, &want);
                prop_assert_eq!(kept.count(), kept.iter().count());
            }
            let mut all = a.clone();
            all.or(&b);
            prop_assert!((0..=u16::MAX).all(|p| all.contains(p) == (a.contains(p) || b.contains(p))));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_set_is_noticed() {
        let mut bytes = Vec::new();
        (0..500).collect::<Bits>().encode(&mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Bits::decode(&bad).is_none(), "{bit}");
        }
        assert!(Bits::decode(&bytes[..3]).is_none());
    }
}
