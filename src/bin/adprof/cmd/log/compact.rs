//! `adprof log compact`: the many files of a sealed day become one for each writer.

use super::days::{LogArg, Outcome};
use crate::given;
use crate::report;
use adprof::log::care::{self, Day, State, Topics};
use anyhow::Result;
use jiff::civil::Date;

/// Make one file for each writer out of the many of a sealed day
///
/// The log stays the same bytes in the same order. NAME-00001+00007.ndjson.zst holds the files 1 to 7; it appears at once
/// and whole, and from then on those are passed over and go. _SUCCESS stays as it is. Days that are not sealed are passed
/// over; a day that was not shipped to each topic the log is shipped to is refused (75).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof log compact events/
  adprof log compact events/ --through 2026-10-31 --level 12")]
pub struct Args {
    #[command(flatten)]
    log: LogArg,
    /// Compact the days up to this one [default: all that are sealed]
    #[arg(long, value_name = "D")]
    through: Option<Date>,
    /// How hard zstd works to make files small
    #[arg(long, value_name = "1-19", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    /// Write plain files
    #[arg(long, conflicts_with = "level")]
    no_compress: bool,
    /// Write a line on stdout for each day: {"day":…,"state":"compacted|already|open|refused",…}
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let log = args.log.take()?;
    let topics = Topics::of(&log.root).map_err(given::of_log)?;
    let days = care::days(&log.root).map_err(given::of_log)?;
    let mut outcome = Outcome::new(args.json);
    let last = args.through.unwrap_or(Date::MAX);
    for day in days.into_iter().filter(|day| *day <= last) {
        let open = Day::read(&log.root, day).map_err(given::of_log)?.state() == State::Open;
        if open {
            report::detail(format_args!("{day}: not sealed"));
            outcome.done(day, "open", &[]);
            continue;
        }
        match care::compact_day(&log.root, day, &topics, (!args.no_compress).then_some(args.level)) {
            Ok(done) => {
                let state = if done.after < done.before { "compacted" } else { "already" };
                if done.after < done.before {
                    report::say(format_args!("{day}: compacted: files {} from {}", done.after, done.before));
                }
                outcome.done(day, state, &[("before", done.before.into()), ("files", done.after.into())]);
            }
            Err(e) => outcome.refused(day, e),
        }
    }
    outcome.finish()
}
