//! `adprof check --data`: whether an output of `batch` is fit to be published.

use crate::given::grouped;
use crate::report::{self, Exit, Failure};
use adprof::lines::{Lines, Text, open_path, source_name};
use adprof::quality::{
    Day, Days, Events, Figures, Finding, Manifest, Outcome, TagFigures, Verdict, Written, beside, hex, history, judge,
};
use adprof::tag::Definitions;
use adprof::time::Millis;
use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct DataArgs {
    /// Check this output of `batch`, gzip and zstd too; `-` is stdin
    #[arg(long, value_name = "PATCHES", conflicts_with = "sample", help_heading = "Quality")]
    pub data: Option<PathBuf>,
    /// The manifest that `batch --manifest` wrote [default: PATCHES.manifest.json if there]
    #[arg(long, value_name = "FILE", requires = "data", help_heading = "Quality")]
    manifest: Option<PathBuf>,
    /// Compare with these outputs, or their manifests: those of the last days, in any order
    #[arg(long, value_name = "PATCHES|MANIFEST", num_args = 1.., requires = "data", help_heading = "Quality")]
    against: Vec<PathBuf>,
    /// Compare with the last published days in this directory: dt=YYYY-MM-DD/patches.ndjson.manifest.json
    #[arg(long, value_name = "DIR", requires = "data", conflicts_with = "against", help_heading = "Quality")]
    history: Option<PathBuf>,
    /// Print figures and findings as one object
    #[arg(long, requires = "data", help_heading = "Quality")]
    json: bool,
}

pub fn run(definitions: &Definitions, patches: &Path, args: &DataArgs) -> Result<()> {
    let (outcome, written) = read(definitions, patches)?;
    let manifest = manifest(patches, args)?;
    if let Some((path, manifest)) = &manifest {
        same(patches, &written, path, manifest)?;
    }
    let day = day(definitions, patches, outcome, manifest);
    let past = past(definitions, &day, args)?;
    let verdict = judge(&day, &past.days, definitions);
    if args.json {
        report::data(format!("{}\n", object(patches, &day, &past.days, &verdict)?).as_bytes())?;
    }
    tell(patches, &day, &past.days, &verdict)
}

/// The figures of some patches, and their bytes.
fn read(definitions: &Definitions, path: &Path) -> Result<(Outcome, Written)> {
    let source = source_name(path);
    let failed = |e| report::io(Path::new(&source), &e);
    let mut lines = Lines::new(Hashed::new(open_path(path).map_err(failed)?));
    let mut figures = Figures::new(definitions);
    while let Some(line) = lines.next().map_err(failed)? {
        let done = match line.text {
            Text::Whole(bytes) if bytes.trim_ascii().is_empty() => Ok(()),
            Text::Whole(bytes) => figures.add_line(bytes),
            Text::TooLong { len, .. } => Err(format!("not a patch: {len} bytes in a line")),
        };
        done.map_err(|why| Failure::new(Exit::BadInput, format!("{source}:{}: {why}", line.number)))?;
    }
    let Hashed { bytes, hash, .. } = lines.input();
    let sha256 = hex(&hash.clone().finalize());
    let outcome = figures.finish();
    let written = Written { rows: outcome.rows, bytes: *bytes, sha256 };
    Ok((outcome, written))
}

/// An input whose bytes are summed up as they pass.
struct Hashed<R> {
    input: R,
    bytes: u64,
    hash: Sha256,
}

