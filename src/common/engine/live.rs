//! The live engine: events as they come, changes as they happen, falls when time alone passes.
//!
//! Time only moves forward: `advance` before `push`, and an instant that lies behind is no news. A patch (`give`) moves
//! no time, and patches and events in any order come to the same values.

mod ahead;
mod entry;
mod install;
mod members;
mod places;
mod saving;
mod telling;
mod watching;

use super::dedup::{Dedup, HashKey, Horizon};
use super::derived::Cause;
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
pub use ahead::AHEAD;
use ahead::Ahead;
pub use entry::Elsewhere;
use entry::{Codec, Entry, NO_TIMER};
pub use install::Install;
pub use members::memberships;
use members::{Members, Scope};
use places::{Hashed, Places};
pub use saving::{Gone, Unsaved};
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
    plans: Plans,
    telling: Telling,
    now: Millis,
    /// The largest event time absorbed.
    newest: Millis,
    dedup: Dedup,
    tail: Tail,
    hash_key: HashKey,
    places: Places,
    entries: Vec<Entry>,
    /// By plan.
    codecs: Vec<Codec>,
    /// Entries with events.
    seen: usize,
    /// Entries of nobody, for keys to come.
    free: Vec<u32>,
    timers: BTreeMap<Millis, Vec<u32>>,
    /// Keys with something to tell, and keys with something to save.
    untold: VecDeque<u32>,
    unsaved: Vec<u32>,
    /// States that were opened since the last save, in this order, with the bytes that each took then; all of these, and how many
    /// of them there may be.
    opened: VecDeque<(u32, u32)>,
    open_bytes: usize,
    open_memory: usize,
    keys: Keys,
    scratch: Scratch,
    buffer: Vec<u8>,
    /// Bytes of packed states that may be in memory, and the place that was looked at last for room.
    memory: usize,
    hand: usize,
    ahead: Ahead,
    /// Who is in which audience, where anybody wants to know; audiences are of users, whose plan this is.
    members: Option<Box<Members>>,
    users: usize,
}

/// Before the first instant.
const NO_TIME: Millis = Millis::MIN;

/// Bytes of states that may be open, at most: a checkpoint seldom finds more.
const OPEN_MEMORY: usize = 1 << 29;

