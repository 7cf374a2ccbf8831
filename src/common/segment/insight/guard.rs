//! The guard of the few: which cells are not told, so that nobody learns what a handful of people have in common.
//!
//! What is told of a cell are its counts in the audience and in the base. Where one of the two holds the other, their
//! difference can be worked out, and counts as told.

use super::count::Count;

/// Fewer people than this are not told of.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    least: u64,
    total: Count,
}

/// Why nothing at all is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    EmptyAudience,
    EmptyBase,
    FewInAudience,
    FewInBase,
    /// The one holds all of the other and few more, who would be told by subtraction.
    FewBetween,
}

impl Guard {
    /// Of an audience and a base with these people.
    pub fn new(least: u64, total: Count) -> Guard {
        Guard { least, total }
    }

    pub fn least(&self) -> u64 {
        self.least
    }

    pub fn total(&self) -> Count {
        self.total
    }

    /// Whether these people may be compared at all.
    pub fn check(&self) -> Result<(), Refusal> {
        let (audience, base) = (self.total.audience(), self.total.base());
        match self.total {
            _ if audience == 0 => Err(Refusal::EmptyAudience),
            _ if base == 0 => Err(Refusal::EmptyBase),
            _ if self.few(audience) => Err(Refusal::FewInAudience),
            _ if self.few(base) => Err(Refusal::FewInBase),
            Count { only: 0, rest: few, .. } | Count { only: few, rest: 0, .. } if self.few(few) => {
                Err(Refusal::FewBetween)
            }
            _ => Ok(()),
        }
    }

    fn few(&self, people: u64) -> bool {
        (1..self.least).contains(&people)
    }

    /// The numbers of people that a reader knows or can work out of a cell. With only a few outside the base, the
    /// difference is as good as told, too.
    fn told(&self, cell: Count) -> [u64; 4] {
        let rest = if self.total.only < self.least { cell.rest } else { 0 };
        let only = if self.total.rest < self.least { cell.only } else { 0 };
        [cell.audience(), cell.base(), rest, only]
    }

    /// Whether a cell may be told.
    pub fn is_safe(&self, cell: Count) -> bool {
        !self.told(cell).into_iter().any(|people| self.few(people))
    }

    /// Whether it may be told how many have something, and so how many have it not.
    pub fn is_safe_both_ways(&self, cell: Count) -> bool {
        self.is_safe(cell) && self.is_safe(self.total - cell)
    }

    /// Marks the cells that are told as one: those that may not be told, those from the place `shown` on, and as many of
    /// the smallest others as it takes, until there are two at least and their sum may be told.
    ///
    /// Then nothing can be worked out of a cell that is marked: all that is known is what two or more add up to, which is
    /// nobody at all or `least` people and more.
    pub fn merged(&self, cells: &[Count], shown: usize, safe: impl Fn(Count) -> bool) -> Vec<bool> {
        let mut merged: Vec<bool> = cells.iter().enumerate().map(|(i, c)| i >= shown || !safe(*c)).collect();
        if cells.iter().all(|cell| safe(*cell)) {
            return merged;
        }
        let mut by_size: Vec<usize> =
            (0..cells.len()).filter(|i| !merged[*i] && cells[*i] != Count::default()).collect();
        by_size.sort_by_key(|i| (cells[*i].base(), cells[*i].audience()));
        let mut rest = by_size.into_iter();
        while !self.hides(cells.iter().zip(&merged).filter(|(_, merged)| **merged).map(|(cell, _)| *cell)) {
            let Some(next) = rest.next() else { break };
            merged[next] = true;
        }
        merged
    }

    /// Whether what these cells add up to tells nothing of any of them.
    fn hides(&self, cells: impl Iterator<Item = Count> + Clone) -> bool {
        cells.clone().count() >= 2 && self.is_safe(cells.sum())
    }

    /// Joins neighbours until each may be told, as far as that goes.
    pub fn widened<T>(&self, cells: Vec<(T, Count)>, join: impl Fn(T, T) -> T) -> Vec<(T, Count)> {
        let mut cells: Vec<Option<(T, Count)>> = cells.into_iter().map(Some).collect();
        let size = |cells: &[Option<(T, Count)>], i: usize| cells[i].as_ref().map_or(0, |(_, count)| count.base());
        while cells.len() > 1 {
            let bad = |cell: &Option<(T, Count)>| cell.as_ref().is_some_and(|(_, count)| !self.is_safe(*count));
            let Some(at) = cells.iter().position(bad) else { break };
            let left = match at {
                0 => 0,
                last if last + 1 == cells.len() => at - 1,
                _ if size(&cells, at - 1) <= size(&cells, at + 1) => at - 1,
                _ => at,
            };
            let right = cells.remove(left + 1);
            cells[left] = match (cells[left].take(), right) {
                (Some((a, m)), Some((b, n))) => Some((join(a, b), m + n)),
                (one, other) => one.or(other),
            };
        }
        cells.into_iter().flatten().collect()
    }
}
