//! Parts: the rows of a log, partition by partition, or what they come to, for those who want more than patches.

use super::again::{Again, Writer, pile};
use super::pile::Piles;
use super::scatter::{self, Scattered};
use super::{Failure, Job, PARTITIONS, Summary, partition};
use crate::engine::fold::Fold;
use crate::packed::{Packed, Packing, Unpacker};
use crate::parallel;
use crate::rows::Block;
use std::io;
use std::sync::Mutex;

/// The rows of one partition, in the order of the log.
pub struct Part<'a> {
    pub number: usize,
    slabs: Vec<Packed>,
    unpacker: Unpacker<'a>,
    piles: &'a Piles,
}

impl Part<'_> {
    pub fn each(&mut self, mut take: impl FnMut(&Block)) {
        for slab in self.slabs.drain(..) {
            take(self.unpacker.unpack(&slab));
            self.piles.give_back(slab);
        }
    }
}

/// Reads the log of a job, does `work` on each partition, on all threads, and gives the results to `take` in their order.
pub fn run<T: Send, E: From<Failure> + Send>(
    job: &Job<'_>,
    work: impl Fn(Part<'_>) -> T + Sync,
    take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<Summary, E> {
    let piles = Piles::new(PARTITIONS, job.threads, job.budget.clone());
    let projection = &job.plan.definitions.projection;
    let packing = Packing::new(projection);
    let Scattered { mut summary, words, .. } = scatter::scatter(job, &piles, &packing)?;
    summary.spilled = piles.spilled();
    let one = |number| {
        let slabs = piles.take(number).map_err(Failure::Spill)?;
        Ok(work(Part { number, slabs, unpacker: Unpacker::new(projection, &packing, &words), piles: &piles }))
    };
    parallel::ordered(job.threads, PARTITIONS, one, take)?;
    Ok(summary)
}

/// Where a fold stands: whose keys it has, users (0) or the n-th of the other entities of a job, and which part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub entity: usize,
    pub part: usize,
}

/// Folds the log of a job by the keys of users, and then of its other entities, one after the other: does `work` on each
/// part, on all threads, and gives the results to `take` in their order.
///
/// An event counts for all of its keys or for none, and is tallied with its user.
pub fn fold<T: Send, E: From<Failure> + Send>(
    job: &Job<'_>,
    work: impl Fn(Turn, Fold<'_>) -> T + Sync,
    mut take: impl FnMut(Turn, T) -> Result<(), E>,
) -> Result<Summary, E> {
    let piles = Piles::new(PARTITIONS * (1 + job.entities.len()), job.threads, job.budget.clone());
    let projection = &job.plan.definitions.projection;
    let packing = Packing::new(projection);
    let Scattered { mut summary, words, .. } = scatter::scatter(job, &piles, &packing)?;
    let again = Again::new(job, &piles, &packing);
    let writers = Writers { again: &again, idle: Mutex::default() };
    let users = |part: usize| -> Result<T, E> {
        let (mut fold, mut unpacker) = (Fold::new(job.plan, job.hash_key), Unpacker::new(projection, &packing, &words));
        let mut writer = writers.one();
        for slab in piles.take(part).map_err(Failure::Spill)? {
            let block = unpacker.unpack(&slab);
            let counted = fold.add_and_show(block);
            writer.push(block, counted).map_err(Failure::Spill)?;
            piles.give_back(slab);
        }
        writers.give_back(writer);
        Ok(work(Turn { entity: 0, part }, fold))
    };
    parallel::ordered(job.threads, PARTITIONS, users, |part, result| take(Turn { entity: 0, part }, result))?;
    writers.end().map_err(Failure::Spill)?;
    let words = again.finish();
    let others = |turn: usize| -> Result<T, E> {
        let (n, part) = (turn / PARTITIONS, turn % PARTITIONS);
        let mut fold = Fold::new(&job.entities[n], job.hash_key);
        let mut unpacker = Unpacker::new(projection, &packing, &words);
        piles
            .each(pile(n, part), |slab| {
                let block = unpacker.unpack(&slab);
                fold.touch(block, 0..block.len() as u32, |key| partition(key.as_bytes()) == part);
                piles.give_back(slab);
            })
            .map_err(Failure::Spill)?;
        Ok(work(Turn { entity: n + 1, part }, fold))
    };
    parallel::ordered(job.threads, PARTITIONS * job.entities.len(), others, |turn, result| {
        take(Turn { entity: turn / PARTITIONS + 1, part: turn % PARTITIONS }, result)
    })?;
    summary.spilled = piles.spilled();
    Ok(summary)
}

/// The writers of rows to be scattered again: as many as threads ever wanted one at the same time.
struct Writers<'a> {
    again: &'a Again<'a>,
    /// How many were made, and those that nobody has.
    idle: Mutex<(usize, Vec<Writer<'a>>)>,
}

impl<'a> Writers<'a> {
    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, Vec<Writer<'a>>)> {
        self.idle.lock().expect("a panic ends the program")
    }

    fn one(&self) -> Writer<'a> {
        let (made, idle) = &mut *self.lock();
        idle.pop().unwrap_or_else(|| {
            *made += 1;
            self.again.writer(*made - 1)
        })
    }

    fn give_back(&self, writer: Writer<'a>) {
        self.lock().1.push(writer);
    }

    fn end(self) -> io::Result<()> {
        let (_, idle) = self.idle.into_inner().expect("a panic ends the program");
        idle.into_iter().try_for_each(Writer::end)
    }
}
