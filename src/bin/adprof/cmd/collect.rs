//! `adprof collect`: lines into the log, durably, and from the log into Kafka.

use crate::feed::{self, Feed};
use crate::given::{self, DefinitionArgs, MaxErrors};
use crate::intake::{Counts, Echo, Intake, Manner, Target};
use crate::kafka::KafkaArgs;
use crate::report::{self, Exit, Failure};
use crate::ship::{self, Shipper};
use crate::stop;
use adprof::columns::{Rows, begins_as_parquet};
use adprof::event::Rules;
use adprof::lines::{Lines, source_name};
use adprof::log::{Collector, LogReader, LogWriter, Options, Position};
use adprof::maps::{Map, MapErrorKind};
use adprof::time::Millis;
use anyhow::Result;
use indicatif::ProgressBar;
use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Collect events into the log: validated, stamped, on disk before they are acknowledged
///
/// Reads NDJSON from files or stdin (plain, .gz, .zst), and Parquet, a row a line. A line that is no event goes to the dead letters with its reason, and
/// its neighbours are untouched. What was accepted survives any crash; after one, collect the same input again: duplicates
/// are dropped by who reads the log. With -b and -t the log is shipped to Kafka while it grows; Kafka may be away for long.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof collect < events.jsonl
  tail -F app.jsonl | adprof collect --log events/ -b localhost:9092 -t realtime-events
  adprof collect --map taobao UserBehavior.csv
  adprof collect --to - < events.jsonl | wc -l           check only: accepted events on stdout
  adprof collect --replay mended.ndjson                  dead letters that were mended
  adprof collect --ship -b localhost:9092 -t realtime-events")]
pub struct Args {
    /// What to read; - is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    inputs: Vec<PathBuf>,
    /// The log: a file, or a directory (one that exists or ends with /), partitioned by day of receipt
    #[arg(long, value_name = "PATH", default_value = "ad-events.log")]
    log: PathBuf,
    /// Turn foreign lines into events: taobao, segment-track, snowplow, ga4, cloudevents, or a map file
    #[arg(long, value_name = "NAME|FILE")]
    map: Option<String>,
    /// The input is dead letters: collect their originals
    #[arg(long)]
    replay: bool,
    /// Write accepted events to stdout (-) instead of a log
    #[arg(long, value_name = "-", value_parser = ["-"], hide_possible_values = true, conflicts_with_all = ["ack", "topic", "ship"])]
    to: Option<String>,
    /// Acknowledge each durable commit by a line on stdout: {"lines":N,"accepted":N,"refused":N}, counted from the start
    #[arg(long)]
    ack: bool,
    /// Where refused lines go [default: LOG.dead, or LOG/dead/WRITER.ndjson in a directory]
    #[arg(long, value_name = "FILE")]
    dead: Option<PathBuf>,
    /// The name of this writer in a log directory: several may write, each under its own
    #[arg(long, value_name = "NAME", default_value = "collect")]
    writer: String,
    /// Fail (65) beyond so many refused lines, when all are read [default: only when every line was bad]
    #[arg(long, value_name = "N|P%", value_parser = MaxErrors::parse)]
    max_errors: Option<MaxErrors>,
    #[command(flatten)]
    definitions: DefinitionArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    /// Read nothing: ship what the log holds, and end
    #[arg(long, requires = "topic", conflicts_with_all = ["inputs", "map", "replay", "ack"], help_heading = "Kafka")]
    ship: bool,
    /// At the end, how long to wait for a Kafka that takes nothing
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = given::span, help_heading = "Kafka")]
    ship_timeout: Millis,
}

