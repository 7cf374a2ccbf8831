//! Piles: the packed rows of every partition, in memory as long as they fit and in a file of no name beyond.
//!
//! A slab knows where in the log its rows begin, so a pile is put in order when it is taken, whoever filled it.

use super::slabs::Slabs;
use crate::packed::Packed;
use bytes::BytesMut;
use rustix::fs::{Advice, fadvise};
use rustix::io::{preadv, pwritev, retry_on_intr};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// Where in the log the rows of a slab begin: the chunk, and a number that grows within a thread's stretch.
pub type Place = (usize, usize);

/// Room for the rows of a slab, when memory is no matter.
const SLAB_BYTES: usize = 64 << 10;
const SLAB_LEAST: usize = 4 << 10;

/// How much memory the rows may take, and where they go beyond.
#[derive(Clone, Debug)]
pub struct Budget {
    /// In bytes, for all rows of a run.
    pub bytes: u64,
    /// Where the file of rows is made; it has no name there and is gone with the process.
    pub spill: PathBuf,
}

/// The rows of every partition.
pub struct Piles {
    piles: Vec<Mutex<Pile>>,
    slabs: Slabs,
    budget: Budget,
    held: AtomicUsize,
    /// The partition to be written next.
    turn: AtomicUsize,
    file: OnceLock<File>,
    /// The length of the file.
    written: AtomicU64,
}

#[derive(Default)]
struct Pile {
    slabs: Vec<(Place, Packed)>,
    /// Runs of slabs in the file.
    runs: Vec<Run>,
}

struct Run {
    offset: u64,
    len: usize,
    /// The slabs, without their bytes.
    slabs: Vec<(Place, Packed)>,
}

impl Piles {
    /// Piles that so many threads fill.
    pub fn new(partitions: usize, threads: usize, budget: Budget) -> Piles {
        let piles = (0..partitions).map(|_| Mutex::default()).collect();
        let (held, turn, written) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
        // One open slab a partition and thread is to be a small part of the memory.
        let open = (threads.max(1) * partitions) as u64;
        let slabs = Slabs::new(((budget.bytes / 8 / open) as usize).clamp(SLAB_LEAST, SLAB_BYTES));
        Piles { piles, slabs, budget, held, turn, file: OnceLock::new(), written }
    }

    /// Memory for a slab of so many bytes at least.
    pub fn memory(&self, least: usize) -> BytesMut {
        if least <= self.slabs.bytes() { self.slabs.get() } else { BytesMut::zeroed(least) }
    }

    /// To be called by a thread that wants no slab any more.
    pub fn free(&self) {
        self.slabs.free();
    }

    /// Takes back a slab whose rows are no longer needed.
    pub fn give_back(&self, slab: Packed) {
        self.slabs.give_back(slab.into_memory());
    }

