//! Traces: which keys patches have changed since the owner of the live state last looked.
//!
//! A trace stands in `meta`, under a name that ends in the key: one a key, however often it changes. It holds the number
//! of the transaction that left it, and is removed only while that is the last one, so no change goes unheard.

use super::env::corrupt;
use super::owner::Put;
use super::record::{self, Of, stored, stored_prefix};
use super::tags::Tag;
use super::{Embedded, Snapshot};
use crate::key::Key;
use crate::store::error::Error;

/// What the names of traces begin with.
const PREFIX: &str = "\0given\0";

/// A key that a patch has changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    pub key: Key,
    number: u64,
}

impl Embedded {
    /// Up to `limit` traces in the order of keys, each with the tags that patches have left by now.
    pub fn traces(&self, limit: usize) -> Result<Vec<(Trace, Vec<Tag>)>, Error> {
        let snapshot = self.snapshot()?;
        let failed = |e| self.shared.error("read", e);
        let prefix = stored_prefix(PREFIX);
        let mut traces = Vec::new();
        for entry in self.shared.tables.meta.prefix_iter(&snapshot.txn, prefix).map_err(failed)?.take(limit) {
            let (at, found) = entry.map_err(failed)?;
            let trace = decode(at, found).map_err(|why| corrupt(&self.shared.dir, why))?;
            let tags = snapshot.tags(&trace.key)?;
            traces.push((trace, tags));
        }
        Ok(traces)
    }
}

impl Snapshot<'_> {
    /// Whether patches have changed a key since the owner of the live state last looked.
    pub fn is_traced(&self, key: &Key) -> Result<bool, Error> {
        Ok(self.meta(&name(key))?.is_some())
    }
}

fn decode(at: &[u8], found: &[u8]) -> Result<Trace, String> {
    let (name, value) = record::decode(Of::Meta, at, found)?;
    let key = key_of(name);
    let number = value.try_into().map(u64::from_le_bytes);
    match (key, number) {
        (Some(key), Ok(number)) => Ok(Trace { key, number }),
        _ => Err("a trace is broken".into()),
    }
}

/// The key that a name in `meta` is the trace of; `None`: it is no trace.
pub(super) fn key_of(name: &str) -> Option<Key> {
    name.strip_prefix(PREFIX).and_then(Key::from_stored)
}

/// The record of a trace that no transaction left.
pub(super) fn unnumbered<'r>(name: &str, record: &'r mut Vec<u8>) -> &'r [u8] {
    record::encode(record, Of::Meta, name, |out| out.extend_from_slice(&u64::MAX.to_le_bytes()));
    record
}

pub(super) fn name(key: &Key) -> String {
    format!("{PREFIX}{}", key.as_str())
}

impl Put<'_, '_> {
    /// Leaves a trace of a key that this transaction changes.
    pub fn leave_trace(&mut self, key: &Key) -> Result<(), Error> {
        let number = self.txn.id() as u64;
        let table = self.store.shared.tables.meta;
        self.encoded(table, Of::Meta, &name(key), |out| out.extend_from_slice(&number.to_le_bytes()))
    }

    /// Removes traces that have been heard; one that was left anew since stays.
    pub fn remove_traces(&mut self, traces: &[Trace]) -> Result<(), Error> {
        let shared = &self.store.shared;
        for trace in traces {
            let name = name(&trace.key);
            let number = |bytes: &[u8]| Ok(bytes.try_into().map(u64::from_le_bytes).ok());
            let left = shared.get(self.txn, shared.tables.meta, Of::Meta, &name, number)?.flatten();
            if left == Some(trace.number) {
                let deleted = shared.tables.meta.delete(self.txn, &stored(&name));
                deleted.map_err(|e| shared.error("write", e))?;
            }
        }
        Ok(())
    }
}
