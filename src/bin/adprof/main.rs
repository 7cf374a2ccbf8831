//! The program `adprof`: from what was typed to a command, from its error to an exit code.

mod ask;
mod cli;
mod cmd;
mod feed;
mod given;
mod intake;
mod kafka;
mod letters;
mod metrics;
mod redis;
mod report;
mod ship;
mod stop;
mod whole;
mod whole_log;
mod usage;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    report::on_panic();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::fail(&error),
    };
    let name = cli.command.name();
    report::set(&cli.global);
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::fail(name, &error),
    }
}
