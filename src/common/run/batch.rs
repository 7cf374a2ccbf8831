//! The nightly path: a whole log through the engine on all cores, one patch a key.
//!
//! Lines are parsed in chunks and handed to partitions by key; each partition is folded
//! in the order of the log. What comes out depends on the events alone, not on threads,
//! files, their order, or duplicates.

use crate::engine::dedup::HashKey;
pub use crate::engine::fold::Range;
use crate::engine::fold::{Fold, Tally};
use crate::engine::plan::Plan;
use crate::event::{Code, Event, Refusal, Rules, too_long};
use crate::lines::Text;
use crate::log::{Chunk, Error, Log, LogFile, Torn};
use crate::rows::Block;
use crate::time::Millis;
use siphasher::sip::SipHasher13;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Keys are spread over so many partitions by a fixed hash: the order of the output rests on both.
pub(super) const PARTITIONS: usize = 256;
/// So many chunks a thread keep all of them busy to the end; the larger a chunk, the fewer and larger its blocks.
const CHUNKS_A_THREAD: u64 = 8;
const CHUNK_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;
/// A chunk of a packed file may be huge: its blocks are handed over after so many bytes, which bounds their text.
const HAND_OVER_BYTES: u64 = 16 << 20;

/// One run over a log.
pub struct Job<'a> {
    pub plan: &'a Plan,
    pub log: &'a Log,
    pub range: Range,
    pub rules: &'a Rules,
    /// The instant of receipt for events that carry none: now.
    pub received: Millis,
    pub threads: usize,
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

/// Why a run failed: the log could not be read, or the patches could not be written.
#[derive(Debug)]
pub enum Failure {
    Log(Error),
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Log(e)
    }
}

/// Blocks of one partition with their place in the log.
type Pile = Mutex<Vec<((usize, usize), Block)>>;

/// Folds the log and writes one patch a key to `out`.
///
/// Patches come partition by partition, in the order of keys within each: always the same order.
pub fn run(job: &Job<'_>, out: &mut impl Write) -> Result<Summary, Failure> {
    let piles: Vec<Pile> = (0..PARTITIONS).map(|_| Mutex::default()).collect();
    let newest = AtomicI64::new(Millis::MIN);
    let mut summary = scatter(job, &piles, &newest)?;
    let newest = newest.into_inner();
    summary.as_of = job.range.as_of.or((newest > Millis::MIN).then_some(newest));
    match summary.as_of {
        Some(as_of) => (summary.events, summary.keys) = gather(job, piles, as_of, out).map_err(Failure::Output)?,
        None => summary.events.outside = summary.lines - summary.refused_total(),
    }
    Ok(summary)
}

/// Parses every chunk and piles its rows up by partition.
fn scatter(job: &Job<'_>, piles: &[Pile], newest: &AtomicI64) -> Result<Summary, Failure> {
    let share = job.log.size() / (job.threads.max(1) as u64 * CHUNKS_A_THREAD);
    let chunks = job.log.chunks(share.clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end()));
    let next = AtomicUsize::new(0);
    let threads = job.threads.clamp(1, chunks.len().max(1));
    let parts: Vec<Result<Summary, Error>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut reader = Reader::new(job, piles, newest);
                    while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        reader.read(chunk)?;
                    }
                    Ok(reader.summary)
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().expect("a panic ends the program")).collect()
    });
    let mut summary = Summary::default();
    for part in parts {
        summary.add(part?);
    }
    Ok(summary)
}

/// One thread's way through the chunks.
struct Reader<'a> {
    job: &'a Job<'a>,
    piles: &'a [Pile],
    newest: &'a AtomicI64,
    blocks: Vec<Block>,
    /// The largest event time in the range.
    largest: Millis,
    summary: Summary,
}

