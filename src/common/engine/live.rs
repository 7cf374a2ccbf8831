//! The live engine: events as they come, changes as they happen, falls when time alone passes.
//!
//! Time only moves forward: `advance` before `push`, and an instant that lies behind is no news. A patch (`give`) moves
//! no time, and patches and events in any order come to the same values.

mod install;

use super::dedup::{Dedup, HashKey, Horizon, Identity, identity};
use super::given::Given;
use super::keys::Keys;
use super::plan::{ALL_COUNTERS, Plan, Values};
use super::plans::Plans;
use super::state::{State, bit};
use super::tail::Tail;
use crate::expr::Scratch;
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::Block;
use crate::time::{Day, Millis};
use hashbrown::HashMap;
pub use install::Install;
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
    /// The base has it: only its id is remembered.
    Covered,
}

/// The fold of everything pushed so far, with the instants at which time alone will change it.
pub struct Live {
    plans: Plans,
    telling: Telling,
    now: Millis,
    /// The largest event time absorbed.
    newest: Millis,
    dedup: Dedup,
    tail: Tail,
    hash_key: HashKey,
    places: HashMap<Key, u32>,
    entries: Vec<Entry>,
    /// Entries with events.
    seen: usize,
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
    /// Of nobody: `free` has it.
    free: bool,
    /// Nothing where patches alone have named the key, a base took the last of it, or its entity has forgotten it.
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
    /// The state, unless no event counts any more: then the key is as one never seen.
    fn known(&self) -> Option<&State> {
        (!self.state.is_nothing()).then_some(&self.state)
    }

    fn values(&self, plan: &Plan, at: Millis, scratch: &mut Scratch) -> Values {
        plan.values(self.known(), &self.given, at, scratch)
    }

    fn is_known(&self) -> bool {
        !self.state.is_nothing() || self.given.is_known()
    }

    /// Makes the key one never seen when its entity has forgotten it.
    fn forget_if_over(&mut self, plan: &Plan, now: Millis) -> bool {
        let over = !self.state.is_nothing() && plan.is_over(&self.state, now);
        if over {
            self.state = State::new(plan);
        }
        over
    }
}

