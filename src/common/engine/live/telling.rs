//! Telling: the keys whose tags changed, for whoever shows them.

use super::{ALL_COUNTERS, Live, NO_TIME};
use crate::key::Key;
use crate::patch::Patch;

impl Live {
    /// Tells up to `limit` of the keys that changed since they were last told, longest waiting first,
    /// with the values their changed tags have now.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Patch)) {
        for _ in 0..limit.min(self.untold.len()) {
            let Some(place) = self.untold.pop_front() else { break };
            let entry = &mut self.entries[place as usize];
            let codec = &self.codecs[entry.plan as usize];
            let (changed, whole) = (std::mem::take(&mut entry.changed), std::mem::take(&mut entry.whole));
            let values = entry.values(codec, self.now, &mut self.scratch);
            let patch = codec.plan.changed(&entry.key, self.now, &values, changed);
            if !patch.tags.is_empty() {
                each(patch);
            }
            if let Some(members) = self.members.as_mut().filter(|_| usize::from(entry.plan) == self.users) {
                members.tell(place, &entry.key, self.now, whole).into_iter().for_each(&mut each);
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
        self.members.iter_mut().for_each(|members| members.forget_untold());
        while let Some(place) = self.untold.pop_front() {
            let entry = &mut self.entries[place as usize];
            (entry.changed, entry.whole) = (0, false);
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
            let codec = &self.codecs[entry.plan as usize];
            let values = entry.values(codec, self.now, &mut self.scratch);
            each(codec.plan.patch(&entry.key, self.now, &values));
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
        let hashed = self.places.hash(key.as_str());
        let place = match (self.places.get(hashed, &self.entries), self.plans.place(key.entity())) {
            (Some(place), _) => place,
            (None, Some(plan)) if unseen(self, plan) => self.begin(plan, key.clone(), hashed.hash),
            (None, _) => return,
        };
        let entry = &mut self.entries[place as usize];
        if entry.changed == 0 {
            self.untold.push_back(place);
        }
        (entry.changed, entry.whole) = (ALL_COUNTERS, true);
    }

    /// Marks every key as changed, so that `drain` tells all of them: for an empty or doubtful projection.
    pub fn tell_again(&mut self) {
        for (place, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.free) {
            if entry.changed == 0 {
                self.untold.push_back(place as u32);
            }
            (entry.changed, entry.whole) = (ALL_COUNTERS, true);
        }
    }
}
