//! Bases for a live state: made from the log, offered beside the state, and taken from there by its owner.

use super::batch::{self, Job};
use super::history::{self, History, states};
use crate::engine::dedup::{hour_of, identity};
use crate::engine::fold::Fold;
use crate::engine::live::Live;
use crate::engine::plan::{Counter, Plan};
use crate::engine::state::State;
use crate::engine::tail::Refused;
use crate::key::{Key, USER};
use crate::log::Lock;
use crate::rollup::file::{Reader, Stored, Writer};
use crate::rollup::offer::{Offer, Shelf, each_id, end_of, ids};
use crate::rollup::{Counts, Error, PARTS, part};
use crate::tag::{Definitions, Kind};
use crate::time::{Day, Millis};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A base to be made.
pub struct Make<'a> {
    /// Its log ends with the last day; all of it counts, whatever the range.
    pub job: &'a Job<'a>,
    /// The log of the last day alone.
    pub last_day: &'a Job<'a>,
    pub rollups: Option<&'a Path>,
    pub shelf: &'a Shelf,
    /// Held by whoever makes it.
    pub lock: &'a Lock,
    pub state_id: String,
    pub through: Day,
    /// A random number.
    pub salt: u64,
    pub warn: &'a (dyn Fn(&Error) + Sync),
}

/// A plan of everything that a base holds: all aggregations there are.
pub fn plan(definitions: &Arc<Definitions>) -> Plan {
    let aggregations =
        |tag: &usize| definitions.tags[*tag].entity == 0 && matches!(definitions.tags[*tag].kind, Kind::Aggregation(_));
    let tags: Vec<usize> = (0..definitions.tags.len()).filter(aggregations).collect();
    Plan::new(definitions.clone(), &tags)
}

/// Why a base could not be made.
#[derive(Debug)]
pub enum Failure {
    Batch(batch::Failure),
    History(history::Failure),
}

impl From<batch::Failure> for Failure {
    fn from(e: batch::Failure) -> Failure {
        Failure::Batch(e)
    }
}

impl From<history::Failure> for Failure {
    fn from(e: history::Failure) -> Failure {
        Failure::History(e)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::History(e.into())
    }
}

/// One part on its way into the file.
struct Packed {
    states: [Stored; 2],
    keys: u64,
    newest: Option<Millis>,
    late: u64,
    counts: Counts,
}

/// Makes a base and offers it.
pub fn make(make: &Make<'_>) -> Result<Offer, Failure> {
    let name = Shelf::name(make.through, make.salt);
    let mut last_ids = make.ids()?.into_iter();
    let mut writer = Writer::create(&make.shelf.dir, &name)?;
    let (mut keys, mut newest, mut counts) = (0, None, Counts::default());
    let mut put = |_: usize, packed: Packed| -> Result<(), Error> {
        keys += packed.keys;
        newest = newest.max(packed.newest);
        counts.add(&packed.counts);
        counts.absorbed += packed.late;
        packed.states.iter().try_for_each(|section| writer.put(section))?;
        last_ids.next().map_or(Ok(()), |ids| writer.put(&ids))
    };
    let plan = plan(&make.job.plan.definitions);
    let rolled = match make.rollups {
        Some(dir) => make.by_rollups(&plan, dir, &mut put)?,
        None => None,
    };
    match rolled {
        Some(rolled) => {
            newest = newest.max(rolled.times.map(|(_, last)| last));
            counts.add(&rolled);
        }
        None => {
            let summary = make.by_log(&plan, &mut put)?;
            counts.lines = summary.lines;
            counts.refused = summary.refused.iter().map(|(code, n)| (code.to_string(), *n)).collect();
        }
    }
    let file = writer.finish(plan.counters.iter().map(|counter| counter.fingerprint).collect())?;
    let newest = newest.unwrap_or(Millis::MIN);
    let offer = Offer { state_id: make.state_id.clone(), through: make.through, newest, file, keys, counts };
    make.shelf.put(&offer)?;
    Ok(offer)
}

