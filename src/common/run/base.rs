//! Bases for a live state: made from the log, offered beside the state, and taken from there by its owner.

use super::batch::parts::Turn;
use super::batch::{self, Job};
use super::history::{self, History, states};
use crate::engine::dedup::{identity, slice_of};
use crate::engine::fold::Fold;
use crate::engine::live::Live;
use crate::engine::plan::Plan;
use crate::engine::plans::Plans;
use crate::engine::state::State;
use crate::engine::tail::Refused;
use crate::key::Key;
use crate::log::Lock;
use crate::rollup::file::{Reader, Stored, Writer};
use crate::rollup::offer::{Keyed, Offer, Shelf, each_id, end_of, ids};
use crate::rollup::{Counts, Error, PARTS, part};
use crate::tag::Definitions;
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

/// Plans of everything that a base holds: all aggregations of each entity that has a tag.
pub fn plans(definitions: &Arc<Definitions>) -> Plans {
    Plans::new(definitions, &(0..definitions.tags.len()).collect::<Vec<_>>())
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

/// One part on its way into a file.
struct Packed {
    states: [Stored; 2],
    keys: u64,
    newest: Option<Millis>,
    late: u64,
    counts: Counts,
}

/// Makes a base and offers it.
///
/// With other entities than users the log is read: which of them roll-ups keep rests on what a night tells.
pub fn make(make: &Make<'_>) -> Result<Offer, Failure> {
    let definitions = &make.job.plan.definitions;
    let (declared, users): (Vec<Arc<Plan>>, Vec<Arc<Plan>>) =
        plans(definitions).iter().cloned().partition(|plan| plan.entity().is_declared());
    // Whether an event counts is known by its user, though no tag may be of users.
    let users = users.into_iter().next().unwrap_or_else(|| Arc::new(Plan::new(definitions.clone(), &[])));
    let job = Job { plan: &users, entities: &declared, budget: make.job.budget.clone(), ..*make.job };
    let mut files = Files::new(make, [&users].into_iter().chain(&declared).map(|plan| &**plan).collect())?;
    let rolled = match make.rollups.filter(|_| declared.is_empty()) {
        Some(dir) => make.by_rollups(&job, dir, &mut files)?,
        None => None,
    };
    match rolled {
        Some(rolled) => {
            files.newest = files.newest.max(rolled.times.map(|(_, last)| last));
            files.counts.add(&rolled);
        }
        None => {
            let summary = make.by_log(&job, &mut files)?;
            files.counts.lines = summary.lines;
            files.counts.refused = summary.refused.iter().map(|(code, n)| (code.to_string(), *n)).collect();
        }
    }
    let offer = files.finish()?;
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
                found.extend((0..block.len()).map(|i| (slice_of(block.timestamp(i)), identity(&key, block, i))));
            });
            ids(part.number, found)
        };
        batch::parts::run(self.last_day, work, |_, section| {
            all.push(section);
            Ok::<_, batch::Failure>(())
        })?;
        Ok(all)
    }

    /// Keys with nothing to remember are there, too, unless their entity forgets: then they are forgotten.
    fn pack(&self, plan: &Plan, p: usize, states: Vec<(Key, State)>) -> ([Stored; 2], u64) {
        let there = |state: &State| !plan.is_over(state, end_of(self.through));
        let states: Vec<(Key, State)> = states.into_iter().filter(|(_, state)| there(state)).collect();
        let keys = states.len() as u64;
        (history::encode(plan, states, end_of(self.through), true).stored(p), keys)
    }

    fn by_rollups(&self, job: &Job<'_>, dir: &Path, files: &mut Files<'_>) -> Result<Option<Counts>, history::Failure> {
        let work = |p: usize, part: states::Part| {
            let (states, keys) = self.pack(job.plan, p, part.states);
            Packed { states, keys, newest: part.newest, late: part.late, counts: Counts::default() }
        };
        let history = History { job, dir, warn: self.warn };
        states::states(&history, work, |part, packed| Ok(files.put(Turn { entity: 0, part }, packed)?))
    }

    fn by_log(&self, job: &Job<'_>, files: &mut Files<'_>) -> Result<batch::Summary, Failure> {
        let plans = files.plans.clone();
        let work = |turn: Turn, fold: Fold<'_>| {
            let tally = fold.tally;
            let (states, keys) = self.pack(plans[turn.entity], turn.part, fold.into_states());
            let counts = Counts { absorbed: tally.absorbed, duplicates: tally.duplicates, ..Counts::default() };
            Packed { states, keys, newest: tally.times.map(|(_, last)| last), late: 0, counts }
        };
        batch::parts::fold(job, work, |turn, packed| Ok::<_, Failure>(files.put(turn, packed)?))
    }
}

/// The files of a base in the making: one for each plan, that of users first.
struct Files<'a> {
    make: &'a Make<'a>,
    plans: Vec<&'a Plan>,
    /// Of users, part by part.
    last_ids: std::vec::IntoIter<Stored>,
    open: Option<Writer>,
    /// Keys in the open file.
    keys: u64,
    done: Vec<Keyed>,
    newest: Option<Millis>,
    counts: Counts,
}

