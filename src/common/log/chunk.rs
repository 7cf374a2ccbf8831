//! Chunks: a log cut into pieces that threads read on their own.
//!
//! A line belongs to the chunk in which it begins, so the chunks in their order give
//! the lines of the log, each once, whatever the size of a chunk.

use super::care::{Frame, frames, reopen};
use super::{Error, Log, LogFile, Torn};
use crate::lines::{Form, Lines, Text, open_file, open_input, open_path};
use memchr::memchr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One piece of a log: a byte range of a plain file, some frames of a packed one that has a table of them, or the whole of
/// any other.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its place in the log, counted from 0.
    pub sequence: usize,
    pub file: Arc<LogFile>,
    /// The first byte of the range, and the one behind it; `None`: to the end of the stream.
    pub start: u64,
    pub end: Option<u64>,
    /// Where its frames stand in a packed file.
    packed: Option<Range<u64>>,
}

/// A line of a log, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Of its first byte in the decoded file. `line_number` turns it into a number where a person is told.
    pub offset: u64,
    pub text: Text<'a>,
}

/// What a chunk held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkEnd {
    pub lines: u64,
    /// Decoded bytes.
    pub bytes: u64,
    /// The last line of the file, if nothing ended it: not given out.
    pub torn: Option<Torn>,
    /// Its bytes, unless it is over the limit: a file made by hand may end so too, and its reader judges.
    pub last: Vec<u8>,
}

impl Log {
    /// Cuts the log into pieces of about `target_bytes`, in its order. Pipes, and packed files without a table of their
    /// frames, are one piece each.
    pub fn chunks(&self, target_bytes: u64) -> Vec<Chunk> {
        let target = target_bytes.max(1);
        let mut chunks = Vec::new();
        for file in self.files() {
            let mut push = |start, end, packed| {
                chunks.push(Chunk { sequence: chunks.len(), file: file.clone(), start, end, packed });
            };
            match (file.form, file.size) {
                (Form::Plain, Some(size)) => {
                    // Pieces of even size: the last is not a crumb.
                    let pieces = size.div_ceil(target);
                    let at = |i: u64| (u128::from(size) * u128::from(i) / u128::from(pieces)) as u64;
                    (0..pieces).for_each(|i| push(at(i), Some(at(i + 1)), None));
                }
                (Form::Zstd, Some(_)) => match table(file) {
                    Some(frames) => {
                        pieces(&frames, target).for_each(|(at, packed)| push(at.start, Some(at.end), Some(packed)))
                    }
                    None => push(0, None, None),
                },
                _ => push(0, None, None),
            }
        }
        chunks
    }
}

/// The frames of a packed file. A file that cannot be read says so when its chunk is.
fn table(file: &LogFile) -> Option<Vec<Frame>> {
    File::open(&file.path).and_then(|file| frames(&file)).ok().flatten()
}

/// Neighbouring frames up to about `target` bytes: their decoded range, and that in the file.
fn pieces(frames: &[Frame], target: u64) -> impl Iterator<Item = (Range<u64>, Range<u64>)> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let full = |frame: &Frame| frame.decoded_offset + u64::from(frame.decoded_len) - first.decoded_offset > target;
        let count = rest.iter().position(full).unwrap_or(rest.len()).max(1);
        let last = rest[count - 1];
        rest = &rest[count..];
        let end = last.decoded_offset + u64::from(last.decoded_len);
        Some((first.decoded_offset..end, first.offset..last.offset + u64::from(last.len)))
    })
}

impl Chunk {
    /// Opens the file and finds the first line of the chunk. A file that was packed or compacted since the log was opened is
    /// read where its lines are now.
    pub fn lines(&self) -> Result<ChunkLines, Error> {
        let lines = match self.open() {
            Err(e) if e.kind() == ErrorKind::NotFound => self.open_moved(e),
            other => other,
        };
        let lines = lines.map_err(Error::io(&self.file.path, "read"))?;
        let stop = self.end.unwrap_or(u64::MAX);
        Ok(ChunkLines { file: self.file.clone(), lines, stop, end: ChunkEnd::default() })
    }

    fn open(&self) -> io::Result<Lines<Box<dyn Read + Send>>> {
        let (Some(end), Some(size)) = (self.end, self.file.size) else {
            return Ok(Lines::new(Box::new(open_path(&self.file.path)?)));
        };
        let mut file = File::open(&self.file.path)?;
        if let Some(packed) = &self.packed {
            file.seek(SeekFrom::Start(packed.start))?;
            let input = open_input(Box::new(file.take(packed.end - packed.start)))?;
            return Ok(Lines::starting_at(Box::new(input), self.start));
        }
        let start = first_line(&mut file, self.start, end)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Lines::starting_at(
            Box::new(Exactly { inner: file, left: size - start, wanted: end.saturating_sub(start) }),
            start,
        ))
    }

    fn open_moved(&self, absent: io::Error) -> io::Result<Lines<Box<dyn Read + Send>>> {
        let Some(input) = reopen(&self.file)? else { return Err(absent) };
        // As it stood when the log was opened.
        let plain = self.file.size.filter(|_| self.file.form == Form::Plain);
        let mut input = input.take(plain.unwrap_or(u64::MAX));
        let Some(before) = self.start.checked_sub(1) else { return Ok(Lines::new(Box::new(input))) };
        io::copy(&mut (&mut input).take(before), &mut io::sink())?;
        let mut lines: Lines<Box<dyn Read + Send>> = Lines::starting_at(Box::new(input), before);
        // The line that holds the byte before `start` is not of this chunk.
        lines.step()?;
        Ok(lines)
    }

    /// Gives every line of the chunk to `each`.
    pub fn for_each_line(&self, mut each: impl FnMut(Line<'_>)) -> Result<ChunkEnd, Error> {
        let mut lines = self.lines()?;
        while let Some(line) = lines.next()? {
            each(line);
        }
        Ok(lines.finish())
    }
}

