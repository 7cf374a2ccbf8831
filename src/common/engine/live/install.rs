//! Installing a base: a state of all that was received through a day takes the place of what was counted of it.

use super::members::Scope;
use super::{ALL_COUNTERS, Live};
use crate::engine::dedup::{Identity, Slice};
use crate::engine::derived::Cause;
use crate::engine::state::State;
use crate::engine::tail::Refused;
use crate::key::Key;
use crate::time::{Day, Millis};

/// A base on its way in. Nothing may come between its beginning and `finish`.
pub struct Install<'l> {
    live: &'l mut Live,
    day: Day,
    /// By place, the keys that the base has.
    seen: Vec<bool>,
}

impl Live {
    /// Begins to install a base of all events received through `day`, `newest` being the last of their times.
    ///
    /// Its states are as of `at`, the end of the day; time comes to both. Telling is by `drain`.
    pub fn install(&mut self, day: Day, at: Millis, newest: Millis) -> Result<Install<'_>, Refused> {
        self.tail.accepts(day)?;
        self.advance(at.max(newest), &mut Vec::new());
        self.newest = self.newest.max(newest);
        self.tail.install(day);
        let seen = vec![false; self.entries.len()];
        Ok(Install { live: self, day, seen })
    }

    /// Puts `base` in the place of what a key has of the days it holds, and remembers the key if that changes a value.
    fn rebase(&mut self, place: u32, day: Day, base: Option<State>) {
        let entry = &mut self.entries[place as usize];
        let codec = &self.codecs[entry.plan as usize];
        self.seen -= usize::from(!entry.is_nothing());
        let scope = if entry.is_known() { Scope::Moved } else { Scope::All };
        let before = entry.values(codec, self.now, &mut self.scratch);
        let state = entry.open(codec);
        state.rebase(&codec.plan, day, base);
        state.expire(&codec.plan, self.now);
        entry.forget_if_over(codec, self.now);
        let after = entry.values(codec, self.now, &mut self.scratch);
        self.seen += usize::from(!entry.is_nothing());
        if before != after {
            if entry.changed == 0 {
                self.untold.push_back(place);
            }
            entry.changed = ALL_COUNTERS;
        }
        if !std::mem::replace(&mut entry.unsaved, true) {
            self.unsaved.push(place);
        }
        self.note_differences(place, &before, &after);
        self.arm(place);
        self.judge(place, scope, &|| Cause::Base, 0);
        self.pack(place);
    }
}

impl Install<'_> {
    /// Takes what the base has of a key: each comes once.
    pub fn key(&mut self, key: Key, base: State) {
        let Some(plan) = self.live.plans.place(key.entity()) else { return };
        let place = self.live.place(plan, &key);
        if let Some(seen) = self.seen.get_mut(place as usize) {
            *seen = true;
        }
        self.live.rebase(place, self.day, Some(base));
    }

    /// Takes the id of an event of the base's last day: a copy that comes later is a duplicate.
    pub fn id(&mut self, slice: Slice, identity: Identity) {
        self.live.dedup.learn(slice, identity, self.live.now);
    }

    /// What the base does not have was not in the log on its days.
    pub fn finish(self) {
        for (place, _) in self.seen.iter().enumerate().filter(|(_, seen)| !**seen) {
            let entry = &self.live.entries[place];
            let codec = &self.live.codecs[entry.plan as usize];
            if entry.look(codec, |state| state.is_some_and(|state| state.reaches_back_to(self.day))) {
                self.live.rebase(place as u32, self.day, None);
            }
        }
    }
}
