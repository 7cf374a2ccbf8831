//! The owner of a store's live state: the one process that folds events into it.
//!
//! Ownership is a lock on a file beside the data, gone with its process however that
//! ends. Patches need no ownership: they go into tables of their own (`mod.rs`).

use super::env::{Table, io_error, place};
use super::index::Marks;
use super::record::{self, Of, stored};
use super::{Applied, Embedded, Trace, by_key};
use crate::key::Key;
use crate::ndjson::shown;
use crate::patch::Patch;
use crate::store::error::{Error, Kind};
use crate::time::Millis;
use heed::{PutFlags, RwTxn};
use std::borrow::Borrow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};

pub(super) const LOCK: &str = "writer.lock";
/// The name under which the instant of the last commit stands in `meta`; besides it only traces begin with NUL.
pub(super) const COMMITTED_AT: &str = "\0committed_at";
/// Longest message a lock file may have for us.
const HOLDER_MAX: u64 = 200;

/// The right to change the live state; given back when dropped.
pub struct Owner {
    store: Embedded,
    lock: File,
}

/// What one transaction of the live path changes; `None` removes.
pub struct Changes<'a, S> {
    /// The instant the transaction is made at: what `Stats::committed_at` will say.
    pub at: Millis,
    /// New states, in any order; of one key the last counts.
    pub states: S,
    pub meta: &'a [(&'a str, Option<&'a [u8]>)],
    pub ids: &'a [(&'a str, Option<&'a [u8]>)],
}

impl Embedded {
    /// Becomes the owner of the live state. `name` says to others what runs: `adprof stream`.
    ///
    /// Errors: `Busy`, naming the holder, while another process or part of this one owns it.
    pub fn begin_owner(&self, name: &str) -> Result<Owner, Error> {
        let dir = &self.shared.dir;
        let failed = |e: io::Error| io_error(dir, "lock", &e);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = format!("{}: in use by {}", place(dir), holder(&mut lock));
                return Err(Error::new(Kind::Busy, error).hint("stop it, or name another store"));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        lock.set_len(0).map_err(failed)?;
        lock.seek(SeekFrom::Start(0)).map_err(failed)?;
        lock.write_all(format!("{name}, process {}\n", std::process::id()).as_bytes()).map_err(failed)?;
        super::format::raise(dir)?;
        Ok(Owner { store: self.clone(), lock })
    }
}

/// Who wrote the lock file.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    // The holder may be about to write its name: without one the message is poorer, not wrong.
    let _ = lock.seek(SeekFrom::Start(0)).and_then(|_| lock.take(HOLDER_MAX).read_to_string(&mut text));
    match text.trim() {
        "" => "another process".into(),
        text => format!("`{}`", shown(text)),
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A name left behind would be shown to whoever loses the next race for the lock.
        let _ = self.lock.set_len(0);
    }
}

impl Owner {
    pub fn store(&self) -> &Embedded {
        &self.store
    }

    /// Makes all changes in one transaction, on the disk when this returns.
    ///
    /// Costs by the distinct pages touched: few large commits, not many small ones. After an
    /// error the store is as it was before; after an error of the disk it stays closed to writes.
    pub fn commit<S, K, B>(&mut self, changes: Changes<'_, S>) -> Result<(), Error>
    where
        S: IntoIterator<Item = (K, Option<B>)>,
        K: Borrow<str>,
        B: AsRef<[u8]>,
    {
        self.commit_given(changes, &[], &[])
    }

    /// The same, with patches that came with the events, and without the traces that were heard, in the same transaction.
    pub fn commit_given<S, K, B>(
        &mut self,
        changes: Changes<'_, S>,
        patches: &[Patch],
        heard: &[Trace],
    ) -> Result<(), Error>
    where
        S: IntoIterator<Item = (K, Option<B>)>,
        K: Borrow<str>,
        B: AsRef<[u8]>,
    {
        let states: Vec<(K, Option<B>)> = changes.states.into_iter().collect();
        let order = order(&states);
        let shared = &self.store.shared;
        shared.write(|txn| {
            let mut put = Put::new(&self.store, txn)?;
            put.states(order.iter().map(|(_, _, i)| &states[*i as usize]))?;
            self.store.apply_sorted(&mut put, &by_key(patches), false, &mut Applied::default())?;
            put.remove_traces(heard)?;
            for (name, value) in changes.meta {
                put.put(shared.tables.meta, Of::Meta, name, *value)?;
            }
            for (name, value) in changes.ids {
                put.put(shared.tables.ids, Of::Ids, name, *value)?;
            }
            put.put(shared.tables.meta, Of::Meta, COMMITTED_AT, Some(&changes.at.to_le_bytes()))
        })
    }
}

/// The places of states in the order in which they are stored, each behind the beginning of its key: neighbours fall into the
/// same page; of one key the last change stays last.
fn order<K: Borrow<str>, B>(states: &[(K, Option<B>)]) -> Vec<(u64, u64, u32)> {
    // Most keys are told apart by their beginning, which stands beside their place: no key is looked for in memory.
    let head = |key: &[u8]| {
        let mut head = [0; 16];
        let len = key.len().min(head.len());
        head[..len].copy_from_slice(&key[..len]);
        let head = u128::from_be_bytes(head);
        ((head >> 64) as u64, head as u64)
    };
    let number = |i: usize| u32::try_from(i).expect("fewer keys than memory has room for");
    let heads = states.iter().enumerate().map(|(i, (key, _))| (head(&stored(key.borrow())), number(i)));
    let mut order: Vec<(u64, u64, u32)> = heads.map(|((high, low), i)| (high, low, i)).collect();
    let whole = |i: u32| (stored(states[i as usize].0.borrow()), i);
    order.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| whole(a.2).cmp(&whole(b.2))));
    order
}

