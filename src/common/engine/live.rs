//! The live engine: events as they come, changes as they happen, falls when time alone passes.
//!
//! Time only moves forward: `advance` before `push`, and an instant that lies behind is no news.

mod install;

use super::dedup::{Dedup, HashKey, Horizon, Identity, identity};
use super::plan::{ALL_COUNTERS, Plan, Values};
use super::state::{State, bit};
use super::tail::Tail;
use crate::expr::Scratch;
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::Block;
use crate::time::Millis;
use hashbrown::HashMap;
pub use install::Install;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
    /// The base has it: only its id is remembered.
    Covered,
}

/// The fold of everything pushed so far, with the instants at which time alone will change it.
pub struct Live {
    plan: Arc<Plan>,
    telling: Telling,
    now: Millis,
    /// The largest event time absorbed.
    newest: Millis,
    dedup: Dedup,
    tail: Tail,
    hash_key: HashKey,
    places: HashMap<Key, u32>,
    entries: Vec<Entry>,
    /// Entries of which nothing is known.
    unknown: usize,
    timers: BTreeMap<Millis, Vec<u32>>,
    /// Keys with something to tell, and keys with something to save.
    untold: VecDeque<u32>,
    unsaved: Vec<u32>,
    key: String,
    scratch: Scratch,
}

struct Entry {
    key: Key,
    state: State,
    /// The instant its timer is set to; `Millis::MAX` for none.
    next: Millis,
    /// The counters that changed since the last telling.
    changed: u64,
    unsaved: bool,
}

const NO_TIMER: Millis = Millis::MAX;

impl Entry {
    /// The state, unless a base took the last of it: then the key is as one never seen.
    fn known(&self) -> Option<&State> {
        (!self.state.is_nothing()).then_some(&self.state)
    }
}

