//! Scatter: the lines of the log, read by all threads, as packed rows by partition.

use super::pile::{Piles, Place};
use super::share::Shares;
use super::{Failure, Job, PARTITIONS, Refused, Summary, partition, partition_within};
use crate::event::{Refusal, too_long};
use crate::forgotten::Forgotten;
use crate::lines::Text;
use crate::log::{self, Block, Chunk};
use crate::packed::{Packed, Packer, Packing, Words};
use crate::reader::{Lazy, Reader};
use crate::time::Millis;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Small enough that threads end together, large enough that finding its first line costs nothing.
const CHUNK_BYTES: u64 = 4 << 20;
/// A chunk of a packed file may be huge: progress is told after so many bytes.
const TELL_BYTES: u64 = 16 << 20;

/// What reading the log gave besides the piles.
pub struct Scattered {
    pub summary: Summary,
    /// The largest event time in the range.
    pub newest: Option<Millis>,
    /// Of the rows on the piles, by writer.
    pub words: Vec<Words>,
}

/// Reads every line onto the piles.
pub fn scatter(job: &Job<'_>, piles: &Piles, packing: &Packing) -> Result<Scattered, Failure> {
    let chunks = job.log.chunks(CHUNK_BYTES);
    let threads = job.threads.clamp(1, chunks.len().max(1));
    let size = |chunk: &Chunk| chunk.end.map_or(chunk.file.size.unwrap_or(0), |end| end - chunk.start);
    let shares = Shares::new(&chunks.iter().map(size).collect::<Vec<_>>(), threads);
    let parts: Vec<Result<_, Failure>> = std::thread::scope(|scope| {
        let work = |thread: usize| {
            let mut worker = Worker::new(job, piles, Packer::new(packing, thread as u32));
            while let Some(i) = shares.next(thread) {
                worker.read(&chunks[i])?;
            }
            worker.hand_over()?;
            Ok((worker.summary, worker.newest, worker.packer.finish()))
        };
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        workers.into_iter().map(|w| w.join().expect("a panic ends the program")).collect()
    });
    let mut all = Scattered { summary: Summary::default(), newest: None, words: Vec::new() };
    for part in parts {
        let (summary, newest, words) = part?;
        all.summary.add(summary);
        all.newest = all.newest.max(newest);
        all.words.push(words);
    }
    Ok(all)
}

/// One thread's way through the log.
struct Worker<'a> {
    job: &'a Job<'a>,
    piles: &'a Piles,
    packer: Packer<'a>,
    /// Whether lines are read lazily.
    straight: bool,
    reader: Reader,
    open: Open,
    forgotten: Arc<Forgotten>,
    /// Whether anybody is.
    forgetful: bool,
    /// The chunk that would go on with the stretch read so far.
    expected: usize,
    newest: Option<Millis>,
    summary: Summary,
}

/// One slab a partition that is not full yet.
struct Open {
    slabs: Vec<(Place, Packed)>,
    chunk: usize,
    handed: usize,
}

