//! The nightly path: a whole log through the engine on all cores, one patch a key.
//!
//! Lines are read in chunks and handed to partitions by key (`scatter`); each partition is folded
//! in the order of the log and its patches written (`gather`). Where entities are told, the rows that count are scattered
//! again by the keys they touch (`again`) and folded once more (`entities`). What comes out depends on the events
//! alone, not on threads, memory, files, their order, or duplicates.

mod again;
mod entities;
mod gather;
pub mod parts;
mod pile;
mod scatter;
pub mod several;
mod share;
mod slabs;

use super::imports::{self, Imports};
use crate::engine::dedup::HashKey;
pub use crate::engine::fold::Range;
use crate::engine::fold::Tally;
use crate::engine::plan::Plan;
use crate::event::{Code, Refusal, Rules};
use crate::key::{Key, USER};
use crate::lines::Text;
use crate::log::{Error, Log, LogFile, Torn};
use crate::packed::{Packing, Unpacker};
use crate::time::Millis;
use again::Again;
pub use pile::Budget;
use pile::Piles;
use scatter::Scattered;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Keys are spread over so many partitions by a fixed hash: the order of the output rests on both.
pub(super) const PARTITIONS: usize = 256;
/// Says of a user whether her events are read.
pub type Only<'a> = dyn Fn(&[u8]) -> bool + Sync + 'a;

/// One run over a log.
pub struct Job<'a> {
    /// The tags of users that are told, or none of them.
    pub plan: &'a Plan,
    /// Those of other entities, in the order they are told.
    pub entities: &'a [Arc<Plan>],
    pub log: &'a Log,
    pub range: Range,
    /// Files of patches with the values of tags that the plans need and cannot compute.
    pub imports: &'a [PathBuf],
    pub rules: &'a Rules,
    /// The instant of receipt for events that carry none: now.
    pub received: Millis,
    pub threads: usize,
    /// The memory that rows may take, and where they go beyond.
    pub budget: Budget,
    /// A secret that changes from run to run; no output depends on it.
    pub hash_key: HashKey,
    /// Told of every refused line, from several threads.
    pub refused: &'a (dyn Fn(Refused<'_>) + Sync),
    /// Bytes of the log read so far, for a progress bar.
    pub progress: &'a AtomicU64,
    /// Whether the events of a user are read; none: of all users.
    pub only: Option<&'a Only<'a>>,
}

/// A refused line of a log and where it stands.
pub struct Refused<'a> {
    pub refusal: &'a Refusal,
    pub file: &'a LogFile,
    pub offset: u64,
    pub text: Text<'a>,
}

/// What a run did: each line is an event inside the range, a duplicate, an event outside the range, of a forgotten user, or
/// refused.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Lines that are not blank.
    pub lines: u64,
    pub events: Tally,
    pub refused: BTreeMap<Code, u64>,
    /// Events of forgotten users.
    pub forgotten: u64,
    /// Of users.
    pub keys: u64,
    /// The keys of each other entity that is told, by its name, in the order they are told.
    pub entities: Vec<(Arc<str>, u64)>,
    pub as_of: Option<Millis>,
    /// Last lines that nothing ended: a write cut short.
    pub torn: Vec<Torn>,
    /// Bytes of rows that did not fit into memory.
    pub spilled: u64,
}

impl Summary {
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    fn add(&mut self, other: Summary) {
        self.lines += other.lines;
        self.forgotten += other.forgotten;
        for (code, n) in other.refused {
            *self.refused.entry(code).or_default() += n;
        }
        self.torn.extend(other.torn);
    }
}

/// Why a run failed: the log or the imports could not be read, rows beyond the memory not be put away, or the patches not be written.
#[derive(Debug)]
pub enum Failure {
    Log(Error),
    Imports(imports::Error),
    Spill(io::Error),
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Log(e)
    }
}

