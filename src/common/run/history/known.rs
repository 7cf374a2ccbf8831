//! Known: the ids of days that this very run has rolled up, so that the days behind them need not ask each one's filter.
//!
//! Each id leaves 32 of its bits and its day; where they are met again, the ids of that day are looked at. The first roll-up
//! of many days is linear by it. Days that find no room are asked by their filters.

use super::seen::Ids;
use crate::engine::dedup::Identity;
use crate::parallel;
use crate::rollup::file::Reader;
use crate::rollup::{Day, Error, PARTS, ids};
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// What an id takes, about: 8 bytes in a table that is half full or more.
const ID_BYTES: u64 = 16;

/// Bits of an id, and the place of its day.
type Trace = (u32, u16);

pub struct Known {
    /// Ids that still find room.
    room: u64,
    /// The files of the days.
    files: Vec<String>,
    parts: Vec<HashTable<Trace>>,
    /// The newest day: mostly none follows it.
    pending: Option<(String, Ids)>,
}

impl Known {
    /// Of so many bytes.
    pub fn new(bytes: u64) -> Known {
        let parts = (0..PARTS).map(|_| HashTable::new()).collect();
        Known { room: bytes / ID_BYTES, files: Vec::new(), parts, pending: None }
    }

    /// Takes in the ids of a day that is in this file.
    pub fn push(&mut self, file: &str, ids: Ids) {
        self.settle();
        self.pending = Some((file.to_owned(), ids));
    }

    /// Forgets all days.
    pub fn clear(&mut self) {
        let taken: u64 = self.parts.iter().map(|table| table.len() as u64).sum();
        *self = Known::new((self.room + taken).saturating_mul(ID_BYTES));
    }

    /// Makes the newest day known: another one follows.
    pub fn settle(&mut self) {
        let Some((file, ids)) = self.pending.take() else { return };
        let n: u64 = ids.iter().map(|ids| ids.len() as u64).sum();
        let (true, Ok(day)) = (n <= self.room, u16::try_from(self.files.len())) else { return };
        self.room -= n;
        self.files.push(file);
        for (table, ids) in self.parts.iter_mut().zip(ids) {
            for id in ids {
                table.insert_unique(hash(bits(id)), (bits(id), day), |(bits, _)| hash(*bits));
            }
        }
    }

    /// Whether the day in this file is known.
    pub fn has(&self, day: &Day) -> bool {
        self.files.contains(&day.main.name)
    }

    /// Those of `wanted` that any of the days has; all of them are known. By part, in no order.
    pub fn found(
        &self,
        dir: &Path,
        days: &[&Day],
        wanted: &Ids,
        threads: usize,
        meter: &AtomicU64,
    ) -> Result<Ids, Error> {
        let mut found: Ids = vec![Vec::new(); PARTS];
        if days.is_empty() {
            return Ok(found);
        }
        let suspects = |p: usize| Ok::<_, Error>(self.suspects(p, &wanted[p]));
        let mut by_day: BTreeMap<u16, Vec<(usize, Vec<Identity>)>> = BTreeMap::new();
        parallel::ordered(threads, PARTS, suspects, |p, suspects| {
            suspects.into_iter().for_each(|(day, ids)| by_day.entry(day).or_default().push((p, ids)));
            Ok(())
        })?;
        for (place, parts) in by_day {
            let Some(day) = days.iter().find(|day| day.main.name == self.files[usize::from(place)]) else { continue };
            let file = Reader::open(dir, &day.main, meter)?;
            for (p, suspects) in parts {
                found[p].extend(ids::find(&file, p, &suspects)?);
            }
        }
        Ok(found)
    }

    /// Those of the sorted `wanted` that a day may have, by day, sorted.
    fn suspects(&self, p: usize, wanted: &[Identity]) -> BTreeMap<u16, Vec<Identity>> {
        let mut suspects: BTreeMap<u16, Vec<Identity>> = BTreeMap::new();
        for &id in wanted {
            for (_, day) in self.parts[p].iter_hash(hash(bits(id))).filter(|(known, _)| *known == bits(id)) {
                suspects.entry(*day).or_default().push(id);
            }
        }
        suspects
    }
}

fn bits(id: Identity) -> u32 {
    id as u32
}

/// Ids are hashes: their bits only have to reach all those a table looks at.
fn hash(bits: u32) -> u64 {
    u64::from(bits).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::file::{Section, Stored, Writer};
    use crate::rollup::{Counts, Marks};
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// An id of part 7, many of which have the same last bits.
    fn id(n: u64) -> Identity {
        Identity::from(n) << 96 | Identity::from(n % 5)
    }

    fn of_part(ids: &BTreeSet<u64>) -> Ids {
        let mut parts = vec![Vec::new(); PARTS];
        parts[7] = ids.iter().map(|n| id(*n)).collect();
        parts
    }

    fn day(dir: &Path, name: &str, ids: &Ids) -> Day {
        let mut writer = Writer::create(dir, name).expect("created");
        writer.put(&Stored::new(7, Section::Ids, ids::encode(&ids[7]))).expect("written");
        let (main, marks, counts) = (writer.finish(Vec::new()).expect("finished"), Marks::default(), Counts::default());
        let (more, ids) = (Vec::new(), 0);
        Day { marks, rules: 0, main, more, ids, ids_digest: 0, counts, stale: false, damaged: false }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_ids_of_days_that_find_room_are_known_and_no_others(
            days in vec(btree_set(0u64..60, 0..40), 0..6), wanted in btree_set(0u64..60, 0..40),
            room in 0u64..120, asked in 0u8..64,
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let mut known = Known::new(room * ID_BYTES);
            let files: Vec<Day> = days.iter().enumerate().map(|(n, ids)| {
                let day = day(dir.path(), &format!("{n}.day"), &of_part(ids));
                known.push(&day.main.name, of_part(ids));
                day
            }).collect();
            prop_assert!(!files.last().is_some_and(|last| known.has(last)), "the newest one waits");
            known.settle();
            let mut left = room;
            for (file, ids) in files.iter().zip(&days) {
                let fits = ids.len() as u64 <= left;
                prop_assert_eq!(known.has(file), fits);
                left -= if fits { ids.len() as u64 } else { 0 };
            }
            let asked = |n: usize| known.has(&files[n]) && asked & 1 << n != 0;
            let of: Vec<usize> = (0..days.len()).filter(|n| asked(*n)).collect();
            let refs: Vec<&Day> = of.iter().map(|n| &files[*n]).collect();
            let meter = AtomicU64::new(0);
            let mut found = known.found(dir.path(), &refs, &of_part(&wanted), 2, &meter).expect("readable");
            found[7].sort_unstable();
            found[7].dedup();
            let want = wanted.iter().filter(|n| of.iter().any(|day| days[*day].contains(n)));
            prop_assert_eq!(&found[7], &want.map(|n| id(*n)).collect::<Vec<_>>());
            known.clear();
            prop_assert_eq!((known.room, files.iter().any(|file| known.has(file))), (room, false));
        }
    }
}
