//! `adprof log`: care for a log that is a directory of days: how it stands, sealing, packing, compaction, retention, Parquet.
//!
//! Collectors may go on writing meanwhile. One of these commands works on a log at a time.

mod compact;
mod days;
mod export;
mod prune;
mod seal;
mod stat;

use anyhow::Result;

/// Care for the log: how it stands, sealing, compaction, retention, Parquet
///
/// A day of the log is sealed when it is over: its files are hashed, written down in dt=DAY/_SUCCESS and packed. What
/// comes late for it goes to a new file, and sealing again takes it in. Collectors may run meanwhile, and at any instant,
/// after a crash too, readers find every event once.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof log stat events/
  adprof log seal events/                        every day that is over
  adprof log compact events/ --through 2026-11-19
  adprof log prune events/ --keep 400d --dry-run
  adprof log export events/ -o events.parquet")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Stat(stat::Args),
    Seal(seal::Args),
    Compact(compact::Args),
    Prune(prune::Args),
    Export(export::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Stat(args) => stat::run(args),
        What::Seal(args) => seal::run(args),
        What::Compact(args) => compact::run(args),
        What::Prune(args) => prune::run(args),
        What::Export(args) => export::run(args),
    }
}
