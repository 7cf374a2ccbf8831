//! `adprof segment`: who a rule is true of, by a scan of the store.
//!
//! A result is whole or an error: where the scan fails, the exit code says so.

use crate::ask::{AskArgs, RuleArgs, members, usage};
use crate::report;
use adprof::key::Key;
use adprof::ndjson::shown;
use adprof::patch::push_key;
use anyhow::Result;
use clap::Subcommand;
use std::io::{self, IsTerminal};

/// Bytes of output gathered before they are written.
const CHUNK: usize = 1 << 16;

const EXAMPLES: &str = r#"Examples:
  adprof segment size --where "ltv_total >= 100 AND last_click_category = 'sports'"
  adprof segment members --where "clicks_1h_count > 3" | adprof query -
  adprof segment size --rule '{"tag_code":"ltv_total","op":">=","value":100}'
  adprof segment members --rule @rule.json > ids.txt"#;

/// Find the users a rule is true of
///
/// A user without a value for a tag is no member of a rule that compares it, nor of its NOT; IS NULL finds
/// such users. as_of() in a rule is the instant asked about.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The ids of the members, one a line
    Members(Asked),
    /// How many members there are
    Size(Asked),
}

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct Asked {
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// Plain ids or a plain number, or NDJSON: {"userId":…} and {"size":…,"of":…,"asOf":…}
    #[arg(long, value_enum, default_value_t = Format::Ids)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Ids,
    Ndjson,
}

pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Members(asked) => list(asked),
        What::Size(asked) => size(asked),
    }
}

fn list(asked: Asked) -> Result<()> {
    let mut profiles = asked.ask.open()?;
    let of = asked.ask.of(profiles.definitions())?;
    let rule = asked.rule.read(profiles.definitions(), &of)?;
    if rule.is_none() {
        return Err(no_rule().into());
    }
    let terminal = io::stdout().is_terminal();
    let mut out = Vec::with_capacity(CHUNK + 1024);
    members(&mut profiles, &of, rule, |profile| {
        match asked.format {
            Format::Ids => push_id(&mut out, &profile.key, terminal),
            Format::Ndjson => {
                out.push(b'{');
                push_key(&mut out, &profile.key);
                out.extend_from_slice(b"}\n");
            }
        }
        if out.len() >= CHUNK {
            report::data(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    report::data(&out)
}

/// Byte for byte in a pipe, so that it is the same id for whoever reads it; harmless on a terminal.
fn push_id(out: &mut Vec<u8>, key: &Key, terminal: bool) {
    match terminal {
        true => out.extend_from_slice(shown(&key.text()).as_bytes()),
        false => out.extend_from_slice(key.text().as_bytes()),
    }
    out.push(b'\n');
}

fn size(asked: Asked) -> Result<()> {
    let mut profiles = asked.ask.open()?;
    let of = asked.ask.of(profiles.definitions())?;
    let rule = asked.rule.read(profiles.definitions(), &of)?;
    if rule.is_none() {
        return Err(no_rule().into());
    }
    let mut size = 0u64;
    let all = members(&mut profiles, &of, rule, |_| {
        size += 1;
        Ok(())
    })?;
    match asked.format {
        Format::Ids => report::data(format!("{size}\n").as_bytes()),
        Format::Ndjson => {
            let line = format!("{{\"size\":{size},\"of\":{all},\"asOf\":{}}}\n", profiles.as_of());
            report::data(line.as_bytes())
        }
    }
}

fn no_rule() -> crate::report::Failure {
    usage("no rule given").hint("write --where \"ltv_total >= 100\", or --rule @FILE")
}
