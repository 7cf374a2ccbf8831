//! `adprof batch --through D`: the partitions up to a day, as a whole or by roll-ups of the days before.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::log::Log;
use adprof::rollup;
use adprof::run::batch::{Job, Summary};
use adprof::run::history::{self, History, Origin, Report, Step};
use adprof::time::{Millis, day_bounds};
use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct HistoryArgs {
    /// Read the partitions up to this day of receipt; the values are those at its end, unless another instant is given
    #[arg(long, value_name = "D")]
    pub through: Option<Date>,
    /// Keep what each day came to in this directory, and read only the days that are not in it as they are now
    #[arg(long, value_name = "DIR", requires = "through", conflicts_with = "since")]
    pub rollups: Option<PathBuf>,
    /// Tell as NDJSON what would be read and why, and do nothing else
    #[arg(long, requires = "through")]
    pub explain_plan: bool,
}

impl HistoryArgs {
    /// The log with the partitions that are asked for.
    pub fn cut(&self, paths: &[PathBuf], log: Log) -> Result<Log> {
        let Some(through) = self.through else { return Ok(log) };
        let wrong = |why: String| Failure::new(Exit::Usage, why);
        if let Some(file) = log.files().iter().find(|file| file.day.is_none()) {
            let failure = wrong(format!("--through: {}: not a log of date partitions", file.path.display()));
            let hint = "name a directory with dt=YYYY-MM-DD/ in it; a single file is read whole, without --through";
            return Err(failure.hint(hint).into());
        }
        if self.rollups.is_some() && paths.len() > 1 {
            let failure = wrong("--rollups: one log only".into());
            return Err(failure.hint("give each log a directory of roll-ups of its own").into());
        }
        let log = log.between(None, Some(through.tomorrow().map_err(|e| wrong(e.to_string()))?));
        if log.files().is_empty() {
            return Err(Failure::new(Exit::NoInput, format!("no partition up to dt={through}")).into());
        }
        Ok(log)
    }

    /// The last instant of the last day.
    pub fn as_of(&self, zone: &TimeZone) -> Option<Result<Millis, String>> {
        self.through.map(|day| Ok(day_bounds(day, zone)?.1 - 1))
    }

    /// Prints one line a step, and the sum.
    pub fn explain(&self, job: &Job<'_>) -> Result<()> {
        let dir = self.rollups.as_deref();
        let steps = history::explain(job, dir).map_err(|e| failed(e, dir))?;
        let mut out = Vec::new();
        for Step { day, origin, why, bytes } in &steps {
            let name = origin.name();
            writeln!(out, "{{\"day\":\"{day}\",\"from\":\"{name}\",\"bytes\":{bytes},\"why\":\"{why}\"}}")?;
        }
        let sum = |log: bool| -> u64 {
            steps.iter().filter(|step| (step.origin == Origin::Log) == log).map(|step| step.bytes).sum()
        };
        writeln!(out, "{{\"total\":{{\"log\":{},\"rollups\":{}}}}}", sum(true), sum(false))?;
        report::data(&out)
    }
}

/// As `batch` over the same log, by roll-ups in `dir`.
pub fn fold(job: &Job<'_>, dir: &Path, mut out: &mut dyn Write) -> Result<Summary> {
    let warn = |e: &rollup::Error| report::warn(format_args!("{}: {e}: made anew", dir.display()));
    let bar = report::progress(0, "batch");
    let watching = report::watch(&bar, job.progress);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| watching.run());
        let done = history::run(&History { job, dir, warn: &warn }, &mut out);
        watching.stop();
        done
    });
    bar.finish_and_clear();
    let Report { summary, from_base, from_rollups, read, log_bytes, rollup_bytes, unsettled } =
        done.map_err(|e| failed(e, Some(dir)))?;
    if let Some(day) = unsettled {
        report::warn(format_args!(
            "dt={day}: a line is refused only because its time has not come: until then this day and those behind it are \
             read each time"
        ));
    }
    report::say(format_args!(
        "{} days: {from_base} from the base, {from_rollups} from roll-ups, {read} read; \
         {} bytes of the log and {} of roll-ups read",
        from_base + from_rollups + read,
        given::grouped(log_bytes),
        given::grouped(rollup_bytes)
    ));
    Ok(summary)
}

pub fn failed(failure: history::Failure, dir: Option<&Path>) -> anyhow::Error {
    let e = match failure {
        history::Failure::Log(e) => return given::of_log(e).into(),
        history::Failure::Imports(e) => return super::of_imports(e),
        history::Failure::Output(e) => return anyhow::Error::new(e).context("cannot write the patches"),
        history::Failure::Rollup(e) => e,
    };
    let words = report::plain(&e.to_string());
    match e {
        rollup::Error::Locked { .. } => {
            Failure::new(Exit::TryAgain, words).hint("wait for it to end; one run at a time makes roll-ups").into()
        }
        rollup::Error::Io { source, .. } => Failure::new(report::exit_of(&source), words).into(),
        rollup::Error::Damaged { .. } => {
            let dir = dir.unwrap_or(Path::new("the directory of --rollups")).display().to_string();
            Failure::new(Exit::Io, words).hint(format!("is the disk failing? Without {dir} all is made anew")).into()
        }
    }
}
