//! The rows of one day of the log, by part, with the whole lines of those later than the day.

use super::super::batch::{Job, PARTITIONS, Refused, partition};
use crate::engine::dedup::{HashKey, Identity, identity};
use crate::event::{Event, Refusal, Rules, too_long};
use crate::limits::FUTURE_MS;
use crate::lines::Text;
use crate::log::{self, Chunk, Error, Log, Torn};
use crate::parallel;
use crate::reader::{Line, Reader};
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
        let mut worker = Worker::new(job, projection, cutoff);
        worker.read(&chunks[i]).map(|()| worker)
    };
    parallel::ordered(job.threads, chunks.len(), work, |_, read: Worker<'_>| {
        for (part, piece) in read.day.pieces {
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
struct Worker<'a> {
    job: &'a Job<'a>,
    reader: Reader,
    day: OpenDay<'a>,
    counts: Counts,
    torn: Option<Torn>,
    unsettled: bool,
}

/// The pieces of a chunk, by part: one that is not full yet, and those put away.
struct OpenDay<'a> {
    projection: &'a Projection,
    cutoff: Millis,
    open: HashMap<usize, Piece>,
    pieces: Vec<(usize, Piece)>,
}

impl<'a> Worker<'a> {
    fn new(job: &'a Job<'a>, projection: &'a Projection, cutoff: Millis) -> Worker<'a> {
        let day = OpenDay { projection, cutoff, open: HashMap::new(), pieces: Vec::new() };
        let reader = Reader::new(projection, job.rules);
        Worker { job, reader, day, counts: Counts::default(), torn: None, unsettled: false }
    }

    fn read(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let mut lines = chunk.lines()?;
        let mut told = 0;
        loop {
            if let Some(block) = lines.block()? {
                let (bytes, n) = self.block(chunk, &block);
                lines.take(bytes, n);
            } else if lines.step()? {
                self.odd(chunk, &lines.line());
            } else {
                break;
            }
            let so_far = lines.so_far().bytes;
            if so_far - told >= BLOCK_BYTES {
                self.job.progress.fetch_add(so_far - told, Ordering::Relaxed);
                told = so_far;
                self.day.put_away();
            }
        }
        let end = lines.finish();
        self.job.progress.fetch_add(end.bytes - told, Ordering::Relaxed);
        if let Some(torn) = end.torn {
            // As `batch` has it: a last line that nothing ended is an event if it reads as one.
            if end.last.is_empty() || self.alone(chunk, &end.last).is_err() {
                self.torn = Some(torn);
                self.unsettled |= settles_later(&end.last, self.job.rules);
            }
        }
        self.day.put_away();
        Ok(())
    }

    /// Takes in the lines of a block that are of the chunk. Gives their bytes and their number.
    fn block(&mut self, chunk: &Chunk, block: &log::Block<'_>) -> (usize, u64) {
        let (mut at, mut taken) = (block.lines.start, 0);
        let end = block.lines.end.min(block.stop);
        while at < end {
            let (to, outcome) = self.reader.read(block.buffer, at, self.job.received);
            match outcome {
                Ok(true) => self.event(chunk, block.buffer, &block.buffer[at..to]),
                Ok(false) => {}
                Err(refusal) => {
                    let offset = block.offset + (at - block.lines.start) as u64;
                    self.refuse(&refusal, chunk, offset, Text::of(&block.buffer[at..to]));
                }
            }
            at = to + 1;
            taken += 1;
        }
        (at - block.lines.start, taken)
    }

    /// Takes in a line that no block holds: too long, or the last one of a pipe and not ended.
    fn odd(&mut self, chunk: &Chunk, line: &log::Line<'_>) {
        let outcome = match line.text {
            Text::Whole(bytes) => self.alone(chunk, bytes),
            Text::TooLong { .. } => Err(too_long()),
        };
        if let Err(refusal) = outcome {
            self.refuse(&refusal, chunk, line.offset, line.text);
        }
    }

    fn alone(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refusal> {
        if self.reader.read_alone(bytes, self.job.received)? {
            let spare = self.reader.spare().to_vec();
            self.event(chunk, &spare, bytes);
        }
        Ok(())
    }

    /// Takes in the event that was read from `buf`, unless its user is forgotten; `whole` is all of its line.
    fn event(&mut self, chunk: &Chunk, buf: &[u8], whole: &[u8]) {
        self.counts.lines += 1;
        let line = self.reader.line();
        if chunk.file.forgotten.drops(line.text(line.user(), buf), line.timestamp()) {
            self.counts.forgotten += 1;
        } else {
            self.day.push(line, buf, whole);
        }
    }

    fn refuse(&mut self, refusal: &Refusal, chunk: &Chunk, offset: u64, text: Text<'_>) {
        self.counts.lines += 1;
        *self.counts.refused.entry(refusal.code.name().to_owned()).or_default() += 1;
        if let Text::Whole(bytes) = text {
            self.unsettled |= settles_later(bytes, self.job.rules);
        }
        (self.job.refused)(Refused { refusal, file: &chunk.file, offset, text });
    }
}

impl OpenDay<'_> {
    /// Adds the event that was read from `buf`; `whole` is all of its line.
    fn push(&mut self, line: &Line, buf: &[u8], whole: &[u8]) {
        let new = || Piece { block: Block::new(self.projection), late: Vec::new() };
        let piece = self.open.entry(partition(line.text(line.user(), buf))).or_insert_with(new);
        if line.timestamp() > self.cutoff {
            piece.late.push((piece.block.len(), without_blanks(whole).into()));
        }
        piece.block.push_line(line, buf);
    }

    fn put_away(&mut self) {
        self.pieces.extend(self.open.drain());
    }
}

/// A line without the blanks around it, as an event has it.
fn without_blanks(line: &[u8]) -> &[u8] {
    let inked = |b: &u8| !matches!(b, b' ' | b'\t' | b'\r');
    let from = line.iter().position(inked).unwrap_or(line.len());
    let to = line.iter().rposition(inked).map_or(from, |last| last + 1);
    &line[from..to]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn the_line_of_a_late_event_is_that_of_the_event() {
        let event = r#"{"eventId":"e 1","userId":"u","eventType":"view","timestamp":1731296325000,"page":" x "}"#;
        for (before, after) in [("", ""), (" \t", "\r"), ("\r ", "\t  \r")] {
            let line = format!("{before}{event}{after}");
            let judged = Event::parse(line.as_bytes(), EVER, &Rules::default()).expect("valid").expect("not blank");
            assert_eq!(without_blanks(line.as_bytes()), judged.line.as_bytes());
        }
        assert_eq!(without_blanks(b" \t\r"), b"");
    }
}