impl<'a> Files<'a> {
    fn new(make: &'a Make<'a>, plans: Vec<&'a Plan>) -> Result<Files<'a>, Failure> {
        let last_ids = make.ids()?.into_iter();
        let (done, counts) = (Vec::new(), Counts::default());
        Ok(Files { make, plans, last_ids, open: None, keys: 0, done, newest: None, counts })
    }

    /// Puts the next part.
    fn put(&mut self, turn: Turn, packed: Packed) -> Result<(), Error> {
        if turn.entity > self.done.len() {
            self.close()?;
        }
        self.keys += packed.keys;
        self.newest = self.newest.max(packed.newest);
        self.counts.add(&packed.counts);
        self.counts.absorbed += packed.late;
        let ids = self.last_ids.next();
        let file = self.file()?;
        packed.states.iter().chain(&ids).try_for_each(|section| file.put(section))
    }

    /// The file that is written to.
    fn file(&mut self) -> Result<&mut Writer, Error> {
        if self.open.is_none() {
            let name = Shelf::name(self.make.through, self.make.salt.wrapping_add(self.done.len() as u64));
            self.open = Some(Writer::create(&self.make.shelf.dir, &name)?);
        }
        Ok(self.open.as_mut().expect("it was just made"))
    }

    /// Makes the open file durable: it is whole.
    fn close(&mut self) -> Result<(), Error> {
        self.file()?;
        let plan = self.plans[self.done.len()];
        let counters = plan.counters.iter().map(|counter| counter.fingerprint).collect();
        let Some(open) = self.open.take() else { return Ok(()) };
        let file = open.finish(counters)?;
        self.done.push(Keyed { entity: plan.entity().name.to_string(), file, keys: std::mem::take(&mut self.keys) });
        Ok(())
    }

    fn finish(mut self) -> Result<Offer, Error> {
        self.close()?;
        let mut files = self.done.into_iter();
        let Keyed { file, keys, .. } = files.next().expect("there are users");
        Ok(Offer {
            state_id: self.make.state_id.clone(),
            through: self.make.through,
            newest: self.newest.unwrap_or(Millis::MIN),
            file,
            keys,
            counts: self.counts,
            entities: files.collect(),
        })
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

/// Reads an offer through for a state with these plans: whether it has what they need, and can be read to its end.
pub fn read_through(plans: &Plans, shelf: &Shelf, offer: &Offer) -> Result<(), Declined> {
    let lacking = lacking(plans, offer);
    if !lacking.is_empty() {
        return Err(Declined::Lacks(lacking));
    }
    read(plans, shelf, offer, |_, _| (), |_, _| ()).map_err(Declined::Unreadable)
}

/// Puts an offer that was read through into a live state, all of it or nothing. It is read once more: it may be larger than
/// memory has room for twice.
pub fn install(live: &mut Live, shelf: &Shelf, offer: &Offer) -> Result<(), Declined> {
    let plans = live.plans().clone();
    let install = live.install(offer.through, offer.at(), offer.newest).map_err(Declined::Refused)?;
    let install = std::cell::RefCell::new(install);
    let key = |key, state| install.borrow_mut().key(key, state);
    read(&plans, shelf, offer, key, |hour, id| install.borrow_mut().id(hour, id)).map_err(Declined::HalfWay)?;
    install.into_inner().finish();
    Ok(())
}

/// What the plans tell and a base was made without.
fn lacking(plans: &Plans, offer: &Offer) -> Vec<String> {
    let mut lacking = Vec::new();
    for plan in plans.iter() {
        let code = |tag: usize| plan.definitions.tags.get(tag).map(|tag| tag.code.to_string());
        match offer.file_of(&plan.entity().name) {
            None => lacking.extend(plan.outputs.iter().filter_map(|tag| code(*tag))),
            Some(file) => {
                let missing = plan.counters.iter().filter(|counter| !file.counters.contains(&counter.fingerprint));
                let hidden = || format!("`retain` of entity `{}`", plan.entity().name);
                lacking.extend(missing.map(|counter| code(counter.tag).unwrap_or_else(hidden)));
            }
        }
    }
    lacking
}

fn read(
    plans: &Plans,
    shelf: &Shelf,
    offer: &Offer,
    mut key: impl FnMut(Key, State),
    id: impl FnMut(i64, crate::engine::dedup::Identity),
) -> Result<(), Error> {
    let meter = AtomicU64::new(0);
    for plan in plans.iter() {
        let Some(of) = offer.file_of(&plan.entity().name) else { continue };
        // Of counters that mean the same the file has the same, each: taken twice it would count twice.
        let mut open: Vec<usize> = (0..plan.counters.len()).collect();
        let same = |fingerprint: &u64| -> Vec<usize> {
            open.extract_if(.., |place| plan.counters[*place].fingerprint == *fingerprint).collect()
        };
        let places: Vec<Vec<usize>> = of.counters.iter().map(same).collect();
        let file = Reader::open(&shelf.dir, of, &meter)?;
        for p in 0..PARTS {
            part::states(&file, p, |name, bytes| {
                let mut state = State::new(plan);
                state.absorb(plan, &places, bytes)?;
                key(Key::from_stored(name).filter(|key| *key.entity() == *plan.entity().name)?, state);
                Some(())
            })?;
        }
    }
    each_id(&Reader::open(&shelf.dir, &offer.file, &meter)?, id)
}