impl<'a> Reader<'a> {
    fn new(job: &'a Job<'a>, piles: &'a [Pile], newest: &'a AtomicI64) -> Reader<'a> {
        let blocks = (0..PARTITIONS).map(|_| Block::new(&job.plan.definitions.projection)).collect();
        Reader { job, piles, newest, blocks, largest: Millis::MIN, summary: Summary::default() }
    }

    fn read(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let mut lines = chunk.lines()?;
        let (mut told, mut handed) = (0, 0);
        while let Some(line) = lines.next()? {
            if let Err(refusal) = self.line(line.text) {
                self.refuse(&refusal, chunk, line.offset, line.text);
            }
            let so_far = lines.so_far().bytes;
            if so_far - told >= HAND_OVER_BYTES {
                self.job.progress.fetch_add(so_far - told, Ordering::Relaxed);
                told = so_far;
                self.hand_over((chunk.sequence, handed));
                handed += 1;
            }
        }
        let end = lines.finish();
        self.job.progress.fetch_add(end.bytes - told, Ordering::Relaxed);
        if let Some(torn) = end.torn {
            // Nothing tells a write cut short from a file made by hand but whether it is an event.
            if end.last.is_empty() || self.line(Text::Whole(&end.last)).is_err() {
                self.summary.torn.push(torn);
            }
        }
        self.newest.fetch_max(self.largest, Ordering::Relaxed);
        self.hand_over((chunk.sequence, handed));
        Ok(())
    }

    /// Takes one line in, be it inside the range or not: its duplicates are found later on.
    fn line(&mut self, text: Text<'_>) -> Result<(), Refusal> {
        let Text::Whole(bytes) = text else { return Err(too_long()) };
        let Some(event) = Event::parse(bytes, self.job.received, self.job.rules)? else { return Ok(()) };
        self.summary.lines += 1;
        if self.job.range.holds(event.timestamp) {
            self.largest = self.largest.max(event.timestamp);
        }
        let block = &mut self.blocks[partition(&event.user_id)];
        block.push(&event, &self.job.plan.definitions.projection, self.job.received);
        Ok(())
    }

    fn refuse(&mut self, refusal: &Refusal, chunk: &Chunk, offset: u64, text: Text<'_>) {
        self.summary.lines += 1;
        *self.summary.refused.entry(refusal.code).or_default() += 1;
        (self.job.refused)(Refused { refusal, file: &chunk.file, offset, text });
    }

    fn hand_over(&mut self, place: (usize, usize)) {
        for (block, pile) in self.blocks.iter_mut().zip(self.piles) {
            if !block.is_empty() {
                // The next chunk will be much like this one.
                let (rows, text) = (block.len() * 9 / 8, block.text_len() * 9 / 8);
                let next = Block::with_capacity(&self.job.plan.definitions.projection, rows, text);
                let full = std::mem::replace(block, next);
                pile.lock().expect("a panic ends the program").push((place, full));
            }
        }
    }
}

/// The partition of a user. The key of the hash is fixed: partitions are part of the output's order.
pub(super) fn partition(user_id: &str) -> usize {
    let mut hasher = SipHasher13::new();
    hasher.write(user_id.as_bytes());
    (hasher.finish() % PARTITIONS as u64) as usize
}

/// Folds every partition and writes its patches in the order of partitions.
fn gather(job: &Job<'_>, piles: Vec<Pile>, as_of: Millis, out: &mut impl Write) -> io::Result<(Tally, u64)> {
    let next = AtomicUsize::new(0);
    let (mut tally, mut keys) = (Tally::default(), 0);
    std::thread::scope(|scope| {
        // Bounded: a slow reader of the output must not pile the patches up in memory.
        let (send, receive) = mpsc::sync_channel::<(usize, Vec<u8>, Tally, u64)>(job.threads * 2);
        let (next, piles) = (&next, &piles);
        for _ in 0..job.threads.max(1) {
            let send = send.clone();
            scope.spawn(move || {
                loop {
                    let p = next.fetch_add(1, Ordering::Relaxed);
                    let Some(pile) = piles.get(p) else { return };
                    let blocks = std::mem::take(&mut *pile.lock().expect("a panic ends the program"));
                    // An error of the writer hangs up the channel: nothing is left to do.
                    if send.send(fold(job, p, blocks, as_of)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (p, bytes, part, n) in receive {
            tally.add(part);
            keys += n;
            waiting.insert(p, bytes);
            while let Some(bytes) = waiting.remove(&turn) {
                out.write_all(&bytes)?;
                turn += 1;
            }
        }
        out.flush()
    })?;
    Ok((tally, keys))
}

fn fold(
    job: &Job<'_>,
    p: usize,
    mut blocks: Vec<((usize, usize), Block)>,
    as_of: Millis,
) -> (usize, Vec<u8>, Tally, u64) {
    blocks.sort_unstable_by_key(|(place, _)| *place);
    let mut fold = Fold::new(job.plan, job.hash_key).within(job.range);
    for (_, block) in blocks {
        fold.add(&block);
    }
    let tally = fold.tally;
    let (mut bytes, mut keys) = (Vec::new(), 0);
    fold.finish(as_of, |patch| {
        patch.push_line(&mut bytes);
        keys += 1;
    });
    (p, bytes, tally, keys)
}
