//! Rebuild: a state made anew from the log, beside the old one, and put into its place in one step.
//!
//! The seam to Kafka rests on an order and on identities. The end of the topic is asked for before the log is opened: `collect` writes
//! an event into the log before it ships it, so all that lies before that end is in the log. Of what lies behind it some is in
//! the log as well; the state remembers the ids of what it has read, so these come as duplicates.

use super::stream::is_forgotten;
use crate::disk;
use crate::forgotten::{self, Forgotten};
use crate::lines::Text;
use crate::log::{Chunk, ChunkLines, Error, Log};
use crate::ndjson::shown;
use crate::patch::Patch;
use crate::store::embedded::Embedded;
use crate::store::{self, Kind};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A log is cut into such pieces; nothing rests on their size.
const CHUNK_BYTES: u64 = 64 << 20;
/// What lies in the directory of a state, besides its mark and the list of the forgotten.
const PARTS: [&str; 5] = ["data.mdb", "lock.mdb", "writer.lock", "base", "dead.ndjson"];
/// Keys whose patches are carried over at once.
const AT_ONCE: usize = 10_000;

/// Where a state is rebuilt: beside it, so that a rename puts it into its place.
pub fn beside(dir: &Path) -> PathBuf {
    named(dir, ".rebuild")
}

/// The lock of whoever rebuilds it.
pub fn lock(dir: &Path) -> PathBuf {
    named(dir, ".rebuild.lock")
}

fn named(dir: &Path, suffix: &str) -> PathBuf {
    // `state/` is the directory `state`.
    let mut name = dir.components().collect::<PathBuf>().into_os_string();
    name.push(suffix);
    name.into()
}

/// Carries over what came as patches: the log does not have it. Of one tag the newest as-of wins, so it may be done again.
/// Who is forgotten in one of the two is so in the other, and nothing of it is carried.
pub fn carry_over(from: &Embedded, to: &Embedded) -> Result<u64, store::Error> {
    let forgotten = carry_list(from.dir(), to.dir())?;
    let (mut patches, mut all) = (Vec::new(), 0);
    for entry in from.scan_all() {
        let entry = entry?;
        for tag in entry.tags {
            let tags = vec![(Arc::from(&*tag.code), tag.value)];
            let patch = Patch { key: entry.key.clone(), as_of: tag.as_of, tags };
            if !is_forgotten(&forgotten, &patch) {
                patches.push(patch);
            }
        }
        if patches.len() >= AT_ONCE {
            all += to.apply_patches(&patches)?.tags as u64;
            patches.clear();
        }
    }
    Ok(all + to.apply_patches(&patches)?.tags as u64)
}

/// Takes the list of the forgotten over from one state to another. Gives what it is there.
fn carry_list(from: &Path, to: &Path) -> Result<Forgotten, store::Error> {
    let (source, target) = (forgotten::beside(from), forgotten::beside(to));
    let failed = |e: io::Error| store::Error::new(Kind::Io, format!("{}: {e}", target.display()));
    let known = Forgotten::load(&source).map_err(failed)?;
    if known.is_empty() {
        return Forgotten::load(&target).map_err(failed);
    }
    forgotten::update(&target, |list| list.merge(&known)).map_err(failed)
}

/// Puts the rebuilt state in the place of the old one, which then stands where it was rebuilt. There is no instant at which none is there.
pub fn exchange(dir: &Path) -> Result<(), store::Error> {
    let new = beside(dir);
    let failed = |doing: &str, e: io::Error| {
        let message = format!("{}: cannot {doing}: {e}", dir.display());
        store::Error::new(Kind::Io, message).hint("the old state is as it was")
    };
    if dir.exists() {
        disk::exchange(&new, dir).map_err(|e| failed("put the rebuilt state here", e))?;
    } else {
        fs::rename(&new, dir).map_err(|e| failed("put the rebuilt state here", e))?;
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(|e| failed("sync the directory", e))
}

/// Removes the state that stands where one is rebuilt, and nothing else: what is not of a state is an error, and stays.
pub fn clear(dir: &Path) -> Result<(), store::Error> {
    let old = beside(dir);
    match fs::symlink_metadata(&old) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => only_a_state(&old)?,
    }
    fs::remove_dir_all(&old)
        .map_err(|e| store::Error::new(Kind::Io, format!("{}: cannot remove it: {e}", old.display())))
}

/// An error when a directory holds what is not of a state: it would go with the old one.
pub fn only_a_state(dir: &Path) -> Result<(), store::Error> {
    let failed = |e: io::Error| store::Error::new(Kind::Io, format!("{}: cannot list it: {e}", dir.display()));
    let entries = fs::read_dir(dir).map_err(failed)?;
    let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let ours = |name: &str| PARTS.contains(&name) || name.starts_with("FORMAT") || name.starts_with(forgotten::NAME);
    match names.iter().find(|name| !name.to_str().is_some_and(ours)) {
        None => Ok(()),
        Some(other) => {
            let other = shown(&other.to_string_lossy()).into_owned();
            let message = format!("{}: holds `{other}`, which is not of a state", dir.display());
            Err(store::Error::new(Kind::Usage, message).hint("move it away"))
        }
    }
}

/// A log as one stream of whole lines. A last line that nothing ended was never acknowledged and is left out.
pub struct LogRead {
    chunks: std::vec::IntoIter<Chunk>,
    lines: Option<ChunkLines>,
    /// Lines not given out yet, from `at` on.
    bytes: Vec<u8>,
    at: usize,
    told: u64,
    progress: Arc<AtomicU64>,
}

impl LogRead {
    /// `progress`: the bytes read so far.
    pub fn new(log: &Log, progress: Arc<AtomicU64>) -> LogRead {
        let chunks = log.chunks(CHUNK_BYTES).into_iter();
        LogRead { chunks, lines: None, bytes: Vec::new(), at: 0, told: 0, progress }
    }

    fn fill(&mut self) -> Result<bool, Error> {
        const ENOUGH: usize = 256 << 10;
        self.bytes.clear();
        self.at = 0;
        while self.bytes.len() < ENOUGH {
            let Some(lines) = &mut self.lines else {
                let Some(chunk) = self.chunks.next() else { break };
                self.lines = Some(chunk.lines()?);
                self.told = 0;
                continue;
            };
            match lines.next()? {
                Some(line) => {
                    match line.text {
                        Text::Whole(bytes) => self.bytes.extend_from_slice(bytes),
                        // Too long for an event wherever it is read.
                        Text::TooLong { head, .. } => self.bytes.extend_from_slice(head),
                    }
                    self.bytes.push(b'\n');
                }
                None => {
                    self.progress.fetch_add(lines.so_far().bytes - self.told, Ordering::Relaxed);
                    self.lines = None;
                }
            }
        }
        if let Some(lines) = &self.lines {
            self.progress.fetch_add(lines.so_far().bytes - self.told, Ordering::Relaxed);
            self.told = lines.so_far().bytes;
        }
        Ok(!self.bytes.is_empty())
    }
}

impl Read for LogRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() && !self.fill().map_err(|e| io::Error::other(e.to_string()))? {
            return Ok(0);
        }
        let n = (self.bytes.len() - self.at).min(out.len());
        out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