impl Make<'_> {
    /// The ids of the last day, hashed with the key of the state, a section a part.
    fn ids(&self) -> Result<Vec<Stored>, batch::Failure> {
        let key = self.last_day.hash_key;
        let mut all = Vec::with_capacity(PARTS);
        let work = |mut part: batch::parts::Part<'_>| {
            let mut found = Vec::new();
            part.each(|block| {
                found.extend((0..block.len()).map(|i| (hour_of(block.timestamp(i)), identity(&key, block, i))));
            });
            ids(part.number, found)
        };
        batch::parts::run(self.last_day, work, |_, section| {
            all.push(section);
            Ok::<_, batch::Failure>(())
        })?;
        Ok(all)
    }

    fn pack(&self, plan: &Plan, p: usize, states: Vec<(Key, State)>) -> ([Stored; 2], u64) {
        let keys = states.len() as u64;
        (history::encode(plan, states, end_of(self.through), true).stored(p), keys)
    }

    fn by_rollups(
        &self,
        plan: &Plan,
        dir: &Path,
        put: &mut impl FnMut(usize, Packed) -> Result<(), Error>,
    ) -> Result<Option<Counts>, history::Failure> {
        let work = |p: usize, part: states::Part| {
            let (states, keys) = self.pack(plan, p, part.states);
            Packed { states, keys, newest: part.newest, late: part.late, counts: Counts::default() }
        };
        let history = History { job: self.job, dir, warn: self.warn };
        states::states(&history, work, |p, packed| Ok(put(p, packed)?))
    }

    fn by_log(
        &self,
        plan: &Plan,
        put: &mut impl FnMut(usize, Packed) -> Result<(), Error>,
    ) -> Result<batch::Summary, Failure> {
        let work = |mut part: batch::parts::Part<'_>| {
            let mut fold = Fold::new(plan, self.job.hash_key);
            part.each(|block| fold.add(block));
            let tally = fold.tally;
            let (states, keys) = self.pack(plan, part.number, fold.into_states());
            let counts = Counts { absorbed: tally.absorbed, duplicates: tally.duplicates, ..Counts::default() };
            Packed { states, keys, newest: tally.times.map(|(_, last)| last), late: 0, counts }
        };
        batch::parts::run(self.job, work, |p, packed| Ok::<_, Failure>(put(p, packed)?))
    }
}

/// Why an offer was not taken.
#[derive(Debug)]
pub enum Declined {
    Refused(Refused),
    /// It was made without these tags, which the state counts.
    Lacks(Vec<String>),
    /// Nothing was changed.
    Unreadable(Error),
    /// The state in memory is neither the old one nor the new one: it must not be saved.
    HalfWay(Error),
}

/// Puts an offer into a live state, all of it or nothing.
pub fn install(live: &mut Live, shelf: &Shelf, offer: &Offer) -> Result<(), Declined> {
    live.tail().accepts(offer.through).map_err(Declined::Refused)?;
    let plans = live.plans().clone();
    let counters = plans.iter().flat_map(|plan| &plan.counters);
    let lacking = counters.filter(|counter| !offer.file.counters.contains(&counter.fingerprint));
    let code = |counter: &Counter| plans.definitions().tags.get(counter.tag).map(|tag| tag.code.to_string());
    let lacking: Vec<String> = lacking.filter_map(code).collect();
    let Some(plan) = plans.of(USER).filter(|_| lacking.is_empty()) else { return Err(Declined::Lacks(lacking)) };
    // Once to see that all of it can be read, and once more for good: it may be larger than memory has room for twice.
    read(plan, shelf, offer, |_, _| (), |_, _| ()).map_err(Declined::Unreadable)?;
    let install = live.install(offer.through, offer.at(), offer.newest).map_err(Declined::Refused)?;
    let install = std::cell::RefCell::new(install);
    let key = |key, state| install.borrow_mut().key(key, state);
    read(plan, shelf, offer, key, |hour, id| install.borrow_mut().id(hour, id)).map_err(Declined::HalfWay)?;
    install.into_inner().finish();
    Ok(())
}

fn read(
    plan: &Plan,
    shelf: &Shelf,
    offer: &Offer,
    mut key: impl FnMut(Key, State),
    id: impl FnMut(i64, crate::engine::dedup::Identity),
) -> Result<(), Error> {
    let same = |fingerprint: &u64| {
        let means = |place: &usize| plan.counters[*place].fingerprint == *fingerprint;
        (0..plan.counters.len()).filter(means).collect()
    };
    let places: Vec<Vec<usize>> = offer.file.counters.iter().map(same).collect();
    let meter = AtomicU64::new(0);
    let file = Reader::open(&shelf.dir, &offer.file, &meter)?;
    for p in 0..PARTS {
        part::states(&file, p, |name, bytes| {
            let mut state = State::new(plan);
            state.absorb(plan, &places, bytes)?;
            key(Key::from_stored(name)?, state);
            Some(())
        })?;
    }
    each_id(&file, id)
}
