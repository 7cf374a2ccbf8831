//! `adprof batch`: the nightly path, from the log to one patch a user.

use crate::given::{self, DefinitionArgs, MaxErrors};
use crate::report::{self, Exit, Failure};
use adprof::dead::{DeadFile, DeadLetter, Place};
use adprof::engine::plan::Plan;
use adprof::event::Rules;
use adprof::lines::Text;
use adprof::log::{Log, line_number};
use adprof::run::batch::{self, Job, Range, Refused, Summary};
use adprof::tag::Update;
use adprof::time::{self, day_bounds};
use anyhow::{Context, Result};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Compute tags from the log: one patch a user
///
/// Reads the whole log on all cores, drops duplicates exactly, and writes the values of the tags
/// with `update = "daily"` (or those of --tags) as patches. The same log and the same instant give
/// the same bytes, however the log is ordered, cut into files, or repeated.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof batch | adprof sink redis                     last night's values into Redis
  adprof batch --log events/ --date 2026-11-19 --tz Europe/Berlin
  adprof batch --tags all --as-of 2026-11-01 | head    what every tag was on the first of November
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
    /// The time zone of days and dates
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Write to this file, which appears whole or not at all, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write refused lines here
    #[arg(long, value_name = "FILE")]
    dead: Option<PathBuf>,
    /// Fail (65) beyond so many refused lines [default: only when every line was bad]
    #[arg(long, value_name = "N|P%", value_parser = MaxErrors::parse)]
    max_errors: Option<MaxErrors>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let definitions = Arc::new(args.definitions.load()?);
    let tags = given::tags(&definitions, &args.tags, Update::Daily)?;
    if tags.is_empty() {
        let failure =
            Failure::new(Exit::Definitions, format!("{} has no tag with update = \"daily\"", definitions.source));
        return Err(failure.hint("name the tags: --tags all, or --tags CODE").into());
    }
    let range = args.range()?;
    let log = open(&args.log)?;
    let plan = Plan::new(definitions.clone(), &tags);
    let rules = Rules { event_types: definitions.event_types.clone(), reserved: true };
    let letters = Letters::new(args.dead.as_deref());
    let progress = AtomicU64::new(0);
    let job = Job {
        plan: &plan,
        log: &log,
        range,
        rules: &rules,
        received: given::now(),
        threads: args.threads.map_or_else(cores, usize::from),
        hash_key: [RandomState::new().hash_one(0), RandomState::new().hash_one(1)],
        refused: &|refused| letters.take(refused),
        progress: &progress,
    };
    let summary = match &args.output {
        None => fold(&job, &mut io::stdout().lock())?,
        Some(path) => into_file(path, |file| fold(&job, file))?,
    };
    letters.finish()?;
    tell(&summary, started);
    given::check_errors(args.max_errors, summary.refused_total(), summary.lines)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Args {
    fn range(&self) -> Result<Range> {
        let wrong = |why: String| Failure::new(Exit::Usage, why);
        let zone = TimeZone::get(&self.tz).map_err(|_| {
            wrong(format!("unknown time zone: {}", self.tz)).hint("write a name such as UTC or Europe/Berlin")
        })?;
        let instant = |text: &Option<String>| text.as_ref().map(|t| given::instant(t, &zone)).transpose();
        let (since, until) = (instant(&self.since)?, instant(&self.until)?);
        let as_of = match self.date {
            // The last instant of the day: the next one belongs to tomorrow.
            Some(day) => Some(day_bounds(day, &zone).map_err(wrong)?.1 - 1),
            None => instant(&self.as_of)?.or(until.map(|t| t - 1)),
        };
        if let (Some(since), Some(as_of)) = (since, as_of)
            && since > as_of
        {
            return Err(wrong(format!("nothing lies between {} and {}", time::show(since), time::show(as_of))).into());
        }
        Ok(Range { since, as_of })
    }
}

fn open(paths: &[PathBuf]) -> Result<Log> {
    let mut whole: Option<Log> = None;
    for path in paths {
        let path = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
        let log = Log::open(path).map_err(given::of_log)?;
        whole = Some(match whole {
            None => log,
            Some(before) => before.and(log),
        });
    }
    let log = whole.expect("clap has a default");
    for stray in log.strays() {
        report::warn(format_args!("{}: not read: {}", stray.path.display(), stray.why));
    }
    Ok(log)
}

