//! Counts: people of an audience and of a base, each counted once.

use std::ops::{Add, AddAssign, Sub};

/// Where somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Audience,
    Both,
    Base,
}

impl Side {
    /// `None`: in neither.
    pub fn of(in_audience: bool, in_base: bool) -> Option<Side> {
        match (in_audience, in_base) {
            (true, true) => Some(Side::Both),
            (true, false) => Some(Side::Audience),
            (false, true) => Some(Side::Base),
            (false, false) => None,
        }
    }
}

/// How many people there are in the audience only, in both, and in the rest of the base.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    pub only: u64,
    pub both: u64,
    pub rest: u64,
}

impl Count {
    pub fn audience(self) -> u64 {
        self.only + self.both
    }

    pub fn base(self) -> u64 {
        self.both + self.rest
    }

    pub fn take(&mut self, side: Side) {
        match side {
            Side::Audience => self.only += 1,
            Side::Both => self.both += 1,
            Side::Base => self.rest += 1,
        }
    }
}

impl Add for Count {
    type Output = Count;

    fn add(self, other: Count) -> Count {
        Count { only: self.only + other.only, both: self.both + other.both, rest: self.rest + other.rest }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        *self = *self + other;
    }
}

/// What is left of a whole: `other` is a part of it.
impl Sub for Count {
    type Output = Count;

    fn sub(self, other: Count) -> Count {
        Count { only: self.only - other.only, both: self.both - other.both, rest: self.rest - other.rest }
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Count>>(counts: I) -> Count {
        counts.fold(Count::default(), Add::add)
    }
}
