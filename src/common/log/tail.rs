//! The tail: reads a log from a position on, file after file, as it grows.
//!
//! What it gives out is durable: in the files of a writer of this process it goes no
//! further than that writer's `commit`; any other file it syncs itself before reading.

use super::writer::{LogWriter, Owner};
use super::{Error, Log, LogFile, Position};
use crate::lines::{Form, Lines, Text, open_file};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A reader with a memory of how far it came in each file.
pub struct LogReader {
    path: PathBuf,
    /// The files that a limit governs.
    owner: Option<Owner>,
    position: Position,
    waiting: VecDeque<(Arc<LogFile>, u64)>,
    open: Option<Open>,
}

/// A whole, durable line behind the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped<'a> {
    /// The file's path inside the log, as positions name it.
    pub file: &'a str,
    pub offset: u64,
    pub text: Text<'a>,
}

struct Open {
    file: Arc<LogFile>,
    lines: Lines<Box<dyn Read + Send>>,
}

impl LogReader {
    /// A reader of the log at `path` that has read up to `position`; an empty one is the beginning.
    pub fn from(path: &Path, position: Position) -> LogReader {
        LogReader { path: path.to_owned(), owner: None, position, waiting: VecDeque::new(), open: None }
    }

    /// A reader behind a writer of this process: what the writer has not committed may still be taken back.
    pub fn behind(writer: &LogWriter, position: Position) -> LogReader {
        LogReader { owner: Some(writer.owner()), ..LogReader::from(writer.path(), position) }
    }

    /// The same reader at another position.
    pub fn at(self, position: Position) -> LogReader {
        LogReader { position, waiting: VecDeque::new(), open: None, ..self }
    }

    /// How far was read: behind the line given out last.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The next line; `None`: no more for now. `limit` is where the files of the writer it reads behind end (`ends`, or what
    /// `commit` gave); for a reader without a writer it is empty. A log that does not exist yet is empty.
    pub fn next(&mut self, limit: &Position) -> Result<Option<Shipped<'_>>, Error> {
        let mut looked = false;
        loop {
            if self.step()? {
                return Ok(self.shipped());
            }
            if self.waiting.is_empty() {
                if looked {
                    return Ok(None);
                }
                looked = true;
                self.look(limit)?;
            }
            self.open_next()?;
        }
    }

    /// Moves on in the open file; at its end closes it.
    fn step(&mut self) -> Result<bool, Error> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let more = open.lines.step().map_err(Error::io(&open.file.path, "read"))?;
        let line = open.lines.line();
        if more && line.ended {
            self.position.set(open.file.key(), line.end());
            return Ok(true);
        }
        if open.file.form != Form::Plain {
            self.finish_packed();
        }
        self.open = None;
        Ok(false)
    }

    fn shipped(&self) -> Option<Shipped<'_>> {
        let open = self.open.as_ref()?;
        let line = open.lines.line();
        Some(Shipped { file: open.file.key(), offset: line.offset, text: line.text })
    }

    /// A packed file no longer grows: its own name in the position says that it was read to its end.
    fn finish_packed(&mut self) {
        if let Some(open) = &self.open {
            let end = self.position.get(open.file.key()).unwrap_or(0);
            self.position.forget(open.file.key());
            self.position.set(&open.file.name, end);
        }
    }

    /// Lists the files with something behind the position.
    fn look(&mut self, limit: &Position) -> Result<(), Error> {
        let log = match Log::open(&self.path) {
            Err(e) if e.io_kind() == Some(io::ErrorKind::NotFound) => return Ok(()),
            other => other?,
        };
        for file in log.files() {
            let end = match (file.form, file.size) {
                (_, None) => {
                    let why = "a pipe cannot be read from a position".into();
                    return Err(Error::NotALog { path: file.path.clone(), why });
                }
                (Form::Plain, Some(size)) => self.end_of(file, size, limit),
                _ if self.position.get(&file.name).is_some() && file.name != file.key() => continue,
                _ => u64::MAX,
            };
            let from = self.read_of(file);
            if from == 0 && self.position.has_part_of(file.key()) {
                continue;
            }
            if let (Form::Plain, Some(size)) = (file.form, file.size)
                && size < from
            {
                return Err(Error::Shrunk { path: file.path.clone(), position: from, len: size });
            }
            if from < end {
                self.waiting.push_back((file.clone(), end));
            }
        }
        Ok(())
    }

    /// How far a plain file may be read. A file of the writer that the limit does not know holds nothing committed.
    fn end_of(&self, file: &LogFile, size: u64, limit: &Position) -> u64 {
        match &self.owner {
            Some(owner) if owner.owns(file.key()) => limit.get(file.key()).unwrap_or(0).min(size),
            _ => size,
        }
    }

    /// How far a file was read, under whichever name it had then.
    fn read_of(&self, file: &LogFile) -> u64 {
        self.position.read_of(file.key()).unwrap_or(0)
    }

    fn open_next(&mut self) -> Result<(), Error> {
        let Some((file, end)) = self.waiting.pop_front() else { return Ok(()) };
        let from = self.read_of(&file);
        let synced = self.owner.as_ref().is_some_and(|owner| owner.owns(file.key()));
        let input = match input_from(&file, from, end, synced) {
            // Packed or compacted since it was listed: the next look finds it under its new name, in its place.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.waiting.clear();
                return Ok(());
            }
            other => other.map_err(Error::io(&file.path, "read"))?,
        };
        self.open = Some(Open { lines: Lines::starting_at(input, from), file });
        Ok(())
    }
}

/// The decoded bytes `from..end` of a file.
fn input_from(file: &LogFile, from: u64, end: u64, synced: bool) -> io::Result<Box<dyn Read + Send>> {
    let mut input = File::open(&file.path)?;
    if file.form == Form::Plain {
        if !synced {
            input.sync_data()?;
        }
        input.seek(SeekFrom::Start(from))?;
        return Ok(Box::new(input.take(end - from)));
    }
    let mut input = open_file(input)?;
    let skipped = io::copy(&mut (&mut input).take(from), &mut io::sink())?;
    if skipped < from {
        return Err(io::Error::other(format!("it holds {skipped} bytes and {from} were read before it was packed")));
    }
    Ok(Box::new(input))
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
