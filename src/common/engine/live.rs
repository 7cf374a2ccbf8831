//! The live engine: events as they come, changes as they happen, falls when time alone passes.
//!
//! Time only moves forward: `advance` before `push`, and an instant that lies behind is no news.

use super::dedup::{Dedup, HashKey, Horizon, Identity, identity};
use super::keys::Keys;
use super::plan::{ALL_COUNTERS, Values};
use super::plans::Plans;
use super::state::{State, bit};
use crate::expr::Scratch;
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::Block;
use crate::time::Millis;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};

/// When changes are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Telling {
    /// A patch for each event and each instant that changes a tag.
    Each,
    /// Changed keys are remembered and told by `drain`, once each.
    Drained,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Absorbed,
    Duplicate,
}

/// The fold of everything pushed so far, with the instants at which time alone will change it.
pub struct Live {
    plans: Plans,
    telling: Telling,
    now: Millis,
    /// The largest event time absorbed.
    newest: Millis,
    dedup: Dedup,
    hash_key: HashKey,
    places: HashMap<Key, u32>,
    entries: Vec<Entry>,
    /// Entries of nobody, for keys to come.
    free: Vec<u32>,
    timers: BTreeMap<Millis, Vec<u32>>,
    /// Keys with something to tell, and keys with something to save.
    untold: VecDeque<u32>,
    unsaved: Vec<u32>,
    keys: Keys,
    scratch: Scratch,
}

struct Entry {
    key: Key,
    /// The place of its plan.
    plan: u32,
    life: Life,
    state: State,
    /// The instant its timer is set to; `Millis::MAX` for none.
    next: Millis,
    /// The counters that changed since the last telling.
    changed: u64,
    unsaved: bool,
}

/// A key of an entity that forgets comes and goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Here,
    /// Forgotten, but not yet told and saved so. Its state is empty.
    Gone,
    /// The entry is of nobody.
    Free,
}

const NO_TIMER: Millis = Millis::MAX;

impl Live {
    pub fn new(plans: impl Into<Plans>, telling: Telling, horizon: Horizon, hash_key: HashKey) -> Live {
        Live {
            plans: plans.into(),
            telling,
            now: Millis::MIN,
            newest: Millis::MIN,
            dedup: Dedup::new(horizon),
            hash_key,
            places: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            timers: BTreeMap::new(),
            untold: VecDeque::new(),
            unsaved: Vec::new(),
            keys: Keys::default(),
            scratch: Scratch::new(),
        }
    }

    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// How far time has come.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The largest event time absorbed.
    pub fn newest(&self) -> Millis {
        self.newest
    }

    /// Keys it knows.
    pub fn keys(&self) -> usize {
        self.places.len()
    }

    pub fn dedup(&self) -> &Dedup {
        &self.dedup
    }

    /// Keys that `drain` has yet to tell.
    pub fn untold(&self) -> usize {
        self.untold.len()
    }

    /// Keys that `save` has yet to give.
    pub fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// Adds row `i` of a block, at the instant time has come to.
    pub fn push(&mut self, block: &Block, i: usize, out: &mut Vec<Patch>) -> Outcome {
        if !self.dedup.insert(identity(&self.hash_key, block, i), block.timestamp(i), self.now) {
            return Outcome::Duplicate;
        }
        self.newest = self.newest.max(block.timestamp(i));
        let mut keys = std::mem::take(&mut self.keys);
        for plan in 0..self.plans.len() {
            self.plans[plan].keys(block, i, &mut keys, &mut self.scratch);
            for key in keys.iter() {
                self.touch(plan, key, block, i, out);
            }
        }
        self.keys = keys;
        Outcome::Absorbed
    }

