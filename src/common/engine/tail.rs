//! The tail: what a live state adds to its base, by the day on which events were received.
//!
//! A base holds all events of the log that were received up to the end of a day. Of these the state counts none
//! itself; the others it keeps in parts, a day each, so that the next base can take the place of some.

use crate::time::{Day, show_day};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Parts older than so many days before the newest one are merged: a state stays small where nobody makes a base.
pub const TAIL_DAYS: Day = 3;

/// Which events a live state counts itself, and what the next base may replace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// Events received through this day are in the base.
    pub base: Option<Day>,
    /// The first and the last day on which events of the tail were received.
    pub from: Option<Day>,
    pub newest: Option<Day>,
    /// Parts through this day may have become one: a base takes the place of all of them or of none.
    pub merged: Option<Day>,
}

/// Why a base cannot be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// One through this later day is installed.
    Older { installed: Day },
    /// It would replace one half of parts that became one. One through this day, or a later one, would do.
    Cuts { first: Day },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Older { installed } => write!(f, "a base through {} is installed", show_day(*installed)),
            Refused::Cuts { first } => {
                let first = show_day(*first);
                write!(
                    f,
                    "the state has merged what was received through {first}: {first} is the first day that would do"
                )
            }
        }
    }
}

/// `base through 2026-11-19, its own part from 2026-11-20`.
impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Some(base) => write!(f, "base through {}", show_day(base))?,
            None => f.write_str("no base")?,
        }
        self.from.map_or(Ok(()), |from| write!(f, ", its own part from {}", show_day(from)))
    }
}

impl Tail {
    /// Whether an event received on `day` is in the base.
    pub fn covers(&self, day: Day) -> bool {
        self.base.is_some_and(|base| day <= base)
    }

    /// Takes note of an event of the tail and gives the day whose part it belongs to.
    pub fn take(&mut self, day: Day) -> Day {
        if self.newest != Some(day) {
            self.from = Some(self.from.map_or(day, |from| from.min(day)));
            self.newest = self.newest.max(Some(day));
            self.merged = self.merged.max(self.newest.map(|newest| newest.saturating_sub(TAIL_DAYS)));
        }
        self.merged.map_or(day, |merged| merged.max(day))
    }

    /// Whether a base through `day` can take the place of what was received up to then.
    pub fn accepts(&self, day: Day) -> Result<(), Refused> {
        match (self.base, self.merged) {
            (Some(installed), _) if day < installed => Err(Refused::Older { installed }),
            (_, Some(first)) if day < first => Err(Refused::Cuts { first }),
            _ => Ok(()),
        }
    }

    /// Takes note of a base that was accepted.
    pub fn install(&mut self, day: Day) {
        self.base = Some(day);
        let left = self.newest.filter(|newest| *newest > day);
        self.from = self.from.filter(|_| left.is_some()).map(|from| from.max(day + 1));
    }

    /// Parts whose days nobody knows: all that was received through `day`.
    pub fn of_old(day: Day) -> Tail {
        Tail { base: None, from: None, newest: Some(day), merged: Some(day) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_base_may_replace() {
        let mut tail = Tail::default();
        assert_eq!((tail.take(10), tail.take(9), tail.take(12)), (10, 9, 12));
        assert_eq!((tail.from, tail.merged), (Some(9), Some(9)));
        assert_eq!(tail.accepts(8), Err(Refused::Cuts { first: 9 }));
        assert_eq!((tail.accepts(9), tail.covers(9)), (Ok(()), false));
        tail.install(10);
        assert_eq!((tail.from, tail.covers(10), tail.covers(11)), (Some(11), true, false));
        assert_eq!((tail.accepts(10), tail.accepts(9)), (Ok(()), Err(Refused::Older { installed: 10 })));
        // A straggler of days ago goes where no base will cut.
        assert_eq!((tail.take(15), tail.take(11), tail.take(13)), (15, 12, 13));
        assert_eq!(tail.accepts(11), Err(Refused::Cuts { first: 12 }));
        assert_eq!(tail.accepts(10), Err(Refused::Cuts { first: 12 }));
        tail.install(15);
        assert_eq!((tail.from, tail.newest), (None, Some(15)));
        assert_eq!(Tail::of_old(7).accepts(6), Err(Refused::Cuts { first: 7 }));
        assert_eq!(Tail::of_old(7).accepts(7), Ok(()));
    }
}
