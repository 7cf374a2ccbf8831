//! Calendar windows: the local day, week or month, and some of those before.
//!
//! A window of the day falls to nothing exactly at the next local midnight, also on days of 23 or 25 hours and where
//! midnight does not exist.

use super::Zone;
use crate::time::Millis;
use std::fmt;

/// What the panes of a calendar window are. A week begins on Monday.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unit {
    Day,
    Week,
    Month,
}

/// The `number` local days, weeks or months of `zone` that end with the current one.
///
/// An event at `ts` is counted at every instant t ≥ ts at which its own is among them: the current one, or one of the
/// `number - 1` before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Calendar {
    pub unit: Unit,
    pub number: i64,
    pub zone: Zone,
}

impl Unit {
    pub const ALL: [Unit; 3] = [Unit::Day, Unit::Week, Unit::Month];

    /// The name a definition file uses.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
        }
    }

    /// The number of the unit that a day lies in: days and months since 1970-01, weeks since Monday 1969-12-29.
    fn of_day(self, day: i64) -> i64 {
        match self {
            Unit::Day => day,
            // 1970-01-01 was a Thursday.
            Unit::Week => day.saturating_add(3).div_euclid(7),
            Unit::Month => month_of(day),
        }
    }

    /// The first day of a unit.
    fn first_day(self, number: i64) -> i64 {
        match self {
            Unit::Day => number,
            Unit::Week => number.saturating_mul(7).saturating_sub(3),
            Unit::Month => first_of(number),
        }
    }
}

impl Calendar {
    pub(super) fn pane(&self, ts: Millis) -> i64 {
        self.unit.of_day(self.zone.day(ts))
    }

    pub(super) fn start(&self, pane: i64) -> Millis {
        self.zone.start(self.unit.first_day(pane))
    }
}

/// As a definition file has it: `day`, `3 months`.
impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            1 => f.write_str(self.unit.name()),
            n => write!(f, "{n} {}s", self.unit.name()),
        }
    }
}

/// Days of 400 years, after which the calendar begins anew.
const CYCLE: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const TO_EPOCH: i64 = 719_468;
const MONTHS_TO_EPOCH: i64 = 1970 * 12;

/// The month of a day, 0 for January 1970. Years are taken to begin in March, so that the leap day is the last one:
/// the days before a month are then (153 m + 2) / 5.
fn month_of(day: i64) -> i64 {
    let day = day.saturating_add(TO_EPOCH);
    let (cycle, day) = (day.div_euclid(CYCLE), day.rem_euclid(CYCLE));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    // March is the third month of a year that begins in January.
    (cycle * 400 + year) * 12 + month + 2 - MONTHS_TO_EPOCH
}

/// The first day of a month, 0 for January 1970.
fn first_of(month: i64) -> i64 {
    let month = month.saturating_add(MONTHS_TO_EPOCH - 2);
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12));
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
    cycle.saturating_mul(CYCLE).saturating_add(day - TO_EPOCH)
}
