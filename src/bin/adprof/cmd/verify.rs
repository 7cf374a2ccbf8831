//! `adprof verify`: the profiles of a store recomputed from the log and compared, each difference with its cause.

mod index;
mod tell;

use crate::ask::Of;
use crate::ask::of_entity;
use crate::cmd::batch::{MemoryArgs, failed};
use crate::given::{self, DefinitionArgs, StoreArgs};
use crate::letters::Letters;
use crate::report::{self, Exit, Failure};
use crate::whole_log;
use adprof::event::Rules;
use adprof::ledger::Ledger;
use adprof::log::{Error, Log};
use adprof::ndjson::shown;
use adprof::parallel::cores;
use adprof::profiles::AsOf;
use adprof::run::verify::{self, Difference, Job, Report, Store};
use adprof::store::redis::{Patience, Redis};
use adprof::store::{Embedded, Location};
use adprof::tag::{Definitions, Update};
use adprof::time::Millis;
use anyhow::Result;
use jiff::tz::TimeZone;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Recompute the profiles of a store from the log, and say in what they differ and why
///
/// Every tag that the store tells is computed from the log by the nightly engine and compared. A difference is told with
/// its cause: late, lost, doubled, stale, other definition, missing, extra, or wrong. Beside a stream that runs,
/// events on their way are no differences. An index of the store is compared with it. Exit code 1 when there are differences.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof verify                                                  the log and the store of this folder
  adprof verify --log events/ --store file:adprof-store --sample 10000
  adprof verify --log events/ --store redis --state adprof-state      a Redis that a stream publishes to
  adprof verify --log events/ --store redis --as-of 2026-11-19T23:59:59.999Z      one that a night has filled
  adprof verify --log events/ | jq -c 'select(.cause == \"lost\")'")]
pub struct Args {
    /// The log: a file (plain, .gz, .zst) or a directory of date partitions; may be given several times
    #[arg(long, value_name = "PATH", default_value = "ad-events.log")]
    log: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// The state of the stream that publishes into Redis: by it is known what Redis cannot have yet
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// Keys of this entity only [default: of all]
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
    /// These tags only; of a tag that is named, keys without it count [default: all that the store tells]
    #[arg(long, value_name = "CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// Compare so many keys, chosen by their hash
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Another sample for another number
    #[arg(long, value_name = "N", default_value_t = 0, requires = "sample")]
    seed: u64,
    /// A store may be so far behind the log before that counts; 0 for not at all
    #[arg(long, value_name = "SPAN", value_parser = grace, default_value = "1m")]
    grace: Millis,
    /// The instant at which live values are compared [default: now]
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
    /// The instant of daily values in Redis, which does not keep it [default: --as-of, else the newest event of the log]
    #[arg(long, value_name = "T")]
    daily_as_of: Option<String>,
    /// Look into so many keys that differ; of more only their number is told
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    examine: u64,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    #[command(flatten)]
    memory: MemoryArgs,
    /// How to show differences [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Ndjson,
}

pub fn run(args: Args) -> Result<()> {
    if args.log.iter().any(|path| path.as_os_str() == "-") {
        let failure = Failure::new(Exit::Usage, "a log is read twice where something differs, which a pipe cannot be");
        return Err(failure.hint("name a file or a directory: --log PATH").into());
    }
    let found = args.definitions.find()?;
    let location = match args.store.store.as_deref() {
        Some("redis") => args.store.redis.locate("redis")?,
        _ => args.store.choose(found.as_ref())?,
    };
    let as_of = args.as_of.as_deref().filter(|text| *text != "now");
    let as_of = as_of.map(|text| given::instant(text, &TimeZone::UTC)).transpose()?;
    let daily = args.daily_as_of.as_deref().map(|text| given::instant(text, &TimeZone::UTC)).transpose()?;
    let state = match (&location, &args.state) {
        (Location::Embedded(dir), None) => Some(Embedded::open_existing(dir).map_err(given::of_store)?),
        (Location::Embedded(_), Some(_)) => {
            let failure =
                Failure::new(Exit::Usage, "--state names the state behind Redis; an embedded store is its own");
            return Err(failure.hint("leave it out").into());
        }
        (Location::Redis(_), dir) => {
            let open = |dir: &PathBuf| Embedded::open_existing(dir).map_err(given::of_store);
            dir.as_ref().map(open).transpose()?
        }
    };
    let definitions = Arc::new(definitions(found, state.as_ref())?);
    let entity = args.entity(&definitions)?;
    let tags = match &args.tags[..] {
        [] => None,
        codes => Some(given::tags(&definitions, codes, Update::Realtime)?),
    };
    if let (Some(tags), Some(of)) = (&tags, &entity) {
        of_entity(tags, &definitions, of)?;
    }
    let store = match (&location, state.as_ref()) {
        (Location::Embedded(_), state) => Store::Embedded(state.expect("it was just opened")),
        (Location::Redis(url), state) => {
            let redis = Redis::connect(url, Patience::default()).map_err(given::of_store)?;
            Store::Redis(Box::new(redis.with_names(definitions.prefixes())), state)
        }
    };
    let log = whole_log::open(&args.log)?;
    let letters = Letters::new(None);
    let progress = AtomicU64::new(0);
    let rules = Rules { event_types: definitions.event_types.clone(), reserved: true };
    let bar = report::progress(whole_log::plain_size(&log), "verify");
    let watching = report::watch(&bar, &progress);
    let job = Job {
        definitions: &definitions,
        log: &|| again(&args.log),
        as_of: as_of.map_or_else(|| AsOf::Now(given::now()), AsOf::At),
        daily: daily.or(as_of),
        entity: entity.map(|of| of.place),
        tags,
        sample: args.sample.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
        seed: args.seed,
        grace: args.grace,
        limit: usize::try_from(args.examine).unwrap_or(usize::MAX),
        rules: &rules,
        threads: args.threads.map_or_else(cores, usize::from),
        budget: args.memory.budget(),
        hash_key: [RandomState::new().hash_one(0), RandomState::new().hash_one(1)],
        now: given::now,
        refused: &|refused| letters.take(refused),
        progress: &progress,
        wait: |ms| std::thread::sleep(Duration::from_millis(ms)),
    };
    let usual = if io::stdout().is_terminal() { Format::Table } else { Format::Ndjson };
    let mut teller = tell::Teller::new(&definitions, args.format.unwrap_or(usual) == Format::Table);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| watching.run());
        let report = verify::run(&job, store, |difference: Difference| teller.take(difference));
        watching.stop();
        report
    });
    bar.finish_and_clear();
    let report = report.map_err(|failure| match failure {
        verify::Failure::Store(e) => given::of_store(e).into(),
        verify::Failure::Batch(e) => failed(e, &job.budget.spill),
    })?;
    teller.finish()?;
    letters.finish()?;
    let told = close(&report, &definitions);
    if args.sample.is_some() || !args.tags.is_empty() {
        return told;
    }
    let indexed = index::check(&location, &definitions, job.entity);
    if let (Err(_), Err(second)) = (&told, &indexed) {
        report::warn(report::plain(&second.to_string()));
    }
    told.and(indexed)
}

