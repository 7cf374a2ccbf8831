//! `adprof log export`: the events of the log as Parquet.

use crate::given::{self, MaxErrors, grouped, rate};
use crate::letters::Letters;
use crate::report::{self, Exit, Failure};
use crate::whole::into_file;
use adprof::columns::{Batch, Writer};
use adprof::disk::make_dir;
use adprof::event::{Event, Rules, too_long};
use adprof::lines::Text;
use adprof::log::{Log, LogFile};
use adprof::run::batch::Refused;
use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::civil::Date;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// Write the events of the log as Parquet
///
/// The known fields are columns: eventId, userId, eventType and the other names as strings, timestamp and receivedAt as
/// TIMESTAMP in UTC, amount as DECIMAL(19,6). All other fields stand together as JSON in the column extra, in their order.
/// Duplicates stay. `adprof collect` and `adprof batch --log` read such files again, and any others of Parquet. A file
/// appears whole or not at all; with a directory (-o DIR/) each day of the log is DIR/dt=DAY/events.parquet.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof log export events/ -o events.parquet
  adprof log export events/ --since 2026-11-01 --through 2026-11-30 -o november/
  adprof log export > events.parquet
  duckdb -c \"SELECT eventType, count(*) FROM 'events.parquet' GROUP BY ALL\"")]
pub struct Args {
    /// The log: a directory or a file
    #[arg(value_name = "LOG", default_value = "ad-events.log")]
    log: PathBuf,
    /// Where to write; a file there is replaced at the end, at once. With / at its end: a file for each day. Without it: stdout
    #[arg(short, long, value_name = "FILE|DIR/")]
    output: Option<PathBuf>,
    /// The first day of receipt, of a log of days
    #[arg(long, value_name = "D")]
    since: Option<Date>,
    /// The last day of receipt, of a log of days
    #[arg(long, value_name = "D")]
    through: Option<Date>,
    /// Write refused lines here
    #[arg(long, value_name = "FILE")]
    dead: Option<PathBuf>,
    /// Fail (65) beyond so many refused lines [default: only when every line was bad]
    #[arg(long, value_name = "N|P%", value_parser = MaxErrors::parse)]
    max_errors: Option<MaxErrors>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    events: u64,
    refused: u64,
}

