//! `adprof batch --through D --store file:DIR`: a base for the live state of a store.

use super::history;
use crate::cmd::stream::{hash_key, of_stream, state_id};
use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::engine::dedup::{HashKey, Horizon};
use adprof::engine::plans::Plans;
use adprof::engine::tail::{Refused, Tail};
use adprof::ledger::Ledger;
use adprof::log::{Lock, Log, partition_of};
use adprof::rollup;
use adprof::rollup::offer::Shelf;
use adprof::run::base::{self, Make};
use adprof::run::batch::{Job, Range};
use adprof::run::feed::Letter;
use adprof::run::keep::{CHECKPOINT, Input, Keep, Setup, bases};
use adprof::run::stream::{Clock, Error, Observer, Report};
use adprof::store::{Kind, Location};
use adprof::time::{Day, day_bounds, show_day, utc_day};
use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

#[derive(clap::Args)]
pub struct BaseArgs {
    /// Give the live state in this store a base: all events received up to the end of the last day, by user and by every
    /// other key that has tags. The stream that owns it takes it within a second; behind Redis, name the directory of its
    /// state
    #[arg(long, value_name = "file:DIR", requires = "through", conflicts_with = "explain_plan")]
    store: Option<String>,
}

/// A store that is to have a base.
pub struct Base {
    dir: PathBuf,
    day: Day,
    last_day: Log,
    shelf: Shelf,
    lock: Lock,
    state_id: String,
    hash_key: HashKey,
}

impl BaseArgs {
    pub fn is_wanted(&self) -> bool {
        self.store.is_some()
    }

    /// Looks whether the store can have a base through this day, before anything is computed.
    pub fn open(&self, through: Option<Date>, paths: &[PathBuf], log: &Log) -> Result<Option<Base>> {
        let (Some(store), Some(through)) = (&self.store, through) else { return Ok(None) };
        let dir = directory(store)?;
        let (start, end) = day_bounds(through, &TimeZone::UTC).map_err(|why| Failure::new(Exit::Usage, why))?;
        if end > given::now() {
            let failure =
                Failure::new(Exit::TryAgain, format!("{through} is not over in UTC: its base would miss events"));
            return Err(failure.hint("give the base of a day that is over").into());
        }
        let last_day = log.clone().between(Some(through), through.tomorrow().ok());
        let is_there = |path: &PathBuf| path.join(partition_of(through)).is_dir();
        if last_day.files().is_empty() && !paths.iter().any(is_there) {
            let message = format!("no partition {}: is the log whole?", partition_of(through));
            let hint = "did nothing come on that day? an empty folder says so: mkdir it";
            return Err(Failure::new(Exit::NoInput, message).hint(hint).into());
        }
        let ledger = bases::begin(&dir, state_id(), hash_key(), given::now()).map_err(given::of_store)?;
        let shelf = Shelf::of(&dir);
        let lock = shelf.lock().map_err(|e| history::failed(e.into(), None))?;
        let day = utc_day(start);
        check(&dir, &shelf, &ledger, day)?;
        let (state_id, hash_key) = (ledger.progress.state_id, ledger.progress.hash_key);
        Ok(Some(Base { dir, day, last_day, shelf, lock, state_id, hash_key }))
    }
}

fn directory(store: &str) -> Result<PathBuf> {
    let redis = || {
        let failure = Failure::new(Exit::Usage, "--store: a base is for a live state, which lies in a directory");
        failure.hint("behind Redis it is that of `stream --state`: --store file:adprof-state").into()
    };
    match store {
        "redis" => Err(redis()),
        text => match Location::parse(text).map_err(given::of_store)? {
            Location::Embedded(dir) => Ok(dir),
            Location::Redis(_) => Err(redis()),
        },
    }
}

/// A base never takes the place of a newer one, nor of half of what was merged.
fn check(dir: &Path, shelf: &Shelf, ledger: &Ledger, day: Day) -> Result<()> {
    if ledger.is_part() {
        let message = format!("{}: a base has all users, the state those of some partitions only", dir.display());
        let hint = "a base is for a stream of all partitions: without -p";
        return Err(Failure::new(Exit::Usage, message).hint(hint).into());
    }
    let offered = shelf.load().ok().flatten().filter(|offer| offer.state_id == ledger.progress.state_id);
    let newer = offered.filter(|offer| offer.through > day).map(|offer| Refused::Older { installed: offer.through });
    let tail = if ledger.has_no_days() { Tail::of_old(utc_day(given::now())) } else { ledger.progress.tail };
    let refused = match (tail.accepts(day), newer) {
        (Err(refused), _) | (Ok(()), Some(refused)) => refused,
        (Ok(()), None) => return Ok(()),
    };
    let message = format!("{}: no base through {}: {refused}", dir.display(), show_day(day));
    let hint = match refused {
        Refused::Older { .. } => "an older base never takes the place of a newer one: nothing is to be done",
        Refused::Cuts { .. } => "give the base of that day or a later one, once it is over",
    };
    Err(Failure::new(Exit::Usage, message).hint(hint).into())
}

