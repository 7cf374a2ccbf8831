//! Filters: which ids a day may hold, in about 19 bits an id, so that its ids themselves are hardly ever read.
//!
//! An id's first bits choose a bucket, the next 16 stand in it. An id that was put in is always found; another one is
//! found by mistake in about 5 of 100,000 cases, and whoever asks then looks at the ids.

use crate::agg::codec::{get_byte, get_u64, put_u64};
use crate::engine::dedup::Identity;

/// Ids a bucket, at most on average.
const BUCKET: u64 = 4;
/// Instead of a number of bits: no filter could be made, every id is suspect.
const NONE: u8 = u8::MAX;

/// Appends the filter of one part; `ids` are sorted.
pub fn build(ids: &[Identity], out: &mut Vec<u8>) {
    put_u64(out, ids.len() as u64);
    if ids.is_empty() {
        return;
    }
    let usual = (ids.len() as u64).div_ceil(BUCKET).next_power_of_two().trailing_zeros();
    // Hashes fill buckets evenly; that one overflows is next to impossible, and twice the buckets mend it.
    for bits in usual..usual + 4 {
        if let Some(counts) = counts(ids, bits) {
            out.push(bits as u8);
            out.extend_from_slice(&counts);
            out.extend(ids.iter().flat_map(|id| remainder(*id, bits).to_le_bytes()));
            return;
        }
    }
    out.push(NONE);
}

fn counts(ids: &[Identity], bits: u32) -> Option<Vec<u8>> {
    let mut counts = vec![0u8; 1 << bits];
    for id in ids {
        let count = &mut counts[bucket(*id, bits)];
        *count = count.checked_add(1)?;
    }
    Some(counts)
}

fn bucket(id: Identity, bits: u32) -> usize {
    id.checked_shr(Identity::BITS - bits).unwrap_or(0) as usize
}

fn remainder(id: Identity, bits: u32) -> u16 {
    (id << bits >> (Identity::BITS - 16)) as u16
}

/// The filter of one part, as read.
pub struct Filter<'a> {
    bits: u8,
    counts: &'a [u8],
    remainders: &'a [u8],
}

impl<'a> Filter<'a> {
    /// Takes the next part's filter off `input`; `None` when it is none.
    pub fn next(input: &mut &'a [u8]) -> Option<Filter<'a>> {
        let n = usize::try_from(get_u64(input)?).ok()?;
        if n == 0 {
            return Some(Filter { bits: 0, counts: &[0], remainders: &[] });
        }
        let bits = get_byte(input)?;
        if bits == NONE {
            return Some(Filter { bits, counts: &[], remainders: &[] });
        }
        let (counts, rest) = input.split_at_checked(1usize.checked_shl(u32::from(bits))?)?;
        let (remainders, rest) = rest.split_at_checked(n.checked_mul(2)?)?;
        *input = rest;
        let sum: usize = counts.iter().map(|n| usize::from(*n)).sum();
        (sum == n).then_some(Filter { bits, counts, remainders })
    }

    /// Those of the sorted `ids` that may have been put in.
    pub fn suspects(&self, ids: &[Identity]) -> Vec<Identity> {
        if self.bits == NONE {
            return ids.to_vec();
        }
        let bits = u32::from(self.bits);
        let (mut at, mut start) = (0, 0);
        let mut suspects = Vec::new();
        for &id in ids {
            let bucket = bucket(id, bits);
            start += self.counts[at..bucket].iter().map(|n| usize::from(*n)).sum::<usize>();
            at = bucket;
            let end = start + usize::from(self.counts[bucket]);
            let wanted = remainder(id, bits).to_le_bytes();
            if self.remainders[2 * start..2 * end].chunks_exact(2).any(|r| r == wanted) {
                suspects.push(id);
            }
        }
        suspects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spread(n: u64) -> Identity {
        let hash = |salt| super::super::checksum(salt, &n.to_le_bytes());
        Identity::from(hash(1)) << 64 | Identity::from(hash(2))
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_found_and_little_else(
            sizes in proptest::collection::vec(0usize..300, 1..5), asked in proptest::collection::vec(0u64..600, 0..100),
        ) {
            let parts: Vec<Vec<Identity>> = sizes.iter().map(|n| {
                let mut ids: Vec<_> = (0..*n as u64).map(spread).collect();
                ids.sort_unstable();
                ids
            }).collect();
            let mut bytes = Vec::new();
            parts.iter().for_each(|ids| build(ids, &mut bytes));
            let mut asked: Vec<_> = asked.into_iter().map(spread).collect();
            asked.sort_unstable();
            asked.dedup();
            let mut input = &bytes[..];
            for ids in &parts {
                let suspects = Filter::next(&mut input).expect("a filter").suspects(&asked);
                for id in asked.iter().filter(|id| ids.contains(id)) {
                    prop_assert!(suspects.contains(id));
                }
                let wrong = suspects.iter().filter(|id| !ids.contains(id)).count();
                prop_assert!(wrong <= 3, "{} of {}", wrong, asked.len());
            }
            prop_assert!(input.is_empty());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            if let Some(filter) = Filter::next(&mut &bytes[..]) {
                let _ = filter.suspects(&[0, 1 << 127, Identity::MAX]);
            }
        }
    }

    #[test]
    fn an_id_costs_19_bits_and_a_crowded_bucket_makes_everyone_suspect() {
        let mut ids: Vec<_> = (0..100_000).map(spread).collect();
        ids.sort_unstable();
        let mut bytes = Vec::new();
        build(&ids, &mut bytes);
        assert!(bytes.len() * 8 / ids.len() <= 20, "{}", bytes.len());
        let others: Vec<_> = {
            let mut o: Vec<_> = (100_000..200_000).map(spread).collect();
            o.sort_unstable();
            o
        };
        let wrong = Filter::next(&mut &bytes[..]).expect("a filter").suspects(&others).len();
        assert!(wrong < 20, "{wrong} of 100,000");
        let crowded: Vec<Identity> = (0..1000).collect();
        bytes.clear();
        build(&crowded, &mut bytes);
        assert_eq!(Filter::next(&mut &bytes[..]).expect("a filter").suspects(&others), others);
    }
}
