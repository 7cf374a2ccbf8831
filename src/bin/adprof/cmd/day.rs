//! `adprof day`: days in a zone, the partitions of the log they need, and whether those are there and sealed.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::log::care::{self, Day, State};
use adprof::log::{Error, partition_of};
use adprof::time::{self, Millis, day_bounds, day_of};
use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Print days in a time zone, and whether the log has them whole
///
/// For each day one line: the day, the last day of receipt (UTC) that it needs, and its first and its last instant. A day
/// of Berlin in summer begins at 22:00Z of the day before; one of New York ends on the next: so it needs two partitions
/// of the log. The days of a clock change have 23 or 25 hours.
///
/// With --log the partitions have to be there (66), and sealed and unchanged since (75), as those before them: then what
/// is computed from them is final. `adprof log seal` seals a day, and takes in what came late. A sealed day of which a file
/// is gone or shorter is damaged (74).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof day                                         yesterday, in UTC
  adprof day 2026-10-25 --tz Europe/Berlin           25 hours
  adprof day yesterday --after 2026-11-15 --most 3   the first three days after that one, up to yesterday
  adprof day --log events/ && echo yesterday can be computed")]
pub struct Args {
    /// yesterday, today, or a date
    #[arg(value_name = "DAY", default_value = "yesterday")]
    day: String,
    /// The time zone of the day
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Each day after this one, the oldest first
    #[arg(long, value_name = "D")]
    after: Option<Date>,
    /// Of these, so many at most
    #[arg(long, value_name = "N", requires = "after")]
    most: Option<usize>,
    /// Fail unless all partitions up to the end of the day are in this log directory and sealed
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

const SEAL_IT: &str =
    "`adprof log seal` does that once the day is over and its writers have let go of it: try again later";
const ANOTHER_MAKER: &str = "is it of another program? without it `adprof log seal` seals the day";
const GONE: &str = "what is computed without them is wrong: bring them back; `adprof log stat` shows the days";

pub fn run(args: Args) -> Result<()> {
    let zone = given::zone(&args.tz)?;
    let last = day(&args.day, &zone)?;
    let mut out = String::new();
    for date in days(last, args.after, args.most)? {
        let wanted = Wanted::of(date, &zone)?;
        if let Some(log) = &args.log {
            wanted.check(log)?;
        }
        let (from, to) = (time::show(wanted.from), time::show(wanted.to));
        out.push_str(&format!("{date} {} {from} {to}\n", wanted.through));
    }
    report::data(out.as_bytes())
}

fn day(text: &str, zone: &TimeZone) -> Result<Date> {
    let today = || day_of(given::now(), zone).ok_or_else(|| Failure::new(Exit::Bug, "the clock is out of range"));
    let wrong =
        || Failure::new(Exit::Usage, format!("not a day: {text:?}")).hint("write yesterday, today, or 2026-11-20");
    Ok(match text {
        "today" => today()?,
        "yesterday" => today()?.yesterday().map_err(|_| wrong())?,
        date => date.parse().map_err(|_| wrong())?,
    })
}

fn days(last: Date, after: Option<Date>, most: Option<usize>) -> Result<Vec<Date>> {
    let Some(after) = after else { return Ok(vec![last]) };
    let mut days = Vec::new();
    let mut date = after;
    while date < last && most.is_none_or(|most| days.len() < most) {
        date = date.tomorrow().map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
        days.push(date);
    }
    Ok(days)
}

/// A day and the partitions in which its events lie.
struct Wanted {
    date: Date,
    /// Its first and its last instant.
    from: Millis,
    to: Millis,
    /// The UTC days of these.
    first: Date,
    through: Date,
}

impl Wanted {
    fn of(date: Date, zone: &TimeZone) -> Result<Wanted> {
        let wrong = |why: String| Failure::new(Exit::Usage, why);
        let (from, next) = day_bounds(date, zone).map_err(wrong)?;
        let utc = |t| day_of(t, &TimeZone::UTC).ok_or_else(|| wrong(format!("out of range: {date}")));
        Ok(Wanted { date, from, to: next - 1, first: utc(from)?, through: utc(next - 1)? })
    }

    /// Fails unless the log has all partitions of the day, and all up to its end are sealed.
    fn check(&self, log: &Path) -> Result<()> {
        let there = partitions(log)?;
        let mut date = self.first;
        while date <= self.through {
            if !there.contains(&date) {
                return Err(self.missing(log, date).into());
            }
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        there.range(..=self.through).try_for_each(|date| self.sealed(log, *date))
    }

    /// Fails unless a partition is what it was when it was sealed.
    fn sealed(&self, log: &Path, date: Date) -> Result<()> {
        let partition = log.join(partition_of(date));
        let day = Day::read(log, date).map_err(|e| match e {
            // A file of that name which says nothing of the files seals nothing: writers go on.
            Error::Damaged { .. } => given::of_log(e).hint(ANOTHER_MAKER),
            e => given::of_log(e),
        })?;
        let not_ready = |why: &str| {
            Failure::new(Exit::TryAgain, format!("{} is not ready: {} {why}", self.date, partition.display()))
        };
        match day.state() {
            State::Sealed => Ok(()),
            State::Open => Err(not_ready("is not sealed").hint(SEAL_IT).into()),
            State::Changed { late } => {
                let why = format!("changed since it was sealed: {}", late.join(", "));
                Err(not_ready(&why).hint("`adprof log seal` takes in what came late").into())
            }
            State::Damaged { gone } => {
                let why = format!("sealed, and gone or shorter since: {}", gone.join(", "));
                Err(given::of_log(Error::Damaged { path: partition, why }).hint(GONE).into())
            }
        }
    }

    /// A partition that is not there: it may still come, or nothing was received on that day.
    fn missing(&self, log: &Path, date: Date) -> Failure {
        let partition = log.join(partition_of(date));
        let over = day_bounds(date, &TimeZone::UTC).is_ok_and(|(_, end)| end <= given::now());
        if !over {
            let message = format!("{} is not ready: {} is not over (UTC)", self.date, date);
            return Failure::new(Exit::TryAgain, message).hint("try again later");
        }
        let message = format!("{}: no such partition, so {} is not in the log", partition.display(), self.date);
        Failure::new(Exit::NoInput, message)
            .hint("did nothing come on that day? an empty folder says so: mkdir it, and `adprof log seal`")
    }
}

/// The days for which a log directory has partitions.
fn partitions(log: &Path) -> Result<BTreeSet<Date>> {
    if log.is_file() {
        let failure = Failure::new(Exit::Usage, format!("{}: a file, which has no days of receipt", log.display()));
        return Err(failure.hint("`adprof collect --log DIR/` keeps a log by days").into());
    }
    Ok(care::days(log).map_err(given::of_log)?.into_iter().collect())
}
