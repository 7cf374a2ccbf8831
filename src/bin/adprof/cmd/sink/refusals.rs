//! Refusals: what could not be written, counted, shown a few times, and kept as dead letters.

use crate::given::grouped;
use crate::report::{self, Failure};
use adprof::dead::{DeadFile, DeadLetter, Place};
use adprof::event::{Code, Refusal};
use adprof::lines::{Line, Text};
use adprof::ndjson::shown;
use adprof::patch::Patch;
use anyhow::Result;
use indicatif::ProgressBar;
use std::path::Path;

/// So many are shown as they come; all of them are dead letters.
const SHOWN: u64 = 3;

pub struct Refusals {
    source: String,
    /// None in a dry run.
    dead: Option<DeadFile>,
    bar: ProgressBar,
    pub count: u64,
    /// Whether a refused line looked like an event.
    events: bool,
}

impl Refusals {
    pub fn new(source: &str, dead: Option<&Path>, bar: ProgressBar) -> Refusals {
        Refusals { source: source.into(), dead: dead.map(DeadFile::new), bar, count: 0, events: false }
    }

    /// A line that is not a patch.
    pub fn line(&mut self, refusal: &Refusal, line: &Line<'_>) -> Result<()> {
        if let Text::Whole(bytes) = line.text {
            self.events |= bytes.windows(9).any(|w| w == b"\"eventId\"");
        }
        self.show(line.number, refusal);
        let Refusals { dead, source, .. } = self;
        put(dead.as_mut(), &DeadLetter::of_line(refusal, source, line))
    }

    /// A patch that the store does not take; its letter holds the patch as adprof writes it.
    pub fn patch(&mut self, patch: &Patch, place: Place, why: &str) -> Result<()> {
        let refusal = Refusal::new(Code::KeyTaken, format!("`{}`: {why}", shown(&patch.key.redis())));
        let Place::Line { line, .. } = place else { unreachable!("patches come as lines") };
        self.show(line, &refusal);
        let mut text = Vec::new();
        patch.push_line(&mut text);
        let letter = DeadLetter::new(&refusal, &self.source, place, text.trim_ascii_end());
        put(self.dead.as_mut(), &letter)
    }

    fn show(&mut self, line: u64, refusal: &Refusal) {
        self.count += 1;
        if self.count <= SHOWN {
            let words = format!("{}:{line}: {refusal}", self.source);
            self.bar.suspend(|| report::warn(shown(&words)));
        }
    }

    /// Makes the dead letters durable.
    pub fn sync(&mut self) -> Result<()> {
        let Some(dead) = &mut self.dead else { return Ok(()) };
        dead.sync().map_err(|e| report::io(dead.path(), &e).into())
    }

    /// Says how many there were and where they are.
    pub fn close(&self) {
        let lines = if self.count == 1 { "line" } else { "lines" };
        match &self.dead {
            _ if self.count == 0 => {}
            Some(dead) => {
                report::warn(format_args!("{} {lines} refused → {}", grouped(self.count), dead.path().display()))
            }
            None => report::warn(format_args!("{} {lines} would be refused", grouped(self.count))),
        }
    }

    /// Better advice for the error of too much bad input, where there is some.
    pub fn advise(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Failure>() {
            Ok(failure) if self.events => {
                failure.hint("these look like events; `adprof batch` makes patches of them").into()
            }
            Ok(failure) if self.dead.is_none() => failure.hint("the first refused lines are shown above").into(),
            Ok(failure) => failure.into(),
            Err(error) => error,
        }
    }
}

fn put(dead: Option<&mut DeadFile>, letter: &DeadLetter<'_>) -> Result<()> {
    let Some(dead) = dead else { return Ok(()) };
    dead.put(letter).map_err(|e| report::io(dead.path(), &e).into())
}
