//! The manifest of a sealed day: what its files held, whatever form they take on the disk later.
//!
//! It is `dt=D/_SUCCESS`. A file that it lists is never appended to; its lines may be packed, or stand in a compacted
//! file, but they stay the same bytes.

use crate::disk;
use crate::log::{Error, names};
use crate::time::Millis;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file in a day's directory that says that it is sealed.
pub const SEAL: &str = "_SUCCESS";
const VERSION: u32 = 1;

/// What a day held when it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub version: u32,
    pub day: Date,
    /// In the order of the log.
    pub files: Vec<Piece>,
    pub lines: u64,
    /// Decoded.
    pub bytes: u64,
    pub sealed_at: Millis,
}

/// One file as its writer left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// In the day's directory, before packing.
    pub name: String,
    /// Decoded, as are the bytes of the hash.
    pub bytes: u64,
    pub lines: u64,
    /// 64 hex digits.
    pub sha256: String,
}

impl Manifest {
    /// Of these files, in the order of the log.
    pub fn new(day: Date, files: Vec<Piece>, sealed_at: Millis) -> Manifest {
        let sum = |of: fn(&Piece) -> u64| files.iter().map(of).sum();
        let (lines, bytes) = (sum(|piece| piece.lines), sum(|piece| piece.bytes));
        Manifest { version: VERSION, day, files, lines, bytes, sealed_at }
    }

    /// The manifest in a day's directory; `None`: the day is not sealed.
    pub fn read(dir: &Path) -> Result<Option<Manifest>, Error> {
        let path = dir.join(SEAL);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "read")(e)),
        };
        let wrong = |why: String| Error::Damaged { path: path.clone(), why };
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|e| wrong(format!("not the manifest of a sealed day: {e}")))?;
        if manifest.version != VERSION {
            return Err(wrong(format!("of version {}, this adprof knows {VERSION}", manifest.version)));
        }
        Ok(Some(manifest))
    }

    /// Puts it in the day's directory, durably and at once: from then on the day is sealed.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_vec(self).expect("texts and numbers are always JSON");
        text.push(b'\n');
        let path = dir.join(SEAL);
        disk::replace(&path, &dir.join("_SUCCESS.tmp"), &text).map_err(Error::io(&path, "write"))
    }

    pub fn piece(&self, name: &str) -> Option<&Piece> {
        self.files.iter().find(|piece| piece.name == name)
    }

    /// The files whose lines the file `name` (before packing) holds: itself, or those compacted into it.
    pub fn pieces_in<'a>(&'a self, name: &str) -> Vec<&'a Piece> {
        let inside = |piece: &&Piece| {
            let held = || Some(names::numbered(name)?.holds(&names::numbered(&piece.name)?));
            piece.name == name || held() == Some(true)
        };
        self.files.iter().filter(inside).collect()
    }
}

/// Whether a file of a day is sealed: nothing may be appended to it.
///
/// A file of another maker under the manifest's name seals nothing.
pub fn is_sealed(dir: &Path, name: &str) -> Result<bool, Error> {
    match Manifest::read(dir) {
        Ok(manifest) => Ok(manifest.is_some_and(|manifest| manifest.piece(name).is_some())),
        Err(Error::Damaged { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The partition of a day in a log.
pub fn day_dir(root: &Path, day: Date) -> PathBuf {
    root.join(names::partition(day))
}