/// Whole lines as they lie in a buffer with slack behind. Those that begin at `stop` or later are not of the chunk.
pub struct Block<'a> {
    pub buffer: &'a [u8],
    pub lines: Range<usize>,
    pub stop: usize,
    /// Of the first line in the decoded file.
    pub offset: u64,
}

/// The lines of one chunk. Memory is constant, however long the chunk.
pub struct ChunkLines {
    file: Arc<LogFile>,
    lines: Lines<Box<dyn Read + Send>>,
    stop: u64,
    end: ChunkEnd,
}

impl ChunkLines {
    #[expect(clippy::should_implement_trait, reason = "a line borrows the buffer, which `Iterator` cannot say")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Error> {
        Ok(if self.step()? { Some(self.line()) } else { None })
    }

    /// Moves to the next line, which `line` and `in_buffer` then give; false behind the last.
    #[inline]
    pub fn step(&mut self) -> Result<bool, Error> {
        if self.lines.offset() >= self.stop {
            return Ok(false);
        }
        if !self.lines.step().map_err(|e| Error::io(&self.file.path, "read")(e))? {
            return Ok(false);
        }
        let line = self.lines.line();
        // Nobody's crash tears a line of a pipe.
        if !line.ended && self.file.size.is_some() {
            let torn = Torn { path: self.file.path.clone(), offset: line.offset, len: line.text.len() };
            self.end.torn = Some(torn);
            if let Text::Whole(bytes) = line.text {
                self.end.last = bytes.to_vec();
            }
            return Ok(false);
        }
        self.end.lines += 1;
        self.end.bytes += line.text.len() + 1;
        Ok(true)
    }

    /// The line `step` moved to.
    #[inline]
    pub fn line(&self) -> Line<'_> {
        let line = self.lines.line();
        Line { offset: line.offset, text: line.text }
    }

    /// All whole lines of the chunk that were read; `None`: what comes next, if anything, is for `step`.
    pub fn block(&mut self) -> Result<Option<Block<'_>>, Error> {
        let left = self.stop.saturating_sub(self.lines.offset());
        if left == 0 {
            return Ok(None);
        }
        let Some(lines) = self.lines.block().map_err(|e| Error::io(&self.file.path, "read")(e))? else {
            return Ok(None);
        };
        let stop = lines.start.saturating_add(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(Some(Block { buffer: self.lines.buffer(), lines, stop, offset: self.lines.offset() }))
    }

    /// Moves on behind so many bytes of the block, which were so many lines.
    pub fn take(&mut self, bytes: usize, lines: u64) {
        self.lines.take(bytes, lines);
        self.end.bytes += bytes as u64;
        self.end.lines += lines;
    }

    /// What was read so far; after the last line, what the chunk held.
    pub fn finish(self) -> ChunkEnd {
        self.end
    }

    pub fn so_far(&self) -> &ChunkEnd {
        &self.end
    }
}

/// Where the first line begins that begins in `start..end`; `end` when none does.
fn first_line(file: &mut File, start: u64, end: u64) -> io::Result<u64> {
    if start == 0 {
        return Ok(0);
    }
    let mut buffer = [0u8; 16 * 1024];
    // A line begins at `start` when the byte before ends one.
    let mut at = start - 1;
    file.seek(SeekFrom::Start(at))?;
    while at < end - 1 {
        let want = buffer.len().min((end - 1 - at) as usize);
        match file.read(&mut buffer[..want]) {
            Ok(0) => return Err(shrank()),
            Ok(n) => match memchr(b'\n', &buffer[..n]) {
                Some(i) => return Ok(at + i as u64 + 1),
                None => at += n as u64,
            },
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(end)
}

/// A reader of so many bytes, no more; fewer are an error. Behind those that are wanted it reads but little at a time.
struct Exactly {
    inner: File,
    left: u64,
    wanted: u64,
}

/// As much as the rest of a line needs, behind the end of a chunk.
const TAIL_BYTES: u64 = 8 * 1024;

impl Read for Exactly {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(self.wanted.saturating_add(TAIL_BYTES));
        let want = out.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut out[..want])?;
        self.wanted = self.wanted.saturating_sub(n as u64);
        if n == 0 && want > 0 {
            return Err(shrank());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

fn shrank() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the file became shorter while it was read")
}

/// The number, from 1, of the line that begins at (or holds) the byte at `offset` of the decoded file. Reads all before it.
pub fn line_number(path: &Path, offset: u64) -> Result<u64, Error> {
    let count = || -> io::Result<u64> {
        let mut input = open_file(File::open(path)?)?.take(offset);
        let mut buffer = vec![0; 256 * 1024];
        let mut number = 1;
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(number),
                Ok(n) => number += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    };
    count().map_err(Error::io(path, "read"))
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
