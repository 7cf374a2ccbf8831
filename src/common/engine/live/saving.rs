//! Saving: what a checkpoint holds, and going on from one.

use super::{Codec, Elsewhere, Entry, Live, NO_TIME, NO_TIMER, OPEN_MEMORY};
use crate::engine::dedup::{Dedup, Identity, Slice};
use crate::engine::given::Given;
use crate::engine::state::State;
use crate::engine::tail::Tail;
use crate::key::Key;
use crate::time::Millis;
use std::sync::Arc;

/// Keys whose states are to be packed for a checkpoint.
pub struct Unsaved<'a> {
    codecs: &'a [Codec],
    /// Those from the place `first` on.
    entries: &'a mut [Entry],
    first: usize,
    places: Vec<u32>,
    /// Open ones, saved or not.
    opened: Vec<u32>,
}

/// Where keys were of which nothing is left.
pub struct Gone(Vec<u32>);

impl Unsaved<'_> {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Packs them and gives the bytes of each; others that are open are packed, too.
    pub fn pack(self, mut each: impl FnMut(&Key, Option<&[u8]>)) -> Gone {
        let (mut buffer, mut gone) = (Vec::new(), Vec::new());
        for place in self.places {
            let entry = &mut self.entries[place as usize - self.first];
            let codec = &self.codecs[entry.plan as usize];
            entry.unsaved = false;
            entry.fetch_if_away(codec);
            entry.pack(codec, &mut buffer);
            each(&entry.key, entry.packed());
            if entry.is_nothing() {
                gone.push(place);
            }
        }
        for place in self.opened {
            let entry = &mut self.entries[place as usize - self.first];
            entry.pack(&self.codecs[entry.plan as usize], &mut buffer);
        }
        Gone(gone)
    }
}

impl Live {
    /// Gives the bytes of every key whose state changed since the last call, as `State::encode_days` has them, for a
    /// checkpoint; without any what is there has to go. They rest packed from here on.
    pub fn save(&mut self, mut each: impl FnMut(&Key, Option<&[u8]>)) {
        self.save_by(|[one, two]| [one.pack(&mut each), two.pack(&mut each)]);
    }

    /// The same in two halves, which may be packed at once.
    pub fn save_by(&mut self, pack: impl FnOnce([Unsaved<'_>; 2]) -> [Gone; 2]) {
        let first = self.entries.len() / 2;
        let (below, above) = self.entries.split_at_mut(first);
        let places = std::mem::take(&mut self.unsaved);
        let is_low = |place: &u32| (*place as usize) < first;
        let (low, high) = places.into_iter().partition(is_low);
        let (opened_low, opened_high) = self.opened.drain(..).map(|(place, _)| place).partition(is_low);
        self.open_bytes = 0;
        let codecs = self.codecs.as_slice();
        let gone = pack([
            Unsaved { codecs, entries: below, first: 0, places: low, opened: opened_low },
            Unsaved { codecs, entries: above, first, places: high, opened: opened_high },
        ]);
        gone.into_iter().flat_map(|gone| gone.0).for_each(|place| self.release(place));
    }

    /// Nobody saves: forgets what a checkpoint would hold.
    pub fn forget_unsaved(&mut self) {
        for place in std::mem::take(&mut self.unsaved) {
            self.entries[place as usize].unsaved = false;
            self.release(place);
        }
        self.members.iter_mut().for_each(|members| members.forget_unsaved());
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
            self.seen -= usize::from(!entry.is_nothing());
            entry.clear(&self.codecs[entry.plan as usize]);
            entry.given = Given::default();
            (entry.next, entry.changed, entry.whole) = (NO_TIMER, 0, false);
            self.members.iter_mut().for_each(|members| members.erase(place));
            self.save_later(place);
        }
        self.members.iter_mut().for_each(|members| members.erase_made(&mut gone));
        let entries = &self.entries;
        self.untold.retain(|place| entries[*place as usize].changed != 0);
        erased
    }

    /// Whether something is known of a key: an event or a given value.
    pub fn knows(&self, key: &Key) -> bool {
        let place = self.places.get(self.places.hash(key.as_str()), &self.entries);
        place.is_some_and(|place| self.entries[place as usize].is_known())
    }

    /// Lets the next checkpoint write every key: what is there is of an older form.
    pub fn save_again(&mut self) {
        for (place, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.free) {
            if !std::mem::replace(&mut entry.unsaved, true) {
                self.unsaved.push(place as u32);
            }
        }
    }

    /// Bounds the memory of packed states: what is beyond so many bytes is left to `elsewhere`, where every state is that was
    /// saved or restored. States that are open take no more than that besides. Keys, their timers and given values stay.
    pub fn bound(&mut self, memory: usize, elsewhere: Arc<dyn Elsewhere>) {
        self.memory = memory;
        self.open_memory = OPEN_MEMORY.min(memory);
        self.codecs.iter_mut().for_each(|codec| codec.elsewhere = Some(elsewhere.clone()));
    }

    /// Whether every state that was needed was to be had.
    pub fn is_sound(&self) -> bool {
        self.codecs.iter().all(|codec| codec.elsewhere.as_ref().is_none_or(|elsewhere| elsewhere.is_sound()))
    }

    /// Whether packed states take more memory than they may.
    pub fn is_full(&self) -> bool {
        self.packed_bytes() > self.memory
    }

    /// Bytes that packed states take in memory.
    pub fn packed_bytes(&self) -> usize {
        self.codecs.iter().map(Codec::held).sum()
    }

    /// Makes room where memory is bounded, from key to key in a round. Only while everything `save` gave is on the disk.
    pub fn make_room(&mut self) {
        // Two rounds: in the first one each may have been fresh.
        let mut steps = 2 * self.entries.len();
        while self.is_full() && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let entry = &mut self.entries[self.hand];
            entry.leave(&self.codecs[entry.plan as usize]);
        }
    }

