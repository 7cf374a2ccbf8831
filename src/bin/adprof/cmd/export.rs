//! `adprof export`: profiles, or an audience, as CSV or NDJSON.
//!
//! A file named with `-o` is replaced when the new one is whole and on the disk, not before.

use crate::ask::{AskArgs, Chosen, Of, RuleArgs, TagArgs, members};
use crate::given::{grouped, rate};
use crate::report;
use crate::whole::into_file;
use adprof::export::{Cells, Csv};
use adprof::ndjson::shown;
use adprof::profiles::Profiles;
use adprof::segment::Rule;
use anyhow::Result;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

const BUFFER: usize = 1 << 16;

/// Write profiles as CSV or NDJSON
///
/// CSV has the column userId, or one named as the entity, and one for each of its tags; a missing value is an empty cell, a datetime
/// is in milliseconds. Cells that a spreadsheet would run as a formula (= + - @ TAB CR LF in front) get a ' in front,
/// ids too; plain numbers stay. NDJSON has the profiles as `query` shows them.
#[derive(clap::Args)]
#[command(after_help = r#"Examples:
  adprof export -o profiles.csv
  adprof export --where "ltv_total >= 100" --tags ltv_total,segment_id -o buyers.csv
  adprof export --format ndjson | gzip > profiles.ndjson.gz
  adprof export --segment sports_fans --format ndjson
  adprof export --rule @rule.json --as-of 2026-11-20T10:00:00Z -o audience.csv"#)]
pub struct Args {
    /// The members of this segment of the definition file
    #[arg(long, value_name = "CODE", conflicts_with_all = ["sql", "rule"])]
    segment: Option<String>,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    tags: TagArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// How to write [default: what the name of the file says, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where to write; a file there is replaced at the end, at once. Without it, or with `-`: standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave CSV cells that look like formulas as they are
    #[arg(long)]
    raw: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

pub fn run(args: Args) -> Result<()> {
    let began = Instant::now();
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let format = args.format.unwrap_or_else(|| usual_format(output));
    let mut profiles = args.ask.open()?;
    let of = args.ask.of(profiles.definitions())?;
    let job = Job {
        rule: args.rule.read(args.segment.as_deref(), profiles.definitions(), &of)?.map(|named| named.rule),
        tags: args.tags.choose(profiles.definitions(), &of)?,
        of,
        format,
        cells: match (args.raw, output) {
            (true, _) => Cells::Raw,
            (false, None) if io::stdout().is_terminal() => Cells::Shown,
            (false, _) => Cells::Safe,
        },
    };
    let (rows, all) = match output {
        None => job.write(&mut profiles, io::stdout())?.0,
        Some(path) => into_file(path, |file| Ok(job.write(&mut profiles, file)?.0))?,
    };
    let to = output.map(|path| format!(" into {}", shown(&path.display().to_string()))).unwrap_or_default();
    let seconds = began.elapsed().as_secs_f64();
    let of = if rows == all { String::new() } else { format!(" of {}", grouped(all)) };
    report::say(format_args!(
        "exported {}{of} profiles{to} in {seconds:.1} s, {} profiles/s",
        grouped(rows),
        rate(all, seconds)
    ));
    Ok(())
}

fn usual_format(output: Option<&Path>) -> Format {
    let extension = output.and_then(Path::extension).and_then(|e| e.to_str());
    match extension {
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => Format::Csv,
    }
}

/// What is to be written.
struct Job {
    of: Of,
    rule: Option<Rule>,
    tags: Chosen,
    format: Format,
    cells: Cells,
}

impl Job {
    /// Writes it; how many profiles were written, and how many there are.
    fn write<W: Write>(self, profiles: &mut Profiles, out: W) -> Result<((u64, u64), W)> {
        let definitions = profiles.definitions().clone();
        let mut rows = 0;
        let out = BufWriter::with_capacity(BUFFER, out);
        let (all, out) = match self.format {
            Format::Csv => {
                let own = |tag: &usize| {
                    let tag = &definitions.tags[*tag];
                    tag.entity == self.of.place && self.tags.keeps(&definitions, &tag.code)
                };
                let tags = (0..definitions.tags.len()).filter(own).collect();
                let key = if self.of.is_users() { "userId" } else { &self.of.name };
                let mut csv = Csv::begin(out, key, &definitions, tags, self.cells)?;
                let all = members(profiles, &self.of, self.rule, |profile| {
                    rows += 1;
                    Ok(csv.row(&profile)?)
                })?;
                (all, csv.finish()?)
            }
            Format::Ndjson => {
                let mut out = out;
                let mut line = Vec::new();
                let keep = |code: &str| self.tags.keeps(&definitions, code);
                let all = members(profiles, &self.of, self.rule, |profile| {
                    rows += 1;
                    line.clear();
                    profile.push_line(&definitions, keep, &mut line);
                    Ok(out.write_all(&line)?)
                })?;
                (all, out)
            }
        };
        let mut out = out;
        out.flush()?;
        let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(((rows, all), out))
    }
}
