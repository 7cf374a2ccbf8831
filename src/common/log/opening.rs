//! Which file a writer appends to, and what has to hold before it does.

use super::care::is_sealed;
use super::lock::{cared_for, guard};
use super::{Error, names};
use crate::disk::{Disk, parent};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The name of a log of one file in a position.
pub(super) fn file_key(path: &Path) -> String {
    path.file_name().map_or_else(|| "log".into(), |name| name.to_string_lossy().into_owned())
}

pub(super) fn check_file(path: &Path) -> Result<(), Error> {
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

pub(super) fn open_disk(path: &Path) -> Result<Disk, Error> {
    let disk = Disk::append(path).map_err(Error::io(path, "open"))?;
    guard(disk.file(), path)?;
    check_first_byte(&disk)?;
    Ok(disk)
}

/// Opens a file that was listed a moment ago, not locked yet; `None` when it was packed since.
pub(super) fn open_again(path: &Path) -> Result<Option<Disk>, Error> {
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
pub(super) fn open_in(root: &Path, dir: &Path, name: &str, roll_bytes: u64) -> Result<Disk, Error> {
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

pub(super) fn refuse_link(path: &Path) -> Result<(), Error> {
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
pub(super) fn own_files(root: &Path, name: &str) -> Result<Vec<(PathBuf, String)>, Error> {
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

/// Whether a file of a partition may be appended to: not when its day was sealed with it.
pub(super) fn still_open(path: &Path) -> Result<bool, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    is_sealed(parent(path), &name).map(|sealed| !sealed)
}
