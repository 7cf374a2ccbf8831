//! Shares: the chunks of a log divided among threads, each its own stretch.
//!
//! A thread reads its stretch from front to back, so the rows it finds are in the order of the log without sorting;
//! who is done takes the second half of what another has left.

use std::ops::Range;
use std::sync::Mutex;

/// What every thread has left to do.
pub struct Shares(Vec<Mutex<Range<usize>>>);

impl Shares {
    /// Divides pieces of these sizes into stretches of about the same size, one a thread.
    pub fn new(sizes: &[u64], threads: usize) -> Shares {
        let total: u64 = sizes.iter().sum();
        let (mut shares, mut start, mut so_far) = (Vec::new(), 0, 0);
        for thread in 1..=threads.max(1) as u64 {
            let goal = total / threads.max(1) as u64 * thread;
            let mut end = start;
            while end < sizes.len() && (so_far < goal || thread == threads.max(1) as u64) {
                so_far += sizes[end];
                end += 1;
            }
            shares.push(Mutex::new(start..end));
            start = end;
        }
        Shares(shares)
    }

    /// The next piece for a thread; `None`: nothing is left anywhere.
    pub fn next(&self, thread: usize) -> Option<usize> {
        loop {
            if let Some(piece) = self.lock(thread).next() {
                return Some(piece);
            }
            let (victim, _) = (0..self.0.len())
                .map(|i| (i, self.lock(i).len()))
                .filter(|(_, left)| *left > 0)
                .max_by_key(|(_, n)| *n)?;
            let taken = {
                let mut left = self.lock(victim);
                let middle = left.start + left.len() / 2;
                let taken = middle..left.end;
                left.end = middle;
                taken
            };
            *self.lock(thread) = taken;
        }
    }

    fn lock(&self, thread: usize) -> std::sync::MutexGuard<'_, Range<usize>> {
        self.0[thread].lock().expect("a panic ends the program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_piece_is_given_out_once_whoever_asks(
            sizes in proptest::collection::vec(0u64..100, 0..50), threads in 1usize..6, turns in proptest::collection::vec(0usize..6, 0..300),
        ) {
            let shares = Shares::new(&sizes, threads);
            let mut seen = vec![0; sizes.len()];
            for turn in turns {
                if let Some(piece) = shares.next(turn % threads) {
                    seen[piece] += 1;
                }
            }
            while let Some(piece) = shares.next(0) {
                seen[piece] += 1;
            }
            prop_assert!(seen.iter().all(|n| *n == 1), "{:?}", seen);
        }
    }
}