fn fold(job: &Job<'_>, out: &mut impl Write) -> Result<Summary> {
    let total =
        job.log.files().iter().map(|f| f.size.filter(|_| f.form == adprof::lines::Form::Plain)).sum::<Option<u64>>();
    let bar = report::progress(total.unwrap_or(0), "batch");
    let watching = report::watch(&bar, job.progress);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| watching.run());
        let done = batch::run(job, out);
        watching.stop();
        done
    });
    bar.finish_and_clear();
    done.map_err(|failure| match failure {
        batch::Failure::Log(e) => given::of_log(e).into(),
        batch::Failure::Output(e) => anyhow::Error::new(e).context("cannot write the patches"),
    })
}

/// Writes to a temporary file beside `path` that takes its name when it is whole and on the disk.
fn into_file<T>(path: &Path, write: impl FnOnce(&mut std::fs::File) -> Result<T>) -> Result<T> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|e| report::io(dir, &e))?;
    let done = write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(|e| report::io(path, &e))?;
    file.persist(path).map_err(|e| report::io(path, &e.error))?;
    Ok(done)
}

fn tell(summary: &Summary, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    for torn in &summary.torn {
        report::warn(format_args!(
            "{}: the last {} bytes, from {} on, end no line and are no event: not counted",
            torn.path.display(),
            torn.len,
            torn.offset
        ));
    }
    let mut words = format!("{} events", given::grouped(summary.events - summary.duplicates));
    for (n, what) in [
        (summary.duplicates, "duplicates"),
        (summary.outside, "outside the range"),
        (summary.refused_total(), "refused"),
    ] {
        if n > 0 {
            words.push_str(&format!(", {} {what}", given::grouped(n)));
        }
    }
    for (code, n) in &summary.refused {
        words.push_str(&format!(", {code} {n}"));
    }
    let as_of = summary.as_of.map_or("no event".to_string(), time::show);
    report::say(format_args!(
        "{words}; {} profiles as of {as_of} in {seconds:.2} s, {} events/s",
        given::grouped(summary.keys),
        given::rate(summary.lines, seconds)
    ));
}

/// Refused lines: the first few are shown, all go to the dead letters where those are wanted.
struct Letters {
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<DeadFile>,
    shown: u32,
    failed: Option<io::Error>,
}

const SHOWN: u32 = 3;

impl Letters {
    fn new(path: Option<&Path>) -> Letters {
        Letters { inner: Mutex::new(Inner { file: path.map(DeadFile::new), shown: 0, failed: None }) }
    }

    fn take(&self, refused: Refused<'_>) {
        let mut inner = self.inner.lock().expect("a panic ends the program");
        let path = refused.file.path.display();
        if inner.shown < SHOWN {
            inner.shown += 1;
            let place = match line_number(&refused.file.path, refused.offset) {
                Ok(line) if refused.file.size.is_some() => format!("{path}:{line}"),
                _ => format!("{path}: byte {}", refused.offset),
            };
            report::warn(format_args!("{place}: {}", refused.refusal));
        }
        if let Some(file) = &mut inner.file {
            let source = path.to_string();
            let (original, truncated) = match refused.text {
                Text::Whole(bytes) => (bytes, None),
                Text::TooLong { head, len } => (head, Some(len)),
            };
            let letter = DeadLetter::new(refused.refusal, &source, Place::Byte { offset: refused.offset }, original);
            if let Err(e) = file.put(&DeadLetter { truncated, ..letter }) {
                inner.failed.get_or_insert(e);
            }
        }
    }

    fn finish(self) -> Result<()> {
        let mut inner = self.inner.into_inner().expect("a panic ends the program");
        if let Some(e) = inner.failed.take() {
            return Err(e).context("cannot write the dead letters");
        }
        match &mut inner.file {
            Some(file) => file.sync().with_context(|| format!("cannot write {}", file.path().display())),
            None => Ok(()),
        }
    }
}
