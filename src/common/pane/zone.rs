//! Zones: the local days of a time zone, from a table of its offsets.
//!
//! Local days are half-open slices of time in the order of their dates, whatever the clocks do: the day of an instant
//! is the latest date that any clock of the zone has shown so far. It differs from the date on the clock only where
//! clocks were put back across midnight: the minutes that come again belong to the new day, which has begun. A date
//! that a zone left out is an empty day.

use crate::expr::nearest;
use crate::time::{DAY, Millis, SECOND};
use jiff::Timestamp;
use jiff::tz::{self, TimeZone};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// The table reaches so far, beyond the last instant that an event may have; behind it the last offset stands.
const LAST_SECOND: i64 = 102_000_000_000;

/// A time zone, read once and for all: it is copied and compared like a number.
#[derive(Clone, Copy)]
pub struct Zone(&'static Table);

/// The zones there have been so far. They are never given back: there are some hundreds at most.
static KNOWN: Mutex<Vec<Zone>> = Mutex::new(Vec::new());

struct Table {
    name: String,
    /// In the order of time; the first one reaches back for ever.
    stretches: Vec<Stretch>,
    /// For each 2^`SLOT` ms since 1970 a stretch at their beginning or a little earlier: where to look from. Every event
    /// asks, and a binary search takes ten times as long.
    slots: Vec<u16>,
}

/// Some 25 days: clocks hardly ever change twice in them.
const SLOT: u32 = 31;

/// A stretch of time with one offset.
struct Stretch {
    from: Millis,
    /// Local time is so much ahead of UTC.
    ahead: Millis,
    /// The latest local day of any instant before it.
    reached: i64,
}

/// A name that no time zone has.
#[derive(Debug)]
pub struct UnknownZone {
    /// The names most likely meant.
    pub nearest: Vec<String>,
}

impl Zone {
    /// The zone of a name of the IANA database, in upper or lower case, by the data in the program.
    pub fn get(name: &str) -> Result<Zone, UnknownZone> {
        let unknown = || UnknownZone { nearest: near(name) };
        let zone = TimeZone::get(name).map_err(|_| unknown())?;
        // A stand-in for an unknown zone has a name that is accepted, and is none.
        let name = zone.iana_name().ok_or_else(unknown)?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|known| known.name() == name) {
            return Ok(*found);
        }
        let new = Zone(Box::leak(Box::new(Table::new(name, &zone))));
        known.push(new);
        Ok(new)
    }

    /// The name as the database writes it.
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// The number of the local day an instant lies in: days since 1970-01-01.
    pub fn day(self, ts: Millis) -> i64 {
        let stretch = self.0.last(ts, |stretch| stretch.from <= ts);
        local_day(ts, stretch.ahead).max(stretch.reached)
    }

    /// The first instant of a local day: `day(ts) >= day` and `ts >= start(day)` are the same.
    pub fn start(self, day: i64) -> Millis {
        // No zone is two days ahead: there the day has not begun yet.
        let before = day.saturating_sub(2).saturating_mul(DAY);
        let stretch = self.0.last(before, |stretch| stretch.reached < day);
        day.saturating_mul(DAY).saturating_sub(stretch.ahead).max(stretch.from)
    }
}

impl Table {
    fn new(name: &str, zone: &TimeZone) -> Table {
        let (stretches, mut slots) = (stretches(zone), Vec::new());
        let mut last = 0;
        for (at, stretch) in (0u16..).zip(&stretches) {
            if stretch.from >= 0 {
                slots.resize((stretch.from >> SLOT) as usize + 1, last);
            }
            last = at;
        }
        slots.push(last);
        Table { name: name.to_string(), stretches, slots }
    }

    /// The last stretch that `holds`: what is true of the first ones, and of all that begin at or before `ts`.
    fn last(&self, ts: Millis, holds: impl Fn(&Stretch) -> bool) -> &Stretch {
        let slot = usize::try_from(ts >> SLOT).map_or(0, |slot| self.slots[slot.min(self.slots.len() - 1)]);
        let mut at = usize::from(slot);
        while self.stretches.get(at + 1).is_some_and(&holds) {
            at += 1;
        }
        &self.stretches[at]
    }
}

fn local_day(ts: Millis, ahead: Millis) -> i64 {
    ts.saturating_add(ahead).div_euclid(DAY)
}

fn stretches(zone: &TimeZone) -> Vec<Stretch> {
    let first = zone.to_offset(Timestamp::MIN).seconds();
    let mut stretches = vec![Stretch { from: Millis::MIN, ahead: i64::from(first) * SECOND, reached: i64::MIN }];
    for change in zone.following(Timestamp::MIN).take_while(|change| change.timestamp().as_second() < LAST_SECOND) {
        let (from, ahead) = (change.timestamp().as_second() * SECOND, i64::from(change.offset().seconds()) * SECOND);
        let before = &stretches[stretches.len() - 1];
        // A change of the zone's abbreviation is none of its time.
        if before.ahead != ahead {
            let reached = local_day(from - 1, before.ahead).max(before.reached);
            stretches.push(Stretch { from, ahead, reached });
        }
    }
    stretches
}

/// The most names a hint holds.
const NEAR: usize = 3;

/// Names like this one: with its letters changed, or those of the same city.
fn near(name: &str) -> Vec<String> {
    let names: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    let place = |name: &str| name.rsplit('/').next().unwrap_or_default().replace([' ', '-'], "_").to_lowercase();
    let wanted = place(name);
    let mut found: Vec<String> = names.iter().filter(|name| place(name) == wanted).cloned().collect();
    found.extend(nearest(name, names.iter().map(String::as_str)).map(str::to_string));
    if found.is_empty() {
        let places: Vec<String> = names.iter().map(|name| place(name)).collect();
        let meant = nearest(&wanted, places.iter().map(String::as_str));
        found.extend(names.iter().filter(|name| Some(place(name).as_str()) == meant).cloned());
    }
    found.sort();
    found.dedup();
    found.truncate(NEAR);
    found
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
