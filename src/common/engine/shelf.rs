//! A store for tests: the states that `save` gave, where a memory without room for them finds them again.

use super::live::{Elsewhere, Live};
use crate::key::Key;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<BTreeMap<Key, Vec<u8>>>>);

impl Elsewhere for Shelf {
    fn bytes(&self, key: &Key) -> Vec<u8> {
        self.0.lock().expect("one thread")[key].clone()
    }

    fn is_sound(&self) -> bool {
        true
    }
}

impl Shelf {
    /// Bounds the memory of `live`, with this as the place for the rest.
    pub fn bound(&self, live: &mut Live, memory: usize) {
        live.bound(memory, Arc::new(self.clone()));
    }

    /// Keeps what `live` has to save, and lets it make room.
    pub fn save(&self, live: &mut Live) {
        let mut changes = Vec::new();
        live.save(|key, state| changes.push((key.clone(), state.map(<[u8]>::to_vec))));
        let mut states = self.0.lock().expect("one thread");
        for (key, state) in changes {
            match state {
                None => drop(states.remove(&key)),
                Some(bytes) => drop(states.insert(key, bytes)),
            }
        }
        drop(states);
        assert_eq!(live.open_bytes(), 0, "those of which nothing was to be saved, too");
        live.make_room();
        assert!(!live.is_full(), "all is saved, so that all may leave");
    }

    pub fn states(&self) -> BTreeMap<Key, Vec<u8>> {
        self.0.lock().expect("one thread").clone()
    }
}
