//! Disk: files that are only ever appended to, and what it takes for that to last.
//!
//! A failed write or sync is final: the file refuses everything after it, because a
//! second fdatasync may say OK though the first one lost the data.

pub mod volume;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file open for appending.
#[derive(Debug)]
pub struct Disk {
    file: File,
    path: PathBuf,
    /// The length with everything written so far.
    len: u64,
    /// The length known to be durable.
    durable: u64,
    failed: Option<String>,
}

impl Disk {
    /// Opens `path`, made when absent: the directory then knows its name for good. What is in it already counts as durable
    /// after one sync.
    pub fn append(path: &Path) -> io::Result<Disk> {
        match Disk::existing(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Disk::make(path, OpenOptions::new().create(true)),
            other => other,
        }
    }

    /// Opens `path` as `append` does; an error when it is not there.
    pub fn existing(path: &Path) -> io::Result<Disk> {
        let file = fault::check(Op::Open).and_then(|()| OpenOptions::new().append(true).read(true).open(path))?;
        Disk::of(file, path)
    }

    /// Makes `path`; an error when it is there.
    pub fn new(path: &Path) -> io::Result<Disk> {
        fault::check(Op::Open)?;
        Disk::make(path, OpenOptions::new().create_new(true))
    }

    fn make(path: &Path, options: &mut OpenOptions) -> io::Result<Disk> {
        let file = options.append(true).read(true).open(path)?;
        sync_dir(parent(path))?;
        Disk::of(file, path)
    }

    fn of(file: File, path: &Path) -> io::Result<Disk> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let len = metadata.len();
        if len > 0 {
            // A writer before us may have died between its write and its sync.
            fault::check(Op::Sync).and_then(|()| file.sync_data())?;
        }
        Ok(Disk { file, path: path.to_owned(), len, durable: len, failed: None })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much of it a sync has covered.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether something was written that no sync has covered yet.
    pub fn dirty(&self) -> bool {
        self.len > self.durable
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let outcome = fault::write(&mut self.file, bytes);
        if outcome.is_ok() {
            self.len += bytes.len() as u64;
        }
        self.judge(outcome)
    }

    /// Makes everything written durable, and makes sure it can be found under the file's name.
    pub fn sync(&mut self) -> io::Result<()> {
        self.check()?;
        if self.dirty() {
            let outcome = fault::check(Op::Sync).and_then(|()| self.file.sync_data()).and_then(|()| self.still_there());
            self.judge(outcome)?;
            self.durable = self.len;
        }
        Ok(())
    }

    /// Whether the file still has its name and the length it was left with: nobody else has been at it.
    pub fn untouched(&self) -> io::Result<bool> {
        Ok(self.still_there().is_ok() && self.file.metadata()?.len() == self.len)
    }

    /// Bytes synced into a file that has lost its name are lost all the same.
    fn still_there(&self) -> io::Result<()> {
        let (held, named) = (self.file.metadata()?, fs::metadata(&self.path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::NotFound, "the file was moved or deleted while it was written"))
    }

    /// Cuts the file to `len` bytes, durably.
    pub fn cut(&mut self, len: u64) -> io::Result<()> {
        self.check()?;
        let outcome = fault::check(Op::Cut).and_then(|()| self.file.set_len(len)).and_then(|()| self.file.sync_all());
        self.judge(outcome)?;
        (self.len, self.durable) = (len, len);
        Ok(())
    }

    /// After a failure: takes back what was written and never made durable, as far as the system lets us.
    pub fn take_back(&mut self) {
        if self.failed.is_none() {
            self.failed = Some("another file of this writer failed".into());
        }
        // The failure has been told already, and a tail that stays is recognised by every reader: nothing more to report.
        let _ = self.file.set_len(self.durable).and_then(|()| self.file.sync_all());
    }

    fn check(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(why) => Err(io::Error::other(format!("refused after an earlier failure: {why}"))),
        }
    }

    fn judge(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        if let Err(e) = &outcome {
            self.failed = Some(e.to_string());
        }
        outcome
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fault::check(Op::Dir)?;
    File::open(dir)?.sync_all()
}

/// Replaces the file at `path` by `bytes`, durably and at once; `aside`, in the same directory, is used on the way. A crash
/// leaves the old file or the new one.
pub fn replace(path: &Path, aside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, path)?;
    sync_dir(parent(path))
}

/// Puts each of two names in the place of the other, in one step. Not every file system can: `Unsupported` or `InvalidInput`.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Makes a directory when absent, and its name durable.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = parent(dir);
    make_dir(above)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
        other => other?,
    }
    sync_dir(above)
}

/// The directory a path stands in; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ if path.has_root() => Path::new("/"),
        _ => Path::new("."),
    }
}

/// What can be made to fail in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Open,
    #[cfg(test)]
    Write,
    Sync,
    Cut,
    Dir,
}

/// Faults: in tests the N-th operation of this thread fails; elsewhere this is nothing.
#[cfg(test)]
pub mod fault {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
        static HIT: Cell<Option<Op>> = const { Cell::new(None) };
    }

    /// Lets the N-th operation from now fail, counted from 0.
    pub fn set(after: usize) {
        LEFT.set(Some(after));
        HIT.set(None);
    }

    /// Ends the faults; what failed, if anything did.
    pub fn clear() -> Option<Op> {
        LEFT.set(None);
        HIT.take()
    }

    pub fn check(op: Op) -> io::Result<()> {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                HIT.set(Some(op));
                Err(io::Error::new(ErrorKind::StorageFull, format!("no space left ({op:?})")))
            }
            Some(n) => {
                LEFT.set(Some(n - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A write that fails leaves its first half, as a full disk does.
    pub fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match check(Op::Write) {
            Ok(()) => file.write_all(bytes),
            Err(e) => file.write_all(&bytes[..bytes.len() / 2]).and(Err(e)),
        }
    }
}

#[cfg(not(test))]
mod fault {
    use super::*;

    #[inline(always)]
    pub fn check(_: Op) -> io::Result<()> {
        Ok(())
    }

    #[inline(always)]
    pub fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}