impl<R> Hashed<R> {
    fn new(input: R) -> Hashed<R> {
        Hashed { input, bytes: 0, hash: Sha256::new() }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.bytes += n as u64;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// The manifest of the output: the one that was named, or the one that lies beside it.
fn manifest(patches: &Path, args: &DataArgs) -> Result<Option<(PathBuf, Manifest)>> {
    let path = match &args.manifest {
        Some(path) => path.clone(),
        None if beside(patches).exists() => beside(patches),
        None => return Ok(None),
    };
    let manifest = read_manifest(&path)?;
    Ok(Some((path, manifest)))
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(path).map_err(|e| report::io(path, &e))?;
    let told = |why| Failure::new(Exit::BadInput, format!("{}: {why}", path.display()));
    Ok(Manifest::parse(&text).map_err(told)?)
}

/// Fails unless these are the bytes that the manifest was written for.
fn same(patches: &Path, written: &Written, path: &Path, manifest: &Manifest) -> Result<()> {
    if *written == manifest.output {
        return Ok(());
    }
    let there = &manifest.output;
    let message = format!(
        "{}: not the output that {} describes: {} rows in {} bytes, not {} in {}",
        patches.display(),
        path.display(),
        grouped(written.rows),
        grouped(written.bytes),
        grouped(there.rows),
        grouped(there.bytes)
    );
    Err(Failure::new(Exit::BadInput, message).hint("make both again: adprof batch -o FILE --manifest").into())
}

fn day(definitions: &Definitions, patches: &Path, outcome: Outcome, manifest: Option<(PathBuf, Manifest)>) -> Day {
    let mut day = Day::of_patches(outcome, patches);
    if let Some((path, manifest)) = manifest {
        let by_manifest = Day::of_manifest(manifest, &path);
        (day.name, day.events) = (by_manifest.name, by_manifest.events);
        day.as_of = day.as_of.or(by_manifest.as_of);
    }
    for (code, figures) in &mut day.tags {
        figures.fingerprint = definitions.index(code).map(|at| format!("{:016x}", definitions.tags[at].fingerprint));
    }
    day
}

/// The days to compare with, the oldest first.
fn past(definitions: &Definitions, day: &Day, args: &DataArgs) -> Result<Days> {
    let most = definitions.quality.days;
    let mut past = Days::default();
    if let Some(root) = &args.history {
        past = history(root, day.as_of, most).map_err(|e| report::io(root, &e))?;
    }
    for path in &args.against {
        past.days.push(one(definitions, path)?);
    }
    past.days.sort_by_key(|day| day.as_of);
    let from = past.days.len().saturating_sub(most);
    past.days.drain(..from);
    for broken in &past.broken {
        report::warn(format_args!("not compared with: {broken}"));
    }
    Ok(past)
}

fn one(definitions: &Definitions, path: &Path) -> Result<Day> {
    let mut start = Vec::new();
    let file = File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
    file.map_err(|e| report::io(path, &e))?;
    if Manifest::looks_like(&start) {
        return Ok(Day::of_manifest(read_manifest(path)?, path));
    }
    let (outcome, _) = read(definitions, path)?;
    Ok(Day::of_patches(outcome, path))
}

/// What `--json` prints. Not by way of `serde_json::Value`, which would round the numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    data: String,
    date: &'a str,
    as_of: Option<Millis>,
    ok: bool,
    checks: usize,
    failed: &'a [Finding],
    rows: u64,
    events: &'a Option<Events>,
    tags: &'a BTreeMap<String, TagFigures>,
    compared_with: Vec<Compared<'a>>,
}

#[derive(Serialize)]
struct Compared<'a> {
    date: &'a str,
    rows: u64,
}

fn object(patches: &Path, day: &Day, past: &[Day], verdict: &Verdict) -> serde_json::Result<String> {
    serde_json::to_string(&Object {
        data: source_name(patches),
        date: &day.name,
        as_of: day.as_of,
        ok: verdict.findings.is_empty(),
        checks: verdict.checks,
        failed: &verdict.findings,
        rows: day.rows,
        events: &day.events,
        tags: &day.tags,
        compared_with: past.iter().map(|day| Compared { date: &day.name, rows: day.rows }).collect(),
    })
}

fn tell(patches: &Path, day: &Day, past: &[Day], verdict: &Verdict) -> Result<()> {
    let (source, failed) = (source_name(patches), verdict.findings.len());
    let days = match past.len() {
        0 => "no day to compare with".to_string(),
        1 => "compared with 1 day".into(),
        n => format!("compared with {n} days"),
    };
    let count = |n: u64, one: &str| format!("{} {one}{}", grouped(n), if n == 1 { "" } else { "s" });
    let rows = format!("{}, {}", count(day.rows, "row"), count(day.tags.len() as u64, "tag"));
    if failed == 0 {
        report::say(format_args!("{source}: {rows}, {} checks passed, {days}", verdict.checks));
        return Ok(());
    }
    let mut message = format!("{source}: {failed} of {} checks failed ({rows}, {days})", verdict.checks);
    for finding in &verdict.findings {
        message.push_str(&format!("\n  {finding}"));
    }
    let hint = "the thresholds stand under `quality` in the definition file; docs/nightly.md says what to do";
    Err(Failure::new(Exit::BadInput, message).hint(hint).into())
}
