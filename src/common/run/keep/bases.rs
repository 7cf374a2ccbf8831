//! The base of a running state: looked for every second, read through, installed, saved with the next checkpoint.
//!
//! Its files go once the states that came from them are on the disk. Killed before, the state takes it again.

use super::{Input, Keep};
use crate::engine::dedup::HashKey;
use crate::key::Key;
use crate::ledger::Ledger;
use crate::rollup::offer::{Offer, Shelf};
use crate::run::base::{Declined, install, read_through};
use crate::run::stream::{Error, Observer};
use crate::store;
use crate::store::embedded::{Changes, Embedded};
use crate::tag::Kind;
use crate::time::{Day, Millis, show_day};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

const LOOK: Duration = Duration::from_secs(1);

/// What is known of the bases that lie beside the state.
pub(super) struct Bases {
    shelf: Shelf,
    looked: Option<Instant>,
    seen: Option<(u64, SystemTime)>,
    reading: Option<Reading>,
    /// Files of bases that are in memory; in the checkpoint on its way to the disk.
    installed: Vec<String>,
    saving: Vec<String>,
    /// One was installed, and the projection does not know of it.
    new: bool,
}

/// A base that a thread of its own reads through, while events go on: only one that can be read to its end is installed.
struct Reading {
    offer: Offer,
    thread: JoinHandle<Result<(), Declined>>,
}

impl Bases {
    pub fn of(store: &Path) -> Bases {
        let (installed, saving) = (Vec::new(), Vec::new());
        Bases { shelf: Shelf::of(store), looked: None, seen: None, reading: None, installed, saving, new: false }
    }

    /// Whether one was installed since this was last asked.
    pub fn is_new(&mut self) -> bool {
        std::mem::take(&mut self.new)
    }

    /// A checkpoint of all that is in memory is on its way.
    pub fn saving(&mut self) {
        self.saving.append(&mut self.installed);
    }

    /// It is on the disk.
    pub fn saved(&mut self) {
        self.saving.drain(..).for_each(|name| self.shelf.remove(&name));
    }
}

impl Keep {
    /// Looks for a base that was made since the last look, and installs one that was read through by now.
    pub(super) fn look_for_base(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        if let Some(reading) = self.bases.reading.take_if(|reading| reading.thread.is_finished()) {
            self.install(reading, observer)?;
        }
        if self.bases.reading.is_some() || self.bases.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.bases.looked = Some(Instant::now());
        let mark = self.bases.shelf.mark();
        if mark.is_none() || mark == self.bases.seen {
            return Ok(());
        }
        self.bases.seen = mark;
        match self.bases.shelf.load() {
            Ok(Some(offer)) => self.consider(offer, observer),
            Ok(None) => {}
            Err(e) => observer.say(&format!("a base is passed over: {e}")),
        }
        Ok(())
    }

    /// The same, and waits until a base that is there is installed.
    pub(super) fn wait_for_base(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.look_for_base(observer)?;
        self.bases.reading.take().map_or(Ok(()), |reading| self.install(reading, observer))
    }

    /// Takes back a base that is offered and not installed: it has users who were forgotten since it was made.
    pub(super) fn withdraw_base(&mut self) {
        if let Some(reading) = self.bases.reading.take() {
            // What it says of the files no longer matters.
            let _ = reading.thread.join();
        }
        self.bases.shelf.withdraw();
        self.bases.seen = None;
    }

    /// Begins to read a base through, if it is for this state.
    fn consider(&mut self, offer: Offer, observer: &mut dyn Observer) {
        let day = show_day(offer.through);
        if self.ledger.progress.base == Some(offer.digest()) {
            self.bases.installed.extend(offer.files().map(|file| file.name.clone()));
        } else if self.ledger.progress.state_id != offer.state_id {
            observer.say(&format!("the base through {day} is passed over: it was made for another state"));
        } else if self.ledger.is_part() {
            observer
                .say(&format!("the base through {day} is passed over: the state has users of some partitions only"));
        } else if let Err(refused) = self.live.tail().accepts(offer.through) {
            observer.say(&format!("the base through {day} is passed over: {refused}"));
        } else {
            let (plans, shelf, read) = (self.live.plans().clone(), self.bases.shelf.clone(), offer.clone());
            let thread = std::thread::spawn(move || read_through(&plans, &shelf, &read));
            self.bases.reading = Some(Reading { offer, thread });
        }
    }

