//! `adprof explain`: how the value of one tag of one user, or of a key of another entity, comes about.
//!
//! What a store says and what a log says are both told by the engine, and compared where both are there.

mod difference;
mod log;
mod ndjson;
mod subject;
mod text;

use crate::ask::{AskArgs, Asked, Of, of_entity, usage};
use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::profiles::AsOf;
use adprof::tag::Definitions;
use anyhow::Result;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use subject::{Book, Sides, Store};

/// Show how the value of a tag comes about
///
/// The definition, the window's bounds, the panes in it, when the value changes next though no event
/// comes, and with --log the events that made it. With a store and a log both values are told, and
/// exit code 1 when they differ. A derived tag is followed by the tags it is made of.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof explain u-001 clicks_1h_count
  adprof explain u-001 ltv_total --log ad-events.log       the events, too; 1 when store and log differ
  adprof explain u-001 clicks_1h_count --log events/ --as-of 2026-11-20T10:00:00Z
  adprof explain u-001 segment_id --json | jq '.inputs[].value'")]
pub struct Args {
    /// The id of the user, or the key of --entity
    #[arg(value_name = "ID")]
    user: String,
    /// The code of the tag
    #[arg(value_name = "TAG")]
    tag: String,
    #[command(flatten)]
    ask: AskArgs,
    /// Show the events that count, from this log: a file, a directory of date partitions, or - ; may be given several
    /// times. Where nobody names a store, the log alone is asked
    #[arg(long, value_name = "PATH")]
    log: Vec<PathBuf>,
    /// Show all panes and events, not the newest 20; NDJSON always has all
    #[arg(long)]
    all: bool,
    /// How to show it [default: text on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The same as --format ndjson
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Ndjson,
}

pub fn run(args: Args) -> Result<()> {
    let read = |of: &Of| of.key(&args.user).map_err(|why| usage(format!("not an id: {why}")));
    // An id of a user is looked at first: a wrong one needs no store to be wrong.
    let early = if args.ask.names_entity() { None } else { Some(read(&Of::users())?) };
    let instant = args.ask.instant()?;
    let asked = match args.log[..] {
        [] => args.ask.open_at(instant)?,
        _ => args.ask.open_if_named(instant)?,
    };
    let of = args.ask.of(asked.definitions())?;
    let user = early.map_or_else(|| read(&of), Ok)?;
    let book = explain(&args, user, instant, asked)?;
    let usual = if io::stdout().is_terminal() { Format::Text } else { Format::Ndjson };
    let format = if args.json { Format::Ndjson } else { args.format.unwrap_or(usual) };
    let mut out = Vec::new();
    match format {
        Format::Text => text::push(&book, args.all, &mut out),
        Format::Ndjson => ndjson::push(&book, &mut out),
    }
    report::data(&out)?;
    book.difference().map_or(Ok(()), |why| Err(Failure::new(Exit::Differs, why).into()))
}

fn explain(args: &Args, user: Key, instant: AsOf, asked: Asked) -> Result<Book> {
    let definitions = asked.definitions().clone();
    let tag = tag(&definitions, &args.tag)?;
    of_entity(&[tag], &definitions, &args.ask.of(&definitions)?)?;
    let lineage = definitions.lineage(tag);
    let store = match asked {
        Asked::Store(profiles, location) => Some(Store::ask(*profiles, &location, &user, &lineage)?),
        Asked::Nowhere(_) => None,
    };
    let as_of = instant.instant();
    let log = if args.log.is_empty() { None } else { Some(log::read(&args.log, &definitions, tag, &user, as_of)?) };
    let sides = Sides { definitions, store, log, as_of, named: matches!(instant, AsOf::At(_)) };
    Ok(sides.book(user, &lineage))
}

/// The place of a tag by its code.
fn tag(definitions: &Definitions, code: &str) -> Result<usize> {
    definitions.select([code]).map(|places| places[0]).map_err(|unknown| {
        let failure = usage(shown(&unknown.to_string()));
        failure.hint(unknown.hint().unwrap_or_else(|| given::all_tags(definitions))).into()
    })
}
