//! Ids of a day: sorted, in blocks that each have a checksum, so that one block can be read alone and trusted.
//!
//! Hashes are spread evenly, so where an id stands is known to within a block or two.

use super::file::{Reader, Section};
use super::{Error, checksum};
use crate::engine::dedup::Identity;

const ID: usize = size_of::<Identity>();
/// Ids a block: 4 KiB.
const BLOCK: usize = 256;
const STRIDE: usize = BLOCK * ID + 8;

/// The bytes of sorted ids.
pub fn encode(ids: &[Identity]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ids.len() * ID + ids.len().div_ceil(BLOCK) * 8);
    for (number, block) in ids.chunks(BLOCK).enumerate() {
        let start = out.len();
        block.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
        let hash = checksum(number as u64, &out[start..]);
        out.extend_from_slice(&hash.to_le_bytes());
    }
    out
}

fn decode_block(number: usize, bytes: &[u8], out: &mut Vec<Identity>) -> Option<()> {
    let (ids, hash) = bytes.split_last_chunk::<8>()?;
    let whole = ids.len() % ID == 0 && checksum(number as u64, ids) == u64::from_le_bytes(*hash);
    let id = |bytes: &[u8]| Identity::from_le_bytes(bytes.try_into().expect("chunks of this size"));
    whole.then(|| out.extend(ids.chunks_exact(ID).map(id)))
}

/// All ids of a part.
pub fn read(file: &Reader<'_>, part: usize, section: Section) -> Result<Vec<Identity>, Error> {
    let bytes = file.read(part, section)?;
    let mut ids = Vec::with_capacity(bytes.len() / ID);
    let blocks = bytes.chunks(STRIDE).enumerate();
    let read: Option<()> = blocks.into_iter().try_for_each(|(number, block)| decode_block(number, block, &mut ids));
    read.map(|()| ids).ok_or_else(|| Error::damaged(file.name(), "its ids cannot be read"))
}

/// Those of the sorted `wanted` that a part holds; reads few blocks where few are wanted.
pub fn find(file: &Reader<'_>, part: usize, wanted: &[Identity]) -> Result<Vec<Identity>, Error> {
    let len = file.len(part, Section::Ids)? as usize;
    let blocks = len.div_ceil(STRIDE);
    if wanted.is_empty() || blocks == 0 {
        return Ok(Vec::new());
    }
    if wanted.len() * 2 >= blocks {
        let ids = read(file, part, Section::Ids)?;
        return Ok(wanted.iter().copied().filter(|id| ids.binary_search(id).is_ok()).collect());
    }
    let mut blocks = Blocks { file, part, len, number: usize::MAX, ids: Vec::new() };
    let mut found = Vec::new();
    for &id in wanted {
        if blocks.holds(id)? {
            found.push(id);
        }
    }
    Ok(found)
}

/// The blocks of a part, one at a time.
struct Blocks<'a> {
    file: &'a Reader<'a>,
    part: usize,
    len: usize,
    number: usize,
    ids: Vec<Identity>,
}

impl Blocks<'_> {
    fn count(&self) -> usize {
        self.len.div_ceil(STRIDE)
    }

    fn holds(&mut self, id: Identity) -> Result<bool, Error> {
        let mut number = ((id >> 96) as usize * self.count()) >> 32;
        loop {
            self.load(number)?;
            let (Some(first), Some(last)) = (self.ids.first(), self.ids.last()) else { return Ok(false) };
            // Blocks follow one another: an id before this one's first is in an earlier one, or in none.
            if id < *first && number > 0 {
                number -= 1;
                self.load(number)?;
                if self.ids.last().is_none_or(|last| *last < id) {
                    return Ok(false);
                }
            } else if id > *last && number + 1 < self.count() {
                number += 1;
                self.load(number)?;
                if self.ids.first().is_none_or(|first| id < *first) {
                    return Ok(false);
                }
            } else {
                return Ok(self.ids.binary_search(&id).is_ok());
            }
        }
    }

    fn load(&mut self, number: usize) -> Result<(), Error> {
        if self.number == number {
            return Ok(());
        }
        let from = number * STRIDE;
        let len = STRIDE.min(self.len - from);
        let bytes = self.file.some(self.part, Section::Ids, from as u64, len as u64)?;
        self.ids.clear();
        self.number = number;
        decode_block(number, &bytes, &mut self.ids)
            .ok_or_else(|| Error::damaged(self.file.name(), "the checksum of a block of ids is wrong"))
    }
}

/// The sorted ids that one side has and the other has not.
pub fn difference(a: &[Identity], b: &[Identity]) -> Vec<Identity> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < a.len() || j < b.len() {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x == y => (i, j) = (i + 1, j + 1),
            (Some(x), y) if y.is_none_or(|y| x < y) => {
                out.push(*x);
                i += 1;
            }
            _ => {
                out.push(b[j]);
                j += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::file::{Stored, Writer};
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicU64;

    fn spread(n: u64) -> Identity {
        let hash = |salt| checksum(salt, &n.to_le_bytes());
        Identity::from(hash(1)) << 64 | Identity::from(hash(2))
    }

    #[test]
    fn ids_are_found_by_reading_few_blocks() {
        let dir = tempfile::tempdir().expect("a directory");
        for (n, skewed) in [(1u64, false), (256, false), (257, false), (20_000, false), (20_000, true)] {
            let mut ids: Vec<_> = (0..n).map(|i| if skewed { Identity::from(i) * 3 } else { spread(i) }).collect();
            ids.sort_unstable();
            let mut writer = Writer::create(dir.path(), "x.day").expect("created");
            writer.put(&Stored::new(9, Section::Ids, encode(&ids))).expect("written");
            let file = writer.finish(Vec::new()).expect("finished");
            let meter = AtomicU64::new(0);
            let reader = Reader::open(dir.path(), &file, &meter).expect("open");
            assert_eq!(read(&reader, 9, Section::Ids).expect("read"), ids);
            for wanted in [vec![ids[0]], vec![ids[ids.len() - 1]], vec![ids[ids.len() / 2], ids[ids.len() / 2] + 1]] {
                let before = meter.load(std::sync::atomic::Ordering::Relaxed);
                assert_eq!(find(&reader, 9, &wanted).expect("found"), wanted[..1], "{n} {skewed}");
                let read = meter.load(std::sync::atomic::Ordering::Relaxed) - before;
                assert!(skewed || read <= 4 * STRIDE as u64, "{n}: {read}");
            }
            let mut all: Vec<_> = ids.iter().flat_map(|id| [*id, id.wrapping_add(1)]).collect();
            all.sort_unstable();
            assert_eq!(find(&reader, 9, &all).expect("found"), ids);
            assert!(find(&reader, 8, &all).expect("an empty part").is_empty());
        }
    }

    #[test]
    fn the_difference_is_that_of_sets() {
        for (a, b) in [(0..0u128, 0..0), (0..9, 3..12), (0..3, 5..9), (0..9, 0..9), (0..0, 0..4)] {
            let (a, b): (BTreeSet<_>, BTreeSet<_>) = (a.collect(), b.collect());
            let want: Vec<_> = a.symmetric_difference(&b).copied().collect();
            let (a, b): (Vec<_>, Vec<_>) = (a.into_iter().collect(), b.into_iter().collect());
            assert_eq!(difference(&a, &b), want);
        }
    }
}
