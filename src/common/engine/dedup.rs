//! Deduplication: which events were seen before, by (tenant, userId, eventId).
//!
//! Ids are kept by the minute of their event's time and forgotten a minute at a time,
//! apart from the users' values, so a hot user costs no more than others.

use crate::rows::Block;
use crate::time::{HOUR, MINUTE, Millis};
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

/// The number of a slice of event time whose ids are kept together: from `MINUTES` on of a minute, below it of an hour, which
/// stores up to format 2 and the bases of their time have.
pub type Slice = i64;

const MINUTES: Slice = 1 << 40;

/// The slice under which the id of an event is kept.
pub fn slice_of(timestamp: Millis) -> Slice {
    MINUTES + timestamp.div_euclid(MINUTE)
}

/// The slice of an hour that holds a slice.
fn hour_with(slice: Slice) -> Slice {
    if slice < MINUTES { slice } else { (slice - MINUTES).div_euclid(HOUR / MINUTE) }
}

/// How far back duplicates are noticed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Horizon {
    /// A slice's ids are forgotten when time has moved on by this much since the last of them came.
    pub span: Millis,
    /// At most so many ids; beyond it the slice untouched for longest goes first.
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
    slices: BTreeMap<Slice, Ids>,
    /// How many of them are hours.
    hours: usize,
    ids: usize,
    /// Slices with ids that no checkpoint has yet, each at least once.
    fresh: Vec<Slice>,
    /// Slices forgotten that a checkpoint still holds.
    forgotten: Vec<Slice>,
    /// The newest instant at which ids had to go for lack of memory.
    pressed: Option<Millis>,
}

struct Ids {
    ids: HashSet<Identity>,
    touched: Millis,
    /// Those that no checkpoint has yet.
    fresh: Vec<Identity>,
}

impl Dedup {
    pub fn new(horizon: Horizon) -> Dedup {
        let (slices, fresh, forgotten) = (BTreeMap::new(), Vec::new(), Vec::new());
        Dedup { horizon, slices, hours: 0, ids: 0, fresh, forgotten, pressed: None }
    }

    /// Remembers an event; `false` when it was remembered already. `now` is how far time has come.
    pub fn insert(&mut self, identity: Identity, timestamp: Millis, now: Millis) -> bool {
        self.learn(slice_of(timestamp), identity, now)
    }

    /// Whether an event is remembered.
    pub fn knows(&self, identity: Identity, timestamp: Millis) -> bool {
        let slice = slice_of(timestamp);
        self.slices.get(&slice).is_some_and(|slice| slice.ids.contains(&identity)) || self.hour_knows(slice, identity)
    }

    fn hour_knows(&self, slice: Slice, identity: Identity) -> bool {
        self.hours > 0 && self.slices.get(&hour_with(slice)).is_some_and(|hour| hour.ids.contains(&identity))
    }

    /// The same of an event of another's, by the slice of its time: from here on it is a duplicate.
    pub fn learn(&mut self, slice: Slice, identity: Identity, now: Millis) -> bool {
        let new = self.keep(slice, identity, now, true);
        if new {
            self.forget(now);
        }
        new
    }

    /// Puts back what a checkpoint held of a slice.
    pub fn restore(&mut self, slice: Slice, ids: impl IntoIterator<Item = Identity>, now: Millis) {
        let ids = ids.into_iter();
        self.slice(slice, now).ids.reserve(ids.size_hint().0);
        ids.for_each(|identity| _ = self.keep(slice, identity, now, false));
    }

    fn keep(&mut self, slice: Slice, identity: Identity, now: Millis, fresh: bool) -> bool {
        if self.hour_knows(slice, identity) {
            return false;
        }
        let kept = self.slice(slice, now);
        kept.touched = kept.touched.max(now);
        let new = kept.ids.insert(identity);
        if new && fresh {
            let first = kept.fresh.is_empty();
            kept.fresh.push(identity);
            self.fresh.extend(first.then_some(slice));
        }
        self.ids += usize::from(new);
        new
    }