impl Live {
    pub fn new(plans: impl Into<Plans>, telling: Telling, horizon: Horizon, hash_key: HashKey) -> Live {
        let plans: Plans = plans.into();
        let own = |plan: &Arc<Plan>| Codec::new(plan.clone(), (0..plan.counters.len() as u64).collect());
        Live {
            codecs: plans.iter().map(own).collect(),
            plans,
            telling,
            now: NO_TIME,
            newest: Millis::MIN,
            dedup: Dedup::new(horizon),
            tail: Tail::default(),
            hash_key,
            places: Places::default(),
            entries: Vec::new(),
            seen: 0,
            free: Vec::new(),
            timers: BTreeMap::new(),
            untold: VecDeque::new(),
            unsaved: Vec::new(),
            opened: VecDeque::new(),
            open_bytes: 0,
            open_memory: OPEN_MEMORY,
            keys: Keys::default(),
            scratch: Scratch::new(),
            buffer: Vec::new(),
            memory: usize::MAX,
            hand: 0,
            ahead: Ahead::default(),
            members: None,
            users: usize::MAX,
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
        self.look_ahead(block, i..i + 1);
        self.push_ahead(block, i, out)
    }

    /// The same of a row that was looked ahead at last.
    pub fn push_ahead(&mut self, block: &Block, i: usize, out: &mut Vec<Patch>) -> Outcome {
        let new = self.dedup.insert(self.ahead.identity(i), block.timestamp(i), self.now);
        if self.tail.covers(block.day(i)) {
            return Outcome::Covered;
        }
        if !new {
            return Outcome::Duplicate;
        }
        let day = self.tail.take(block.day(i));
        self.newest = self.newest.max(block.timestamp(i));
        let ahead = std::mem::take(&mut self.ahead);
        for (plan, key) in ahead.keys(i) {
            self.touch(plan, key, day, block, i, out);
        }
        self.ahead = ahead;
        Outcome::Absorbed
    }

    /// Adds row `i` of a block to one of the keys that it touches.
    fn touch(&mut self, plan: usize, key: Hashed<'_>, day: Day, block: &Block, i: usize, out: &mut Vec<Patch>) {
        let place = match self.places.get(key, &self.entries) {
            Some(place) => place,
            None => self.begin(plan, Key::from_stored(key.text).expect("a plan writes keys"), key.hash),
        };
        let before = self.before(place, self.now);
        let (entry, codec) = (&mut self.entries[place as usize], &self.codecs[plan]);
        let new = entry.is_nothing();
        let scope = match (new, entry.given.is_known()) {
            (false, _) => Scope::Moved,
            (true, false) => Scope::Fresh,
            (true, true) => Scope::All,
        };
        let rested = !entry.is_open();
        let mut members = self.members.take_if(|_| plan == self.users);
        entry.open(codec).open(&codec.plan, day, self.tail.merged);
        members.iter_mut().for_each(|members| members.note_derived(entry, codec, self.now));
        let (state, now, scratch) = (entry.open(codec), self.now, &mut self.scratch);
        let mut touched = if new { ALL_COUNTERS } else { 0 };
        for (c, counter) in codec.plan.counters.iter().enumerate() {
            let added = match &mut members {
                None => counter.add(c, state, block, i, now, scratch),
                Some(members) => {
                    let before = |state: &State| members.note(c, codec, state, now);
                    counter.add_after(c, state, block, i, now, scratch, before)
                }
            };
            touched |= if added { bit(c) } else { 0 };
        }
        self.members = members.or(self.members.take());
        // An event too old to begin a key leaves it forgotten. That is told: it may have counted before a stop.
        let over = new && entry.forget_if_over(codec, self.now);
        self.seen += usize::from(new && !over);
        if touched != 0 {
            self.save_later(place);
            self.changed(place, touched, before, out);
        }
        self.judge(place, scope, &|| Cause::Event(block.event_id(i).into()), out.len());
        if rested {
            self.opened(place);
        }
    }

    /// Takes in what a patch has of the plan's given tags, at the instant time has come to; anything else in it is passed over.
    /// Before the first instant nothing is told: no value is true at no time.
    pub fn give(&mut self, patch: &Patch, out: &mut Vec<Patch>) {
        let Some(plan) = self.plans.place(patch.key.entity()) else { return };
        if !patch.tags.iter().any(|(code, _)| self.plans[plan].given_place(code).is_some()) {
            return;
        }
        let place = self.place(plan, &patch.key);
        let plan = self.plans[plan].clone();
        let before = self.before(place, self.now);
        let was_known = self.entries[place as usize].is_known();
        self.note_given(place, patch);
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
        let scope = if touched == ALL_COUNTERS { Scope::All } else { Scope::Moved };
        self.judge(place, scope, &|| Cause::Patch, out.len());
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
            self.judge(place, Scope::All, &|| Cause::Patch, out.len());
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
        let codec = &self.codecs[entry.plan as usize];
        (self.telling == Telling::Each).then(|| entry.values(codec, at, &mut self.scratch))
    }

    /// The place of a key, which may be new.
    fn place(&mut self, plan: usize, key: &Key) -> u32 {
        let hashed = self.places.hash(key.as_str());
        self.places.get(hashed, &self.entries).unwrap_or_else(|| self.begin(plan, key.clone(), hashed.hash))
    }

    fn begin(&mut self, plan: usize, key: Key, hash: u32) -> u32 {
        let entry = Entry::new(key, plan);
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
        self.places.insert(hash, place);
        place
    }

    /// Gives up the entry of a key of which nothing is known when nobody is left to hear of that.
    fn release(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        let needed = self.members.as_ref().is_some_and(|members| members.needs(place));
        let idle = entry.changed == 0 && !entry.unsaved && !entry.free && !needed;
        if idle && entry.is_nothing() && entry.given == Given::default() {
            (entry.free, entry.next) = (true, NO_TIMER);
            self.places.remove(entry.key.as_str(), place);
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
        let codec = &self.codecs[entry.plan as usize];
        let plan = &codec.plan;
        match before {
            Some(before) => {
                let after = entry.values(codec, self.now, &mut self.scratch);
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
        let codec = &self.codecs[entry.plan as usize];
        let (plan, now, scratch) = (&codec.plan, self.now, &mut self.scratch);
        let next = entry.look(codec, |state| {
            let change = state.and_then(|state| state.next_change(plan, now)).unwrap_or(NO_TIMER);
            if !entry.is_known() || !plan.follows_clock() {
                return change;
            }
            let values = plan.clock_inputs(state, &entry.given, now, scratch);
            change.min(plan.next_derived_change(&values, now, scratch).unwrap_or(NO_TIMER))
        });
        let next = match self.members.as_mut().filter(|_| usize::from(entry.plan) == self.users) {
            Some(members) => next.min(members.next_change(entry, codec, now, scratch).unwrap_or(NO_TIMER)),
            None => next,
        };
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
        let was = self.before(place, before);
        let entry = &mut self.entries[place as usize];
        let codec = &self.codecs[entry.plan as usize];
        let rested = !entry.is_open() && !entry.is_nothing();
        if let Some(members) = self.members.as_mut().filter(|_| usize::from(entry.plan) == self.users) {
            // It is opened below in any case.
            if !entry.is_nothing() {
                entry.open(codec);
            }
            members.note_falling(entry, codec, before, self.now);
        }
        entry.next = NO_TIMER;
        // Of a forgotten key the store may still have a state.
        let stored = !entry.is_nothing() || codec.plan.hidden().is_some();
        let mut lost = if entry.is_nothing() { 0 } else { entry.open(codec).expire(&codec.plan, self.now) };
        if entry.forget_if_over(codec, self.now) {
            lost = ALL_COUNTERS;
            self.seen -= 1;
        }
        if stored {
            self.save_later(place);
        }
        // A derived tag may change with no pane lost.
        let lost = if lost == 0 { ALL_COUNTERS } else { lost };
        self.changed(place, lost, was, out);
        self.judge(place, Scope::Since(before), &|| Cause::Time, out.len());
        if rested {
            self.opened(place);
        }
    }
}
