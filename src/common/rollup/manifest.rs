//! The manifest: which days are rolled up, from what, into which files.
//!
//! The days it names fit each other at every instant: what a day leaves out as seen before stands in an earlier
//! day it names. One line of magic, version and checksum, then JSON; replaced as a whole.

use super::input::Marks;
use super::{Error, checksum};
use crate::disk::{make_dir, sync_dir};
use crate::engine::dedup::HashKey;
use crate::engine::fold::spanning;
use crate::log::{self, Lock};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const NAME: &str = "manifest";
/// Its number changes with the format of any file, and whenever states of old would be read as something else.
const MAGIC: &str = "adprof-rollups 1 ";
const SEED: u64 = 0x6d61_6e69_6665_7374;

/// A run of bytes in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub offset: u64,
    /// Bytes in the file, and without packing.
    pub stored: u64,
    pub len: u64,
    pub hash: u64,
}

/// One file, known by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    pub name: String,
    pub digest: u64,
    pub bytes: u64,
    /// The fingerprints of the counters in its states of users: a state's numbers are places in this list.
    pub counters: Vec<u64>,
    /// The entities whose keys it holds, all of them, in the order of its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Held>,
    pub filter: Option<Span>,
}

/// An entity in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its fingerprint: with another key or another `retain` it is another entity.
    pub entity: u64,
    /// As `FileRef::counters`, of the states of its keys.
    pub counters: Vec<u64>,
}

/// What became of lines: lines = absorbed + late + duplicates + refused + forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub lines: u64,
    pub absorbed: u64,
    /// Distinct, and later than the cutoff.
    pub late: u64,
    pub duplicates: u64,
    pub refused: BTreeMap<String, u64>,
    /// Of users who were forgotten when the day was read.
    #[serde(default, skip_serializing_if = "is_none")]
    pub forgotten: u64,
    /// The first and the last event time absorbed.
    pub times: Option<(Millis, Millis)>,
}

fn is_none(n: &u64) -> bool {
    *n == 0
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.lines += other.lines;
        self.absorbed += other.absorbed;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.forgotten += other.forgotten;
        self.times = spanning(self.times, other.times);
        for (code, n) in &other.refused {
            *self.refused.entry(code.clone()).or_default() += n;
        }
    }
}

/// One day that is rolled up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    pub marks: Marks,
    /// Stands for the rules by which lines were refused.
    pub rules: u64,
    pub main: FileRef,
    /// States for counters that came later.
    pub more: Vec<FileRef>,
    pub ids: u64,
    pub ids_digest: u64,
    pub counts: Counts,
    /// An earlier day has changed: the ids hold, the states do not.
    pub stale: bool,
    /// The main file cannot be read, not even its ids.
    pub damaged: bool,
}

impl Day {
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        std::iter::once(&self.main).chain(&self.more)
    }

    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

/// The states of all days through one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub through: String,
    /// Events up to here are in the states, the others are late.
    pub cutoff: Millis,
    pub file: FileRef,
    /// Stands for the days it was made of (`Manifest::made_of`).
    pub made_of: u64,
    pub counts: Counts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The key of all ids; a secret.
    pub hash_key: HashKey,
    /// Counts the files made: no name is used twice.
    pub generation: u64,
    /// By name, `2026-11-20`: the order of the names is that of the days.
    pub days: BTreeMap<String, Day>,
    /// The newest last.
    pub bases: Vec<Base>,
}

impl Manifest {
    pub fn new(hash_key: HashKey) -> Manifest {
        Manifest { hash_key, generation: 0, days: BTreeMap::new(), bases: Vec::new() }
    }

