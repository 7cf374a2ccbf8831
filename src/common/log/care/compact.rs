//! Compaction: many small files of a sealed day become one for each writer, the log staying the same bytes in the same order.
//!
//! The one file takes its name at once and whole; its name says which files it holds, and from then on readers pass them
//! over. The manifest stays as it is: it tells of content, not of files on the disk.

use super::day::{Day, State, file_name};
use super::manifest::Piece;
use super::pack::{pack, packed_path};
use super::seal::clear;
use super::shipped::Topics;
use crate::disk::sync_dir;
use crate::log::{Error, LogFile, names};
use jiff::civil::Date;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What compacting a day did: files before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    pub before: usize,
    pub after: usize,
}

/// Compacts a sealed day of the log at `root`, packed at `level` if any. The caller holds `take(root)`.
///
/// Errors: `NotYet` for a day that is not sealed or changed since, and `NotShipped`.
pub fn compact_day(root: &Path, day: Date, topics: &Topics, level: Option<i32>) -> Result<Compacted, Error> {
    let day = Day::read(root, day)?;
    let not_yet = |why: &str| Error::NotYet { what: day.day.to_string(), why: why.into() };
    match day.state() {
        State::Sealed => {}
        State::Open => return Err(not_yet("not sealed")),
        State::Changed { .. } => return Err(not_yet("changed since it was sealed: seal it again")),
        State::Damaged { gone } => {
            let why = format!("sealed, and gone or shorter since: {}", gone.join(", "));
            return Err(Error::Damaged { path: day.dir, why });
        }
    }
    topics.require(&day)?;
    clear(&day)?;
    let mut done = Compacted { before: day.files.len(), after: day.files.len() };
    for run in runs(&day.files).into_iter().filter(|run| run.len() > 1) {
        one(&day, run, level)?;
        done.after -= run.len() - 1;
    }
    Ok(done)
}

/// Files of one writer that follow each other in the log by rising numbers: only those may become one and keep the order.
fn runs(files: &[Arc<LogFile>]) -> Vec<&[Arc<LogFile>]> {
    let follows =
        |a: &Arc<LogFile>, b: &Arc<LogFile>| match (names::numbered(file_name(a)), names::numbered(file_name(b))) {
            (Some(a), Some(b)) => a.writer == b.writer && a.last < b.first,
            _ => false,
        };
    files.chunk_by(follows).collect()
}

fn one(day: &Day, run: &[Arc<LogFile>], level: Option<i32>) -> Result<(), Error> {
    let ends = [&run[0], &run[run.len() - 1]].map(|file| names::numbered(file_name(file)));
    let [Some(first), Some(last)] = ends else { return Ok(()) };
    let plain = day.dir.join(names::compacted(first.writer, first.first, last.last));
    let target = if level.is_some() { packed_path(&plain) } else { plain };
    let name = |file: &LogFile| names::unpacked(file_name(file)).to_owned();
    let sources: Vec<(PathBuf, String)> = run.iter().map(|file| (file.path.clone(), name(file))).collect();
    let (aside, found) = pack(&sources, &target, level)?;
    if let Some(file) = run.iter().zip(&found).find(|(file, found)| !is_what_was_sealed(day, file, found)) {
        aside.forget();
        let why = "it is not what was sealed: its bytes have another hash".into();
        return Err(Error::Damaged { path: file.0.path.clone(), why });
    }
    aside.settle()?;
    sync_dir(&day.dir).map_err(Error::io(&day.dir, "sync"))?;
    for (path, _) in &sources {
        fs::remove_file(path).map_err(Error::io(path, "remove"))?;
    }
    sync_dir(&day.dir).map_err(Error::io(&day.dir, "sync"))
}

/// Whether a file holds what the manifest says; one that was compacted before is known by its size.
fn is_what_was_sealed(day: &Day, file: &LogFile, found: &Piece) -> bool {
    match day.known(file).as_deref() {
        Some([piece]) => **piece == *found,
        Some(pieces) => {
            let sum = |of: fn(&Piece) -> u64| pieces.iter().map(|piece| of(piece)).sum::<u64>();
            (sum(|piece| piece.bytes), sum(|piece| piece.lines)) == (found.bytes, found.lines)
        }
        None => false,
    }
}
