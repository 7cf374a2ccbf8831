//! The writer: appends events and makes them durable in groups.
//!
//! What `commit` returned for survives any crash on a disk that honours fsync. After a
//! failed write or sync the writer refuses everything: it no longer knows what is there.

use super::lock::{Lock, cared_for, guard};
use super::opening::{check_file, file_key, open_again, open_disk, open_in, own_files, refuse_link};
use super::part::Part;
use super::torn::{Torn, heal, whole_len};
use super::{Error, Position, names};
use crate::disk::make_dir;
use crate::time::{Millis, day_bounds, day_of};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use memchr::memchr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes gathered in memory before they are handed to the system, a file.
const FLUSH: usize = 1 << 20;
/// Partitions open at a time: replayed history may jump between days, descriptors are few.
const OPEN_MAX: usize = 16;

#[derive(Clone, Debug)]
pub struct Options {
    /// Whose midnight divides the partitions of a directory.
    pub zone: TimeZone,
    /// Size at which a file of a directory is followed by the next number, in bytes.
    pub roll_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { zone: TimeZone::UTC, roll_bytes: 1 << 30 }
    }
}

/// The one writer of a file, or of one name in a directory. Dropped without `commit`, what was appended since may be lost.
#[derive(Debug)]
pub struct LogWriter {
    target: Target,
    parts: Vec<Part>,
    /// The part appended to last, and the instants of receipt that go there.
    current: Option<(usize, Range<Millis>)>,
    ends: Position,
    recovered: Vec<Torn>,
    poisoned: Option<String>,
    clock: u64,
    _lock: Lock,
}

#[derive(Debug)]
enum Target {
    File(PathBuf),
    Directory { root: PathBuf, name: String, options: Options },
}

/// Which files of a log are a writer's.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    All,
    Name(String),
}

impl Owner {
    /// Whether the file of this path inside the log is the writer's.
    pub fn owns(&self, key: &str) -> bool {
        match self {
            Owner::All => true,
            Owner::Name(name) => key.rsplit('/').next().is_some_and(|file| names::parse_number(name, file).is_some()),
        }
    }
}

impl LogWriter {
    /// Takes the lock, sets torn tails aside (`recovered`) and stands ready to append.
    ///
    /// `path` is a directory when one is there or when it ends with `/`; `name` is the writer's name in it. Otherwise it is a
    /// file, whose directory must exist.
    pub fn open(path: &Path, name: &str, options: Options) -> Result<LogWriter, Error> {
        if !names::is_writer(name) {
            return Err(Error::BadName { name: name.to_owned() });
        }
        let directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let (target, lock) = if directory {
            make_dir(path).map_err(Error::io(path, "make"))?;
            let target = Target::Directory { root: path.to_owned(), name: name.to_owned(), options };
            let lock = path.join(format!("{name}.lock"));
            (target, Lock::take(&lock, &path.join(name))?)
        } else {
            check_file(path)?;
            let mut lock = path.as_os_str().to_owned();
            lock.push(".lock");
            (Target::File(path.to_owned()), Lock::take(Path::new(&lock), path)?)
        };
        let mut writer = LogWriter {
            target,
            parts: Vec::new(),
            current: None,
            ends: Position::default(),
            recovered: Vec::new(),
            poisoned: None,
            clock: 0,
            _lock: lock,
        };
        writer.recover()?;
        Ok(writer)
    }

    /// The torn tails that were set aside.
    pub fn recovered(&self) -> &[Torn] {
        &self.recovered
    }

    /// Bytes appended and not yet durable.
    pub fn pending(&self) -> u64 {
        self.parts.iter().map(|part| part.len() - part.disk.durable()).sum()
    }

    /// Appends one event received at `received`, given without its newline. Durable after `commit`.
    pub fn append(&mut self, line: &[u8], received: Millis) -> Result<(), Error> {
        self.check()?;
        if memchr(b'\n', line).is_some() {
            return Err(Error::Newline);
        }
        let i = match &self.current {
            Some((i, span)) if span.contains(&received) => *i,
            _ => self.turn_to(received)?,
        };
        let part = &mut self.parts[i];
        part.buffer.extend_from_slice(line);
        part.buffer.push(b'\n');
        if part.buffer.len() >= FLUSH {
            let outcome = part.flush();
            self.judge(outcome)?;
            self.roll(i)?;
        }
        Ok(())
    }

    /// Makes everything appended durable, and says where each file of this writer ends now.
    pub fn commit(&mut self) -> Result<&Position, Error> {
        self.check()?;
        for i in 0..self.parts.len() {
            self.sync(i)?;
        }
        if let Target::Directory { options, .. } = &self.target {
            self.parts.retain(|part| part.len() < options.roll_bytes);
            self.parts.iter_mut().for_each(Part::rest);
            // The next event wakes its file.
            self.current = None;
        }
        Ok(&self.ends)
    }

    /// Where each file of this writer ends durably: no reader should go further.
    pub fn ends(&self) -> &Position {
        &self.ends
    }

