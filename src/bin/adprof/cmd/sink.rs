//! `adprof sink`: patches from stdin or a file into a store.
//!
//! Patches are absolute, so a run that was cut short is simply run again. One thread parses
//! while this one writes, in large batches under load and within milliseconds when little comes.

mod index;
mod queue;
mod reader;
mod refusals;
mod target;

use crate::given::{self, DefinitionArgs, MaxErrors, grouped, rate};
use crate::redis::RedisArgs;
use crate::report::{self, Exit, Failure};
use adprof::lines::{open_path, source_name};
use adprof::store::Location;
use anyhow::Result;
use queue::{Batch, Queue};
use reader::Reader;
use refusals::Refusals;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use target::Target;

/// Write patches into Redis or an embedded store
///
/// Reads patches, one JSON object a line, as `batch` and `stream` print them. In Redis each user is one HASH,
/// `profile:USERID`, whose fields are the tags, and a key of another entity one under the prefix that its definition
/// names. Every value is absolute and null removes: the same patches again
/// change nothing, so a run that was interrupted is simply repeated.
///
/// Lines that are not patches go to the dead-letter file, and the others are written. When every line was bad, or more
/// than --max-errors, the exit code is 65.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  adprof batch | adprof sink redis
  adprof batch | adprof sink redis redis://10.0.0.5:6379/1
  REDIS_URL=redis://:secret@10.0.0.5 adprof sink redis --input patches.ndjson.gz
  adprof batch --tags all | adprof sink file ./adprof-store
  adprof sink redis --dry-run < patches.ndjson

A password is never taken from the command line, where every user of the machine can read it: use REDIS_URL, REDIS_PASSWORD
or --redis-password-file.")]
pub struct Args {
    /// What to write into: redis or file
    #[arg(value_name = "redis|file")]
    to: String,
    /// The address [default: REDIS_URL or redis://127.0.0.1:6379], or the directory [default: ./adprof-store]
    #[arg(value_name = "URL|DIR")]
    at: Option<String>,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    definitions: DefinitionArgs,
    /// Where the patches are, gzip and zstd too; `-` is stdin
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Patches a write, at most [default: 10000 into Redis, 100000 into a file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: Option<u32>,
    /// Where refused lines go
    #[arg(long, value_name = "FILE", default_value = "./sink.dead.ndjson")]
    dead: PathBuf,
    /// Exit with 65 beyond so many refused lines, or such a share of them [default: only when every line was bad]
    #[arg(long, value_name = "N|P%", value_parser = MaxErrors::parse)]
    max_errors: Option<MaxErrors>,
    /// Check the lines and write nothing, not even dead letters
    #[arg(long)]
    dry_run: bool,
}

/// What became of the patches.
#[derive(Default)]
struct Totals {
    /// Patches that are in the store now: profiles written.
    profiles: u64,
    tags: u64,
    /// Tags left out because the store holds a newer as-of.
    older: u64,
    forgotten: u64,
}

pub fn run(args: Args) -> Result<()> {
    let place = args.redis.reach(target::place(&args.to, args.at.as_deref())?)?;
    let names = args.definitions.find()?.map(|definitions| definitions.prefixes()).unwrap_or_default();
    let input = open_path(&args.input).map_err(|e| report::io(&args.input, &e))?;
    let mut target = if args.dry_run { Target::Nowhere } else { Target::open(&place, names)? };
    let bar = report::progress(size(&args.input), "sink");
    let dead = (!args.dry_run).then_some(args.dead.as_path());
    let source = source_name(&args.input);
    let refusals = Arc::new(Mutex::new(Refusals::new(&source, dead, bar.clone())));
    let most = args.batch.map_or(target.batch(), |n| n as usize);
    let queue = Arc::new(Queue::new(most, target.linger()));
    let reader = Reader { input, source, queue: Arc::clone(&queue), refusals: Arc::clone(&refusals), bar: bar.clone() };
    let begun = Instant::now();
    // Not joined when writing fails: it may wait for input that never comes, and ends with the program.
    let reading = std::thread::spawn(move || reader.run());
    let totals = write(&mut target, &queue, &refusals)?;
    let read = reading.join().expect("a panic ends the program");
    bar.finish_and_clear();
    let mut refusals = held(&refusals);
    refusals.sync()?;
    if let (Location::Embedded(_), false) = (&place, args.dry_run) {
        index::refresh(&place, args.definitions.find()?)?;
    }
    close(&args, &place.to_string(), &totals, &refusals, begun.elapsed().as_secs_f64());
    read?;
    let lines = totals.profiles + refusals.count;
    given::check_errors(args.max_errors, refusals.count, lines).map_err(|e| refusals.advise(e))
}

/// Writes batches until the input has ended.
fn write(target: &mut Target, queue: &Queue, refusals: &Mutex<Refusals>) -> Result<Totals> {
    let mut totals = Totals::default();
    while let Some(batch) = queue.take() {
        let done = target.write(&batch.patches)?;
        totals.profiles += done.patches as u64;
        totals.tags += done.tags as u64;
        totals.older += done.older as u64;
        totals.forgotten += done.forgotten as u64;
        if !done.refused.is_empty() {
            refuse(&batch, &done.refused, refusals)?;
        }
    }
    Ok(totals)
}

/// Reports the patches of a batch that the store refused, which it names in their order.
fn refuse(batch: &Batch, refused: &[adprof::store::redis::Refused], refusals: &Mutex<Refusals>) -> Result<()> {
    let mut refusals = held(refusals);
    let mut at = 0;
    for one in refused {
        let found = batch.patches[at..].iter().position(|patch| patch.key == one.key);
        at += found.expect("the store names keys of the batch, in its order");
        refusals.patch(&batch.patches[at], batch.places[at], &one.why)?;
        at += 1;
    }
    Ok(())
}

fn held(refusals: &Mutex<Refusals>) -> MutexGuard<'_, Refusals> {
    refusals.lock().expect("a panic ends the program")
}

fn close(args: &Args, place: &str, totals: &Totals, refusals: &Refusals, seconds: f64) {
    let verb = if args.dry_run { "would write" } else { "wrote" };
    report::say(format_args!(
        "{verb} {} profiles ({} tags) into {place}, {} users/s",
        grouped(totals.profiles),
        grouped(totals.tags),
        rate(totals.profiles, seconds)
    ));
    if totals.forgotten > 0 {
        report::say(format_args!("{} patches of forgotten users were left out", grouped(totals.forgotten)));
    }
    if totals.older > 0 {
        report::say(format_args!("{} tags were left out: the store holds newer ones", grouped(totals.older)));
    }
    refusals.close();
}

/// The length of the input where it is a file, redirected or named; 0 when unknown.
fn size(input: &Path) -> u64 {
    use std::os::fd::AsFd;
    let metadata = if input.as_os_str() == "-" {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        stdin.and_then(|fd| std::fs::File::from(fd).metadata())
    } else {
        std::fs::metadata(input)
    };
    metadata.ok().filter(std::fs::Metadata::is_file).map_or(0, |m| m.len())
}

/// A usage error with its hint.
fn usage(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Failure::new(Exit::Usage, message).hint(hint).into()
}
