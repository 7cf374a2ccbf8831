//! The directory of a store: what marks it as one, its format version, where it may lie.
//!
//! The mark is written last and checked first: a directory without it holds no store,
//! one with it holds a whole one.

use super::env::{NAMES, corrupt, io_error, place};
use super::pages;
use crate::disk::volume;
use crate::ndjson::shown;
use crate::store::error::{Error, Kind};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The format this build reads and writes. Raise it with every change of what stands in the records.
pub(super) const FORMAT: u32 = 3;
/// The oldest it reads: format 1 had states without days, format 2 ids by the hour. Both become 3 when a stream next owns the store.
const OLDEST: u32 = 1;
/// The format of a store with an index, which is as others are besides: programs that do not know of indexes would write
/// beside it.
pub(super) const INDEXED: u32 = 4;
const MARK: &str = "FORMAT";
pub(super) const DATA: &str = "data.mdb";
/// What a creation that was interrupted may have left behind.
const OURS: [&str; 3] = [DATA, "lock.mdb", super::owner::LOCK];

/// Whether `dir` holds a store, of whatever version.
pub(super) fn exists(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Checks the mark of an existing store and its data file, without mapping it.
///
/// Errors: `NoInput` when there is none, `Format` for another version, `Corrupt`.
pub(super) fn check(dir: &Path) -> Result<(), Error> {
    let text = match fs::read_to_string(dir.join(MARK)) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(missing(dir));
        }
        Err(e) => return Err(io_error(dir, "read its format", &e)),
    };
    match version(&text) {
        Some(OLDEST..=INDEXED) => {}
        Some(newer) if newer > INDEXED => {
            let error = format!("{}: format {newer} is newer than this build knows ({INDEXED})", place(dir));
            return Err(Error::new(Kind::Format, error).hint("use the adprof that wrote it, or a newer one"));
        }
        Some(older) => {
            let error = format!("{}: format {older} is no longer read (this build: {INDEXED})", place(dir));
            return Err(Error::new(Kind::Format, error).hint("rebuild the store from the log into a new directory"));
        }
        None => {
            let error = format!("{}: not an adprof store: its `{MARK}` says {:?}", place(dir), shown(text.trim_end()));
            return Err(Error::new(Kind::Format, error));
        }
    }
    refuse_remote(dir)?;
    pages::check_length(&dir.join(DATA)).map_err(|why| corrupt(dir, why))
}

fn missing(dir: &Path) -> Error {
    let error = Error::new(Kind::NoInput, format!("{}: no store there", place(dir)));
    error.hint("`adprof stream --store file:DIR` and `adprof sink file:DIR` make one")
}

fn version(text: &str) -> Option<u32> {
    text.strip_prefix("adprof store, format ")?.strip_suffix('\n')?.parse().ok()
}

/// Marks a store of an older format as one of this, before its first record of this format is written.
pub(super) fn raise(dir: &Path) -> Result<(), Error> {
    raise_to(dir, FORMAT)
}

/// The same, to the format that is named.
pub(super) fn raise_to(dir: &Path, format: u32) -> Result<(), Error> {
    let text = fs::read_to_string(dir.join(MARK)).map_err(|e| io_error(dir, "read its format", &e))?;
    if version(&text).is_some_and(|version| version < format) { write_mark(dir, format) } else { Ok(()) }
}

/// Makes `dir` ready to hold a new store: it must be absent, empty, or left by an interrupted creation.
pub(super) fn prepare(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|e| io_error(dir, "create the directory", &e))?;
    refuse_remote(dir)?;
    for entry in fs::read_dir(dir).map_err(|e| io_error(dir, "list", &e))? {
        let name = entry.map_err(|e| io_error(dir, "list", &e))?.file_name();
        let name = name.to_string_lossy();
        if !OURS.contains(&&*name) && !name.starts_with(&format!("{MARK}.")) {
            let error = format!("{}: not an adprof store, and not empty: it holds `{}`", place(dir), shown(&name));
            return Err(Error::new(Kind::Format, error).hint("name a new directory"));
        }
    }
    Ok(())
}

/// Marks `dir` as a store: from here on it is one, after a power cut too.
pub(super) fn mark(dir: &Path) -> Result<(), Error> {
    write_mark(dir, FORMAT)
}

fn write_mark(dir: &Path, format: u32) -> Result<(), Error> {
    let attempt = || -> io::Result<()> {
        let partial = dir.join(format!("{MARK}.{}", std::process::id()));
        let mut file = File::create(&partial)?;
        file.write_all(format!("adprof store, format {format}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, dir.join(MARK))?;
        File::open(dir)?.sync_all()?;
        match dir.canonicalize()?.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    attempt().map_err(|e| io_error(dir, "mark as a store", &e))
}

/// Whether databases found without a mark may be adopted: only empty ones of ours.
pub(super) fn refuse_foreign(dir: &Path, entries: u64, databases: u64) -> Result<(), Error> {
    if exists(dir) || (entries == 0 && databases == NAMES.len() as u64) {
        return Ok(());
    }
    let error = format!("{}: not an adprof store: it holds data but no `{MARK}`", place(dir));
    Err(Error::new(Kind::Format, error).hint("name a new directory"))
}

/// Memory maps and locks do not hold across machines.
fn refuse_remote(dir: &Path) -> Result<(), Error> {
    let kind = volume::kind(dir).map_err(|e| io_error(dir, "look at the file system", &e))?;
    let volume::Kind::Shared(name) = kind else { return Ok(()) };
    let why = "an embedded store needs a local disk, because locks and memory maps do not hold between machines";
    let error = format!("{}: the directory is on {name}: {why}", place(dir));
    Err(Error::new(Kind::Usage, error).hint("put it on a local disk, or use redis://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_another_version_or_none_is_told_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let check = |text: &str| {
            fs::write(dir.path().join(MARK), text).expect("written");
            check(dir.path()).expect_err(text)
        };
        assert_eq!(super::check(dir.path()).expect_err("no mark").kind, Kind::NoInput);
        assert_eq!(super::check(&dir.path().join("absent")).expect_err("no directory").kind, Kind::NoInput);
        for (text, kind, why) in [
            ("adprof store, format 5\n", Kind::Format, "format 5 is newer than this build knows (4)"),
            ("adprof store, format 0\n", Kind::Format, "format 0 is no longer read"),
            ("adprof store, format 1", Kind::Format, "not an adprof store"),
            ("", Kind::Format, "not an adprof store"),
            ("adprof store, format 1\n", Kind::Corrupt, "data file"),
            ("adprof store, format 2\n", Kind::Corrupt, "data file"),
            ("adprof store, format 3\n", Kind::Corrupt, "data file"),
            ("adprof store, format 4\n", Kind::Corrupt, "data file"),
        ] {
            let error = check(text);
            assert_eq!(error.kind, kind, "{text:?}");
            assert!(error.message.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("thesis.tex"), "x").expect("written");
        let error = prepare(dir.path()).expect_err("not empty");
        assert_eq!((error.kind, error.message.contains("thesis.tex")), (Kind::Format, true));
    }
}