/// Writes records in one transaction, through one buffer.
pub(super) struct Put<'p, 't> {
    pub store: &'p Embedded,
    pub txn: &'p mut RwTxn<'t>,
    pub record: Vec<u8>,
    /// Where there is an index.
    pub marks: Option<Marks>,
}

impl<'p, 't> Put<'p, 't> {
    pub fn new(store: &'p Embedded, txn: &'p mut RwTxn<'t>) -> Result<Put<'p, 't>, Error> {
        let marks = Marks::of(&store.shared, txn)?;
        Ok(Put { store, txn, record: Vec::new(), marks })
    }
}

impl Put<'_, '_> {
    fn states<'s, K, B>(&mut self, states: impl Iterator<Item = &'s (K, Option<B>)>) -> Result<(), Error>
    where
        K: Borrow<str> + 's,
        B: AsRef<[u8]> + 's,
    {
        let table = self.store.shared.tables.state;
        // Into an empty table sorted keys are appended, which fills the pages.
        let empty = table.is_empty(self.txn).map_err(|e| self.store.shared.error("write", e))?;
        let mut states = states.peekable();
        while let Some((key, value)) = states.next() {
            let key: &str = key.borrow();
            self.mark(key)?;
            let replaced = states.peek().is_some_and(|(next, _)| next.borrow() == key);
            match value {
                _ if replaced => {}
                Some(value) if empty => self.append(table, key, value.as_ref())?,
                value => self.put(table, Of::State, key, value.as_ref().map(AsRef::as_ref))?,
            }
        }
        Ok(())
    }

    fn append(&mut self, table: Table, key: &str, value: &[u8]) -> Result<(), Error> {
        record::encode(&mut self.record, Of::State, key, |out| out.extend_from_slice(value));
        let written = table.put_with_flags(self.txn, PutFlags::APPEND, &stored(key), &self.record);
        written.map_err(|e| self.store.shared.error("write", e))
    }

    fn put(&mut self, table: Table, of: Of, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        match value {
            Some(value) => self.encoded(table, of, key, |out| out.extend_from_slice(value)),
            None => {
                let deleted = table.delete(self.txn, &stored(key));
                deleted.map(|_| ()).map_err(|e| self.store.shared.error("write", e))
            }
        }
    }

    /// Removes what patches have left of a key; whether there was anything.
    pub fn remove_tags(&mut self, key: &Key) -> Result<bool, Error> {
        self.mark(key.as_str())?;
        let shared = &self.store.shared;
        let failed = |e| shared.error("write", e);
        let tags = shared.tables.tags.delete(self.txn, &stored(key.as_str())).map_err(failed)?;
        let trace = shared.tables.meta.delete(self.txn, &stored(&super::trace::name(key))).map_err(failed)?;
        Ok(tags || trace)
    }

    pub fn encoded(&mut self, table: Table, of: Of, key: &str, value: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        record::encode(&mut self.record, of, key, value);
        table.put(self.txn, &stored(key), &self.record).map_err(|e| self.store.shared.error("write", e))
    }
}