    pub fn path(&self) -> &Path {
        match &self.target {
            Target::File(path) => path,
            Target::Directory { root, .. } => root,
        }
    }

    pub(super) fn owner(&self) -> Owner {
        match &self.target {
            Target::File(_) => Owner::All,
            Target::Directory { name, .. } => Owner::Name(name.clone()),
        }
    }

    fn sync(&mut self, i: usize) -> Result<(), Error> {
        let part = &mut self.parts[i];
        if part.buffer.is_empty() && !part.disk.dirty() {
            return Ok(());
        }
        let outcome = part.sync();
        self.judge(outcome)?;
        let part = &self.parts[i];
        self.ends.set(&part.key, part.disk.len());
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        match &self.poisoned {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    /// A failure is final for the whole writer: all that no sync has covered is taken back.
    fn judge<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(e) = &outcome {
            self.poisoned = Some(e.to_string());
            // A part that rests holds nothing that no sync has covered, and no lock.
            for part in self.parts.iter_mut().filter(|part| !part.resting) {
                part.buffer = Vec::new();
                part.disk.take_back();
            }
        }
        outcome
    }

    /// Opens, or finds open, the file that takes what was received at `received`.
    fn turn_to(&mut self, received: Millis) -> Result<usize, Error> {
        self.clock += 1;
        let (day, span) = match &self.target {
            Target::File(_) => (None, Millis::MIN..Millis::MAX),
            Target::Directory { options, .. } => {
                let no_day = || Error::NoDay { received };
                let day = day_of(received, &options.zone).ok_or_else(no_day)?;
                let (start, end) = day_bounds(day, &options.zone).map_err(|_| no_day())?;
                (Some(day), start..end)
            }
        };
        let mut known = self.parts.iter().position(|part| part.day == day);
        if let Some(i) = known {
            let outcome = self.parts[i].wake();
            if !self.judge(outcome)? {
                // Nothing waits in it: it rested.
                self.parts.swap_remove(i);
                known = None;
            }
        }
        let i = match known {
            Some(i) => i,
            None => {
                self.make_room()?;
                let outcome = self.open_part(day);
                let part = self.judge(outcome)?;
                self.parts.push(part);
                self.parts.len() - 1
            }
        };
        self.parts[i].used = self.clock;
        self.current = Some((i, span));
        Ok(i)
    }

    fn make_room(&mut self) -> Result<(), Error> {
        if self.parts.len() < OPEN_MAX {
            return Ok(());
        }
        let oldest = (0..self.parts.len()).min_by_key(|i| self.parts[*i].used).expect("OPEN_MAX is not zero");
        self.sync(oldest)?;
        self.parts.swap_remove(oldest);
        self.current = None;
        Ok(())
    }

    /// Goes on with the next number when a file of a directory has grown enough.
    fn roll(&mut self, i: usize) -> Result<(), Error> {
        let Target::Directory { options, .. } = &self.target else { return Ok(()) };
        if self.parts[i].len() < options.roll_bytes {
            return Ok(());
        }
        self.sync(i)?;
        self.parts.swap_remove(i);
        self.current = None;
        Ok(())
    }

    fn open_part(&mut self, day: Option<Date>) -> Result<Part, Error> {
        let (disk, key) = match (&self.target, day) {
            (Target::Directory { root, name, options }, Some(day)) => {
                let partition = names::partition(day);
                let dir = root.join(&partition);
                refuse_link(&dir)?;
                make_dir(&dir).map_err(Error::io(&dir, "make"))?;
                let mut disk = open_in(root, &dir, name, options.roll_bytes)?;
                self.recovered.extend(heal(&mut disk)?);
                let file = disk.path().file_name().map(|file| file.to_string_lossy()).unwrap_or_default();
                let key = format!("{partition}/{file}");
                (disk, key)
            }
            (Target::File(path), _) => (open_disk(path)?, file_key(path)),
            (Target::Directory { .. }, None) => unreachable!("a directory is written by day"),
        };
        Ok(Part { day, key, disk, buffer: Vec::new(), used: self.clock, resting: false })
    }

    /// Sets aside what a crash left in any file of this writer: it may have been writing to several days.
    fn recover(&mut self) -> Result<(), Error> {
        let files = match &self.target {
            Target::File(path) if path.exists() => vec![(path.clone(), file_key(path))],
            Target::File(_) => Vec::new(),
            Target::Directory { root, name, .. } => own_files(root, name)?,
        };
        for (path, key) in files {
            let Some(mut disk) = open_again(&path)? else { continue };
            if let Err(e) = guard(disk.file(), &path) {
                // Who is sealing the day sets a torn tail aside too.
                if matches!(&self.target, Target::Directory { root, .. } if cared_for(root)) {
                    let whole = whole_len(disk.file(), disk.len()).map_err(Error::io(&path, "read"))?;
                    self.ends.set(&key, whole);
                    continue;
                }
                return Err(e);
            }
            self.recovered.extend(heal(&mut disk)?);
            self.ends.set(&key, disk.len());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
