//! The nightly path over a long history: roll-ups of the days gone by, and the log of the newest day.
//!
//! What it writes is, byte for byte, what `batch` writes over the same partitions. A roll-up in doubt is not used: the
//! log is read again.

mod build;
mod day;
mod explain;
mod known;
mod merge;
mod rows;
mod seen;
pub mod states;
mod work;

pub(super) use build::encode;
pub use explain::{Origin, Step, explain};

use super::batch::{Job, Summary};
use super::imports::{self, Imports};
use crate::engine::fold::Tally;
use crate::engine::plan::Plan;
use crate::event::Code;
use crate::log;
use crate::rollup::file::Writer;
use crate::rollup::{Base, Counts, Error, Manifest, lock};
use crate::time::Millis;
use build::Current;
use day::Live;
use jiff::civil::Date;
use merge::{Merged, Sources, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use work::{Work, cutoff, finish};

/// A disk that damages what was just written to it is not to be argued with.
const MENDS_MAX: usize = 1000;
/// The newest base and the one before it: the newest day is the one that most often changes once more.
const BASES: usize = 2;

/// A run over a log of date partitions with roll-ups in a directory.
pub struct History<'a> {
    /// Its log ends with the last day, and its range has an instant and nothing else.
    pub job: &'a Job<'a>,
    pub dir: &'a Path,
    /// Told of everything that had to be made anew because it was damaged.
    pub warn: &'a dyn Fn(&Error),
}

/// What a run did, and what it had to read for that.
#[derive(Debug)]
pub struct Report {
    pub summary: Summary,
    /// Days by where they were taken from; a day rolled up by this very run was read.
    pub from_base: usize,
    pub from_rollups: usize,
    pub read: usize,
    pub log_bytes: u64,
    pub rollup_bytes: u64,
    /// A day that is over and cannot be rolled up yet: one of its lines is too early to be an event, and will be one.
    pub unsettled: Option<String>,
}

/// Why a run failed.
#[derive(Debug)]
pub enum Failure {
    Log(log::Error),
    Imports(imports::Error),
    Rollup(Error),
    Output(io::Error),
}

impl From<log::Error> for Failure {
    fn from(e: log::Error) -> Failure {
        Failure::Log(e)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Rollup(e)
    }
}

/// Brings the roll-ups up to date and writes one patch a key to `out`, in the order of `batch`.
pub fn run(history: &History<'_>, out: &mut impl Write) -> Result<Report, Failure> {
    let _lock = lock(history.dir)?;
    let manifest = manifest(history)?;
    let as_of = history.job.range.as_of.unwrap_or(history.job.received);
    let mut work = Work::new(history.job, history.dir, as_of, manifest);
    let told: Vec<&Plan> =
        [history.job.plan].into_iter().chain(history.job.entities.iter().map(|plan| &**plan)).collect();
    work.imports = Imports::read(history.job.imports, &told, as_of).map_err(Failure::Imports)?;
    // Parts that were written stay written: a part is the same bytes the second time.
    let mut parts = 0;
    let mut mends = 0;
    loop {
        match attempt(&mut work, Told { out, parts: &mut parts }) {
            Err(Failure::Rollup(e @ Error::Damaged { .. })) if mends < MENDS_MAX => {
                mends += 1;
                (history.warn)(&e);
                let Error::Damaged { name, .. } = &e else { return Err(e.into()) };
                if !work.manifest_mut().forget(name) {
                    return Err(e.into());
                }
            }
            done => return done,
        }
    }
}

/// The manifest of the directory, or a new one.
fn manifest(history: &History<'_>) -> Result<Manifest, Error> {
    let new = || Manifest::new(history.job.hash_key);
    match Manifest::load(history.dir) {
        Ok(found) => Ok(found.unwrap_or_else(new)),
        Err(e @ Error::Damaged { .. }) => {
            (history.warn)(&e);
            Ok(new())
        }
        Err(e) => Err(e),
    }
}