    /// Adds row `i` of a block to one of the keys that it touches.
    fn touch(&mut self, plan: usize, key: &str, block: &Block, i: usize, out: &mut Vec<Patch>) {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.begin(plan, Key::from_stored(key).expect("a plan writes keys"), Life::Gone),
        };
        let plan = self.plans[plan].clone();
        let entry = &mut self.entries[place as usize];
        let new = entry.life == Life::Gone;
        let before = (self.telling == Telling::Each).then(|| {
            let state = (!new).then_some(&entry.state);
            plan.values(state, &[], self.now, &mut self.scratch)
        });
        let mut touched = if new { ALL_COUNTERS } else { 0 };
        for (c, counter) in plan.counters.iter().enumerate() {
            if counter.add(c, &mut entry.state, block, i, self.now, &mut self.scratch) {
                touched |= bit(c);
            }
        }
        // An event too old to begin a key leaves it gone. That is told: it may have counted before a stop.
        if new && !plan.is_over(&entry.state, self.now) {
            entry.life = Life::Here;
        }
        if touched != 0 {
            self.changed(place, touched, before, out);
        }
    }

    fn begin(&mut self, plan: usize, key: Key, life: Life) -> u32 {
        let state = State::new(&self.plans[plan]);
        let entry =
            Entry { key: key.clone(), plan: plan as u32, life, state, next: NO_TIMER, changed: 0, unsaved: false };
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 keys in one process")
            }
        };
        self.places.insert(key, place);
        place
    }

    /// Gives up the entry of a key that is gone when nobody is left to hear of it.
    fn release(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        if entry.life == Life::Gone && entry.changed == 0 && !entry.unsaved {
            (entry.life, entry.next) = (Life::Free, NO_TIMER);
            self.places.remove(entry.key.as_str());
            self.free.push(place);
        }
    }

    /// Tells or remembers a change, and sets the timer anew.
    fn changed(&mut self, place: u32, counters: u64, before: Option<Values>, out: &mut Vec<Patch>) {
        let entry = &mut self.entries[place as usize];
        let plan = &self.plans[entry.plan as usize];
        if !entry.unsaved {
            entry.unsaved = true;
            self.unsaved.push(place);
        }
        match before {
            Some(before) => {
                let after = plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
                match entry.life {
                    Life::Here => out.extend(plan.difference(&entry.key, self.now, &before, &after)),
                    Life::Gone | Life::Free => out.push(plan.patch(&entry.key, self.now, &after)),
                }
            }
            None => {
                if entry.changed == 0 {
                    self.untold.push_back(place);
                }
                entry.changed |= counters;
            }
        }
        self.arm(place);
    }

    /// Sets the timer of a key to its next change by time alone.
    fn arm(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        let plan = &self.plans[entry.plan as usize];
        let mut next = NO_TIMER;
        if entry.life == Life::Here {
            next = entry.state.next_change(plan, self.now).unwrap_or(NO_TIMER);
            if plan.derivations.iter().any(|d| d.expr.uses_as_of()) {
                let values = plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
                let derived = plan.next_derived_change(&values, self.now, &mut self.scratch);
                next = next.min(derived.unwrap_or(NO_TIMER));
            }
        }
        if next != entry.next {
            entry.next = next;
            if next != NO_TIMER {
                self.timers.entry(next).or_default().push(place);
            }
        }
    }

    /// Lets time come to `to`; what changes by that is told at its exact instant.
    pub fn advance(&mut self, to: Millis, out: &mut Vec<Patch>) {
        while let Some(due) = self.timers.first_entry().filter(|due| *due.key() <= to) {
            let (instant, mut places) = due.remove_entry();
            let before = self.now;
            // A timer may be set behind the present when an old event comes late.
            self.now = self.now.max(instant);
            // One order for the keys of one instant, whatever came first.
            let order = |place: &u32| {
                let entry = &self.entries[*place as usize];
                (entry.plan, &entry.key)
            };
            places.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
            places.dedup();
            for place in places {
                if self.entries[place as usize].next == instant {
                    self.fall(place, before, out);
                }
            }
        }
        self.now = self.now.max(to);
    }

    /// A key's timer is due at `now`; `before` is the instant up to which its values were told.
    fn fall(&mut self, place: u32, before: Millis, out: &mut Vec<Patch>) {
        let entry = &mut self.entries[place as usize];
        let plan = self.plans[entry.plan as usize].clone();
        entry.next = NO_TIMER;
        let was =
            (self.telling == Telling::Each).then(|| plan.values(Some(&entry.state), &[], before, &mut self.scratch));
        let mut lost = entry.state.expire(&plan, self.now);
        if plan.is_over(&entry.state, self.now) {
            (entry.life, entry.state, lost) = (Life::Gone, State::new(&plan), ALL_COUNTERS);
        }
        // A derived tag may change with no pane lost.
        let lost = if lost == 0 { ALL_COUNTERS } else { lost };
        self.changed(place, lost, was, out);
    }

    /// Tells up to `limit` of the keys that changed since they were last told, longest waiting first,
    /// with the values their changed tags have now.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Patch)) {
        for _ in 0..limit.min(self.untold.len()) {
            let Some(place) = self.untold.pop_front() else { break };
            let entry = &mut self.entries[place as usize];
            let plan = &self.plans[entry.plan as usize];
            let changed = std::mem::take(&mut entry.changed);
            let values = plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
            let patch = plan.changed(&entry.key, self.now, &values, changed);
            if !patch.tags.is_empty() {
                each(patch);
            }
            self.release(place);
        }
    }

    /// The keys that `drain` has yet to tell, longest waiting first.
    pub fn untold_keys(&self) -> impl Iterator<Item = &Key> {
        self.untold.iter().map(|place| &self.entries[*place as usize].key)
    }

    /// Forgets what is yet to be told: nobody listens.
    pub fn forget_untold(&mut self) {
        while let Some(place) = self.untold.pop_front() {
            self.entries[place as usize].changed = 0;
            self.release(place);
        }
    }

    /// Tells every key, entity by entity and in the order of keys, with all its tags as of now.
    pub fn tell_all(&mut self, mut each: impl FnMut(Patch)) {
        let mut here: Vec<&Entry> = self.entries.iter().filter(|entry| entry.life == Life::Here).collect();
        here.sort_unstable_by(|a, b| (a.plan, &a.key).cmp(&(b.plan, &b.key)));
        for entry in here {
            let plan = &self.plans[entry.plan as usize];
            let values = plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
            each(plan.patch(&entry.key, self.now, &values));
        }
    }

    /// Gives every key whose state changed since the last call, for a checkpoint; of a forgotten one there is none.
    pub fn save(&mut self, mut each: impl FnMut(&Key, Option<&State>)) {
        for place in std::mem::take(&mut self.unsaved) {
            let entry = &mut self.entries[place as usize];
            entry.unsaved = false;
            each(&entry.key, (entry.life == Life::Here).then_some(&entry.state));
            self.release(place);
        }
    }

    /// What a checkpoint has to write of the ids: new ones by hour, and hours to delete.
    pub fn save_ids(&mut self) -> (Vec<(i64, Identity)>, Vec<i64>) {
        self.dedup.take_changes()
    }

    /// Puts back a key of one of the plans from a checkpoint. Call `resume` after the last one.
    pub fn restore(&mut self, key: Key, state: State) {
        let Some(plan) = self.plans.place(key.entity()) else { return };
        let place = self.begin(plan, key, Life::Here);
        self.entries[place as usize].state = state;
    }

    /// Puts back an id from a checkpoint.
    pub fn restore_id(&mut self, hour: i64, identity: Identity, touched: Millis) {
        self.dedup.restore(hour, identity, touched);
    }

    /// Goes on at the instant a checkpoint was made. Values that fell while nobody ran are told by the next `advance`.
    pub fn resume(&mut self, now: Millis, newest: Millis) {
        self.now = now;
        self.newest = newest;
        for place in 0..self.entries.len() as u32 {
            self.arm(place);
            let entry = &mut self.entries[place as usize];
            // What an entity remembers by now is not what it remembered: of this key it knows nothing.
            if entry.next == NO_TIMER && self.plans[entry.plan as usize].is_over(&entry.state, now) {
                entry.next = now;
                self.timers.entry(now).or_default().push(place);
            }
        }
    }

    /// Marks a key as changed, so that `drain` tells all of it; one never seen is passed over, if its entity does not
    /// forget: then it may have been seen.
    pub fn tell(&mut self, key: &Key) {
        let place = match (self.places.get(key), self.plans.place(key.entity())) {
            (Some(place), _) => *place,
            (None, Some(plan)) if self.plans[plan].hidden().is_some() => self.begin(plan, key.clone(), Life::Gone),
            (None, _) => return,
        };
        let entry = &mut self.entries[place as usize];
        if entry.changed == 0 {
            self.untold.push_back(place);
        }
        entry.changed = ALL_COUNTERS;
    }

    /// Marks every key as changed, so that `drain` tells all of them: for an empty or doubtful projection.
    pub fn tell_again(&mut self) {
        let known = self.entries.iter_mut().enumerate().filter(|(_, entry)| entry.life != Life::Free);
        for (place, entry) in known {
            if entry.changed == 0 {
                self.untold.push_back(place as u32);
            }
            entry.changed = ALL_COUNTERS;
        }
    }
}
