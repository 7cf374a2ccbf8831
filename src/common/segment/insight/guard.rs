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
        let size = |i: &usize| (cells[*i].base(), cells[*i].audience());
        loop {
            let hidden: Vec<Count> = (0..cells.len()).filter(|i| merged[*i]).map(|i| cells[i]).collect();
            let others = (0..cells.len()).filter(|i| !merged[*i] && cells[*i] != Count::default());
            let Some(least) = others.clone().map(|i| size(&i)).min() else { return merged };
            if self.hides(&hidden, least.0) {
                return merged;
            }
            // All that are alike: which of them it is would tell something of the hidden ones.
            others.filter(|i| size(i) == least).collect::<Vec<usize>>().into_iter().for_each(|i| merged[i] = true);
        }
    }

    /// Whether what these cells add up to tells nothing of any of them.
    ///
    /// Who knows that the smallest cells are hidden, and that the smallest other one has `next` people of the base, knows how
    /// large a hidden one is at most: they may not all be so large.
    fn hides(&self, cells: &[Count], next: u64) -> bool {
        let most = next.max(self.least).saturating_sub(1);
        cells.len() >= 2 && self.is_safe(cells.iter().copied().sum()) && cells.iter().any(|cell| cell.base() != most)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn too_few_people_are_refused() {
        let refused = |only, both, rest| Guard::new(10, Count { only, both, rest }).check();
        assert_eq!(refused(0, 0, 5), Err(Refusal::EmptyAudience));
        assert_eq!(refused(50, 0, 0), Err(Refusal::EmptyBase));
        assert_eq!(refused(0, 9, 100), Err(Refusal::FewInAudience));
        assert_eq!(refused(50, 0, 9), Err(Refusal::FewInBase));
        // All but three: who they are would follow by subtraction.
        assert_eq!(refused(0, 100, 3), Err(Refusal::FewBetween));
        assert_eq!(refused(3, 100, 0), Err(Refusal::FewBetween));
        assert_eq!(refused(0, 100, 10), Ok(()));
        assert_eq!(refused(3, 100, 100), Ok(()));
        assert_eq!(refused(0, 100, 0), Ok(()));
    }

    #[test]
    fn one_hidden_cell_takes_another_with_it() {
        let total = Count { only: 0, both: 100, rest: 900 };
        let guard = Guard::new(10, total);
        let cell = |both, rest| Count { only: 0, both, rest };
        let cells = [cell(50, 500), cell(30, 300), cell(17, 93), cell(3, 7), cell(0, 0)];
        let merged = guard.merged(&cells, 15, |count| guard.is_safe(count));
        assert_eq!(merged, [false, false, true, true, false]);
        // Nine of the base and nobody of the audience: the rest of the base is told by the two, too.
        let cells = [cell(91, 891), cell(9, 9), cell(0, 0)];
        assert_eq!(guard.merged(&cells, 15, |count| guard.is_safe(count)), [true, true, false]);
        // All but three of those who live there are in the audience.
        let cells = [cell(60, 3), cell(25, 500), cell(15, 397)];
        assert_eq!(guard.merged(&cells, 15, |count| guard.is_safe(count)), [true, false, true]);
        let all_well = [cell(60, 600), cell(40, 300)];
        assert_eq!(guard.merged(&all_well, 1, |count| guard.is_safe(count)), [false, true]);
    }

    /// A reader who knows how cells are merged, and how many there are, tries every table that would be told in the same way.
    #[test]
    fn not_even_who_knows_the_rules_can_tell_a_hidden_cell() {
        const CELLS: u32 = 4;
        const MOST: u64 = 9;
        let tables =
            (0..(MOST + 1).pow(CELLS)).map(|n| (0..CELLS).map(|i| n / (MOST + 1).pow(i) % (MOST + 1)).collect());
        let mut told: BTreeMap<Vec<Option<u64>>, Vec<Vec<u64>>> = BTreeMap::new();
        for table in tables {
            let table: Vec<u64> = table;
            let cells: Vec<Count> = table.iter().map(|both| Count { both: *both, ..Count::default() }).collect();
            let guard = Guard::new(4, cells.iter().copied().sum());
            if guard.check().is_ok() {
                let merged = guard.merged(&cells, cells.len(), |cell| guard.is_safe(cell));
                // What is told: the cells that have people, and what the others come to.
                let seen = |(both, merged): (&u64, &bool)| (*both > 0 && !merged).then_some(*both);
                let mut seen: Vec<Option<u64>> = table.iter().zip(&merged).map(seen).collect();
                seen.push(Some(guard.total().both));
                told.entry(seen).or_default().push(table);
            }
        }
        for (seen, tables) in told {
            for i in (0..CELLS as usize).filter(|i| seen[*i].is_none()) {
                let possible: BTreeSet<u64> = tables.iter().map(|table| table[i]).collect();
                assert!(possible.len() > 1 || possible.contains(&0), "{seen:?}: {tables:?}");
            }
        }
    }
}