pub fn run(args: Args) -> Result<()> {
    let began = Instant::now();
    let log = args.open()?;
    let letters = Letters::new(args.dead.as_deref());
    let to = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let outcome = match to {
        None if io::stdout().is_terminal() => {
            let failure = Failure::new(Exit::Usage, "Parquet is nothing for a terminal");
            return Err(failure.hint("-o FILE names a file").into());
        }
        None => args.one(log.files(), &letters, io::stdout()),
        Some(dir) if is_directory(dir) => args.by_day(&log, dir, &letters),
        Some(path) => into_file(path, |file| args.one(log.files(), &letters, file.try_clone()?)),
    };
    letters.finish()?;
    let counts = outcome?;
    let seconds = began.elapsed().as_secs_f64();
    let refused = if counts.refused > 0 { format!(" ({} refused)", grouped(counts.refused)) } else { String::new() };
    let into = to.map(|path| format!(" into {}", path.display())).unwrap_or_default();
    let rate = rate(counts.events, seconds);
    report::say(format_args!("exported {} events{refused}{into}, {rate} events/s", grouped(counts.events)));
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

impl Args {
    fn open(&self) -> Result<Log> {
        let log = Log::open(&self.log).map_err(given::of_log)?;
        let until = self.through.map(|day| day.tomorrow().unwrap_or(day));
        if (self.since.is_some() || until.is_some()) && log.files().iter().any(|file| file.day.is_none()) {
            let failure = Failure::new(Exit::Usage, format!("{}: a log of one file has no days", self.log.display()));
            return Err(failure.hint("export it as a whole, without --since and --through").into());
        }
        let log = log.between(self.since, until);
        if log.files().is_empty() {
            let failure = Failure::new(Exit::NoInput, format!("{}: no log in it", self.log.display()));
            return Err(failure.hint("a log is a file, or a directory of dt=YYYY-MM-DD/*.ndjson").into());
        }
        Ok(log)
    }

    /// One file of all, fit to be kept only when not too much was bad.
    fn one(&self, files: &[Arc<LogFile>], letters: &Letters, out: impl Write + Send) -> Result<Counts> {
        let counts = write(files, letters, out)?;
        given::check_errors(self.max_errors, counts.refused, counts.events + counts.refused)?;
        Ok(counts)
    }

    fn by_day(&self, log: &Log, dir: &Path, letters: &Letters) -> Result<Counts> {
        let mut total = Counts::default();
        for files in log.files().chunk_by(|a, b| a.day == b.day) {
            let Some(day) = files[0].day else {
                let failure =
                    Failure::new(Exit::Usage, format!("{}: a log of one file has no days", self.log.display()));
                return Err(failure.hint("-o FILE writes one file").into());
            };
            let folder = dir.join(format!("dt={day}"));
            make_dir(&folder).map_err(|e| report::io(&folder, &e))?;
            let counts = into_file(&folder.join("events.parquet"), |file| self.one(files, letters, file.try_clone()?))?;
            total.events += counts.events;
            total.refused += counts.refused;
        }
        Ok(total)
    }
}

/// Reads the files in their order on this thread while another writes the row groups.
fn write(files: &[Arc<LogFile>], letters: &Letters, out: impl Write + Send) -> Result<Counts> {
    let writer = Writer::new(out)?;
    thread::scope(|scope| {
        // One batch waits while one is written and one is filled.
        let (send, full) = bounded(1);
        let written = scope.spawn(move || drain(writer, &full));
        let read = read(files, letters, &send);
        drop(send);
        // What hung up the reader is told by the writer.
        written.join().expect("a panic ends the program")?;
        read
    })
}

fn drain(mut writer: Writer<impl Write + Send>, full: &Receiver<Batch>) -> io::Result<()> {
    for batch in full {
        writer.write(batch)?;
    }
    writer.finish()?.flush()
}

fn read(files: &[Arc<LogFile>], letters: &Letters, send: &Sender<Batch>) -> Result<Counts> {
    let rules = Rules { event_types: None, reserved: true };
    let (mut events, mut refused, mut batch) = (0, 0, Batch::default());
    let now = given::now();
    for file in files {
        // A whole file is one chunk.
        let log = Log::of_file(file);
        for chunk in log.chunks(u64::MAX) {
            let mut lines = chunk.lines().map_err(given::of_log)?;
            while let Some(line) = lines.next().map_err(given::of_log)? {
                let parsed = match line.text {
                    Text::Whole(bytes) => Event::parse(bytes, now, &rules),
                    Text::TooLong { .. } => Err(too_long()),
                };
                match parsed {
                    Ok(Some(event)) if is_forgotten(file, &event) => {}
                    Ok(Some(event)) => batch.push(&event),
                    Ok(None) => {}
                    Err(refusal) => {
                        refused += 1;
                        letters.take(Refused { refusal: &refusal, file, offset: line.offset, text: line.text });
                    }
                }
                if batch.full() {
                    events += batch.rows() as u64;
                    if send.send(std::mem::take(&mut batch)).is_err() {
                        return Ok(Counts { events, refused });
                    }
                }
            }
            let end = lines.finish();
            if let Some(torn) = end.torn {
                // Nothing tells a write cut short from a file made by hand but whether it is an event.
                match Event::parse(&end.last, now, &rules) {
                    Ok(Some(event)) if is_forgotten(file, &event) => {}
                    Ok(Some(event)) => batch.push(&event),
                    _ => report::warn(format_args!(
                        "{}: the last {} bytes, from {} on, end no line and are no event",
                        torn.path.display(),
                        torn.len,
                        torn.offset
                    )),
                }
            }
        }
    }
    events += batch.rows() as u64;
    // A writer that failed says so itself.
    let _ = send.send(batch);
    Ok(Counts { events, refused })
}

fn is_forgotten(file: &LogFile, event: &Event<'_>) -> bool {
    file.forgotten.drops(event.user_id.as_bytes(), event.timestamp)
}
