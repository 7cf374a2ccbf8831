//! The plan of a run: what it would read, day by day, and why. Nothing is read for it but names, sizes and the manifest.

use super::super::batch::Job;
use super::Failure;
use super::work::{Work, cutoff, days};
use crate::log::Log;
use crate::rollup::{Day, Error, FileRef, Manifest, Marks};
use std::fs;
use std::path::Path;

/// Where a day, or the base, is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The day; of the base the last one in it.
    pub day: String,
    pub origin: Origin,
    pub why: &'static str,
    /// Bytes to be read.
    pub bytes: u64,
}

/// What is read for a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The base file itself.
    Base,
    /// Nothing: the day is in the base.
    InBase,
    RollUp,
    Log,
    /// Filters of the ids of all days before the last one read.
    Ids,
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Origin::Base => "base",
            Origin::InBase => "in the base",
            Origin::RollUp => "roll-up",
            Origin::Log => "log",
            Origin::Ids => "ids",
        }
    }
}

/// The plan, with roll-ups in `dir` or without any.
///
/// One thing only reading can tell: a day whose files have changed may have shared ids with later days, which are then read too.
pub fn explain(job: &Job<'_>, dir: Option<&Path>) -> Result<Vec<Step>, Failure> {
    let days = days(job.log)?;
    let log =
        |(name, log): &(String, Log), why| Step { day: name.clone(), origin: Origin::Log, why, bytes: log.size() };
    let Some(dir) = dir else { return Ok(days.iter().map(|day| log(day, "no --rollups")).collect()) };
    let manifest = match Manifest::load(dir) {
        Ok(found) => found,
        Err(Error::Damaged { .. }) => None,
        Err(e) => return Err(e.into()),
    };
    let as_of = job.range.as_of.unwrap_or(job.received);
    let work = Work::new(job, dir, as_of, manifest.unwrap_or_else(|| Manifest::new(job.hash_key)));
    let mut whys = Vec::new();
    for (name, log) in &days {
        whys.push(work.why_read(name, log)?);
    }
    // Days are rolled up without a gap, so the base is good as far as nothing before has changed.
    let first_read = whys.iter().position(|why| why.is_some_and(|why| why != LATER)).unwrap_or(days.len());
    let gone = work
        .manifest
        .days
        .keys()
        .any(|name| days.last().is_some_and(|(last, _)| name <= last) && !days.iter().any(|(day, _)| day == name));
    let last = first_read.checked_sub(1).map(|at| days[at].0.as_str()).filter(|_| !gone);
    let base = last.and_then(|last| work.base(last, as_of)).filter(|base| whole(dir, &base.file));
    let mut steps = Vec::new();
    if let Some(base) = base {
        let why = "the states of all days through this one";
        steps.push(Step { day: base.through.clone(), origin: Origin::Base, why, bytes: base.file.bytes });
    }
    for (day, why) in days.iter().zip(&whys) {
        let known = work.manifest.days.get(&day.0);
        let in_base = base.is_some_and(|base| day.0 <= base.through);
        steps.push(match (why, known) {
            (Some(why), _) => log(day, why),
            _ if in_base => Step { day: day.0.clone(), origin: Origin::InBase, why: "unchanged", bytes: 0 },
            (None, Some(known)) => {
                let bytes = work.state_bytes(known);
                Step {
                    day: day.0.clone(),
                    origin: Origin::RollUp,
                    why: "unchanged, and not in a base that can be used",
                    bytes,
                }
            }
            (None, None) => log(day, NEW),
        });
    }
    if let Some(read) = whys.iter().rposition(Option::is_some) {
        let (day, _) = &days[read];
        let filters = work.manifest.before(day).filter_map(|(_, known)| known.main.filter);
        let bytes = filters.map(|span| span.stored).sum();
        steps.push(Step {
            day: day.clone(),
            origin: Origin::Ids,
            why: "what earlier days have of a day that is read",
            bytes,
        });
    }
    Ok(steps)
}

const NEW: &str = "not rolled up yet";
const LATER: &str = "its roll-up is of a later instant";

impl Work<'_> {
    /// Why a day is read from the log; `None`: its roll-up will do.
    fn why_read(&self, name: &str, log: &Log) -> Result<Option<&'static str>, Failure> {
        let Some(day) = self.manifest.days.get(name) else {
            return Ok(Some(if cutoff(name) >= self.job.received { "the day is not over" } else { NEW }));
        };
        let marks = Marks::of(log.files())?;
        Ok(if day.damaged || !day.files().all(|file| whole(self.dir, file)) {
            Some("its roll-up is damaged or gone")
        } else if day.rules != self.rules {
            Some("other event types are legal now")
        } else if day.stale {
            Some("an earlier day has changed that shares events with it")
        } else if !day.marks.untouched(&marks) {
            Some("its files have changed")
        } else if self.missing(day).is_some() {
            Some("definitions are new")
        } else if cutoff(name) > self.as_of {
            Some(LATER)
        } else {
            None
        })
    }

    /// The bytes of a day's files without its ids.
    fn state_bytes(&self, day: &Day) -> u64 {
        let filter = day.main.filter.map_or(0, |span| span.stored);
        day.bytes().saturating_sub(filter + day.ids * 16)
    }
}

/// Whether a file is there with the length it should have.
fn whole(dir: &Path, file: &FileRef) -> bool {
    fs::metadata(dir.join(&file.name)).is_ok_and(|metadata| metadata.len() == file.bytes)
}
