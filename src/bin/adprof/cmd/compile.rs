//! `adprof compile`: the definitions as SQL for another engine.

use crate::ask::{Of, of_entity};
use crate::given::{self, DefinitionArgs};
use crate::report::{self, Exit, Failure};
use crate::whole::into_file;
use adprof::engine::plan::Plan;
use adprof::sql::{self, Engine, Form, Instant, Job, Place, Source, Topic};
use adprof::tag::{Definitions, Update};
use anyhow::Result;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Print the definitions as one SQL statement for Spark, Flink, DuckDB or ClickHouse
///
/// The statement runs as it stands over the log (--log) or over a table or a view (--from), and gives a row per user:
/// userId, then the tags as columns, with the values that `batch` gives at the same --as-of; with --entity a row per key of
/// that entity, its parts first. What an engine cannot say exactly is refused at the definition that asks for it (exit code
/// 78), never approximated.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof compile --to duckdb --as-of 2026-11-20 | duckdb
  adprof compile --to spark --from events --tags all --as-of 2026-11-20 -o tags.sql
  adprof compile --to spark --entity item --tags all --as-of 2026-11-20     a row per item
  adprof compile --to clickhouse --log /data/events/ --as-of 2026-11-20 | clickhouse local
  adprof compile --to flink --job -b kafka:9092 -t realtime-events --into profiles --tags ltv_total -o job.sql
  sql-client.sh -f job.sql                             the job on a cluster of Flink")]
pub struct Args {
    /// The engine to write for
    #[arg(long, value_name = "ENGINE", value_enum)]
    to: To,
    /// The log: a file, a directory of date partitions, or an address such as s3://… (a directory ends in /);
    /// may be given several times [default: ad-events.log]
    #[arg(long, value_name = "PATH")]
    log: Vec<PathBuf>,
    /// Read this table or view instead: a column for each field, `timestamp` in milliseconds
    #[arg(long, value_name = "NAME", conflicts_with = "log")]
    from: Option<String>,
    /// The column of the table by which the first of several events with one id is known
    #[arg(long, value_name = "COLUMN", requires = "from")]
    order: Option<String>,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// Write the tags of this entity of the definitions, a row per key [default: user]
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
    /// The tags to compute: all, or codes; of one entity [default: those with update = \"daily\"]
    #[arg(long, value_name = "all|CODE,...", value_delimiter = ',')]
    tags: Vec<String>,
    /// The instant of the values: events up to it count [default: the last event; of a job: none, every event counts]
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
    /// The time zone of a date in --as-of
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Write to this file, which appears whole or not at all, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "A job")]
struct JobArgs {
    /// Write a script that runs by itself: for Flink's sql-client.sh -f, a streaming job over a topic of Kafka; for spark-sql
    /// -f, the statement with its command line on top
    #[arg(long)]
    job: bool,
    /// Kafka's brokers
    #[arg(short, long, value_name = "HOST:PORT,...", default_value = "localhost:9092", requires = "job")]
    brokers: String,
    /// The topic of events
    #[arg(short, long, value_name = "TOPIC", default_value = "realtime-events", requires = "job")]
    topic: String,
    /// Where the job writes: Flink a topic, by the key; Spark a folder of Parquet [default: they are printed]
    #[arg(long, value_name = "TOPIC|DIR", requires = "job")]
    into: Option<String>,
    /// End where the topic ends now
    #[arg(short = 'e', long, requires = "job")]
    exit: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Spark,
    Flink,
    #[value(name = "duckdb")]
    DuckDb,
    #[value(name = "clickhouse")]
    ClickHouse,
}

impl To {
    fn engine(self) -> Engine {
        match self {
            To::Spark => Engine::Spark,
            To::Flink => Engine::Flink,
            To::DuckDb => Engine::DuckDb,
            To::ClickHouse => Engine::ClickHouse,
        }
    }
}

