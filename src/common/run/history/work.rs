//! One run's hold on a directory of roll-ups: the manifest in memory, and what was read so far.

use super::super::batch::Job;
use super::super::imports::Imports;
use super::Failure;
use super::known::Known;
use crate::engine::plan::{Counter, HIDDEN, Plan};
use crate::log::{Log, Torn};
use crate::rollup::file::Writer;
use crate::rollup::{Base, Day, Error, FileRef, Held, Manifest, digest_of};
use crate::tag::Kind;
use crate::time::{DAY, Millis};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// So often, while many days are rolled up, the work done is made to last.
const COMMIT_EVERY: Duration = Duration::from_secs(2);

pub struct Work<'a> {
    pub job: &'a Job<'a>,
    pub dir: &'a Path,
    /// The instant of the values.
    pub as_of: Millis,
    /// All aggregations of users, then those of each entity that is told: roll-ups serve every choice of their tags.
    pub plans: Vec<Plan>,
    /// What the tags that are told need besides.
    pub imports: Imports,
    pub rules: u64,
    pub manifest: Manifest,
    dirty: bool,
    committed: Instant,
    pub known: Known,
    /// Bytes read: of the roll-ups, and of the log.
    pub meter: AtomicU64,
    pub log_bytes: AtomicU64,
    /// The days that were read from the log.
    pub read: BTreeSet<String>,
    pub torn: Vec<Torn>,
    /// The first day that is over and all the same cannot be rolled up yet.
    pub unsettled: Option<String>,
}

impl<'a> Work<'a> {
    pub fn new(job: &'a Job<'a>, dir: &'a Path, as_of: Millis, manifest: Manifest) -> Work<'a> {
        Work {
            job,
            dir,
            as_of,
            plans: plans(job),
            imports: Imports::default(),
            rules: rules(job),
            manifest,
            dirty: false,
            committed: Instant::now(),
            known: Known::new(job.budget.bytes),
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

    /// What no file of a day has: a plan of users, be it of nothing, and one of each entity that lacks something.
    /// `None`: it lacks nothing.
    pub fn missing(&self, day: &Day) -> Option<Vec<Plan>> {
        let files: Vec<&FileRef> = day.files().collect();
        let mut missing = Vec::new();
        for plan in &self.plans {
            let known = files.iter().any(|file| place(file, plan).is_some());
            let tags = lacking(plan, &files);
            if plan.entity == 0 || !known || !tags.is_empty() {
                let own: Vec<usize> = tags.into_iter().filter(|tag| *tag != HIDDEN).collect();
                // A plan of no tags would be one of users.
                let own = if own.is_empty() && plan.entity > 0 { &plan.outputs } else { &own };
                missing.push(Plan::new(plan.definitions.clone(), own));
            }
        }
        let lacks = missing.len() > 1 || missing.iter().any(|plan| !plan.counters.is_empty());
        lacks.then_some(missing)
    }

    /// Whether a base holds the days it was made of as they are now, and every counter of the plans.
    pub fn holds(&self, base: &Base) -> bool {
        let has = |plan: &Plan| place(&base.file, plan).is_some() && lacking(plan, &[&base.file]).is_empty();
        base.made_of == self.manifest.made_of(&base.through) && self.plans.iter().all(has)
    }

    /// The newest base through `last` or earlier that can be used at `at`.
    pub fn base(&self, last: &str, at: Millis) -> Option<&Base> {
        let usable = |base: &&Base| base.through.as_str() <= last && base.cutoff <= at && self.holds(base);
        self.manifest.bases.iter().filter(usable).max_by(|a, b| a.through.cmp(&b.through))
    }

    /// The plan of the tags that are told of whom the n-th plan is of.
    pub fn told(&self, n: usize) -> &'a Plan {
        n.checked_sub(1).map_or(self.job.plan, |n| &self.job.entities[n])
    }
}

/// Of users all aggregations there are, and so of each entity of which a tag is told.
fn plans(job: &Job<'_>) -> Vec<Plan> {
    let definitions = &job.plan.definitions;
    let of = |entity: usize| {
        let kept = |tag: &usize| {
            definitions.tags[*tag].entity == entity && matches!(definitions.tags[*tag].kind, Kind::Aggregation(_))
        };
        (0..definitions.tags.len()).filter(kept).collect::<Vec<usize>>()
    };
    let users = Plan::new(definitions.clone(), &of(0));
    let entity = |told: &Arc<Plan>| {
        let tags = of(told.entity);
        // Even where nothing is counted its keys are there.
        Plan::new(definitions.clone(), if tags.is_empty() { &told.outputs } else { &tags })
    };
    iter::once(users).chain(job.entities.iter().map(entity)).collect()
}

/// Where a file holds what a plan is of: the place among its parts, and the counters. `None`: nowhere.
pub fn place<'f>(file: &'f FileRef, plan: &Plan) -> Option<(usize, &'f [u64])> {
    if plan.entity == 0 {
        return Some((0, &file.counters));
    }
    let entity = plan.entity().fingerprint();
    let at = file.entities.iter().position(|held| held.entity == entity)?;
    Some((1 + at, &file.entities[at].counters))
}

/// The tags of the counters of a plan that none of the files has.
fn lacking(plan: &Plan, files: &[&FileRef]) -> Vec<usize> {
    let has = |file: &&FileRef, fingerprint| place(file, plan).is_some_and(|(_, held)| held.contains(&fingerprint));
    let lacks = |counter: &&Counter| !files.iter().any(|file| has(file, counter.fingerprint));
    plan.counters.iter().filter(lacks).map(|counter| counter.tag).collect()
}

/// Makes a file with the states of these plans durable, users first.
pub fn finish(writer: Writer, plans: &[Plan]) -> Result<FileRef, Error> {
    let counters = |plan: &Plan| plan.counters.iter().map(|counter| counter.fingerprint).collect();
    let held = |plan: &Plan| Held { entity: plan.entity().fingerprint(), counters: counters(plan) };
    let users = plans.first().map_or(Vec::new(), counters);
    Ok(FileRef { entities: plans.iter().skip(1).map(held).collect(), ..writer.finish(users)? })
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