    /// The manifest of a directory; `None`: there is none yet.
    pub fn load(dir: &Path) -> Result<Option<Manifest>, Error> {
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound) => return Ok(None),
            read => read.map_err(Error::io(&path, "read"))?,
        };
        read(&text).map(Some).ok_or_else(|| Error::damaged(NAME, "it is not what was written, or of another version"))
    }

    /// Makes this the manifest, durably; then removes the files that no manifest names any more.
    pub fn commit(&self, dir: &Path) -> Result<(), Error> {
        let json = serde_json::to_string(self).expect("a manifest is plain data");
        let text = format!("{MAGIC}{:016x}\n{json}\n", checksum(SEED, json.as_bytes()));
        let temporary = dir.join(format!("{NAME}.tmp"));
        let write = || -> io::Result<()> {
            // The key of the ids is in it.
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, dir.join(NAME))?;
            sync_dir(dir)
        };
        write().map_err(Error::io(&temporary, "write"))?;
        self.sweep(dir)
    }

    fn sweep(&self, dir: &Path) -> Result<(), Error> {
        let files = self.days.values().flat_map(Day::files).chain(self.bases.iter().map(|base| &base.file));
        let named: BTreeSet<&str> = files.map(|file| file.name.as_str()).collect();
        for entry in fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
            let entry = entry.map_err(Error::io(dir, "list"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_ours(&name) && !named.contains(name.as_str()) {
                // What stays is swept the next time.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// The days through one, it included; those before one; those behind one.
    pub fn through(&self, day: &str) -> impl Iterator<Item = (&String, &Day)> {
        self.days.range::<str, _>((Bound::Unbounded, Bound::Included(day)))
    }

    pub fn before(&self, day: &str) -> impl Iterator<Item = (&String, &Day)> {
        self.days.range::<str, _>((Bound::Unbounded, Bound::Excluded(day)))
    }

    pub fn behind(&self, day: &str) -> impl Iterator<Item = (&String, &Day)> {
        self.days.range::<str, _>((Bound::Excluded(day), Bound::Unbounded))
    }

    /// A name for a new file: `stem-000017`.
    pub fn next_name(&mut self, stem: &str, ending: &str) -> String {
        self.generation += 1;
        format!("{stem}-{:06}{ending}", self.generation)
    }

    /// Stands for the content of all days through one: a base made of them holds as long as it is the same.
    pub fn made_of(&self, through: &str) -> u64 {
        let mut text = String::new();
        for (name, day) in self.through(through) {
            let (digest, rules, counts) = (day.main.digest, day.rules, &day.counts);
            text.push_str(&format!("{name} {digest} {rules} {counts:?} {}\n", day.stale || day.damaged));
        }
        checksum(SEED, text.as_bytes())
    }

    /// Forgets a damaged file; what hung on it will be made anew. False when it is not named here.
    pub fn forget(&mut self, name: &str) -> bool {
        let bases = self.bases.len();
        self.bases.retain(|base| base.file.name != name);
        let mut known = self.bases.len() < bases;
        for day in self.days.values_mut() {
            let more = day.more.len();
            day.more.retain(|file| file.name != name);
            known |= day.more.len() < more;
            if day.main.name == name {
                day.damaged = true;
                known = true;
            }
        }
        known
    }
}

fn read(text: &[u8]) -> Option<Manifest> {
    let text = std::str::from_utf8(text).ok()?;
    let (hash, json) = text.strip_prefix(MAGIC)?.split_once('\n')?;
    let json = json.strip_suffix('\n')?;
    if u64::from_str_radix(hash, 16).ok()? != checksum(SEED, json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// Whether a file of this name was made here: nothing else in the directory is ever touched.
fn is_ours(name: &str) -> bool {
    let whole = name.strip_suffix(".tmp").unwrap_or(name);
    let stem = whole.strip_suffix(".day").or(whole.strip_suffix(".more")).unwrap_or(whole);
    let based = stem.strip_prefix("base-");
    let Some((day, number)) = based.unwrap_or(stem).rsplit_once('-') else { return false };
    let kind = whole.len() > stem.len() || based.is_some();
    let digits = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
    kind && digits && day.len() == 10 && day.parse::<jiff::civil::Date>().is_ok()
}

/// Takes the lock of a directory, made when absent.
pub fn lock(dir: &Path) -> Result<Lock, Error> {
    make_dir(dir).map_err(Error::io(dir, "make"))?;
    Lock::take(&dir.join("lock"), dir).map_err(|e| match e {
        log::Error::Locked { path, holder } => Error::Locked { path, holder },
        log::Error::Io { path, doing, source } => Error::Io { path, doing, source },
        other => Error::Io { path: dir.to_owned(), doing: "lock", source: io::Error::other(other.to_string()) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_any_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Manifest::load(dir.path()).expect("none"), None);
        let mut manifest = Manifest::new([1, u64::MAX]);
        manifest.next_name("2026-11-20", ".day");
        manifest.commit(dir.path()).expect("written");
        assert_eq!(Manifest::load(dir.path()).expect("whole"), Some(manifest));
        let path = dir.path().join(NAME);
        let whole = fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).expect("written");
            assert!(matches!(Manifest::load(dir.path()), Err(Error::Damaged { .. })), "byte {at}");
        }
    }

    #[test]
    fn only_files_made_here_and_named_nowhere_are_swept() {
        let dir = tempfile::tempdir().expect("a directory");
        let (ours, others) = (
            ["2026-11-20-000001.day", "2026-11-20-000002.more", "base-2026-11-20-000003", "2026-11-20-000004.day.tmp"],
            ["lock", "notes", "2026-11-20.day", "base-x", "2026-11-20-000001", "2026-13-20-000001.day"],
        );
        for name in ours.iter().chain(&others) {
            fs::write(dir.path().join(name), "x").expect("written");
        }
        Manifest::new([0, 0]).commit(dir.path()).expect("written");
        assert!(ours.iter().all(|name| !dir.path().join(name).exists()));
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
    }
}
