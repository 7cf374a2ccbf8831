//! What the commands on days share: the log that is meant, and days that cannot be done yet.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::log::care;
use adprof::log::{Error, Lock};
use anyhow::Result;
use jiff::civil::Date;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct LogArg {
    /// The log
    #[arg(value_name = "DIR", default_value = "ad-events.log")]
    pub log: PathBuf,
}

/// A log of days that this process cares for.
pub struct Cared {
    pub root: PathBuf,
    _lock: Lock,
}

impl LogArg {
    /// The log, which must be a directory, as long as it is cared for.
    pub fn take(&self) -> Result<Cared> {
        let metadata = fs::metadata(&self.log).map_err(|e| report::io(&self.log, &e))?;
        if !metadata.is_dir() {
            let failure = Failure::new(Exit::Usage, format!("{}: a log of one file has no days", self.log.display()));
            return Err(failure.hint("`adprof collect --log DIR/` writes a log of days").into());
        }
        let lock = care::take(&self.log).map_err(given::of_log)?;
        Ok(Cared { root: self.log.clone(), _lock: lock })
    }
}

/// The days from the first to the last of `days` that have no partition.
pub fn gaps(days: &[Date]) -> Vec<Date> {
    let pairs = days.windows(2).flat_map(|pair| {
        let next = pair[0].tomorrow().unwrap_or(pair[0]);
        next.series(jiff::Span::new().days(1)).take_while(|day| *day < pair[1]).collect::<Vec<_>>()
    });
    pairs.collect()
}

/// `2026-11-01, 2026-11-03`, or how many when they are many.
pub fn listed(days: &[Date]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = days.iter().take(SHOWN).map(Date::to_string).collect();
    match days.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// A line of JSON with its fields in this order.
pub fn line(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", fields.join(","))
}

/// What became of the days, for scripts and for the exit code.
pub struct Outcome {
    json: bool,
    lines: Vec<u8>,
    failed: Option<Failure>,
}

impl Outcome {
    pub fn new(json: bool) -> Outcome {
        Outcome { json, lines: Vec::new(), failed: None }
    }

    /// A day that was done, or needed nothing.
    pub fn done(&mut self, day: Date, state: &str, more: &[(&str, Value)]) {
        if self.json {
            let begins = [("day", day.to_string().into()), ("state", state.into())];
            self.lines.extend_from_slice(line(&[&begins, more].concat()).as_bytes());
        }
    }

    /// A day that was refused: the others go on, and the first refusal is how the command ends.
    pub fn refused(&mut self, day: Date, error: Error) {
        let failure = given::of_log(error);
        self.done(day, "refused", &[("why", failure.to_string().into())]);
        match &self.failed {
            Some(_) => report::warn(&failure),
            None => self.failed = Some(failure),
        }
    }

    pub fn finish(self) -> Result<()> {
        if !self.lines.is_empty() {
            report::data(&self.lines)?;
        }
        self.failed.map_or(Ok(()), |failure| Err(failure.into()))
    }
}
