//! Entities: the piles that were scattered again folded, entity by entity, and their patches written behind those of users.

use super::super::imports::Imports;
use super::again::pile;
use super::gather::{Folded, Folder, in_order};
use super::pile::Piles;
use super::{Failure, Job, PARTITIONS, partition};
use crate::engine::columns::Touched;
use crate::engine::fold::Tally;
use crate::packed::Unpacker;
use crate::sheet::Sheet;
use crate::time::Millis;
use std::io::{self, Write};

/// Folds the piles of all entities. Gives the number of keys of each.
pub fn gather<'a>(
    job: &'a Job<'a>,
    piles: &Piles,
    imports: &Imports,
    unpacker: impl Fn() -> Unpacker<'a> + Sync,
    as_of: Millis,
    out: &mut impl Write,
) -> Result<Vec<u64>, Failure> {
    let mut keys = vec![0; job.entities.len()];
    let folder = |_| Entities { job, piles, imports, as_of, at: None, unpacker: unpacker() };
    in_order(job.threads, PARTITIONS * job.entities.len(), folder, out, |folded| {
        keys[folded.partition / PARTITIONS] += folded.keys;
    })?;
    Ok(keys)
}

/// One thread's tools.
struct Entities<'a, 'b> {
    job: &'a Job<'a>,
    piles: &'b Piles,
    imports: &'b Imports,
    as_of: Millis,
    /// The entity at hand, and its keys.
    at: Option<(usize, Touched<'a>)>,
    unpacker: Unpacker<'a>,
}

impl Folder for Entities<'_, '_> {
    fn fold(&mut self, turn: usize, mut patches: Sheet) -> io::Result<Folded> {
        let (entity, mine) = (turn / PARTITIONS, turn % PARTITIONS);
        self.piles.prefetch(pile(0, turn + self.job.threads));
        if self.at.as_ref().is_none_or(|(at, _)| *at != entity) {
            self.at = Some((entity, Touched::new(&self.job.entities[entity], self.as_of)));
        }
        let (_, touched) = self.at.as_mut().expect("it was made just now");
        touched.reset();
        self.piles.each(pile(entity, mine), |slab| {
            touched.add(self.unpacker.unpack(&slab), |key| partition(key.as_bytes()) == mine);
            self.piles.give_back(slab);
        })?;
        let given = self.imports.part_of(&self.job.entities[entity].entity().name, mine);
        let keys = touched.finish(given, &mut patches);
        Ok(Folded { partition: turn, patches, tally: Tally::default(), keys })
    }

    fn end(self) -> io::Result<()> {
        self.piles.free();
        Ok(())
    }
}