impl Live {
    pub fn new(plans: impl Into<Plans>, telling: Telling, horizon: Horizon, hash_key: HashKey) -> Live {
        Live {
            plans: plans.into(),
            telling,
            now: NO_TIME,
            newest: Millis::MIN,
            dedup: Dedup::new(horizon),
            tail: Tail::default(),
            hash_key,
            places: HashMap::new(),
            entries: Vec::new(),
            seen: 0,
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

    /// Keys with an event.
    pub fn keys(&self) -> usize {
        self.seen
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
        let mut keys = std::mem::take(&mut self.keys);
        for plan in 0..self.plans.len() {
            self.plans[plan].keys(block, i, &mut keys, &mut self.scratch);
            for key in keys.iter() {
                self.touch(plan, key, day, block, i, out);
            }
        }
        self.keys = keys;
        Outcome::Absorbed
    }

    /// Adds row `i` of a block to one of the keys that it touches.
    fn touch(&mut self, plan: usize, key: &str, day: Day, block: &Block, i: usize, out: &mut Vec<Patch>) {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.begin(plan, Key::from_stored(key).expect("a plan writes keys")),
        };
        let plan = self.plans[plan].clone();
        let before = self.before(place, self.now);
        let entry = &mut self.entries[place as usize];
        let new = entry.state.is_nothing();
        entry.state.open(&plan, day, self.tail.merged);
        let mut touched = if new { ALL_COUNTERS } else { 0 };
        for (c, counter) in plan.counters.iter().enumerate() {
            if counter.add(c, &mut entry.state, block, i, self.now, &mut self.scratch) {
                touched |= bit(c);
            }
        }
        // An event too old to begin a key leaves it forgotten. That is told: it may have counted before a stop.
        let over = new && entry.forget_if_over(&plan, self.now);
        self.seen += usize::from(new && !over);
        if touched != 0 {
            self.save_later(place);
            self.changed(place, touched, before, out);
        }
    }

    /// Takes in what a patch has of the plan's given tags, at the instant time has come to; anything else in it is passed over.
    /// Before the first instant nothing is told: no value is true at no time.
    pub fn give(&mut self, patch: &Patch, out: &mut Vec<Patch>) {
        let Some(plan) = self.plans.place(patch.key.entity()) else { return };
        if !patch.tags.iter().any(|(code, _)| self.plans[plan].given_place(code).is_some()) {
            return;
        }
        let place = match self.places.get(&patch.key) {
            Some(place) => *place,
            None => self.begin(plan, patch.key.clone()),
        };
        let plan = self.plans[plan].clone();
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
        let plans = self.plans.clone();
        let mut places: Vec<u32> = (0..self.entries.len() as u32).collect();
        self.sort(&mut places);
        for place in places {
            let plan = &plans[self.entries[place as usize].plan as usize];
            let nothing = || plan.values(None, &Given::default(), now, &mut Scratch::new());
            let before = (self.telling == Telling::Each).then(nothing);
            self.changed(place, ALL_COUNTERS, before, out);
        }
    }

    /// Entity by entity, and in the order of keys.
    fn sort(&self, places: &mut [u32]) {
        let order = |place: &u32| {
            let entry = &self.entries[*place as usize];
            (entry.plan, &entry.key)
        };
        places.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    }

    /// The values of a key at an instant, where each change is told: what is different afterwards is news.
    fn before(&mut self, place: u32, at: Millis) -> Option<Values> {
        let entry = &self.entries[place as usize];
        let plan = &self.plans[entry.plan as usize];
        (self.telling == Telling::Each).then(|| entry.values(plan, at, &mut self.scratch))
    }

    fn begin(&mut self, plan: usize, key: Key) -> u32 {
        let (state, given) = (State::new(&self.plans[plan]), Given::default());
        let (key_of_entry, plan) = (key.clone(), plan as u32);
        let entry =
            Entry { key: key_of_entry, plan, free: false, state, given, next: NO_TIMER, changed: 0, unsaved: false };
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

    /// Gives up the entry of a key of which nothing is known when nobody is left to hear of that.
    fn release(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        let idle = entry.changed == 0 && !entry.unsaved && !entry.free;
        if idle && entry.state.is_nothing() && entry.given == Given::default() {
            (entry.free, entry.next) = (true, NO_TIMER);
            self.places.remove(entry.key.as_str());
            self.free.push(place);
        }
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
        let plan = &self.plans[entry.plan as usize];
        match before {
            Some(before) => {
                let after = entry.values(plan, self.now, &mut self.scratch);
                if plan.hidden().is_some() && !entry.is_known() {
                    out.push(plan.patch(&entry.key, self.now, &after));
                } else {
                    out.extend(plan.difference(&entry.key, self.now, &before, &after));
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
        let mut next = entry.state.next_change(plan, self.now).unwrap_or(NO_TIMER);
        if entry.is_known() && plan.follows_clock() {
            let values = plan.clock_inputs(entry.known(), &entry.given, self.now, &mut self.scratch);
            let derived = plan.next_derived_change(&values, self.now, &mut self.scratch);
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
            self.sort(&mut places);
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
        let plan = self.plans[self.entries[place as usize].plan as usize].clone();
        let was = self.before(place, before);
        let entry = &mut self.entries[place as usize];
        entry.next = NO_TIMER;
        // Of a forgotten key the store may still have a state.
        let stored = !entry.state.is_nothing() || plan.hidden().is_some();
        let mut lost = entry.state.expire(&plan, self.now);
        if entry.forget_if_over(&plan, self.now) {
            lost = ALL_COUNTERS;
            self.seen -= 1;
        }
        if stored {
            self.save_later(place);
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
            let values = entry.values(plan, self.now, &mut self.scratch);
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

    /// Tells every key, entity by entity and in the order of keys, with all its tags as of now: each that has an event or a
    /// given value, once there is a now.
    pub fn tell_all(&mut self, mut each: impl FnMut(Patch)) {
        let told = |at: &u32| self.now > NO_TIME && self.entries[*at as usize].is_known();
        let mut places: Vec<u32> = (0..self.entries.len() as u32).filter(told).collect();
        self.sort(&mut places);
        for place in places {
            let entry = &self.entries[place as usize];
            let plan = &self.plans[entry.plan as usize];
            let values = entry.values(plan, self.now, &mut self.scratch);
            each(plan.patch(&entry.key, self.now, &values));
        }
    }

    /// Makes keys ones never seen, given values and all; the next checkpoint removes them, and nobody is told. Gives how many
    /// there were.
    pub fn erase(&mut self, mut gone: impl FnMut(&Key) -> bool) -> usize {
        let mut erased = 0;
        for place in 0..self.entries.len() as u32 {
            let entry = &mut self.entries[place as usize];
            if entry.free || !gone(&entry.key) {
                continue;
            }
            erased += usize::from(entry.is_known());
            self.seen -= usize::from(!entry.state.is_nothing());
            let plan = &self.plans[entry.plan as usize];
            (entry.state, entry.given) = (State::new(plan), Given::default());
            (entry.next, entry.changed) = (NO_TIMER, 0);
            self.save_later(place);
        }
        let entries = &self.entries;
        self.untold.retain(|place| entries[*place as usize].changed != 0);
        erased
    }

    /// Whether something is known of a key: an event or a given value.
    pub fn knows(&self, key: &Key) -> bool {
        self.places.get(key).is_some_and(|place| self.entries[*place as usize].is_known())
    }

    /// Gives every key whose state changed since the last call, for a checkpoint; without one what is there has to go.
    pub fn save(&mut self, mut each: impl FnMut(&Key, Option<&State>)) {
        for place in std::mem::take(&mut self.unsaved) {
            let entry = &mut self.entries[place as usize];
            entry.unsaved = false;
            each(&entry.key, entry.known());
            self.release(place);
        }
    }

    /// Lets the next checkpoint write every key: what is there is of an older form.
    pub fn save_again(&mut self) {
        for (place, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.free) {
            if !std::mem::replace(&mut entry.unsaved, true) {
                self.unsaved.push(place as u32);
            }
        }
    }

    /// What a checkpoint has to write of the ids: new ones by hour, and hours to delete.
    pub fn save_ids(&mut self) -> (Vec<(i64, Identity)>, Vec<i64>) {
        self.dedup.take_changes()
    }

    /// Puts back a key of one of the plans from a checkpoint. Call `resume` after the last one.
    pub fn restore(&mut self, key: Key, state: State) {
        let Some(plan) = self.plans.place(key.entity()) else { return };
        let place = self.begin(plan, key);
        self.seen += usize::from(!state.is_nothing());
        self.entries[place as usize].state = state;
    }

    /// Puts back the given values of a key of one of the plans, after its state where it has one.
    pub fn restore_given(&mut self, key: &Key, given: Given) {
        let place = match (self.places.get(key), self.plans.place(key.entity())) {
            (Some(place), _) => *place,
            (None, Some(plan)) => self.begin(plan, key.clone()),
            (None, None) => return,
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
        let may_have_been = |live: &Live, plan: usize| live.plans[plan].hidden().is_some();
        self.tell_if(key, may_have_been);
    }

    /// The same, of a key never seen too: that there is nothing of it.
    pub fn tell_whatever_it_is(&mut self, key: &Key) {
        self.tell_if(key, |_, _| true);
    }

    fn tell_if(&mut self, key: &Key, unseen: impl FnOnce(&Live, usize) -> bool) {
        let place = match (self.places.get(key), self.plans.place(key.entity())) {
            (Some(place), _) => *place,
            (None, Some(plan)) if unseen(self, plan) => self.begin(plan, key.clone()),
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
        for (place, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.free) {
            if entry.changed == 0 {
                self.untold.push_back(place as u32);
            }
            entry.changed = ALL_COUNTERS;
        }
    }
}
