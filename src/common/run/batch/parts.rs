//! Parts: the rows of a log, partition by partition, for those who want more than patches.

use super::super::history::parallel;
use super::pile::Piles;
use super::scatter::{self, Scattered};
use super::{Failure, Job, PARTITIONS, Summary};
use crate::packed::{Packed, Packing, Unpacker};
use crate::rows::Block;

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
