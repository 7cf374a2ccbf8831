//! The letters of a log: its refused lines, from several threads, the first few told and all kept where that is wanted.

use crate::report;
use adprof::dead::{DeadFile, DeadLetter, Place};
use adprof::lines::{Text, source_name};
use adprof::log::line_number;
use adprof::ndjson::shown;
use adprof::run::batch::Refused;
use anyhow::Result;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// So many are told as they come.
const TOLD: u32 = 3;

pub struct Letters {
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<DeadFile>,
    told: u32,
    failed: Option<io::Error>,
}

impl Letters {
    /// Letters into the file at `path`; without one they are only told.
    pub fn new(path: Option<&Path>) -> Letters {
        Letters { inner: Mutex::new(Inner { file: path.map(DeadFile::new), told: 0, failed: None }) }
    }

    /// Takes one line; one that names a forgotten user is not kept. A fault of the disk is kept for `finish`.
    pub fn take(&self, refused: Refused<'_>) {
        let mut inner = self.inner();
        if inner.told < TOLD {
            inner.told += 1;
            report::warn(shown(&format!("{}: {}", place(&refused), refused.refusal)));
        }
        let Some(file) = &mut inner.file else { return };
        let (original, truncated) = match refused.text {
            Text::Whole(bytes) => (bytes, None),
            Text::TooLong { head, len } => (head, Some(len)),
        };
        if refused.file.forgotten.is_named_in(original) {
            return;
        }
        let source = source_name(&refused.file.path);
        let letter = DeadLetter::new(refused.refusal, &source, Place::Byte { offset: refused.offset }, original);
        if let Err(e) = file.put(&DeadLetter { truncated, ..letter }) {
            inner.failed.get_or_insert(e);
        }
    }

    /// Makes every letter durable, and says when one could not be written.
    pub fn finish(&self) -> Result<()> {
        let mut inner = self.inner();
        let failed = inner.failed.take();
        let Some(file) = &mut inner.file else { return Ok(()) };
        let outcome = failed.map_or_else(|| file.sync(), Err);
        outcome.map_err(|e| report::io(file.path(), &e).into())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("a panic ends the program")
    }
}

/// `events.ndjson:12`, or the byte where lines cannot be counted again.
fn place(refused: &Refused<'_>) -> String {
    let name = source_name(&refused.file.path);
    // A pipe cannot be read again.
    let number = refused.file.size.and_then(|_| line_number(&refused.file.path, refused.offset).ok());
    match number {
        Some(line) => format!("{name}:{line}"),
        None => format!("{name}: byte {}", refused.offset),
    }
}
