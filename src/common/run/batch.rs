//! The nightly path: a whole log through the engine on all cores, one patch a key.
//!
//! Lines are read in chunks and handed to partitions by key (`scatter`); each partition is folded
//! in the order of the log and its patches written (`gather`). What comes out depends on the events
//! alone, not on threads, memory, files, their order, or duplicates.

mod gather;
mod pile;
mod scatter;
mod share;

use crate::engine::dedup::HashKey;
pub use crate::engine::fold::Range;
use crate::engine::fold::Tally;
use crate::engine::plan::Plan;
use crate::event::{Code, Refusal, Rules};
use crate::lines::Text;
use crate::log::{Error, Log, LogFile, Torn};
use crate::time::Millis;
pub use pile::Budget;
use pile::Piles;
use siphasher::sip::SipHasher13;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::{self, Write};
use std::sync::atomic::AtomicU64;

/// Keys are spread over so many partitions by a fixed hash: the order of the output rests on both.
pub(super) const PARTITIONS: usize = 256;
/// One run over a log.
pub struct Job<'a> {
    pub plan: &'a Plan,
    pub log: &'a Log,
    pub range: Range,
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
}

/// A refused line of a log and where it stands.
pub struct Refused<'a> {
    pub refusal: &'a Refusal,
    pub file: &'a LogFile,
    pub offset: u64,
    pub text: Text<'a>,
}

/// What a run did: each line is an event inside the range, a duplicate, an event outside the range, or refused.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Lines that are not blank.
    pub lines: u64,
    pub events: Tally,
    pub refused: BTreeMap<Code, u64>,
    pub keys: u64,
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
        for (code, n) in other.refused {
            *self.refused.entry(code).or_default() += n;
        }
        self.torn.extend(other.torn);
    }
}

/// Why a run failed: the log could not be read, rows beyond the memory not be put away, or the patches not be written.
#[derive(Debug)]
pub enum Failure {
    Log(Error),
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
/// Patches come partition by partition, in the order of keys within each: always the same order.
pub fn run(job: &Job<'_>, out: &mut impl Write) -> Result<Summary, Failure> {
    let piles = Piles::new(PARTITIONS, job.budget.clone());
    let (mut summary, newest) = scatter::scatter(job, &piles)?;
    summary.as_of = job.range.as_of.or(newest);
    summary.spilled = piles.spilled();
    match summary.as_of {
        Some(as_of) => (summary.events, summary.keys) = gather::gather(job, &piles, as_of, out)?,
        None => summary.events.outside = summary.lines - summary.refused_total(),
    }
    Ok(summary)
}

/// The partition of a user. The key of the hash is fixed: partitions are part of the output's order.
pub(super) fn partition(user_id: &[u8]) -> usize {
    let mut hasher = SipHasher13::new();
    hasher.write(user_id);
    (hasher.finish() % PARTITIONS as u64) as usize
}
