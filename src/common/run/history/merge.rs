//! The merge: base, roll-ups and days in memory into the values of one instant, and into the next base.
//!
//! Part by part, so memory holds the keys of a few parts only. What comes out is what `batch` gives over the whole log.

use super::super::batch::Range;
use super::build::encode;
use super::rows::EVER;
use super::work::{Live, Work};
use super::{Failure, parallel, states};
use crate::engine::fold::{Fold, Tally, spanning};
use crate::engine::given::Given;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::key::Key;
use crate::reader::Reader;
use crate::rollup::file::{self, Stored, Writer};
use crate::rollup::part;
use crate::rollup::{Base, Counts, Day, Error, FileRef, PARTS};
use crate::rows::Block;
use crate::time::Millis;
use hashbrown::HashMap;
use std::io::Write;

/// What is merged, each event in one of these.
pub struct Sources<'a> {
    pub base: Option<&'a Base>,
    pub days: Vec<&'a Day>,
    pub live: &'a [Live],
}

/// What a merge came to.
#[derive(Default)]
pub struct Merged {
    pub keys: u64,
    pub counts: Counts,
}

/// One part, merged.
struct Part {
    patches: Vec<u8>,
    keys: u64,
    /// Late events whose time has come, and those whose has not.
    absorbed: u64,
    times: Option<(Millis, Millis)>,
    late: u64,
    base: Vec<Stored>,
}

/// A file with the counters that each of its numbers stands for.
pub struct Source<'a> {
    file: file::Reader<'a>,
    places: Vec<Vec<usize>>,
}

/// Where patches go, and how many parts have gone there already.
pub struct Told<'a, W> {
    pub out: &'a mut W,
    pub parts: &'a mut usize,
}

