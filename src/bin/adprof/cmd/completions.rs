//! `adprof completions`: completion scripts for shells.

use crate::cli::Cli;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for your shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof completions bash > ~/.local/share/bash-completion/completions/adprof
  adprof completions zsh > ~/.zfunc/_adprof")]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adprof", &mut script);
    crate::report::data(&script)
}
