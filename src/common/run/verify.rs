//! Verify: the profiles of a store recomputed from the log and compared, each difference with its cause.
//!
//! The nightly engine tells every value once (`batch::several`), in one reading of the log. Keys that differ are looked at one by
//! one (`judge`), with all their events and with what the state remembers of them: a store that is merely behind for a
//! moment is no difference.

mod asked;
mod compare;
mod evidence;
mod judge;
mod members;
mod rows;
mod sample;
mod sides;
mod walk;

use super::batch::several::Ask;
use super::batch::{self, Budget, Refused};
use crate::engine::fold::Range;
use crate::engine::plan::Plan;
use crate::event::Rules;
use crate::key::Key;
use crate::log::{self, Log};
use crate::profiles::AsOf;
use crate::store::redis::Redis;
use crate::store::{self, Embedded};
use crate::tag::{Definitions, Update};
use crate::time::Millis;
use crate::value::Value;
use compare::Compare;
use judge::Judge;
use sample::Sample;
use sides::{Side, State};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

/// Why a store says something else than the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Events were not read yet.
    Late,
    /// Events that the state has gone past are missing.
    Lost,
    /// Events are counted twice.
    Doubled,
    /// It was right; since then time alone has changed the value.
    Stale,
    /// The tag is kept under another definition.
    OtherDefinition,
    /// The store has nothing of a key that the log has.
    Missing,
    /// The log has nothing of a key that the store has.
    Extra,
    /// None of these.
    Wrong,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Cause::Late => "late",
            Cause::Lost => "lost",
            Cause::Doubled => "doubled",
            Cause::Stale => "stale",
            Cause::OtherDefinition => "other definition",
            Cause::Missing => "missing",
            Cause::Extra => "extra",
            Cause::Wrong => "wrong",
        }
    }
}

/// A value in which store and log differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// None: of all keys.
    pub key: Option<Key>,
    /// None: the whole profile, or whether a user is in an audience.
    pub tag: Option<usize>,
    /// The audience.
    pub segment: Option<Arc<str>>,
    pub cause: Cause,
    /// The instant at which they differ.
    pub as_of: Millis,
    pub store: Option<Value>,
    pub log: Option<Value>,
    /// What the cause rests on.
    pub why: String,
}

/// What was compared and found.
#[derive(Debug, Default)]
pub struct Report {
    pub keys: u64,
    pub values: u64,
    /// Audiences whose members were compared.
    pub audiences: usize,
    pub causes: BTreeMap<Cause, u64>,
    /// Keys with events on their way, which are no differences.
    pub in_flight: u64,
    /// Keys that differ and were not looked into, since there were too many.
    pub unexamined: u64,
    /// Tags that were left out, and why.
    pub left_out: Vec<(usize, &'static str)>,
    pub log: batch::Summary,
}

impl Report {
    pub fn differences(&self) -> u64 {
        self.causes.values().sum()
    }
}

/// Where the profiles are.
pub enum Store<'a> {
    Embedded(&'a Embedded),
    /// And the state of the stream that publishes there.
    Redis(Box<Redis>, Option<&'a Embedded>),
}

/// What to compare.
pub struct Job<'a> {
    pub definitions: &'a Arc<Definitions>,
    /// The log as it stands now; asked again for a second look.
    pub log: &'a dyn Fn() -> Result<Log, log::Error>,
    pub as_of: AsOf,
    /// The instant of values of which Redis does not say it; none: the newest event of the log.
    pub daily: Option<Millis>,
    pub entity: Option<usize>,
    pub tags: Option<Vec<usize>>,
    pub sample: Option<usize>,
    pub seed: u64,
    /// A store may be so far behind.
    pub grace: Millis,
    /// So many keys that differ are looked into.
    pub limit: usize,
    pub rules: &'a Rules,
    pub threads: usize,
    pub budget: Budget,
    pub hash_key: crate::engine::dedup::HashKey,
    pub now: fn() -> Millis,
    pub refused: &'a (dyn Fn(Refused<'_>) + Sync),
    pub progress: &'a AtomicU64,
    /// Waits this many milliseconds before another look.
    pub wait: fn(u64),
}

/// Why a comparison could not be made.
#[derive(Debug)]
pub enum Failure {
    Batch(batch::Failure),
    Store(store::Error),
}

impl From<batch::Failure> for Failure {
    fn from(e: batch::Failure) -> Failure {
        Failure::Batch(e)
    }
}

impl From<store::Error> for Failure {
    fn from(e: store::Error) -> Failure {
        Failure::Store(e)
    }
}

impl From<log::Error> for Failure {
    fn from(e: log::Error) -> Failure {
        Failure::Batch(batch::Failure::Log(e))
    }
}