pub fn run(args: Args) -> Result<()> {
    let definitions = Arc::new(args.definitions.load()?);
    let tags = args.tags(&definitions)?;
    let zone = given::zone(&args.tz)?;
    let as_of = args.as_of.as_ref().map(|text| given::instant(text, &zone)).transpose()?;
    let plan = Plan::new(definitions, &tags);
    let instant = match as_of {
        Some(t) => Instant::At(t),
        None if args.job.job && args.to == To::Flink => Instant::Live,
        None => Instant::Last,
    };
    let source = args.source()?;
    let job = args.job.job.then(|| Job { into: args.job.into.clone() });
    let form = Form { plan: &plan, source, instant, job };
    let text = sql::compile(args.to.engine(), &form).map_err(|problems| {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Definitions, text.join("\n"))
    })?;
    match args.output.as_deref().filter(|path| path.as_os_str() != "-") {
        None => report::data(text.as_bytes()),
        Some(path) => into_file(path, |file| Ok(file.write_all(text.as_bytes())?)),
    }
}

impl Args {
    /// The tags of the entity that is meant, never none; says which other entities have some, unless one is named.
    fn tags(&self, definitions: &Definitions) -> Result<Vec<usize>> {
        let of = Of::named(self.entity.as_deref(), definitions)?;
        let mut tags = given::tags(definitions, &self.tags, Update::Daily)?;
        if !self.tags.is_empty() && self.tags != ["all"] {
            of_entity(&tags, definitions, &of)?;
        } else {
            tags.retain(|tag| !definitions.tags[*tag].is_hidden());
        }
        let others: BTreeSet<usize> = tags.iter().map(|tag| definitions.tags[*tag].entity).collect();
        let others: Vec<String> = others
            .into_iter()
            .filter(|entity| *entity != of.place)
            .map(|entity| format!("--entity {}", definitions.entities[entity].name))
            .collect();
        tags.retain(|tag| definitions.tags[*tag].entity == of.place);
        if !tags.is_empty() {
            if self.entity.is_none() && !others.is_empty() {
                let words = "this statement has the tags of users; those of other entities are written by";
                report::warn(format_args!("{words} {}", others.join(", ")));
            }
            return Ok(tags);
        }
        let whose = if of.is_users() { String::new() } else { format!(" of `{}`", of.name) };
        let message = match &self.tags[..] {
            [] => format!("{} has no tag{whose} with update = \"daily\"", definitions.source),
            _ => format!("{} has no tag of `{}`", definitions.source, of.name),
        };
        let hint = match self.entity {
            None if !others.is_empty() => format!("tags of other entities: {}", others.join(", ")),
            _ => "name the tags: --tags all, or --tags CODE".to_string(),
        };
        Err(Failure::new(Exit::Definitions, message).hint(hint).into())
    }

    fn source(&self) -> Result<Source> {
        let JobArgs { job, brokers, topic, exit, .. } = &self.job;
        if *job && !matches!(self.to, To::Flink | To::Spark) {
            let message = format!("--job: {} runs a statement, not a job", self.to.engine().name());
            return Err(Failure::new(Exit::Usage, message).into());
        }
        if *job && self.to == To::Flink {
            if self.from.is_some() || !self.log.is_empty() {
                let failure = Failure::new(Exit::Usage, "a job of Flink reads a topic: --topic, not --log or --from");
                return Err(failure.hint("without --job it is a batch job over files or a table").into());
            }
            let topic = Topic { brokers: brokers.clone(), name: topic.clone(), bounded: *exit };
            return Ok(Source::Topic(topic));
        }
        match &self.from {
            Some(name) => Ok(Source::Table { name: name.clone(), order: self.order.clone() }),
            None if self.log.is_empty() => Ok(Source::Log(vec![place(Path::new("ad-events.log"))?])),
            None => Ok(Source::Log(self.log.iter().map(|path| place(path)).collect::<Result<_>>()?)),
        }
    }
}

/// Where a part of the log lies, for an engine that may run elsewhere than here.
fn place(path: &Path) -> Result<Place> {
    let text = path.to_str().ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{}: SQL can only name a path that is UTF-8", path.display()))
    })?;
    if text == "-" {
        let failure = Failure::new(Exit::Usage, "SQL cannot read standard input");
        return Err(failure.hint("name a file or a directory: --log PATH").into());
    }
    if text.contains("://") {
        return Ok(if text.ends_with('/') { Place::Directory(text.into()) } else { Place::File(text.into()) });
    }
    let whole = std::path::absolute(path).map_err(|e| report::io(path, &e))?;
    let whole = whole.to_string_lossy().into_owned();
    Ok(if path.is_dir() || text.ends_with('/') { Place::Directory(whole) } else { Place::File(whole) })
}
