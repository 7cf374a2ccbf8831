//! Pruning: days that are old enough leave the log, each as a whole and at once.

use super::day::{Day, State};
use super::manifest::Manifest;
use super::shipped::Topics;
use crate::disk::sync_dir;
use crate::log::{Error, names};
use jiff::civil::Date;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Looks whether a day may go and, unless it is only asked (`dry`), removes it. The caller holds `take(root)`.
///
/// Errors: `NotYet` for a day that is not sealed or changed since, and `NotShipped`.
pub fn prune_day(root: &Path, day: Date, topics: &Topics, dry: bool) -> Result<Manifest, Error> {
    let seen = Day::read(root, day)?;
    let not_yet = |why: &str| Error::NotYet { what: day.to_string(), why: why.into() };
    match seen.state() {
        State::Open => return Err(not_yet("not sealed")),
        State::Changed { .. } => return Err(not_yet("changed since it was sealed: seal it again")),
        // What is left of a damaged day is worth a look before it goes.
        State::Damaged { gone } => {
            let why = format!("sealed, and gone or shorter since: {}", gone.join(", "));
            return Err(Error::Damaged { path: seen.dir, why });
        }
        State::Sealed => {}
    }
    topics.require(&seen)?;
    if !dry {
        remove(root, &seen)?;
    }
    Ok(seen.manifest.expect("it is sealed"))
}

/// Removes what a crash left of days that were pruned.
pub(super) fn leftovers(root: &Path) -> Result<(), Error> {
    let entries: Result<Vec<_>, _> = fs::read_dir(root).and_then(Iterator::collect);
    for entry in entries.map_err(Error::io(root, "open"))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(".pruned-").and_then(names::parse_partition).is_some() {
            fs::remove_dir_all(entry.path()).map_err(Error::io(&entry.path(), "remove"))?;
        }
    }
    Ok(())
}

/// Out of sight first, by one rename: no reader ever finds half a day.
fn remove(root: &Path, day: &Day) -> Result<(), Error> {
    leftovers(root)?;
    let aside: PathBuf = root.join(format!(".pruned-{}", names::partition(day.day)));
    match fs::rename(&day.dir, &aside) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io(&day.dir, "remove"))?,
    }
    sync_dir(root).map_err(Error::io(root, "sync"))?;
    fs::remove_dir_all(&aside).map_err(Error::io(&aside, "remove"))
}
