//! Gather: every partition folded, by all threads, and its patches written in the order of partitions.

use super::super::imports::Imports;
use super::again::{Again, Writer};
use super::pile::Piles;
use super::{Failure, Job, PARTITIONS};
use crate::engine::columns::Columns;
use crate::engine::fold::Tally;
use crate::packed::Unpacker;
use crate::sheet::Sheet;
use crate::time::Millis;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

/// The patches of one partition.
pub struct Folded {
    pub partition: usize,
    pub patches: Sheet,
    pub tally: Tally,
    pub keys: u64,
}

/// What one thread folds with.
pub trait Folder {
    fn fold(&mut self, partition: usize, patches: Sheet) -> io::Result<Folded>;
    /// Called when no partition is left.
    fn end(self) -> io::Result<()>;
}

/// Folds the piles of users and writes the patches; the rows that count go to `again`, where entities are told.
/// Gives what became of the events, and the number of keys.
pub fn gather<'a>(
    job: &'a Job<'a>,
    piles: &Piles,
    imports: &Imports,
    unpacker: impl Fn() -> Unpacker<'a> + Sync,
    again: Option<&Again<'_>>,
    as_of: Millis,
    out: &mut impl Write,
) -> Result<(Tally, u64), Failure> {
    let (mut tally, mut keys) = (Tally::default(), 0);
    let folder = |thread| Users {
        piles,
        imports,
        ahead: job.threads,
        columns: Columns::new(job.plan, job.range, as_of),
        unpacker: unpacker(),
        again: again.map(|again| again.writer(thread)),
        told: !job.plan.outputs.is_empty(),
    };
    in_order(job.threads, PARTITIONS, folder, out, |folded| {
        tally.add(folded.tally);
        keys += folded.keys;
    })?;
    Ok((tally, keys))
}

/// Folds so many partitions by all threads and writes the patches in their order; `each` is told of them in any order.
pub fn in_order<F: Folder>(
    threads: usize,
    partitions: usize,
    folder: impl Fn(usize) -> F + Sync,
    out: &mut impl Write,
    mut each: impl FnMut(&Folded),
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    // Written sheets, to be written upon again: fresh memory would have to be cleared by the system.
    let spare = &Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        // Bounded: a slow reader of the output must not pile the patches up in memory.
        let (send, receive) = mpsc::sync_channel::<io::Result<Folded>>(threads * 2);
        let (next, folder) = (&next, &folder);
        for thread in 0..threads.max(1) {
            let send = send.clone();
            scope.spawn(move || {
                let mut folder = folder(thread);
                loop {
                    let partition = next.fetch_add(1, Ordering::Relaxed);
                    if partition >= partitions {
                        if let Err(e) = folder.end() {
                            // Who no longer listens has an error to tell.
                            let _ = send.send(Err(e));
                        }
                        return;
                    }
                    // An error of the writer hangs up the channel: nothing is left to do.
                    let sheet = spare.lock().expect("a panic ends the program").pop().unwrap_or_default();
                    if send.send(folder.fold(partition, sheet)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for folded in receive {
            let folded = folded.map_err(Failure::Spill)?;
            each(&folded);
            waiting.insert(folded.partition, folded.patches);
            while let Some(mut patches) = waiting.remove(&turn) {
                out.write_all(patches.written()).map_err(Failure::Output)?;
                patches.clear();
                spare.lock().expect("a panic ends the program").push(patches);
                turn += 1;
            }
        }
        out.flush().map_err(Failure::Output)
    })
}

/// One thread's tools for users.
struct Users<'a, 'b> {
    piles: &'b Piles,
    imports: &'b Imports,
    /// So many partitions ahead another one will be wanted.
    ahead: usize,
    columns: Columns<'a>,
    unpacker: Unpacker<'a>,
    again: Option<Writer<'b>>,
    /// Whether users have patches: where only entities are told they have none.
    told: bool,
}

impl Folder for Users<'_, '_> {
    fn fold(&mut self, partition: usize, mut patches: Sheet) -> io::Result<Folded> {
        self.piles.prefetch(partition + self.ahead);
        let slabs = self.piles.take(partition)?;
        self.columns.reset();
        self.columns.reserve(slabs.iter().map(|slab| slab.len()).sum());
        for slab in slabs {
            let block = self.unpacker.unpack(&slab);
            match &mut self.again {
                None => self.columns.add(block),
                Some(again) => self.columns.add_then(block, |block, picks| again.push(block, picks))?,
            }
            self.piles.give_back(slab);
        }
        let keys = if self.told { self.columns.finish(self.imports.part(partition), &mut patches) } else { 0 };
        Ok(Folded { partition, patches, tally: self.columns.tally, keys })
    }

    fn end(self) -> io::Result<()> {
        match self.again {
            None => self.piles.free(),
            // The memory is wanted again.
            Some(again) => again.end()?,
        }
        Ok(())
    }
}
