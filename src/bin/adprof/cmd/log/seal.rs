//! `adprof log seal`: days that are over are hashed, written down and packed.

use super::days::{LogArg, Outcome, gaps, listed};
use crate::given::{self, bytes, grouped};
use crate::report::{self, Exit, Failure};
use adprof::log::Error;
use adprof::log::care::{self, Packing, Sealed, Topics};
use adprof::parallel::cores;
use adprof::time::show;
use anyhow::Result;
use jiff::civil::Date;

/// Seal days that are over: hash their files, write dt=DAY/_SUCCESS, pack them
///
/// A day is over five minutes after midnight UTC. A torn tail is set aside as `collect` does it, and a day is refused (75)
/// while something appends to it, or when the log is shipped to Kafka and some of the day is not there yet. Files are packed
/// as zstd frames of 8 MiB of whole lines, read back and compared before the plain ones go. A sealed day is left as it is;
/// one to which something came late is sealed again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof log seal events/                          every day that is over
  adprof log seal events/ --date 2026-11-19        that day, or exit with 75
  adprof log seal events/ --through 2026-11-19 --level 9
  adprof log seal events/ --no-compress")]
pub struct Args {
    #[command(flatten)]
    log: LogArg,
    /// Seal all days up to this one [default: all that are over]
    #[arg(long, value_name = "D", conflicts_with = "date")]
    through: Option<Date>,
    /// Seal this day only
    #[arg(long, value_name = "D")]
    date: Option<Date>,
    /// How hard zstd works to make files small
    #[arg(long, value_name = "1-19", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    /// Leave the files as they are
    #[arg(long, conflicts_with = "level")]
    no_compress: bool,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Write a line on stdout for each day: {"day":…,"state":"sealed|again|already|refused",…}
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let now = given::now();
    let log = args.log.take()?;
    let topics = Topics::of(&log.root).map_err(given::of_log)?;
    let all = care::days(&log.root).map_err(given::of_log)?;
    let chosen = args.choose(&all)?;
    let packing = Packing {
        level: (!args.no_compress).then_some(args.level),
        threads: args.threads.map_or_else(cores, usize::from),
    };
    let (mut outcome, mut already) = (Outcome::new(args.json), 0);
    for &day in &chosen {
        let over = care::over_at(day).map_err(given::of_log)?;
        if over > now {
            if args.through.is_some() || args.date.is_some() {
                let why = format!("not over before {}", show(over));
                outcome.refused(day, Error::NotYet { what: day.to_string(), why });
            }
            continue;
        }
        match care::seal_day(&log.root, day, &topics, packing, now) {
            Ok(sealed) => {
                already += u64::from(!sealed.written && sealed.packed == 0);
                tell(day, &sealed);
                done(day, &sealed, &mut outcome);
            }
            Err(e) => outcome.refused(day, e),
        }
    }
    if already > 0 {
        report::say(format_args!("days sealed before: {}", grouped(already)));
    }
    let gaps = gaps(&chosen);
    if !gaps.is_empty() {
        report::say(format_args!("no events on {}", listed(&gaps)));
    }
    outcome.finish()
}

impl Args {
    fn choose(&self, all: &[Date]) -> Result<Vec<Date>> {
        let Some(day) = self.date else {
            let last = self.through.unwrap_or(Date::MAX);
            return Ok(all.iter().copied().filter(|day| *day <= last).collect());
        };
        if all.contains(&day) {
            return Ok(vec![day]);
        }
        let message = format!("{}: no events on {day}", self.log.log.display());
        Err(Failure::new(Exit::NoInput, message).hint("adprof log stat shows the days there are").into())
    }
}

fn tell(day: Date, sealed: &Sealed) {
    for torn in &sealed.torn {
        report::warn(format_args!(
            "{}: the last {} bytes, from {} on, ended no line and were set aside in {0}.torn",
            torn.path.display(),
            torn.len,
            torn.offset
        ));
    }
    let manifest = &sealed.manifest;
    let (files, lines, size) = (manifest.files.len(), grouped(manifest.lines), bytes(manifest.bytes));
    let packed = if sealed.packed > 0 { format!(", {} packed", sealed.packed) } else { String::new() };
    match (sealed.written, sealed.again) {
        (true, false) => report::say(format_args!("{day}: sealed: files {files}, lines {lines}, {size}{packed}")),
        (true, true) => report::say(format_args!(
            "{day}: sealed again, since this came late: {}: files {files}, lines {lines}, {size}{packed}",
            sealed.late.join(", ")
        )),
        (false, _) if sealed.packed > 0 => {
            report::say(format_args!("{day}: sealed before; files packed now: {}", sealed.packed))
        }
        (false, _) => report::detail(format_args!("{day}: sealed before")),
    }
}

fn done(day: Date, sealed: &Sealed, outcome: &mut Outcome) {
    let state = match (sealed.written, sealed.again) {
        (true, false) => "sealed",
        (true, true) => "again",
        (false, _) => "already",
    };
    let manifest = &sealed.manifest;
    let more = [
        ("files", manifest.files.len().into()),
        ("lines", manifest.lines.into()),
        ("bytes", manifest.bytes.into()),
        ("packed", sealed.packed.into()),
        ("late", sealed.late.clone().into()),
    ];
    outcome.done(day, state, &more);
}