pub fn run(args: Args) -> Result<()> {
    stop::flag();
    let started = Instant::now();
    let settings = args.kafka.settings()?;
    let patience = Duration::from_millis(args.ship_timeout.unsigned_abs());
    if args.ship {
        let settings = settings.expect("clap requires a topic");
        fs::metadata(&args.log).map_err(|e| report::io(&args.log, &e))?;
        let reader = LogReader::from(&args.log, Position::default());
        let shipper = Shipper::start(reader, &args.log, settings, ship::Role::Alone)?;
        return shipper.finish(patience);
    }
    if args.inputs.iter().any(|path| path.as_os_str() == "-") && io::stdin().is_terminal() {
        report::say("reading events from the terminal, one a line; Ctrl-D ends them");
    }
    let inputs = args.inputs.iter().map(|path| Opened::open(path)).collect::<Result<Vec<_>>>()?;
    let (mut intake, reader) = args.intake()?;
    args.refuse_loops(&inputs)?;
    args.refuse_parquet_as_csv(&inputs)?;
    let shipper = match (reader, settings) {
        (Some(reader), Some(settings)) => Some(Shipper::start(reader, &args.log, settings, ship::Role::Beside)?),
        _ => None,
    };
    let outcome = collect(inputs, &mut intake, shipper.as_ref());
    tell(&args, &intake, started);
    // What is durable is shipped, whatever ended the input.
    let shipped = shipper.map_or(Ok(()), |shipper| shipper.finish(patience));
    let Counts { accepted, refused, .. } = intake.counts();
    let collected = outcome.and_then(|()| given::check_errors(args.max_errors, refused, accepted + refused));
    if let (Err(_), Err(second)) = (&collected, &shipped) {
        report::warn(second);
    }
    collected.and(shipped)
}

impl Args {
    fn intake(&self) -> Result<(Intake, Option<LogReader>)> {
        let definitions = self.definitions.find()?;
        let rules = Rules { event_types: definitions.and_then(|d| d.event_types), reserved: false };
        let manner = Manner { map: self.map()?, replay: self.replay, ack: self.ack };
        if self.to.is_some() {
            return Ok((Intake::new(Target::Echo(Echo::new(rules)), &self.dead_path(false)?, manner), None));
        }
        if self.log.as_os_str() == "-" {
            return Err(usage("the log cannot be stdin").hint("accepted events go to stdout with `--to -`").into());
        }
        let log = LogWriter::open(&self.log, &self.writer, Options::default()).map_err(given::of_log)?;
        for torn in log.recovered() {
            report::warn(format_args!(
                "{}: the last {} bytes, from {} on, ended no line and were set aside in {0}.torn",
                torn.path.display(),
                torn.len,
                torn.offset
            ));
        }
        let reader = LogReader::behind(&log, Position::default());
        let dead = self.dead_path(self.log.is_dir())?;
        let collector = Box::new(Collector::new(log, rules));
        Ok((Intake::new(Target::Log(collector), &dead, manner), Some(reader)))
    }

    fn map(&self) -> Result<Option<Arc<Map>>> {
        let Some(name) = &self.map else { return Ok(None) };
        let map = Map::named_or_file(name).map_err(|e| {
            let exit = match e.kind {
                MapErrorKind::Unknown => Exit::NoInput,
                MapErrorKind::Unreadable => Exit::Io,
                MapErrorKind::Wrong => Exit::Definitions,
            };
            let failure = Failure::new(exit, e.to_string());
            match e.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        if self.replay && map.has_header() {
            let failure = usage("a dead letter holds one line, and this map needs the header of its file");
            return Err(failure.hint("mend the lines in a copy of the file with its header, and collect that").into());
        }
        Ok(Some(Arc::new(map)))
    }

    fn dead_path(&self, directory: bool) -> Result<PathBuf> {
        if let Some(path) = &self.dead {
            return Ok(path.clone());
        }
        if directory {
            let dir = self.log.join("dead");
            adprof::disk::make_dir(&dir).map_err(|e| report::io(&dir, &e))?;
            return Ok(dir.join(format!("{}.ndjson", self.writer)));
        }
        let mut path = self.log.clone().into_os_string();
        path.push(".dead");
        Ok(path.into())
    }

    /// The rows of Parquet have names of their own.
    fn refuse_parquet_as_csv(&self, inputs: &[Opened]) -> Result<()> {
        if !self.map()?.is_some_and(|map| map.is_csv()) {
            return Ok(());
        }
        for input in inputs.iter().filter(|input| input.metadata.is_file()) {
            if begins_as_parquet(&input.file).map_err(|e| report::io(&input.path, &e))? {
                let failure = usage(format!("{}: is Parquet, and the map reads CSV", input.path.display()));
                return Err(failure
                    .hint("a map with format = \"json\" reads the columns of Parquet by their names")
                    .into());
            }
        }
        Ok(())
    }

    /// A log that is read while it is written would never end.
    fn refuse_loops(&self, inputs: &[Opened]) -> Result<()> {
        if self.to.is_some() {
            return Ok(());
        }
        let log = fs::canonicalize(&self.log).ok();
        for input in inputs {
            let inside = match (&log, fs::canonicalize(&input.path)) {
                (Some(log), Ok(path)) => log.is_dir() && path.starts_with(log),
                _ => false,
            };
            if inside || same_file(&input.metadata, &self.log) {
                let failure = usage(format!("{} is part of the log itself", input.path.display()));
                return Err(failure.hint("what is in the log has been collected").into());
            }
        }
        Ok(())
    }
}

/// An input that is there.
struct Opened {
    path: PathBuf,
    file: File,
    metadata: Metadata,
}

impl Opened {
    fn open(path: &Path) -> Result<Opened> {
        let failed = |e: io::Error| report::io(path, &e);
        let file = if path.as_os_str() == "-" {
            File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?)
        } else {
            File::open(path).map_err(failed)?
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Failure::new(Exit::NoInput, format!("{}: is a directory", path.display())).into());
        }
        Ok(Opened { path: path.to_owned(), file, metadata })
    }
}