impl Live {
    pub fn new(plan: Arc<Plan>, telling: Telling, horizon: Horizon, hash_key: HashKey) -> Live {
        Live {
            plan,
            telling,
            now: Millis::MIN,
            newest: Millis::MIN,
            dedup: Dedup::new(horizon),
            tail: Tail::default(),
            hash_key,
            places: HashMap::new(),
            entries: Vec::new(),
            unknown: 0,
            timers: BTreeMap::new(),
            untold: VecDeque::new(),
            unsaved: Vec::new(),
            key: String::new(),
            scratch: Scratch::new(),
        }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How far time has come.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The largest event time absorbed.
    pub fn newest(&self) -> Millis {
        self.newest
    }

    pub fn keys(&self) -> usize {
        self.entries.len() - self.unknown
    }

    pub fn dedup(&self) -> &Dedup {
        &self.dedup
    }

    /// Which events it counts itself.
    pub fn tail(&self) -> &Tail {
        &self.tail
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
        let new = self.dedup.insert(identity(&self.hash_key, block, i), block.timestamp(i), self.now);
        if self.tail.covers(block.day(i)) {
            return Outcome::Covered;
        }
        if !new {
            return Outcome::Duplicate;
        }
        let day = self.tail.take(block.day(i));
        self.newest = self.newest.max(block.timestamp(i));
        self.plan.write_key(block, i, &mut self.key);
        let place = self.place();
        let plan = self.plan.clone();
        let new = self.entries[place as usize].state.is_nothing();
        let before = (self.telling == Telling::Each).then(|| {
            let state = (!new).then_some(&self.entries[place as usize].state);
            plan.values(state, &[], self.now, &mut self.scratch)
        });
        let entry = &mut self.entries[place as usize];
        entry.state.open(&plan, day, self.tail.merged);
        self.unknown -= usize::from(new);
        let mut touched = if new { ALL_COUNTERS } else { 0 };
        for (c, counter) in plan.counters.iter().enumerate() {
            if counter.add(c, &mut entry.state, block, i, self.now, &mut self.scratch) {
                touched |= bit(c);
            }
        }
        if touched != 0 {
            self.changed(place, touched, before, out);
        }
        Outcome::Absorbed
    }

    /// The place of the key that was just written.
    fn place(&mut self) -> u32 {
        match self.places.get(self.key.as_str()) {
            Some(place) => *place,
            None => self.begin(Key::from_stored(&self.key).expect("a plan writes keys")),
        }
    }

    fn begin(&mut self, key: Key) -> u32 {
        let place = u32::try_from(self.entries.len()).expect("fewer than 2^32 keys in one process");
        self.places.insert(key.clone(), place);
        let state = State::new(&self.plan);
        self.entries.push(Entry { key, state, next: NO_TIMER, changed: 0, unsaved: false });
        self.unknown += 1;
        place
    }

    /// Tells or remembers a change, and sets the timer anew.
    fn changed(&mut self, place: u32, counters: u64, before: Option<Values>, out: &mut Vec<Patch>) {
        let entry = &mut self.entries[place as usize];
        if !entry.unsaved {
            entry.unsaved = true;
            self.unsaved.push(place);
        }
        match before {
            Some(before) => {
                let after = self.plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
                out.extend(self.plan.difference(&entry.key, self.now, &before, &after));
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
        let mut next = entry.state.next_change(&self.plan, self.now).unwrap_or(NO_TIMER);
        if self.plan.derivations.iter().any(|d| d.expr.uses_as_of()) {
            let values = self.plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
            let derived = self.plan.next_derived_change(&values, self.now, &mut self.scratch);
            next = next.min(derived.unwrap_or(NO_TIMER));
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
            places.sort_unstable_by(|a, b| self.entries[*a as usize].key.cmp(&self.entries[*b as usize].key));
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
        let plan = self.plan.clone();
        let entry = &mut self.entries[place as usize];
        entry.next = NO_TIMER;
        let was =
            (self.telling == Telling::Each).then(|| plan.values(Some(&entry.state), &[], before, &mut self.scratch));
        let lost = entry.state.expire(&plan, self.now);
        // A derived tag may change with no pane lost.
        let lost = if lost == 0 { ALL_COUNTERS } else { lost };
        self.changed(place, lost, was, out);
    }

    /// Tells up to `limit` of the keys that changed since they were last told, longest waiting first,
    /// with the values their changed tags have now.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Patch)) {
        let n = limit.min(self.untold.len());
        for place in self.untold.drain(..n) {
            let entry = &mut self.entries[place as usize];
            let changed = std::mem::take(&mut entry.changed);
            let values = self.plan.values(entry.known(), &[], self.now, &mut self.scratch);
            let patch = self.plan.changed(&entry.key, self.now, &values, changed);
            if !patch.tags.is_empty() {
                each(patch);
            }
        }
    }

    /// The keys that `drain` has yet to tell, longest waiting first.
    pub fn untold_keys(&self) -> impl Iterator<Item = &Key> {
        self.untold.iter().map(|place| &self.entries[*place as usize].key)
    }

    /// Forgets what is yet to be told: nobody listens.
    pub fn forget_untold(&mut self) {
        for place in self.untold.drain(..) {
            self.entries[place as usize].changed = 0;
        }
    }

    /// Tells every key in the order of keys, with all its tags as of now.
    pub fn tell_all(&mut self, mut each: impl FnMut(Patch)) {
        let known = |place: &usize| self.entries[*place].known().is_some();
        let mut places: Vec<usize> = (0..self.entries.len()).filter(known).collect();
        places.sort_unstable_by(|a, b| self.entries[*a].key.cmp(&self.entries[*b].key));
        for place in places {
            let entry = &self.entries[place];
            let values = self.plan.values(Some(&entry.state), &[], self.now, &mut self.scratch);
            each(self.plan.patch(&entry.key, self.now, &values));
        }
    }

    /// Gives every key whose state changed since the last call, for a checkpoint; without one what is there has to go.
    pub fn save(&mut self, mut each: impl FnMut(&Key, Option<&State>)) {
        for place in std::mem::take(&mut self.unsaved) {
            let entry = &mut self.entries[place as usize];
            entry.unsaved = false;
            each(&entry.key, entry.known());
        }
    }

    /// Lets the next checkpoint write every key: what is there is of an older form.
    pub fn save_again(&mut self) {
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if !std::mem::replace(&mut entry.unsaved, true) {
                self.unsaved.push(place as u32);
            }
        }
    }

    /// What a checkpoint has to write of the ids: new ones by hour, and hours to delete.
    pub fn save_ids(&mut self) -> (Vec<(i64, Identity)>, Vec<i64>) {
        self.dedup.take_changes()
    }

    /// Puts back a key from a checkpoint. Call `resume` after the last one.
    pub fn restore(&mut self, key: Key, state: State) {
        let place = self.begin(key);
        self.unknown -= usize::from(!state.is_nothing());
        self.entries[place as usize].state = state;
    }

    /// Puts back an id from a checkpoint.
    pub fn restore_id(&mut self, hour: i64, identity: Identity, touched: Millis) {
        self.dedup.restore(hour, identity, touched);
    }

    /// Goes on with the tail of a checkpoint; a new state has none.
    pub fn restore_tail(&mut self, tail: Tail) {
        self.tail = tail;
    }

    /// Goes on at the instant a checkpoint was made. Values that fell while nobody ran are told by the next `advance`.
    pub fn resume(&mut self, now: Millis, newest: Millis) {
        self.now = now;
        self.newest = newest;
        for place in 0..self.entries.len() {
            self.arm(place as u32);
        }
    }

    /// Marks a key as changed, so that `drain` tells all of it; one never seen is passed over.
    pub fn tell(&mut self, key: &Key) {
        let Some(&place) = self.places.get(key) else { return };
        let entry = &mut self.entries[place as usize];
        if entry.changed == 0 {
            self.untold.push_back(place);
        }
        entry.changed = ALL_COUNTERS;
    }

    /// Marks every key as changed, so that `drain` tells all of them: for an empty or doubtful projection.
    pub fn tell_again(&mut self) {
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if entry.changed == 0 {
                self.untold.push_back(place as u32);
            }
            entry.changed = ALL_COUNTERS;
        }
    }
}
