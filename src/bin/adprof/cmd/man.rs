//! `adprof man`: manual pages, one for the program and one for each command.

use crate::cli::Cli;
use crate::report;
use clap::CommandFactory;
use clap_mangen::Man;
use std::path::{Path, PathBuf};

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
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    write(&program, &args.directory)
}

/// Writes the page of a command and those of its parts.
fn write(command: &clap::Command, directory: &Path) -> anyhow::Result<()> {
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        write(part, directory)?;
    }
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    // What stands below the flags begins with examples; the renderer knows no better name for it than this.
    let page = String::from_utf8_lossy(&page).replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n");
    let path = directory.join(man.get_filename());
    std::fs::write(&path, page).map_err(|e| report::io(&path, &e).into())
}