fn same_file(metadata: &Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()))
}

/// Takes all inputs, in their order. On an error what was taken before is committed all the same.
fn collect(inputs: Vec<Opened>, intake: &mut Intake, shipper: Option<&Shipper>) -> Result<()> {
    let regular = inputs.iter().all(|input| input.metadata.is_file());
    let total = if regular { inputs.iter().map(|input| input.metadata.len()).sum() } else { 0 };
    let bar = report::progress(total, "collect");
    // What a run before has left is shipped although nothing may come.
    commit(intake, shipper)?;
    for input in inputs {
        let outcome = collect_one(input, intake, shipper, &bar);
        // The log's own errors are final and come again here; the first is the one to tell.
        let committed = commit(intake, shipper);
        match outcome? {
            Ended::Input => committed?,
            Ended::Signal => {
                committed?;
                break;
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

enum Ended {
    Input,
    Signal,
}

fn collect_one(input: Opened, intake: &mut Intake, shipper: Option<&Shipper>, bar: &ProgressBar) -> Result<Ended> {
    let Opened { path, file, metadata } = input;
    // Letters that are refused again go to the end of the file they come from: they are not for this run.
    let end = if same_file(&metadata, intake.dead().path()) { metadata.len() } else { u64::MAX };
    let failed = |e: io::Error| report::io(Path::new(&source_name(&path)), &e);
    // A file of Parquet is read in place: as a stream it would be copied first.
    let raw: Box<dyn Read + Send> = if metadata.is_file() && begins_as_parquet(&file).map_err(failed)? {
        Box::new(Rows::open(file).map_err(failed)?)
    } else {
        Box::new(bar.wrap_read(file).take(end))
    };
    let mut lines = Lines::new(Feed::start(raw).map_err(failed)?);
    let mut source = intake.source(&source_name(&path));
    loop {
        match lines.step() {
            Ok(true) => intake.line(&lines.line(), &mut source)?,
            Ok(false) => return Ok(Ended::Input),
            Err(e) if feed::is_stop(&e) => return Ok(Ended::Signal),
            Err(e) => return Err(failed(e).into()),
        }
        // When nothing more is at hand, nobody must wait for a group to fill.
        if intake.due() || (lines.input().idle() && !lines.ready()) {
            commit(intake, shipper)?;
        }
    }
}

fn commit(intake: &mut Intake, shipper: Option<&Shipper>) -> Result<()> {
    intake.commit()?;
    if let (Some(shipper), Some(ends)) = (shipper, intake.ends()) {
        shipper.advance(ends);
    }
    Ok(())
}

fn tell(args: &Args, intake: &Intake, started: Instant) {
    let Counts { accepted, forgotten, refused, .. } = intake.counts();
    let dead = intake.dead().path().display();
    if refused > 0 {
        report::say(format_args!("refused: {}", intake.codes()));
    }
    let refused = match refused {
        0 => String::new(),
        n => format!(" ({} refused → {dead})", given::grouped(n)),
    };
    if forgotten > 0 {
        report::say(format_args!("forgotten: {} lines of users who are to stay so", given::grouped(forgotten)));
    }
    let into = if args.to.is_some() { String::new() } else { format!(" into {}", args.log.display()) };
    let rate = given::rate(accepted, started.elapsed().as_secs_f64());
    report::say(format_args!("collected {} events{refused}{into}, {rate} events/s", given::grouped(accepted)));
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}