    /// Bytes that were written to the file.
    pub fn spilled(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Puts a full slab on a pile.
    pub fn put(&self, partition: usize, place: Place, slab: Packed) -> io::Result<()> {
        let bytes = slab.capacity();
        // Counted before it lies there: who takes it at once takes it from the count, too.
        let mut held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.lock(partition).slabs.push((place, slab));
        while held as u64 > self.budget.bytes {
            held = self.spill()?;
        }
        Ok(())
    }

    /// Writes what the next partition has in memory in one piece. Returns the bytes still held.
    fn spill(&self) -> io::Result<usize> {
        let partition = self.turn.fetch_add(1, Ordering::Relaxed) % self.piles.len();
        // Locked until all is written: who takes the pile meanwhile must find what is on its way to the file.
        let mut pile = self.lock(partition);
        let slabs = std::mem::take(&mut pile.slabs);
        let freed: usize = slabs.iter().map(|(_, slab)| slab.capacity()).sum();
        if !slabs.is_empty() {
            let len = slabs.iter().map(|(_, slab)| slab.used()).sum();
            let offset = self.written.fetch_add(len as u64, Ordering::Relaxed);
            let mut bytes: Vec<IoSlice> = slabs.iter().map(|(_, slab)| IoSlice::new(slab.written())).collect();
            write_all_at(self.file()?, &mut bytes, offset)?;
            let without_bytes = |(place, slab): &(Place, Packed)| (*place, slab.without_bytes());
            pile.runs.push(Run { offset, len, slabs: slabs.iter().map(without_bytes).collect() });
            slabs.into_iter().for_each(|(_, slab)| self.give_back(slab));
        }
        Ok(self.held.fetch_sub(freed, Ordering::Relaxed) - freed)
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = tempfile::tempfile_in(&self.budget.spill)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// All slabs of a partition, in the order of the log.
    pub fn take(&self, partition: usize) -> io::Result<Vec<Packed>> {
        let Pile { mut slabs, runs } = std::mem::take(&mut *self.lock(partition));
        self.held.fetch_sub(slabs.iter().map(|(_, slab)| slab.capacity()).sum(), Ordering::Relaxed);
        for run in runs {
            slabs.extend(self.read(run)?);
        }
        slabs.sort_unstable_by_key(|(place, _)| *place);
        Ok(slabs.into_iter().map(|(_, slab)| slab).collect())
    }

    /// Gives out all slabs of a pile, in no order and without holding them all: many rows may be of one key.
    pub fn each(&self, pile: usize, mut each: impl FnMut(Packed)) -> io::Result<()> {
        let Pile { slabs, runs } = std::mem::take(&mut *self.lock(pile));
        for (_, slab) in slabs {
            self.held.fetch_sub(slab.capacity(), Ordering::Relaxed);
            each(slab);
        }
        for run in runs {
            self.read(run)?.into_iter().for_each(|(_, slab)| each(slab));
        }
        Ok(())
    }

    /// The slabs of a run, in memory that served before: the system has to clear what is new.
    fn read(&self, run: Run) -> io::Result<Vec<(Place, Packed)>> {
        let again = |(place, slab): (Place, Packed)| (place, slab.again(self.memory(slab.used())));
        let mut slabs: Vec<(Place, Packed)> = run.slabs.into_iter().map(again).collect();
        let mut bytes: Vec<IoSliceMut> =
            slabs.iter_mut().map(|(_, slab)| IoSliceMut::new(slab.written_mut())).collect();
        read_exact_at(self.file()?, &mut bytes, run.offset)?;
        Ok(slabs)
    }

    /// Lets the system read what a partition has in the file, so that taking it need not wait.
    pub fn prefetch(&self, partition: usize) {
        let (Some(pile), Some(file)) = (self.piles.get(partition), self.file.get()) else { return };
        for run in &pile.lock().expect("a panic ends the program").runs {
            // Only advice: without it the partition is read a little later.
            let _ = fadvise(file, run.offset, NonZeroU64::new(run.len as u64), Advice::WillNeed);
        }
    }

    fn lock(&self, partition: usize) -> std::sync::MutexGuard<'_, Pile> {
        self.piles[partition].lock().expect("a panic ends the program")
    }
}

/// So many pieces a system takes at once. Few in tests, which have few.
const PIECES: usize = if cfg!(test) { 3 } else { 1024 };

fn write_all_at(file: &File, mut pieces: &mut [IoSlice], mut offset: u64) -> io::Result<()> {
    while !pieces.is_empty() {
        let some = &pieces[..pieces.len().min(PIECES)];
        let done = retry_on_intr(|| pwritev(file, some, offset))?;
        if done == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut pieces, done);
        offset += done as u64;
    }
    Ok(())
}