impl Base {
    /// Makes the base, and installs it unless a stream does.
    pub fn make(&self, job: &Job<'_>, rollups: Option<&Path>) -> Result<()> {
        let (silent, progress) = (|_: adprof::run::batch::Refused<'_>| (), AtomicU64::new(0));
        let warn = |e: &rollup::Error| report::warn(format_args!("{e}: made anew"));
        let of = |log| Job {
            plan: job.plan,
            log,
            range: Range::default(),
            rules: job.rules,
            received: job.received,
            threads: job.threads,
            budget: job.budget.clone(),
            hash_key: self.hash_key,
            imports: &[],
            entities: &[],
            refused: &silent,
            progress: &progress,
            only: None,
        };
        // The rows have all that a base needs, which is more than the tags that are told.
        let definitions = job.plan.definitions.clone();
        let plans = base::plans(&definitions);
        if let (Some(plan), Some(_)) = (plans.iter().find(|plan| plan.entity().is_declared()), rollups) {
            let name = &plan.entity().name;
            report::say(format_args!("the base is made from the log: it has the keys of `{name}` too"));
        }
        let (whole, last_day) = (of(job.log), of(&self.last_day));
        let make = Make {
            job: &whole,
            last_day: &last_day,
            rollups,
            shelf: &self.shelf,
            lock: &self.lock,
            state_id: self.state_id.clone(),
            through: self.day,
            salt: hash_key()[0],
            warn: &warn,
        };
        let offer = base::make(&make).map_err(|failure| match failure {
            base::Failure::Batch(e) => super::failed(e, &job.budget.spill),
            base::Failure::History(e) => history::failed(e, rollups),
        })?;
        let others =
            offer.entities.iter().map(|keyed| format!(", {} keys of {}", given::grouped(keyed.keys), keyed.entity));
        report::say(format_args!(
            "base through {}: {} events of {} profiles{}",
            show_day(self.day),
            given::grouped(offer.counts.absorbed),
            given::grouped(offer.keys),
            others.collect::<String>()
        ));
        self.install(plans)
    }

    /// `made`: what the base was made of.
    fn install(&self, made: Plans) -> Result<()> {
        let ledger = bases::begin(&self.dir, state_id(), hash_key(), given::now()).map_err(given::of_store)?;
        let plans = match ledger.definitions().map_err(given::of_store)? {
            // What the stream counts, which need not be what the file has by now.
            Some(kept) if !ledger.progress.only_base => {
                let kept = Arc::new(kept);
                let held = ledger.held(&kept);
                Plans::new(&kept, &held)
            }
            _ => made,
        };
        let setup = Setup {
            memory: usize::MAX,
            plans,
            clock: Clock::Event,
            now: given::now,
            horizon: Horizon::within(512 << 20),
            state_id: state_id(),
            hash_key: hash_key(),
            input: Input::BaseOnly,
            forgotten: Arc::default(),
            audiences: false,
            derived: None,
            every: CHECKPOINT,
        };
        let keep = match Keep::open(&self.dir, setup, &mut Words) {
            Err(Error::Store(e)) if e.kind == Kind::Busy => {
                report::say("the stream that owns the store installs it");
                return Ok(());
            }
            keep => keep.map_err(of_stream)?,
        };
        let installed = keep.base();
        keep.close(&mut Words).map_err(of_stream)?;
        if installed == Some(self.day) {
            return Ok(());
        }
        let message = format!("{}: the base through {} was not installed", self.dir.display(), show_day(self.day));
        Err(Failure::new(Exit::Usage, message).into())
    }
}

/// What is said while a base is installed without a stream.
struct Words;

impl Observer for Words {
    fn refused(&mut self, _: &Letter) -> io::Result<()> {
        Ok(())
    }

    fn keep_letters(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn say(&mut self, words: &str) {
        report::warn(words);
    }

    fn note(&mut self, words: &str) {
        report::say(words);
    }

    fn progress(&mut self, _: &Report) {}
}
