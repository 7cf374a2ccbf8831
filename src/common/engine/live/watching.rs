//! Watching: the audiences that are kept current, and what came of it.

use super::members::{Members, Scope};
use super::{Live, NO_TIME, NO_TIMER, Telling};
use crate::engine::audience::{Audiences, Known};
use crate::engine::derived::{Cause, Derived};
use crate::engine::plan::Values;
use crate::key::{Key, USER};
use crate::patch::Patch;
use crate::time::Millis;

/// By this bit of the mask of changes a user waits to be told though no tag has changed.
const OF_AUDIENCES: u64 = 1 << 63;

impl Live {
    /// Keeps audiences current from here on: those that `Audiences::new` gives for the plan of users. `heard`: whether
    /// somebody takes the enters and leaves. Before the first key.
    pub fn watch(&mut self, known: &[Known], heard: bool) {
        let Some(users) = self.plans.place(USER) else { return };
        let plan = &self.plans[users];
        if let Some(audiences) = Audiences::new(plan, known) {
            let told = self.telling == Telling::Drained;
            self.members = Some(Box::new(Members::new(audiences, plan.definitions.tags.len(), heard, told)));
            self.users = users;
        }
    }

    /// Whether any audience is kept.
    pub fn is_watching(&self) -> bool {
        self.members.is_some()
    }

    /// Looks at all audiences of a user: values may have changed while nobody kept them.
    pub fn look_again(&mut self, key: &Key) {
        if let Some(place) = self.places.get(self.places.hash(key.as_str()), &self.entries) {
            self.judge(place, Scope::All, &|| Cause::Patch, 0);
        }
    }

    /// Looks at up to `most` users because of audiences that are new, changed or gone. Whether nobody is left.
    pub fn find_members(&mut self, most: usize) -> bool {
        let all = self.entries.len();
        if self.now == NO_TIME && all > 0 {
            return !self.is_finding();
        }
        let Some(range) = self.members.as_mut().and_then(|members| members.next_to_find(most, all)) else {
            return true;
        };
        for place in range.clone() {
            if !self.entries[place as usize].free {
                self.judge(place, Scope::Stale, &|| Cause::Definition, 0);
            }
        }
        let found = range.end as usize == self.entries.len();
        if found {
            self.members.iter_mut().for_each(|members| members.found());
        }
        found
    }

    /// Whether users are left to be looked at because of audiences that are new, changed or gone.
    pub fn is_finding(&self) -> bool {
        self.members.as_ref().is_some_and(|members| members.is_finding())
    }

    /// The audiences as a checkpoint has to know them.
    pub fn audiences(&self) -> Vec<Known> {
        self.members.as_ref().map_or(Vec::new(), |members| members.audiences.known(!members.is_finding()))
    }

    /// Enters and leaves since the last call, in their order.
    pub fn take_derived(&mut self) -> Vec<Derived> {
        self.members.as_mut().map_or(Vec::new(), |members| members.take_made())
    }

    /// The audiences that a user is in, each with the instant of entering.
    pub fn audiences_of(&self, key: &Key) -> Vec<(String, Millis)> {
        let place = self.places.get(self.places.hash(key.as_str()), &self.entries);
        let (Some(place), Some(members)) = (place, &self.members) else { return Vec::new() };
        members.of(place).map(|(code, since)| (code.to_string(), since)).collect()
    }

    /// The memberships of a user as a checkpoint has them; `None`: she is in no audience.
    pub fn encoded_members(&self, key: &Key) -> Option<Vec<u8>> {
        let place = self.places.get(self.places.hash(key.as_str()), &self.entries)?;
        let mut bytes = Vec::new();
        self.members.as_ref()?.encode(place, &mut bytes).then_some(bytes)
    }

    /// How many memberships there are.
    pub fn memberships(&self) -> usize {
        self.members.as_ref().map_or(0, |members| members.count())
    }

    /// Users whose memberships `save_members` has yet to give.
    pub fn unsaved_members(&self) -> usize {
        self.members.as_ref().map_or(0, |members| members.unsaved())
    }

    /// Gives the memberships of every user for whom they changed since the last call, for a checkpoint; without any, what
    /// is there has to go.
    pub fn save_members(&mut self, mut each: impl FnMut(&Key, Option<&[u8]>)) {
        let Some(mut members) = self.members.take() else { return };
        let (unsaved, mut bytes) = (members.take_unsaved(), Vec::new());
        for place in &unsaved {
            let some = members.encode(*place, &mut bytes);
            each(&self.entries[*place as usize].key, some.then_some(&bytes));
        }
        self.members = Some(members);
        unsaved.into_iter().for_each(|place| self.release(place));
    }

    /// Puts back the memberships of a user from a checkpoint, after its state where it has one. `false`: the bytes are not
    /// memberships.
    pub fn restore_members(&mut self, key: &Key, bytes: &[u8]) -> bool {
        if self.members.is_none() {
            return true;
        }
        let place = self.place(self.users, key);
        let entry = &mut self.entries[place as usize];
        // Of this user nothing is known any more: she leaves at once.
        if !entry.is_known() && entry.next == NO_TIMER && self.now > NO_TIME {
            entry.next = self.now;
            self.timers.entry(self.now).or_default().push(place);
        }
        self.members.as_mut().is_none_or(|members| members.restore(place, bytes).is_some())
    }

    /// Looks at a user after a change, if audiences are kept.
    pub(super) fn judge(&mut self, place: u32, scope: Scope, cause: &dyn Fn() -> Cause, patches: usize) {
        let entry = &mut self.entries[place as usize];
        if usize::from(entry.plan) != self.users {
            return;
        }
        let (codec, scratch) = (&self.codecs[self.users], &mut self.scratch);
        let Some(members) = &mut self.members else { return };
        if self.now == NO_TIME {
            return members.forget_noted();
        }
        if members.look(place, entry, codec, self.now, scope, cause, patches, scratch)
            && self.telling == Telling::Drained
        {
            if entry.changed == 0 {
                self.untold.push_back(place);
            }
            entry.changed |= OF_AUDIENCES;
        }
    }

    /// Takes note of the given values that a patch may change.
    pub(super) fn note_given(&mut self, place: u32, patch: &Patch) {
        let entry = &self.entries[place as usize];
        let Some(members) = self.members.as_mut().filter(|_| usize::from(entry.plan) == self.users) else { return };
        let codec = &self.codecs[self.users];
        for at in patch.tags.iter().filter_map(|(code, _)| codec.plan.given_place(code)) {
            members.note_value(codec.plan.given[at], entry.given.value(at).cloned());
        }
        members.note_derived(entry, codec, self.now);
    }

    /// Takes note of the values that were others before.
    pub(super) fn note_differences(&mut self, place: u32, before: &Values, after: &Values) {
        let of_users = usize::from(self.entries[place as usize].plan) == self.users;
        let Some(members) = self.members.as_mut().filter(|_| of_users) else { return };
        for (tag, (before, after)) in before.iter().zip(after).enumerate() {
            if before != after {
                members.note_value(tag, before.clone());
            }
        }
    }
}
