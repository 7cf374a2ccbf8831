//! The merge: base, roll-ups and days in memory into the values of one instant, and into the next base.
//!
//! Part by part, so memory holds the keys of a few parts only; users first, then the entities that are told. What comes
//! out is what `batch` gives over the whole log.

use super::super::batch::{Range, partition};
use super::build::encode;
use super::day::{Live, States};
use super::rows::EVER;
use super::work::{Work, place};
use super::{Failure, states};
use crate::engine::fold::{Fold, Tally, spanning};
use crate::engine::given::Given;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::expr::Scratch;
use crate::key::Key;
use crate::parallel;
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
    /// By plan.
    pub keys: Vec<u64>,
    pub counts: Counts,
}

/// One part, merged.
#[derive(Default)]
struct Part {
    patches: Vec<u8>,
    keys: u64,
    /// Late events whose time has come, and those whose has not.
    absorbed: u64,
    times: Option<(Millis, Millis)>,
    late: u64,
    /// What the former come to, for each entity.
    due: Vec<States>,
    base: Vec<Stored>,
}

/// A file with what it holds for each plan, if anything.
pub struct Source<'a> {
    file: file::Reader<'a>,
    held: Vec<Option<Numbers>>,
}

/// The place among the parts of a file, and the counters that each number of its states stands for.
struct Numbers {
    at: usize,
    places: Vec<Vec<usize>>,
}

