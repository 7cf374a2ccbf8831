//! `batch --manifest`: a file beside the output that says what is in it.
//!
//! The output passes through here on its way to its file; other threads compute its figures meanwhile.

use crate::whole::{self, into_file};
use adprof::engine::plan::Plan;
use adprof::export::Summed;
use adprof::quality::{Events, Figures, Made, Manifest, Outcome, Written};
use adprof::run::batch::{Job, Summary};
use adprof::tag::Definitions;
use anyhow::Result;
use jiff::civil::Date;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

#[derive(clap::Args)]
pub struct ManifestArgs {
    /// Write rows, figures of each tag, SHA-256 and event times beside the output [default: OUTPUT.manifest.json]
    #[arg(long, value_name = "FILE", num_args = 0..=1, requires = "output")]
    // The inner one: whether a name was given.
    #[allow(clippy::option_option)]
    manifest: Option<Option<PathBuf>>,
}

impl ManifestArgs {
    /// Where the manifest of an output goes; `None`: none is wanted.
    pub fn place(&self, output: &Path) -> Result<Option<PathBuf>> {
        let Some(given) = &self.manifest else { return Ok(None) };
        whole::manifest_of(output, given.as_deref()).map(Some)
    }
}

/// What was asked of the run.
pub struct About<'a> {
    pub date: Option<Date>,
    pub tz: &'a str,
    pub through: Option<Date>,
    pub tags: &'a [usize],
}

/// Lets `fold` write the output and `close` judge the run, then writes the manifest: the output first, the manifest last.
///
/// A crash between the two leaves a manifest that does not fit: `check --data` notices by the sum.
pub fn with(
    job: &Job<'_>,
    output: &Path,
    place: &Path,
    about: &About<'_>,
    fold: impl FnOnce(&mut Observed<&mut std::fs::File>) -> Result<Summary>,
    close: impl FnOnce(Summary) -> Result<()>,
) -> Result<()> {
    let (summary, outcome, written) = into_file(output, |file| {
        let mut observed = Observed::new(file, &job.plan.definitions, about.tags.len(), job.threads);
        let summary = fold(&mut observed)?;
        let (outcome, written) = observed.finish()?;
        close(summary.clone())?;
        Ok((summary, outcome, written))
    })?;
    let text = manifest(job.plan, about, &summary, outcome, written).to_text();
    into_file(place, |file| Ok(file.write_all(text.as_bytes())?))
}

fn manifest(plan: &Plan, about: &About<'_>, summary: &Summary, outcome: Outcome, output: Written) -> Manifest {
    let definitions: &Definitions = &plan.definitions;
    let mut tags = outcome.tags;
    for (code, figures) in &mut tags {
        figures.fingerprint = definitions.index(code).map(|at| format!("{:016x}", definitions.tags[at].fingerprint));
    }
    Manifest {
        version: Manifest::VERSION,
        adprof: env!("CARGO_PKG_VERSION").into(),
        as_of: summary.as_of,
        date: about.date.map(|date| date.to_string()),
        tz: about.tz.into(),
        through: about.through.map(|day| day.to_string()),
        definitions: Made::with(definitions, about.tags),
        output,
        keys: summary.entities.iter().map(|(name, keys)| (name.to_string(), *keys)).collect(),
        events: events(summary),
        tags,
    }
}

fn events(summary: &Summary) -> Events {
    let (first, last) = summary.events.times.unzip();
    Events {
        lines: summary.lines,
        counted: summary.events.absorbed,
        duplicates: summary.events.duplicates,
        outside: summary.events.outside,
        forgotten: summary.forgotten,
        refused: summary.refused.iter().map(|(code, n)| (code.to_string(), *n)).collect(),
        first,
        last,
    }
}

/// Lines are handed over in pieces of about this size.
const PIECE: usize = 1 << 20;

/// So many columns are kept at most, over all threads, unless there are more tags.
const COLUMNS: usize = 128;

/// A writer that looks at what is written.
pub struct Observed<W> {
    inner: Summed<W>,
    /// Whole lines and the beginning of one.
    piece: Vec<u8>,
    pieces: Option<mpsc::SyncSender<Vec<u8>>>,
    readers: Vec<JoinHandle<Result<Figures, String>>>,
}

impl<W: Write> Observed<W> {
    /// `tags`: how many are told.
    pub fn new(inner: W, definitions: &Definitions, tags: usize, threads: usize) -> Observed<W> {
        // Each has up to 400 KB for a tag: many tags are looked at by few threads.
        let threads = threads.min(COLUMNS / tags.max(1)).clamp(1, 8);
        let (send, receive) = mpsc::sync_channel::<Vec<u8>>(threads);
        let receive = Arc::new(Mutex::new(receive));
        let readers = (0..threads)
            .map(|_| {
                let (receive, mut figures) = (Arc::clone(&receive), Figures::new(definitions));
                std::thread::spawn(move || {
                    loop {
                        let piece = receive.lock().expect("a panic ends the program").recv();
                        let Ok(piece) = piece else { return Ok(figures) };
                        for line in piece.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                            figures.add_line(line)?;
                        }
                    }
                })
            })
            .collect();
        Observed { inner: Summed::new(inner), piece: Vec::new(), pieces: Some(send), readers }
    }

    /// The figures of all that was written, and its sum.
    pub fn finish(mut self) -> io::Result<(Outcome, Written)> {
        let rest = std::mem::take(&mut self.piece);
        self.hand_over(rest);
        self.pieces = None;
        let mut figures = Figures::default();
        for reader in self.readers {
            figures.merge(reader.join().expect("a panic ends the program").map_err(io::Error::other)?);
        }
        let outcome = figures.finish();
        let (bytes, sha256) = self.inner.finish();
        let written = Written { rows: outcome.rows, bytes, sha256 };
        Ok((outcome, written))
    }

    fn hand_over(&mut self, piece: Vec<u8>) {
        if let Some(pieces) = &self.pieces {
            // Who no longer listens has an error to tell at the end.
            let _ = pieces.send(piece);
        }
    }
}

impl<W: Write> Write for Observed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.piece.extend_from_slice(&bytes[..n]);
        if self.piece.len() >= PIECE
            && let Some(end) = memchr::memrchr(b'\n', &self.piece)
        {
            let rest = self.piece.split_off(end + 1);
            let piece = std::mem::replace(&mut self.piece, rest);
            self.hand_over(piece);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
