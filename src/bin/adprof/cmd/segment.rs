//! `adprof segment`: audiences, of the definition file or of a rule that is typed, by a scan of the store.
//!
//! A result is whole or an error: where the scan fails, the exit code says so. Each names its version and instant.

mod built;
mod count;
mod diff;
mod index;
mod insight;
mod line;
mod list;
mod lookalike;
mod user;

use crate::ask::{AskArgs, HowArgs, RuleArgs};
use anyhow::Result;
use clap::Subcommand;
pub use index::{build as build_index, compare as compare_index, say as tell_index, verdict as index_verdict};
pub use list::told;
use std::io::{self, IsTerminal};

const EXAMPLES: &str = r#"Examples:
  adprof segment list
  adprof segment check
  adprof segment size sports_fans
  adprof segment size --where "ltv_total >= 100 AND last_click_category = 'sports'"
  adprof segment members --where "clicks_1h_count > 3" | adprof query -
  adprof segment size --rule '{"tag_code":"ltv_total","op":">=","value":100}'
  adprof segment members --rule @rule.json > ids.txt
  adprof segment match u-001
  adprof segment explain u-001 sports_fans
  adprof segment plan sports_fans
  adprof segment insight sports_fans
  adprof segment convert --where "ltv_total >= 100"        the same as JSON"#;

/// Audiences: define, check, count and list them
///
/// A segment is a rule on the tags of users, [[segment]] in the definition file. A user without a value for a tag is
/// no member of a rule that compares it, nor of its NOT; IS NULL finds such users. as_of() in a rule is the instant
/// asked about, ago('7d') seven days before it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The segments of the definition file, with their versions
    List(list::ListArgs),
    /// What is strange about the segments: rules that are never or always true, rules that are the same
    Check(list::CheckArgs),
    /// A rule in the other form: SQL as JSON, JSON as SQL
    Convert(list::ConvertArgs),
    /// How many members there are
    Size(Asked),
    /// The ids of the members, one a line
    Members(Asked),
    /// The active segments that users are in
    Match(user::MatchArgs),
    /// Why a user is in a segment or not, what it takes, and when time alone changes it
    Explain(user::ExplainArgs),
    /// Build the index of a store, or bring it up to date: size, members and exports then take milliseconds
    Index(index::IndexArgs),
    /// Keep the members of segments as they are now; a former audience is replaced at once, and whole
    Build(built::BuildArgs),
    /// The builds of a segment: versions, instants, sizes, who joined and left
    History(built::HistoryArgs),
    /// Two segments, rules, definition files or instants compared: who enters, who leaves
    Diff(diff::DiffArgs),
    /// What activating a segment would do: its size, who joins and leaves, what it shares with others
    Plan(diff::PlanArgs),
    /// Who is in an audience: how its tags are distributed, compared with all profiles or with another segment
    Insight(insight::InsightArgs),
    /// The users outside of an audience who are most like it, and why
    Lookalike(lookalike::LookalikeArgs),
}

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct Asked {
    /// A segment of the definition file
    #[arg(value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    code: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    ask: AskArgs,
    #[command(flatten)]
    how: HowArgs,
    /// As it was built last by `segment build`, not as it is now
    #[arg(long, requires = "code", conflicts_with = "scan")]
    built: bool,
    /// Plain ids or a plain number, or NDJSON: {"userId":…,"version":…,"asOf":…} and {"version":…,"asOf":…,"size":…,"of":…}
    #[arg(long, value_enum, default_value_t = Format::Ids)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Ids,
    Ndjson,
}

/// How a result is shown.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shown {
    Table,
    Ndjson,
}

fn usual(format: Option<Shown>) -> Shown {
    format.unwrap_or(if io::stdout().is_terminal() { Shown::Table } else { Shown::Ndjson })
}

pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::List(args) => list::list(args),
        What::Check(args) => list::check(args),
        What::Convert(args) => list::convert(args),
        What::Size(asked) => count::size(asked),
        What::Members(asked) => count::members(asked),
        What::Match(args) => user::matching(args),
        What::Explain(args) => user::explain(args),
        What::Index(args) => index::index(args),
        What::Build(args) => built::build(args),
        What::History(args) => built::history(args),
        What::Diff(args) => diff::diff(args),
        What::Plan(args) => diff::plan(args),
        What::Insight(args) => insight::insight(args),
        What::Lookalike(args) => lookalike::lookalike(args),
    }
}
