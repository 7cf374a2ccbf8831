//! `adprof batch`: the nightly path, from the log to one patch a key.

mod base;
pub mod history;
mod manifest;
mod memory;

use crate::given::{self, DefinitionArgs, MaxErrors};
use crate::letters::Letters;
use crate::report::{self, Exit, Failure};
use crate::whole::into_file;
use crate::whole_log;
use adprof::engine::plan::Plan;
use adprof::engine::plans::Plans;
use adprof::event::Rules;
use adprof::parallel::cores;
use adprof::run::batch::{self, Job, Range, Summary};
use adprof::run::imports;
use adprof::tag::Update;
use adprof::time::{self, day_bounds};
use anyhow::Result;
use jiff::civil::Date;
pub use memory::MemoryArgs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// Compute tags from the log: one patch a user, item, or whatever tags are of
///
/// Reads the whole log on all cores, drops duplicates exactly, and writes the values of the tags
/// with `update = "daily"` (or those of --tags) as patches. The same log and the same instant give
/// the same bytes, however the log is ordered, cut into files, or repeated. Patches of users come
/// first, then those of other entities, one after the other.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof batch | adprof sink redis                     last night's values into Redis
  adprof batch --log events/ --date 2026-11-19 --tz Europe/Berlin
  adprof batch --date 2026-11-19 -o patches.ndjson --manifest
  adprof batch --tags all --as-of 2026-11-01 | head    what every tag was on the first of November
  adprof batch --log events/ --through 2026-11-19 --rollups rollups/      reads what is new since the last time
  adprof batch --log events/ --through 2026-11-19 --store file:adprof-store    and a base for the live state there
  zcat old.gz | adprof batch --log - --tags ltv_total")]
pub struct Args {
    /// The log: a file (plain, .gz, .zst), a directory of date partitions, or - ; may be given several times
    #[arg(long, value_name = "PATH", default_value = "ad-events.log")]
    log: Vec<PathBuf>,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The tags to compute: all, or codes [default: those with update = "daily"]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// Values of tags with `update = "import"` that the tags are made of, of users and other keys: a file of patches, .gz and
    /// .zst too; may be given several times. Of one tag the newest value counts that is no younger than the run's instant
    #[arg(long, value_name = "FILE")]
    imports: Vec<PathBuf>,
    /// The instant of the values: events up to it count
    #[arg(long, value_name = "T", conflicts_with_all = ["date", "until"])]
    as_of: Option<String>,
    /// The values at the end of this day
    #[arg(long, value_name = "D", conflicts_with_all = ["since", "until"])]
    date: Option<Date>,
    /// Leave out events before this instant
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Leave out events from this instant on; the values are those right before it
    #[arg(long, value_name = "T")]
    until: Option<String>,
    #[command(flatten)]
    history: history::HistoryArgs,
    #[command(flatten)]
    base: base::BaseArgs,
    /// The time zone of days and dates
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Write to this file, which appears whole or not at all, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    manifest: manifest::ManifestArgs,
    /// Write refused lines here
    #[arg(long, value_name = "FILE")]
    dead: Option<PathBuf>,
    /// Fail (65) beyond so many refused lines [default: only when every line was bad]
    #[arg(long, value_name = "N|P%", value_parser = MaxErrors::parse)]
    max_errors: Option<MaxErrors>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    #[command(flatten)]
    memory: memory::MemoryArgs,
}

pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let definitions = Arc::new(args.definitions.load()?);
    let tags = given::tags(&definitions, &args.tags, Update::Daily)?;
    // A definition file may have nothing for the night but a base.
    if tags.is_empty() && !args.base.is_wanted() {
        let failure =
            Failure::new(Exit::Definitions, format!("{} has no tag with update = \"daily\"", definitions.source));
        return Err(failure.hint("name the tags: --tags all, or --tags CODE").into());
    }
    let range = args.range()?;
    let log = args.history.cut(&args.log, whole_log::open(&args.log)?)?;
    let (users, others): (Vec<usize>, Vec<usize>) = tags.iter().partition(|tag| definitions.tags[**tag].entity == 0);
    let plan = Plan::new(definitions.clone(), &users);
    let entities = if others.is_empty() { Vec::new() } else { Plans::new(&definitions, &others).to_vec() };
    [&plan].into_iter().chain(entities.iter().map(|plan| &**plan)).try_for_each(|plan| args.check_imports(plan))?;
    let rules = Rules { event_types: definitions.event_types.clone(), reserved: true };
    let letters = Letters::new(args.dead.as_deref());
    let progress = AtomicU64::new(0);
    let job = Job {
        plan: &plan,
        entities: &entities,
        log: &log,
        range,
        imports: &args.imports,
        rules: &rules,
        received: given::now(),
        threads: args.threads.map_or_else(cores, usize::from),
        budget: args.memory.budget(),
        hash_key: [RandomState::new().hash_one(0), RandomState::new().hash_one(1)],
        refused: &|refused| letters.take(refused),
        progress: &progress,
        only: None,
    };
    let close = |summary: Summary| {
        letters.finish()?;
        // Of days that were not read no rate can be told.
        tell(&summary, started, args.history.rollups.is_none());
        let checked = given::check_errors(args.max_errors, summary.refused_total(), summary.lines);
        if args.dead.is_some() { checked } else { checked.map_err(advise) }
    };
    if args.history.explain_plan {
        return args.history.explain(&job);
    }
    let base = args.base.open(args.history.through, &args.log, &log)?;
    if let (Some(base), true) = (&base, tags.is_empty()) {
        return base.make(&job, args.history.rollups.as_deref());
    }
    let fold = |job: &Job<'_>, out: &mut dyn Write| match args.history.rollups.as_deref() {
        None => fold(job, out),
        Some(dir) => history::fold(job, dir, out),
    };
    let outcome = match args.output.as_deref().filter(|path| path.as_os_str() != "-") {
        None => fold(&job, &mut io::stdout().lock()).and_then(close),
        Some(path) => match args.manifest.place(path)? {
            // Too much bad input leaves the old file as well.
            None => into_file(path, |file| fold(&job, file).and_then(close)),
            Some(place) => {
                let about =
                    manifest::About { date: args.date, tz: &args.tz, through: args.history.through, tags: &tags };
                manifest::with(&job, path, &place, &about, |out| fold(&job, out), close)
            }
        },
    };
    // Also when nobody wanted the patches any longer: what was refused is known by then.
    letters.finish().and(outcome)?;
    base.map_or(Ok(()), |base| base.make(&job, args.history.rollups.as_deref()))
}

/// The usual hint points at dead letters, of which there are none here.
fn advise(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(failure) => failure.hint("--dead FILE keeps each refused line with its code and its reason").into(),
        Err(error) => error,
    }
}

/// The error of a file of imports.
pub fn of_imports(error: imports::Error) -> anyhow::Error {
    match error {
        imports::Error::Io(path, e) => report::io(&path, &e).into(),
        imports::Error::Bad { place, why } => Failure::new(Exit::BadInput, report::plain(&format!("{place}: {why}")))
            .hint("an import is read whole or not at all; mend the line, or take it out")
            .into(),
    }
}

impl Args {
    /// Refuses to tell a tag from imports that nobody named: it would be told as if there were none.
    fn check_imports(&self, plan: &Plan) -> Result<()> {
        let (true, Some(given)) = (self.imports.is_empty(), plan.given.first()) else {
            // Looked for at once, and not after a long log.
            let mut named = self.imports.iter().filter(|path| path.as_os_str() != "-");
            return named
                .try_for_each(|path| Ok(std::fs::metadata(path).map(|_| ()).map_err(|e| report::io(path, &e))?));
        };
        let code = |tag: usize| &plan.definitions.tags[tag].code;
        let named = plan.derivations.iter().find(|d| d.inputs.contains(given));
        let message = match named {
            Some(d) => {
                format!("`{}` names `{}`, which is imported: the log has no values of it", code(d.tag), code(*given))
            }
            None => format!("`{}` is imported: the log has no values of it", code(*given)),
        };
        let hint = "name the patches that bring them: --imports FILE; or leave the tag out with --tags";
        Err(Failure::new(Exit::Usage, message).hint(hint).into())
    }