impl<'a> Worker<'a> {
    fn new(job: &'a Job<'a>, piles: &'a Piles, packer: Packer<'a>) -> Worker<'a> {
        let slabs = (0..PARTITIONS).map(|_| Default::default()).collect();
        let open = Open { slabs, chunk: 0, handed: 0 };
        let reader = Reader::new(&job.plan.definitions.projection, job.rules);
        let straight = packer.is_straight();
        let forgotten = job.log.forgotten();
        Worker {
            job,
            piles,
            packer,
            straight,
            reader,
            open,
            forgetful: !forgotten.is_empty(),
            forgotten,
            expected: 0,
            newest: None,
            summary: Summary::default(),
        }
    }

    fn read(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        if chunk.sequence != self.expected {
            // Another stretch of the log begins: its rows do not follow those before.
            self.hand_over()?;
        }
        self.expected = chunk.sequence + 1;
        self.open.chunk = chunk.sequence;
        let mut lines = chunk.lines()?;
        let mut told = 0;
        loop {
            if let Some(block) = lines.block()? {
                let (bytes, n) = self.block(chunk, &block)?;
                lines.take(bytes, n);
            } else if lines.step()? {
                self.odd(chunk, &lines.line())?;
            } else {
                break;
            }
            let so_far = lines.so_far().bytes;
            if so_far - told >= TELL_BYTES {
                self.job.progress.fetch_add(so_far - told, Ordering::Relaxed);
                told = so_far;
            }
        }
        let end = lines.finish();
        self.job.progress.fetch_add(end.bytes - told, Ordering::Relaxed);
        if let Some(torn) = end.torn {
            // Nothing tells a write cut short from a file made by hand but whether it is an event.
            if end.last.is_empty() || self.last(end.last)?.is_err() {
                self.summary.torn.push(torn);
            }
        }
        Ok(())
    }

    /// Takes in the lines of a block that are of the chunk. Gives their bytes and their number.
    fn block(&mut self, chunk: &Chunk, block: &Block<'_>) -> Result<(usize, u64), Failure> {
        let (mut at, mut lines) = (block.lines.start, 0);
        let end = block.lines.end.min(block.stop);
        while at < end {
            let (to, outcome) = self.line(block.buffer, at)?;
            if let Err(refusal) = outcome {
                let offset = block.offset + (at - block.lines.start) as u64;
                self.refuse(&refusal, chunk, offset, Text::of(&block.buffer[at..to]));
            }
            at = to + 1;
            lines += 1;
        }
        Ok((at - block.lines.start, lines))
    }

    /// Takes in a line that no block holds: too long, or the last one of a pipe and not ended.
    fn odd(&mut self, chunk: &Chunk, line: &log::Line<'_>) -> Result<(), Failure> {
        let outcome = match line.text {
            Text::Whole(bytes) => self.last(bytes.to_vec())?,
            Text::TooLong { .. } => Err(too_long()),
        };
        if let Err(refusal) = outcome {
            self.refuse(&refusal, chunk, line.offset, line.text);
        }
        Ok(())
    }

    /// Takes one line in, be it inside the range or not: its duplicates are found later on. Gives the place of its newline.
    #[inline]
    fn line(&mut self, buf: &[u8], from: usize) -> Result<(usize, Result<(), Refusal>), Failure> {
        let (reader, received) = (&mut self.reader, self.job.received);
        let (to, outcome) =
            if self.straight { reader.read_lazily(buf, from, received) } else { reader.read(buf, from, received) };
        match outcome {
            Err(refusal) => return Ok((to, Err(*refusal))),
            Ok(false) => return Ok((to, Ok(()))),
            Ok(true) => {}
        }
        self.summary.lines += 1;
        let event = self.reader.lazy();
        let timestamp = event.timestamp();
        if self.forgetful && self.forgotten.drops(event.user(buf, from), timestamp) {
            self.summary.forgotten += 1;
            return Ok((to, Ok(())));
        }
        if self.job.range.holds(timestamp) {
            self.newest = self.newest.max(Some(timestamp));
        }
        if self.job.only.is_some_and(|only| !only(event.user(buf, from))) {
            return Ok((to, Ok(())));
        }
        self.open.push(self.piles, &mut self.packer, &event, buf, from..to).map_err(Failure::Spill)?;
        Ok((to, Ok(())))
    }

    fn last(&mut self, mut line: Vec<u8>) -> Result<Result<(), Refusal>, Failure> {
        line.extend_from_slice(&[b'\n'; crate::reader::SLACK]);
        self.line(&line, 0).map(|(_, outcome)| outcome)
    }

    fn refuse(&mut self, refusal: &Refusal, chunk: &Chunk, offset: u64, text: Text<'_>) {
        self.summary.lines += 1;
        *self.summary.refused.entry(refusal.code).or_default() += 1;
        (self.job.refused)(Refused { refusal, file: &chunk.file, offset, text });
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        self.open.hand_over(self.piles).map_err(Failure::Spill)
    }
}

impl Open {
    #[inline(always)]
    fn push(
        &mut self,
        piles: &Piles,
        packer: &mut Packer,
        event: &Lazy,
        buf: &[u8],
        line: Range<usize>,
    ) -> std::io::Result<()> {
        let p = match event {
            Lazy::Read(line) => partition(line.text(line.user(), buf)),
            Lazy::Laid(layout, _) => partition_within(&buf[line.start + layout.user.at()..], layout.user.size()),
        };
        let room = packer.room_lazy(event, line.len());
        if self.slabs[p].1.free() < room {
            self.replace(p, piles, packer.start(piles.memory(room)))?;
        }
        packer.push_lazy(&mut self.slabs[p].1, event, buf, line.start);
        Ok(())
    }

    #[cold]
    fn replace(&mut self, p: usize, piles: &Piles, next: Packed) -> std::io::Result<()> {
        self.handed += 1;
        let next = ((self.chunk, self.handed), next);
        let (place, full) = std::mem::replace(&mut self.slabs[p], next);
        if full.is_empty() { Ok(()) } else { piles.put(p, place, full) }
    }

    fn hand_over(&mut self, piles: &Piles) -> std::io::Result<()> {
        for (p, slab) in self.slabs.iter_mut().enumerate() {
            let (place, packed) = std::mem::take(slab);
            if !packed.is_empty() {
                piles.put(p, place, packed)?;
            }
        }
        Ok(())
    }
}