    /// Bytes of the states that are open.
    #[cfg(test)]
    pub(in crate::engine) fn open_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.open_bytes() as usize).sum()
    }

    /// What a checkpoint has to write of the ids: new ones by slice, and slices of which it deletes what it has before.
    pub fn save_ids(&mut self) -> (Vec<(Slice, Vec<Identity>)>, Vec<Slice>) {
        self.dedup.take_changes()
    }

    /// Has states written under these numbers, which for each plan and counter say what is counted; else they are the
    /// places of the counters. Before the first key.
    pub fn number(&mut self, numbers: Vec<Vec<u64>>) {
        debug_assert!(self.entries.is_empty());
        self.codecs = self.plans.iter().zip(numbers).map(|(plan, numbers)| Codec::new(plan.clone(), numbers)).collect();
    }

    /// Makes room for so many keys, and some to come.
    pub fn reserve(&mut self, keys: usize) {
        let keys = keys + keys / 8;
        self.entries.reserve(keys);
        self.places.reserve(keys);
    }

    /// Puts back a key of one of the plans from a checkpoint, which may come before `resume` or after it.
    pub fn restore(&mut self, key: Key, state: State) {
        let Some(plan) = self.plans.place(key.entity()) else { return };
        let hash = self.places.hash(key.as_str()).hash;
        let place = self.begin(plan, key, hash);
        self.seen += usize::from(!state.is_nothing());
        self.entries[place as usize].set(&self.codecs[plan], state);
        if self.now > NO_TIME {
            self.wind(place);
        }
        self.pack(place);
        if self.is_full() {
            let entry = &mut self.entries[place as usize];
            (0..2).for_each(|_| entry.leave(&self.codecs[plan]));
        }
    }

    /// Puts back the given values of a key of one of the plans, after its state where it has one.
    pub fn restore_given(&mut self, key: &Key, given: Given) {
        let Some(plan) = self.plans.place(key.entity()) else { return };
        let place = self.place(plan, key);
        self.entries[place as usize].given = given;
        if self.now > NO_TIME {
            self.wind(place);
        }
    }

    /// Puts back the ids of a checkpoint: all that is remembered.
    pub fn restore_ids(&mut self, ids: Dedup) {
        self.dedup = ids;
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
        (0..self.entries.len() as u32).for_each(|place| self.wind(place));
    }

    /// Sets the timer of a key that was put back.
    fn wind(&mut self, place: u32) {
        self.arm(place);
        let entry = &mut self.entries[place as usize];
        let codec = &self.codecs[entry.plan as usize];
        // What an entity remembers by now is not what it remembered: of this key it knows nothing.
        if entry.next == NO_TIMER
            && codec.plan.hidden().is_some()
            && entry.look(codec, |state| state.is_none_or(|state| codec.plan.is_over(state, self.now)))
        {
            entry.next = self.now;
            self.timers.entry(self.now).or_default().push(place);
        }
    }

    /// A state was opened. Those opened first rest while all take too much.
    pub(super) fn opened(&mut self, place: u32) {
        let bytes = self.entries[place as usize].open_bytes();
        self.opened.push_back((place, bytes));
        self.open_bytes += bytes as usize;
        while self.open_bytes > self.open_memory
            && let Some((place, bytes)) = self.opened.pop_front()
        {
            self.open_bytes -= bytes as usize;
            self.pack(place);
        }
    }

    /// Lets a state rest as its bytes.
    pub(super) fn pack(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        entry.pack(&self.codecs[entry.plan as usize], &mut self.buffer);
    }
}