    fn install(&mut self, reading: Reading, observer: &mut dyn Observer) -> Result<(), Error> {
        let Reading { offer, thread } = reading;
        let day = show_day(offer.through);
        let read = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match read.and_then(|()| install(&mut self.live, &self.bases.shelf, &offer)) {
            Ok(()) => {}
            Err(Declined::HalfWay(e)) => return Err(Error::Base(e)),
            Err(declined) => {
                observer.say(&format!("the base through {day} is passed over: {}", why(&declined)));
                return Ok(());
            }
        }
        self.ledger.installed(offer.through, offer.digest());
        self.bases.installed.extend(offer.files().map(|file| file.name.clone()));
        (self.bases.new, self.renumbered, self.dirty) = (true, true, true);
        let others = offer.entities.iter().map(|keyed| format!(", {} keys of {}", keyed.keys, keyed.entity));
        observer.note(&format!("base through {day} installed: {} profiles{}", offer.keys, others.collect::<String>()));
        Ok(())
    }

    /// Says which tags are not whole, and until when.
    pub(super) fn tell_warming(&mut self, observer: &mut dyn Observer) {
        let plans = self.live.plans().clone();
        let definitions = plans.definitions();
        let now = self.live.now().max((self.now)());
        let told = |tag: &usize| {
            let warming = self.ledger.warming(definitions, *tag, now)?;
            Some(format!("{} {warming}", definitions.tags[*tag].code))
        };
        let imported = |tag: &&usize| !matches!(definitions.tags[**tag].kind, Kind::Imported);
        let warm: Vec<String> = plans.iter().flat_map(|plan| &plan.outputs).filter(imported).filter_map(told).collect();
        if !warm.is_empty() {
            observer.say(&format!("tags that are warming: {}", warm.join("; ")));
        }
    }

    /// Writes what is in memory, and ends.
    pub fn close(mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.checkpoint(None, observer)?;
        self.saver.wait()?;
        self.bases.saved();
        Ok(())
    }

    /// The day through which a base is installed.
    pub fn base(&self) -> Option<Day> {
        self.live.tail().base
    }
}

/// Why a base was not installed, in words.
fn why(declined: &Declined) -> String {
    match declined {
        Declined::Refused(refused) => refused.to_string(),
        Declined::Lacks(codes) => {
            format!("it lacks {}; make it with the definitions of the stream", codes.join(", "))
        }
        Declined::Unreadable(e) | Declined::HalfWay(e) => e.to_string(),
    }
}

/// The ledger of the store in `dir`; where no live state has begun, one is begun that has nothing but a base to come.
pub fn begin(dir: &Path, state_id: String, hash_key: HashKey, now: Millis) -> Result<Ledger, store::Error> {
    let store = Embedded::create_or_open(dir)?;
    if let Some(ledger) = Ledger::read(&store.snapshot()?)? {
        return Ok(ledger);
    }
    let mut owner = store.begin_owner(Input::BaseOnly.owner())?;
    // Another process may have been faster.
    if let Some(ledger) = Ledger::read(&store.snapshot()?)? {
        return Ok(ledger);
    }
    let mut ledger = Ledger::new(state_id, hash_key);
    ledger.progress.only_base = true;
    let (name, bytes) = ledger.progress();
    let states: [(Key, Option<Vec<u8>>); 0] = [];
    owner.commit(Changes { at: now, states, meta: &[(name, Some(&bytes))], ids: &[] })?;
    Ok(ledger)
}
