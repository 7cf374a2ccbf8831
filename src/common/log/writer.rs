//! The writer: appends events and makes them durable in groups.
//!
//! What `commit` returned for survives any crash on a disk that honours fsync. After a
//! failed write or sync the writer refuses everything: it no longer knows what is there.

use super::care::is_sealed;
use super::lock::{Lock, cared_for, guard};
use super::torn::{Torn, heal, whole_len};
use super::{Error, Position, names};
use crate::disk::{Disk, make_dir, parent};
use crate::time::{Millis, day_bounds, day_of};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use memchr::memchr;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
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

/// One file open for appending.
#[derive(Debug)]
struct Part {
    day: Option<Date>,
    /// The file's path inside the log.
    key: String,
    disk: Disk,
    buffer: Vec<u8>,
    used: u64,
    /// Whether its lock was let go, so that its day may be sealed.
    resting: bool,
}

impl Part {
    fn len(&self) -> u64 {
        self.disk.len() + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.disk.write(&self.buffer).map_err(Error::io(self.disk.path(), "append to"))?;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        self.disk.sync().map_err(Error::io(self.disk.path(), "sync"))
    }

    /// Lets the lock go between two groups. A lock that stays only holds a sealing up.
    fn rest(&mut self) {
        self.resting = self.disk.file().unlock().is_ok();
    }

    /// Takes the lock again; false when the file is no longer one to append to: sealed, packed or gone.
    fn wake(&mut self) -> Result<bool, Error> {
        if !self.resting {
            return Ok(true);
        }
        let path = self.disk.path();
        if self.disk.file().try_lock().is_err() || !self.disk.untouched().map_err(Error::io(path, "look at"))? {
            return Ok(false);
        }
        self.resting = false;
        still_open(path).map(|open| open && self.disk.untouched().is_ok_and(|same| same))
    }
}

/// Whether a file of a partition may be appended to: not when its day was sealed with it.
fn still_open(path: &Path) -> Result<bool, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    is_sealed(parent(path), &name).map(|sealed| !sealed)
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

/// The name of a log of one file in a position.
pub(super) fn file_key(path: &Path) -> String {
    path.file_name().map_or_else(|| "log".into(), |name| name.to_string_lossy().into_owned())
}

fn check_file(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(Error::NotALog { path: path.to_owned(), why: "not a regular file".into() }),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Told before the lock is made, in terms of the log.
            fs::metadata(parent(path)).map(drop).map_err(Error::io(path, "make"))
        }
        Err(e) => Err(Error::io(path, "open")(e)),
    }
}

fn open_disk(path: &Path) -> Result<Disk, Error> {
    let disk = Disk::append(path).map_err(Error::io(path, "open"))?;
    guard(disk.file(), path)?;
    check_first_byte(&disk)?;
    Ok(disk)
}

/// Opens a file that was listed a moment ago, not locked yet; `None` when it was packed since.
fn open_again(path: &Path) -> Result<Option<Disk>, Error> {
    match Disk::existing(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => {
            let disk = other.map_err(Error::io(path, "open"))?;
            check_first_byte(&disk)?;
            Ok(Some(disk))
        }
    }
}

/// The file of a partition to append to, locked. One that is sealed, or about to be, is followed by the next number:
/// whatever comes for its day is a late file.
fn open_in(root: &Path, dir: &Path, name: &str, roll_bytes: u64) -> Result<Disk, Error> {
    let mut least = 1;
    loop {
        let (number, there) = next_number(dir, name, roll_bytes, least)?;
        let path = dir.join(names::file(name, number));
        refuse_link(&path)?;
        let disk = if there {
            match open_again(&path)? {
                Some(disk) => disk,
                None => continue,
            }
        } else {
            match Disk::new(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                other => other.map_err(Error::io(&path, "open"))?,
            }
        };
        match guard(disk.file(), &path) {
            Ok(()) => {}
            Err(_) if cared_for(root) => {
                least = number + 1;
                continue;
            }
            // Let go meanwhile, or held by another writer.
            Err(_) => guard(disk.file(), &path)?,
        }
        if still_open(&path)? && disk.untouched().map_err(Error::io(&path, "look at"))? {
            return Ok(disk);
        }
        least = number + 1;
    }
}

/// Appending to a picture or a packed file would destroy it.
fn check_first_byte(disk: &Disk) -> Result<(), Error> {
    let mut first = [0; 1];
    if disk.is_empty() {
        return Ok(());
    }
    disk.file().read_exact_at(&mut first, 0).map_err(Error::io(disk.path(), "read"))?;
    // 0: zeros that a power cut left; 0xef: a byte order mark.
    if matches!(first[0], b'{' | b' ' | b'\t' | b'\r' | b'\n' | 0 | 0xef) {
        return Ok(());
    }
    let why = "it does not begin with a JSON object; nothing was appended".into();
    Err(Error::NotALog { path: disk.path().to_owned(), why })
}

fn refuse_link(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(Error::Escape { path: path.to_owned() }),
        _ => Ok(()),
    }
}

fn list(dir: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect);
    entries.map_err(Error::io(dir, "list"))
}

/// The number to go on with, `least` at least, and whether its file is there: the last file's, or the one behind it when
/// that is packed, sealed or has grown enough.
fn next_number(dir: &Path, name: &str, roll_bytes: u64, least: u32) -> Result<(u32, bool), Error> {
    let mut last: Option<(u32, bool)> = None;
    let mut plain = Vec::new();
    for entry in list(dir)? {
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        let Some(known) = names::numbered(file).filter(|known| known.writer == name) else { continue };
        let closed = names::unpacked(file) != file || known.first < known.last;
        let size = || entry.metadata().map(|metadata| metadata.len());
        let full = closed
            || match size() {
                Ok(size) => size >= roll_bytes,
                // Packed since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => true,
                Err(e) => return Err(Error::io(&entry.path(), "look at")(e)),
            };
        if !closed {
            plain.push(known.last);
        }
        last = Some(match last {
            Some((number, was_full)) if known.last == number => (number, was_full || full),
            Some(before) if before.0 > known.last => before,
            _ => (known.last, full),
        });
    }
    let number = last.map_or(1, |(number, full)| number + u32::from(full)).max(least);
    Ok((number, plain.contains(&number)))
}

/// The plain files of this writer in all partitions, with their paths inside the log.
fn own_files(root: &Path, name: &str) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut files = Vec::new();
    for partition in list(root)? {
        let is_partition = partition.file_name().to_str().and_then(names::parse_partition).is_some();
        if !is_partition || !partition.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        for entry in list(&partition.path())? {
            let file = entry.file_name();
            let own = file.to_str().is_some_and(|f| names::unpacked(f) == f && names::parse_number(name, f).is_some());
            if own && entry.file_type().is_ok_and(|t| t.is_file()) {
                let key = format!("{}/{}", partition.file_name().display(), file.display());
                files.push((entry.path(), key));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
