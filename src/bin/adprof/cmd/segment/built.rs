//! `adprof segment build` and `history`: audiences that are kept as they were at an instant.

use super::index::{build as refresh, say};
use super::line::Line;
use super::list::columns;
use super::{Shown, usual};
use crate::ask::{AskArgs, Of, doubts, named, usage};
use crate::given::{self, grouped};
use crate::report::{self, Exit, Failure};
use adprof::profiles::Profiles;
use adprof::segment::Rule;
use adprof::segment::audience::{self, Build};
use adprof::tag::Status;
use adprof::time;
use anyhow::Result;
use std::time::Instant;

/// How often a build begins anew because users came that the index has no numbers for.
const TRIES: usize = 5;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment build                       every active segment
  adprof segment build sports_fans
  adprof segment members sports_fans --built
  adprof segment history sports_fans")]
pub struct BuildArgs {
    /// Segments of the definition file [default: all that are active]
    #[arg(value_name = "CODE")]
    codes: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show them [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment history sports_fans")]
pub struct HistoryArgs {
    /// A segment; of one that is no longer defined too
    #[arg(value_name = "CODE")]
    code: String,
    #[command(flatten)]
    ask: AskArgs,
    /// How to show them [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

pub fn build(args: BuildArgs) -> Result<()> {
    let profiles = args.ask.open()?;
    embedded(&profiles)?;
    let definitions = profiles.definitions().clone();
    let segments = match &args.codes[..] {
        [] => definitions
            .segments
            .iter()
            .filter(|segment| segment.status == Status::Active)
            .map(|segment| (segment.code.to_string(), Rule::of(segment)))
            .collect::<Vec<_>>(),
        codes => codes.iter().map(|code| active(&profiles, code)).collect::<Result<_>>()?,
    };
    if segments.is_empty() {
        report::say(format_args!("{}: no active segment", definitions.source));
        return Ok(());
    }
    segments.iter().try_for_each(|(_, rule)| doubts(&profiles, rule))?;
    let began = Instant::now();
    say(&refresh(&profiles, &Of::users(), false)?, &Of::users(), began.elapsed().as_secs_f64());
    let mut rows = Vec::new();
    for (code, rule) in &segments {
        let build = one(&profiles, code, rule)?;
        match usual(args.format) {
            Shown::Ndjson => report::data(line(code, &build).line().as_bytes())?,
            Shown::Table => rows.push(row(code, &build)),
        }
    }
    if !rows.is_empty() {
        rows.insert(0, head("segment"));
        report::data(columns(&rows).as_bytes())?;
    }
    Ok(())
}

/// A segment that may be built.
fn active(profiles: &Profiles, code: &str) -> Result<(String, Rule)> {
    let definitions = profiles.definitions();
    let rule = named(definitions, code, &Of::users())?.rule;
    match definitions.segment(code).map(|segment| segment.status) {
        Some(Status::Active) => Ok((code.to_string(), rule)),
        status => {
            let status = status.map_or("unknown".to_string(), |status| status.to_string());
            let failure = usage(format!("{code}: its status is {status}: only active segments are built"));
            Err(failure.hint("adprof segment size counts it").into())
        }
    }
}

fn one(profiles: &Profiles, code: &str, rule: &Rule) -> Result<Build> {
    let mut why = None;
    for _ in 0..TRIES {
        match audience::build(profiles, code, rule, given::now()).map_err(given::of_store)? {
            Ok(build) => return Ok(build),
            Err(unused) => why = Some(unused),
        }
        refresh(profiles, &Of::users(), false)?;
    }
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let failure = Failure::new(Exit::TryAgain, format!("{code}: users come faster than the index takes them{why}"));
    Err(failure.hint("try again when less is written").into())
}

pub fn history(args: HistoryArgs) -> Result<()> {
    let profiles = args.ask.open()?;
    let store = embedded(&profiles)?;
    let snapshot = store.snapshot().map_err(given::of_store)?;
    let builds = audience::history(snapshot.index().map_err(given::of_store)?, &args.code).map_err(given::of_store)?;
    if builds.is_empty() {
        report::say(format_args!("{}: never built", args.code));
    }
    match usual(args.format) {
        Shown::Ndjson => {
            let lines: String = builds.iter().map(|build| line(&args.code, build).line()).collect();
            report::data(lines.as_bytes())
        }
        Shown::Table if builds.is_empty() => Ok(()),
        Shown::Table => {
            let rows: Vec<_> =
                std::iter::once(head("segment")).chain(builds.iter().map(|b| row(&args.code, b))).collect();
            report::data(columns(&rows).as_bytes())
        }
    }
}

/// The store that audiences are built in.
pub fn embedded(profiles: &Profiles) -> Result<&adprof::store::Embedded> {
    profiles
        .embedded_store()
        .ok_or_else(|| usage("audiences are built in an embedded store, not in Redis").hint("--store file:DIR").into())
}

fn line(code: &str, build: &Build) -> Line {
    Line::new()
        .text("segment", code)
        .json("build", build.number)
        .text("version", &build.version)
        .json("asOf", build.as_of)
        .json("builtAt", build.built_at)
        .json("size", build.size)
        .json("of", build.of)
        .json("joined", build.joins)
        .json("left", build.leaves)
}

fn head(first: &str) -> [String; 7] {
    [first, "build", "version", "as of", "size", "joined", "left"].map(String::from)
}

fn row(code: &str, build: &Build) -> [String; 7] {
    [
        code.to_string(),
        build.number.to_string(),
        build.version.clone(),
        time::show(build.as_of),
        grouped(build.size),
        grouped(build.joins),
        grouped(build.leaves),
    ]
}
