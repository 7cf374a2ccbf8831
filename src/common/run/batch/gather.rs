//! Gather: every partition folded, by all threads, and its patches written in the order of partitions.

use super::super::imports::Imports;
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
struct Folded {
    partition: usize,
    patches: Sheet,
    tally: Tally,
    keys: u64,
}

/// Folds the piles and writes the patches. Gives what became of the events, and the number of keys.
pub fn gather<'a>(
    job: &'a Job<'a>,
    piles: &Piles,
    imports: &Imports,
    unpacker: impl Fn() -> Unpacker<'a> + Sync,
    as_of: Millis,
    out: &mut impl Write,
) -> Result<(Tally, u64), Failure> {
    let next = AtomicUsize::new(0);
    let (mut tally, mut keys) = (Tally::default(), 0);
    // Written sheets, to be written upon again: fresh memory would have to be cleared by the system.
    let spare = &Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        // Bounded: a slow reader of the output must not pile the patches up in memory.
        let (send, receive) = mpsc::sync_channel::<io::Result<Folded>>(job.threads * 2);
        let (next, unpacker) = (&next, &unpacker);
        for _ in 0..job.threads.max(1) {
            let send = send.clone();
            scope.spawn(move || {
                let mut folder = Folder::new(job, as_of, unpacker());
                loop {
                    let partition = next.fetch_add(1, Ordering::Relaxed);
                    if partition >= PARTITIONS {
                        return piles.free();
                    }
                    piles.prefetch(partition + job.threads);
                    // An error of the writer hangs up the channel: nothing is left to do.
                    let sheet = spare.lock().expect("a panic ends the program").pop().unwrap_or_default();
                    if send.send(folder.fold(piles, imports, partition, sheet)).is_err() {
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
            tally.add(folded.tally);
            keys += folded.keys;
            waiting.insert(folded.partition, folded.patches);
            while let Some(mut patches) = waiting.remove(&turn) {
                out.write_all(patches.written()).map_err(Failure::Output)?;
                patches.clear();
                spare.lock().expect("a panic ends the program").push(patches);
                turn += 1;
            }
        }
        out.flush().map_err(Failure::Output)
    })?;
    Ok((tally, keys))
}

/// One thread's tools.
struct Folder<'a> {
    columns: Columns<'a>,
    unpacker: Unpacker<'a>,
}

impl<'a> Folder<'a> {
    fn new(job: &'a Job<'a>, as_of: Millis, unpacker: Unpacker<'a>) -> Folder<'a> {
        Folder { columns: Columns::new(job.plan, job.range, as_of), unpacker }
    }

    fn fold(&mut self, piles: &Piles, imports: &Imports, partition: usize, mut patches: Sheet) -> io::Result<Folded> {
        let slabs = piles.take(partition)?;
        self.columns.reset();
        self.columns.reserve(slabs.iter().map(|slab| slab.len()).sum());
        for slab in slabs {
            self.columns.add(self.unpacker.unpack(&slab));
            piles.give_back(slab);
        }
        let keys = self.columns.finish(imports.part(partition), &mut patches);
        Ok(Folded { partition, patches, tally: self.columns.tally, keys })
    }
}
