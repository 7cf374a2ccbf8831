//! The live engine: events as they come, changes as they happen, falls when time alone passes.
//!
//! Time only moves forward: `advance` before `push`, and an instant that lies behind is no news. A patch (`give`) moves
//! no time, and patches and events in any order come to the same values.

mod install;

use super::dedup::{Dedup, HashKey, Horizon, Identity, identity};
use super::given::Given;
use super::keys::Keys;
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
    /// Entries without events.
    unknown: usize,
    timers: BTreeMap<Millis, Vec<u32>>,
    /// Keys with something to tell, and keys with something to save.
    untold: VecDeque<u32>,
    unsaved: Vec<u32>,
    keys: Keys,
    scratch: Scratch,
}

struct Entry {
    key: Key,
    /// Nothing where patches alone have named the key: it has no counts.
    state: State,
    given: Given,
    /// The instant its timer is set to; `Millis::MAX` for none.
    next: Millis,
    /// The counters that changed since the last telling.
    changed: u64,
    unsaved: bool,
}

const NO_TIMER: Millis = Millis::MAX;
/// Before the first instant.
const NO_TIME: Millis = Millis::MIN;

impl Entry {
    /// The state, unless no event was seen or a base took the last of it.
    fn known(&self) -> Option<&State> {
        (!self.state.is_nothing()).then_some(&self.state)
    }

    fn values(&self, plan: &Plan, at: Millis, scratch: &mut Scratch) -> Values {
        plan.values(self.known(), &self.given, at, scratch)
    }

    fn is_known(&self) -> bool {
        !self.state.is_nothing() || self.given.is_known()
    }
}

impl Live {
    pub fn new(plan: Arc<Plan>, telling: Telling, horizon: Horizon, hash_key: HashKey) -> Live {
        Live {
            plan,
            telling,
            now: NO_TIME,
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
            keys: Keys::default(),
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

    /// Keys with an event.
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
        self.plan.keys(block, i, &mut self.keys, &mut self.scratch);
        let place = self.place();
        let plan = self.plan.clone();
        let before = self.before(place, self.now);
        let entry = &mut self.entries[place as usize];
        let new = entry.state.is_nothing();
        entry.state.open(&plan, day, self.tail.merged);
        self.unknown -= usize::from(new);
        let mut touched = if new { ALL_COUNTERS } else { 0 };
        for (c, counter) in plan.counters.iter().enumerate() {
            if counter.add(c, &mut entry.state, block, i, self.now, &mut self.scratch) {
                touched |= bit(c);
            }
        }
        if touched != 0 {
            self.save_later(place);
            self.changed(place, touched, before, out);
        }
        Outcome::Absorbed
    }

    /// Takes in what a patch has of the plan's given tags, at the instant time has come to; anything else in it is passed over.
    /// Before the first instant nothing is told: no value is true at no time.
    pub fn give(&mut self, patch: &Patch, out: &mut Vec<Patch>) {
        if !patch.tags.iter().any(|(code, _)| self.plan.given_place(code).is_some()) {
            return;
        }
        let place = match self.places.get(&patch.key) {
            Some(place) => *place,
            None => self.begin(patch.key.clone()),
        };
        let plan = self.plan.clone();
        let before = self.before(place, self.now);
        let was_known = self.entries[place as usize].is_known();
        let mut touched = 0;
        for (code, value) in &patch.tags {
            if let Some(at) = plan.given_place(code)
                && self.entries[place as usize].given.take(&plan, at, value.as_ref(), patch.as_of)
            {
                touched |= plan.given_bit(at);
            }
        }
        if self.entries[place as usize].is_known() != was_known {
            touched = ALL_COUNTERS;
        }
        if touched != 0 && self.now > NO_TIME {
            self.changed(place, touched, before, out);
        }
    }

    /// The first instant there is: what was given before it is told now, in the order of keys.
    fn begin_time(&mut self, now: Millis, out: &mut Vec<Patch>) {
        self.now = now;
        let plan = self.plan.clone();
        let nothing = || plan.values(None, &Given::default(), now, &mut Scratch::new());
        let mut places: Vec<u32> = (0..self.entries.len() as u32).collect();
        places.sort_unstable_by(|a, b| self.entries[*a as usize].key.cmp(&self.entries[*b as usize].key));
        for place in places {
            let before = (self.telling == Telling::Each).then(nothing);
            self.changed(place, ALL_COUNTERS, before, out);
        }
    }

    /// The values of a key at an instant, where each change is told: what is different afterwards is news.
    fn before(&mut self, place: u32, at: Millis) -> Option<Values> {
        (self.telling == Telling::Each).then(|| self.entries[place as usize].values(&self.plan, at, &mut self.scratch))
    }

    /// The place of the key that was just written.
    fn place(&mut self) -> u32 {
        match self.places.get(self.keys.get(0)) {
            Some(place) => *place,
            None => self.begin(Key::from_stored(self.keys.get(0)).expect("a plan writes keys")),
        }
    }

    fn begin(&mut self, key: Key) -> u32 {
        let place = u32::try_from(self.entries.len()).expect("fewer than 2^32 keys in one process");
        self.places.insert(key.clone(), place);
        let state = State::new(&self.plan);
        let given = Given::default();
        self.entries.push(Entry { key, state, given, next: NO_TIMER, changed: 0, unsaved: false });
        self.unknown += 1;
        place
    }

    /// Has the next checkpoint hold the state of a key. What was given is kept by whoever gave it.
    fn save_later(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        if !entry.unsaved {
            entry.unsaved = true;
            self.unsaved.push(place);
        }
    }

    /// Tells or remembers a change, and sets the timer anew.
    fn changed(&mut self, place: u32, counters: u64, before: Option<Values>, out: &mut Vec<Patch>) {
        let entry = &mut self.entries[place as usize];
        match before {
            Some(before) => {
                let after = entry.values(&self.plan, self.now, &mut self.scratch);
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
            let values = entry.values(&self.plan, self.now, &mut self.scratch);
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
        if self.now == NO_TIME && to > NO_TIME {
            self.begin_time(to, out);
        }
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
        let was = self.before(place, before);
        let entry = &mut self.entries[place as usize];
        entry.next = NO_TIMER;
        let lost = entry.state.expire(&plan, self.now);
        if entry.known().is_some() {
            self.save_later(place);
        }
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
            let values = entry.values(&self.plan, self.now, &mut self.scratch);
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

    /// Tells every key in the order of keys, with all its tags as of now: each that has an event or a given value, once
    /// there is a now.
    pub fn tell_all(&mut self, mut each: impl FnMut(Patch)) {
        let told = |at: &usize| self.now > NO_TIME && self.entries[*at].is_known();
        let mut places: Vec<usize> = (0..self.entries.len()).filter(told).collect();
        places.sort_unstable_by(|a, b| self.entries[*a].key.cmp(&self.entries[*b].key));
        for place in places {
            let entry = &self.entries[place];
            let values = entry.values(&self.plan, self.now, &mut self.scratch);
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

    /// Puts back the given values of a key, after its state where it has one.
    pub fn restore_given(&mut self, key: &Key, given: Given) {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.begin(key.clone()),
        };
        self.entries[place as usize].given = given;
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
        if now == NO_TIME {
            return;
        }
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
