//! Deduplication: which events were seen before, by (tenant, userId, eventId).
//!
//! Ids are kept by the hour of their event's time and forgotten an hour at a time,
//! apart from the users' values, so a hot user costs no more than others.

use crate::rows::Block;
use crate::time::{HOUR, Millis};
use hashbrown::HashSet;
use siphasher::sip128::SipHasher13;
use std::collections::BTreeMap;

/// Rough cost of one remembered id in memory, in bytes: 16 and the slack of the table.
pub const BYTES_PER_ID: usize = 24;

/// The identity of an event, as 128 bits of a keyed hash: two events of one identity are duplicates.
///
/// With 10¹² ids the chance that any two different events collide is below 10⁻¹⁴.
pub type Identity = u128;

/// The key of the hash; a secret of the state, so that nobody can make ids that collide.
pub type HashKey = [u64; 2];

/// The identity of row `i`.
pub fn identity(key: &HashKey, block: &Block, i: usize) -> Identity {
    SipHasher13::new_with_keys(key[0], key[1]).hash(block.identity(i)).as_u128()
}

/// The hour under which the id of an event is kept.
pub fn hour_of(timestamp: Millis) -> i64 {
    timestamp.div_euclid(HOUR)
}

/// How far back duplicates are noticed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Horizon {
    /// An hour's ids are forgotten when time has moved on by this much since the last of them came.
    pub span: Millis,
    /// At most so many ids; beyond it the hour untouched for longest goes first.
    pub ids: usize,
}

impl Horizon {
    /// 24 hours, or as many ids as fit into `memory` bytes, whichever is shorter.
    pub fn within(memory: usize) -> Horizon {
        Horizon { span: 24 * HOUR, ids: (memory / BYTES_PER_ID).max(1) }
    }
}

/// The ids seen within the horizon.
pub struct Dedup {
    horizon: Horizon,
    hours: BTreeMap<i64, Hour>,
    ids: usize,
    /// Ids not yet taken by a checkpoint.
    fresh: Vec<(i64, Identity)>,
    /// Hours forgotten that a checkpoint still holds.
    forgotten: Vec<i64>,
    /// The newest instant at which ids had to go for lack of memory.
    pressed: Option<Millis>,
}

struct Hour {
    ids: HashSet<Identity>,
    touched: Millis,
}

impl Dedup {
    pub fn new(horizon: Horizon) -> Dedup {
        Dedup { horizon, hours: BTreeMap::new(), ids: 0, fresh: Vec::new(), forgotten: Vec::new(), pressed: None }
    }

    /// Remembers an event; `false` when it was remembered already. `now` is how far time has come.
    pub fn insert(&mut self, identity: Identity, timestamp: Millis, now: Millis) -> bool {
        let hour = hour_of(timestamp);
        let new = self.restore(hour, identity, now);
        if new {
            self.fresh.push((hour, identity));
            self.forget(now);
        }
        new
    }

    /// Whether an event is remembered.
    pub fn knows(&self, identity: Identity, timestamp: Millis) -> bool {
        self.hours.get(&hour_of(timestamp)).is_some_and(|hour| hour.ids.contains(&identity))
    }

    /// Remembers an event of another's, by the hour of its time: from here on it is a duplicate.
    pub fn learn(&mut self, hour: i64, identity: Identity, now: Millis) {
        if self.restore(hour, identity, now) {
            self.fresh.push((hour, identity));
            self.forget(now);
        }
    }

    /// Puts back what a checkpoint held.
    pub fn restore(&mut self, hour: i64, identity: Identity, now: Millis) -> bool {
        let entry = self.hours.entry(hour).or_insert_with(|| Hour { ids: HashSet::new(), touched: now });
        entry.touched = entry.touched.max(now);
        let new = entry.ids.insert(identity);
        self.ids += usize::from(new);
        new
    }

    /// Forgets the hours that are past the horizon.
    fn forget(&mut self, now: Millis) {
        // Only the oldest hour is looked at each time: O(1), and no hour waits longer than the next event.
        if let Some((&oldest, hour)) = self.hours.first_key_value()
            && hour.touched < now.saturating_sub(self.horizon.span)
        {
            self.drop_hour(oldest);
        }
        while self.ids > self.horizon.ids && self.hours.len() > 1 {
            let (&stalest, touched) = self
                .hours
                .iter()
                .map(|(h, hour)| (h, hour.touched))
                .min_by_key(|(h, touched)| (*touched, **h))
                .expect("there is more than one");
            self.pressed = Some(touched.max(self.pressed.unwrap_or(touched)));
            self.drop_hour(stalest);
        }
    }

    fn drop_hour(&mut self, hour: i64) {
        if let Some(gone) = self.hours.remove(&hour) {
            self.ids -= gone.ids.len();
            self.forgotten.push(hour);
        }
    }

    /// Ids remembered now.
    pub fn len(&self) -> usize {
        self.ids
    }

    pub fn is_empty(&self) -> bool {
        self.ids == 0
    }

    /// How far back from `now` every duplicate is noticed: the horizon in force.
    pub fn in_force(&self, now: Millis) -> Millis {
        self.pressed.map_or(self.horizon.span, |pressed| self.horizon.span.min(now.saturating_sub(pressed).max(0)))
    }

    /// What a checkpoint has to write: new ids by hour, and hours to delete.
    pub fn take_changes(&mut self) -> (Vec<(i64, Identity)>, Vec<i64>) {
        (std::mem::take(&mut self.fresh), std::mem::take(&mut self.forgotten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_what_checkpoints_have_always_held() {
        use crate::rows::{Head, Projection};
        let mut block = Block::new(&Projection::default());
        for tenant in ["", "acme"] {
            block.push_typed(&Head { tenant, user: "u-001", event_id: "e-1", timestamp: 0 }, &[]);
        }
        // Computed when the format of checkpoints was new.
        assert_eq!(identity(&[1, 2], &block, 0), 0xb664_a60a_9488_9a4e_3095_2330_80e9_87d1);
        assert_eq!(identity(&[1, 2], &block, 1), 0xd601_8561_66e8_cac1_23bb_8a1f_8954_fa15);
    }

    #[test]
    fn a_duplicate_is_noticed_within_the_horizon_of_its_arrival() {
        let mut dedup = Dedup::new(Horizon { span: 24 * HOUR, ids: 1000 });
        assert!(dedup.insert(1, 0, 0));
        assert!(!dedup.insert(1, 0, 23 * HOUR));
        // An old event that came late is remembered from its arrival on.
        assert!(dedup.insert(2, HOUR, 100 * HOUR));
        assert!(dedup.insert(3, 100 * HOUR, 100 * HOUR));
        assert!(!dedup.insert(2, HOUR, 120 * HOUR));
        assert!(dedup.insert(1, 0, 120 * HOUR), "long forgotten");
    }

    #[test]
    fn memory_bounds_the_ids_and_the_horizon_in_force_tells() {
        let mut dedup = Dedup::new(Horizon { span: 24 * HOUR, ids: 10 });
        for i in 0..30 {
            dedup.insert(i, i as i64 * HOUR / 4, i as i64 * HOUR / 4);
        }
        assert!(dedup.len() <= 10);
        let now = 29 * HOUR / 4;
        assert!(dedup.in_force(now) < 3 * HOUR && dedup.in_force(now) > 0);
        let (fresh, forgotten) = dedup.take_changes();
        assert_eq!(fresh.len(), 30);
        assert!(!forgotten.is_empty());
    }
}