    /// The ids of a slice, which may be new.
    fn slice(&mut self, slice: Slice, now: Millis) -> &mut Ids {
        let hours = &mut self.hours;
        self.slices.entry(slice).or_insert_with(|| {
            *hours += usize::from(slice < MINUTES);
            Ids { ids: HashSet::new(), touched: now, fresh: Vec::new() }
        })
    }

    /// Forgets the slices that are past the horizon.
    fn forget(&mut self, now: Millis) {
        // Only the oldest one is looked at each time: O(log n), and none waits longer than the next event.
        if let Some((&oldest, slice)) = self.slices.first_key_value()
            && slice.touched < now.saturating_sub(self.horizon.span)
        {
            self.drop_slice(oldest);
        }
        while self.ids > self.horizon.ids {
            let touched = self.slices.iter().map(|(slice, ids)| (ids.touched, *slice));
            let (touched, stalest) = touched.min().expect("some slice has the ids");
            self.pressed = Some(touched.max(self.pressed.unwrap_or(touched)));
            self.drop_slice(stalest);
        }
    }

    fn drop_slice(&mut self, slice: Slice) {
        if let Some(gone) = self.slices.remove(&slice) {
            self.ids -= gone.ids.len();
            self.hours -= usize::from(slice < MINUTES);
            self.forgotten.push(slice);
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

    /// What a checkpoint has to write: new ids by slice, and slices of which it deletes what it has before.
    pub fn take_changes(&mut self) -> (Vec<(Slice, Vec<Identity>)>, Vec<Slice>) {
        let mut slices = std::mem::take(&mut self.fresh);
        slices.sort_unstable();
        let mut take = |slice| Some((slice, std::mem::take(&mut self.slices.get_mut(&slice)?.fresh)));
        // A slice that went may have come again.
        let fresh = slices.into_iter().filter_map(&mut take).filter(|(_, ids)| !ids.is_empty());
        (fresh.collect(), std::mem::take(&mut self.forgotten))
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
            assert!(dedup.len() <= 10);
        }
        let now = 29 * HOUR / 4;
        assert!(dedup.in_force(now) < 3 * HOUR && dedup.in_force(now) > 0);
        let (fresh, forgotten) = dedup.take_changes();
        let fresh: usize = fresh.iter().map(|(_, ids)| ids.len()).sum();
        assert_eq!(fresh, dedup.len(), "what is forgotten is not written");
        assert_eq!(forgotten.len(), 30 - fresh);
    }

    #[test]
    fn memory_bounds_the_ids_of_one_minute_too() {
        let mut dedup = Dedup::new(Horizon { span: 24 * HOUR, ids: 10 });
        for i in 0..35 {
            assert!(dedup.insert(i, 7, i as i64));
            assert!(dedup.len() <= 10 && dedup.knows(i, 7) != dedup.is_empty());
        }
        assert_eq!(dedup.in_force(34), 34 - 32, "all went with the eleventh, the 22nd and the 33rd");
    }

    #[test]
    fn ids_kept_by_the_hour_are_found_beside_those_of_minutes() {
        let mut dedup = Dedup::new(Horizon { span: 24 * HOUR, ids: 100 });
        assert!(dedup.insert(1, 5 * HOUR + 1, 0));
        dedup.restore(5, [2, 3], 0);
        assert_eq!(dedup.len(), 3);
        assert!(dedup.knows(1, 5 * HOUR + 1) && dedup.knows(2, 5 * HOUR + 40 * MINUTE));
        assert!(!dedup.insert(2, 5 * HOUR + 40 * MINUTE, 1) && !dedup.learn(slice_of(5 * HOUR), 3, 1));
        assert!(dedup.insert(2, 6 * HOUR, 1), "another hour");
        assert!(dedup.insert(4, 40 * HOUR, 40 * HOUR));
        assert!(dedup.insert(2, 5 * HOUR, 40 * HOUR), "the hour is forgotten");
    }
}
