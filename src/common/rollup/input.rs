//! Input: how a day of the log is known to be the one that was rolled up.
//!
//! Each file by its name, size and instants of change; where those differ though the day was sealed with the same
//! content, as after packing, the content is hashed to be sure.

use super::{Error, checksum};
use crate::lines::{Form, open_path};
use crate::log::LogFile;
use crate::log::care::SEAL;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The files of a day as they stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    files: Vec<Mark>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Before packing.
    name: String,
    size: u64,
    /// Nanoseconds since 1970, as the file system has them; the second one cannot be set by anybody.
    modified: i128,
    changed: i128,
    /// Of the unpacked content, by a seal that was made of this very file.
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct Seal {
    version: u64,
    files: Vec<Sealed>,
}

#[derive(Deserialize)]
struct Sealed {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Marks {
    /// The marks of a day's files now.
    pub fn of(files: &[Arc<LogFile>]) -> Result<Marks, Error> {
        let seal = files.first().and_then(|file| seal(&file.path));
        let mark = |file: &Arc<LogFile>| -> Result<Mark, Error> {
            let metadata = fs::metadata(&file.path).map_err(Error::io(&file.path, "look at"))?;
            let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            let mut mark = Mark {
                name: file.key().to_owned(),
                // As the log was opened: what came behind it since is not read, and will show the next time.
                size: file.size.unwrap_or(metadata.len()),
                modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
                changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
                sha256: None,
            };
            if let Some((sealed_at, sealed)) = &seal
                && let Some(sealed) = sealed.get(base(file.key()))
                && (file.form != Form::Plain || sealed.bytes == mark.size)
                && mark.modified <= *sealed_at
            {
                mark.sha256 = Some(sealed.sha256.clone());
            }
            Ok(mark)
        };
        Ok(Marks { files: files.iter().map(mark).collect::<Result<_, _>>()? })
    }

    /// Whether these are the same files, untouched.
    pub fn untouched(&self, now: &Marks) -> bool {
        let key = |mark: &Mark| (mark.name.clone(), mark.size, mark.modified, mark.changed);
        self.files.iter().map(key).eq(now.files.iter().map(key))
    }

    /// Whether a seal tells the content of every file.
    pub fn sealed(&self) -> bool {
        self.files.iter().all(|mark| mark.sha256.is_some())
    }

    /// Whether files that were touched hold what they held, as far as that was sealed. Reads them, if it may be so.
    /// With it the bytes read.
    pub fn same_content(&self, files: &[Arc<LogFile>]) -> Result<(bool, u64), Error> {
        let Some((_, sealed)) = files.first().and_then(|file| seal(&file.path)) else { return Ok((false, 0)) };
        let hash = |mark: &Mark| mark.sha256.clone();
        let told = |mark: &Mark| sealed.get(base(&mark.name)).map(|sealed| sealed.sha256.clone());
        let names = self.files.iter().map(|mark| mark.name.as_str()).eq(files.iter().map(|file| file.key()));
        if !names || !self.sealed() || !self.files.iter().all(|mark| hash(mark) == told(mark)) {
            return Ok((false, 0));
        }
        let mut read = 0;
        for (mark, file) in self.files.iter().zip(files) {
            read += file.size.unwrap_or(0);
            if Some(sha256(&file.path).map_err(Error::io(&file.path, "read"))?) != mark.sha256 {
                return Ok((false, read));
            }
        }
        Ok((true, read))
    }

    /// These marks with the hashes of those: the content is known to be the same.
    pub fn sealed_as(mut self, before: &Marks) -> Marks {
        for (mark, before) in self.files.iter_mut().zip(&before.files) {
            mark.sha256.clone_from(&before.sha256);
        }
        self
    }
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The seal beside a file: when it was made, and what it says of each file. One that cannot be read is none.
fn seal(beside: &Path) -> Option<(i128, BTreeMap<String, Sealed>)> {
    let path = beside.parent()?.join(SEAL);
    let metadata = fs::metadata(&path).ok()?;
    let seal: Seal = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    let at = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let files = seal.files.into_iter().map(|file| (base(&file.name).to_owned(), file)).collect();
    (seal.version == 1).then_some((at, files))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut input = open_path(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Stands for a list of texts, each with its length.
pub fn digest_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> u64 {
    let text: String = texts.into_iter().map(|text| format!("{} {text}\n", text.len())).collect();
    checksum(0, text.as_bytes())
}