/// What is to be made of each part.
#[derive(Clone, Copy)]
struct Wanted {
    at: Millis,
    patches: bool,
    base: bool,
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
        let wanted = Wanted { at, patches: told.is_some(), base: base.is_some() };
        let entities = PARTS * (self.plans.len() - 1);
        let mut due: Vec<States> = vec![Vec::new(); entities];
        let mut merged = Merged { keys: vec![0; self.plans.len()], counts: counts(sources) };
        let mut take = |merged: &mut Merged, p: usize, part: &Part| -> Result<(), Failure> {
            merged.keys[p / PARTS] += part.keys;
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
        };
        let users = |p: usize| self.users_of(p, &files, sources.live, wanted).map_err(Failure::Rollup);
        parallel::ordered(self.job.threads, PARTS, users, |p, mut part: Part| {
            for (n, states) in part.due.drain(..).enumerate() {
                for (key, state) in states {
                    due[PARTS * n + partition(key.as_str().as_bytes())].push((key, state));
                }
            }
            take(&mut merged, p, &part)
        })?;
        let keys = |i: usize| self.keys_of(PARTS + i, &files, sources.live, &due[i], wanted).map_err(Failure::Rollup);
        parallel::ordered(self.job.threads, entities, keys, |i, part: Part| take(&mut merged, PARTS + i, &part))?;
        if let Some(told) = told {
            told.out.flush().map_err(Failure::Output)?;
        }
        Ok(merged)
    }

    /// The states of one part of all files.
    fn states(&self, p: usize, files: &[Source<'_>]) -> Result<Keys<'_>, Error> {
        let (n, plan) = (p / PARTS, &self.plans[p / PARTS]);
        let mut keys = Keys { plan, places: HashMap::new(), states: Vec::new() };
        for source in files {
            let Some(Numbers { at, places }) = &source.held[n] else { continue };
            part::states(&source.file, PARTS * at + p % PARTS, |key, bytes| {
                keys.state(key)?.absorb(plan, places, bytes)
            })?;
        }
        Ok(keys)
    }

    /// The late events of one part of all files, those through `at` being due.
    fn late(&self, p: usize, files: &[Source<'_>], at: Millis) -> Result<Late, Error> {
        let projection = &self.job.plan.definitions.projection;
        let reader = Reader::new(projection, self.job.rules);
        let mut late = Late { reader, due: Block::new(projection), later: Vec::new() };
        files.iter().try_for_each(|source| sort_late(p, &source.file, at, &mut late))?;
        Ok(late)
    }

    /// One part of all files, each late event among its states whatever its time.
    pub fn whole_part(&self, p: usize, files: &[Source<'_>]) -> Result<states::Part, Error> {
        let (mut keys, late) = (self.states(p, files)?, self.late(p, files, Millis::MAX)?);
        let mut fold = Fold::new(&self.plans[0], self.manifest.hash_key);
        fold.add(&late.due);
        let (newest, absorbed) = (fold.tally.times.map(|(_, last)| last), fold.tally.absorbed);
        keys.merge(&fold.into_states());
        Ok(states::Part { states: keys.in_order(), newest, late: absorbed })
    }

    pub fn files<'s>(&'s self, sources: &Sources<'s>) -> Result<Vec<Source<'s>>, Error> {
        let mut files = Vec::new();
        let mut take = |file: &'s FileRef, open: &mut [Vec<bool>]| -> Result<(), Error> {
            let held = self.plans.iter().zip(open).map(|(plan, open)| numbers(file, plan, open)).collect();
            files.push(Source { file: file::Reader::open(self.dir, file, &self.meter)?, held });
            Ok(())
        };
        let all_open = || self.plans.iter().map(|plan| vec![true; plan.counters.len()]).collect::<Vec<_>>();
        if let Some(base) = sources.base {
            take(&base.file, &mut all_open())?;
        }
        for day in &sources.days {
            let mut open = all_open();
            for file in day.files() {
                take(file, &mut open)?;
            }
        }
        Ok(files)
    }

    /// A part of users.
    fn users_of(&self, p: usize, files: &[Source<'_>], live: &[Live], wanted: Wanted) -> Result<Part, Error> {
        let (mut keys, late) = (self.states(p, files)?, self.late(p, files, wanted.at)?);
        live.iter().for_each(|day| keys.merge(&day.states[p]));
        let range = Range { since: None, as_of: Some(wanted.at) };
        let folded = |plan| {
            let mut fold = Fold::new(plan, self.manifest.hash_key).within(range);
            fold.add(&late.due);
            fold
        };
        let fold = folded(&self.plans[0]);
        let Tally { absorbed, times, .. } = fold.tally;
        keys.merge(&fold.into_states());
        // Most parts have none.
        let others = if late.due.is_empty() { &[] } else { &self.plans[1..] };
        let due = others.iter().map(|plan| folded(plan).into_states()).collect();
        let mut part = Part { absorbed, times, late: late.later.len() as u64, due, ..Part::default() };
        self.finish(p, keys.in_order(), wanted, &mut part);
        if wanted.base {
            part.base.push(part::late(p, late.later.iter().map(|line| &line[..])));
        }
        Ok(part)
    }

    /// A part of an entity; `due`: what late events come to by now.
    fn keys_of(
        &self,
        p: usize,
        files: &[Source<'_>],
        live: &[Live],
        due: &States,
        wanted: Wanted,
    ) -> Result<Part, Error> {
        let mut keys = self.states(p, files)?;
        live.iter().for_each(|day| keys.merge(&day.states[p]));
        keys.merge(due);
        let mut part = Part::default();
        self.finish(p, keys.in_order(), wanted, &mut part);
        Ok(part)
    }

    /// What is wanted of the states of a part.
    fn finish(&self, p: usize, states: States, wanted: Wanted, part: &mut Part) {
        // Where only entities are told users have no patches.
        if wanted.patches && !self.told(p / PARTS).outputs.is_empty() {
            part.keys = states.len() as u64 + self.tell(p, &states, wanted.at, &mut part.patches);
        }
        if wanted.base {
            part.base = Vec::from(encode(&self.plans[p / PARTS], states, wanted.at, true).stored(p));
        }
    }

    /// One patch a key with the tags that are told, as `Columns::finish` has it. The number of keys without events.
    fn tell(&self, p: usize, states: &[(Key, State)], at: Millis, out: &mut Vec<u8>) -> u64 {
        let (told, kept) = (self.told(p / PARTS), &self.plans[p / PARTS]);
        let place = |tag: usize| kept.counters.iter().position(|c| c.tag == tag);
        let own = told.own_counters().iter();
        let wanted: Vec<(usize, usize)> = own.filter_map(|c| Some((c.tag, place(c.tag)?))).collect();
        let (mut scratch, mut without_events) = (Scratch::new(), 0);
        let mut tell = |key: &Key, state: Option<&State>, given: &Given| {
            let mut values = vec![None; told.definitions.tags.len()];
            // A key that is forgotten has no values at all.
            if !state.is_some_and(|state| kept.is_over(state, at)) {
                for (place, tag) in told.given.iter().enumerate() {
                    values[*tag] = given.value(place).cloned();
                }
                if let Some(state) = state {
                    for &(tag, place) in &wanted {
                        values[tag] = state.value(place, &kept.counters[place], at);
                    }
                }
                told.derive(&mut values, state.is_some(), at, &mut scratch);
            }
            told.patch(key, at, &values).push_line(out);
        };
        let given = self.imports.part_of(&told.entity().name, p % PARTS);
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

/// Parts the late events of a file into those that count by now and those that do not yet.
fn sort_late(p: usize, file: &file::Reader<'_>, at: Millis, late: &mut Late) -> Result<(), Error> {
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

/// For each number of a file the counters of a plan that mean the same and are still open: none is taken twice.
fn numbers(file: &FileRef, plan: &Plan, open: &mut [bool]) -> Option<Numbers> {
    let (at, held) = place(file, plan)?;
    let mut places = Vec::with_capacity(held.len());
    for fingerprint in held {
        let same = |place: &usize| plan.counters[*place].fingerprint == *fingerprint && open[*place];
        let taken: Vec<usize> = (0..plan.counters.len()).filter(same).collect();
        taken.iter().for_each(|place| open[*place] = false);
        places.push(taken);
    }
    Some(Numbers { at, places })
}

/// The states of a part under construction.
struct Keys<'p> {
    plan: &'p Plan,
    places: HashMap<Key, u32>,
    states: States,
}

impl Keys<'_> {
    /// The state of a key as it is stored; `None` when this is no key.
    fn state(&mut self, key: &str) -> Option<&mut State> {
        let place = match self.places.get(key) {
            Some(place) => *place as usize,
            None => {
                let key = Key::from_stored(key)?;
                let place = self.states.len();
                self.places.insert(key.clone(), u32::try_from(place).ok()?);
                self.states.push((key, State::new(self.plan)));
                place
            }
        };
        Some(&mut self.states[place].1)
    }

    fn merge(&mut self, states: &[(Key, State)]) {
        let plan = self.plan;
        for (key, state) in states {
            if let Some(ours) = self.state(key.as_str()) {
                ours.merge(state, plan);
            }
        }
    }

    fn in_order(self) -> States {
        let mut states = self.states;
        states.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        states
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