/// Folds the log and writes one patch a key to `out`.
///
/// Patches come entity by entity, users first, partition by partition, in the order of keys within each: always the same
/// order.
pub fn run(job: &Job<'_>, out: &mut impl Write) -> Result<Summary, Failure> {
    let piles = Piles::new(PARTITIONS * (1 + job.entities.len()), job.threads, job.budget.clone());
    let projection = &job.plan.definitions.projection;
    let packing = Packing::new(projection);
    let Scattered { mut summary, newest, words } = scatter::scatter(job, &piles, &packing)?;
    summary.as_of = job.range.as_of.or(newest);
    summary.spilled = piles.spilled();
    let unpacker = || Unpacker::new(projection, &packing, &words);
    match summary.as_of {
        Some(as_of) => {
            let plans: Vec<&Plan> = std::iter::once(job.plan).chain(job.entities.iter().map(|plan| &**plan)).collect();
            let imports = Imports::read(job.imports, &plans, as_of).map_err(Failure::Imports)?;
            let again = (!job.entities.is_empty()).then(|| Again::new(job, &piles, &packing));
            (summary.events, summary.keys) =
                gather::gather(job, &piles, &imports, unpacker, again.as_ref(), as_of, out)?;
            if let Some(again) = again {
                let words = again.finish();
                summary.spilled = piles.spilled();
                let unpacker = || Unpacker::new(projection, &packing, &words);
                let keys = entities::gather(job, &piles, &imports, unpacker, as_of, out)?;
                let names = job.entities.iter().map(|plan| plan.entity().name.clone());
                summary.entities = names.zip(keys).collect();
            }
        }
        None => summary.events.outside = summary.lines - summary.refused_total() - summary.forgotten,
    }
    Ok(summary)
}

/// In which partition a key is told.
pub fn partition_of(key: &Key) -> usize {
    partition(if key.entity() == USER { key.id() } else { key.as_str() }.as_bytes())
}

/// The partition of a user, or of another key as it is stored, by a hash that is the same everywhere and for ever:
/// partitions are part of the output's order.
pub(super) fn partition(user_id: &[u8]) -> usize {
    let (words, rest) = user_id.as_chunks();
    let hash = words.iter().fold(seed(user_id.len()), |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    number(fold(hash, last))
}

/// The same of a user of so many bytes at the beginning of `text`, which has eight bytes more behind.
#[inline(always)]
fn partition_within(text: &[u8], len: usize) -> usize {
    let word = |at| u64::from_le_bytes(*text[at..].first_chunk().expect("there is more behind"));
    let whole = len & !7;
    let hash = (0..whole).step_by(8).fold(seed(len), |hash, at| fold(hash, word(at)));
    // Nothing of it where the last word is whole.
    let last = word(whole) & ((1 << (8 * (len & 7))) - 1);
    number(fold(hash, last))
}

// Odd numbers without a pattern; the upper half of a product depends on all bits of both factors.
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

#[inline(always)]
fn seed(len: usize) -> u64 {
    FACTORS[1] ^ len as u64
}

#[inline(always)]
fn fold(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(FACTORS[0]);
    (product >> 64) as u64 ^ product as u64
}

#[inline(always)]
fn number(hash: u64) -> usize {
    fold(hash, FACTORS[1]) as usize % PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_spread_evenly_over_partitions() {
        let shapes: [fn(u32) -> String; 4] = [
            |i| format!("u-{i:07}"),
            |i| i.to_string(),
            |i| format!("{:08x}-0000-4000-8000-{:012x}", i, 7 * i),
            |i| format!("{i:040}"),
        ];
        for shape in shapes {
            let mut counts = [0u32; PARTITIONS];
            (0..256_000).for_each(|i| counts[partition(shape(i).as_bytes())] += 1);
            // A thousand each; the spread of a throw of dice is about 32.
            assert!(counts.iter().all(|n| (800..1200).contains(n)), "{}: {counts:?}", shape(1));
        }
    }

    #[test]
    fn a_partition_is_that_of_a_user_with_more_behind() {
        let text = "u-0000001 and so on, for as long as ids may be";
        for len in 0..=text.len() - 8 {
            assert_eq!(partition_within(text.as_bytes(), len), partition(&text.as_bytes()[..len]), "{len}");
        }
    }

    #[test]
    fn a_partition_is_for_ever() {
        let users = ["", "u", "u-001", "u-0000001", "2f1b9c1e-0f5e-4f5e-9c1e-0f5e4f5e9c1e", "日本"];
        assert_eq!(users.map(|user| partition(user.as_bytes())), [152, 36, 53, 91, 27, 96]);
    }
}
