//! States that memory has no room for, read from the store when they are touched.

use super::Error;
use crate::engine::live::Elsewhere;
use crate::key::Key;
use crate::store::embedded::Embedded;
use crate::store::{self, Kind};
use std::sync::{Mutex, PoisonError};

/// The states in the store, for a memory that has no room for all.
pub struct Stored {
    store: Embedded,
    /// Why one could not be had: from there on the states in memory are not whole.
    trouble: Mutex<Option<store::Error>>,
}

impl Elsewhere for Stored {
    fn bytes(&self, key: &Key) -> Vec<u8> {
        let missing = || store::Error::new(Kind::Corrupt, format!("embedded store: the state of {key} is gone"));
        let found = self.store.state(key).and_then(|bytes| bytes.ok_or_else(missing));
        found.unwrap_or_else(|e| {
            self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            Vec::new()
        })
    }

    fn is_sound(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Stored {
    pub fn of(store: Embedded) -> Stored {
        Stored { store, trouble: Mutex::default() }
    }

    /// Why states in memory are not whole any more.
    pub fn check(&self) -> Result<(), Error> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        trouble.map_or(Ok(()), |e| Err(e.into()))
    }
}