fn read_exact_at(file: &File, mut pieces: &mut [IoSliceMut], mut offset: u64) -> io::Result<()> {
    while !pieces.is_empty() {
        let some = pieces.len().min(PIECES);
        let done = retry_on_intr(|| preadv(file, &mut pieces[..some], offset))?;
        if done == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        IoSliceMut::advance_slices(&mut pieces, done);
        offset += done as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Rules;
    use crate::packed::{Packer, Packing, Unpacker};
    use crate::reader::Reader;
    use crate::rows::Projection;

    fn slab(packer: &mut Packer, first: usize) -> Packed {
        let mut reader = Reader::new(&Projection::default(), &Rules::default());
        let mut packed = packer.start(BytesMut::zeroed(SLAB_LEAST));
        for i in first..first + 10 {
            let line = format!(r#"{{"eventId":"{i}","userId":"u","eventType":"click","timestamp":1731296325000}}"#);
            assert_eq!(reader.read_alone(line.as_bytes(), 1_731_300_000_000).map_err(|r| r.reason), Ok(true));
            packer.push(&mut packed, reader.line(), reader.spare());
        }
        packed
    }

    #[test]
    fn a_pile_that_is_taken_while_others_are_filled_is_whole() {
        let (projection, packing) = (Projection::default(), Packing::new(&Projection::default()));
        let words = [Packer::new(&packing, 0).finish()];
        let rows = |slabs: Vec<Packed>| slabs.iter().map(Packed::len).sum::<usize>();
        for _ in 0..200 {
            let piles = Piles::new(3, 1, Budget { bytes: 8 * SLAB_LEAST as u64, spill: std::env::temp_dir() });
            let mut packer = Packer::new(&packing, 0);
            (0..4).for_each(|i| piles.put(i % 2, (i, 0), slab(&mut packer, i * 10)).expect("written"));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut packer = Packer::new(&packing, 0);
                    (0..12).for_each(|i| piles.put(2, (i, 0), slab(&mut packer, i * 10)).expect("written"));
                });
                // The first pile is on its way to the file just now.
                while piles.spilled() == 0 {
                    std::hint::spin_loop();
                }
                for partition in 0..2 {
                    assert_eq!(rows(piles.take(partition).expect("read")), 20);
                }
            });
            assert!(piles.spilled() > 0);
            let (mut ids, mut unpacker) = (Vec::new(), Unpacker::new(&projection, &packing, &words));
            let each = |packed: Packed| {
                let block = unpacker.unpack(&packed);
                ids.extend((0..block.len()).map(|i| block.event_id(i).parse::<usize>().expect("a number")));
            };
            piles.each(2, each).expect("read");
            ids.sort_unstable();
            assert!(ids.into_iter().eq(0..120));
            assert_eq!(piles.held.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_pile_comes_back_in_the_order_of_the_log_whatever_was_written_to_the_file() {
        let spill = tempfile::tempdir().expect("a directory").keep();
        let mut files = 0;
        let (projection, packing) = (Projection::default(), Packing::new(&Projection::default()));
        let mut packer = Packer::new(&packing, 0);
        let words = [Packer::new(&packing, 0).finish()];
        for slabs in [0, 1, 2, 3, 1000] {
            let piles = Piles::new(2, 1, Budget { bytes: (slabs * SLAB_LEAST) as u64, spill: spill.clone() });
            for i in (0..40).rev() {
                piles.put(i % 2, (i, 0), slab(&mut packer, i * 10)).expect("written");
            }
            files += u32::from(piles.spilled() > 0);
            for partition in 0..2 {
                let (mut ids, mut unpacker) = (Vec::new(), Unpacker::new(&projection, &packing, &words));
                for packed in piles.take(partition).expect("read") {
                    let block = unpacker.unpack(&packed);
                    piles.give_back(packed);
                    ids.extend((0..block.len()).map(|i| block.event_id(i).parse::<usize>().expect("a number")));
                }
                let want = (0..400).filter(|id| id / 10 % 2 == partition);
                assert!(ids.into_iter().eq(want), "{slabs}");
            }
            assert!(piles.take(0).expect("nothing").is_empty());
        }
        assert_eq!(files, 4);
        assert_eq!(std::fs::read_dir(&spill).expect("there").count(), 0, "the file has no name");
        std::fs::remove_dir(spill).expect("empty");
    }
}