impl Work<'_> {
    /// Merges as of `at`, an instant no earlier than any cutoff of the sources. Patches go to `told`, states to `base`.
    pub fn merge<W: Write>(
        &self,
        sources: &Sources<'_>,
        at: Millis,
        mut told: Option<Told<'_, W>>,
        mut base: Option<&mut Writer>,
    ) -> Result<Merged, Failure> {
        let files = self.files(sources)?;
        let (wants_patches, wants_base) = (told.is_some(), base.is_some());
        let mut merged = Merged { keys: 0, counts: counts(sources) };
        let work =
            |p: usize| self.part(p, &files, sources.live, at, wants_patches, wants_base).map_err(Failure::Rollup);
        parallel::ordered(self.job.threads, PARTS, work, |p, part: Part| {
            merged.keys += part.keys;
            merged.counts.absorbed += part.absorbed;
            merged.counts.times = spanning(merged.counts.times, part.times);
            merged.counts.late += part.late;
            if let Some(told) = &mut told
                && p >= *told.parts
            {
                told.out.write_all(&part.patches).map_err(Failure::Output)?;
                *told.parts = p + 1;
            }
            if let Some(base) = &mut base {
                part.base.iter().try_for_each(|section| base.put(section))?;
            }
            Ok(())
        })?;
        if let Some(told) = told {
            told.out.flush().map_err(Failure::Output)?;
        }
        Ok(merged)
    }

    /// The states of one part of all files, and its late events, those through `at` being due.
    fn load(&self, p: usize, files: &[Source<'_>], at: Millis) -> Result<(Keys, Late), Error> {
        let mut keys = Keys { places: HashMap::new(), states: Vec::new() };
        let projection = &self.plan.definitions.projection;
        let reader = Reader::new(projection, self.job.rules);
        let mut late = Late { reader, due: Block::new(projection), later: Vec::new() };
        for source in files {
            part::states(&source.file, p, |key, bytes| {
                keys.state(key, || State::new(&self.plan))?.absorb(&self.plan, &source.places, bytes)
            })?;
            self.sort_late(p, &source.file, at, &mut late)?;
        }
        Ok((keys, late))
    }

    /// One part of all files, each late event among its states whatever its time.
    pub fn whole_part(&self, p: usize, files: &[Source<'_>]) -> Result<states::Part, Error> {
        let (mut keys, late) = self.load(p, files, Millis::MAX)?;
        let mut fold = Fold::new(&self.plan, self.manifest.hash_key);
        fold.add(&late.due);
        let (newest, absorbed) = (fold.tally.times.map(|(_, last)| last), fold.tally.absorbed);
        for (key, state) in fold.into_states() {
            keys.merge(&key, &state, &self.plan);
        }
        let mut states = keys.states;
        states.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(states::Part { states, newest, late: absorbed })
    }

    pub fn files<'s>(&'s self, sources: &Sources<'s>) -> Result<Vec<Source<'s>>, Error> {
        let mut files = Vec::new();
        let mut take = |file: &'s FileRef, open: &mut Vec<bool>| -> Result<(), Error> {
            let places = self.places(file, open);
            files.push(Source { file: file::Reader::open(self.dir, file, &self.meter)?, places });
            Ok(())
        };
        if let Some(base) = sources.base {
            take(&base.file, &mut vec![true; self.plan.counters.len()])?;
        }
        for day in &sources.days {
            let mut open = vec![true; self.plan.counters.len()];
            for file in day.files() {
                take(file, &mut open)?;
            }
        }
        Ok(files)
    }

    /// For each number of a file the counters of the plan that mean the same and are still open: none is taken twice.
    fn places(&self, file: &FileRef, open: &mut [bool]) -> Vec<Vec<usize>> {
        let mut places = Vec::with_capacity(file.counters.len());
        for fingerprint in &file.counters {
            let same = |place: &usize| self.plan.counters[*place].fingerprint == *fingerprint && open[*place];
            let taken: Vec<usize> = (0..self.plan.counters.len()).filter(same).collect();
            taken.iter().for_each(|place| open[*place] = false);
            places.push(taken);
        }
        places
    }

    fn part(
        &self,
        p: usize,
        files: &[Source<'_>],
        live: &[Live],
        at: Millis,
        wants_patches: bool,
        wants_base: bool,
    ) -> Result<Part, Error> {
        let (mut keys, late) = self.load(p, files, at)?;
        for day in live {
            for (key, state) in &day.states[p] {
                keys.merge(key, state, &self.plan);
            }
        }
        let mut fold = Fold::new(&self.plan, self.manifest.hash_key).within(Range { since: None, as_of: Some(at) });
        fold.add(&late.due);
        let Tally { absorbed, times, .. } = fold.tally;
        for (key, state) in fold.into_states() {
            keys.merge(&key, &state, &self.plan);
        }
        let mut states = keys.states;
        states.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut part = Part {
            patches: Vec::new(),
            keys: states.len() as u64,
            absorbed,
            times,
            late: late.later.len() as u64,
            base: Vec::new(),
        };
        if wants_patches {
            part.keys += self.tell(p, &states, at, &mut part.patches);
        }
        if wants_base {
            part.base = Vec::from(encode(&self.plan, states, at, true).stored(p));
            part.base.push(part::late(p, late.later.iter().map(|line| &line[..])));
        }
        Ok(part)
    }

    /// Parts the late events of a file into those that count by now and those that do not yet.
    fn sort_late(&self, p: usize, file: &file::Reader<'_>, at: Millis, late: &mut Late) -> Result<(), Error> {
        let mut lines = Vec::new();
        part::late_lines(file, p, &mut lines)?;
        let Late { reader, due, later } = late;
        for line in lines {
            // What was an event is one for ever: its receipt was judged when it was rolled up.
            match reader.read_alone(&line, EVER) {
                Ok(true) if reader.line().timestamp() <= at => due.push_line(reader.line(), reader.spare()),
                Ok(true) => later.push(line),
                _ => return Err(Error::damaged(file.name(), "a late event cannot be read")),
            }
        }
        Ok(())
    }

    /// One patch a key with the tags that are told, as `Columns::finish` has it. The number of keys without events.
    fn tell(&self, p: usize, states: &[(Key, State)], at: Millis, out: &mut Vec<u8>) -> u64 {
        let told = self.job.plan;
        let place = |tag: usize| self.plan.counters.iter().position(|c| c.tag == tag);
        let wanted: Vec<(usize, usize)> = told.counters.iter().filter_map(|c| Some((c.tag, place(c.tag)?))).collect();
        let (mut scratch, mut without_events) = (Scratch::new(), 0);
        let mut tell = |key: &Key, state: Option<&State>, given: &Given| {
            let mut values = vec![None; told.definitions.tags.len()];
            for (place, tag) in told.given.iter().enumerate() {
                values[*tag] = given.value(place).cloned();
            }
            if let Some(state) = state {
                for &(tag, place) in &wanted {
                    values[tag] = state.value(place, &self.plan.counters[place], at);
                }
            }
            told.derive(&mut values, state.is_some(), at, &mut scratch);
            told.patch(key, at, &values).push_line(out);
        };
        let given = self.imports.part(p);
        let mut others = given.iter().filter(|(_, given)| given.is_known()).peekable();
        for (key, state) in states {
            while let Some((other, given)) = others.next_if(|(other, _)| *other < key) {
                tell(other, None, given);
                without_events += 1;
            }
            others.next_if(|(other, _)| *other == key);
            tell(key, Some(state), given.get(key).unwrap_or(&Given::default()));
        }
        for (other, given) in others {
            tell(other, None, given);
            without_events += 1;
        }
        without_events
    }
}

/// Late events of a part: due by now as rows, the others as lines.
struct Late {
    reader: Reader,
    due: Block,
    later: Vec<Box<[u8]>>,
}

/// The states of a part under construction.
struct Keys {
    places: HashMap<Key, u32>,
    states: Vec<(Key, State)>,
}

impl Keys {
    /// The state of a key as it is stored; `None` when this is no key.
    fn state(&mut self, key: &str, new: impl FnOnce() -> State) -> Option<&mut State> {
        let place = match self.places.get(key) {
            Some(place) => *place as usize,
            None => {
                let key = Key::from_stored(key)?;
                let place = self.states.len();
                self.places.insert(key.clone(), u32::try_from(place).ok()?);
                self.states.push((key, new()));
                place
            }
        };
        Some(&mut self.states[place].1)
    }

    fn merge(&mut self, key: &Key, state: &State, plan: &Plan) {
        if let Some(ours) = self.state(key.as_str(), || State::new(plan)) {
            ours.merge(state, plan);
        }
    }
}

/// The sum over all sources, without the late events of roll-ups: they are judged again.
fn counts(sources: &Sources<'_>) -> Counts {
    let mut counts = Counts::default();
    let rolled = sources.base.iter().map(|base| &base.counts).chain(sources.days.iter().map(|day| &day.counts));
    rolled.for_each(|one| counts.add(one));
    counts.late = 0;
    sources.live.iter().for_each(|live| counts.add(&live.counts));
    counts
}
