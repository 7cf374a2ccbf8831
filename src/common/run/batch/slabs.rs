//! Slabs: pieces of memory of one size for the rows of a run, given out, given back and given out again.

use bytes::BytesMut;
use std::sync::Mutex;

/// Slabs are cut from regions of so many bytes. Zeroed memory of that size costs nothing until it is touched;
/// asking for huge pages gained nothing: what their faults save, clearing them takes.
const REGION_BYTES: usize = 32 << 20;

pub struct Slabs {
    bytes: usize,
    stock: Mutex<Stock>,
}

#[derive(Default)]
struct Stock {
    /// Given back.
    free: Vec<BytesMut>,
    /// Not cut up yet.
    region: BytesMut,
}

impl Slabs {
    /// Slabs of so many bytes each.
    pub fn new(bytes: usize) -> Slabs {
        Slabs { bytes, stock: Mutex::default() }
    }

    /// The size of a slab.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn get(&self) -> BytesMut {
        let mut stock = self.lock();
        if let Some(slab) = stock.free.pop() {
            return slab;
        }
        if stock.region.len() < self.bytes {
            stock.region = BytesMut::zeroed(REGION_BYTES.next_multiple_of(self.bytes));
        }
        stock.region.split_to(self.bytes)
    }

    /// Takes a slab back; memory of another size is freed.
    pub fn give_back(&self, slab: BytesMut) {
        if slab.len() == self.bytes {
            self.lock().free.push(slab);
        }
    }

    /// Gives back to the system what nobody uses. To be called when no slab is wanted any more, and best by all threads: it
    /// takes a while, and they share it.
    pub fn free(&self) {
        while let Some(slab) = self.pop() {
            drop(slab);
        }
    }

    fn pop(&self) -> Option<BytesMut> {
        self.lock().free.pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stock> {
        self.stock.lock().expect("a panic ends the program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_apart_and_come_again() {
        let slabs = Slabs::new(4096);
        let mut all: Vec<BytesMut> = (0..3 * REGION_BYTES / 4096).map(|_| slabs.get()).collect();
        for (i, slab) in all.iter_mut().enumerate() {
            assert_eq!(slab.len(), 4096);
            slab.fill(i as u8);
        }
        assert!(all.iter().enumerate().all(|(i, slab)| slab.iter().all(|byte| *byte == i as u8)));
        let there = all[7].as_ptr();
        slabs.give_back(all.swap_remove(7));
        slabs.give_back(BytesMut::zeroed(5000));
        assert_eq!(slabs.get().as_ptr(), there);
        assert_eq!(slabs.get().len(), 4096);
    }
}
