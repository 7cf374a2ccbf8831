//! `adprof explain`: how the value of one tag of one user comes about.
//!
//! What a store says and what a log says are both told by the engine, and compared where both are there.

mod difference;
mod log;
mod ndjson;
mod subject;
mod text;

use super::query::why_no_id;
use crate::ask::{AskArgs, Asked, usage};
use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::profiles::AsOf;
use adprof::tag::Definitions;
use adprof::time::Millis;
use anyhow::Result;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use subject::{Book, Subject};

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
    /// The id of the user
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
    if let Some(why) = why_no_id(&args.user) {
        return Err(usage(format!("not an id: {why}")).into());
    }
    let user = Key::user("", &args.user);
    let instant = args.ask.instant()?;
    let asked = match args.log[..] {
        [] => args.ask.open_at(instant)?,
        _ => args.ask.open_if_named(instant)?,
    };
    let (book, differs) = explain(&args, user, instant, asked)?;
    let usual = if io::stdout().is_terminal() { Format::Text } else { Format::Ndjson };
    let format = if args.json { Format::Ndjson } else { args.format.unwrap_or(usual) };
    let mut out = Vec::new();
    match format {
        Format::Text => text::push(&book, args.all, &mut out),
        Format::Ndjson => ndjson::push(&book, &mut out),
    }
    report::data(&out)?;
    differs.map_or(Ok(()), |why| Err(Failure::new(Exit::Differs, why).into()))
}

/// The explanation, and in what store and log differ.
fn explain(args: &Args, user: Key, instant: AsOf, asked: Asked) -> Result<(Book, Option<String>)> {
    let (definitions, mut store) = match asked {
        Asked::Store(profiles, location) => (profiles.definitions().clone(), Some((profiles, location))),
        Asked::Nowhere(definitions) => (definitions, None),
    };
    let lineage = definitions.lineage(tag(&definitions, &args.tag)?);
    let tags: Vec<usize> = lineage.iter().map(|(_, tag)| *tag).collect();
    let as_of: Millis = instant.instant();
    let told = match &mut store {
        Some((profiles, _)) => Some(profiles.explain(&user, &tags).map_err(given::of_store)?),
        None => None,
    };
    let store = match &store {
        Some((profiles, location)) => Some(subject::Store {
            location: location.to_string(),
            newest: profiles.newest(),
            moved_to: profiles.moved_to(),
            age: profiles.age(given::now()).map_err(given::of_store)?,
        }),
        None => None,
    };
    let log = if args.log.is_empty() { None } else { Some(log::read(&args.log, &definitions, &user, as_of)?) };
    let known_to_store = told.as_ref().is_some_and(|(_, known)| *known);
    let told = told.map(|(told, _)| told);
    let told = lineage.iter().enumerate().map(|(i, place)| (*place, told.as_ref().map(|told| told[i].clone())));
    let named = matches!(instant, AsOf::At(_));
    let build = subject::Builder { definitions: &definitions, log: log.as_ref(), as_of, named };
    let mut subjects: Vec<Subject> = told.map(|((depth, tag), told)| build.subject(depth, tag, told)).collect();
    let mut differs = None;
    for subject in &mut subjects {
        let why = difference::find(subject, store.as_ref(), log.as_ref(), as_of);
        if let (Some(why), None) = (&why, &differs) {
            let code = &definitions.tags[subject.tag].code;
            differs = Some(format!("{code} of {user}: {why}"));
        }
        subject.difference = why;
    }
    let known = known_to_store || subjects.iter().any(|subject| subject.log.as_ref().is_some_and(|log| log.known));
    if !known {
        subjects.iter_mut().for_each(|subject| build.of_nothing(subject));
    }
    Ok((Book { user, definitions: Arc::clone(&definitions), known, store, subjects }, differs))
}

/// The place of a tag by its code.
fn tag(definitions: &Definitions, code: &str) -> Result<usize> {
    definitions.select([code]).map(|places| places[0]).map_err(|unknown| {
        let failure = usage(shown(&unknown.to_string()));
        failure.hint(unknown.hint().unwrap_or_else(|| given::all_tags(definitions))).into()
    })
}
