//! Lines: bytes cut at `\n`, each within a limit and with its place in the input.
//!
//! One buffer, no allocation a line: an endless line costs no more memory than a
//! short one. Whatever stands before `\n` belongs to the line, `\r` too.

mod input;

pub use input::{Form, Input, open_file, open_input, open_path, source_name};

use crate::limits::LINE_MAX;
use crate::reader::SLACK;
use memchr::{memchr, memrchr};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;

/// How much of a line over the limit is kept, in bytes: enough to recognise it in a dead letter.
pub const HEAD_MAX: usize = 1024;
const BUFFER: usize = 512 * 1024;
/// Read at once: little enough to be in the cache still when it is looked at.
const READ: usize = 128 * 1024;
/// The part of a line that is copied to make room for the rest wherever it lies.
const TAIL_MAX: usize = 4 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One line of an input, borrowed until the next is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// Of the line's first byte, counted from 0 at the start of the (decoded) input.
    pub offset: u64,
    pub text: Text<'a>,
    /// Whether `\n` followed: false only for a last line that nothing ended.
    pub ended: bool,
}

/// What a line holds, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    Whole(&'a [u8]),
    /// Over the limit: its first bytes (`HEAD_MAX` at most) and its whole length.
    TooLong {
        head: &'a [u8],
        len: u64,
    },
}

