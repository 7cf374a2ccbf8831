//! `adprof doctor`: what around adprof could lose data, stop it or make it slow.

mod disk;
mod finding;
mod kafka;
mod redis;
mod state;

use crate::given::{self, DefinitionArgs, StoreArgs};
use crate::kafka::KafkaArgs;
use crate::report::{self, Exit, Failure};
use adprof::store::{Embedded, Location};
use adprof::tag::Definitions;
use anyhow::Result;
use finding::{Finding, Level, table};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Say what around adprof is at risk
///
/// Looks at the definition file, the log's disk, the store, and with -t at the topic: each check is ok, a risk with what to do
/// about it, or unknown where nobody tells. Writes nothing but a probe of 36 KB, removed again, where the log and the state lie.
/// Exit code 1 when there is a risk.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof doctor
  adprof doctor -b localhost:9092 -t realtime-events --store redis://localhost:6379
  adprof doctor --log events/ --store file:./adprof-store --deep
  adprof doctor --json | jq -r 'select(.level == \"risk\") | .check'")]
pub struct Args {
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// The directory of the state behind a Redis store
    #[arg(long, value_name = "DIR", default_value = "adprof-state")]
    state: PathBuf,
    /// The log [default: ad-events.log if there]
    #[arg(long, value_name = "PATH")]
    log: Option<PathBuf>,
    /// Read every page of the store, too
    #[arg(long)]
    deep: bool,
    /// Write NDJSON, a line a check [default: a table on a terminal, NDJSON in a pipe]
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut findings = vec![disk::descriptors()];
    let definitions = definitions(&args, &mut findings);
    let log = args.log.clone().unwrap_or_else(|| PathBuf::from("ad-events.log"));
    if args.log.is_some() || log.exists() {
        disk::look(&log, "log", &mut findings);
        findings.extend(disk::days_left(&log));
    }
    let topic = match args.kafka.settings()? {
        Some(settings) => kafka::look(&settings, &mut findings),
        None => None,
    };
    let location = args.store.choose(definitions.as_ref())?;
    let dir = match &location {
        Location::Embedded(dir) => dir.clone(),
        Location::Redis(url) => {
            redis::look(url, &mut findings);
            args.state.clone()
        }
    };
    // Where no stream has run yet there is no state to look at; a store that was named should be there.
    if Embedded::exists(&dir) {
        disk::look(&dir, "store", &mut findings);
        let own = args.definitions.find().ok().flatten().or(definitions);
        state::look(&dir, args.deep, own, topic.as_ref(), &mut findings);
    } else if let Location::Embedded(_) = location {
        let hint = "`adprof sink file:DIR` and `adprof stream --store file:DIR` make one";
        findings.push(Finding::risk("store", format!("{}: no store is there", dir.display())).hint(hint));
    }
    tell(&findings, args.json)
}

fn definitions(args: &Args, findings: &mut Vec<Finding>) -> Option<Definitions> {
    match args.definitions.load() {
        Ok(definitions) => {
            let words = format!(
                "{}: {} tags",
                definitions.source,
                definitions.tags.iter().filter(|tag| !tag.is_hidden()).count()
            );
            findings.push(Finding::ok("definitions", words));
            Some(definitions)
        }
        Err(error) => {
            let first = format!("{error:#}").lines().next().unwrap_or_default().to_string();
            findings.push(Finding::risk("definitions", first).hint("all of it: adprof check"));
            None
        }
    }
}

fn tell(findings: &[Finding], json: bool) -> Result<()> {
    if json || !io::stdout().is_terminal() {
        let lines: String = findings.iter().map(|finding| format!("{}\n", finding.json())).collect();
        report::data(lines.as_bytes())?;
    } else {
        report::data(table(findings).as_bytes())?;
    }
    match findings.iter().filter(|finding| finding.level == Level::Risk).count() {
        0 => Ok(()),
        risks => {
            let what = if risks == 1 { "1 risk".to_string() } else { format!("{risks} risks") };
            Err(Failure::new(Exit::Differs, format!("{what} in {} checks", findings.len())).into())
        }
    }
}

/// A directory that takes files: the path itself, or the one it stands in.
fn directory(path: &Path) -> &Path {
    if path.is_dir() { path } else { adprof::disk::parent(path) }
}

/// What an error says, without its hint.
fn words(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

/// A clock may differ from ours by so much: values and receipts follow ours to the second.
const CLOCK_MS: i64 = 1000;

/// What a foreign clock says, read in `round_trip_ms` there and back.
fn clock(check: &'static str, theirs: i64, round_trip_ms: i64) -> Finding {
    let apart = theirs - given::now();
    if apart.abs() > CLOCK_MS + round_trip_ms {
        let words =
            format!("its clock is {} s {} ours", apart.abs() / 1000, if apart > 0 { "ahead of" } else { "behind" });
        let hint = "synchronise both: windows fall by this machine's clock, and events more than 5 min ahead of it are refused";
        Finding::risk(check, words).hint(hint)
    } else {
        Finding::ok(check, "its clock agrees with ours to the second")
    }
}
