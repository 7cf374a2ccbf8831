//! A day of a log: the files of its partition beside what its manifest says of them.

use super::manifest::{Manifest, Piece, day_dir};
use crate::lines::Form;
use crate::log::{Error, Log, LogFile, Stray, names};
use jiff::civil::Date;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One partition as it stood when it was looked at.
#[derive(Clone, Debug)]
pub struct Day {
    pub day: Date,
    pub dir: PathBuf,
    /// In the order of the log.
    pub files: Vec<Arc<LogFile>>,
    pub strays: Vec<Stray>,
    pub manifest: Option<Manifest>,
}

/// Whether a day is what its manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not sealed.
    Open,
    Sealed,
    /// Files came, or grew, after it was sealed.
    Changed {
        late: Vec<String>,
    },
    /// Files that were sealed are gone, or shorter than they were.
    Damaged {
        gone: Vec<String>,
    },
}

/// The days of a log that is a directory, in their order. A log of one file has none: an error.
pub fn days(root: &Path) -> Result<Vec<Date>, Error> {
    let entries: Result<Vec<_>, _> = fs::read_dir(root).and_then(Iterator::collect);
    let mut days: Vec<Date> = entries
        .map_err(Error::io(root, "open"))?
        .iter()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().to_str().and_then(names::parse_partition))
        .collect();
    days.sort();
    Ok(days)
}

impl Day {
    /// Looks at one day of a log.
    pub fn read(root: &Path, day: Date) -> Result<Day, Error> {
        let dir = day_dir(root, day);
        let log = Log::of_day(root, day)?;
        let (files, strays) = (log.files().to_vec(), log.strays().to_vec());
        let manifest = Manifest::read(&dir)?;
        Ok(Day { day, dir, files, strays, manifest })
    }

    /// How the files stand to the manifest, by their names and, where they are plain, their sizes.
    pub fn state(&self) -> State {
        let Some(manifest) = &self.manifest else { return State::Open };
        let (mut late, mut gone) = (Vec::new(), Vec::new());
        let mut held: Vec<&str> = Vec::new();
        for file in &self.files {
            let name = file_name(file);
            let pieces = manifest.pieces_in(names::unpacked(name));
            let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
            match file.size.filter(|_| file.form == Form::Plain) {
                _ if pieces.is_empty() => late.push(name.to_owned()),
                Some(size) if size > bytes => late.push(name.to_owned()),
                Some(size) if size < bytes => gone.push(name.to_owned()),
                _ => {}
            }
            held.extend(pieces.iter().map(|piece| piece.name.as_str()));
        }
        let lost = manifest.files.iter().filter(|piece| !held.contains(&piece.name.as_str()));
        gone.extend(lost.map(|piece| piece.name.clone()));
        match (gone.is_empty(), late.is_empty()) {
            (false, _) => State::Damaged { gone },
            (true, false) => State::Changed { late },
            (true, true) => State::Sealed,
        }
    }

    /// What the manifest says of a file, when it is still what it was; of a compacted one, all it holds.
    pub fn known(&self, file: &LogFile) -> Option<Vec<&Piece>> {
        let pieces = self.manifest.as_ref()?.pieces_in(names::unpacked(file_name(file)));
        let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        let same = file.form != Form::Plain || file.size == Some(bytes);
        (same && !pieces.is_empty()).then_some(pieces)
    }
}

/// The name of a file in its day's directory.
pub fn file_name(file: &LogFile) -> &str {
    file.name.rsplit('/').next().unwrap_or(&file.name)
}
