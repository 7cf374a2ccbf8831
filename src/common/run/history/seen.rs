//! Ids across days: which events of a day stand in another one already.
//!
//! Each other day is asked by its filter, and its ids are looked at only where the filter says so: days side by side.

use super::known::Known;
use crate::engine::dedup::Identity;
use crate::parallel;
use crate::rollup::file::{Reader, Section, filter};
use crate::rollup::filter::Filter;
use crate::rollup::{Day, Error, PARTS, ids};
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Sorted ids by part.
pub type Ids = Vec<Vec<Identity>>;

/// Those of `wanted` that any of the days has, by part, in no order.
fn found(dir: &Path, days: &[&Day], wanted: &Ids, threads: usize, meter: &AtomicU64) -> Result<Ids, Error> {
    let mut all: Ids = vec![Vec::new(); PARTS];
    parallel::ordered(
        threads,
        days.len(),
        |i| in_day(dir, days[i], wanted, meter),
        |_, found: Ids| {
            all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
            Ok(())
        },
    )?;
    Ok(all)
}

/// Those of `wanted` that one of the days has; of days that are `known` without asking their filters.
pub fn before(
    dir: &Path,
    days: &[&Day],
    known: &Known,
    wanted: &Ids,
    threads: usize,
    meter: &AtomicU64,
) -> Result<Ids, Error> {
    let (at_hand, others): (Vec<&Day>, Vec<&Day>) = days.iter().partition(|day| known.has(day));
    let mut all = found(dir, &others, wanted, threads, meter)?;
    let more = known.found(dir, &at_hand, wanted, threads, meter)?;
    for (all, more) in all.iter_mut().zip(more) {
        all.extend(more);
        all.sort_unstable();
        all.dedup();
    }
    Ok(all)
}

/// Those of `wanted` that one day has.
pub fn in_day(dir: &Path, day: &Day, wanted: &Ids, meter: &AtomicU64) -> Result<Ids, Error> {
    let bytes = filter(dir, &day.main, meter)?;
    let mut rest = &bytes[..];
    let mut file: Option<Reader<'_>> = None;
    let mut found = vec![Vec::new(); PARTS];
    for (part, wanted) in wanted.iter().enumerate() {
        let filter =
            Filter::next(&mut rest).ok_or_else(|| Error::damaged(&day.main.name, "its filter cannot be read"))?;
        let suspects = filter.suspects(wanted);
        if !suspects.is_empty() {
            let file = match &mut file {
                Some(file) => file,
                none => none.insert(Reader::open(dir, &day.main, meter)?),
            };
            found[part] = ids::find(file, part, &suspects)?;
        }
    }
    Ok(found)
}

/// All ids of a day.
pub fn of_day(dir: &Path, day: &Day, meter: &AtomicU64) -> Result<Ids, Error> {
    let file = Reader::open(dir, &day.main, meter)?;
    (0..PARTS).map(|part| ids::read(&file, part, Section::Ids)).collect()
}

pub fn is_empty(ids: &Ids) -> bool {
    ids.iter().all(Vec::is_empty)
}
