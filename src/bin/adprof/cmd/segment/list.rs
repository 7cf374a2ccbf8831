//! `adprof segment list`, `check` and `convert`: the rules themselves, without a store.

use super::count::no_rule;
use super::line::Line;
use super::{Shown, usual};
use crate::ask::{Named, Of, RuleArgs};
use crate::given::DefinitionArgs;
use crate::report::{self, Exit, Failure};
use adprof::ndjson::shown;
use adprof::segment::lint::{Finding, lint};
use adprof::tag::{Definitions, Segment, Status};
use anyhow::Result;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment list
  adprof segment list --status active --form json | jq .rule")]
pub struct ListArgs {
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// Only segments of this status: draft, active or archived
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// The form of the rules
    #[arg(long, value_enum, default_value_t = Form::Sql)]
    form: Form,
    /// How to show them [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment check
  adprof segment check campaigns.toml")]
pub struct CheckArgs {
    /// The definition file [default: ADPROF_DEFINITIONS or ./adprof.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to show what was found [default: lines on a terminal, NDJSON in a pipe]
    #[arg(long, value_enum)]
    format: Option<Shown>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof segment convert --where \"ltv_total >= 100 AND last_active_ts > ago('7d')\"
  adprof segment convert --rule @rule.json
  adprof segment convert sports_fans --to json")]
pub struct ConvertArgs {
    /// A segment of the definition file
    #[arg(value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    code: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// The form to write [default: sql of a rule given as JSON, else json]
    #[arg(long, value_enum)]
    to: Option<Form>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Sql,
    Json,
}

fn status(text: &str) -> Result<Status, String> {
    Status::from_name(text).ok_or_else(|| "it is draft, active or archived".to_string())
}

pub fn list(args: ListArgs) -> Result<()> {
    let definitions = args.definitions.load()?;
    let segments: Vec<&Segment> = definitions
        .segments
        .iter()
        .filter(|segment| args.status.is_none_or(|status| segment.status == status))
        .collect();
    if segments.is_empty() {
        let which = if definitions.segments.is_empty() { "" } else { " of this status" };
        report::say(format_args!("{} has no [[segment]]{which}", definitions.source));
    }
    let text = match usual(args.format) {
        Shown::Ndjson => segments.into_iter().map(|segment| line(segment, args.form)).collect(),
        Shown::Table => table(&segments, args.form),
    };
    report::data(text.as_bytes())
}

fn line(segment: &Segment, form: Form) -> String {
    let line = Line::new()
        .text("segment", &segment.code)
        .text("version", &segment.version)
        .text("name", &segment.name)
        .optional("description", segment.description.as_deref())
        .optional("owner", segment.owner.as_deref())
        .text("status", segment.status.name())
        .text("schedule", segment.schedule.name());
    match form {
        Form::Sql => line.text("rule", &segment.rule.readable()),
        Form::Json => line.json("rule", segment.rule.json()),
    }
    .line()
}

fn table(segments: &[&Segment], form: Form) -> String {
    let mut rows = vec![["segment", "version", "status", "schedule", "name", "rule"].map(String::from)];
    rows.extend(segments.iter().map(|segment| {
        [
            segment.code.to_string(),
            segment.version.clone(),
            segment.status.to_string(),
            segment.schedule.to_string(),
            shown(&segment.name).into_owned(),
            shown(&rule(segment, form)).into_owned(),
        ]
    }));
    columns(&rows)
}

fn rule(segment: &Segment, form: Form) -> String {
    match form {
        Form::Sql => segment.rule.readable(),
        Form::Json => segment.rule.json(),
    }
}

/// Rows below each other, the first one strong.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for (n, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        let _ = writeln!(out, "{}", if n == 0 { report::strong(line) } else { line.to_string() });
    }
    out
}

pub fn check(args: CheckArgs) -> Result<()> {
    let named = args.file.or_else(|| std::env::var_os("ADPROF_DEFINITIONS").map(PathBuf::from));
    let definitions = DefinitionArgs { definitions: named }.load()?;
    let found = lint(&definitions);
    let text: String = match usual(args.format) {
        Shown::Ndjson => found.iter().map(|finding| finding_line(&definitions, finding)).collect(),
        Shown::Table => found.iter().map(|finding| told(&definitions, finding) + "\n").collect(),
    };
    report::data(text.as_bytes())?;
    let n = definitions.segments.len();
    let segments = if n == 1 { "segment" } else { "segments" };
    if found.is_empty() {
        report::say(format_args!("{}: {n} {segments}, no problems", definitions.source));
        return Ok(());
    }
    Err(Failure::new(Exit::Differs, format!("{}: {n} {segments}, {} findings", definitions.source, found.len())).into())
}

fn finding_line(definitions: &Definitions, finding: &Finding) -> String {
    let segment = &definitions.segments[finding.segment];
    Line::new()
        .text("segment", &segment.code)
        .text("version", &segment.version)
        .json("line", segment.line)
        .text("finding", finding.kind.name())
        .text("message", &finding.message)
        .optional("hint", finding.hint.as_deref())
        .line()
}

/// A finding for people, with its place.
pub fn told(definitions: &Definitions, finding: &Finding) -> String {
    let segment = &definitions.segments[finding.segment];
    let text = format!("{}:{}: segment `{}`: {}", definitions.source, segment.line, segment.code, finding.message);
    match &finding.hint {
        Some(hint) => format!("{text}\nhint: {hint}"),
        None => text,
    }
}

pub fn convert(args: ConvertArgs) -> Result<()> {
    let definitions = args.definitions.load()?;
    let named = args.rule.read(args.code.as_deref(), &definitions, &Of::users())?;
    let Named { rule, .. } = named.ok_or_else(no_rule)?;
    let to = args.to.unwrap_or(if args.rule.is_json() { Form::Sql } else { Form::Json });
    let text = match to {
        Form::Sql => rule.sql(),
        Form::Json => rule.json(),
    };
    report::data(format!("{text}\n").as_bytes())
}
