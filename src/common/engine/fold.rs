//! The fold of states: all events of some keys into their states, panes and all, and from these the values at an instant.
//!
//! `columns` tells the same values faster, where no states are wanted.

use super::dedup::{HashKey, Identity, identity};
use super::given::Given;
use super::keys::Keys;
use super::plan::Plan;
use super::state::State;
use crate::expr::Scratch;
use crate::key::Key;
use crate::patch::Patch;
use crate::rows::{Block, Pick};
use crate::time::Millis;
use hashbrown::{HashMap, HashSet};

/// Which events count, and the instant the values are true at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first event time that counts; none: all of the past.
    pub since: Option<Millis>,
    /// The instant of the values: the last event time that counts; none: the largest there is.
    pub as_of: Option<Millis>,
}

impl Range {
    pub fn holds(&self, timestamp: Millis) -> bool {
        self.since.is_none_or(|since| since <= timestamp) && self.as_of.is_none_or(|as_of| timestamp <= as_of)
    }
}

/// What happened to the events of a fold: each is one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub absorbed: u64,
    pub duplicates: u64,
    /// Distinct, but not in the range.
    pub outside: u64,
    /// The first and the last event time absorbed.
    pub times: Option<(Millis, Millis)>,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.absorbed += other.absorbed;
        self.duplicates += other.duplicates;
        self.outside += other.outside;
        self.times = spanning(self.times, other.times);
    }
}

/// The time that two spans take up together, ends included.
pub fn spanning(a: Option<(Millis, Millis)>, b: Option<(Millis, Millis)>) -> Option<(Millis, Millis)> {
    match (a, b) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    }
}

/// States of some keys, under construction. Blocks come in the order of the log: of duplicates the first one counts.
pub struct Fold<'p> {
    plan: &'p Plan,
    hash_key: HashKey,
    range: Range,
    seen: HashSet<Identity>,
    places: HashMap<Key, u32>,
    states: Vec<(Key, State)>,
    /// The largest event time so far: no value will be asked for an earlier instant.
    newest: Millis,
    pub tally: Tally,
    /// Of the block at hand, the rows that count, each with the place of a key that it touches.
    picks: Vec<Pick>,
    keys: Keys,
    scratch: Scratch,
}

impl<'p> Fold<'p> {
    pub fn new(plan: &'p Plan, hash_key: HashKey) -> Fold<'p> {
        Fold {
            plan,
            hash_key,
            range: Range::default(),
            seen: HashSet::new(),
            places: HashMap::new(),
            states: Vec::new(),
            newest: Millis::MIN,
            tally: Tally::default(),
            picks: Vec::new(),
            keys: Keys::default(),
            scratch: Scratch::new(),
        }
    }

    /// The same fold, of the events in `range` only.
    pub fn within(self, range: Range) -> Fold<'p> {
        Fold { range, ..self }
    }

    /// The same fold, with events of these identities known from before: here they are duplicates.
    pub fn knowing(mut self, ids: impl IntoIterator<Item = Identity>) -> Fold<'p> {
        self.seen.extend(ids);
        self
    }

    /// Whether row `i` counts; it is tallied. Of an event that was seen before no row does.
    ///
    /// An event outside the range hides its duplicates too: which of them counts rests on the log, not on the question.
    #[inline]
    pub(super) fn admit(&mut self, block: &Block, i: usize) -> bool {
        if !self.seen.insert(identity(&self.hash_key, block, i)) {
            self.tally.duplicates += 1;
            return false;
        }
        let at = block.timestamp(i);
        if !self.range.holds(at) {
            self.tally.outside += 1;
            return false;
        }
        self.newest = self.newest.max(at);
        self.tally.times = Some(self.tally.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        self.tally.absorbed += 1;
        true
    }

    /// Adds the events of a block.
    pub fn add(&mut self, block: &Block) {
        self.add_and_show(block);
    }

    /// The same, and gives the rows that count, once for each key that they touch.
    pub fn add_and_show(&mut self, block: &Block) -> &[Pick] {
        self.picks.clear();
        for row in 0..block.len() {
            if self.admit(block, row) {
                self.pick(block, row, |_| true);
            }
        }
        self.feed(block);
        &self.picks
    }

    /// Adds rows of a block that are known to count to those of their keys that are `mine`. Nothing is tallied.
    pub fn touch(&mut self, block: &Block, rows: impl Iterator<Item = u32>, mine: impl Fn(&str) -> bool) {
        self.picks.clear();
        for row in rows {
            self.newest = self.newest.max(block.timestamp(row as usize));
            self.pick(block, row as usize, &mine);
        }
        self.feed(block);
    }

    fn pick(&mut self, block: &Block, row: usize, mine: impl Fn(&str) -> bool) {
        self.plan.keys(block, row, &mut self.keys, &mut self.scratch);
        for n in 0..self.keys.len() {
            if mine(self.keys.get(n)) {
                let place = self.place(n);
                self.picks.push(Pick { row: row as u32, place });
            }
        }
    }

    /// Adds the rows at hand to the states of their keys, one aggregation at a time.
    fn feed(&mut self, block: &Block) {
        for (c, counter) in self.plan.counters.iter().enumerate() {
            for Pick { row, place } in &self.picks {
                let state = &mut self.states[*place as usize].1;
                counter.add(c, state, block, *row as usize, self.newest, &mut self.scratch);
            }
        }
    }

    /// The place of one of the keys at hand.
    fn place(&mut self, n: usize) -> u32 {
        let key = self.keys.get(n);
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = u32::try_from(self.states.len()).expect("fewer than 2^32 keys in one part of a log");
        let key = Key::from_stored(key).expect("a plan writes keys");
        self.states.push((key.clone(), State::new(self.plan)));
        self.places.insert(key, place);
        place
    }

    /// For each counter of how many keys it has left values out, since there were more than it keeps.
    pub fn flagged(&self) -> Vec<u64> {
        let of = |place| self.states.iter().filter(|(_, state)| state.is_flagged(place)).count() as u64;
        (0..self.plan.counters.len()).map(of).collect()
    }

    /// The states, in the order of keys.
    pub fn into_states(mut self) -> Vec<(Key, State)> {
        self.states.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.states
    }

    /// One patch a key, in the order of keys, with all told tags at `as_of`: an instant no earlier than any event.
    pub fn finish(self, as_of: Millis, mut each: impl FnMut(Patch)) {
        let (plan, mut scratch) = (self.plan, Scratch::new());
        for (key, state) in self.into_states() {
            let values = plan.values(Some(&state), &Given::default(), as_of, &mut scratch);
            each(plan.patch(&key, as_of, &values));
        }
    }
}