/// Compares, and tells every difference to `each`, in no order.
pub fn run(job: &Job<'_>, store: Store<'_>, mut each: impl FnMut(Difference)) -> Result<Report, Failure> {
    // The store first: whatever it has read is in the log by the time that is opened.
    let (mut side, embedded) = match store {
        Store::Embedded(store) => (Side::Embedded(State::open(store.snapshot()?, job.definitions)?), None),
        Store::Redis(redis, None) => (Side::Redis(redis, None), None),
        Store::Redis(redis, Some(store)) => {
            let state = State::open(store.snapshot()?, job.definitions)?;
            (Side::Redis(redis, Some(state)), Some(store))
        }
    };
    let at = job.instant(&side)?;
    let log = (job.log)()?;
    let mut report = Report::default();
    let mut sample = Sample::new(job.sample, job.seed);
    let entities: Vec<usize> = match job.entity {
        Some(entity) => vec![entity],
        None => (0..job.definitions.entities.len()).collect(),
    };
    let look = side.look(job.definitions, &entities, &mut sample)?;
    let daily = match (&side, job.daily) {
        (Side::Redis(..), None) if look.has(job.definitions, Update::Daily) => newest(job, &log)?.unwrap_or(at),
        (_, daily) => daily.unwrap_or(at),
    };
    let told = job.told(&side, &look, &entities, at, daily, &mut report);
    for difference in job.other_definitions(side.state().and_then(|s| s.ledger.as_ref()), &told, &entities, at) {
        report.tell(difference, &mut each);
    }
    if let (Some(state), None, None | Some(0)) = (side.state(), &job.tags, job.entity) {
        let (asked, report) = (|key: &Key| sample.is_whole() || sample.holds(key), &mut report);
        report.audiences = members::compare(job, state, &asked, &mut |one| report.tell(one, &mut each))?;
    }
    let groups = job.groups(&told, &look, &entities, at);
    let sampled = sample;
    let suspects = {
        let asks: Vec<Ask> = groups.iter().flat_map(|group| group.asks()).collect();
        let others: Vec<Arc<Plan>> = others(&asks);
        let nothing = Plan::new(job.definitions.clone(), &[]);
        let only = |user: &[u8]| sampled.holds_user(user);
        let part = !sampled.is_whole() && others.is_empty();
        let reading = batch::Job {
            plan: &nothing,
            entities: &others,
            log: &log,
            range: Range::default(),
            imports: &[],
            rules: job.rules,
            received: (job.now)(),
            threads: job.threads,
            budget: job.budget.clone(),
            hash_key: job.hash_key,
            refused: job.refused,
            progress: job.progress,
            only: part.then_some(&only),
        };
        let compare = Compare {
            side: Mutex::new(&mut side),
            told: &told,
            look: &look,
            groups: &groups,
            entities: &entities,
            sample: &sampled,
            at,
        };
        let mut suspects = Vec::new();
        report.log = batch::several::run(
            &reading,
            &asks,
            |answers| compare.part(answers),
            |found: compare::Compared| {
                report.keys += found.keys;
                report.values += found.values;
                let room = job.limit.saturating_sub(suspects.len());
                report.unexamined += found.suspects.len().saturating_sub(room) as u64;
                suspects.extend(found.suspects.into_iter().take(room));
                Ok::<_, Failure>(())
            },
        )?;
        suspects
    };
    Judge { job, told: &told, embedded, at }.all(&mut side, suspects, &mut report, &mut each)?;
    Ok(report)
}

impl Report {
    fn tell(&mut self, difference: Difference, each: &mut impl FnMut(Difference)) {
        *self.causes.entry(difference.cause).or_default() += 1;
        each(difference);
    }
}

/// The newest event of the log, by its time.
fn newest(job: &Job<'_>, log: &Log) -> Result<Option<Millis>, Failure> {
    let nothing = Plan::new(job.definitions.clone(), &[]);
    let quiet = |_: Refused<'_>| ();
    let reading = batch::Job {
        plan: &nothing,
        entities: &[],
        log,
        range: Range::default(),
        imports: &[],
        rules: job.rules,
        received: (job.now)(),
        threads: job.threads,
        budget: job.budget.clone(),
        hash_key: job.hash_key,
        refused: &quiet,
        progress: &AtomicU64::new(0),
        // The time of every event is looked at, and none is kept.
        only: Some(&|_| false),
    };
    Ok(batch::run(&reading, &mut std::io::sink())?.as_of)
}

/// Each entity besides users that is asked about, once.
fn others(asks: &[Ask]) -> Vec<Arc<Plan>> {
    let mut others: Vec<Arc<Plan>> = Vec::new();
    for ask in asks.iter().filter(|ask| ask.plan.entity != 0) {
        if others.iter().all(|other| other.entity != ask.plan.entity) {
            others.push(ask.plan.clone());
        }
    }
    others
}

impl Job<'_> {
    fn instant(&self, side: &Side<'_>) -> Result<Millis, Failure> {
        let AsOf::At(at) = self.as_of else { return Ok((self.now)()) };
        if let (Side::Embedded(_), Some(ledger)) = (side, side.state().and_then(|state| state.ledger.as_ref())) {
            let reached = ledger.progress.newest.max(ledger.progress.now);
            if at < reached {
                let message = format!(
                    "the state has gone on to {} and cannot go back to {}",
                    crate::time::show(reached),
                    crate::time::show(at)
                );
                return Err(store::Error::new(store::Kind::Usage, message).hint("leave out --as-of").into());
            }
        }
        Ok(at)
    }
}