impl<'a> Text<'a> {
    /// A line that lies in memory as a whole, as `Lines` gives it out.
    pub fn of(line: &'a [u8]) -> Text<'a> {
        if line.len() <= LINE_MAX {
            return Text::Whole(line);
        }
        Text::TooLong { head: &line[..HEAD_MAX], len: line.len() as u64 }
    }
}

impl Text<'_> {
    /// The length of the line in the input, its newline not counted.
    pub fn len(&self) -> u64 {
        match self {
            Text::Whole(bytes) => bytes.len() as u64,
            Text::TooLong { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Line<'_> {
    /// The offset behind the line and its newline: where the next line begins.
    pub fn end(&self) -> u64 {
        self.offset + self.text.len() + u64::from(self.ended)
    }
}

/// The lines of one input. A byte order mark at its very start is skipped.
pub struct Lines<R> {
    input: R,
    max: usize,
    buffer: Vec<u8>,
    /// `buffer[start..end]` was read and not given out; no newline stands in `start..scanned`.
    start: usize,
    scanned: usize,
    end: usize,
    /// Of `buffer[start]` in the input.
    offset: u64,
    number: u64,
    fresh: bool,
    done: bool,
    head: Vec<u8>,
    now: Now,
}

/// The line found last, by its place in the buffer.
#[derive(Clone, Copy, Default)]
struct Now {
    from: usize,
    to: usize,
    offset: u64,
    /// The whole length of a line over the limit, whose beginning is in `head`.
    too_long: Option<u64>,
    ended: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `LINE_MAX` bytes.
    pub fn new(input: R) -> Lines<R> {
        Lines::with_max(input, LINE_MAX)
    }

    /// Lines of at most `max` bytes.
    pub fn with_max(input: R, max: usize) -> Lines<R> {
        // A line of the greatest length and its newline fit, with room to read on.
        let size = BUFFER.max(2 * max + 2);
        Lines {
            input,
            max,
            buffer: vec![0; size + SLACK],
            start: 0,
            scanned: 0,
            end: 0,
            offset: 0,
            number: 0,
            fresh: true,
            done: false,
            head: Vec::new(),
            now: Now::default(),
        }
    }

    /// Lines of an input that begins at `offset` of a larger one: positions count from there, line numbers from 1.
    pub fn starting_at(input: R, offset: u64) -> Lines<R> {
        Lines { offset, fresh: offset == 0, ..Lines::new(input) }
    }

    /// The next line; `None` at the end. Errors are those of the input; after one the lines are at their end.
    #[expect(clippy::should_implement_trait, reason = "a line borrows the buffer, which `Iterator` cannot say")]
    #[inline]
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        Ok(if self.step()? { Some(self.line()) } else { None })
    }

    /// Moves to the next line, which `line` then gives; false at the end.
    #[inline]
    pub fn step(&mut self) -> io::Result<bool> {
        loop {
            if let Some(i) = memchr(b'\n', &self.buffer[self.scanned..self.end]) {
                self.give(self.scanned + i, true);
                return Ok(true);
            }
            self.scanned = self.end;
            if self.end - self.start > self.max {
                return self.skip_long().map(|()| true);
            }
            if self.done {
                let rest = self.end > self.start;
                if rest {
                    self.give(self.end, false);
                }
                return Ok(rest);
            }
            self.fill()?;
        }
    }

    /// Reads on until the buffer holds a whole line, and gives all whole lines it holds; `None`: the next line is one for
    /// `step`, too long or not ended. `take` says how many of them were dealt with.
    pub fn block(&mut self) -> io::Result<Option<Range<usize>>> {
        loop {
            if let Some(last) = memrchr(b'\n', &self.buffer[self.scanned..self.end]) {
                return Ok(Some(self.start..self.scanned + last + 1));
            }
            self.scanned = self.end;
            if self.done || self.end - self.start > self.max {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// The buffer that `block` speaks of, with slack behind.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Moves on behind so many bytes of the block, which were so many lines.
    pub fn take(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.scanned = self.start;
        self.offset += bytes as u64;
        self.number += lines;
    }

    /// Whether a whole line has been read already: the next step needs no more of the input.
    pub fn ready(&self) -> bool {
        memchr(b'\n', &self.buffer[self.scanned..self.end]).is_some()
    }

    /// The line `step` moved to. Before the first step it is empty.
    #[inline]
    pub fn line(&self) -> Line<'_> {
        let Now { from, to, offset, too_long, ended } = self.now;
        let text = match too_long {
            None => Text::Whole(&self.buffer[from..to]),
            Some(len) => Text::TooLong { head: &self.head, len },
        };
        Line { number: self.number, offset, text, ended }
    }

    /// Where reading goes on: the offset behind the last line given out.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the last line given out or taken, 0 before the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn input(&self) -> &R {
        &self.input
    }

    #[inline]
    fn give(&mut self, to: usize, ended: bool) {
        let len = to - self.start;
        let too_long = (len > self.max).then_some(len as u64);
        if too_long.is_some() {
            self.keep_head(to);
        }
        self.now = Now { from: self.start, to, offset: self.offset, too_long, ended };
        self.start = to + usize::from(ended);
        self.scanned = self.start;
        self.offset += len as u64 + u64::from(ended);
        self.number += 1;
    }

    fn keep_head(&mut self, to: usize) {
        let to = to.min(self.start + HEAD_MAX);
        self.head.clear();
        self.head.extend_from_slice(&self.buffer[self.start..to]);
    }

    /// Reads past a line that has outgrown the limit, keeping its head only.
    fn skip_long(&mut self) -> io::Result<()> {
        self.keep_head(self.end);
        let offset = self.offset;
        let mut len = 0;
        let ended = loop {
            if let Some(i) = memchr(b'\n', &self.buffer[self.scanned..self.end]) {
                let to = self.scanned + i;
                len += (to - self.start) as u64;
                self.start = to + 1;
                break true;
            }
            len += (self.end - self.start) as u64;
            self.start = self.end;
            if self.done {
                break false;
            }
            self.fill()?;
        };
        self.scanned = self.start;
        self.offset = offset + len + u64::from(ended);
        self.number += 1;
        self.now = Now { from: 0, to: 0, offset, too_long: Some(len), ended };
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
        } else if self.room() - self.end < self.room() / 4 || self.end - self.start <= TAIL_MAX {
            // To the front, which the machine has at hand.
            self.buffer.copy_within(self.start..self.end, 0);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        self.read_some()?;
        if self.fresh {
            self.skip_bom()?;
        }
        Ok(())
    }

    fn skip_bom(&mut self) -> io::Result<()> {
        self.fresh = false;
        while self.end < BOM.len() && BOM.starts_with(&self.buffer[..self.end]) && !self.done {
            self.read_some()?;
        }
        if self.buffer[..self.end].starts_with(BOM) {
            self.start = BOM.len();
            self.scanned = self.start;
            self.offset += BOM.len() as u64;
        }
        Ok(())
    }

    /// How much of the buffer is read into: behind it lies the slack that a reader of lines needs.
    fn room(&self) -> usize {
        self.buffer.len() - SLACK
    }

    /// One read: a line that has arrived never waits for the next to come.
    fn read_some(&mut self) -> io::Result<()> {
        let room = self.room().min(self.end + READ);
        loop {
            match self.input.read(&mut self.buffer[self.end..room]) {
                Ok(0) => self.done = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.done = true;
                    (self.start, self.scanned) = (self.end, self.end);
                    return Err(e);
                }
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reader that gives at most so many bytes a call.
    pub(crate) struct Trickle<'a>(pub &'a [u8], pub usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    /// Number, offset, the bytes or the length when too long, ended.
    type Seen = (u64, u64, Result<Vec<u8>, u64>, bool);

    fn all(input: impl Read, max: usize) -> Vec<Seen> {
        let mut lines = Lines::with_max(input, max);
        let mut out = Vec::new();
        while let Some(line) = lines.next().expect("no fault") {
            let text = match line.text {
                Text::Whole(bytes) => Ok(bytes.to_vec()),
                Text::TooLong { head, len } => {
                    assert!(head.len() > max.min(HEAD_MAX - 1) && head.len() as u64 <= len);
                    Err(len)
                }
            };
            out.push((line.number, line.offset, text, line.ended));
        }
        out
    }

    /// The same, by blocks where there are any.
    fn all_by_blocks(input: impl Read, max: usize) -> Vec<Seen> {
        let mut lines = Lines::with_max(input, max);
        let mut out = Vec::new();
        loop {
            if let Some(block) = lines.block().expect("no fault") {
                let (number, mut offset) = (lines.number, lines.offset());
                for (i, line) in lines.buffer()[block.clone()].split_inclusive(|b| *b == b'\n').enumerate() {
                    let text = &line[..line.len() - 1];
                    let seen = if text.len() > max { Err(text.len() as u64) } else { Ok(text.to_vec()) };
                    out.push((number + i as u64 + 1, offset, seen, true));
                    offset += line.len() as u64;
                }
                lines.take(block.len(), out.len() as u64 - number);
            } else if lines.step().expect("no fault") {
                let line = lines.line();
                let text = match line.text {
                    Text::Whole(bytes) => Ok(bytes.to_vec()),
                    Text::TooLong { len, .. } => Err(len),
                };
                out.push((line.number, line.offset, text, line.ended));
            } else {
                return out;
            }
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_a_naive_split_however_the_bytes_arrive(
            input in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 10 => any::<u8>(), 1 => Just(0xef)], 0..600),
            step in 1usize..40,
            max in 0usize..20,
        ) {
            let skipped = if input.starts_with(BOM) { 3 } else { 0 };
            let (mut offset, mut want) = (skipped as u64, Vec::new());
            for (i, piece) in input[skipped..].split_inclusive(|b| *b == b'\n').enumerate() {
                let text = piece.strip_suffix(b"\n").unwrap_or(piece);
                let seen = if text.len() > max { Err(text.len() as u64) } else { Ok(text.to_vec()) };
                want.push((i as u64 + 1, offset, seen, piece.ends_with(b"\n")));
                offset += piece.len() as u64;
            }
            prop_assert_eq!(all_by_blocks(Trickle(&input, step), max), &want[..]);
            prop_assert_eq!(all(Trickle(&input, step), max), want);
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_very_start_only() {
        for step in 1..5 {
            let lines = all(Trickle(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", step), 99);
            assert_eq!(lines[0], (1, 3, Ok(b"a".to_vec()), true));
            assert_eq!(lines[1], (2, 5, Ok(b"\xef\xbb\xbfb".to_vec()), false));
        }
        assert_eq!(all(&b"\xef\xbb"[..], 99), [(1, 0, Ok(b"\xef\xbb".to_vec()), false)]);
        assert!(all(&b"\xef\xbb\xbf"[..], 99).is_empty());
    }

    #[test]
    fn a_line_without_an_end_costs_one_buffer_and_its_neighbours_nothing() {
        let long = 64 << 20;
        let input = (&b"before\n"[..]).chain(io::repeat(b'x').take(long)).chain(&b"\nafter\n"[..]);
        let mut lines = Lines::new(input);
        assert_eq!(lines.next().expect("read").expect("line").text, Text::Whole(b"before"));
        let line = lines.next().expect("read").expect("line");
        assert_eq!(line.text, Text::TooLong { head: &[b'x'; HEAD_MAX], len: long });
        assert_eq!((line.number, line.offset, line.end()), (2, 7, 8 + long));
        assert_eq!(lines.next().expect("read").expect("line").text, Text::Whole(b"after"));
        assert_eq!(lines.next().expect("read"), None);
        assert_eq!(lines.buffer.len(), 2 * LINE_MAX + 2 + SLACK);
        assert_eq!(lines.head.capacity(), HEAD_MAX);
    }

    #[test]
    fn a_line_is_ready_when_its_end_has_arrived() {
        let mut lines = Lines::new(Trickle(b"ab\ncd\nef", 4));
        let mut seen = Vec::new();
        assert!(!lines.ready(), "nothing was read");
        while lines.step().expect("no fault") {
            seen.push(lines.ready());
        }
        assert_eq!(seen, [false, false, false]);
        let mut lines = Lines::new(&b"ab\ncd\nef"[..]);
        seen.clear();
        while lines.step().expect("no fault") {
            seen.push(lines.ready());
        }
        assert_eq!(seen, [true, false, false]);
    }

    #[test]
    fn whole_lines_before_a_fault_are_given_out_and_then_the_fault_once() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let mut lines = Lines::new((&b"a\nb"[..]).chain(Broken));
        assert_eq!(lines.next().expect("read").expect("line").text, Text::Whole(b"a"));
        assert!(lines.next().is_err());
        assert_eq!(lines.next().expect("at the end"), None);
    }
}
