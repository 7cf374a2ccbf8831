//! The dry run: sample events through the engine, all tags at the last event's instant.

use super::column::{Column, table};
use super::lint::{Lint, Types, noun};
use crate::given::{self, grouped};
use crate::report;
use adprof::engine::fold::{Fold, Tally};
use adprof::engine::plan::Plan;
use adprof::engine::plans::Plans;
use adprof::event::{Event, Refusal, Rules, too_long};
use adprof::lines::{Lines, Text, open_path, source_name};
use adprof::ndjson::shown;
use adprof::rows::{Block, Projection};
use adprof::tag::{Definitions, Update};
use adprof::time::{self, Millis};
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;

/// A block is folded at this many rows or bytes of text.
const BLOCK_ROWS: usize = 16 * 1024;
const BLOCK_BYTES: usize = 16 << 20;
/// So many refused lines are shown.
const SHOWN: u64 = 3;

pub fn run(definitions: Definitions, events: &Path, users: usize) -> Result<()> {
    let definitions = Arc::new(definitions);
    let computed: Vec<usize> =
        (0..definitions.tags.len()).filter(|t| definitions.tags[*t].update != Update::Import).collect();
    let plans = Plans::new(&definitions, &computed);
    let mut trial = Trial::new(&plans);
    trial.read(events)?;
    let Trial { sides, types, counts, .. } = trial;
    let mut results = Vec::new();
    for Side { fold, lint } in sides {
        let (tally, flagged, plan) = (fold.tally, fold.flagged(), lint.plan());
        let mut profiles = Profiles::new(plan, users);
        if let Some(as_of) = counts.newest {
            fold.finish(as_of, |patch| profiles.add(plan, &patch));
        }
        report::data(&profiles.lines)?;
        results.push((lint, tally, flagged, profiles));
    }
    let all: Vec<&Profiles> = results.iter().map(|(.., profiles)| profiles).collect();
    // Every fold drops the same duplicates.
    tell(&definitions, &counts, results[0].1, &all);
    if counts.newest.is_some() {
        for (lint, _, flagged, profiles) in &results {
            lint.finish(&types, &profiles.columns, profiles.users, flagged).iter().for_each(report::warn);
        }
    }
    given::check_errors(None, counts.refused, counts.events + counts.refused)
}

/// What came in.
#[derive(Default)]
struct Counts {
    events: u64,
    refused: u64,
    newest: Option<Millis>,
}

/// A sample on its way through the engine.
struct Trial<'p> {
    projection: &'p Projection,
    rules: Rules,
    received: Millis,
    sides: Vec<Side<'p>>,
    types: Types,
    block: Block,
    counts: Counts,
}

impl<'p> Trial<'p> {
    fn new(plans: &'p Plans) -> Trial<'p> {
        let definitions = plans.definitions();
        Trial {
            projection: &definitions.projection,
            rules: Rules { event_types: definitions.event_types.clone(), reserved: true },
            received: given::now(),
            // A fixed key: who writes a sample against it harms his own dry run only.
            sides: plans.iter().map(|plan| Side { fold: Fold::new(plan, [0, 0]), lint: Lint::new(plan) }).collect(),
            types: Types::default(),
            block: Block::new(&definitions.projection),
            counts: Counts::default(),
        }
    }

    fn read(&mut self, events: &Path) -> Result<()> {
        let source = source_name(events);
        let failed = |e| report::io(Path::new(&source), &e);
        let mut lines = Lines::new(open_path(events).map_err(failed)?);
        while let Some(line) = lines.next().map_err(failed)? {
            if let Err(refusal) = self.line(line.text) {
                self.counts.refused += 1;
                if self.counts.refused <= SHOWN {
                    report::warn(shown(&format!("{source}:{}: {refusal}", line.number)));
                }
            }
            if self.block.len() >= BLOCK_ROWS || self.block.text_len() >= BLOCK_BYTES {
                self.fold();
            }
        }
        self.fold();
        Ok(())
    }

    fn line(&mut self, text: Text<'_>) -> Result<(), Refusal> {
        let Text::Whole(bytes) = text else { return Err(too_long()) };
        let Some(event) = Event::parse(bytes, self.received, &self.rules)? else { return Ok(()) };
        self.counts.events += 1;
        self.counts.newest = self.counts.newest.max(Some(event.timestamp));
        self.types.add(&event.event_type);
        self.block.push(&event, self.projection);
        Ok(())
    }

    fn fold(&mut self) {
        for side in &mut self.sides {
            side.lint.look(&self.block);
            side.fold.add(&self.block);
        }
        self.block.clear();
    }
}

/// One entity's part of it.
struct Side<'p> {
    fold: Fold<'p>,
    lint: Lint<'p>,
}

/// The profiles of a sample: the first of them as lines, all of them as columns.
struct Profiles {
    most: u64,
    lines: Vec<u8>,
    /// One a computed tag, in the order of patches.
    columns: Vec<Column>,
    users: u64,
    /// What they are profiles of.
    noun: String,
}

impl Profiles {
    fn new(plan: &Plan, most: usize) -> Profiles {
        let columns = plan.outputs.iter().map(|tag| Column::new(*tag)).collect();
        Profiles { most: most as u64, lines: Vec::new(), columns, users: 0, noun: noun(plan) }
    }

    fn add(&mut self, plan: &Plan, patch: &adprof::patch::Patch) {
        // A key that is forgotten by now is told as nothing.
        if plan.hidden().is_some() && patch.tags.iter().all(|(_, value)| value.is_none()) {
            return;
        }
        self.users += 1;
        if self.users <= self.most {
            let mut shown = patch.clone();
            shown.keep_shown();
            shown.push_line(&mut self.lines);
        }
        for (column, (_, value)) in self.columns.iter_mut().zip(&patch.tags) {
            if let Some(value) = value {
                column.add(value);
            }
        }
    }
}

fn tell(definitions: &Definitions, counts: &Counts, tally: Tally, all: &[&Profiles]) {
    let duplicates = match tally.duplicates {
        0 => String::new(),
        1 => ", 1 duplicate".into(),
        n => format!(", {} duplicates", grouped(n)),
    };
    let refused = match counts.refused {
        0 => String::new(),
        1 => ", 1 line refused".into(),
        n => format!(", {} lines refused", grouped(n)),
    };
    let as_of = counts.newest.map_or_else(String::new, |t| format!(", as of {}", time::show(t)));
    let keys: Vec<String> =
        all.iter().map(|profiles| format!("{} {}", grouped(profiles.users), profiles.noun)).collect();
    report::say(format_args!(
        "sample: {} events{duplicates}{refused}, {}{as_of}",
        grouped(counts.events),
        keys.join(", ")
    ));
    for profiles in all.iter().filter(|profiles| profiles.users > 0) {
        report::say(table(definitions, &profiles.columns, profiles.users, &profiles.noun));
    }
}
