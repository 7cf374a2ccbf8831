//! The rows that touch one key out of a log, in its order, duplicates and all.

use super::batch::Refused;
use crate::engine::keys::Keys;
use crate::engine::plan::Plan;
use crate::event::{Refusal, Rules, too_long};
use crate::expr::Scratch;
use crate::key::Key;
use crate::lines::Text;
use crate::log::{Chunk, Error, Log};
use crate::parallel;
use crate::reader::Reader;
use crate::rows::Block;
use crate::time::Millis;
use std::sync::atomic::{AtomicU64, Ordering};

const CHUNK_BYTES: u64 = 4 << 20;
/// A block ends at so many bytes of text: places in it are of 32 bits.
const BLOCK_TEXT: usize = 16 << 20;
/// Progress is told after so many lines.
const TELL_LINES: u64 = 1 << 16;

/// A log that is searched for a key.
pub struct Search<'a> {
    pub log: &'a Log,
    pub key: &'a Key,
    /// Of the key's entity.
    pub plan: &'a Plan,
    pub rules: &'a Rules,
    /// The instant of receipt for events that carry none: now.
    pub received: Millis,
    /// No later event counts as the newest of the log.
    pub as_of: Millis,
    pub threads: usize,
    /// Told of every refused line, from several threads.
    pub refused: &'a (dyn Fn(Refused<'_>) + Sync),
    /// Bytes of the log read so far, for a progress bar.
    pub progress: &'a AtomicU64,
}

/// What a search found.
#[derive(Default)]
pub struct Found {
    pub rows: Vec<Block>,
    /// The largest event time of all users that is no later than the instant of the search.
    pub newest: Option<Millis>,
    /// Lines that are not blank, and those of them that are refused.
    pub lines: u64,
    pub refused: u64,
    /// Events of forgotten users.
    pub forgotten: u64,
}

/// Reads the whole log.
pub fn read(search: &Search<'_>) -> Result<Found, Error> {
    let chunks = search.log.chunks(CHUNK_BYTES);
    let mut all = Found::default();
    let work = |i: usize| {
        let mut worker = Worker::new(search);
        worker.read(&chunks[i]).map(|()| worker.found)
    };
    parallel::ordered(search.threads, chunks.len(), work, |_, found: Found| {
        all.newest = all.newest.max(found.newest);
        all.lines += found.lines;
        all.refused += found.refused;
        all.forgotten += found.forgotten;
        all.rows.extend(found.rows);
        Ok(())
    })?;
    Ok(all)
}

/// One thread's way through a chunk.
struct Worker<'a> {
    search: &'a Search<'a>,
    reader: Reader,
    found: Found,
    /// A row by itself, and whom it touches.
    row: Block,
    keys: Keys,
    scratch: Scratch,
}

impl<'a> Worker<'a> {
    fn new(search: &'a Search<'a>) -> Worker<'a> {
        let projection = &search.plan.definitions.projection;
        Worker {
            search,
            reader: Reader::new(projection, search.rules),
            found: Found::default(),
            row: Block::new(projection),
            keys: Keys::default(),
            scratch: Scratch::new(),
        }
    }

    fn read(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let mut lines = chunk.lines()?;
        let (mut told, mut n) = (0, 0u64);
        while let Some(line) = lines.next()? {
            let outcome = match line.text {
                Text::Whole(bytes) => self.line(chunk, bytes),
                Text::TooLong { .. } => Err(too_long()),
            };
            if let Err(refusal) = outcome {
                self.found.lines += 1;
                self.found.refused += 1;
                let (offset, text) = (line.offset, line.text);
                (self.search.refused)(Refused { refusal: &refusal, file: &chunk.file, offset, text });
            }
            n += 1;
            if n.is_multiple_of(TELL_LINES) {
                let so_far = lines.so_far().bytes;
                self.search.progress.fetch_add(so_far - told, Ordering::Relaxed);
                told = so_far;
            }
        }
        let end = lines.finish();
        self.search.progress.fetch_add(end.bytes - told, Ordering::Relaxed);
        if end.torn.is_some() && !end.last.is_empty() {
            // As `batch` has it: a last line that nothing ended is an event if it reads as one, else nobody's.
            let _ = self.line(chunk, &end.last);
        }
        Ok(())
    }

    fn line(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refusal> {
        if !self.reader.read_alone(bytes, self.search.received)? {
            return Ok(());
        }
        self.found.lines += 1;
        let (line, buf) = (self.reader.line(), self.reader.spare());
        if chunk.file.forgotten.drops(line.text(line.user(), buf), line.timestamp()) {
            self.found.forgotten += 1;
            return Ok(());
        }
        if line.timestamp() <= self.search.as_of {
            self.found.newest = self.found.newest.max(Some(line.timestamp()));
        }
        let plan = self.search.plan;
        let touches = if plan.entity().is_declared() {
            self.row.clear();
            self.row.push_line(line, buf);
            plan.keys(&self.row, 0, &mut self.keys, &mut self.scratch);
            self.keys.iter().any(|key| key == self.search.key.as_str())
        } else {
            line.text(line.user(), buf) == self.search.key.id().as_bytes()
        };
        if !touches {
            return Ok(());
        }
        if self.found.rows.last().is_none_or(|block| block.text_len() >= BLOCK_TEXT) {
            self.found.rows.push(Block::new(&plan.definitions.projection));
        }
        if let Some(block) = self.found.rows.last_mut() {
            block.push_line(line, buf);
        }
        Ok(())
    }
}
