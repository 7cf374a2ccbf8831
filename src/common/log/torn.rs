//! Torn tails: what a crash left of a line at the end of a file.
//!
//! Such bytes were never acknowledged. They are set aside as dead letters in
//! `<file>.torn`, then cut off; a crash in between sets them aside twice.

use super::Error;
use crate::dead::{DeadFile, DeadLetter, Place};
use crate::disk::Disk;
use memchr::memrchr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The code of the letters in a `.torn` file.
const CODE: &str = "TORN_TAIL";
const BLOCK: usize = 64 * 1024;

/// The bytes behind the last newline of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub path: PathBuf,
    pub offset: u64,
    pub len: u64,
}

/// Where the last whole line of a file of `len` bytes ends. Constant memory, however long the tail is.
pub fn whole_len(file: &File, len: u64) -> io::Result<u64> {
    let mut buffer = vec![0; BLOCK.min(len as usize)];
    let mut end = len;
    while end > 0 {
        // The last byte alone first: most files end well.
        let take = if end == len { 1 } else { BLOCK.min(end as usize) };
        let start = end - take as u64;
        file.read_exact_at(&mut buffer[..take], start)?;
        if let Some(i) = memrchr(b'\n', &buffer[..take]) {
            return Ok(start + i as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Sets a torn tail aside and cuts it off, durably in this order.
pub fn heal(disk: &mut Disk) -> Result<Option<Torn>, Error> {
    let path = disk.path().to_owned();
    let len = disk.len();
    let whole = whole_len(disk.file(), len).map_err(Error::io(&path, "read"))?;
    if whole == len {
        return Ok(None);
    }
    set_aside(disk.file(), &path, whole, len)?;
    disk.cut(whole).map_err(Error::io(&path, "cut the torn tail of"))?;
    Ok(Some(Torn { path, offset: whole, len: len - whole }))
}

/// Pieces of a block each: a power cut can leave megabytes of zeros.
fn set_aside(file: &File, path: &Path, from: u64, to: u64) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".torn");
    let aside = PathBuf::from(name);
    let source = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let mut letters = DeadFile::new(&aside);
    let mut buffer = vec![0; BLOCK];
    let mut offset = from;
    while offset < to {
        let take = BLOCK.min((to - offset) as usize);
        file.read_exact_at(&mut buffer[..take], offset).map_err(Error::io(path, "read"))?;
        let letter = DeadLetter {
            code: CODE.into(),
            reason: "the line was not finished when the writer stopped".into(),
            source: source.as_ref().into(),
            place: Place::Byte { offset },
            original: buffer[..take].into(),
            truncated: ((to - from) > BLOCK as u64).then_some(to - from),
        };
        letters.put(&letter).map_err(Error::io(&aside, "write"))?;
        offset += take as u64;
    }
    letters.sync().map_err(Error::io(&aside, "write"))
}
