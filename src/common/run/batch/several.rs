//! Several questions of one reading: each partition folded once for every instant that is asked about.
//!
//! What comes of it is the patches of `batch`, byte for byte, handed over partition by partition instead of written.

use super::again::{Again, Writer, pile};
use super::pile::Piles;
use super::scatter::{self, Scattered};
use super::{Failure, Job, PARTITIONS, Summary, partition};
use crate::engine::columns::{Columns, Touched};
use crate::engine::fold::{Range, Tally};
use crate::engine::plan::Plan;
use crate::packed::{Packing, Unpacker};
use crate::parallel;
use crate::sheet::Sheet;
use crate::time::Millis;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Tags of one entity, and the instant at which they are told.
pub struct Ask {
    pub plan: Arc<Plan>,
    pub as_of: Millis,
}

/// What the log says of one partition of an entity.
pub struct Answers {
    /// The entity's place in the definitions.
    pub entity: usize,
    pub partition: usize,
    /// The lines of patches, for each question of this entity, in the order they were asked in.
    pub sheets: Vec<Sheet>,
}

/// Reads the log once and gives the answers of each partition to `work`, on all threads; what that gives comes to `take` in
/// the order of entities and partitions. Users are always asked about, if only for nothing.
///
/// Of the job's entities each is in `asks` at least once.
pub fn run<T: Send, E: From<Failure> + Send>(
    job: &Job<'_>,
    asks: &[Ask],
    work: impl Fn(Answers) -> Result<T, E> + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<Summary, E> {
    let piles = Piles::new(PARTITIONS * (1 + job.entities.len()), job.threads, job.budget.clone());
    let projection = &job.plan.definitions.projection;
    let packing = Packing::new(projection);
    let Scattered { mut summary, words, .. } = scatter::scatter(job, &piles, &packing)?;
    let of = |entity: usize| asks.iter().filter(move |ask| ask.plan.entity == entity);
    let latest = asks.iter().map(|ask| ask.as_of).max();
    let again = (!job.entities.is_empty()).then(|| Again::new(job, &piles, &packing));
    let writers: Mutex<Vec<Writer<'_>>> =
        Mutex::new(again.iter().flat_map(|again| (0..job.threads.max(1)).map(|thread| again.writer(thread))).collect());
    let users = |number: usize| {
        let slabs = piles.take(number).map_err(Failure::Spill)?;
        let mut unpacker = Unpacker::new(projection, &packing, &words);
        let rows = slabs.iter().map(|slab| slab.len()).sum();
        let mut tally = Tally::default();
        if again.is_some() {
            let mut writer = writers.lock().expect("a panic ends the program").pop().expect("one a thread");
            let mut columns = Columns::new(job.plan, up_to(latest), latest.unwrap_or(Millis::MIN));
            columns.reserve(rows);
            for slab in &slabs {
                columns
                    .add_then(unpacker.unpack(slab), |block, picks| writer.push(block, picks))
                    .map_err(Failure::Spill)?;
            }
            writers.lock().expect("a panic ends the program").push(writer);
        }
        let mut sheets = Vec::new();
        for ask in of(0) {
            let mut columns = Columns::new(&ask.plan, up_to(Some(ask.as_of)), ask.as_of);
            columns.reserve(rows);
            slabs.iter().for_each(|slab| columns.add(unpacker.unpack(slab)));
            let mut sheet = Sheet::default();
            columns.finish(&BTreeMap::new(), &mut sheet);
            tally = columns.tally;
            sheets.push(sheet);
        }
        slabs.into_iter().for_each(|slab| piles.give_back(slab));
        Ok((work(Answers { entity: 0, partition: number, sheets })?, tally))
    };
    parallel::ordered(job.threads, PARTITIONS, users, |_, (done, tally)| {
        summary.events.add(tally);
        take(done)
    })?;
    for writer in writers.into_inner().expect("a panic ends the program") {
        writer.end().map_err(Failure::Spill)?;
    }
    if let Some(again) = again {
        let words = again.finish();
        let of_entity = |turn: usize| {
            let (n, mine) = (turn / PARTITIONS, turn % PARTITIONS);
            let entity = job.entities[n].entity;
            let mut unpacker = Unpacker::new(projection, &packing, &words);
            let mut folds: Vec<Touched> = of(entity).map(|ask| Touched::up_to(&ask.plan, ask.as_of)).collect();
            let each = piles.each(pile(n, mine), |slab| {
                let block = unpacker.unpack(&slab);
                folds.iter_mut().for_each(|fold| fold.add(block, |key| partition(key.as_bytes()) == mine));
                piles.give_back(slab);
            });
            each.map_err(Failure::Spill)?;
            let sheet = |fold: &mut Touched| {
                let mut sheet = Sheet::default();
                fold.finish(&BTreeMap::new(), &mut sheet);
                sheet
            };
            let sheets = folds.iter_mut().map(sheet).collect();
            work(Answers { entity, partition: mine, sheets })
        };
        parallel::ordered(job.threads, PARTITIONS * job.entities.len(), of_entity, |_, done| take(done))?;
    }
    summary.spilled = piles.spilled();
    Ok(summary)
}

fn up_to(as_of: Option<Millis>) -> Range {
    Range { since: None, as_of }
}
