//! The queue between the thread that parses and the one that writes.
//!
//! The writer takes what has come: a full batch under load, or what little there is after
//! a short wait, so that a trickle is not held back. Memory is bounded in patches and bytes.

use adprof::dead::Place;
use adprof::patch::Patch;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// A batch holds no more bytes of lines than this (and one line), however many patches it may have.
const BYTES_MAX: usize = 32 << 20;

/// Patches and where each stood in the input.
#[derive(Default)]
pub struct Batch {
    pub patches: Vec<Patch>,
    pub places: Vec<Place>,
    bytes: usize,
}

/// One batch that is being filled.
pub struct Queue {
    most: usize,
    linger: Duration,
    filling: Mutex<Filling>,
    /// The first patch has come, the batch is full, or the input has ended.
    news: Condvar,
    /// The batch was taken.
    room: Condvar,
}

#[derive(Default)]
struct Filling {
    batch: Batch,
    ended: bool,
}

impl Queue {
    /// Batches of `most` patches; one that is not full is given out `linger` after the writer began to wait for more.
    pub fn new(most: usize, linger: Duration) -> Queue {
        Queue { most, linger, filling: Mutex::default(), news: Condvar::new(), room: Condvar::new() }
    }

    /// Adds a patch that came as a line of `bytes`; waits while the batch is full.
    pub fn put(&self, patch: Patch, place: Place, bytes: usize) {
        let mut filling = self.filling.lock().expect("a panic ends the program");
        while self.is_full(&filling.batch) {
            filling = self.room.wait(filling).expect("a panic ends the program");
        }
        let batch = &mut filling.batch;
        batch.patches.push(patch);
        batch.places.push(place);
        batch.bytes += bytes;
        if batch.patches.len() == 1 || self.is_full(batch) {
            self.news.notify_one();
        }
    }

    /// No patch will follow.
    pub fn end(&self) {
        self.filling.lock().expect("a panic ends the program").ended = true;
        self.news.notify_one();
    }

    /// The next patches, at least one; `None` after the last.
    pub fn take(&self) -> Option<Batch> {
        let mut filling = self.filling.lock().expect("a panic ends the program");
        while filling.batch.patches.is_empty() {
            if filling.ended {
                return None;
            }
            filling = self.news.wait(filling).expect("a panic ends the program");
        }
        let until = Instant::now() + self.linger;
        while !filling.ended && !self.is_full(&filling.batch) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            filling = self.news.wait_timeout(filling, left).expect("a panic ends the program").0;
        }
        let batch = std::mem::take(&mut filling.batch);
        self.room.notify_one();
        Some(batch)
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.patches.len() >= self.most || batch.bytes >= BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(queue: &Queue, n: u64, bytes: usize) {
        let patch = Patch::parse(&format!(r#"{{"userId":"u{n}","asOf":1,"tags":{{}}}}"#)).expect("a patch");
        queue.put(patch, Place::Line { line: n, offset: 0 }, bytes);
    }

    #[test]
    fn every_patch_comes_out_once_in_order_and_no_batch_is_over_its_limits() {
        let queue = Queue::new(7, Duration::from_millis(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..1000).for_each(|n| put(&queue, n, if n < 500 { 1 } else { BYTES_MAX / 3 }));
                queue.end();
            });
            let mut next = 0;
            while let Some(batch) = queue.take() {
                assert!(!batch.patches.is_empty() && batch.patches.len() <= 7);
                assert!(batch.bytes <= BYTES_MAX + BYTES_MAX / 3);
                for (patch, place) in batch.patches.iter().zip(&batch.places) {
                    assert_eq!(patch.key.id(), format!("u{next}"));
                    assert_eq!(*place, Place::Line { line: next, offset: 0 });
                    next += 1;
                }
            }
            assert_eq!(next, 1000);
        });
    }

    #[test]
    fn a_patch_alone_is_not_held_back_until_more_come() {
        let queue = Queue::new(1000, Duration::from_millis(1));
        put(&queue, 1, 1);
        assert_eq!(queue.take().expect("a batch").patches.len(), 1);
        queue.end();
        assert!(queue.take().is_none());
    }
}
