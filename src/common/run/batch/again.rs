//! Again: the rows that count scattered once more, for each entity that is told by the keys they touch.
//!
//! A row goes to each partition that one of its keys falls into, once. The piles of entities lie behind those of users,
//! entity by entity, and share their memory.

use super::pile::{Piles, Place};
use super::{Job, PARTITIONS, partition};
use crate::engine::keys::Keys;
use crate::expr::Scratch;
use crate::packed::{Packed, Packer, Packing, Words};
use crate::rows::{Block, Pick};
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

/// What the writers of a run have in common.
pub struct Again<'a> {
    job: &'a Job<'a>,
    piles: &'a Piles,
    packing: &'a Packing,
    /// Of the writers that are done.
    words: Mutex<BTreeMap<usize, Words>>,
}

impl<'a> Again<'a> {
    pub fn new(job: &'a Job<'a>, piles: &'a Piles, packing: &'a Packing) -> Again<'a> {
        Again { job, piles, packing, words: Mutex::default() }
    }

    /// The writer of a thread, by its number.
    pub fn writer(&self, thread: usize) -> Writer<'_> {
        let open = (0..PARTITIONS * self.job.entities.len()).map(|_| Packed::default()).collect();
        let (keys, scratch) = (Keys::default(), Scratch::new());
        let packer = Packer::new(self.packing, thread as u32);
        Writer { again: self, thread, packer, open, handed: 0, keys, scratch, goals: Vec::new(), row: Vec::new() }
    }

    /// What is needed to unpack the rows, by writer.
    pub fn finish(self) -> Vec<Words> {
        self.words.into_inner().expect("a panic ends the program").into_values().collect()
    }
}

/// The pile of a partition of the n-th entity.
pub fn pile(entity: usize, partition: usize) -> usize {
    PARTITIONS * (1 + entity) + partition
}

/// Scatters the rows of one thread.
pub struct Writer<'a> {
    again: &'a Again<'a>,
    thread: usize,
    packer: Packer<'a>,
    /// One slab a partition of each entity that is not full yet.
    open: Vec<Packed>,
    handed: usize,
    keys: Keys,
    scratch: Scratch,
    /// Where the row at hand goes, and the row where that is more than one place.
    goals: Vec<usize>,
    row: Vec<u8>,
}

impl Writer<'_> {
    /// Takes in the rows of a block that count.
    pub fn push(&mut self, block: &Block, picks: &[Pick]) -> io::Result<()> {
        for pick in picks {
            let row = pick.row as usize;
            self.goals.clear();
            for (n, plan) in self.again.job.entities.iter().enumerate() {
                plan.keys(block, row, &mut self.keys, &mut self.scratch);
                let first = self.goals.len();
                self.goals.extend(self.keys.iter().map(|key| PARTITIONS * n + partition(key.as_bytes())));
                if self.keys.len() > 1 {
                    self.goals[first..].sort_unstable();
                }
            }
            self.goals.dedup();
            let Some((&first, _)) = self.goals.split_first() else { continue };
            let room = self.packer.room_of_row(block, row);
            self.ready(first, room)?;
            let start = self.open[first].used();
            self.packer.push_row(&mut self.open[first], block, row);
            if self.goals.len() > 1 {
                self.row.clear();
                self.row.extend_from_slice(&self.open[first].written()[start..]);
            }
            for n in 1..self.goals.len() {
                let goal = self.goals[n];
                self.ready(goal, self.row.len())?;
                self.open[goal].push_packed(&self.row);
            }
        }
        Ok(())
    }

    /// Makes sure that a row of so many bytes finds room.
    #[inline]
    fn ready(&mut self, goal: usize, room: usize) -> io::Result<()> {
        if self.open[goal].free() >= room {
            return Ok(());
        }
        let next = self.packer.start(self.again.piles.memory(room));
        self.replace(goal, next)
    }

    #[cold]
    fn replace(&mut self, goal: usize, next: Packed) -> io::Result<()> {
        let full = std::mem::replace(&mut self.open[goal], next);
        self.hand_over(goal, full)
    }

    fn hand_over(&mut self, goal: usize, full: Packed) -> io::Result<()> {
        self.handed += 1;
        // Nothing rests on the order of rows any more.
        let place: Place = (self.thread, self.handed);
        if full.is_empty() { Ok(()) } else { self.again.piles.put(PARTITIONS + goal, place, full) }
    }

    /// Hands everything over.
    pub fn end(mut self) -> io::Result<()> {
        for goal in 0..self.open.len() {
            let full = std::mem::take(&mut self.open[goal]);
            self.hand_over(goal, full)?;
        }
        self.again.words.lock().expect("a panic ends the program").insert(self.thread, self.packer.finish());
        Ok(())
    }
}
