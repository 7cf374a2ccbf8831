//! `adprof man`: manual pages, one for the program and one for each command.

use crate::cli::Cli;
use crate::report;
use clap::CommandFactory;
use std::path::PathBuf;

/// Write the manual pages into a directory
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof man /usr/local/share/man/man1
  adprof man ./man && man -l ./man/adprof-stream.1")]
pub struct Args {
    /// Where to write adprof.1, adprof-collect.1, …
    directory: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.directory).map_err(|e| report::io(&args.directory, &e))?;
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(|e| report::io(&args.directory, &e))?;
    Ok(())
}