fn grace(text: &str) -> std::result::Result<Millis, String> {
    if matches!(text, "0" | "0s") { Ok(0) } else { given::span(text) }
}

/// The definitions that are named, else those that the state was made with.
pub(super) fn definitions(found: Option<Definitions>, state: Option<&Embedded>) -> Result<Definitions> {
    if let Some(found) = found {
        return Ok(found);
    }
    let kept = || {
        let Some(state) = state else { return Ok(None) };
        let ledger = Ledger::read(&state.snapshot()?)?;
        ledger.map_or(Ok(None), |ledger| ledger.definitions())
    };
    Ok(kept().map_err(given::of_store)?.unwrap_or_else(Definitions::built_in))
}

fn again(paths: &[PathBuf]) -> Result<Log, Error> {
    let mut logs = paths.iter().map(|path| Log::open(path));
    let first = logs.next().expect("a log is asked for by its paths")?;
    logs.try_fold(first, |all, log| Ok(all.and(log?)))
}

impl Args {
    fn entity(&self, definitions: &Definitions) -> Result<Option<Of>> {
        let Some(name) = self.entity.as_deref() else { return Ok(None) };
        let Some(place) = definitions.entity(name) else {
            let names: Vec<&str> = definitions.entities.iter().map(|entity| &*entity.name).collect();
            let failure = Failure::new(Exit::Usage, format!("--entity: unknown entity: {}", shown(name)));
            return Err(failure.hint(format!("there are {}", names.join(", "))).into());
        };
        let entity = &definitions.entities[place];
        Ok(Some(Of { place, name: entity.name.to_string(), width: entity.width() }))
    }
}

/// Says what was compared; an error when something differs.
fn close(report: &Report, definitions: &Definitions) -> Result<()> {
    for (tag, why) in &report.left_out {
        report::detail(format_args!("not compared: {}: {why}", definitions.tags[*tag].code));
    }
    let refused = report.log.refused_total();
    given::check_errors(None, refused, report.log.lines)?;
    let mut words = format!("{} keys, {} values compared", given::grouped(report.keys), given::grouped(report.values));
    if report.audiences > 0 {
        words.push_str(&format!(", members of {} segments", given::grouped(report.audiences as u64)));
    }
    if !report.left_out.is_empty() {
        let codes: Vec<&str> = report.left_out.iter().map(|(tag, _)| &*definitions.tags[*tag].code).collect();
        words.push_str(&format!(", without {}", codes.join(", ")));
    }
    if report.in_flight > 0 {
        words.push_str(&format!("; of {} keys events are on their way", given::grouped(report.in_flight)));
    }
    if report.differences() == 0 && report.unexamined == 0 {
        report::say(format_args!("{words}: no difference"));
        return Ok(());
    }
    let causes: Vec<String> =
        report.causes.iter().map(|(cause, n)| format!("{} {}", given::grouped(*n), cause.name())).collect();
    words.push_str(&format!(": {} differences", given::grouped(report.differences())));
    if !causes.is_empty() {
        words.push_str(&format!(": {}", causes.join(", ")));
    }
    if report.unexamined > 0 {
        words.push_str(&format!(
            "; {} keys more that seem to differ were not looked into",
            given::grouped(report.unexamined)
        ));
    }
    Err(Failure::new(Exit::Differs, words).into())
}
