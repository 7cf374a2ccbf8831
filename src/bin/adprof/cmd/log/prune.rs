//! `adprof log prune`: retention.

use super::days::{LogArg, Outcome};
use crate::given::{self, bytes, grouped};
use crate::report::{self, Exit, Failure};
use adprof::log::Error;
use adprof::log::care::{self, Topics};
use adprof::time::{DAY, Millis, day_of};
use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

/// Remove old days of the log, each as a whole
///
/// Only sealed days go, as they were sealed and when they were shipped to each topic the log is shipped to: others are
/// refused (75) and stay. What is removed is gone: see it first with --dry-run.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["keep", "before"]))]
#[command(after_help = "Examples:
  adprof log prune events/ --keep 400d --dry-run
  adprof log prune events/ --before 2025-01-01")]
pub struct Args {
    #[command(flatten)]
    log: LogArg,
    /// Keep the days that lie in this span before today
    #[arg(long, value_name = "SPAN", value_parser = whole_days)]
    keep: Option<Millis>,
    /// Remove the days before this one
    #[arg(long, value_name = "D")]
    before: Option<Date>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Write a line on stdout for each day: {"day":…,"state":"removed|old|refused",…}
    #[arg(long)]
    json: bool,
}

fn whole_days(text: &str) -> Result<Millis, String> {
    let span = given::span(text)?;
    if span % DAY == 0 { Ok(span) } else { Err("write whole days such as 400d or 8w".into()) }
}

pub fn run(args: Args) -> Result<()> {
    let log = args.log.take()?;
    let today = day_of(given::now(), &TimeZone::UTC).expect("a clock of our time");
    let before = args.limit(today)?;
    let topics = Topics::of(&log.root).map_err(given::of_log)?;
    let days = care::days(&log.root).map_err(given::of_log)?;
    let mut outcome = Outcome::new(args.json);
    let (state, word) = if args.dry_run { ("old", "would be removed") } else { ("removed", "removed") };
    for day in days.into_iter().filter(|day| *day < before) {
        match care::prune_day(&log.root, day, &topics, args.dry_run) {
            Ok(gone) => {
                let (lines, size) = (grouped(gone.lines), bytes(gone.bytes));
                report::say(format_args!("{day}: {word}: lines {lines}, {size}"));
                outcome.done(day, state, &[("lines", gone.lines.into()), ("bytes", gone.bytes.into())]);
            }
            Err(Error::NotYet { what, why }) => {
                outcome.refused(day, Error::NotYet { what, why: format!("stays: {why}") })
            }
            Err(e) => outcome.refused(day, e),
        }
    }
    outcome.finish()
}

impl Args {
    /// The first day that stays. Never later than today.
    fn limit(&self, today: Date) -> Result<Date> {
        let limit = match (self.keep, self.before) {
            (Some(keep), _) => {
                let span: Span = i32::try_from(keep / DAY).unwrap_or(i32::MAX).days();
                today.checked_sub(span).unwrap_or(Date::MIN)
            }
            (None, before) => before.expect("clap asks for one"),
        };
        if limit > today {
            let message = format!("--before {limit}: today, {today}, is never removed");
            return Err(Failure::new(Exit::Usage, message).into());
        }
        Ok(limit)
    }
}
