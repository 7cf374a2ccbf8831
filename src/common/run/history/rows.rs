//! The rows of one day of the log, by part, with the whole lines of those later than the day.

use super::super::batch::{Job, PARTITIONS, Refused, partition};
use super::parallel;
use crate::engine::dedup::{HashKey, Identity, identity};
use crate::event::{Event, Refusal, Rules, too_long};
use crate::limits::FUTURE_MS;
use crate::lines::Text;
use crate::log::{Chunk, Error, Log, Torn};
use crate::rollup::{Counts, PARTS};
use crate::rows::{Block, Projection};
use crate::time::Millis;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

const _: () =
    assert!(PARTS == PARTITIONS, "a part of a file is a partition of batch: the order of the output is theirs");
const CHUNK_BYTES: u64 = 4 << 20;
/// After so many bytes of a chunk its blocks are put away: a packed file is one chunk, however long.
const BLOCK_BYTES: u64 = 16 << 20;
/// An instant of receipt at which no line is too early: what it lets in, some later run will let in.
pub const EVER: Millis = Millis::MAX - FUTURE_MS;

/// Rows of one part, and the late ones among them: row by place in the block, with the whole line.
#[derive(Clone, Debug)]
pub struct Piece {
    pub block: Block,
    pub late: Vec<(usize, Box<[u8]>)>,
}

/// One day, read.
pub struct DayRows {
    /// By part, in the order of the log.
    pub parts: Vec<Vec<Piece>>,
    /// Lines and refusals; what became of the others shows when they are folded.
    pub counts: Counts,
    pub torn: Vec<Torn>,
    /// A line was refused only because it is too early for it: another day it will count.
    pub unsettled: bool,
}

/// Reads one day on all threads. Of events later than `cutoff` the lines are kept.
pub fn read(job: &Job<'_>, log: &Log, projection: &Projection, cutoff: Millis) -> Result<DayRows, Error> {
    let chunks = log.chunks(CHUNK_BYTES);
    let mut day =
        DayRows { parts: vec![Vec::new(); PARTS], counts: Counts::default(), torn: Vec::new(), unsettled: false };
    let work = |i: usize| {
        let mut reader = Reader::new(job, projection, cutoff);
        reader.read(&chunks[i]).map(|()| reader)
    };
    parallel::ordered(job.threads, chunks.len(), work, |_, read: Reader<'_>| {
        for (part, piece) in read.pieces {
            day.parts[part].push(piece);
        }
        day.counts.add(&read.counts);
        day.torn.extend(read.torn);
        day.unsettled |= read.unsettled;
        Ok(())
    })?;
    Ok(day)
}

/// One thread's way through a chunk.
struct Reader<'a> {
    job: &'a Job<'a>,
    projection: &'a Projection,
    cutoff: Millis,
    open: HashMap<usize, Piece>,
    pieces: Vec<(usize, Piece)>,
    counts: Counts,
    torn: Option<Torn>,
    unsettled: bool,
}

impl<'a> Reader<'a> {
    fn new(job: &'a Job<'a>, projection: &'a Projection, cutoff: Millis) -> Reader<'a> {
        let (open, pieces, counts) = (HashMap::new(), Vec::new(), Counts::default());
        Reader { job, projection, cutoff, open, pieces, counts, torn: None, unsettled: false }
    }

    fn read(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let mut lines = chunk.lines()?;
        let mut told = 0;
        while let Some(line) = lines.next()? {
            if let Err(refusal) = self.line(line.text) {
                self.refuse(&refusal, chunk, line.offset, line.text);
            }
            let so_far = lines.so_far().bytes;
            if so_far - told >= BLOCK_BYTES {
                self.job.progress.fetch_add(so_far - told, Ordering::Relaxed);
                told = so_far;
                self.put_away();
            }
        }
        let end = lines.finish();
        self.job.progress.fetch_add(end.bytes - told, Ordering::Relaxed);
        if let Some(torn) = end.torn {
            // As `batch` has it: a last line that nothing ended is an event if it reads as one.
            if end.last.is_empty() || self.line(Text::Whole(&end.last)).is_err() {
                self.torn = Some(torn);
                self.unsettled |= settles_later(&end.last, self.job.rules);
            }
        }
        self.put_away();
        Ok(())
    }

    fn line(&mut self, text: Text<'_>) -> Result<(), Refusal> {
        let Text::Whole(bytes) = text else { return Err(too_long()) };
        let Some(event) = Event::parse(bytes, self.job.received, self.job.rules)? else { return Ok(()) };
        self.counts.lines += 1;
        let new = || Piece { block: Block::new(self.projection), late: Vec::new() };
        let piece = self.open.entry(partition(event.user_id.as_bytes())).or_insert_with(new);
        if event.timestamp > self.cutoff {
            piece.late.push((piece.block.len(), event.line.as_bytes().into()));
        }
        piece.block.push(&event, self.projection);
        Ok(())
    }

    fn refuse(&mut self, refusal: &Refusal, chunk: &Chunk, offset: u64, text: Text<'_>) {
        self.counts.lines += 1;
        *self.counts.refused.entry(refusal.code.name().to_owned()).or_default() += 1;
        if let Text::Whole(bytes) = text {
            self.unsettled |= settles_later(bytes, self.job.rules);
        }
        (self.job.refused)(Refused { refusal, file: &chunk.file, offset, text });
    }

    fn put_away(&mut self) {
        self.pieces.extend(self.open.drain());
    }
}

/// Whether a refused line will be an event once time has come so far.
fn settles_later(line: &[u8], rules: &Rules) -> bool {
    matches!(Event::parse(line, EVER, rules), Ok(Some(_)))
}

/// The ids of a part: each once, sorted.
pub fn ids(key: &HashKey, pieces: &[Piece]) -> Vec<Identity> {
    let block_ids =
        |piece: &Piece| -> Vec<Identity> { (0..piece.block.len()).map(|i| identity(key, &piece.block, i)).collect() };
    let mut ids: Vec<Identity> = pieces.iter().flat_map(block_ids).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The lines of the late events of a part that count, each id once. `earlier`: sorted ids that earlier days have.
pub fn late<'p>(key: &HashKey, pieces: &'p [Piece], earlier: &[Identity]) -> Vec<&'p [u8]> {
    let late_id = |piece: &Piece, row: usize| identity(key, &piece.block, row);
    // The late ids that count if an event of theirs is the first of its id.
    let mut open: HashSet<Identity> = pieces
        .iter()
        .flat_map(|piece| piece.late.iter().map(|(row, _)| late_id(piece, *row)))
        .filter(|id| earlier.binary_search(id).is_err())
        .collect();
    let mut lines = Vec::new();
    for piece in pieces {
        let mut late = piece.late.iter().peekable();
        for row in 0..piece.block.len() {
            if open.is_empty() {
                return lines;
            }
            let line = late.next_if(|(at, _)| *at == row);
            let first = open.remove(&late_id(piece, row));
            lines.extend(line.filter(|_| first).map(|(_, line)| &line[..]));
        }
    }
    lines
}
