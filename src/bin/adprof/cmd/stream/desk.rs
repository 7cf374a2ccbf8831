//! Where the words of a stream go: refusals, figures now and then, metrics, the summary.

use super::Args;
use crate::given;
use crate::metrics::Metrics;
use crate::report;
use adprof::bus::{Consumer, LagGauge};
use adprof::dead::{DeadFile, DeadLetter};
use adprof::run::feed::Letter;
use adprof::run::stream::{Observer, Report};
use adprof::time::show_span;
use anyhow::Result;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub fn tell(report: &Report, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    report::say(format_args!(
        "{} in {seconds:.2} s, {} events/s",
        describe(report),
        given::rate(report.counts.consumed, seconds)
    ));
    if report.unkeyed > 0 {
        report::warn(format_args!(
            "{} messages are not keyed by their userId: a user in two partitions has two states",
            given::grouped(report.unkeyed)
        ));
    }
}

fn describe(report: &Report) -> String {
    let counts = &report.counts;
    let mut words = format!("{} events", given::grouped(counts.absorbed));
    for (n, what) in [
        (counts.given, "patches taken in"),
        (counts.duplicates, "duplicates"),
        (counts.covered, "in the base"),
        (report.outside, "after the instant"),
        (counts.forgotten, "forgotten"),
        (counts.refused, "refused"),
    ] {
        if n > 0 {
            words.push_str(&format!(", {} {what}", given::grouped(n)));
        }
    }
    if report.stands_by {
        words.push_str(", standing by");
    }
    let noun = if report.others { "keys" } else { "users" };
    words.push_str(&format!("; {} {noun}", given::grouped(report.keys as u64)));
    // An embedded store is told by its checkpoints, not by patches.
    if report.patches > 0 {
        words.push_str(&format!(", {} patches", given::grouped(report.patches)));
    }
    if report.memberships > 0 {
        words.push_str(&format!(", {} memberships", given::grouped(report.memberships as u64)));
    }
    if report.derived > 0 {
        words.push_str(&format!(", {} enters and leaves told", given::grouped(report.derived)));
    }
    words
}

/// Where the stream's words and dead letters go.
pub struct Desk {
    source: String,
    letters: Option<DeadFile>,
    shown: u32,
    stats: Option<Duration>,
    last: Instant,
    /// What was read by then.
    read: u64,
    lag: Option<LagGauge>,
    metrics: Option<Metrics>,
}

const SHOWN: u32 = 3;

impl Desk {
    /// Listens for whoever asks for metrics, too.
    pub fn new(args: &Args, dead: Option<PathBuf>) -> Result<Desk> {
        let metrics = args.metrics.as_deref().map(Metrics::listen).transpose()?;
        if let Some(metrics) = &metrics {
            report::say(format_args!("metrics at http://{}/metrics", metrics.address));
        }
        Ok(Desk {
            source: args.kafka.topic.clone().unwrap_or_else(|| "stdin".into()),
            letters: dead.as_deref().map(DeadFile::new),
            shown: 0,
            stats: args.stats.map(|ms| Duration::from_millis(ms.unsigned_abs())),
            last: Instant::now(),
            read: 0,
            lag: None,
            metrics,
        })
    }

    /// From now on it tells how far behind the reader is.
    pub fn watch(&mut self, consumer: Option<&Consumer>) {
        self.lag = consumer.map(Consumer::gauge);
    }
}

impl Observer for Desk {
    fn refused(&mut self, letter: &Letter) -> io::Result<()> {
        let written = DeadLetter::new(&letter.refusal, &self.source, letter.place, &letter.original);
        if self.shown < SHOWN {
            self.shown += 1;
            report::warn(format_args!("{}{}: {}", self.source, place(letter), letter.refusal));
        }
        match &mut self.letters {
            Some(file) => file.put(&DeadLetter { truncated: letter.truncated, ..written }),
            None => Ok(()),
        }
    }

    fn keep_letters(&mut self) -> io::Result<()> {
        self.letters.as_mut().map_or(Ok(()), DeadFile::sync)
    }

    fn say(&mut self, words: &str) {
        report::warn(words);
    }

    fn note(&mut self, words: &str) {
        report::say(words);
    }

    fn progress(&mut self, report: &Report) {
        if let Some(metrics) = &mut self.metrics {
            metrics.show(report, self.lag.as_ref(), given::now());
        }
        if self.stats.is_none_or(|span| self.last.elapsed() < span) {
            return;
        }
        let seconds = self.last.elapsed().as_secs_f64();
        let rate = given::rate(report.counts.consumed - self.read, seconds);
        (self.last, self.read) = (Instant::now(), report.counts.consumed);
        let lag = self
            .lag
            .as_ref()
            .map_or(String::new(), |lag| format!(", {} messages behind", given::grouped(lag.behind().unsigned_abs())));
        report::say(format_args!(
            "{}; {rate} events/s{lag}; {} ids, duplicates noticed {} back",
            describe(report),
            given::grouped(report.ids as u64),
            show_span(report.horizon / 1000 * 1000)
        ));
    }
}

/// `:12` for a line, ` partition 0 offset 7` for a message.
fn place(letter: &Letter) -> String {
    use adprof::dead::Place;
    match letter.place {
        Place::Line { line, .. } => format!(":{line}"),
        Place::Byte { offset } => format!(": byte {offset}"),
        Place::Message { partition, offset } => format!(" partition {partition} offset {offset}"),
    }
}