fn attempt(work: &mut Work<'_>, told: Told<'_, impl Write>) -> Result<Report, Failure> {
    (work.unsettled, work.torn) = (None, Vec::new());
    let Current { through, live } = work.bring_up()?;
    let at = work.as_of;
    let through = through.as_deref();
    let next = through.filter(|through| work.wants_base(through));
    let mut writer = next.map(|next| work.base_writer(next)).transpose()?;
    // A base is of the end of its day: mostly the very instant that is asked for.
    let same = next.is_some_and(|next| cutoff(next) == at) && live.is_empty();
    let sources = work.sources(through, at, &live);
    let merged = work.merge(&sources, at, Some(told), writer.as_mut().filter(|_| same))?;
    let report = work.report(&merged, &sources);
    let counts = match next {
        Some(next) if !same => {
            let sources = work.sources(through, cutoff(next), &[]);
            work.merge::<Vec<u8>>(&sources, cutoff(next), None, writer.as_mut())?.counts
        }
        _ => merged.counts,
    };
    if let (Some(next), Some(writer)) = (next, writer) {
        let file = finish(writer, &work.plans)?;
        let made_of = work.manifest.made_of(next);
        work.keep(Base { through: next.to_owned(), cutoff: cutoff(next), file, made_of, counts });
    }
    work.commit()?;
    Ok(Report { rollup_bytes: work.meter.load(Ordering::Relaxed), ..report })
}

impl Work<'_> {
    /// Whether a base through this day is worth making: there is none so far that holds.
    fn wants_base(&self, through: &str) -> bool {
        !self.manifest.bases.iter().any(|base| base.through.as_str() >= through && self.holds(base))
    }

    fn base_writer(&mut self, through: &str) -> Result<Writer, Error> {
        let name = self.manifest_mut().next_name(&format!("base-{through}"), "");
        Writer::create(self.dir, &name)
    }

    /// The least that has to be merged for the days through `through` as of `at`, and the days in memory.
    fn sources<'s>(&'s self, through: Option<&str>, at: Millis, live: &'s [Live]) -> Sources<'s> {
        let Some(through) = through else { return Sources { base: None, days: Vec::new(), live } };
        let base = self.base(through, at);
        let behind = |name: &str| base.is_none_or(|base| base.through.as_str() < name);
        let days = self.manifest.through(through);
        let days = days.filter(|(name, _)| behind(name) && cutoff(name) <= at).map(|(_, day)| day).collect();
        Sources { base, days, live }
    }

    /// Keeps a new base and the newest of the others.
    fn keep(&mut self, base: Base) {
        let kept: Vec<bool> = self.manifest.bases.iter().map(|old| self.holds(old)).collect();
        let bases = &mut self.manifest_mut().bases;
        let mut kept = kept.into_iter();
        bases.retain(|_| kept.next().unwrap_or(false));
        bases.push(base);
        bases.sort_by(|a, b| a.through.cmp(&b.through));
        let over = bases.len().saturating_sub(BASES);
        bases.drain(..over);
    }

    fn report(&self, merged: &Merged, sources: &Sources<'_>) -> Report {
        let Counts { lines, absorbed, late, duplicates, refused, forgotten, times } = merged.counts.clone();
        let code = |(name, n): (String, u64)| Some((Code::from_name(&name)?, n));
        let refused: BTreeMap<Code, u64> = refused.into_iter().filter_map(code).collect();
        let events = Tally { absorbed, duplicates, outside: late, times };
        let (keys, torn) = (merged.keys[0], self.torn.clone());
        let names = self.job.entities.iter().map(|plan| plan.entity().name.clone());
        let entities = names.zip(merged.keys[1..].iter().copied()).collect();
        let all: BTreeSet<Option<Date>> = self.job.log.files().iter().map(|file| file.day).collect();
        let in_base =
            |base: &Base| self.manifest.through(&base.through).filter(|(name, _)| !self.read.contains(*name)).count();
        let (from_base, read) = (sources.base.map_or(0, in_base), self.read.len());
        Report {
            summary: Summary {
                lines,
                events,
                refused,
                forgotten,
                keys,
                entities,
                as_of: Some(self.as_of),
                torn,
                ..Summary::default()
            },
            from_base,
            from_rollups: all.len().saturating_sub(from_base + read),
            read,
            log_bytes: self.log_bytes.load(Ordering::Relaxed),
            rollup_bytes: 0,
            unsettled: self.unsettled.clone(),
        }
    }
}
