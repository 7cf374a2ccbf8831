//! Roll-ups with users in them are dropped: the next night reads those days again, from a log that no longer has them.

use super::People;
use crate::key::Key;
use crate::rollup::file::{Reader, Section};
use crate::rollup::{Error, FileRef, Manifest, PARTS, lock};
use crate::run::batch::partition_of;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Drops the files of a directory of roll-ups that have one of the users; gives how many there were. One that cannot be read
/// is dropped too. `dry`: counts only.
pub fn rollups(dir: &Path, people: &People, dry: bool) -> Result<usize, Error> {
    let _lock = lock(dir)?;
    let Some(mut manifest) = Manifest::load(dir)? else { return Ok(0) };
    // What a crash left is of no manifest, and may be of a user all the same.
    if !dry {
        manifest.commit(dir)?;
    }
    let files = manifest.days.values().flat_map(|day| day.files()).chain(manifest.bases.iter().map(|base| &base.file));
    let files: Vec<FileRef> = files.cloned().collect();
    let mut dropped = BTreeSet::new();
    for file in &files {
        if has(dir, file, people) {
            dropped.insert(file.name.clone());
        }
    }
    if dry || dropped.is_empty() {
        return Ok(dropped.len());
    }
    for name in &dropped {
        manifest.forget(name);
    }
    // First what says that they are there.
    manifest.commit(dir)?;
    for name in &dropped {
        match fs::remove_file(dir.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&dir.join(name), "remove")(e)),
            _ => {}
        }
    }
    crate::disk::sync_dir(dir).map_err(Error::io(dir, "sync"))?;
    Ok(dropped.len())
}

/// Whether a file has one of the users: as a key, or as bytes anywhere in what it holds. One that is gone has nothing.
fn has(dir: &Path, file: &FileRef, people: &People) -> bool {
    let meter = AtomicU64::new(0);
    let Ok(reader) = Reader::open(dir, file, &meter) else { return dir.join(&file.name).exists() };
    let parts = PARTS * (1 + file.entities.len());
    (0..parts).any(|part| {
        [Section::Keys, Section::States, Section::Late].into_iter().any(|section| {
            // What lies behind the last section that was written is empty, and no error.
            let Ok(bytes) = reader.read(part, section) else { return part < PARTS };
            people.is_in(&bytes) || (section == Section::Late && is_late(&bytes, part, people))
        })
    })
}

/// Whether a user of this part may have an event in its late lines, written in some way that is not its id byte by byte.
fn is_late(lines: &[u8], part: usize, people: &People) -> bool {
    let escaped = memchr::memmem::find(lines, b"\\u").is_some();
    escaped && people.ids.iter().any(|id| partition_of(&Key::user("", id)) == part)
}