    fn range(&self) -> Result<Range> {
        let wrong = |why: String| Failure::new(Exit::Usage, why);
        let zone = given::zone(&self.tz)?;
        let instant = |text: &Option<String>| text.as_ref().map(|t| given::instant(t, &zone)).transpose();
        let (since, until) = (instant(&self.since)?, instant(&self.until)?);
        let as_of = match self.date {
            // The last instant of the day: the next one belongs to tomorrow.
            Some(day) => Some(day_bounds(day, &zone).map_err(wrong)?.1 - 1),
            None => match instant(&self.as_of)?.or(until.map(|t| t - 1)) {
                None => self.history.as_of(&zone).transpose().map_err(wrong)?,
                given => given,
            },
        };
        if let (Some(since), Some(as_of)) = (since, as_of)
            && since > as_of
        {
            return Err(wrong(format!("nothing lies between {} and {}", time::show(since), time::show(as_of))).into());
        }
        Ok(Range { since, as_of })
    }
}

fn fold(job: &Job<'_>, mut out: &mut dyn Write) -> Result<Summary> {
    let bar = report::progress(whole_log::plain_size(job.log), "batch");
    let watching = report::watch(&bar, job.progress);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| watching.run());
        let done = batch::run(job, &mut out);
        watching.stop();
        done
    });
    bar.finish_and_clear();
    done.map_err(|failure| failed(failure, &job.budget.spill))
}

/// `spill`: where rows go that do not fit into memory.
pub fn failed(failure: batch::Failure, spill: &Path) -> anyhow::Error {
    match failure {
        batch::Failure::Log(e) => given::of_log(e).into(),
        batch::Failure::Imports(e) => of_imports(e),
        batch::Failure::Spill(e) => {
            let place = spill.display();
            let failure =
                Failure::new(Exit::Io, format!("{place}: rows that do not fit into memory cannot lie there: {e}"));
            failure.hint("name a place with room (--temp-dir DIR), or give more memory (--memory SIZE)").into()
        }
        batch::Failure::Output(e) => anyhow::Error::new(e).context("cannot write the patches"),
    }
}

fn tell(summary: &Summary, started: Instant, rated: bool) {
    let seconds = started.elapsed().as_secs_f64();
    for torn in &summary.torn {
        report::warn(format_args!(
            "{}: the last {} bytes, from {} on, end no line and are no event: not counted",
            torn.path.display(),
            torn.len,
            torn.offset
        ));
    }
    let mut words = format!("{} events", given::grouped(summary.events.absorbed));
    for (n, what) in [
        (summary.events.duplicates, "duplicates"),
        (summary.events.outside, "outside the range"),
        (summary.forgotten, "forgotten"),
        (summary.refused_total(), "refused"),
    ] {
        if n > 0 {
            words.push_str(&format!(", {} {what}", given::grouped(n)));
        }
    }
    for (code, n) in &summary.refused {
        words.push_str(&format!(", {code} {n}"));
    }
    if summary.spilled > 0 {
        words.push_str(&format!("; {} MiB of rows by way of a file", (summary.spilled >> 20).max(1)));
    }
    let as_of = summary.as_of.map(|t| format!(" as of {}", time::show(t))).unwrap_or_default();
    let rate = if rated { format!(", {} events/s", given::rate(summary.lines, seconds)) } else { String::new() };
    let told = profiles(summary);
    report::say(format_args!("{words}; {told}{as_of} in {seconds:.2} s{rate}"));
}

/// `12 profiles`, `12 profiles, 7 keys of item`.
fn profiles(summary: &Summary) -> String {
    let users =
        (summary.keys > 0 || summary.entities.is_empty()).then(|| format!("{} profiles", given::grouped(summary.keys)));
    let of = |(name, keys): &(Arc<str>, u64)| format!("{} keys of {name}", given::grouped(*keys));
    users.into_iter().chain(summary.entities.iter().map(of)).collect::<Vec<_>>().join(", ")
}
