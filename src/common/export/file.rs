//! Files that are replaced as a whole: written beside the old one, then renamed over it.
//!
//! Under its name there is always a whole file, the old or the new one, however this process ends. What a killed
//! one leaves is `.NAME.adprof-tmp`, which the next writer of the same file takes over.

use crate::disk::{parent, sync_dir};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a file cannot be written.
#[derive(Debug)]
pub enum Unwritable {
    /// What has its name is no regular file.
    NotAFile,
    /// What has its name is no directory.
    NotADirectory,
    /// What has its name would be lost: why it is not an export.
    NotOurs(String),
    /// Another process is writing it right now.
    Busy,
    Io(io::Error),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::NotAFile => f.write_str("not a regular file"),
            Unwritable::NotADirectory => f.write_str("not a directory"),
            Unwritable::NotOurs(why) => f.write_str(why),
            Unwritable::Busy => f.write_str("another process is writing it"),
            Unwritable::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for Unwritable {}

impl From<io::Error> for Unwritable {
    fn from(e: io::Error) -> Unwritable {
        Unwritable::Io(e)
    }
}

/// A file to be. Dropped before `commit` it leaves everything as it was.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    done: bool,
}

impl Replacement {
    /// Begins a new version of `path`. A symbolic link stays one: the file it names is replaced.
    pub fn begin(path: &Path) -> Result<Replacement, Unwritable> {
        let path = canonical(path)?;
        let old = match fs::metadata(&path) {
            Ok(old) if !old.is_file() => return Err(Unwritable::NotAFile),
            Ok(old) => Some(old),
            Err(_) => None,
        };
        let name = path.file_name().ok_or(Unwritable::NotAFile)?;
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(".adprof-tmp");
        let beside = parent(&path).join(beside);
        let file = take(&beside)?;
        file.set_len(0)?;
        if let Some(old) = old {
            file.set_permissions(old.permissions())?;
        }
        Ok(Replacement { path, beside, file, done: false })
    }

    /// What is written until then.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is written until then.
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Makes it the file, on the disk when this returns.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.done = true;
        sync_dir(parent(&self.path))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed is taken over by the next writer.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// A path as the links in it say; one that is not there yet as it is.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(path.components().collect()),
        other => other,
    }
}

/// A lock that is a file while somebody has it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    pub fn take(path: &Path) -> Result<Lock, Unwritable> {
        Ok(Lock { path: path.to_owned(), _file: take(path)? })
    }

    /// Takes the file away while it is held: whoever waits for it sees that the name is gone.
    pub fn release(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release();
    }
}

/// Opens the file beside and locks it; the lock is gone with its process however that ends.
fn take(beside: &Path) -> Result<File, Unwritable> {
    loop {
        // No truncation before the lock is ours. Nothing is followed: a link put here by others is not the file beside.
        if fs::symlink_metadata(beside).is_ok_and(|m| !m.is_file()) {
            return Err(Unwritable::NotAFile);
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(beside)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Unwritable::Busy),
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
        // Between open and lock another may have finished: then this file has the final name, or none.
        let held = file.metadata()?;
        if fs::symlink_metadata(beside).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.csv");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
        let mut new = Replacement::begin(&path).expect("begun");
        new.file().write_all(b"new").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        new.commit().expect("committed");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let mut given_up = Replacement::begin(&path).expect("begun");
        given_up.file().write_all(b"newer").expect("written");
        drop(given_up);
        assert_eq!(
            (fs::read_to_string(&path).expect("read").as_str(), names(dir.path())),
            ("new", vec!["a.csv".into()])
        );
    }

    #[test]
    fn what_a_killed_writer_left_is_taken_over_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.csv");
        fs::write(dir.path().join(".a.csv.adprof-tmp"), "half a file, longer than the next").expect("written");
        let mut new = Replacement::begin(&path).expect("begun");
        assert!(matches!(Replacement::begin(&path), Err(Unwritable::Busy)));
        new.file().write_all(b"whole").expect("written");
        new.commit().expect("committed");
        assert_eq!(
            (fs::read_to_string(&path).expect("read").as_str(), names(dir.path())),
            ("whole", vec!["a.csv".into()])
        );
    }

    #[test]
    fn a_link_stays_a_link_and_a_folder_is_no_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").expect("written");
        symlink(&real, &link).expect("linked");
        let mut new = Replacement::begin(&link).expect("begun");
        new.file().write_all(b"new").expect("written");
        new.commit().expect("committed");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&real).expect("read"), "new");
        assert!(matches!(Replacement::begin(dir.path()), Err(Unwritable::NotAFile)));
        assert!(matches!(Replacement::begin(Path::new("/dev/null")), Err(Unwritable::NotAFile)));
    }
}
