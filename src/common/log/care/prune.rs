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
    // What a collector acknowledged between the look and the rename brings the day back.
    if let Some(late) = unknown(&aside, day.manifest.as_ref())? {
        fs::rename(&aside, &day.dir).map_err(Error::io(&aside, "put back"))?;
        let why = format!("changed while it was to be removed: {late}");
        return Err(Error::NotYet { what: day.day.to_string(), why });
    }
    sync_dir(root).map_err(Error::io(root, "sync"))?;
    fs::remove_dir_all(&aside).map_err(Error::io(&aside, "remove"))
}

/// A file of events that the manifest does not know.
fn unknown(dir: &Path, manifest: Option<&Manifest>) -> Result<Option<String>, Error> {
    let entries: Result<Vec<_>, _> = fs::read_dir(dir).and_then(Iterator::collect);
    let entries = entries.map_err(Error::io(dir, "list"))?;
    let mut names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let known = |name: &str| manifest.is_some_and(|m| !m.pieces_in(names::unpacked(name)).is_empty());
    Ok(names.find(|name| names::is_data(name) && !known(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::care::{Packing, seal_day};

    #[test]
    fn what_came_at_the_last_moment_brings_the_day_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, date) = (dir.path(), jiff::civil::date(2026, 11, 2));
        let day_dir = root.join("dt=2026-11-02");
        fs::create_dir(&day_dir).expect("made");
        fs::write(day_dir.join("web-00001.ndjson"), "{}\n").expect("written");
        seal_day(root, date, &Topics::default(), Packing { level: Some(1), threads: 1 }, 0).expect("sealed");
        let seen = Day::read(root, date).expect("a day");
        fs::write(day_dir.join("web-00002.ndjson"), "{}\n").expect("written");
        let error = remove(root, &seen).expect_err("changed").to_string();
        assert!(error.contains("changed while it was to be removed: web-00002.ndjson"), "{error}");
        assert_eq!(Day::read(root, date).expect("a day").files.len(), 2);
        remove(root, &Day::read(root, date).expect("a day")).expect_err("still not sealed");
        fs::remove_file(day_dir.join("web-00002.ndjson")).expect("removed");
        remove(root, &seen).expect("removed");
        assert_eq!(fs::read_dir(root).expect("there").count(), 0);
    }
}
