//! The reader: lines of the input, parsed into the queue or refused.

use super::queue::Queue;
use super::refusals::Refusals;
use crate::report;
use adprof::dead::Place;
use adprof::event::{Code, Refusal, too_long};
use adprof::lines::{Input, Line, Lines, Text};
use adprof::patch::Patch;
use anyhow::Result;
use indicatif::ProgressBar;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Lines between two moves of the progress bar.
const BAR_LINES: u64 = 4096;
const CUT_SHORT: &str = "the patches before it were written; run again with the whole input";

pub struct Reader {
    pub input: Input,
    /// The input's name for messages.
    pub source: String,
    pub queue: Arc<Queue>,
    pub refusals: Arc<Mutex<Refusals>>,
    pub bar: ProgressBar,
}

impl Reader {
    /// Reads to the end of the input. The queue is ended in any case.
    ///
    /// Errors: of the input and of the dead-letter file.
    pub fn run(self) -> Result<()> {
        let mut lines = Lines::new(self.input);
        let outcome = all(&mut lines, &self.source, &self.queue, &self.refusals, &self.bar);
        self.queue.end();
        outcome
    }
}

fn all(
    lines: &mut Lines<Input>,
    source: &str,
    queue: &Queue,
    refusals: &Mutex<Refusals>,
    bar: &ProgressBar,
) -> Result<()> {
    while lines.step().map_err(|e| report::io(Path::new(source), &e).hint(CUT_SHORT))? {
        let line = lines.line();
        match patch(&line) {
            Ok(None) => {}
            Ok(Some(patch)) => {
                let place = Place::Line { line: line.number, offset: line.offset };
                queue.put(patch, place, line.text.len() as usize);
            }
            Err(refusal) => refusals.lock().expect("a panic ends the program").line(&refusal, &line)?,
        }
        if line.number.is_multiple_of(BAR_LINES) {
            bar.set_position(lines.input().packed_offset().unwrap_or(lines.offset()));
        }
    }
    Ok(())
}

/// The patch of a line; `None` for a blank one.
fn patch(line: &Line<'_>) -> Result<Option<Patch>, Refusal> {
    let Text::Whole(bytes) = line.text else { return Err(too_long()) };
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Refusal::new(Code::NotUtf8, format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1)))?;
    if text.trim_matches([' ', '\t', '\r']).is_empty() {
        return Ok(None);
    }
    Patch::parse(text).map(Some).map_err(|why| Refusal::new(Code::BadPatch, why))
}
