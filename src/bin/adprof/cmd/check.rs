//! `adprof check`: what is wrong with a definition file, what its tags give on a sample of events, and whether an output
//! of `batch` is fit to be published.

mod column;
mod data;
mod lint;
mod sample;

use crate::given::{self, DefinitionArgs};
use crate::report::{self, Exit, Failure};
use adprof::tag::Definitions;
use anyhow::Result;
use std::path::PathBuf;

/// Check a definition file, and try it on a sample of events
///
/// Every mistake is shown with its line, a caret and advice; the exit code is then 78. With --sample the events are
/// folded as `batch` does it, with all tags as of the last event: the first profiles go to stdout, a table of the
/// values of each tag to stderr, and so do warnings about tags that cannot be meant as they are written.
///
/// A window in letters slides: "1d" is the last 24 hours. One in words goes by the calendar of `tz`: "day" is today, from
/// midnight on. Where a file has both, the difference is told.
///
/// With --data an output of `batch` is checked instead: whether it is the one its manifest describes, and whether its
/// figures are within the thresholds of the definition file (`[quality]`, and `quality` of a tag) and near those of the
/// last days. A failed check exits with 65 and says which figure, its threshold, and yesterday's. Without thresholds:
/// rows not half of the median of the last 7 days, at most 50% duplicates and 10% refused lines, every value of its
/// type, and no tag without any value that had some. What there is nothing to compare with passes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof check
  adprof check campaigns.toml
  adprof check --sample ad-events.log
  zcat events.ndjson.gz | head -100000 | adprof check --sample - --users 20
  adprof check --data patches.ndjson --against yesterday/patches.ndjson.manifest.json
  adprof check --data out/dt=2026-11-20/patches.ndjson --history out --json")]
pub struct Args {
    /// The definition file [default: ADPROF_DEFINITIONS or ./adprof.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Try the tags on these events, gzip and zstd too; `-` is stdin
    #[arg(long, value_name = "EVENTS")]
    sample: Option<PathBuf>,
    /// Print so many profiles of the sample
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, requires = "sample")]
    users: usize,
    #[command(flatten)]
    data: data::DataArgs,
}

pub fn run(args: Args) -> Result<()> {
    let definitions = load(&args)?;
    if let Some(patches) = &args.data.data {
        return data::run(&definitions, patches, &args.data);
    }
    let counted = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let tags = counted(definitions.tags.iter().filter(|tag| !tag.is_hidden()).count(), "tag");
    let segments = match definitions.segments.len() {
        0 => String::new(),
        n => format!(" and {}", counted(n, "segment")),
    };
    report::say(format_args!("{}: {tags}{segments}, no problems", definitions.source));
    lint::look_alikes(&definitions).iter().for_each(report::say);
    adprof::segment::lint::lint(&definitions)
        .iter()
        .for_each(|finding| report::say(super::segment::told(&definitions, finding)));
    match &args.sample {
        Some(events) => sample::run(definitions, events, args.users),
        None => Ok(()),
    }
}

/// The file that is meant. The built-in tags stand in only where there is something to try them on.
fn load(args: &Args) -> Result<Definitions> {
    let named = args.file.clone().or_else(|| std::env::var_os("ADPROF_DEFINITIONS").map(PathBuf::from));
    let found = DefinitionArgs { definitions: named }.find()?;
    match found {
        Some(definitions) => Ok(definitions),
        None if args.sample.is_some() || args.data.data.is_some() => Ok(Definitions::built_in()),
        None => {
            let failure = Failure::new(Exit::NoInput, format!("{}: no such file", given::DEFINITIONS));
            Err(failure.hint("`adprof init` writes one; without it the built-in tags are used").into())
        }
    }
}
