//! One run's hold on a directory of roll-ups: the manifest in memory, and what was read so far.

use super::super::batch::Job;
use super::super::imports::Imports;
use super::Failure;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::key::Key;
use crate::log::{Log, Torn};
use crate::rollup::{Base, Counts, Day, Error, Manifest, digest_of};
use crate::tag::Kind;
use crate::time::{DAY, Millis};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// So often, while many days are rolled up, the work done is made to last.
const COMMIT_EVERY: Duration = Duration::from_secs(2);

pub struct Work<'a> {
    pub job: &'a Job<'a>,
    pub dir: &'a Path,
    /// The instant of the values.
    pub as_of: Millis,
    /// All aggregations of the definitions: roll-ups serve every choice of tags.
    pub plan: Plan,
    /// What the tags that are told need besides.
    pub imports: Imports,
    pub rules: u64,
    pub manifest: Manifest,
    dirty: bool,
    committed: Instant,
    /// Bytes read: of the roll-ups, and of the log.
    pub meter: AtomicU64,
    pub log_bytes: AtomicU64,
    /// The days that were read from the log.
    pub read: BTreeSet<String>,
    pub torn: Vec<Torn>,
    /// The first day that is over and all the same cannot be rolled up yet.
    pub unsettled: Option<String>,
}

/// A day in memory, as of the run's instant: its roll-up serves a later instant, or cannot be made.
pub struct Live {
    pub states: Vec<Vec<(Key, State)>>,
    pub counts: Counts,
}

impl<'a> Work<'a> {
    pub fn new(job: &'a Job<'a>, dir: &'a Path, as_of: Millis, manifest: Manifest) -> Work<'a> {
        let definitions = &job.plan.definitions;
        // Roll-ups hold what users have done.
        let kept = |tag: &usize| {
            definitions.tags[*tag].entity == 0 && matches!(definitions.tags[*tag].kind, Kind::Aggregation(_))
        };
        let tags: Vec<usize> = (0..definitions.tags.len()).filter(kept).collect();
        Work {
            job,
            dir,
            as_of,
            plan: Plan::new(definitions.clone(), &tags),
            imports: Imports::default(),
            rules: rules(job),
            manifest,
            dirty: false,
            committed: Instant::now(),
            meter: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            read: BTreeSet::new(),
            torn: Vec::new(),
            unsettled: None,
        }
    }

    /// The manifest, to be changed.
    pub fn manifest_mut(&mut self) -> &mut Manifest {
        self.dirty = true;
        &mut self.manifest
    }

    /// Makes what was done so far last, if it is time.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        if self.committed.elapsed() < COMMIT_EVERY { Ok(()) } else { self.commit() }
    }

    pub fn commit(&mut self) -> Result<(), Error> {
        if self.dirty {
            self.manifest.commit(self.dir)?;
            self.dirty = false;
        }
        self.committed = Instant::now();
        Ok(())
    }

    /// The counters of the plan that no file of a day has.
    pub fn missing(&self, day: &Day) -> Vec<usize> {
        self.plan.counters.iter().filter(|c| !day.has(c.fingerprint)).map(|c| c.tag).collect()
    }

    /// Whether a base holds the days it was made of as they are now, and every counter of the plan.
    pub fn holds(&self, base: &Base) -> bool {
        base.made_of == self.manifest.made_of(&base.through)
            && self.plan.counters.iter().all(|c| base.file.counters.contains(&c.fingerprint))
    }

    /// The newest base through `last` or earlier that can be used at `at`.
    pub fn base(&self, last: &str, at: Millis) -> Option<&Base> {
        let usable = |base: &&Base| base.through.as_str() <= last && base.cutoff <= at && self.holds(base);
        self.manifest.bases.iter().filter(usable).max_by(|a, b| a.through.cmp(&b.through))
    }

    pub fn fingerprints(&self) -> Vec<u64> {
        self.plan.counters.iter().map(|c| c.fingerprint).collect()
    }
}

/// What decides, besides a line itself, whether it is an event.
fn rules(job: &Job<'_>) -> u64 {
    let mut types = job.rules.event_types.clone().unwrap_or_default();
    types.sort();
    let (closed, reserved) = (job.rules.event_types.is_some().to_string(), job.rules.reserved.to_string());
    digest_of([closed.as_str(), reserved.as_str()].into_iter().chain(types.iter().map(String::as_str)))
}

/// The days of a log with the partitions they stand for.
pub fn days(log: &Log) -> Result<Vec<(String, Log)>, Failure> {
    let days: BTreeSet<Date> = log.files().iter().filter_map(|file| file.day).collect();
    let one = |day: Date| (day.to_string(), log.clone().between(Some(day), day.tomorrow().ok()));
    Ok(days.into_iter().map(one).collect())
}

/// The last instant of a day of receipt, which is one of UTC: up to here its events are in its states.
pub fn cutoff(day: &str) -> Millis {
    let start = day.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    // Names of days come from dates; should one not, nothing is ever usable at its cutoff.
    start.map_or(Millis::MAX, |start| start.timestamp().as_millisecond() + DAY - 1)
}
