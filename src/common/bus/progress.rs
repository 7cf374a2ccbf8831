//! Progress: how far reading has come in each partition, and how far the log goes.
//!
//! Written by the reading thread, read by anyone at any time without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Where one partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub partition: i32,
    /// The offset after the last message handed over.
    pub position: i64,
    /// The offset after the last message in the log, at most about a second old.
    pub high: i64,
}

impl Lag {
    /// Messages (or offsets without one) not handed over yet.
    pub fn behind(&self) -> i64 {
        (self.high - self.position).max(0)
    }
}

/// Where the partitions of a reader stand, for others than its owner. Reading it never waits.
#[derive(Clone, Debug)]
pub struct LagGauge {
    topic: String,
    progress: Arc<Progress>,
}

impl LagGauge {
    pub(super) fn new(topic: &str, progress: &Arc<Progress>) -> LagGauge {
        LagGauge { topic: topic.to_string(), progress: progress.clone() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Each partition; ends are about a second old.
    pub fn lag(&self) -> Vec<Lag> {
        self.progress.lag()
    }

    /// Messages not handed over yet, of all partitions.
    pub fn behind(&self) -> i64 {
        self.lag().iter().map(Lag::behind).sum()
    }
}

#[derive(Debug)]
struct Slot {
    partition: i32,
    position: AtomicI64,
    high: AtomicI64,
}

#[derive(Debug)]
pub(super) struct Progress {
    slots: Vec<Slot>,
}

impl Progress {
    /// For partitions given as (partition, position, high).
    pub fn new(partitions: impl IntoIterator<Item = (i32, i64, i64)>) -> Progress {
        let slot = |(partition, position, high)| Slot {
            partition,
            position: AtomicI64::new(position),
            high: AtomicI64::new(high),
        };
        Progress { slots: partitions.into_iter().map(slot).collect() }
    }

    pub fn reached(&self, index: usize, position: i64) {
        self.slots[index].position.store(position, Relaxed);
    }

    /// The end was reached: what lies between is no message (a transaction's marker).
    pub fn at_end(&self, index: usize) {
        let slot = &self.slots[index];
        slot.position.fetch_max(slot.high.load(Relaxed), Relaxed);
    }

    /// The log of `partition` goes up to `high`; partitions of others are ignored.
    pub fn grown(&self, partition: i32, high: i64) {
        if let Ok(index) = self.slots.binary_search_by_key(&partition, |slot| slot.partition) {
            self.slots[index].high.store(high, Relaxed);
        }
    }

    pub fn lag(&self) -> Vec<Lag> {
        let lag = |slot: &Slot| {
            let position = slot.position.load(Relaxed);
            // The end is a second old, the position is not: it shows that the log has grown.
            Lag { partition: slot.partition, position, high: slot.high.load(Relaxed).max(position) }
        };
        self.slots.iter().map(lag).collect()
    }

    pub fn partitions(&self) -> Vec<i32> {
        self.slots.iter().map(|slot| slot.partition).collect()
    }
}
