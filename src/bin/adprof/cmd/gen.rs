//! `adprof gen`: synthetic events, the same for the same flags.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::synth::{Options, Skew, Synth};
use adprof::time::DAY;
use anyhow::Result;
use jiff::tz::TimeZone;

/// Write synthetic ad events to stdout: sessions of views, clicks and purchases
///
/// The same flags give the same bytes, on every machine. Duplicates, late events and bad lines are added on request, to see
/// what a pipeline makes of them.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof gen --events 100000 | adprof collect
  adprof gen --events 1000000 --users 50000 --start 30d --days 30 > events.jsonl
  adprof gen --events 5000000 --users 1000000 --skew 0.5 --session 1 > nearly-every-user.jsonl
  adprof gen --duplicates 5% --late 3% --bad 0.1% | adprof collect")]
pub struct Args {
    /// Distinct events; duplicates and bad lines come on top
    #[arg(long, value_name = "N", default_value_t = Options::default().events)]
    events: u64,
    /// Users there are; the rare ones may never come
    #[arg(long, value_name = "M", default_value_t = Options::default().users)]
    users: u64,
    /// How unequal users are: user k has a weight of k^-S; 0, 0.5 or 0.75, and 0 is all alike
    #[arg(long, value_name = "S", default_value = "0.75", value_parser = skew)]
    skew: Skew,
    /// Events of a session on average, 1 to 30; 1: each event stands alone and names no session
    #[arg(long, value_name = "N", default_value_t = Options::default().session)]
    session: u32,
    /// Another seed, other events
    #[arg(long, value_name = "S", default_value_t = Options::default().seed)]
    seed: u64,
    /// The first instant: a date, RFC 3339, milliseconds, or 7d for a week ago
    #[arg(long, value_name = "T", default_value = "2025-01-01")]
    start: String,
    /// How many days the events are spread over
    #[arg(long, value_name = "D", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    days: u32,
    /// Events that come a second time, byte for byte, within ten minutes
    #[arg(long, value_name = "P%", default_value = "0%", value_parser = share)]
    duplicates: f64,
    /// Events that come a minute to six hours after their time
    #[arg(long, value_name = "P%", default_value = "0%", value_parser = share)]
    late: f64,
    /// Lines that must be refused, of every kind
    #[arg(long, value_name = "P%", default_value = "0%", value_parser = share)]
    bad: f64,
}

fn skew(text: &str) -> Result<Skew, String> {
    match text.parse() {
        Ok(0.0) => Ok(Skew::Even),
        Ok(0.5) => Ok(Skew::Half),
        Ok(0.75) => Ok(Skew::ThreeQuarters),
        _ => Err("write 0, 0.5 or 0.75".into()),
    }
}

/// Reads `5%` or `5`.
fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let share = number.parse().ok().filter(|p| (0.0..=100.0).contains(p));
    share.ok_or_else(|| "write a share of the events such as 5%".into())
}

pub fn run(args: Args) -> Result<()> {
    let options = Options {
        events: args.events,
        users: args.users,
        skew: args.skew,
        session: args.session,
        seed: args.seed,
        start: given::instant(&args.start, &TimeZone::UTC)?,
        span: i64::from(args.days) * DAY,
        duplicates: args.duplicates,
        late: args.late,
        bad: args.bad,
        ..Options::default()
    };
    let mut synth = Synth::new(options).map_err(|why| Failure::new(Exit::Usage, why))?;
    let bar = report::progress(0, "gen");
    let mut block = Vec::new();
    while synth.fill(&mut block) {
        report::data(&block)?;
        bar.inc(block.len() as u64);
        block.clear();
    }
    bar.finish_and_clear();
    Ok(())
}
