//! `adprof init`: a definition file to begin with.

use crate::report::{self, Exit, Failure};
use adprof::tag;
use anyhow::Result;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Write a commented definition file with the five built-in tags
///
/// A file that is there already is never overwritten.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof init
  adprof init campaigns.toml
  adprof init - | less")]
pub struct Args {
    /// Where to write it; `-` prints it
    #[arg(value_name = "FILE", default_value = "./adprof.toml")]
    file: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    if args.file.as_os_str() == "-" {
        return report::data(tag::sample().as_bytes());
    }
    write(&args.file)?;
    report::say(format_args!("wrote {}; see what it does: adprof check", args.file.display()));
    Ok(())
}

fn write(path: &Path) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            let failure = Failure::new(Exit::Usage, format!("{}: is there already and stays as it is", path.display()));
            failure.hint("name another file, or print the sample with `adprof init -`")
        }
        _ => report::io(path, &e),
    })?;
    file.write_all(tag::sample().as_bytes()).and_then(|()| file.sync_all()).map_err(|e| report::io(path, &e).into())
}
